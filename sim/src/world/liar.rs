//! Somebody with the credential of an edge, who says whatever a hello can say. It has every proof that it was ever given,
//! and at times those of an edge that it robbed. Nothing that it does may change anything for others.

use super::World;
use crate::plan::{CONTROLS, EDGES};
use feed::{Admission, Hello, Proof, admit};
use link::{Epoch, Position, Seq};

/// So many proofs it remembers.
const MOST: usize = 32;

#[derive(Debug, Default)]
pub struct Liar {
    proofs: Vec<Proof>,
    membership: Option<LiarMembership>,
}

/// The liar among the edges that writes wait for.
#[derive(Clone, Copy, Debug)]
struct LiarMembership {
    number: u64,
    stream: u64,
}

impl World {
    /// One lie.
    pub fn lie(&mut self) {
        let c = self.rng.below(CONTROLS);
        if !self.controls[c].up || !self.controls[c].attached {
            return;
        }
        match self.rng.below(10) {
            0 => self.rob(),
            1 => self.lie_about_applied(),
            _ => self.lie_in_hello(c),
        }
    }

    fn rob(&mut self) {
        let e = self.rng.below(EDGES);
        self.learn(self.edges[e].proof);
    }

    fn learn(&mut self, proof: Option<Proof>) {
        let Some(proof) = proof else { return };
        let proofs = &mut self.liar.proofs;
        if proofs.len() == MOST {
            let which = self.rng.below(MOST);
            proofs.swap_remove(which);
        }
        proofs.push(proof);
    }

    fn lie_about_applied(&mut self) {
        let Some(LiarMembership { number, stream }) = self.liar.membership else { return };
        let seq = self.seq();
        self.counters.lies_applied += 1;
        if self.rng.percent(20) {
            self.known.goodbye(number, stream);
            self.liar.membership = None;
        } else {
            self.known.applied(number, stream, seq);
        }
    }

    fn lie_in_hello(&mut self, c: usize) {
        let (position, seen) = (self.rng.percent(90).then(|| self.position()), self.seq());
        let proof = self.proof();
        let name =
            if self.rng.percent(50) { "liar".to_owned() } else { format!("e{}", self.rng.below(EDGES)) };
        let (incarnation, number) = (self.rng.next() | 1 << 63, self.rng.next());
        let hello = Hello {
            edge: name,
            incarnation,
            position,
            seen,
            want_walk: self.rng.percent(50),
            walk_after: self.rng.next().to_be_bytes()[..self.rng.below(8)].to_vec(),
            number,
            proof,
        };
        let before = self.store.current;
        let log = self.look_for(c, &hello);
        self.counters.lies_true += u64::from(self.store.current != before);
        if matches!(admit(&hello, &log), Admission::Behind) {
            return;
        }
        self.note(|_| format!("control {c} lets the liar in: {hello:?}"));
        self.counters.lies_let_in += 1;
        // Whoever is let in is shown proofs.
        let given = self.store.prove(log.head);
        self.learn(Some(given));
        let stream = self.rng.next();
        let joined =
            self.known.join(("liar", self.rng.below(3) as u64), stream, (log.head.epoch, None), self.now);
        self.liar.membership = joined.map(|(number, _)| LiarMembership { number, stream });
    }

    /// None, a made-up one, one that was really given, or the seal of one under something else.
    fn proof(&mut self) -> Option<Proof> {
        let kind = self.rng.below(4);
        if kind == 0 || (kind > 1 && self.liar.proofs.is_empty()) {
            self.counters.lies_bare += 1;
            return None;
        }
        if kind == 1 {
            self.counters.lies_forged += 1;
            let (position, half) = (self.position(), self.rng.next().to_be_bytes());
            let seal = std::array::from_fn(|at| half[at % 8]);
            return Some(Proof { position, seal });
        }
        let which = self.rng.below(self.liar.proofs.len());
        let given = self.liar.proofs[which];
        if kind == 2 {
            self.counters.lies_replayed += 1;
            return Some(given);
        }
        self.counters.lies_altered += 1;
        let (other, own) = (self.position(), given.position);
        let position = match self.rng.below(4) {
            0 => Position { epoch: other.epoch, ..own },
            1 => Position { seq: own.seq + self.rng.between(1, 9), ..own },
            2 => Position { tag: other.tag, ..own },
            _ => other,
        };
        Some(Proof { position, ..given })
    }

    /// Anything, and often something that lies near.
    fn position(&mut self) -> Position {
        let head = self.store.now().head();
        let epoch = match self.rng.below(6) {
            0 => Epoch {
                counter: head.epoch.counter + self.rng.below(3) as u32,
                random: self.rng.next() as u32,
            },
            1 => Epoch { counter: u32::MAX - 1, ..head.epoch },
            2 => Epoch { counter: self.rng.next() as u32, random: self.rng.next() as u32 },
            3 => self.store.branches[self.rng.below(self.store.branches.len())].epoch,
            _ => head.epoch,
        };
        let seq = self.seq();
        let tag =
            self.store.now().tag(seq).filter(|_| self.rng.percent(50)).unwrap_or_else(|| self.rng.next());
        Position { epoch, seq, tag }
    }

    fn seq(&mut self) -> Seq {
        let head = self.store.now().head().seq;
        match self.rng.below(8) {
            0 => Seq::MAX,
            1 => self.rng.next(),
            2 => 0,
            3 => head + self.rng.between(1, 9),
            4 => head,
            _ => self.rng.between(0, head.max(1)),
        }
    }
}
