//! Alerts of callers of the API.

use super::{Watch, beside};
use crate::support::{Connection, Dir, FREE_PORTS, LINKR, Linkr, beside_others, command, text};
use std::time::Duration;

#[test]
fn keys_that_are_refused_in_masses() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let dir = Dir::new();
    let mut server = command(LINKR, dir.path());
    server.args(["control", "--store", "sqlite:linkr.db"]).args(FREE_PORTS).env("LINKR_INSECURE", "false");
    let minted = command(LINKR, dir.path())
        .args(["control", "--store", "sqlite:linkr.db", "mint-key", "--name", "root"])
        .output()
        .unwrap();
    assert!(minted.status.success(), "{}", text(&minted.stderr));
    let server = watch.control(Linkr::start(server, &dir, &["api", "admin"]));
    watch.is_calm();
    let asks = || {
        let answer = Connection::to(server.api()).call("GET", "/v1/links", "").unwrap().unwrap();
        assert!([401, 429].contains(&answer.status), "{answer:?}");
        std::thread::sleep(Duration::from_millis(5));
    };
    beside(asks, || watch.expect(&["LinkrKeysRefused", "LinkrCallersLimited"]));
}
