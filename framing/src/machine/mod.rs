//! Runs a framing over buffers, without I/O.
//!
//! Everything that all framings need and none should do for itself is here and in `decoding.rs`,
//! once: the bytes not yet consumed, buffers that shrink again (`room.rs`), the offset in the stream, the
//! end, what happens after an error.

mod room;

use std::{fmt, mem, ops::ControlFlow, time::Instant};

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    FrameError, Framing, Outbox, Value,
    decoding::{Cut, Decoding, Found},
};

pub(crate) use self::room::READ_SIZE;

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

/// What becomes of the bytes that have arrived already when the framing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unread {
    /// They belong to the new framing: a peer that asks for an upgrade may go on without waiting
    /// for the answer.
    CarryOn,
    /// They are dropped: what came in front of a change to an encrypted stream must not be taken
    /// for part of it (the command injection of CVE-2011-0411).
    Discard,
}

/// Why [`Machine::visit`] came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Visited {
    /// No further whole frame: at least so many bytes are missing.
    Need(usize),
    /// The visitor wanted no more; frames may be left.
    Broken,
    /// The stream ended between two frames.
    End,
}

/// Sends frames from inside a [visit](Machine::visit).
#[derive(Debug)]
pub struct Replies<'a, F> {
    framing: &'a mut F,
    out: &'a mut Outbox,
}

impl<F: Framing> Replies<'_, F> {
    /// Appends a frame to the outbox; on an error nothing is written.
    #[inline]
    pub fn send(&mut self, frame: Bytes) -> Result<(), FrameError> {
        self.framing.encode(frame, self.out)
    }

    /// The same for a borrowed frame.
    #[inline]
    pub fn send_slice(&mut self, frame: &[u8]) -> Result<(), FrameError> {
        self.framing.encode_slice(frame, self.out)
    }

    /// What the header of the frame lent held beside the length.
    pub fn header(&self) -> Vec<Value> {
        self.framing.header()
    }

    /// Whether a frame may be sent now; a framing that waits for its peer's agreement to the last
    /// one says no.
    pub fn is_ready(&self) -> bool {
        self.framing.is_ready()
    }

    /// How many bytes wait to be written.
    pub fn unsent(&self) -> usize {
        self.out.remaining()
    }
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
pub struct Machine<F> {
    framing: F,
    decoding: Decoding,
    input: BytesMut,
    out: Outbox,
    /// The framing's last [`Step::Need`](crate::Step::Need).
    need: usize,
    /// Whether `input` may have an allocation that is too large to keep.
    has_grown: bool,
    /// Whether it is one of the pool's for large frames.
    is_large: bool,
    /// Whether the last read filled the buffer.
    is_flooded: bool,
    /// Whether the framing wants more bytes, none are left over, and `input` is with the pool.
    is_resting: bool,
}

impl<F: fmt::Debug> fmt::Debug for Machine<F> {
    /// Without the bytes: they may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("framing", &self.framing)
            .field("decoding", &self.decoding)
            .field("unread", &(self.input.len() - self.decoding.ahead()))
            .field("out", &self.out)
            .finish_non_exhaustive()
    }
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
            has_grown: false,
            is_large: false,
            is_flooded: false,
            is_resting: false,
        }
    }

    /// Appends bytes that have arrived.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.is_resting = false;
        self.decoding.settle(&mut self.input);
        // One that grows here is none of the pool's any more.
        self.is_large &= self.input.capacity() - self.input.len() >= bytes.len();
        self.input.extend_from_slice(bytes);
        self.note_growth();
    }

    /// Notes that the peer has closed its side.
    pub fn close_input(&mut self) {
        self.is_resting = false;
        self.decoding.close_input();
    }

    /// The next frame in the bytes that have arrived.
    ///
    /// Answers of the protocol itself are put into the [`outbox`](Self::outbox) on the way. An
    /// error is final and comes again at every call, unless it
    /// [is recoverable](FrameError::is_recoverable).
    #[inline]
    pub fn next_frame(&mut self) -> Result<Received, FrameError> {
        match self.find() {
            Ok(Found::Here(cut)) if self.decoding.is_small(&cut) => {
                Ok(Received::Frame(self.copy(cut)))
            }
            Ok(Found::Here(cut)) => Ok(Received::Frame(self.split(cut))),
            other => self.take(other),
        }
    }

    /// Hands each frame that has arrived to `visitor`, until the frames are used up or the visitor
    /// [breaks](ControlFlow::Break).
    ///
    /// It gives the frames and the error that [`next_frame`](Self::next_frame) would give, and saves
    /// moving each through its result (a quarter of a small frame's time). The visitor may answer at
    /// once through [`Replies`].
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use framing::{Machine, StructHeader, Visited};
    ///
    /// let mut machine = Machine::new(StructHeader::default());
    /// machine.receive(b"\0\0\0\x02hi\0\0\0\x05there\0\0");
    /// let mut frames = Vec::new();
    /// let visited = machine.take_frames(|frame, _| {
    ///     frames.push(frame);
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert_eq!(frames, ["hi", "there"]);
    /// assert_eq!(visited, Visited::Need(2));
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    #[inline]
    pub fn take_frames(
        &mut self,
        mut visitor: impl FnMut(Bytes, &mut Replies<'_, F>) -> ControlFlow<()>,
    ) -> Result<Visited, FrameError> {
        loop {
            // Each way's frame is the visitor's own where it is made: as soon as two of them meet, it is
            // moved, with loads that wait for the stores in front of them.
            let flow = match self.find() {
                Ok(Found::Here(cut)) if self.decoding.is_small(&cut) => {
                    visitor(self.copy(cut), &mut self.replies())
                }
                Ok(Found::Here(cut)) => visitor(self.split(cut), &mut self.replies()),
                other => match self.take(other)? {
                    Received::Frame(frame) => visitor(frame, &mut self.replies()),
                    Received::Need(count) => return Ok(Visited::Need(count)),
                    Received::End => return Ok(Visited::End),
                },
            };
            if flow.is_break() {
                return Ok(Visited::Broken);
            }
        }
    }

    /// Where the next frame is.
    #[inline(always)]
    pub(crate) fn find(&mut self) -> Result<Found, FrameError> {
        let (framing, input) = (&mut self.framing, &mut self.input);
        let found = self.decoding.find(framing, input, &mut self.out);
        if let Ok(Found::Need(count)) = found {
            self.need = count;
            self.tidy();
        }
        found
    }

    /// The frame that [`find`](Self::find) has found, if it is a small one.
    #[inline(always)]
    fn copy(&mut self, cut: Cut) -> Bytes {
        self.decoding.copy(&self.input, cut)
    }

    /// The frame that [`find`](Self::find) has found, if it is a large one.
    #[inline(always)]
    fn split(&mut self, cut: Cut) -> Bytes {
        self.decoding.split(&mut self.input, cut)
    }

    /// The frame that [`find`](Self::find) has found.
    #[inline(always)]
    pub(crate) fn cut(&mut self, cut: Cut) -> Bytes {
        self.decoding.cut(&mut self.input, cut)
    }

    /// What [`find`](Self::find) has found, with the frame itself, told out of line.
    #[inline(never)]
    pub(crate) fn take(
        &mut self,
        found: Result<Found, FrameError>,
    ) -> Result<Received, FrameError> {
        self.decoding
            .take(found, &mut self.framing, &mut self.input)
    }

    /// Lends each frame that has arrived to `visitor`, as it stands in the buffer: no copy, no
    /// reference count. It goes on until the frames are used up or the visitor
    /// [breaks](ControlFlow::Break).
    ///
    /// The visitor may answer at once through [`Replies`]. An error comes after the frames in
    /// front of it, and is the same as [`next_frame`](Self::next_frame)'s.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use framing::{Machine, StructHeader, Visited};
    ///
    /// let mut machine = Machine::new(StructHeader::default());
    /// machine.receive(b"\0\0\0\x02hi\0\0\0\x05there\0\0");
    /// let visited = machine.visit(|frame, replies| {
    ///     replies.send_slice(&frame.to_ascii_uppercase()).unwrap();
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert_eq!(visited, Visited::Need(2));
    /// assert_eq!(machine.outbox().take_bytes(), "\0\0\0\x02HI\0\0\0\x05THERE");
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    #[inline]
    pub fn visit(
        &mut self,
        mut visitor: impl FnMut(&[u8], &mut Replies<'_, F>) -> ControlFlow<()>,
    ) -> Result<Visited, FrameError> {
        // Also when the visitor panics, what it has seen is done with.
        struct Seen<'a>(&'a mut Decoding, &'a mut BytesMut, usize);
        impl Drop for Seen<'_> {
            fn drop(&mut self) {
                self.0.commit(self.1, self.2);
            }
        }

        // A local of its own, whose address nobody has: so it stays in a register from frame to frame
        // (of a boxed framing's frame, two thirds of the time).
        let mut at = self.decoding.ahead();
        let mut seen = Seen(&mut self.decoding, &mut self.input, at);
        let visited = loop {
            let Seen(decoding, input, done) = &mut seen;
            let (framing, out) = (&mut self.framing, &mut self.out);
            let mut other = None;
            let elsewhere;
            let frame = match decoding.whole(framing, input, at, out, &mut other) {
                Some(cut) => {
                    at = cut.at;
                    *done = at;
                    &input[cut.payload]
                }
                None => {
                    let found = decoding.advance(other, framing, input, done, out);
                    at = *done;
                    match found? {
                        Found::Here(cut) => &input[cut.payload],
                        Found::Elsewhere => {
                            elsewhere = framing.take_frame();
                            &elsewhere[..]
                        }
                        Found::Need(count) => {
                            self.need = count;
                            break Visited::Need(count);
                        }
                        Found::End => break Visited::End,
                    }
                }
            };
            let mut replies = Replies {
                framing: &mut self.framing,
                out: &mut self.out,
            };
            if visitor(frame, &mut replies).is_break() {
                break Visited::Broken;
            }
        };
        drop(seen);
        self.tidy();
        Ok(visited)
    }

    /// Appends `frame` to the outbox in the framing's wrapping; on an error nothing is written.
    pub fn send(&mut self, frame: Bytes) -> Result<(), FrameError> {
        self.is_resting = false;
        self.framing.encode(frame, &mut self.out)
    }

    /// The same for a frame in two pieces, of which the second is [not
    /// copied](Framing::encode_prefixed) where the framing can do without.
    pub fn send_prefixed(&mut self, prefix: &[u8], rest: Bytes) -> Result<(), FrameError> {
        self.is_resting = false;
        self.framing.encode_prefixed(prefix, rest, &mut self.out)
    }

    /// The bytes to be written.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.out
    }

    /// How many bytes wait to be written.
    pub fn unsent(&self) -> usize {
        self.out.remaining()
    }

    /// How many bytes have arrived and are not consumed.
    pub fn unread(&self) -> usize {
        self.input.len() - self.decoding.ahead()
    }

    /// The sending side alone, as a [visitor](Self::visit) has it.
    pub(crate) fn replies(&mut self) -> Replies<'_, F> {
        self.is_resting = false;
        Replies {
            framing: &mut self.framing,
            out: &mut self.out,
        }
    }

    /// When to call [`next_frame`](Self::next_frame) again though nothing has arrived.
    pub fn deadline(&self) -> Option<Instant> {
        self.framing.deadline()
    }

    /// Sets the time, which stands still from then on; without, tokio's clock tells it.
    pub fn set_now(&mut self, now: Instant) {
        self.out.set_now(now);
    }

    /// The framing.
    pub fn framing(&self) -> &F {
        &self.framing
    }

    /// The framing, to change its limit or its header.
    pub fn framing_mut(&mut self) -> &mut F {
        self.is_resting = false;
        &mut self.framing
    }

    /// Whether the peer owes the rest of a frame it has begun, as far as has been looked: ask behind
    /// [`Received::Need`], since bytes that nobody has looked at count as a part of one.
    pub fn is_mid_frame(&self) -> bool {
        self.unread() > 0 || self.framing.is_mid_frame()
    }

    /// Puts another framing in the place of this one, from the next byte on; see [`Unread`] for
    /// those that have arrived already. Bytes that wait to be written stay.
    ///
    /// Do it right behind a frame: what the old framing has consumed of an unfinished one is gone.
    /// A stream that has failed stays failed.
    ///
    /// ```
    /// use framing::{Lines, Machine, Received, StructHeader, Unread};
    ///
    /// let mut machine = Machine::new(Lines::new()?);
    /// machine.receive(b"UPGRADE\n\0\0\0\x02hi");
    /// assert_eq!(machine.next_frame()?, Received::Frame("UPGRADE".into()));
    /// let (mut machine, _) = machine.change_framing(StructHeader::default(), Unread::CarryOn);
    /// assert_eq!(machine.next_frame()?, Received::Frame("hi".into()));
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn change_framing<G: Framing>(self, framing: G, unread: Unread) -> (Machine<G>, F) {
        let mut machine = Machine {
            framing,
            decoding: self.decoding,
            input: self.input,
            out: self.out,
            need: 1,
            has_grown: self.has_grown,
            is_large: self.is_large,
            is_flooded: self.is_flooded,
            is_resting: false,
        };
        machine.settle_unread(unread);
        (machine, self.framing)
    }

    /// The same in place, for a framing of the same type, such as a
    /// [`BoxFraming`](crate::BoxFraming); gives the old one back.
    pub fn replace_framing(&mut self, framing: F, unread: Unread) -> F {
        self.need = 1;
        self.is_resting = false;
        let old = mem::replace(&mut self.framing, framing);
        self.settle_unread(unread);
        old
    }

    fn settle_unread(&mut self, unread: Unread) {
        if unread == Unread::Discard {
            let all = self.input.len();
            self.decoding.commit(&mut self.input, all);
        }
    }

    /// Makes `error` final, as one of the framing's own would be.
    pub(crate) fn poison(&mut self, error: FrameError) -> FrameError {
        self.is_resting = false;
        self.decoding.settle(&mut self.input);
        self.decoding.fail(error, &self.input, &mut 0)
    }

    /// Takes the machine apart: the framing, and the bytes received but not consumed.
    pub fn into_parts(mut self) -> (F, Bytes) {
        self.decoding.settle(&mut self.input);
        (self.framing, self.input.freeze())
    }
}
