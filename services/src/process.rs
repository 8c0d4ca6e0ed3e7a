//! A program as a child that never outlives this process, its folder, and a port for it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvError, Sender, channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For a start or an end on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a server is not there: one line for people. A test prints it and is skipped when the program is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerFault {
    /// This program is not installed.
    Missing(String),
    /// It did not do what it should.
    Failed(String),
}

impl std::fmt::Display for ServerFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(program) => write!(f, "{program} is not installed"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ServerFault {}

impl From<ServerFault> for String {
    fn from(fault: ServerFault) -> Self {
        fault.to_string()
    }
}

/// Where a program is: on the path, or among the servers, which are not on everybody's. `also` are more folders.
///
/// # Errors
/// [`ServerFault::Missing`]
pub fn program(name: &str, also: &[PathBuf]) -> Result<PathBuf, ServerFault> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = also.iter().cloned().chain(dirs).map(|dir| dir.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| ServerFault::Missing(name.to_owned()))
}

/// Bytes that have to be free in memory before a server's data goes there: a container's share is 64 MiB.
const ROOM_IN_MEMORY: u64 = 4 << 30;

/// Bytes that are free there; 0: there is no such place.
fn room(path: &Path) -> u64 {
    let said = Command::new("df").args(["--block-size=1", "--output=avail"]).arg(path).output();
    let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default();
    said.lines().last().and_then(|line| line.trim().parse().ok()).unwrap_or_default()
}

/// A folder of one server, removed with it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// An empty one below the folder for temporary files. With an owner (uid, gid) it is theirs, if we are root.
    ///
    /// # Errors
    /// [`ServerFault::Failed`]
    pub fn new(name: &str, owner: Option<(u32, u32)>) -> Result<Self, ServerFault> {
        Self::below(&std::env::temp_dir(), name, owner)
    }

    /// An empty one in memory where there is room, else as [`Folder::new`]: for data that no power cut has to spare. Files
    /// that are made and removed by the thousand keep ext4 looking for numbers that were not used lately.
    ///
    /// # Errors
    /// [`ServerFault::Failed`]
    pub fn in_memory(name: &str, owner: Option<(u32, u32)>) -> Result<Self, ServerFault> {
        let memory = Path::new("/dev/shm");
        if room(memory) < ROOM_IN_MEMORY {
            return Self::new(name, owner);
        }
        Self::below(memory, name, owner)
    }

    fn below(folder: &Path, name: &str, owner: Option<(u32, u32)>) -> Result<Self, ServerFault> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = folder.join(format!("linkr-{name}-{}-{number}", std::process::id()));
        let made = || {
            let _ = fs::remove_dir_all(&dir); // of an earlier process of this number
            fs::create_dir_all(&dir)?;
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
            owner.map_or(Ok(()), |(uid, gid)| chown(&dir, Some(uid), Some(gid)))
        };
        made().map_err(|e| ServerFault::Failed(format!("cannot make {}: {e}", dir.display())))?;
        Ok(Self(dir))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running program. Dropping it kills it; so does the end of this process, however it comes.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    /// What it printed behind the first word of a line, by that word.
    said: HashMap<String, String>,
}

/// A command that sees nothing of the settings of whoever runs it.
pub fn command(program: impl AsRef<OsStr>, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).stdin(Stdio::null()).env_remove("RUST_LOG");
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"LINKR_") {
            command.env_remove(name);
        }
    }
    command
}

/// The same command, killed by the kernel with the thread that starts it.
fn bound(command: &Command) -> Command {
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        bound.current_dir(dir);
    }
    bound.stdin(Stdio::null());
    bound
}

impl Process {
    /// Starts `words` with what it prints in `log`. As `owner` (uid, gid), if we are root.
    ///
    /// # Errors
    /// [`ServerFault::Failed`]
    pub fn start(words: &[&str], log: &Path, owner: Option<(u32, u32)>) -> Result<Self, ServerFault> {
        let failed = |e: std::io::Error| ServerFault::Failed(format!("cannot start {}: {e}", words[0]));
        let out = File::options().create(true).append(true).open(log).map_err(failed)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some((uid, gid)) = owner.filter(|_| is_root()) {
            command.args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups"]);
        }
        command.arg("--").args(words).current_dir("/").stdin(Stdio::null());
        command.stdout(out.try_clone().map_err(failed)?).stderr(out);
        Ok(Self { child: spawned(command).map_err(failed)?, log: log.to_owned(), said: HashMap::new() })
    }

    /// Starts a program that prints where it listens, and waits until it has printed a line that begins with each word of
    /// `wanted`. Its errors go behind those in `log`.
    ///
    /// # Errors
    /// [`ServerFault::Failed`] with the end of its log.
    pub fn hear(command: &Command, log: &Path, wanted: &[&str]) -> Result<Self, ServerFault> {
        Self::heard(bound(command), log, wanted, spawned)
    }

    /// The same from this thread, whose rights the program has then; it does outlive this process if that is killed.
    ///
    /// # Errors
    /// As [`Process::hear`].
    pub fn hear_here(command: Command, log: &Path, wanted: &[&str]) -> Result<Self, ServerFault> {
        Self::heard(command, log, wanted, |mut command| command.spawn())
    }

    fn heard(
        mut command: Command,
        log: &Path,
        wanted: &[&str],
        spawn: impl FnOnce(Command) -> std::io::Result<Child>,
    ) -> Result<Self, ServerFault> {
        let shown = command.get_args().last().map_or_else(String::new, |word| word.display().to_string());
        let failed = |e: std::io::Error| ServerFault::Failed(format!("cannot start … {shown}: {e}"));
        let errors = File::options().create(true).append(true).open(log).map_err(failed)?;
        command.stdout(Stdio::piped()).stderr(errors);
        let mut child = spawn(command).map_err(failed)?;
        let (send, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    let _ = send.send(line); // read to the end, so that it never blocks
                }
            });
        }
        let mut process = Self { child, log: log.to_owned(), said: HashMap::new() };
        let began = Instant::now();
        while wanted.iter().any(|word| !process.said.contains_key(*word)) {
            let Ok(line) = lines.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) else {
                return Err(ServerFault::Failed(format!(
                    "it did not start; its log ends: {}",
                    process.told()
                )));
            };
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            process.said.insert(word.to_owned(), rest.trim().to_owned());
        }
        Ok(process)
    }

    /// What it printed behind a word.
    #[must_use]
    pub fn said(&self, word: &str) -> Option<&str> {
        self.said.get(word).map(String::as_str)
    }

    /// The address in that.
    ///
    /// # Errors
    /// [`ServerFault::Failed`] if there is none.
    pub fn address(&self, word: &str) -> Result<SocketAddr, ServerFault> {
        let url = self.said(word).and_then(|said| said.split_whitespace().next());
        let address = url.and_then(|url| url.split_once("://")?.1.parse().ok());
        address.ok_or_else(|| ServerFault::Failed(format!("it did not say where its {word} is")))
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Whether it has ended, and well.
    ///
    /// # Errors
    /// [`ServerFault::Failed`] when it has not ended well.
    pub fn ended(&mut self) -> Result<bool, ServerFault> {
        match self.exited() {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => Err(ServerFault::Failed(format!("it ended with {status}"))),
        }
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// [`ServerFault::Failed`] when it does not, or not well.
    pub fn stop(&mut self) -> Result<(), ServerFault> {
        let _ = self.signal("TERM"); // it may have ended
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.ended()? {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(ServerFault::Failed("it does not end".into()))
    }

    /// Waits for its end: whether all went well.
    pub fn wait(&mut self) -> bool {
        self.child.wait().is_ok_and(|status| status.success())
    }

    /// `SIGKILL`, and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }

    /// Sends a signal by name: `STOP`, `CONT`, `TERM`, `INT`.
    ///
    /// # Errors
    /// [`ServerFault::Failed`] when it has ended.
    pub fn signal(&mut self, name: &str) -> Result<(), ServerFault> {
        let id = self.child.id();
        let gone = || ServerFault::Failed(format!("process {id} has ended"));
        if !matches!(self.child.try_wait(), Ok(None)) {
            return Err(gone());
        }
        signal(id, name).then_some(()).ok_or_else(gone)
    }

    /// The last lines that it printed.
    #[must_use]
    pub fn told(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// Sends a signal to a process by name: `STOP`, `CONT`, `TERM`, `INT`. The process that was sent `STOP` stands still when this ends:
/// until then a thread on another core goes on. `false`: there is no such process, or it goes on after [`STANDS`].
#[must_use]
pub fn signal(id: u32, name: &str) -> bool {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status(); // every shell has one
    let began = Instant::now();
    while name == "STOP" && !stands_still(id) {
        if began.elapsed() > STANDS {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    sent.is_ok_and(|status| status.success())
}

/// How long the threads of a process may take to stand still.
const STANDS: Duration = Duration::from_secs(10);

/// Whether the kernel has stopped every thread of a process. (One that has ended stands still, too.)
fn stands_still(id: u32) -> bool {
    fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with(['T', 't', 'Z', 'X']))
    })
}

/// Starts it on a thread that lives as long as this process: the kernel kills it with the *thread* that started it, and
/// that of a test ends before others are done with what it shares.
fn spawned(command: Command) -> std::io::Result<Child> {
    type SpawnRequest = (Command, Sender<std::io::Result<Child>>);
    static KEEPER: LazyLock<Mutex<Sender<SpawnRequest>>> = LazyLock::new(|| {
        let (ask, asked) = channel::<SpawnRequest>();
        std::thread::spawn(move || {
            for (mut command, answer) in asked {
                let _ = answer.send(command.spawn()); // whoever asked waits below
            }
        });
        Mutex::new(ask)
    });
    let (answer, child) = channel();
    let keeper = KEEPER.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let gone = |_| std::io::Error::other("the thread that starts programs has ended");
    keeper.send((command, answer)).map_err(|_| gone(RecvError))?;
    child.recv().map_err(gone)?
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port of loopback that nobody listens on now.
///
/// # Errors
/// [`ServerFault::Failed`]
pub fn free_port() -> Result<u16, ServerFault> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound.map(|at| at.port()).map_err(|e| ServerFault::Failed(format!("no free port: {e}")))
}

/// Whether this process may be anybody.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_killed_with_its_owner() {
        let folder = Folder::new("process", None).unwrap();
        let sleep = program("sleep", &[]).unwrap();
        let log = folder.path().join("log");
        let words = [sleep.to_str().unwrap(), "60"];
        // Not with the thread that started it.
        let started = std::thread::scope(|scope| scope.spawn(|| Process::start(&words, &log, None)).join());
        let mut process = started.unwrap().unwrap();
        assert!(process.is_running());
        process.signal("STOP").unwrap();
        let (id, path) = (process.id(), folder.path().to_owned());
        drop(process);
        drop(folder);
        assert!(!Path::new(&format!("/proc/{id}")).exists() && !path.exists());
        assert_eq!(program("no-such-program", &[]), Err(ServerFault::Missing("no-such-program".into())));
    }
}
