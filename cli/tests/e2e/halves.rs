//! The two halves in processes of their own, and `linkr.toml`.

use crate::support::{Connection, Dir, LINKR, Linkr, beside_others, command, until};

#[test]
fn control_and_two_edges() {
    let _turn = beside_others();
    let (dir, one, two) = (Dir::new(), Dir::new(), Dir::new());
    dir.write(
        "linkr.toml",
        "[control]\nstore = \"sqlite:kept/links.db\"\napi = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n",
    );
    let mut alone = command(LINKR, dir.path());
    alone.arg("control");
    let control = Linkr::start(alone, &dir, &["store", "api", "admin"]);
    assert!(dir.path().join("kept/links.db").exists());
    assert_eq!(Connection::to(control.admin()).ask("GET", "/readyz").status, 200);
    assert_eq!(control.metric("linkr_control_log_head"), Some(0.0));

    let edge = |dir: &Dir| {
        let mut edge = command(LINKR, dir.path());
        edge.args(["edge", "--control", &format!("http://{}", control.api()), "--workers", "1"]);
        edge.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--hot-set-bytes", "16MiB"]);
        Linkr::start(edge, dir, &["edge", "admin"])
    };
    let edges = [edge(&one), edge(&two)];
    control.ok(&dir, &["link", "create", "https://example.com/both", "--code", "x"]);
    for edge in &edges {
        until("both edges to answer", || {
            (edge.get("/x").location() == "https://example.com/both").then_some(())
        });
        // Control may have answered for an edge that is not ready yet.
        until("it to be ready", || {
            (Connection::to(edge.admin()).ask("GET", "/readyz").status == 200).then_some(())
        });
    }
    // Hits go on without control.
    drop(control);
    assert_eq!(edges[0].get("/x").status, 302);
}
