//! The import table of docs/architecture.md, and the form of every file, as a program that runs with the tests.

#[path = "imports/circles.rs"]
mod circles;
#[path = "imports/lines.rs"]
mod lines;
#[path = "imports/paths.rs"]
mod paths;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A rule: files whose path starts with `within` name none of `never`. A name is a path from its crate on (`std::net`),
/// or `::Name` for a segment anywhere.
struct Rule {
    within: &'static str,
    never: &'static [&'static str],
}

const CLOCKS: [&str; 2] = ["::Instant", "::SystemTime"];
const WAITING: [&str; 8] = [
    "::TcpStream",
    "::TcpListener",
    "::UdpSocket",
    "::ToSocketAddrs",
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
];
const RUNTIMES: [&str; 5] = ["tokio", "monoio", "tonic", "axum", "hyper"];
const STORES: [&str; 4] = ["rusqlite", "tokio-postgres", "refinery", "redis"];

const RULES: [Rule; 19] = [
    Rule { within: "journal/src", never: &CLOCKS },
    Rule { within: "journal/src", never: &WAITING },
    Rule {
        within: "journal/src",
        never: &["serde", "prost", "tokio", "monoio", "tracing", "quanta", "getrandom"],
    },
    Rule {
        within: "record/src",
        never: &["serde", "prost", "tokio", "monoio", "tracing", "quanta", "getrandom"],
    },
    Rule { within: "link/src", never: &CLOCKS },
    Rule { within: "link/src", never: &WAITING },
    Rule {
        within: "link/src",
        never: &["serde", "prost", "tokio", "monoio", "tracing", "quanta", "getrandom"],
    },
    Rule { within: "clicks/src", never: &CLOCKS },
    Rule { within: "clicks/src", never: &WAITING },
    Rule {
        within: "clicks/src",
        never: &["serde", "prost", "tokio", "monoio", "tracing", "tonic", "quanta", "getrandom", "libc"],
    },
    Rule { within: "feed/src", never: &CLOCKS },
    Rule { within: "feed/src", never: &WAITING },
    Rule { within: "feed/src", never: &["tokio", "monoio", "tracing", "tonic", "quanta", "prost"] },
    Rule { within: "hot/src", never: &CLOCKS },
    Rule { within: "hot/src", never: &WAITING },
    Rule { within: "hot/src", never: &["tokio", "monoio", "tracing", "tonic", "quanta", "socket2", "libc"] },
    Rule { within: "edge/src/worker", never: &["tokio", "tonic", "axum", "proto", "otlp"] },
    Rule { within: "edge/src/background", never: &["monoio"] },
    Rule {
        within: "control/src/service",
        never: &["tonic", "axum", "hyper", "store::sqlite", "store::postgres", "crate::transport"],
    },
];

/// Of our own crates, those that a crate may name.
const MAY: [(&str, &[&str]); 19] = [
    ("link", &[]),
    ("feed", &["link"]),
    ("clicks", &["link"]),
    ("hot", &["link", "clicks", "feed"]),
    ("fuzz", &["link", "clicks", "feed", "hot", "record"]),
    ("record", &["link", "feed"]),
    ("journal", &["link", "record"]),
    ("proto", &["link", "feed"]),
    ("exposition", &[]),
    ("otlp", &["feed"]),
    ("dashboards", &[]),
    ("edge", &["link", "clicks", "feed", "hot", "record", "proto", "exposition", "otlp"]),
    ("store", &["link", "clicks", "feed", "record", "journal", "proto"]),
    ("ui", &["exposition"]),
    (
        "control",
        &["link", "clicks", "feed", "record", "journal", "store", "proto", "exposition", "otlp", "ui"],
    ),
    ("loadtest", &["services"]),
    ("services", &[]),
    ("sim", &["link", "clicks", "feed", "hot", "record", "journal", "services"]),
    ("trials", &["link", "proto", "services"]),
];
const OURS: [&str; 20] = [
    "link",
    "clicks",
    "journal",
    "store",
    "record",
    "exposition",
    "dashboards",
    "otlp",
    "feed",
    "fuzz",
    "hot",
    "proto",
    "edge",
    "control",
    "ui",
    "cli",
    "loadtest",
    "services",
    "sim",
    "trials",
];
/// Dependencies of the pure crates, whatever they would be used for.
const PURE: [&str; 6] = ["link", "clicks", "feed", "hot", "record", "journal"];

const MOST_LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// What is wrong with one source file.
fn faults_of_source(file: &str, text: &str) -> Vec<String> {
    if file.ends_with("tests.rs") {
        return Vec::new();
    }
    let named = paths::named(text);
    let mut faults = Vec::new();
    let mut check = |never: &str| {
        if let Some(path) = named.iter().find(|path| paths::is_below(path, never)) {
            faults.push(format!("{file} names {path}: {never} is not allowed here"));
        }
    };
    for rule in RULES.iter().filter(|rule| file.starts_with(rule.within)) {
        rule.never.iter().for_each(|never| check(never));
    }
    for (_, may) in MAY.iter().filter(|(name, _)| file.starts_with(&format!("{name}/src/"))) {
        let own = file.split('/').next().unwrap_or_default();
        OURS.iter().filter(|other| **other != own && !may.contains(other)).for_each(|other| check(other));
    }
    faults
}

/// What is wrong with the `[dependencies]` of one crate.
fn faults_of_manifest(name: &str, text: &str) -> Vec<String> {
    let mut section = "";
    let mut dependencies = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if section == "[dependencies]" && !line.starts_with('#') {
            dependencies.extend(line.split(['.', '=', ' ']).next().filter(|name| !name.is_empty()));
        }
    }
    let may = MAY.iter().find(|(known, _)| *known == name).map(|(_, may)| *may);
    let mut faults = Vec::new();
    for dependency in dependencies {
        let ours = OURS.contains(&dependency) && may.is_some_and(|may| !may.contains(&dependency));
        let impure = PURE.contains(&name) && (RUNTIMES.contains(&dependency) || STORES.contains(&dependency));
        if ours || impure {
            faults.push(format!("{name}/Cargo.toml depends on {dependency}"));
        }
    }
    faults
}

/// What is wrong with the form of a source file.
fn faults_of_form(file: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if file.ends_with("/mod.rs") {
        faults.push(format!("{file}: name it after its folder, beside it"));
    }
    if !text.starts_with("//!") {
        faults.push(format!("{file} does not open with a //! sentence"));
    }
    if text.lines().count() > MOST_LINES {
        faults.push(format!("{file} is longer than {MOST_LINES} lines"));
    }
    let fences = text
        .lines()
        .map(str::trim_start)
        .filter(|line| ["/// ```", "//! ```"].iter().any(|fence| line.starts_with(fence)));
    if fences.step_by(2).any(|fence| !fence.ends_with("```text")) {
        faults.push(format!("{file} has a test in its documentation: make test runs none"));
    }
    faults
}

/// Paths of one machine have no place in the repository. (Spelled so that this file is none of them.)
fn faults_of_text(file: &str, text: &str) -> Vec<String> {
    let homes = ["home", "root", "work", "Users"].map(|dir| format!("/{dir}/"));
    let named = homes.iter().find(|home| {
        text.match_indices(home.as_str()).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            before.is_none_or(|c| c.is_whitespace() || "\"'`(=".contains(c))
        })
    });
    named.map(|home| format!("{file} names a path under {home}")).into_iter().collect()
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !["target", ".git", "linkr-data"].contains(&name.as_str()) {
            files(&path, found);
        } else if path.is_file() && name != ".git" {
            found.push(path);
        }
    }
}

#[test]
fn the_repository_keeps_the_rules() {
    let root = root();
    let (mut all, mut faults) = (Vec::new(), Vec::new());
    files(&root, &mut all);
    for path in all {
        let Ok(text) = fs::read_to_string(&path) else { continue }; // not text
        let file = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        faults.extend(faults_of_text(&file, &text));
        if file.ends_with(".rs") {
            faults.extend(faults_of_form(&file, &text));
            faults.extend(faults_of_source(&file, &text));
            faults.extend(lines::faults(&file, &text));
        }
        if let Some(name) = file.strip_suffix("/Cargo.toml") {
            faults.extend(faults_of_manifest(name, &text));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn a_planted_violation_is_found() {
    for (file, text) in [
        ("link/src/x.rs", "use std::time::{Duration, Instant};"),
        ("link/src/x.rs", "fn f() { let _ = std::fs::read(\"x\"); }"),
        ("link/src/x.rs", "use feed::Hello;"),
        ("feed/src/x.rs", "use std::{net::{IpAddr, UdpSocket}, fmt};"),
        ("feed/src/a/b.rs", "use hot::Set;"),
        ("clicks/src/x.rs", "use record::Record;"),
        ("clicks/src/x.rs", "fn f(now: std::time::SystemTime) {}"),
        ("hot/src/x.rs", "fn f() { tracing::info!(\"x\"); }"),
        ("hot/src/x.rs", "use std::{collections::HashMap, time::SystemTime};"),
        ("proto/src/x.rs", "use edge::Config;"),
        ("edge/src/x.rs", "fn f(_: control::Config) {}"),
        ("edge/src/worker.rs", "use tokio::sync::mpsc;"),
        ("edge/src/worker/x.rs", "async fn f() { ::tokio::spawn(g()); }"),
        ("edge/src/background/x.rs", "use monoio::net;"),
        ("control/src/x.rs", "use hot as h;"),
        ("control/src/service/x.rs", "use tonic::Status;"),
        ("control/src/service.rs", "use store::sqlite::Sqlite;"),
    ] {
        assert_eq!(faults_of_source(file, text).len(), 1, "{file}: {text}");
    }
    for (name, text) in [
        ("link", "[dependencies]\nfeed.workspace = true"),
        ("hot", "[dependencies]\ntokio = \"1\""),
        ("edge", "[dependencies]\ncontrol = { workspace = true }"),
    ] {
        assert_eq!(faults_of_manifest(name, text).len(), 1, "{name}");
    }
    assert_eq!(faults_of_form("x/src/mod.rs", "fn f() {}").len(), 2);
    assert_eq!(faults_of_form("x/src/y.rs", &format!("//! Long.\n{}", "\n".repeat(600))).len(), 1);
    assert_eq!(faults_of_form("x/src/y.rs", "//! Tried.\n//! ```\n//! f();\n//! ```\nfn f() {}").len(), 1);
    assert_eq!(
        faults_of_form("x/src/y.rs", "//! Drawn.\n//! ```text\n//! a -> b\n//! ```\nfn f() {}").len(),
        0
    );
    assert_eq!(faults_of_text("x", &["see /ho", "me/me/x"].concat()).len(), 1);
}

#[test]
fn what_is_allowed_is_not_found() {
    for (file, text) in [
        ("link/src/x.rs", "//! Not std::fs::read, not Instant::now().\nuse std::time::Duration;"),
        ("hot/src/x.rs", "use link::Link; const T: &str = \"tokio::spawn\"; /* monoio::x */"),
        ("edge/src/background/x.rs", "use tokio::net::TcpStream;"),
        (
            "edge/src/worker/x.rs",
            "use super::background_view; struct Edge; impl Edge { fn control(&self) {} }",
        ),
        ("control/src/server/x.rs", "use store::sqlite::Sqlite; use crate::service;"),
        ("hot/src/x.rs", "fn f() {}\n#[cfg(test)]\nmod tests { use std::thread; }"),
    ] {
        assert_eq!(faults_of_source(file, text), Vec::<String>::new(), "{file}: {text}");
    }
    assert!(
        faults_of_manifest("link", "[dependencies]\nbytes = \"1\"\n[dev-dependencies]\ntokio = \"1\"")
            .is_empty()
    );
    assert!(faults_of_text("x", "https://example.com/home/page").is_empty());
}

/// Found by reading: a member that the image's build does not get breaks it, and no engine runs here to say so.
#[test]
fn the_image_is_built_from_every_member() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let ignore = fs::read_to_string(root().join(".dockerignore")).unwrap();
    let members = manifest.lines().find(|line| line.starts_with("members = [")).unwrap();
    let names: Vec<&str> = members.split('"').skip(1).step_by(2).collect();
    assert!(names.len() > 5, "{members}");
    for name in names {
        assert!(
            ignore.lines().any(|line| line == format!("!{name}")),
            "{name} is not in the build's context"
        );
    }
}

/// The modules of the crate in this folder.
fn modules_of(name: &str) -> circles::Modules {
    let (dir, mut sources) = (root().join(name).join("src"), Vec::new());
    if dir.is_dir() {
        files(&dir, &mut sources);
    }
    let module = |path: &PathBuf| {
        let file = path.strip_prefix(&dir).unwrap().to_string_lossy().into_owned();
        Some((circles::module_of(&file)?, fs::read_to_string(path).unwrap()))
    };
    sources.iter().filter_map(module).collect()
}

#[test]
fn no_modules_of_a_crate_name_each_other_in_a_circle() {
    let mut found = Vec::new();
    for dir in fs::read_dir(root()).unwrap() {
        let name = dir.unwrap().file_name().to_string_lossy().into_owned();
        let circles = circles::circles(&modules_of(&name));
        found.extend(circles.into_iter().map(|circle| format!("{name}: {circle}")));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What `docs/architecture.md` lists of the modules of each crate, from the top to the bottom.
fn listed(page: &str) -> BTreeMap<String, Vec<String>> {
    let block = page.split("## Modules").nth(1).and_then(|rest| rest.split("```").nth(1)).unwrap();
    let (mut lists, mut last) = (BTreeMap::<String, Vec<String>>::new(), String::new());
    for line in block.lines().filter(|line| !line.is_empty()) {
        let (name, rest) = line.split_at(10);
        if !name.trim().is_empty() {
            name.trim().clone_into(&mut last);
        }
        // Two modules that stand beside each other share a line: `clock, random`.
        let list = lists.entry(last.clone()).or_default();
        for word in rest.split(' ') {
            list.push(word.trim_end_matches(',').to_owned());
            if !word.ends_with(',') {
                break;
            }
        }
    }
    lists
}

#[test]
fn the_page_lists_every_module_and_no_arrow_points_up() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let mut found = Vec::new();
    for (name, list) in listed(&page) {
        let modules = modules_of(&name);
        let there: BTreeSet<&String> = modules.keys().filter_map(|module| module.first()).collect();
        let of: BTreeSet<&String> = list.iter().collect();
        found.extend(there.difference(&of).map(|module| format!("{name}: {module} is not listed")));
        found.extend(of.difference(&there).map(|module| format!("{name}: {module} is listed and not there")));
        let place = |module: &String| list.iter().position(|listed| listed == module);
        for (from, to) in circles::arrows(&modules).get(&Vec::new()).into_iter().flatten() {
            if place(from) > place(to) {
                found.push(format!("{name}: {from} imports {to}, which stands above it"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_planted_circle_is_found() {
    let of = |files: &[(&str, &str)]| {
        let module = |(file, text): &(&str, &str)| (circles::module_of(file).unwrap(), (*text).to_owned());
        circles::circles(&files.iter().map(module).collect())
    };
    let lib = ("lib.rs", "mod a; mod b; pub use a::{Name, inner::Deep};");
    assert_eq!(of(&[lib, ("a.rs", "use crate::b::B;"), ("b.rs", "use crate::Name;")]), ["{a b}"]);
    assert_eq!(
        of(&[lib, ("a/x.rs", "use super::super::b::B;"), ("b.rs", "use crate::a::A;"), ("a.rs", "")]),
        ["{a b}"]
    );
    assert_eq!(
        of(&[
            lib,
            ("a.rs", "mod x; mod y;"),
            ("a/x.rs", "use super::y::Y;"),
            ("a/y.rs", "fn f() { super::x::g() }")
        ]),
        ["a::{x y}"]
    );
    // A parent and what lies below it, and an arrow one way.
    assert_eq!(
        of(&[
            lib,
            ("a.rs", "use x::X; use crate::b::B;"),
            ("a/x.rs", "use super::A; use crate::b::B;"),
            ("b.rs", "")
        ]),
        [""; 0]
    );
    assert_eq!(of(&[lib, ("a.rs", "use b::B;"), ("b.rs", "use std::a::A;")]), [""; 0], "another crate's");
}
