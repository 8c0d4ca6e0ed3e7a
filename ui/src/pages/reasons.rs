//! Why a visitor gets what he gets of a link, in words. Which edge answers is not known here.

use crate::show::{self, text};
use maud::{Markup, html};
use serde_json::Value;

/// The rules of redirects in the order in which an edge looks at them (docs/http.md).
pub fn explained(link: &Value, domain: &Value) -> Markup {
    let said = |name: &str| text(link, name);
    let query = match said("query") {
        "append" => "The visitor's query is put after the target's own.",
        "override" => "The visitor's query replaces the same names of the target's.",
        _ => "The visitor's query is dropped.",
    };
    let expired_target = [said("expired_target"), text(domain, "expired_target")];
    let expired_target = expired_target.into_iter().find(|target| !target.is_empty());
    html! {
        @if !said("delete_time").is_empty() {
            p { strong { "410 Gone" } ", because the link was deleted at " (show::moment(said("delete_time"))) "." }
        } @else if !said("blocked_by").is_empty() {
            p { strong { "410 Gone" } ", because it leads to " code { (said("blocked_by")) } ", which is blocked." }
        } @else if link["disabled"] == true {
            p { strong { "410 Gone" } ", because the link is disabled." }
        } @else if !said("not_before").is_empty() && !show::is_past(said("not_before")) {
            p { strong { "404 Not Found" } ", because it begins at " (show::moment(said("not_before"))) "." }
        } @else if show::is_past(said("expire_time")) {
            @match expired_target {
                Some(target) => {
                    p { strong { "302 Found" } " to " code class="long" { (target) } ", because the link ended at " (show::moment(said("expire_time"))) "." }
                }
                None => { p { strong { "410 Gone" } ", because it ended at " (show::moment(said("expire_time"))) "." } }
            }
        } @else {
            p {
                strong { (link["status"]) } " to " code class="long" { (said("target")) } ". " (query)
                @if let Some(seconds) = link["max_age"].as_u64() { " The browser may keep it for " (seconds) " s." }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_rule_that_holds_is_told() {
        let (past, future) = ("2020-01-01T00:00:00Z", "9999-01-01T00:00:00Z");
        let domain = json!({});
        for (link, why) in [
            (json!({ "disabled": true, "delete_time": past }), "because the link was deleted at"),
            (json!({ "disabled": true, "blocked_by": "evil.example" }), "which is blocked"),
            (json!({ "disabled": true, "expire_time": past }), "because the link is disabled"),
            (json!({ "not_before": future }), "because it begins at"),
            (json!({ "expire_time": past }), "because it ended at"),
            (json!({ "status": 302, "target": "https://a.example/" }), "302</strong> to"),
        ] {
            let told = explained(&link, &domain).into_string();
            assert!(told.contains(why), "{link}: {told}");
        }
        let led =
            explained(&json!({ "expire_time": past }), &json!({ "expired_target": "https://b.example/" }));
        assert!(led.into_string().contains("https://b.example/</code>, because the link ended at"));
    }
}
