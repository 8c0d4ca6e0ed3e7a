//! The key of a run as one number, in the same order: month, subject and first quarter. SQLite finds a row by one number in
//! fewer bytes, and its pages are fuller (docs/decisions/0018).
//!
//! ```text
//! bits 63–53  the month, signed; 0 is January of 2070
//! bits 52–12  the subject
//! bits 11–0   the quarter in the month
//! ```

use super::rows::CellKey;
use super::times::{QUARTERS, first_day};

const QUARTER_BITS: u32 = 12;
const SUBJECT_BITS: u32 = 41;
const MONTH_BITS: u32 = i64::BITS - SUBJECT_BITS - QUARTER_BITS;
/// The first subject: before that of any domain.
const FIRST_SUBJECT: i64 = -(1 << 36);
/// The month with the number 0: those that can be named are of 1985 to 2154, and no clock of an edge is believed beyond.
const MIDDLE_MONTH: i64 = (2_070 - 1_970) * 12;
const FIRST_MONTH: i64 = MIDDLE_MONTH - (1 << (MONTH_BITS - 1));

const _: () = assert!(31 * QUARTERS < 1 << QUARTER_BITS, "no month has as many quarters");

/// Where the month, the subject and the quarter of a key are, each from 0 on.
fn parts([month, subject, start]: CellKey) -> [i64; 3] {
    let begin = if month.abs_diff(MIDDLE_MONTH) < 1 << MONTH_BITS { first_day(month) * QUARTERS } else { 0 };
    [month.saturating_sub(FIRST_MONTH), subject.saturating_sub(FIRST_SUBJECT), start.saturating_sub(begin)]
}

fn number([month, subject, quarter]: [i64; 3]) -> i64 {
    let month = month + FIRST_MONTH - MIDDLE_MONTH;
    (month << (SUBJECT_BITS + QUARTER_BITS)) | (subject << QUARTER_BITS) | quarter
}

/// The number of a key that a row can have; `None`: none has.
pub(crate) fn place(key: CellKey) -> Option<i64> {
    let parts = parts(key);
    let fits = |(part, bits): (&i64, u32)| (0..1 << bits).contains(part);
    let all = parts.iter().zip([MONTH_BITS, SUBJECT_BITS, QUARTER_BITS]).all(fits);
    all.then(|| number(parts))
}

/// The number behind those of all smaller keys, and before or at those of all others.
pub(crate) fn bound(key: CellKey) -> i64 {
    let mut parts = parts(key);
    let bits = [MONTH_BITS, SUBJECT_BITS, QUARTER_BITS];
    for at in 0..parts.len() {
        let size = 1 << bits[at];
        if (0..size).contains(&parts[at]) {
            continue;
        }
        let beyond = parts[at] >= size;
        parts[at..].fill(0);
        if beyond {
            // Behind all of what is before this part: the next one of that.
            let Some(before) = (0..at).rev().find(|before| parts[*before] + 1 < 1 << bits[*before]) else {
                return i64::MAX;
            };
            parts[before] += 1;
            parts[before + 1..].fill(0);
        }
        break;
    }
    number(parts)
}

/// The key with this number.
pub(crate) fn key(place: i64) -> CellKey {
    let month = (place >> (SUBJECT_BITS + QUARTER_BITS)) + MIDDLE_MONTH;
    let subject = ((place >> QUARTER_BITS) & ((1 << SUBJECT_BITS) - 1)) + FIRST_SUBJECT;
    [month, subject, first_day(month) * QUARTERS + (place & ((1 << QUARTER_BITS) - 1))]
}

#[cfg(test)]
mod tests {
    use super::super::rows::{LEAST, MOST};
    use super::super::times::{day_of, month_of};
    use super::*;

    /// Keys that rows have, in their order.
    fn keys() -> Vec<CellKey> {
        let mut keys = Vec::new();
        for day in [5_600, 19_000, 20_758, 20_787, 20_788, 20_818, 67_000] {
            for subject in [-(1 << 35), -9, -1, 1, 2, 1 << 32, (1 << 41) - (1 << 36) - 1] {
                for quarter in [0, 1, 95] {
                    keys.push([month_of(day), subject, day * QUARTERS + quarter]);
                }
            }
        }
        keys.sort_unstable();
        keys
    }

    #[test]
    fn keys_come_back_and_keep_their_order() {
        let places: Vec<i64> = keys().into_iter().map(|key| place(key).unwrap()).collect();
        assert!(places.is_sorted_by(|one, next| one < next));
        assert_eq!(places.into_iter().map(key).collect::<Vec<_>>(), keys());
        let [month, subject, start] = keys()[9];
        assert_eq!(month, month_of(day_of(start)));
        for none in [LEAST, MOST, [month, 1 << 41, start], [month, subject, start - 40 * QUARTERS]] {
            assert_eq!(place(none), None, "{none:?}");
        }
    }

    /// Whatever is asked for: on which side of it a key is does not change.
    #[test]
    fn a_bound_parts_the_keys_as_it_did() {
        let around = |part: usize| {
            let near = keys().into_iter().flat_map(|key| [key[part] - 1, key[part], key[part] + 1]);
            let mut all: Vec<i64> = near.chain([i64::MIN, -(1 << 36) - 1, 0, 1 << 41, i64::MAX]).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let placed: Vec<(CellKey, i64)> = keys().into_iter().map(|key| (key, place(key).unwrap())).collect();
        for month in around(0) {
            for subject in around(1) {
                for start in around(2) {
                    let asked = [month, subject, start];
                    let bound = bound(asked);
                    let same = |(key, place): &(CellKey, i64)| (*place < bound) == (*key < asked);
                    assert!(placed.iter().all(same), "{asked:?}");
                }
            }
        }
    }
}
