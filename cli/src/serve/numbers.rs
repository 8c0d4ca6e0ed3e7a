//! What this process counts besides its halves.

use crate::log;
use exposition::{Collector, Encoder, Families};
use std::fmt;

/// The process as a whole.
#[derive(Debug)]
pub struct Process;

impl Collector for Process {
    fn encode(&self, encoder: Encoder<'_>) -> fmt::Result {
        let mut families = Families::new(encoder);
        let help = "Lines of the log that could not be written.";
        families.counter("linkr_log_lines_dropped_total", help, log::dropped())
    }
}
