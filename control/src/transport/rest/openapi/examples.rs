//! An example of each call: what a path, a parameter and a body may say, and what comes back. No schema is here.

use super::schema::short;
use crate::routes::Route;
use proto::described::{Form, Member, Shape, shape};
use serde_json::{Map, Value, json};

/// Bodies by their calls. Of a call that is not here the body is made of what it cannot be without.
const BODIES: &[(&str, &str)] = &[
    (
        "CreateLink",
        r#"{"target":"https://www.example/spring?utm_source=flyer","code":"promo","tags":["spring"],"expire_time":"2030-01-31T12:00:00Z"}"#,
    ),
    ("UpdateLink", r#"{"target":"https://www.example/summer","title":"Summer sale"}"#),
    ("UndeleteLink", "{}"),
    ("RestoreLink", r#"{"time":"2026-01-31T12:00:00Z"}"#),
    (
        "BatchCreateLinks",
        r#"{"requests":[{"link":{"target":"https://www.example/a","code":"a"}},{"link":{"target":"https://www.example/b"}}]}"#,
    ),
    ("BatchUpdateLinks", r#"{"requests":[{"link":{"code":"promo","disabled":true}}]}"#),
    ("BatchDeleteLinks", r#"{"requests":[{"code":"promo"}]}"#),
    ("CreateDomain", r#"{"domain":"go.example","not_found":"https://www.example/"}"#),
    ("UpdateDomain", r#"{"not_found":"https://www.example/gone"}"#),
    ("CreateKey", r#"{"client":"importer","scopes":["links:read","links:write"]}"#),
    ("RotateKey", r#"{"expire_time":"2030-01-31T12:00:00Z"}"#),
];

/// Parameters by their names: of paths, behind them, and headers.
const PARAMETERS: &[(&str, &str)] = &[
    ("domain", r#""go.example""#),
    ("code", r#""promo""#),
    ("edge", r#""edge1""#),
    ("key", r#""6f1d0c5a9b3e4872""#),
    ("page_size", "50"),
    ("filter", r#""code = \"spring*\" AND tags:\"flyer\"""#),
    ("order_by", r#""create_time desc""#),
    ("show_deleted", "true"),
    ("show_revoked", "true"),
    ("validate_only", "true"),
    ("flatten", "true"),
    ("ack", r#""propagated""#),
    ("code_prefix", r#""spring-""#),
    ("code_length", "8"),
    ("code_alphabet", r#""unambiguous""#),
    ("Idempotency-Key", r#""order-4711""#),
    ("start_time", r#""2026-01-01T00:00:00+01:00""#),
    ("end_time", r#""2026-02-01T00:00:00+01:00""#),
    ("zone", r#""Europe/Berlin""#),
    ("group_by", r#"["day","country"]"#),
    ("kinds", r#"["human","repeat"]"#),
    ("countries", r#"["DE","AT"]"#),
    ("devices", r#"["mobile"]"#),
    ("splits", r#"["country","kind"]"#),
    ("If-Match", r#""\"42\"""#),
];

/// Fields of answers: by message and name, or by name alone.
const FIELDS: &[(&str, &str)] = &[
    ("Link.domain", r#""-""#),
    ("Domain.name", r#""domains/go.example""#),
    ("Domain.domain", r#""go.example""#),
    ("Key.name", r#""keys/6f1d0c5a9b3e4872""#),
    ("AuditEntry.name", r#""keys/6f1d0c5a9b3e4872""#),
    ("QrCode.text", r#""https://go.example/promo""#),
    ("QrCode.rows", r#"["1111111"]"#),
    ("QrCode.svg", r#""<svg …>""#),
    ("LinkVersion.method", r#""UpdateLink""#),
    ("AuditEntry.method", r#""CreateKey""#),
    ("name", r#""domains/-/links/promo""#),
    ("code", r#""promo""#),
    ("target", r#""https://www.example/spring?utm_source=flyer""#),
    ("status", "302"),
    ("title", r#""Spring sale""#),
    ("tags", r#"["spring"]"#),
    ("note", r#""For the flyer""#),
    ("external_id", r#""CRM-17""#),
    ("short_url", r#""https://go.example/promo""#),
    ("not_found", r#""https://www.example/""#),
    ("revision", r#""1-5f0c2a9e-42""#),
    ("etag", r#""\"42\"""#),
    ("expire_time", r#""2030-01-31T12:00:00Z""#),
    ("principal", r#""6f1d0c5a9b3e4872""#),
    ("request_id", r#""9c04f2d17be35a68""#),
    ("next_page_token", r#""""#),
    ("suggestions", r#"["promo-2","promo-3"]"#),
    ("state", r#""taken""#),
    ("client", r#""importer""#),
    ("scopes", r#"["links:read","links:write"]"#),
    ("domains", r#"["go.example"]"#),
    ("edge", r#""edge1""#),
    ("incarnation", r#""9f86d081884c7d65""#),
    ("exact", "true"),
    ("QueryClicksResponse.total", "1290"),
    ("QueryClicksResponse.other", "0"),
    ("ClickRow.keys", r#"["2026-01-31T00:00:00+01:00","DE"]"#),
    ("ClickRow.count", "42"),
    ("ClickLoss.reason", r#""spool_full""#),
    ("kept_seconds", "900"),
    ("ClickEvent.kind", r#""human""#),
    ("country", r#""DE""#),
    ("browser", r#""Firefox""#),
    ("os", r#""Windows 10""#),
    ("device", r#""desktop""#),
    ("referrer", r#""news.example""#),
    ("language", r#""de""#),
    ("ClickEvent.id", r#""4711""#),
];

/// What a usual answer has not.
const LEFT_OUT: &[&str] = &[
    "Link.propagation",
    "Link.delete_time",
    "Link.not_before",
    "Link.max_age",
    "Domain.propagation",
    "Key.revoke_time",
    "Key.edge",
    "AuditEntry.key_before",
    "AuditEntry.domain_before",
    "AuditEntry.domain",
    "BatchLinksResponse.propagation",
    "ClickRow.visitors",
    "QueryClicksResponse.splits",
];

/// The body of a request.
pub fn body(route: &Route) -> Value {
    if let Some(own) = found(BODIES, &route.call.name) {
        return own;
    }
    let kind = match route.resource().map(|resource| &resource.form) {
        Some(Form::Message(name)) => shape(name),
        _ => None,
    };
    let needed = kind.into_iter().flat_map(|shape| shape.members.iter().map(move |member| (shape, member)));
    let needed = needed.filter(|(_, member)| member.required);
    needed.map(|(shape, member)| (member.name.clone(), field(shape, member))).collect::<Map<_, _>>().into()
}

/// What a parameter may say; `null`: only an answer can tell.
pub fn parameter(name: &str) -> Value {
    found(PARAMETERS, name).unwrap_or_default()
}

/// What comes back.
pub fn answer(route: &Route) -> Value {
    let shape = shape(route.call.output.full_name());
    let mut answer = shape.map_or_else(|| json!({}), message);
    if route.call.rule.creates && shape.is_some_and(|shape| shape.member("secret").is_some()) {
        answer["secret"] = "lk_…".into();
    }
    answer
}

fn message(shape: &'static Shape) -> Value {
    let told = |member: &&Member| {
        let name = format!("{}.{}", shape.message.name(), member.name);
        !member.rule.secret && !LEFT_OUT.contains(&name.as_str())
    };
    let members = shape.members.iter().filter(told);
    members.map(|member| (member.name.clone(), field(shape, member))).collect::<Map<_, _>>().into()
}

fn field(of: &Shape, member: &Member) -> Value {
    let own = found(FIELDS, &format!("{}.{}", of.message.name(), member.name));
    let is_message = matches!(member.form, Form::Message(_));
    if let Some(known) = own.or_else(|| found(FIELDS, &member.name)).filter(|_| !is_message) {
        return known;
    }
    let one = match &member.form {
        Form::Text | Form::Other => json!(""),
        Form::Flag => json!(false),
        Form::Signed | Form::Short | Form::Long => json!(1),
        Form::Choice(all) => all.first().map_or(Value::Null, |(name, _)| json!(name)),
        Form::Time => json!("2026-01-31T12:00:00Z"),
        Form::Bytes => json!("aGk="),
        Form::Epoch => json!("1-5f0c2a9e"),
        Form::Message(name) => {
            let mut inside = shape(name).map_or_else(|| json!({}), message);
            if let Value::Object(inside) = &mut inside {
                member.rule.without.iter().for_each(|name| drop(inside.remove(short(name))));
            }
            inside
        }
    };
    if member.list { json!([one]) } else { one }
}

fn found(table: &[(&str, &str)], name: &str) -> Option<Value> {
    let own = table.iter().find(|(own, _)| *own == name)?;
    serde_json::from_str(own.1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes;
    use crate::transport::rest::request;
    use prost_reflect::DynamicMessage;

    #[test]
    fn what_is_in_the_tables_is_json_and_of_a_call() {
        for (name, text) in BODIES.iter().chain(PARAMETERS) {
            assert!(serde_json::from_str::<Value>(text).is_ok(), "{name}");
        }
        for (name, _) in BODIES {
            assert!(routes::all().iter().any(|route| route.call.name == *name), "there is no {name}");
        }
    }

    #[test]
    fn every_example_of_a_body_is_taken_by_its_call() {
        for route in routes::all().iter().filter(|route| !route.http.body.is_empty()) {
            let example = body(route);
            let members = request::members(route, example.to_string().as_bytes()).unwrap();
            let message = DynamicMessage::new(route.input.message.clone());
            let taken = request::with_body(route, message, members, None);
            assert!(taken.is_ok(), "{}: {:?}", route.call.name, taken.err());
        }
    }

    #[test]
    fn an_answer_has_what_every_answer_has() {
        for route in routes::all() {
            let answer = answer(route);
            let shape = shape(route.call.output.full_name()).unwrap();
            for member in shape.members.iter().filter(|member| member.is_always_said()) {
                assert!(!answer[&member.name].is_null(), "{}: {}", route.call.name, member.name);
            }
        }
    }
}
