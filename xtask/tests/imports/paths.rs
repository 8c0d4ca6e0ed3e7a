//! The paths that a source file names, read without a parser: comments and texts taken out, `use` trees spread out.

/// Every path: those of `use` items in full, and each `a::b::c` elsewhere. Test modules are left out.
pub fn named(text: &str) -> Vec<String> {
    let code = without_tests(&without_texts(text));
    let mut found = Vec::new();
    let mut rest = String::new();
    let mut left = code.as_str();
    while let Some(at) = next_use(left) {
        rest.push_str(&left[..at]);
        let end = left[at..].find(';').map_or(left.len(), |end| at + end);
        spread("", &left[at + 4..end], &mut found);
        left = &left[end..];
    }
    rest.push_str(left);
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let paths = rest.split(|c: char| !is_path(c)).map(|path| path.trim_matches(':'));
    found.extend(paths.filter(|path| path.contains("::")).map(str::to_owned));
    found
}

/// Whether `path` is `rule` or lies below it; a rule `::Name` means a segment anywhere.
pub fn is_below(path: &str, rule: &str) -> bool {
    match rule.strip_prefix("::") {
        Some(segment) => path.split("::").any(|part| part == segment),
        None => path.strip_prefix(rule).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")),
    }
}

fn next_use(code: &str) -> Option<usize> {
    let starts_word =
        |at: usize| code[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
    code.match_indices("use ").map(|(at, _)| at).find(|&at| starts_word(at))
}

/// `a::{b, c::{d}}` is `a::b` and `a::c::d`.
fn spread(front: &str, tree: &str, found: &mut Vec<String>) {
    let tree = tree.trim().trim_start_matches("::");
    match tree.split_once('{') {
        Some((path, inner)) => {
            let front = format!("{front}{}", path.trim());
            let inner = inner.trim_end().strip_suffix('}').unwrap_or(inner);
            let (mut depth, mut start) = (0, 0);
            for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        spread(&front, &inner[start..at], found);
                        start = (at + 1).min(inner.len());
                    }
                    _ => {}
                }
            }
        }
        None if tree.is_empty() => {}
        None => {
            let path = tree.split(" as ").next().unwrap_or(tree).trim();
            found.push(format!("{front}{path}").trim_end_matches("::self").to_owned());
        }
    }
}

/// Test modules stand last in a file, by the style of this repository.
fn without_tests(code: &str) -> String {
    let tests = code.find("#[cfg(test)]\nmod ").or_else(|| code.find("#[cfg(all(test,"));
    code[..tests.unwrap_or(code.len())].to_owned()
}

/// Takes out comments, strings and characters.
fn without_texts(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut left = text;
    while let Some(c) = left.chars().next() {
        let skip = if left.starts_with("//") {
            left.find('\n').unwrap_or(left.len())
        } else if left.starts_with("/*") {
            left.find("*/").map_or(left.len(), |end| end + 2)
        } else if left.starts_with("r#\"") {
            left.find("\"#").map_or(left.len(), |end| end + 2)
        } else if c == '"' {
            string(left)
        } else if left.starts_with("'\"'") {
            3
        } else {
            0
        };
        if skip == 0 {
            out.push(c);
            left = &left[c.len_utf8()..];
        } else {
            left = &left[skip..];
        }
    }
    out
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}
