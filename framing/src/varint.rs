//! Puts each frame's length in front of it, seven bits a byte, as protobuf's delimited messages do.

use bytes::Bytes;
use serde::Deserialize;

use crate::{
    FrameError, Framing, FramingHelp, Limits, OptionHelp, Outbox, Part, Step, discard::Discard,
};

pub(crate) const HELP: FramingHelp = FramingHelp::new(
    "LEB128 length, then the body, as protobuf's delimited messages",
    &[OptionHelp::new(
        "canonical",
        "false",
        "whether a length with more bytes than it needs is malformed",
    )],
);

/// Bytes that 64 bits take, seven a byte.
const MAX_WIDTH: usize = 10;

/// The largest frame: with its length it still fits in a buffer.
const MOST: usize = isize::MAX as usize - MAX_WIDTH;

/// The options of a [`Varint`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VarintOptions {
    canonical: bool,
}

impl VarintOptions {
    /// Sets whether a length must have as few bytes as it can (`false`): `80 00` for 0 is then
    /// malformed. We always write the shortest.
    ///
    /// ```
    /// use framing::{Limits, Machine, Received, VarintOptions};
    ///
    /// for canonical in [false, true] {
    ///     let options = VarintOptions::default().canonical(canonical);
    ///     let mut machine = Machine::new(options.build(Limits::new())?);
    ///     machine.receive(b"\x82\x00hi"); // a 2 in two bytes
    ///     match canonical {
    ///         false => assert_eq!(machine.next_frame()?, Received::Frame("hi".into())),
    ///         true => assert!(machine.next_frame().is_err()),
    ///     }
    ///     machine.send("hi".into())?;
    ///     assert_eq!(machine.outbox().take_bytes(), "\x02hi");
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn canonical(mut self, canonical: bool) -> Self {
        self.canonical = canonical;
        self
    }

    /// Builds the framing.
    ///
    /// # Errors
    ///
    /// Kind [`Config`](crate::ErrorKind::Config): a `max_frame` of 0.
    pub fn build(self, mut limits: Limits) -> Result<Varint, FrameError> {
        limits.fit(u64::MAX, "a varint")?;
        let mut framing = Varint {
            limits,
            canonical: self.canonical,
            stage: Stage::Length,
        };
        framing.set_max_frame(framing.limits.largest());
        Ok(framing)
    }
}

/// A length of one to ten bytes, then the payload.
///
/// ```text
///             ┌─────────┬───────────────────
///             │ 05      │ h e l l o              5
///             └─────────┴───────────────────
///             ┌─────────┬───────────────────
///             │ AC 02   │ …                      300 = 0101100 + 10 · 2⁷
///             └─────────┴───────────────────
/// ```
///
/// Seven bits of the length in each byte, the lowest first; a set top bit says that another byte
/// follows: unsigned LEB128, which Protocol Buffers call a
/// [varint](https://protobuf.dev/programming-guides/encoding/#varints). So are the messages of
/// `writeDelimitedTo` and `parseDelimitedFrom` framed; compare Netty's
/// `ProtobufVarint32FrameDecoder`, which takes 32 bits only. More than 64 bits are malformed.
///
/// ```
/// use framing::{Machine, Received, Varint};
///
/// let mut machine = Machine::new(Varint::default());
/// machine.send("hello".into())?;
/// assert_eq!(machine.outbox().take_bytes(), "\x05hello");
///
/// machine.receive(b"\xac\x02");
/// assert_eq!(machine.next_frame()?, Received::Need(300));
/// # Ok::<(), framing::FrameError>(())
/// ```
///
/// With [`OnError::Skip`](crate::OnError::Skip), a frame that is too long, or empty where that is
/// not allowed, is discarded as it arrives. What is malformed, and a flood of empty frames, is
/// always final.
#[derive(Clone, Debug, Default)]
pub struct Varint {
    limits: Limits,
    canonical: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    /// In a length.
    #[default]
    Length,
    /// Behind a length of `start` bytes that was accepted. Whatever the limit becomes, it is not
    /// judged again.
    Body { start: usize, length: usize },
    /// In the body of a bad frame.
    Discard(Discard),
}

impl Varint {
    /// A whole frame of less than 128 bytes, if it is a good one.
    #[inline]
    fn short_frame(&mut self, input: &[u8]) -> Option<Step> {
        let (Stage::Length, [length @ ..0x80, rest @ ..]) = (self.stage, input) else {
            return None;
        };
        if rest.len() < usize::from(*length) {
            return None;
        }
        // Whatever is not plainly right is left to the long way, which says what is wrong.
        let end = 1 + self.limits.admit(*length).ok()?;
        Some(Step::Frame {
            payload: 1..end,
            consumed: end,
        })
    }

    /// Finds any frame.
    fn find(&mut self, input: &[u8]) -> Result<Step, FrameError> {
        let (start, length) = match self.stage {
            Stage::Length => match self.accept(input)? {
                Some(accepted) => accepted,
                None => return Ok(Step::Need(1)),
            },
            Stage::Body { start, length } => (start, length),
            Stage::Discard(_) if input.is_empty() => return Ok(Step::Need(1)),
            Stage::Discard(rest) => return Ok(Step::Consumed(self.discard(rest, input.len()))),
        };
        let end = start + length;
        if input.len() < end {
            self.stage = Stage::Body { start, length };
            return Ok(Step::Need(end - input.len()));
        }
        self.stage = Stage::Length;
        Ok(Step::Frame {
            payload: start..end,
            consumed: end,
        })
    }

    /// Judges a length: its own size and the one it says, or `None` while it is not complete.
    fn accept(&mut self, input: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
        let Some((width, length)) = self.read(input)? else {
            return Ok(None);
        };
        match self.limits.admit(length) {
            Ok(length) => Ok(Some((width, length))),
            Err(error) => Err(self.reject(error, width, length, input.len())),
        }
    }

    /// How many bytes a length has, and what it says.
    fn read(&self, input: &[u8]) -> Result<Option<(usize, u64)>, FrameError> {
        let mut length = 0;
        for (position, &byte) in input.iter().take(MAX_WIDTH).enumerate() {
            // One bit is left for the tenth byte; with it, no other can follow.
            if position == MAX_WIDTH - 1 && byte > 1 {
                return Err(FrameError::malformed("a length of more than 64 bits").at(position));
            }
            length |= u64::from(byte & 0x7f) << (7 * position);
            if byte < 0x80 {
                if self.canonical && byte == 0 && position > 0 {
                    return Err(FrameError::malformed(
                        "a length with more bytes than it needs, which `canonical` forbids",
                    )
                    .at(position));
                }
                return Ok(Some((position + 1, length)));
            }
        }
        Ok(None)
    }

    /// Decides what comes after a frame that the limits do not allow.
    #[cold]
    fn reject(
        &mut self,
        error: FrameError,
        header: usize,
        body: u64,
        arrived: usize,
    ) -> FrameError {
        match Discard::new(header, body.into()) {
            Some(rest) if self.limits.may_skip(&error) => {
                error.skipping(self.discard(rest, arrived))
            }
            _ => error,
        }
    }

    #[cold]
    fn discard(&mut self, rest: Discard, arrived: usize) -> usize {
        let (gone, rest) = rest.pass(arrived);
        self.stage = rest.map_or(Stage::Length, Stage::Discard);
        gone
    }
}

/// Writes a length.
#[inline]
fn put(mut length: usize, out: &mut Outbox) {
    out.write_with(|tail| {
        while length >= 0x80 {
            tail.push(length as u8 | 0x80);
            length >>= 7;
        }
        tail.push(length as u8);
    });
}

impl Framing for Varint {
    #[inline]
    fn decode(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        match self.short_frame(input) {
            Some(step) => Ok(step),
            None => self.find(input),
        }
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        let step = self.decode(input, out)?;
        if !matches!(step, Step::Need(_)) {
            return Ok(step);
        }
        let cut_off = match self.stage {
            Stage::Length if input.is_empty() => return Ok(Step::End),
            Stage::Length => FrameError::truncated(Part::Header, input.len(), None),
            Stage::Body { start, length } => {
                FrameError::truncated(Part::Body, input.len() - start, length)
            }
            Stage::Discard(rest) => rest.cut_off(),
        };
        Err(cut_off.at(input.len()))
    }

    #[inline]
    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        if let Err(error) = self.limits.permit(frame.len()) {
            return Err(error.with_frame(frame));
        }
        put(frame.len(), out);
        out.put(frame);
        Ok(())
    }

    #[inline]
    fn encode_slice(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), FrameError> {
        self.limits.permit(frame.len())?;
        put(frame.len(), out);
        out.put_slice(frame);
        Ok(())
    }

    fn encode_prefixed(
        &mut self,
        prefix: &[u8],
        rest: Bytes,
        out: &mut Outbox,
    ) -> Result<(), FrameError> {
        let length = prefix.len() + rest.len();
        if let Err(error) = self.limits.permit(length) {
            return Err(error.with_frame([prefix, &rest].concat().into()));
        }
        put(length, out);
        out.put_slice(prefix);
        out.put(rest);
        Ok(())
    }

    fn is_mid_frame(&self) -> bool {
        matches!(self.stage, Stage::Discard(_))
    }

    fn max_frame(&self) -> usize {
        self.limits.largest()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.limits.set_largest(bytes.min(MOST));
    }
}
