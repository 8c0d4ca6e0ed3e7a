//! Request heads. See `fuzz::targets::head`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::write_seeds(&fuzz::targets::head::seeds()), |data: &[u8]| fuzz::targets::head::run(data));
