//! What becomes of a write of a domain (the deciding half of R1). No I/O, no clock here.

use crate::model::{By, DomainRow, MAX_DOMAINS};
use crate::request::{Answer, Retry};
use crate::{Rejection, names};
use bytes::Bytes;
use link::rule::{Rule, off};
use link::{Class, Domain, DomainId, DomainRules, Position, Target};

/// A write of a domain, checked as far as it can be without the store.
#[derive(Clone, Debug)]
pub struct DomainItem {
    /// Which.
    pub name: Domain,
    /// What to do with it.
    pub intent: DomainIntent,
    /// Who is to be named for it.
    pub by: Option<By>,
    /// How a retry is recognised.
    pub retry: Option<Retry>,
}

/// What to do with a domain.
#[derive(Clone, Debug)]
pub enum DomainIntent {
    /// Make it.
    Create {
        /// Drawn at random, so that a domain which was lost with its history is never taken for another one.
        id: DomainId,
        /// How it answers.
        fields: Vec<DomainField>,
    },
    /// Set some of its fields.
    Update {
        /// The fields.
        fields: Vec<DomainField>,
        /// Only at this version.
        etag: Option<u64>,
    },
}

/// A field and its new value.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the fields are those of linkr.v1.Domain, documented there
pub enum DomainField {
    FoldCase(bool),
    StrictHosts(bool),
    Class(Class),
    NotFound(Option<Target>),
}

/// What the store holds.
#[derive(Clone, Debug, Default)]
pub struct DomainFound {
    /// The domain of that name.
    pub row: Option<DomainRow>,
    /// Whether it has links, deleted ones counted; says nothing where there is no row.
    pub has_links: bool,
    /// Whether the number that was drawn is taken.
    pub id_taken: bool,
    /// Domains.
    pub count: usize,
    /// The answer to the same request.
    pub answer: Option<Answer>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DomainVerdict {
    /// Written: this is the new state.
    Written(DomainRow),
    /// Done before: this was the answer.
    Before(Bytes),
    /// Refused: nothing was written.
    Refused(Rejection),
}

/// Decides; what is written gets the next number behind `head`.
pub fn decide(item: &DomainItem, found: &DomainFound, head: Position, now: i64) -> DomainVerdict {
    if let (Some(retry), Some(answer)) = (&item.retry, &found.answer) {
        return match answer.hash == retry.hash {
            true => DomainVerdict::Before(answer.response.clone()),
            false => DomainVerdict::Refused(Rejection::IdempotencyMismatch),
        };
    }
    match next_state(item, found, head.seq + 1, now) {
        Ok(row) => DomainVerdict::Written(row),
        Err(fault) => DomainVerdict::Refused(fault),
    }
}

/// The state that `item` makes of what is stored.
pub fn next_state(
    item: &DomainItem,
    found: &DomainFound,
    version: u64,
    now: i64,
) -> Result<DomainRow, Rejection> {
    let name = names::domain(item.name.as_str());
    let (mut row, fields) = match (&item.intent, &found.row) {
        (DomainIntent::Create { .. }, Some(_)) => return Err(Rejection::Exists(name)),
        (DomainIntent::Create { .. }, None) if found.count >= MAX_DOMAINS => {
            return Err(Rejection::TooManyDomains);
        }
        (DomainIntent::Create { .. }, None) if found.id_taken => return Err(Rejection::NumberTaken),
        (DomainIntent::Create { id, fields }, None) => {
            let rules = DomainRules { name: item.name.clone(), ..DomainRules::default() };
            (DomainRow { id: *id, rules, create_time: Some(now), ..DomainRow::default() }, fields)
        }
        (DomainIntent::Update { .. }, None) => return Err(Rejection::DomainNotFound(name)),
        (DomainIntent::Update { etag, .. }, Some(row))
            if etag.is_some_and(|etag| etag != row.version) && !off(Rule::EtagMatches) =>
        {
            return Err(Rejection::EtagMismatch);
        }
        (DomainIntent::Update { fields, .. }, Some(row)) => (row.clone(), fields),
    };
    let folded = row.rules.fold_case;
    for field in fields.iter().cloned() {
        match field {
            DomainField::FoldCase(value) => row.rules.fold_case = value,
            DomainField::StrictHosts(value) => row.rules.strict_hosts = value,
            DomainField::Class(value) => row.rules.class = value,
            DomainField::NotFound(value) => row.rules.not_found = value,
        }
    }
    if row.rules.fold_case != folded && found.row.is_some() && found.has_links {
        return Err(Rejection::invalid("fold_case", "cannot change any more: the domain has links"));
    }
    if row.rules.strict_hosts && row.id != DomainId::DEFAULT {
        return Err(Rejection::invalid(
            "strict_hosts",
            "is for the default domain, which takes what no other claims",
        ));
    }
    Ok(DomainRow { version, update_time: Some(now), ..row })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(fields: Vec<DomainField>, etag: Option<u64>) -> DomainItem {
        let intent = DomainIntent::Update { fields, etag };
        DomainItem { name: Domain::default(), intent, by: None, retry: None }
    }

    fn found(id: u32, has_links: bool) -> DomainFound {
        let row = DomainRow { id: DomainId(id), version: 4, ..DomainRow::default() };
        DomainFound { row: Some(row), has_links, ..DomainFound::default() }
    }

    fn is_of(state: &Result<DomainRow, Rejection>, of: &str) -> bool {
        matches!(state, Err(Rejection::Invalid { field, .. }) if *field == of)
    }

    #[test]
    fn a_new_domain_may_fold_case_whatever_links_others_have() {
        let intent = DomainIntent::Create { id: DomainId(7), fields: vec![DomainField::FoldCase(true)] };
        let item = DomainItem { name: Domain::new("a.example").unwrap(), intent, by: None, retry: None };
        let found = DomainFound { has_links: true, ..DomainFound::default() };
        assert!(next_state(&item, &found, 5, 1).unwrap().rules.fold_case);
    }

    #[test]
    fn case_is_fixed_by_the_first_link() {
        let fold = update(vec![DomainField::FoldCase(true)], None);
        assert!(next_state(&fold, &found(7, false), 5, 1).unwrap().rules.fold_case);
        assert!(is_of(&next_state(&fold, &found(7, true), 5, 1), "fold_case"));
        let same = update(vec![DomainField::FoldCase(false)], Some(4));
        assert_eq!(next_state(&same, &found(7, true), 5, 9).unwrap().update_time, Some(9));
    }

    #[test]
    fn only_the_default_domain_is_strict_about_hosts() {
        let strict = update(vec![DomainField::StrictHosts(true)], None);
        assert!(next_state(&strict, &found(0, true), 5, 1).unwrap().rules.strict_hosts);
        assert!(is_of(&next_state(&strict, &found(7, true), 5, 1), "strict_hosts"));
    }

    #[test]
    fn a_domain_that_is_there_is_not_made_again_nor_changed_unseen() {
        let intent = DomainIntent::Create { id: DomainId(9), fields: Vec::new() };
        let create = DomainItem { name: Domain::default(), intent, by: None, retry: None };
        let why = |item: &DomainItem, found: DomainFound| next_state(item, &found, 5, 1).unwrap_err();
        assert_eq!(why(&create, found(0, false)), Rejection::Exists("domains/-".into()));
        assert_eq!(
            why(&create, DomainFound { count: MAX_DOMAINS, ..DomainFound::default() }),
            Rejection::TooManyDomains
        );
        assert_eq!(why(&update(Vec::new(), Some(3)), found(7, false)), Rejection::EtagMismatch);
        assert_eq!(
            why(&update(Vec::new(), None), DomainFound::default()),
            Rejection::DomainNotFound("domains/-".into())
        );
    }
}
