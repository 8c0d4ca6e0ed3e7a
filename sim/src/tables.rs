//! The tables beside the log, as a store keeps them: links, domains and the answers of requests. They follow from the log,
//! so that an older state of it can be put back.

use journal::domains::{DomainHoldings, DomainIntent, DomainItem};
use journal::{BlockedHosts, DomainRow, Holdings, RetryName, Row, StoredAnswer, Write};
use link::{Domain, DomainId, Key, Seq};
use std::collections::{HashMap, HashSet};

/// What one transaction wrote beside a row of the log.
#[derive(Clone, Debug)]
pub enum SideRecord {
    /// A link, and maybe the answer of its request.
    Link { row: Box<Row>, purge: bool, answer: Option<(RetryName, StoredAnswer)> },
    /// A domain.
    Domain(DomainRow),
    /// The end of a domain.
    Gone(DomainRow),
    /// Nothing.
    Nothing,
}

impl SideRecord {
    /// What a write of a link leaves.
    pub fn of(write: Write) -> Self {
        let Write { row, purge, answer, .. } = write;
        let answer =
            answer.map(|(retry, response)| (retry.name(), StoredAnswer { hash: retry.hash, response }));
        Self::Link { row: Box::new(row), purge, answer }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Tables {
    links: HashMap<Key, Row>,
    domains: HashMap<DomainId, DomainRow>,
    gone: HashSet<DomainId>,
    answers: HashMap<RetryName, StoredAnswer>,
}

impl Tables {
    /// As these leave them.
    pub fn of<'a>(all: impl Iterator<Item = &'a SideRecord>) -> Self {
        let mut tables = Self::default();
        all.for_each(|kept| tables.take(kept));
        tables
    }

    /// Writes.
    pub fn take(&mut self, kept: &SideRecord) {
        match kept {
            SideRecord::Nothing => {}
            SideRecord::Domain(row) => drop(self.domains.insert(row.id, row.clone())),
            SideRecord::Gone(row) => {
                self.domains.remove(&row.id);
                self.gone.insert(row.id);
            }
            SideRecord::Link { row, purge, answer } => {
                if *purge {
                    self.links.remove(&row.key);
                } else {
                    self.links.insert(row.key.clone(), Row::clone(row));
                }
                self.answers.extend(answer.clone());
            }
        }
    }

    /// What a store finds for a group: all, since there is little.
    pub fn found(&self) -> Holdings {
        let name = |row: &DomainRow| (row.id, row.rules.name.as_str().to_owned());
        Holdings {
            rows: self.links.clone(),
            domains: self.domains.values().map(name).collect(),
            answers: self.answers.clone(),
            external_ids: HashMap::new(),     // the rows say it
            blocked: BlockedHosts::default(), // a store that has blocks says it
        }
    }

    /// The version of a domain, if there is one of this name.
    pub fn version(&self, name: &Domain) -> Option<Seq> {
        self.named(name).map(|row| row.version)
    }

    /// The numbers of the domains that there are.
    pub fn numbers(&self) -> Vec<DomainId> {
        self.domains.keys().copied().collect()
    }

    fn named(&self, name: &Domain) -> Option<&DomainRow> {
        self.domains.values().find(|row| row.rules.name == *name)
    }

    /// What a store finds for a write of a domain.
    pub fn domain(&self, item: &DomainItem) -> DomainHoldings {
        let row = self.named(&item.name).cloned();
        let is_taken = |id: &DomainId| self.domains.contains_key(id) || self.gone.contains(id);
        let id_taken = matches!(&item.intent, DomainIntent::Create { id, .. } if is_taken(id));
        // The world has no links in them.
        DomainHoldings { row, id_taken, count: self.domains.len(), ..DomainHoldings::default() }
    }
}
