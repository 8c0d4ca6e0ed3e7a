//! An edge that comes back from its own file, and one whose file is no good.

use crate::support::{Connection, Dir, LINKR, Linkr, beside_others, command, has, skip, until};
use link::{Epoch, Link, LinkParts, Position, Target};
use record::snapshot::{SnapshotHeader, SnapshotWriter};
use std::fs::{self, File};
use std::io::BufWriter;
use std::process::{Command, Stdio};

/// Enough for a kill to arrive before the last one is loaded, also on a quick machine.
const MANY: u64 = 400_000;

fn control(dir: &Dir) -> Linkr {
    let mut control = command(LINKR, dir.path());
    control.args(["control", "--api", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--store", "sqlite:links.db"]);
    Linkr::start(control, dir, &["store", "api", "admin"])
}

fn edge_command(dir: &Dir, control: &str) -> Command {
    let mut edge = command(LINKR, dir.path());
    edge.args(["edge", "--control", control, "--workers", "1", "--unpinned", "--snapshot", "edge.snapshot"]);
    edge.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    edge
}

fn edge(dir: &Dir, control: &str) -> Linkr {
    Linkr::start(edge_command(dir, control), dir, &["edge", "admin"])
}

fn ready(edge: &Linkr) -> u16 {
    Connection::to(edge.admin()).ask("GET", "/readyz").status
}

#[test]
fn an_edge_comes_back_while_control_is_away() {
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    let control = control(&dir);
    let url = format!("http://{}", control.api());
    control.ok(&dir, &["link", "create", "https://example.com/x", "--code", "x"]);
    control.ok(&dir, &["link", "create", "https://example.com/s", "--code", "s", "--class", "strict"]);
    control.ok(&dir, &["link", "create", "https://example.com/gone", "--code", "gone"]);
    control.ok(&dir, &["link", "delete", "gone"]);
    let mut first = edge(&own, &url);
    until("the whole set", || (first.metric("linkr_hot_set_complete")? == 1.0).then_some(()));
    // Once it has all links it keeps them, stopped or not.
    until("its first file", || own.path().join("edge.snapshot").exists().then_some(()));
    let bytes = fs::metadata(own.path().join("edge.snapshot")).unwrap().len();
    until("its size", || (first.metric("linkr_edge_snapshot_bytes")? == bytes as f64).then_some(()));
    // This one comes behind the file, and the next is written a minute later.
    control.ok(&dir, &["link", "create", "https://example.com/late", "--code", "late"]);
    until("the last link", || (first.get("/late").status == 302).then_some(()));
    first.kill();

    drop(control);
    let mut second = edge(&own, &url);
    let health = Connection::to(second.admin()).ask("GET", "/readyz");
    assert_eq!(health.status, 200, "at once");
    assert!(health.body.contains("blind: control was not heard for "), "{}", health.body);
    let late = second.get("/late");
    assert_eq!((late.status, late.field("cache-control")), (404, Some("no-store")), "it may be there by now");
    let debug = [("X-Linkr-Debug", "1")];
    let stale = Connection::to(second.edge()).call_with("GET", "/x", &debug, "").unwrap().unwrap();
    assert_eq!(stale.field("x-linkr-tier"), Some("stale"), "{stale:?}");
    assert_eq!(second.get("/x").location(), "https://example.com/x");
    assert_eq!(second.get("/gone").status, 410);
    assert_eq!(second.get("/none").status, 404, "every link is in the file");
    assert_eq!(second.get("/s").status, 503, "a strict link needs to be known to be current");
    let staleness = second.metric("linkr_edge_staleness_seconds").unwrap();
    assert!((1.0..300.0).contains(&staleness), "{staleness}: as old as the file, and never fresh");
    second.ask_to_stop();
    assert!(second.exited().success());

    // Whatever changed while it was away comes with the stream, and the strict link is served again.
    let control = self::control(&dir);
    control.ok(&dir, &["link", "update", "x", "--target", "https://example.com/new"]);
    let third = edge(&own, &format!("http://{}", control.api()));
    until("the change", || (third.get("/x").location() == "https://example.com/new").then_some(()));
    until("what is strict", || (third.get("/s").status == 302).then_some(()));
    assert_eq!(third.metric("linkr_feed_resets_total"), Some(0.0), "it went on where it was");
    assert_eq!(third.metric("linkr_edge_snapshot_load_failures_total"), Some(0.0));
}

#[test]
fn a_torn_file_is_a_cold_start() {
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    let control = control(&dir);
    let url = format!("http://{}", control.api());
    control.ok(&dir, &["link", "create", "https://example.com/x", "--code", "x"]);
    let mut first = edge(&own, &url);
    // Before that it writes none: nothing has proved yet that this is everything.
    until("its readiness", || (ready(&first) == 200).then_some(()));
    first.ask_to_stop();
    assert!(first.exited().success());
    let file = own.path().join("edge.snapshot");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let second = edge(&own, &url);
    until("all links again", || (second.get("/x").status == 302).then_some(()));
    assert_eq!(second.metric("linkr_edge_snapshot_load_failures_total"), Some(1.0));
    assert_eq!(fs::read(own.path().join("edge.snapshot.bad")).unwrap(), bytes[..bytes.len() - 1]);
    let told = || second.stderr().matches("the snapshot is not used").count();
    until("it to say so", || (told() > 0).then_some(()));
    assert_eq!(told(), 1, "{}", second.stderr());
}

#[test]
fn a_second_edge_does_not_use_the_same_file() {
    let _turn = beside_others();
    let own = Dir::new();
    let _first = edge(&own, "http://127.0.0.1:9");
    let second = edge_command(&own, "http://127.0.0.1:9").output().unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another edge keeps its clicks in edge.snapshot.clicks"), "{said}");
}

#[test]
fn a_file_that_ends_the_process_twice_is_put_aside() {
    let _turn = beside_others();
    let own = Dir::new();
    write_large(&own);
    let note = own.path().join("edge.snapshot.note");
    for times in 1..=2 {
        let mut edge = edge_command(&own, "http://127.0.0.1:9");
        let mut child = edge.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let under_way = format!("loading {times}\n");
        let noted = || fs::read_to_string(&note).is_ok_and(|text| text.contains(&under_way));
        until("it to be loading", || noted().then_some(()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(noted(), "it had loaded the file before it was killed: MANY is too few");
    }
    let third = edge(&own, "http://127.0.0.1:9");
    assert!(own.path().join("edge.snapshot.bad").exists() && !own.path().join("edge.snapshot").exists());
    assert_eq!(third.metric("linkr_edge_snapshot_load_failures_total"), Some(1.0));
    assert_eq!(ready(&third), 503, "it has nothing, and nobody to ask");
}

/// The kernel kills the edge at the end of a group of records, as one of them would that its reader cannot bear.
#[test]
fn a_record_that_ends_the_process_twice_is_set_aside() {
    let test = "a_record_that_ends_the_process_twice_is_set_aside";
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    let traceable = || command("strace", own.path()).args(["-f", "-o", "/dev/null", "true"]).output();
    if !has("strace") || !traceable().unwrap().status.success() {
        return skip(test, "there is no strace, or processes cannot be traced here");
    }
    let control = control(&dir);
    let url = format!("http://{}", control.api());
    control.ok(&dir, &["link", "create", "https://example.com/a", "--code", "a"]);
    // Of each thread's writes to the note the fourth: first the page with `a` was noted and its end, then the change
    // with `x`, and here is its end; the second time the one page, in it `a` and `x`, and here is its end.
    let dies = || {
        let mut traced = command("strace", own.path());
        // -D: the child that is started is the edge itself, not strace.
        traced.args(["-D", "-f", "-qq", "-o", "/dev/null", "-P", &own.file("edge.snapshot.note")]);
        traced.args(["-e", "trace=pwrite64", "-e", "inject=pwrite64:signal=KILL:when=4"]);
        let edge = edge_command(&own, &url);
        traced.arg(edge.get_program()).args(edge.get_args());
        traced
    };
    let mut first = Linkr::start(dies(), &own, &["edge", "admin"]);
    until("the whole set", || (first.metric("linkr_hot_set_complete")? == 1.0).then_some(()));
    control.ok(&dir, &["link", "create", "https://example.com/x", "--code", "x"]);
    first.exited();
    let note = || fs::read_to_string(own.path().join("edge.snapshot.note")).unwrap();
    assert!(note().contains("now changes 2 2"), "{}", note());
    let mut second = dies().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("its end", || second.try_wait().unwrap());
    assert!(note().contains("record 2 0000000078 "), "{}", note());

    let third = edge(&own, &url);
    until("what is not to blame", || (third.get("/a").status == 302).then_some(()));
    until("the record", || (third.get("/x").status == 503).then_some(()));
    control.ok(&dir, &["link", "update", "x", "--target", "https://example.com/y"]);
    until("another record", || (third.get("/x").location() == "https://example.com/y").then_some(()));
}

fn write_large(dir: &Dir) {
    let position = Position { epoch: Epoch { counter: 1, random: 1 }, seq: MANY, tag: 1 };
    let file = BufWriter::new(File::create(dir.path().join("edge.snapshot")).unwrap());
    let mut writer = SnapshotWriter::new(file, &SnapshotHeader { position, fresh_at: None }).unwrap();
    let target = Target::stored(b"https://example.com/a/target/of/some/length").unwrap();
    let link = Link::new(LinkParts::to(target)).unwrap();
    for number in 1..=MANY {
        let key = [&[0; 4], format!("c{number}").as_bytes()].concat();
        writer.entry(&key, number, link::LinkIdentity::created(number), Some(&link.as_ref()));
        if number % 10_000 == 0 {
            writer.flush().unwrap();
        }
    }
    writer.finish(MANY, true, None).unwrap();
}
