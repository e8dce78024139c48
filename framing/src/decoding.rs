//! Takes a framing's steps, and keeps what outlives one: the offset in the stream, its end, and an
//! error that is final.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use crate::{FrameError, Framing, Outbox, Part, Received, Step};

/// Payloads up to this size are copied: it costs less than a reference-counted slice, and a small
/// frame that is kept does not pin a whole read buffer.
const COPY_LIMIT: usize = 256;

/// Where decoding stands. Shared by the [`Machine`](crate::Machine) and the tokio-util codec, which has its
/// buffer from outside.
#[derive(Debug, Default)]
pub(crate) struct Decoding {
    /// Bytes consumed since the start of the stream.
    offset: u64,
    phase: Phase,
}

#[derive(Debug, Default)]
enum Phase {
    /// The peer may send more.
    #[default]
    Open,
    /// The peer has closed its side; frames may be left in the buffer.
    Closing,
    /// The stream has ended cleanly.
    Ended,
    /// A final error; it comes again at every call.
    Poisoned(FrameError),
}

impl Decoding {
    pub(crate) fn close_input(&mut self) {
        if let Phase::Open = self.phase {
            self.phase = Phase::Closing;
        }
    }

    /// Takes steps until there is a frame, an error, or nothing more to be had.
    ///
    /// `at` is how much of `input` is consumed, and moves on; [`commit`](Self::commit) makes it
    /// good. So a buffer full of frames is let go of once, not once a frame.
    #[inline]
    pub(crate) fn advance<F: Framing + ?Sized>(
        &mut self,
        framing: &mut F,
        input: &mut [u8],
        at: &mut usize,
        out: &mut Outbox,
    ) -> Result<Found, FrameError> {
        loop {
            let rest = &mut input[*at..];
            let step = match &self.phase {
                Phase::Open => framing.decode(rest, out),
                Phase::Closing => framing.decode_eof(rest, out),
                Phase::Ended => return Ok(Found::End),
                Phase::Poisoned(error) => return Err(error.clone()),
            };
            let step = match step {
                // Bytes that are here come before time that is up: an ack read together with the
                // end of its time limit still counts.
                Ok(Step::Need(_)) if framing.deadline().is_some_and(|at| at <= out.now()) => {
                    framing.expired(rest, out)
                }
                step => step,
            };
            match step {
                Ok(Step::Frame { payload, consumed }) => {
                    let payload = *at + payload.start..*at + payload.end;
                    *at += consumed;
                    return Ok(Found::Here(payload));
                }
                Ok(Step::Elsewhere { consumed }) => {
                    *at += consumed;
                    return Ok(Found::Elsewhere(framing.take_frame()));
                }
                Ok(Step::Consumed(count)) => *at += count,
                Ok(Step::Need(count)) if matches!(self.phase, Phase::Open) => {
                    return Ok(Found::Need(count));
                }
                // A framing that wants more after the end has lost count of its frame.
                Ok(Step::Need(_)) => {
                    let have = rest.len();
                    let cut_off = FrameError::truncated(Part::Body, have, None).at(have);
                    return Err(self.fail(cut_off, input, at));
                }
                Ok(Step::End) => self.phase = Phase::Ended,
                Err(error) => return Err(self.fail(error, input, at)),
            }
        }
    }

    /// Completes an error with what only the owner of the buffer knows, and keeps a final one.
    #[cold]
    pub(crate) fn fail(
        &mut self,
        mut error: FrameError,
        input: &[u8],
        at: &mut usize,
    ) -> FrameError {
        error.locate(self.offset + *at as u64, &input[*at..]);
        match error.resume() {
            Some(consumed) => *at += consumed,
            None => self.phase = Phase::Poisoned(error.clone()),
        }
        error
    }

    /// Lets go of the bytes consumed.
    #[inline]
    pub(crate) fn commit(&mut self, input: &mut BytesMut, at: usize) {
        self.offset += at as u64;
        input.advance(at);
    }

    /// The next frame, cut out of the buffer.
    #[inline]
    pub(crate) fn next<F: Framing + ?Sized>(
        &mut self,
        framing: &mut F,
        input: &mut BytesMut,
        out: &mut Outbox,
    ) -> Result<Received, FrameError> {
        let mut at = 0;
        let received = match self.advance(framing, input, &mut at, out) {
            Ok(Found::Here(payload)) => {
                self.offset += at as u64;
                return Ok(Received::Frame(cut(input, payload, at)));
            }
            Ok(Found::Elsewhere(frame)) => Ok(Received::Frame(frame)),
            Ok(Found::Need(count)) => Ok(Received::Need(count)),
            Ok(Found::End) => Ok(Received::End),
            Err(error) => Err(error),
        };
        self.commit(input, at);
        received
    }
}

/// What [`Decoding::advance`] came to.
pub(crate) enum Found {
    /// A frame, there in the input.
    Here(Range<usize>),
    /// A frame that does not stand in the input.
    Elsewhere(Bytes),
    Need(usize),
    End,
}

/// Cuts a frame out of the front of the buffer.
#[inline]
fn cut(input: &mut BytesMut, payload: Range<usize>, consumed: usize) -> Bytes {
    if payload.len() <= COPY_LIMIT {
        let frame = Bytes::copy_from_slice(&input[payload]);
        input.advance(consumed);
        return frame;
    }
    let mut whole = input.split_to(consumed);
    whole.truncate(payload.end);
    whole.advance(payload.start);
    whole.freeze()
}
