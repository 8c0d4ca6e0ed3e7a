//! How often people followed the links of a page of the list, in one question.

use super::period::{Period, Range};
use crate::api::{Call, Refusal, domain_path};
use crate::show::{self, list};
use crate::visit::Visit;
use jiff::Timestamp;
use serde_json::Value;

/// Human clicks of the last 30 days, of the links that have most.
pub struct ListedClicks {
    counts: Vec<(String, u64)>,
    /// What a link that is not among them has at most.
    most: u64,
}

impl ListedClicks {
    /// Links that are told apart by one question.
    const LINKS: usize = 1_000;

    /// Asks for them.
    ///
    /// # Errors
    /// What REST refuses it with.
    pub async fn read(visit: &Visit) -> Result<Self, Refusal> {
        let mut month = visit.query.with("last", "30d");
        for name in ["from", "to", "by", "zone"] {
            month = month.with(name, "");
        }
        let Range { from, until } = Period::read(&month, Timestamp::now())?.now;
        let limit = Self::LINKS.to_string();
        let parameters = [
            ("start_time", from.as_str()),
            ("end_time", until.as_str()),
            ("group_by", "link"),
            ("limit", limit.as_str()),
        ];
        let answer = visit.call(Call::get(&domain_path(visit.domain(), "/clicks"), &parameters)).await?;
        Ok(Self::of(&answer))
    }

    fn of(answer: &Value) -> Self {
        let count = |row: &Value| {
            (row["keys"][0].as_str().unwrap_or_default().to_owned(), row["count"].as_u64().unwrap_or(0))
        };
        let counts: Vec<(String, u64)> = list(answer, "rows").iter().map(count).collect();
        let least = counts.iter().map(|(_, count)| *count).min().unwrap_or(0);
        let other = answer["other"].as_u64().unwrap_or(0);
        Self { counts, most: least.min(other) }
    }

    /// Those of a link, in words.
    pub fn of_link(&self, code: &str) -> String {
        match self.counts.iter().find(|(own, _)| own == code) {
            Some((_, count)) => show::number(*count),
            None if self.most == 0 => "0".to_owned(),
            None => format!("at most {}", show::number(self.most)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_link_that_is_not_among_those_that_are_told_has_no_more_than_they() {
        let row = |code: &str, count: u64| json!({ "keys": [code], "count": count });
        let told = ListedClicks::of(&json!({ "rows": [row("a", 1_900), row("b", 7)], "other": 30 }));
        assert_eq!(["a", "b", "c"].map(|code| told.of_link(code)), ["1,900", "7", "at most 7"]);
        let all = ListedClicks::of(&json!({ "rows": [row("a", 9)] }));
        assert_eq!(["a", "c"].map(|code| all.of_link(code)), ["9", "0"]);
        assert_eq!(ListedClicks::of(&json!({})).of_link("a"), "0");
    }
}
