//! Replays the fuzzer's seeds, and what it has found, without the fuzzer.

#![allow(
    unreachable_pub,
    dead_code,
    reason = "the fuzz targets are a crate of their own"
)]

#[path = "../fuzz/src/ack.rs"]
mod ack;
#[path = "../fuzz/src/decode.rs"]
mod decode;
#[path = "../fuzz/src/framings.rs"]
mod framings;
#[path = "../fuzz/src/input.rs"]
mod input;
#[path = "../fuzz/src/replay.rs"]
mod replay;
#[path = "../fuzz/src/round_trip.rs"]
mod round_trip;
#[path = "../fuzz/src/tokio_util.rs"]
mod tokio_util;

use replay::replay;

#[test]
fn decode() {
    replay("decode", decode::run);
}

#[test]
fn round_trip() {
    replay("round_trip", round_trip::run);
}

#[test]
fn tokio_util() {
    replay("tokio_util", tokio_util::run);
}

#[test]
fn ack() {
    replay("ack", ack::run);
}

/// The seeds are in the repository; this makes them anew when what they are made of has changed.
#[test]
#[ignore = "writes files"]
fn write_seeds() {
    replay::write("decode", decode::seeds());
    replay::write("round_trip", round_trip::seeds());
    replay::write("tokio_util", tokio_util::seeds());
    replay::write("ack", ack::seeds());
}
