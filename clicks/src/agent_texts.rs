//! Which agents' texts travel with a batch, so that clicks can be classified anew where they are kept.

use crate::bounded::{Allowance, Bounded};

/// Agents whose text is known to have been sent: 65,536, in 1.5 MiB.
const SETS: usize = 1 << 13;
/// Texts that are let through at once; then one a second. At 512 bytes each that is 2 MiB, and 44 MB a day at most.
const NEW_TEXTS: u32 = 4_096;
const DAY: i64 = 86_400_000;

/// Lets each agent's text through once a day, since who keeps them drops those that no click of its days names, and few new
/// ones under a flood. An agent without a text keeps the class that it was given.
pub struct AgentTexts {
    /// The day for which it was sent, by the agent's hash.
    sent: Bounded<i64>,
    new: Allowance,
}

impl Default for AgentTexts {
    fn default() -> Self {
        Self::new()
    }
}

impl AgentTexts {
    /// With nothing sent.
    pub fn new() -> Self {
        Self { sent: Bounded::new(SETS), new: Allowance::new(NEW_TEXTS) }
    }

    /// Whether the text of the agent with this hash goes with the click that was answered at `at`, in Unix milliseconds. It is
    /// taken to have been sent then.
    pub fn is_due(&mut self, hash: u64, at: i64) -> bool {
        let day = at.div_euclid(DAY);
        if hash == 0 || self.sent.get(hash).is_some_and(|sent| *sent >= day) || !self.new.take(at) {
            return false;
        }
        self.sent.put(hash, day);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_sent_once_a_day() {
        let mut texts = AgentTexts::new();
        let due = [(7, 1), (7, 2), (8, 2), (0, 2), (7, DAY), (7, DAY + 1), (7, 5)]
            .map(|(hash, at)| texts.is_due(hash, at));
        assert_eq!(due, [true, false, true, false, true, false, false]);
    }

    #[test]
    fn a_flood_of_agents_sends_few_texts() {
        let mut texts = AgentTexts::new();
        let due = |texts: &mut AgentTexts, from: u64, at| {
            (from..from + 100_000)
                .filter(|number| texts.is_due(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), at))
                .count()
        };
        assert_eq!(due(&mut texts, 1, 1_000), NEW_TEXTS as usize);
        assert_eq!(due(&mut texts, 200_000, 11_000), 10);
    }
}
