//! The description as a page for people, with a form for each call, which `docs.js` sends. Without that script the page
//! can be read. Nothing is loaded from elsewhere, and nothing is decided here.

use serde_json::Value;
use std::fmt::Write;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#1a1a1a;background:#fff}code,pre{font:14px ui-monospace,monospace}pre{background:#f4f4f4;padding:.6rem;\
overflow-x:auto}h2{margin-top:2.5rem}summary{cursor:pointer;padding:.3rem 0}details{border-bottom:1px solid #ddd}\
b.verb{display:inline-block;width:4.5rem}table{border-collapse:collapse;width:100%}\
td{border-top:1px solid #eee;padding:.2rem .6rem .2rem 0;vertical-align:top}\
nav ul{columns:2 20rem;list-style:none;padding:0;margin:.3rem 0 1rem}label{display:block;margin:.3rem 0}\
label>span{display:inline-block;min-width:9rem}input,textarea{font:14px ui-monospace,monospace;padding:.2rem .4rem}\
textarea{display:block;width:100%;box-sizing:border-box}form{margin:1rem 0}button{font:inherit;padding:.2rem .8rem;\
margin:.4rem .4rem .4rem 0}.answer{white-space:pre-wrap;overflow-wrap:anywhere;max-height:30rem;overflow:auto}\
@media(prefers-color-scheme:dark){body,input,textarea{background:#151515;color:#ddd}pre{background:#222}td,details{border-color:#333}\
a{color:#8bf}}";

/// The page.
pub fn of(document: &Value) -> String {
    let mut page =
        String::from("<!doctype html><html lang=en><meta charset=utf-8><title>linkr: the API</title>");
    let _ = write!(page, "<meta name=viewport content='width=device-width'><style>{STYLE}</style>");
    page.push_str("<script src=/docs.js defer></script>");
    page.push_str(
        "<h1>linkr: the API</h1><p>Every call exists as REST, below, and as gRPC (<code>linkr.v1</code>, with \
         reflection) on the same port. For programs: <a href=/openapi.json>openapi.json</a>. A key goes into \
         <code>Authorization: Bearer lk_…</code>; refusals are <code>application/problem+json</code> with a \
         <code>reason</code> for programs.</p><p>Each call below has a form that sends it to this server, and what it \
         changes is changed.</p><label><span>Your key</span><input id=key type=password autocomplete=off size=60 \
         placeholder='lk_…'></label><p>The key stays in this field until the page is closed. It is stored nowhere, and sent \
         to this server alone.</p>",
    );
    contents(&mut page, document);
    let mut tag = "";
    for (path, verb, operation) in operations(document) {
        let own = operation["tags"][0].as_str().unwrap_or_default();
        if own != tag {
            tag = own;
            let _ = write!(page, "<h2 id='{0}'>{0}</h2>", escaped(own));
        }
        one(&mut page, path, verb, operation);
    }
    page.push_str("<h2 id=schemas>What they carry</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let words = escaped(text(&schema["description"]));
        let _ = write!(page, "<details id={name}><summary><code>{name}</code> {words}</summary><table>");
        for (field, of) in schema["properties"].as_object().into_iter().flatten() {
            let _ = write!(page, "<tr><td><code>{field}</code><td>{}<td>", kind(of));
            let needed = if required(schema, field) { "Required. " } else { "" };
            page.push_str(needed);
            page.push_str(&escaped(text(&of["description"])));
        }
        page.push_str("</table></details>");
    }
    page.push_str("</html>\n");
    page
}

fn required(schema: &Value, field: &str) -> bool {
    schema["required"].as_array().is_some_and(|all| all.iter().any(|own| own == field))
}

/// Every call by its service, each with a way to its place below.
fn contents(page: &mut String, document: &Value) {
    page.push_str("<nav><h2>Contents</h2>");
    let all = operations(document);
    for calls in all.chunk_by(|(.., one), (.., other)| one["tags"] == other["tags"]) {
        let service = escaped(calls.first().map_or("", |(.., call)| text(&call["tags"][0])));
        let _ = write!(page, "<a href='#{service}'>{service}</a><ul>");
        // The short form of a path stands right behind the long one.
        for (path, verb, call) in calls.iter().filter(|(.., call)| !is_short(call)) {
            let (id, verb, path) = (text(&call["operationId"]), verb.to_uppercase(), escaped(path));
            let _ = write!(page, "<li><a href='#{id}'>{id}</a> <code>{verb} {path}</code>");
        }
        page.push_str("</ul>");
    }
    page.push_str("<a href='#schemas'>What they carry</a></nav>");
}

fn is_short(operation: &Value) -> bool {
    text(&operation["operationId"]).ends_with("InDefaultDomain")
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
        "<details id='{}'><summary><b class=verb>{}</b><code>{}</code> {}</summary><p>{}</p><table>",
        text(&operation["operationId"]),
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
    form(page, path, verb, operation);
    page.push_str("</details>");
}

/// What sends the call: a field for each parameter, and the example of the body to begin with.
fn form(page: &mut String, path: &str, verb: &str, operation: &Value) {
    let _ = write!(page, "<form data-method={} data-path='{}'>", verb.to_uppercase(), escaped(path));
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let (name, place) = (escaped(text(&parameter["name"])), text(&parameter["in"]));
        let example = escaped(&said(&parameter["example"]));
        // A path has to be whole. Everything else may be left out, and is only shown how it looks.
        let given = if place == "path" { "value" } else { "placeholder" };
        let _ = write!(
            page,
            "<label><span>{name}</span><input name='{name}' data-in={place} size=40 {given}='{example}'></label>"
        );
    }
    let example = &operation["requestBody"]["content"]["application/json"]["example"];
    if !example.is_null() {
        let example = serde_json::to_string_pretty(example).unwrap_or_default();
        let (rows, example) = (example.lines().count().max(3), escaped(&example));
        let _ =
            write!(page, "<label>Body<textarea spellcheck=false rows={rows}>{example}</textarea></label>");
    }
    page.push_str(
        "<button>Send</button><button type=button class=stop hidden>Stop</button><pre class=answer hidden></pre></form>",
    );
}

fn said(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        // As a parameter says a list.
        Value::Array(all) => all.iter().map(said).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
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
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use crate::routes;

    #[test]
    fn the_page_has_every_call_with_a_form_and_no_script_of_its_own() {
        let page = super::of(&super::super::document());
        for path in routes::all().iter().flat_map(routes::Route::shown) {
            assert!(page.contains(&format!("data-path='{path}'")), "{path}");
        }
        // The policy of the page forbids both a script and a handler that stand in it.
        assert_eq!(page.matches("<script").count(), 1);
        assert!(page.contains("<script src=/docs.js defer></script>") && !page.contains(" onclick"));
        assert!(!page.contains("http://") && page.contains("openapi.json"));
    }

    #[test]
    fn the_contents_lead_to_every_call_and_every_link_leads_somewhere() {
        let page = super::of(&super::super::document());
        let (contents, _) = page.split_once("</nav>").unwrap();
        for route in routes::all() {
            assert!(contents.contains(&format!("href='#{}'", route.call.name)), "{}", route.call.name);
        }
        for link in page.split("href='#").skip(1) {
            let id = link.split('\'').next().unwrap();
            let there = page.contains(&format!("id='{id}'")) || page.contains(&format!("id={id}>"));
            assert!(there, "nothing has the id {id}");
        }
    }
}
