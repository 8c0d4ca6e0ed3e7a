//! What the benches have in common: a set with known links, and requests for them.

use hot::{AnswerContext, Conversation, Counts, Policy, Set, Stamp, StoredValue, View, answer};
use link::{Code, DomainId, Key, Link, LinkParts, Target};
use std::sync::Arc;

/// The key of the link with this number.
///
/// # Panics
/// Never: every number makes a code.
pub fn key(number: u32) -> Key {
    Key::new(DomainId::DEFAULT, &Code::new(&format!("c{number:06}")).expect("a code"))
}

/// A link of the mean length of real ones (87 bytes).
///
/// # Panics
/// Never: every number makes a target.
pub fn link(number: u32) -> StoredValue {
    let target = format!(
        "https://www.example.com/articles/2026/{number:07}/some-title-of-medium-length-here?utm=linkr"
    );
    let target = Target::stored(target.as_bytes()).expect("a target");
    StoredValue::live(Link::new(LinkParts::to(target)).expect("a link"))
}

/// A complete set of so many links.
pub fn set(links: u32) -> Set {
    let set = Set::new(1 << 30);
    for number in 0..links {
        set.apply(key(number).as_bytes(), u64::from(number) + 1, Some(&link(number)));
    }
    set.set_complete();
    set.freshen(1000);
    set
}

/// A request without anything that is not needed.
pub fn bare(number: u32) -> Vec<u8> {
    format!("GET /c{number:06} HTTP/1.1\r\nHost: go.example.com\r\n\r\n").into()
}

/// The key of a link with this number whose code begins with a letter beyond ASCII.
///
/// # Panics
/// Never: every number makes a code.
pub fn key_with_letter(number: u32) -> Key {
    Key::new(DomainId::DEFAULT, &Code::new(&format!("\u{fc}{number:06}")).expect("a code"))
}

/// A request for it, bare.
pub fn with_letter(number: u32) -> Vec<u8> {
    format!("GET /%C3%BC{number:06} HTTP/1.1\r\nHost: go.example.com\r\n\r\n").into()
}

/// The same as [`bare`], as a browser sends it.
pub fn browser(number: u32) -> Vec<u8> {
    let head = include_str!("../../hot/testdata/browser-head.http");
    head.replace("promo/2026", &format!("c{number:06}")).into()
}

/// What answers requests: all that a worker has besides the set.
pub struct Answerer {
    domains: View,
    stamp: Stamp,
    /// What they came to.
    pub counts: Counts,
    out: Vec<u8>,
}

impl Default for Answerer {
    fn default() -> Self {
        let stamp = Stamp::new("Sun, 22 Nov 2026 13:06:42 GMT");
        let (domains, out) = (View::new(Arc::default()), Vec::with_capacity(65_536));
        Self { domains, stamp, counts: Counts::default(), out }
    }
}

impl Answerer {
    /// The answers to all of `input`: one turn.
    pub fn answer(&mut self, set: &Set, input: &[u8]) -> &[u8] {
        self.out.clear();
        let Self { domains, stamp, counts, out } = self;
        let policy = Policy::default();
        let mut turn =
            AnswerContext { set, domains, now: 0, boot_ms: 1000, policy, debug: false, stamp, counts };
        answer(&mut Conversation::default(), input, out, &mut turn);
        out
    }
}
