//! Ends each frame with a byte that it escapes in the payload (SLIP, RFC 1055).

use bytes::Bytes;
use serde::Deserialize;

use crate::{
    FrameError, Framing, FramingHelp, Limits, OptionHelp, Outbox, Step,
    blocks::{Block, Blocks},
};

// The names are those of RFC 1055.
const END: u8 = 0xc0;
const ESC: u8 = 0xdb;
const ESC_END: u8 = 0xdc;
const ESC_ESC: u8 = 0xdd;

pub(crate) const HELP: FramingHelp = FramingHelp::new(
    "0xC0-marked, byte-stuffed frames (RFC 1055); carries any bytes but none",
    &[
        OptionHelp::new(
            "leading",
            "true",
            "whether we also write a mark in front of each frame",
        ),
        OptionHelp::new(
            "invalid_escape",
            "\"error\"",
            "what an escape of another byte is: \"error\", or \"pass\" for that byte",
        ),
    ],
);

/// What an escape in front of a byte that needs none means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InvalidEscape {
    /// The frame is malformed.
    #[default]
    Error,
    /// The byte itself, as in the reference code of RFC 1055.
    Pass,
}

/// The options of a [`Slip`].
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SlipOptions {
    leading: bool,
    invalid_escape: InvalidEscape,
}

impl Default for SlipOptions {
    fn default() -> Self {
        Self {
            leading: true,
            invalid_escape: InvalidEscape::Error,
        }
    }
}

impl SlipOptions {
    /// Sets whether we also write a mark in front of each frame (`true`), as RFC 1055 does to end
    /// whatever noise the line has made before. Both forms are read.
    ///
    /// ```
    /// use framing::{Limits, Machine, SlipOptions};
    ///
    /// for (leading, wire) in [(true, &b"\xc0hi\xc0"[..]), (false, b"hi\xc0")] {
    ///     let mut machine = Machine::new(SlipOptions::default().leading(leading).build(Limits::new())?);
    ///     machine.send("hi".into())?;
    ///     assert_eq!(machine.outbox().take_bytes(), wire);
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn leading(mut self, leading: bool) -> Self {
        self.leading = leading;
        self
    }

    /// Sets what an escape in front of a byte that needs none means (an error).
    ///
    /// ```
    /// use framing::{InvalidEscape, Limits, Machine, Received, SlipOptions};
    ///
    /// for meaning in [InvalidEscape::Error, InvalidEscape::Pass] {
    ///     let options = SlipOptions::default().invalid_escape(meaning);
    ///     let mut machine = Machine::new(options.build(Limits::new())?);
    ///     machine.receive(b"\xc0h\xdbi\xc0");
    ///     match meaning {
    ///         InvalidEscape::Pass => assert_eq!(machine.next_frame()?, Received::Frame("hi".into())),
    ///         _ => assert!(machine.next_frame().is_err()),
    ///     }
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn invalid_escape(mut self, meaning: InvalidEscape) -> Self {
        self.invalid_escape = meaning;
        self
    }

    /// Checks the options.
    ///
    /// # Errors
    ///
    /// Kind [`Config`](crate::ErrorKind::Config), for a `max_frame` of 0.
    pub fn build(self, mut limits: Limits) -> Result<Slip, FrameError> {
        limits.fit(u64::MAX, "slip")?;
        Ok(Slip {
            limits,
            leading: self.leading,
            invalid_escape: self.invalid_escape,
            blocks: Blocks::new(END, Some(ESC)),
        })
    }
}

/// Frames between bytes 0xC0: the Serial Line Internet Protocol of
/// [RFC 1055](https://www.rfc-editor.org/rfc/rfc1055).
///
/// ```text
///  frame       h  i           C0           DB
///  wire    C0  h  i  C0   C0  DB DC  C0    C0  DB DD  C0
///          END       END      ESC ESC_END      ESC ESC_ESC
/// ```
///
/// Nothing between two marks is no frame, and passed over: one may stand in front of a frame too.
/// So the empty frame cannot be carried; every other can.
///
/// `DB` in front of another byte than `DC` and `DD` is malformed, or with
/// [`InvalidEscape::Pass`] that byte. In front of `C0` it is malformed either way: the reference
/// code takes such a `C0` for payload, and would glue what a lost byte has cut off to the next
/// frame. With [`OnError::Skip`](crate::OnError::Skip) the frame behind a malformed or too long
/// one is found.
///
/// ```
/// use framing::{Machine, Received, Slip};
///
/// let mut machine = Machine::new(Slip::default());
/// machine.receive(b"\xc0a\xdb\xdcb");
/// assert_eq!(machine.next_frame()?, Received::Need(1));
/// machine.receive(b"\xc0");
/// assert_eq!(machine.next_frame()?, Received::Frame(b"a\xc0b".as_slice().into()));
///
/// machine.send("hi".into())?;
/// assert_eq!(machine.outbox().take_bytes(), b"\xc0hi\xc0"[..]);
/// # Ok::<(), framing::FrameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Slip {
    limits: Limits,
    leading: bool,
    invalid_escape: InvalidEscape,
    blocks: Blocks,
}

impl Default for Slip {
    /// A mark on both sides of a frame, and no other escapes than those of RFC 1055.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            leading: true,
            invalid_escape: InvalidEscape::Error,
            blocks: Blocks::new(END, Some(ESC)),
        }
    }
}

impl Slip {
    /// A whole block stands in front of a mark.
    fn take(&mut self, input: &mut [u8], length: usize) -> Result<Step, FrameError> {
        let consumed = length + 1;
        let block = &mut input[..length];
        let payload = self.measure(block).and_then(|payload| {
            // Of two escapes in a row one may have been passed, so this is not known before.
            if payload > self.limits.largest() {
                return Err(FrameError::over_limit(self.limits.largest()));
            }
            self.limits.admit(payload as u64)
        });
        match payload {
            Ok(payload) => {
                unescape(block);
                Ok(Step::Frame {
                    payload: 0..payload,
                    consumed,
                })
            }
            Err(error) if self.limits.skips() => Err(error.skipping(consumed)),
            Err(error) => Err(error),
        }
    }

    /// How long the payload is, once every escape is known to stand in front of something.
    fn measure(&self, block: &[u8]) -> Result<usize, FrameError> {
        let (mut at, mut escapes) = (0, 0);
        while let Some(step) = memchr::memchr(ESC, &block[at..]) {
            at += step;
            match block.get(at + 1) {
                Some(&(ESC_END | ESC_ESC)) => {}
                Some(_) if self.invalid_escape == InvalidEscape::Pass => {}
                Some(byte) => {
                    return Err(FrameError::malformed(format!(
                        "an escape in front of {byte:#04x}, where only {ESC_END:#04x} and \
                         {ESC_ESC:#04x} are allowed"
                    ))
                    .at(at + 1));
                }
                None => {
                    return Err(FrameError::malformed(
                        "an escape with nothing behind it before the frame ends",
                    )
                    .at(at + 1));
                }
            }
            escapes += 1;
            at += 2;
        }
        Ok(block.len() - escapes)
    }

    fn check(&self, frame: &[u8]) -> Result<(), FrameError> {
        if frame.is_empty() {
            return Err(FrameError::unencodable(
                "an empty frame, which slip cannot carry: it would be passed over",
            ));
        }
        self.limits.permit(frame.len())
    }

    /// Appends `frame` with its marks.
    fn write(&self, frame: &[u8], to: &mut Vec<u8>) {
        to.reserve(frame.len() + 2);
        if self.leading {
            to.push(END);
        }
        let mut rest = frame;
        while let Some(at) = memchr::memchr2(END, ESC, rest) {
            to.extend_from_slice(&rest[..at]);
            let escaped = if rest[at] == END { ESC_END } else { ESC_ESC };
            to.extend_from_slice(&[ESC, escaped]);
            rest = &rest[at + 1..];
        }
        to.extend_from_slice(rest);
        to.push(END);
    }
}

/// Takes the escapes out in place; each must stand in front of something.
fn unescape(block: &mut [u8]) {
    let (mut read, mut write) = (0, 0);
    while let Some(step) = memchr::memchr(ESC, &block[read..]) {
        block.copy_within(read..read + step, write);
        write += step;
        block[write] = match block[read + step + 1] {
            ESC_END => END,
            ESC_ESC => ESC,
            other => other,
        };
        write += 1;
        read += step + 2;
    }
    if read > write {
        block.copy_within(read.., write);
    }
}

impl Framing for Slip {
    fn decode(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        let longest = self.limits.largest();
        match self.blocks.next(input, longest, &self.limits)? {
            Block::Whole(length) => self.take(input, length),
            Block::Not(step) => Ok(step),
        }
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        match self.decode(input, out)? {
            Step::Need(_) => self.blocks.end(input),
            step => Ok(step),
        }
    }

    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        self.encode_slice(&frame, out)
            .map_err(|error| error.with_frame(frame))
    }

    fn encode_slice(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), FrameError> {
        self.check(frame)?;
        out.write_with(|to| self.write(frame, to));
        Ok(())
    }

    fn is_mid_frame(&self) -> bool {
        self.blocks.is_discarding()
    }

    fn max_frame(&self) -> usize {
        self.limits.largest()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.limits.set_largest(bytes);
    }
}
