//! What becomes of a write of a domain (the deciding half of R1). No I/O, no clock here.

use crate::model::{Author, DomainRow, MAX_DOMAINS, MAX_DOMAINS_BYTES, TOMBSTONES};
use crate::request::{Retry, StoredAnswer};
use crate::{BlockedHosts, Rejection, blocks, hosts_of, names};
use bytes::Bytes;
use link::rule::{Rule, off};
use link::{Class, Domain, DomainId, DomainRules, Files, Position, QueryPolicy, Stats, Target, TargetHost};
use std::collections::BTreeSet;

/// A write of a domain, checked as far as it can be without the store.
#[derive(Clone, Debug)]
pub struct DomainItem {
    /// Which.
    pub name: Domain,
    /// What to do with it.
    pub intent: DomainIntent,
    /// Who is to be named for it.
    pub by: Option<Author>,
    /// How a retry is recognised.
    pub retry: Option<Retry>,
}

impl DomainItem {
    /// The hosts that it leads visitors to, and those above them.
    pub fn hosts(&self) -> BTreeSet<TargetHost> {
        let fields = match &self.intent {
            DomainIntent::Create { fields, .. } | DomainIntent::Update { fields, .. } => &fields[..],
            DomainIntent::Delete { .. } => &[],
        };
        let targets = fields.iter().filter_map(DomainField::target);
        targets.flat_map(|(_, target)| hosts_of(target)).collect()
    }
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
    /// End it: its host belongs to nobody then, and its number to no other.
    Delete {
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
    Files(Files),
    RootTarget(Option<Target>),
    ExpiredTarget(Option<Target>),
    TrailingSlash(bool),
    Punctuation(bool),
    Query(QueryPolicy),
    Robots(Option<Box<str>>),
    Stats(Stats),
}

impl DomainField {
    /// Where it leads visitors, and its name.
    fn target(&self) -> Option<(&'static str, &Target)> {
        let (name, target) = match self {
            Self::NotFound(target) => ("not_found", target),
            Self::RootTarget(target) => ("root_target", target),
            Self::ExpiredTarget(target) => ("expired_target", target),
            _ => return None,
        };
        target.as_ref().map(|target| (name, target))
    }
}

impl DomainItem {
    /// Whether links of the domain that end in punctuation are in its way: only then a store looks for them.
    pub fn turns_punctuation_on(&self, row: &DomainRow) -> bool {
        let on = |field: &DomainField| matches!(field, DomainField::Punctuation(true));
        matches!(&self.intent, DomainIntent::Update { fields, .. } if fields.iter().any(on))
            && !row.rules.endings.punctuation
    }
}

/// What the store holds about the domain of a write.
#[derive(Clone, Debug, Default)]
pub struct DomainHoldings {
    /// The domain of that name.
    pub row: Option<DomainRow>,
    /// Whether it has links, deleted ones counted; says nothing where there is no row.
    pub has_links: bool,
    /// Links of it among the first [`LOOKED_AT`], as far as an end of it asks.
    pub links: DomainLinks,
    /// A code of the domain that ends in punctuation, deleted ones counted; looked for only where
    /// [`DomainItem::turns_punctuation_on`].
    pub ending: Option<String>,
    /// Whether the number that was drawn is taken, by a domain that there is or by one that there was.
    pub id_taken: bool,
    /// Domains.
    pub count: usize,
    /// Bytes of the records of all of them.
    pub bytes: usize,
    /// Those of the hosts that [`DomainItem::hosts`] names that are blocked.
    pub blocked: BlockedHosts,
    /// The answer to the same request.
    pub answer: Option<StoredAnswer>,
}

/// Links of a domain that is to be deleted that are looked at: any of them is one too many.
pub const LOOKED_AT: usize = 1_000;

/// What is known of some links of a domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DomainLinks {
    /// Those that are not deleted.
    pub live: usize,
    /// When the one that was deleted last was, in Unix milliseconds.
    pub deleted: Option<i64>,
}

impl DomainLinks {
    /// Of links by when they were deleted, if they were.
    pub fn of(all: impl IntoIterator<Item = Option<i64>>) -> Self {
        let mut links = Self::default();
        for deleted in all {
            links.live += usize::from(deleted.is_none());
            links.deleted = links.deleted.max(deleted);
        }
        links
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DomainVerdict {
    /// Written: this is the new state.
    Written(DomainRow),
    /// Deleted: this is what it was, at the version of its end.
    Gone(DomainRow),
    /// Done before: this was the answer.
    Before(Bytes),
    /// Refused: nothing was written.
    Refused(Rejection),
}

/// Decides; what is written gets the next number behind `head`.
pub fn decide(item: &DomainItem, found: &DomainHoldings, head: Position, now: i64) -> DomainVerdict {
    if let (Some(retry), Some(answer)) = (&item.retry, &found.answer) {
        return match answer.hash == retry.hash {
            true => DomainVerdict::Before(answer.response.clone()),
            false => DomainVerdict::Refused(Rejection::IdempotencyMismatch),
        };
    }
    match next_state(item, found, head.seq + 1, now) {
        Ok(row) if matches!(item.intent, DomainIntent::Delete { .. }) => DomainVerdict::Gone(row),
        Ok(row) => DomainVerdict::Written(row),
        Err(fault) => DomainVerdict::Refused(fault),
    }
}

/// The state that `item` makes of what is stored; of one that it ends, the last.
pub fn next_state(
    item: &DomainItem,
    found: &DomainHoldings,
    version: u64,
    now: i64,
) -> Result<DomainRow, Rejection> {
    let name = names::domain(item.name.as_str());
    let (mut row, fields) = match (&item.intent, &found.row) {
        (DomainIntent::Create { .. }, Some(_)) => return Err(Rejection::Exists(name)),
        (DomainIntent::Create { .. }, None) if found.count >= MAX_DOMAINS => {
            return Err(Rejection::TooManyDomains);
        }
        (DomainIntent::Create { .. }, None) if found.id_taken && !off(Rule::DomainNumberOnce) => {
            return Err(Rejection::NumberTaken);
        }
        (DomainIntent::Create { id, fields }, None) => {
            let rules = DomainRules { name: item.name.clone(), ..DomainRules::default() };
            (DomainRow { id: *id, rules, create_time: Some(now), ..DomainRow::default() }, fields)
        }
        (DomainIntent::Update { .. } | DomainIntent::Delete { .. }, None) => {
            return Err(Rejection::DomainNotFound(name));
        }
        (DomainIntent::Update { etag, .. } | DomainIntent::Delete { etag }, Some(row))
            if etag.is_some_and(|etag| etag != row.version) && !off(Rule::EtagMatches) =>
        {
            return Err(Rejection::EtagMismatch);
        }
        (DomainIntent::Delete { .. }, Some(row)) => {
            may_go(row, &found.links, name)?;
            return Ok(DomainRow { version, ..row.clone() });
        }
        (DomainIntent::Update { fields, .. }, Some(row)) => (row.clone(), fields),
    };
    let folded = row.rules.fold_case;
    let mut led = fields.iter().filter_map(DomainField::target);
    led.try_for_each(|(field, target)| blocks::refused(field, target, &found.blocked))?;
    fields.iter().for_each(|field| set(&mut row.rules, field.clone()));
    if row.rules.fold_case != folded && found.row.is_some() && found.has_links {
        return Err(Rejection::invalid("fold_case", "cannot change any more: the domain has links"));
    }
    // No code ends in a slash: the other switch of its kind is free.
    if let Some(code) = found.ending.as_ref().filter(|_| row.rules.endings.punctuation) {
        return Err(Rejection::invalid(
            "punctuation",
            format!("cannot be turned on: {code} ends in punctuation and would not be found any more"),
        ));
    }
    if row.rules.strict_hosts && row.id != DomainId::DEFAULT {
        return Err(Rejection::invalid(
            "strict_hosts",
            "is for the default domain, which takes what no other claims",
        ));
    }
    let (before, after) = (found.row.as_ref().map_or(0, |row| row.record().len()), row.record().len());
    if after > before && found.bytes + after - before > MAX_DOMAINS_BYTES {
        return Err(Rejection::DomainsTooLarge);
    }
    Ok(DomainRow { version, update_time: Some(now), ..row })
}

/// Sets one field.
pub fn set(rules: &mut DomainRules, field: DomainField) {
    match field {
        DomainField::FoldCase(value) => rules.fold_case = value,
        DomainField::StrictHosts(value) => rules.strict_hosts = value,
        DomainField::Class(value) => rules.class = value,
        DomainField::NotFound(value) => rules.not_found = value,
        DomainField::RootTarget(value) => rules.root_target = value,
        DomainField::ExpiredTarget(value) => rules.expired_target = value,
        DomainField::TrailingSlash(value) => rules.endings.trailing_slash = value,
        DomainField::Punctuation(value) => rules.endings.punctuation = value,
        DomainField::Query(value) => rules.query = value,
        DomainField::Robots(value) => rules.robots = value,
        DomainField::Files(value) => rules.files = value,
        DomainField::Stats(value) => rules.stats = value,
    }
}

/// Whether a domain may be deleted: nothing that could still be asked for or brought back goes with it.
fn may_go(row: &DomainRow, links: &DomainLinks, name: String) -> Result<(), Rejection> {
    if row.id == DomainId::DEFAULT {
        return Err(Rejection::invalid("name", "is the default domain, which is always there"));
    }
    let until = links.deleted.map(|at| at + TOMBSTONES);
    match (links.live, until) {
        (0, None) => Ok(()),
        (live, until) => Err(Rejection::DomainInUse { name, live, until }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(fields: Vec<DomainField>, etag: Option<u64>) -> DomainItem {
        let intent = DomainIntent::Update { fields, etag };
        DomainItem { name: Domain::default(), intent, by: None, retry: None }
    }

    fn found(id: u32, has_links: bool) -> DomainHoldings {
        let row = DomainRow { id: DomainId(id), version: 4, ..DomainRow::default() };
        DomainHoldings { row: Some(row), has_links, ..DomainHoldings::default() }
    }

    fn is_of(state: &Result<DomainRow, Rejection>, of: &str) -> bool {
        matches!(state, Err(Rejection::Invalid { field, .. }) if *field == of)
    }

    #[test]
    fn a_new_domain_may_fold_case_whatever_links_others_have() {
        let intent = DomainIntent::Create { id: DomainId(7), fields: vec![DomainField::FoldCase(true)] };
        let item = DomainItem { name: Domain::new("a.example").unwrap(), intent, by: None, retry: None };
        let found = DomainHoldings { has_links: true, ..DomainHoldings::default() };
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
    fn punctuation_is_turned_on_only_where_no_code_ends_in_it() {
        let on = update(vec![DomainField::Punctuation(true)], None);
        let ending = DomainHoldings { ending: Some("domains/-/links/etc.".into()), ..found(7, true) };
        assert!(next_state(&on, &found(7, true), 5, 1).unwrap().rules.endings.punctuation);
        assert!(is_of(&next_state(&on, &ending, 5, 1), "punctuation"));
        let slash = update(vec![DomainField::TrailingSlash(true)], None);
        assert!(next_state(&slash, &ending, 5, 1).unwrap().rules.endings.trailing_slash);
        let mut row = found(7, true).row.unwrap();
        assert!(on.turns_punctuation_on(&row) && !slash.turns_punctuation_on(&row));
        row.rules.endings.punctuation = true;
        assert!(!on.turns_punctuation_on(&row), "it is on already");
    }

    #[test]
    fn only_the_default_domain_is_strict_about_hosts() {
        let strict = update(vec![DomainField::StrictHosts(true)], None);
        assert!(next_state(&strict, &found(0, true), 5, 1).unwrap().rules.strict_hosts);
        assert!(is_of(&next_state(&strict, &found(7, true), 5, 1), "strict_hosts"));
    }

    fn delete(name: &str, etag: Option<u64>) -> DomainItem {
        let intent = DomainIntent::Delete { etag };
        DomainItem { name: Domain::new(name).unwrap(), intent, by: None, retry: None }
    }

    #[test]
    fn only_an_empty_domain_is_deleted() {
        let item = delete("a.example", None);
        let with = |all: &[Option<i64>]| DomainHoldings {
            links: DomainLinks::of(all.iter().copied()),
            ..found(7, !all.is_empty())
        };
        let head = Position { seq: 8, ..Position::default() };
        let DomainVerdict::Gone(row) = decide(&item, &with(&[]), head, 1) else { panic!("it is empty") };
        assert_eq!((row.id, row.version), (DomainId(7), 9));
        let change = row.gone(3);
        assert_eq!((change.seq, change.tag, &change.key[..]), (9, 3, &[0, 0, 0, 7][..]));
        let in_use = |live, until| Rejection::DomainInUse { name: "domains/a.example".into(), live, until };
        for (all, why) in [
            (&[None, None][..], in_use(2, None)),
            (&[Some(5), None, Some(9), Some(7)], in_use(1, Some(9 + TOMBSTONES))),
            (&[Some(5)], in_use(0, Some(5 + TOMBSTONES))),
        ] {
            assert_eq!(decide(&item, &with(all), head, 1), DomainVerdict::Refused(why), "{all:?}");
        }
        let why = |item: &DomainItem, found: &DomainHoldings| next_state(item, found, 5, 1).unwrap_err();
        assert_eq!(why(&delete("a.example", Some(3)), &with(&[])), Rejection::EtagMismatch);
        assert!(next_state(&delete("a.example", Some(4)), &with(&[]), 5, 1).is_ok());
        let none = DomainHoldings::default();
        assert_eq!(why(&item, &none), Rejection::DomainNotFound("domains/a.example".into()));
        assert!(is_of(&next_state(&delete("-", None), &found(0, false), 5, 1), "name"));
    }

    #[test]
    fn the_number_of_a_domain_is_never_another_ones() {
        let intent = DomainIntent::Create { id: DomainId(7), fields: Vec::new() };
        let item = DomainItem { intent, ..delete("b.example", None) };
        let found = DomainHoldings { id_taken: true, ..DomainHoldings::default() };
        assert_eq!(next_state(&item, &found, 5, 1), Err(Rejection::NumberTaken));
    }

    #[test]
    fn all_domains_together_have_a_bound() {
        let target = Target::stored(format!("https://{}/", "x".repeat(900)).as_bytes()).unwrap();
        let lead = update(vec![DomainField::NotFound(Some(target.clone()))], None);
        let full = |bytes| DomainHoldings { bytes, ..found(7, false) };
        assert!(next_state(&lead, &full(MAX_DOMAINS_BYTES - 1_000), 5, 1).is_ok());
        assert_eq!(next_state(&lead, &full(MAX_DOMAINS_BYTES - 100), 5, 1), Err(Rejection::DomainsTooLarge));
        // One that becomes no larger may be written all the same.
        let mut there = full(MAX_DOMAINS_BYTES + 1);
        there.row.as_mut().unwrap().rules.not_found = Some(target);
        assert!(next_state(&lead, &there, 5, 1).is_ok());
    }

    #[test]
    fn a_domain_that_is_there_is_not_made_again_nor_changed_unseen() {
        let intent = DomainIntent::Create { id: DomainId(9), fields: Vec::new() };
        let create = DomainItem { name: Domain::default(), intent, by: None, retry: None };
        let why = |item: &DomainItem, found: DomainHoldings| next_state(item, &found, 5, 1).unwrap_err();
        assert_eq!(why(&create, found(0, false)), Rejection::Exists("domains/-".into()));
        assert_eq!(
            why(&create, DomainHoldings { count: MAX_DOMAINS, ..DomainHoldings::default() }),
            Rejection::TooManyDomains
        );
        assert_eq!(why(&update(Vec::new(), Some(3)), found(7, false)), Rejection::EtagMismatch);
        assert_eq!(
            why(&update(Vec::new(), None), DomainHoldings::default()),
            Rejection::DomainNotFound("domains/-".into())
        );
    }
}
