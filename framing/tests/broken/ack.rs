//! An ack-handshake, and what can be wrong with its time and its answers.

use std::time::Instant;

use bytes::Bytes;
use framing::{AckHandshake, Carries, FrameError, Framing, Outbox, Step};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    /// A frame that was announced and cannot be sent is gone.
    LosesTheFrame,
    /// Decoding looks at the clock.
    TellsTheTime,
    /// At the deadline nothing happens, and it stays.
    StaysAtTheDeadline,
    /// It says that it does not answer its peer.
    DeniesItsAnswers,
}

#[derive(Clone, Debug)]
pub(crate) struct Ack {
    fault: Fault,
    inner: AckHandshake,
}

pub(crate) fn make(fault: Fault) -> Ack {
    Ack {
        fault,
        inner: AckHandshake::default(),
    }
}

impl Ack {
    fn loses(&self, mut error: FrameError) -> FrameError {
        if self.fault == Fault::LosesTheFrame {
            error.take_frame();
        }
        error
    }
}

impl Framing for Ack {
    fn decode(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        let late = self.inner.deadline().is_some_and(|at| at <= out.now());
        if late && self.fault == Fault::TellsTheTime {
            return Err(FrameError::timeout("it is late"));
        }
        let step = self.inner.decode(input, out);
        step.map_err(|error| self.loses(error))
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        let step = self.inner.decode_eof(input, out);
        step.map_err(|error| self.loses(error))
    }

    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        self.inner.encode(frame, out)
    }

    fn max_frame(&self) -> usize {
        self.inner.max_frame()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.inner.set_max_frame(bytes);
    }

    fn deadline(&self) -> Option<Instant> {
        self.inner.deadline()
    }

    fn expired(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        if self.fault == Fault::StaysAtTheDeadline {
            return self.inner.decode(input, out);
        }
        let step = self.inner.expired(input, out);
        step.map_err(|error| self.loses(error))
    }

    fn is_ready(&self) -> bool {
        self.inner.is_ready()
    }

    fn is_interactive(&self) -> bool {
        self.fault != Fault::DeniesItsAnswers
    }

    fn carries(&self) -> Carries {
        self.inner.carries()
    }

    fn take_unsent(&mut self) -> Option<Bytes> {
        match self.fault {
            Fault::LosesTheFrame => None,
            _ => self.inner.take_unsent(),
        }
    }
}
