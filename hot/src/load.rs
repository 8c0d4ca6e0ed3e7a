//! R6c: what must still be asked for before an absent key is an honest absence.

use crate::Set;
use link::Key;
use link::rule::{Rule, off};

/// Keys to ask for before a set can be complete. More come only when the stream lags far behind what was filled.
const MAX_ASK_LIST: usize = 65_536;

/// The progress of one set towards completeness, from a walk's first page on.
#[derive(Debug, Default)]
pub struct LoadProgress {
    ask_list: Vec<Key>,
    /// More were refused than could be kept.
    overflowed: bool,
    evictions_before: u64,
}

impl LoadProgress {
    /// A walk begins: after a reset, or because this edge asked for one.
    pub fn begin(&mut self, set: &Set) {
        *self = Self { ask_list: Vec::new(), overflowed: false, evictions_before: set.evictions() };
    }

    /// A change, or an entry of a walk that the set does not hold now, was refused: something newer was seen in its
    /// slot, of this key or of another.
    pub fn refused(&mut self, key: Key) {
        if off(Rule::AskList) {
            return;
        }
        if self.ask_list.len() < MAX_ASK_LIST {
            self.ask_list.push(key);
        } else {
            self.overflowed = true;
        }
    }

    /// Keys to ask origin for now, at most so many; they are back on the list unless [`LoadProgress::answered`].
    pub fn questions(&mut self, set: &Set, at_most: usize) -> &[Key] {
        if !self.can_complete(set) {
            self.ask_list.clear(); // demand will ask
        }
        &self.ask_list[self.ask_list.len().saturating_sub(at_most)..]
    }

    /// The last so many of [`LoadProgress::questions`] were answered, and the set took the answers.
    pub fn answered(&mut self, count: usize) {
        self.ask_list.truncate(self.ask_list.len() - count);
    }

    /// Makes the set complete if it is; `true` when it became so. `walked`: every page is in, and everything that
    /// changed up to the last one, too ([`feed::Follower::walked`]).
    pub fn finish(&mut self, set: &Set, walked: bool) -> bool {
        let may = walked && self.ask_list.is_empty() && self.can_complete(set) && !set.is_complete();
        may && set.complete_since(self.evictions_before)
    }

    /// Not after an eviction: then only a new walk can.
    fn can_complete(&self, set: &Set) -> bool {
        !self.overflowed && (set.evictions() == self.evictions_before || off(Rule::EvictIncomplete))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_complete_once_nothing_is_left_to_ask() {
        let set = Set::new(1 << 16);
        let mut loading = LoadProgress::default();
        loading.begin(&set);
        let key = Key::from_bytes(b"\0\0\0\0a").unwrap();
        loading.refused(key.clone());
        assert!(!loading.finish(&set, true), "one is left to ask");
        assert_eq!(loading.questions(&set, 10), [key]);
        loading.answered(1);
        assert!(!loading.finish(&set, false), "pages are missing");
        assert!(loading.finish(&set, true) && set.is_complete());
        assert!(!loading.finish(&set, true), "it is already");
    }

    #[test]
    fn an_eviction_since_the_walk_began_ends_it() {
        let set = Set::with_fences(300, 16);
        let mut loading = LoadProgress::default();
        for number in 0..9u8 {
            set.apply(
                &[0, 0, 0, 0, b'a' + number],
                u64::from(number) + 1,
                Some(&crate::StoredValue::Deleted),
            );
        }
        assert!(set.evictions() > 0);
        loading.refused(Key::from_bytes(b"\0\0\0\0a").unwrap());
        assert!(loading.questions(&set, 10).is_empty() && !loading.finish(&set, true));
        loading.begin(&set);
        assert!(loading.finish(&set, true), "nothing went since then");
    }

    #[test]
    fn too_many_to_ask_for_need_a_new_walk() {
        let (set, mut loading) = (Set::new(1 << 16), LoadProgress::default());
        for number in 0..=MAX_ASK_LIST {
            loading.refused(Key::from_bytes(format!("\0\0\0\0{number}").as_bytes()).unwrap());
        }
        assert!(loading.questions(&set, 10).is_empty() && !loading.finish(&set, true));
    }
}
