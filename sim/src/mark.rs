//! Links as the world writes them: each leads to a number of its own, so that an answer says which one was meant.

use link::{Class, Link, LinkParts, Target};

const HOST: &str = "https://t.example/";

/// The link of a key that leads to a mark.
pub fn link(key: usize, mark: u32) -> Link {
    let target = Target::stored(format!("{HOST}{mark}").as_bytes()).expect("a target");
    let class = match key % 3 {
        0 => Class::Inherit,
        1 => Class::Strict,
        _ => Class::Normal,
    };
    Link::new(LinkParts { class, ..LinkParts::to(target) }).expect("fits together")
}

/// The mark that a link leads to.
pub fn of(link: &Link) -> Option<u32> {
    named(link.parts().target.as_bytes())
}

/// The mark in a target.
pub fn named(target: &[u8]) -> Option<u32> {
    std::str::from_utf8(target.strip_prefix(HOST.as_bytes())?).ok()?.parse().ok()
}
