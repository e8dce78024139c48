//! Frames that end with `|!`, and what can be wrong with them.

use std::ops::Range;

use bytes::{Buf, Bytes};
use framing::{Carries, FrameError, Framing, Limits, Outbox, Part, Step};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    /// A payload with the mark in it is written.
    NoCheckOnEncode,
    /// Something is written before the refusal.
    WritesThenRefuses,
    /// The frame is not given back.
    KeepsTheFrame,
    /// A frame that cannot be sent is called malformed.
    RefusesAsMalformed,
    /// The frame behind a refused one is written differently.
    ChangedByRefusal,
    /// Borrowed frames are written differently.
    OtherSlices,
    /// Of frames in two pieces the first is left out.
    OtherPieces,
    /// It promises to carry anything.
    PromisesTooMuch,
    /// Two frames in one read are one.
    SwallowsTheSecond,
    /// The frame so far is searched again and again.
    Quadratic,
    /// Everything in the buffer is looked at for each frame.
    LooksAtAll,
    /// It forgets that it looked, so that a mark cut in two is missed.
    ForgetsHalfAMark,
    /// While something waits to be written, the next mark is left out.
    MindsTheQueue,
}

#[derive(Clone, Debug)]
pub(crate) struct Marked {
    fault: Fault,
    scanned: usize,
    refused: bool,
    limits: Limits,
}

pub(crate) fn make(fault: Fault) -> Marked {
    Marked {
        fault,
        scanned: 0,
        refused: false,
        limits: Limits::new(),
    }
}

const MARK: &[u8] = b"|!";

impl Marked {
    fn find(&mut self, input: &[u8]) -> Option<Range<usize>> {
        let from = match self.fault {
            Fault::Quadratic => 0,
            Fault::ForgetsHalfAMark => self.scanned,
            _ => self.scanned.saturating_sub(1),
        };
        self.scanned = input.len();
        let at = match self.fault {
            Fault::SwallowsTheSecond => input
                .windows(2)
                .rposition(|pair| pair == MARK)
                .filter(|at| *at >= from),
            _ => input
                .get(from..)?
                .windows(2)
                .position(|pair| pair == MARK)
                .map(|at| from + at),
        };
        at.map(|at| at..at + 2)
    }

    fn admit(&mut self, length: usize) -> Result<(), FrameError> {
        if length > self.limits.largest() {
            return Err(FrameError::over_limit(self.limits.largest()));
        }
        self.limits.admit(length as u64).map(drop)
    }
}

impl Framing for Marked {
    fn decode(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        let Some(mark) = self.find(input) else {
            let begun = usize::from(input.ends_with(b"|"));
            if input.len() - begun > self.limits.largest() {
                return Err(FrameError::over_limit(self.limits.largest()));
            }
            return Ok(Step::Need(2 - begun));
        };
        self.scanned = 0;
        if self.fault == Fault::LooksAtAll {
            let marks = input.windows(2).filter(|pair| *pair == MARK).count();
            std::hint::black_box(marks);
        }
        self.admit(mark.start)?;
        Ok(Step::Frame {
            payload: 0..mark.start,
            consumed: mark.end,
        })
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        match self.decode(input, out)? {
            Step::Need(_) if input.is_empty() => Ok(Step::End),
            Step::Need(_) => {
                Err(FrameError::truncated(Part::Delimiter, input.len(), None).at(input.len()))
            }
            step => Ok(step),
        }
    }

    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        let wire = [&frame, MARK].concat();
        let first = wire.windows(2).position(|pair| pair == MARK);
        let bad = first != Some(frame.len()) && self.fault != Fault::NoCheckOnEncode;
        if bad || frame.len() > self.limits.largest() {
            self.refused = true;
            if self.fault == Fault::WritesThenRefuses {
                out.put_slice(MARK);
            }
            let error = match self.fault {
                Fault::RefusesAsMalformed => FrameError::malformed("it contains the mark"),
                _ => FrameError::unencodable("it contains the mark"),
            };
            return Err(match self.fault {
                Fault::KeepsTheFrame => error,
                _ => error.with_frame(frame),
            });
        }
        let half = self.fault == Fault::MindsTheQueue && out.remaining() > 0;
        out.put_slice(if half { &frame } else { &wire });
        if self.fault == Fault::ChangedByRefusal && self.refused {
            out.put_slice(MARK);
        }
        Ok(())
    }

    fn encode_slice(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), FrameError> {
        let sent = self.encode(Bytes::copy_from_slice(frame), out);
        if sent.is_ok() && self.fault == Fault::OtherSlices {
            out.put_slice(MARK);
        }
        sent.map_err(|mut error| {
            error.take_frame();
            error
        })
    }

    fn encode_prefixed(
        &mut self,
        prefix: &[u8],
        rest: Bytes,
        out: &mut Outbox,
    ) -> Result<(), FrameError> {
        if self.fault == Fault::OtherPieces && !prefix.is_empty() {
            return self.encode(rest, out);
        }
        self.encode([prefix, &rest].concat().into(), out)
    }

    fn max_frame(&self) -> usize {
        self.limits.largest()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.limits.set_largest(bytes);
    }

    fn carries(&self) -> Carries {
        match self.fault {
            Fault::PromisesTooMuch => Carries::Anything,
            _ => Carries::Neither("of the mark"),
        }
    }
}
