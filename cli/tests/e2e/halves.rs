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

/// An edge that stops says goodbye behind its last answer; one that is killed says none, and is forgotten when somebody
/// says so.
#[test]
fn goodbye_and_forget() {
    let _turn = beside_others();
    let (dir, one, two) = (Dir::new(), Dir::new(), Dir::new());
    dir.write(
        "linkr.toml",
        "[control]\nstore = \"sqlite:links.db\"\napi = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n",
    );
    let mut alone = command(LINKR, dir.path());
    alone.arg("control");
    let control = Linkr::start(alone, &dir, &["store", "api", "admin"]);
    let edge = |dir: &Dir, name: &str| {
        let mut edge = command(LINKR, dir.path());
        edge.args(["edge", "--control", &format!("http://{}", control.api()), "--workers", "1"]);
        edge.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--name", name]);
        Linkr::start(edge, dir, &["edge", "admin"])
    };
    let listed = || {
        let status: serde_json::Value =
            serde_json::from_str(&control.ok(&dir, &["feed", "status", "-o", "json"])).unwrap();
        let edges = status["edges"].as_array().unwrap();
        edges.iter().map(|edge| edge["edge"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let propagated = |code: &str| {
        control.run(&dir, &["link", "create", "https://example.com/", "--code", code, "--ack", "propagated"])
    };
    let (mut one, mut two) = (edge(&one, "one"), edge(&two, "two"));
    until("both edges to follow", || (listed() == ["one", "two"]).then_some(()));
    assert_eq!(propagated("a").status.code(), Some(0));
    let refused = control.run(&dir, &["feed", "forget", "one"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("follows control"), "{refused:?}");

    one.ask_to_stop();
    assert_eq!(one.exited().code(), Some(0), "{}", one.stderr());
    assert_eq!(listed(), ["two"], "it is forgotten before its process ends");
    let made = propagated("b");
    assert_eq!(made.status.code(), Some(0), "{made:?}");

    two.kill();
    let made = propagated("c");
    assert_eq!(made.status.code(), Some(3), "a crash says no goodbye: {made:?}");
    let forgotten = control.ok(&dir, &["feed", "forget", "two"]);
    assert!(forgotten.contains("edge two is forgotten"), "{forgotten}");
    assert_eq!(listed(), Vec::<String>::new());
    assert_eq!(propagated("d").status.code(), Some(0));
    let refused = control.run(&dir, &["feed", "forget", "two"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no edge two is known"), "{refused:?}");
}
