//! What has to be known of PromQL: where its selectors are, and its durations.

use std::fmt::Write;

/// How fast rules go: what they wait for, divided. Deployed rules are not; a test's are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace(u64);

impl Pace {
    /// As the list has it.
    pub const REAL: Self = Self(1);

    /// So many times as fast.
    ///
    /// # Panics
    /// With 0.
    pub fn times(divisor: u64) -> Self {
        assert!(divisor > 0, "a pace of 0");
        Self(divisor)
    }

    /// A duration such as `5m`.
    ///
    /// # Panics
    /// With another text: the list is ours.
    pub fn duration(self, text: &str) -> String {
        if self == Self::REAL {
            return text.to_owned();
        }
        let (number, unit) = text.split_at(text.len() - 1);
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => panic!("{text} is no duration of the list"),
        };
        let number: u64 = number.parse().unwrap_or_else(|_| panic!("{text} is no duration of the list"));
        format!("{}ms", number * seconds * 1_000 / self.0)
    }

    /// An expression with all its ranges.
    pub fn expr(self, expr: &str) -> String {
        let mut out = String::with_capacity(expr.len());
        let mut rest = expr;
        while let Some((before, behind)) = rest.split_once('[') {
            let (range, after) = behind.split_once(']').expect("a range that ends");
            let _ = write!(out, "{before}[{}]", self.duration(range));
            rest = after;
        }
        out + rest
    }
}

/// A series by name in an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selector<'a> {
    /// The name of the metric.
    pub name: &'a str,
    /// What stands in its braces.
    pub matchers: &'a str,
    /// Where the name ends.
    end: usize,
}

impl Selector<'_> {
    /// It alone, as an expression.
    pub fn expr(&self) -> String {
        format!("{}{{{}}}", self.name, self.matchers)
    }
}

/// The beginnings of all names of ours, and of the one of Prometheus that is used.
const NAMES: [&str; 3] = ["linkr", "process_", "up"];

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'
}

/// All of an expression, from left to right. Labels have none of these names.
pub fn selectors(expr: &str) -> Vec<Selector<'_>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < expr.len() {
        let rest = &expr[at..];
        if let Some(quoted) = rest.strip_prefix('"') {
            at += 2 + quoted.find('"').unwrap_or(quoted.len());
            continue;
        }
        let length = rest.find(|letter| !is_of_name(letter)).unwrap_or(rest.len());
        if length == 0 {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        }
        let name = &rest[..length];
        let ours = name == "up" || NAMES[..2].iter().any(|begin| name.starts_with(begin));
        if ours {
            let behind = &rest[length..];
            let matchers = behind.strip_prefix('{').map_or("", |inner| inner.split('}').next().unwrap_or(""));
            found.push(Selector { name, matchers, end: at + length });
        }
        at += length;
    }
    found
}

/// The expression with this matcher in each selector of what instances say; recorded series have no instance.
pub fn with_matcher(expr: &str, matcher: &str) -> String {
    let (mut out, mut from) = (String::with_capacity(expr.len()), 0);
    for selector in selectors(expr).into_iter().filter(|selector| !selector.name.contains(':')) {
        let _ = write!(out, "{}{{{matcher}", &expr[from..selector.end]);
        from = selector.end;
        if expr[from..].starts_with('{') {
            out.push_str(if selector.matchers.is_empty() { "" } else { "," });
            from += 1;
        } else {
            out.push('}');
        }
    }
    out + &expr[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_found_and_given_a_matcher() {
        let expr =
            r#"sum by (x) (rate(linkr_a_total{x=~"linkr_b|up"}[5m])) / linkr:c:ratio5m > process_d or up"#;
        let names: Vec<_> = selectors(expr).iter().map(|selector| selector.name).collect();
        assert_eq!(names, ["linkr_a_total", "linkr:c:ratio5m", "process_d", "up"]);
        assert_eq!(
            with_matcher("linkr_a{b=\"c\"} + linkr_d[1m] + linkr:e + linkr_f{}", "i=\"x\""),
            "linkr_a{i=\"x\",b=\"c\"} + linkr_d{i=\"x\"}[1m] + linkr:e + linkr_f{i=\"x\"}"
        );
    }

    #[test]
    fn a_pace_divides_what_is_waited_for() {
        assert_eq!(Pace::REAL.expr("rate(linkr_a[5m]) > 5"), "rate(linkr_a[5m]) > 5");
        assert_eq!(
            Pace::times(60).expr("rate(linkr_a[5m]) - b[3d] > 5"),
            "rate(linkr_a[5000ms]) - b[4320000ms] > 5"
        );
        assert_eq!(Pace::times(60).duration("30s"), "500ms");
    }
}
