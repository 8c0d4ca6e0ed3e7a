//! What `make release` hands out, in the hands of the programs that take it: podman, dpkg, sha256sum. Each takes a minute, and is
//! part of `make test-long`. The binary is that of this build, or the one that `LINKR_PACKAGED` names; only of that, which should be
//! a `dist` build, sizes and times are judged.

#[path = "packaging/compose.rs"]
mod compose;
#[path = "packaging/container.rs"]
mod container;
#[path = "packaging/debian.rs"]
mod debian;
#[path = "packaging/files.rs"]
mod files;

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Long enough for a slow machine; a test that waits this long fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// One at a time: each has a machine's work to do.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn xtask() -> Command {
    let mut command = services::command(env!("CARGO_BIN_EXE_xtask"), &root());
    command.env("SOURCE_DATE_EPOCH", "1700000000");
    command
}

/// The binary that is packaged, and whether it is the one that people get.
struct Packaged {
    binary: PathBuf,
    is_dist: bool,
}

impl Packaged {
    fn new() -> Self {
        match std::env::var_os("LINKR_PACKAGED") {
            Some(binary) => Self { binary: binary.into(), is_dist: true },
            None => Self {
                binary: Path::new(env!("CARGO_BIN_EXE_xtask")).with_file_name("linkr"),
                is_dist: false,
            },
        }
    }
}

/// The release of the binary that is packaged. It is packed once for all tests of this program, which takes some ten seconds.
fn release() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("release");
        pack(&out, "022", "UTC");
        out
    })
}

/// Packs a release with these rights of new files and in this zone.
fn pack(out: &Path, umask: &str, zone: &str) {
    let mut sh = services::command("sh", &root());
    sh.args(["-c", &format!("umask {umask} && exec \"$@\""), "sh"]).arg(xtask().get_program());
    sh.args(["release", "--binary"]).arg(Packaged::new().binary).arg("--out").arg(out);
    ok(sh.env("SOURCE_DATE_EPOCH", "1700000000").env("TZ", zone).env("LC_ALL", "C.UTF-8"));
}

/// Whether something is missing, which is said then.
fn lacks(test: &str, programs: &[&str]) -> bool {
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let missing = programs.iter().find(|name| services::program(name, &[]).is_err());
    match missing {
        Some(name) => skip(test, &format!("there is no {name}")),
        None if !root => skip(test, "it takes root"),
        None => return false,
    }
    true
}

/// Says why a test does not run, even where the output of good tests is swallowed.
fn skip(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// What a program printed, which must end well.
fn ok(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|fault| panic!("{command:?}: {fault}"));
    let (said, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{command:?}: {said}{errors}");
    said.into_owned()
}

/// Polls until the condition holds.
fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A network of its own, with loopback and nothing else: ports are free in it, whoever else runs here.
struct Network(services::Process);

impl Network {
    fn new(folder: &Path) -> Self {
        let mut holder = services::command("unshare", folder);
        holder.args(["--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"]);
        Self(services::Process::hear(&holder, &folder.join("network"), &["up"]).unwrap())
    }

    /// A command within it.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Command {
        let mut command = services::command("nsenter", folder);
        command.arg(format!("--net=/proc/{}/ns/net", self.0.id())).arg("--").arg(program);
        command
    }

    /// Whether an edge at this address leads `code` to `target`: asked by `linkr conform`.
    fn leads(&self, linkr: &Path, folder: &Path, edge: &str, code: &str, target: &str) -> bool {
        std::fs::write(folder.join("links.csv"), format!("code,target\n{code},{target}\n")).unwrap();
        let mut conform = self.command(linkr, folder);
        conform.args(["conform", "--links", "links.csv", "--edge", edge]);
        conform.output().unwrap().status.success()
    }
}
