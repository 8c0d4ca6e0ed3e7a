//! The logic behind the make targets, so that it is Rust and not shell: `test`, `test-long`, `tools`, `fuzz`, `lint`, `deny`, `bench`, `services`,
//! `release`, `image-root`, `gen-snapshot`, `gen-clicks`, `lines`, `crawlers`, `dashboards`, `demo`.

mod axe;
mod crawlers;
mod demo;
mod fuzz;
mod gen_clicks;
mod image;
mod lines;
mod python;
mod release;
mod servers;
mod snapshot;
mod suites;
mod tools;

use std::process::{Command, ExitCode};

const USAGE: &str = "usage: xtask test|bench|load|compare [ARGS…] | test-long [beside|alone] | tools | fuzz SECONDS [TARGET…] | lint | deny | services | release [--binary PATH] [--out DIR] | release-twice | image-root DIR --binary PATH | gen-snapshot LINKS FILE | gen-clicks CLICKS LINKS DAYS FILE|URL [OF-THE-FIRST] | lines | crawlers PACKAGE | dashboards | demo PROGRAMS OUT";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = words.split_first().map_or(("", &[][..]), |(task, rest)| (task.as_str(), rest));
    let done = match task {
        "test" => test(rest),
        "test-long" => match rest {
            [] => test_long(both_halves),
            [half] if half == "beside" => test_long(half_beside),
            [half] if half == "alone" => test_long(half_alone),
            _ => Err(USAGE.to_owned()),
        },
        "tools" => {
            install_tools();
            Ok(())
        }
        "fuzz" => fuzz::from_words(rest).unwrap_or_else(|| Err(USAGE.to_owned())),
        "lint" => lint(),
        "deny" => deny(),
        "services" => servers::run(),
        "lines" => lines::print(),
        "dashboards" => write_dashboards(),
        "crawlers" => match rest {
            [package] => crawlers::write(package.as_ref()),
            _ => Err(USAGE.to_owned()),
        },
        "demo" => match rest {
            [programs, out] => {
                tools::install_what_is_missing();
                demo::run(programs.as_ref(), out.as_ref())
            }
            _ => Err(USAGE.to_owned()),
        },
        "bench" => cargo(&["bench", "--workspace", "--profile", "dist"], rest),
        "load" => {
            measure(&["sweep", "linkr", "--make-links", "1000000", "--browser", "--out", "target/load"], rest)
        }
        "compare" => measure(&COMPARE, rest),
        "image-root" => match rest {
            [dir, flag, binary] if flag == "--binary" => image::stage(dir.as_ref(), binary.as_ref()),
            _ => Err(USAGE.to_owned()),
        },
        "release" => release::from_words(rest).unwrap_or_else(|| Err(USAGE.to_owned())),
        "release-twice" => release::twice(),
        "gen-clicks" => match rest {
            [clicks, links, days, to] => gen_clicks::generate(clicks, links, days, to, "0"),
            [clicks, links, days, to, first] => gen_clicks::generate(clicks, links, days, to, first),
            _ => Err(USAGE.to_owned()),
        },
        "gen-snapshot" => match rest {
            [links, file] => snapshot::generate(links, file.as_ref()),
            _ => Err(USAGE.to_owned()),
        },
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// All that are there, at saturation: the floor first, which the others are divided by.
const COMPARE: [&str; 15] = [
    "compare",
    "--server",
    "floor",
    "--server",
    "linkr",
    "--server",
    "linkr-epoll",
    "--server",
    "nginx",
    "--server",
    "haproxy",
    "--make-links",
    "1000000",
    "--out",
    "target/compare",
];

/// The load test on what is shipped: servers on the first core, the generator on the second.
fn measure(words: &[&str], more: &[String]) -> Result<(), String> {
    tools::install_peers();
    cargo(&["build", "--profile", "dist", "--locked", "--package", "cli", "--package", "loadtest"], &[])?;
    println!("+ linkr-loadtest {} {}", words.join(" "), more.join(" "));
    let status =
        Command::new("target/dist/linkr-loadtest").args(words).args(["--core", "1"]).args(more).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("linkr-loadtest failed: {status}")),
        Err(fault) => Err(format!("cannot run linkr-loadtest: {fault}")),
    }
}

/// All crates, with the half of link that only the write side uses.
const TESTS: [&str; 5] = ["test", "--workspace", "--locked", "--features", "link/given"];

/// What a change must pass before anybody else sees it. Words behind `test` choose tests, which cargo runs one program after
/// another.
fn test(more: &[String]) -> Result<(), String> {
    tools::install_what_is_missing();
    python::install_what_is_missing();
    if more.is_empty() {
        let (threads, asking) = (threads(4), threads(3));
        let choice = suites::Choice { threads: &threads, asking: &asking, ignored: false, words: &[] };
        return suites::run(&suites::build(&TESTS)?, &choice);
    }
    cargo_with(&TESTS, more, &[("RUST_TEST_THREADS", &threads(5))])
}

/// So many for two cores, since tests wait for a moment or for a server of their own half of their time. A value that is set stands.
fn threads(for_two_cores: usize) -> String {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::env::var("RUST_TEST_THREADS").unwrap_or_else(|_| (cores * for_two_cores / 2).to_string())
}

/// What takes minutes of load, an image or many processes: the tests that `test` names and leaves out, the threads of the
/// set, and the fuzzers; or one half of it.
fn test_long(half: fn() -> Result<(), String>) -> Result<(), String> {
    install_tools();
    half()
}

fn both_halves() -> Result<(), String> {
    std::thread::scope(|scope| {
        let beside = scope.spawn(half_beside);
        let alone = half_alone();
        let beside = beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (alone, beside) {
            (Err(alone), Err(beside)) => Err(format!("{alone}\n{beside}")),
            (alone, beside) => alone.and(beside),
        }
    })
}

/// Tests of `e2e` that keep a core busy until they end.
const BUSY: [&str; 3] = [
    "clicks::bounds::an_hour_without_control_loses_nothing",
    "moving::an_import_that_is_killed_ends_as_one_that_is_not_on_postgres",
    "pages::browser::every_task_is_done_in_a_real_browser",
];

/// The half that waits or only computes: CI runs it beside `test`. Tests of whole processes mostly wait, two at a time: one of them is
/// ten minutes of ordinary load.
fn half_beside() -> Result<(), String> {
    let (computing, others): (Vec<_>, Vec<_>) =
        suites::build(&TESTS)?.into_iter().partition(suites::TestProgram::computes);
    let e2e: Vec<_> = others.into_iter().filter(|program| program.target == "e2e").collect();
    let words = BUSY.map(|test| ["--skip", test]).concat();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| suites::run(&e2e, &ignored("2", &words)));
        suites::take_what_is_left();
        suites::run(&computing, &ignored("2", &[]))?;
        cargo(&THREADS, &[])?;
        fuzz::build()?;
        waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The other half: a browser, servers under load, some of them against the clock, and then the fuzzers.
fn half_alone() -> Result<(), String> {
    let programs = suites::build(&TESTS)?.into_iter().filter(|program| !program.computes());
    let (e2e, others): (Vec<_>, Vec<_>) = programs.partition(|program| program.target == "e2e");
    let (asking, others): (Vec<_>, Vec<_>) = others.into_iter().partition(suites::TestProgram::asks);
    suites::run(&e2e, &ignored("3", &[&["--exact"], &BUSY[..]].concat()))?;
    suites::run(&asking, &ignored(&threads(5), &[]))?;
    suites::run(&others, &ignored(&threads(5), &[]))?;
    fuzz::run(20, &fuzz::TARGETS)
}

/// The tests that `test` names and leaves out.
fn ignored<'a>(threads: &'a str, words: &'a [&'a str]) -> suites::Choice<'a> {
    suites::Choice { threads, asking: threads, ignored: true, words }
}

/// Apart from the others, since with the feature every shared word of the set is one of the test's. It is chosen in the whole
/// workspace: the set alone would take other features of its libraries, and each of them built anew.
const THREADS: [&str; 7] =
    ["test", "--workspace", "--locked", "--features", "link/given,hot/shuttle", "--test", "threads"];

/// Fetches all that a test of any target needs besides Rust.
fn install_tools() {
    tools::install_what_is_missing();
    python::install_what_is_missing();
    axe::install_what_is_missing();
    tools::install_engines();
}

/// Dashboards, alerts and the runbook, from their list.
fn write_dashboards() -> Result<(), String> {
    for file in dashboards::files() {
        let path = std::path::Path::new(&file.path);
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        folder
            .and_then(|()| std::fs::write(path, &file.text))
            .map_err(|fault| format!("cannot write {}: {fault}", file.path))?;
        println!("{}", file.path);
    }
    Ok(())
}

/// cargo-deny, and where it is built: it comes as sources alone.
const DENY: [&str; 6] = ["install", "--locked", "--root", "target/tools/deny", "--version", "0.20.2"];

/// What `deny.toml` asks for. The list of known weaknesses is fetched from where RustSec keeps it, the rest needs no network.
fn deny() -> Result<(), String> {
    cargo(&DENY, &["cargo-deny".to_owned()])?;
    let mut weak = Ok(());
    for check in ["licenses", "bans", "sources", "advisories"] {
        println!("+ cargo-deny check {check}");
        let done =
            Command::new("target/tools/deny/bin/cargo-deny").args(["--locked", "check", check]).status();
        if !done.is_ok_and(|status| status.success()) {
            weak = Err(format!("cargo-deny check {check} failed"));
        }
    }
    weak
}

fn lint() -> Result<(), String> {
    cargo(&["fmt", "--all", "--check"], &[])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], &[])?;
    cargo(&["test", "--quiet", "--locked", "--package", "xtask"], &[])
}

/// The cargo that runs this program.
fn cargo_command() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn cargo(words: &[&str], more: &[String]) -> Result<(), String> {
    cargo_with(words, more, &[])
}

/// With more in its environment.
fn cargo_with(words: &[&str], more: &[String], env: &[(&str, &str)]) -> Result<(), String> {
    println!("+ cargo {} {}", words.join(" "), more.join(" "));
    let status = cargo_command().args(words).args(more).envs(env.iter().copied()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cargo {} failed: {status}", words[0])),
        Err(fault) => Err(format!("cannot run cargo: {fault}")),
    }
}

#[cfg(test)]
mod tests {
    use super::BUSY;

    /// libtest passes where it finds no test of a name.
    #[test]
    fn what_comes_alone_is_a_test() {
        for test in BUSY {
            let (module, name) = test.rsplit_once("::").unwrap();
            let file = format!("../cli/tests/e2e/{}.rs", module.replace("::", "/"));
            assert!(std::fs::read_to_string(file).unwrap().contains(&format!("fn {name}()")), "{test}");
        }
    }
}
