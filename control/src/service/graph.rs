//! Where links lead among our own: a target of ours is no target, since it would be a chain or a loop.

use super::Service;
use super::directory::{Domains, OwnTarget};
use super::reach::BoundView;
use super::write::WriteTerms;
use crate::{Caller, Fault};
use journal::names;
use link::{Code, Domain, Key, Target};

/// Links that one leads to through another. A chain can only be longer than one where hosts became ours later.
const HOPS: usize = 8;
/// Links that are named when they are in the way of a domain.
const NAMED: usize = 5;

impl Service {
    /// The target, if it is not one of ours. One of ours is refused, and what it leads to is named; or taken in its place
    /// if the caller wishes that. `own`: the link that is going to have it. Only for a target of ours the store is read,
    /// and never for one in a domain that the caller may not touch: that is refused with the same words whatever is there.
    ///
    /// # Errors
    /// [`Fault::Invalid`] for `target`, and those of the store.
    pub(super) async fn lead(
        &self,
        asked: &WriteTerms,
        target: Target,
        own: Option<&Key>,
        flatten: bool,
    ) -> Result<Target, Fault> {
        asked.hold(|| self.reach.pass());
        self.lead_within(&self.reach.within(&asked.bound), target, own, flatten).await
    }

    /// [`Self::lead`] for whoever holds a pass.
    pub(super) async fn lead_within(
        &self,
        view: &BoundView<'_>,
        target: Target,
        own: Option<&Key>,
        flatten: bool,
    ) -> Result<Target, Fault> {
        let domains = view.domains().await?;
        let Some(mut hop) = domains.ours(&self.rules, &target) else { return Ok(target) };
        let refused =
            |why: &str| Err(Fault::invalid("target", format!("leads to {} {why}", target.as_str())));
        let mut met: Vec<Key> = own.cloned().into_iter().collect();
        for _ in 0..HOPS {
            let (space, path) = match hop {
                OwnTarget::Own(space, path) => (space, path),
                OwnTarget::Others => {
                    return refused("and so to another domain of this server, which would be a chain");
                }
                OwnTarget::Claimed => {
                    return refused("and so to a host that is about to become a domain of this server");
                }
            };
            let asked = link::asked(path.as_bytes()).unwrap_or(path);
            let Ok(code) = Code::new(space.asked(&asked)) else {
                return refused("of ours, where no link can be");
            };
            let key = space.key(&code);
            if met.contains(&key) {
                return refused("of ours and so back to itself, which would be a loop");
            }
            let (_, row) = view.link(&key).await?;
            let Some(row) = row.filter(|row| row.delete_time.is_none()) else {
                return refused("of ours, where there is no link: it would be a chain or a loop");
            };
            met.push(key);
            let last = row.link.parts().target.clone();
            match domains.ours(&self.rules, &last) {
                Some(next) => hop = next,
                None if flatten => return Ok(last),
                None => {
                    let last = last.as_str();
                    return refused(&format!(
                        "of ours, which would be a chain: use {last} instead, or ask to flatten it"
                    ));
                }
            }
        }
        refused("of ours, and from there through too many others")
    }

    /// Refuses a target of an expired link that is one of ours: nobody would see where it leads from there.
    ///
    /// # Errors
    /// [`Fault::Invalid`] for `expired_target`, and those of the store.
    pub(super) async fn leads_out(&self, asked: &WriteTerms, target: Option<&Target>) -> Result<(), Fault> {
        let Some(target) = target else { return Ok(()) };
        asked.hold(|| self.reach.pass());
        let domains = self.reach.within(&asked.bound).domains().await?;
        self.is_out(&domains, target)
    }

    /// [`Self::leads_out`] for whoever holds a pass.
    pub(super) fn is_out(&self, domains: &Domains, target: &Target) -> Result<(), Fault> {
        match domains.ours(&self.rules, target) {
            Some(_) => {
                Err(Fault::invalid("expired_target", "leads to a host of ours, which could be a loop"))
            }
            None => Ok(()),
        }
    }

    /// Refuses a new domain that links, or the targets of domains, lead to already. Reads every link.
    pub(super) async fn nothing_leads_to(
        &self,
        caller: &Caller,
        known: &Domains,
        domain: &Domain,
    ) -> Result<(), Fault> {
        let view = self.reach.of(caller);
        let (mut named, mut others) = known.leading_to(domain.as_str());
        let mut after = Vec::new();
        while named.len() <= NAMED {
            let host = domain.as_str().to_owned();
            let found = view.read(move |reader| reader.leading_to(&host, &after)).await?;
            others |= found.others;
            named.extend(found.own.iter().map(|key| names::link(key, &self.reach.name(key.domain()))));
            match found.next {
                Some(key) => after = key,
                None => break,
            }
        }
        if named.len() > NAMED {
            named.truncate(NAMED);
            named.push("others".into());
        } else if others {
            named.push("some of other domains".into());
        }
        if named.is_empty() {
            return Ok(());
        }
        let why = format!("is where links lead, which would become chains or loops: {}", named.join(", "));
        Err(Fault::invalid("domain_id", why))
    }
}
