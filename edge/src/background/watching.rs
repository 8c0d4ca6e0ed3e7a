//! `/debug/tail`: answers as they are given, to whoever asks again and again.

use crate::shared::Shared;
use crate::sys;
use crate::tails::{TailFilter, TailLine};
use axum::Json;
use axum::extract::Query;
use axum::http::StatusCode;
use hot::{HostMatch, Outcome, View};
use link::DomainId;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

type TailRefusal = (StatusCode, String);

/// Answers `?id=N`, a number that whoever watches has made up, with what was answered since it was last asked with this
/// number; with `&code=`, `&domain=`, `&outcome=` and `&slower_us=` if need be, which count from the first time on.
pub async fn tail(
    shared: Arc<Shared>,
    Query(words): Query<HashMap<String, String>>,
) -> Result<Json<Value>, TailRefusal> {
    let id = number(&words, "id")?.ok_or_else(|| wrong("id is missing: a number"))?;
    let filter = filter(&shared, &words)?;
    let Some(mut told) = shared.tails.poll(id, filter, sys::boottime_ms()) else {
        let why = "as many watch this edge as may at once: try again when one of them has ended\n";
        return Err((StatusCode::TOO_MANY_REQUESTS, why.to_owned()));
    };
    told.lines.sort_by_key(|line| line.began_unix_ns);
    let lines: Vec<Value> = told.lines.iter().map(described).collect();
    Ok(Json(json!({ "lines": lines, "dropped": told.dropped })))
}

fn described(line: &TailLine) -> Value {
    json!({
        "unix_us": line.began_unix_ns / 1_000,
        "us": line.ns / 1_000,
        "method": line.request.method,
        "host": line.request.host,
        "path": line.request.path,
        "status": line.request.status,
        "outcome": line.outcome.label(),
    })
}

fn filter(shared: &Shared, words: &HashMap<String, String>) -> Result<TailFilter, TailRefusal> {
    let outcome = |word: &String| {
        let known = Outcome::ALL.into_iter().find(|outcome| outcome.label() == word);
        known.ok_or_else(|| {
            let all = Outcome::ALL.map(Outcome::label).join(", ");
            wrong(&format!("there is no outcome {word}: it is one of {all}"))
        })
    };
    Ok(TailFilter {
        code: words.get("code").cloned(),
        domain: words.get("domain").map(|name| domain(shared, name)).transpose()?,
        outcome: words.get("outcome").map(outcome).transpose()?,
        slower_ns: number(words, "slower_us")?.unwrap_or(0).saturating_mul(1_000),
    })
}

fn domain(shared: &Shared, name: &str) -> Result<DomainId, TailRefusal> {
    if name == "-" {
        return Ok(DomainId::DEFAULT);
    }
    match View::new(Arc::clone(&shared.domains)).place(Some(name.as_bytes())) {
        HostMatch::Claimed(site) => Ok(site.id),
        _ => Err(wrong(&format!("this edge knows no domain {name}"))),
    }
}

fn number(words: &HashMap<String, String>, name: &str) -> Result<Option<u64>, TailRefusal> {
    let number = |word: &String| word.parse().map_err(|_| wrong(&format!("{name} is no number")));
    words.get(name).map(number).transpose()
}

fn wrong(why: &str) -> TailRefusal {
    (StatusCode::BAD_REQUEST, format!("{why}\n"))
}
