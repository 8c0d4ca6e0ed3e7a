//! What every test needs: a directory, a running linkr, a raw HTTP client, waiting for a condition.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

/// The binary under test.
pub const LINKR: &str = env!("CARGO_BIN_EXE_linkr");
/// Long enough for a slow machine; a test that waits this long fails.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Every port picked by the kernel.
pub const FREE_PORTS: [&str; 4] = ["--api", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

/// What makes an edge run on one driver.
pub const IO_URING: (&str, &str) = ("MONOIO_FORCE_LEGACY_DRIVER", "0");
pub const EPOLL: (&str, &str) = ("MONOIO_FORCE_LEGACY_DRIVER", "1");

static TURNS: RwLock<()> = RwLock::new(());

/// Held by a test that measures time: nothing else of this suite runs beside it.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    TURNS.write().unwrap_or_else(PoisonError::into_inner)
}

/// Held by every other test.
pub fn beside_others() -> RwLockReadGuard<'static, ()> {
    TURNS.read().unwrap_or_else(PoisonError::into_inner)
}

/// Says why a test does not run, even where the output of good tests is swallowed.
pub fn skip(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// Whether a program is there.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// The folder with this file.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Polls until the condition holds.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} for: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs a program to its end, but no longer than `most`: its output, or what it said so far.
pub fn bounded(mut command: Command, dir: &Dir, most: Duration) -> Result<String, String> {
    let log = dir.path().join("output");
    let file = File::create(&log).unwrap();
    let mut child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    let began = Instant::now();
    let good = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.success(),
            None if began.elapsed() > most => {
                let _ = child.kill();
                let _ = child.wait();
                break false;
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let said = fs::read_to_string(&log).unwrap_or_default();
    if good { Ok(said) } else { Err(format!("after {:?}:\n{said}", began.elapsed())) }
}

/// A directory of its own for each test, gone at the end.
pub struct Dir(PathBuf, AtomicU32);

impl Dir {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("linkr-e2e-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).unwrap();
        // Not the same for all tests, and the same for one in every run.
        let first = std::thread::current().name().map_or(0, |test| test.bytes().map(u32::from).sum());
        Self(dir, AtomicU32::new(first))
    }

    /// What starts here takes turns on the drivers: so tests that do not name one meet both, in no more time.
    fn next_driver(&self) -> (&'static str, &'static str) {
        [IO_URING, EPOLL][self.1.fetch_add(1, Ordering::Relaxed) as usize % 2]
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it, as text.
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        fs::write(self.0.join(name), text).unwrap();
        self.file(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A command that sees nothing of the settings of whoever runs the tests.
pub use services::command;

fn set_up(command: &mut Command, dir: &Dir) {
    // Keys have tests of their own, which say LINKR_INSECURE=false.
    if command.get_envs().all(|(name, value)| name != "LINKR_INSECURE" || value.is_none()) {
        command.env("LINKR_INSECURE", "true");
    }
    if command.get_envs().all(|(name, _)| name != IO_URING.0) {
        let (name, value) = dir.next_driver();
        command.env(name, value);
    }
}

/// A running server; killed when it is dropped.
pub struct Linkr {
    process: services::Process,
    stderr: PathBuf,
}

impl Linkr {
    /// `linkr up` with its data in `dir`.
    pub fn up(dir: &Dir) -> Self {
        Self::up_with(dir, &[])
    }

    /// The same with more in its environment.
    pub fn up_with(dir: &Dir, env: &[(&str, &str)]) -> Self {
        let mut words = vec!["up", "--data-dir", "data", "--listen", "127.0.0.1:0", "--workers", "2"];
        words.extend(FREE_PORTS);
        let mut command = command(LINKR, dir.path());
        command.args(words).envs(env.iter().copied());
        Self::start(command, dir, &["edge", "api", "admin", "then"])
    }

    /// `linkr up` that asks for keys, its data where they lie without a flag; the API alone is waited for.
    pub fn up_with_keys(dir: &Dir) -> Self {
        let mut up = command(LINKR, dir.path());
        up.args(["up", "--listen", "127.0.0.1:0", "--workers", "1"]).args(FREE_PORTS);
        up.env("LINKR_INSECURE", "false");
        Self::start(up, dir, &["api", "then"])
    }

    /// Starts a server and waits until it has printed all of `wanted`.
    pub fn start(mut command: Command, dir: &Dir, wanted: &[&str]) -> Self {
        set_up(&mut command, dir);
        Self::started(dir, |stderr| services::Process::hear(&command, stderr, wanted))
    }

    /// The same with the rights of this thread.
    pub fn start_here(mut command: Command, dir: &Dir, wanted: &[&str]) -> Self {
        set_up(&mut command, dir);
        Self::started(dir, |stderr| services::Process::hear_here(command, stderr, wanted))
    }

    fn started(
        dir: &Dir,
        start: impl FnOnce(&Path) -> Result<services::Process, services::ServerFault>,
    ) -> Self {
        let stderr = dir.path().join("stderr");
        let process = start(&stderr).unwrap_or_else(|fault| panic!("{fault}"));
        Self { process, stderr }
    }

    /// What it printed behind a word.
    pub fn said(&self, key: &str) -> &str {
        self.process.said(key).unwrap_or_else(|| panic!("it did not print {key}"))
    }

    fn address(&self, key: &str) -> SocketAddr {
        self.process.address(key).unwrap()
    }

    pub fn tls(&self) -> SocketAddr {
        self.address("tls")
    }

    pub fn edge(&self) -> SocketAddr {
        self.address("edge")
    }

    pub fn api(&self) -> SocketAddr {
        self.address("api")
    }

    pub fn admin(&self) -> SocketAddr {
        self.address("admin")
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Runs a client command against it.
    pub fn run(&self, dir: &Dir, words: &[&str]) -> Output {
        let server = format!("http://{}", self.api());
        command(LINKR, dir.path()).args(words).env("LINKR_SERVER", server).output().unwrap()
    }

    /// The same, which must succeed: its standard output.
    pub fn ok(&self, dir: &Dir, words: &[&str]) -> String {
        let done = self.run(dir, words);
        assert!(done.status.success(), "{words:?}: {}", text(&done.stderr));
        text(&done.stdout)
    }

    /// The answer of its edge.
    pub fn get(&self, path: &str) -> Answer {
        Connection::to(self.edge()).ask("GET", path)
    }

    /// The value of a metric, with its labels.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = Connection::to(self.admin()).ask("GET", "/metrics").body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    }

    /// Waits until the edge has applied everything that control has in its log.
    pub fn catch_up(&self) {
        until("the edge to have applied the whole log", || {
            let head = self.metric("linkr_control_log_head")?;
            (self.metric("linkr_feed_applied_seq")? >= head).then_some(())
        });
    }

    /// Sends SIGTERM.
    pub fn ask_to_stop(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by its name, as [`services::signal`] does.
    pub fn signal(&self, name: &str) {
        assert!(services::signal(self.pid(), name), "{name}");
    }

    pub fn exited(&mut self) -> ExitStatus {
        until("it to exit", || self.process.exited())
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

impl Drop for Linkr {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let mut said = String::new();
            for line in self.stderr().lines().rev().take(20) {
                let _ = writeln!(said, "  {line}");
            }
            eprintln!("last lines of its log, latest first:\n{said}");
        }
    }
}

/// A connection that is kept.
pub struct Connection<S = TcpStream> {
    stream: BufReader<S>,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn location(&self) -> &str {
        self.field("location").unwrap_or("")
    }
}

impl Connection {
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: Read + Write> Connection<S> {
    /// One that is there already.
    pub fn over(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    pub fn stream(&self) -> &S {
        self.stream.get_ref()
    }

    pub fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    pub fn ask(&mut self, method: &str, path: &str) -> Answer {
        self.send(method, path, "").unwrap();
        self.answer(method == "HEAD").unwrap().unwrap()
    }

    /// A call of the REST API.
    pub fn call(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<Option<Answer>> {
        self.send(method, path, body)?;
        self.answer(false)
    }

    /// The same with more fields in its head.
    pub fn call_with(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> std::io::Result<Option<Answer>> {
        self.send_with(method, path, fields, body)?;
        self.answer(false)
    }

    pub fn send(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<()> {
        self.send_with(method, path, &[], body)
    }

    fn send_with(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> std::io::Result<()> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        for (name, value) in fields {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        if !body.is_empty() {
            let length = body.len();
            let _ = write!(request, "Content-Type: application/json\r\nContent-Length: {length}\r\n");
        }
        self.stream.get_mut().write_all(format!("{request}\r\n{body}").as_bytes())
    }

    /// The next answer; `None` when the connection ended between two of them, an error when it ended inside one.
    pub fn answer(&mut self, headless: bool) -> std::io::Result<Option<Answer>> {
        let cut = || std::io::Error::new(std::io::ErrorKind::InvalidData, "the answer was cut");
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
        let mut fields = Vec::new();
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 || !line.ends_with("\r\n") {
                return Err(cut());
            }
            match line.trim_ascii_end().split_once(':') {
                Some((name, value)) => fields.push((name.to_owned(), value.trim_ascii().to_owned())),
                None => break,
            }
        }
        let mut answer = Answer { status, fields, body: String::new() };
        let length = answer.field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        if !headless {
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).map_err(|_| cut())?;
            answer.body = text(&body);
        }
        Ok(Some(answer))
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
