//! Domains as callers see them: made, read, changed, listed; links under them, codes, and where links may lead.

mod gone;

use super::contract::key;
use super::feeds::Edge;
use super::postgres::Database;
use super::world::{self, Folder, World, create, to};
use journal::domains::{DomainField, DomainIntent, DomainItem, DomainVerdict};
use journal::{Intent, Verdict};
use link::{ChangeKind, Class, Code, Domain, DomainId, Key, Target};
use prost::Message;
use proto::v1::{self, domains_client::DomainsClient};
use serde_json::{Value, json};
use std::sync::Arc;
use store::port::domains::DomainRows;
use store::port::{Limit, Repository};
use store::sqlite::{Options, Sqlite};

const ALL: Limit = Limit { rows: 1_000, bytes: usize::MAX };

pub fn make(id: u32, name: &str) -> DomainItem {
    let fields = vec![
        DomainField::Class(Class::Strict),
        DomainField::NotFound(Some(Target::stored(b"https://home.example/").unwrap())),
    ];
    let intent = DomainIntent::Create { id: DomainId(id), fields };
    DomainItem {
        name: Domain::new(name).unwrap(),
        intent,
        by: Some(super::contract::by("Test")),
        retry: None,
    }
}

fn change(name: &str, fields: Vec<DomainField>) -> DomainItem {
    let intent = DomainIntent::Update { fields, etag: None };
    DomainItem {
        name: Domain::new(name).unwrap(),
        intent,
        by: Some(super::contract::by("Test")),
        retry: None,
    }
}

/// A case of the contract: a domain is a change of the log, and its own row.
pub fn a_domain_is_a_change_of_the_log(store: &dyn Repository) {
    let (head, rows) = store.domains().unwrap();
    assert_eq!((head.seq, rows.len(), rows[0].version), (0, 1, 0));
    let done = store.write_domain(&make(u32::MAX, "b.example"), 5).unwrap();
    let DomainVerdict::Written(row) = done.verdict else { panic!() };
    assert_eq!((done.head.seq, row.version, row.create_time), (1, 1, Some(5)));
    let again = store.write_domain(&make(8, "b.example"), 6).unwrap();
    assert!(matches!(again.verdict, DomainVerdict::Refused(_)) && again.head == done.head);
    let taken = store.write_domain(&make(u32::MAX, "c.example"), 6).unwrap().verdict;
    assert!(matches!(taken, DomainVerdict::Refused(_)), "{taken:?}");
    store.write_domain(&make(7, "a.example"), 6).unwrap();
    let fold = change("-", vec![DomainField::FoldCase(true), DomainField::StrictHosts(true)]);
    assert_eq!(store.write_domain(&fold, 7).unwrap().head.seq, 3);
    let (head, changes) = store.changes(0, ALL).unwrap();
    assert!(changes.iter().all(|change| change.kind == ChangeKind::DOMAIN));
    assert_eq!((head.seq, &changes[2].key[..], &changes[0].key[..]), (3, &[0; 4][..], &[255; 4][..]));
    assert_eq!(record::decode_domain(&changes[0].record).unwrap(), (1, row.rules.clone()));
    let (_, rows) = store.domains().unwrap();
    let names: Vec<_> = rows.iter().map(|row| (row.rules.name.as_str(), row.id.0, row.version)).collect();
    assert_eq!(names, [("-", 0, 3), ("a.example", 7, 2), ("b.example", u32::MAX, 1)]);
    assert_eq!(rows[2], row);
    // Each write is noted, and a refused one is not.
    let noted = store.noted("", i64::MAX, 9).unwrap();
    let short: Vec<_> = noted.iter().map(|noted| (&*noted.name, noted.at, noted.before.is_some())).collect();
    assert_eq!(
        short,
        [("domains/-", 7, true), ("domains/a.example", 6, false), ("domains/b.example", 5, false)]
    );
    let after = v1::Domain::decode(&noted[2].after[..]).unwrap();
    assert_eq!((after.domain.as_str(), after.not_found.as_str()), ("b.example", "https://home.example/"));

    // Links of all three, none of them in the list of another; and what an edge asks about says how new they are.
    let in_domain = |id, code| {
        let mut request = super::contract::create(code);
        request.items[0].key = Key::new(DomainId(id), &Code::new(code).unwrap());
        request
    };
    let group = [in_domain(0, "x"), in_domain(7, "x"), in_domain(u32::MAX, "x"), in_domain(9, "x")];
    let done = store.commit(&group, 8).unwrap();
    let Verdict::Refused(fault) = &done.verdicts[3] else { panic!("no such domain") };
    assert_eq!((done.head.seq, control::Fault::from(fault.clone()).names().reason), (6, "DOMAIN_NOT_FOUND"));
    for id in [0, 7, u32::MAX] {
        let listed = store.list(&DomainId(id).prefix(), b"", true, ALL).unwrap();
        assert_eq!((listed.rows.len(), listed.rows[0].key.domain(), listed.more), (1, DomainId(id), false));
    }
    let asked = [bytes::Bytes::copy_from_slice(key("x").as_bytes())];
    assert_eq!(store.records(&asked).unwrap().domains, 3);
    // Case is fixed by the first link.
    let refused = |item: &DomainItem| match store.write_domain(item, 9).unwrap().verdict {
        DomainVerdict::Refused(fault) => control::Fault::from(fault).field().map(str::to_owned),
        other => panic!("{other:?}"),
    };
    for name in ["-", "a.example", "b.example"] {
        let other = rows.iter().find(|row| row.rules.name.as_str() == name).unwrap().rules.fold_case;
        let item = change(name, vec![DomainField::FoldCase(!other)]);
        assert_eq!(refused(&item).as_deref(), Some("fold_case"), "{name}");
    }
    let purge = |id| {
        let mut request = in_domain(id, "x");
        request.items[0].intent = Intent::Purge { before: 0 };
        request
    };
    assert_eq!(store.commit(&[purge(9)], 9).unwrap().verdicts, [Verdict::Same]);
}

/// A case of the contract: as for links.
pub fn a_write_of_a_domain_is_safe_to_repeat(store: &dyn Repository) {
    let retry = |hash| {
        let (principal, id) = (String::new(), "r".into());
        Some(journal::Retry { principal, method: "CreateDomain", id, hash: [hash; 16] })
    };
    let write = |hash, now| {
        let item = DomainItem { retry: retry(hash), ..make(7, "a.example") };
        store.write_domain(&item, now).unwrap().verdict
    };
    assert!(matches!(write(1, 0), DomainVerdict::Written(_)));
    assert!(matches!(write(1, 1), DomainVerdict::Before(_)));
    assert!(matches!(write(2, 1), DomainVerdict::Refused(journal::Rejection::IdempotencyMismatch)));
    assert_eq!(store.head().unwrap().seq, 1);
}

#[test]
fn a_store_of_before_there_were_domains_gets_them() {
    let folder = Folder::new();
    Sqlite::open(&folder.db(), Options::default()).unwrap().close();
    let db = rusqlite::Connection::open(folder.db()).unwrap();
    db.execute_batch(
        "DROP INDEX links_external_id_once; DROP INDEX links_external_id; \
         ALTER TABLE links DROP COLUMN external_id; ALTER TABLE links DROP COLUMN more; \
         ALTER TABLE keys DROP COLUMN edge; \
         DROP INDEX domains_version; ALTER TABLE domains DROP COLUMN record; \
         ALTER TABLE domains DROP COLUMN version; ALTER TABLE domains DROP COLUMN create_time; \
         ALTER TABLE domains DROP COLUMN update_time; DROP INDEX links_create_time; DROP INDEX links_update_time; \
         DROP TABLE domains_gone; DROP TABLE link_tags; DROP TABLE tags_behind; DROP TABLE tag_renames; \
         DROP INDEX links_host; DROP INDEX links_blocked_by; ALTER TABLE links DROP COLUMN host; \
         ALTER TABLE links DROP COLUMN blocked_by; DROP TABLE hosts_read; DROP TABLE blocked_targets; \
         DROP INDEX links_uid; ALTER TABLE links DROP COLUMN uid; \
         DROP INDEX links_deleted; ALTER TABLE links DROP COLUMN clicked; \
         CREATE INDEX links_deleted ON links (delete_time) WHERE delete_time IS NOT NULL; \
         DROP TABLE admin_audit; DROP TABLE opened; DROP TABLE secret; \
         DELETE FROM refinery_schema_history WHERE version >= 5;",
    )
    .unwrap();
    drop(db);
    let store = Sqlite::open(&folder.db(), Options::default()).unwrap();
    // It had no secret: no history from before, not even one that was put back, has such a number.
    assert!(store.head().unwrap().epoch.counter > 20_000_000);
    assert_eq!(store.domains().unwrap().1.len(), 1);
    assert_eq!(store.write_domain(&make(7, "a.example"), 1).unwrap().head.seq, 1);
}

fn delete(name: &str, etag: Option<u64>) -> DomainItem {
    DomainItem { intent: DomainIntent::Delete { etag }, ..change(name, Vec::new()) }
}

/// A case of the contract: the end of a domain is a change of the log, and its number is nobody's after that.
pub fn a_domain_that_is_deleted_leaves_its_number(store: &dyn Repository) {
    store.write_domain(&make(7, "a.example"), 5).unwrap();
    store.write_domain(&make(8, "b.example"), 5).unwrap();
    assert_eq!(store.last_domain_gone().unwrap(), 0);
    let in_domain = |intent| {
        let mut request = super::contract::create("x");
        request.items[0].key = Key::new(DomainId(8), &Code::new("x").unwrap());
        request.items[0].intent = intent;
        store.commit(&[request], 6).unwrap()
    };
    let refused = |item: &DomainItem| match store.write_domain(item, 9).unwrap().verdict {
        DomainVerdict::Refused(why) => control::Fault::from(why),
        other => panic!("{other:?}"),
    };
    // Not while a link is there, nor while one can be undeleted, nor at another version, nor the default one.
    in_domain(Intent::Create(super::contract::draft("https://a.example/")));
    let why = refused(&delete("b.example", None));
    assert_eq!((why.names().reason, why.to_string().contains("at least 1 link,")), ("DOMAIN_IN_USE", true));
    in_domain(Intent::Delete { etag: None });
    let why = refused(&delete("b.example", None)).to_string();
    assert!(why.contains("can be undeleted until 1970-01-31T00:00:00.006Z"), "{why}");
    in_domain(Intent::Purge { before: 6 });
    assert_eq!(refused(&delete("b.example", Some(1))).names().reason, "ETAG_MISMATCH");
    assert_eq!(refused(&delete("none.example", None)).names().reason, "DOMAIN_NOT_FOUND");
    assert_eq!(refused(&delete("-", None)).field(), Some("name"));
    let head = store.head().unwrap();
    let before = store.domains_version().unwrap();
    let done = store.write_domain(&delete("b.example", Some(2)), 9).unwrap();
    let DomainVerdict::Gone(row) = done.verdict else { panic!("{done:?}") };
    assert_eq!((done.head.seq, row.version, row.id), (head.seq + 1, head.seq + 1, DomainId(8)));
    // Whoever asks learns of it: by the log, the list, the version, and what comes with an answer about a link.
    let (_, changes) = store.changes(head.seq, ALL).unwrap();
    assert_eq!((changes[0].kind, &changes[0].key[..]), (ChangeKind::DOMAIN_GONE, &[0, 0, 0, 8][..]));
    assert!(changes.len() == 1 && changes[0].record.is_empty());
    let (_, rows) = store.domains().unwrap();
    assert_eq!(rows.iter().map(|row| row.rules.name.as_str()).collect::<Vec<_>>(), ["-", "a.example"]);
    assert_eq!(store.domains_version().unwrap(), (before.0, done.head.seq));
    assert_eq!(store.last_domain_gone().unwrap(), done.head.seq);
    let asked = [bytes::Bytes::copy_from_slice(key("x").as_bytes())];
    assert_eq!(store.records(&asked).unwrap().domains, done.head.seq);
    // Nothing is written there any more.
    let late = in_domain(Intent::Create(super::contract::draft("https://a.example/")));
    let Verdict::Refused(why) = &late.verdicts[0] else { panic!("{late:?}") };
    assert_eq!(control::Fault::from(why.clone()).names().reason, "DOMAIN_NOT_FOUND");
    // Its host may become a domain again, and never under the same number.
    assert_eq!(refused(&make(8, "b.example")).names().reason, "OVERLOADED");
    let again = store.write_domain(&make(9, "b.example"), 10).unwrap();
    assert!(matches!(again.verdict, DomainVerdict::Written(_)));
    let noted = store.noted("domains/b.example", i64::MAX, 9).unwrap();
    let short: Vec<_> = noted.iter().map(|row| (row.before.is_some(), row.after.is_empty())).collect();
    assert_eq!(short, [(false, false), (true, true), (false, false)], "made, deleted, made again");
    assert_eq!(store.domains_version().unwrap().1, again.head.seq);
}

/// A case of the contract: files of a domain come back as they were given, and all domains together have a bound.
pub fn a_domain_keeps_its_files(store: &dyn Repository) {
    let file = |path: &str, size: usize| link::File {
        path: path.into(),
        content_type: "a/b".into(),
        content: vec![7; size].into(),
    };
    let files = link::Files::new(vec![file("favicon.ico", 8_000), file(".well-known/x", 3)]).unwrap();
    let with = |files: &link::Files| change("-", vec![DomainField::Files(files.clone())]);
    store.write_domain(&with(&files), 5).unwrap();
    let (_, rows) = store.domains().unwrap();
    assert_eq!(rows[0].rules.files, files);
    let (_, changes) = store.changes(0, ALL).unwrap();
    assert_eq!(record::decode_domain(&changes[0].record).unwrap().1.files, files);
    store.write_domain(&with(&link::Files::default()), 6).unwrap();
    assert!(store.domains().unwrap().1[0].rules.files.all().is_empty());
}

/// On SQLite, and on PostgreSQL if there is one.
pub async fn over_both(test: impl AsyncFn(&World)) {
    let world = World::new().await;
    test(&world).await;
    world.stop().await;
    let Some(db) = Database::new() else { return };
    let world = World::on(Folder::new(), db.opened(false).await).await;
    test(&world).await;
    world.stop().await;
}

pub async fn call(world: &World, call: &str, body: Value) -> (u16, Value) {
    let reply = world.rest(call, body).await;
    (reply.status.as_u16(), reply.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_through_its_life() {
    over_both(async |world| {
        let body = json!({"domain": "Go.Example.", "fold_case": true, "not_found": "https://home.example/"});
        let made = world.rest("POST /v1/domains", body.clone()).await;
        assert_eq!((made.status.as_u16(), &made.headers["etag"]), (201, &"\"1\"".parse().unwrap()));
        assert_eq!(made.headers["location"], "/v1/domains/go.example");
        assert_eq!((&made.body["domain"], &made.body["fold_case"]), (&json!("go.example"), &json!(true)));
        assert_eq!(call(world, "POST /v1/domains", body).await.1["reason"], "EXISTS");
        assert_eq!(call(world, "GET /v1/domains/GO.example", Value::Null).await, (200, made.body.clone()));
        let (status, changed) = call(
            world,
            "PATCH /v1/domains/go.example",
            json!({"class": "strict", "not_found": null, "etag": "\"1\""}),
        )
        .await;
        assert_eq!((status, &changed["class"], changed.get("not_found")), (200, &json!("strict"), None));
        let stale = json!({"class": "normal", "etag": "\"1\""});
        assert_eq!(call(world, "PATCH /v1/domains/go.example", stale).await.1["reason"], "ETAG_MISMATCH");
        for (request, body, reason, field) in [
            ("GET /v1/domains/none.example", Value::Null, "DOMAIN_NOT_FOUND", Value::Null),
            ("PATCH /v1/domains/none.example", json!({"class": "normal"}), "DOMAIN_NOT_FOUND", Value::Null),
            ("PATCH /v1/domains/go.example", json!({"strict_hosts": true}), "INVALID", json!("strict_hosts")),
            ("PATCH /v1/domains/go.example", json!({"domain": "x"}), "INVALID", json!("domain")),
            ("PATCH /v1/domains/go.example", json!({"hosts": []}), "INVALID", json!("hosts")),
            ("POST /v1/domains", json!({"domain": "a_b"}), "INVALID", json!("domain_id")),
            ("POST /v1/domains", json!({"domain": "-"}), "EXISTS", Value::Null),
            (
                "POST /v1/domains",
                json!({"domain": "a.example", "not_found": "ftp://x"}),
                "INVALID",
                json!("not_found"),
            ),
            (
                "POST /v1/domains",
                json!({"domain": "a.example", "not_found": "https://a.example/"}),
                "INVALID",
                json!("not_found"),
            ),
            (
                "POST /v1/domains",
                json!({"domain": "a.example", "not_found": "https://go.example/"}),
                "INVALID",
                json!("not_found"),
            ),
        ] {
            let (_, told) = call(world, request, body).await;
            assert_eq!((&told["reason"], &told["field"]), (&json!(reason), &field), "{request} {told}");
        }
        let only = call(world, "POST /v1/domains?validate_only=true", json!({"domain": "a.example"})).await;
        assert_eq!((only.0, only.1.get("etag"), world.head().await), (200, None, 2));
        let key = [("content-type", "application/json"), ("idempotency-key", "k")];
        let body = json!({"domain": "a.example"}).to_string().into_bytes();
        let first = world.raw("POST /v1/domains", &key, body.clone()).await;
        assert_eq!(world.raw("POST /v1/domains", &key, body).await.body, first.body);
        let page = call(world, "GET /v1/domains?page_size=2", Value::Null).await.1;
        assert_eq!(
            (&page["domains"][1]["domain"], &page["next_page_token"]),
            (&json!("a.example"), &json!("a.example"))
        );
        let page = call(world, "GET /v1/domains?page_size=2&page_token=a.example", Value::Null).await.1;
        assert_eq!((page["domains"].as_array().unwrap().len(), &page["next_page_token"]), (1, &json!("")));
    })
    .await;
}

#[tokio::test]
async fn links_live_in_their_domain() {
    let world = World::new().await;
    call(&world, "POST /v1/domains", json!({"domain": "a.example", "fold_case": true})).await;
    let link = json!({"code": "AbC", "target": "https://one.example/"});
    let (status, made) = call(&world, "POST /v1/domains/a.example/links", link.clone()).await;
    assert_eq!((status, &made["name"]), (201, &json!("domains/a.example/links/abc")));
    assert_eq!((&made["domain"], &made["code"]), (&json!("a.example"), &json!("abc")));
    let (_, same) = call(&world, "GET /v1/domains/a.example/links/ABC", Value::Null).await;
    assert_eq!(same, made);
    let (_, other) = call(&world, "POST /v1/links", link).await;
    assert_eq!((&other["name"], world.head().await), (&json!("domains/-/links/AbC"), 3));
    let (_, listed) = call(&world, "GET /v1/domains/a.example/links", Value::Null).await;
    assert_eq!(listed["links"], json!([made]));
    let (_, drawn) = call(
        &world,
        "POST /v1/domains/a.example/links?code_prefix=Eu/",
        json!({"target": "https://one.example/"}),
    )
    .await;
    let code = drawn["code"].as_str().unwrap();
    assert!(code.starts_with("eu/") && code.len() == 10 && code == code.to_ascii_lowercase(), "{code}");
    let none =
        call(&world, "POST /v1/domains/none.example/links", json!({"target": "https://one.example/"})).await;
    assert_eq!((none.0, &none.1["reason"]), (404, &json!("DOMAIN_NOT_FOUND")));
    // They are there after a restart, and for an edge.
    let folder = world.stop().await;
    let world = World::at(folder).await;
    assert_eq!(
        call(&world, "GET /v1/domains/a.example/links/abc", Value::Null).await.1["target"],
        made["target"]
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_code_is_and_which_others_are_free() {
    over_both(async |world| {
        for code in ["a", "a-2", "gone"] {
            call(world, "POST /v1/links", json!({"code": code, "target": "https://one.example/"})).await;
        }
        call(world, "DELETE /v1/links/gone", Value::Null).await;
        for (path, state) in [
            ("domains/-/codes/a", "taken"),
            ("codes/b", "free"),
            ("codes/b/c", "free"),
            ("codes/gone", "deleted"),
            ("codes/Admin", "reserved"),
            ("codes/robots.txt", "reserved"),
            ("codes/.well-known/x", "reserved"),
        ] {
            let (status, told) = call(world, &format!("GET /v1/{path}"), Value::Null).await;
            assert_eq!((status, &told["state"]), (200, &json!(state)), "{path}");
            let others = told["suggestions"].as_array().unwrap();
            assert_eq!(
                others.len(),
                if state == "free" || path.contains("well-known") && others.is_empty() { 0 } else { 3 },
                "{told}"
            );
            for other in others {
                let path = format!("GET /v1/codes/{}", other.as_str().unwrap());
                assert_eq!(call(world, &path, Value::Null).await.1["state"], "free");
            }
        }
        assert_eq!(call(world, "GET /v1/codes/a%20b", Value::Null).await.1["field"], "name");
        // What is reserved is asked of the code that is stored.
        call(world, "POST /v1/domains", json!({"domain": "folds.example", "fold_case": true})).await;
        for code in ["Robots.txt", "FAVICON.ICO", ".Well-Known/x", "aDMIN"] {
            let body = json!({"code": code, "target": "https://one.example/"});
            let refused = call(world, "POST /v1/domains/folds.example/links", body).await;
            assert_eq!((refused.0, &refused.1["field"]), (400, &json!("code")), "{code}");
        }
        let refused =
            call(world, "POST /v1/links", json!({"code": "ADMIN", "target": "https://one.example/"})).await;
        assert_eq!((refused.0, &refused.1["field"]), (400, &json!("code")));
        let drawn = "POST /v1/links?code_length=12&code_alphabet=unambiguous&code_prefix=x-";
        let (status, made) = call(world, drawn, json!({"target": "https://one.example/"})).await;
        assert_eq!((status, made["code"].as_str().unwrap().len()), (201, 14));
        let (_, wrong) =
            call(world, "POST /v1/links?code_alphabet=klingon", json!({"target": "https://one.example/"}))
                .await;
        assert_eq!(wrong["field"], "code_alphabet");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_of_ours_is_none() {
    over_both(async |world| {
        let mut links = world.links().await;
        call(world, "POST /v1/domains", json!({"domain": "a.example", "fold_case": true})).await;
        links.create_link(create("x", "https://far.example/?q=1#f")).await.unwrap();
        let in_a = |link: v1::CreateLinkRequest| v1::CreateLinkRequest {
            parent: "domains/a.example".into(),
            ..link
        };
        links.create_link(in_a(create("y", "https://further.example/"))).await.unwrap();
        for (target, says) in [
            ("https://go.example.com/x", "use https://far.example/?q=1#f instead"),
            ("http://GO.example.com:8080/x?utm=1", "use https://far.example/?q=1#f instead"),
            ("https://a.example/Y#z", "use https://further.example/ instead"),
            ("https://go.example.com/none", "there is no link"),
            ("https://go.example.com/new", "back to itself"),
            ("https://go.example.com", "no link can be"),
            ("https://go.example.com/robots.txt", "no link can be"),
        ] {
            let refused = links.create_link(create("new", target)).await.unwrap_err();
            assert!(refused.message().contains(says), "{target}: {}", refused.message());
            let mut row = to(target);
            row.code = "new".into();
            let import = v1::ImportLinksRequest { links: vec![row], ..Default::default() };
            let mut told = links.import_links(tokio_stream::iter([import])).await.unwrap().into_inner();
            let result = told.message().await.unwrap().unwrap().results.remove(0);
            assert!(
                result.field == "target" && result.message.contains(says),
                "{target}: {}",
                result.message
            );
        }
        let flat = v1::CreateLinkRequest { flatten: true, ..create("flat", "https://a.example/y") };
        assert_eq!(links.create_link(flat).await.unwrap().into_inner().target, "https://further.example/");
        let update = |target: &str, flatten| v1::UpdateLinkRequest {
            link: Some(v1::Link { name: "domains/-/links/x".into(), ..to(target) }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["target".into()] }),
            flatten,
            ..Default::default()
        };
        assert!(links.update_link(update("https://go.example.com/flat", false)).await.is_err());
        let changed =
            links.update_link(update("https://go.example.com/flat", true)).await.unwrap().into_inner();
        assert_eq!(changed.target, "https://further.example/");
        // A host that links lead to becomes no domain.
        let (_, refused) = call(world, "POST /v1/domains", json!({"domain": "further.example"})).await;
        let detail = refused["detail"].as_str().unwrap();
        for name in ["domains/a.example/links/y", "domains/-/links/flat", "domains/-/links/x"] {
            assert!(detail.contains(name), "{detail}");
        }
        assert_eq!((&refused["field"], detail.contains("others")), (&json!("domain_id"), false));
    })
    .await;
}

/// Found by attack: control compared the letters of a host, clients compare what it reads as, and looped.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_ours_is_known_however_it_is_spelled() {
    over_both(async |world| {
        let mut links = world.links().await;
        for domain in ["b.example", "127.1", "b\u{fc}cher.example"] {
            let (status, made) = call(world, "POST /v1/domains", json!({"domain": domain})).await;
            assert_eq!(status, 201, "{domain}: {made}");
        }
        for name in ["127.0.0.1", "127.1", "xn--bcher-kva.example", "b\u{fc}cher.example"] {
            let request = v1::GetDomainRequest { name: format!("domains/{name}") };
            assert!(DomainsClient::new(world.channel().await).get_domain(request).await.is_ok(), "{name}");
        }
        for target in [
            "http://b%2eexample/loop",
            "http://\u{ff42}.example/loop",
            "http://B.Example.:8080/loop",
            "http:\\\\b.example\\loop",
            "http://b.example/other/../loop",
            "http://127.1/loop",
            "http://0x7f000001/loop",
            "http://b\u{fc}cher.example/loop",
            "http://go.ex%61mple.com/loop",
        ] {
            let refused = links.create_link(create("loop", target)).await.unwrap_err();
            assert!(refused.message().contains("of ours"), "{target}: {}", refused.message());
            let not_found = json!({"domain": "new.example", "not_found": target});
            let (status, refused) = call(world, "POST /v1/domains", not_found).await;
            assert_eq!((status, &refused["field"]), (400, &json!("not_found")), "{target}");
        }
        // What stands in the store since before is read the same way.
        let (status, _) =
            call(world, "POST /v1/links", json!({"code": "z", "target": "http://c%2eexample/z"})).await;
        assert_eq!(status, 201);
        let (status, refused) = call(world, "POST /v1/domains", json!({"domain": "c.example"})).await;
        assert_eq!((status, &refused["field"]), (400, &json!("domain_id")));
    })
    .await;
}

/// One that begins is told all domains at once, before any link of theirs.
#[tokio::test]
async fn an_edge_that_begins_is_told_all_domains() {
    use proto::v1::follow_response::Message;
    let world = World::new().await;
    let mut domains = DomainsClient::new(world.channel().await);
    for name in ["b.example", "a.example"] {
        let request = v1::CreateDomainRequest { domain_id: name.into(), ..Default::default() };
        domains.create_domain(request).await.unwrap();
    }
    let mut edge = Edge::named("e", 1);
    let mut stream = edge.connect(&world).await;
    let first = super::feeds::soon(stream.inbound.message()).await.unwrap().unwrap().message.unwrap();
    let Message::Reset(reset) = first else { panic!("{first:?}") };
    let told: Vec<_> =
        reset.domains.iter().map(|entry| record::decode_domain(&entry.record).unwrap()).collect();
    let names: Vec<_> = told.iter().map(|(version, rules)| (rules.name.as_str(), *version)).collect();
    assert_eq!((names, reset.domains_as_of), (vec![("a.example", 2), ("b.example", 1)], 2));
    world.stop().await;
}

/// What one control makes the other knows when it is asked.
#[tokio::test(flavor = "multi_thread")]
async fn two_controls_know_the_same_domains() {
    let Some(db) = Database::new() else { return };
    let a = World::on(Folder::new(), db.opened(false).await).await;
    let b = World::another(db.opened(false).await).await;
    let link = json!({"code": "x", "target": "https://one.example/"});
    let unknown = call(&b, "POST /v1/domains/a.example/links", link.clone()).await;
    assert_eq!(unknown.1["reason"], "DOMAIN_NOT_FOUND");
    call(&a, "POST /v1/domains", json!({"domain": "a.example"})).await;
    let (status, made) = call(&b, "POST /v1/domains/a.example/links", link.clone()).await;
    assert_eq!((status, &made["name"]), (201, &json!("domains/a.example/links/x")));
    assert_eq!(call(&a, "GET /v1/domains/a.example/links/x", Value::Null).await.1, made);
    b.stop().await;
    a.stop().await;
}

/// Found by attack: each question about one domain read all 3,000.
#[tokio::test(flavor = "multi_thread")]
async fn domains_are_read_again_when_one_changed() {
    let folder = Folder::new();
    let store: Arc<dyn Repository> = Arc::new(Sqlite::open(&folder.db(), Options::default()).unwrap());
    read_when_one_changed(store).await;
    if let Some(db) = Database::new() {
        read_when_one_changed(db.opened(false).await).await;
    }
}

async fn read_when_one_changed(store: Arc<dyn Repository>) {
    let (world, other) = (World::another(store.clone()).await, World::another(store).await);
    let reads = || {
        let text = world::text(world.running.metrics());
        let line = text.lines().find(|line| {
            line.starts_with("linkr_store_request_duration_seconds_count") && line.contains("\"domains\"")
        });
        line.expect("domains were read").rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(world.rest("GET /v1/domains/-", Value::Null).await.status, 200);
    let before = reads();
    for _ in 0..20 {
        assert_eq!(world.rest("GET /v1/domains/-", Value::Null).await.status, 200);
        assert_eq!(world.rest("GET /v1/domains", Value::Null).await.status, 200);
    }
    assert_eq!(reads(), before);
    // What another control has written is there at once.
    let made = other.rest("POST /v1/domains", json!({"domain": "a.example"})).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(world.rest("GET /v1/domains/a.example", Value::Null).await.status, 200);
    let changed = json!({"fold_case": true});
    let changed = other.rest("PATCH /v1/domains/a.example", changed).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(world.rest("GET /v1/domains/a.example", Value::Null).await.body["fold_case"], json!(true));
    assert_eq!(reads(), before + 2);
}
