//! The test programs of the workspace, run in two lanes: those that start servers or read the clock wait half of their time, and
//! those that only compute run meanwhile.

use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Folders of the crates whose tests no neighbour makes fail: those that wait for nothing and read no clock, what runs them, and what
/// packs a release.
const BESIDE: [&str; 9] = ["link", "clicks", "feed", "hot", "record", "journal", "sim", "fuzz", "xtask"];

/// One test program, as cargo built it.
pub struct TestProgram {
    path: PathBuf,
    /// The crate's folder, in which cargo would run it.
    folder: PathBuf,
    /// The name of the target: of a library or program for its unit tests, or of a file in `tests`.
    target: String,
}

/// Builds all test programs with these words and says which there are.
pub fn build(words: &[&str]) -> Result<Vec<TestProgram>, String> {
    println!("+ cargo {} --no-run", words.join(" "));
    let done = super::cargo_command()
        .args(words)
        .args(["--no-run", "--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|fault| format!("cannot run cargo: {fault}"))?;
    if !done.status.success() {
        return Err(format!("cargo {} failed: {}", words[0], done.status));
    }
    Ok(programs(&String::from_utf8_lossy(&done.stdout)))
}

/// Those that cargo's messages name.
fn programs(messages: &str) -> Vec<TestProgram> {
    let program = |line: &str| {
        let said: Value = serde_json::from_str(line).ok()?;
        let folder = Path::new(said["manifest_path"].as_str()?).parent()?;
        said["profile"]["test"].as_bool().filter(|&test| test)?;
        Some(TestProgram {
            path: said["executable"].as_str()?.into(),
            folder: folder.into(),
            target: said["target"]["name"].as_str()?.to_owned(),
        })
    };
    messages.lines().filter_map(program).collect()
}

/// Runs all of them with these words to their end, and fails with the names of those that failed. Those that only compute have the
/// lowest priority, so that no test that measures time waits for them; what they print comes when they end.
pub fn run(programs: &[TestProgram], threads: &str, words: &[&str]) -> Result<(), String> {
    let computes = |program: &&TestProgram| BESIDE.iter().any(|name| program.folder.ends_with(name));
    let (beside, others): (Vec<_>, Vec<_>) = programs.iter().partition(computes);
    let failed = std::thread::scope(|scope| {
        let beside = scope.spawn(|| {
            beside.into_iter().filter(|program| !quietly(program, threads, words)).collect::<Vec<_>>()
        });
        let mut failed: Vec<_> =
            others.into_iter().filter(|program| !loudly(program, threads, words)).collect();
        failed.extend(beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        failed
    });
    if failed.is_empty() {
        return Ok(());
    }
    let mut why = "these test programs failed:".to_owned();
    for program in failed {
        let _ = write!(why, "\n  {} (of {})", program.path.display(), program.folder.display());
    }
    Err(why)
}

/// With its output as it comes.
fn loudly(program: &TestProgram, threads: &str, words: &[&str]) -> bool {
    let began = Instant::now();
    println!("+ {}", program.path.display());
    let status = command(program.path.as_os_str(), program, threads).args(words).status();
    said(program, began, status.is_ok_and(|status| status.success()))
}

/// With its output at its end.
fn quietly(program: &TestProgram, threads: &str, words: &[&str]) -> bool {
    let began = Instant::now();
    let done =
        command("nice".as_ref(), program, threads).args(["-n", "19"]).arg(&program.path).args(words).output();
    let Ok(done) = done else { return said(program, began, false) };
    println!(
        "+ {}\n{}{}",
        program.path.display(),
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    said(program, began, done.status.success())
}

fn command(word: &std::ffi::OsStr, program: &TestProgram, threads: &str) -> Command {
    let mut command = Command::new(word);
    command.current_dir(&program.folder).env("RUST_TEST_THREADS", threads);
    command
}

fn said(program: &TestProgram, began: Instant, passed: bool) -> bool {
    let (end, seconds) = (if passed { "passed" } else { "FAILED" }, began.elapsed().as_secs());
    println!("{} of {} {end} after {seconds} s", program.target, program.folder.display());
    passed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_programs_are_told_from_what_else_is_built() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/w/cli/Cargo.toml","target":{"name":"e2e"},"profile":{"test":true},"executable":"/w/target/e2e-1"}
{"reason":"compiler-artifact","manifest_path":"/w/cli/Cargo.toml","target":{"name":"linkr"},"profile":{"test":false},"executable":"/w/target/linkr"}
{"reason":"compiler-artifact","manifest_path":"/w/link/Cargo.toml","target":{"name":"link"},"profile":{"test":false},"executable":null}
{"reason":"build-finished","success":true}"#;
        let found = programs(messages);
        assert_eq!(found.len(), 1);
        assert_eq!((&*found[0].target, found[0].folder.as_path()), ("e2e", Path::new("/w/cli")));
    }

    #[test]
    fn a_program_that_fails_or_cannot_run_is_named() {
        let program = |path: &str, folder: &str| TestProgram {
            path: path.into(),
            folder: folder.into(),
            target: "suite".to_owned(),
        };
        let programs = [program("true", "."), program("false", "../sim"), program("/nowhere", ".")];
        let why = run(&programs, "1", &[]).unwrap_err();
        assert!(why.contains("  false ") && why.contains("/nowhere") && !why.contains("  true "), "{why}");
        assert_eq!(run(&programs[..1], "1", &[]), Ok(()));
    }
}
