//! External ids: in each domain one link that is not deleted has one, at most.

use crate::model::Row;
use crate::request::{Field, Intent, Item, Request};
use link::{DomainId, Key};
use std::collections::{BTreeSet, HashMap};

/// An external id of a domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExternalId {
    /// Of the links that it is one of.
    pub domain: DomainId,
    /// Not empty.
    pub id: String,
}

impl ExternalId {
    fn new(domain: DomainId, id: &str) -> Option<Self> {
        (!id.is_empty()).then(|| Self { domain, id: id.to_owned() })
    }

    /// That of a link, deleted or not, if it has one.
    fn of(row: &Row) -> Option<Self> {
        Self::new(row.key.domain(), &row.info.external_id)
    }

    /// That of a link that is not deleted, if it has one.
    pub fn held_by(row: &Row) -> Option<Self> {
        Self::of(row).filter(|_| row.delete_time.is_none())
    }
}

/// The external ids that a group gives to links.
pub fn given_ids(group: &[Request]) -> BTreeSet<ExternalId> {
    let given = |item: &Item| {
        let id = match &item.intent {
            Intent::Create(draft) | Intent::Restore { draft, .. } | Intent::Import { draft, .. } => {
                Some(&draft.info.external_id)
            }
            Intent::Update { fields, .. } => fields.iter().rev().find_map(|field| match field {
                Field::ExternalId(id) => Some(id),
                _ => None,
            }),
            Intent::Delete { .. }
            | Intent::Undelete { .. }
            | Intent::Purge { .. }
            | Intent::Block { .. }
            | Intent::Lift { .. } => None,
        };
        id.and_then(|id| ExternalId::new(item.key.domain(), id))
    };
    group.iter().flat_map(|request| &request.items).filter_map(given).collect()
}

/// The external ids that links come back with.
pub fn returning_ids(group: &[Request], rows: &HashMap<Key, Row>) -> BTreeSet<ExternalId> {
    let items = group.iter().flat_map(|request| &request.items);
    let back = items.filter(|item| matches!(item.intent, Intent::Undelete { .. }));
    back.filter_map(|item| ExternalId::of(rows.get(&item.key)?)).collect()
}

/// Which link has which external id, as far as a group can ask.
#[derive(Debug)]
pub(crate) struct Holders(HashMap<ExternalId, Key>);

impl Holders {
    /// `found` are those that were looked for; links that were read say it themselves.
    pub(crate) fn new(mut found: HashMap<ExternalId, Key>, rows: &HashMap<Key, Row>) -> Self {
        found.extend(rows.values().filter_map(|row| Some((ExternalId::held_by(row)?, row.key.clone()))));
        Self(found)
    }

    /// The other link that has what this one would have.
    pub(crate) fn other(&self, row: &Row) -> Option<&Key> {
        self.0.get(&ExternalId::held_by(row)?).filter(|holder| **holder != row.key)
    }

    /// A state of a link takes the place of another one.
    pub(crate) fn replace(&mut self, before: Option<&Row>, after: Option<&Row>) {
        if let Some((id, row)) = before.and_then(|row| Some((ExternalId::held_by(row)?, row)))
            && self.0.get(&id) == Some(&row.key)
        {
            self.0.remove(&id);
        }
        self.0.extend(after.and_then(|row| Some((ExternalId::held_by(row)?, row.key.clone()))));
    }
}
