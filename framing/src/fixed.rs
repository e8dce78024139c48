//! Cuts the stream into frames of one size.

use bytes::Bytes;
use serde::Deserialize;

use crate::{
    Carries, FrameError, Framing, FramingHelp, Limits, OptionHelp, Outbox, Part, Step,
    discard::Discard,
    options::{Byte, size},
};

pub(crate) const HELP: FramingHelp = FramingHelp::new(
    "all frames have one size",
    &[
        OptionHelp::new(
            "size",
            OptionHelp::REQUIRED,
            "the size of every frame: bytes, or text such as \"64KiB\"",
        ),
        OptionHelp::new(
            "pad",
            OptionHelp::NONE,
            "one byte that fills short frames to be sent, and is not removed from those read",
        ),
    ],
);

/// The options of a [`Fixed`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedOptions {
    #[serde(deserialize_with = "size")]
    size: usize,
    #[serde(default)]
    pad: Option<Byte>,
}

impl FixedOptions {
    /// The options for frames of `size` bytes each.
    pub fn new(size: usize) -> Self {
        Self { size, pad: None }
    }

    /// Sets a byte that fills up short frames to be sent (none: they are refused). It is not
    /// removed from frames that arrive: nothing tells it from the payload.
    ///
    /// ```
    /// use framing::{FixedOptions, Limits, Machine, Received};
    ///
    /// let mut machine = Machine::new(FixedOptions::new(5).pad(b' ').build(Limits::new())?);
    /// machine.send("hi".into())?;
    /// assert_eq!(machine.outbox().take_bytes(), "hi   ");
    /// machine.receive(b"hi   ");
    /// assert_eq!(machine.next_frame()?, Received::Frame("hi   ".into()));
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn pad(mut self, byte: u8) -> Self {
        self.pad = Some(Byte(byte));
        self
    }

    /// Checks the options, and builds the framing. A `max_frame` over `size` means `size`.
    ///
    /// # Errors
    ///
    /// Kind [`Config`](crate::ErrorKind::Config): a `size` of 0 or over `max_frame`, and a `pad`
    /// that is not one byte.
    pub fn build(self, mut limits: Limits) -> Result<Fixed, FrameError> {
        limits.fit(u64::MAX, "a fixed size")?;
        if self.size == 0 {
            return Err(FrameError::config("`size` must be at least 1 byte"));
        }
        if self.size > limits.largest() {
            return Err(FrameError::config(format!(
                "`size` is {}, more than `max_frame`, which is {}",
                self.size,
                limits.largest()
            )));
        }
        // A buffer never comes near `isize::MAX` bytes.
        if self.size > isize::MAX as usize / 2 {
            return Err(FrameError::config(format!(
                "`size` is {}, more than fits in memory",
                self.size
            )));
        }
        limits.set_largest(self.size);
        Ok(Fixed {
            limits,
            size: self.size,
            pad: self.pad.map(|Byte(byte)| byte),
            stage: Stage::Between,
        })
    }
}

/// Frames that all have one size.
///
/// ```text
///  size 5     ┌───────────┬───────────┐
///             │ h e l l o │ w o r l d │      frames "hello", "world"
///             └───────────┴───────────┘
/// ```
///
/// Nothing stands between the frames, so whoever misses a byte never finds the way back. A frame
/// of another size is refused on encode, unless [`pad`](FixedOptions::pad) fills it up. Compare
/// Netty's `FixedLengthFrameDecoder`.
///
/// ```
/// use framing::{Fixed, Machine, Received};
///
/// let mut machine = Machine::new(Fixed::new(5)?);
/// machine.receive(b"hellowor");
/// assert_eq!(machine.next_frame()?, Received::Frame("hello".into()));
/// assert_eq!(machine.next_frame()?, Received::Need(2));
/// assert!(machine.send("hi".into()).is_err());
/// # Ok::<(), framing::FrameError>(())
/// ```
///
/// No frame can be bad, unless [`set_max_frame`](Framing::set_max_frame) forbids the only size
/// there is; with [`OnError::Skip`](crate::OnError::Skip) those are discarded.
#[derive(Clone, Debug)]
pub struct Fixed {
    limits: Limits,
    /// At least 1; the limit never exceeds it.
    size: usize,
    pad: Option<u8>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// No byte of the next frame has come.
    Between,
    /// In a frame that was accepted: whatever the limit becomes, it is not judged again.
    Inside,
    /// In a frame that is not handed out.
    Discard(Discard),
}

impl Fixed {
    /// Frames of `size` bytes each, 16 MiB at most.
    ///
    /// # Errors
    ///
    /// As [`FixedOptions::build`].
    pub fn new(size: usize) -> Result<Self, FrameError> {
        FixedOptions::new(size).build(Limits::default())
    }

    /// The next frame is one too many for a limit that was lowered.
    #[cold]
    fn reject(&mut self, error: FrameError, arrived: usize) -> FrameError {
        match Discard::new(0, self.size as u128) {
            Some(rest) if self.limits.may_skip(&error) => {
                error.skipping(self.discard(rest, arrived))
            }
            _ => error,
        }
    }

    #[cold]
    fn discard(&mut self, rest: Discard, arrived: usize) -> usize {
        let (gone, rest) = rest.pass(arrived);
        self.stage = rest.map_or(Stage::Between, Stage::Discard);
        gone
    }

    /// How many bytes are to be filled up behind a frame of `length` bytes.
    fn missing(&self, length: usize) -> Result<usize, FrameError> {
        match self.size.checked_sub(length) {
            Some(missing) if missing == 0 || self.pad.is_some() => {
                self.limits.permit(length)?;
                self.limits.permit(self.size)?;
                Ok(missing)
            }
            _ => Err(FrameError::unencodable(format!(
                "a frame of {length} bytes, but all frames have {}",
                self.size
            ))),
        }
    }

    fn fill(&self, missing: usize, out: &mut Outbox) {
        if let Some(pad) = self.pad {
            out.write_with(|tail| tail.resize(tail.len() + missing, pad));
        }
    }
}

impl Framing for Fixed {
    #[inline]
    fn decode(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        match self.stage {
            Stage::Between if !input.is_empty() => match self.limits.admit(self.size as u128) {
                Ok(_) => self.stage = Stage::Inside,
                Err(error) => return Err(self.reject(error, input.len())),
            },
            Stage::Between | Stage::Inside => {}
            Stage::Discard(_) if input.is_empty() => return Ok(Step::Need(1)),
            Stage::Discard(rest) => return Ok(Step::Consumed(self.discard(rest, input.len()))),
        }
        match self.size.checked_sub(input.len()) {
            None | Some(0) => {
                self.stage = Stage::Between;
                Ok(Step::Frame {
                    payload: 0..self.size,
                    consumed: self.size,
                })
            }
            Some(missing) => Ok(Step::Need(missing)),
        }
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        let step = self.decode(input, out)?;
        if !matches!(step, Step::Need(_)) {
            return Ok(step);
        }
        let cut_off = match self.stage {
            Stage::Between => return Ok(Step::End),
            Stage::Inside => FrameError::truncated(Part::Body, input.len(), self.size),
            Stage::Discard(rest) => rest.cut_off(),
        };
        Err(cut_off.at(input.len()))
    }

    #[inline]
    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        match self.missing(frame.len()) {
            Ok(missing) => {
                out.put(frame);
                self.fill(missing, out);
                Ok(())
            }
            Err(error) => Err(error.with_frame(frame)),
        }
    }

    #[inline]
    fn encode_slice(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), FrameError> {
        let missing = self.missing(frame.len())?;
        out.put_slice(frame);
        self.fill(missing, out);
        Ok(())
    }

    fn is_mid_frame(&self) -> bool {
        matches!(self.stage, Stage::Discard(_))
    }

    fn max_frame(&self) -> usize {
        self.limits.largest()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.limits.set_largest(bytes.min(self.size));
    }

    fn carries(&self) -> Carries {
        Carries::Neither("all frames have one size")
    }
}
