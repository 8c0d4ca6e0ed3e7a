//! How the database is reached and brought up to date. Nothing is read or written for anybody here.

use super::Postgres;
use super::clicks::ClickMemory;
use super::connection::{Connections, READ, WRITE};
use super::words::ServerAddress;
use super::{history, tls};
use crate::model::StoreFault;
use crate::port::Repository;
use crate::schema;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime as PoolRuntime};
use std::time::{Duration, Instant};
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config};

mod migrations {
    refinery::embed_migrations!("../migrations/postgres");
}

/// Connections of one control. A commit has one, the tail, the edges and pings one each; the others read.
pub(super) const CONNECTIONS: usize = 12;
/// For one, with its TLS and its password.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// The number of the lock under which tables are changed: "linkr".
const LOCK: i64 = 0x006c_696e_6b72;

/// How a store on PostgreSQL is reached.
#[derive(Clone, Default)]
pub struct Options {
    /// `postgres://user@host[:port][,host…]/database`, with `sslmode` and `sslrootcert` behind a `?`.
    pub url: String,
    /// The same for changes of the tables, as their owner and past a PgBouncer; `url` if there is none.
    pub direct: Option<String>,
    /// For a URL that has none.
    pub password: Option<String>,
    /// For `direct`; `password` if there is none.
    pub direct_password: Option<String>,
    /// Whether a new history may begin by itself when the database was replaced.
    pub auto_fork: bool,
    /// Whether a primary is always stopped before another one takes its place.
    pub fenced: bool,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").finish_non_exhaustive() // there are passwords in it
    }
}

impl Options {
    /// Whether it can be understood.
    ///
    /// # Errors
    /// What cannot be.
    pub fn check(&self) -> Result<(), String> {
        self.parsed().and_then(|_| self.parsed_direct()).map(drop)
    }

    pub(super) fn parsed(&self) -> Result<(Config, tls::Tls), String> {
        Self::parse(&self.url, self.password.as_ref())
    }

    pub(super) fn parsed_direct(&self) -> Result<(Config, tls::Tls), String> {
        let password = self.direct_password.as_ref().or(self.password.as_ref());
        Self::parse(self.direct.as_ref().unwrap_or(&self.url), password)
    }

    fn parse(url: &str, password: Option<&String>) -> Result<(Config, tls::Tls), String> {
        let (url, tls) = tls::Tls::of_url(url)?;
        let mut config: Config = url.parse().map_err(|e: tokio_postgres::Error| {
            let why = std::error::Error::source(&e).map_or(e.to_string(), ToString::to_string);
            format!("the address of the store is none: {why}")
        })?;
        if let Some(password) = password.filter(|_| config.get_password().is_none()) {
            config.password(password);
        }
        config.ssl_mode(tls.mode());
        // Of several hosts the one that takes writes: a standby may be promoted while we look.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.connect_timeout(CONNECT).tcp_user_timeout(CONNECT * 2).keepalives_idle(CONNECT);
        config.application_name("linkr");
        Ok((config, tls))
    }
}

pub(super) fn open(options: &Options) -> Result<Postgres, String> {
    let (config, tls) = options.parsed()?;
    let name = name(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("postgres")
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    let (direct, direct_tls) = options.parsed_direct()?;
    let flags = match options.direct {
        Some(_) => ["--store-direct", "--store-direct-password-file"],
        None => ["--store", "--store-password-file"],
    };
    let direct_place = place(&direct);
    let asked = ServerAddress { config: &direct, place: &direct_place, flags };
    let migrated = runtime.block_on(migrate(&asked, &name, direct_tls));
    migrated.map_err(|why| format!("cannot use {name}: {why}"))?;
    if options.direct.is_some() {
        let asked = ServerAddress {
            config: &config,
            place: &place(&config),
            flags: ["--store", "--store-password-file"],
        };
        runtime
            .block_on(async { tokio::time::timeout(CONNECT * 2, reach(&asked, tls.clone())).await })
            .unwrap_or_else(|_| Err("no answer came in time".into()))
            .map_err(|why| format!("cannot use {name}: {why}"))?;
    }
    let manager =
        Manager::from_config(config, tls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    let pool = Pool::builder(manager)
        .max_size(CONNECTIONS)
        .wait_timeout(Some(CONNECT))
        .create_timeout(Some(CONNECT * 2))
        .runtime(PoolRuntime::Tokio1)
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    let db = Connections::new(pool, runtime, options.auto_fork, |db| Box::pin(history::greet(db)));
    let control = crate::random::u64().cast_signed();
    let store = Postgres { db, clicks: ClickMemory::default(), name, control, fenced: options.fenced };
    store.head().map_err(|fault| match fault {
        StoreFault::Unavailable(why) => format!("cannot use {}: {why}", store.name),
        fault => format!("cannot use {}: {fault}", store.name),
    })?;
    Ok(store)
}

/// `linkr control bump-epoch`: a person says that what the database holds now is meant. A history begins above `above`;
/// nothing is known to be shared, so every edge begins anew.
///
/// # Errors
/// What to do about it, in one line.
pub fn bump_epoch(options: &Options, above: u32) -> Result<link::Position, String> {
    let store = open(options)?;
    let now = crate::clock::unix_ms();
    let new = store.db.call(WRITE.max(READ), async |db| history::fork(db, above, 0, None, now).await);
    new.map_err(|fault| fault.to_string())
}

/// Without a password.
pub(super) fn name(config: &Config) -> String {
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("postgres {}/{database}", place(config))
}

/// Hosts and their ports.
pub(super) fn place(config: &Config) -> String {
    let ports = config.get_ports();
    let host = |(at, host): (usize, &Host)| {
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(host) => format!("{host}:{port}"),
            Host::Unix(path) => path.display().to_string(),
        }
    };
    let hosts: Vec<String> = config.get_hosts().iter().enumerate().map(host).collect();
    hosts.join(",")
}

/// Under a lock: of two controls that start at once the second finds all done. Only what is quick has an end in time: of a
/// large database the steps take minutes, and with an end they would begin anew with each start, for ever. A server that is
/// gone is noticed by the connection.
async fn migrate(asked: &ServerAddress<'_>, name: &str, tls: tls::Tls) -> Result<(), String> {
    let failed = |e: tokio_postgres::Error| asked.words(&e);
    let connected = tokio::time::timeout(CONNECT * 12, asked.config.connect(tls)).await;
    let (mut client, connection) =
        connected.map_err(|_| "no connection came about in time".to_owned())?.map_err(failed)?;
    let connection = tokio::spawn(connection);
    lock(&client, name).await.map_err(failed)?;
    let runner = steps();
    let latest = schema::latest(&runner);
    let there = version(&client).await.map_err(failed)?;
    schema::check(there, latest)?;
    // Whoever may only read and write rows need not own the tables.
    if there != Some(latest) {
        let began = Instant::now();
        schema::tell_begin(name, there, latest);
        let run = runner.run_async(&mut client).await;
        run.map_err(|e| schema::told(&e).unwrap_or_else(|| asked.words(&e)))?;
        schema::tell_end(name, there, latest, began.elapsed());
    }
    drop(client); // and with it the lock
    connection.abort();
    Ok(())
}

/// Waits for a control that changes the tables at this moment, and says so.
async fn lock(client: &Client, name: &str) -> Result<(), tokio_postgres::Error> {
    let with_number = [(&LOCK as &(dyn ToSql + Sync), Type::INT8)];
    let rows = client.query_typed("SELECT pg_try_advisory_lock($1)", &with_number).await?;
    if !rows[0].try_get::<_, bool>(0)? {
        tracing::info!(name: "tables_locked", store = %name, "another control changes the tables: this one waits");
        client.query_typed("SELECT pg_advisory_lock($1)", &with_number).await?;
    }
    Ok(())
}

/// In one transaction: a start that is ended in between leaves the tables as they were.
fn steps() -> refinery::Runner {
    migrations::migrations::runner().set_grouped(true)
}

/// Whether the role that lives here is let in and may read.
async fn reach(asked: &ServerAddress<'_>, tls: tls::Tls) -> Result<(), String> {
    let failed = |e: tokio_postgres::Error| asked.words(&e);
    let (client, connection) = asked.config.connect(tls).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let read = client.query_typed("SELECT one FROM log_head", &[]).await;
    drop(client);
    connection.abort();
    read.map(drop).map_err(failed)
}

/// The newest version of the tables that this program knows.
pub(super) fn migrations_known() -> i32 {
    schema::latest(&steps())
}

/// The version of the tables that are there, if there are any.
pub(super) async fn version(client: &Client) -> Result<Option<i32>, tokio_postgres::Error> {
    let there = "SELECT to_regclass('refinery_schema_history') IS NOT NULL";
    let there: bool =
        client.query_typed(there, &[]).await?.first().map_or(Ok(false), |row| row.try_get(0))?;
    if !there {
        return Ok(None);
    }
    let rows = client.query_typed("SELECT max(version) FROM refinery_schema_history", &[]).await?;
    rows.first().map_or(Ok(None), |row| row.try_get(0))
}
