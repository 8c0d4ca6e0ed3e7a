//! A spool that is full, and a store that was put back: what is missing is told, to the click.

use super::{FIREFOX, counted, law, lost, settle, settle_all, visit_many, visit_with};
use crate::support::{Dir, LINKR, Linkr, beside_others, command, text, until};

/// Enough clicks of as many visitors for a spool of a MiB to be full of them twice.
const MANY: usize = 250_000;

/// Each of another visitor: what is the same in all clicks takes no room.
fn visit_as_many(edge: &Linkr, count: usize) {
    visit_with(edge, count, |number| {
        // From 1.0.0.1 on.
        let [_, a, b, c] = (number as u32 + (1 << 16)).to_be_bytes();
        format!(
            "GET /x HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {FIREFOX}\r\nX-Forwarded-For: {a}.{b}.{c}.1\r\n\r\n"
        )
    });
}

fn control(dir: &Dir, api: &str) -> Linkr {
    let mut control = command(LINKR, dir.path());
    control.args(["control", "--store", "sqlite:data/linkr.db", "--api", api, "--admin", "127.0.0.1:0"]);
    Linkr::start(control, dir, &["store", "api", "admin"])
}

fn edge(dir: &Dir, api: &str, spool: &str) -> Linkr {
    let mut edge = command(LINKR, dir.path());
    edge.args(["edge", "--control", &format!("http://{api}"), "--name", "far", "--workers", "1"]);
    edge.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    edge.args(["--clicks-dir", "clicks", "--clicks-spool-bytes", spool, "--trusted-peers", "127.0.0.1"]);
    Linkr::start(edge, dir, &["edge", "admin"])
}

/// A control with a link `x`, and an edge whose spool has this size.
fn both(dirs: &[Dir; 2], spool: &str) -> (Linkr, String, Linkr) {
    let control = control(&dirs[0], "127.0.0.1:0");
    control.ok(&dirs[0], &["link", "create", "https://example.com/x", "--code", "x"]);
    control.ok(&dirs[0], &["domain", "update", "-", "--stats", "full"]);
    let api = control.api().to_string();
    let edge = edge(&dirs[1], &api, spool);
    until("the link", || (edge.get("/x").status == 302).then_some(()));
    (control, api, edge)
}

#[test]
fn a_full_spool_loses_the_oldest_and_says_how_many() {
    let _turn = beside_others();
    let dirs = [Dir::new(), Dir::new()];
    let (mut control, api, edge) = both(&dirs, "1MiB");
    control.kill();
    visit_as_many(&edge, MANY);
    until("every redirect to be recorded", || {
        let law = law(&edge);
        (law.recorded == law.redirects).then_some(())
    });
    let control = self::control(&dirs[0], &api);
    settle(&edge);
    let (law, told) = (law(&edge), lost(&control));
    assert!(law.lost > 0 && law.acknowledged > 0, "{law:?}");
    assert_eq!(told.values().sum::<u64>(), law.lost, "{told:?}");
    assert!(told.keys().all(|reason| ["spool_full", "ring_full"].contains(&&**reason)), "{told:?}");
    assert_eq!(counted(&control) + law.lost, law.redirects, "stored and told is what was answered");
    assert_eq!(edge.get("/x").status, 302);
}

/// Clicks of four minutes at 4,000 a second; `LINKR_LONG=1`: of an hour. They come as fast as the edge's own
/// thread takes them, since nothing in the spool goes by time before a day is over: what an hour needs is its room.
#[test]
#[ignore = "some minutes: make test-long"]
fn an_hour_without_control_loses_nothing() {
    const AT_ONCE: usize = 45_000;
    let seconds = if std::env::var_os("LINKR_LONG").is_some() { 3_600 } else { 225 };
    let all: usize = seconds * 4_000;
    let _turn = beside_others();
    let dirs = [Dir::new(), Dir::new()];
    let (mut control, api, edge) = both(&dirs, "4GiB");
    settle_all(&edge);
    let before = counted(&control);
    control.kill();
    for _ in 0..all / AT_ONCE {
        visit_as_many(&edge, AT_ONCE);
        until("them to be in the spool", || {
            let law = law(&edge);
            (law.recorded == law.redirects).then_some(())
        });
    }
    let spool = edge.metric("linkr_clicks_spool_bytes").unwrap_or_default();
    assert!(law(&edge).pending >= all as u64 - AT_ONCE as u64);
    let control = self::control(&dirs[0], &api);
    let began = std::time::Instant::now();
    while law(&edge).pending > 0 {
        let pending = law(&edge).pending;
        until("control to take more", || (law(&edge).pending < pending).then_some(()));
    }
    println!("{all} clicks, {spool} bytes of spool, taken within {:?}", began.elapsed());
    assert_eq!((law(&edge).lost, lost(&control)), (0, std::collections::BTreeMap::new()));
    assert_eq!(counted(&control) - before, all as u64);
}

fn backup(dir: &Dir, words: &[&str]) {
    let words = [words, &["--store", "sqlite:data/linkr.db"]].concat();
    let done = command(LINKR, dir.path()).args(&words).output().unwrap();
    assert!(done.status.success(), "{words:?}: {}", text(&done.stderr));
}

fn put_back(dir: &Dir, mut control: Linkr, api: &str) -> Linkr {
    control.ask_to_stop();
    assert!(control.exited().success());
    drop(control);
    backup(dir, &["restore", "copy.db"]);
    self::control(dir, api)
}

#[test]
fn a_store_that_was_put_back_is_refilled_by_its_edges() {
    let _turn = beside_others();
    let dirs = [Dir::new(), Dir::new()];
    let (control, api, edge) = both(&dirs, "64MiB");
    visit_many(&edge, 300);
    settle_all(&edge);
    backup(&dirs[0], &["backup", "copy.db"]);
    visit_many(&edge, 2_000);
    settle_all(&edge);
    let all = law(&edge).redirects;
    assert_eq!(counted(&control), all);
    let control = put_back(&dirs[0], control, &api);
    until("the edge to send what the store lacks", || (counted(&control) == all).then_some(()));
    assert!(lost(&control).is_empty());
    visit_many(&edge, 10);
    settle_all(&edge);
    assert_eq!(counted(&control), all + 10, "and nothing twice");
}

#[test]
fn what_no_edge_holds_any_more_is_a_hole_of_its_size() {
    let _turn = beside_others();
    let dirs = [Dir::new(), Dir::new()];
    let (control, api, edge) = both(&dirs, "1MiB");
    settle_all(&edge);
    backup(&dirs[0], &["backup", "copy.db"]);
    // Behind them the spool has no room for the first of them any more.
    visit_as_many(&edge, MANY);
    settle(&edge);
    let before = law(&edge);
    let control = put_back(&dirs[0], control, &api);
    visit_many(&edge, 10);
    until("the edge to send what it still has", || {
        settle(&edge);
        let told = lost(&control).values().sum::<u64>();
        (counted(&control) + told == law(&edge).redirects).then_some(())
    });
    let told = lost(&control);
    assert!(told.get("restored").is_some_and(|count| *count > 0), "{told:?}");
    assert!(before.redirects > *told.get("restored").unwrap(), "some came back");
}
