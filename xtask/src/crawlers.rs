//! Makes the list of crawlers of the crate `clicks`, and the samples that its tests read, from npm's package
//! `crawler-user-agents`, downloaded and unpacked by the caller.

use serde_json::Value;
use std::fs;
use std::path::Path;

const LIST: &str = "clicks/src/agents/crawlers.txt";
const SAMPLES: &str = "clicks/tests/samples/crawlers.txt";

/// One entry of the package.
struct Crawler {
    kind: &'static str,
    pattern: String,
    samples: Vec<String>,
}

/// Writes both files. `package` is the folder with the package's `package.json`.
pub fn write(package: &Path) -> Result<(), String> {
    let read = |name: &str| {
        let path = package.join(name);
        fs::read_to_string(&path).map_err(|fault| format!("cannot read {}: {fault}", path.display()))
    };
    let parse = |name: &str| {
        serde_json::from_str::<Value>(&read(name)?).map_err(|fault| format!("{name} is not JSON: {fault}"))
    };
    let about = parse("package.json")?;
    let version = about["version"].as_str().ok_or("package.json names no version")?;
    let crawlers = crawlers(&parse("crawler-user-agents.json")?)?;
    let head = head(version, &read("LICENSE")?);
    put(LIST, &head, crawlers.iter().map(|crawler| format!("{}\t{}", crawler.kind, crawler.pattern)))?;
    put(SAMPLES, &head, crawlers.iter().flat_map(|crawler| crawler.samples.iter().cloned()))?;
    println!(
        "{} patterns; raise CLASSIFIER in clicks/src/agents.rs where the list has changed",
        crawlers.len()
    );
    Ok(())
}

/// What each file opens with: its origin, and the licence that has to stay with it.
fn head(version: &str, licence: &str) -> String {
    let mut head =
        format!("# From npm's crawler-user-agents {version}, by `xtask crawlers`: do not edit by hand.\n#\n");
    for line in licence.trim().lines() {
        head.push_str(format!("# {line}").trim_end());
        head.push('\n');
    }
    head
}

fn put(path: &str, head: &str, lines: impl Iterator<Item = String>) -> Result<(), String> {
    let mut text = head.to_owned();
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    fs::write(path, text).map_err(|fault| format!("cannot write {path}: {fault}"))
}

fn crawlers(list: &Value) -> Result<Vec<Crawler>, String> {
    let entries = list.as_array().ok_or("crawler-user-agents.json is not a list")?;
    entries
        .iter()
        .map(|entry| crawler(entry).ok_or_else(|| format!("cannot read the entry {entry}")))
        .collect()
}

fn crawler(entry: &Value) -> Option<Crawler> {
    let words = |name: &str| -> Option<Vec<String>> {
        entry[name].as_array()?.iter().map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let tags = words("tags")?;
    let has = |tag: &str| tags.iter().any(|other| other == tag);
    let samples = words("instances")?;
    if samples.iter().any(|sample| sample.contains('\n') || sample.starts_with('#')) {
        return None;
    }
    let kind = if has("social-preview") && !has("ai-crawler") { "preview" } else { "bot" };
    Some(Crawler { kind, pattern: pattern(entry["pattern"].as_str()?), samples })
}

/// A pattern as the list has it: the text itself where it is one, else `~` and the regular expression.
fn pattern(regex: &str) -> String {
    let mut text = String::new();
    let mut letters = regex.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(letter) if !letter.is_ascii_alphanumeric() => text.push(letter),
                _ => return format!("~{regex}"),
            },
            '[' | ']' | '(' | ')' | '{' | '}' | '*' | '+' | '?' | '|' | '^' | '$' | '.' | '~' => {
                return format!("~{regex}");
            }
            _ => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_without_operators_is_text() {
        assert_eq!(pattern(r"Googlebot\/"), "Googlebot/");
        assert_eq!(pattern(r"Unshorten\.It\!"), "Unshorten.It!");
        for regex in [r"^curl", r"[wW]get", r"Current[\s\S]*Reader", "a.b", r"a\d"] {
            assert_eq!(pattern(regex), format!("~{regex}"));
        }
    }

    #[test]
    fn a_crawler_that_also_learns_from_what_it_reads_makes_no_previews() {
        let kind = |tags: &str| {
            let entry = format!(r#"{{"pattern": "a", "instances": ["a"], "tags": {tags}}}"#);
            crawler(&serde_json::from_str(&entry).unwrap()).unwrap().kind
        };
        assert_eq!(kind(r#"["social-preview"]"#), "preview");
        assert_eq!(kind(r#"["ai-crawler", "social-preview"]"#), "bot");
        assert_eq!(kind(r#"["seo"]"#), "bot");
    }
}
