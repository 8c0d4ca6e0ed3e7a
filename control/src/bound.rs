//! Which domains a caller may touch, and what he may give to others.

use crate::Fault;
use std::sync::Arc;
use store::model::{Scope, Scopes};

/// What a caller may touch: some domains, or all of them, which is the default. Nothing of another domain is reached but
/// through it: see `service::reach` and `keys::kept`.
#[derive(Clone, Debug, Default)]
pub struct Bound(Option<Arc<BoundDomains>>);

#[derive(Debug)]
struct BoundDomains {
    /// In the compared form; `-` is the default one.
    domains: Vec<String>,
    /// See [`Bound::counted_as`].
    counted_as: Arc<str>,
    scopes: Scopes,
    expire_time: Option<i64>,
}

impl Bound {
    /// That of a key for these domains (none: all), with these scopes and this expiry.
    pub fn new(domains: &[String], scopes: Scopes, expire_time: Option<i64>) -> Self {
        let domains = domains.to_vec();
        let first = domains.iter().min().map(|first| format!("domains/{first}").into());
        Self(first.map(|counted_as| Arc::new(BoundDomains { domains, counted_as, scopes, expire_time })))
    }

    /// Whether there is any domain that it keeps its caller from.
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// The domains that it keeps its caller to; none: all.
    pub fn domains(&self) -> &[String] {
        self.0.as_ref().map_or(&[], |bound| &bound.domains)
    }

    /// The name that all keys with the same first domain are counted under together, wherever one key has a share: of
    /// calls in a second, of calls that last, of lists, of connections. Whoever has a key with keys:admin for some domains
    /// makes more of them, and would multiply his share by them; by sets of domains, too, of which there is no end. `None`:
    /// it is for every domain, and each key counts for itself.
    pub fn counted_as(&self) -> Option<&Arc<str>> {
        self.0.as_ref().map(|bound| &bound.counted_as)
    }

    /// Whether it lets its caller touch a domain (`-` or a host name in its compared form).
    pub fn touches(&self, domain: &str) -> bool {
        self.0.as_ref().is_none_or(|bound| bound.domains.iter().any(|own| own == domain))
    }

    /// Refuses a domain that it does not let its caller touch: with the same words whether there is one or not.
    ///
    /// # Errors
    /// [`Fault::Forbidden`]
    pub fn touch(&self, domain: &str) -> Result<(), Fault> {
        let refused = || Fault::Forbidden(format!("anything in domains/{domain}"));
        self.touches(domain).then_some(()).ok_or_else(refused)
    }

    /// Refuses what concerns every domain to whoever is kept from some.
    ///
    /// # Errors
    /// [`Fault::Forbidden`]
    pub fn everywhere(&self) -> Result<(), Fault> {
        let refused =
            || Fault::Forbidden("blocking targets, which is for every domain: it is for some".into());
        (!self.is_some()).then_some(()).ok_or_else(refused)
    }

    /// Whether a key for these domains (none: all) reaches no further.
    pub fn covers(&self, domains: &[String]) -> bool {
        !self.is_some() || !domains.is_empty() && domains.iter().all(|domain| self.touches(domain))
    }

    /// Refuses to give what its caller has not: a key that is bound makes none that reaches further, may do more or lives
    /// longer (OWASP API5:2023). Who is not bound rules all keys.
    ///
    /// # Errors
    /// [`Fault::Forbidden`]
    pub fn give(&self, domains: &[String], scopes: Scopes, expire_time: Option<i64>) -> Result<(), Fault> {
        let Some(own) = &self.0 else { return Ok(()) };
        if domains.is_empty() {
            return Err(Fault::Forbidden("keys for every domain".into()));
        }
        domains.iter().try_for_each(|domain| self.touch(domain))?;
        let more = Scope::ALL.into_iter().find(|scope| scopes.has(*scope) && !own.scopes.has(*scope));
        // The feed is of every domain: a key from before may have both.
        let more = more.or(Some(Scope::Feed).filter(|feed| scopes.has(*feed)));
        if let Some(scope) = more {
            let what = "keys with the scope";
            return Err(Fault::Forbidden(format!(
                "{what} {}: it is for some domains and has it not",
                scope.name()
            )));
        }
        match own.expire_time {
            Some(end) if expire_time.is_none_or(|at| at > end) => {
                Err(Fault::Forbidden("keys that expire later than itself, or never".into()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_caller_touches_its_own_domains_alone() {
        let bound = Bound::new(&["a.example".to_owned()], Scopes::admin(), None);
        assert_eq!(bound.touch("a.example"), Ok(()));
        assert_eq!(bound.touch("-").unwrap_err().names().reason, "FORBIDDEN");
        assert_eq!(Bound::default().touch("-"), Ok(()));
        let both = Bound::new(&["b.example".to_owned(), "a.example".to_owned()], Scopes::admin(), None);
        assert_eq!(
            (both.counted_as(), bound.counted_as().map(|name| &**name)),
            (bound.counted_as(), Some("domains/a.example"))
        );
        assert_eq!(Bound::default().counted_as(), None);
        assert!(!bound.covers(&[]) && bound.covers(&["a.example".into()]));
        assert!(Bound::default().covers(&[]));
    }

    #[test]
    fn nobody_who_is_bound_gives_more_than_he_has() {
        let (own, both) = (["a.example".to_owned()], Scopes::of(&[Scope::LinksRead, Scope::KeysAdmin]));
        let (read, write) = (Scopes::of(&[Scope::LinksRead]), Scopes::of(&[Scope::LinksWrite]));
        let bound = Bound::new(&own, both, Some(10));
        assert_eq!(bound.give(&own, read, Some(10)), Ok(()));
        let feed = Scopes::of(&[Scope::Feed]);
        for (domains, scopes, expire_time) in [
            (&[][..], read, Some(10)),
            (&["b.example".to_owned()][..], read, Some(10)),
            (&own[..], write, Some(10)),
            (&own[..], feed, Some(10)),
            (&own[..], read, Some(11)),
            (&own[..], read, None),
        ] {
            let refused = bound.give(domains, scopes, expire_time).unwrap_err();
            assert_eq!(refused.names().reason, "FORBIDDEN", "{domains:?} {scopes:?} {expire_time:?}");
        }
        let old = Bound::new(&own, Scopes::of(&Scope::ALL), None);
        assert!(old.give(&own, feed, None).is_err(), "of a key from before");
        assert_eq!(Bound::default().give(&[], feed, None), Ok(()));
    }
}
