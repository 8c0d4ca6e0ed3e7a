//! Resource names: the one place where they are taken apart. They are put together in `wire`.

use super::Service;
use crate::{Caller, Fault};
use link::{Code, Domain, DomainId, Key};

impl Service {
    /// The domain of `domains/{domain}`, if the caller may touch it; empty is the default one.
    pub(super) async fn parent(&self, caller: &Caller, text: &str) -> Result<DomainId, Fault> {
        self.domain(caller, &parent(text)?).await
    }

    /// The key of `domains/{domain}/links/{code}`, if the caller may touch it.
    pub(super) async fn key(&self, caller: &Caller, text: &str) -> Result<Key, Fault> {
        let (domain, code) = link(text)?;
        Ok(Key::new(self.domain(caller, &domain).await?, &code))
    }

    #[allow(clippy::unused_async)] // domains besides the default one will be asked of the store
    async fn domain(&self, caller: &Caller, domain: &Domain) -> Result<DomainId, Fault> {
        caller.may_touch(domain.as_str())?;
        let unknown = || Fault::DomainNotFound(format!("domains/{}", domain.as_str()));
        domain.is_default().then_some(DomainId::DEFAULT).ok_or_else(unknown)
    }
}

fn parent(text: &str) -> Result<Domain, Fault> {
    let given = match text {
        "" => "-",
        text => text.strip_prefix("domains/").ok_or_else(|| Fault::invalid("parent", "is not domains/…"))?,
    };
    domain(given, "parent")
}

fn link(text: &str) -> Result<(Domain, Code), Fault> {
    let split = || text.strip_prefix("domains/")?.split_once("/links/");
    let (in_domain, given) = split().ok_or_else(|| Fault::invalid("name", "is not domains/…/links/…"))?;
    Ok((domain(in_domain, "name")?, code(given, "name")?))
}

/// A code that stands in `field`.
pub fn code(text: &str, field: &'static str) -> Result<Code, Fault> {
    Code::new(text).map_err(|fault| Fault::invalid(field, fault))
}

fn domain(text: &str, field: &'static str) -> Result<Domain, Fault> {
    Domain::new(text).map_err(|fault| Fault::invalid(field, fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let (domain, code) = link("domains/X.example/links/a/links/b").unwrap();
        assert_eq!((domain.as_str(), code.as_str()), ("x.example", "a/links/b"));
        for wrong in ["", "a", "domains/-", "domains/-/links/", "domains/a b/links/c", "domains/-/links/a b"]
        {
            assert_eq!(link(wrong).unwrap_err().field(), Some("name"), "{wrong}");
        }
        assert!(parent("").unwrap().is_default());
        assert!(parent("domains/-").unwrap().is_default());
        assert_eq!(parent("-").unwrap_err().field(), Some("parent"));
    }
}
