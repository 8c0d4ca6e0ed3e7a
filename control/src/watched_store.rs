//! A store that is watched: how long its calls take, what goes wrong, and a line when it turns bad or good again. It does
//! nothing else.

mod clicks;
mod reports;

use crate::clock;
use crate::metrics::StoreNumbers;
use crate::traces::{CallSpan, PartSpan};
use bytes::Bytes;
use feed::LogView;
use journal::blocks::{BlockItem, BlockRow, BlockVerdict};
use journal::domains::DomainItem;
use journal::{ExternalId, Request};
use link::{Change, DomainId, Epoch, Key, Position, Seq, TargetHost};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use store::model::{Author, DomainRow, KeyRow, PoolCounts, Row, StoreFault, StoreStanding};
use store::port::blocks::{BlockRows, HostIndexPlace, HostLinks};
use store::port::clicks::{ClickStore, is_too_much};
use store::port::domains::{DomainCommitReport, DomainRows};
use store::port::{
    Audits, CommitReport, EntryBatch, History, KeyMark, KeyRows, Limit, LinkPast, LinkTag, ListPage, Moment,
    NotedAuthor, Repository, ResourceWrite, SessionRow, TagLimit, TagPage, TagRename, Tags, TidyReport,
    TimeOrder, WalkPage,
};

pub struct WatchedStore {
    store: Arc<dyn Repository>,
    numbers: Arc<StoreNumbers>,
    closed: AtomicBool,
}

/// What a call does to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallEffect {
    Read,
    Write,
}

impl WatchedStore {
    /// Watches a store, and counts here.
    pub fn over(store: Arc<dyn Repository>, numbers: Arc<StoreNumbers>) -> Arc<dyn Repository> {
        Arc::new(Self { store, numbers, closed: AtomicBool::new(false) })
    }

    fn read<T>(
        &self,
        kind: &'static str,
        call: impl FnOnce(&dyn Repository) -> Result<T, StoreFault>,
    ) -> Result<T, StoreFault> {
        let answer = self.measured(kind, |_| call(&*self.store));
        self.judge(CallEffect::Read, &answer);
        answer
    }

    /// Behind a trouble one that goes well proves little: it may have had nothing to write, or found room for a row on a
    /// disk that is full. Then a probe says whether writes are taken again, where there is one.
    fn write<T>(
        &self,
        kind: &'static str,
        call: impl FnOnce(&dyn Repository) -> Result<T, StoreFault>,
    ) -> Result<T, StoreFault> {
        let answer = self.measured(kind, |_| call(&*self.store));
        let proves_little = answer.is_ok() && self.numbers.unwritable.lasts();
        if !proves_little || self.probe().is_none() {
            self.judge(CallEffect::Write, &answer);
        }
        answer
    }

    /// A call of the store of clicks, which says nothing of whether links can be read and written.
    fn of_clicks<T>(
        &self,
        does: CallEffect,
        kind: &'static str,
        call: impl FnOnce(&dyn ClickStore) -> Result<T, StoreFault>,
    ) -> Result<T, StoreFault> {
        let answer = self.measured(kind, |_| call(self.store.clicks()));
        self.judge_clicks(does, &answer);
        answer
    }

    /// Upkeep of clicks. As a rule it finds little to do, and proves nothing where it goes well.
    fn upkeep<T>(
        &self,
        kind: &'static str,
        call: impl FnOnce(&dyn ClickStore) -> Result<T, StoreFault>,
    ) -> Result<T, StoreFault> {
        let answer = self.measured(kind, |_| call(self.store.clicks()));
        if answer.is_err() {
            self.judge_clicks(CallEffect::Write, &answer);
        }
        answer
    }

    fn judge_clicks<T>(&self, does: CallEffect, answer: &Result<T, StoreFault>) {
        let clicks = &self.numbers.clicks;
        let (trouble, writes) = match does {
            CallEffect::Read => (&clicks.unreadable, false),
            CallEffect::Write => (&clicks.unwritable, true),
        };
        match answer {
            _ if self.closed.load(Ordering::Relaxed) => {}
            Err(fault) if !is_too_much(fault) => {
                let reason = clicks.failed(fault);
                let Some(tell) = trouble.met(clock::ms(), reason) else { return };
                let (lasts_ms, untold) = (tell.lasts_ms, tell.untold);
                tracing::error!(
                    name: "clicks_store_unusable", reason, writes, %fault, lasts_ms, untold,
                    "the store of clicks cannot be read, or written: links go on, and edges keep their clicks and send them again"
                );
            }
            _ => {
                let Some(over) = trouble.over(clock::ms()) else { return };
                let lasted_ms = over.lasted_ms;
                tracing::info!(name: "clicks_store_usable", writes, lasted_ms, "the store of clicks can be used again");
            }
        }
    }

    fn measured<T>(
        &self,
        kind: &'static str,
        call: impl FnOnce(&mut PartSpan) -> Result<T, StoreFault>,
    ) -> Result<T, StoreFault> {
        let (began, mut statement) = (Instant::now(), CallSpan::current().part(kind));
        let answer = call(&mut statement);
        self.numbers.took(kind, began.elapsed());
        if answer.is_err() {
            statement.failed();
        }
        answer
    }

    fn judge<T>(&self, does: CallEffect, answer: &Result<T, StoreFault>) {
        // What ends because this process stops is no trouble of the store.
        if !self.closed.load(Ordering::Relaxed) {
            match answer {
                Ok(_) => self.is_good(does),
                Err(fault) => self.is_bad(does, fault),
            }
        }
    }

    fn is_good(&self, does: CallEffect) {
        let trouble = match does {
            CallEffect::Read => &self.numbers.unreadable,
            CallEffect::Write => &self.numbers.unwritable,
        };
        let Some(over) = trouble.over(clock::ms()) else { return };
        let (lasted_ms, store) = (over.lasted_ms, self.store.name());
        match does {
            CallEffect::Read => {
                tracing::info!(name: "store_readable", store, lasted_ms, "the store can be read again");
            }
            CallEffect::Write => {
                tracing::info!(name: "store_writable", store, lasted_ms, "the store can be written again");
            }
        }
    }

    fn is_bad(&self, does: CallEffect, fault: &StoreFault) {
        let reason = self.numbers.failed(does == CallEffect::Write, fault);
        let trouble = match does {
            CallEffect::Read => &self.numbers.unreadable,
            CallEffect::Write => &self.numbers.unwritable,
        };
        let Some(tell) = trouble.met(clock::ms(), reason) else { return };
        let (store, lasts_ms, untold) = (self.store.name(), tell.lasts_ms, tell.untold);
        match does {
            CallEffect::Read => tracing::error!(
                name: "store_unreadable", store, reason, %fault, lasts_ms, untold,
                "the store cannot be read: the API answers 503, edges turn blind"
            ),
            CallEffect::Write => tracing::error!(
                name: "store_unwritable", store, reason, %fault, lasts_ms, untold,
                "the store takes no writes: they are refused with this reason, reads and edges go on; it is tried again"
            ),
        }
    }
}

impl Repository for WatchedStore {
    fn name(&self) -> String {
        self.store.name()
    }

    fn standing(&self) -> Option<StoreStanding> {
        self.store.standing()
    }

    fn pool(&self) -> PoolCounts {
        self.store.pool()
    }

    fn writable(&self) -> Result<(), StoreFault> {
        let answer = self.store.writable();
        if let (Err(fault), false) = (&answer, self.closed.load(Ordering::Relaxed)) {
            self.is_bad(CallEffect::Write, fault); // that it is good again, only a write can show
        }
        answer
    }

    fn proved_head(&self) -> Result<Position, StoreFault> {
        // On some stores it writes, and then nothing else can be proved either.
        self.read("proved_head", Repository::proved_head)
    }

    fn head(&self) -> Result<Position, StoreFault> {
        self.read("head", Repository::head)
    }

    fn commit(&self, group: &[Request], now: i64) -> Result<CommitReport, StoreFault> {
        self.write("commit", |store| store.commit(group, now))
    }

    fn secret(&self) -> Result<[u8; 32], StoreFault> {
        self.read("secret", Repository::secret)
    }

    fn fork(&self, counter: u32, shared: Seq, now: i64) -> Result<Position, StoreFault> {
        self.write("fork", |store| store.fork(counter, shared, now))
    }

    fn histories(&self) -> Result<Vec<History>, StoreFault> {
        self.read("histories", Repository::histories)
    }

    fn sessions(&self, own: Option<&[SessionRow]>) -> Result<Vec<SessionRow>, StoreFault> {
        match own {
            Some(_) => self.write("sessions", |store| store.sessions(own)),
            None => self.read("sessions", |store| store.sessions(own)),
        }
    }

    fn forget_sessions(&self, gone: &[(String, u64)]) -> Result<(), StoreFault> {
        self.write("sessions", |store| store.forget_sessions(gone))
    }

    fn tidy(&self, now: i64) -> Result<TidyReport, StoreFault> {
        let began = Instant::now();
        let answer = self.store.tidy(now);
        self.numbers.took("tidy", began.elapsed());
        // As a rule it finds nothing to do, and that proves nothing.
        if answer.is_err() {
            self.judge(CallEffect::Write, &answer);
        }
        answer
    }

    fn probe(&self) -> Option<Result<(), StoreFault>> {
        let answer = self.store.probe()?;
        self.judge(CallEffect::Write, &answer);
        Some(answer)
    }

    fn link(&self, key: &Key) -> Result<(Epoch, Option<Row>), StoreFault> {
        self.read("link", |store| store.link(key))
    }

    fn links_with_uids(&self, uids: &[Seq]) -> Result<Vec<Row>, StoreFault> {
        self.read("list", |store| store.links_with_uids(uids))
    }

    fn list(&self, prefix: &[u8], after: &[u8], deleted: bool, limit: Limit) -> Result<ListPage, StoreFault> {
        self.read("list", |store| store.list(prefix, after, deleted, limit))
    }

    fn newest(
        &self,
        domain: DomainId,
        time: TimeOrder,
        behind: (i64, &[u8]),
        deleted: bool,
        limit: Limit,
    ) -> Result<ListPage, StoreFault> {
        self.read("list", |store| store.newest(domain, time, behind, deleted, limit))
    }

    fn with_external_id(
        &self,
        id: &ExternalId,
        after: &[u8],
        deleted: bool,
        limit: Limit,
    ) -> Result<ListPage, StoreFault> {
        self.read("list", |store| store.with_external_id(id, after, deleted, limit))
    }

    fn log_view(&self, applied: Seq, of: Option<Epoch>) -> Result<LogView, StoreFault> {
        self.read("log_view", |store| store.log_view(applied, of))
    }

    fn changes(&self, after: Seq, limit: Limit) -> Result<(Position, Vec<Change>), StoreFault> {
        self.read("changes", |store| store.changes(after, limit))
    }

    fn walk(&self, after: &[u8], limit: Limit) -> Result<WalkPage, StoreFault> {
        self.read("walk", |store| store.walk(after, limit))
    }

    fn records(&self, keys: &[Bytes]) -> Result<EntryBatch, StoreFault> {
        let answer = self.measured("records", |statement| {
            let found = self.store.records(keys)?;
            statement.rows(found.entries.len());
            Ok(found)
        });
        self.judge(CallEffect::Read, &answer);
        answer
    }

    fn key_rows(&self) -> &dyn KeyRows {
        self
    }

    fn clicks(&self) -> &dyn ClickStore {
        self
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.store.close();
    }
}

impl DomainRows for WatchedStore {
    fn domains(&self) -> Result<(Position, Vec<DomainRow>), StoreFault> {
        self.read("domains", DomainRows::domains)
    }

    fn domains_version(&self) -> Result<(Epoch, Seq), StoreFault> {
        self.read("domains_version", DomainRows::domains_version)
    }

    fn last_domain_gone(&self) -> Result<Seq, StoreFault> {
        self.read("last_domain_gone", DomainRows::last_domain_gone)
    }

    fn write_domain(&self, item: &DomainItem, now: i64) -> Result<DomainCommitReport, StoreFault> {
        self.write("write_domain", |store| store.write_domain(item, now))
    }
}

impl Tags for WatchedStore {
    fn tagged(
        &self,
        tag: &LinkTag,
        prefix: &[u8],
        after: &[u8],
        limit: Limit,
    ) -> Result<ListPage, StoreFault> {
        self.read("list", |store| store.tagged(tag, prefix, after, limit))
    }

    fn newest_tagged(
        &self,
        tag: &LinkTag,
        time: TimeOrder,
        behind: (i64, &[u8]),
        limit: Limit,
    ) -> Result<ListPage, StoreFault> {
        self.read("list", |store| store.newest_tagged(tag, time, behind, limit))
    }

    fn count_tagged(&self, tag: &LinkTag, most: usize) -> Result<Option<u64>, StoreFault> {
        self.read("tags", |store| store.count_tagged(tag, most))
    }

    fn tags(
        &self,
        domain: DomainId,
        prefix: &str,
        after: &str,
        limit: TagLimit,
    ) -> Result<Option<TagPage>, StoreFault> {
        self.read("tags", |store| store.tags(domain, prefix, after, limit))
    }

    fn is_renaming(&self, rename: &TagRename) -> Result<bool, StoreFault> {
        self.read("tags", |store| store.is_renaming(rename))
    }

    fn note_renaming(&self, rename: &TagRename, ends: bool) -> Result<(), StoreFault> {
        self.write("note_renaming", |store| store.note_renaming(rename, ends))
    }
}

impl BlockRows for WatchedStore {
    fn blocked(&self, asked: &BTreeSet<TargetHost>) -> Result<BTreeSet<TargetHost>, StoreFault> {
        self.read("blocks", |store| store.blocked(asked))
    }

    fn blocks(&self, after: &str, most: usize) -> Result<Vec<BlockRow>, StoreFault> {
        self.read("blocks", |store| store.blocks(after, most))
    }

    fn block(&self, host: &TargetHost) -> Result<Option<BlockRow>, StoreFault> {
        self.read("blocks", |store| store.block(host))
    }

    fn unfinished_blocks(&self) -> Result<Vec<BlockRow>, StoreFault> {
        self.read("blocks", BlockRows::unfinished_blocks)
    }

    fn write_block(&self, item: &BlockItem, now: i64) -> Result<BlockVerdict, StoreFault> {
        self.write("write_block", |store| store.write_block(item, now))
    }

    fn count_led_to(&self, host: &TargetHost) -> Result<u64, StoreFault> {
        self.read("led_to", |store| store.count_led_to(host))
    }

    fn led_to(
        &self,
        host: &TargetHost,
        after: Option<&HostIndexPlace>,
        most: usize,
    ) -> Result<HostLinks, StoreFault> {
        self.read("led_to", |store| store.led_to(host, after, most))
    }

    fn not_indexed(&self, after: &[u8], most: usize) -> Result<Vec<Row>, StoreFault> {
        self.read("led_to", |store| store.not_indexed(after, most))
    }

    fn kept_by(&self, host: &TargetHost, after: &[u8], most: usize) -> Result<Vec<Row>, StoreFault> {
        self.read("led_to", |store| store.kept_by(host, after, most))
    }
}

impl Audits for WatchedStore {
    fn writes(&self, key: &Key, most: Seq, limit: usize) -> Result<LinkPast, StoreFault> {
        self.read("audit", |store| store.writes(key, most, limit))
    }

    fn write_after(&self, key: &Key, moment: Moment) -> Result<LinkPast, StoreFault> {
        self.read("audit", |store| store.write_after(key, moment))
    }

    fn chunk(&self, seq: Seq) -> Result<Option<NotedAuthor>, StoreFault> {
        self.read("audit", |store| store.chunk(seq))
    }

    fn noted(&self, name: &str, below: i64, limit: usize) -> Result<Vec<ResourceWrite>, StoreFault> {
        self.read("audit", |store| store.noted(name, below, limit))
    }
}

impl KeyRows for WatchedStore {
    fn key_version(&self) -> Result<i64, StoreFault> {
        self.read("key_version", |store| store.key_rows().key_version())
    }

    fn keys_behind(&self, after: &str, most: usize) -> Result<Vec<KeyRow>, StoreFault> {
        self.read("keys", |store| store.key_rows().keys_behind(after, most))
    }

    fn keys_since(&self, seen: KeyMark) -> Result<(KeyMark, Vec<KeyRow>), StoreFault> {
        self.read("keys", |store| store.key_rows().keys_since(seen))
    }

    fn key(&self, id: &str) -> Result<Option<KeyRow>, StoreFault> {
        self.read("keys", |store| store.key_rows().key(id))
    }

    fn most_keys(&self, domains: &[String], now: i64, since: i64) -> Result<usize, StoreFault> {
        self.read("keys", |store| store.key_rows().most_keys(domains, now, since))
    }

    fn put_key(&self, row: &KeyRow, most: usize, by: &Author) -> Result<bool, StoreFault> {
        self.write("write_key", |store| store.key_rows().put_key(row, most, by))
    }

    fn revoke_key(&self, row: &KeyRow, now: i64, by: &Author) -> Result<(), StoreFault> {
        self.write("write_key", |store| store.key_rows().revoke_key(row, now, by))
    }

    fn use_keys(&self, uses: &[(String, i64)]) -> Result<(), StoreFault> {
        self.write("use_keys", |store| store.key_rows().use_keys(uses))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeClicks, FakeStore};
    use crate::metrics::Metrics;
    use std::sync::atomic::AtomicUsize;
    use store::port::clicks::{Appended, FoldReport};

    /// Its disk may be full while that of the links is not.
    #[test]
    fn faults_of_the_store_of_clicks_are_counted_and_told_apart_from_those_of_links() {
        let calls = AtomicUsize::new(0);
        let append = move |_: &[Appended]| match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Err(StoreFault::Full),
            _ => Ok(Vec::new()),
        };
        let fold = || Ok(FoldReport::default());
        let clicks = FakeClicks {
            append: Box::new(append),
            fold: Box::new(fold),
            raw_end: Box::new(|| 1),
            ..FakeClicks::default()
        };
        let metrics = Arc::new(Metrics::default());
        let fake = FakeStore { clicks, ..FakeStore::default() };
        let store = WatchedStore::over(Arc::new(fake), metrics.store.clone());
        let mut registry = exposition::Registry::default();
        registry.register_collector(Box::new(metrics.clone()));
        let shows = |line: &str| {
            let text = exposition::Format::Classic.encode(&registry).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains(&format!("{line}\n")), "{line} is not in\n{text}");
        };
        assert_eq!(store.clicks().append(&[], 1), Err(StoreFault::Full));
        // Neither a read nor a fold that had nothing to do proves that it can be written again.
        store.clicks().raw_end().unwrap();
        store.clicks().fold(1).unwrap();
        shows("linkr_store_clicks_failures_total{reason=\"full\"} 1");
        shows("linkr_store_clicks_writable 0");
        shows("linkr_store_clicks_readable 1");
        shows("linkr_store_failures_total{reason=\"full\"} 0");
        assert!(metrics.store.clicks.good().is_err_and(|why| why.contains("full")));
        store.clicks().append(&[], 1).unwrap();
        shows("linkr_store_clicks_writable 1");
        assert_eq!(metrics.store.clicks.good(), Ok(()));
    }
}
