//! Data of earlier versions, kept in `cli/tests/kept`: this one opens it and finds everything that was in it.
//!
//! `LINKR_WRITE_KEPT=tests/kept cargo test -p cli --test e2e kept -- --ignored` keeps that of this version, before a release.

use crate::stores::Store;
use crate::support::{
    Connection, Dir, FREE_PORTS, LINKR, Linkr, beside_others, command, skip, text, until, workspace,
};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is asked, and the file with the answer of the version that wrote the data.
const QUESTIONS: [(&str, &[&str]); 8] = [
    ("links.json", &["link", "list", "-o", "json"]),
    ("links-of-domain.json", &["link", "list", "--domain", "go.example", "-o", "json"]),
    ("domains.json", &["domain", "list", "-o", "json"]),
    ("tags.json", &["tag", "list", "-o", "json"]),
    ("keys.json", &["keys", "list", "-o", "json"]),
    ("blocks.json", &["target", "list", "-o", "json"]),
    ("history.json", &["link", "history", "plain", "-o", "json"]),
    ("clicks.json", &["clicks", "--by", "link", "--kind", "all", "--last", "3650d", "-o", "json"]),
];
/// Names of fields that are of the moment of the answer, or of the start of control.
const OF_THE_MOMENT: [&str; 7] = [
    "revision",
    "complete_until",
    "start_time",
    "end_time",
    "kept_seconds",
    "last_use_time",
    "next_page_token",
];
/// Clicks on the link `plain`.
const CLICKS: usize = 7;

/// One kept version: `data.tar.gz` is the directory of `linkr up`, `store.dump` a backup of PostgreSQL.
fn versions() -> Vec<PathBuf> {
    let kept = workspace().join("cli/tests/kept");
    let mut all: Vec<PathBuf> = fs::read_dir(kept).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    assert!(!all.is_empty());
    all
}

fn up(dir: &Dir) -> Linkr {
    let mut up = command(LINKR, dir.path());
    up.args(["up", "--data-dir", "data", "--listen", "127.0.0.1:0", "--workers", "1"]).args(FREE_PORTS);
    up.env("LINKR_INSECURE", "false");
    Linkr::start(up, dir, &["edge", "api", "admin", "then"])
}

/// A control on PostgreSQL, and an edge beside it that counts clicks; `key` is allowed everything.
struct Halves {
    control: Linkr,
    edge: Linkr,
}

impl Halves {
    fn start(dir: &Dir, url: &str) -> Self {
        let mut control = command(LINKR, dir.path());
        control.args(["control", "--store", url]).args(FREE_PORTS).env("LINKR_INSECURE", "false");
        let control = Linkr::start(control, dir, &["api", "admin"]);
        let mut mint = command(LINKR, dir.path());
        mint.args([
            "control", "--store", url, "mint-key", "--name", "edges", "--scopes", "feed", "--edge", "one",
        ]);
        dir.write("edge.key", mint.output().unwrap().stdout);
        let api = format!("http://{}", control.api());
        let mut edge = command(LINKR, dir.path());
        edge.args([
            "edge",
            "--name",
            "one",
            "--control",
            &api,
            "--control-key-file",
            "edge.key",
            "--workers",
            "1",
        ]);
        edge.args([
            "--unpinned",
            "--snapshot",
            "edge.snapshot",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ]);
        let edge = Linkr::start(edge, dir, &["edge", "admin"]);
        Self { control, edge }
    }
}

fn ask(control: &Linkr, dir: &Dir, key: &str, words: &[&str]) -> String {
    let server = format!("http://{}", control.api());
    let done = command(LINKR, dir.path())
        .args(words)
        .envs([("LINKR_SERVER", &*server), ("LINKR_KEY_FILE", key)])
        .output()
        .unwrap();
    assert!(done.status.success(), "{words:?}: {}", text(&done.stderr));
    text(&done.stdout)
}

fn in_json(control: &Linkr, dir: &Dir, key: &str, words: &[&str]) -> Value {
    serde_json::from_str(&ask(control, dir, key, words)).unwrap()
}

/// Something of every kind.
fn fill(control: &Linkr, edge: &Linkr, dir: &Dir, key: &str) {
    let make = |words: &str| drop(ask(control, dir, key, &words.split(' ').collect::<Vec<_>>()));
    make("domain create go.example --fold-case --not-found https://example.com/none --stats full");
    make(
        "link create https://example.com/plain --code plain --title a-title --note a-note --tag spring --tag print",
    );
    make("link create https://example.com/301 --code moved --status 301 --max-age 60 --external-id crm-17");
    make("link create https://example.com/q?a=1 --code query --query append --class strict");
    make("link create https://example.com/late --code late --not-before 2099-01-01T00:00:00Z");
    make(
        "link create https://example.com/over --code over --expire-time 2099-01-01T00:00:00Z --expired-target https://example.com/over-now",
    );
    make("link create https://example.com/a --code bücher/日本.html");
    make("link create https://example.com/b --code gone");
    make("link create https://example.com/c --code off");
    make("link update off --disabled");
    make("link create https://example.com/d --code Promo --domain go.example --tag spring");
    make("link update plain --target https://example.com/changed");
    make("link delete gone");
    make("target block evil.example");
    make("keys create reader --scopes links:read --domains go.example");
    until("all of it", || (edge.get("/gone").status == 410).then_some(())); // which is no click
    for _ in 0..CLICKS {
        let agent =
            [("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")];
        let answer = Connection::to(edge.edge()).call_with("GET", "/plain", &agent, "").unwrap().unwrap();
        assert_eq!(answer.location(), "https://example.com/changed");
    }
    until("the clicks", || {
        let counted = in_json(control, dir, key, QUESTIONS[7].1).to_string();
        (counted.contains(&format!("\"{CLICKS}\"")) || counted.contains(&format!(":{CLICKS}"))).then_some(())
    });
}

/// Whether everything that was there is there. Fields, and elements such as keys, may have come since.
fn holds(was: &Value, is: &Value) -> bool {
    match (was, is) {
        (Value::Object(was), Value::Object(is)) => was.iter().all(|(name, was)| {
            OF_THE_MOMENT.contains(&name.as_str()) || is.get(name).is_some_and(|is| holds(was, is))
        }),
        (Value::Array(was), Value::Array(is)) => was.iter().all(|was| is.iter().any(|is| holds(was, is))),
        (was, is) => was == is,
    }
}

/// All answers are those of the version that wrote the data, and visitors find what they found.
fn is_as_it_was(answers: &Path, control: &Linkr, edge: &Linkr, dir: &Dir, key: &str) {
    for (file, words) in QUESTIONS {
        let was: Value = serde_json::from_slice(&fs::read(answers.join(file)).unwrap()).unwrap();
        let is = in_json(control, dir, key, words);
        assert!(holds(&was, &is), "{file}: it was\n{was}\nand is\n{is}");
    }
    until("the links", || (edge.get("/plain").status == 302).then_some(()));
    assert_eq!(edge.get("/plain").location(), "https://example.com/changed");
    assert_eq!(
        (edge.get("/moved").status, edge.get("/gone").status, edge.get("/off").status),
        (301, 410, 410)
    );
    let mut stranger = Connection::to(edge.edge());
    stranger.write_all(b"GET /pROMO HTTP/1.1\r\nHost: go.example\r\n\r\n").unwrap();
    assert_eq!(stranger.answer(false).unwrap().unwrap().location(), "https://example.com/d");
    // And it goes on.
    ask(control, dir, key, &["link", "create", "https://example.com/new", "--code", "new"]);
    until("the new link", || (edge.get("/new").location() == "https://example.com/new").then_some(()));
}

fn unpack(archive: &Path, dir: &Dir) {
    let done = Command::new("tar").arg("-xzf").arg(archive).current_dir(dir.path()).status().unwrap();
    assert!(done.success(), "{}", archive.display());
}

#[test]
fn a_directory_of_each_kept_version_is_opened() {
    let _turn = beside_others();
    for version in versions() {
        let dir = Dir::new();
        unpack(&version.join("data.tar.gz"), &dir);
        let up = up(&dir);
        is_as_it_was(&version.join("data"), &up, &up, &dir, "data/admin.key");
    }
}

#[test]
fn a_database_of_each_kept_version_is_opened() {
    let _turn = beside_others();
    let Some(store @ Store::Postgres(_)) = Store::postgres("a_database_of_each_kept_version_is_opened")
    else {
        return;
    };
    for (number, version) in versions().into_iter().enumerate() {
        let (dir, url) = (Dir::new(), store.empty(&format!("kept{number}")));
        let mut put_back = command("pg_restore", dir.path());
        put_back.args(["--no-owner", "--no-privileges", "--single-transaction", "--dbname", &url]);
        let done = put_back.arg(version.join("store.dump")).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
        fs::copy(version.join("store.key"), dir.file("admin.key")).unwrap();
        let halves = Halves::start(&dir, &url);
        is_as_it_was(&version.join("store"), &halves.control, &halves.edge, &dir, "admin.key");
    }
}

#[test]
#[ignore = "writes into LINKR_WRITE_KEPT"]
fn keep() {
    let Some(to) = std::env::var_os("LINKR_WRITE_KEPT") else {
        return skip("keep", "LINKR_WRITE_KEPT is not set");
    };
    let _turn = beside_others();
    fs::create_dir_all(&to).unwrap();
    let version = Path::new(&to).canonicalize().unwrap().join(env!("CARGO_PKG_VERSION"));
    let answer = |to: &Path, control: &Linkr, dir: &Dir, key: &str| {
        fs::create_dir_all(to).unwrap();
        for (file, words) in QUESTIONS {
            let answer = serde_json::to_string_pretty(&in_json(control, dir, key, words)).unwrap();
            fs::write(to.join(file), answer + "\n").unwrap();
        }
    };
    let dir = Dir::new();
    let mut up = up(&dir);
    fill(&up, &up, &dir, "data/admin.key");
    answer(&version.join("data"), &up, &dir, "data/admin.key");
    up.ask_to_stop();
    assert!(up.exited().success());
    let mut pack = Command::new("tar");
    pack.args(["--sparse", "-cz", "-f"]).arg(version.join("data.tar.gz")).arg("data").current_dir(dir.path());
    assert!(pack.status().unwrap().success());

    let Some(store @ Store::Postgres(_)) = Store::postgres("keep") else { panic!("PostgreSQL is needed") };
    let (dir, url) = (Dir::new(), store.empty("kept"));
    let mint = command(LINKR, dir.path()).args(["control", "--store", &url, "mint-key"]).output().unwrap();
    dir.write("admin.key", &mint.stdout);
    let halves = Halves::start(&dir, &url);
    fill(&halves.control, &halves.edge, &dir, "admin.key");
    answer(&version.join("store"), &halves.control, &dir, "admin.key");
    fs::write(version.join("store.key"), &mint.stdout).unwrap();
    let _ = fs::remove_file(version.join("store.dump"));
    let mut backup = command(LINKR, dir.path());
    let done = backup.arg("backup").arg(version.join("store.dump")).args(["--store", &url]).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
}
