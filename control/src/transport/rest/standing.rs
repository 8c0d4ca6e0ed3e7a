//! What a change says of members that only the server sets. A body may carry them as an answer had them, so that a resource
//! can be read, edited and sent back; another value would be passed over, and is refused instead.

use crate::routes::{self, Route};
use crate::transport::calls::ApiCalls;
use crate::{Caller, Fault};
use prost_reflect::{DynamicMessage, ReflectMessage, Value};
use proto::described::shape;
use proto::json::Json;
use proto::json::read::Tree;
use serde_json::Value as Given;

/// What each write changes.
const OF_A_VERSION: [&str; 2] = ["update_time", "revision"];

/// Compares them with what is there now.
///
/// # Errors
/// The first that is another, and those of the read.
pub async fn check(
    calls: &ApiCalls,
    caller: &Caller,
    route: &Route,
    change: &DynamicMessage,
    members: Vec<(String, Tree)>,
) -> Result<(), Fault> {
    let resource = route.resource().map(|member| change.get_field(&member.field).into_owned());
    let Some(Value::Message(resource)) = resource else { return Ok(()) };
    let kind = resource.descriptor();
    let reads = |other: &&Route| other.http.method == "GET" && other.call.output == kind;
    let read = routes::all().iter().find(reads).ok_or(Fault::Internal)?;
    let text = |field: &str| {
        let value = resource.get_field_by_name(field);
        value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let etag = text("etag");
    let is_named = change.get_field_by_name("request_id").is_some_and(|id| id.as_str() != Some(""));
    // Of a request that is repeated under its name the first may have made another version.
    let of_version = members.iter().find(|(name, _)| OF_A_VERSION.contains(&name.as_str()));
    if let Some((name, _)) = of_version.filter(|_| is_named && etag.is_empty()) {
        let why = "is another after each write: leave it out, or send the etag that it was read with";
        return Err(Fault::invalid(name.clone(), why));
    }
    let mut request = DynamicMessage::new(read.input.message.clone());
    request.set_field_by_name("name", Value::String(text("name")));
    let now = calls.make(&read.call.name, caller.clone(), &request)?.await?;
    let json = Json::decode(shape(kind.full_name()).ok_or(Fault::Internal)?, &now);
    let json = json.map_err(|_| Fault::Internal)?;
    if !etag.is_empty() && etag != json.text("etag") {
        return Ok(()); // a change of another version, which is refused as that
    }
    let now = serde_json::to_value(&json).map_err(|_| Fault::Internal)?;
    match members.into_iter().find(|(name, tree)| !is_same(&now[name], tree)) {
        None => Ok(()),
        Some((name, _)) => {
            let kind = kind.name().to_lowercase();
            let why = format!("is set by the server alone, and the {kind} has another now: leave it out");
            Err(Fault::invalid(name, why))
        }
    }
}

fn is_same(now: &Given, given: &Tree) -> bool {
    match (now, given) {
        (Given::Null, Tree::Null) => true,
        (Given::Null, Tree::Text(given)) => given.is_empty(),
        (Given::String(now), Tree::Text(given)) => {
            let time = |text: &str| proto::time::read(text).ok();
            now == given || time(now).is_some_and(|now| time(given) == Some(now))
        }
        (Given::Bool(now), Tree::Flag(given)) => now == given,
        (Given::Number(now), Tree::Whole(given)) => now.as_u64() == Some(*given),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_moment_may_be_written_in_another_way() {
        let now = Given::from("2030-01-31T12:00:00Z");
        for (given, same) in [
            ("2030-01-31T12:00:00Z", true),
            ("2030-01-31T14:00:00+02:00", true),
            ("2030-01-31T12:00:01Z", false),
            ("c", false),
        ] {
            assert_eq!(is_same(&now, &Tree::Text(given.into())), same, "{given}");
        }
        assert!(is_same(&Given::Null, &Tree::Text(String::new())));
        assert!(!is_same(&Given::Null, &Tree::List(Vec::new())));
    }
}
