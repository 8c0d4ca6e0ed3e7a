//! What a request came to, and where its answer came from: for counting.

use crate::head::Head;
use std::cell::Cell;

/// What a request came to: the `outcome` label of `linkr_edge_requests_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Outcome {
    /// A redirect to the target of a link that holds.
    Redirect,
    /// 404, or 302 to where the domain leads instead: no such code, or not yet valid, or no code at all.
    NotFound,
    /// 410: expired, disabled or deleted.
    Gone,
    /// 204 or 405: a method that is not looked up.
    Method,
    /// A path that the edge answers itself, and its domain has no file for.
    Reserved,
    /// 400, 413, 414, 417, 421, 431, 505: a request that is not served.
    Refused,
    /// 408: a head that did not arrive in time.
    TimedOut,
    /// 503: nobody who knows could be asked in time.
    Unavailable,
    /// A file of the domain.
    File,
    /// 302 from `/` to where its domain leads.
    Root,
    /// 302 from a link that has expired to where it or its domain leads then. Without such a target it is [`Self::Gone`].
    Expired,
}

impl Outcome {
    /// In the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Redirect,
        Self::NotFound,
        Self::Gone,
        Self::Method,
        Self::Reserved,
        Self::Refused,
        Self::TimedOut,
        Self::Unavailable,
        Self::File,
        Self::Root,
        Self::Expired,
    ];

    /// The label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Redirect => "redirect",
            Self::NotFound => "not_found",
            Self::Gone => "gone",
            Self::Method => "method",
            Self::Reserved => "reserved",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Unavailable => "unavailable",
            Self::File => "file",
            Self::Root => "root",
            Self::Expired => "expired",
        }
    }
}

/// Where the answer to a request came from: the `tier` label of `linkr_edge_requests_total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(usize)]
pub enum Tier {
    /// Memory, and this edge knew that it was current up to the bound.
    #[default]
    Hot,
    /// The positioned copy was asked, and knew.
    Redis,
    /// Control was asked; with [`Outcome::Unavailable`], and did not say.
    Origin,
    /// Memory that may be old: the edge is cut off, or its history was replaced and nobody confirmed the entry yet.
    Stale,
    /// Nothing was looked up.
    None,
}

impl Tier {
    /// In the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Hot, Self::Redis, Self::Origin, Self::Stale, Self::None];

    /// The label.
    pub fn label(self) -> &'static str {
        ["hot", "redis", "origin", "stale", "none"][self as usize]
    }

    /// Where an answer of this outcome counts, if it came up while requests were answered from here.
    pub fn of(self, outcome: Outcome) -> Self {
        match outcome {
            Outcome::Method
            | Outcome::Reserved
            | Outcome::Refused
            | Outcome::TimedOut
            | Outcome::File
            | Outcome::Root => Self::None,
            Outcome::Unavailable
            | Outcome::Redirect
            | Outcome::NotFound
            | Outcome::Gone
            | Outcome::Expired => self,
        }
    }
}

/// How often each outcome came up. Plain numbers: one owner at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    outcomes: [u64; Outcome::ALL.len()],
    /// Where the answers came from: the same for all of one turn.
    pub tier: Tier,
    /// In a cell: what is answered from is borrowed where it is found out, and nearly every request never comes there.
    traced: Cell<bool>,
}

impl Counts {
    /// One more.
    #[inline]
    pub fn add(&mut self, outcome: Outcome) {
        self.outcomes[outcome as usize] += 1;
    }

    /// A request is answered that is not of the plainest kind.
    pub fn meet(&self, head: &Head<'_>) {
        self.traced.set(self.traced.get() | head.traced);
    }

    /// Whether a request said that it belongs to a trace.
    pub fn traced(&self) -> bool {
        self.traced.get()
    }

    /// Hands over every count that is not zero, and begins again.
    pub fn drain(&mut self, mut take: impl FnMut(Outcome, u64)) {
        for outcome in Outcome::ALL {
            match std::mem::take(&mut self.outcomes[outcome as usize]) {
                0 => {}
                count => take(outcome, count),
            }
        }
    }

    /// How often.
    pub fn get(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }
}
