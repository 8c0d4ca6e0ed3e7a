//! One table of calls, made over gRPC, over REST and with the CLI: each must come to the same end.

use crate::stores::{Store, control};
use crate::support::{Connection, Dir, Linkr, beside_others, text};
use http::uri::PathAndQuery;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::{Value, json};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic_types::StatusExt;

/// A call in each of its three shapes.
struct CallShapes {
    /// Method and message.
    grpc: (&'static str, Value),
    /// Verb and path, headers, body.
    rest: (&'static str, &'static [(&'static str, &'static str)], Value),
    /// None where there are no words for it.
    cli: &'static [&'static str],
    /// What must come of it: `OK`, or the reason of its refusal.
    ends: &'static str,
}

const NONE: &[(&str, &str)] = &[];

fn table() -> Vec<CallShapes> {
    let name = |code: &str| format!("domains/-/links/{code}");
    let row = |grpc, rest, cli, ends| CallShapes { grpc, rest, cli, ends };
    vec![
        row(
            (
                "Links/CreateLink",
                json!({ "link_id": "a/b", "link": { "target": "https://a.example/", "tags": ["x", "y"], "title": "t" } }),
            ),
            (
                "POST /v1/links",
                NONE,
                json!({ "code": "a/b", "target": "https://a.example/", "tags": ["x", "y"], "title": "t" }),
            ),
            &[
                "link",
                "create",
                "https://a.example/",
                "--code",
                "a/b",
                "--tag",
                "x",
                "--tag",
                "y",
                "--title",
                "t",
            ],
            "OK",
        ),
        row(
            ("Links/CreateLink", json!({ "link_id": "a/b", "link": { "target": "https://b.example/" } })),
            ("POST /v1/links", NONE, json!({ "code": "a/b", "target": "https://b.example/" })),
            &["link", "create", "https://b.example/", "--code", "a/b"],
            "EXISTS",
        ),
        row(
            ("Links/CreateLink", json!({ "link_id": "bad", "link": { "target": "javascript:alert(1)" } })),
            ("POST /v1/links", NONE, json!({ "code": "bad", "target": "javascript:alert(1)" })),
            &["link", "create", "javascript:alert(1)", "--code", "bad"],
            "INVALID",
        ),
        row(
            (
                "Links/CreateLink",
                json!({ "link_id": "once", "request_id": "r-1", "link": { "target": "https://c.example/" } }),
            ),
            (
                "POST /v1/links",
                &[("Idempotency-Key", "r-1")],
                json!({ "code": "once", "target": "https://c.example/" }),
            ),
            &["link", "create", "https://c.example/", "--code", "once", "--request-id", "r-1"],
            "OK",
        ),
        row(
            (
                "Links/CreateLink",
                json!({ "link_id": "once", "request_id": "r-1", "link": { "target": "https://c.example/" } }),
            ),
            (
                "POST /v1/links",
                &[("Idempotency-Key", "r-1")],
                json!({ "code": "once", "target": "https://c.example/" }),
            ),
            &["link", "create", "https://c.example/", "--code", "once", "--request-id", "r-1"],
            "OK",
        ),
        row(
            (
                "Links/CreateLink",
                json!({ "link_id": "other", "request_id": "r-1", "link": { "target": "https://c.example/" } }),
            ),
            (
                "POST /v1/links",
                &[("Idempotency-Key", "r-1")],
                json!({ "code": "other", "target": "https://c.example/" }),
            ),
            &["link", "create", "https://c.example/", "--code", "other", "--request-id", "r-1"],
            "IDEMPOTENCY_MISMATCH",
        ),
        row(
            ("Links/GetLink", json!({ "name": name("a/b") })),
            ("GET /v1/links/a/b", NONE, Value::Null),
            &["link", "get", "a/b"],
            "OK",
        ),
        row(
            ("Links/GetLink", json!({ "name": name("none") })),
            ("GET /v1/links/none", NONE, Value::Null),
            &["link", "get", "none"],
            "NOT_FOUND",
        ),
        row(
            ("Links/GetLink", json!({ "name": "domains/other.example/links/a" })),
            ("GET /v1/domains/other.example/links/a", NONE, Value::Null),
            &["link", "get", "a", "--domain", "other.example"],
            "DOMAIN_NOT_FOUND",
        ),
        row(
            (
                "Links/UpdateLink",
                json!({
                    "link": {
                        "name": name("a/b"), "target": "https://d.example/", "status": 301, "max_age": 60,
                        "query": "QUERY_POLICY_APPEND", "class": "LINK_CLASS_STRICT",
                    },
                    "update_mask": "target,status,maxAge,query,class",
                }),
            ),
            (
                "PATCH /v1/links/a/b",
                NONE,
                json!({ "target": "https://d.example/", "status": 301, "max_age": 60, "query": "append", "class": "strict" }),
            ),
            &[
                "link",
                "update",
                "a/b",
                "--target",
                "https://d.example/",
                "--status",
                "301",
                "--max-age",
                "60",
                "--query",
                "append",
                "--class",
                "strict",
            ],
            "OK",
        ),
        row(
            (
                "Links/UpdateLink",
                json!({ "link": { "name": name("a/b"), "max_age": null }, "update_mask": "maxAge" }),
            ),
            ("PATCH /v1/links/a/b", NONE, json!({ "max_age": null })),
            &["link", "update", "a/b", "--clear", "max_age"],
            "INVALID",
        ),
        row(
            (
                "Links/UpdateLink",
                json!({ "link": { "name": name("a/b"), "title": "u", "etag": "\"1\"" }, "update_mask": "title" }),
            ),
            ("PATCH /v1/links/a/b", &[("If-Match", "\"1\"")], json!({ "title": "u" })),
            &["link", "update", "a/b", "--title", "u", "--etag", "1"],
            "ETAG_MISMATCH",
        ),
        row(
            ("Links/DeleteLink", json!({ "name": name("once") })),
            ("DELETE /v1/links/once", NONE, Value::Null),
            &["link", "delete", "once"],
            "OK",
        ),
        row(
            ("Links/CreateLink", json!({ "link_id": "once", "link": { "target": "https://e.example/" } })),
            ("POST /v1/links", NONE, json!({ "code": "once", "target": "https://e.example/" })),
            &["link", "create", "https://e.example/", "--code", "once"],
            "CODE_DELETED",
        ),
        row(
            ("Links/ListLinks", json!({ "show_deleted": true })),
            ("GET /v1/links?show_deleted=true", NONE, Value::Null),
            &["link", "list", "--show-deleted"],
            "OK",
        ),
        row(
            ("Links/ListLinks", json!({ "page_token": "x" })),
            ("GET /v1/links?page_token=x", NONE, Value::Null),
            &["link", "list", "--page-token", "x"],
            "INVALID",
        ),
        row(
            ("Links/UndeleteLink", json!({ "name": name("once") })),
            ("POST /v1/links/once:undelete", NONE, json!({})),
            &["link", "undelete", "once"],
            "OK",
        ),
        row(
            ("Links/UndeleteLink", json!({ "name": name("once") })),
            ("POST /v1/links/once:undelete", NONE, json!({})),
            &["link", "undelete", "once"],
            "EXISTS",
        ),
        row(
            ("Links/ListLinkHistory", json!({ "name": name("once") })),
            ("GET /v1/links/once:history", NONE, Value::Null),
            &["link", "history", "once"],
            "OK",
        ),
        row(
            ("Links/RestoreLink", json!({ "name": name("once"), "revision": "1-00000000-1" })),
            ("POST /v1/links/once:restore", NONE, json!({ "revision": "1-00000000-1" })),
            &["link", "restore", "once", "--revision", "1-00000000-1"],
            "INVALID",
        ),
        row(
            (
                "Links/ListLinks",
                json!({ "filter": "tags:\"x\" AND code = \"a*\"", "order_by": "update_time desc" }),
            ),
            (
                "GET /v1/links?filter=tags:%22x%22%20AND%20code%20=%20%22a*%22&order_by=update_time%20desc",
                NONE,
                Value::Null,
            ),
            &["link", "list", "--filter", "tags:\"x\" AND code = \"a*\"", "--order-by", "update_time desc"],
            "OK",
        ),
        row(
            ("Links/ListLinks", json!({ "filter": "colour = red" })),
            ("GET /v1/links?filter=colour%20=%20red", NONE, Value::Null),
            &["link", "list", "--filter", "colour = red"],
            "INVALID",
        ),
        row(
            ("Links/CountLinks", json!({ "filter": "code = \"a*\"", "show_deleted": true })),
            ("GET /v1/links:count?filter=code%20=%20%22a*%22&show_deleted=true", NONE, Value::Null),
            &["link", "count", "--filter", "code = \"a*\"", "--show-deleted"],
            "OK",
        ),
        row(
            ("Links/ListTags", json!({ "page_size": 1_000, "prefix": "x" })),
            ("GET /v1/tags?prefix=x", NONE, Value::Null),
            &["tag", "list", "--prefix", "x"],
            "OK",
        ),
        row(
            ("Links/RenameTag", json!({ "tag": "nobody's", "new_tag": "x" })),
            ("POST /v1/tags:rename", NONE, json!({ "tag": "nobody's", "new_tag": "x" })),
            &["tag", "rename", "nobody's", "x"],
            "TAG_NOT_FOUND",
        ),
        row(
            ("Links/CheckCode", json!({ "name": name("a/b") })),
            ("GET /v1/codes/a/b", NONE, Value::Null),
            &["link", "check", "a/b"],
            "OK",
        ),
        row(
            ("Domains/CreateDomain", json!({ "domain_id": "go.example", "domain": { "fold_case": true } })),
            ("POST /v1/domains", NONE, json!({ "domain": "go.example", "fold_case": true })),
            &["domain", "create", "go.example", "--fold-case"],
            "OK",
        ),
        row(
            ("Domains/CreateDomain", json!({ "domain_id": "go.example" })),
            ("POST /v1/domains", NONE, json!({ "domain": "go.example" })),
            &["domain", "create", "go.example"],
            "EXISTS",
        ),
        row(
            (
                "Links/CreateLink",
                json!({ "parent": "domains/go.example", "link_id": "AbC", "link": { "target": "https://f.example/" } }),
            ),
            (
                "POST /v1/domains/go.example/links",
                NONE,
                json!({ "code": "AbC", "target": "https://f.example/" }),
            ),
            &["link", "create", "https://f.example/", "--code", "AbC", "--domain", "go.example"],
            "OK",
        ),
        row(
            (
                "Links/CreateLink",
                json!({ "link_id": "chain", "link": { "target": "https://go.example/abc" } }),
            ),
            ("POST /v1/links", NONE, json!({ "code": "chain", "target": "https://go.example/abc" })),
            &["link", "create", "https://go.example/abc", "--code", "chain"],
            "INVALID",
        ),
        row(
            (
                "Links/CreateLink",
                json!({ "link_id": "chain", "flatten": true, "link": { "target": "https://go.example/abc" } }),
            ),
            (
                "POST /v1/links?flatten=true",
                NONE,
                json!({ "code": "chain", "target": "https://go.example/abc" }),
            ),
            &["link", "create", "https://go.example/abc", "--code", "chain", "--flatten"],
            "OK",
        ),
        row(
            ("Domains/GetDomain", json!({ "name": "domains/none.example" })),
            ("GET /v1/domains/none.example", NONE, Value::Null),
            &["domain", "get", "none.example"],
            "DOMAIN_NOT_FOUND",
        ),
        row(
            (
                "Domains/UpdateDomain",
                json!({ "domain": { "name": "domains/-", "strict_hosts": true }, "update_mask": "strictHosts" }),
            ),
            ("PATCH /v1/domains/-", NONE, json!({ "strict_hosts": true })),
            &["domain", "update", "-", "--strict-hosts"],
            "OK",
        ),
        row(
            ("Domains/DeleteDomain", json!({ "name": "domains/none.example" })),
            ("DELETE /v1/domains/none.example", NONE, Value::Null),
            &["domain", "delete", "none.example"],
            "DOMAIN_NOT_FOUND",
        ),
        row(
            ("Domains/ListDomains", json!({})),
            ("GET /v1/domains", NONE, Value::Null),
            &["domain", "list"],
            "OK",
        ),
        row(
            (
                "Links/CreateLink",
                json!({ "link_id": "crm", "link": { "target": "https://g.example/", "external_id": "CRM 17" } }),
            ),
            (
                "POST /v1/links",
                NONE,
                json!({ "code": "crm", "target": "https://g.example/", "external_id": "CRM 17" }),
            ),
            &["link", "create", "https://g.example/", "--code", "crm", "--external-id", "CRM 17"],
            "OK",
        ),
        row(
            (
                "Links/UpdateLink",
                json!({ "link": { "name": name("a/b"), "external_id": "CRM 17" }, "update_mask": "externalId" }),
            ),
            ("PATCH /v1/links/a/b", NONE, json!({ "external_id": "CRM 17" })),
            &["link", "update", "a/b", "--external-id", "CRM 17"],
            "EXTERNAL_ID_TAKEN",
        ),
        row(
            ("Links/ListLinks", json!({ "filter": "external_id = \"CRM 17\"" })),
            ("GET /v1/links?filter=external_id%20=%20%22CRM%2017%22", NONE, Value::Null),
            &["link", "list", "--filter", "external_id = \"CRM 17\""],
            "OK",
        ),
        row(
            ("Links/UpdateLink", json!({ "link": { "name": name("crm") }, "update_mask": "externalId" })),
            ("PATCH /v1/links/crm", NONE, json!({ "external_id": null })),
            &["link", "update", "crm", "--clear", "external_id"],
            "OK",
        ),
        row(
            (
                "Links/UpdateLink",
                json!({ "link": { "name": name("a/b"), "external_id": "CRM 17" }, "update_mask": "externalId" }),
            ),
            ("PATCH /v1/links/a/b", NONE, json!({ "external_id": "CRM 17" })),
            &["link", "update", "a/b", "--external-id", "CRM 17"],
            "OK",
        ),
        // Batches have no words of the CLI.
        row(
            (
                "Links/BatchCreateLinks",
                json!({ "requests": [
                    { "link_id": "b1", "link": { "target": "https://b.example/1" } },
                    { "link_id": "a/b", "link": { "target": "https://b.example/2" } },
                ] }),
            ),
            (
                "POST /v1/links:batchCreate",
                NONE,
                json!({ "requests": [
                    { "link": { "code": "b1", "target": "https://b.example/1" } },
                    { "link": { "code": "a/b", "target": "https://b.example/2" } },
                ] }),
            ),
            &[],
            "EXISTS",
        ),
        row(
            (
                "Links/BatchDeleteLinks",
                json!({ "requests": [{ "name": name("a/b") }, { "name": name("chain") }] }),
            ),
            (
                "POST /v1/links:batchDelete",
                NONE,
                json!({ "requests": [{ "code": "a/b" }, { "code": "chain" }] }),
            ),
            &[],
            "OK",
        ),
    ]
}

/// What came of a call: its answer without what differs between two runs, or the reason of its refusal.
type CallResult = Result<Value, String>;

#[test]
fn the_same_calls_come_to_the_same_end_on_sqlite() {
    let _turn = beside_others();
    let dirs = [Dir::new(), Dir::new(), Dir::new()];
    compare(&dirs.each_ref().map(|dir| (Linkr::up(dir), dir)));
}

#[test]
fn the_same_calls_come_to_the_same_end_on_postgres() {
    let _turn = beside_others();
    let Some(store) = Store::postgres("same") else { return };
    let dirs = [Dir::new(), Dir::new(), Dir::new()];
    let controls = dirs.iter().zip(["one", "two", "three"]);
    let controls: Vec<_> = controls.map(|(dir, name)| (control(dir, &store.empty(name)), dir)).collect();
    let Ok(controls) = <[_; 3]>::try_from(controls) else { unreachable!() };
    compare(&controls);
}

fn compare(servers: &[(Linkr, &Dir); 3]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let grpc = Grpc::to(&servers[0].0, &runtime);
    for row in table() {
        let what = row.grpc.0;
        let over_grpc = runtime.block_on(grpc.call(row.grpc.0, &row.grpc.1));
        let over_rest = rest(&servers[1].0, row.rest.0, row.rest.1, &row.rest.2);
        let end = over_grpc.as_ref().map_or_else(String::as_str, |_| "OK");
        assert_eq!(end, row.ends, "{what} {}: {over_grpc:?}", row.grpc.1);
        assert_eq!(over_grpc, over_rest, "gRPC and REST: {what} {}", row.rest.0);
        if !row.cli.is_empty() {
            let with_cli = cli(&servers[2].0, servers[2].1, row.cli);
            assert_eq!(over_grpc, with_cli, "gRPC and CLI: {what} {:?}", row.cli);
        }
    }
}

/// Times and revisions differ between any two runs; what is empty may be left out or not.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| {
                !value.is_null() && *value != json!("") && *value != json!([]) && *value != json!(false)
            })
            .map(|(name, value)| match name.as_str() {
                "create_time" | "update_time" | "delete_time" | "time" | "revision" | "request_id"
                | "suggestions" => (name, json!("there")),
                _ => (name, plain(value)),
            })
            .collect(),
        Value::Array(values) => values.into_iter().map(plain).collect(),
        // As REST writes them: in lower case, without the enum's name.
        Value::String(text) => {
            let bare = ["QUERY_POLICY_", "LINK_CLASS_", "STATUS_", "CODE_STATE_", "DOMAIN_STATS_"]
                .iter()
                .find_map(|prefix| text.strip_prefix(prefix));
            bare.map_or_else(|| json!(text), |bare| json!(bare.to_lowercase()))
        }
        other => other,
    }
}

fn rest(server: &Linkr, line: &str, fields: &[(&str, &str)], body: &Value) -> CallResult {
    let (verb, path) = line.split_once(' ').unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = Connection::to(server.api()).call_with(verb, path, fields, &body).unwrap().unwrap();
    let value: Value =
        serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{line}: {e}: {answer:?}"));
    match answer.status {
        200 | 201 => Ok(plain(value)),
        _ => Err(value["reason"].as_str().unwrap().to_owned()),
    }
}

fn cli(server: &Linkr, dir: &Dir, words: &[&str]) -> CallResult {
    let done = server.run(dir, &[words, &["-o", "json"]].concat());
    if done.status.success() {
        return Ok(plain(serde_json::from_slice(&done.stdout).unwrap()));
    }
    let said = text(&done.stderr);
    let notes = said.trim_end().trim_end_matches(')').rsplit('(').next().unwrap_or_default().to_owned();
    Err(notes.rsplit(", ").next().unwrap_or_default().to_owned())
}

/// A client that knows nothing but the descriptors.
struct Grpc {
    channel: Channel,
    pool: DescriptorPool,
}

impl Grpc {
    fn to(server: &Linkr, runtime: &tokio::runtime::Runtime) -> Self {
        let endpoint = Channel::from_shared(format!("http://{}", server.api())).unwrap();
        let channel = runtime.block_on(endpoint.connect()).unwrap();
        Self { channel, pool: DescriptorPool::decode(proto::v1::DESCRIPTORS).unwrap() }
    }

    async fn call(&self, method: &str, message: &Value) -> CallResult {
        let (service, method) = method.split_once('/').unwrap();
        let known = self.pool.get_service_by_name(&format!("linkr.v1.{service}")).unwrap();
        let known = known.methods().find(|known| known.name() == method).unwrap();
        let request = DynamicMessage::deserialize(known.input(), message).unwrap();
        let path = PathAndQuery::try_from(format!("/linkr.v1.{service}/{method}")).unwrap();
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.unwrap();
        match client.unary(tonic::Request::new(request), path, DynamicCodec(known.output())).await {
            Ok(answer) => {
                let options =
                    SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
                let value = answer.get_ref().serialize_with_options(serde_json::value::Serializer, &options);
                Ok(plain(value.unwrap()))
            }
            Err(status) => {
                let info = status.get_details_error_info();
                Err(info.map_or_else(|| status.to_string(), |info| info.reason))
            }
        }
    }
}

struct DynamicCodec(MessageDescriptor);

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(self.0.clone())
    }

    fn decoder(&mut self) -> Self {
        Self(self.0.clone())
    }
}

impl Encoder for DynamicCodec {
    type Item = DynamicMessage;
    type Error = tonic::Status;

    fn encode(&mut self, item: DynamicMessage, out: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        item.encode(out).map_err(|e| tonic::Status::internal(e.to_string()))
    }
}

impl Decoder for DynamicCodec {
    type Item = DynamicMessage;
    type Error = tonic::Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, tonic::Status> {
        let decoded = DynamicMessage::decode(self.0.clone(), from);
        decoded.map(Some).map_err(|e| tonic::Status::internal(e.to_string()))
    }
}
