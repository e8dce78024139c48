//! Hands what libFuzzer comes up with to [`fuzzing::round_trip`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::round_trip::run(data));
