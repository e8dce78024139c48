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

use crate::{
    options::Measure,
    pin::{Side, pin},
    process,
    report::Report,
    rounds::joined,
    stats::undisturbed,
};

/// Bytes of payload a frame.
const SIZES: [usize; 5] = [16, 64, 1024, 4096, 65536];

/// What fits into an Ethernet frame.
const SEGMENT: usize = 1460;

/// What one read brings, and one write takes.
const BATCH: usize = 64 * 1024;

/// Each round is a process of its own: where its buffers and its code lie in memory is a matter of
/// chance, and goes into the spread.
pub fn run(measure: &Measure, report: &mut Report) {
    let mut rounds = Vec::new();
    for round in measure.turns() {
        eprintln!("codecs: round {}", round + 1);
        let mut words = vec!["codec-round".to_owned()];
        words.extend(measure.one(round));
        match process::ask(&words) {
            Ok(rows) => rounds.push(rows),
            Err(error) => return report.skip("codecs", "everything", &format!("{error:#}")),
        }
    }
    report.extend(joined(rounds));
}

/// Prints the rows of one round.
pub fn run_round(measure: &Measure) -> anyhow::Result<()> {
    pin(Side::Client)?;
    let mut report = Report::default();
    let sizes = if measure.quick { &SIZES[1..2] } else { &SIZES };
    for &size in sizes {
        for cut in [Cut::Whole, Cut::Chunks] {
            decode::run(measure, &mut report, size, cut);
        }
        encode::run(measure, &mut report, size);
    }
    println!("{}", serde_json::to_string(&report.rows)?);
    Ok(())
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
    measure.round(0.03)
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
