//! External ids: one link of a domain has one, on every store, and is found by it.

use super::contract::{draft, key, row};
use super::postgres::Database;
use super::world::{World, create, name, to};
use journal::domains::{DomainIntent, DomainItem, DomainVerdict};
use journal::{Draft, ExternalId, Field, Intent, Item, Rejection, Request, RequestKind, Verdict};
use link::{Code, Domain, DomainId, Key};
use prost_types::FieldMask;
use proto::v1;
use serde_json::{Value, json};
use store::model::{Info, Row};
use store::port::{Limit, Repository};
use tonic::Code as Grpc;
use tonic_types::StatusExt;

const ALL: Limit = Limit { rows: 1_000, bytes: usize::MAX };

fn with_id(id: &str) -> Draft {
    let draft = draft("https://a.example/");
    Draft { info: Info { external_id: id.into(), ..draft.info }, ..draft }
}

fn one(code: &str, intent: Intent) -> Request {
    Item { key: key(code), intent }.into()
}

fn make(code: &str, id: &str) -> Request {
    one(code, Intent::Create(with_id(id)))
}

fn call(code: &str, id: &str) -> Request {
    one(code, Intent::Update { fields: vec![Field::ExternalId(id.into())], etag: None })
}

fn delete(code: &str) -> Request {
    one(code, Intent::Delete { etag: None })
}

fn undelete(code: &str) -> Request {
    one(code, Intent::Undelete { etag: None })
}

fn batch(requests: &[Request]) -> Request {
    let items = requests.iter().flat_map(|request| request.items.clone()).collect();
    Request { items, kind: RequestKind::Batch, by: None, retry: None }
}

fn taken(code: &str, id: &str) -> Verdict {
    let name = format!("domains/-/links/{code}");
    Verdict::Refused(Rejection::ExternalIdTaken { id: id.into(), name })
}

fn told(store: &dyn Repository, requests: &[Request]) -> Vec<Verdict> {
    store.commit(requests, 5).unwrap().verdicts
}

fn written(store: &dyn Repository, requests: &[Request]) -> Vec<Row> {
    told(store, requests).iter().map(row).collect()
}

fn codes(rows: Vec<Row>) -> Vec<String> {
    rows.into_iter().map(|row| String::from_utf8(row.key.code().to_vec()).unwrap()).collect()
}

/// The codes of the links that have it, deleted ones too if that is said.
fn found(store: &dyn Repository, id: &str, deleted: bool) -> Vec<String> {
    let id = ExternalId { domain: DomainId::DEFAULT, id: id.into() };
    let listed = store.with_external_id(&id, b"", deleted, ALL).unwrap();
    assert!(!listed.more);
    codes(listed.rows)
}

fn one_link_of_a_domain_has_it(store: &dyn Repository) {
    assert_eq!(written(store, &[make("a", "x"), make("b", "y"), make("c", ""), make("d", "")]).len(), 4);
    let restore = |code| one(code, Intent::Restore { draft: with_id("x"), etag: None });
    let import = |code| one(code, Intent::Import { draft: with_id("x"), create_time: None, update: true });
    let second = [make("e", "x"), call("b", "x"), restore("c"), import("d"), import("e")];
    assert_eq!(told(store, &second), vec![taken("a", "x"); 5]);
    assert_eq!(store.head().unwrap().seq, 4, "nothing was written");
    written(store, &[delete("a")]);
    assert_eq!((found(store, "x", false), found(store, "x", true)), (vec![], vec!["a".into()]));
    written(store, &[undelete("a"), delete("a"), call("b", "x")]);
    assert_eq!(told(store, &[undelete("a"), restore("a")]), vec![taken("b", "x"); 2]);
    assert_eq!(
        (found(store, "x", false), found(store, "x", true)),
        (vec!["b".into()], vec!["a".into(), "b".into()])
    );
    written(store, &[call("b", "")]);
    let back = written(store, &[undelete("a")]);
    assert_eq!(back[0].info, with_id("x").info, "as it was");
    assert_eq!((found(store, "x", true), found(store, "y", true)), (vec!["a".into()], vec![]));
    assert_eq!(store.link(&key("a")).unwrap().1, back.into_iter().next());
}

/// The index of a store looks at each row as it is written: in whatever order that is, nobody else's is in the way.
fn it_goes_from_link_to_link_within_one_commit(store: &dyn Repository) {
    written(store, &[make("a", "x"), make("m", "y"), make("z", "w")]);
    for [one, two] in [["a", "m"], ["m", "a"]] {
        let (had, wanted) = if found(store, "x", false) == [one] { ("x", "y") } else { ("y", "x") };
        written(store, &[batch(&[call(one, ""), call(two, had), call(one, wanted)])]);
        assert_eq!(
            (found(store, had, false), found(store, wanted, false)),
            (vec![two.into()], vec![one.into()])
        );
    }
    // Round all three, and with links that are new, deleted and brought back.
    let round = [call("z", ""), call("a", "w"), call("m", "x"), call("z", "y")];
    written(store, &[batch(&round)]);
    assert_eq!(["x", "y", "w"].map(|id| found(store, id, false)), [["m"], ["z"], ["a"]]);
    written(
        store,
        &[delete("m"), make("b", "x"), delete("z"), make("zz", "y"), call("a", ""), make("c", "w")],
    );
    assert_eq!(["x", "y", "w"].map(|id| found(store, id, false)), [["b"], ["zz"], ["c"]]);
    written(
        store,
        &[delete("b"), undelete("m"), call("zz", "w2"), undelete("z"), delete("c"), call("a", "w")],
    );
    assert_eq!(["x", "y", "w", "w2"].map(|id| found(store, id, false)), [["m"], ["z"], ["a"], ["zz"]]);
    // A link that is purged and made anew under its code, while its id has gone to another.
    written(store, &[delete("a")]);
    let purge = one("a", Intent::Purge { before: i64::MAX });
    written(store, &[purge, make("d", "w"), make("a", "v")]);
    assert_eq!(["w", "v"].map(|id| found(store, id, true)), [vec!["c", "d"], vec!["a"]]);
}

fn a_batch_that_is_refused_leaves_everything_where_it_was(store: &dyn Repository) {
    written(store, &[make("a", "x"), make("b", "y")]);
    let half = batch(&[call("a", ""), call("b", "x"), make("c", "y"), make("d", "x")]);
    let verdicts = told(store, &[half, make("e", "y"), make("e", "z")]);
    assert_eq!(verdicts[3..5], [taken("b", "x"), taken("b", "y")]);
    assert_eq!(["x", "y", "z"].map(|id| found(store, id, true)), [["a"], ["b"], ["e"]]);
}

fn another_domain_has_ids_of_its_own(store: &dyn Repository) {
    let intent = DomainIntent::Create { id: DomainId(7), fields: Vec::new() };
    let domain = DomainItem { name: Domain::new("a.example").unwrap(), intent, by: None, retry: None };
    assert!(matches!(store.write_domain(&domain, 1).unwrap().verdict, DomainVerdict::Written(_)));
    let there = |code: &str, id: &str| -> Request {
        let key = Key::new(DomainId(7), &Code::new(code).unwrap());
        Item { key, intent: Intent::Create(with_id(id)) }.into()
    };
    written(store, &[make("a", "x"), there("a", "x")]);
    let name = "domains/a.example/links/a".to_owned();
    let want = Verdict::Refused(Rejection::ExternalIdTaken { id: "x".into(), name });
    assert_eq!(told(store, &[there("b", "x"), make("b", "x")]), [want, taken("a", "x")]);
    let id = ExternalId { domain: DomainId(7), id: "x".into() };
    let rows = store.with_external_id(&id, b"", true, ALL).unwrap().rows;
    assert_eq!(rows.iter().map(|row| row.key.domain()).collect::<Vec<_>>(), [DomainId(7)]);
}

fn those_that_had_it_are_read_in_pages(store: &dyn Repository) {
    for code in ["c", "a", "d", "b"] {
        written(store, &[make(code, "é *%"), delete(code)]);
    }
    written(store, &[make("bb", "é *%"), make("e", "é *")]);
    let id = ExternalId { domain: DomainId::DEFAULT, id: "é *%".into() };
    let part = |after: &[u8], deleted, rows| {
        let listed = store.with_external_id(&id, after, deleted, Limit { rows, ..ALL }).unwrap();
        (codes(listed.rows), listed.more)
    };
    let want = |codes: &[&str], more| (codes.iter().map(|code| (*code).to_owned()).collect::<Vec<_>>(), more);
    assert_eq!(part(b"", true, 2), want(&["a", "b"], true));
    assert_eq!(part(key("b").as_bytes(), true, 3), want(&["bb", "c", "d"], false));
    assert_eq!(part(b"", false, 9), want(&["bb"], false));
    assert_eq!(part(key("bb").as_bytes(), false, 9), want(&[], false));
}

/// Mounted over each store, as the contract is.
pub fn suite(with_fresh: &impl Fn(fn(&dyn Repository))) {
    with_fresh(one_link_of_a_domain_has_it);
    with_fresh(it_goes_from_link_to_link_within_one_commit);
    with_fresh(a_batch_that_is_refused_leaves_everything_where_it_was);
    with_fresh(another_domain_has_ids_of_its_own);
    with_fresh(those_that_had_it_are_read_in_pages);
}

/// A control of before names neither `more` nor `external_id` in what it writes.
#[test]
fn a_control_of_before_beside_this_one() {
    let Some(db) = Database::new() else { return };
    let store = db.open();
    written(&store, &[make("a", "x"), make("b", "")]);
    let there = |code: &str| format!("WHERE key = '\\x00000000'::bytea || '{code}'::bytea");
    db.sql(&format!("UPDATE links SET title = 'new' {}", there("a")));
    let changed = store.link(&key("a")).unwrap().1.unwrap();
    assert_eq!(
        (&*changed.info.title, &*changed.info.external_id),
        ("new", "x"),
        "it keeps what it does not know"
    );
    let columns = "record, title, tags, note, create_time, update_time, version";
    let made = format!("INSERT INTO links (key, {columns}) SELECT key || 'o'::bytea, {columns} FROM links");
    db.sql(&format!("{made} {}", there("a")));
    assert_eq!(
        store.link(&key("ao")).unwrap().1.unwrap().info.external_id,
        "",
        "what is made there has none"
    );
    // Deleted there, it gives the id up here.
    let kept = "kept = record, delete_time = 6";
    db.sql(&format!("UPDATE links SET {kept} {}", there("a")));
    assert_eq!(found(&store, "x", false), Vec::<String>::new());
    assert_eq!(found(&store, "x", true), ["a"]);
    written(&store, &[call("b", "x")]);
    assert_eq!(told(&store, &[undelete("a")]), [taken("b", "x")]);
    // Brought back there, it would be a second one: nothing of that is written.
    let back = format!("UPDATE links SET kept = NULL, delete_time = NULL {}", there("a"));
    db.sql(&format!(
        "DO $$ BEGIN {back}; RAISE 'there are two'; EXCEPTION WHEN unique_violation THEN NULL; END $$"
    ));
    assert_eq!(found(&store, "x", false), ["b"]);
    written(&store, &[call("b", "")]);
    db.sql(&back);
    assert_eq!(found(&store, "x", false), ["a"]);
}

/// Without statistics and with them: by the index, and never by looking at many links.
#[test]
fn a_database_looks_one_up_by_the_index() {
    let Some(db) = Database::new() else { return };
    let store = db.open();
    let many: Vec<_> = (0..3_000)
        .map(|n| make(&format!("c{n}"), &if n % 2 == 0 { format!("id {n}") } else { String::new() }))
        .collect();
    written(&store, &many);
    let plan = || {
        db.sql(
            "EXPLAIN SELECT key FROM links WHERE substr(key, 1, 4) = '\\x00000000' AND external_id = 'id 8' \
             AND key > '' AND coalesce(delete_time, -1) < 0 ORDER BY key LIMIT 51",
        )
    };
    assert!(plan().contains("links_external_id"), "{}", plan());
    db.sql("ANALYZE links");
    assert!(plan().contains("links_external_id"), "{}", plan());
    assert_eq!(found(&store, "id 8", false), ["c8"]);
}

#[tokio::test]
async fn it_is_set_found_and_refused_over_grpc_and_rest() {
    let world = World::new().await;
    let mut links = world.links().await;
    let named = |code: &str, id: &str| v1::CreateLinkRequest {
        link: Some(v1::Link { external_id: id.into(), ..to("https://a.example/") }),
        ..create(code, "")
    };
    let made = links.create_link(named("a", "CRM 17")).await.unwrap().into_inner();
    assert_eq!(made.external_id, "CRM 17");
    for only_check in [true, false] {
        let second = v1::CreateLinkRequest { validate_only: only_check, ..named("b", "CRM 17") };
        let refused = links.create_link(second).await.unwrap_err();
        let reason = refused.get_error_details().error_info().unwrap().reason.clone();
        assert_eq!((refused.code(), &*reason), (Grpc::AlreadyExists, "EXTERNAL_ID_TAKEN"), "{only_check}");
        assert_eq!(refused.message(), "domains/-/links/a has the external_id \"CRM 17\" already");
    }
    // A code that is drawn does not become another one for it.
    let refused = links.create_link(named("", "CRM 17")).await.unwrap_err();
    assert!(refused.message().contains("has the external_id"), "{refused}");
    let body = json!({ "code": "b", "target": "https://b.example/", "external_id": "CRM 17" });
    let reply = world.rest("POST /v1/links", body).await;
    let said = (reply.status.as_u16(), &reply.body["reason"], &reply.body["field"]);
    assert_eq!(said, (409, &json!("EXTERNAL_ID_TAKEN"), &json!("external_id")));
    for wrong in [" CRM", "a\u{7}", &"x".repeat(129)] {
        let reply = world
            .rest("POST /v1/links", json!({ "target": "https://b.example/", "external_id": wrong }))
            .await;
        assert_eq!((reply.status.as_u16(), &reply.body["field"]), (400, &json!("external_id")), "{wrong}");
    }
    let found = async |filter: &str, more: &str| {
        let filter = filter.replace(' ', "%20").replace('"', "%22");
        let reply = world.rest(&format!("GET /v1/links?filter={filter}{more}"), Value::Null).await;
        let links = reply.body["links"].as_array().unwrap_or_else(|| panic!("{}", reply.body));
        let codes: Vec<_> = links.iter().map(|link| link["code"].as_str().unwrap().to_owned()).collect();
        let count = world.rest(&format!("GET /v1/links:count?filter={filter}"), Value::Null).await;
        (codes, count.body["looked_at"].as_u64().unwrap())
    };
    for n in 0..5 {
        links.create_link(create(&format!("c{n}"), "https://c.example/")).await.unwrap();
    }
    assert_eq!(found("external_id = \"CRM 17\"", "").await, (vec!["a".into()], 1));
    assert_eq!(found("external_id = \"CRM 17\" AND code = \"b*\"", "").await, (vec![], 1));
    assert_eq!(found("external_id:none", "&order_by=create_time%20desc").await, (vec![], 0));
    assert_eq!(
        found("external_id = \"CRM 17\"", "&order_by=update_time%20desc").await,
        (vec!["a".into()], 1)
    );
    let cleared = v1::UpdateLinkRequest {
        link: Some(v1::Link { name: name("a"), ..Default::default() }),
        update_mask: Some(FieldMask { paths: vec!["external_id".into()] }),
        ..Default::default()
    };
    assert_eq!(links.update_link(cleared).await.unwrap().into_inner().external_id, "");
    assert_eq!(links.create_link(named("b", "CRM 17")).await.unwrap().into_inner().external_id, "CRM 17");
    let gone = v1::DeleteLinkRequest { name: name("b"), ..Default::default() };
    links.delete_link(gone).await.unwrap();
    assert_eq!(found("external_id = \"CRM 17\"", "").await, (vec![], 0));
    for order in ["", "&order_by=create_time%20desc"] {
        let deleted = format!("&show_deleted=true{order}");
        assert_eq!(found("external_id = \"CRM 17\"", &deleted).await.0, ["b"]);
    }
    world.stop().await;
}
