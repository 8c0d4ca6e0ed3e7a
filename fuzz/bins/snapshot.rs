//! The file that an edge starts from. See `fuzz::targets::snapshot`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds(&fuzz::targets::snapshot::seeds()), |data: &[u8]| fuzz::targets::snapshot::run(data));
