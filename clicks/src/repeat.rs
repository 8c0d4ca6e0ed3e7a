//! Which clicks of a visitor on a link follow another within seconds.

use link::Seq;

/// How long after a click another of the same visitor on the same link is a repeat, in milliseconds.
const WINDOW: i64 = 10_000;
const SETS: usize = 1 << 14;
const WAYS: usize = 8;

/// The last click of each visitor and link. It has room for 131,072 (2 MiB): what 13,000 clicks of people a second fill in
/// the window. Where more come, the oldest goes early, and a repeat may count as a person.
pub(crate) struct Repeats {
    last: Vec<Last>,
}

#[derive(Clone, Copy)]
struct Last {
    /// Of visitor and link; 0: empty.
    key: u64,
    at: i64,
}

impl Repeats {
    pub(crate) fn new() -> Self {
        Self { last: vec![Last { key: 0, at: i64::MIN }; SETS * WAYS] }
    }

    /// Notes a click, and says whether the last one was less than the window before. Clicks of several workers come out of
    /// order, so that one a little later counts as well: of two, one is the repeat, in whichever order they come.
    pub(crate) fn note(&mut self, visitor: u64, uid: Seq, at: i64) -> bool {
        // A visitor's number is random, so that nobody chooses which set is filled.
        let key = (visitor ^ uid.wrapping_mul(0x9e37_79b9_7f4a_7c15)).max(1);
        let set = &mut self.last[(key >> 32) as usize % SETS * WAYS..][..WAYS];
        if let Some(last) = set.iter_mut().find(|last| last.key == key) {
            let is_repeat = at.saturating_sub(last.at).unsigned_abs() < WINDOW.unsigned_abs();
            last.at = last.at.max(at);
            return is_repeat;
        }
        if let Some(oldest) = set.iter_mut().min_by_key(|last| last.at) {
            *oldest = Last { key, at };
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_within_the_window_of_the_last_is_a_repeat() {
        let mut repeats = Repeats::new();
        assert!(!repeats.note(1, 5, 100_000));
        assert!(repeats.note(1, 5, 109_999));
        assert!(repeats.note(1, 5, 119_998));
        assert!(!repeats.note(1, 5, 129_998));
        assert!(!repeats.note(2, 5, 129_998));
        assert!(!repeats.note(1, 6, 129_998));
    }

    #[test]
    fn clicks_out_of_order_give_the_same_count() {
        let mut repeats = Repeats::new();
        assert!(!repeats.note(1, 5, 100_000));
        assert!(repeats.note(1, 5, 99_000));
        assert!(repeats.note(1, 5, 109_500));
    }

    #[test]
    fn a_flood_takes_no_more_room() {
        let mut repeats = Repeats::new();
        let before = repeats.last.capacity();
        let mut visitor: u64 = 1;
        for at in 0..1_000_000 {
            visitor = visitor.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            assert!(!repeats.note(visitor, 5, at));
        }
        assert_eq!(repeats.last.capacity(), before);
        assert!(repeats.note(visitor, 5, 1_000_000));
    }
}
