//! Redirects of sites: the file `_redirects` (Netlify's, which others read too) and the redirects of `vercel.json`.
//!
//! In both the first rule that fits a request counts, so that a rule which linkr cannot carry may stand before others that it
//! could: those are not reached there, and are refused, too.

mod rules;

use super::maps::{code_of, is_host, next_line, no_path, row};
use super::row::{Reason, Row};
use proto::v1::{Link, QueryPolicy};
use rules::{EarlierRules, RedirectRule, Syntax};
use serde_json::Value;
use std::collections::VecDeque;
use std::io::BufRead;

/// What a link of `_redirects` does that does not say it, for people.
pub const SITE: &str = "status 301 unless a rule has another (as at Netlify; Cloudflare Pages: 302), a / at the end of a path \
                        means nothing, and a visitor's query is passed on where the target has none";
/// The same of `vercel.json`.
pub const VERCEL: &str =
    "status 308, or 307 where permanent is false, and a visitor's query is passed on after the target's";

/// The path of a rule, and its host if it names one.
fn from_path(rule: &RedirectRule) -> Result<Link, Reason> {
    if !rule.host.is_empty() && (!is_host(&rule.host) || rule.path.len() < 2) {
        return Err(no_path(format!("{}{}", rule.host, rule.path).as_bytes()));
    }
    if rule.is_pattern() {
        return Err(("PATTERN", "is a pattern, and codes are compared as they are".to_owned()));
    }
    Ok(Link { code: code_of(rule.path)?.to_owned(), domain: rule.host.clone(), ..Link::default() })
}

/// A redirect to a place that does not depend on the request.
fn leading(mut link: Link, to: &str, status: u64) -> Result<Link, Reason> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        let why = match status {
            200 => "serves what is elsewhere, and does not redirect".to_owned(),
            _ => format!("answers with status {status}, which is no redirect"),
        };
        return Err(("STATUS", why));
    }
    link.status = u32::try_from(status).unwrap_or_default();
    // A browser may keep these two for good: linkr wants to be told for how long, and here nobody says it.
    link.max_age = matches!(status, 301 | 308).then_some(0);
    to.clone_into(&mut link.target);
    Ok(link)
}

/// The lines of `_redirects`.
pub struct RedirectsFile {
    source: Box<dyn BufRead + Send>,
    line: u64,
    earlier: EarlierRules,
}

impl RedirectsFile {
    pub fn new(source: Box<dyn BufRead + Send>) -> Self {
        Self { source, line: 0, earlier: EarlierRules::default() }
    }

    /// The next row; `None` at the end of the file.
    pub fn next(&mut self) -> std::io::Result<Option<Row>> {
        let Some(text) = next_line(&mut *self.source, &mut self.line)? else { return Ok(None) };
        let link = match std::str::from_utf8(&text) {
            Err(_) => Err(("NOT_UTF8", "is not UTF-8".to_owned())),
            Ok(text) => self.rule(text),
        };
        Ok(Some(row(self.line, &text, link)))
    }

    fn rule(&mut self, text: &str) -> Result<Link, Reason> {
        let words: Vec<&str> = text.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
        let Some((from, rest)) = words.split_first() else { return Err(syntax()) };
        let from = RedirectRule::of(from, Syntax::Site);
        let to = rest.iter().position(|word| word.starts_with('/') || word.contains("://"));
        let (queries, rest) = rest.split_at(to.unwrap_or(rest.len()));
        let (status, conditions) = match rest.get(1).map(|word| word.trim_end_matches('!').parse::<u64>()) {
            Some(Ok(status)) => (status, &rest[2..]),
            _ => (301, rest.get(1..).unwrap_or_default()),
        };
        let narrow = !queries.is_empty() || !conditions.is_empty();
        let link = match (rest.first(), queries, conditions) {
            (None, ..) => Err(syntax()),
            (_, [query, ..], _) => Err((
                "QUERY",
                format!("is only for requests with a query such as {query}, and a link is for all"),
            )),
            (_, _, [condition, ..]) => Err(("CONDITION", format!("is only for some requests: {condition}"))),
            (Some(to), ..) => from_path(&from).and_then(|link| leading(link, to, status)).map(passing_on),
        };
        self.earlier.judge(self.line, &from, narrow, link)
    }
}

fn syntax() -> Reason {
    ("SYNTAX", "is not of the form 'path target status'".to_owned())
}

/// Queries go to targets that have none, with the statuses of old.
fn passing_on(mut link: Link) -> Link {
    if matches!(link.status, 301 | 302) && !link.target.contains('?') {
        link.set_query(QueryPolicy::Append);
    }
    link
}

/// The rows of a `vercel.json`, and the names of its other settings.
///
/// # Errors
/// It is none.
pub fn vercel(text: &[u8]) -> Result<(VecDeque<Row>, Vec<String>), String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    let value: Value = serde_json::from_str(text).map_err(|fault| format!("it is not JSON: {fault}"))?;
    let settings = value.as_object().ok_or("it is not a JSON object")?;
    let rules = settings.get("redirects").ok_or("it has no redirects")?;
    let rules = rules.as_array().ok_or("its redirects are no list")?;
    let others = settings.keys().filter(|name| !matches!(name.as_str(), "redirects" | "$schema"));
    let (mut earlier, lines) = (EarlierRules::default(), lines_of(text));
    let rows = rules.iter().enumerate().map(|(at, rule)| {
        let from = RedirectRule::of(rule["source"].as_str().unwrap_or_default(), Syntax::Vercel);
        let narrow = rule.get("has").is_some() || rule.get("missing").is_some();
        let line = lines.get(at).copied().unwrap_or(1);
        let link = vercel_rule(rule, &from);
        row(line, rule.to_string().as_bytes(), earlier.judge(line, &from, narrow, link))
    });
    Ok((rows.collect(), others.cloned().collect()))
}

/// In which line the source of each redirect stands. A name is what a colon follows: values may read the same.
fn lines_of(text: &str) -> Vec<u64> {
    let named = |text: &str, name: &str, at: usize| text[at + name.len()..].trim_start().starts_with(':');
    let redirects = "\"redirects\"";
    let begin = text.match_indices(redirects).find(|(at, _)| named(text, redirects, *at));
    let begin = begin.map_or(0, |(at, _)| at);
    let (mut line, mut last, mut lines) = (1, 0, Vec::new());
    for (at, name) in text[begin..].match_indices("\"source\"") {
        if !named(&text[begin..], name, at) {
            continue;
        }
        line += text[last..begin + at].bytes().filter(|&byte| byte == b'\n').count() as u64;
        last = begin + at;
        lines.push(line);
    }
    lines
}

fn vercel_rule(rule: &Value, from: &RedirectRule) -> Result<Link, Reason> {
    let Some(rule) = rule.as_object() else { return Err(("SYNTAX", "is no JSON object".to_owned())) };
    for name in rule.keys() {
        match name.as_str() {
            "source" | "destination" | "permanent" | "statusCode" => {}
            "has" | "missing" => {
                return Err(("CONDITION", format!("is only for some requests: it has '{name}'")));
            }
            _ => return Err(("LACKING", format!("has '{name}', for which linkr has nothing"))),
        }
    }
    let to = rule.get("destination").and_then(Value::as_str).unwrap_or_default();
    if from.path.is_empty() && from.host.is_empty() || to.is_empty() {
        return Err(("SYNTAX", "has no source or no destination".to_owned()));
    }
    let status = match (rule.get("statusCode"), rule.get("permanent")) {
        (Some(status), None) => status.as_u64().ok_or("statusCode is no number"),
        (None, Some(Value::Bool(false))) => Ok(307),
        (None, None | Some(Value::Bool(true))) => Ok(308),
        (None, Some(_)) => Err("permanent is neither true nor false"),
        (Some(_), Some(_)) => Err("has both statusCode and permanent"),
    };
    let status = status.map_err(|why| ("INVALID", why.to_owned()))?;
    let mut link = leading(from_path(from)?, to, status)?;
    link.set_query(QueryPolicy::Append);
    Ok(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code, target, status and query of a link, or the reason.
    type RuleResult = Result<(String, String, u32, QueryPolicy), &'static str>;

    fn short(link: Result<Link, Reason>) -> RuleResult {
        let said = |link: Link| {
            let query = link.query();
            (format!("{}{}", link.domain, link.code), link.target, link.status, query)
        };
        link.map(said).map_err(|(why, _)| why)
    }

    fn to(code: &str, target: &str, status: u32, query: QueryPolicy) -> RuleResult {
        Ok((code.into(), target.into(), status, query))
    }

    fn site(text: &'static str) -> Vec<(u64, RuleResult)> {
        let mut site = RedirectsFile::new(Box::new(text.as_bytes()));
        let rows = std::iter::from_fn(|| site.next().unwrap());
        rows.map(|row| (row.line, short(row.link))).collect()
    }

    #[test]
    fn lines_of_redirects() {
        use QueryPolicy::{Append, Unspecified};
        let rows = site(
            "# comment\n/a https://a.example/1 301\n/b/* https://a.example/:splat 302!\n/c /local\n\
             /d id=:id https://a.example/:id 301\n\n  /e\thttps://a.example/  302! # why\n/f https://a.example/?x=1 302\n\
             /g https://a.example/ 200\n/h https://a.example/ 301 Country=au,nz\n/i\n/j/:id https://a.example/ 301\n\
             https://go.example/k https://a.example/ 308\nhttps://go.example/* https://a.example/:splat\n/ https://a.example/\n\
             /l https://a.example/ 404\n/m 301\n/n https://a.example/ 303\n",
        );
        let want = [
            (2, to("a", "https://a.example/1", 301, Append)),
            (3, Err("PATTERN")),
            (4, to("c", "/local", 301, Append)),
            (5, Err("QUERY")),
            (7, to("e", "https://a.example/", 302, Append)),
            (8, to("f", "https://a.example/?x=1", 302, Unspecified)),
            (9, Err("STATUS")),
            (10, Err("CONDITION")),
            (11, Err("SYNTAX")),
            (12, Err("PATTERN")),
            (13, to("go.examplek", "https://a.example/", 308, Unspecified)),
            (14, Err("PATTERN")),
            (15, Err("KEY")),
            (16, Err("STATUS")),
            (17, Err("SYNTAX")),
            (18, to("n", "https://a.example/", 303, Unspecified)),
        ];
        assert_eq!(rows, want);
    }

    #[test]
    fn the_first_rule_counts() {
        let reasons =
            |text| site(text).into_iter().map(|(_, link)| link.err().unwrap_or("")).collect::<Vec<_>>();
        for (text, want) in [
            ("/a https://a.example/\n/a https://b.example/\n", ["", "SHADOWED"]),
            ("/n/* https://a.example/:splat\n/n/x https://b.example/\n", ["PATTERN", "SHADOWED"]),
            ("/n/x https://b.example/\n/n/* https://a.example/:splat\n", ["", "PATTERN"]),
            ("/n/:y/z https://a.example/\n/n/x/z https://b.example/\n", ["PATTERN", "SHADOWED"]),
            ("/n/:y/z https://a.example/\n/n/x https://b.example/\n", ["PATTERN", ""]),
            ("/n/* https://a.example/ 301 Country=us\n/n/x https://b.example/\n", ["CONDITION", ""]),
            ("/a id=1 https://a.example/\n/a https://b.example/\n", ["QUERY", ""]),
            ("/a /b 200\n/a https://b.example/\n", ["STATUS", "SHADOWED"]),
            ("/a/ https://a.example/\n/a https://b.example/\n", ["", "SHADOWED"]),
            ("/n/*/z https://a.example/\n/n/x/y https://b.example/\n", ["PATTERN", ""]),
        ] {
            assert_eq!(reasons(text), want, "{text}");
        }
    }

    /// Found with a published file: at Netlify 47 of its rules fit their path with and without the / at its end.
    #[test]
    fn a_slash_at_the_end_of_a_path_means_nothing() {
        let rows = site(
            "/a/b/ https://a.example/ 301\n/c/#part /d\n/e?id=1 /d\nhttps://go.example/f/ /d\n/wiki/Special:1 /d\n",
        );
        let codes: Vec<_> = rows.into_iter().map(|(_, link)| link.map(|(code, ..)| code)).collect();
        let code = |code: &str| Ok(code.to_owned());
        assert_eq!(
            codes,
            [code("a/b"), Err("KEY"), Err("QUERY"), code("go.examplef"), code("wiki/Special:1")]
        );
    }

    #[test]
    fn values_that_read_like_names_are_in_no_line() {
        let (rows, _) = vercel(
            br#"{ "cleanUrls": true, "x": ["redirects", "source"], "redirects": [
{"source": "/a", "destination": "https://a.example/"},
{"has": [{"type": "query", "key": "source"}], "source" : "/b", "destination": "https://a.example/"},
{"source": "/c", "destination": "https://a.example/"}]}"#,
        )
        .unwrap();
        assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 3, 4]);
    }

    #[test]
    fn rules_of_vercel() {
        use QueryPolicy::Append;
        let (rows, others) = vercel(
            br#"{
  "rewrites": [],
  "redirects": [
    {"source": "/a", "destination": "https://a.example/1", "permanent": true},
    {"source": "/b", "destination": "/local", "permanent": false},
    {"source": "/c", "destination": "https://a.example/"},
    {"source": "/d", "destination": "https://a.example/", "statusCode": 302},
    {"source": "/e/:id", "destination": "https://a.example/:id"},
    {"source": "/f/(.*)", "destination": "https://a.example/$1"},
    {
      "source": "/g",
      "has": [{"type": "host", "value": "b.example"}],
      "destination": "https://a.example/"
    },
    {"source": "/e/x", "destination": "https://a.example/"},
    {"source": "/h", "destination": "https://a.example/", "statusCode": 301, "permanent": true},
    {"source": "/i"},
    {"source": "/j", "destination": "https://a.example/", "env": ["X"]}
  ]
}"#,
        )
        .unwrap();
        assert_eq!(others, ["rewrites"]);
        let rows: Vec<_> = rows.into_iter().map(|row| (row.line, short(row.link))).collect();
        let want = [
            (4, to("a", "https://a.example/1", 308, Append)),
            (5, to("b", "/local", 307, Append)),
            (6, to("c", "https://a.example/", 308, Append)),
            (7, to("d", "https://a.example/", 302, Append)),
            (8, Err("PATTERN")),
            (9, Err("PATTERN")),
            (11, Err("CONDITION")),
            (15, Err("SHADOWED")),
            (16, Err("INVALID")),
            (17, Err("SYNTAX")),
            (18, Err("LACKING")),
        ];
        assert_eq!(rows, want);
        for (text, why) in [
            (&b"{}"[..], "no redirects"),
            (b"[]", "not a JSON object"),
            (b"{\"redirects\": {}}", "no list"),
            (b"{\"redirects\": [", "not JSON"),
            (b"\xff", "not UTF-8"),
        ] {
            assert!(vercel(text).err().unwrap().contains(why), "{why}");
        }
    }
}
