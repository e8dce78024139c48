//! Counts how often two sends arrive together when the reader is not late.

use std::io;

use super::{
    owners::Owners,
    scene::{Play, free_run, short},
    tape::{Call, Record, Side},
};

/// One run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) record: Record,
    /// One `recv` gave bytes of both messages.
    pub(super) together: bool,
}

/// Plays it so many times, one after the other.
pub(super) fn play(runs: u32, play: &Play) -> io::Result<Vec<Run>> {
    let owners = Owners::bare(&short());
    (0..runs)
        .map(|_| {
            let record = free_run(play)?;
            let mut at = 0;
            let together = record.calls(Side::Server, Call::Recv).any(|event| {
                let range = at..at + event.bytes.len();
                at = range.end;
                owners.messages_in(range) > 1
            });
            Ok(Run { record, together })
        })
        .collect()
}

/// How many of them arrived together.
pub(super) fn together(runs: &[Run]) -> usize {
    runs.iter().filter(|run| run.together).count()
}
