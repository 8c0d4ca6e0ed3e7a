//! `linkr backup` of a database: pg_dump, in the snapshot in which its position was read. Nothing of linkr is written.

use super::open::{Options, name};
use crate::unfinished_file::UnfinishedFile;
use link::{Epoch, Position};
use std::path::Path;
use std::process::{Command, Stdio};
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config};

/// A backup that was made.
#[derive(Debug)]
pub struct DumpReport {
    /// Where the log ends in it.
    pub head: Position,
    /// What made it, without a password.
    pub command: String,
}

/// Copies the database by `pg_dump` into a file that is not there yet. Blocks.
///
/// # Errors
/// What to do about it, in one line.
pub fn dump(options: &Options, to: &Path) -> Result<DumpReport, String> {
    let shown = to.display();
    if to.symlink_metadata().is_ok() {
        return Err(format!("{shown} is there already, and a backup replaces nothing: give another name"));
    }
    let url = options.direct.as_ref().unwrap_or(&options.url);
    let (config, tls) = options.parsed_direct()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    let at = name(&config);
    let failed = |e: tokio_postgres::Error| {
        let why = std::error::Error::source(&e).map_or(String::new(), |source| format!(": {source}"));
        format!("cannot read {at}: {e}{why}")
    };
    let (client, connection) = runtime.block_on(config.connect(tls)).map_err(failed)?;
    runtime.spawn(connection);
    let (head, snapshot) = runtime.block_on(snapshot(&client)).map_err(failed)?;
    let new = UnfinishedFile::new(to).map_err(|e| format!("cannot write {shown}: {e}"))?;
    // The keys of days are in an unlogged table, and in no backup.
    let arguments = [
        "--format=custom".to_owned(),
        "--no-unlogged-table-data".to_owned(),
        format!("--snapshot={snapshot}"),
    ];
    let mut command = Command::new("pg_dump");
    command.args(&arguments).arg("--file").arg(new.path()).stdin(Stdio::null()).stdout(Stdio::null());
    reach(&mut command, &config, url);
    let done = command.output().map_err(|e| {
        format!("cannot run pg_dump ({e}): install PostgreSQL's client programs, of the server's version or a later one")
    })?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(format!("pg_dump did not copy {at}: {}", said.trim().replace('\n', "; ")));
    }
    drop(client); // the snapshot has to live for as long as it is read
    new.becomes(to).map_err(|e| format!("cannot write {shown}: {e}"))?;
    Ok(DumpReport { head, command: format!("pg_dump {} --file {shown}", arguments.join(" ")) })
}

/// The end of the log, and the name of the snapshot in which it is that; it ends with the connection.
async fn snapshot(client: &Client) -> Result<(Position, String), tokio_postgres::Error> {
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let sql = "SELECT epoch_counter::int8, epoch_random::int8, head::int8, tag::int8, pg_export_snapshot() FROM log_head";
    let rows = client.query_typed(sql, &[]).await?;
    let row = &rows[0]; // every store has it from its first start on
    let number = |at| row.try_get::<_, i64>(at);
    let epoch = Epoch { counter: number(0)? as u32, random: number(1)? as u32 };
    let (seq, tag) = (number(2)?.cast_unsigned(), number(3)?.cast_unsigned());
    Ok((Position { epoch, seq, tag }, row.try_get(4)?))
}

/// By its environment: others can read the arguments of a process.
fn reach(command: &mut Command, config: &Config, url: &str) {
    let host = |host: &Host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    };
    let hosts: Vec<String> = config.get_hosts().iter().map(host).collect();
    let ports: Vec<String> = config.get_ports().iter().map(u16::to_string).collect();
    command.env("PGHOST", hosts.join(",")).env("PGTARGETSESSIONATTRS", "read-write");
    let database = config.get_dbname().or(config.get_user());
    let password = config.get_password().map(|secret| String::from_utf8_lossy(secret).into_owned());
    let given = [
        ("PGPORT", Some(ports.join(",")).filter(|ports| !ports.is_empty())),
        ("PGUSER", config.get_user().map(str::to_owned)),
        ("PGDATABASE", database.map(str::to_owned)),
        ("PGPASSWORD", password),
    ];
    for (name, value) in given {
        command.envs(value.map(|value| (name, value)));
    }
    for pair in url.split_once('?').map_or("", |(_, query)| query).split('&') {
        match pair.split_once('=') {
            Some(("sslmode", mode)) => command.env("PGSSLMODE", mode),
            Some(("sslrootcert", file)) => command.env("PGSSLROOTCERT", file),
            _ => continue,
        };
    }
}

/// What puts a database back: its own programs, and then linkr is told.
pub fn how_to_restore(options: &Options, from: &Path) -> String {
    let at = options.parsed().map_or_else(|_| "the database".into(), |(config, _)| name(&config));
    format!(
        "{at} is put back by its own programs: stop every control; pg_restore --clean --if-exists --single-transaction \
         --dbname URL {}; linkr control --store URL bump-epoch --above N, with the highest history that linkr feed status \
         or the log of a control has named; start the controls",
        from.display()
    )
}
