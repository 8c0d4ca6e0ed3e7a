//! The turns of a worker whose answers are on their way to the kernel. They end in any order; clicks are taken in theirs.

use std::collections::VecDeque;

/// Turns that are open at once without an allocation.
const USUAL: usize = 1024;
/// Ticks after which a turn is slow: its client does not read, and everybody else's clicks would wait for it.
const PATIENCE: u64 = 3;

/// A turn with clicks, from [`publish`](super::RingWriter::publish) until it is settled. One that is dropped holds up all
/// that come behind it until it is moved, and is never taken.
#[derive(Debug)]
#[must_use = "its clicks are not taken until it is settled"]
pub struct RingTurn(u32);

#[derive(Clone, Copy)]
pub(super) struct OpenTurn {
    pub begin: u64,
    pub end: u64,
    /// The tick in which it was opened, or moved.
    since: u64,
    settled: bool,
}

pub(super) struct Turns {
    all: Vec<OpenTurn>,
    free: Vec<u32>,
    /// By their positions.
    order: VecDeque<u32>,
    tick: u64,
}

impl Turns {
    pub fn new() -> Self {
        let all = Vec::with_capacity(USUAL);
        Self { all, free: Vec::with_capacity(USUAL), order: VecDeque::with_capacity(USUAL), tick: 0 }
    }

    #[inline]
    pub fn open(&mut self, begin: u64, end: u64) -> RingTurn {
        let turn = OpenTurn { begin, end, since: self.tick, settled: false };
        let number = match self.free.pop() {
            Some(number) => {
                self.all[number as usize] = turn;
                number
            }
            None => {
                self.all.push(turn);
                (self.all.len() - 1) as u32
            }
        };
        self.order.push_back(number);
        RingTurn(number)
    }

    /// Where its clicks are now.
    pub fn get(&self, turn: &RingTurn) -> OpenTurn {
        self.all[turn.0 as usize]
    }

    /// It is over.
    #[inline]
    pub fn settle(&mut self, RingTurn(number): RingTurn) {
        self.all[number as usize].settled = true;
        self.pass_settled();
    }

    /// Those that are over are forgotten, up to the first that is not.
    #[inline]
    fn pass_settled(&mut self) {
        while let Some(&first) = self.order.front()
            && self.all[first as usize].settled
        {
            self.order.pop_front();
            self.free.push(first);
        }
    }

    /// All are over.
    pub fn settle_all(&mut self) {
        self.order.clear();
    }

    /// Up to where all are settled; `None`: up to the end.
    #[inline]
    pub fn first(&self) -> Option<u64> {
        self.order.front().map(|&first| self.all[first as usize].begin)
    }

    pub fn tick(&mut self) {
        self.tick += 1;
    }

    /// The one that holds up the others, if it is slow.
    pub fn slow(&self) -> Option<OpenTurn> {
        let first = self.all[*self.order.front()? as usize];
        (self.tick - first.since >= PATIENCE).then_some(first)
    }

    /// The clicks of the first one lie there now, behind all others.
    pub fn moved(&mut self, begin: u64, end: u64) {
        let Some(first) = self.order.pop_front() else { return };
        self.all[first as usize] = OpenTurn { begin, end, since: self.tick, settled: false };
        self.order.push_back(first);
        self.pass_settled();
    }
}
