//! Frames with their length in front (`5:hello`), and what can be wrong with them.

use std::ops::Range;

use bytes::Bytes;
use framing::{ErrorKind, FrameError, Framing, Limits, OnError, Outbox, Part, Step};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Asks for one byte more than it needs.
    NeedsOneMore,
    /// Asks for nothing.
    NeedsNothing,
    /// Zeros in front of the length may go on for ever.
    UnboundedDigits,
    /// Empty frames are not counted.
    NoFloodLimit,
    /// Each frame of a flood is an error of its own.
    SkipsFlood,
    /// The limit is not looked at.
    NoLimit,
    /// A frame whose header was accepted is judged again at its end, and dropped.
    JudgesTwice,
    /// Behind a frame that is too long, its body is taken for frames.
    SkipsTheHeaderOnly,
    /// A frame that is too long is skipped, and stays where it is.
    SkipsNothing,
    /// Bytes at the end are dropped.
    DropsTheRest,
    /// Bytes at the end are a frame.
    EmitsTheRest,
    /// After the end more bytes are needed.
    NeedsAfterTheEnd,
    /// The error for a cut-off frame does not say where.
    PointsNowhere,
    /// A second call without new bytes forgets the header.
    ForgetsWhenRepeated,
    /// Many calls without new bytes are an error.
    GivesUp,
    /// Consumes the whole frame though it is not here.
    ConsumesAhead,
    /// One byte panics.
    Panics,
    /// A bad byte is found only if it is the last one.
    JudgesWhatHasCome,
    /// The header is written before the limit is looked at.
    WritesThenRefuses,
    /// Makes room for a frame as soon as it is announced.
    Reserves,
    /// Keeps a copy of the largest frame.
    KeepsACopy,
}

/// The most digits.
const MOST_DIGITS: usize = 9;

#[derive(Clone, Debug)]
pub(crate) struct Digits {
    fault: Fault,
    limits: Limits,
    /// Where the frame lies whose header was accepted.
    accepted: Option<Range<usize>>,
    /// How much input there was at the last call, and how often.
    seen: (usize, usize),
    copy: Vec<u8>,
}

pub(crate) fn make(fault: Fault) -> Digits {
    let limits = match fault {
        Fault::NoFloodLimit => Limits::new().max_empty_run(u32::MAX),
        Fault::SkipsFlood => Limits::new().on_error(OnError::Skip),
        _ => Limits::new(),
    };
    Digits {
        fault,
        limits,
        accepted: None,
        seen: (usize::MAX, 0),
        copy: Vec::new(),
    }
}

impl Digits {
    fn header(&mut self, input: &[u8]) -> Result<Option<Range<usize>>, FrameError> {
        let mut length: u64 = 0;
        for (at, &byte) in input.iter().enumerate() {
            let bounded = at < MOST_DIGITS || self.fault == Fault::UnboundedDigits;
            match byte {
                b'0'..=b'9' if bounded => {
                    length = length
                        .saturating_mul(10)
                        .saturating_add(u64::from(byte - b'0'));
                }
                b':' if at > 0 => return self.admit(at + 1, length).map(Some),
                b'?' if self.fault == Fault::Panics => panic!("a fault"),
                _ if self.fault == Fault::JudgesWhatHasCome && at + 1 < input.len() => {
                    return Err(FrameError::malformed("an older byte is no digit").at(at));
                }
                _ => return Err(FrameError::malformed("a byte is no digit").at(at)),
            }
        }
        Ok(None)
    }

    fn admit(&mut self, header: usize, length: u64) -> Result<Range<usize>, FrameError> {
        if self.fault == Fault::NoLimit {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            return Ok(header..header.saturating_add(length));
        }
        let length = self.limits.admit(length).map_err(|error| {
            let long = error.kind() == ErrorKind::TooLong;
            match self.fault {
                Fault::SkipsFlood if !long => error.skipping(header),
                Fault::SkipsTheHeaderOnly if long => error.skipping(header),
                Fault::SkipsNothing if long => error.skipping(0),
                _ => error,
            }
        })?;
        if self.fault == Fault::Reserves {
            self.copy = Vec::with_capacity(length);
        }
        Ok(header..header + length)
    }

    /// Notes a call; true if it is one too many.
    fn counts(&mut self, input: &[u8]) -> bool {
        let repeated = self.seen.0 == input.len();
        self.seen = (input.len(), if repeated { self.seen.1 + 1 } else { 0 });
        match self.fault {
            Fault::ForgetsWhenRepeated if repeated => self.accepted = None,
            Fault::GivesUp => return self.seen.1 > 12,
            _ => {}
        }
        false
    }
}

impl Framing for Digits {
    fn decode(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        if self.counts(input) {
            return Err(FrameError::malformed("gave up"));
        }
        if self.accepted.is_none() {
            self.accepted = match (self.header(input)?, self.fault) {
                // It forgets the header for good: the body comes where a header is due.
                (Some(_), Fault::ForgetsWhenRepeated) if self.seen.1 > 0 => None,
                (header, _) => header,
            };
        }
        let Some(payload) = self.accepted.take_if(|frame| frame.end <= input.len()) else {
            let end = match &self.accepted {
                Some(frame) => frame.end,
                None => input.len() + 1,
            };
            let ahead = matches!(&self.accepted, Some(frame) if frame.start < input.len());
            return Ok(match self.fault {
                Fault::NeedsOneMore => Step::Need(end - input.len() + 1),
                Fault::NeedsNothing => Step::Need(0),
                Fault::ConsumesAhead if ahead => Step::Consumed(end),
                _ => Step::Need(end - input.len()),
            });
        };
        self.seen = (usize::MAX, 0);
        if self.fault == Fault::JudgesTwice && payload.len() > self.limits.largest() {
            return Ok(Step::Consumed(payload.end));
        }
        if self.fault == Fault::KeepsACopy && payload.len() > self.copy.len() {
            self.copy = input[payload.clone()].to_vec();
        }
        Ok(Step::Frame {
            consumed: payload.end,
            payload,
        })
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        let step = self.decode(input, out)?;
        let Step::Need(_) = step else {
            return Ok(step);
        };
        match self.fault {
            Fault::NeedsAfterTheEnd => return Ok(step),
            _ if input.is_empty() => return Ok(Step::End),
            Fault::DropsTheRest => return Ok(Step::Consumed(input.len())),
            Fault::EmitsTheRest => {
                return Ok(Step::Frame {
                    payload: 0..input.len(),
                    consumed: input.len(),
                });
            }
            _ => {}
        }
        let error = match &self.accepted {
            None => FrameError::truncated(Part::Header, input.len(), None),
            Some(frame) => {
                FrameError::truncated(Part::Body, input.len() - frame.start, frame.len())
            }
        };
        Err(match self.fault {
            Fault::PointsNowhere => error,
            _ => error.at(input.len()),
        })
    }

    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        let header = format!("{}:", frame.len());
        if self.fault == Fault::WritesThenRefuses {
            out.put_slice(header.as_bytes());
        }
        if let Err(error) = self.limits.permit(frame.len()) {
            return Err(error.with_frame(frame));
        }
        if self.fault != Fault::WritesThenRefuses {
            out.put_slice(header.as_bytes());
        }
        out.put(frame);
        Ok(())
    }

    fn max_frame(&self) -> usize {
        self.limits.largest()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.limits.set_largest(bytes);
    }
}
