//! What becomes of tests that failed beside others: a few run once more with nothing beside them. One that passes then is told, not
//! hidden (docs/decisions/0042-how-ci-comes-to-its-verdict.md).

use super::TestProgram;
use std::fmt::Write as _;

/// As many tests of a whole run may run a second time. Where more failed, it is the change that failed.
const MOST: usize = 3;

/// A test program that did not pass.
pub struct FailedProgram<'a> {
    pub program: &'a TestProgram,
    /// Its tests that failed; none if the program died, or does not say which.
    pub tests: Vec<FailedTest>,
}

/// One test that failed, as its program told it.
pub struct FailedTest {
    pub name: String,
    /// What it printed.
    output: String,
}

impl FailedTest {
    /// All that the output of a test program names; none if it names fewer or more than it counts.
    pub fn all_in(said: &str) -> Vec<Self> {
        let failed = said.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
        let names = failed.map(|name| name.strip_suffix(" - should panic").unwrap_or(name));
        let all: Vec<Self> = names
            .map(|name| Self { name: name.to_owned(), output: output_of(name, said).to_owned() })
            .collect();
        let count = said.lines().rev().find_map(|line| {
            let (_, counts) = line.strip_prefix("test result: FAILED. ")?.split_once(" passed; ")?;
            counts.split_once(" failed;")?.0.parse::<usize>().ok()
        });
        if count == Some(all.len()) { all } else { Vec::new() }
    }
}

/// From the heading of a test in libtest's list of what failing tests printed, to the next heading.
fn output_of<'a>(name: &str, said: &'a str) -> &'a str {
    let heading = format!("\n---- {name} stdout ----\n");
    let Some(from) = said.find(&heading) else { return "" };
    let output = &said[from + heading.len()..];
    let ends = ["\n---- ", "\nfailures:\n"].map(|end| output.find(end).unwrap_or(output.len()));
    output[..ends[0].min(ends[1])].trim_end()
}

/// Whether a run passed. Each failed test is run by `alone` if there are few of them; one that fails twice fails the run, and so does
/// a program that does not say which of its tests failed.
pub fn judge(
    failed: &[FailedProgram],
    mut alone: impl FnMut(&TestProgram, &FailedTest) -> bool,
) -> Result<(), String> {
    let tests = || failed.iter().flat_map(|one| one.tests.iter().map(move |test| (one.program, test)));
    if failed.iter().any(|one| one.tests.is_empty()) || tests().count() > MOST {
        return Err(reason(failed));
    }
    let twice: Vec<_> =
        tests().filter(|(program, test)| !alone(program, test)).map(|(_, test)| &*test.name).collect();
    for (program, test) in tests() {
        println!(
            "\nwhat {} of {} printed beside others:\n{}",
            test.name,
            program.path.display(),
            test.output
        );
    }
    if !twice.is_empty() {
        return Err(format!("these tests failed beside others and alone: {}", twice.join(", ")));
    }
    let names: Vec<_> = tests().map(|(_, test)| &*test.name).collect();
    if !names.is_empty() {
        println!(
            "\nfailed once beside others, passed alone: {}; each is a fault of the test or of the product that shows under load",
            names.join(", ")
        );
    }
    Ok(())
}

fn reason(failed: &[FailedProgram]) -> String {
    let mut why = "these test programs failed:".to_owned();
    for FailedProgram { program, tests } in failed {
        let _ = write!(why, "\n  {} (of {})", program.path.display(), program.folder.display());
        tests.iter().for_each(|test| why.extend(["\n    ", &*test.name]));
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\nrunning 4 tests\ntest a::good ... ok\ntest a::slow ... FAILED\ntest b - should panic ... FAILED\n\
        test c ... ignored\n\nfailures:\n\n---- a::slow stdout ----\n\nthread 'a::slow' panicked at a.rs:1:2:\nit took 3 s\n\n\
        ---- b stdout ----\nnote: test did not panic as expected\n\nfailures:\n    a::slow\n    b\n\n\
        test result: FAILED. 1 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 3.00s\n\n";

    #[test]
    fn failed_tests_are_read_with_what_they_printed() {
        let read: Vec<_> =
            FailedTest::all_in(SAID).into_iter().map(|test| (test.name, test.output)).collect();
        let slow = "\nthread 'a::slow' panicked at a.rs:1:2:\nit took 3 s";
        assert_eq!(
            read,
            [
                ("a::slow".to_owned(), slow.to_owned()),
                ("b".to_owned(), "note: test did not panic as expected".to_owned())
            ]
        );
    }

    #[test]
    fn a_program_that_died_names_no_test() {
        let (died, _) = SAID.split_once("\nfailures:").unwrap();
        assert!(FailedTest::all_in(died).is_empty());
        let counted = SAID.replace("2 failed", "3 failed");
        assert!(FailedTest::all_in(&counted).is_empty());
    }

    fn judged(names: &[&str], passes: bool) -> (Result<(), String>, usize) {
        let program = TestProgram { path: "suite".into(), folder: ".".into(), target: "suite".to_owned() };
        let test = |name: &&str| FailedTest { name: (*name).to_owned(), output: String::new() };
        let failed = [FailedProgram { program: &program, tests: names.iter().map(test).collect() }];
        let mut runs = 0;
        let end = judge(&failed, |_, _| {
            runs += 1;
            passes
        });
        (end, runs)
    }

    #[test]
    fn three_run_once_more_and_four_do_not() {
        assert_eq!(judged(&["a", "b", "c"], true), (Ok(()), 3));
        let (end, runs) = judged(&["a", "b", "c", "d"], true);
        assert!(end.unwrap_err().contains("\n    d") && runs == 0);
        assert!(judged(&["a", "b"], false).0.unwrap_err().ends_with("alone: a, b"));
        assert!(judged(&[], true).0.is_err(), "which failed is not known");
        assert_eq!(judge(&[], |_, _| unreachable!("nothing failed")), Ok(()));
    }
}
