//! `/v1/keys`: `linkr.v1.Keys` as JSON over HTTP. Nothing is decided here.

use super::domains::domain;
use super::json::{self, time_of, without_nulls};
use super::{
    Answered, Asked, Body, Parts, Who, Whole, json_body, no_parameter, pairs, parse, part, parts, unknown,
};
use crate::Fault;
use crate::keys::Keys;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use proto::v1;
use serde_json::{Value, json};
use std::sync::Arc;

type Calls = State<Arc<Keys>>;

/// The routes.
pub fn router(keys: Arc<Keys>) -> Router {
    Router::new()
        .route("/v1/keys", get(list).post(create))
        .route("/v1/keys/{key}", post(rotate).delete(revoke))
        .route("/v1/audit", get(audit))
        .with_state(keys)
}

async fn create(State(keys): Calls, who: Who, asked: Asked, headers: HeaderMap, body: Body) -> Answered {
    no_parameter(asked)?;
    let request = v1::CreateKeyRequest {
        key: Some(given(&headers, body, &["client", "scopes", "domains", "edge", "expire_time"]).await?),
    };
    answer(keys.create(&who, request).await, StatusCode::CREATED)
}

async fn list(State(keys): Calls, who: Who, asked: Asked) -> Answered {
    let mut request = v1::ListKeysRequest::default();
    for (name, value) in pairs(asked)? {
        match name.as_str() {
            "show_revoked" => request.show_revoked = parse("show_revoked", &value)?,
            _ => return Err(unknown(name)),
        }
    }
    Ok(axum::Json(keys_json(&keys.list(&who, request).await?)).into_response())
}

/// `POST /v1/keys/{key}:rotate`.
async fn rotate((State(keys), who, path, asked, headers, body): Whole<Arc<Keys>>) -> Answered {
    no_parameter(asked)?;
    let path = parts(path)?;
    let key = part(&path, "key").strip_suffix(":rotate").ok_or(Fault::NoRoute)?;
    let expire_time = given(&headers, body, &["expire_time"]).await?.expire_time;
    let request = v1::RotateKeyRequest { name: format!("keys/{key}"), expire_time };
    answer(keys.rotate(&who, request).await, StatusCode::CREATED)
}

async fn revoke(State(keys): Calls, who: Who, path: Parts, asked: Asked) -> Answered {
    no_parameter(asked)?;
    let request = v1::RevokeKeyRequest { name: format!("keys/{}", part(&parts(path)?, "key")) };
    answer(keys.revoke(&who, request).await, StatusCode::OK)
}

async fn audit(State(keys): Calls, who: Who, asked: Asked) -> Answered {
    let mut request = v1::ListAuditRequest::default();
    for (name, value) in pairs(asked)? {
        match name.as_str() {
            "name" => request.name = value,
            "page_size" => request.page_size = parse("page_size", &value)?,
            "page_token" => request.page_token = value,
            _ => return Err(unknown(name)),
        }
    }
    Ok(axum::Json(audit_json(&keys.audit(&who, request).await?)).into_response())
}

fn answer(answer: Result<v1::Key, Fault>, status: StatusCode) -> Answered {
    answer.map(|key| (status, axum::Json(key_json(&key))).into_response())
}

/// What a body says of a key, in these fields alone.
async fn given(headers: &HeaderMap, body: Body, allowed: &[&str]) -> Result<v1::Key, Fault> {
    let mut key = v1::Key::default();
    for (name, value) in json_body(headers, body, json::members).await? {
        match name.as_str() {
            // What a key was read with may come back with it, but its secret.
            "name" | "create_time" | "last_use_time" | "revoke_time" => {}
            _ if !allowed.contains(&name.as_str()) => {
                return Err(Fault::invalid(name, "is no field of this call"));
            }
            "client" => key.client = json::text(&name, &value)?,
            "scopes" => key.scopes = json::tags(&name, &value)?,
            "domains" => key.domains = json::tags(&name, &value)?,
            "edge" => key.edge = json::text(&name, &value)?,
            _ => key.expire_time = json::time(&name, &value)?,
        }
    }
    Ok(key)
}

/// As an answer carries it; what is not set is left out.
pub fn key_json(key: &v1::Key) -> Value {
    let mut value = json!({
        "name": key.name,
        "client": key.client,
        "scopes": key.scopes,
        "domains": key.domains,
        "edge": Some(&key.edge).filter(|text| !text.is_empty()),
        "create_time": time_of(&key.create_time),
        "expire_time": time_of(&key.expire_time),
        "last_use_time": time_of(&key.last_use_time),
        "revoke_time": time_of(&key.revoke_time),
        "secret": Some(&key.secret).filter(|text| !text.is_empty()),
    });
    without_nulls(&mut value);
    value
}

/// All of them.
pub fn keys_json(listed: &v1::ListKeysResponse) -> Value {
    json!({ "keys": listed.keys.iter().map(key_json).collect::<Vec<_>>() })
}

/// A page of the audit; what is not set is left out.
pub fn audit_json(page: &v1::ListAuditResponse) -> Value {
    let entry = |entry: &v1::AuditEntry| {
        let mut value = json!({
            "name": entry.name,
            "time": time_of(&entry.time),
            "principal": entry.principal,
            "method": entry.method,
            "request_id": entry.request_id,
            "key_before": entry.key_before.as_ref().map(key_json),
            "key": entry.key.as_ref().map(key_json),
            "domain_before": entry.domain_before.as_ref().map(domain),
            "domain": entry.domain.as_ref().map(domain),
        });
        without_nulls(&mut value);
        value
    };
    let entries: Vec<Value> = page.entries.iter().map(entry).collect();
    json!({ "entries": entries, "next_page_token": page.next_page_token })
}
