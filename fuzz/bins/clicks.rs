//! Batches of clicks, and roll-ups. See `fuzz::targets::clicks`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds(&fuzz::targets::clicks::seeds()), |data: &[u8]| fuzz::targets::clicks::run(data));
