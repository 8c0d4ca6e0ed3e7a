//! What a domain says beyond its codes: where `/`, an expired link and an unknown code lead, what of a path is passed
//! over, what becomes of a query, and its `robots.txt`.

use super::domains::{call, over_both};
use super::world::{World, to};
use journal::domains::{DomainField, DomainIntent, DomainItem, DomainVerdict};
use journal::{Item, Request, Verdict};
use link::{Code, Domain, DomainId, Key, QueryPolicy, Target};
use proto::v1;
use serde_json::{Value, json};
use store::port::Repository;

const A: DomainId = DomainId(7);

fn target(text: &str) -> Option<Target> {
    Some(Target::stored(text.as_bytes()).unwrap())
}

fn write(store: &dyn Repository, intent: DomainIntent) -> DomainVerdict {
    let by = Some(super::contract::by("Test"));
    let item = DomainItem { name: Domain::new("a.example").unwrap(), intent, by, retry: None };
    store.write_domain(&item, 5).unwrap().verdict
}

fn update(store: &dyn Repository, field: DomainField) -> Result<(), String> {
    match write(store, DomainIntent::Update { fields: vec![field], etag: None }) {
        DomainVerdict::Written(_) => Ok(()),
        DomainVerdict::Refused(why) => Err(control::Fault::from(why).to_string()),
        DomainVerdict::Gone(_) | DomainVerdict::Before(_) => panic!("it is an update without a request id"),
    }
}

/// A case of the contract.
pub fn a_store_gives_back_all_that_a_domain_says(store: &dyn Repository) {
    let fields = vec![
        DomainField::RootTarget(target("https://root.example/?{query}")),
        DomainField::NotFound(target("https://lost.example/{path}")),
        DomainField::ExpiredTarget(target("https://late.example/")),
        DomainField::TrailingSlash(true),
        DomainField::Punctuation(true),
        DomainField::Query(QueryPolicy::Append),
        DomainField::Robots(Some("User-agent: *\nDisallow: /\n".into())),
    ];
    let made = write(store, DomainIntent::Create { id: A, fields });
    let DomainVerdict::Written(made) = made else { panic!("{made:?}") };
    assert!(made.rules.endings.trailing_slash && made.rules.endings.punctuation);
    assert_eq!((made.rules.query, made.rules.targets().count()), (QueryPolicy::Append, 3));
    assert_eq!(store.domains().unwrap().1.iter().find(|row| row.id == A), Some(&made));
    update(store, DomainField::Robots(None)).unwrap();
    let rows = store.domains().unwrap().1;
    assert_eq!(rows.iter().find(|row| row.id == A).unwrap().rules.robots, None);
}

/// A case of the contract: of this domain alone, and deleted ones, which can come back.
pub fn a_store_finds_the_codes_that_end_in_punctuation(store: &dyn Repository) {
    write(store, DomainIntent::Create { id: A, fields: Vec::new() });
    let commit = |id: DomainId, request: Request, code: &str| {
        let code = Code::new(code).unwrap();
        let items = request.items.into_iter().map(|item| Item { key: Key::new(id, &code), ..item });
        let done = store.commit(&[Request { items: items.collect(), ..request }], 6).unwrap();
        assert!(!matches!(done.verdicts[0], Verdict::Refused(_)), "{:?}", done.verdicts);
    };
    for code in ["etc", "a.b", "x~", "y-"] {
        commit(A, super::contract::create("x"), code);
    }
    commit(DomainId::DEFAULT, super::contract::create("x"), "etc.");
    assert_eq!(update(store, DomainField::Punctuation(true)), Ok(()));
    assert_eq!(update(store, DomainField::Punctuation(false)), Ok(()));
    commit(A, super::contract::create("x"), "deep/etc.");
    commit(A, super::contract::delete("x"), "deep/etc.");
    let refused = update(store, DomainField::Punctuation(true)).unwrap_err();
    assert!(refused.contains("domains/a.example/links/deep/etc. ends in punctuation"), "{refused}");
    assert_eq!(update(store, DomainField::TrailingSlash(true)), Ok(()));
    assert_eq!(update(store, DomainField::Punctuation(false)), Ok(()));
}

const DOMAIN: &str = "/v1/domains/a.example";

async fn made(world: &World, body: Value) -> Value {
    let (status, made) = call(world, "POST /v1/domains", body).await;
    assert_eq!(status, 201, "{made}");
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_says_where_visitors_are_led() {
    over_both(async |world| {
        let body = json!({
            "domain": "a.example",
            "root_target": "https://root.example/?{query}",
            "not_found": "https://lost.example/{path}?{query}",
            "expired_target": "https://late.example/",
            "trailing_slash": true,
            "punctuation": true,
            "query": "append",
            "robots": "User-agent: *\nDisallow: /\n",
        });
        let told = made(world, body.clone()).await;
        for (field, value) in body.as_object().unwrap() {
            assert_eq!(&told[field], value, "{field}");
        }
        assert_eq!(call(world, &format!("GET {DOMAIN}"), Value::Null).await.1, told);
        let cleared = json!({"root_target": "", "expired_target": null, "robots": "", "query": "drop"});
        let (status, told) = call(world, &format!("PATCH {DOMAIN}"), cleared).await;
        let left = ["root_target", "expired_target", "robots"].map(|field| told.get(field).cloned());
        assert_eq!((status, left, &told["query"]), (200, [None, None, None], &json!("drop")), "{told}");
        assert_eq!(told["not_found"], "https://lost.example/{path}?{query}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_domain_cannot_say_is_refused_by_the_name_of_the_field() {
    over_both(async |world| {
        made(world, json!({"domain": "a.example"})).await;
        made(world, json!({"domain": "b.example"})).await;
        let long = format!("https://far.example/{}", "x".repeat(1_010));
        for field in ["root_target", "expired_target", "not_found"] {
            for wrong in [
                "ftp://far.example/",
                "https://b.example/x",
                "https://a.example/",
                "https://go.example.com/",
                "https://{path}.example/",
                "https://far.example{path}",
                "https://far.example/{query}",
                "https://far.example/?a#{query}",
                "https://far.example/\u{e9}/{path}",
                &long,
            ] {
                let (status, told) = call(world, &format!("PATCH {DOMAIN}"), json!({field: wrong})).await;
                assert_eq!((status, &told["field"]), (400, &json!(field)), "{field} {wrong} {told}");
            }
            let own = json!({"domain": "c.example", field: "https://c.example/x"});
            let (status, told) = call(world, "POST /v1/domains", own).await;
            assert_eq!((status, &told["field"]), (400, &json!(field)), "{told}");
        }
        for (field, wrong) in [
            ("robots", json!("x".repeat(2_049))),
            ("robots", json!("a\u{0}b")),
            ("query", json!("keep")),
            ("punctuation", json!("yes")),
        ] {
            let (status, told) = call(world, &format!("PATCH {DOMAIN}"), json!({field: wrong})).await;
            assert_eq!((status, &told["field"]), (400, &json!(field)), "{field} {told}");
        }
        let good = json!({"robots": "\u{fc}\t\r\n".repeat(400)});
        assert_eq!(call(world, &format!("PATCH {DOMAIN}"), good).await.0, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_could_not_be_found_is_not_made() {
    over_both(async |world| {
        made(world, json!({"domain": "a.example", "punctuation": true, "trailing_slash": true})).await;
        let links = format!("POST {DOMAIN}/links");
        for code in ["etc.", "a/b...", "..."] {
            let (status, told) =
                call(world, &links, json!({"code": code, "target": "https://far.example/"})).await;
            assert_eq!((status, &told["field"]), (400, &json!("code")), "{code} {told}");
            assert!(told["detail"].as_str().unwrap().contains("ends in punctuation"), "{told}");
            let check = format!("GET {DOMAIN}/codes/{code}");
            assert_eq!(call(world, &check, Value::Null).await.0, 400, "{code}");
            let row = v1::Link { code: code.into(), ..to("https://far.example/") };
            let parent = "domains/a.example".into();
            let import = v1::ImportLinksRequest { parent, links: vec![row], update: false };
            let mut told =
                world.links().await.import_links(tokio_stream::iter([import])).await.unwrap().into_inner();
            let result = told.message().await.unwrap().unwrap().results.remove(0);
            assert_eq!((&*result.reason, &*result.field), ("INVALID", "code"), "{code}");
        }
        for code in ["a.b", "etc", "x-"] {
            let (status, _) =
                call(world, &links, json!({"code": code, "target": "https://far.example/"})).await;
            assert_eq!(status, 201, "{code}");
        }
        // Where it is off, such codes are like any other, and then it stays off.
        let (status, _) =
            call(world, "POST /v1/links", json!({"code": "etc.", "target": "https://far.example/"})).await;
        assert_eq!(status, 201);
        let (status, told) = call(world, "PATCH /v1/domains/-", json!({"punctuation": true})).await;
        assert_eq!((status, &told["field"]), (400, &json!("punctuation")), "{told}");
        assert!(told["detail"].as_str().unwrap().contains("domains/-/links/etc."), "{told}");
        assert_eq!(call(world, "PATCH /v1/domains/-", json!({"trailing_slash": true})).await.0, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_link_has_the_query_of_its_domain_unless_it_says_one() {
    over_both(async |world| {
        made(world, json!({"domain": "a.example"})).await;
        let query = async |request: String, body: Value| {
            let (status, told) = call(world, &request, body).await;
            assert!(status < 300, "{told}");
            told["query"].as_str().unwrap().to_owned()
        };
        let new = |code: &str, more: Value| {
            let mut body = json!({"code": code, "target": "https://far.example/"});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            query(format!("POST {DOMAIN}/links"), body)
        };
        assert_eq!(new("before", json!({})).await, "drop");
        call(world, &format!("PATCH {DOMAIN}"), json!({"query": "override"})).await;
        assert_eq!(new("plain", json!({})).await, "override");
        assert_eq!(new("says", json!({"query": "drop"})).await, "drop");
        let patch = |code: &str, body: Value| query(format!("PATCH {DOMAIN}/links/{code}"), body);
        assert_eq!(patch("before", json!({"title": "t"})).await, "drop", "what is there stays");
        assert_eq!(patch("says", json!({"query": null})).await, "override", "cleared");
        // An export leaves `drop` out, and has to come back as it was.
        let row = v1::Link { code: "row".into(), ..to("https://far.example/") };
        let import =
            v1::ImportLinksRequest { parent: "domains/a.example".into(), links: vec![row], update: false };
        let mut told =
            world.links().await.import_links(tokio_stream::iter([import])).await.unwrap().into_inner();
        while told.message().await.unwrap().is_some() {}
        assert_eq!(query(format!("GET {DOMAIN}/links/row"), Value::Null).await, "drop");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_link_leads_to_none_of_ours() {
    over_both(async |world| {
        made(world, json!({"domain": "a.example"})).await;
        let link = |code: &str, late: &str| json!({"code": code, "target": "https://far.example/", "expired_target": late});
        let (status, made_link) = call(world, "POST /v1/links", link("x", "https://late.example/{path}")).await;
        assert_eq!((status, &made_link["expired_target"]), (201, &json!("https://late.example/{path}")), "{made_link}");
        for late in ["https://a.example/y", "https://go.example.com/", "ftp://far.example/"] {
            for (request, body) in [
                ("POST /v1/links", link("y", late)),
                ("PATCH /v1/links/x", json!({"expired_target": late})),
            ] {
                let (status, told) = call(world, request, body).await;
                assert_eq!((status, &told["field"]), (400, &json!("expired_target")), "{request} {told}");
            }
        }
        // A host that it leads to becomes no domain, and one that became one keeps a deleted link away.
        let (status, told) = call(world, "POST /v1/domains", json!({"domain": "late.example"})).await;
        assert_eq!((status, &told["field"]), (400, &json!("domain_id")), "{told}");
        call(world, "DELETE /v1/links/x", Value::Null).await;
        made(world, json!({"domain": "late.example"})).await;
        for request in ["POST /v1/links/x:undelete", "POST /v1/links/x:restore"] {
            let body = if request.ends_with("restore") { json!({"revision": made_link["revision"]}) } else { json!({}) };
            let (status, told) = call(world, request, body).await;
            assert_eq!((status, &told["field"]), (400, &json!("expired_target")), "{request} {told}");
        }
        let (_, kept) = call(world, "POST /v1/links", link("z", "https://later.example/")).await;
        assert_eq!(call(world, "PATCH /v1/links/z", json!({"expired_target": null})).await.1.get("expired_target"), None);
        assert_eq!(kept["expired_target"], "https://later.example/");
    })
    .await;
}
