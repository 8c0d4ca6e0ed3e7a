//! What this edge would answer to a request, and why, for `/debug/explain` and for control. The request takes the way of a real
//! one, down to the last byte, but nobody counts it.

use crate::shared::{OriginQuestion, OriginReply, Shared};
use crate::sys;
use axum::Json;
use axum::extract::Query;
use axum::http::StatusCode;
use futures_channel::oneshot;
use hot::{
    AnswerContext, Conversation, Counts, EntryState, HeadParse, HostMatch, Lookup, Miss, MissAnswer, Outcome,
    Policy, Source, Stamp, Step, Tier, View, key_of,
};
use link::{Class, Position, Seq};
use proto::v1;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

type ExplainRefusal = (StatusCode, String);

/// Bytes of a request that control asks about: a code has 128, a host 253.
const MOST_BYTES: usize = 2_048;

/// What the set or a tier knows of the version that is answered.
#[derive(Clone, Copy)]
struct KnownVersion {
    version: Seq,
    as_of: Seq,
    class: Class,
}

/// Answers `?path=/code`, with `&host=` and `&method=` if need be.
pub async fn explain(
    shared: Arc<Shared>,
    host: String,
    Query(words): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ExplainRefusal> {
    let request = request(&words, host)?;
    Ok(Json(as_json(&explanation(&shared, &request).await)))
}

/// Answers control; `None` of a question that cannot be asked. `host`: that of this edge.
pub async fn explained(shared: &Shared, host: &str, asked: &v1::Explain) -> Option<v1::Explanation> {
    let host = if asked.host.is_empty() { host } else { &asked.host };
    let words = [("path".to_owned(), asked.path.clone())].into();
    let request = request(&words, host.to_owned()).ok().filter(|request| request.len() <= MOST_BYTES)?;
    Some(explanation(shared, &request).await)
}

async fn explanation(shared: &Shared, request: &str) -> v1::Explanation {
    let (mut counts, mut out) = (Counts::default(), Vec::new());
    let mut known = None;
    let (_, step) = in_turn(shared, &mut counts, |turn| {
        hot::answer(&mut Conversation::default(), request.as_bytes(), &mut out, turn)
    });
    if let Step::Miss(miss) = step {
        let told = ask(shared, &miss).await;
        in_turn(shared, &mut counts, |turn| match &told {
            OriginReply::Known(answer) => {
                let told = answer.told();
                let policy = turn.domains.site(miss.key.domain()).policy(turn.policy);
                let class = told.value.map(|value| class(value.found(), policy));
                known = class.map(|class| KnownVersion { version: told.version, as_of: told.as_of, class });
                hot::finish(&miss, MissAnswer::Told(Source::Origin, &told), &mut out, turn)
            }
            OriginReply::Unavailable => hot::finish(&miss, MissAnswer::Nobody, &mut out, turn),
        });
    }
    describe(shared, request, counts, &String::from_utf8_lossy(&out), known)
}

/// The bytes of a request that asks where its answer comes from.
fn request(words: &HashMap<String, String>, host: String) -> Result<String, ExplainRefusal> {
    let word = |name: &str, usual: Option<String>| {
        let word = words.get(name).cloned().or(usual).unwrap_or_default();
        match !word.is_empty() && word.bytes().all(|b| b > b' ' && b != 0x7f) {
            true => Ok(word),
            false => {
                Err((StatusCode::BAD_REQUEST, format!("{name} is missing or cannot stand in a request\n")))
            }
        }
    };
    let (path, host) = (word("path", None)?, word("host", Some(host))?);
    let method = word("method", Some("GET".into()))?;
    Ok(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Linkr-Debug: 1\r\n\r\n"))
}

/// As a worker does it, but for the counting.
fn in_turn<R>(shared: &Shared, counts: &mut Counts, then: impl FnOnce(&mut AnswerContext<'_>) -> R) -> R {
    let system = SystemTime::now();
    let now = system.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64; // 292 million years
    let stamp = Stamp::new(&httpdate::fmt_http_date(system));
    let (boot_ms, policy) = (sys::boottime_ms(), Policy::default());
    let (set, domains) = (&shared.set, &mut View::new(Arc::clone(&shared.domains)));
    then(&mut AnswerContext {
        set,
        domains,
        now,
        boot_ms,
        policy,
        debug: true,
        stamp: &stamp,
        counts,
        clicks: None,
    })
}

async fn ask(shared: &Shared, miss: &Miss) -> OriginReply {
    let (answer, told) = oneshot::channel();
    let question = OriginQuestion {
        key: miss.key.clone(),
        token: miss.token(),
        alone: miss.needs_origin(),
        trace: None,
        answer,
    };
    match shared.ask().try_send(question) {
        Ok(()) => told.await.map_or(OriginReply::Unavailable, |told| told.reply),
        Err(_) => OriginReply::Unavailable,
    }
}

/// `known`: what a tier said, if one was asked and said it.
fn describe(
    shared: &Shared,
    request: &str,
    mut counts: Counts,
    answer: &str,
    known: Option<KnownVersion>,
) -> v1::Explanation {
    let mut outcome = Outcome::Refused;
    let tier = counts.tier;
    counts.drain(|counted, _| outcome = counted);
    let tier = tier.of(outcome);
    let field = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let revision = field("X-Linkr-Revision");
    let version = revision.and_then(Position::parse_revision).map(|(_, seq)| seq);
    let known = known.or_else(|| held(shared, request));
    let known = known.filter(|known| version.is_none_or(|own| own == known.version));
    let place = place(shared, request, outcome, field("Location").is_some()).unwrap_or_default();
    let freshness = shared.set.freshness(sys::boottime_ms());
    let staleness_ms = field("X-Linkr-Staleness-Ms").and_then(|ms| ms.parse().ok()).or(freshness.stale_ms());
    let fresh = match tier {
        Tier::None => None, // nothing that could be old
        Tier::Hot | Tier::Redis | Tier::Origin => Some(outcome != Outcome::Unavailable),
        Tier::Stale => Some(false),
    };
    let class = |known: KnownVersion| if known.class == Class::Strict { "strict" } else { "normal" };
    v1::Explanation {
        edge: String::new(), // whoever asked knows
        incarnation: String::new(),
        outcome: outcome.label().to_owned(),
        by: place.by.unwrap_or_default(),
        domain: place.domain.unwrap_or_default(),
        code: place.code.unwrap_or_default(),
        tier: tier.label().to_owned(),
        fresh,
        blind: freshness.is_blind(),
        staleness_ms,
        version,
        revision: revision.unwrap_or_default().to_owned(),
        as_of: known.map(|known| known.as_of),
        class: known.map(class).unwrap_or_default().to_owned(),
        response: without_debug(answer),
    }
}

/// As `/debug/explain` has it: what is not there is null.
fn as_json(told: &v1::Explanation) -> Value {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    json!({
        "outcome": told.outcome,
        "by": text(&told.by),
        "domain": text(&told.domain),
        "code": text(&told.code),
        "tier": told.tier,
        "fresh": told.fresh,
        "blind": told.blind,
        "staleness_ms": told.staleness_ms,
        "version": told.version,
        "revision": text(&told.revision),
        "as_of": told.as_of,
        "class": text(&told.class),
        "response": told.response,
    })
}

/// Where a request belongs, and what made its answer.
#[derive(Default)]
struct RequestPlacement {
    /// The domain of its host.
    domain: Option<String>,
    /// The code that is looked up for its path.
    code: Option<String>,
    /// The field that says where the answer leads instead of a target of a link, or what it is.
    by: Option<String>,
}

/// `led`: the answer leads somewhere.
fn place(shared: &Shared, request: &str, outcome: Outcome, led: bool) -> Option<RequestPlacement> {
    let HeadParse::Head(head, _) = hot::parse(request.as_bytes()) else { return None };
    let domains = View::new(Arc::clone(&shared.domains));
    let (HostMatch::Claimed(site) | HostMatch::Hostless(site) | HostMatch::Unclaimed(site)) =
        domains.place(head.host)
    else {
        return None;
    };
    let entries = shared.domains.dump();
    let name = entries.iter().find(|entry| entry.id == site.id).map(|entry| entry.told.name().clone());
    let name = name.unwrap_or_default();
    let key = key_of(&head, &domains);
    let own =
        |held: Lookup<'_>| matches!(held.found, EntryState::Live(link) if link.expired_target.is_some());
    let is_own = || key.as_ref().is_some_and(|key| shared.set.look_up(key.as_bytes(), own));
    let of_domain = |field: &str| Some(format!("{field} of domains/{}", name.as_str()));
    let by = match outcome {
        Outcome::Root => of_domain("root_target"),
        Outcome::Expired if is_own() => Some("expired_target of the link".into()),
        Outcome::Expired => of_domain("expired_target"),
        Outcome::NotFound if led => of_domain("not_found"),
        Outcome::Reserved if head.path == b"robots.txt" && site.robots.is_some() => of_domain("robots"),
        _ => None,
    };
    let code = key.as_ref().map(|key| String::from_utf8_lossy(key.code()).into_owned());
    Some(RequestPlacement { domain: Some(name.as_str().to_owned()), code, by })
}

/// What memory holds for this request's code.
fn held(shared: &Shared, request: &str) -> Option<KnownVersion> {
    let HeadParse::Head(head, _) = hot::parse(request.as_bytes()) else { return None };
    let domains = View::new(Arc::clone(&shared.domains));
    let key = key_of(&head, &domains)?;
    let policy = domains.site(key.domain()).policy(Policy::default());
    let of = |held: Lookup<'_>| KnownVersion {
        version: held.version,
        as_of: held.as_of,
        class: class(held.found, policy),
    };
    Some(shared.set.look_up(key.as_bytes(), of))
}

fn class(found: EntryState<'_>, policy: Policy) -> Class {
    match found {
        EntryState::Live(link) if link.terms.class != Class::Inherit => link.terms.class,
        _ => policy.class,
    }
}

/// What the same request would be answered without its wish to know more.
fn without_debug(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let lines = head.split("\r\n").filter(|line| !line.starts_with("X-Linkr-"));
    format!("{}\r\n\r\n{body}", lines.collect::<Vec<_>>().join("\r\n"))
}
