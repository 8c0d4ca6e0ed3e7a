//! Lists with filters and orders, and a watcher that is killed and goes on.

use crate::support::{Dir, LINKR, Linkr, beside_others, command, text, until};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

#[test]
fn filters_and_orders() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let file = dir.write(
        "links.csv",
        "code,target,tags,create_time\n\
         a/1,https://example.com/1,x,2026-01-03T00:00:00Z\n\
         a/2,https://example.com/2,\"x,y\",2026-01-02T00:00:00Z\n\
         b,https://example.com/3,y,2026-01-01T00:00:00Z\n",
    );
    linkr.ok(&dir, &["import", &file]);
    let codes = |words: &[&str]| {
        let said = linkr.ok(&dir, &[&["link", "list"], words].concat());
        said.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(codes(&[]), ["a/1", "a/2", "b"]);
    assert_eq!(codes(&["--filter", "code = \"a*\" AND tags:y"]), ["a/2"]);
    assert_eq!(codes(&["--order-by", "create_time desc", "--filter", "NOT tags:z"]), ["a/1", "a/2", "b"]);
    assert_eq!(codes(&["--filter", "create_time < 2026-01-02T00:00:00Z"]), ["b"]);
    let page = linkr.ok(&dir, &["link", "list", "--filter", "tags:x", "--page-size", "1", "-o", "json"]);
    let token = page.split("\"next_page_token\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(codes(&["--filter", "tags:x", "--page-size", "1", "--page-token", token]), ["a/2"]);
    for (words, part) in [
        (["--filter", "code"], "filter at character 5"),
        (["--filter", "size > 3"], "filter at character 1"),
        (["--order-by", "target"], "order_by is none of"),
    ] {
        let done = linkr.run(&dir, &[&["link", "list"][..], &words].concat());
        let said = text(&done.stderr);
        assert!(done.status.code() == Some(2) && said.contains(part) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn tags_are_listed_renamed_and_merged() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let file = dir.write(
        "links.csv",
        "code,target,tags\n\
         a,https://example.com/1,\"x,y\"\n\
         b,https://example.com/2,\"y,z\"\n\
         c,https://example.com/3,z\n",
    );
    linkr.ok(&dir, &["import", &file]);
    let refused = |words: &[&str], part: &str| {
        let done = linkr.run(&dir, words);
        let said = text(&done.stderr);
        assert!(done.status.code() == Some(2) && said.contains(part) && said.lines().count() == 1, "{said}");
    };
    assert_eq!(linkr.ok(&dir, &["tag", "list"]), "1  x\n2  y\n2  z\n");
    refused(&["tag", "rename", "none", "new"], "no link of domains/- has the tag \"none\"");
    refused(&["tag", "rename", "x", "y"], "linkr tag merge");
    assert_eq!(linkr.ok(&dir, &["tag", "rename", "x", "new one"]), "1 link changed\n");
    let merged = linkr.ok(&dir, &["tag", "merge", "y", "none", "z", "new one", "-o", "json"]);
    assert_eq!(merged, "{\"changed\":4,\"done\":true}\n");
    refused(&["tag", "merge", "y", "z", "new one"], "has the tag");
    assert_eq!(linkr.ok(&dir, &["tag", "list", "--prefix", "new"]), "3  new one\n");
    let listed = linkr.ok(&dir, &["link", "list", "--filter", "tags:\"new one\""]);
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let told = linkr.ok(&dir, &["tag", "list", "-o", "json"]);
    assert_eq!(told, "{\"next_page_token\":\"\",\"tags\":[{\"links\":3,\"tag\":\"new one\"}]}\n");
}

struct Watcher {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watcher {
    fn start(linkr: &Linkr, dir: &Dir, words: &[&str]) -> Self {
        let mut watch = command(LINKR, dir.path());
        watch.args(["link", "watch", "--server", &format!("http://{}", linkr.api())]).args(words);
        let mut child = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_watcher_goes_on_where_it_was_killed() {
    let _turn = beside_others();
    let dir = Dir::new();
    let mut linkr = Linkr::up(&dir);
    let created = linkr.ok(&dir, &["link", "create", "https://example.com/0", "--code", "c0", "-o", "json"]);
    let mut revision = created.split("\"revision\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    for n in 1..6 {
        let mut watcher = Watcher::start(&linkr, &dir, &["--revision", &revision]);
        if n == 3 {
            linkr.ok(&dir, &["link", "delete", "c0"]);
            let line = watcher.line();
            assert!(line.ends_with("  c0  (deleted)\n"), "{line}");
        }
        let code = format!("c{n}");
        linkr.ok(&dir, &["link", "create", &format!("https://example.com/{n}"), "--code", &code]);
        let line = watcher.line();
        assert!(line.ends_with(&format!("  c{n}  https://example.com/{n}\n")), "{line}");
        revision = line.split(' ').next().unwrap().to_owned();
    }
    // And over a restart of the server.
    linkr.kill();
    let linkr = Linkr::up(&dir);
    linkr.ok(&dir, &["link", "create", "https://example.com/last", "--code", "last"]);
    let mut watcher = Watcher::start(&linkr, &dir, &["--revision", &revision, "-o", "json"]);
    let line = watcher.line();
    assert!(line.contains("\"target\":\"https://example.com/last\""), "{line}");
    drop(linkr);
    let ended = until("the watcher to end with the server", || watcher.child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(2));
    let done = command(LINKR, dir.path()).args(["link", "watch", "--revision", "x"]).output().unwrap();
    assert_eq!(done.status.code(), Some(2));
}
