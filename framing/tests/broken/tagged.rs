//! Frames with a tag and a length of one byte each in front, and what can be wrong with the tag.

use bytes::Bytes;
use framing::{FrameError, Framing, Limits, Outbox, Part, Step, Value};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Of a list that is too long, the first item is taken over all the same.
    TakesHalf,
    /// The tag received is not shown.
    ShowsNothing,
}

#[derive(Clone, Debug)]
pub(crate) struct Tagged {
    fault: Fault,
    limits: Limits,
    sent: u8,
    received: u8,
    accepted: Option<usize>,
}

pub(crate) fn make(fault: Fault) -> Tagged {
    Tagged {
        fault,
        limits: Limits::new().max_frame(255),
        sent: 0,
        received: 0,
        accepted: None,
    }
}

impl Framing for Tagged {
    fn decode(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        let &mut [tag, length, ..] = input else {
            return Ok(Step::Need(2 - input.len()));
        };
        let length = match self.accepted {
            Some(length) => length,
            None => *self.accepted.insert(self.limits.admit(length)?),
        };
        if input.len() < 2 + length {
            return Ok(Step::Need(2 + length - input.len()));
        }
        self.accepted = None;
        self.received = tag;
        Ok(Step::Frame {
            payload: 2..2 + length,
            consumed: 2 + length,
        })
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        match (self.decode(input, out)?, self.accepted) {
            (Step::Need(_), _) if input.is_empty() => Ok(Step::End),
            (Step::Need(_), None) => {
                Err(FrameError::truncated(Part::Header, input.len(), 2).at(input.len()))
            }
            (Step::Need(_), Some(length)) => {
                let have = input.len() - 2;
                Err(FrameError::truncated(Part::Body, have, length).at(input.len()))
            }
            (step, _) => Ok(step),
        }
    }

    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        if let Err(error) = self.limits.permit(frame.len()) {
            return Err(error.with_frame(frame));
        }
        out.put_slice(&[self.sent, frame.len() as u8]);
        out.put(frame);
        Ok(())
    }

    fn max_frame(&self) -> usize {
        self.limits.largest()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.limits.set_largest(bytes.min(255));
    }

    fn header(&self) -> Vec<Value> {
        match self.fault {
            Fault::ShowsNothing => vec![Value::Int(0)],
            _ => vec![self.received.into()],
        }
    }

    fn set_header(&mut self, items: &[Value]) -> Result<(), FrameError> {
        let tag = |item: &Value| match item {
            Value::Int(tag) => u8::try_from(*tag).ok(),
            _ => None,
        };
        if let (Fault::TakesHalf, [first, ..]) = (self.fault, items) {
            self.sent = tag(first).unwrap_or(self.sent);
        }
        match items {
            [item] if tag(item).is_some() => {
                self.sent = tag(item).unwrap_or_default();
                Ok(())
            }
            _ => Err(FrameError::unencodable("not one tag of 8 bits")),
        }
    }
}
