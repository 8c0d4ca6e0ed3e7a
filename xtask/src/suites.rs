//! The test programs of the workspace, run in three lanes: those that start whole deployments or read the clock wait half of their
//! time, those that ask databases run beside them, and those that only compute take what both leave.

mod again;

use again::{FailedProgram, FailedTest};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Folders of the crates whose tests no neighbour makes fail: those that wait for nothing and read no clock, what counts instructions
/// and reads rules, what runs the tests, and what packs a release.
const COMPUTING: [&str; 11] =
    ["link", "clicks", "feed", "hot", "record", "journal", "sim", "fuzz", "benches", "dashboards", "xtask"];

/// Folders of the crates whose tests start a database or two and ask it.
const ASKING: [&str; 2] = ["control", "store"];

/// One test program, as cargo built it.
pub struct TestProgram {
    path: PathBuf,
    /// The crate's folder, in which cargo would run it.
    folder: PathBuf,
    /// The name of the target: of a library or program for its unit tests, or of a file in `tests`.
    pub target: String,
}

/// Which tests of each program run, and on how many threads.
#[derive(Clone, Copy)]
pub struct Choice<'a> {
    pub threads: &'a str,
    /// The threads of those that ask databases beside others, some of them against the clock.
    pub asking: &'a str,
    /// Those that are marked `#[ignore]`, and no others.
    pub ignored: bool,
    /// More words for libtest, such as `--skip NAME`.
    pub words: &'a [&'a str],
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

/// Runs all of them to their end, then the few tests that failed once more, and fails with the names of those that failed. Programs
/// that only compute have the lowest priority, so that no test that measures time waits for them; what they and those that ask
/// databases print comes when they end.
pub fn run(programs: &[TestProgram], choice: &Choice) -> Result<(), String> {
    let (computing, others): (Vec<_>, Vec<_>) = programs.iter().partition(|program| program.computes());
    let (asking, starting): (Vec<_>, Vec<_>) = others.into_iter().partition(|program| program.asks());
    let all_quietly = |programs: Vec<_>, threads| -> Vec<_> {
        let choice = Choice { threads, ..*choice };
        programs.into_iter().filter_map(|program| quietly(program, &choice)).collect()
    };
    let failed = std::thread::scope(|scope| {
        let computing = scope.spawn(|| {
            take_what_is_left();
            all_quietly(computing, choice.threads)
        });
        let asking = scope.spawn(|| all_quietly(asking, choice.asking));
        let mut failed: Vec<_> = starting.into_iter().filter_map(|program| loudly(program, choice)).collect();
        for lane in [asking, computing] {
            failed.extend(lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        failed
    });
    again::judge(&failed, |program, test| {
        println!("once more, with nothing beside it: {} of {}", test.name, program.path.display());
        let mut command = program.command("1");
        command.args(choice.ignored.then_some("--ignored")).args(["--exact", &test.name]);
        command.status().is_ok_and(|status| status.success())
    })
}

/// With its output as it comes.
fn loudly<'a>(program: &'a TestProgram, choice: &Choice) -> Option<FailedProgram<'a>> {
    let began = Instant::now();
    println!("+ {}", program.path.display());
    let mut said = String::new();
    let mut command = program.command(choice.threads);
    let passed = run_and_read(command.args(choice.words()), |line| {
        print!("{line}");
        said.push_str(line);
    });
    told(program, began, passed.unwrap_or(false), &said)
}

/// Runs it to its end, and each line that it prints through `read`; whether it succeeded.
fn run_and_read(command: &mut Command, mut read: impl FnMut(&str)) -> std::io::Result<bool> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut output = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line)? > 0 {
        read(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(child.wait()?.success())
}

/// With its output at its end.
fn quietly<'a>(program: &'a TestProgram, choice: &Choice) -> Option<FailedProgram<'a>> {
    let began = Instant::now();
    let done = program.command(choice.threads).args(choice.words()).output();
    let Ok(done) = done else { return told(program, began, false, "") };
    let said = String::from_utf8_lossy(&done.stdout);
    println!("+ {}\n{said}{}", program.path.display(), String::from_utf8_lossy(&done.stderr));
    told(program, began, done.status.success(), &said)
}

fn told<'a>(program: &'a TestProgram, began: Instant, passed: bool, said: &str) -> Option<FailedProgram<'a>> {
    let (end, seconds) = (if passed { "passed" } else { "FAILED" }, began.elapsed().as_secs());
    println!("{} of {} {end} after {seconds} s", program.target, program.folder.display());
    (!passed).then(|| FailedProgram { program, tests: FailedTest::all_in(said) })
}

impl Choice<'_> {
    fn words(&self) -> impl Iterator<Item = &str> {
        self.ignored.then_some("--ignored").into_iter().chain(self.words.iter().copied())
    }
}

impl TestProgram {
    /// Whether it only computes, and may take what others leave of the cores.
    pub fn computes(&self) -> bool {
        self.is_of(&COMPUTING)
    }

    /// `true`: the program is one of a crate whose tests ask databases, and runs beside those that start deployments.
    pub fn asks(&self) -> bool {
        self.is_of(&ASKING)
    }

    fn is_of(&self, folders: &[&str]) -> bool {
        folders.iter().any(|name| self.folder.ends_with(name))
    }

    fn command(&self, threads: &str) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.folder).env("RUST_TEST_THREADS", threads);
        command
    }
}

/// Gives this thread the lowest priority, and with it all that it starts from now on. Where that is not possible all have the same.
pub fn take_what_is_left() {
    let own = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    if let Some(thread) = own.file_name() {
        let _ = Command::new("renice").args(["-n", "19", "-p"]).arg(thread).output();
    }
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

    const ALL: Choice = Choice { threads: "1", asking: "1", ignored: false, words: &[] };

    fn program(path: &str, folder: &str) -> TestProgram {
        TestProgram { path: path.into(), folder: folder.into(), target: "suite".to_owned() }
    }

    #[test]
    fn a_program_that_fails_or_cannot_run_is_named() {
        let programs = [program("true", "."), program("false", "../sim"), program("/nowhere", ".")];
        let why = run(&programs, &ALL).unwrap_err();
        assert!(why.contains("  false ") && why.contains("/nowhere") && !why.contains("  true "), "{why}");
        assert_eq!(run(&programs[..1], &ALL), Ok(()));
    }

    /// A program that fails as libtest does until it is asked for the one test alone: `passes` says whether it does then.
    fn fails_beside_others(folder: &Path, passes: bool) -> TestProgram {
        let (text, path) = (folder.join("text"), folder.join(format!("fails-{passes}")));
        let script = format!(
            "#!/bin/sh\n[ \"$*\" = '--ignored --exact a::slow' ] && [ \"$RUST_TEST_THREADS\" = 1 ] && exec {passes}\n\
             echo 'test a::slow ... FAILED'\necho 'test result: FAILED. 5 passed; 1 failed; 0 ignored'\nexit 101\n"
        );
        std::fs::write(&text, script).unwrap();
        // By another process: a file that this one writes may be open in a child of another test, and is no program as long.
        let made = Command::new("install").args(["--mode", "755"]).args([&text, &path]).status();
        assert!(made.unwrap().success());
        program(path.to_str().unwrap(), ".")
    }

    #[test]
    fn a_test_that_failed_beside_others_runs_alone_and_decides() {
        let folder = services::Folder::new("suites", None).unwrap();
        let ignored = Choice { threads: "5", ignored: true, words: &["--skip", "a::long"], ..ALL };
        let good = fails_beside_others(folder.path(), true);
        assert_eq!(run(&[good], &ignored), Ok(()));
        let bad = fails_beside_others(folder.path(), false);
        let why = run(&[bad], &ignored).unwrap_err();
        assert!(why.contains("a::slow"), "{why}");
    }
}
