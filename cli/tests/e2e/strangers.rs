//! Programs that know nothing of linkr but what it shows: a generated client, a tester that tries to break the API, judges of the
//! proto files and of the manifests.

use crate::support::{
    Connection, Dir, LINKR, Linkr, beside_others, bounded, command, has, skip, text, until, workspace,
};
use std::collections::BTreeSet;
use std::net::SocketAddr;
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

/// A span as a collector shows it in its log.
struct ShownSpan {
    service: String,
    trace: String,
    id: String,
    name: String,
}

/// The spans that a collector has shown so far.
fn shown(log: &str) -> Vec<ShownSpan> {
    let (mut service, mut spans) = (String::new(), Vec::<ShownSpan>::new());
    for line in log.lines() {
        let Some((label, value)) = line.split_once(':') else { continue };
        let value = value.trim().to_owned();
        match (label.trim(), spans.last_mut()) {
            ("-> service.name", _) => service = value,
            ("Trace ID", _) => {
                let (service, id, name) = (service.clone(), String::new(), String::new());
                spans.push(ShownSpan { service, trace: value, id, name });
            }
            ("ID", Some(last)) => last.id = value,
            ("Name", Some(last)) => last.name = value,
            _ => {}
        }
    }
    spans
}

/// A collector that is none of ours takes every span, and reads in it what it says. (What it hands on it always compresses, which
/// the receiver of these tests does not read: so its own log is what is looked at.)
#[test]
fn a_foreign_collector_takes_every_span() {
    // Both halves keep ten at once of those that are asked for.
    const TRACES: usize = 6;
    let _turn = beside_others();
    let Some(agent) = python("strangers", "rotel-agent") else { return };
    let dir = Dir::new();
    let [grpc, http] = [(); 2].map(|()| format!("127.0.0.1:{}", services::free_port().unwrap()));
    let (pid, file) = (dir.file("agent.pid"), dir.file("agent.log"));
    let words = ["start", "--pid-file", &pid, "--log-file", &file, "--otlp-grpc-endpoint", &grpc];
    let shows = ["--exporter", "blackhole", "--debug-log", "traces", "--debug-log-verbosity", "detailed"];
    let program = [agent.to_str().unwrap()];
    let log = dir.path().join("agent");
    let words = [&program[..], &words, &["--otlp-http-endpoint", &http], &shows].concat();
    let _agent = services::Process::start(&words, &log, None).unwrap();
    until("the collector to listen", || std::net::TcpStream::connect(&grpc).ok());
    let otlp = format!("http://{grpc}");
    let linkr = Linkr::up_with(&dir, &[("LINKR_OTLP", &otlp), ("LINKR_TRUSTED_PEERS", "127.0.0.1")]);
    let traced = |address: SocketAddr, method: &str, path: &str, number: usize, body: &str| {
        let traceparent = format!("00-{number:032x}-b7ad6b7169203331-01");
        let fields = [("traceparent", &*traceparent)];
        Connection::to(address).call_with(method, path, &fields, body).unwrap().unwrap()
    };
    for number in 1..=TRACES {
        let body = format!("{{\"code\":\"x{number}\",\"target\":\"https://example.com/\"}}");
        assert_eq!(traced(linkr.api(), "POST", "/v1/links", number, &body).status, 201);
        assert!([302, 404].contains(&traced(linkr.edge(), "GET", &format!("/x{number}"), number, "").status));
    }
    let count = |outcome: &str| {
        let of = |half| linkr.metric(&format!("linkr_{half}_otlp_spans_total{{outcome=\"{outcome}\"}}"));
        of("edge").unwrap() + of("control").unwrap()
    };
    let whole = |spans: &[ShownSpan], number: usize| {
        let trace = format!("{number:032x}");
        let has = |service: &str, name: &str| {
            spans.iter().any(|one| one.trace == trace && one.service == service && one.name == name)
        };
        let of_control = ["CreateLink", "wait for the writer", "commit"];
        has("Str(linkr-edge)", "GET") && of_control.iter().all(|name| has("Str(linkr-control)", name))
    };
    // One of each second is kept as well, whatever it was, so that the count goes on rising.
    let (taken, sent) = until("every span to be with the collector", || {
        let sent = count("sent");
        let taken = shown(&std::fs::read_to_string(&log).unwrap());
        let complete = (1..=TRACES).all(|number| whole(&taken, number)) && taken.len() as f64 >= sent;
        complete.then_some((taken, sent))
    });
    let ids: BTreeSet<_> = taken.iter().map(|one| (&one.trace, &one.id)).collect();
    assert_eq!(ids.len(), taken.len(), "none comes twice");
    assert_eq!((count("dropped"), count("failed")), (0.0, 0.0));
    println!("{sent} spans were sent, and the collector has shown {}", taken.len());
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
