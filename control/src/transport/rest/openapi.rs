//! What the REST half can be asked, as OpenAPI 3.1, made from the calls, options and words of the `.proto` files.
//! Nothing is answered here but the description itself.

mod examples;
mod page;
mod schema;
mod words;

use crate::fault::FaultNames;
use crate::routes::{self, FieldSource, Route};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use proto::described::{Form, Shape, shape};
use schema::{Descriptions, short};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

static DOCUMENT: LazyLock<(String, String)> = LazyLock::new(|| {
    let value = document();
    let text = serde_json::to_string_pretty(&value).unwrap_or_default();
    (text + "\n", page::of(&value))
});

/// The description, as JSON.
pub fn text() -> &'static str {
    &DOCUMENT.0
}

/// `GET /openapi.json`.
pub async fn served() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text()).into_response()
}

/// `GET /docs`.
pub async fn docs() -> Response {
    // Its script asks this API and nobody else, and no other page may frame it: whoever sends a call sees which.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'; \
                  form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, DOCUMENT.1.as_str()).into_response()
}

/// `GET /docs.js`: what sends a call from the page.
pub async fn script() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, include_str!("openapi/docs.js")).into_response()
}

fn document() -> Value {
    let described = Descriptions::new();
    let mut paths = Map::new();
    for route in routes::all() {
        for path in route.shown() {
            let item = paths.entry(path.clone()).or_insert_with(|| json!({}));
            item[route.http.method.to_ascii_lowercase()] = operation(&described, route, &path);
        }
    }
    let ends =
        routes::all().iter().flat_map(|route| [whole_body(route), Some(route.call.output.full_name())]);
    let asked = schema::carried(routes::all().iter().filter_map(whole_body));
    let mut schemas = described.schemas(ends.flatten(), &asked);
    for route in routes::all() {
        if let Some(shape) = changed(route) {
            schemas.insert(format!("{}Update", shape.message.name()), described.change(shape));
        }
    }
    for route in routes::all().iter().filter(|route| route.http.body == "*") {
        // What the path says may come back in the body.
        if let (Some(name), Some(field)) = (whole_body(route), route.named())
            && let Some(schema) = schemas.get_mut(short(name))
        {
            schema["properties"][field]["readOnly"] = true.into();
        }
    }
    for (_, name, schema) in words::BODIES {
        schemas.insert((*name).to_owned(), serde_json::from_str(schema).unwrap_or_default());
    }
    schemas.insert("Problem".into(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "linkr",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Links that redirect. The same calls as `linkr.v1` over gRPC on the same port.",
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "key": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": { "type": "http", "scheme": "bearer", "description": "A key of linkr: `lk_…`." },
            },
        },
    })
}

/// The message that the body is; `None`: it is none of gRPC, or there is no body.
fn whole_body(route: &Route) -> Option<&str> {
    let of_words = words::BODIES.iter().any(|(calls, ..)| calls.contains(&&*route.call.name));
    match route.resource() {
        Some(resource) => match &resource.form {
            Form::Message(name) => Some(name),
            _ => None,
        },
        None if of_words || route.from(FieldSource::Body).is_empty() || route.http.body.is_empty() => None,
        None => Some(route.call.input.full_name()),
    }
}

/// The resource that a body changes.
fn changed(route: &Route) -> Option<&'static Shape> {
    whole_body(route).filter(|_| route.http.method == "PATCH").and_then(shape)
}

/// The schema of a body; empty: an object without members, or none.
fn body_of(route: &Route) -> String {
    let of_words = words::BODIES.iter().find(|(calls, ..)| calls.contains(&&*route.call.name));
    match (of_words, changed(route)) {
        (Some((_, name, _)), _) => (*name).to_owned(),
        (None, Some(shape)) => format!("{}Update", shape.message.name()),
        (None, None) => whole_body(route).map_or("", short).to_owned(),
    }
}

/// Whether there is no request without a body.
fn needs_body(route: &Route) -> bool {
    let of_words = words::BODIES.iter().any(|(calls, ..)| calls.contains(&&*route.call.name));
    of_words || route.resource().is_some()
}

fn operation(described: &Descriptions, route: &Route, path: &str) -> Value {
    let call = route.call;
    let words = described.words(&format!("linkr.v1.{}.{}", call.service, call.name));
    let short_form = !path.contains("{domain}") && route.shown().len() > 1;
    let id = format!("{}{}", call.name, if short_form { "InDefaultDomain" } else { "" });
    let mut value = json!({
        "operationId": id,
        "tags": [call.service],
        "summary": words.split_once(". ").map_or(words, |(first, _)| first).trim_end_matches('.'),
        "description": format!("{words} Needs a key with `{}`.", call.rule.scope),
        "parameters": parameters(described, route, path),
        "responses": responses(route, short(call.output.full_name())),
    });
    if !route.http.body.is_empty() {
        let body = body_of(route);
        let schema = if body.is_empty() {
            json!({ "type": "object", "maxProperties": 0 })
        } else {
            json!({ "$ref": format!("#/components/schemas/{body}") })
        };
        let content = json!({ "schema": schema, "example": examples::body(route) });
        value["requestBody"] =
            json!({ "required": needs_body(route), "content": { "application/json": content } });
    }
    value
}

fn parameters(described: &Descriptions, route: &Route, path: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for (name, words, schema) in words::IN_PATH {
        if path.contains(&format!("{{{name}}}")) {
            let schema: Value = serde_json::from_str(schema).unwrap_or_default();
            all.push(json!({
                "name": name, "in": "path", "required": true, "description": words, "schema": schema,
                "example": examples::parameter(name),
            }));
        }
    }
    for member in route.from(FieldSource::Query) {
        let schema = described.of_field(member);
        let words = schema["description"].clone();
        let mut parameter =
            json!({ "name": member.name, "in": "query", "description": words, "schema": schema });
        if member.list {
            // One parameter, its elements with commas between them.
            parameter["style"] = "form".into();
            parameter["explode"] = false.into();
        }
        let example = examples::parameter(&member.name);
        if !example.is_null() {
            parameter["example"] = example;
        }
        all.push(parameter);
    }
    let taken = [route.input.member("request_id").is_some(), route.takes_etag()];
    for ((name, words, pattern), _) in words::HEADERS.iter().zip(taken).filter(|(_, taken)| *taken) {
        let schema = json!({ "type": "string", "pattern": pattern });
        all.push(json!({
            "name": name, "in": "header", "description": words, "schema": schema,
            "example": examples::parameter(name),
        }));
    }
    all
}

fn responses(route: &Route, answer: &str) -> Map<String, Value> {
    let mut all = Map::new();
    let rule = &route.call.rule;
    let only_checks = route.input.member("validate_only").is_some();
    let statuses = [("200", !rule.creates || only_checks), ("201", rule.creates)];
    for (status, _) in statuses.into_iter().filter(|(_, there)| *there) {
        let kind = if route.call.gives_stream { "application/jsonl" } else { "application/json" };
        // Of an export each line is one click.
        let is_export = route.call.name == "ExportClicks";
        let answer = if is_export { "ClickEvent" } else { answer };
        let schema = json!({ "$ref": format!("#/components/schemas/{answer}") });
        let mut example = examples::answer(route);
        if is_export {
            example = example["clicks"][0].take();
        }
        let mut content = json!({ kind: { "schema": schema, "example": example } });
        if route.call.name == "GetLinkQrCode" {
            content["image/svg+xml"] = json!({ "schema": { "type": "string" } });
        }
        if is_export {
            content["text/csv"] = json!({ "schema": { "type": "string" }, "example": super::csv::HEAD });
        }
        all.insert(status.to_owned(), json!({ "description": "Done.", "content": content }));
    }
    if let Some(created) = all.get_mut("201").filter(|_| answer == "Link") {
        created["headers"] = json!({
            "Location": { "description": "Where it is now.", "schema": { "type": "string" } },
        });
        created["links"] = follow_ups();
    }
    let own = rule.faults.iter().filter_map(|reason| words::fault(reason));
    let mut refused: Vec<FaultNames> = own.chain(words::of_any_call()).collect();
    refused.sort_by_key(|names| (names.http.as_u16(), names.reason));
    refused.dedup_by_key(|names| names.reason);
    for names in refused {
        let entry = all.entry(names.http.as_u16().to_string()).or_insert_with(|| {
            let schema = json!({ "$ref": "#/components/schemas/Problem" });
            json!({ "description": "", "content": { "application/problem+json": { "schema": schema } } })
        });
        let before = entry["description"].as_str().unwrap_or_default();
        let between = if before.is_empty() { "" } else { "; " };
        entry["description"] = format!("{before}{between}`{}`: {}", names.reason, names.title).into();
    }
    all
}

/// What a link that was just made can be used for.
fn follow_ups() -> Value {
    let calls = ["GetLink", "UpdateLink", "DeleteLink"];
    let follow_up = |call: &str| {
        let parameters = json!({ "code": "$response.body#/code" });
        (
            call.to_owned(),
            json!({ "operationId": format!("{call}InDefaultDomain"), "parameters": parameters }),
        )
    };
    calls.into_iter().map(follow_up).collect::<Map<_, _>>().into()
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "Why a call was refused (RFC 9457).",
        "required": ["type", "title", "status", "detail", "reason"],
        "properties": {
            "type": { "type": "string", "const": "about:blank" },
            "title": { "type": "string", "description": "The same for every occurrence." },
            "status": { "type": "integer", "description": "As in the status line." },
            "detail": { "type": "string", "description": "This occurrence, for people." },
            "reason": { "type": "string", "description": "This kind of refusal, for programs." },
            "field": { "type": "string", "description": "The field or parameter at fault, if one is." },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_names_what_there_is() {
        let described = Descriptions::new();
        for route in routes::all() {
            let call = route.call;
            assert!(
                !described.words(&format!("linkr.v1.{}.{}", call.service, call.name)).is_empty(),
                "{call:?}"
            );
            for reason in &call.rule.faults {
                assert!(words::fault(reason).is_some(), "{}: no fault {reason}", call.name);
            }
        }
        let bodies = words::BODIES.iter().map(|(_, _, schema)| schema);
        for schema in words::IN_PATH.iter().map(|(_, _, schema)| schema).chain(bodies) {
            serde_json::from_str::<Value>(schema).unwrap();
        }
    }

    /// The file is for those who read the project, and for those who generate a client without a server at hand.
    #[test]
    fn the_file_in_the_tree_is_what_is_served() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
        if std::env::var_os("LINKR_WRITE_OPENAPI").is_some() {
            std::fs::write(file, text()).unwrap();
        }
        let same = std::fs::read_to_string(file).is_ok_and(|there| there == text());
        assert!(same, "docs/openapi.json is old: LINKR_WRITE_OPENAPI=1 cargo test -p control openapi");
    }
}
