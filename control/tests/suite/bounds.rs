//! What a key of one domain may learn and change of another: nothing. Every call of the API, every field that can name
//! something, and every state that the thing there can have; calls and fields are read from the descriptors.

mod calls;

use super::keys::{locked, put, rest, way};
use super::world::{Folder, MoodyStore, World};
use axum::http::Method;
use calls::{CallReply, NameKind, base, calls, told};
use control::keys::Secret;
use prost::Message;
use proto::client::KeyedChannel;
use proto::v1::{self, domains_client::DomainsClient, keys_client::KeysClient, links_client::LinksClient};
use serde_json::{Value, json};
use store::model::{KeyRow, Scopes};
use tonic::Code;

/// Calls that a key for some domains is never let into, whatever they carry.
const SHUT: &[&str] = &[
    "Feed/Follow",
    "Feed/Fetch",
    "Feed/Append",
    "Targets/BlockTarget",
    "Targets/UnblockTarget",
    "Targets/ListBlockedTargets",
    "Clicks/ReclassifyClicks",
];
/// The states that a link of the other domain is in; the first is that there is none.
const CODES: [&str; 5] = ["absent1", "live001", "embargo", "disable", "deleted"];
/// What nobody may be told.
const SECRETS: [&str; 3] = ["hidden.example", "b-tag", "b-title"];

/// Two domains with a key each, and what is in the other one.
struct TwoDomains {
    world: World,
    admin: Secret,
    bound: Secret,
    other: Secret,
    other_way: KeyedChannel,
    token: String,
    etag: String,
    revision: String,
}

impl TwoDomains {
    async fn new() -> Self {
        let folder = Folder::new();
        let store = MoodyStore::new(&folder);
        let all = Scopes::admin();
        let bound_to = |domain: &'static str| {
            move |row: &mut KeyRow| {
                (row.domains, row.client) = (vec![domain.into()], format!("{}-client", &domain[..1]));
            }
        };
        let admin = put(&*store, all, |_| ());
        let bound = put(&*store, all, bound_to("a.example"));
        let other = put(&*store, all, bound_to("b.example"));
        put(&*store, all, bound_to("b.example")); // both places of that client are taken
        let world = locked(folder, store).await;
        for (host, lost) in [("a.example", "own"), ("b.example", "hidden")] {
            let body = json!({ "domain": host, "not_found": format!("https://{lost}.example/lost") });
            assert_eq!(rest(&world, "POST /v1/domains", Some(&admin), body).await.status, 201);
        }
        let own = json!({ "code": "own", "target": "https://own.example/" });
        for body in [own.clone(), json!({ "code": "own2", "target": "https://own.example/" })] {
            assert_eq!(
                rest(&world, "POST /v1/domains/a.example/links", Some(&bound), body).await.status,
                201
            );
        }
        let mut last = Value::Null;
        for code in &CODES[1..] {
            let mut link = json!({
                "code": code, "target": format!("https://hidden.example/{code}"), "tags": ["b-tag"], "title": "b-title",
            });
            link["disabled"] = (*code == "disable").into();
            if *code == "embargo" {
                link["not_before"] = "2099-01-01T00:00:00Z".into();
            }
            let made = rest(&world, "POST /v1/domains/b.example/links", Some(&other), link).await;
            assert_eq!(made.status, 201, "{made:?}");
            last = made.body;
        }
        let gone = "DELETE /v1/domains/b.example/links/deleted";
        assert_eq!(rest(&world, gone, Some(&other), Value::Null).await.status, 200);
        let list = "GET /v1/domains/b.example/links?page_size=1";
        let page = rest(&world, list, Some(&other), Value::Null).await.body;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (token, etag, revision) =
            (text(&page["next_page_token"]), text(&last["etag"]), text(&last["revision"]));
        let other_way = way(&world, &other).await;
        Self { world, admin, bound, other, other_way, token, etag, revision }
    }

    /// Groups of values that must be told apart in nothing; the first of each names what is not there.
    fn values(&self, names: NameKind) -> Vec<Vec<String>> {
        let codes = |before: &str| CODES.iter().map(|code| format!("{before}{code}")).collect::<Vec<_>>();
        let keys = || {
            ["0000000000000000", &self.other.id(), &self.admin.id()].map(|id| format!("keys/{id}")).to_vec()
        };
        let hosts = |before: &str| ["c.example", "b.example"].map(|host| format!("{before}{host}")).to_vec();
        match names {
            NameKind::Nothing => vec![],
            NameKind::Parent => vec![hosts("domains/"), vec!["domains/-".into()]],
            NameKind::Link => {
                let elsewhere = vec!["domains/c.example/links/absent1".into()];
                vec![[codes("domains/b.example/links/"), elsewhere].concat()]
            }
            NameKind::Target => {
                vec![codes("https://b.example/"), codes("https://B.Example:443/"), codes("http://b.example/")]
            }
            NameKind::Host => vec![hosts("")],
            NameKind::Key => vec![keys()],
            NameKind::Audited => vec![keys(), hosts("domains/")],
            NameKind::Client => vec![["c-client", "b-client"].map(str::to_owned).to_vec()],
            NameKind::Token => vec![vec!["0".repeat(self.token.len()), self.token.clone()]],
            NameKind::Place => vec![vec!["3".into()], vec!["9".into()]],
            NameKind::Etag => vec![vec!["\"999999\"".into(), self.etag.clone()]],
            NameKind::Revision => vec![vec![self.revision.clone()]],
        }
    }

    /// What was told without what was said: names that were given may come back.
    fn without(&self, told: &CallReply, value: &str) -> CallReply {
        let mut text = told.text.replace(value, "VALUE");
        for (given, placeholder) in [("b.example", "HOST"), ("c.example", "HOST")] {
            if value.contains(given) {
                text = text.replace(given, placeholder);
            }
        }
        for code in CODES.iter().filter(|code| value.ends_with(*code)) {
            text = text.replace(code, "CODE");
        }
        CallReply { code: told.code, text }
    }

    fn assert_nothing_told(&self, told: &CallReply, what: &str) {
        let ids = [&self.other, &self.admin].map(|key| format!("keys/{}", key.id()));
        let hidden = SECRETS.iter().copied().chain(CODES).chain(ids.iter().map(String::as_str));
        for secret in hidden {
            assert!(!told.text.contains(secret), "{what} tells {secret}: {told:?}");
        }
    }

    /// All of the other domain.
    async fn of_other(&self) -> Vec<u8> {
        let mut links = LinksClient::new(self.other_way.clone());
        let request = v1::ExportLinksRequest { parent: "domains/b.example".into(), show_deleted: true };
        let mut export = links.export_links(request).await.unwrap().into_inner();
        let mut all = Vec::new();
        while let Some(part) = export.message().await.unwrap() {
            all.extend(part.encode_to_vec());
        }
        let mut domains = DomainsClient::new(self.other_way.clone());
        let domain =
            domains.get_domain(v1::GetDomainRequest { name: "domains/b.example".into() }).await.unwrap();
        let mut keys = KeysClient::new(self.other_way.clone());
        let keys = keys
            .list_keys(v1::ListKeysRequest { show_revoked: true, ..Default::default() })
            .await
            .unwrap()
            .into_inner();
        all.extend(domain.into_inner().encode_to_vec());
        all.extend(
            keys.keys.iter().flat_map(|key| v1::Key { last_use_time: None, ..key.clone() }.encode_to_vec()),
        );
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_and_no_field_of_one_reaches_another_domain() {
    let two = TwoDomains::new().await;
    let (bound, before) = (way(&two.world, &two.bound).await, two.of_other().await);
    let (mut probes, calls) = (0, calls());
    for (call, fields) in &calls {
        let plain = told(&bound, call, base(call).message).await;
        two.assert_nothing_told(&plain, call);
        if SHUT.contains(&call.as_str()) {
            assert_eq!(plain.code, Code::PermissionDenied, "{call}");
            continue;
        }
        for field in fields {
            for group in two.values(field.names()) {
                let mut first: Option<CallReply> = None;
                for value in &group {
                    let what = format!("{call} with {}.{} {value}", field.message, field.name);
                    let answer =
                        two.without(&told(&bound, call, field.with(&base(call), value)).await, value);
                    two.assert_nothing_told(&answer, &what);
                    probes += 1;
                    let first = first.get_or_insert_with(|| answer.clone());
                    assert_eq!(first.code, answer.code, "{what}: {first:?} {answer:?}");
                    if answer.code != Code::Ok {
                        assert_eq!(*first, answer, "{what}");
                    }
                }
            }
        }
    }
    assert!(two.of_other().await == before, "something of the other domain changed");
    println!("{} calls, {probes} probes", calls.len());
    two.world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_of_the_api_reaches_another_domain() {
    let two = TwoDomains::new().await;
    let before = two.of_other().await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let api: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut probes = 0;
    for (path, methods) in api["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter_map(|name| {
            Method::from_bytes(name.to_uppercase().as_bytes()).ok().filter(|_| name.len() < 7)
        }) {
            let hosts = if path.contains("{domain}") { &["c.example", "b.example"][..] } else { &["-"] };
            let codes = if path.contains("{code}") { &CODES[..] } else { &["-"] };
            let ids = ["0000000000000000".to_owned(), two.other.id(), two.admin.id()];
            let ids = if path.contains("{key}") { &ids[..] } else { &ids[..1] };
            let mut first = None;
            for host in hosts {
                for (code, id) in codes.iter().flat_map(|code| ids.iter().map(move |id| (code, id))) {
                    let url = path.replace("{domain}", host).replace("{code}", code).replace("{key}", id);
                    let body = body(&method, path, code, &two.revision);
                    let reply = rest(&two.world, &format!("{method} {url}"), Some(&two.bound), body).await;
                    let text = reply
                        .body
                        .to_string()
                        .replace(host, "HOST")
                        .replace(code, "CODE")
                        .replace(&**id, "KEY");
                    let told = CallReply { code: Code::Ok, text: format!("{} {text}", reply.status) };
                    two.assert_nothing_told(&told, &format!("{method} {url}"));
                    probes += 1;
                    if path.contains('{') {
                        assert!(reply.status.is_client_error(), "{method} {url}: {reply:?}");
                        let first = first.get_or_insert_with(|| told.clone());
                        assert_eq!(*first, told, "{method} {url}");
                    }
                }
            }
        }
    }
    assert!(two.of_other().await == before, "something of the other domain changed");
    println!("{probes} probes");
    two.world.stop().await;
}

fn body(method: &Method, path: &str, code: &str, revision: &str) -> Value {
    let verb = path.rsplit_once(':').map_or("", |(_, verb)| verb);
    match (method.as_str(), verb) {
        ("GET" | "DELETE", _) => Value::Null,
        (_, "batchCreate") => json!({ "requests": [{ "target": "https://t.example/" }] }),
        (_, "batchUpdate") => json!({ "requests": [{ "code": code, "title": "t" }] }),
        (_, "batchDelete") => json!({ "requests": [{ "code": code }] }),
        (_, "restore") => json!({ "revision": revision }),
        ("POST", "") if path.ends_with("links") => json!({ "target": "https://t.example/" }),
        ("PATCH", _) if path.contains("links") => json!({ "title": "t" }),
        ("PATCH", _) => json!({ "class": "strict" }),
        ("POST", "") if path == "/v1/keys" => json!({ "client": "x", "scopes": ["links:read"] }),
        _ => json!({}),
    }
}

/// The table, by a caller who may see everything: were it blind, it would be so here, too.
#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_bounds_can_fail() {
    let two = TwoDomains::new().await;
    let admin = way(&two.world, &two.admin).await;
    let mut told_of = Vec::new();
    for (call, fields) in calls().iter().filter(|(call, _)| !SHUT.contains(&call.as_str())) {
        for field in fields.iter().filter(|field| [NameKind::Link, NameKind::Target].contains(&field.names()))
        {
            let value = match field.names() {
                NameKind::Link => "domains/b.example/links/live001",
                _ => "https://b.example/live001",
            };
            let answer = told(&admin, call, field.with(&base(call), value)).await;
            if answer.text.contains("hidden.example") {
                told_of.push(format!("{call} {}", field.name));
            }
        }
    }
    for want in
        ["GetLink name", "UpdateLink name", "CreateLink target", "ListLinkHistory name", "ImportLinks target"]
    {
        assert!(told_of.iter().any(|told| told.ends_with(want)), "{want} is not among {told_of:?}");
    }
    two.world.stop().await;
}

/// A chain from before leads through the own domain into another one; and a new domain may be where others lead.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_of_a_domain_or_behind_a_link_of_ones_own_is_not_told() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let admin = put(&*store, Scopes::admin(), |_| ());
    let bound =
        put(&*store, Scopes::admin(), |row| row.domains = vec!["a.example".into(), "n.example".into()]);
    let world = locked(folder, store).await;
    let post = async |path: &str, key: &Secret, body: Value| {
        rest(&world, &format!("POST {path}"), Some(key), body).await
    };
    post("/v1/domains", &admin, json!({ "domain": "a.example" })).await;
    let to = |code: &str, target: &str| json!({ "code": code, "target": target });
    // They lead to hosts that become ours by a domain of others afterwards: only who sees all may force that, by name.
    for code in ["one", "two"] {
        let target = format!("https://n.example/{code}");
        assert_eq!(post("/v1/links", &admin, to(code, &target)).await.status, 201);
    }
    let refused = post("/v1/domains", &bound, json!({ "domain": "n.example" })).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let text = refused.body.to_string();
    assert!(
        text.contains("of other domains") && !text.contains("one") && !text.contains("domains/-"),
        "{text}"
    );
    let named = post("/v1/domains", &admin, json!({ "domain": "n.example" })).await.body.to_string();
    assert!(named.contains("domains/-/links/one"), "{named}");
    // The host go.example.com is of the default domain, by the settings.
    for code in ["one", "none"] {
        let target = format!("https://go.example.com/{code}");
        let links = "/v1/domains/a.example/links";
        let refused = post(&format!("{links}?flatten=true"), &bound, to("x", &target)).await.body.to_string();
        assert!(refused.contains("another domain") && !refused.contains("n.example"), "{refused}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_the_audit_says_nothing_of_what_is_left_out() {
    let two = TwoDomains::new().await;
    let audit = async |query: &str| {
        rest(&two.world, &format!("GET /v1/audit?{query}"), Some(&two.bound), Value::Null).await
    };
    for _ in 0..3 {
        let body = json!({ "client": "spare", "scopes": ["links:read"], "domains": ["b.example"] });
        rest(&two.world, "POST /v1/keys", Some(&two.other), body).await;
    }
    let page = audit("page_size=1").await.body;
    assert_eq!(page["entries"].as_array().unwrap().len(), 1, "{page}");
    assert_eq!(
        (&page["entries"][0]["name"], &page["next_page_token"]),
        (&json!("domains/a.example"), &json!(""))
    );
    let of_key = audit(&format!("page_size=1&name=keys/{}", two.other.id())).await;
    assert_eq!(of_key.body, json!({ "entries": [], "next_page_token": "" }));
    assert_eq!(audit("name=domains/b.example").await.status, 403);
    two.world.stop().await;
}

/// A request id belongs to who sent it: nobody else gets the answer, or learns that there was one.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_by_another_key_is_a_request_of_its_own() {
    let two = TwoDomains::new().await;
    let create = |parent: &str, code: &str| v1::CreateLinkRequest {
        parent: parent.into(),
        link_id: code.into(),
        link: Some(super::world::to("https://hidden.example/retried")),
        request_id: "r-1".into(),
        ..v1::CreateLinkRequest::default()
    };
    let mut other = LinksClient::new(two.other_way.clone());
    other.create_link(create("domains/b.example", "retried")).await.unwrap();
    other.create_link(create("domains/b.example", "retried")).await.unwrap();
    let mut bound = LinksClient::new(way(&two.world, &two.bound).await);
    let refused = bound.create_link(create("domains/b.example", "retried")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    let own = bound.create_link(create("domains/a.example", "retried")).await.unwrap().into_inner();
    assert_eq!(own.name, "domains/a.example/links/retried");
    two.world.stop().await;
}
