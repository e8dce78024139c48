//! Runs a framing over buffers, without I/O.
//!
//! Everything that all framings need and none should do for itself is here, once: the bytes not
//! yet consumed, the offset in the stream, what happens after an error, the end, and buffers that
//! shrink again.

use std::{ops::Range, time::Instant};

use bytes::{Buf, Bytes, BytesMut};

use crate::{FrameError, Framing, Outbox, Part, Step};

/// Room made for one read, and the most reserved ahead of bytes that have not arrived: what a
/// peer declares costs it nothing, so it buys no memory.
pub(crate) const READ_SIZE: usize = 64 * 1024;

/// Payloads up to this size are copied: it costs less than a reference-counted slice, and a small
/// frame that is kept does not pin a whole read buffer.
const COPY_LIMIT: usize = 256;

/// A drained buffer larger than this is given back to the allocator.
const KEEP_CAPACITY: usize = 256 * 1024;

/// What [`Machine::next_frame`] found in the bytes that have arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// A frame.
    Frame(Bytes),
    /// No whole frame: at least so many further bytes are missing.
    Need(usize),
    /// The stream ended between two frames.
    End,
}

/// Where decoding stands. Shared by the [`Machine`] and the tokio-util codec, which has its
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

    fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Takes steps until there is a frame, an error, or nothing more to be had.
    #[inline]
    pub(crate) fn advance<F: Framing + ?Sized>(
        &mut self,
        framing: &mut F,
        input: &mut BytesMut,
        out: &mut Outbox,
    ) -> Result<Received, FrameError> {
        loop {
            let step = match &self.phase {
                Phase::Open => framing.decode(input, out),
                Phase::Closing => framing.decode_eof(input, out),
                Phase::Ended => return Ok(Received::End),
                Phase::Poisoned(error) => return Err(error.clone()),
            };
            let step = match step {
                // Bytes that are here come before time that is up: an ack read together with the
                // end of its time limit still counts.
                Ok(Step::Need(_)) if framing.deadline().is_some_and(|at| at <= out.now()) => {
                    framing.expired(input, out)
                }
                step => step,
            };
            match step {
                Ok(Step::Frame { payload, consumed }) => {
                    self.offset += consumed as u64;
                    return Ok(Received::Frame(cut(input, payload, consumed)));
                }
                Ok(Step::Elsewhere { consumed }) => {
                    self.offset += consumed as u64;
                    input.advance(consumed);
                    return Ok(Received::Frame(framing.take_frame()));
                }
                Ok(Step::Consumed(count)) => {
                    self.offset += count as u64;
                    input.advance(count);
                }
                Ok(Step::Need(count)) if self.is_open() => return Ok(Received::Need(count)),
                // A framing that wants more after the end has lost count of its frame.
                Ok(Step::Need(_)) => {
                    let cut_off = FrameError::truncated(Part::Body, input.len(), None);
                    return Err(self.fail(cut_off, input));
                }
                Ok(Step::End) => self.phase = Phase::Ended,
                Err(error) => return Err(self.fail(error, input)),
            }
        }
    }

    /// Completes an error with what only the owner of the buffer knows, and keeps a final one.
    #[cold]
    fn fail(&mut self, mut error: FrameError, input: &mut BytesMut) -> FrameError {
        error.locate(self.offset, input);
        match error.resume() {
            Some(consumed) => {
                self.offset += consumed as u64;
                input.advance(consumed);
            }
            None => self.phase = Phase::Poisoned(error.clone()),
        }
        error
    }
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

/// A framing with its buffers: bytes in, frames out; frames in, bytes out.
///
/// ```
/// use framing::{Delimiter, Machine, Received};
///
/// let mut machine = Machine::new(Delimiter::new("\n")?);
/// machine.receive(b"hel");
/// assert_eq!(machine.next_frame()?, Received::Need(1));
/// machine.receive(b"lo\nworld\n");
/// assert_eq!(machine.next_frame()?, Received::Frame("hello".into()));
/// assert_eq!(machine.next_frame()?, Received::Frame("world".into()));
/// machine.close_input();
/// assert_eq!(machine.next_frame()?, Received::End);
///
/// machine.send("hi".into())?;
/// assert_eq!(machine.outbox().take_bytes(), "hi\n");
/// # Ok::<(), framing::FrameError>(())
/// ```
#[derive(Debug)]
pub struct Machine<F> {
    framing: F,
    decoding: Decoding,
    input: BytesMut,
    out: Outbox,
    /// The framing's last [`Step::Need`].
    need: usize,
}

impl<F: Framing> Machine<F> {
    /// Puts empty buffers around `framing`.
    pub fn new(framing: F) -> Self {
        Self {
            framing,
            decoding: Decoding::default(),
            input: BytesMut::new(),
            out: Outbox::new(),
            need: 1,
        }
    }

    /// Appends bytes that have arrived.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The buffer of bytes not yet consumed, with room for a read to append to. Nothing else may
    /// be done to it.
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        // What has arrived already is a fair measure of what may be reserved next, so a frame of
        // n bytes is moved log n times.
        let ahead = self.need.min(self.input.len());
        self.input.reserve(ahead.max(READ_SIZE));
        &mut self.input
    }

    /// Notes that the peer has closed its side.
    pub fn close_input(&mut self) {
        self.decoding.close_input();
    }

    /// The next frame in the bytes that have arrived.
    ///
    /// Answers of the protocol itself are put into the [`outbox`](Self::outbox) on the way. An
    /// error is final and comes again at every call, unless it
    /// [is recoverable](FrameError::is_recoverable).
    #[inline]
    pub fn next_frame(&mut self) -> Result<Received, FrameError> {
        let received = self
            .decoding
            .advance(&mut self.framing, &mut self.input, &mut self.out)?;
        if let Received::Need(count) = received {
            self.need = count;
            self.tidy();
        }
        Ok(received)
    }

    /// Lets go of an empty buffer that is too large to keep, or too small to be of use.
    ///
    /// Its capacity alone does not tell: it is only what is left behind the last frame in an
    /// allocation that may be as large as that frame.
    fn tidy(&mut self) {
        let input = &mut self.input;
        if input.is_empty()
            && (input.try_reclaim(KEEP_CAPACITY + 1) || !input.try_reclaim(READ_SIZE))
        {
            *input = BytesMut::new();
        }
    }

    /// Appends `frame` to the outbox in the framing's wrapping; on an error nothing is written.
    pub fn send(&mut self, frame: Bytes) -> Result<(), FrameError> {
        self.framing.encode(frame, &mut self.out)
    }

    /// The bytes to be written.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.out
    }

    /// How many bytes wait to be written.
    pub fn unsent(&self) -> usize {
        self.out.remaining()
    }

    /// When to call [`next_frame`](Self::next_frame) again though nothing has arrived.
    pub fn deadline(&self) -> Option<Instant> {
        self.framing.deadline()
    }

    /// Tells the time; a driver does so once a wake.
    pub fn set_now(&mut self, now: Instant) {
        self.out.set_now(now);
    }

    /// The framing.
    pub fn framing(&self) -> &F {
        &self.framing
    }

    /// The framing, to change its limit or its header.
    pub fn framing_mut(&mut self) -> &mut F {
        &mut self.framing
    }

    /// Takes the machine apart: the framing, and the bytes received but not consumed.
    pub fn into_parts(self) -> (F, Bytes) {
        (self.framing, self.input.freeze())
    }

    /// The buffer itself, for a driver that lends it out while the connection is idle.
    pub(crate) fn input_mut(&mut self) -> &mut BytesMut {
        &mut self.input
    }
}
