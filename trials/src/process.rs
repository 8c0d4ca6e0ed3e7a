//! A child process that says where it listens, takes signals, and never outlives the trial.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// For a start or an end on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The linkr beside this program, or the one that `LINKR_BIN` names.
///
/// # Errors
/// There is none.
pub fn linkr() -> Result<PathBuf, String> {
    let beside = || {
        let own = std::env::current_exe().ok()?;
        Some(own.with_file_name("linkr"))
    };
    let path = std::env::var_os("LINKR_BIN").map(PathBuf::from).or_else(beside).unwrap_or_default();
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("there is no {}: build linkr with the same profile, or set LINKR_BIN", path.display()))
    }
}

/// A command that sees nothing of the settings of whoever runs the trial.
pub fn command(program: &Path, dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).args(words).stdin(Stdio::null()).env_remove("RUST_LOG");
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"LINKR_") {
            command.env_remove(name);
        }
    }
    command
}

/// A running process; killed when it is dropped.
pub struct Process {
    child: Child,
    said: HashMap<String, String>,
}

impl Process {
    /// Starts it and waits until it has printed a line for each word of `wanted`. Its errors go behind those in `log`.
    ///
    /// # Errors
    /// It does not start, with the end of its log.
    pub fn start(mut command: Command, log: &Path, wanted: &[&str]) -> Result<Self, String> {
        let cannot =
            |fault: std::io::Error| format!("cannot start {command:?}: {fault}", command = log.display());
        let errors = File::options().create(true).append(true).open(log).map_err(cannot)?;
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().map_err(cannot)?;
        let (send, lines) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    let _ = send.send(line); // read to the end, so that it never blocks
                }
            });
        }
        let mut process = Self { child, said: HashMap::new() };
        let began = Instant::now();
        while wanted.iter().any(|word| !process.said.contains_key(*word)) {
            let Ok(line) = lines.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) else {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                let end: Vec<&str> = text.lines().rev().take(5).collect();
                return Err(format!("linkr did not start; the last lines of its log: {end:?}"));
            };
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            process.said.insert(word.to_owned(), rest.trim().to_owned());
        }
        Ok(process)
    }

    /// The address in what it printed behind a word.
    ///
    /// # Errors
    /// There is none.
    pub fn address(&self, word: &str) -> Result<SocketAddr, String> {
        let said = self.said.get(word).and_then(|said| said.split_whitespace().next());
        let address = said.and_then(|url| url.split_once("://")?.1.parse().ok());
        address.ok_or_else(|| format!("linkr did not say where its {word} is"))
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name. (The shell's own kill: there is one everywhere.)
    pub fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.child.id());
        let _ = Command::new("sh").args(["-c", &line]).status();
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it has ended, with status 0.
    ///
    /// # Errors
    /// With another one.
    pub fn ended(&mut self) -> Result<bool, String> {
        match self.child.try_wait() {
            Ok(None) => Ok(false),
            Ok(Some(status)) if status.success() => Ok(true),
            Ok(Some(status)) => Err(format!("it ended with {status}")),
            Err(fault) => Err(fault.to_string()),
        }
    }

    /// SIGTERM, and waits until it is gone.
    ///
    /// # Errors
    /// It does not end, or not with status 0.
    pub fn stop(&mut self) -> Result<(), String> {
        self.signal("TERM");
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.ended()? {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err("it does not end".to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A directory of its own; gone at the end, unless it is kept.
pub struct Dir {
    path: PathBuf,
    kept: bool,
}

impl Dir {
    /// Makes it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("linkr-trials-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|fault| format!("cannot make {}: {fault}", path.display()))?;
        Ok(Self { path, kept: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it there, for whoever wants to know what happened.
    pub fn keep(&mut self) -> &Path {
        self.kept = true;
        &self.path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// The wall clock, for numbers that should differ from run to run.
pub fn unix_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(0)
}
