//! Records, and what lies in Redis. See `fuzz::targets::record`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds(&fuzz::targets::record::seeds()), |data: &[u8]| fuzz::targets::record::run(data));
