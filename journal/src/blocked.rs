//! Blocked hosts, as far as a group of writes meets them: no link is led to one or to a host below it.

use crate::model::Row;
use crate::request::{Field, Intent, Item, Request};
use link::{Key, LinkParts, Target, TargetHost};
use std::collections::{BTreeSet, HashMap};

/// The blocked hosts among those that a group asks for.
#[derive(Clone, Debug, Default)]
pub struct BlockedHosts(BTreeSet<TargetHost>);

impl BlockedHosts {
    /// Whether this very host is blocked.
    pub fn has(&self, host: &TargetHost) -> bool {
        self.0.contains(host)
    }

    /// The blocked host that a target leads to or below, the narrowest of several.
    pub fn of(&self, target: &Target) -> Option<TargetHost> {
        if self.0.is_empty() {
            return None; // as a rule; and then no target is looked into
        }
        target.host()?.and_above().find(|host| self.0.contains(host))
    }
}

impl FromIterator<TargetHost> for BlockedHosts {
    fn from_iter<T: IntoIterator<Item = TargetHost>>(hosts: T) -> Self {
        Self(hosts.into_iter().collect())
    }
}

impl Extend<TargetHost> for BlockedHosts {
    fn extend<T: IntoIterator<Item = TargetHost>>(&mut self, hosts: T) {
        self.0.extend(hosts);
    }
}

/// The hosts whose block covers a target.
pub fn hosts_of(target: &Target) -> impl Iterator<Item = TargetHost> {
    target.host().into_iter().flat_map(|host| host.and_above().collect::<Vec<_>>())
}

/// The hosts that a group names, and those above them: where it gives links targets, and whose blocks it makes true.
pub fn given_hosts(group: &[Request]) -> BTreeSet<TargetHost> {
    let mut hosts = BTreeSet::new();
    for item in group.iter().flat_map(|request| &request.items) {
        match &item.intent {
            Intent::Create(draft) | Intent::Restore { draft, .. } | Intent::Import { draft, .. } => {
                leads(draft.link.parts()).for_each(|target| hosts.extend(hosts_of(target)));
            }
            Intent::Update { fields, .. } => {
                let targets = fields.iter().filter_map(|field| match field {
                    Field::Target(target) | Field::ExpiredTarget(Some(target)) => Some(target),
                    _ => None,
                });
                targets.for_each(|target| hosts.extend(hosts_of(target)));
            }
            Intent::Block { host } | Intent::Lift { host } => hosts.extend([host.clone()]),
            Intent::Delete { .. } | Intent::Undelete { .. } | Intent::Purge { .. } => {}
        }
    }
    hosts
}

/// The hosts of links that come back or are enabled, and those above them.
pub fn returning_hosts(group: &[Request], rows: &HashMap<Key, Row>) -> BTreeSet<TargetHost> {
    let items = group.iter().flat_map(|request| &request.items);
    let back = |item: &&Item| match &item.intent {
        Intent::Undelete { .. } | Intent::Lift { .. } => true,
        Intent::Update { fields, .. } => fields.iter().any(|field| matches!(field, Field::Disabled(false))),
        _ => false,
    };
    let rows = items.filter(back).filter_map(|item| rows.get(&item.key));
    rows.flat_map(|row| leads(row.link.parts())).flat_map(hosts_of).collect()
}

/// Where a link leads, at any time.
fn leads(parts: &LinkParts) -> impl Iterator<Item = &Target> {
    std::iter::once(&parts.target).chain(&parts.expired_target)
}

/// Where a write leads a link to, by which field, that it did not lead to before: by a target, by enabling it or by bringing
/// it back. What was there already is left to the sweep of the block.
pub(crate) fn led_anew<'a>(
    before: Option<&'a Row>,
    after: &'a Row,
) -> impl Iterator<Item = (&'static str, &'a Target)> {
    let before = before.filter(|row| row.delete_time.is_none()).map(|row| row.link.parts());
    let parts = after.link.parts();
    let is_back = before.is_none_or(|before| before.terms.disabled && !parts.terms.disabled);
    let target =
        (is_back || before.is_none_or(|before| before.target != parts.target)).then_some(&parts.target);
    let expired = parts.expired_target.as_ref();
    let expired =
        expired.filter(|to| is_back || before.and_then(|before| before.expired_target.as_ref()) != Some(to));
    let both = [target.map(|to| ("target", to)), expired.map(|to| ("expired_target", to))];
    both.into_iter().flatten().filter(|_| after.delete_time.is_none())
}
