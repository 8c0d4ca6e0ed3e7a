//! The domains, in memory: asked for every write and for every name in an answer. Nothing is decided here.

use super::blocking;
use crate::Fault;
use crate::port::Repository;
use crate::port::domains::{DomainRow, DomainRows};
use link::{Code, Domain, DomainId, Epoch, Key};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What another control changed is known here after so long. A domain that is not known at all is looked for at once.
const AGE: Duration = Duration::from_secs(1);

/// See the module.
pub struct Directory {
    store: Arc<dyn Repository>,
    /// And when they were last looked for.
    known: Mutex<(Option<Instant>, Arc<Known>)>,
    /// One reads, the others wait for it.
    reading: tokio::sync::Mutex<()>,
}

/// All domains at some time.
#[derive(Default)]
pub struct Known {
    /// The history.
    pub epoch: Epoch,
    /// In the order of their names.
    pub rows: Vec<DomainRow>,
    by_id: HashMap<DomainId, usize>,
}

/// A domain, as far as names and keys go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// What its keys begin with.
    pub id: DomainId,
    fold_case: bool,
}

impl Namespace {
    /// The key of a code in it.
    pub fn key(&self, code: &Code) -> Key {
        if self.fold_case { Key::new(self.id, &code.folded()) } else { Key::new(self.id, code) }
    }

    /// One that is in no store.
    #[cfg(test)]
    pub fn for_test(fold_case: bool) -> Self {
        Self { id: DomainId::DEFAULT, fold_case }
    }

    /// Whether codes in it have no upper case.
    pub fn folds(&self) -> bool {
        self.fold_case
    }
}

impl From<&DomainRow> for Namespace {
    fn from(row: &DomainRow) -> Self {
        Self { id: row.id, fold_case: row.rules.fold_case }
    }
}

impl Known {
    /// A domain by its name in the compared form.
    pub fn find(&self, name: &str) -> Option<&DomainRow> {
        let at = self.rows.binary_search_by(|row| row.rules.name.as_str().cmp(name)).ok()?;
        Some(&self.rows[at])
    }
}

impl Directory {
    pub fn new(store: Arc<dyn Repository>) -> Self {
        Self { store, known: Mutex::default(), reading: tokio::sync::Mutex::default() }
    }

    fn now(&self) -> (Option<Instant>, Arc<Known>) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, known: &Arc<Known>) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = (Some(Instant::now()), known.clone());
    }

    /// The domains, as they were at most [`AGE`] ago. While the store is away, as they last were.
    pub async fn known(&self) -> Result<Arc<Known>, Fault> {
        let fresh = |at: Option<Instant>| at.is_some_and(|at| at.elapsed() < AGE);
        let (at, known) = self.now();
        if fresh(at) {
            return Ok(known);
        }
        let _one = self.reading.lock().await;
        let (at, known) = self.now();
        if fresh(at) {
            return Ok(known);
        }
        match self.read().await {
            Err(_) if at.is_some() => {
                self.set(&known); // one waits for a store that is away, not everybody
                Ok(known)
            }
            read => read,
        }
    }

    /// The domains as they are now.
    pub async fn read(&self) -> Result<Arc<Known>, Fault> {
        let (head, rows) = blocking(&self.store, DomainRows::domains).await?;
        let by_id = rows.iter().enumerate().map(|(at, row)| (row.id, at)).collect();
        let known = Arc::new(Known { epoch: head.epoch, rows, by_id });
        self.set(&known);
        Ok(known)
    }

    /// One domain; looked for again if it is not known.
    pub async fn find(&self, name: &Domain) -> Result<Option<DomainRow>, Fault> {
        let find = |known: &Known| known.find(name.as_str()).cloned();
        match find(&*self.known().await?) {
            None => Ok(find(&*self.read().await?)),
            found => Ok(found),
        }
    }

    /// The name of a domain that was found before.
    pub fn name(&self, id: DomainId) -> String {
        let (_, known) = self.now();
        let row = known.by_id.get(&id).map(|&at| &known.rows[at]);
        row.map_or_else(|| "-".to_owned(), |row| row.rules.name.as_str().to_owned())
    }
}
