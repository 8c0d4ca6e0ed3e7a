//! Answers 10,000 hits in a set of 100,000 links, for valgrind to count: `hits bare`, `hits browser`, `hits forwarded` for
//! a browser's head as a proxy passes it on, or `hits letters` for codes with a letter beyond ASCII. `hits lenient`: of a
//! domain that finds codes however they are written, as stored; `hits folded` in another case, `hits slashed` with a slash
//! behind. `hits bare noting`: each click is noted in a ring. `hits turn`: so many turns end that nobody looks at.

use benches::{
    Answerer, bare, browser, folded, forwarded, key_with_letter, lenient, lenient_key, link, set, slashed,
    with_letter,
};
use hot::{Outcome, TurnMarks, Turns};

const LINKS: u32 = 100_000;
const HITS: u32 = 10_000;

fn main() {
    let kind = std::env::args().nth(1).unwrap_or_default();
    let head = match kind.as_str() {
        "browser" => browser,
        "forwarded" => forwarded,
        "letters" => with_letter,
        "lenient" => lenient,
        "folded" => folded,
        "slashed" => slashed,
        _ => bare,
    };
    if kind == "turn" {
        let mut turns = Turns::new(0);
        turns.look_at(1_000_000);
        return println!(
            "{} of them looked at",
            (0..HITS).filter(|at| turn_ends(&mut turns, u64::from(*at))).count()
        );
    }
    // Spread over the whole set, and made before anything is counted.
    let numbers = (0..HITS).map(|number| number * (LINKS / HITS));
    let heads: Vec<_> = numbers.clone().map(head).collect();
    let noting = std::env::args().nth(2).is_some_and(|how| how == "noting");
    let more: Option<fn(u32) -> link::Key> = match kind.as_str() {
        "letters" => Some(key_with_letter),
        "lenient" | "folded" | "slashed" => Some(lenient_key),
        _ => None,
    };
    let mut asking = match kind.as_str() {
        _ if noting => Answerer::noting(),
        "lenient" | "folded" | "slashed" => Answerer::lenient(),
        _ => Answerer::default(),
    };
    let set = set(LINKS);
    for (number, key) in numbers.filter_map(|number| Some((number, more?(number)))) {
        set.apply(key.as_bytes(), u64::from(LINKS + 1 + number), Some(&link(number)));
    }
    println!("{} bytes answered", counted(&set, &mut asking, &heads));
    assert_eq!(asking.lost().unwrap_or(0), 0, "each was noted");
}

/// The entry that a worker makes in its ring of turns, for traces, when a turn ends.
#[inline(never)]
fn turn_ends(turns: &mut Turns<u64>, at: u64) -> bool {
    turns.end(at, at, TurnMarks::of(Outcome::Redirect))
}

/// What is counted goes by this name.
#[inline(never)]
fn counted(set: &hot::Set, asking: &mut Answerer, heads: &[Vec<u8>]) -> usize {
    heads.iter().map(|head| asking.answer(set, head).len()).sum()
}
