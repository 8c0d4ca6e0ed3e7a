//! Programs that know nothing of linkr but what it shows: a generated client, a tester that tries to break the API, judges of the
//! proto files and of the manifests.

use crate::support::{
    Connection, Dir, LINKR, Linkr, beside_others, bounded, command, has, skip, text, workspace,
};
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

const MANIFESTS: [&str; 2] = ["edge", "control"];

#[test]
fn kubernetes_knows_every_field_of_the_manifests() {
    let _turn = beside_others();
    let Some(program) = python("strangers", "kubernetes-validate") else { return };
    let files = MANIFESTS.map(|half| workspace().join(format!("deploy/kubernetes/{half}.yaml")));
    let mut validate = command(program, &workspace());
    validate.args(["--strict", "--quiet"]).args(files);
    assert_eq!(bounded(validate, &Dir::new(), Duration::from_secs(60)), Ok(String::new()));
}

/// What kustomize makes of them: the image of this version, and every field known.
#[test]
fn kustomize_renders_what_kubernetes_knows() {
    let test = "kustomize_renders_what_kubernetes_knows";
    let _turn = beside_others();
    let Some(program) = python("strangers", "kubernetes-validate") else { return };
    if !has("kubectl") {
        return skip(test, "no kubectl of 1.21 or later, whose kustomize knows patches");
    }
    let dir = Dir::new();
    for (folder, profile) in [("", "type: RuntimeDefault"), ("-io-uring", "localhostProfile: linkr.json")] {
        let mut render = command("kubectl", dir.path());
        render.arg("kustomize").arg(workspace().join(format!("deploy/kubernetes{folder}")));
        let rendered = bounded(render, &dir, Duration::from_secs(60)).unwrap();
        let image = format!("image: linkr:{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(rendered.matches(&image).count(), 2, "{rendered}");
        assert!(rendered.contains(profile), "{rendered}");
        let file = dir.write("rendered.yaml", &rendered);
        let mut validate = command(&program, dir.path());
        validate.args(["--strict", "--quiet", &file]);
        assert_eq!(bounded(validate, &dir, Duration::from_secs(60)), Ok(String::new()));
    }
}

/// The manifests ask for every probe, of flags that there are, and for more time than a stop takes.
#[test]
fn the_manifests_fit_the_binary() {
    let _turn = beside_others();
    let dir = Dir::new();
    for half in MANIFESTS {
        let manifest =
            std::fs::read_to_string(workspace().join(format!("deploy/kubernetes/{half}.yaml"))).unwrap();
        let behind = |words: &str| manifest.split_once(words).unwrap_or_else(|| panic!("{half}: {words}")).1;
        for probe in
            ["startupProbe: {httpGet: {path: /startupz,", "readinessProbe: {httpGet: {path: /readyz,"]
        {
            behind(probe);
        }
        behind("livenessProbe: {httpGet: {path: /livez,");
        let (args, _) = behind("args: [").split_once(']').unwrap();
        let args: Vec<&str> = args.split(", ").map(|word| word.trim_matches('"')).collect();
        let seconds = |flag: &str| {
            let at = args.iter().position(|word| *word == flag).unwrap();
            args[at + 1].trim_end_matches('s').parse::<u64>().unwrap()
        };
        let grace: u64 = behind("terminationGracePeriodSeconds: ").lines().next().unwrap().parse().unwrap();
        assert!(grace > seconds("--drain-delay") + seconds("--drain-timeout"), "{half}");
        let help = command(LINKR, dir.path()).args([args[0], "--help"]).output().unwrap();
        let help = text(&help.stdout);
        let flags = args.iter().filter(|word| word.starts_with("--"));
        let names = manifest.match_indices("LINKR_").map(|(at, _)| {
            manifest[at..].split(|c: char| !c.is_ascii_uppercase() && c != '_').next().unwrap()
        });
        for known in flags.copied().chain(names.filter(|name| *name != "LINKR_")) {
            assert!(help.contains(known), "{half}: {known}");
        }
    }
}
