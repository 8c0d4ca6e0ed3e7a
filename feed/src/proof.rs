//! What an edge can show of the history that it follows (R2): it repeats what control gave it, and cannot make any.

use link::rule::{Rule, off};
use link::{Epoch, Position, Seq};

/// A position of the log with the seal of a control of its store. What the seal is made of is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The position.
    pub position: Position,
    /// What only a control of the store can make.
    pub seal: [u8; 16],
}

impl Proof {
    /// Of two, the later one stays: of the later history, and in one history of the higher seq. Kept before what came
    /// with it is relied on, so that an edge can always prove what it has seen.
    pub fn keep(kept: &mut Option<Self>, new: Option<Self>) {
        let Some(new) = new else { return };
        let (at, order) = (new.position, |at: Position| (at.epoch.counter, at.seq));
        let older = |own: Position| match own.epoch.counter == at.epoch.counter {
            true => own.epoch == at.epoch && own.seq < at.seq,
            false => order(own) < order(at),
        };
        if kept.is_none_or(|own| older(own.position)) {
            *kept = Some(new);
        }
    }

    /// Up to which seq an edge that has this proof may rely on a value of `epoch` that nobody has sealed, current at
    /// `as_of` and made by `version`. What is current at a seq is so at every earlier one down to its version. `None`:
    /// not at all.
    #[must_use]
    pub fn reach(kept: Option<&Self>, epoch: Epoch, as_of: Seq, version: Seq) -> Option<Seq> {
        if off(Rule::ProvableCopy) {
            return Some(as_of);
        }
        let own = kept.map(|proof| proof.position).filter(|own| own.epoch == epoch)?;
        (version <= own.seq).then(|| as_of.min(own.seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(counter: u32, random: u32, seq: Seq) -> Proof {
        Proof { position: Position { epoch: Epoch { counter, random }, seq, tag: 1 }, seal: [0; 16] }
    }

    #[test]
    fn the_later_proof_stays() {
        let mut kept = None;
        for (new, stays) in [
            (of(2, 1, 5), of(2, 1, 5)),
            (of(2, 1, 4), of(2, 1, 5)),
            (of(1, 1, 9), of(2, 1, 5)),
            (of(2, 1, 6), of(2, 1, 6)),
            (of(3, 1, 1), of(3, 1, 1)),
            (of(3, 2, 9), of(3, 1, 1)),
        ] {
            Proof::keep(&mut kept, Some(new));
            assert_eq!(kept, Some(stays));
        }
        Proof::keep(&mut kept, None);
        assert_eq!(kept, Some(of(3, 1, 1)));
    }

    #[test]
    fn a_copy_is_relied_on_as_far_as_can_be_proved() {
        let kept = of(2, 1, 5);
        let epoch = kept.position.epoch;
        let reach = |epoch, as_of, version| Proof::reach(Some(&kept), epoch, as_of, version);
        assert_eq!(reach(epoch, 4, 2), Some(4));
        assert_eq!(reach(epoch, 9, 5), Some(5));
        assert_eq!(reach(epoch, 9, 6), None, "it was made behind the proof");
        assert_eq!(reach(of(2, 2, 0).position.epoch, 4, 2), None, "of another history");
        assert_eq!(Proof::reach(None, epoch, 4, 2), None);
    }
}
