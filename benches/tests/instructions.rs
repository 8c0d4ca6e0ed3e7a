//! How many instructions a hit takes, as valgrind counts them: exact, whatever else this machine does.

use std::path::Path;
use std::process::{Command, Stdio};

/// What `hits` answers.
const HITS: u64 = 10_000;

/// Instructions of `function` for one hit, in what `release` makes of it: tests are built to find faults.
fn instructions(function: &str, kind: &[&str]) -> Option<u64> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = Path::new(env!("CARGO_BIN_EXE_hits")).parent().and_then(Path::parent).unwrap();
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(format!("--toggle-collect={function}"));
    valgrind.arg(target.join("release/hits")).args(kind).stdin(Stdio::null());
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("SKIPPED: valgrind is not installed");
        return None;
    }
    let build = ["build", "--quiet", "--locked", "--release", "--package", "benches", "--bin", "hits"];
    // By its name where cargo did not start this program: rustup then says which rustc it calls in every folder.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo).args(build).arg("--target-dir").arg(target).current_dir(root).status();
    assert!(built.unwrap().success());
    let done = valgrind.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    let collected =
        said.lines().find_map(|line| line.split_once("Collected :")).map(|(_, count)| count.trim());
    let count: u64 = collected.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{said}"));
    println!("{}: {} instructions", kind.join(", "), count / HITS);
    Some(count / HITS)
}

/// The instructions that a hit may take. With its click noted (616, and 1,765 with a browser's head): what a click is meant to
/// cost in all. In the other cases what it took when this was written (475, 1,346 and 2,238), and a twentieth for another
/// compiler. On a machine without AVX2 a browser's head takes longer, and this says so.
const MOST: [(&[&str], u64); 5] = [
    (&["bare"], 499),
    (&["browser"], 1_413),
    (&["bare", "noting"], 650),
    (&["browser", "noting"], 1_850),
    (&["forwarded", "noting"], 2_350),
];

#[test]
fn a_hit_takes_no_more_instructions_than_it_did() {
    for (kind, most) in MOST {
        let Some(count) = instructions("hot::answer::answer", kind) else { return };
        assert!((100..=most).contains(&count), "{}: {count} instructions, at most {most}", kind.join(", "));
    }
}

/// The end of a turn notes the turn in the worker's ring and decides whether its trace may be kept.
#[test]
fn the_end_of_a_turn_takes_twelve_instructions() {
    let Some(count) = instructions("hits::turn_ends", &["turn"]) else { return };
    // And its call and return, which are none where it is inlined.
    assert!((5..=14).contains(&count), "{count} instructions");
}
