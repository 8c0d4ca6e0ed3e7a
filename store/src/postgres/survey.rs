//! What a server says of itself that matters to a store on it. Nothing is written, and no table is made.

use super::open::{CONNECT, CONNECTIONS, Options, migrations_known, place, version};
use super::words::ServerAddress;
use crate::schema::{self, TableSurvey};
use tokio_postgres::Client;

/// What a server said when it was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// Seconds that its clock is ahead of this machine's.
    pub ahead_s: f64,
    /// `synchronous_commit`, as a control's sessions have it.
    pub synchronous_commit: String,
    /// Settings that are off, of those without which a power cut takes what was on disk.
    pub unsafe_settings: Vec<String>,
    /// `synchronous_standby_names`; empty: commits wait for nobody.
    pub standby_names: String,
    /// Servers that copy this one's log now.
    pub standbys: i64,
    /// Those of them that commits wait for; `None` if this role may not know.
    pub synchronous_standbys: Option<i64>,
    /// Whether the role may do everything.
    pub superuser: bool,
    /// Connections that others may still open.
    pub connections_free: i64,
    /// Connections that one control opens at most.
    pub connections_wanted: i64,
    /// The tables that are there.
    pub tables: TableSurvey,
}

const QUESTION: &str = "SELECT extract(epoch FROM clock_timestamp())::float8, current_setting('synchronous_commit'), \
    array_to_string(ARRAY(SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off'), ' '), \
    current_setting('synchronous_standby_names'), (SELECT count(*) FROM pg_stat_replication), \
    (SELECT CASE WHEN count(*) = count(sync_state) THEN count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) END \
     FROM pg_stat_replication), \
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), \
    current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8 \
    - (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL)";

/// Asks the server that takes writes. Blocks for 10 s at most.
///
/// # Errors
/// Why it cannot be asked, in one line.
pub fn survey(options: &Options) -> Result<Survey, String> {
    let (config, tls) = options.parsed()?;
    let place = place(&config);
    let asked = ServerAddress { config: &config, place: &place, flags: ["--store", "--store-password-file"] };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| format!("cannot start: {e}"))?;
    let answer = runtime.block_on(async {
        tokio::time::timeout(CONNECT * 2, async {
            let (client, connection) = config.connect(tls).await?;
            let connection = tokio::spawn(connection);
            let answer = ask(&client).await;
            connection.abort();
            answer
        })
        .await
    });
    match answer {
        Ok(answer) => answer.map_err(|e| asked.words(&e)),
        Err(_) => Err(format!("{place} gives no answer in time")),
    }
}

async fn ask(client: &Client) -> Result<Survey, tokio_postgres::Error> {
    let rows = client.query_typed(QUESTION, &[]).await?;
    let row = &rows[0]; // a SELECT without FROM has one
    let unsafe_settings: String = row.try_get(2)?;
    let (there, known) = (version(client).await?, migrations_known());
    let links = if schema::is_older(there, known) { links(client).await? } else { 0 };
    Ok(Survey {
        ahead_s: row.try_get::<_, f64>(0)? - crate::clock::unix_ms() as f64 / 1000.0,
        synchronous_commit: row.try_get(1)?,
        unsafe_settings: unsafe_settings.split_whitespace().map(str::to_owned).collect(),
        standby_names: row.try_get(3)?,
        standbys: row.try_get(4)?,
        synchronous_standbys: row.try_get(5)?,
        superuser: row.try_get::<_, Option<bool>>(6)?.unwrap_or(false),
        connections_free: row.try_get(7)?,
        connections_wanted: CONNECTIONS as i64,
        tables: TableSurvey::new(there, known, links),
    })
}

/// About how many links there are, as the server has it for its plans. Of a table that it never looked at they are counted.
async fn links(client: &Client) -> Result<u64, tokio_postgres::Error> {
    let question = "SELECT CASE WHEN reltuples < 0 THEN (SELECT count(*) FROM links) ELSE reltuples::int8 END \
         FROM pg_class WHERE oid = to_regclass('links')";
    let rows = client.query_typed(question, &[]).await?;
    let links: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
    Ok(links.max(0).unsigned_abs())
}
