//! Which domain a request belongs to: a small table of hosts, read by every worker and replaced whole when a domain
//! changes. There are few domains, and none is evicted: the table says all there is, up to a position.

use crate::Policy;
use link::{
    Class, Code, Domain, DomainId, DomainRules, Endings, Files, Seq, Stats, Target, Visit, asked, compared,
    fill, folded, is_code, is_reserved, placeholders,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    pub told: ReadableRules,
    /// Its record, kept byte for byte.
    pub record: Arc<[u8]>,
}

/// The part of a domain's record that this program can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadableRules {
    /// Everything.
    All(DomainRules),
    /// No more than its name.
    Name(Domain),
}

impl ReadableRules {
    /// The name.
    pub fn name(&self) -> &Domain {
        match self {
            Self::All(rules) => &rules.name,
            Self::Name(name) => name,
        }
    }
}

/// The table that the threads of an edge share. One thread writes.
#[derive(Debug, Default)]
pub struct Domains {
    table: RwLock<Arc<SiteTable>>,
    /// Counts the tables, so that a worker asks for one only when there is another.
    changes: AtomicU64,
    /// The seq of the last change of a domain that the table knows.
    latest: AtomicU64,
    /// The table is known to say all there is up to here, beyond what the set has applied.
    sure: AtomicU64,
    /// What [`Domains::replace`] was last given: the table says what every change up to here did.
    read_at: AtomicU64,
    /// Somebody has said once which domains there are.
    known: AtomicBool,
}

impl Domains {
    /// R6 for one change, in order. Called before the set passes it: whoever sees that the set has, sees this.
    pub fn apply(&self, entry: DomainEntry) {
        let (id, as_of) = (entry.id, entry.as_of);
        self.put(id, as_of, Some(entry));
    }

    /// The same for the change by which a domain was deleted: its host belongs to nobody from there on.
    pub fn remove(&self, id: DomainId, as_of: Seq) {
        self.put(id, as_of, None);
    }

    /// A change from before the table was read changes nothing: a domain that had been deleted by then would come back for
    /// a while.
    fn put(&self, id: DomainId, as_of: Seq, entry: Option<DomainEntry>) {
        let known = as_of <= self.read_at.load(Ordering::Acquire);
        self.latest.fetch_max(as_of, Ordering::AcqRel);
        let mut entries = self.dump();
        if known || entries.iter().any(|own| own.id == id && own.as_of >= as_of) {
            return;
        }
        entries.retain(|own| own.id != id);
        entries.extend(entry);
        self.publish(entries);
    }

    /// All domains that there are at `as_of`: after a reset, or from this edge's own file. Others are forgotten.
    pub fn replace(&self, as_of: Seq, entries: Vec<DomainEntry>) {
        // A domain that was deleted last is not among them, and its change is known all the same.
        let latest = entries.iter().map(|entry| entry.version).fold(as_of, Seq::max);
        self.publish(entries);
        self.latest.store(latest, Ordering::Release);
        self.sure.store(as_of, Ordering::Release);
        self.read_at.store(as_of, Ordering::Release);
        self.known.store(true, Ordering::Release);
    }

    /// Somebody who knows says that at `as_of` the last change of a domain was `latest`. If that is known here, the table
    /// says all there is up to there.
    pub fn told(&self, as_of: Seq, latest: Seq) {
        if latest <= self.latest.load(Ordering::Acquire) {
            self.sure.fetch_max(as_of, Ordering::AcqRel);
            self.known.store(true, Ordering::Release);
        }
    }

    /// Everything that is held.
    pub fn dump(&self) -> Vec<DomainEntry> {
        self.table().entries.clone()
    }

    fn table(&self) -> Arc<SiteTable> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish(&self, entries: Vec<DomainEntry>) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(SiteTable::new(entries));
        self.changes.fetch_add(1, Ordering::AcqRel);
    }
}

/// How requests of one domain are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Whose links.
    pub id: DomainId,
    /// Its codes are looked up in another form than that of the request: [`Site::code`].
    pub rewrites: bool,
    fold_case: bool,
    endings: Endings,
    /// Where a visitor of `/` is led.
    pub root: Option<DomainTarget>,
    /// Where a visitor is led instead of a 404.
    pub not_found: Option<DomainTarget>,
    /// Where a visitor of an expired link is led that does not say it itself.
    pub expired: Option<DomainTarget>,
    /// What is answered to `/robots.txt`.
    pub robots: Option<Box<str>>,
    /// What it answers a few paths of its own with.
    pub files: Files,
    /// What is kept of the clicks on its links.
    pub stats: Stats,
    /// Its record cannot be read: nothing is known of how it answers.
    pub unreadable: bool,
    strict_hosts: bool,
    class: Class,
}

impl Site {
    fn of(entry: &DomainEntry) -> Self {
        let none = DomainRules::default();
        let rules = if let ReadableRules::All(rules) = &entry.told { rules } else { &none };
        Self {
            id: entry.id,
            rewrites: rules.fold_case || rules.endings.any(),
            fold_case: rules.fold_case,
            endings: rules.endings,
            root: rules.root_target.as_ref().map(DomainTarget::to),
            not_found: rules.not_found.as_ref().map(DomainTarget::to),
            expired: rules.expired_target.as_ref().map(DomainTarget::to),
            robots: rules.robots.clone(),
            files: rules.files.clone(),
            // One that cannot be read may say that nothing is to be kept.
            stats: if let ReadableRules::All(rules) = &entry.told { rules.stats } else { Stats::Off },
            unreadable: matches!(entry.told, ReadableRules::Name(_)),
            strict_hosts: rules.strict_hosts,
            class: rules.class,
        }
    }

    /// The code that a path asks for, in `buffer`: without its endings, decoded beyond ASCII, and without case, as far as
    /// the domain does each. A path that is no code without its endings keeps them. `None`: it is no code.
    #[cold]
    pub fn code<'a>(&self, path: &[u8], buffer: &'a mut [u8; Code::MAX_LEN]) -> Option<&'a [u8]> {
        let stripped = self.endings.strip(path);
        let length = self.spelled(stripped, buffer).or_else(|| self.spelled(path, buffer))?;
        buffer.get(..length)
    }

    /// The length in `buffer` of the code that this is, case apart.
    fn spelled(&self, path: &[u8], buffer: &mut [u8; Code::MAX_LEN]) -> Option<usize> {
        let good = |code: &[u8]| is_code(code) && !is_reserved(code);
        if path.is_ascii() && good(path) {
            let own = buffer.get_mut(..path.len())?; // always: no code is longer
            own.copy_from_slice(path);
            if self.fold_case {
                own.make_ascii_lowercase();
            }
            return Some(path.len());
        }
        let code = asked(path)?;
        let code = if self.fold_case { folded(&code) } else { code };
        // Without case it may be longer, and it may be a path that the edge answers itself: no link has such a code.
        let own = buffer.get_mut(..code.len()).filter(|_| good(code.as_bytes()))?;
        own.copy_from_slice(code.as_bytes());
        Some(code.len())
    }

    /// What a blind edge may do in this domain.
    pub fn policy(&self, usual: Policy) -> Policy {
        Policy { class: if self.class == Class::Inherit { usual.class } else { self.class }, ..usual }
    }
}

/// A target of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainTarget {
    target: Box<[u8]>,
    /// It has placeholders.
    filled: bool,
}

impl DomainTarget {
    fn to(target: &Target) -> Self {
        Self { target: target.as_bytes().into(), filled: placeholders(target) == Ok(true) }
    }

    /// Writes where a visitor is led.
    #[cold]
    pub fn write(&self, visit: Visit<'_>, out: &mut Vec<u8>) {
        if self.filled { fill(&self.target, visit, out) } else { out.extend_from_slice(&self.target) }
    }
}

#[derive(Debug)]
struct SiteTable {
    entries: Vec<DomainEntry>,
    usual: Site,
    /// All but the default domain, in the order of their numbers.
    sites: Vec<Site>,
    hosts: HashMap<Box<[u8]>, usize, foldhash::fast::RandomState>,
}

impl Default for SiteTable {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl SiteTable {
    fn new(mut entries: Vec<DomainEntry>) -> Self {
        entries.sort_unstable_by_key(|entry| entry.id);
        let (mut sites, mut hosts) = (Vec::new(), HashMap::default());
        let none = DomainEntry {
            id: DomainId::DEFAULT,
            as_of: 0,
            version: 0,
            told: ReadableRules::All(DomainRules::default()),
            record: Arc::default(),
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

/// The domain that a request's host belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostMatch<'a> {
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
    table: Arc<SiteTable>,
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

    /// Whether anybody has said yet which domains there are.
    pub fn is_known(&self) -> bool {
        self.shared.known.load(Ordering::Acquire)
    }

    /// What is kept of the clicks on links of this domain. Of one that there is not (any more) only how many there were: nobody
    /// says that more is wanted.
    pub fn stats(&self, id: DomainId) -> Stats {
        let site = self.site(id);
        if site.id == id { site.stats } else { Stats::Off }
    }

    /// Where a request for this host (a valid one) belongs.
    #[inline]
    pub fn place(&self, host: Option<&[u8]>) -> HostMatch<'_> {
        let table = &*self.table;
        let Some(host) = host else { return HostMatch::Hostless(&table.usual) };
        if !table.sites.is_empty()
            && let Some(site) = table.claimed(host)
        {
            return HostMatch::Claimed(site);
        }
        if table.usual.strict_hosts { HostMatch::Misdirected } else { HostMatch::Unclaimed(&table.usual) }
    }

    /// A domain by its number; the default one for a number that is not known any more.
    pub fn site(&self, id: DomainId) -> &Site {
        let at = self.table.sites.binary_search_by_key(&id, |site| site.id);
        at.map_or(&self.table.usual, |at| &self.table.sites[at])
    }
}

impl SiteTable {
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
            told: ReadableRules::All(rules),
            record: Arc::default(),
        }
    }

    #[test]
    fn a_code_is_looked_up_without_its_endings_and_in_lower_case() {
        let site = |fold_case, trailing_slash, punctuation| {
            let endings = Endings { trailing_slash, punctuation };
            let told = ReadableRules::All(DomainRules { fold_case, endings, ..DomainRules::default() });
            Site::of(&DomainEntry { told, ..entry(7, 1, "a.example") })
        };
        let code = |site: &Site, path: &str| {
            let mut buffer = [0; Code::MAX_LEN];
            site.code(path.as_bytes(), &mut buffer).map(|code| String::from_utf8(code.to_vec()).unwrap())
        };
        let long = format!("{}).", "A".repeat(128));
        for (path, want) in [
            ("AbC/).", Some("abc")),
            ("a/B/", Some("a/b")),
            ("...", Some("...")),
            ("ROBOTS.txt", Some("robots.txt")),
            ("robots.txt.", Some("robots.txt.")),
            ("robots.txt/", None),
            (".well-known/x.", None),
            ("/", None),
            (")", Some(")")),
            ("a%20b.", None),
            (&long, Some(&"a".repeat(128))),
            (&format!("a{long}"), None),
        ] {
            assert_eq!(code(&site(true, true, true), path).as_deref(), want, "{path}");
        }
        assert_eq!(code(&site(false, true, false), "AbC/").as_deref(), Some("AbC"));
        assert_eq!(code(&site(false, true, false), "AbC.").as_deref(), Some("AbC."));
        assert_eq!(code(&site(false, false, true), "AbC/"), None);
        assert!(site(true, false, false).rewrites && site(false, true, false).rewrites);
        assert!(!site(false, false, false).rewrites);
    }

    #[test]
    fn what_is_kept_of_clicks_is_what_the_record_says_and_the_least_where_it_cannot_be_read() {
        let stats = |told| Site::of(&DomainEntry { told, ..entry(7, 1, "a.example") }).stats;
        for stats_of_it in Stats::ALL {
            let rules = DomainRules { stats: stats_of_it, ..DomainRules::default() };
            assert_eq!(stats(ReadableRules::All(rules)), stats_of_it);
        }
        assert_eq!(stats(ReadableRules::Name(Domain::new("a.example").unwrap())), Stats::Off);
        let domains = Arc::new(Domains::default());
        domains.replace(1, vec![entry(7, 1, "a.example")]);
        let view = View::new(domains);
        let stats = [DomainId::DEFAULT, DomainId(7), DomainId(8)].map(|id| view.stats(id));
        assert_eq!(stats, [Stats::Counts, Stats::Counts, Stats::Off], "one that there is not");
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
    fn a_domain_goes_and_its_host_is_nobodys() {
        let domains = Arc::new(Domains::default());
        let mut view = View::new(Arc::clone(&domains));
        let host = Some(&b"a.example"[..]);
        domains.apply(entry(1, 5, "a.example"));
        domains.remove(DomainId(1), 4);
        assert_eq!(ids(&domains), [(1, 5)], "an older change");
        domains.remove(DomainId(1), 6);
        view.refresh();
        assert!(ids(&domains).is_empty() && matches!(view.place(host), HostMatch::Unclaimed(_)));
        domains.told(9, 6);
        assert_eq!(view.sure(), 9, "its end is known");
        // Its host may become a domain again, under another number.
        domains.apply(entry(2, 10, "a.example"));
        assert_eq!(ids(&domains), [(2, 10)]);
    }

    #[test]
    fn what_went_before_the_table_was_read_does_not_come_back() {
        let domains = Arc::new(Domains::default());
        domains.replace(10, vec![entry(2, 10, "b.example")]);
        let view = View::new(Arc::clone(&domains));
        domains.told(12, 9);
        assert_eq!(view.sure(), 12, "the last change before it was the end of one that is not there");
        domains.replace(10, vec![entry(2, 10, "b.example")]);
        domains.apply(entry(1, 6, "a.example"));
        domains.remove(DomainId(1), 9);
        assert_eq!(ids(&domains), [(2, 10)]);
        domains.apply(entry(1, 11, "a.example"));
        assert_eq!(ids(&domains), [(1, 11), (2, 10)]);
    }

    #[test]
    fn a_view_changes_only_when_it_is_asked_to() {
        let domains = Arc::new(Domains::default());
        let mut view = View::new(Arc::clone(&domains));
        let host = Some(&b"A.example.:8080"[..]);
        assert!(
            matches!(view.place(host), HostMatch::Unclaimed(_))
                && matches!(view.place(None), HostMatch::Hostless(_))
        );
        domains.apply(entry(7, 1, "a.example"));
        assert!(!view.is_current() && matches!(view.place(host), HostMatch::Unclaimed(_)));
        view.refresh();
        assert!(matches!(view.place(host), HostMatch::Claimed(site) if site.id == DomainId(7)));
        assert!(matches!(view.place(Some(b"b.example")), HostMatch::Unclaimed(_)));
        assert_eq!((view.site(DomainId(7)).id, view.site(DomainId(8)).id), (DomainId(7), DomainId::DEFAULT));
    }

    #[test]
    fn what_is_told_of_counts_only_if_every_change_is_known() {
        let domains = Arc::new(Domains::default());
        let view = View::new(Arc::clone(&domains));
        domains.apply(entry(6, 0, "b.example"));
        assert!(!view.is_known());
        domains.told(8, 0);
        assert_eq!((view.sure(), view.is_known()), (8, true));
        domains.told(12, 11);
        assert_eq!(view.sure(), 8);
        domains.apply(entry(7, 11, "a.example"));
        domains.told(12, 11);
        assert_eq!(view.sure(), 12);
        domains.replace(3, Vec::new());
        assert_eq!(view.sure(), 3, "another history");
    }
}
