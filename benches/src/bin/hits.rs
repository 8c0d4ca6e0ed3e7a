//! Answers 10,000 hits in a set of 100,000 links, for valgrind to count: `hits bare` or `hits browser`.

use benches::{Asking, bare, browser, set};

const LINKS: u32 = 100_000;
const HITS: u32 = 10_000;

fn main() {
    let head = match std::env::args().nth(1).as_deref() {
        Some("browser") => browser,
        _ => bare,
    };
    // Spread over the whole set, and made before anything is counted.
    let heads: Vec<_> = (0..HITS).map(|number| head(number * (LINKS / HITS))).collect();
    let (set, mut asking) = (set(LINKS), Asking::default());
    println!("{} bytes answered", counted(&set, &mut asking, &heads));
}

/// What is counted goes by this name.
#[inline(never)]
fn counted(set: &hot::Set, asking: &mut Asking, heads: &[Vec<u8>]) -> usize {
    heads.iter().map(|head| asking.answer(set, head).len()).sum()
}
