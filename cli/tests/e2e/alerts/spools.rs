//! Alerts of clicks.

use super::{Watch, control, edge, url};
use crate::clicks::{FIREFOX, visit_with};
use crate::support::{Dir, FREE_PORTS, LINKR, Linkr, beside_others, command, skip, text, until};
use proto::v1::feed_client::FeedClient;
use tonic::transport::Channel;

fn linked(control: &Linkr, dir: &Dir, edge: &Linkr) {
    control.ok(dir, &["link", "create", "https://example.com/x", "--code", "x"]);
    until("the link", || (edge.get("/x").status == 302).then_some(()));
}

/// Each of another visitor: what is the same in all clicks takes no room.
fn visits(edge: &Linkr, count: usize) {
    visit_with(edge, count, |number| {
        let [_, a, b, c] = (number as u32 + (1 << 16)).to_be_bytes();
        format!(
            "GET /x HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {FIREFOX}\r\nX-Forwarded-For: {a}.{b}.{c}.1\r\n\r\n"
        )
    });
}

#[test]
fn a_spool_that_fills() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let (dir, own) = (Dir::new(), Dir::new());
    let mut control = control(&dir, &[]);
    let spool = ["--clicks-dir", "clicks", "--clicks-spool-bytes", "1MiB", "--trusted-peers", "127.0.0.1"];
    let edge = watch.edge(edge(&own, &url(&control), &spool));
    linked(&control, &dir, &edge);
    control.ok(&dir, &["domain", "update", "-", "--stats", "full"]);
    watch.is_calm();
    control.kill();
    visits(&edge, 250_000);
    watch.expect(&["LinkrClicksSpoolFilling", "LinkrClicksLost"]);
}

#[test]
fn a_spool_that_cannot_be_written() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let (dir, own) = (Dir::new(), Dir::new());
    let disk = match services::Disk::mount(&own.path().join("disk"), None) {
        Err(fault @ services::ServerFault::Missing(_)) => return skip("alerts", &fault.to_string()),
        disk => disk.unwrap(),
    };
    let control = control(&dir, &[]);
    let edge = watch.edge(edge(&own, &url(&control), &["--clicks-dir", "disk/clicks"]));
    linked(&control, &dir, &edge);
    watch.is_calm();
    disk.fill().unwrap();
    // The last page of the file that is written has room for a few hundred bytes.
    until("the spool to fail", || {
        visits(&edge, 200);
        edge.metric("linkr_clicks_spool_failures_total").filter(|failures| *failures > 0.0)
    });
    watch.expect(&["LinkrClicksSpoolFails"]);
}

/// What a command of the CLI prints, which must succeed.
fn printed(dir: &Dir, words: &[&str]) -> String {
    let done = command(LINKR, dir.path()).args(words).output().unwrap();
    assert!(done.status.success(), "{words:?}: {}", text(&done.stderr));
    text(&done.stdout).trim().to_owned()
}

#[test]
fn a_spool_under_another_name() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let (dir, own) = (Dir::new(), Dir::new());
    let root = printed(&dir, &["control", "--store", "sqlite:linkr.db", "mint-key", "--name", "root"]);
    let mut server = command(LINKR, dir.path());
    server.args(["control", "--store", "sqlite:linkr.db"]).args(FREE_PORTS).env("LINKR_INSECURE", "false");
    let control = watch.control(Linkr::start(server, &dir, &["api", "admin"]));
    let url = url(&control);
    let asking = |words: &[&str]| printed(&dir, &[words, &["--server", &url, "--key", &root]].concat());
    let start = |name: &str| {
        let made = asking(&["keys", "create", name, "--scopes", "feed", "--edge", name]);
        let words = ["--clicks-dir", "clicks", "--name", name, "--control-key", made.lines().last().unwrap()];
        edge(&own, &url, &words)
    };
    asking(&["link", "create", "https://example.com/x", "--code", "x"]);
    let mut first = start("first");
    until("the link", || (first.get("/x").status == 302).then_some(()));
    visits(&first, 200);
    until("them to be acknowledged", || {
        (first.metric("linkr_clicks_acknowledged_total")? >= 200.0).then_some(())
    });
    watch.is_calm();
    first.kill();
    let second = watch.edge(start("second"));
    until("the link", || (second.get("/x").status == 302).then_some(()));
    visits(&second, 200);
    watch.expect(&["LinkrClicksRefused"]);
}

#[test]
fn numbers_that_nobody_can_have_recorded() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let dir = Dir::new();
    let control = watch.control(control(&dir, &[]));
    watch.is_calm();
    // A spool that control has never heard of, and that says to have lost more than an edge records in forty days.
    let batch = clicks::batch::Batch::new(clicks::batch::MAX_NO / 2, clicks::CLASSIFIER);
    let request = proto::v1::AppendRequest {
        edge: "made-up".into(),
        spool: 7,
        seq: 2,
        first_no: batch.first_no,
        last_no: batch.last_no(),
        first: true,
        batch: clicks::batch::encode(&batch).into(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let acked = runtime.block_on(async {
        let channel = Channel::from_shared(url(&control)).unwrap().connect().await.unwrap();
        FeedClient::new(channel).append(request).await.unwrap().into_inner().acked
    });
    assert_eq!(acked, 2);
    watch.expect(&["LinkrClicksUnbelieved"]);
}

#[test]
fn a_database_of_countries_that_is_none() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let (dir, own) = (Dir::new(), Dir::new());
    let control = control(&dir, &[]);
    let geo = own.write("geo.mmdb", "this is no database");
    let edge = watch.edge(edge(&own, &url(&control), &["--clicks-dir", "clicks", "--geo", &geo]));
    linked(&control, &dir, &edge);
    watch.expect(&["LinkrGeoUnusable"]);
}

#[test]
fn two_edges_under_one_name() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let (dir, own, other) = (Dir::new(), Dir::new(), Dir::new());
    let control = watch.control(control(&dir, &[]));
    let words = ["--clicks-dir", "clicks", "--name", "same"];
    let _edges = [&own, &other].map(|dir| edge(dir, &url(&control), &words));
    watch.expect(&["LinkrEdgeNameDoubled"]);
}

#[test]
fn a_store_of_clicks_that_somebody_else_holds() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let (dir, own) = (Dir::new(), Dir::new());
    let control = watch.control(control(&dir, &["--store", "sqlite:linkr.db"]));
    let edge = edge(&own, &url(&control), &["--clicks-dir", "clicks"]);
    linked(&control, &dir, &edge);
    watch.is_calm();
    let file = dir.path().join("linkr.db.clicks");
    until("the first batch to make the file", || file.exists().then_some(()));
    let other = rusqlite::Connection::open(file).unwrap();
    other.busy_timeout(crate::support::PATIENCE).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    visits(&edge, 200);
    watch.expect(&["LinkrClicksStoreFails"]);
}
