//! `linkr clicks --reclassify`: clicks that an earlier linkr classed are in the kinds of this one, and no sum is another.

use super::{FIREFOX, GOOGLEBOT, asked, counts, settle_all, visit};
use crate::support::{Connection, Dir, Linkr, beside_others, text};
use clicks::batch::{self, AgentText, Batch};
use clicks::ledger::Offer;
use clicks::{CLASSIFIER, Click, Country, Device, Kind, Language, hash};
use link::{DomainId, Seq};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::clock::unix_ms;
use store::port::Repository;
use store::port::clicks::{AppendOutcome, Appended, BatchSender};
use store::sqlite::{Options, Sqlite};

/// What an edge of before had sent: crawlers that its lists did not know, and a person whom they took for one.
fn of_an_earlier_linkr(uid: Seq) -> Appended {
    let click = |kind, agent: &str| Click {
        at: unix_ms() - 60_000,
        domain: DomainId::DEFAULT,
        uid,
        version: uid,
        kind,
        country: Country(*b"DE"),
        browser: "".into(),
        os: "".into(),
        device: Device::Unknown,
        referrer: "".into(),
        language: Language(*b"de"),
        visitor: 0,
        agent: hash(agent.as_bytes()),
    };
    let agents = [FIREFOX, GOOGLEBOT];
    let batch = Batch {
        clicks: vec![
            click(Kind::Human, GOOGLEBOT),
            click(Kind::Human, GOOGLEBOT),
            click(Kind::Human, GOOGLEBOT),
            click(Kind::Bot, FIREFOX),
            click(Kind::Head, GOOGLEBOT),
            click(Kind::Human, "its text is not kept"),
        ],
        agents: agents.map(|text| AgentText { hash: hash(text.as_bytes()), text: text.to_owned() }).to_vec(),
        ..Batch::new(1, CLASSIFIER - 1)
    };
    Appended {
        sender: BatchSender { edge: "old".into(), key: "".into(), bound: false },
        spool: 77,
        offer: Offer { seq: 1, first_no: 1, last_no: batch.last_no(), first: false },
        bytes: batch::encode(&batch).into(),
        batch: Arc::new(batch),
    }
}

fn kinds(linkr: &Linkr) -> BTreeMap<String, u64> {
    counts(&asked(linkr, "/v1/links/x:clicks?group_by=kind"))
}

fn of(kinds: &[(&str, u64)]) -> BTreeMap<String, u64> {
    kinds.iter().map(|&(kind, count)| (kind.to_owned(), count)).collect()
}

#[test]
fn clicks_of_an_earlier_linkr_are_classed_anew_and_once() {
    let _turn = beside_others();
    let dir = Dir::new();
    let mut linkr = Linkr::up(&dir);
    linkr.ok(&dir, &["link", "create", "https://example.com/x", "--code", "x"]);
    linkr.catch_up();
    let mut edge = Connection::to(linkr.edge());
    for agent in [FIREFOX, FIREFOX, GOOGLEBOT] {
        visit(&mut edge, "GET", "/x", &[("User-Agent", agent)]);
    }
    settle_all(&linkr);
    drop(edge); // a stop would wait for what the connection asks next
    let uid: Seq = asked(&linkr, "/v1/links/x")["uid"].as_u64().unwrap();
    linkr.ask_to_stop();
    assert!(linkr.exited().success());
    {
        let store = Sqlite::open(&dir.path().join("data/linkr.db"), Options::default()).unwrap();
        let taken = store.clicks().append(&[of_an_earlier_linkr(uid)], unix_ms()).unwrap();
        assert_eq!(taken, [AppendOutcome::Taken(1)]);
    }
    let linkr = Linkr::up(&dir);
    assert_eq!(kinds(&linkr), of(&[("human", 6), ("bot", 2), ("head", 1)]));

    let told = linkr.ok(&dir, &["clicks", "--reclassify"]);
    for line in [
        "1  from bot to human",
        "3  from human to bot",
        "1  same kind, another browser, system or device",
        "1  as they were: the text of their agent is not kept",
        "6 clicks were classed by version",
        "counts hold these classes for clicks since ",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let now = of(&[("human", 4), ("bot", 4), ("head", 1)]);
    assert_eq!(kinds(&linkr), now);
    let browsers = counts(&asked(&linkr, "/v1/clicks?group_by=browser,kind"));
    let want = of(&[("Googlebot bot", 4), ("Googlebot head", 1), ("Firefox human", 3), ("- human", 1)]);
    assert_eq!(browsers, want);
    let top = asked(&linkr, "/v1/clicks?group_by=link");
    assert_eq!((counts(&top), &top["total"]), (of(&[("x", 4)]), &4.into()));
    let changed = "linkr_control_clicks_reclassified_total{from=\"human\",to=\"bot\"}";
    assert_eq!(linkr.metric(changed), Some(3.0));
    linkr.ok(&dir, &["clicks", "--export", "all.jsonl"]);
    let rows = std::fs::read_to_string(dir.file("all.jsonl")).unwrap();
    assert_eq!(rows.lines().filter(|row| row.contains("\"kind\":\"bot\"")).count(), 4, "{rows}");

    let again: Value =
        serde_json::from_str(&linkr.ok(&dir, &["clicks", "--reclassify", "-o", "json"])).unwrap();
    assert_eq!(
        (again["clicks"].as_u64().unwrap_or(0), again["changes"].as_array().map_or(0, Vec::len)),
        (0, 0),
        "{again}"
    );
    assert_eq!(again["classifier"], CLASSIFIER);
    let nothing = linkr.ok(&dir, &["clicks", "--reclassify"]);
    assert!(nothing.starts_with("nothing was left to do"), "{nothing}");
    assert_eq!(linkr.ok(&dir, &["clicks", "--reclassify", "-o", "csv"]), "from,to,clicks\n");
    assert_eq!(kinds(&linkr), now);
    let refused = linkr.run(&dir, &["clicks", "--reclassify", "x"]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("--reclassify"), "{refused:?}");
}
