//! Hands what libFuzzer comes up with to [`fuzzing::decode`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::decode::run(data));
