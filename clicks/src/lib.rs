//! What a click is, from the worker that saw it to the count that is asked for: as captured, as classified, in batches,
//! in the ledger of what was counted and what was lost, in roll-ups. No I/O, no clock, no randomness here.

#![warn(missing_docs)]

mod agent_texts;
mod agents;
mod bounded;
mod captured;
mod classify;
mod click;
mod kind;
mod language;
pub mod prefetch;
mod referrer;
mod repeat;
mod sketch;
mod visitor;

pub use agent_texts::AgentTexts;
pub use agents::{AgentClass, Agents, CLASSIFIER};
pub use captured::{Captured, CapturedFlags};
pub use classify::{Classified, Classifier, Texts};
pub use click::{Click, Country, Device, Language};
pub use kind::{Kind, LossReason};
pub use language::language;
pub use sketch::{Sketch, SketchFault};
pub use visitor::visitor;
