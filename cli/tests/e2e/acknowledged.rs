//! `--ack propagated` and `linkr feed status`, against a real control and real edges.

use crate::support::{Connection, Dir, LINKR, Linkr, command, text, until};
use serde_json::Value;
use std::process::Output;

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
}

pub fn a_propagated_write_names_the_edge_that_has_it() {
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let words = ["link", "create", "https://example.com/1", "--code", "x", "--ack", "propagated"];
    let said = linkr.ok(&dir, &words);
    let line = said.lines().find(|line| line.starts_with("applied_by ")).unwrap_or_else(|| panic!("{said}"));
    assert!(line.ends_with(" ms") && !said.contains("blind"), "{said}");
    // Nothing else is waited for: whoever is told so sees it.
    assert_eq!(linkr.get("/x").location(), "https://example.com/1");
    let words =
        ["link", "update", "x", "--target", "https://example.com/2", "--ack", "propagated", "-o", "json"];
    let done = linkr.run(&dir, &words);
    assert_eq!(linkr.get("/x").location(), "https://example.com/2");
    let told = &json(&done)["propagation"];
    assert_eq!((done.status.code(), &told["status"]), (Some(0), &"propagated".into()));
    assert_eq!(
        (told["applied_by"].as_array().unwrap().len(), told["blind"].as_array().unwrap().len()),
        (1, 0)
    );
    let done = linkr.run(&dir, &["link", "delete", "x", "--ack", "propagated"]);
    assert_eq!((done.status.code(), linkr.get("/x").status), (Some(0), 410));
    let body = r#"{"code": "y", "target": "https://example.com/3"}"#;
    let answer = Connection::to(linkr.api()).call("POST", "/v1/links?ack=propagated", body).unwrap().unwrap();
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(answer["propagation"]["status"], "propagated");
}

pub fn a_stopped_edge_is_blind_and_said_to_be() {
    let (dir, own) = (Dir::new(), Dir::new());
    let mut control = command(LINKR, dir.path());
    control.args(["control", "--api", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let control = Linkr::start(control, &dir, &["store", "api", "admin"]);
    let mut edge = command(LINKR, own.path());
    edge.args(["edge", "--control", &format!("http://{}", control.api()), "--workers", "1", "--name", "far"]);
    edge.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--hot-set-bytes", "16MiB"]);
    let edge = Linkr::start(edge, &own, &["edge", "admin"]);
    let status = || json(&control.run(&dir, &["feed", "status", "-o", "json"]));
    until("the edge to follow", || {
        let status = status();
        let edge = &status["edges"][0];
        (edge["edge"] == "far" && edge["applied"].is_u64() && edge["session_since"].is_string()).then_some(())
    });
    let create = |code: &str, more: &[&str]| {
        let words = ["link", "create", "https://example.com", "--code", code, "--ack", "propagated"];
        control.run(&dir, &[&words, more].concat())
    };
    let done = create("seen", &[]);
    assert_eq!(done.status.code(), Some(0), "{}{}", text(&done.stdout), text(&done.stderr));

    edge.signal("STOP");
    let done = create("missed", &["-o", "json"]);
    let told = &json(&done)["propagation"];
    assert_eq!((done.status.code(), &told["status"]), (Some(3), &"partial".into()));
    assert_eq!((&told["blind"][0]["edge"], told["applied_by"].as_array().unwrap().len()), (&"far".into(), 0));
    assert!(text(&done.stderr).contains("an edge is blind"), "{}", text(&done.stderr));
    let done = create("missed-too", &[]);
    let said = text(&done.stdout);
    assert!(done.status.code() == Some(3) && said.contains("blind        far, last seen "), "{said}");
    let status = status();
    assert_eq!((&status["edges"][0]["blind"], &status["edges"][0]["lag"]), (&true.into(), &2.into()));
    assert_eq!((&status["log"]["head"], &status["log"]["oldest"]), (&3.into(), &1.into()));
    let said = control.ok(&dir, &["feed", "status"]);
    assert!(said.lines().any(|line| line.starts_with("far ") && line.contains(" blind ")), "{said}");

    edge.signal("CONT");
    until("the edge to be back", || {
        let words = ["link", "update", "seen", "--title", "back", "--ack", "propagated"];
        (control.run(&dir, &words).status.code() == Some(0)).then_some(())
    });
    assert_eq!(edge.get("/missed").status, 302);
}
