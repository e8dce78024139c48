//! Writes each frame as a netstring: its length in decimal digits, a colon, its bytes, a comma.

use bytes::Bytes;
use serde::Deserialize;

use crate::{
    FrameError, Framing, FramingHelp, Limits, Outbox, Part, Step, decimal, discard::Discard,
};

pub(crate) const HELP: FramingHelp =
    FramingHelp::new("decimal length, colon, body, comma: `5:hello,`", &[]);

/// The largest frame: with its digits and marks it still fits in a buffer.
const MOST: usize = isize::MAX as usize - 32;

/// The options of a [`Netstring`]: there are none but the limits.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetstringOptions {}

impl NetstringOptions {
    /// Builds the framing.
    ///
    /// # Errors
    ///
    /// Kind [`Config`](crate::ErrorKind::Config): a `max_frame` of 0.
    pub fn build(self, mut limits: Limits) -> Result<Netstring, FrameError> {
        limits.fit(u64::MAX, "a netstring")?;
        let mut framing = Netstring {
            limits,
            stage: Stage::Length,
        };
        framing.set_max_frame(framing.limits.largest());
        Ok(framing)
    }
}

/// Frames with their length in front, as text, and a comma behind.
///
/// ```text
///             ┌────┬───┬─────────────────────────┬───┐
///             │ 12 │ : │ h e l l o ␣ w o r l d ! │ , │      frame "hello world!"
///             └────┴───┴─────────────────────────┴───┘
/// ```
///
/// [Netstrings](https://cr.yp.to/proto/netstrings.txt) carry any bytes, and people can read them.
/// A length has digits only, 20 at most and no zero in front of others; anything else is
/// malformed, and so is a frame that no comma follows.
///
/// ```
/// use framing::{Machine, Netstring, Received};
///
/// let mut machine = Machine::new(Netstring::default());
/// machine.send("hello world!".into())?;
/// assert_eq!(machine.outbox().take_bytes(), "12:hello world!,");
///
/// machine.receive(b"5:hello,0:,3:a");
/// assert_eq!(machine.next_frame()?, Received::Frame("hello".into()));
/// assert_eq!(machine.next_frame()?, Received::Frame("".into()));
/// assert_eq!(machine.next_frame()?, Received::Need(3));
/// # Ok::<(), framing::FrameError>(())
/// ```
///
/// With [`OnError::Skip`](crate::OnError::Skip), a frame that is too long, or empty where that is
/// not allowed, is discarded as it arrives; its comma must be there all the same. What is
/// malformed, and a flood of empty frames, is always final.
#[derive(Clone, Debug, Default)]
pub struct Netstring {
    limits: Limits,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    /// In front of a colon.
    #[default]
    Length,
    /// Behind a colon that ends at `start`, and a length that was accepted. Whatever the limit
    /// becomes, it is not judged again.
    Body { start: usize, length: usize },
    /// In the body of a bad frame.
    Discard(Discard),
    /// Behind the body of a bad frame.
    Comma,
}

impl Netstring {
    /// Judges a length: where its frame begins and ends, or `None` while the colon is missing.
    #[inline]
    fn accept(&mut self, input: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
        let digits = decimal::digits(input, self.limits.largest())?;
        match input.get(digits) {
            None => return Ok(None),
            Some(b':') if digits > 0 => {}
            Some(&byte) => return Err(not_a_length(byte).at(digits)),
        }
        let length = decimal::number(&input[..digits]);
        match self.limits.admit(length) {
            Ok(length) => Ok(Some((digits + 1, length))),
            Err(error) => Err(self.reject(error, digits + 1, length, input.len())),
        }
    }

    /// Decides what comes after a frame that the limits do not allow.
    #[cold]
    fn reject(
        &mut self,
        error: FrameError,
        header: usize,
        body: u128,
        arrived: usize,
    ) -> FrameError {
        match Discard::new(header, body) {
            Some(rest) if self.limits.may_skip(&error) => {
                error.skipping(self.discard(rest, arrived))
            }
            _ => error,
        }
    }

    #[cold]
    fn discard(&mut self, rest: Discard, arrived: usize) -> usize {
        let (gone, rest) = rest.pass(arrived);
        self.stage = rest.map_or(Stage::Comma, Stage::Discard);
        gone
    }
}

#[cold]
fn not_a_length(byte: u8) -> FrameError {
    FrameError::malformed(format!(
        "a length has the byte '{}' in it; only the digits 0 to 9 and then a colon are allowed",
        byte.escape_ascii()
    ))
}

#[cold]
fn no_comma() -> FrameError {
    FrameError::malformed("no comma behind a frame of the length that was declared")
}

impl Framing for Netstring {
    #[inline]
    fn decode(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        let (start, length) = match self.stage {
            Stage::Length => match self.accept(input)? {
                Some(accepted) => accepted,
                // The shortest frame is `0:,`.
                None if input.is_empty() => return Ok(Step::Need(3)),
                None => return Ok(Step::Need(2)),
            },
            Stage::Body { start, length } => (start, length),
            Stage::Discard(rest) if !input.is_empty() => {
                return Ok(Step::Consumed(self.discard(rest, input.len())));
            }
            Stage::Comma if !input.is_empty() => {
                if input[0] != b',' {
                    return Err(no_comma());
                }
                self.stage = Stage::Length;
                return Ok(Step::Consumed(1));
            }
            Stage::Discard(_) | Stage::Comma => return Ok(Step::Need(1)),
        };
        let end = start + length;
        match input.get(end) {
            Some(b',') => {
                self.stage = Stage::Length;
                Ok(Step::Frame {
                    payload: start..end,
                    consumed: end + 1,
                })
            }
            Some(_) => Err(no_comma().at(end)),
            None => {
                self.stage = Stage::Body { start, length };
                Ok(Step::Need(end + 1 - input.len()))
            }
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
            Stage::Body { start, length } if input.len() < start + length => {
                FrameError::truncated(Part::Body, input.len() - start, length)
            }
            Stage::Discard(rest) => rest.cut_off(),
            Stage::Body { .. } | Stage::Comma => FrameError::truncated(Part::Delimiter, 0, 1),
        };
        Err(cut_off.at(input.len()))
    }

    #[inline]
    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        if let Err(error) = self.limits.permit(frame.len()) {
            return Err(error.with_frame(frame));
        }
        decimal::put(frame.len(), out);
        out.put_slice(b":");
        out.put(frame);
        out.put_slice(b",");
        Ok(())
    }

    #[inline]
    fn encode_slice(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), FrameError> {
        self.limits.permit(frame.len())?;
        decimal::put(frame.len(), out);
        out.put_slice(b":");
        out.put_slice(frame);
        out.put_slice(b",");
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
        decimal::put(length, out);
        out.put_slice(b":");
        out.put_slice(prefix);
        out.put(rest);
        out.put_slice(b",");
        Ok(())
    }

    fn is_mid_frame(&self) -> bool {
        matches!(self.stage, Stage::Discard(_) | Stage::Comma)
    }

    fn max_frame(&self) -> usize {
        self.limits.largest()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.limits.set_largest(bytes.min(MOST));
    }
}
