//! The clock of this process, by which troubles are told.

use std::sync::OnceLock;
use std::time::Instant;

/// Milliseconds since it was first asked for. They never go back.
pub fn ms() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed().as_millis() as u64
}
