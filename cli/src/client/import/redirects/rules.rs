//! Which rule of a site comes first: the one before fits all that the other is for. What a pattern fits is decided by a
//! regular expression, as Netlify documents it and as path-to-regexp 6 has it, which Vercel uses.

use super::super::row::Reason;
use proto::v1::Link;
use regex::{Regex, escape};
use std::cell::OnceCell;
use std::collections::HashMap;
use std::iter::Peekable;
use std::str::Chars;

/// How patterns are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// `*` and `:name`. A `/` at the end of a path means nothing.
    Site,
    /// `:name`, `(group)`, `{part}`, each perhaps with `*`, `+` or `?` behind.
    Vercel,
}

/// What requests a rule is for.
pub struct RedirectRule<'a> {
    /// Empty: both.
    scheme: &'a str,
    /// Empty: every host.
    pub host: String,
    /// With its first `/`; empty where a host stands alone.
    pub path: &'a str,
    syntax: Syntax,
}

/// The rules so far, each with its line.
#[derive(Default)]
pub struct EarlierRules {
    paths: HashMap<String, u64>,
    patterns: Vec<Pattern>,
}

struct Pattern {
    line: u64,
    scheme: String,
    host: String,
    /// What stands before the first sign that is no text.
    front: String,
    path: String,
    syntax: Syntax,
    /// Made when a path begins so: most never do.
    regex: OnceCell<Option<Regex>>,
}

impl<'a> RedirectRule<'a> {
    /// Of its text: a path, or a whole URL.
    pub fn of(from: &'a str, syntax: Syntax) -> Self {
        let (scheme, bare) = from.split_once("://").unwrap_or(("", from));
        let (host, path) = bare.split_at(bare.find('/').unwrap_or(bare.len()));
        let path = match path.trim_end_matches('/') {
            "" if !path.is_empty() => "/",
            whole if syntax == Syntax::Site => whole,
            _ => path,
        };
        Self { scheme, host: host.to_ascii_lowercase(), path, syntax }
    }

    /// Whether it fits several paths.
    pub fn is_pattern(&self) -> bool {
        front(self.path, self.syntax).len() < self.path.len()
    }
}

impl EarlierRules {
    /// What a rule comes to, which is for requests by their path alone or, `narrow`, for fewer.
    pub fn judge(
        &mut self,
        line: u64,
        rule: &RedirectRule,
        narrow: bool,
        link: Result<Link, Reason>,
    ) -> Result<Link, Reason> {
        let RedirectRule { scheme, host, path, .. } = rule;
        let own = format!("{scheme}://{host}{path}");
        if rule.is_pattern() {
            if !narrow {
                self.patterns.push(Pattern::of(line, rule));
            }
            return link;
        }
        let known = [&own, &format!("://{host}{path}"), &format!("://{path}")];
        let before = known.iter().find_map(|known| self.paths.get(*known)).copied();
        let before = before.or_else(|| self.patterns.iter().find(|one| one.fits(rule)).map(|one| one.line));
        if !narrow {
            self.paths.entry(own).or_insert(line);
        }
        match before {
            None => link,
            Some(before) => Err((
                "SHADOWED",
                format!("is not reached: line {before} is for this path, too, and comes first"),
            )),
        }
    }
}

impl Pattern {
    fn of(line: u64, rule: &RedirectRule) -> Self {
        Self {
            line,
            scheme: rule.scheme.to_owned(),
            host: rule.host.clone(),
            front: front(rule.path, rule.syntax).to_owned(),
            path: rule.path.to_owned(),
            syntax: rule.syntax,
            regex: OnceCell::new(),
        }
    }

    /// Whether it fits every request for what another rule is about.
    fn fits(&self, rule: &RedirectRule) -> bool {
        let wide = |own: &str, other: &str| own.is_empty() || own == other;
        if !wide(&self.scheme, rule.scheme) || !wide(&self.host, &rule.host) {
            return false;
        }
        // A / before a name that may be missing may be missing, too.
        if !rule.path.starts_with(self.front.trim_end_matches(['/', '.'])) {
            return false;
        }
        let regex = self.regex.get_or_init(|| {
            let text = match self.syntax {
                Syntax::Site => of_site(&self.path),
                Syntax::Vercel => of_vercel(&self.path),
            };
            Regex::new(&format!("^{text}$")).ok()
        });
        // What is not understood may fit everything.
        regex.as_ref().is_none_or(|regex| regex.is_match(rule.path))
    }
}

/// What stands before the first sign that is no text.
fn front(path: &str, syntax: Syntax) -> &str {
    let named = |at: usize| path[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic());
    let is_sign = |(at, c): &(usize, char)| match syntax {
        Syntax::Site => *c == '*' || *c == ':' && named(*at),
        Syntax::Vercel => matches!(c, '*' | ':' | '(' | '{' | '?' | '+' | '\\'),
    };
    let at = path.char_indices().find(is_sign).map_or(path.len(), |(at, _)| at);
    &path[..at]
}

/// `/a/*` fits `/a` and all below it, and `:name` a segment.
fn of_site(path: &str) -> String {
    let (path, behind) = match path.strip_suffix("/*") {
        Some(path) => (path, "(?:/.*)?"),
        None => (path, ""),
    };
    let (mut text, mut rest) = (String::new(), path);
    loop {
        let before = front(rest, Syntax::Site);
        text.push_str(&escape(before));
        rest = &rest[before.len()..];
        let Some(sign) = rest.chars().next() else { break };
        text.push_str(if sign == '*' { ".*" } else { "[^/]+" });
        rest = rest[1..].trim_start_matches(|c: char| sign == ':' && is_name(c));
    }
    text + behind
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// As path-to-regexp has it, but that a part in braces may be anything.
fn of_vercel(path: &str) -> String {
    let (mut text, mut plain, mut signs) = (String::new(), String::new(), path.chars().peekable());
    while let Some(sign) = signs.next() {
        let inside = match sign {
            '\\' => {
                plain.extend(signs.next());
                continue;
            }
            ':' => {
                while signs.next_if(|c| is_name(*c)).is_some() {}
                match signs.next_if_eq(&'(') {
                    Some(_) => group(&mut signs, ')'),
                    None => "[^/]+".to_owned(),
                }
            }
            '(' => group(&mut signs, ')'),
            '{' => {
                group(&mut signs, '}');
                ".*".to_owned()
            }
            other => {
                plain.push(other);
                continue;
            }
        };
        // It comes and goes with the name behind it.
        let before =
            if plain.ends_with(['/', '.']) { plain.split_off(plain.len() - 1) } else { String::new() };
        text.push_str(&escape(&plain));
        plain.clear();
        let one = format!("{}(?:{inside})", escape(&before));
        let again = signs.next_if(|c| matches!(c, '*' | '+' | '?'));
        text.push_str(&again.map_or_else(|| one.clone(), |again| format!("(?:{one}){again}")));
    }
    text + &escape(&plain)
}

/// The expression in a group, up to what closes it. One that is written for another engine, or not closed, may fit
/// anything.
fn group(signs: &mut Peekable<Chars>, close: char) -> String {
    let (mut inside, mut depth) = (String::new(), 1);
    while let Some(sign) = signs.next() {
        depth += i32::from(matches!(sign, '(' | '{')) - i32::from(matches!(sign, ')' | '}'));
        if depth == 0 && sign == close && Regex::new(&inside).is_ok() {
            return inside;
        }
        if depth == 0 {
            break;
        }
        inside.push(sign);
        if sign == '\\' {
            inside.extend(signs.next());
        }
    }
    ".*".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a pattern that comes first keeps requests from a path.
    fn fits(syntax: Syntax, pattern: &str, path: &str) -> bool {
        let mut earlier = EarlierRules::default();
        let mut judge = |line, from, link| earlier.judge(line, &RedirectRule::of(from, syntax), false, link);
        judge(1, pattern, Err(("PATTERN", String::new()))).unwrap_err();
        judge(2, path, Ok(Link::default())).is_err()
    }

    /// Found with a published `vercel.json` of 380 rules: the second was `/docs(/|)`, and 342 behind it were refused.
    #[test]
    fn a_pattern_fits_what_vercel_fits_it_to() {
        for (pattern, fit, other) in [
            ("/docs(/|)", &["/docs", "/docs/"][..], &["/keto/docs", "/docs/a", "/doc", "/docs-a"][..]),
            ("/keto/(|v0.5/)engines", &["/keto/engines", "/keto/v0.5/engines"], &["/keto/v0.6/engines"]),
            ("/a/:path*", &["/a", "/a/b", "/a/b/c"], &["/ab", "/b"]),
            ("/a/:path+", &["/a/b", "/a/b/c"], &["/a"]),
            ("/a/:one?", &["/a", "/a/b"], &["/a/b/c"]),
            ("/:path*/index", &["/index", "/a/b/index"], &["/a/index.html", "/aindex"]),
            (
                "/docs/:version(v[0-9.]+|next)/:path*",
                &["/docs/next", "/docs/v1.2/x"],
                &["/docs/kratos/install", "/docs/v1x"],
            ),
            ("/a-(data|user)-model", &["/a-user-model"], &["/a-model", "/a-other-model"]),
            ("/a/(.*)", &["/a/b/c"], &["/a", "/ab"]),
            ("/a/:id(\\d{1,3})", &["/a/12"], &["/a/x", "/a/1234"]),
            ("/a\\.b/:x", &["/a.b/c"], &["/axb/c"]),
            ("/:x((?!uk/).*)", &["/uk/a", "/b"], &[]),
            ("/a{/:b}?", &["/a", "/a/b"], &["/b"]),
            ("/a(", &["/a", "/ab"], &["/b"]),
        ] {
            fit.iter().for_each(|path| assert!(fits(Syntax::Vercel, pattern, path), "{pattern} {path}"));
            other.iter().for_each(|path| assert!(!fits(Syntax::Vercel, pattern, path), "{pattern} {path}"));
        }
    }

    #[test]
    fn a_pattern_fits_what_netlify_fits_it_to() {
        for (pattern, fit, other) in [
            ("/a/*", &["/a", "/a/", "/a/b/c"][..], &["/ab", "/b", "https://go.example/b"][..]),
            ("/a*", &["/a", "/ab", "/a/b"], &["/b"]),
            ("/a/:y/:m/x", &["/a/1/2/x", "/a/1/2/x/"], &["/a/1/x", "/a/1/2/3/x"]),
            ("/*", &["/", "/a", "https://go.example/a"], &[]),
            ("https://go.example/*", &["https://Go.Example/a"], &["/a", "https://b.example/a"]),
            ("http://go.example/*", &["http://go.example/a"], &["https://go.example/a"]),
            ("/a.b/*", &["/a.b/c"], &["/axb/c"]),
        ] {
            fit.iter().for_each(|path| assert!(fits(Syntax::Site, pattern, path), "{pattern} {path}"));
            other.iter().for_each(|path| assert!(!fits(Syntax::Site, pattern, path), "{pattern} {path}"));
        }
    }

    #[test]
    fn a_path_that_was_there_is_named_by_its_line() {
        let mut earlier = EarlierRules::default();
        let mut judge = |line, from, narrow| {
            let link =
                earlier.judge(line, &RedirectRule::of(from, Syntax::Site), narrow, Ok(Link::default()));
            link.err().map(|(_, why)| why)
        };
        assert_eq!(judge(1, "/a", true), None);
        assert_eq!(judge(2, "/a/", false), None);
        assert!(judge(3, "/a", false).unwrap().contains("line 2 "));
        assert!(judge(4, "https://go.example/a", false).unwrap().contains("line 2 "));
        assert_eq!(judge(5, "https://go.example/b", false), None);
        assert_eq!(judge(6, "/b", false), None, "it is for other hosts, too");
        assert!(judge(7, "http://go.example/b/", false).unwrap().contains("line 6 "));
    }
}
