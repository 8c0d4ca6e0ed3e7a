//! `make fuzz`: the targets of `fuzz/` under libFuzzer, on stable Rust.

use super::{cargo_with, tools};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// All of them.
pub const TARGETS: [&str; 5] = ["clicks", "head", "record", "snapshot", "redis"];
/// A target folder of its own: its flags are those of no other build. What was found is there, too.
const FOLDER: &str = "target/fuzz";
/// Bytes of memory, code included, beyond which an allocation fails, and with it the target.
const MAX_MEMORY: &str = "--as=1073741824";
/// What cargo-fuzz gives, but for what takes nightly: edges are counted, comparisons looked at, and overflows panic.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks";

/// `SECONDS [TARGET…]`; `None`: the words make no sense.
pub fn from_words(words: &[String]) -> Option<Result<(), String>> {
    let (seconds, targets) = words.split_first()?;
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    if targets.iter().any(|target| !TARGETS.contains(target)) {
        return None;
    }
    Some(run(seconds.parse().ok()?, if targets.is_empty() { &TARGETS } else { &targets }))
}

/// Builds all of them; the folder with the programs. `None`, said why: they cannot be built here.
pub fn build() -> Result<Option<PathBuf>, String> {
    tools::install_what_is_missing();
    if !tools::is_there("g++") {
        println!("SKIPPED fuzz targets: there is no C++ compiler for libFuzzer (apt-get install g++)");
        return Ok(None);
    }
    let host = host()?;
    let words = ["build", "--release", "--locked", "--package", "fuzz", "--features", "fuzz/libfuzzer"];
    // With a target named, build scripts are built without the flags.
    let place = ["--target", &host, "--target-dir", FOLDER].map(str::to_owned);
    cargo_with(&words, &place, &[("RUSTFLAGS", FLAGS)])?;
    Ok(Some(Path::new(FOLDER).join(host).join("release")))
}

/// Builds these targets and runs them side by side for so long, beginning with what earlier runs have kept.
pub fn run(seconds: u32, targets: &[&str]) -> Result<(), String> {
    let Some(programs) = build()? else { return Ok(()) };
    let start = |target: &&str| start(&programs.join(target), target, seconds);
    let started = targets.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    let mut broken = Vec::new();
    for (target, (log, mut child)) in targets.iter().zip(started) {
        let status = child.wait().map_err(|fault| format!("{target}: {fault}"))?;
        let said = fs::read_to_string(&log).unwrap_or_default();
        if status.success() {
            let found = said.lines().rev().find(|line| line.contains("cov:")).unwrap_or_default();
            println!("fuzz {target}: clean; {} ({found})", said.lines().last().unwrap_or_default());
        } else {
            println!("{said}");
            broken.push(*target);
        }
    }
    if broken.is_empty() {
        Ok(())
    } else {
        Err(format!("fuzz: {} broken; what broke it is in {FOLDER}/found", broken.join(", ")))
    }
}

/// One target under way, and where it says what it does.
fn start(program: &Path, target: &str, seconds: u32) -> Result<(String, Child), String> {
    let (corpus, seeds, found) =
        (format!("{FOLDER}/corpus/{target}"), format!("{FOLDER}/seeds/{target}"), format!("{FOLDER}/found"));
    let at = |fault: std::io::Error| format!("{target}: {fault}");
    for dir in [&corpus, &seeds, &found] {
        fs::create_dir_all(dir).map_err(at)?;
    }
    let log = format!("{FOLDER}/{target}.log");
    let output = fs::File::create(&log).map_err(at)?;
    let mut command = Command::new("prlimit");
    command.arg(MAX_MEMORY).arg(program).env("LINKR_FUZZ_SEEDS", &seeds);
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={found}/{target}-"));
    // Bytes a little above the longest head. What takes seconds is a fault, too.
    command.args(["-max_len=17000", "-timeout=5", &corpus, &seeds]);
    let child = command.stdout(output.try_clone().map_err(at)?).stderr(output).spawn().map_err(at)?;
    Ok((log, child))
}

/// The target triple of this machine.
fn host() -> Result<String, String> {
    let done = Command::new("rustc").arg("-vV").output().map_err(|fault| format!("rustc: {fault}"))?;
    let said = String::from_utf8_lossy(&done.stdout);
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc does not say for which machine it builds".to_owned())
}
