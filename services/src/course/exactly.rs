//! Hands out a known number of bytes as they come, and leaves what follows.

use bytes::Bytes;
use framing::{FrameError, Framing, Outbox, Part, Step};

/// The body behind a header: so many bytes, each read a frame, and not one byte more.
///
/// What was announced is bounded by whoever stores it, not by a frame's limit: nothing is kept here.
#[derive(Debug)]
pub(super) struct Exactly {
    announced: u64,
    left: u64,
}

impl Exactly {
    /// A body of so many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            announced: bytes,
            left: bytes,
        }
    }
}

impl Framing for Exactly {
    fn decode(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        if input.is_empty() || self.left == 0 {
            return Ok(Step::Need(1));
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let count = input.len().min(left);
        self.left -= count as u64;
        Ok(Step::Frame {
            payload: 0..count,
            consumed: count,
        })
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        if !input.is_empty() && self.left > 0 {
            return self.decode(input, out);
        }
        if self.left == 0 {
            return Ok(Step::End);
        }
        let size = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        let have = size(self.announced - self.left);
        Err(FrameError::truncated(Part::Body, have, size(self.announced)).at(0))
    }

    /// What is sent meanwhile is sent as it is.
    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        out.put(frame);
        Ok(())
    }

    fn max_frame(&self) -> usize {
        usize::MAX
    }

    fn set_max_frame(&mut self, _: usize) {}

    fn is_mid_frame(&self) -> bool {
        self.left > 0
    }

    fn keeps_boundaries(&self) -> bool {
        false
    }
}
