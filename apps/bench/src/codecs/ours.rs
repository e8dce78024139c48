//! Our decoders, by each of the ways they can be used.

use std::{hint::black_box, ops::ControlFlow};

use bytes::{Buf, BytesMut};
use framing::{BoxFraming, FrameError, Framing, Machine, Outbox, Received, Registry, Step};

use super::decode::Decode;

/// A framing as a config file gives it.
pub(super) fn boxed(text: &str) -> Result<BoxFraming, FrameError> {
    Ok(Registry::default().parse(text)?.make())
}

/// `Machine::take_frames`.
pub(super) struct Owned<F>(Machine<F>);

impl<F: Framing> Owned<F> {
    pub(super) fn new(framing: F) -> Self {
        Self(Machine::new(framing))
    }
}

impl<F: Framing> Decode for Owned<F> {
    fn feed(&mut self, bytes: &[u8]) {
        self.0.receive(bytes);
    }

    fn drain(&mut self) -> usize {
        let mut frames = 0;
        let visited = self.0.take_frames(|frame, _| {
            black_box(frame);
            frames += 1;
            ControlFlow::Continue(())
        });
        if visited.is_err() { 0 } else { frames }
    }
}

/// `Machine::next_frame`.
pub(super) struct OneByOne<F>(pub(super) Machine<F>);

impl<F: Framing> Decode for OneByOne<F> {
    fn feed(&mut self, bytes: &[u8]) {
        self.0.receive(bytes);
    }

    fn drain(&mut self) -> usize {
        let mut frames = 0;
        while let Ok(Received::Frame(frame)) = self.0.next_frame() {
            black_box(frame);
            frames += 1;
        }
        frames
    }
}

/// `Machine::visit`.
pub(super) struct Lent<F>(pub(super) Machine<F>);

impl<F: Framing> Decode for Lent<F> {
    fn feed(&mut self, bytes: &[u8]) {
        self.0.receive(bytes);
    }

    fn drain(&mut self) -> usize {
        let mut frames = 0;
        let visited = self.0.visit(|frame, _| {
            black_box(frame);
            frames += 1;
            ControlFlow::Continue(())
        });
        if visited.is_err() { 0 } else { frames }
    }
}

/// `Framing::decode` in a loop of one's own: what the machine costs is the difference.
pub(super) struct Bare<F> {
    framing: F,
    buffer: Vec<u8>,
    out: Outbox,
}

impl<F: Framing> Bare<F> {
    pub(super) fn new(framing: F) -> Self {
        Self {
            framing,
            buffer: Vec::new(),
            out: Outbox::new(),
        }
    }
}

impl<F: Framing> Decode for Bare<F> {
    fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn drain(&mut self) -> usize {
        let (mut frames, mut at) = (0, 0);
        while let Ok(step) = self.framing.decode(&mut self.buffer[at..], &mut self.out) {
            match step {
                Step::Frame { payload, consumed } => {
                    black_box(&self.buffer[at..][payload]);
                    at += consumed;
                    frames += 1;
                }
                Step::Consumed(count) => at += count,
                _ => break,
            }
        }
        self.buffer.drain(..at);
        frames
    }
}

/// The hand-written loop that splits frames off its buffer, for any framing: what the parameter
/// costs is the difference.
pub(super) struct Split<F> {
    framing: F,
    buffer: BytesMut,
    out: Outbox,
}

impl<F: Framing> Split<F> {
    pub(super) fn new(framing: F) -> Self {
        Self {
            framing,
            buffer: BytesMut::new(),
            out: Outbox::new(),
        }
    }
}

impl<F: Framing> Decode for Split<F> {
    fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn drain(&mut self) -> usize {
        let mut frames = 0;
        while let Ok(step) = self.framing.decode(&mut self.buffer, &mut self.out) {
            match step {
                Step::Frame { payload, consumed } => {
                    self.buffer.advance(payload.start);
                    let mut frame = self.buffer.split_to(consumed - payload.start);
                    // What stands behind it, such as a mark, goes with it.
                    frame.truncate(payload.len());
                    black_box(frame.freeze());
                    frames += 1;
                }
                Step::Consumed(count) => self.buffer.advance(count),
                _ => break,
            }
        }
        frames
    }
}
