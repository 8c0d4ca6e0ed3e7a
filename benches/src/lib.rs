//! What the benches have in common: a set with known links, and requests for them.

use hot::{Set, Stored};
use link::{Code, DomainId, Key, Link, LinkParts, Target};

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
pub fn link(number: u32) -> Stored {
    let target = format!(
        "https://www.example.com/articles/2026/{number:07}/some-title-of-medium-length-here?utm=linkr"
    );
    let target = Target::stored(target.as_bytes()).expect("a target");
    Stored::Live(Link::new(LinkParts::to(target)).expect("a link"))
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

/// The same as a browser sends it.
pub fn browser(number: u32) -> Vec<u8> {
    let head = include_str!("../../hot/testdata/browser-head.http");
    head.replace("promo/2026", &format!("c{number:06}")).into()
}
