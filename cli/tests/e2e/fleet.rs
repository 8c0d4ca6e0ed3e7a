//! The fleet as its people see it at a control: what real edges say of themselves, what one of them would answer, and what is said
//! of one that is gone.

use crate::pages::person::{Person, unescaped};
use crate::stores::control;
use crate::support::{Connection, Dir, LINKR, Linkr, beside_others, command, text, until};
use serde_json::Value;

fn edge(dir: &Dir, control: &Linkr, name: &str) -> Linkr {
    let mut edge = command(LINKR, dir.path());
    edge.args(["edge", "--control", &format!("http://{}", control.api()), "--workers", "1", "--name", name]);
    edge.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    Linkr::start(edge, dir, &["edge", "admin"])
}

fn listed(control: &Linkr) -> Vec<Value> {
    let answer = Connection::to(control.api()).ask("GET", "/v1/edges");
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    answer["edges"].as_array().cloned().unwrap_or_default()
}

#[test]
fn two_edges_say_how_they_are_and_one_that_was_killed_is_shown_as_away() {
    let _turn = beside_others();
    let dirs = [Dir::new(), Dir::new(), Dir::new()];
    let control = control(&dirs[0], "sqlite:links.db");
    let (one, mut two) = (edge(&dirs[1], &control, "one"), edge(&dirs[2], &control, "two"));
    until("both edges to say something", || {
        let edges = listed(&control);
        (edges.len() == 2 && edges.iter().all(|edge| !edge["report"].is_null())).then_some(())
    });
    let made = ["link", "create", "https://a.example/", "--code", "a", "--ack", "propagated"];
    control.ok(&dirs[0], &made);
    for _ in 0..30 {
        assert_eq!(one.get("/a").status, 302);
    }
    let held = Connection::to(one.edge());
    let said = until("the answers to be told", || {
        let report = listed(&control)[0]["report"].clone();
        let redirects = |list: &str| {
            let all = report[list].as_array().unwrap().clone();
            all.iter().find(|some| some["outcome"] == "redirect").and_then(|some| some["count"].as_u64())
        };
        let whole = redirects("answers") == Some(30) && redirects("recent") == Some(30);
        (whole && report["connections"] == 1).then_some(report)
    });
    drop(held);
    let (p50, p99) = (said["p50_ns"].as_u64().unwrap(), said["p99_ns"].as_u64().unwrap());
    assert!(1_000 < p50 && p50 <= p99 && p99 < 10_000_000_000, "{said}");
    assert!(said["recent"].as_array().unwrap().iter().any(|some| some["tier"] == "hot"), "{said}");
    assert_eq!((&said["version"], &said["workers"]), (&env!("CARGO_PKG_VERSION").into(), &1.into()));
    assert!(said["commit"].is_string() && said["recent_seconds"].as_u64() > Some(0), "{said}");
    assert_eq!((&said["links"], &said["complete"]), (&1.into(), &true.into()));

    // Asked through control, it says what it says itself.
    let through = control.ok(&dirs[0], &["link", "explain", "a", "--at", "one", "-o", "json"]);
    let through: Value = serde_json::from_str(&through).unwrap();
    let itself = Connection::to(one.admin()).ask("GET", "/debug/explain?path=/a");
    let itself: Value = serde_json::from_str(&itself.body).unwrap();
    for same in ["outcome", "domain", "code", "tier", "fresh", "version", "revision", "class"] {
        assert_eq!(through[same], itself[same], "{same}: {through} {itself}");
    }
    assert_eq!(through["edge"], "one");
    assert!(through["response"].as_str().unwrap().contains("Location: https://a.example/\r\n"), "{through}");
    let none = control.ok(&dirs[0], &["link", "explain", "none", "--at", "two"]);
    assert!(none.contains("not_found") && none.contains("HTTP/1.1 404"), "{none}");

    let mut person = Person::new(control.api());
    let page = person.get("/ui/fleet").body;
    assert!(page.contains("2 edges: 2 current") && page.contains("100 % memory"), "{page}");
    let asked = person.get("/ui/link/explain?domain=-&code=a&edge=one").body;
    assert!(unescaped(&asked).contains("Location: https://a.example/"), "{asked}");

    // Each of them at once, and why.
    control.ok(&dirs[0], &["link", "update", "a", "--disabled", "true", "--ack", "propagated"]);
    let asked = person.get("/ui/link/explain?domain=-&code=a&edge=*").body;
    assert_eq!(asked.matches("because the link is disabled").count(), 2, "{asked}");
    for edge in ["Edge one answers", "Edge two answers"] {
        assert!(asked.contains(edge), "{edge}: {asked}");
    }

    two.kill();
    until("it to be away", || {
        let edges = listed(&control);
        (edges[1]["blind"] == true && edges[1]["session_since"].is_null()).then_some(())
    });
    let page = person.get("/ui/fleet").body;
    assert!(page.contains("2 edges: 1 current, <strong>1 away or blind</strong>"), "{page}");
    assert!(page.contains(">away</span>") && page.contains("More of two"), "{page}");
    // Two clocks are read for it, which may part by a millisecond.
    until("the time when it was last heard", || {
        let last = listed(&control)[1]["last_pong"].as_str().unwrap().to_owned();
        person.get("/ui/fleet").body.contains(&format!("datetime=\"{last}\"")).then_some(())
    });
    let status = control.ok(&dirs[0], &["feed", "status"]);
    assert!(status.contains("blind") && status.contains("ANSWERS/S"), "{status}");
    let refused = control.run(&dirs[0], &["link", "explain", "a", "--at", "two"]);
    assert!(text(&refused.stderr).contains("edge two is away"), "{}", text(&refused.stderr));
    let page = person.get("/ui/link/explain?domain=-&code=a&edge=two");
    assert!(page.status == 409 && page.body.contains("edge two is away"), "{}", page.body);
}
