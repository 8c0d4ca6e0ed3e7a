//! The lines that servers log: each has the name of its event, and none shows Rust's `Debug`.

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
/// What runs in a server.
const SERVERS: [&str; 5] = ["edge/src/", "control/src/", "store/src/", "cli/src/", "exposition/src/"];

/// What is wrong with the lines of one source file.
pub fn faults(file: &str, text: &str) -> Vec<String> {
    if !SERVERS.iter().any(|server| file.starts_with(server)) {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for level in LEVELS {
        let start = format!("tracing::{level}!(");
        for (at, _) in text.match_indices(&start) {
            let said = inside(&text[at + start.len()..]);
            let line = text[..at].lines().count();
            if !said.trim_start().starts_with("name: \"") {
                faults.push(format!(
                    "{file}:{line}: a line of the log begins with the name of its event: name: \"…\""
                ));
            }
            if shows_debug(said) {
                faults
                    .push(format!("{file}:{line}: a line of the log shows Rust's Debug (?field or {{:?}})"));
            }
        }
    }
    faults
}

/// Up to the bracket that closes what began before; brackets in strings do not count.
fn inside(text: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..at];
        }
    }
    text
}

fn shows_debug(said: &str) -> bool {
    let sigil = said.match_indices('?').any(|(at, _)| {
        let before = said[..at].trim_end().chars().next_back();
        let after = said[at + 1..].chars().next();
        before.is_some_and(|c| ",=(".contains(c)) && after.is_some_and(|c| c.is_alphabetic() || c == '_')
    });
    sigil || said.contains(":?}") || said.contains("field::debug")
}

#[test]
fn a_planted_line_is_found() {
    for said in [
        "tracing::info!(x, \"y\")",
        "tracing::warn!(\n    name: \"a\", ?x, \"y\")",
        "tracing::warn!(name: \"a\", x = ?y.z(), \"y\")",
        "tracing::error!(name: \"a\", \"{x:?}\")",
        "tracing::error!(name: \"a\", x = tracing::field::debug(&x), \"y\")",
    ] {
        assert_eq!(faults("edge/src/x.rs", said).len(), 1, "{said}");
        assert!(faults("loadtest/src/x.rs", said).is_empty());
    }
    let good = "tracing::error!(name: \"a\", %x, y = f(z)?, \"is it (really)?\"); let a = b(\"{x:?}\");";
    assert_eq!(faults("edge/src/x.rs", good), Vec::<String>::new());
}
