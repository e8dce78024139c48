//! Takes a framing's steps, and keeps what outlives one: the offset in the stream, its end, and an
//! error that is final.

use std::{mem, ops::Range};

use bytes::{Buf, Bytes, BytesMut};

use crate::{FrameError, Framing, Outbox, Part, Received, Step};

/// Payloads up to this size are copied: it costs less than a reference-counted slice, and a small
/// frame that is kept does not pin a whole read buffer.
const COPY_LIMIT: usize = 256;

/// The same where frames that are kept have held a buffer of which they were less than a
/// [sixteenth](MIN_HELD): so much can a peer make us keep with what is no frame, such as empty packets.
const COPY_LIMIT_OF_HOARDERS: usize = 16 * 1024;

/// And out of a buffer that had to grow, frames of up to this part of it are copied.
const MIN_HELD: usize = 16;

/// Where decoding stands. Shared by the [`Machine`](crate::Machine) and the tokio-util codec, which has its
/// buffer from outside.
#[derive(Debug)]
pub(crate) struct Decoding {
    /// Where in the stream the buffer begins.
    offset: u64,
    /// How much of the buffer is consumed and not let go of yet: moving a buffer's start costs a
    /// few nanoseconds, so it is done once for all the small frames that are copied out of it.
    ahead: usize,
    /// How many bytes the last frame took up that was cut out of the buffer, or 0 if it was copied: the next
    /// may have as many.
    usual: usize,
    /// How many bytes of the buffer were given away as frames.
    given: usize,
    /// Frames up to this size are copied out of the buffer that is here now.
    copied: usize,
    /// Whether frames that were kept have held far more than themselves.
    hoards: bool,
    phase: Phase,
}

impl Default for Decoding {
    fn default() -> Self {
        Self {
            offset: 0,
            ahead: 0,
            usual: 0,
            given: 0,
            copied: COPY_LIMIT,
            hoards: false,
            phase: Phase::Open,
        }
    }
}

#[derive(Debug)]
enum Phase {
    /// The peer may send more.
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

    /// Whether the peer may send more.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Finds a frame that stands in the input of an open stream, behind the first `at` bytes, which is
    /// what nearly every call does. Else `other` is the step that was taken, if one was.
    ///
    /// It is told in a few instructions in the caller's own loop, and in numbers that stay in
    /// registers. All else is done apart, so that the loop stays small (half the instructions of a small
    /// frame, and a third of its time, was what went through memory).
    #[inline(always)]
    pub(crate) fn whole<F: Framing + ?Sized>(
        &self,
        framing: &mut F,
        input: &mut [u8],
        at: usize,
        out: &mut Outbox,
        other: &mut Option<Result<Step, FrameError>>,
    ) -> Option<Cut> {
        let Phase::Open = self.phase else {
            return None;
        };
        match framing.decode(&mut input[at..], out) {
            Ok(Step::Frame { payload, consumed }) => Some(Cut {
                payload: at + payload.start..at + payload.end,
                at: at + consumed,
            }),
            step => {
                *other = Some(step);
                None
            }
        }
    }

    /// Goes on from what [`whole`](Self::whole) did not know how to, and takes steps until there is a
    /// frame, an error, or nothing more to be had.
    ///
    /// `at` is how much of `input` is consumed, and moves on; [`commit`](Self::commit) makes it
    /// good. So a buffer full of frames is let go of once, not once a frame.
    #[inline(never)]
    pub(crate) fn advance<F: Framing + ?Sized>(
        &mut self,
        step: Option<Result<Step, FrameError>>,
        framing: &mut F,
        input: &mut [u8],
        at: &mut usize,
        out: &mut Outbox,
    ) -> Result<Found, FrameError> {
        let mut step = match step {
            Some(step) => step,
            None => self.step(framing, &mut input[*at..], out)?,
        };
        loop {
            let rest = &mut input[*at..];
            step = match step {
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
                    return Ok(Found::Here(Cut { payload, at: *at }));
                }
                Ok(Step::Elsewhere { consumed }) => {
                    *at += consumed;
                    return Ok(Found::Elsewhere);
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
                Ok(Step::End) => {
                    self.phase = Phase::Ended;
                    return Ok(Found::End);
                }
                Err(error) => return Err(self.fail(error, input, at)),
            }
            step = self.step(framing, &mut input[*at..], out)?;
        }
    }

    /// Takes one step, unless the stream has come to its end. The outer error is the final one.
    fn step<F: Framing + ?Sized>(
        &self,
        framing: &mut F,
        rest: &mut [u8],
        out: &mut Outbox,
    ) -> Result<Result<Step, FrameError>, FrameError> {
        match &self.phase {
            Phase::Open => Ok(framing.decode(rest, out)),
            Phase::Closing => Ok(framing.decode_eof(rest, out)),
            Phase::Ended => Ok(Ok(Step::End)),
            Phase::Poisoned(error) => Err(error.clone()),
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

    /// How much of the buffer is consumed already.
    #[inline]
    pub(crate) fn ahead(&self) -> usize {
        self.ahead
    }

    /// How many bytes the last frame took up, if it was a large one.
    pub(crate) fn usual(&self) -> usize {
        self.usual
    }

    /// The next frame need not be as large as the last one.
    pub(crate) fn expect_no_more_than(&mut self, bytes: usize) {
        self.usual = self.usual.min(bytes);
    }

    /// Takes note that a buffer of so many bytes is left to the frames that are alive in it, or that
    /// none are (0).
    #[inline]
    pub(crate) fn leave(&mut self, size: usize) {
        // None can be alive where none was given; who hoards does so until a frame too large to copy.
        if self.given > 0 {
            self.hoards = mem::take(&mut self.given) < size / MIN_HELD;
        }
        self.copied = match self.hoards {
            true => COPY_LIMIT_OF_HOARDERS,
            false => COPY_LIMIT,
        };
    }

    /// Takes note that the buffer has grown to so many bytes, more than any that others have left: with a
    /// frame at its end it would all be kept.
    pub(crate) fn grow(&mut self, size: usize) {
        self.copied = self.copied.max(size / MIN_HELD);
    }

    /// Lets go of the first `at` bytes, all of which are consumed.
    #[inline]
    pub(crate) fn commit(&mut self, input: &mut BytesMut, at: usize) {
        self.offset += at as u64;
        self.ahead = 0;
        if at == input.len() {
            // Unlike one that has advanced, a cleared buffer begins where it began.
            input.clear();
        } else {
            input.advance(at);
        }
    }

    /// Lets go of what is consumed: before anyone else looks at the buffer.
    #[inline]
    pub(crate) fn settle(&mut self, input: &mut BytesMut) {
        if self.ahead > 0 {
            self.commit(input, self.ahead);
        }
    }

    /// The next frame, cut out of the buffer. Behind a frame the buffer may begin with bytes that are
    /// consumed: [`settle`](Self::settle) it before anything else is done with it.
    pub(crate) fn next<F: Framing + ?Sized>(
        &mut self,
        framing: &mut F,
        input: &mut BytesMut,
        out: &mut Outbox,
    ) -> Result<Received, FrameError> {
        let found = self.find(framing, input, out);
        self.take(found, framing, input)
    }

    /// Finds the next frame, and lets go of what is consumed unless that is a frame to be [cut
    /// out](Self::cut).
    #[inline(always)]
    pub(crate) fn find<F: Framing + ?Sized>(
        &mut self,
        framing: &mut F,
        input: &mut BytesMut,
        out: &mut Outbox,
    ) -> Result<Found, FrameError> {
        let mut other = None;
        if let Some(cut) = self.whole(framing, input, self.ahead, out, &mut other) {
            return Ok(Found::Here(cut));
        }
        match other {
            // Once behind each read, so it has a short way, too.
            Some(Ok(Step::Need(count))) if framing.deadline().is_none() => {
                self.settle(input);
                Ok(Found::Need(count))
            }
            other => self.find_from(other, framing, input, out),
        }
    }

    /// Goes on from what [`whole`](Self::whole) did not know how to.
    #[inline(never)]
    fn find_from<F: Framing + ?Sized>(
        &mut self,
        step: Option<Result<Step, FrameError>>,
        framing: &mut F,
        input: &mut BytesMut,
        out: &mut Outbox,
    ) -> Result<Found, FrameError> {
        let mut at = self.ahead;
        let found = self.advance(step, framing, input, &mut at, out);
        if !matches!(found, Ok(Found::Here(_))) {
            self.commit(input, at);
        }
        found
    }

    /// What [`find`](Self::find) has found, with the frame itself.
    pub(crate) fn take<F: Framing + ?Sized>(
        &mut self,
        found: Result<Found, FrameError>,
        framing: &mut F,
        input: &mut BytesMut,
    ) -> Result<Received, FrameError> {
        Ok(match found? {
            Found::Here(cut) => Received::Frame(self.cut(input, cut)),
            Found::Elsewhere => Received::Frame(framing.take_frame()),
            Found::Need(count) => Received::Need(count),
            Found::End => Received::End,
        })
    }

    /// Takes a frame out of the buffer.
    #[inline(always)]
    pub(crate) fn cut(&mut self, input: &mut BytesMut, cut: Cut) -> Bytes {
        if self.is_small(&cut) {
            self.copy(input, cut)
        } else {
            self.split(input, cut)
        }
    }

    /// Whether the frame is to be copied.
    #[inline(always)]
    pub(crate) fn is_small(&self, cut: &Cut) -> bool {
        cut.payload.len() <= self.copied
    }

    /// Takes a [small](Self::is_small) frame out of the buffer.
    #[inline(always)]
    pub(crate) fn copy(&mut self, input: &[u8], cut: Cut) -> Bytes {
        self.ahead = cut.at;
        self.usual = 0;
        // `copy_from_slice` takes the way round by a `Vec`, which costs most of a nanosecond.
        Bytes::from(Box::<[u8]>::from(&input[cut.payload]))
    }

    /// Takes any frame out of the buffer without a copy.
    #[inline(always)]
    pub(crate) fn split(&mut self, input: &mut BytesMut, Cut { payload, at }: Cut) -> Bytes {
        let start = payload.start;
        self.offset += at as u64;
        self.ahead = 0;
        self.usual = at - start;
        self.given = self.given.saturating_add(payload.len());
        input.advance(start);
        let mut frame = input.split_to(at - start);
        // What stands behind it, such as a mark, goes with it.
        frame.truncate(payload.len());
        frame.freeze()
    }
}

/// Where in the buffer a frame stands, and how much is consumed with it.
pub(crate) struct Cut {
    pub(crate) payload: Range<usize>,
    pub(crate) at: usize,
}

/// What [`Decoding::find`] came to: numbers, which stay in registers, and not yet the frame.
pub(crate) enum Found {
    /// A frame, there in the input.
    Here(Cut),
    /// A frame that does not stand in the input; the framing [has it](Framing::take_frame).
    Elsewhere,
    Need(usize),
    End,
}
