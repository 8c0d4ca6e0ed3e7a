//! Resource names: the one place where they are taken apart. They are put together in `wire`.

use crate::Fault;
use link::{Code, Domain, DomainId, Key};

/// The domain of `domains/{domain}`; empty is the default one.
pub fn parent(text: &str) -> Result<DomainId, Fault> {
    if text.is_empty() {
        return Ok(DomainId::DEFAULT);
    }
    let given = text.strip_prefix("domains/").ok_or_else(|| Fault::invalid("parent", "is not domains/…"))?;
    domain(given, "parent")
}

/// The key of `domains/{domain}/links/{code}`.
pub fn link(text: &str) -> Result<Key, Fault> {
    let split = || text.strip_prefix("domains/")?.split_once("/links/");
    let (in_domain, given) = split().ok_or_else(|| Fault::invalid("name", "is not domains/…/links/…"))?;
    Ok(Key::new(domain(in_domain, "name")?, &code(given, "name")?))
}

/// A code that stands in `field`.
pub fn code(text: &str, field: &'static str) -> Result<Code, Fault> {
    Code::new(text).map_err(|fault| Fault::invalid(field, fault))
}

fn domain(text: &str, field: &'static str) -> Result<DomainId, Fault> {
    let domain = Domain::new(text).map_err(|fault| Fault::invalid(field, fault))?;
    let unknown = || Fault::DomainNotFound(format!("domains/{}", domain.as_str()));
    domain.is_default().then_some(DomainId::DEFAULT).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let key = |code: &str| Key::new(DomainId::DEFAULT, &Code::new(code).unwrap());
        assert_eq!(link("domains/-/links/a/links/b"), Ok(key("a/links/b")));
        assert_eq!(link("domains/x.example/links/a"), Err(Fault::DomainNotFound("domains/x.example".into())));
        for wrong in ["", "a", "domains/-", "domains/-/links/", "domains/a b/links/c", "domains/-/links/a b"]
        {
            assert_eq!(link(wrong).unwrap_err().field(), Some("name"), "{wrong}");
        }
        assert_eq!(parent(""), Ok(DomainId::DEFAULT));
        assert_eq!(parent("domains/-"), Ok(DomainId::DEFAULT));
        assert_eq!(parent("-").unwrap_err().field(), Some("parent"));
    }
}
