//! What the REST half can be asked, as OpenAPI 3.1, made from one table of routes and the words of the `.proto` files.
//! Nothing is answered here but the description itself.

mod page;
mod routes;
mod schema;

pub use routes::{ROUTES, Route};

use crate::Fault;
use crate::fault::Names;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use schema::{Described, short};
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
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, policy)];
    (headers, DOCUMENT.1.as_str()).into_response()
}

fn document() -> Value {
    let described = Described::new();
    let mut paths = Map::new();
    for route in ROUTES {
        for path in route.paths() {
            let item = paths.entry(path.clone()).or_insert_with(|| json!({}));
            item[route.verb] = operation(&described, route, &path);
        }
    }
    let bodies = ROUTES.iter().filter_map(|route| route.body).filter(|name| !name.is_empty());
    let answers = ROUTES.iter().map(|route| described.ends(&full(route.call)).1.to_owned());
    let messages = bodies.map(full).chain(answers).collect::<Vec<_>>();
    let mut schemas = described.schemas(messages.iter().map(String::as_str));
    for (message, field, more) in routes::NARROWER {
        if let Some(fields) =
            schemas.get_mut(*message).and_then(|schema| schema["properties"][*field].as_object_mut())
        {
            fields.extend(serde_json::from_str::<Map<String, Value>>(more).unwrap_or_default());
        }
    }
    for (name, schema) in routes::BODIES {
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

fn full(name: &str) -> String {
    format!("linkr.v1.{name}")
}

fn operation(described: &Described, route: &Route, path: &str) -> Value {
    let call = full(route.call);
    let words = described.words(&call);
    let short_form = !path.contains("{domain}");
    let mut id = short(route.call).to_owned();
    if short_form && route.path.contains("{domain}") {
        id.push_str("InDefaultDomain");
    }
    let mut value = json!({
        "operationId": id,
        "tags": [route.call.split('.').next().unwrap_or_default()],
        "summary": words.split_once(". ").map_or(words, |(first, _)| first).trim_end_matches('.'),
        "description": words,
        "parameters": parameters(described, route, path),
        "responses": responses(route, short(described.ends(&call).1)),
    });
    if let Some(scope) = route.scope {
        value["description"] = format!("{words} Needs a key with `{scope}`.").into();
    } else {
        value["security"] = json!([]);
    }
    if let Some(body) = route.body {
        let schema = if body.is_empty() {
            json!({ "type": "object", "maxProperties": 0 })
        } else {
            json!({ "$ref": format!("#/components/schemas/{body}") })
        };
        value["requestBody"] =
            json!({ "required": !body.is_empty(), "content": { "application/json": { "schema": schema } } });
    }
    value
}

fn parameters(described: &Described, route: &Route, path: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for (name, words, schema) in routes::IN_PATH {
        if path.contains(&format!("{{{name}}}")) {
            let schema: Value = serde_json::from_str(schema).unwrap_or_default();
            all.push(json!({ "name": name, "in": "path", "required": true, "description": words, "schema": schema }));
        }
    }
    let call = full(route.call);
    for name in route.query {
        let schema =
            described.field(described.ends(&call).0, name).unwrap_or_else(|| json!({ "type": "string" }));
        let words = schema["description"].clone();
        all.push(json!({ "name": name, "in": "query", "description": words, "schema": schema }));
    }
    for (name, words, pattern) in routes::HEADERS {
        if route.headers.contains(name) {
            let schema = json!({ "type": "string", "pattern": pattern });
            all.push(json!({ "name": name, "in": "header", "description": words, "schema": schema }));
        }
    }
    all
}

fn responses(route: &Route, answer: &str) -> Map<String, Value> {
    let mut all = Map::new();
    for status in route.statuses {
        let kind = route.kind;
        let schema = json!({ "$ref": format!("#/components/schemas/{answer}") });
        let content = json!({ kind: { "schema": schema } });
        all.insert(status.to_string(), json!({ "description": "Done.", "content": content }));
    }
    if let Some(created) = all.get_mut("201").filter(|_| answer == "Link") {
        created["headers"] = json!({
            "Location": { "description": "Where it is now.", "schema": { "type": "string" } },
        });
        created["links"] = follow_ups();
    }
    let mut refused: Vec<Names> = route.faults.iter().chain(routes::ANY).map(Fault::names).collect();
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
    fn every_route_names_what_there_is() {
        let described = Described::new();
        for route in ROUTES {
            assert!(!described.words(&full(route.call)).is_empty(), "{} is no call", route.call);
            for name in route.query {
                assert!(
                    described.field(described.ends(&full(route.call)).0, name).is_some(),
                    "{}: no {name}",
                    route.call
                );
            }
        }
        for (message, field, more) in routes::NARROWER {
            assert!(described.field(&full(message), field).is_some(), "{message}.{field}");
            serde_json::from_str::<Map<String, Value>>(more).unwrap();
        }
        let bodies = routes::BODIES.iter().map(|(_, schema)| schema);
        for schema in routes::IN_PATH.iter().map(|(_, _, schema)| schema).chain(bodies) {
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
