//! Hands what libFuzzer comes up with to [`fuzzing::config`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::config::run(data));
