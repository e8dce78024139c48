//! Hands what libFuzzer comes up with to [`fuzzing::tokio_util`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::tokio_util::run(data));
