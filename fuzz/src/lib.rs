//! Fuzz targets: each takes any bytes and panics when a promise about them is broken. `make fuzz` runs them.
//!
//! The reader of Redis's replies, which lives in `edge`, is built here from its own source: what has to be instrumented, the
//! parser of the `redis` crate included, stays small that way, and neither gRPC nor TLS is built a second time.

#[path = "../../edge/src/worker/redis/replies.rs"]
mod replies;
pub mod targets;

use std::path::Path;

/// Writes these into the folder that `LINKR_FUZZ_SEEDS` names, one file each, for the fuzzer to begin with.
pub fn write_seeds(seeds: &[Vec<u8>]) {
    let Some(dir) = std::env::var_os("LINKR_FUZZ_SEEDS") else { return };
    for (number, seed) in seeds.iter().enumerate() {
        if let Err(fault) = std::fs::write(Path::new(&dir).join(format!("seed-{number}")), seed) {
            eprintln!("a seed cannot be written: {fault}");
        }
    }
}
