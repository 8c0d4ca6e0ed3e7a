//! The table of routes: what each one is called, takes and answers. Their handlers are in `rest`.

use crate::Fault;
use crate::port::StoreFault;
use std::borrow::Cow;
use std::time::Duration;

/// One call of REST.
pub struct Route {
    /// In lower case.
    pub verb: &'static str,
    /// With `{domain}` there is a short form for the default one too.
    pub path: &'static str,
    /// `Service.Method` of `linkr.v1`.
    pub call: &'static str,
    /// Query parameters: fields of the call's message.
    pub query: &'static [&'static str],
    /// Headers, of [`HEADERS`].
    pub headers: &'static [&'static str],
    /// The message that the body is; empty: an object without members, or none.
    pub body: Option<&'static str>,
    /// Of good answers.
    pub statuses: &'static [u16],
    /// Their content type.
    pub kind: &'static str,
    /// What a key needs; `None`: no key is asked for.
    pub scope: Option<&'static str>,
    /// How it can be refused, besides [`ANY`].
    pub faults: &'static [Fault],
}

impl Route {
    /// Its path, and the short one.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        let rest = self.path.strip_prefix("/v1/domains/{domain}/");
        [Some(self.path.to_owned()), rest.map(|rest| format!("/v1/{rest}"))].into_iter().flatten()
    }
}

const READ: Route = Route {
    verb: "get",
    path: "",
    call: "",
    query: &[],
    headers: &[],
    body: None,
    statuses: &[200],
    kind: "application/json",
    scope: Some("links:read"),
    faults: &[],
};

const WRITE: Route =
    Route { verb: "post", scope: Some("links:write"), headers: &["Idempotency-Key"], ..READ };
const KEYS: Route = Route { scope: Some("keys:admin"), ..READ };
const WRITE_QUERY: &[&str] = &["validate_only", "ack"];

const NO_LINK: Fault = Fault::NotFound(String::new());
const NO_KEY: Fault = Fault::KeyNotFound(String::new());
const NO_EDGE: Fault = Fault::EdgeNotFound(String::new());
const NO_DOMAIN: Fault = Fault::DomainNotFound(String::new());
const TAKEN: Fault = Fault::Exists(String::new());
const DELETED: Fault = Fault::CodeDeleted { name: String::new(), until: 0 };
const FULL: Fault = Fault::Store(StoreFault::Full);
const RESYNC: Fault = Fault::Resync(String::new());
const BUSY: Fault = Fault::Overloaded;
const SHARE: Fault = Fault::Share { what: "", share: 0, whose: String::new(), last: true };
const PAGE: &[Fault] = &[BUSY, SHARE];

/// What any call can be refused for.
pub const ANY: &[Fault] = &[
    Fault::Invalid { field: Cow::Borrowed(""), why: String::new() },
    Fault::Unauthenticated(""),
    Fault::Forbidden(String::new()),
    Fault::RateLimited(Duration::ZERO),
    Fault::Late,
    Fault::Internal,
    Fault::Store(StoreFault::Unavailable(String::new())),
    Fault::Store(StoreFault::Corrupt(String::new())),
];

const CHANGE: &[Fault] = &[
    NO_LINK,
    NO_DOMAIN,
    Fault::EtagMismatch,
    Fault::IdempotencyMismatch,
    Fault::NotJson,
    Fault::TooLarge(""),
    BUSY,
    FULL,
];

const RETURN: &[Fault] = &[
    NO_LINK,
    NO_DOMAIN,
    TAKEN,
    Fault::EtagMismatch,
    Fault::IdempotencyMismatch,
    Fault::NotJson,
    Fault::TooLarge(""),
    BUSY,
    FULL,
];

const BATCH: &[Fault] = &[
    NO_LINK,
    NO_DOMAIN,
    TAKEN,
    DELETED,
    Fault::EtagMismatch,
    Fault::IdempotencyMismatch,
    Fault::NotJson,
    Fault::TooLarge(""),
    BUSY,
    SHARE,
    FULL,
];

/// Every route.
pub static ROUTES: &[Route] = &[
    Route {
        path: "/v1/domains/{domain}/links",
        call: "Links.ListLinks",
        query: &["page_size", "page_token", "show_deleted", "filter", "order_by"],
        faults: &[NO_DOMAIN, BUSY, SHARE],
        ..READ
    },
    Route {
        path: "/v1/domains/{domain}/links",
        call: "Links.CreateLink",
        query: &["validate_only", "ack", "code_prefix", "code_length", "code_alphabet", "flatten"],
        body: Some("Link"),
        statuses: &[200, 201],
        faults: &[
            NO_DOMAIN,
            TAKEN,
            DELETED,
            Fault::IdempotencyMismatch,
            Fault::NotJson,
            Fault::TooLarge(""),
            BUSY,
            FULL,
        ],
        ..WRITE
    },
    Route {
        path: "/v1/domains/{domain}/links:watch",
        call: "Links.WatchLinks",
        query: &["revision"],
        kind: "application/jsonl",
        faults: &[NO_DOMAIN, RESYNC, BUSY, SHARE],
        ..READ
    },
    Route {
        path: "/v1/domains/{domain}/links/{code}",
        call: "Links.GetLink",
        faults: &[NO_LINK, NO_DOMAIN],
        ..READ
    },
    Route {
        verb: "patch",
        path: "/v1/domains/{domain}/links/{code}",
        call: "Links.UpdateLink",
        query: &["validate_only", "ack", "flatten"],
        headers: &["Idempotency-Key", "If-Match"],
        body: Some("Link"),
        faults: CHANGE,
        ..WRITE
    },
    Route {
        verb: "delete",
        path: "/v1/domains/{domain}/links/{code}",
        call: "Links.DeleteLink",
        query: WRITE_QUERY,
        headers: &["Idempotency-Key", "If-Match"],
        faults: CHANGE,
        ..WRITE
    },
    Route {
        path: "/v1/domains/{domain}/links/{code}:history",
        call: "Links.ListLinkHistory",
        query: &["page_size", "page_token"],
        faults: &[NO_LINK, NO_DOMAIN, BUSY, SHARE],
        ..READ
    },
    Route {
        path: "/v1/domains/{domain}/links/{code}:undelete",
        call: "Links.UndeleteLink",
        query: WRITE_QUERY,
        headers: &["Idempotency-Key", "If-Match"],
        body: Some(""),
        faults: RETURN,
        ..WRITE
    },
    Route {
        path: "/v1/domains/{domain}/links/{code}:restore",
        call: "Links.RestoreLink",
        query: WRITE_QUERY,
        headers: &["Idempotency-Key", "If-Match"],
        body: Some("RestorePoint"),
        faults: RETURN,
        ..WRITE
    },
    Route {
        path: "/v1/domains/{domain}/links:batchCreate",
        call: "Links.BatchCreateLinks",
        query: WRITE_QUERY,
        body: Some("BatchLinks"),
        faults: BATCH,
        ..WRITE
    },
    Route {
        path: "/v1/domains/{domain}/links:batchUpdate",
        call: "Links.BatchUpdateLinks",
        query: WRITE_QUERY,
        body: Some("BatchLinks"),
        faults: BATCH,
        ..WRITE
    },
    Route {
        path: "/v1/domains/{domain}/links:batchDelete",
        call: "Links.BatchDeleteLinks",
        query: WRITE_QUERY,
        body: Some("BatchDeletions"),
        faults: BATCH,
        ..WRITE
    },
    Route {
        path: "/v1/domains/{domain}/codes/{code}",
        call: "Links.CheckCode",
        faults: &[NO_DOMAIN],
        ..READ
    },
    Route {
        path: "/v1/domains",
        call: "Domains.ListDomains",
        query: &["page_size", "page_token"],
        faults: PAGE,
        ..READ
    },
    Route {
        path: "/v1/domains",
        call: "Domains.CreateDomain",
        query: WRITE_QUERY,
        body: Some("Domain"),
        statuses: &[200, 201],
        scope: Some("domains:admin"),
        faults: &[TAKEN, Fault::IdempotencyMismatch, Fault::NotJson, Fault::TooLarge(""), BUSY, FULL],
        ..WRITE
    },
    Route { path: "/v1/domains/{domain}", call: "Domains.GetDomain", faults: &[NO_DOMAIN], ..READ },
    Route {
        verb: "patch",
        path: "/v1/domains/{domain}",
        call: "Domains.UpdateDomain",
        query: WRITE_QUERY,
        headers: &["Idempotency-Key", "If-Match"],
        body: Some("Domain"),
        scope: Some("domains:admin"),
        faults: CHANGE,
        ..WRITE
    },
    Route { path: "/v1/edges", call: "Edges.ListEdges", faults: PAGE, ..READ },
    Route {
        verb: "delete",
        path: "/v1/edges/{edge}",
        call: "Edges.ForgetEdge",
        faults: &[NO_EDGE, Fault::EdgeConnected(String::new())],
        ..KEYS
    },
    Route { path: "/v1/keys", call: "Keys.ListKeys", query: &["show_revoked"], faults: PAGE, ..KEYS },
    Route {
        verb: "post",
        path: "/v1/keys",
        call: "Keys.CreateKey",
        body: Some("Key"),
        statuses: &[201],
        faults: &[Fault::NotJson, Fault::TooLarge(""), FULL],
        ..KEYS
    },
    Route {
        verb: "post",
        path: "/v1/keys/{key}:rotate",
        call: "Keys.RotateKey",
        body: Some("RotateKeyRequest"),
        statuses: &[201],
        faults: &[NO_KEY, Fault::NotJson, Fault::TooLarge(""), FULL],
        ..KEYS
    },
    Route { verb: "delete", path: "/v1/keys/{key}", call: "Keys.RevokeKey", faults: &[NO_KEY, FULL], ..KEYS },
    Route {
        path: "/v1/audit",
        call: "Keys.ListAudit",
        query: &["name", "page_size", "page_token"],
        faults: PAGE,
        ..KEYS
    },
];

/// Parts of a path: name, words, schema.
pub const IN_PATH: &[(&str, &str, &str)] = &[
    (
        "domain",
        "A host name in lower case; `-` is the default domain.",
        r#"{"type":"string","pattern":"^(-|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*)$","maxLength":253}"#,
    ),
    (
        "code",
        "A code; its `/` may stand as they are or as `%2F`.",
        r#"{"type":"string","pattern":"^[0-9A-Za-z_~-][0-9A-Za-z._~-]*(/[0-9A-Za-z_~-][0-9A-Za-z._~-]*){0,7}$","maxLength":128}"#,
    ),
    ("edge", "The name of an edge.", r#"{"type":"string","minLength":1,"maxLength":255}"#),
    (
        "key",
        "The id of a key; to revoke the certificate of an edge, `edge:` and its name.",
        r#"{"type":"string","pattern":"^([0-9a-f]{16}|edge:[0-9A-Za-z._@-]{1,100})$"}"#,
    ),
];

/// Bodies that are no message of gRPC: name and schema.
pub const BODIES: &[(&str, &str)] = &[
    (
        "RestorePoint",
        r#"{"type":"object","description":"As of when: one of both.","additionalProperties":false,"minProperties":1,"maxProperties":1,"properties":{"time":{"type":"string","format":"date-time","description":"As the link was at this time."},"revision":{"type":"string","description":"As it was at this revision."}}}"#,
    ),
    (
        "BatchLinks",
        r##"{"type":"object","description":"Links to create or change.","additionalProperties":false,"required":["requests"],"properties":{"requests":{"type":"array","minItems":1,"maxItems":1000,"items":{"type":"object","additionalProperties":false,"required":["link"],"properties":{"link":{"$ref":"#/components/schemas/Link"}}}}}}"##,
    ),
    (
        "BatchDeletions",
        r#"{"type":"object","description":"Links to delete.","additionalProperties":false,"required":["requests"],"properties":{"requests":{"type":"array","minItems":1,"maxItems":1000,"items":{"type":"object","additionalProperties":false,"required":["code"],"properties":{"code":{"type":"string"},"etag":{"type":"string","description":"Only if it still matches."}}}}}}"#,
    ),
];

/// Headers: name, words, pattern.
pub const HEADERS: &[(&str, &str, &str)] = &[
    (
        "Idempotency-Key",
        "Makes a retry safe: the same key with the same request answers as the first time, for 48 hours.",
        "^[ -~]{1,128}$",
    ),
    ("If-Match", "The etag: only if the link is still at that version. `*`: at any.", "^(\\*|\"[0-9]+\")$"),
];

/// What the rules of a field allow, where the `.proto` says it in words only: message, field, members of its schema.
pub const NARROWER: &[(&str, &str, &str)] = &[
    (
        "Link",
        "code",
        r#"{"readOnly":false,"description":"The code. To create a link: the one wanted; without it one is drawn."}"#,
    ),
    (
        "Domain",
        "domain",
        r#"{"readOnly":false,"description":"The host in lower case, without a port; `-` is the default domain. To create a domain: the host wanted."}"#,
    ),
    ("Domain", "not_found", r#"{"maxLength":1024}"#),
    ("Key", "client", r#"{"pattern":"^(edge:)?[0-9A-Za-z._@-]+$","minLength":1,"maxLength":105}"#),
    ("Key", "edge", r#"{"pattern":"^[0-9A-Za-z._@-]+$","maxLength":100}"#),
    (
        "Key",
        "scopes",
        r#"{"minItems":1,"items":{"type":"string","enum":["links:read","links:write","domains:admin","keys:admin","feed"]}}"#,
    ),
    ("RotateKeyRequest", "name", r#"{"readOnly":true}"#),
    ("Link", "target", r#"{"pattern":"^https?://","maxLength":8192}"#),
    ("Link", "status", r#"{"enum":[301,302,303,307,308]}"#),
    ("Link", "max_age", r#"{"maximum":31536000}"#),
    ("Link", "title", r#"{"maxLength":512}"#),
    ("Link", "note", r#"{"maxLength":4096}"#),
    ("Link", "tags", r#"{"maxItems":32,"items":{"type":"string","minLength":1,"maxLength":64}}"#),
];
