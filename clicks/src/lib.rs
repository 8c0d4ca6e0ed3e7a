//! What a click is, from the worker that saw it to the count that is asked for: as captured, as classified, in batches,
//! in the ledger of what was counted and what was lost, in roll-ups. No I/O, no clock, no randomness here.

#![warn(missing_docs)]

mod agent_texts;
mod agents;
mod anew;
pub mod ask;
pub mod batch;
mod bounded;
mod captured;
mod classify;
mod click;
mod hash;
mod kind;
mod language;
pub mod ledger;
mod letters;
pub mod prefetch;
mod referrer;
mod repeat;
mod ring;
pub mod rollup;
mod sketch;
pub mod spool;
mod varint;
mod visitor;

pub use agent_texts::AgentTexts;
pub use agents::{AgentClass, Agents, CLASSIFIER};
pub use anew::anew;
pub use captured::{Captured, CapturedFlags};
pub use classify::{Classified, Classifier, Texts};
pub use click::{Click, Country, Device, Language, UIDS};
pub use hash::{TextSeed, hash};
pub use kind::{Kind, LossReason};
pub use language::language;
pub use ring::{MAX_TEXT_BYTES, Ring, RingBeginning, RingReader, RingTurn, RingWriter};
pub use sketch::{Sketch, SketchFault};
pub use visitor::visitor;
