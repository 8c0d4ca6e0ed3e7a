//! Stores of one test, and batches for them. No assertion is here.

use clicks::batch::{self, Batch};
use clicks::ledger::Offer;
use clicks::{Click, Country, Device, Kind, Language};
use link::{DomainId, Seq};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use store::port::Repository;
use store::port::clicks::{AppendOutcome, Appended, BatchSender, ClickQuestion, ClickStore, TopQuestion};
use store::postgres::Postgres;
use store::sqlite::Sqlite;

pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;
/// The beginning of a day: 2026-11-01, 00:00 UTC.
pub const START: i64 = 20_758 * DAY;
/// A time when whatever began at [`START`] is packed.
pub const LATER: i64 = START + 40 * DAY;
pub const DOMAIN: DomainId = DomainId(3);

/// A folder that goes when the test does.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("linkr-clicks-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn db(&self) -> PathBuf {
        self.0.join("linkr.db")
    }

    pub fn sqlite(&self) -> Sqlite {
        Sqlite::open(&self.db(), store::sqlite::Options::default()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

static SHARED: Mutex<Weak<services::Postgres>> = Mutex::new(Weak::new());

/// A database of one test.
pub struct Database {
    server: Arc<services::Postgres>,
    name: String,
}

impl Database {
    /// An empty one, or the reason to skip the test is printed.
    pub fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let server = match shared.upgrade() {
            Some(server) => server,
            None => match services::Postgres::start(&["fsync=off"]) {
                Ok(server) => Arc::new(server),
                Err(fault @ services::ServerFault::Missing(_)) => {
                    println!("SKIPPED: {fault}");
                    return None;
                }
                Err(fault) => panic!("{fault}"),
            },
        };
        *shared = Arc::downgrade(&server);
        let name = format!("c{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        server.create(&name).unwrap();
        Some(Self { server, name })
    }

    pub fn open(&self) -> Postgres {
        let options = store::postgres::Options { url: self.server.url(&self.name), ..Default::default() };
        Postgres::open(&options).unwrap()
    }

    pub fn sql(&self, sql: &str) -> String {
        self.server.psql(&self.name, sql).unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let _ = self.server.psql("postgres", &drop);
    }
}

/// Runs a case over each kind of store, as two controls see it where that can be.
pub fn each(case: impl Fn(&dyn ClickStore, &dyn ClickStore)) {
    let folder = Folder::new();
    let store = folder.sqlite();
    case(store.clicks(), store.clicks());
    if let Some(db) = Database::new() {
        let (one, other) = (db.open(), db.open());
        case(one.clicks(), other.clicks());
    }
}

/// The link of the domain with the most clicks of any kind between [`START`] and [`LATER`].
pub fn most_clicked() -> TopQuestion {
    TopQuestion { domain: DOMAIN, from: START, until: LATER, kinds: Kind::ALL.to_vec(), links: None, most: 1 }
}

/// A click of a person.
pub fn click(uid: Seq, at: i64) -> Click {
    Click {
        at,
        domain: DOMAIN,
        uid,
        version: uid,
        kind: Kind::Human,
        country: Country(*b"DE"),
        browser: "Firefox".into(),
        os: "Linux".into(),
        device: Device::Desktop,
        referrer: "".into(),
        language: Language(*b"de"),
        visitor: 0,
        agent: 7,
    }
}

/// An edge with one spool.
pub struct Edge {
    pub name: &'static str,
    pub spool: u64,
    pub seq: u64,
    pub last_no: u64,
}

impl Edge {
    pub fn new(name: &'static str, spool: u64) -> Self {
        Self { name, spool, seq: 0, last_no: 0 }
    }

    /// The next batch, which it counts as sent.
    pub fn batch(&mut self, change: impl FnOnce(&mut Batch)) -> Appended {
        let mut batch = Batch::new(self.last_no + 1, 1);
        change(&mut batch);
        self.seq += 1;
        self.last_no = batch.last_no();
        let offer = Offer { seq: self.seq, first_no: batch.first_no, last_no: batch.last_no(), first: false };
        Appended {
            sender: BatchSender {
                edge: self.name.into(),
                key: format!("key of {}", self.name).into(),
                bound: true,
            },
            spool: self.spool,
            offer,
            bytes: batch::encode(&batch).into(),
            batch: Arc::new(batch),
        }
    }

    /// The next batch with these clicks, taken.
    pub fn send(&mut self, store: &dyn ClickStore, clicks: Vec<Click>, now: i64) {
        let offered = self.batch(|batch| batch.clicks = clicks);
        assert_eq!(store.append(&[offered], now).unwrap(), [AppendOutcome::Taken(self.seq)]);
    }
}

/// Folds all that there is.
pub fn fold(store: &dyn ClickStore, now: i64) {
    while store.fold(now).unwrap().more {}
}

/// Tidies until nothing is left to do.
pub fn tidy(store: &dyn ClickStore, now: i64) {
    while store.tidy(now).unwrap() {}
}

/// All clicks of links, or of the domain.
pub fn of(links: Option<Vec<Seq>>) -> ClickQuestion {
    ClickQuestion {
        domain: DOMAIN,
        links,
        until: START + 4_000 * DAY,
        most: 1_000,
        ..ClickQuestion::default()
    }
}

/// Runs a test of this suite as a process of its own, with the store's file in `variable`, and kills it when `read` has what
/// it wants of its lines. The process goes on while `read` reads: the kill meets it anywhere.
pub fn killed<T>(
    test: &str,
    variable: &str,
    folder: &Folder,
    read: impl FnOnce(&mut dyn Iterator<Item = String>) -> T,
) -> T {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(variable, folder.db())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let found = read(&mut BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok));
    process.kill().unwrap();
    process.wait().unwrap();
    found
}
