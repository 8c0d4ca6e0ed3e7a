//! Which domain a request belongs to: a small table of hosts, read by every worker and replaced whole when a domain
//! changes. There are few domains, none is ever deleted and none evicted: the table says all there is, up to a position.

use crate::Policy;
use link::{Class, Domain, DomainId, DomainRules, Seq, compared};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// The entry of a domain, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainEntry {
    /// Its number.
    pub id: DomainId,
    /// The seq that it is known to have been unchanged at.
    pub as_of: Seq,
    /// The seq of the change that made it.
    pub version: Seq,
    /// How it answers. [`Told::Name`]: this program cannot read it, and refuses its host (503).
    pub told: Rules,
    /// Its record, kept byte for byte.
    pub record: Box<[u8]>,
}

/// What could be read of a domain's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Everything.
    All(DomainRules),
    /// No more than its name.
    Name(Domain),
}

impl Rules {
    fn name(&self) -> &Domain {
        match self {
            Self::All(rules) => &rules.name,
            Self::Name(name) => name,
        }
    }
}

/// The table that the threads of an edge share. One thread writes.
#[derive(Debug, Default)]
pub struct Domains {
    table: RwLock<Arc<Table>>,
    /// Counts the tables, so that a worker asks for one only when there is another.
    changes: AtomicU64,
    /// The seq of the last change of a domain that the table knows.
    latest: AtomicU64,
    /// The table is known to say all there is up to here, beyond what the set has applied.
    sure: AtomicU64,
}

impl Domains {
    /// R6 for one change, in order. Called before the set passes it: whoever sees that the set has, sees this.
    pub fn apply(&self, entry: DomainEntry) {
        self.latest.fetch_max(entry.version, Ordering::AcqRel);
        let mut entries = self.dump();
        if entries.iter().any(|own| own.id == entry.id && own.as_of >= entry.as_of) {
            return;
        }
        entries.retain(|own| own.id != entry.id);
        entries.push(entry);
        self.publish(entries);
    }

    /// All domains that there are at `as_of`: after a reset, or from this edge's own file. Others are forgotten.
    pub fn replace(&self, as_of: Seq, entries: Vec<DomainEntry>) {
        let latest = entries.iter().map(|entry| entry.version).max();
        self.publish(entries);
        self.latest.store(latest.unwrap_or(0), Ordering::Release);
        self.sure.store(as_of, Ordering::Release);
    }

    /// Somebody who knows says that at `as_of` the last change of a domain was `latest`. If that is known here, the table
    /// says all there is up to there.
    pub fn told(&self, as_of: Seq, latest: Seq) {
        if latest <= self.latest.load(Ordering::Acquire) {
            self.sure.fetch_max(as_of, Ordering::AcqRel);
        }
    }

    /// Everything that is held.
    pub fn dump(&self) -> Vec<DomainEntry> {
        self.table().entries.clone()
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish(&self, entries: Vec<DomainEntry>) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Table::new(entries));
        self.changes.fetch_add(1, Ordering::AcqRel);
    }
}

/// How requests of one domain are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Whose links.
    pub id: DomainId,
    /// Its codes are in lower case, whatever the request's is.
    pub fold_case: bool,
    /// Where a visitor is led instead of a 404.
    pub not_found: Option<Box<[u8]>>,
    /// Its record cannot be read: nothing is known of how it answers.
    pub unreadable: bool,
    strict_hosts: bool,
    class: Class,
}

impl Site {
    fn of(entry: &DomainEntry) -> Self {
        let none = DomainRules::default();
        let rules = if let Rules::All(rules) = &entry.told { rules } else { &none };
        Self {
            id: entry.id,
            fold_case: rules.fold_case,
            not_found: rules.not_found.as_ref().map(|target| target.as_bytes().into()),
            unreadable: matches!(entry.told, Rules::Name(_)),
            strict_hosts: rules.strict_hosts,
            class: rules.class,
        }
    }

    /// What a blind edge may do in this domain.
    pub fn policy(&self, usual: Policy) -> Policy {
        Policy { class: if self.class == Class::Inherit { usual.class } else { self.class }, ..usual }
    }
}

#[derive(Debug)]
struct Table {
    entries: Vec<DomainEntry>,
    usual: Site,
    /// All but the default domain, in the order of their numbers.
    sites: Vec<Site>,
    hosts: HashMap<Box<[u8]>, usize, foldhash::fast::RandomState>,
}

impl Default for Table {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Table {
    fn new(mut entries: Vec<DomainEntry>) -> Self {
        entries.sort_unstable_by_key(|entry| entry.id);
        let (mut sites, mut hosts) = (Vec::new(), HashMap::default());
        let none = DomainEntry {
            id: DomainId::DEFAULT,
            as_of: 0,
            version: 0,
            told: Rules::All(DomainRules::default()),
            record: Box::default(),
        };
        let mut usual = Site::of(&none);
        for entry in &entries {
            if entry.id == DomainId::DEFAULT {
                usual = Site::of(entry);
            } else {
                hosts.insert(entry.told.name().as_str().as_bytes().into(), sites.len());
                sites.push(Site::of(entry));
            }
        }
        Self { entries, usual, sites, hosts }
    }
}

/// Where a request belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// To the domain that claims its host.
    Claimed(&'a Site),
    /// To the default domain: it names no host.
    Hostless(&'a Site),
    /// To the default domain: no domain claims its host, as far as is known.
    Unclaimed(&'a Site),
    /// Nowhere: no domain claims its host, and the default one takes no others.
    Misdirected,
}

/// One thread's own end of the table, which costs it no write to what others read.
#[derive(Debug)]
pub struct View {
    shared: Arc<Domains>,
    changes: u64,
    table: Arc<Table>,
}

impl View {
    /// Of a table.
    pub fn new(shared: Arc<Domains>) -> Self {
        let changes = shared.changes.load(Ordering::Acquire);
        let table = shared.table();
        Self { shared, changes, table }
    }

    /// The table as it is now. After freshness was read, which speaks for it as for the links.
    #[inline]
    pub fn refresh(&mut self) {
        if !self.is_current() {
            self.renew();
        }
    }

    #[cold]
    fn renew(&mut self) {
        self.changes = self.shared.changes.load(Ordering::Acquire); // before the table: at worst it is read again
        self.table = self.shared.table();
    }

    /// Whether nothing changed since it was refreshed.
    #[inline]
    pub fn is_current(&self) -> bool {
        self.shared.changes.load(Ordering::Acquire) == self.changes
    }

    /// Counts the tables.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Up to where the table is known to say all there is, beyond what the set has applied.
    pub fn sure(&self) -> Seq {
        self.shared.sure.load(Ordering::Acquire)
    }

    /// Where a request for this host (a valid one) belongs.
    #[inline]
    pub fn place(&self, host: Option<&[u8]>) -> Place<'_> {
        let table = &*self.table;
        let Some(host) = host else { return Place::Hostless(&table.usual) };
        if !table.sites.is_empty()
            && let Some(site) = table.claimed(host)
        {
            return Place::Claimed(site);
        }
        if table.usual.strict_hosts { Place::Misdirected } else { Place::Unclaimed(&table.usual) }
    }

    /// A domain by its number; the default one for a number that is not known any more.
    pub fn site(&self, id: DomainId) -> &Site {
        let at = self.table.sites.binary_search_by_key(&id, |site| site.id);
        at.map_or(&self.table.usual, |at| &self.table.sites[at])
    }
}

impl Table {
    fn claimed(&self, host: &[u8]) -> Option<&Site> {
        let mut buffer = [0; Domain::MAX_LEN];
        self.hosts.get(compared(host, &mut buffer)?).map(|&at| &self.sites[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u32, as_of: Seq, name: &str) -> DomainEntry {
        let rules = DomainRules { name: Domain::new(name).unwrap(), ..DomainRules::default() };
        DomainEntry {
            id: DomainId(id),
            as_of,
            version: as_of,
            told: Rules::All(rules),
            record: Box::default(),
        }
    }

    fn ids(domains: &Domains) -> Vec<(u32, Seq)> {
        domains.dump().iter().map(|entry| (entry.id.0, entry.as_of)).collect()
    }

    #[test]
    fn an_older_change_takes_no_newer_ones_place() {
        let domains = Domains::default();
        domains.replace(5, vec![entry(1, 5, "a.example"), entry(2, 5, "b.example")]);
        domains.apply(entry(1, 4, "a.example"));
        domains.apply(entry(2, 6, "b.example"));
        domains.apply(entry(3, 7, "c.example"));
        assert_eq!(ids(&domains), [(1, 5), (2, 6), (3, 7)]);
        domains.replace(9, vec![entry(2, 9, "b.example")]);
        assert_eq!(ids(&domains), [(2, 9)]);
    }

    #[test]
    fn a_view_changes_only_when_it_is_asked_to() {
        let domains = Arc::new(Domains::default());
        let mut view = View::new(Arc::clone(&domains));
        let host = Some(&b"A.example.:8080"[..]);
        assert!(
            matches!(view.place(host), Place::Unclaimed(_)) && matches!(view.place(None), Place::Hostless(_))
        );
        domains.apply(entry(7, 1, "a.example"));
        assert!(!view.is_current() && matches!(view.place(host), Place::Unclaimed(_)));
        view.refresh();
        assert!(matches!(view.place(host), Place::Claimed(site) if site.id == DomainId(7)));
        assert!(matches!(view.place(Some(b"b.example")), Place::Unclaimed(_)));
        assert_eq!((view.site(DomainId(7)).id, view.site(DomainId(8)).id), (DomainId(7), DomainId::DEFAULT));
    }

    #[test]
    fn what_is_told_of_counts_only_if_every_change_is_known() {
        let domains = Arc::new(Domains::default());
        let view = View::new(Arc::clone(&domains));
        domains.told(8, 0);
        assert_eq!(view.sure(), 8);
        domains.told(12, 11);
        assert_eq!(view.sure(), 8);
        domains.apply(entry(7, 11, "a.example"));
        domains.told(12, 11);
        assert_eq!(view.sure(), 12);
        domains.replace(3, Vec::new());
        assert_eq!(view.sure(), 3, "another history");
    }
}
