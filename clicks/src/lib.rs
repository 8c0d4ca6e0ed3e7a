//! What a click is, from the worker that saw it to the count that is asked for: as captured, as classified, in batches,
//! in the ledger of what was counted and what was lost, in roll-ups. No I/O, no clock, no randomness here.

#![warn(missing_docs)]

pub mod ask;
pub mod batch;
mod captured;
mod click;
mod kind;
pub mod ledger;
mod letters;
pub mod rollup;
mod varint;

pub use captured::{Captured, CapturedFlags};
pub use click::{Click, Country, Device, Language};
pub use kind::{Kind, LossReason};
