//! A host gone bad, from the outside: blocked by the CLI, gone at the edges, and back by the undo.

use crate::stores::{Store, catch_up, control, edge};
use crate::support::{Connection, Dir, LINKR, Linkr, alone, beside_others, command, skip, text, until};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Links of the long test, and those of them that lead to the host.
const ALL: usize = 1_000_000;
const BAD: usize = 10_000;
/// What the issue asks for.
const WITHIN: Duration = Duration::from_secs(5);

#[test]
fn a_host_is_blocked_at_the_edge_and_comes_back() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let make = |code: &str, target: &str| {
        linkr.ok(&dir, &["link", "create", target, "--code", code, "--ack", "propagated"]);
    };
    make("bad", "https://www.evil.example/");
    make("good", "https://notevil.example/");
    assert_eq!(linkr.get("/bad").status, 302);
    let counted = linkr.ok(&dir, &["target", "block", "evil.example", "--validate-only"]);
    assert_eq!(counted, "evil.example can be blocked: 1 links lead there\n");
    let said = linkr.ok(&dir, &["target", "block", "Evil.Example.", "--note", "phishing"]);
    let want = "evil.example is blocked: 1 links lead there, and the block keeps 1 of them disabled\n";
    assert_eq!(said, want);
    linkr.catch_up();
    assert_eq!((linkr.get("/bad").status, linkr.get("/good").status), (410, 302));
    let refused = linkr.run(&dir, &["link", "create", "https://evil.example/"]);
    assert_eq!(refused.status.code(), Some(2));
    let why = text(&refused.stderr);
    assert!(
        why.contains("evil.example")
            && why.contains("linkr target unblock")
            && why.contains("TARGET_BLOCKED"),
        "{why}"
    );
    let refused = linkr.run(&dir, &["link", "update", "bad", "--disabled=false"]);
    assert!(text(&refused.stderr).contains("TARGET_BLOCKED"), "{}", text(&refused.stderr));
    let list = linkr.ok(&dir, &["target", "list"]);
    assert!(list.starts_with("evil.example  blocked") && list.ends_with("phishing\n"), "{list}");
    let shown: serde_json::Value =
        serde_json::from_str(&linkr.ok(&dir, &["target", "list", "-o", "json"])).unwrap();
    assert_eq!(shown["blocks"][0]["disabled"], 1);
    let said = linkr.ok(&dir, &["target", "unblock", "evil.example"]);
    assert!(said.starts_with("evil.example is not blocked any more: the 1 links"), "{said}");
    linkr.catch_up();
    assert_eq!(linkr.get("/bad").status, 302);
    let none = linkr.run(&dir, &["target", "unblock", "evil.example"]);
    assert!(text(&none.stderr).contains("linkr target list"), "{}", text(&none.stderr));
    let audit = linkr.ok(&dir, &["keys", "audit", "blocks/evil.example"]);
    assert!(audit.contains("BlockTarget") && audit.contains("UnblockTarget"), "{audit}");
}

/// The code of each link, and where it leads.
fn rows() -> String {
    let mut rows = "code,target\n".to_owned();
    for n in 0..ALL {
        let every = ALL / BAD;
        let _ = match n % every {
            0 => writeln!(rows, "c{n:07},https://s{}.evil.example/{n}", n / every % 7),
            other => writeln!(rows, "c{n:07},https://h{other}.example/{n}"),
        };
    }
    rows
}

/// Asks for every link of the host until each is answered so; how long it took from `began` on.
fn all_answer(edge: &Linkr, status: u16, began: Instant) -> Duration {
    let mut connection = Connection::to(edge.edge());
    for n in (0..ALL).step_by(ALL / BAD) {
        let path = format!("/c{n:07}");
        until("the link to answer so", || match connection.call("GET", &path, "") {
            Ok(Some(answer)) => (answer.status == status).then_some(()),
            // The edge ends a connection now and then.
            _ => {
                connection = Connection::to(edge.edge());
                None
            }
        });
    }
    began.elapsed()
}

fn one_in_a_hundred_of_a_million(name: &str, store: &Store) {
    if std::env::var_os("LINKR_MEASURE").is_none() {
        return skip(name, "it measures; LINKR_MEASURE=1 runs it");
    }
    let _turn = alone();
    let dirs = [Dir::new(), Dir::new(), Dir::new()];
    let dir = &dirs[0];
    let control = control(dir, &store.empty("links"));
    let edges = [edge(&dirs[1], &control), edge(&dirs[2], &control)];
    dir.write("links.csv", rows());
    let began = Instant::now();
    control.ok(dir, &["import", "links.csv"]);
    println!("{name}: {ALL} links imported in {:?}", began.elapsed());
    edges.iter().for_each(|edge| catch_up(edge, &control));
    all_answer(&edges[0], 302, Instant::now());
    for (verb, status) in [("block", 410), ("unblock", 302)] {
        let mut asked = command(LINKR, dir.path());
        asked.args(["target", verb, "evil.example"]).env("LINKR_SERVER", format!("http://{}", control.api()));
        let began = Instant::now();
        let asked = std::thread::spawn(move || (asked.output().unwrap(), began.elapsed()));
        let took = edges.each_ref().map(|edge| all_answer(edge, status, began));
        let (said, waited) = asked.join().unwrap();
        assert!(said.status.success(), "{}", text(&said.stderr));
        println!("{name}: {verb}: {took:?} at two edges, one behind the other; the command took {waited:?}");
        println!("{}", text(&said.stdout).trim_end());
        assert!(took.iter().all(|took| *took < WITHIN), "{verb}: {took:?}");
    }
    assert_eq!(edges[0].get("/c0000001").status, 302, "others were left alone");
}

#[test]
#[ignore = "measures a million links: LINKR_MEASURE=1, alone, in release"]
fn ten_thousand_links_of_a_million_are_gone_within_5_s_and_come_back() {
    one_in_a_hundred_of_a_million("SQLite", &Store::Sqlite);
}

#[test]
#[ignore = "measures a million links: LINKR_MEASURE=1, alone, in release"]
fn ten_thousand_links_of_a_million_are_gone_within_5_s_and_come_back_on_postgres() {
    let Some(store) = Store::postgres("targets") else { return };
    one_in_a_hundred_of_a_million("PostgreSQL", &store);
}
