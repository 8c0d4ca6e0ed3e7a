//! Programs that know nothing of linkr but /openapi.json: a generated client, and a tester that tries to break it.

use crate::support::{Connection, Dir, Linkr, beside_others, bounded, command, skip, workspace};
use std::path::PathBuf;
use std::time::Duration;

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

/// The programs that `make test` puts there (xtask/src/tools.rs).
fn python(test: &str, program: &str) -> Option<PathBuf> {
    let path = workspace().join("target/tools/python/bin").join(program);
    if !path.is_file() {
        skip(test, "the Python programs are not there: make test fetches them");
        return None;
    }
    Some(path)
}

fn described(linkr: &Linkr, dir: &Dir) -> String {
    let answer = Connection::to(linkr.api()).ask("GET", "/openapi.json");
    assert_eq!((answer.status, answer.field("content-type")), (200, Some("application/json")));
    dir.write("openapi.json", answer.body)
}

#[test]
fn a_generated_python_client_does_what_it_is_told() {
    let _turn = beside_others();
    let Some(generator) = python("strangers", "openapi-python-client") else { return };
    let Some(interpreter) = python("strangers", "python") else { return };
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let file = described(&linkr, &dir);
    let mut generate = command(generator, dir.path());
    generate.args(["generate", "--meta", "none", "--path", &file, "--output-path", "linkr_client"]);
    bounded(generate, &dir, Duration::from_secs(60)).unwrap();
    let mut client = command(interpreter, dir.path());
    let script = workspace().join("cli/tests/strangers/client.py");
    client.arg(script).args([&format!("http://{}", linkr.api()), ""]).env("PYTHONPATH", dir.path());
    let said = bounded(client, &dir, Duration::from_secs(60)).unwrap();
    assert!(said.ends_with("done\n"), "{said}");
}

/// Long form: `LINKR_LONG=1`.
#[test]
fn schemathesis_finds_no_server_error_and_no_undocumented_answer() {
    let _turn = beside_others();
    let Some(program) = python("strangers", "schemathesis") else { return };
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let file = described(&linkr, &dir);
    let examples = if std::env::var_os("LINKR_LONG").is_some() { "300" } else { "5" };
    let mut tester = command(program, dir.path());
    tester.args(["run", &file, "--url", &format!("http://{}", linkr.api())]);
    tester.args(["--phases", "coverage,fuzzing,stateful", "--max-examples", examples, "--seed", "1"]);
    // No watch ends; their own tests are in control's suite.
    tester.args(["--checks", CHECKS, "--no-color", "--exclude-path-regex", ":watch$"]);
    let said = bounded(tester, &dir, Duration::from_secs(if examples == "5" { 180 } else { 1_200 }));
    let said = said.unwrap_or_else(|said| panic!("{said}"));
    assert!(said.contains(" passed"), "{said}");
}

#[test]
fn buf_has_nothing_to_say_about_the_proto_files() {
    let _turn = beside_others();
    let Some(program) = python("strangers", "buf") else { return };
    let mut lint = command(program, &workspace().join("proto"));
    lint.arg("lint");
    assert_eq!(bounded(lint, &Dir::new(), Duration::from_secs(60)), Ok(String::new()));
}
