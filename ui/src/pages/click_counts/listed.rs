//! How often people followed the links of a page of the list, in one question.

use super::period::{Period, Range};
use crate::api::{Call, Refusal, domain_path};
use crate::show::{self, list};
use crate::visit::Visit;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// Human clicks of the last 30 days, by code.
pub struct ListedClicks(BTreeMap<String, u64>);

impl ListedClicks {
    /// Asks for those of links as a list shows them, of one domain.
    ///
    /// # Errors
    /// What REST refuses it with.
    pub async fn read(visit: &Visit, links: &[Value]) -> Result<Self, Refusal> {
        let uids: Vec<String> =
            links.iter().filter_map(|link| link["uid"].as_u64()).map(|uid| uid.to_string()).collect();
        if uids.is_empty() {
            return Ok(Self(BTreeMap::new())); // without uids it would be the whole domain
        }
        let mut month = visit.query.with("last", "30d");
        for name in ["from", "to", "by", "zone"] {
            month = month.with(name, "");
        }
        let Range { from, until } = Period::read(&month, Timestamp::now())?.now;
        let uids = uids.join(",");
        let parameters = [
            ("start_time", from.as_str()),
            ("end_time", until.as_str()),
            ("group_by", "link"),
            ("uids", &uids),
        ];
        let answer = visit.call(Call::get(&domain_path(visit.domain(), "/clicks"), &parameters)).await?;
        Ok(Self::of(&answer))
    }

    fn of(answer: &Value) -> Self {
        let count = |row: &Value| {
            (row["keys"][0].as_str().unwrap_or_default().to_owned(), row["count"].as_u64().unwrap_or(0))
        };
        Self(list(answer, "rows").iter().map(count).collect())
    }

    /// Those of a link, in words.
    pub fn of_link(&self, code: &str) -> String {
        show::number(self.0.get(code).copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_link_that_is_in_no_row_has_no_clicks() {
        let row = |code: &str, count: u64| json!({ "keys": [code], "count": count });
        let told = ListedClicks::of(&json!({ "rows": [row("a", 1_900), row("b", 7)] }));
        assert_eq!(["a", "b", "c"].map(|code| told.of_link(code)), ["1,900", "7", "0"]);
    }
}
