//! A map of nginx of real links and targets, held against a real nginx before it moves in, after it, and when it is out
//! again. Skipped where the data or nginx is not.

use crate::corpora::shared;
use crate::stores::{Store, catch_up, control, edge};
use crate::support::{Connection, Dir, beside_others, bounded, command, has, skip, text, until};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

/// Of these the suite takes every so manieth; all 100,000 with `LINKR_LONG=1`.
const EVERY: usize = 20;
const LINES: usize = 100_000;
/// An edge ends a connection after 10,000 answers.
const ON_ONE: usize = 5_000;

fn unpacked(dir: &Dir, file: &Path) -> String {
    text(&command("zstdcat", dir.path()).arg(file).output().unwrap().stdout)
}

/// Paths and where they lead: real short links (20,863), then the host and path of real URLs, and of the targets of
/// those links, for each its own URL (62,577); then the links again below `/go/`, up to 100,000. No path twice, by which
/// nginx means in any case, and none of a `/` at its end, but for every fiftieth that had one: no code ends so.
fn real(dir: &Dir, shared: &Path) -> Vec<(String, String)> {
    let csv = unpacked(dir, &shared.join("data/clicks/links.csv.zst"));
    let links: Vec<(String, String)> = csv
        .lines()
        .skip(1)
        .map(|line| {
            let (code, rest) = line.split_once(',').unwrap();
            let target = rest.rsplit_once(',').unwrap().0;
            (code.to_owned(), target.trim_matches('"').replace("\"\"", "\""))
        })
        .collect();
    let urls = unpacked(dir, &shared.join("data/urls/urls.txt.zst"));
    let targets = urls.lines().map(str::to_owned).chain(links.iter().map(|(_, target)| target.clone()));
    let mut slashes = 0;
    let paths = targets.map(|target| {
        let path = target.split_once("://").unwrap().1.split(['?', '#']).next().unwrap();
        slashes += usize::from(path.ends_with('/'));
        let whole = path.ends_with('/') && slashes % 50 == 0;
        (if whole { path } else { path.trim_end_matches('/') }.to_owned(), target)
    });
    let again = links.iter().map(|(code, target)| (format!("go/{code}"), target.clone()));
    let mut seen = HashSet::new();
    let all = links.iter().cloned().chain(paths).chain(again);
    all.filter(|(path, _)| seen.insert(path.to_lowercase())).take(LINES).collect()
}

/// Whether it can be a link of linkr, by the rules of `docs/http.md`: beyond ASCII these paths have only letters and signs.
fn is_carried(path: &str, target: &str) -> bool {
    let fine = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "._~-+,:@!'()*".contains(c);
    let segment = |one: &str| !matches!(one, "" | "." | "..") && one.chars().all(fine);
    path.len() <= 128
        && path.split('/').count() <= 8
        && path.split('/').all(segment)
        && target.starts_with("http")
        && !target.contains('$')
}

/// As people write it: bare where that is enough, else in one of both quotes.
fn word(text: &str, n: usize) -> String {
    let text = text.replace('\\', "\\\\");
    if !text.contains(|c: char| c.is_whitespace() || ";{}\"'\\".contains(c)) {
        return text;
    }
    let quote = if n.is_multiple_of(2) { '"' } else { '\'' };
    format!("{quote}{}{quote}", text.replace(quote, &format!("\\{quote}")))
}

/// The map in two files, with what else stands in real ones; and how many of its lines are refused for what.
fn write_map(dir: &Dir, lines: &[(String, String)]) -> BTreeMap<&'static str, usize> {
    let (mut map, mut more) = (
        String::from(
            "# Redirects, one a line; sorted by nobody.\nmap $host $canonical {\n    hostnames;\n    default \"\";\n    \
             .usa.gov        https://www.usa.gov;\n    *.example.gov   https://www.usa.gov;\n}\n\
             map $uri $target {\n    volatile;\n    default \"\";\n    ~^/archive/(?<page>.+)$ https://www.archives.gov/$page;\n    \
             \"~*^/y[0-9]{4}/\"  'https://www.usa.gov/';\n    /whoami  https://www.usa.gov/?from=$uri;\n    /gone  \"\";\n",
        ),
        String::from("# included by redirects.map\n"),
    );
    let mut refused = BTreeMap::from([
        ("HOSTNAMES", 1),
        ("KEY", 2),
        ("PATTERN", 2),
        ("VARIABLE", 1),
        ("EMPTY", 1),
        ("INCLUDE", 1),
    ]);
    for (n, (path, target)) in lines.iter().enumerate() {
        let text = if n % 10 == 9 { &mut more } else { &mut map };
        if n % 500 == 0 {
            let _ = writeln!(text, "\n    # part {}; \"quotes\" {{braces}}", n / 500);
        }
        let (gap, note) = (" ".repeat(n % 3 + 1), if n % 97 == 0 { " # asked for by mail" } else { "" });
        let _ = writeln!(
            text,
            "    {}{gap}{};{note}",
            word(&format!("/{path}"), n),
            word(&target.replace('$', "${dollar}"), n + 1)
        );
        if !is_carried(path, target) {
            let why = if target.contains('$') { "VARIABLE" } else { "INVALID" };
            *refused.entry(why).or_default() += 1;
        }
    }
    map.push_str("    include more.map;\n}\n");
    dir.write("redirects.map", map);
    dir.write("more.map", more);
    refused
}

/// A real nginx with a map that sets a variable.
struct Nginx {
    child: Child,
    socket: String,
}

impl Nginx {
    fn start(dir: &Dir, map: &str, variable: &str) -> Self {
        let (at, socket) = (dir.path().display(), dir.file(&format!("{variable}.sock")));
        let config = dir.write(
            &format!("{variable}.conf"),
            format!(
                "daemon off; master_process off; pid {at}/{variable}.pid; error_log {at}/{variable}.log;\n\
                 events {{}}\nhttp {{ access_log off; keepalive_requests 1000000; map_hash_max_size 262144; \
                 map_hash_bucket_size 512; geo $dollar {{ default \"$\"; }} include {map};\n\
                 client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; \
                 uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
                 server {{ listen unix:{socket}; if (${variable} = \"\") {{ return 404; }} return 302 ${variable}; }} }}\n"
            ),
        );
        let nginx = || {
            let mut nginx = command(program().unwrap(), dir.path());
            nginx.args(["-q", "-c", &config]);
            nginx
        };
        let mut tried = nginx();
        tried.arg("-t");
        bounded(tried, dir, Duration::from_secs(60)).unwrap_or_else(|said| panic!("{said}"));
        let child = nginx().stdout(Stdio::null()).spawn().unwrap();
        Self { child, socket }
    }

    fn connect(&self) -> Connection<UnixStream> {
        Connection::over(until("nginx to listen", || UnixStream::connect(&self.socket).ok()))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Option<&'static str> {
    let beside = "/usr/sbin/nginx";
    if has("nginx") { Some("nginx") } else { Path::new(beside).is_file().then_some(beside) }
}

/// What each path leads to; nothing where it is not found.
fn answers<S: Read + Write>(
    paths: impl Iterator<Item = String>,
    connect: impl Fn() -> Connection<S>,
) -> Vec<Option<String>> {
    let mut connection = connect();
    let ask = |(n, path): (usize, String)| {
        if n % ON_ONE == ON_ONE - 1 {
            connection = connect();
        }
        let answer = connection.ask("HEAD", &format!("/{path}"));
        assert!(matches!(answer.status, 302 | 404), "/{path}: {answer:?}");
        (answer.status == 302).then(|| answer.location().to_owned())
    };
    paths.enumerate().map(ask).collect()
}

#[test]
fn a_real_map_on_sqlite() {
    a_real_map_moves_in_and_out("a_real_map_on_sqlite", || Some(Store::Sqlite));
}

#[test]
fn a_real_map_on_postgres() {
    a_real_map_moves_in_and_out("a_real_map_on_postgres", || Store::postgres("a_real_map_on_postgres"));
}

fn a_real_map_moves_in_and_out(test: &str, store: fn() -> Option<Store>) {
    let Some(shared) = shared(test, &["zstdcat"]) else { return };
    if program().is_none() {
        return skip(test, "there is no nginx");
    }
    let (Some(store), _turn) = (store(), beside_others()) else { return };
    let dir = Dir::new();
    let mut lines = real(&dir, &shared);
    assert_eq!(lines.len(), LINES);
    if std::env::var_os("LINKR_LONG").is_none() {
        lines = lines.into_iter().step_by(EVERY).collect();
    }
    let refused = write_map(&dir, &lines);
    // What is no URL as it stands is one in the form of the URL Standard.
    let form = |target: &str| link::Target::given(target, &[]).unwrap().as_str().to_owned();
    let carried: Vec<_> = lines.iter().filter(|(path, target)| is_carried(path, target)).collect();
    println!("{} of {} lines can be carried over", carried.len(), lines.len());
    let ask = |upper: bool| {
        carried.iter().map(move |(path, _)| if upper { path.to_uppercase() } else { path.clone() })
    };
    let agree = |what: &str, answers: Vec<Option<String>>| {
        for ((path, target), got) in carried.iter().zip(answers) {
            assert_eq!(got.map(|got| form(&got)), Some(form(target)), "{what}: {path}");
        }
    };
    let nginx = Nginx::start(&dir, "redirects.map", "target");
    agree("the map in nginx", answers(ask(false), || nginx.connect()));
    drop(nginx);

    // nginx compares paths without case, and so does a domain that folds it.
    let linkr = control(&dir, &store.empty("real"));
    let edge = edge(&dir, &linkr);
    linkr.ok(&dir, &["domain", "update", "-", "--fold-case"]);
    let (mut said, mut rejected) = (String::new(), BTreeMap::<String, usize>::new());
    for file in ["redirects.map", "more.map"] {
        said += &linkr.ok(&dir, &["import", file, "--format", "nginx-map"]);
        let list = fs::read_to_string(dir.file(&format!("{file}.rejected.csv"))).unwrap();
        for row in list.lines().skip(1) {
            *rejected.entry(row.split(',').nth(1).unwrap().to_owned()).or_default() += 1;
        }
    }
    println!("{said}{rejected:?}");
    let rejected: BTreeMap<&str, usize> = rejected.iter().map(|(why, count)| (&**why, *count)).collect();
    assert_eq!(rejected, refused);
    catch_up(&edge, &linkr);
    for file in ["redirects.map", "more.map"] {
        let address = edge.edge().to_string();
        let done =
            linkr.run(&dir, &["conform", "--links", file, "--format", "nginx-map", "--edge", &address]);
        println!("{}", text(&done.stdout));
        assert!(done.status.success());
    }

    let ours = || Connection::to(edge.edge());
    agree("linkr", answers(ask(false), ours));
    agree("linkr, in upper case", answers(ask(true), ours));

    // And out again, into another nginx.
    linkr.ok(&dir, &["export", "out.map", "--format", "nginx-map"]);
    let nginx = Nginx::start(&dir, "out.map", "linkr_target");
    agree("the export in nginx", answers(ask(false), || nginx.connect()));
    let unknown = || ["nowhere", "archive/1", "Y2013/x"].map(str::to_owned).into_iter();
    assert_eq!(answers(unknown(), ours), [None, None, None]);
    assert_eq!(answers(unknown(), || nginx.connect()), [None, None, None]);
}
