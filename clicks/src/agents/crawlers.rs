//! The lists of crawlers, of programs and of those that make previews, and how an agent is looked up in them.

use crate::kind::Kind;
use aho_corasick::AhoCorasick;
use regex::bytes::{RegexSet, RegexSetBuilder};
use std::sync::Arc;

/// Made from npm's `crawler-user-agents`, whose licence stands at its head.
const LIST: &str = include_str!("crawlers.txt");
/// What is known beyond it, and better.
const OWN: &str = include_str!("own.txt");

/// The longest name; a longer pattern is cut.
const MOST_NAME: usize = 64;

/// Who sends a pattern.
pub(super) struct Crawler {
    /// [`Kind::Bot`] or [`Kind::Preview`].
    pub(super) kind: Kind,
    /// Of a pattern that is a text: that text up to what follows a name. Of a regular expression: empty.
    pub(super) name: Arc<str>,
}

/// Both lists. Texts are looked for all at once in one walk over the agent, regular expressions in another.
pub(super) struct Crawlers {
    texts: AhoCorasick,
    /// In the order of the texts.
    of_texts: Vec<Crawler>,
    regexes: RegexSet,
    /// In the order of the regular expressions.
    of_regexes: Vec<Crawler>,
    /// What looks like a crawler's and is a browser's.
    not: AhoCorasick,
    nots: Vec<&'static str>,
}

/// A line of a list.
struct Entry {
    word: &'static str,
    pattern: &'static str,
}

impl Crawlers {
    pub(super) fn new() -> Self {
        let own: Vec<Entry> = entries(OWN).collect();
        let of = |word: &str| -> Vec<&'static str> {
            own.iter().filter(|entry| entry.word == word).map(|entry| entry.pattern).collect()
        };
        let (dropped, nots) = (of("drop"), of("not"));
        let kept = entries(LIST).filter(|entry| !dropped.contains(&entry.pattern));
        let (mut texts, mut of_texts) = (Vec::new(), Vec::new());
        let (mut regexes, mut of_regexes) = (Vec::new(), Vec::new());
        for entry in kept.chain(entries(OWN)) {
            let kind = match entry.word {
                "bot" => Kind::Bot,
                "preview" => Kind::Preview,
                _ => continue,
            };
            if let Some(regex) = entry.pattern.strip_prefix('~') {
                regexes.push(regex);
                of_regexes.push(Crawler { kind, name: regex_name(regex).into() });
            } else {
                texts.push(entry.pattern);
                of_texts.push(Crawler { kind, name: text_name(entry.pattern).into() });
            }
        }
        let regexes = RegexSetBuilder::new(regexes).unicode(false).build();
        Self {
            texts: AhoCorasick::new(texts).expect("the lists fit an automaton"),
            of_texts,
            regexes: regexes.expect("the lists' regular expressions are such"),
            of_regexes,
            not: AhoCorasick::new(&nots).expect("the list fits an automaton"),
            nots,
        }
    }

    /// Who sends this agent; `None`: none that the lists know.
    pub(super) fn find(&self, agent: &str) -> Option<&Crawler> {
        let found = self.look_up(agent)?;
        if !self.not.is_match(agent) {
            return Some(found);
        }
        self.look_up(&self.not.replace_all(agent, &vec![" "; self.nots.len()]))
    }

    /// One that makes previews before a bot, a text before a regular expression, and the first of a list.
    fn look_up(&self, agent: &str) -> Option<&Crawler> {
        let texts = self
            .texts
            .find_overlapping_iter(agent)
            .map(|found| found.pattern().as_usize())
            .min_by_key(|text| (self.of_texts[*text].kind != Kind::Preview, *text))
            .map(|text| &self.of_texts[text]);
        if texts.is_some_and(|crawler| crawler.kind == Kind::Preview) {
            return texts;
        }
        let mut regexes =
            self.regexes.matches(agent.as_bytes()).into_iter().map(|regex| &self.of_regexes[regex]);
        let first = regexes.next();
        let preview = first.into_iter().chain(regexes).find(|crawler| crawler.kind == Kind::Preview);
        preview.or(texts).or(first)
    }
}

/// The lines of a list that are neither blank nor a comment.
fn entries(list: &'static str) -> impl Iterator<Item = Entry> {
    list.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| line.split_once('\t'))
        .map(|(word, pattern)| Entry { word, pattern })
}

/// `Googlebot` of `Googlebot/`.
fn text_name(text: &str) -> &str {
    let name = text.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
    &name[..name.floor_char_boundary(MOST_NAME)]
}

/// `linkr` of `^linkr/`; of one that is more than a beginning: none.
fn regex_name(regex: &str) -> &str {
    let name = regex.trim_start_matches('^').trim_end_matches("\\/").trim_end_matches('/');
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') { name } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::CLASSIFIER;
    use siphasher::sip::SipHasher24;
    use std::hash::Hasher;

    #[test]
    fn each_line_of_the_lists_says_something() {
        let list: Vec<Entry> = entries(LIST).collect();
        assert!(list.len() > 1_400 && LIST.contains("MIT License"));
        for line in LIST.lines().chain(OWN.lines()).filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let (word, pattern) = line.split_once('\t').expect(line);
            assert!(matches!(word, "bot" | "preview" | "drop" | "not") && !pattern.is_empty(), "{line}");
        }
        for dropped in entries(OWN).filter(|entry| entry.word == "drop") {
            assert!(list.iter().any(|entry| entry.pattern == dropped.pattern), "{}", dropped.pattern);
        }
    }

    #[test]
    fn names_are_those_of_programs() {
        assert_eq!(text_name("Googlebot/"), "Googlebot");
        assert_eq!(text_name("developers.google.com/+/web/snippet"), "developers.google.com/+/web/snippet");
        assert_eq!(regex_name("^linkr/"), "linkr");
        assert_eq!(regex_name("^HTTPie\\/"), "HTTPie");
        assert_eq!(regex_name("[wW]get"), "");
    }

    /// Who changes a list raises [`CLASSIFIER`] and puts the new number here.
    #[test]
    fn the_version_rises_with_the_lists() {
        let mut hash = SipHasher24::new();
        hash.write(LIST.as_bytes());
        hash.write(OWN.as_bytes());
        assert_eq!((CLASSIFIER, hash.finish()), (1, 9_431_429_728_211_239_192));
    }
}
