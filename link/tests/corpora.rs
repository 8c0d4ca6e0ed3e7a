//! Targets against public corpora: nothing that must fail is accepted. Skipped where `../shared/data` is absent.

use link::Target;
use std::path::{Path, PathBuf};

fn shared(path: &str) -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(path);
    if file.is_file() {
        return Some(file);
    }
    println!("skipped: {} is absent", file.display());
    None
}

fn read(path: &str) -> Option<String> {
    shared(path).map(|file| std::fs::read_to_string(file).unwrap())
}

#[test]
fn url_standard_cases_that_must_fail_do() {
    let Some(text) = read("urls/urltestdata.json") else { return };
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let (mut failures, mut accepted) = (0, 0);
    for case in cases.iter().filter(|case| case.is_object()) {
        let input = case["input"].as_str().unwrap();
        let target = Target::given(input, &[]);
        let relative = case["base"].is_string(); // a target has no base: what needs one must fail, too
        if case["failure"] == true && !relative {
            failures += 1;
            assert!(target.is_err(), "must fail: {input:?}");
        }
        let Ok(target) = target else { continue };
        accepted += 1;
        assert_ne!(case["failure"], true, "must fail: {input:?}");
        // What is stored leads where the URL Standard says.
        if !relative {
            let (have, want) = (url::Url::parse(target.as_str()).unwrap(), case["href"].as_str().unwrap());
            assert_eq!(have.as_str(), want, "{input:?}");
        }
    }
    println!("{failures} that must fail, {accepted} accepted");
    assert!(failures > 100 && accepted > 50);
}

#[test]
fn open_redirect_tricks_lead_where_they_say_or_are_refused() {
    let Some(text) = read("http/open-redirect-payloads.txt") else { return };
    for line in text.lines() {
        if let Ok(target) = Target::given(line, &[]) {
            let stored = target.as_str().to_ascii_lowercase();
            assert!(stored.starts_with("http://") || stored.starts_with("https://"), "{line}");
            let authority = stored.split_once("://").unwrap().1.split(['/', '?', '#']).next().unwrap();
            assert!(
                !authority.contains(['@', '\\']) && !authority.is_empty(),
                "{line} is stored as {stored}"
            );
        }
    }
}

#[test]
fn naughty_strings_neither_break_in_nor_break_it() {
    let Some(text) = read("http/naughty_strings.json") else { return };
    let strings: Vec<String> = serde_json::from_str(&text).unwrap();
    for string in &strings {
        let _ = link::Code::new(string);
        for text in [string.clone(), format!("https://example.com/{string}"), format!("https://{string}/")] {
            if let Ok(target) = Target::given(&text, &[]) {
                assert!(target.as_bytes().iter().all(|b| (0x21..=0x7e).contains(b)), "{text:?}");
            }
        }
    }
}
