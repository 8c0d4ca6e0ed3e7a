//! The clock by which troubles are told: milliseconds of this process, which never go back.

use std::sync::OnceLock;
use std::time::Instant;

/// Milliseconds since it was first asked for.
pub fn ms() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed().as_millis() as u64
}
