//! `linkr control` on PostgreSQL: two of them on one database, and what a person says after a restore.

use crate::support::{Dir, FREE_PORTS, LINKR, Linkr, beside_others, command, skip};

#[test]
fn two_controls_on_one_database() {
    let _turn = beside_others();
    let server = match services::Postgres::start(&["fsync=off"]) {
        Ok(server) => server,
        Err(fault @ services::ServerFault::Missing(_)) => return skip("postgres", &fault.to_string()),
        Err(fault) => panic!("{fault}"),
    };
    let url = server.create("linkr").unwrap();
    let (dir, password) = (Dir::new(), "secret\n");
    let without = match url.contains(":secret@") {
        true => url.replace(":secret@", "@"),
        false => url,
    };
    dir.write("password", password);
    let control = |more: &[&str]| {
        let mut control = command(LINKR, dir.path());
        control.args(["control", "--store", &without, "--store-password-file", "password"]).args(more);
        control
    };
    let start = || Linkr::start(control(&FREE_PORTS), &dir, &["store", "api", "admin"]);
    let (one, two) = (start(), start());
    assert!(one.said("store").starts_with("postgres 127.0.0.1:"), "{}", one.said("store"));
    assert!(!one.said("store").contains("secret"));
    one.ok(&dir, &["link", "create", "https://example.com/both", "--code", "x"]);
    assert!(two.ok(&dir, &["link", "get", "x"]).contains("https://example.com/both"));
    let said = control(&["bump-epoch", "--above", "7"]).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.status.success() && text.starts_with("history 8-") && text.ends_with("begins at 1\n"),
        "{text}"
    );
    two.ok(&dir, &["link", "create", "https://example.com/more", "--code", "y"]);
    assert!(one.ok(&dir, &["feed", "status"]).contains("8-"));

    for wrong in ["postgres://u@127.0.0.1:1/none", "postgres://u@127.0.0.1/none?sslmode=prefer"] {
        let mut refused = command(LINKR, dir.path());
        let said = refused.args(["control", "--store", wrong]).args(FREE_PORTS).output().unwrap();
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        let known = text.contains("127.0.0.1:1/none") || text.contains("sslmode=prefer");
        assert!(!said.status.success() && known && text.lines().count() == 1, "{text}");
    }
}
