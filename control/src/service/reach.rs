//! What a caller reaches: domains, links and the log within his bound. Nothing else in the service holds the store, so no
//! call can forget to ask.

use super::claims::{Claims, DomainTurn, Pass};
use super::directory::{Directory, DomainSnapshot, Domains, Namespace};
use crate::bound::Bound;
use crate::call::blocking;
use crate::lanes::{Lane, Lanes};
use crate::writer::{PendingAnswer, WriteOutcome, Writer};
use crate::{Caller, Fault};
use bytes::Bytes;
use feed::LogView;
use journal::blocks::{BlockItem, BlockVerdict};
use journal::domains::DomainItem;
use journal::names;
use journal::{
    BlockedHosts, CommitPoint, ExternalId, Holdings, Request, Verdict, decide, given_hosts, given_ids,
    returning_hosts, returning_ids,
};
use link::{Domain, DomainId, Epoch, Key, LinkState, Position, Seq, TargetHost};
use std::collections::BTreeSet;
use std::sync::Arc;
use store::clock::unix_ms;
use store::model::{Row, StoreFault};
use store::port::clicks::{
    ClickAnswer, ClickDeletion, ClickQuestion, LossRow, RawPage, RawQuestion, TopAnswer, TopQuestion,
    UnknownCodes, UnknownQuestion,
};
use store::port::domains::DomainCommitReport;
use store::port::{
    History, Limit, LinkPast, LinkTag, ListPage, Moment, NotedAuthor, Repository, TagLimit, TagPage,
    TagRename, TimeOrder,
};

const WALK: Limit = Limit { rows: 5_000, bytes: 4 * 1024 * 1024 };

/// The store and what is known of it.
pub struct Reach {
    store: Arc<dyn Repository>,
    writer: Arc<Writer>,
    directory: Arc<Directory>,
    claims: Claims,
    lanes: Lanes,
}

/// The reach of one caller: the store within his bound.
pub struct BoundView<'a> {
    reach: &'a Reach,
    bound: &'a Bound,
}

/// The store within a bound, where blocking is allowed.
pub struct BoundReader<'a> {
    store: &'a dyn Repository,
    bound: &'a Bound,
    known: &'a DomainSnapshot,
}

/// Links whose targets are of a host.
pub struct InboundLinks {
    /// Those that the caller may touch.
    pub own: Vec<Key>,
    /// Whether there are others.
    pub others: bool,
    /// Behind which key it goes on, if it does.
    pub next: Option<Vec<u8>>,
}

impl Reach {
    pub fn new(store: Arc<dyn Repository>, writer: Arc<Writer>) -> Self {
        let directory = Arc::new(Directory::new(store.clone()));
        Self { directory, claims: Claims::new(), store, writer, lanes: Lanes::for_cores() }
    }

    /// Reads the domains.
    pub async fn prepare(&self) -> Result<(), Fault> {
        self.directory.domains_now(&Bound::default()).await.map(drop)
    }

    /// As far as this caller may see.
    pub fn of<'a>(&'a self, caller: &'a Caller) -> BoundView<'a> {
        self.within(&caller.bound)
    }

    /// As far as this bound lets see.
    pub fn within<'a>(&'a self, bound: &'a Bound) -> BoundView<'a> {
        BoundView { reach: self, bound }
    }

    /// For reads that take longer than one of a single link: see [`BoundView::read_part`].
    pub async fn lane(&self, caller: &Caller) -> Lane {
        self.lanes.enter(caller).await
    }

    /// For a write of links, before it looks where they lead.
    pub fn pass(&self) -> Pass {
        self.claims.pass()
    }

    /// For a write of a domain, before it looks at the others.
    pub async fn turn(&self) -> DomainTurn {
        self.claims.turn(&self.directory).await
    }

    /// See [`Claims::claim`].
    pub async fn claim(&self, turn: &mut DomainTurn, host: &str) {
        self.claims.claim(turn, host).await;
    }

    /// The name of a domain, some link of which was reached before.
    pub fn name(&self, id: DomainId) -> String {
        self.directory.name(id)
    }

    /// The end of the log.
    pub async fn head(&self) -> Result<Position, Fault> {
        Ok(blocking(&self.store, Repository::head).await?)
    }

    /// See [`Repository::log_view`].
    pub async fn log_view(&self, applied: Seq, of: Option<Epoch>) -> Result<LogView, Fault> {
        Ok(blocking(&self.store, move |store| store.log_view(applied, of)).await?)
    }

    /// What the store is, in one word.
    pub fn store_kind(&self) -> String {
        self.store.name().split(' ').next().unwrap_or_default().to_owned()
    }

    /// The log and its histories.
    pub async fn histories(&self) -> Result<(LogView, Vec<History>), Fault> {
        Ok(blocking(&self.store, |store| Ok((store.log_view(0, None)?, store.histories()?))).await?)
    }
}

impl BoundView<'_> {
    /// One domain.
    ///
    /// # Errors
    /// [`Fault::Forbidden`] before anything is looked for, [`Fault::DomainNotFound`]
    pub async fn domain(&self, domain: &Domain) -> Result<Namespace, Fault> {
        self.bound.touch(domain.as_str())?;
        let row = self.reach.directory.find(domain).await?;
        row.ok_or_else(|| Fault::DomainNotFound(names::domain(domain.as_str())))
    }

    /// The domains, as they were a second ago at most.
    pub async fn domains(&self) -> Result<Domains, Fault> {
        self.reach.directory.domains(self.bound).await
    }

    /// The domains as they are now.
    pub async fn domains_now(&self) -> Result<Domains, Fault> {
        self.reach.directory.domains_now(self.bound).await
    }

    /// Reads in a place where blocking is allowed.
    pub async fn read<T: Send + 'static>(
        &self,
        call: impl FnOnce(&BoundReader<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (bound, known) = (self.bound.clone(), self.reach.directory.known());
        blocking(&self.reach.store, move |store| {
            Ok(call(&BoundReader { store, bound: &bound, known: &known }))
        })
        .await?
    }

    /// Reads a part of what takes long, as soon as it is its turn. Whoever goes is not read for any further than this part.
    pub async fn read_part<T: Send + 'static>(
        &self,
        lane: &Lane,
        call: impl FnOnce(&BoundReader<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let part = lane.part().await;
        self.read(move |reader| {
            let _part = part;
            call(reader)
        })
        .await
    }

    /// One link, deleted or not.
    pub async fn link(&self, key: &Key) -> Result<(Epoch, Option<Row>), Fault> {
        let key = key.clone();
        self.read(move |reader| {
            reader.touch(key.domain())?;
            Ok(reader.store.link(&key)?)
        })
        .await
    }

    /// Hands writes of links to the writer, with the pass of those whose targets were looked at.
    pub fn submit(&self, request: Request, pass: Option<Pass>) -> Result<PendingAnswer<WriteOutcome>, Fault> {
        let known = self.reach.directory.known();
        request.items.iter().try_for_each(|item| touch(self.bound, &known, item.key.domain()))?;
        self.reach.writer.submit(request, pass)
    }

    /// The verdicts that the writes would get now.
    pub async fn only_check(&self, request: Request) -> Result<(Epoch, Vec<Verdict>), Fault> {
        let domains = request.items.iter().map(|item| item.key.domain());
        let domains = domains.map(|id| (id, self.reach.name(id))).collect();
        self.read(move |reader| {
            let (mut found, mut head) = (Holdings { domains, ..Holdings::default() }, Position::default());
            for item in &request.items {
                reader.touch(item.key.domain())?;
                let (epoch, row) = reader.store.link(&item.key)?;
                head.epoch = epoch;
                found.rows.extend(row.map(|row| (item.key.clone(), row)));
            }
            let group = [request];
            for asked in given_ids(&group).into_iter().chain(returning_ids(&group, &found.rows)) {
                let holder =
                    reader.with_external_id(&asked, &[], false, Limit { rows: 1, bytes: 0 })?.rows.pop();
                found.external_ids.extend(holder.map(|row| (asked, row.key)));
            }
            let mut hosts = given_hosts(&group);
            hosts.extend(returning_hosts(&group, &found.rows));
            found.blocked.extend(reader.store.blocked(&hosts)?);
            let at = CommitPoint { head, tag: 0, now: unix_ms() };
            Ok((head.epoch, decide(&group, found, at, |_| Bytes::new()).verdicts))
        })
        .await
    }

    /// See [`store::port::Tags::note_renaming`].
    pub async fn note_renaming(&self, rename: TagRename, ends: bool) -> Result<(), Fault> {
        touch(self.bound, &self.reach.directory.known(), rename.from.domain)?;
        Ok(blocking(&self.reach.store, move |store| store.note_renaming(&rename, ends)).await?)
    }

    /// Writes a block of a host, which concerns every domain.
    pub async fn write_block(&self, item: BlockItem) -> Result<BlockVerdict, Fault> {
        self.bound.everywhere()?;
        self.reach.writer.block(item).await
    }

    /// Those of these hosts that are blocked: whoever would lead there is told so.
    pub async fn blocked(&self, asked: BTreeSet<TargetHost>) -> Result<BlockedHosts, Fault> {
        if asked.is_empty() {
            return Ok(BlockedHosts::default());
        }
        let found = blocking(&self.reach.store, move |store| store.blocked(&asked)).await?;
        Ok(found.into_iter().collect())
    }

    /// Deletes clicks for good. Says how many were counted.
    pub async fn delete_clicks(&self, deletion: ClickDeletion) -> Result<u64, Fault> {
        touch(self.bound, &self.reach.directory.known(), deletion.domain)?;
        Ok(blocking(&self.reach.store, move |store| store.clicks().delete_clicks(&deletion, unix_ms()))
            .await?)
    }

    /// Reads or changes what concerns every domain.
    pub async fn everywhere<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Repository) -> Result<T, StoreFault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.bound.everywhere()?;
        Ok(blocking(&self.reach.store, call).await?)
    }

    /// Writes a domain.
    pub async fn write_domain(
        &self,
        item: DomainItem,
        turn: DomainTurn,
    ) -> Result<DomainCommitReport, Fault> {
        self.bound.touch(item.name.as_str())?;
        self.reach.writer.domain(item, turn).await
    }
}

impl BoundReader<'_> {
    fn touch(&self, domain: DomainId) -> Result<(), Fault> {
        touch(self.bound, self.known, domain)
    }

    /// See [`Repository::list`]; `prefix` is that of codes.
    pub fn list(
        &self,
        domain: DomainId,
        prefix: &str,
        after: &[u8],
        deleted: bool,
        limit: Limit,
    ) -> Result<ListPage, Fault> {
        self.touch(domain)?;
        let prefix = [&domain.0.to_be_bytes(), prefix.as_bytes()].concat();
        Ok(self.store.list(&prefix, after, deleted, limit)?)
    }

    /// See [`Repository::newest`].
    pub fn newest(
        &self,
        domain: DomainId,
        time: TimeOrder,
        behind: (i64, &[u8]),
        deleted: bool,
        limit: Limit,
    ) -> Result<ListPage, Fault> {
        self.touch(domain)?;
        Ok(self.store.newest(domain, time, behind, deleted, limit)?)
    }

    /// See [`Repository::with_external_id`].
    pub fn with_external_id(
        &self,
        id: &ExternalId,
        after: &[u8],
        deleted: bool,
        limit: Limit,
    ) -> Result<ListPage, Fault> {
        self.touch(id.domain)?;
        Ok(self.store.with_external_id(id, after, deleted, limit)?)
    }

    /// See [`store::port::Tags::tagged`]; `prefix` is that of codes.
    pub fn tagged(&self, tag: &LinkTag, prefix: &str, after: &[u8], limit: Limit) -> Result<ListPage, Fault> {
        self.touch(tag.domain)?;
        let prefix = [&tag.domain.prefix(), prefix.as_bytes()].concat();
        Ok(self.store.tagged(tag, &prefix, after, limit)?)
    }

    /// See [`store::port::Tags::newest_tagged`].
    pub fn newest_tagged(
        &self,
        tag: &LinkTag,
        time: TimeOrder,
        behind: (i64, &[u8]),
        limit: Limit,
    ) -> Result<ListPage, Fault> {
        self.touch(tag.domain)?;
        Ok(self.store.newest_tagged(tag, time, behind, limit)?)
    }

    /// See [`store::port::Tags::count_tagged`].
    pub fn count_tagged(&self, tag: &LinkTag, most: usize) -> Result<Option<u64>, Fault> {
        self.touch(tag.domain)?;
        Ok(self.store.count_tagged(tag, most)?)
    }

    /// See [`store::port::Tags::tags`].
    pub fn tags(
        &self,
        domain: DomainId,
        prefix: &str,
        after: &str,
        limit: TagLimit,
    ) -> Result<Option<TagPage>, Fault> {
        self.touch(domain)?;
        Ok(self.store.tags(domain, prefix, after, limit)?)
    }

    /// See [`store::port::Tags::is_renaming`].
    pub fn is_renaming(&self, rename: &TagRename) -> Result<bool, Fault> {
        self.touch(rename.from.domain)?;
        Ok(self.store.is_renaming(rename)?)
    }

    /// Which of these are no links.
    pub fn free(&self, keys: &[Key]) -> Result<Vec<bool>, Fault> {
        keys.iter().try_for_each(|key| self.touch(key.domain()))?;
        let keys: Vec<_> = keys.iter().map(|key| key.as_bytes().to_vec().into()).collect();
        let there = self.store.records(&keys)?.entries;
        Ok(there.iter().map(|entry| entry.record.is_empty()).collect())
    }

    /// What was written of a link, with who wrote it.
    pub fn writes(&self, key: &Key, below: Seq, limit: usize) -> Result<LinkPast, Fault> {
        self.touch(key.domain())?;
        Ok(self.store.writes(key, below, limit)?)
    }

    /// The first write of a link behind a moment.
    pub fn write_after(&self, key: &Key, moment: Moment) -> Result<LinkPast, Fault> {
        self.touch(key.domain())?;
        Ok(self.store.write_after(key, moment)?)
    }

    /// Who sent the chunk of an import that made a version, which was read before.
    pub fn chunk(&self, version: Seq) -> Result<Option<NotedAuthor>, Fault> {
        Ok(self.store.chunk(version)?)
    }

    /// See [`ClickStore::counts`].
    pub fn click_counts(&self, question: &ClickQuestion) -> Result<ClickAnswer, Fault> {
        self.touch(question.domain)?;
        Ok(self.store.clicks().counts(question)?)
    }

    /// See [`ClickStore::top_links`].
    pub fn top_links(&self, question: &TopQuestion) -> Result<TopAnswer, Fault> {
        self.touch(question.domain)?;
        Ok(self.store.clicks().top_links(question)?)
    }

    /// See [`ClickStore::raw`], of one domain.
    pub fn raw_clicks(&self, question: &RawQuestion) -> Result<RawPage, Fault> {
        self.touch(question.domain.ok_or(Fault::Internal)?)?;
        Ok(self.store.clicks().raw(question)?)
    }

    /// See [`ClickStore::unknown_codes`].
    pub fn unknown_codes(&self, question: &UnknownQuestion) -> Result<UnknownCodes, Fault> {
        self.touch(question.domain)?;
        Ok(self.store.clicks().unknown_codes(question)?)
    }

    /// See [`ClickStore::losses`]: nobody knows of which domains they were.
    pub fn click_losses(&self, from: i64, until: i64) -> Result<Vec<LossRow>, Fault> {
        Ok(self.store.clicks().losses(from, until)?)
    }

    /// Those links of a domain that have these uids.
    pub fn links_with_uids(&self, domain: DomainId, uids: &[Seq]) -> Result<Vec<Row>, Fault> {
        self.touch(domain)?;
        let mut rows = self.store.links_with_uids(uids)?;
        rows.retain(|row| row.key.domain() == domain);
        Ok(rows)
    }

    /// See [`Repository::log_view`].
    pub fn log_view(&self, applied: Seq, of: Option<Epoch>) -> Result<LogView, Fault> {
        Ok(self.store.log_view(applied, of)?)
    }

    /// The next links behind a key that lead to a host: those of others are not named.
    pub fn leading_to(&self, host: &str, after: &[u8]) -> Result<InboundLinks, Fault> {
        let page = self.store.walk(after, WALK)?;
        let leads = |record: &[u8]| match record::decode(record).map(|versioned| versioned.state) {
            Ok(LinkState::Live(link)) => {
                let parts = link.parts();
                let mut targets = [Some(&parts.target), parts.expired_target.as_ref()].into_iter().flatten();
                targets.any(|target| target.place().is_some_and(|place| place.host == host))
            }
            _ => false,
        };
        let found = page.entries.iter().filter(|entry| leads(&entry.record));
        let found = found.filter_map(|entry| Key::from_bytes(&entry.key).ok());
        let (own, others): (Vec<Key>, Vec<Key>) = found.partition(|key| self.touch(key.domain()).is_ok());
        let next = page.entries.last().filter(|_| page.more).map(|entry| entry.key.to_vec());
        Ok(InboundLinks { own, others: !others.is_empty(), next })
    }
}

/// Whoever may touch all domains may touch one that is not known yet.
fn touch(bound: &Bound, known: &DomainSnapshot, domain: DomainId) -> Result<(), Fault> {
    match known.name(domain) {
        _ if !bound.is_some() => Ok(()),
        Some(name) => bound.touch(name),
        None => Err(Fault::Unavailable("a domain has only just changed: try again in a moment")),
    }
}
