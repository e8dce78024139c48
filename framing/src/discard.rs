//! Passes over a bad frame whose end is known, without keeping any of it.

use crate::{FrameError, Part};

/// What is left of a frame that is not handed out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Discard {
    body: u64,
    /// Bytes of the frame still to come: once its header is gone, `left <= body`.
    left: u64,
}

impl Discard {
    /// Begins at a header of `header` bytes, of which all have arrived and none is consumed, with
    /// `body` bytes behind it. `None` if no stream is that long.
    pub(crate) fn new(header: usize, body: u128) -> Option<Self> {
        let left = u64::try_from(body.checked_add(header as u128)?).ok()?;
        let body = u64::try_from(body).ok()?;
        Some(Self { body, left })
    }

    /// How many of `arrived` bytes are to be dropped, and what is left of the frame behind them.
    pub(crate) fn pass(mut self, arrived: usize) -> (usize, Option<Self>) {
        let gone = usize::try_from(self.left).map_or(arrived, |left| left.min(arrived));
        self.left -= gone as u64;
        (gone, (self.left > 0).then_some(self))
    }

    /// What it means that the stream ends here.
    pub(crate) fn cut_off(&self) -> FrameError {
        let have = usize::try_from(self.body - self.left).unwrap_or(usize::MAX);
        FrameError::truncated(Part::Body, have, usize::try_from(self.body).ok())
    }
}
