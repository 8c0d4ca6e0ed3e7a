//! Blocked hosts: no link is led there, those that are there are disabled and come back, on every store and by two controls.

mod calls;

use super::contract::{by, delete, draft, key, row};
use super::keys::{locked, put, rest};
use super::postgres::Database;
use super::world::{Folder, MoodyStore, World, create};
use axum::http::StatusCode;
use journal::blocks::{BlockIntent, BlockItem, BlockRow, BlockState, BlockVerdict};
use journal::domains::{DomainField, DomainIntent, DomainItem, DomainVerdict};
use journal::{Field, Intent, Item, Rejection, Request, RequestKind, Retry, Verdict};
use link::{Domain, DomainId, Target, TargetHost};
use proto::v1;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use store::model::{Row, Scopes};
use store::port::Repository;
use store::port::blocks::BlockRows;
use store::sqlite::{Options, Sqlite};

fn host(name: &str) -> TargetHost {
    TargetHost::given(name).unwrap()
}

fn one(code: &str, intent: Intent) -> Request {
    Item { key: key(code), intent }.into()
}

fn make(code: &str, target: &str) -> Request {
    one(code, Intent::Create(draft(target)))
}

fn set(code: &str, fields: Vec<Field>) -> Request {
    one(code, Intent::Update { fields, etag: None })
}

fn lead(code: &str, target: &str) -> Request {
    set(code, vec![Field::Target(Target::given(target, &[]).unwrap())])
}

fn item(name: &str, intent: BlockIntent) -> BlockItem {
    BlockItem { host: host(name), intent, retry: None }
}

fn written(verdict: BlockVerdict) -> BlockRow {
    match verdict {
        BlockVerdict::Written(row) => row,
        other => panic!("{other:?}"),
    }
}

fn block(store: &dyn Repository, name: &str) -> BlockRow {
    let intent = BlockIntent::Block { note: "why é".into(), by: by("BlockTarget") };
    written(store.write_block(&item(name, intent), 7).unwrap())
}

fn unblock(store: &dyn Repository, name: &str) -> BlockRow {
    let intent = BlockIntent::Unblock { by: by("UnblockTarget") };
    written(store.write_block(&item(name, intent), 8).unwrap())
}

fn swept(store: &dyn Repository, block: &BlockRow) -> BlockVerdict {
    let intent = BlockIntent::Swept { round: block.round };
    store.write_block(&BlockItem { host: block.host.clone(), intent, retry: None }, 9).unwrap()
}

fn blocked(name: &str) -> Verdict {
    Verdict::Refused(Rejection::TargetBlocked { field: "target", host: host(name) })
}

fn told(store: &dyn Repository, requests: &[Request]) -> Vec<Verdict> {
    store.commit(requests, 5).unwrap().verdicts
}

fn rows(store: &dyn Repository, requests: &[Request]) -> Vec<Row> {
    told(store, requests).iter().map(row).collect()
}

fn sweep(store: &dyn Repository, name: &str, codes: &[&str]) -> Vec<Verdict> {
    let items = codes.iter().map(|code| Item { key: key(code), intent: Intent::Block { host: host(name) } });
    let kind = RequestKind::Chunk;
    told(store, &[Request { items: items.collect(), kind, by: Some(by("BlockTarget")), retry: None }])
}

fn lift(store: &dyn Repository, name: &str, codes: &[&str]) -> Vec<Verdict> {
    let items = codes.iter().map(|code| Item { key: key(code), intent: Intent::Lift { host: host(name) } });
    told(store, &[Request { items: items.collect(), kind: RequestKind::Chunk, by: None, retry: None }])
}

fn codes(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| String::from_utf8(row.key.code().to_vec()).unwrap()).collect()
}

/// Those that the index names, one after the other.
fn led_to(store: &dyn Repository, name: &str) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let part = store.led_to(&host(name), after.as_ref(), 1).unwrap();
        if part.last.is_none() {
            assert_eq!(store.count_led_to(&host(name)).unwrap(), found.len() as u64, "{name}");
            return found;
        }
        found.extend(codes(&part.rows));
        after = part.last;
    }
}

fn state(store: &dyn Repository, code: &str) -> (bool, Option<TargetHost>) {
    let row = store.link(&key(code)).unwrap().1.unwrap();
    (row.link.parts().terms.disabled, row.info.blocked_by)
}

fn kept(store: &dyn Repository, name: &str) -> u64 {
    store.block(&host(name)).unwrap().unwrap().disabled
}

fn no_write_leads_to_a_blocked_host(store: &dyn Repository) {
    rows(
        store,
        &[make("good", "https://good.example/"), make("gone", "https://a.evil.example/"), delete("gone")],
    );
    block(store, "evil.example");
    let to = "https://evil.example/";
    let import = |code| one(code, Intent::Import { draft: draft(to), create_time: None, update: true });
    let refused = [
        make("a", to),
        make("b", "https://A.Evil.Example:8443/x"),
        make("c", "https://evil%2eexample./"),
        import("d"),
        import("good"),
        lead("good", to),
        one("good", Intent::Restore { draft: draft(to), etag: None }),
        one("gone", Intent::Undelete { etag: None }),
    ];
    for request in refused {
        assert_eq!(told(store, std::slice::from_ref(&request)), [blocked("evil.example")], "{request:?}");
    }
    let items = [make("a", "https://a.example/"), make("b", to)].into_iter().flat_map(|one| one.items);
    let batch = Request { items: items.collect(), kind: RequestKind::Batch, by: None, retry: None };
    assert_eq!(told(store, &[batch]), [Verdict::Held, blocked("evil.example")]);
    for (code, target) in [
        ("n1", "https://notevil.example/"),
        ("n2", "https://evil.example.org/"),
        ("n3", "https://example/"),
        ("n4", "https://example/evil.example"),
    ] {
        rows(store, &[make(code, target)]);
    }
    // What is none of a caller's is written all the same.
    let fields = vec![Field::Title("new".into())];
    rows(store, &[set("good", fields), delete("good")]);
    unblock(store, "evil.example");
    rows(store, &[make("a", to)]);
}

fn hosts_are_compared_as_clients_read_them(store: &dyn Repository) {
    for name in ["b\u{fc}cher.example", "10.0.0.1", "[2001:db8::1]:80", "Evil.Example."] {
        block(store, name);
    }
    for (code, target, by) in [
        ("a", "https://B\u{dc}CHER.example/", Some("xn--bcher-kva.example")),
        ("b", "http://0x0a000001:8080/", Some("10.0.0.1")),
        ("c", "http://[::ffff:10.0.0.1]/", Some("10.0.0.1")),
        ("d", "http://[2001:db8:0::1]/", Some("[2001:db8::1]")),
        ("e", "http://evil.example/", Some("evil.example")),
        ("f", "http://10.0.0.11/", None),
        ("g", "http://[2001:db8::11]/", None),
    ] {
        let verdict = &told(store, &[make(code, target)])[0];
        match by {
            Some(by) => assert_eq!(*verdict, blocked(by), "{target}"),
            None => assert!(matches!(verdict, Verdict::Created(_)), "{target}"),
        }
    }
    let asked: BTreeSet<_> = [host("a.evil.example"), host("evil.example")].into();
    assert_eq!(store.blocked(&asked).unwrap(), [host("evil.example")].into(), "of this very name");
    let shown: Vec<_> = store.blocks("", 9).unwrap().iter().map(|row| row.host.to_string()).collect();
    assert_eq!(shown, ["10.0.0.1", "[2001:db8::1]", "evil.example", "xn--bcher-kva.example"]);
    let behind = store.blocks(host("[2001:db8::1]").turned(), 1).unwrap();
    assert_eq!((behind.len(), &behind[0].host, &*behind[0].note), (1, &host("evil.example"), "why é"));
}

fn a_sweep_takes_those_that_lead_there_and_its_undo_gives_them_back(store: &dyn Repository) {
    rows(
        store,
        &[
            make("a", "https://evil.example/"),
            make("b", "https://sub.evil.example/"),
            make("c", "https://notevil.example/"),
            make("off", "https://evil.example/"),
            set("off", vec![Field::Disabled(true)]),
            make("gone", "https://evil.example/"),
            delete("gone"),
            make("moved", "https://evil.example/"),
            make("named", "https://evil.example/"),
            make("later", "https://evil.example/"),
        ],
    );
    let block = block(store, "evil.example");
    assert_eq!(store.unfinished_blocks().unwrap(), std::slice::from_ref(&block));
    let there = ["a", "later", "moved", "named", "off", "b"];
    assert_eq!(
        led_to(store, "evil.example"),
        there,
        "by hosts, then by keys; deleted ones are not among them"
    );
    assert_eq!(led_to(store, "sub.evil.example"), ["b"]);
    let done = sweep(store, "evil.example", &[&there[..], &["c", "gone", "none"]].concat());
    let changed = done.iter().filter(|verdict| matches!(verdict, Verdict::Changed(_))).count();
    assert_eq!(
        (changed, done.iter().filter(|verdict| **verdict == Verdict::Same).count()),
        (5, 4),
        "{done:?}"
    );
    let by_block = (true, Some(host("evil.example")));
    assert_eq!((state(store, "a"), state(store, "b")), (by_block.clone(), by_block.clone()));
    assert_eq!((state(store, "off"), state(store, "c")), ((true, None), (false, None)));
    assert_eq!(kept(store, "evil.example"), 5);
    // A sweep that begins anew finds nothing to do.
    assert!(sweep(store, "evil.example", &there).iter().all(|verdict| *verdict == Verdict::Same));
    // Nobody enables one; whoever sets target or disabled takes it out of the block.
    assert_eq!(told(store, &[set("a", vec![Field::Disabled(false)])]), [blocked("evil.example")]);
    rows(store, &[set("a", vec![Field::Title("new".into())])]);
    assert_eq!(state(store, "a"), by_block);
    rows(
        store,
        &[lead("moved", "https://good.example/"), set("named", vec![Field::Disabled(true)]), delete("later")],
    );
    assert_eq!((state(store, "moved"), state(store, "named")), ((true, None), (true, None)));
    assert_eq!(kept(store, "evil.example"), 2);
    assert_eq!(told(store, &[one("later", Intent::Undelete { etag: None })]), [blocked("evil.example")]);
    // The audit has each with who asked for the block.
    let writes = store.writes(&key("b"), u64::MAX, 9).unwrap().writes;
    assert_eq!((&*writes[0].who.method, &*writes[0].who.principal), ("BlockTarget", "ops"));
    assert!(matches!(swept(store, &block), BlockVerdict::Written(row) if row.state == BlockState::Done));
    assert!(store.unfinished_blocks().unwrap().is_empty());

    let lifting = unblock(store, "evil.example");
    assert!(matches!(swept(store, &lifting), BlockVerdict::Same(_)), "it keeps two disabled");
    let keeps = store.kept_by(&host("evil.example"), b"", 9).unwrap();
    assert_eq!(codes(&keeps), ["a", "b"]);
    assert_eq!(codes(&store.kept_by(&host("evil.example"), key("a").as_bytes(), 9).unwrap()), ["b"]);
    lift(store, "evil.example", &["a", "b", "moved", "named", "off"]);
    assert_eq!((state(store, "a"), state(store, "b")), ((false, None), (false, None)));
    for code in ["moved", "named", "off"] {
        assert_eq!(state(store, code), (true, None), "{code} is somebody's own");
    }
    assert_eq!(swept(store, &lifting), BlockVerdict::Ended);
    assert_eq!(store.block(&host("evil.example")).unwrap(), None);
    rows(store, &[one("later", Intent::Undelete { etag: None })]);
    assert_eq!(state(store, "later"), (false, None), "what the block did went with it");
    let notes = store.noted("blocks/evil.example", i64::MAX, 9).unwrap();
    let methods: Vec<_> = notes.iter().map(|note| (&*note.who.method, note.before.is_some())).collect();
    assert_eq!(methods, [("UnblockTarget", true), ("BlockTarget", false)]);
}

fn of_two_blocks_the_other_one_keeps_what_it_covers(store: &dyn Repository) {
    rows(store, &[make("a", "https://evil.example/"), make("b", "https://sub.evil.example/")]);
    block(store, "evil.example");
    sweep(store, "evil.example", &["a", "b"]);
    block(store, "sub.evil.example");
    assert_eq!(sweep(store, "sub.evil.example", &["b"]), [Verdict::Same]);
    assert_eq!((kept(store, "evil.example"), kept(store, "sub.evil.example")), (2, 0));
    assert_eq!(told(store, &[make("c", "https://sub.evil.example/")]), [blocked("sub.evil.example")]);
    let lifting = unblock(store, "evil.example");
    lift(store, "evil.example", &["a", "b"]);
    assert_eq!(state(store, "a"), (false, None));
    assert_eq!(state(store, "b"), (true, Some(host("sub.evil.example"))));
    assert_eq!((kept(store, "evil.example"), kept(store, "sub.evil.example")), (0, 1));
    assert_eq!(swept(store, &lifting), BlockVerdict::Ended);
    // Blocked again while it is lifted: nothing that was not lifted comes back.
    unblock(store, "sub.evil.example");
    block(store, "sub.evil.example");
    assert_eq!(lift(store, "sub.evil.example", &["b"]), [Verdict::Same]);
    assert_eq!(state(store, "b"), (true, Some(host("sub.evil.example"))));
}

fn a_domain_is_not_led_to_a_blocked_host(store: &dyn Repository) {
    block(store, "evil.example");
    let fields = |target: &str| vec![DomainField::NotFound(Some(Target::given(target, &[]).unwrap()))];
    let write = |intent| {
        let item = DomainItem { name: Domain::new("a.example").unwrap(), intent, by: None, retry: None };
        store.write_domain(&item, 5).unwrap().verdict
    };
    let refused =
        DomainVerdict::Refused(Rejection::TargetBlocked { field: "not_found", host: host("evil.example") });
    let make = |target| write(DomainIntent::Create { id: DomainId(7), fields: fields(target) });
    assert_eq!(make("https://www.evil.example/"), refused);
    assert!(matches!(make("https://good.example/"), DomainVerdict::Written(_)));
    assert_eq!(write(DomainIntent::Update { fields: fields("https://evil.example/"), etag: None }), refused);
}

fn a_block_is_safe_to_repeat(store: &dyn Repository) {
    let retry =
        |hash| Some(Retry { principal: "p".into(), method: "BlockTarget", id: "x".into(), hash: [hash; 16] });
    let ask = |hash| {
        let intent = BlockIntent::Block { note: String::new(), by: by("BlockTarget") };
        let asked = BlockItem { retry: retry(hash), ..item("evil.example", intent) };
        store.write_block(&asked, 5).unwrap()
    };
    let first = written(ask(1));
    assert!(matches!(ask(1), BlockVerdict::Before(_)));
    assert_eq!(ask(2), BlockVerdict::Refused(Rejection::IdempotencyMismatch));
    assert_eq!(store.block(&host("evil.example")).unwrap(), Some(first));
    assert_eq!(store.noted("blocks/evil.example", i64::MAX, 9).unwrap().len(), 1);
}

/// Mounted over each store, as the contract is.
pub fn suite(with_fresh: &impl Fn(fn(&dyn Repository))) {
    with_fresh(no_write_leads_to_a_blocked_host);
    with_fresh(hosts_are_compared_as_clients_read_them);
    with_fresh(a_sweep_takes_those_that_lead_there_and_its_undo_gives_them_back);
    with_fresh(of_two_blocks_the_other_one_keeps_what_it_covers);
    with_fresh(a_domain_is_not_led_to_a_blocked_host);
    with_fresh(a_block_is_safe_to_repeat);
}

/// Tidies until there is no more to do.
fn tidied(store: &dyn Repository) {
    while store.tidy(5).unwrap().more {}
}

const MANY: usize = 2_500;

/// A store whose links are of before the index.
fn fill(store: &dyn Repository) {
    let target =
        |n: usize| if n.is_multiple_of(500) { "https://x.evil.example/" } else { "https://good.example/" };
    let many: Vec<_> = (0..MANY).map(|n| make(&format!("c{n:04}"), target(n))).collect();
    rows(store, &many);
}

fn is_found_before_and_behind_the_backfill(store: &dyn Repository) {
    assert_eq!(store.count_led_to(&host("evil.example")).unwrap(), 0);
    let (mut found, mut after) = (Vec::new(), Vec::new());
    loop {
        let part = store.not_indexed(&after, 700).unwrap();
        let Some(last) = part.last() else { break };
        after = last.key.as_bytes().to_vec();
        found.extend(part);
    }
    assert_eq!(found.len(), MANY, "all of them are to be looked into");
    rows(store, &[lead("c0500", "https://good.example/"), lead("c0001", "https://evil.example/")]);
    tidied(store);
    assert!(store.not_indexed(b"", 9).unwrap().is_empty());
    let mut there = led_to(store, "evil.example");
    there.sort();
    assert_eq!(there, ["c0000", "c0001", "c1000", "c1500", "c2000"]);
}

#[test]
fn links_of_before_come_into_the_index_of_sqlite_a_little_at_a_time() {
    let folder = Folder::new();
    let store = Sqlite::open(&folder.db(), Options::default()).unwrap();
    fill(&store);
    store.close();
    drop(store);
    let db = rusqlite::Connection::open(folder.db()).unwrap();
    db.execute_batch("UPDATE links SET host = NULL; UPDATE hosts_read SET behind = x''").unwrap();
    drop(db);
    let store = Sqlite::open(&folder.db(), Options::default()).unwrap();
    is_found_before_and_behind_the_backfill(&store);
}

#[test]
fn links_of_before_come_into_the_index_of_postgres_a_little_at_a_time() {
    let Some(db) = Database::new() else { return };
    let store = db.open();
    fill(&store);
    db.sql("UPDATE links SET host = NULL, host_version = NULL; UPDATE hosts_read SET behind = ''");
    is_found_before_and_behind_the_backfill(&store);
}

/// A control of before names neither `host` nor `host_version` in what it writes.
#[test]
fn what_a_control_of_before_leads_to_a_host_is_found() {
    let Some(db) = Database::new() else { return };
    let store = db.open();
    rows(&store, &[make("a", "https://good.example/"), make("evil", "https://evil.example/")]);
    tidied(&store);
    let there = |code: &str| format!("'\\x00000000'::bytea || '{code}'::bytea");
    let columns = "record, title, tags, note, create_time, update_time, version";
    db.sql(&format!(
        "UPDATE links SET record = (SELECT record FROM links WHERE key = {}), version = 7 WHERE key = {}",
        there("evil"),
        there("a")
    ));
    db.sql(&format!(
        "INSERT INTO links (key, {columns}) SELECT {}, {columns} FROM links WHERE key = {}",
        there("b"),
        there("evil")
    ));
    assert_eq!(led_to(&store, "evil.example"), ["evil"]);
    assert_eq!(codes(&store.not_indexed(b"", 9).unwrap()), ["a", "b"]);
    tidied(&store);
    assert_eq!(led_to(&store, "evil.example"), ["a", "b", "evil"]);
    assert!(store.not_indexed(b"", 9).unwrap().is_empty());
}

/// Without statistics and with them: by the index, and never by sorting many links.
#[test]
fn a_database_finds_the_links_of_a_host_by_the_index() {
    let Some(db) = Database::new() else { return };
    let store = db.open();
    rows(&store, &[make("a", "https://good.example/")]);
    let columns = "record, title, tags, note, create_time, update_time, version, host, host_version";
    db.sql(&format!(
        "INSERT INTO links (key, {columns}) SELECT key || n::text::bytea, {columns} FROM links, generate_series(1, 30000) n"
    ));
    let plan = || {
        db.sql(
            "EXPLAIN SELECT key, host FROM links WHERE (host, key) > ('example.good.', '') AND host IS NOT NULL \
             AND coalesce(delete_time, -1) < 0 ORDER BY host, key LIMIT 500",
        )
    };
    assert!(plan().contains("links_host") && !plan().contains("Sort"), "{}", plan());
    db.sql("ANALYZE links");
    assert!(plan().contains("links_host") && !plan().contains("Sort"), "{}", plan());
}
