//! A running control in a folder of its own, and ways to call it. No test is here.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use control::{Config, ControlServer, Metrics};
use exposition::{Format, Registry};
use feed::LogView;
use hyper_util::rt::TokioIo;
use journal::blocks::{BlockItem, BlockRow, BlockVerdict};
use journal::domains::DomainItem;
use journal::{ExternalId, Request as Write};
use link::{Change, DomainId, Epoch, Key, Position, Seq, TargetHost};
use proto::v1::{self, feed_client::FeedClient, links_client::LinksClient};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use store::model::{Author, DomainRow, KeyRow, Row, StoreFault};
use store::port::blocks::{BlockRows, HostIndexPlace, HostLinks};
use store::port::clicks::ClickStore;
use store::port::domains::{DomainCommitReport, DomainRows};
use store::port::{
    Audits, CommitReport, EdgeReports, EntryBatch, History, KeyMark, KeyRows, Limit, LinkPast, LinkTag,
    ListPage, Moment, NotedAuthor, Repository, ResourceWrite, SessionRow, TagLimit, TagPage, TagRename, Tags,
    TidyReport, TimeOrder, WalkPage,
};
use store::sqlite::{Options, Sqlite};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tonic::transport::Channel;

/// A folder that goes when the test does.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("control-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn db(&self) -> PathBuf {
        self.0.join("linkr.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn config(store: PathBuf) -> Config {
    Config {
        traces: None,
        store: control::StoreLocation::Sqlite(store),
        api: SocketAddr::from(([127, 0, 0, 1], 0)),
        insecure: true,
        tls: None,
        own_edge: None,
        more_schemes: Vec::new(),
        own_hosts: vec!["go.example.com".into()],
        base_url: None,
        reserved_codes: vec!["admin".into()],
        redis: None,
        cors_origins: Vec::new(),
        trusted_peers: Vec::new(),
        link_files: None,
        own_listeners: control::OwnListeners::default(),
    }
}

static TURNS: RwLock<()> = RwLock::const_new(());

/// What holds other tests off, or is held off by them.
enum TestTurn {
    #[expect(dead_code, reason = "it is there to be dropped")]
    Beside(RwLockReadGuard<'static, ()>),
    #[expect(dead_code, reason = "it is there to be dropped")]
    Alone(RwLockWriteGuard<'static, ()>),
    /// That of another control of the same test.
    Another,
}

/// A test has one at a time.
pub struct World {
    pub running: ControlServer,
    pub folder: Folder,
    _turn: TestTurn,
}

impl World {
    pub async fn new() -> Self {
        Self::at(Folder::new()).await
    }

    pub async fn at(folder: Folder) -> Self {
        Self::start(folder, TestTurn::Beside(TURNS.read().await)).await
    }

    /// For a test that measures time: nothing else of this suite runs beside it.
    pub async fn alone(folder: Folder) -> Self {
        Self::start(folder, TestTurn::Alone(TURNS.write().await)).await
    }

    async fn start(folder: Folder, turn: TestTurn) -> Self {
        let running = control::start(config(folder.db())).await.unwrap();
        Self { running, folder, _turn: turn }
    }

    /// With settings of its own; `config.store` is not looked at.
    pub async fn with(folder: Folder, store: Arc<dyn Repository>, config: Config) -> Self {
        let turn = TestTurn::Beside(TURNS.read().await);
        let api = control::take(config.api).unwrap();
        let running = control::start_on(config, api, store).await.unwrap();
        Self { running, folder, _turn: turn }
    }

    pub async fn on(folder: Folder, store: Arc<dyn Repository>) -> Self {
        let config = config(folder.db());
        Self::with(folder, store, config).await
    }

    /// A further control of a test that has its turn.
    pub async fn another(store: Arc<dyn Repository>) -> Self {
        let folder = Folder::new();
        let config = config(folder.db());
        let api = control::take(config.api).unwrap();
        let running = control::start_on(config, api, store).await.unwrap();
        Self { running, folder, _turn: TestTurn::Another }
    }

    /// For a test that measures time, on a store of its own.
    pub async fn alone_on(store: Arc<dyn Repository>) -> Self {
        let turn = TestTurn::Alone(TURNS.write().await);
        Self { _turn: turn, ..Self::another(store).await }
    }

    /// Stops it and keeps the folder.
    pub async fn stop(self) -> Folder {
        self.running.stop().await;
        self.folder
    }

    pub async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.running.api())).unwrap().connect().await.unwrap()
    }

    pub async fn links(&self) -> LinksClient<Channel> {
        LinksClient::new(self.channel().await).max_decoding_message_size(16 << 20)
    }

    pub async fn feed(&self) -> FeedClient<Channel> {
        FeedClient::new(self.channel().await)
    }

    /// One REST call with a JSON body (none if it is null), on a connection of its own.
    pub async fn rest(&self, call: &str, body: Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.raw(call, &[("content-type", "application/json")], body.into()).await
    }

    pub async fn raw(&self, call: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
        let (status, headers, body) = self.bytes(call, headers, body).await;
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        Reply { status, headers, body }
    }

    pub async fn bytes(
        &self,
        call: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let (method, path) = call.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let stream = tokio::net::TcpStream::connect(self.running.api()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(Body::new(body), usize::MAX).await.unwrap();
        drop(sender);
        let _ = connection.await;
        (head.status, head.headers, body.to_vec())
    }

    /// The last seq, as the metrics say it; a write that was acknowledged may not be counted yet.
    pub async fn head(&self) -> Seq {
        let reply = self.feed().await.fetch(v1::FetchRequest::default()).await.unwrap();
        reply.into_inner().as_of
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

pub fn create(code: &str, target: &str) -> v1::CreateLinkRequest {
    v1::CreateLinkRequest { link_id: code.into(), link: Some(to(target)), ..v1::CreateLinkRequest::default() }
}

pub fn to(target: &str) -> v1::Link {
    v1::Link { target: target.into(), ..v1::Link::default() }
}

/// What a control counts, as classic text.
pub fn text(metrics: Arc<Metrics>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics));
    String::from_utf8(Format::Classic.encode(&registry).unwrap()).unwrap()
}

pub fn name(code: &str) -> String {
    format!("domains/-/links/{code}")
}

/// A store that fails or waits when it is told to, and is SQLite otherwise.
pub struct MoodyStore {
    inner: Sqlite,
    calls: AtomicU64,
    commits: AtomicU64,
    lists: AtomicU64,
    mood: Mutex<Mood>,
    changed: Condvar,
}

#[derive(Clone, Default)]
pub struct Mood {
    pub fault: Option<StoreFault>,
    pub writes_wait: bool,
    /// Reads of lists wait.
    pub lists_wait: bool,
    /// Commits panic.
    pub panics: bool,
    /// Edges cannot be written down.
    pub no_sessions: bool,
    /// A change that is missing from the log.
    pub hole: Option<Seq>,
    /// What another control writes right after the next read of a link, or of links with a tag.
    pub between: Vec<Write>,
}

impl MoodyStore {
    pub fn new(folder: &Folder) -> Arc<Self> {
        let inner = Sqlite::open(&folder.db(), Options::default()).unwrap();
        let [calls, commits, lists] = [0; 3].map(AtomicU64::new);
        Arc::new(Self { inner, calls, commits, lists, mood: Mutex::default(), changed: Condvar::new() })
    }

    pub fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
        self.changed.notify_all();
    }

    /// Reads of lists that were begun so far.
    pub fn lists(&self) -> u64 {
        self.lists.load(Ordering::Relaxed)
    }

    /// Calls of the store that could fail so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Commits begun so far.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    fn check(&self) -> Result<(), StoreFault> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.mood.lock().unwrap().fault.clone().map_or(Ok(()), Err)
    }
}

impl KeyRows for MoodyStore {
    fn key_version(&self) -> Result<i64, StoreFault> {
        self.check()?;
        self.inner.key_version()
    }

    fn keys_behind(&self, after: &str, most: usize) -> Result<Vec<KeyRow>, StoreFault> {
        self.check()?;
        self.inner.keys_behind(after, most)
    }

    fn keys_since(&self, seen: KeyMark) -> Result<(KeyMark, Vec<KeyRow>), StoreFault> {
        self.check()?;
        self.inner.keys_since(seen)
    }

    fn key(&self, id: &str) -> Result<Option<KeyRow>, StoreFault> {
        self.check()?;
        self.inner.key(id)
    }

    fn most_keys(&self, domains: &[String], now: i64, since: i64) -> Result<usize, StoreFault> {
        self.check()?;
        self.inner.most_keys(domains, now, since)
    }

    fn put_key(&self, row: &KeyRow, most: usize, by: &Author) -> Result<bool, StoreFault> {
        self.check()?;
        self.inner.put_key(row, most, by)
    }

    fn revoke_key(&self, row: &KeyRow, now: i64, by: &Author) -> Result<(), StoreFault> {
        self.check()?;
        self.inner.revoke_key(row, now, by)
    }

    fn use_keys(&self, uses: &[(String, i64)]) -> Result<(), StoreFault> {
        self.check()?;
        self.inner.use_keys(uses)
    }
}

impl Repository for MoodyStore {
    fn clicks(&self) -> &dyn ClickStore {
        self.inner.clicks()
    }

    fn name(&self) -> String {
        self.inner.name()
    }

    fn head(&self) -> Result<Position, StoreFault> {
        self.inner.head()
    }

    fn commit(&self, group: &[Write], now: i64) -> Result<CommitReport, StoreFault> {
        self.commits.fetch_add(1, Ordering::Relaxed);
        drop(self.changed.wait_while(self.mood.lock().unwrap(), |mood| mood.writes_wait).unwrap());
        let panics = self.mood.lock().unwrap().panics;
        assert!(!panics, "as it was told to");
        self.check()?;
        if self.mood.lock().unwrap().hole.is_some() {
            // As another control would, in between: what this one writes does not follow on what it knows, and is read.
            self.inner.commit(&[super::contract::create("another")], now)?;
        }
        self.inner.commit(group, now)
    }

    fn fork(&self, counter: u32, shared: Seq, now: i64) -> Result<Position, StoreFault> {
        self.inner.fork(counter, shared, now)
    }

    fn secret(&self) -> Result<[u8; 32], StoreFault> {
        self.inner.secret()
    }

    fn histories(&self) -> Result<Vec<History>, StoreFault> {
        self.check()?;
        self.inner.histories()
    }

    fn sessions(&self, own: Option<&[SessionRow]>) -> Result<Vec<SessionRow>, StoreFault> {
        if self.mood.lock().unwrap().no_sessions {
            return Err(StoreFault::Full);
        }
        self.inner.sessions(own)
    }

    fn forget_sessions(&self, gone: &[(String, u64)]) -> Result<(), StoreFault> {
        self.inner.forget_sessions(gone)
    }

    fn tidy(&self, now: i64) -> Result<TidyReport, StoreFault> {
        self.inner.tidy(now)
    }

    fn link(&self, key: &Key) -> Result<(Epoch, Option<Row>), StoreFault> {
        self.check()?;
        let found = self.inner.link(key)?;
        let between = std::mem::take(&mut self.mood.lock().unwrap().between);
        if !between.is_empty() {
            self.inner.commit(&between, 1)?;
        }
        Ok(found)
    }

    fn links_with_uids(&self, uids: &[Seq]) -> Result<Vec<Row>, StoreFault> {
        self.inner.links_with_uids(uids)
    }

    fn list(&self, prefix: &[u8], after: &[u8], deleted: bool, limit: Limit) -> Result<ListPage, StoreFault> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        let mood = self.changed.wait_while(self.mood.lock().unwrap(), |mood| mood.lists_wait);
        drop(mood.unwrap());
        self.inner.list(prefix, after, deleted, limit)
    }

    fn newest(
        &self,
        domain: DomainId,
        time: TimeOrder,
        behind: (i64, &[u8]),
        deleted: bool,
        limit: Limit,
    ) -> Result<ListPage, StoreFault> {
        self.inner.newest(domain, time, behind, deleted, limit)
    }

    fn with_external_id(
        &self,
        id: &ExternalId,
        after: &[u8],
        deleted: bool,
        limit: Limit,
    ) -> Result<ListPage, StoreFault> {
        self.inner.with_external_id(id, after, deleted, limit)
    }

    fn log_view(&self, applied: Seq, of: Option<Epoch>) -> Result<LogView, StoreFault> {
        self.inner.log_view(applied, of)
    }

    fn changes(&self, after: Seq, limit: Limit) -> Result<(Position, Vec<Change>), StoreFault> {
        let (head, mut changes) = self.inner.changes(after, limit)?;
        let hole = self.mood.lock().unwrap().hole;
        changes.retain(|change| Some(change.seq) != hole);
        Ok((head, changes))
    }

    fn walk(&self, after: &[u8], limit: Limit) -> Result<WalkPage, StoreFault> {
        self.inner.walk(after, limit)
    }

    fn records(&self, keys: &[bytes::Bytes]) -> Result<EntryBatch, StoreFault> {
        self.inner.records(keys)
    }

    fn writable(&self) -> Result<(), StoreFault> {
        self.inner.writable()
    }

    fn key_rows(&self) -> &dyn KeyRows {
        self
    }

    fn close(&self) {
        self.inner.close();
    }
}

impl DomainRows for MoodyStore {
    fn domains(&self) -> Result<(Position, Vec<DomainRow>), StoreFault> {
        self.check()?;
        self.inner.domains()
    }

    fn domains_version(&self) -> Result<(Epoch, Seq), StoreFault> {
        self.check()?;
        self.inner.domains_version()
    }

    fn last_domain_gone(&self) -> Result<Seq, StoreFault> {
        self.check()?;
        self.inner.last_domain_gone()
    }

    fn write_domain(&self, item: &DomainItem, now: i64) -> Result<DomainCommitReport, StoreFault> {
        self.check()?;
        self.inner.write_domain(item, now)
    }
}

impl EdgeReports for MoodyStore {}

impl Tags for MoodyStore {
    fn tagged(
        &self,
        tag: &LinkTag,
        prefix: &[u8],
        after: &[u8],
        limit: Limit,
    ) -> Result<ListPage, StoreFault> {
        let listed = self.inner.tagged(tag, prefix, after, limit)?;
        let between = std::mem::take(&mut self.mood.lock().unwrap().between);
        if !between.is_empty() {
            self.inner.commit(&between, 1)?;
        }
        Ok(listed)
    }

    fn newest_tagged(
        &self,
        tag: &LinkTag,
        time: TimeOrder,
        behind: (i64, &[u8]),
        limit: Limit,
    ) -> Result<ListPage, StoreFault> {
        self.inner.newest_tagged(tag, time, behind, limit)
    }

    fn count_tagged(&self, tag: &LinkTag, most: usize) -> Result<Option<u64>, StoreFault> {
        self.inner.count_tagged(tag, most)
    }

    fn tags(
        &self,
        domain: DomainId,
        prefix: &str,
        after: &str,
        limit: TagLimit,
    ) -> Result<Option<TagPage>, StoreFault> {
        self.inner.tags(domain, prefix, after, limit)
    }

    fn is_renaming(&self, rename: &TagRename) -> Result<bool, StoreFault> {
        self.inner.is_renaming(rename)
    }

    fn note_renaming(&self, rename: &TagRename, ends: bool) -> Result<(), StoreFault> {
        self.inner.note_renaming(rename, ends)
    }
}

impl BlockRows for MoodyStore {
    fn blocked(&self, asked: &BTreeSet<TargetHost>) -> Result<BTreeSet<TargetHost>, StoreFault> {
        self.inner.blocked(asked)
    }

    fn blocks(&self, after: &str, most: usize) -> Result<Vec<BlockRow>, StoreFault> {
        self.inner.blocks(after, most)
    }

    fn block(&self, host: &TargetHost) -> Result<Option<BlockRow>, StoreFault> {
        self.inner.block(host)
    }

    fn unfinished_blocks(&self) -> Result<Vec<BlockRow>, StoreFault> {
        self.inner.unfinished_blocks()
    }

    fn write_block(&self, item: &BlockItem, now: i64) -> Result<BlockVerdict, StoreFault> {
        self.check()?;
        self.inner.write_block(item, now)
    }

    fn count_led_to(&self, host: &TargetHost) -> Result<u64, StoreFault> {
        self.inner.count_led_to(host)
    }

    fn led_to(
        &self,
        host: &TargetHost,
        after: Option<&HostIndexPlace>,
        most: usize,
    ) -> Result<HostLinks, StoreFault> {
        self.inner.led_to(host, after, most)
    }

    fn not_indexed(&self, after: &[u8], most: usize) -> Result<Vec<Row>, StoreFault> {
        self.inner.not_indexed(after, most)
    }

    fn kept_by(&self, host: &TargetHost, after: &[u8], most: usize) -> Result<Vec<Row>, StoreFault> {
        self.inner.kept_by(host, after, most)
    }
}

impl Audits for MoodyStore {
    fn writes(&self, key: &Key, most: Seq, limit: usize) -> Result<LinkPast, StoreFault> {
        self.inner.writes(key, most, limit)
    }

    fn write_after(&self, key: &Key, moment: Moment) -> Result<LinkPast, StoreFault> {
        self.inner.write_after(key, moment)
    }

    fn chunk(&self, seq: Seq) -> Result<Option<NotedAuthor>, StoreFault> {
        self.inner.chunk(seq)
    }

    fn noted(&self, name: &str, below: i64, limit: usize) -> Result<Vec<ResourceWrite>, StoreFault> {
        self.inner.noted(name, below, limit)
    }
}
