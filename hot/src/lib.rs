//! How a request is answered from memory: bytes in, bytes out. No socket, no runtime, no logger, no clock here.

#![warn(missing_docs)]

mod answer;
mod capture;
mod domains;
mod dump;
mod freshness;
mod head;
mod host;
pub mod limits;
mod load;
pub mod miss;
mod outcome;
mod response;
mod scan;
mod set;
mod sync;
mod turns;
mod unchecked;
mod unknown;

pub use answer::{
    AnswerContext, Conversation, Miss, MissAnswer, PendingReply, Step, answer, finish, key_of, refuse_plain,
    time_out,
};
pub use capture::{Capture, ClickClient, ForwardedFor};
pub use domains::{DomainEntry, DomainTarget, Domains, HostMatch, ReadableRules, Site, View};
pub use dump::{Dump, DumpEnd};
pub use freshness::Freshness;
pub use head::{Head, HeadNotes, HeadParse, Method, Refusal, parse, parse_noting};
pub use load::LoadProgress;
pub use miss::{MissRoute, Policy, Source};
pub use outcome::{Counts, Outcome, Tier};
pub use response::{DebugFields, ResponseOptions, Stamp, write_redirect};
pub use set::{Absence, EntryState, FillOutcome, Fork, Lookup, Restoration, Set, StoredValue, TierReading};
pub use turns::{TURNS, Turn, TurnMarks, Turns};
pub use unknown::{UnknownCodes, UnknownNote};
