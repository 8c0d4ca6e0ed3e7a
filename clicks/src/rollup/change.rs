//! Clicks of a roll-up whose agents are of another class than before: as many come as go, so that every sum stays.

use super::{Dimension, Entry, OTHER, Rollup, Tuple};

/// Clicks that get another tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What they have in common.
    pub from: Tuple,
    /// The same with what the other class says of their agents: kind, browser, system and device. What else it has does not
    /// matter.
    pub to: Tuple,
    /// How many.
    pub count: u64,
}

/// What the class of an agent says.
const OF_AGENTS: [Dimension; 4] = [Dimension::Kind, Dimension::Browser, Dimension::Os, Dimension::Device];

/// What is a text of the dictionary.
const TEXTS: [Dimension; 3] = [Dimension::Browser, Dimension::Os, Dimension::Referrer];

impl Rollup {
    /// Gives those of the clicks that are here their other tuples, and takes them off `changes`: what is left there was not
    /// here. A click is also found where it is kept [without its details](super::MAX_WHOLE), or with [`OTHER`] for a text that
    /// the dictionary had no room for.
    pub fn change(&mut self, changes: &mut [Change]) {
        self.settle();
        let mut come = Vec::new();
        for change in changes {
            for tuple in as_kept(change.from) {
                let Ok(at) = self.entries.binary_search_by_key(&tuple, |own| own.tuple) else { continue };
                let gone = change.count.min(self.entries[at].count);
                self.entries[at].count -= gone;
                change.count -= gone;
                come.push(Entry { tuple: with(tuple, change.to), count: gone });
            }
        }
        self.entries.retain(|entry| entry.count > 0);
        come.iter().for_each(|entry| self.add_tuple(entry.tuple, entry.count));
    }
}

/// How clicks with this tuple may be kept, the usual way first.
fn as_kept(tuple: Tuple) -> impl Iterator<Item = Tuple> {
    let without = move |left_out: u32| {
        let mut kept = tuple;
        for (bit, dimension) in TEXTS.into_iter().enumerate() {
            let text = &mut kept.0[dimension as usize];
            if left_out >> bit & 1 == 1 && *text > OTHER {
                *text = OTHER;
            }
        }
        kept
    };
    (0..1 << TEXTS.len()).map(without).chain(std::iter::once(tuple.coarse()))
}

/// A tuple with what another one says of agents.
fn with(mut tuple: Tuple, other: Tuple) -> Tuple {
    for dimension in OF_AGENTS {
        tuple.0[dimension as usize] = other.get(dimension);
    }
    tuple
}

#[cfg(test)]
mod tests {
    use super::super::tests::tuples;
    use super::*;
    use proptest::prelude::*;

    fn of(counts: &[(Tuple, u64)]) -> Rollup {
        let mut rollup = Rollup::default();
        counts.iter().for_each(|(tuple, count)| rollup.add_tuple(*tuple, *count));
        rollup
    }

    fn tuple(kind: u32, browser: u32, referrer: u32) -> Tuple {
        Tuple([kind, 1, browser, 3, 1, referrer, 5])
    }

    #[test]
    fn clicks_are_changed_where_they_are_and_the_rest_is_told() {
        let (was, now) = (tuple(0, 2, 9), tuple(2, 4, 0));
        let mut rollup = of(&[(was, 3), (tuple(0, 2, OTHER), 2), (was.coarse(), 1), (tuple(1, 2, 9), 5)]);
        let mut changes = [Change { from: was, to: now, count: 8 }];
        rollup.change(&mut changes);
        assert_eq!(changes[0].count, 2);
        let left_out = with(was.coarse(), now);
        assert_eq!(
            rollup,
            of(&[(tuple(2, 4, 9), 3), (tuple(2, 4, OTHER), 2), (left_out, 1), (tuple(1, 2, 9), 5)])
        );
        // One that was given no referrer is not one of those whose referrer is left out.
        let mut none = [Change { from: tuple(1, 2, 0), to: now, count: 1 }];
        of(&[(tuple(1, 2, OTHER), 1)]).change(&mut none);
        assert_eq!(none[0].count, 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        /// Whatever is changed into whatever, also in a circle: it is what it would be if it had been so from the beginning.
        #[test]
        fn as_many_come_as_go(clicks in prop::collection::vec((tuples(), tuples(), 1u64..9, any::<bool>()), 0..60)) {
            let mut before = Rollup::default();
            let mut after = Rollup::default();
            let mut changes = Vec::new();
            for (from, to, count, changed) in clicks {
                before.add_tuple(from, count);
                after.add_tuple(if changed { with(from, to) } else { from }, count);
                if changed {
                    changes.push(Change { from, to, count });
                }
            }
            let total = before.total();
            before.change(&mut changes);
            prop_assert!(changes.iter().all(|change| change.count == 0));
            prop_assert_eq!(before.total(), total);
            prop_assert_eq!(before, after);
        }
    }
}
