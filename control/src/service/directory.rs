//! The domains, in memory: asked for every write and for every name in an answer. What a caller may
//! not touch he is not shown.

use super::InstallationRules;
use crate::Fault;
use crate::bound::Bound;
use crate::call::blocking;
use journal::names;
use link::{Code, Domain, DomainId, Endings, Epoch, Key, QueryPolicy, Seq, Target, TargetHost};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::model::DomainRow;
use store::port::Repository;

/// What another control changed is known here after so long. A domain that is not known at all is looked for at once.
const AGE: Duration = Duration::from_secs(1);

pub struct Directory {
    store: Arc<dyn Repository>,
    state: Mutex<DirectoryState>,
    /// One reads, the others wait for it.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct DirectoryState {
    /// When the domains were last looked for.
    at: Option<Instant>,
    known: Arc<DomainSnapshot>,
    /// What is about to become a domain.
    claimed: Option<Arc<str>>,
    /// Claims that have ended: what began to be read before is not what is known now.
    ended: u64,
}

/// All domains at some time. What of them a caller may see is in [`Domains`].
#[derive(Default)]
pub struct DomainSnapshot {
    epoch: Epoch,
    /// What `domains_version` of the store said before they were read; `None`: they were not.
    version: Option<(Epoch, Seq)>,
    /// In the order of their names.
    rows: Vec<DomainRow>,
    by_id: HashMap<DomainId, usize>,
}

/// The domains that a caller may touch, at some time.
pub struct Domains {
    known: Arc<DomainSnapshot>,
    claimed: Option<Arc<str>>,
    bound: Bound,
}

/// Where a target of ours leads.
pub enum OwnTarget {
    /// To a domain that the caller may touch, and to this path there.
    Own(Namespace, String),
    /// To another one, of which he is told nothing.
    Others,
    /// To a host that is about to become a domain.
    Claimed,
}

/// A domain that its caller may touch, as far as names and keys go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// What its keys begin with.
    pub id: DomainId,
    /// What becomes of a visitor's query where a new link does not say it.
    pub query: QueryPolicy,
    fold_case: bool,
    endings: Endings,
}

impl Namespace {
    fn of(row: &DomainRow) -> Self {
        let rules = &row.rules;
        Self { id: row.id, query: rules.query, fold_case: rules.fold_case, endings: rules.endings }
    }

    /// A code that stands in `field`, if a link can be found under it here.
    pub fn takes(&self, code: Code, field: &'static str) -> Result<Code, Fault> {
        match self.asked(code.as_str()) == code.as_str() {
            true => Ok(code),
            false => Err(Fault::invalid(
                field,
                "ends in punctuation, which this domain passes over: it could not be found",
            )),
        }
    }

    /// What an edge looks up for a path in it, case apart.
    pub fn asked<'a>(&self, path: &'a str) -> &'a str {
        &path[..self.endings.strip(path.as_bytes()).len()]
    }

    /// The key of a code in it.
    pub fn key(&self, code: &Code) -> Key {
        if self.fold_case { Key::new(self.id, &code.folded()) } else { Key::new(self.id, code) }
    }

    /// One that is in no store.
    #[cfg(test)]
    pub fn for_test(fold_case: bool) -> Self {
        Self { id: DomainId::DEFAULT, query: QueryPolicy::Drop, fold_case, endings: Endings::default() }
    }

    /// Whether codes in it have no upper case.
    pub fn folds(&self) -> bool {
        self.fold_case
    }
}

impl DomainSnapshot {
    fn find(&self, name: &str) -> Option<&DomainRow> {
        let at = self.rows.binary_search_by(|row| row.rules.name.as_str().cmp(name)).ok()?;
        Some(&self.rows[at])
    }

    /// The name of a domain.
    pub fn name(&self, id: DomainId) -> Option<&str> {
        self.by_id.get(&id).map(|&at| self.rows[at].rules.name.as_str())
    }
}

impl Domains {
    /// The history.
    pub fn epoch(&self) -> Epoch {
        self.known.epoch
    }

    /// How many there are, those of others too.
    pub fn count(&self) -> usize {
        self.known.rows.len()
    }

    /// Bytes of the records of all of them.
    pub fn bytes(&self) -> usize {
        self.known.rows.iter().map(|row| row.record().len()).sum()
    }

    /// In the order of their names.
    pub fn rows(&self) -> impl Iterator<Item = &DomainRow> {
        self.known.rows.iter().filter(|row| self.bound.touches(row.rules.name.as_str()))
    }

    /// One by its name in the compared form.
    pub fn find(&self, name: &str) -> Option<&DomainRow> {
        self.known.find(name).filter(|_| self.bound.touches(name))
    }

    /// The domain of ours that a target leads to. Targets may not lead to those of others either, so that there are such
    /// hosts cannot be hidden; what is there is not looked at.
    pub fn ours(&self, rules: &InstallationRules, target: &Target) -> Option<OwnTarget> {
        let place = target.place()?;
        let claimed = self.known.find(&place.host).filter(|row| row.id != DomainId::DEFAULT);
        if claimed.is_none() && self.claimed.as_deref() == Some(&*place.host) {
            return Some(OwnTarget::Claimed);
        }
        let default = || self.known.find("-").filter(|_| rules.is_own(&place));
        let row = claimed.or_else(default)?;
        Some(match self.bound.touches(row.rules.name.as_str()) {
            true => OwnTarget::Own(Namespace::of(row), place.path),
            false => OwnTarget::Others,
        })
    }

    /// Their fields that lead to this host or below it, such as `not_found of domains/-`.
    pub fn led_to(&self, host: &TargetHost) -> Vec<String> {
        let leads = |(_, to): &(&str, &Target)| to.host().is_some_and(|led_to| host.covers(&led_to));
        let fields = |row: &DomainRow| {
            let name = names::domain(row.rules.name.as_str());
            row.rules
                .targets()
                .filter(leads)
                .map(|(field, _)| format!("{field} of {name}"))
                .collect::<Vec<_>>()
        };
        self.rows().flat_map(fields).collect()
    }

    /// Their fields that lead to this host, such as `not_found of domains/-`, and whether others do.
    pub fn leading_to(&self, host: &str) -> (Vec<String>, bool) {
        let is_there = |to: &Target| to.place().is_some_and(|place| place.host == host);
        let fields = |row: &'_ DomainRow| {
            let name = row.rules.name.as_str().to_owned();
            let there = row.rules.targets().filter(|(_, to)| is_there(to)).map(|(field, _)| field);
            there.collect::<Vec<_>>().into_iter().map(move |field| (field, name.clone()))
        };
        let found = self.known.rows.iter().flat_map(fields);
        let (own, others): (Vec<_>, Vec<_>) = found.partition(|(_, name)| self.bound.touches(name));
        let own = own.into_iter().map(|(field, name)| format!("{field} of {}", names::domain(&name)));
        (own.collect(), !others.is_empty())
    }
}

impl Directory {
    pub fn new(store: Arc<dyn Repository>) -> Self {
        Self { store, state: Mutex::default(), reading: tokio::sync::Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, DirectoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> DirectoryState {
        self.lock().clone()
    }

    /// What began to be read when so many claims had ended. If one has ended since, it is read again before it counts.
    fn set(&self, known: &Arc<DomainSnapshot>, ended: u64) {
        let mut state = self.lock();
        if state.ended == ended {
            (state.at, state.known) = (Some(Instant::now()), known.clone());
        } else if state.at.is_none() {
            state.known = known.clone();
        }
    }

    /// Targets at this host are those of ours until [`Self::unclaim`].
    pub fn claim(&self, host: &str) {
        self.lock().claimed = Some(host.into());
    }

    /// The host has become a domain, or not: nobody goes on with what was known before.
    pub fn unclaim(&self) {
        let mut state = self.lock();
        if state.claimed.take().is_some() {
            state.ended += 1;
            state.at = None;
        }
    }

    /// The domains as they were last read.
    pub fn known(&self) -> Arc<DomainSnapshot> {
        self.now().known
    }

    /// The domains, as they were at most [`AGE`] ago. While the store is away, as they last were.
    pub async fn domains(&self, bound: &Bound) -> Result<Domains, Fault> {
        let claimed = self.now().claimed; // first: once it is gone, what is known is newer
        Ok(Domains { known: self.recent().await?, claimed, bound: bound.clone() })
    }

    /// The domains as they are now.
    pub async fn domains_now(&self, bound: &Bound) -> Result<Domains, Fault> {
        let claimed = self.now().claimed;
        Ok(Domains { known: self.read().await?, claimed, bound: bound.clone() })
    }

    async fn recent(&self) -> Result<Arc<DomainSnapshot>, Fault> {
        let fresh = |at: Option<Instant>| at.is_some_and(|at| at.elapsed() < AGE);
        let DirectoryState { at, known, .. } = self.now();
        if fresh(at) {
            return Ok(known);
        }
        let _one = self.reading.lock().await;
        let DirectoryState { at, known, ended, .. } = self.now();
        if fresh(at) {
            return Ok(known);
        }
        match self.read().await {
            Err(_) if at.is_some() => {
                self.set(&known, ended); // one waits for a store that is away, not everybody
                Ok(known)
            }
            read => read,
        }
    }

    async fn read(&self) -> Result<Arc<DomainSnapshot>, Fault> {
        let DirectoryState { known, ended, .. } = self.now();
        let read = move |store: &dyn Repository| {
            let version = Some(store.domains_version()?);
            if known.version == version {
                return Ok(known);
            }
            let (head, rows) = store.domains()?;
            let by_id = rows.iter().enumerate().map(|(at, row)| (row.id, at)).collect();
            Ok(Arc::new(DomainSnapshot { epoch: head.epoch, version, rows, by_id }))
        };
        let known = blocking(&self.store, read).await?;
        self.set(&known, ended);
        Ok(known)
    }

    /// One domain; looked for again if it is not known.
    pub async fn find(&self, name: &Domain) -> Result<Option<Namespace>, Fault> {
        let find = |known: &DomainSnapshot| known.find(name.as_str()).map(Namespace::of);
        match find(&*self.recent().await?) {
            None => Ok(find(&*self.read().await?)),
            found => Ok(found),
        }
    }

    /// The name of a domain that was found before.
    pub fn name(&self, id: DomainId) -> String {
        self.now().known.name(id).unwrap_or("-").to_owned()
    }
}
