//! Where links lead among our own: a target of ours is no target, since it would be a chain or a loop.

use super::directory::{Known, Namespace};
use super::{Service, blocking};
use crate::port::Limit;
use crate::{Fault, wire};
use link::{Code, Domain, DomainId, Key, State, Target};

/// Links that one leads to through another. A chain can only be longer than one where hosts became ours later.
const HOPS: usize = 8;
/// Links that are named when they are in the way of a domain.
const NAMED: usize = 5;
const PAGE: Limit = Limit { rows: 5_000, bytes: 4 * 1024 * 1024 };

impl Service {
    /// The target, if it is not one of ours. One of ours is refused, and what it leads to is named; or taken in its place
    /// if the caller wishes that. `own`: the link that is going to have it. Only for a target of ours the store is read.
    ///
    /// # Errors
    /// [`Fault::Invalid`] for `target`, and those of the store.
    pub(super) async fn lead(
        &self,
        target: Target,
        own: Option<&Key>,
        flatten: bool,
    ) -> Result<Target, Fault> {
        let known = self.directory.known().await?;
        let Some(mut hop) = self.ours(&known, &target) else { return Ok(target) };
        let refused =
            |why: &str| Err(Fault::invalid("target", format!("leads to {} {why}", target.as_str())));
        let mut met: Vec<Key> = own.cloned().into_iter().collect();
        for _ in 0..HOPS {
            let (space, path) = hop;
            let Ok(code) = Code::new(&path) else { return refused("of ours, where no link can be") };
            let key = space.key(&code);
            if met.contains(&key) {
                return refused("of ours and so back to itself, which would be a loop");
            }
            let (_, row) = self.stored(key.clone()).await?;
            let Some(row) = row.filter(|row| row.delete_time.is_none()) else {
                return refused("of ours, where there is no link: it would be a chain or a loop");
            };
            met.push(key);
            let last = row.link.parts().target.clone();
            match self.ours(&known, &last) {
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

    /// The domain of ours that a target leads to, and the path there.
    pub(super) fn ours(&self, known: &Known, target: &Target) -> Option<(Namespace, String)> {
        let place = target.place()?;
        let claimed = known.find(&place.host).filter(|row| row.id != DomainId::DEFAULT);
        let default = || known.find("-").filter(|_| self.rules.is_own(&place.host));
        Some((claimed.or_else(default)?.into(), place.path))
    }

    /// Refuses a new domain that links, or what domains answer instead of a 404, lead to already. Reads every link.
    pub(super) async fn nothing_leads_to(&self, domain: &Domain) -> Result<(), Fault> {
        let host = domain.as_str().to_owned();
        let leads = |target: &Target| target.place().is_some_and(|place| place.host == host);
        let known = self.directory.known().await?;
        let mut named: Vec<String> = known
            .rows
            .iter()
            .filter(|row| row.rules.not_found.as_ref().is_some_and(leads))
            .map(|row| format!("not_found of {}", wire::domain_name(row.rules.name.as_str())))
            .collect();
        let mut after = Vec::new();
        while named.len() <= NAMED {
            let host = host.clone();
            let read = move |store: &dyn crate::port::Repository| {
                let page = store.walk(&after, PAGE)?;
                let leads = |record: &[u8]| match proto::decode(record).map(|versioned| versioned.state) {
                    Ok(State::Live(link)) => {
                        link.parts().target.place().is_some_and(|place| place.host == host)
                    }
                    _ => false,
                };
                let found = page.entries.iter().filter(|entry| leads(&entry.record)).take(NAMED + 1);
                let found: Vec<Key> = found.filter_map(|entry| Key::from_bytes(&entry.key).ok()).collect();
                let next = page.entries.last().filter(|_| page.more).map(|entry| entry.key.to_vec());
                Ok((found, next))
            };
            let (found, next) = blocking(&self.store, read).await?;
            named.extend(found.iter().map(|key| wire::name(key, &self.directory.name(key.domain()))));
            match next {
                Some(key) => after = key,
                None => break,
            }
        }
        if named.is_empty() {
            return Ok(());
        }
        let more = if named.len() > NAMED { " and others" } else { "" };
        named.truncate(NAMED);
        let why =
            format!("is where links lead, which would become chains or loops: {}{more}", named.join(", "));
        Err(Fault::invalid("domain_id", why))
    }
}
