//! Which links a list finds: the conditions that its fields make, and the call that asks with them.

use crate::api::{Call, Refusal, domain_path};
use crate::form::Pairs;
use crate::visit::Visit;
use serde_json::Value;

/// The conditions of a list, as its fields have them.
pub fn filter(query: &Pairs) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut all = Vec::new();
    let (begins, tag, target) = (query.get("begins"), query.get("tag"), query.get("target"));
    if !begins.is_empty() {
        all.push(format!("code = \"{}*\"", quoted(begins).replace('*', "\\*")));
    }
    if !tag.is_empty() {
        all.push(format!("tags:\"{}\"", quoted(tag)));
    }
    if !target.is_empty() {
        all.push(format!("target:\"{}\"", quoted(target)));
    }
    if !query.get("filter").is_empty() {
        all.push(query.get("filter").to_owned());
    }
    all.join(" AND ")
}

/// A page of the links that an address asks for.
///
/// # Errors
/// What REST refuses it with.
pub async fn found(visit: &Visit, query: &Pairs, rows: &str, token: &str) -> Result<Value, Refusal> {
    let deleted = if query.has("deleted") { "true" } else { "" };
    let condition = filter(query);
    let parameters = [
        ("page_size", rows),
        ("page_token", token),
        ("filter", condition.as_str()),
        ("order_by", query.get("order")),
        ("show_deleted", deleted),
    ];
    visit.call(Call::get(&domain_path(visit.domain(), "/links"), &parameters)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_the_search_are_one_filter() {
        let query = Pairs::parse(b"begins=a%22*&tag=x%5C&target=shop&filter=disabled+%3D+true");
        assert_eq!(
            filter(&query),
            "code = \"a\\\"\\**\" AND tags:\"x\\\\\" AND target:\"shop\" AND disabled = true"
        );
        assert_eq!(filter(&Pairs::default()), "");
    }
}
