//! What control takes of a spool: each batch once, in order, and every number that no edge holds any more as a hole.
//!
//! The law that these rules keep, for each spool and across restarts: recorded = acknowledged + lost + pending.

use crate::batch::{Batch, MAX_NO};
use link::rule::{Rule, off};

/// What the store has of a spool: its last batch, and the number of the last click in it. It is written in the
/// transaction that writes the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The seq of the last batch that was taken.
    pub seq: u64,
    /// The number of its last click.
    pub last_no: u64,
}

/// A batch as an edge offers it, without what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its seq in the spool: 1, 2, 3 …
    pub seq: u64,
    /// The number of its first click.
    pub first_no: u64,
    /// The number of its last click; `first_no - 1` if no click was recorded in it.
    pub last_no: u64,
    /// Whether the edge holds no batch before this one any more that control lacks.
    pub first: bool,
}

impl Offer {
    /// Whether the batch holds the numbers that were named with it. One that does not is refused as
    /// [`Refusal::OtherNumbers`].
    pub fn fits(&self, batch: &Batch) -> bool {
        self.first_no == batch.first_no && self.last_no == batch.last_no()
    }
}

/// What is to be done with an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Write the batch, this cursor, and as lost for [`Restored`](crate::LossReason::Restored) what is in the hole.
    Take {
        /// The cursor from now on.
        cursor: Cursor,
        /// Numbers that nobody holds.
        hole: Option<Hole>,
    },
    /// It was taken before, by this control or another one: acknowledge up to this seq, and write nothing.
    Known {
        /// The seq up to which everything is taken.
        acked: u64,
    },
    /// An earlier batch is missing: ask for this seq, and write nothing.
    Want {
        /// The seq that is missing.
        seq: u64,
    },
    /// No edge that keeps to the protocol offers this.
    Refuse(Refusal),
}

/// Numbers of clicks that were recorded and that no edge holds any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The first of them.
    pub first_no: u64,
    /// The last of them, at least `first_no`.
    pub last_no: u64,
}

impl Hole {
    /// How many clicks are missing, if the edge is believed.
    pub fn count(self) -> u64 {
        self.last_no - self.first_no + 1
    }

    /// How many of them an edge can have recorded within so many milliseconds: [`MOST_A_SECOND`]. Anybody who may send batches
    /// can leave out any number.
    pub fn possible(self, within: i64) -> u64 {
        let most = u128::from(within.max(0).unsigned_abs()) * u128::from(MOST_A_SECOND) / 1_000;
        u128::from(self.count()).min(most) as u64
    }
}

/// Clicks that one edge can record in a second: one thread gives them their numbers, and takes half a microsecond for each.
pub const MOST_A_SECOND: u64 = 2_000_000;

/// Why an offer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its seq or one of its numbers is 0 or beyond [`MAX_NO`], or its last number is below its first.
    NoNumbers,
    /// It is the next batch, and its first number is one that was taken.
    NumbersGoBack,
    /// It is the next batch, the edge does not say that anything is gone, and yet numbers are left out.
    NumbersLeftOut,
    /// The batch does not hold the numbers that were named with it: see [`Offer::fits`].
    OtherNumbers,
    /// Another batch was taken under this seq: two edges send under one name and spool, or a disk was put back.
    OtherBatch,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoNumbers => {
                "seq or numbers of the batch are out of range: they begin with 1, and the last is not below the first"
            }
            Self::NumbersGoBack => {
                "the batch begins with a number that was taken with an earlier batch: a spool that lost count takes a new id"
            }
            Self::NumbersLeftOut => {
                "the batch leaves out numbers behind the last batch: what was lost is told in it, or it says that earlier ones are gone"
            }
            Self::OtherNumbers => "the batch does not hold the numbers that were named with it",
            Self::OtherBatch => {
                "another batch was taken under this seq: two edges have a copy of one --clicks-dir, or its disk was put back; start \
                 this one with an empty --clicks-dir"
            }
        })
    }
}

impl std::error::Error for Refusal {}

/// Judges an offer by what the store has of its spool; `None`: nothing.
///
/// A spool's first batch has seq 1. Another one is taken at the start, or behind a batch that is missing, only if the
/// edge says that it holds no earlier one. Numbers that are left out then were acknowledged by a store that has since been
/// put back to an older state.
pub fn judge(cursor: Option<Cursor>, offer: Offer) -> Judgement {
    if !is_in_range(offer) {
        return Judgement::Refuse(Refusal::NoNumbers);
    }
    let have = cursor.unwrap_or(Cursor { seq: 0, last_no: 0 });
    if offer.seq <= have.seq {
        if off(Rule::ClickOnce) {
            return take(have, offer);
        }
        // Acknowledged, its clicks would be nowhere, and nobody would be told. Of batches before the last one nothing is kept.
        if offer.seq == have.seq && offer.last_no != have.last_no {
            return Judgement::Refuse(Refusal::OtherBatch);
        }
        return Judgement::Known { acked: have.seq };
    }
    if offer.seq > have.seq + 1 && !offer.first && !off(Rule::ClickInOrder) {
        return Judgement::Want { seq: have.seq + 1 };
    }
    if offer.first_no <= have.last_no {
        return Judgement::Refuse(Refusal::NumbersGoBack);
    }
    let left_out = offer.first_no > have.last_no + 1;
    if left_out && !offer.first && !off(Rule::ClickInOrder) {
        return Judgement::Refuse(Refusal::NumbersLeftOut);
    }
    take(have, offer)
}

fn is_in_range(offer: Offer) -> bool {
    let Offer { seq, first_no, last_no, first: _ } = offer;
    let bounds = 1..=MAX_NO;
    bounds.contains(&seq) && bounds.contains(&first_no) && last_no <= MAX_NO && last_no + 1 >= first_no
}

fn take(have: Cursor, offer: Offer) -> Judgement {
    let hole = Hole { first_no: have.last_no + 1, last_no: offer.first_no - 1 };
    let told = hole.first_no <= hole.last_no && !off(Rule::ClickHoleTold);
    let cursor = Cursor { seq: offer.seq, last_no: offer.last_no };
    Judgement::Take { cursor, hole: told.then_some(hole) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offer(seq: u64, first_no: u64, last_no: u64, first: bool) -> Offer {
        Offer { seq, first_no, last_no, first }
    }

    fn taken(seq: u64, last_no: u64, hole: Option<(u64, u64)>) -> Judgement {
        let hole = hole.map(|(first_no, last_no)| Hole { first_no, last_no });
        Judgement::Take { cursor: Cursor { seq, last_no }, hole }
    }

    #[test]
    fn offers_are_judged_by_the_cursor() {
        use Judgement::{Known, Refuse, Want};
        let at = |seq, last_no| Some(Cursor { seq, last_no });
        let cases = [
            (None, offer(1, 1, 9, false), taken(1, 9, None)),
            (None, offer(1, 1, 0, false), taken(1, 0, None)),
            (None, offer(2, 10, 19, false), Want { seq: 1 }),
            (None, offer(2, 10, 19, true), taken(2, 19, Some((1, 9)))),
            (None, offer(1, 3, 19, true), taken(1, 19, Some((1, 2)))),
            (None, offer(1, 3, 19, false), Refuse(Refusal::NumbersLeftOut)),
            (at(4, 40), offer(5, 41, 44, false), taken(5, 44, None)),
            (at(4, 40), offer(5, 41, 44, true), taken(5, 44, None)),
            (at(4, 40), offer(5, 41, 40, false), taken(5, 40, None)),
            (at(4, 40), offer(4, 31, 40, false), Known { acked: 4 }),
            (at(4, 40), offer(1, 1, 9, true), Known { acked: 4 }),
            (at(4, 40), offer(6, 45, 50, false), Want { seq: 5 }),
            (at(4, 40), offer(6, 45, 50, true), taken(6, 50, Some((41, 44)))),
            (at(4, 40), offer(6, 41, 50, true), taken(6, 50, None)),
            (at(4, 40), offer(6, 40, 50, true), Refuse(Refusal::NumbersGoBack)),
            (at(4, 40), offer(5, 40, 50, false), Refuse(Refusal::NumbersGoBack)),
            (at(4, 40), offer(5, 42, 50, false), Refuse(Refusal::NumbersLeftOut)),
            (at(4, 40), offer(5, 42, 50, true), taken(5, 50, Some((41, 41)))),
            (at(4, 40), offer(0, 1, 2, true), Refuse(Refusal::NoNumbers)),
            (at(4, 40), offer(5, 0, 2, true), Refuse(Refusal::NoNumbers)),
            (at(4, 40), offer(5, 44, 42, false), Refuse(Refusal::NoNumbers)),
            (at(4, 40), offer(5, 41, MAX_NO + 1, false), Refuse(Refusal::NoNumbers)),
            (at(4, 40), offer(u64::MAX, u64::MAX, u64::MAX, true), Refuse(Refusal::NoNumbers)),
        ];
        for (cursor, offer, expected) in cases {
            assert_eq!(judge(cursor, offer), expected, "{cursor:?} {offer:?}");
        }
    }

    proptest! {
        /// A spool whose batches are offered in any order, again, and after the store or the spool has lost some: what is
        /// taken and what is told as a hole are together every number up to the cursor, each once.
        #[test]
        fn every_number_is_taken_or_told_once(
            sizes in proptest::collection::vec(0u64..9, 1..20),
            steps in proptest::collection::vec((0usize..20, any::<bool>(), any::<bool>()), 1..80),
        ) {
            let (mut batches, mut next) = (Vec::new(), 1);
            for size in &sizes {
                batches.push((next, next + size - 1));
                next += size;
            }
            let (mut cursor, mut held, mut counts) = (None::<Cursor>, 0, vec![0u32; next as usize]);
            for (at, drop_old, restore) in steps {
                if drop_old {
                    held = held.max(at.min(sizes.len() - 1) / 2);
                }
                if restore {
                    (cursor, counts) = (None, vec![0; next as usize]);
                }
                let at = at.clamp(held, sizes.len() - 1).max(held);
                let (first_no, last_no) = batches[at];
                let offered = offer(at as u64 + 1, first_no, last_no, at == held);
                match judge(cursor, offered) {
                    Judgement::Take { cursor: new, hole } => {
                        let lost = hole.map_or(1..1, |hole| hole.first_no..hole.last_no + 1);
                        lost.chain(first_no..last_no + 1).for_each(|no| counts[no as usize] += 1);
                        cursor = Some(new);
                    }
                    Judgement::Known { acked } => prop_assert_eq!(acked, cursor.unwrap().seq),
                    Judgement::Want { seq } => {
                        prop_assert_eq!(seq, cursor.map_or(0, |cursor| cursor.seq) + 1);
                        prop_assert!(seq <= at as u64 && at > held);
                    }
                    Judgement::Refuse(refusal) => prop_assert!(false, "{} at {}", refusal, at),
                }
                let until = cursor.map_or(0, |cursor| cursor.last_no);
                prop_assert!((1..next).all(|no| counts[no as usize] == u32::from(no <= until)));
            }
        }
    }

    #[test]
    fn a_hole_is_believed_as_far_as_an_edge_can_have_recorded_so_many() {
        let of = |last_no| Hole { first_no: 5, last_no };
        assert_eq!((of(5).possible(0), of(5).possible(-9), of(5).possible(1)), (0, 0, 1));
        assert_eq!(of(1_000).possible(60_000), 996);
        assert_eq!(of(MAX_NO).possible(60_000), 60 * MOST_A_SECOND);
        assert_eq!(of(MAX_NO).possible(i64::MAX), MAX_NO - 4);
    }

    /// Two copies of one folder each make a fifth batch.
    #[test]
    fn another_batch_under_a_seq_that_was_taken_is_not_acknowledged() {
        let at = Some(Cursor { seq: 5, last_no: 50 });
        assert_eq!(judge(at, offer(5, 41, 50, false)), Judgement::Known { acked: 5 });
        for last_no in [44, 60] {
            let refused = Judgement::Refuse(Refusal::OtherBatch);
            assert_eq!(judge(at, offer(5, 41, last_no, false)), refused);
            assert_eq!(judge(at, offer(5, 41, last_no, true)), refused);
        }
    }

    #[cfg(feature = "rules")]
    #[test]
    fn each_rule_can_be_off() {
        use link::rule::switch_off;
        let at = Some(Cursor { seq: 4, last_no: 40 });
        switch_off(&[Rule::ClickOnce]);
        assert_eq!(judge(at, offer(4, 31, 40, false)), taken(4, 40, None));
        switch_off(&[Rule::ClickInOrder]);
        assert_eq!(judge(at, offer(6, 45, 50, false)), taken(6, 50, Some((41, 44))));
        switch_off(&[Rule::ClickHoleTold]);
        assert_eq!(judge(at, offer(6, 45, 50, true)), taken(6, 50, None));
        switch_off(&[]);
    }
}
