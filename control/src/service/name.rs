//! Resource names: the one place where they are taken apart. They are put together in `wire`.

use super::Service;
use super::directory::Namespace;
pub use super::texts::{bare, code, domain};
use crate::{Caller, Fault};
use link::{Code, Domain, Key};

impl Service {
    /// The domain of `domains/{domain}`, if the caller may touch it; empty is the default one.
    pub(super) async fn parent(&self, caller: &Caller, text: &str) -> Result<Namespace, Fault> {
        self.domain(caller, &parent(text, "parent")?).await
    }

    /// The key of `domains/{domain}/links/{code}`, if the caller may touch it.
    pub(super) async fn key(&self, caller: &Caller, text: &str) -> Result<Key, Fault> {
        Ok(self.place(caller, text).await?.1)
    }

    /// The same with its domain.
    pub(super) async fn place(&self, caller: &Caller, text: &str) -> Result<(Namespace, Key), Fault> {
        let (domain, code) = link(text)?;
        let domain = self.domain(caller, &domain).await?;
        let key = domain.key(&code);
        Ok((domain, key))
    }

    pub(super) async fn domain(&self, caller: &Caller, domain: &Domain) -> Result<Namespace, Fault> {
        self.reach.of(caller).domain(domain).await
    }
}

/// The domain of `domains/{domain}` that stands in `field`; empty is the default one.
pub fn parent(text: &str, field: &'static str) -> Result<Domain, Fault> {
    let given = match text {
        "" => "-",
        text => text.strip_prefix("domains/").ok_or_else(|| Fault::invalid(field, "is not domains/…"))?,
    };
    domain(given, field)
}

fn link(text: &str) -> Result<(Domain, Code), Fault> {
    let (domain, given) = split(text)?;
    Ok((domain, code(given, "name")?))
}

/// The domain of a link's name, and what should be a code.
pub fn split(text: &str) -> Result<(Domain, &str), Fault> {
    let split = || text.strip_prefix("domains/")?.split_once("/links/");
    let (in_domain, given) = split().ok_or_else(|| Fault::invalid("name", "is not domains/…/links/…"))?;
    Ok((domain(in_domain, "name")?, given))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let (domain, code) = link("domains/X.example/links/a/links/b").unwrap();
        assert_eq!((domain.as_str(), code.as_str()), ("x.example", "a/links/b"));
        // A name is no URL: codes stand in it as they are, in any spelling.
        for spelled in ["domains/-/links/b\u{fc}cher:(1)", "domains/-/links/bu\u{308}cher:(1)"] {
            assert_eq!(link(spelled).unwrap().1.as_str(), "b\u{fc}cher:(1)");
        }
        for wrong in ["", "a", "domains/-", "domains/-/links/", "domains/a b/links/c", "domains/-/links/a b"]
        {
            assert_eq!(link(wrong).unwrap_err().field(), Some("name"), "{wrong}");
        }
        assert!(parent("", "parent").unwrap().is_default());
        assert!(parent("domains/-", "parent").unwrap().is_default());
        assert_eq!(parent("-", "parent").unwrap_err().field(), Some("parent"));
    }
}
