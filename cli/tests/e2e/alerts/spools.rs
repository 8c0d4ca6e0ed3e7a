//! Alerts of clicks.

use super::{Watch, control, edge, url};
use crate::clicks::{FIREFOX, visit_with};
use crate::support::{Dir, Linkr, beside_others, skip, until};

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
    visits(&edge, 20_000);
    watch.expect(&["LinkrClicksSpoolFails"]);
}

#[test]
fn a_spool_under_another_name() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let (dir, own) = (Dir::new(), Dir::new());
    let control = watch.control(control(&dir, &[]));
    let words = |name| ["--clicks-dir", "clicks", "--name", name];
    let mut first = edge(&own, &url(&control), &words("first"));
    linked(&control, &dir, &first);
    visits(&first, 200);
    until("them to be acknowledged", || {
        (first.metric("linkr_clicks_acknowledged_total")? >= 200.0).then_some(())
    });
    first.kill();
    let second = watch.edge(edge(&own, &url(&control), &words("second")));
    until("the link", || (second.get("/x").status == 302).then_some(()));
    until("it to be scraped", || {
        watch.prometheus.query("linkr_clicks_refused_total").filter(|count| *count == 0.0)
    });
    visits(&second, 200);
    watch.expect(&["LinkrClicksRefused"]);
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
