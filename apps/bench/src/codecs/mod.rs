//! Decodes and encodes in memory: what a framing costs before there is a socket.
//!
//! Decoding whole: as many frames as fit into 64 KiB (at least four) have arrived, and the time is
//! that of taking them out. In chunks: the same bytes arrive 1460 at a time, and appending them to
//! the decoder's buffer is part of the time. Encoding: the time includes emptying the output after
//! each 64 KiB, as a write would.

mod decode;
mod encode;
mod hand;
mod ours;
mod peers;

use std::time::Duration;

use anyhow::Context;

use crate::{options::Measure, report::Report, stats::undisturbed};

/// Bytes of payload a frame.
const SIZES: [usize; 5] = [16, 64, 1024, 4096, 65536];

/// What fits into an Ethernet frame.
const SEGMENT: usize = 1460;

/// What one read brings, and one write takes.
const BATCH: usize = 64 * 1024;

pub fn run(measure: &Measure, report: &mut Report) {
    let sizes = if measure.quick { &SIZES[1..2] } else { &SIZES };
    for &size in sizes {
        for cut in [Cut::Whole, Cut::Chunks] {
            decode::run(measure, report, size, cut);
        }
        encode::run(measure, report, size);
    }
}

/// How the bytes arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Whole,
    Chunks,
}

impl Cut {
    fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Chunks => "in 1460 B",
        }
    }
}

/// How long one round of one case takes.
fn round(measure: &Measure) -> Duration {
    measure.round(0.05)
}

/// Nanoseconds a frame of a batch that tells its time and its number of frames, repeated until
/// `limit` is used up.
fn nanoseconds(
    limit: Duration,
    mut batch: impl FnMut() -> (Duration, usize),
) -> anyhow::Result<f64> {
    let mut taken = Duration::ZERO;
    let mut samples = Vec::new();
    while taken < limit {
        let (time, frames) = batch();
        anyhow::ensure!(frames > 0, "no frame comes out");
        taken += time;
        samples.push(time.as_nanos() as f64 / frames as f64);
    }
    undisturbed(&mut samples).context("no time to measure in")
}

/// Text without a line's end, so that every framing can carry it.
fn payload(size: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(size).collect()
}

/// How many frames of a payload make a batch.
fn frames(size: usize) -> usize {
    (BATCH / (size + 4)).max(4)
}

fn size_name(size: usize) -> String {
    if size >= 1024 {
        format!("{} KiB", size / 1024)
    } else {
        format!("{size} B")
    }
}
