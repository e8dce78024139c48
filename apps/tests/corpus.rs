//! Replays the fuzzer's seeds, and what it has found, without the fuzzer: those of the native
//! dialect and of the configuration.

#![allow(
    unreachable_pub,
    dead_code,
    reason = "the fuzz targets are a crate of their own"
)]

#[path = "../../framing/fuzz/src/answers.rs"]
mod answers;
#[path = "../../framing/fuzz/src/config.rs"]
mod config;
#[path = "../../framing/fuzz/src/expected.rs"]
mod expected;
#[path = "../../framing/fuzz/src/input.rs"]
mod input;
#[path = "../../framing/fuzz/src/native.rs"]
mod native;
#[path = "../../framing/fuzz/src/replay.rs"]
mod replay;

use apps::config as server_config;
use replay::replay;

#[test]
fn native() {
    replay("native", native::run);
}

#[test]
fn config() {
    replay("config", config::run);
}

/// The seeds are in the repository; this makes them anew when what they are made of has changed.
#[test]
#[ignore = "writes files"]
fn write_seeds() {
    replay::write("native", native::seeds());
    replay::write("config", config::seeds());
}
