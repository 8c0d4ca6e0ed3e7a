//! Connections, and what is done when one breaks: what may pass is tried again, what was replaced is not gone on with.

use super::seen::SeenPositions;
use crate::model::StoreFault;
use deadpool_postgres::{Object, Pool, PoolError};
use link::Position;
use proto::client::ClientFault;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::types::{ToSql, Type};

/// How long a read is tried again for. Who asks has others to ask.
pub(super) const READ: Duration = Duration::from_secs(1);
/// How long a write is tried again for: a server that was killed is back by then.
pub(super) const WRITE: Duration = Duration::from_secs(8);
/// For one try, whatever becomes of the network. The server's own limits are shorter.
const ONE_TRY: Duration = Duration::from_secs(30);
/// Between two tries, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(400));

/// What every transaction that writes begins with. The head's lock is held for the time of one commit by whoever has it.
/// The last setting is our own: what a control of before writes, which does not make it, is noted for the index of tags.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = '20s'; \
                                SET LOCAL lock_timeout = '5s'; SET LOCAL synchronous_commit = on; \
                                SET LOCAL linkr.keeps_tags = 'yes'";

/// What it ends with. Without a limit of time: a commit that waits for a standby and is cancelled there is called done.
/// Its own fault is looked at last: behind a statement that failed it says only that the transaction is aborted, and the
/// cause decides whether another try is worth it.
pub(super) const COMMIT: &str = "SET LOCAL statement_timeout = 0; COMMIT";

/// The reason why one try of a call failed.
#[derive(Debug)]
pub(super) enum TryFault {
    /// It may pass: another try is worth it.
    Passing(String),
    /// It stays.
    Fault(StoreFault),
}

/// A look at a new connection, before anything else is asked of it.
pub(super) type Greeting =
    for<'a> fn(&'a Db<'_>) -> Pin<Box<dyn Future<Output = Result<(), TryFault>> + Send + 'a>>;

/// The pool, its runtime, and what this process knows of the history.
#[derive(Debug)]
pub(super) struct Connections {
    pool: Pool,
    handle: Handle,
    runtime: Mutex<Option<Runtime>>,
    known: Mutex<SeenPositions>,
    auto_fork: bool,
    greet: Greeting,
    replaced: AtomicBool,
    synchronous: AtomicBool,
    /// A call found the disk full, and none has shown since that there is room.
    full: AtomicBool,
}

/// A connection for one try.
pub(super) struct Db<'a> {
    client: Object,
    all: &'a Connections,
    /// Nothing was asked on it before: it leads where new connections lead.
    pub(super) fresh: bool,
}

impl Connections {
    pub(super) fn new(pool: Pool, runtime: Runtime, auto_fork: bool, greet: Greeting) -> Self {
        Self {
            pool,
            handle: runtime.handle().clone(),
            runtime: Mutex::new(Some(runtime)),
            known: Mutex::default(),
            auto_fork,
            greet,
            replaced: AtomicBool::new(false),
            synchronous: AtomicBool::new(false),
            full: AtomicBool::new(false),
        }
    }

    /// Runs a call until it is done, it cannot be, or time is up. Blocks. A try that failed takes its connection with it,
    /// and the server rolls back what was under way.
    pub(super) fn call<T>(
        &self,
        patience: Duration,
        mut call: impl AsyncFnMut(&Db) -> Result<T, TryFault>,
    ) -> Result<T, StoreFault> {
        if self.pool.is_closed() {
            return Err(StoreFault::Unavailable("it is closed".into()));
        }
        self.handle.block_on(async {
            let (end, mut pause) = (Instant::now() + patience, PAUSE.0);
            loop {
                let tried = tokio::time::timeout(ONE_TRY, self.one(&mut call)).await;
                let why = match tried.unwrap_or_else(|_| Err(TryFault::Passing("no answer came".into()))) {
                    Ok(answer) => return Ok(answer),
                    Err(TryFault::Fault(fault)) => {
                        if fault == StoreFault::Full {
                            self.set_full(true);
                        }
                        return Err(fault);
                    }
                    Err(TryFault::Passing(why)) => why,
                };
                if Instant::now() + pause > end || self.pool.is_closed() {
                    return Err(StoreFault::Unavailable(why));
                }
                tracing::debug!(name: "store_retry", why, "the database is asked again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        })
    }

    async fn one<T>(&self, call: &mut impl AsyncFnMut(&Db) -> Result<T, TryFault>) -> Result<T, TryFault> {
        let client = self.pool.get().await.map_err(|e| match e {
            PoolError::Backend(e) => TryFault::from(e),
            other => TryFault::Passing(other.to_string()),
        })?;
        let new = Object::metrics(&client).recycle_count == 0;
        let db = Db { client, all: self, fresh: new };
        let done = match if new { (self.greet)(&db).await } else { Ok(()) } {
            Ok(()) => call(&db).await,
            Err(trouble) => Err(trouble),
        };
        if done.is_err() {
            drop(Object::take(db.client));
        }
        done
    }

    pub(super) fn connections(&self) -> crate::model::PoolCounts {
        let status = self.pool.status();
        let idle = status.available;
        crate::model::PoolCounts {
            in_use: status.size.saturating_sub(idle),
            idle,
            most: status.max_size,
            waiting: status.waiting,
        }
    }

    pub(super) fn known(&self) -> MutexGuard<'_, SeenPositions> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn auto_fork(&self) -> bool {
        self.auto_fork
    }

    /// Whether the history was replaced and nobody may say so but a person.
    pub(super) fn is_replaced(&self) -> bool {
        self.replaced.load(Relaxed)
    }

    /// Notes it; whether it was so before.
    pub(super) fn set_replaced(&self, replaced: bool) -> bool {
        self.replaced.swap(replaced, Relaxed)
    }

    /// R2: who meets another history looks again, with connections that are all made from now on. Those in use are found
    /// out by what they answer.
    pub(super) fn drop_idle(&self) {
        self.pool.retain(|_, _| false);
    }

    /// Whether a commit waits for a second server, as the last connection saw it.
    pub(super) fn synchronous(&self) -> bool {
        self.synchronous.load(Relaxed)
    }

    pub(super) fn set_synchronous(&self, synchronous: bool) {
        self.synchronous.store(synchronous, Relaxed);
    }

    /// The disk was full when a call last said anything of it.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Relaxed)
    }

    pub(super) fn set_full(&self, full: bool) {
        self.full.store(full, Relaxed);
    }

    pub(super) fn close(&self) {
        self.pool.close();
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        runtime.into_iter().for_each(Runtime::shutdown_background);
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.close(); // a runtime that is dropped on an async thread would panic
    }
}

/// Parameters with their types, so that nothing has to be prepared: behind a PgBouncer the next statement may be another
/// server connection's.
pub(super) type Params<'a> = &'a [Param<'a>];
/// One of them.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

impl Db<'_> {
    pub(super) fn all(&self) -> &Connections {
        self.all
    }

    /// The rows of one statement.
    pub(super) async fn rows(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, TryFault> {
        Ok(self.client.query_typed(sql, params).await?)
    }

    /// Statements without parameters.
    pub(super) async fn run(&self, sql: &str) -> Result<(), TryFault> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// What was read is known from now on.
    pub(super) fn note(&self, head: Position) -> Position {
        self.all.known().note(head);
        self.all.set_replaced(false);
        head
    }
}

impl From<tokio_postgres::Error> for TryFault {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else {
            return Self::Passing(ClientFault::of(&error).to_string());
        };
        let (code, why) = (said.code(), format!("{} ({})", said.message(), said.code().code()));
        let passing = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::READ_ONLY_SQL_TRANSACTION, // it has become a standby: the next connection finds the primary
        ];
        // The server ends this session or itself, and may have committed what was under way all the same.
        let ends = matches!(said.parsed_severity(), Some(Severity::Panic))
            || *code == SqlState::DISK_FULL && said.parsed_severity() == Some(Severity::Fatal);
        match code {
            _ if ends => Self::Passing(why),
            code if passing.contains(code) || code.code().starts_with("08") => Self::Passing(why),
            code if *code == SqlState::DISK_FULL => Self::Fault(StoreFault::Full),
            code if *code == SqlState::DATA_CORRUPTED || *code == SqlState::INDEX_CORRUPTED => {
                Self::Fault(StoreFault::Corrupt(why))
            }
            _ => Self::Fault(StoreFault::Unavailable(why)),
        }
    }
}

impl From<StoreFault> for TryFault {
    fn from(fault: StoreFault) -> Self {
        Self::Fault(fault)
    }
}

/// A number of the log or a counter: never negative in what we have written.
pub(super) fn number(row: &Row, column: usize) -> Result<u64, TryFault> {
    let wrong =
        || StoreFault::Corrupt(format!("column {} holds a negative number", row.columns()[column].name()));
    Ok(u64::try_from(row.try_get::<_, i64>(column).map_err(|e| corrupt(&e))?).map_err(|_| wrong())?)
}

/// A counter or random half of an epoch.
pub(super) fn half(row: &Row, column: usize) -> Result<u32, TryFault> {
    let wrong = |_| StoreFault::Corrupt("an epoch is out of range".into());
    Ok(u32::try_from(number(row, column)?).map_err(wrong)?)
}

/// A column of another type than the tables say.
pub(super) fn corrupt(error: &tokio_postgres::Error) -> TryFault {
    TryFault::Fault(StoreFault::Corrupt(error.to_string()))
}
