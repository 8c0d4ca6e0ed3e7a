//! Replies of Redis. See `fuzz::targets::redis`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds(&fuzz::targets::redis::seeds()), |data: &[u8]| fuzz::targets::redis::run(data));
