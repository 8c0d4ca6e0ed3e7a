//! The description as a page for people: one file, no script, nothing loaded. Nothing is decided here.

use serde_json::Value;
use std::fmt::Write;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#1a1a1a;background:#fff}code,pre{font:14px ui-monospace,monospace}pre{background:#f4f4f4;padding:.6rem;\
overflow-x:auto}h2{margin-top:2.5rem}summary{cursor:pointer;padding:.3rem 0}details{border-bottom:1px solid #ddd}\
b.verb{display:inline-block;width:4.5rem}table{border-collapse:collapse;width:100%}\
td{border-top:1px solid #eee;padding:.2rem .6rem .2rem 0;vertical-align:top}\
@media(prefers-color-scheme:dark){body{background:#151515;color:#ddd}pre{background:#222}td,details{border-color:#333}\
a{color:#8bf}}";

/// The page.
pub fn of(document: &Value) -> String {
    let mut page =
        String::from("<!doctype html><html lang=en><meta charset=utf-8><title>linkr: the API</title>");
    let _ = write!(page, "<meta name=viewport content='width=device-width'><style>{STYLE}</style>");
    page.push_str(
        "<h1>linkr: the API</h1><p>Every call exists as REST, below, and as gRPC (<code>linkr.v1</code>, with \
         reflection) on the same port. For programs: <a href=/openapi.json>openapi.json</a>. A key goes into \
         <code>Authorization: Bearer lk_…</code>; refusals are <code>application/problem+json</code> with a \
         <code>reason</code> for programs.</p>",
    );
    let mut tag = "";
    for (path, verb, operation) in operations(document) {
        let own = operation["tags"][0].as_str().unwrap_or_default();
        if own != tag {
            tag = own;
            let _ = write!(page, "<h2>{}</h2>", escaped(own));
        }
        one(&mut page, path, verb, operation);
    }
    page.push_str("<h2>What they carry</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let words = escaped(text(&schema["description"]));
        let _ = write!(page, "<details id={name}><summary><code>{name}</code> {words}</summary><table>");
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            let _ = write!(page, "<tr><td><code>{field}</code><td>{}<td>", kind(schema));
            page.push_str(&escaped(text(&schema["description"])));
        }
        page.push_str("</table></details>");
    }
    page.push_str("</html>\n");
    page
}

/// In the order of the table: by service, the short form of a path behind the long one.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let mut all: Vec<_> = paths
        .flat_map(|(path, item)| {
            let item = item.as_object().into_iter().flatten();
            item.map(move |(verb, operation)| (path.as_str(), verb.as_str(), operation))
        })
        .collect();
    all.sort_by_key(|(path, _, operation)| (text(&operation["tags"][0]), path.len(), *path));
    all
}

fn one(page: &mut String, path: &str, verb: &str, operation: &Value) {
    let _ = write!(
        page,
        "<details><summary><b class=verb>{}</b><code>{}</code> {}</summary><p>{}</p><table>",
        verb.to_uppercase(),
        escaped(path),
        escaped(text(&operation["summary"])),
        escaped(text(&operation["description"])),
    );
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let _ = write!(
            page,
            "<tr><td><code>{}</code><td>{}<td>{}<td>{}",
            escaped(text(&parameter["name"])),
            escaped(text(&parameter["in"])),
            kind(&parameter["schema"]),
            escaped(text(&parameter["description"])),
        );
    }
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let schema = answer["content"].as_object().and_then(|kinds| kinds.values().next());
        let what = schema.map_or_else(String::new, |schema| kind(&schema["schema"]));
        let words = escaped(text(&answer["description"]));
        let _ = write!(page, "<tr><td>{status}<td>answer<td>{what}<td>{words}");
    }
    page.push_str("</table>");
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if !body.is_null() {
        let _ = write!(page, "<p>Body: {}</p>", kind(body));
    }
    page.push_str("</details>");
}

/// A schema in a word, with a way to what it names.
fn kind(schema: &Value) -> String {
    let named = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
    if let Some(name) = named.and_then(|name| name.rsplit('/').next()) {
        return format!("<a href='#{name}'>{name}</a>");
    }
    if let Some(choices) = schema["enum"].as_array() {
        let text = |choice: &Value| choice.as_str().map_or_else(|| choice.to_string(), str::to_owned);
        return escaped(&choices.iter().map(text).collect::<Vec<_>>().join(" | "));
    }
    match text(&schema["type"]) {
        "array" => format!("list of {}", kind(&schema["items"])),
        _ if schema["format"] == "date-time" => "time".to_owned(),
        other => other.to_owned(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_has_every_call_and_no_script() {
        let page = super::of(&super::super::document());
        for path in crate::routes::all().iter().flat_map(crate::routes::Route::shown) {
            assert!(page.contains(&path), "{path}");
        }
        assert!(!page.contains("<script") && page.contains("openapi.json"));
    }
}
