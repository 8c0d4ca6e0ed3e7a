//! Links as the world writes them: each leads to a number of its own, so that an answer says which one was meant.

use link::{Class, Link, LinkParts, LinkTerms, Target, TargetHost};

const HOST: &str = "https://t.example/";
/// Of every so manieth mark: below the host that is blocked at times.
const BLOCKED_HOST: &str = "https://s.blocked.example/";
const BLOCKED: u32 = 6;
/// External ids: few, so that they collide.
pub const IDS: usize = 3;

/// The link of a key that leads to a mark.
pub fn link(key: usize, mark: u32) -> Link {
    let host = if is_blocked(mark) { BLOCKED_HOST } else { HOST };
    let target = Target::stored(format!("{host}{mark}").as_bytes()).expect("a target");
    let class = match key % 3 {
        0 => Class::Inherit,
        1 => Class::Strict,
        _ => Class::Normal,
    };
    Link::new(LinkParts::on(LinkTerms { class, ..LinkTerms::default() }, target)).expect("fits together")
}

/// An external id by its number; 0 is none.
pub fn external_id(number: usize) -> String {
    if number == 0 { String::new() } else { format!("e{number}") }
}

/// The number of an external id.
pub fn number_of(external_id: &str) -> usize {
    external_id.strip_prefix('e').and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The mark that a link leads to.
pub fn of(link: &Link) -> Option<u32> {
    named(link.parts().target.as_bytes())
}

/// The mark in a target.
pub fn named(target: &[u8]) -> Option<u32> {
    let behind = |host: &str| target.strip_prefix(host.as_bytes());
    std::str::from_utf8(behind(HOST).or_else(|| behind(BLOCKED_HOST))?).ok()?.parse().ok()
}

/// Whether links that lead to this mark lead below [`blocked`].
pub fn is_blocked(mark: u32) -> bool {
    mark % BLOCKED == BLOCKED - 1
}

/// The host that is blocked at times.
pub fn blocked() -> TargetHost {
    TargetHost::stored("example.blocked.".into())
}
