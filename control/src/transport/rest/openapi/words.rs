//! What the description of the API says that stands in no `.proto`: what a path is made of, headers, bodies that are no
//! message, and what each reason of a refusal means.

use crate::Fault;
use crate::fault::FaultNames;
use std::borrow::Cow;
use std::time::Duration;
use store::model::StoreFault;

/// What any call can be refused for.
const ANY: &[Fault] = &[
    Fault::Invalid { field: Cow::Borrowed(""), why: String::new() },
    Fault::Unauthenticated(""),
    Fault::Forbidden(String::new()),
    Fault::RateLimited(Duration::ZERO),
    Fault::Late,
    Fault::Internal,
    Fault::Unavailable(""),
    Fault::Store(StoreFault::Unavailable(String::new())),
    Fault::Store(StoreFault::Corrupt(String::new())),
];

/// What a call can be refused for by what it does.
const OWN: &[Fault] = &[
    Fault::NotFound(String::new()),
    Fault::DomainNotFound(String::new()),
    Fault::DomainInUse { name: String::new(), live: 0, until: None },
    Fault::TagNotFound { tag: String::new(), domain: String::new() },
    Fault::TagExists { tag: String::new(), domain: String::new() },
    Fault::KeyNotFound(String::new()),
    Fault::EdgeNotFound(String::new()),
    Fault::EdgeConnected(String::new()),
    Fault::EdgeUnreachable { edge: String::new(), why: "" },
    Fault::Exists(String::new()),
    Fault::CodeDeleted { name: String::new(), until: 0 },
    Fault::ExternalIdTaken { id: String::new(), name: String::new() },
    Fault::EdgeTooOld { edge: String::new(), lacks: String::new() },
    Fault::TargetBlocked { field: "", host: String::new() },
    Fault::TargetNotBlocked(String::new()),
    Fault::EtagMismatch,
    Fault::IdempotencyMismatch,
    Fault::NotJson,
    Fault::Encoded,
    Fault::TooLarge(""),
    Fault::Overloaded,
    Fault::Share { what: "", share: 0, whose: String::new(), last: true },
    Fault::Resync(String::new()),
    Fault::Store(StoreFault::Full),
];

/// A fault by the reason that a `.proto` says.
pub fn fault(reason: &str) -> Option<FaultNames> {
    OWN.iter().map(Fault::names).find(|names| names.reason == reason)
}

/// What any call can be refused for.
pub fn of_any_call() -> impl Iterator<Item = FaultNames> {
    ANY.iter().map(Fault::names)
}

/// Parts of a path: name, words, schema.
pub const IN_PATH: &[(&str, &str, &str)] = &[
    (
        "domain",
        "A host name in lower case; `-` is the default domain.",
        r#"{"type":"string","pattern":"^(-|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*)$","maxLength":253}"#,
    ),
    (
        "code",
        "A code; its `/` may stand as they are or as `%2F`, its `:` has to be `%3A`.",
        r#"{"type":"string","pattern":"^[^\\u0000- \"-&./;-?\\[-^`{-}\\u007f][^\\u0000- \"-&/;-?\\[-^`{-}\\u007f]*(/[^\\u0000- \"-&./;-?\\[-^`{-}\\u007f][^\\u0000- \"-&/;-?\\[-^`{-}\\u007f]*){0,7}$","maxLength":128}"#,
    ),
    ("edge", "The name of an edge.", r#"{"type":"string","minLength":1,"maxLength":255}"#),
    (
        "key",
        "The id of a key; to revoke the certificate of an edge, `edge:` and its name.",
        r#"{"type":"string","pattern":"^([0-9a-f]{16}|edge:[0-9A-Za-z._@-]{1,100})$"}"#,
    ),
    ("host", "A host name or an IP address.", r#"{"type":"string","minLength":1,"maxLength":255}"#),
];

/// Bodies that are no message of gRPC: of which calls, name and schema.
pub const BODIES: &[(&[&str], &str, &str)] = &[
    (
        &["RestoreLink"],
        "RestorePoint",
        r#"{"type":"object","description":"As of when: one of both.","additionalProperties":false,"minProperties":1,"maxProperties":1,"properties":{"time":{"type":"string","format":"date-time","description":"As the link was at this time."},"revision":{"type":"string","description":"As it was at this revision."}}}"#,
    ),
    (
        &["BatchCreateLinks"],
        "BatchLinks",
        r##"{"type":"object","description":"Links to create.","additionalProperties":false,"required":["requests"],"properties":{"requests":{"type":"array","minItems":1,"maxItems":1000,"items":{"type":"object","additionalProperties":false,"required":["link"],"properties":{"link":{"$ref":"#/components/schemas/Link"}}}}}}"##,
    ),
    (
        &["BatchUpdateLinks"],
        "BatchLinkUpdates",
        r##"{"type":"object","description":"Links to change: `code` says which.","additionalProperties":false,"required":["requests"],"properties":{"requests":{"type":"array","minItems":1,"maxItems":1000,"items":{"type":"object","additionalProperties":false,"required":["link"],"properties":{"link":{"allOf":[{"$ref":"#/components/schemas/LinkUpdate"}],"required":["code"]}}}}}}"##,
    ),
    (
        &["BatchDeleteLinks"],
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
