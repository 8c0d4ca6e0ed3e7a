//! What a client has seen already, by the token that it shows.

use crate::{Lookup, Set};
use link::rule::{Rule, off};
use link::{Position, Seq};

/// R11: what the client has seen already, and no answer may be older than.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    None,
    /// A seq of the history that this edge follows.
    Own(Seq),
    /// Of another one: only who knows the newest history can say.
    Foreign,
    /// Nothing that we gave out. It is asked about, and memory is the last resort.
    Unreadable,
}

impl Token {
    #[cold]
    pub(super) fn read(text: &[u8], set: &Set) -> Self {
        if off(Rule::Token) {
            return Self::None;
        }
        match std::str::from_utf8(text).ok().and_then(Position::parse_revision) {
            Some((epoch, seq)) if set.epoch() == Some(epoch) => Self::Own(seq),
            Some(_) => Self::Foreign,
            None => Self::Unreadable,
        }
    }

    /// `sure`: whether the domain of the request is known at a seq.
    pub(super) fn allows(self, held: &Lookup<'_>, set: &Set, sure: impl Fn(Seq) -> bool) -> bool {
        match self {
            Self::None => true,
            // What is unconfirmed may be of another history, and the stream need not have kept it up.
            Self::Own(seq) => held.confirmed && (held.as_of >= seq || set.applied() >= seq) && sure(seq),
            Self::Foreign | Self::Unreadable => false,
        }
    }
}
