//! Clicks: settings.

use exposition::Network;
use std::path::PathBuf;

/// How clicks are counted.
#[derive(Clone, Debug)]
pub struct ClicksConfig {
    /// Where rings and spool are: a folder of this edge alone.
    pub dir: PathBuf,
    /// Bytes that the spool may take. Beyond it the oldest clicks go, those that control has first.
    pub spool_bytes: u64,
    /// A database of countries (MMDB), read again when it changes.
    pub geo: Option<PathBuf>,
    /// Clicks from there are counted as ignored, and nothing else is kept of them.
    pub ignore: Vec<Network>,
}
