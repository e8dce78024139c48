//! An endless run of empty frames costs its sender nothing, so it is an error.

use bytes::Bytes;

use super::{
    Laws,
    checked::Bench,
    law::{Kept, Law},
    show,
    talk::Wire,
};
use crate::Framing;

/// The longest run that may be taken.
const MOST: usize = 65_536;

/// Frames in one read.
const BATCH: usize = 1024;

impl<M: Fn() -> F, F: Framing> Laws<M> {
    /// Law 12.
    pub(super) fn empty_frames_are_counted(&self) -> Kept {
        let empty = Bytes::new();
        if Bench::new((self.make)()).send(&empty)?.is_err() {
            return Ok(());
        }
        let wire = Wire::of(&self.make, &[empty])?.bytes;
        let batch = wire.repeat(BATCH);
        let mut bench = Bench::new((self.make)());
        let mut fed = 0;
        while fed <= MOST {
            bench.receive(&batch);
            fed += BATCH;
            loop {
                match bench.drain()?.1 {
                    Err(error) if !error.is_recoverable() => return Ok(()),
                    // An error for each of them is as endless as a frame for each.
                    Err(_) => {}
                    Ok(_) => break,
                }
            }
            drop(bench.written());
        }
        Err(Law::Flood.broken(format!(
            "{} comes {MOST} times in a row, and no final error",
            show(&wire)
        )))
    }
}
