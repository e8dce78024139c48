//! Hands what libFuzzer comes up with to [`fuzzing::native`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::native::run(data));
