//! The seam between bytes and frames: what a framing is, and what it promises.
//!
//! A [`Framing`] is a state machine without I/O and without a clock. It looks at the bytes that
//! have arrived and says where the next frame stands in them; it turns frames into bytes. Who
//! reads, writes, keeps the buffers and watches the time is somebody else: a
//! [`Machine`](crate::Machine) for buffers alone, a [`Connection`](crate::Connection) under tokio,
//! your own loop over `std::net`.

use std::{ops::Range, time::Instant};

use bytes::Bytes;

use crate::{FrameError, Outbox, Value};

/// What [`Framing::decode`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A frame stands at `payload` in `input`; `consumed` bytes belong to it and are done with.
    Frame {
        /// Where in `input` the frame stands.
        payload: Range<usize>,
        /// How many bytes of `input` it takes up with all its wrapping.
        consumed: usize,
    },
    /// A frame that does not stand in `input`; fetch it with [`Framing::take_frame`].
    Elsewhere {
        /// How many bytes of `input` are done with; none, if they were before.
        consumed: usize,
    },
    /// So many bytes, at least one, were not part of a frame: an acknowledgement, or garbage that
    /// was skipped.
    Consumed(usize),
    /// No frame yet: at least so many further bytes, and never zero, are missing before one can be
    /// complete. What is wrong with it may show earlier.
    Need(usize),
    /// The stream ended between two frames. Only from [`Framing::decode_eof`].
    End,
}

/// What payloads a framing can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carries {
    /// Any bytes up to the limit: the framing is transparent.
    Anything,
    /// Any text without control characters (every byte from 0x20 on, in valid UTF-8).
    Text,
    /// Neither for sure; the reason, as the end of a sentence that begins with "because".
    Neither(&'static str),
}

/// The rule that finds frames in a byte stream and writes them.
///
/// # The contract for implementers
///
/// **Decoding.** The driver calls [`decode`](Self::decode) with all bytes it has not yet been told
/// to drop. Between two calls it only appends, and drops what the last step consumed; so what you
/// changed in place (unescaping, say) is found changed. It calls again and again until
/// [`Step::Need`]. Then:
///
/// 1. the same calls with the bytes cut in other pieces give the same frames and errors;
/// 2. a repeated call without new bytes changes nothing and gives the same answer: a driver calls
///    as often as it is woken, for nothing or after a future was dropped;
/// 3. a declared length is checked with [`Limits::admit`](crate::Limits::admit) before anything
///    else; memory grows with what has arrived;
/// 4. no byte is searched again and again: remember how far you have looked; a header without a
///    size of its own (digits up to a mark) has a bound, or a peer could send one without end;
/// 5. what the protocol itself must answer goes to `out`, and
///    [`is_interactive`](Self::is_interactive) says so.
///
/// **Errors.** An error is final; the driver keeps it, with the stream offset and the first bytes,
/// and never calls `decode` again. Where the bad frame's end is known and the policy is to skip,
/// return the error with [`FrameError::skipping`], discard up to that end in later calls, and go on.
/// A flood of empty frames ([`Limits::admit`](crate::Limits::admit)) is final all the same.
/// [`FrameError::at`] points at the byte where the trouble is: a position in `input`, or its
/// length.
///
/// **The end.** Once the peer has closed its side, [`decode_eof`](Self::decode_eof) takes
/// `decode`'s place until it gives [`Step::End`] or an error; never [`Step::Need`]. `End` means
/// that `input` is empty. A cut-off frame is [truncated](crate::ErrorKind::Truncated), never an end
/// and never a frame. The trouble is then that nothing comes behind the last byte, so point there:
///
/// ```
/// # use framing::{FrameError, Part};
/// # let (input, header, body) = (b"5:hel", 2, 5);
/// let have = input.len() - header;
/// FrameError::truncated(Part::Body, have, body).at(input.len())
/// # ;
/// ```
///
/// **Encoding** is all or nothing: on an error nothing is written, the framing is as before, and
/// the error carries the frame. What could not be read back as the same frame is refused.
///
/// **Time.** A framing has no clock; it reads [`Outbox::now`]. Only
/// [`expired`](Self::expired) means that time is up; it gives a frame or an error, or moves the
/// deadline or takes it away.
///
/// A framing of your own is a page of code; the crate's `testkit` feature checks it against all of
/// this, law by law.
pub trait Framing {
    /// Looks for the next frame in `input`, all bytes not yet consumed.
    fn decode(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError>;

    /// The same once the peer has closed its side. A framing whose frames all declare their end
    /// needs only to tell a clean end from a cut-off one; `input` may hold frames still.
    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError>;

    /// Appends `frame` with its wrapping to `out`, or nothing.
    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError>;

    /// The same for a borrowed frame: no reference count for those that are copied anyway. The
    /// error carries no frame, as the caller still has it.
    fn encode_slice(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), FrameError> {
        self.encode(Bytes::copy_from_slice(frame), out)
            .map_err(|mut error| {
                error.take_frame();
                error
            })
    }

    /// The same for a frame in two pieces, `prefix` and behind it `rest`.
    ///
    /// Protocols often mark a frame with a byte or two in front. A framing that writes payloads
    /// as they are can do that without a copy of the `rest`; the others need not care, as the pieces
    /// are put together for them. The error carries the whole frame.
    fn encode_prefixed(
        &mut self,
        prefix: &[u8],
        rest: Bytes,
        out: &mut Outbox,
    ) -> Result<(), FrameError> {
        self.encode(Bytes::from([prefix, &rest].concat()), out)
    }

    /// The largest frame, in bytes as handed out, for both directions.
    fn max_frame(&self) -> usize;

    /// Changes [`max_frame`](Self::max_frame) for frames whose header is not accepted yet. More
    /// than the wire format can say is lowered to that.
    fn set_max_frame(&mut self, bytes: usize);

    /// When to call [`expired`](Self::expired), if ever: the earliest of several times.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// What happens because [`deadline`](Self::deadline) has passed. Called only then.
    fn expired(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        self.decode(input, out)
    }

    /// Whether `encode` may be called now; not while the peer owes us its agreement to the last
    /// frame. Changes only in `decode`, `decode_eof`, `expired` and `encode`.
    fn is_ready(&self) -> bool {
        true
    }

    /// Whether part of an unfinished frame has been consumed: the rest is owed even though `input`
    /// is empty. Most framings leave a frame in `input` until it is whole, and say no.
    fn is_mid_frame(&self) -> bool {
        false
    }

    /// Whether decoding writes answers to the peer. The driver of such a framing reads while it
    /// writes; such a framing can be no plain codec.
    fn is_interactive(&self) -> bool {
        false
    }

    /// Prepares the framing to send only, beside another that reads the frames (a
    /// [`Pair`](crate::Pair)): it is shown bytes while [`is_ready`](Self::is_ready) says no, and
    /// they are the peer's answer, whatever they look like.
    fn set_send_only(&mut self) {}

    /// Whether one frame sent is one frame received. Only [`Raw`](crate::Raw) says no.
    fn keeps_boundaries(&self) -> bool {
        true
    }

    /// What payloads can be carried.
    fn carries(&self) -> Carries {
        Carries::Anything
    }

    /// The frame announced by [`Step::Elsewhere`].
    fn take_frame(&mut self) -> Bytes {
        Bytes::new()
    }

    /// The frame that was announced to the peer and never sent.
    fn take_unsent(&mut self) -> Option<Bytes> {
        None
    }

    /// What the header of the frame last decoded held beside the length, in order.
    fn header(&self) -> Vec<Value> {
        Vec::new()
    }

    /// What the headers of frames encoded from now on hold beside the length, in order.
    fn set_header(&mut self, items: &[Value]) -> Result<(), FrameError> {
        match items {
            [] => Ok(()),
            _ => Err(FrameError::unencodable(
                "this framing's header has no items but the length",
            )),
        }
    }
}

/// A framing chosen at run time.
pub type BoxFraming = Box<dyn Framing + Send>;

impl<F: Framing + ?Sized> Framing for Box<F> {
    fn decode(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        (**self).decode(input, out)
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        (**self).decode_eof(input, out)
    }

    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        (**self).encode(frame, out)
    }

    fn encode_slice(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), FrameError> {
        (**self).encode_slice(frame, out)
    }

    fn encode_prefixed(
        &mut self,
        prefix: &[u8],
        rest: Bytes,
        out: &mut Outbox,
    ) -> Result<(), FrameError> {
        (**self).encode_prefixed(prefix, rest, out)
    }

    fn max_frame(&self) -> usize {
        (**self).max_frame()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        (**self).set_max_frame(bytes);
    }

    fn deadline(&self) -> Option<Instant> {
        (**self).deadline()
    }

    fn expired(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        (**self).expired(input, out)
    }

    fn is_ready(&self) -> bool {
        (**self).is_ready()
    }

    fn is_mid_frame(&self) -> bool {
        (**self).is_mid_frame()
    }

    fn is_interactive(&self) -> bool {
        (**self).is_interactive()
    }

    fn set_send_only(&mut self) {
        (**self).set_send_only();
    }

    fn keeps_boundaries(&self) -> bool {
        (**self).keeps_boundaries()
    }

    fn carries(&self) -> Carries {
        (**self).carries()
    }

    fn take_frame(&mut self) -> Bytes {
        (**self).take_frame()
    }

    fn take_unsent(&mut self) -> Option<Bytes> {
        (**self).take_unsent()
    }

    fn header(&self) -> Vec<Value> {
        (**self).header()
    }

    fn set_header(&mut self, items: &[Value]) -> Result<(), FrameError> {
        (**self).set_header(items)
    }
}
