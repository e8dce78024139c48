//! Hands what libFuzzer comes up with to [`fuzzing::ack`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::ack::run(data));
