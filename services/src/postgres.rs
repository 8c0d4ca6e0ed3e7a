//! A PostgreSQL cluster of its own: as the user postgres where we are root, which it refuses to be.

mod standby;

use crate::{Disk, Folder, Process, ServerFault, Volume, free_port, program};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The owner's password. It keeps nobody out; a server that asks for one is like the real ones.
const PASSWORD: &str = "secret";
/// For a start, with or without recovery, and for any of its programs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server that is given in the environment, or one of our own.
#[derive(Debug)]
pub struct Postgres {
    at: ServerAddress,
    own: Option<OwnPostgres>,
}

/// Where it listens, and as whom it is asked.
#[derive(Clone, Debug)]
struct ServerAddress {
    bin: PathBuf,
    /// Up to the host and its port.
    server: String,
}

/// Fields are dropped in this order: the folder goes last.
#[derive(Debug)]
struct OwnPostgres {
    process: Process,
    disk: Option<Disk>,
    settings: Vec<String>,
    owner: Option<(u32, u32)>,
    port: u16,
    folder: Folder,
}

impl Postgres {
    /// A fresh cluster; or the server that `LINKR_TEST_POSTGRES` names, which can be neither killed nor stopped.
    /// `settings`: more of them, as `fsync=off`. Without that one a commit is on disk.
    ///
    /// # Errors
    /// [`ServerFault`]
    pub fn start(settings: &[&str]) -> Result<Self, ServerFault> {
        Self::start_in(settings, Volume::Disk)
    }

    /// The same with its data in a place of its own.
    ///
    /// # Errors
    /// [`ServerFault::Missing`] where [`Volume::Own`] is not permitted, else [`ServerFault`].
    pub fn start_in(settings: &[&str], place: Volume) -> Result<Self, ServerFault> {
        let bin = newest();
        if let Ok(url) = std::env::var("LINKR_TEST_POSTGRES") {
            let path = url.find("://").and_then(|at| url[at + 3..].find('/').map(|more| at + 3 + more));
            return Ok(Self {
                at: ServerAddress { bin, server: url[..path.unwrap_or(url.len())].to_owned() },
                own: None,
            });
        }
        let owner = owner()?;
        let kept = !settings.contains(&"fsync=off");
        let folder =
            if kept { Folder::new("postgres", owner)? } else { Folder::in_memory("postgres", owner)? };
        let disk = place.made(&folder.path().join("data"), owner)?;
        let pw = folder.path().join("pw");
        fs::write(&pw, PASSWORD).map_err(|e| ServerFault::Failed(e.to_string()))?;
        let _ = owner.map(|(uid, gid)| std::os::unix::fs::chown(&pw, Some(uid), Some(gid)));
        let (initdb, data) = (program("initdb", std::slice::from_ref(&bin))?, folder.path().join("data"));
        let pwfile = format!("--pwfile={}", pw.display());
        let words = [
            "-D",
            &text(&data),
            "--username=postgres",
            &pwfile,
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ];
        run(&initdb, &words, folder.path(), owner)?;
        Self::on(bin, folder, disk, owner, settings.iter().map(|&one| one.to_owned()).collect())
    }

    /// A server on the data in `folder`.
    fn on(
        bin: PathBuf,
        folder: Folder,
        disk: Option<Disk>,
        owner: Option<(u32, u32)>,
        settings: Vec<String>,
    ) -> Result<Self, ServerFault> {
        let port = free_port()?;
        let process = spawn(&bin, &folder, owner, port, &settings)?;
        let at = ServerAddress { bin, server: format!("postgres://postgres:{PASSWORD}@127.0.0.1:{port}") };
        let mut new = Self { at, own: Some(OwnPostgres { process, disk, settings, owner, port, folder }) };
        new.wait()?;
        Ok(new)
    }

    /// The address of a database in it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("{}/{database}", self.at.server)
    }

    /// The same for another role, with its password.
    #[must_use]
    pub fn url_as(&self, role: &str, password: &str, database: &str) -> String {
        let host = self.at.server.rsplit('@').next().unwrap_or_default().trim_start_matches("postgres://");
        format!("postgres://{role}:{password}@{host}/{database}")
    }

    /// An empty database of this name; one that is there is dropped first.
    ///
    /// # Errors
    /// [`ServerFault::Failed`]
    pub fn create(&self, database: &str) -> Result<String, ServerFault> {
        self.psql("postgres", &format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"))?;
        self.psql("postgres", &format!("CREATE DATABASE {database}"))?;
        Ok(self.url(database))
    }

    /// What some SQL answers: a line a row, columns parted by `|`.
    ///
    /// # Errors
    /// [`ServerFault::Failed`] with what psql says.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, ServerFault> {
        self.tool("psql", &["-XqAt", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url(database)])
    }

    /// Runs a script of psql with variables.
    ///
    /// # Errors
    /// [`ServerFault::Failed`] with what psql says.
    pub fn script(
        &self,
        database: &str,
        file: &Path,
        variables: &[(&str, &str)],
    ) -> Result<String, ServerFault> {
        let set: Vec<String> =
            variables.iter().map(|(name, value)| format!("--set={name}={value}")).collect();
        let (file, url) = (text(file), self.url(database));
        let mut words = vec!["-Xq", "-v", "ON_ERROR_STOP=1", "-f", &file];
        words.extend(set.iter().map(String::as_str));
        words.push(&url);
        self.tool("psql", &words)
    }

    /// A whole database as SQL.
    ///
    /// # Errors
    /// [`ServerFault::Failed`]
    pub fn dump(&self, database: &str) -> Result<String, ServerFault> {
        self.tool("pg_dump", &[&self.url(database)])
    }

    /// Puts a database in the place of one of this name, as [`Postgres::dump`] had it.
    ///
    /// # Errors
    /// [`ServerFault::Failed`]
    pub fn restore(&self, database: &str, dump: &str) -> Result<(), ServerFault> {
        self.create(database)?;
        let file = Folder::new("dump", None)?;
        let path = file.path().join("sql");
        fs::write(&path, dump).map_err(|e| ServerFault::Failed(e.to_string()))?;
        let words = ["-Xq", "-v", "ON_ERROR_STOP=1", "-f", &text(&path), &self.url(database)];
        self.tool("psql", &words).map(drop)
    }

    fn tool(&self, name: &str, words: &[&str]) -> Result<String, ServerFault> {
        run(&program(name, std::slice::from_ref(&self.at.bin))?, words, Path::new(""), None)
    }

    /// `SIGKILL` to all of it at once.
    pub fn kill(&mut self) {
        if let Some(own) = &mut self.own {
            own.process.kill();
        }
    }

    /// Ends it in order: what is under way is rolled back.
    ///
    /// # Errors
    /// [`ServerFault::Failed`] when it does not end.
    pub fn stop(&mut self) -> Result<(), ServerFault> {
        self.own.as_mut().map_or(Ok(()), |own| end(&mut own.process, "INT"))
    }

    /// Starts it again, on the same port.
    ///
    /// # Errors
    /// [`ServerFault::Failed`]
    pub fn start_again(&mut self) -> Result<(), ServerFault> {
        let Some(own) = &mut self.own else { return Ok(()) };
        own.process = spawn(&self.at.bin, &own.folder, own.owner, own.port, &own.settings)?;
        self.wait()
    }

    /// Its data finds no room from now on. It may end by that.
    ///
    /// # Errors
    /// [`ServerFault::Failed`]: it has no file system of its own.
    pub fn fill_disk(&self) -> Result<(), ServerFault> {
        self.disk()?.fill()
    }

    /// There is room again; if it has ended, it is started.
    ///
    /// # Errors
    /// [`ServerFault::Failed`]
    pub fn empty_disk(&mut self) -> Result<(), ServerFault> {
        self.disk()?.empty()?;
        self.wait()
    }

    fn disk(&self) -> Result<&Disk, ServerFault> {
        let disk = self.own.as_ref().and_then(|own| own.disk.as_ref());
        disk.ok_or_else(|| ServerFault::Failed("this server has no file system of its own".into()))
    }

    /// What it printed last.
    #[must_use]
    pub fn told(&self) -> String {
        self.own.as_ref().map(|own| own.process.told()).unwrap_or_default()
    }

    /// Its port, if it is our own.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.own.as_ref().map(|own| own.port)
    }

    /// Until it answers. After a kill the shared memory may belong to the last of its processes for a moment.
    fn wait(&mut self) -> Result<(), ServerFault> {
        let began = Instant::now();
        while self.psql("postgres", "SELECT 1").is_err() {
            let Some(own) = &mut self.own else { return Ok(()) };
            if !own.process.is_running() {
                own.process = spawn(&self.at.bin, &own.folder, own.owner, own.port, &own.settings)?;
            }
            if began.elapsed() > PATIENCE {
                return Err(ServerFault::Failed(format!("postgres does not answer: {}", own.process.told())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        // At once, and with all of its processes: one that is killed leaves them to notice by themselves.
        if end(&mut self.process, "QUIT").is_err() {
            self.process.kill();
        }
    }
}

fn spawn(
    bin: &Path,
    folder: &Folder,
    owner: Option<(u32, u32)>,
    port: u16,
    settings: &[String],
) -> Result<Process, ServerFault> {
    let (server, path) = (text(&bin.join("postgres")), folder.path());
    let own = [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        format!("unix_socket_directories={}", path.display()),
        "wal_level=replica".to_owned(),
    ];
    let data = text(&path.join("data"));
    let mut words = vec![server.as_str(), "-D", &data];
    for setting in own.iter().chain(settings) {
        words.extend(["-c", setting]);
    }
    Process::start(&words, &path.join("log"), owner)
}

fn end(process: &mut Process, signal: &str) -> Result<(), ServerFault> {
    let began = Instant::now();
    let _ = process.signal(signal); // it may have ended
    while process.is_running() {
        if began.elapsed() > PATIENCE {
            return Err(ServerFault::Failed(format!("postgres does not end: {}", process.told())));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Runs a program to its end: what it printed.
fn run(
    program: &Path,
    words: &[&str],
    folder: &Path,
    owner: Option<(u32, u32)>,
) -> Result<String, ServerFault> {
    let name = program.display();
    let failed = |why: &str| ServerFault::Failed(format!("{name} failed: {}", why.trim()));
    if folder.as_os_str().is_empty() {
        let done =
            std::process::Command::new(program).args(words).stdin(std::process::Stdio::null()).output();
        let done = done.map_err(|e| failed(&e.to_string()))?;
        let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        return if done.status.success() { Ok(told(&done.stdout)) } else { Err(failed(&told(&done.stderr))) };
    }
    let log = folder.join("setup.log");
    let program = text(program);
    let mut process = Process::start(&[&[program.as_str()], words].concat(), &log, owner)?;
    if process.wait() { Ok(process.told()) } else { Err(failed(&process.told())) }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The newest version's programs, where the system's packages put them.
fn newest() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|entry| entry.path()).max_by_key(|path| number(path));
    newest.unwrap_or_default().join("bin")
}

/// The user postgres, where we are root.
pub(crate) fn owner() -> Result<Option<(u32, u32)>, ServerFault> {
    if !crate::process::is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = users.lines().find_map(|line| {
        let mut fields = line.strip_prefix("postgres:")?.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    user.map(Some).ok_or_else(|| ServerFault::Missing("the user postgres, and so PostgreSQL,".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_outlives_a_kill_and_a_standby_takes_over() {
        let mut server = match Postgres::start(&[]) {
            Err(fault @ ServerFault::Missing(_)) => return println!("SKIPPED: {fault}"),
            server => server.unwrap(),
        };
        if server.own.is_none() {
            return println!("SKIPPED: LINKR_TEST_POSTGRES cannot be killed");
        }
        let folder = server.own.as_ref().unwrap().folder.path().to_owned();
        server.create("one").unwrap();
        server.psql("one", "CREATE TABLE t (n int); INSERT INTO t VALUES (7)").unwrap();
        server.kill();
        assert!(server.psql("one", "SELECT 1").is_err());
        server.start_again().unwrap();
        let mut standby = server.standby(true, Volume::Disk).unwrap();
        server.psql("one", "INSERT INTO t VALUES (8)").unwrap();
        server.stop().unwrap();
        standby.promote().unwrap();
        assert_eq!(standby.psql("one", "INSERT INTO t VALUES (9); SELECT n FROM t").unwrap(), "7\n8\n9");
        let dump = standby.dump("one").unwrap();
        standby.restore("two", &dump).unwrap();
        assert_eq!(standby.psql("two", "SELECT count(*) FROM t").unwrap(), "3");
        drop((server, standby));
        assert!(!folder.exists());
    }
}
