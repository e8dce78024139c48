//! Frames that are lines of UTF-8 text.

use bytes::Bytes;
use serde::Deserialize;

use super::{AtEof, Delimiter, DelimiterOptions};
use crate::{Carries, FrameError, Framing, FramingHelp, Limits, OptionHelp, Outbox, Step};

pub(crate) const HELP: FramingHelp = FramingHelp::new(
    "lines of UTF-8 text",
    &[
        OptionHelp::new(
            "ending",
            "\"\\n\"",
            "what ends the lines we write: \"\\n\" or \"\\r\\n\"; both are read",
        ),
        OptionHelp::new(
            "at_eof",
            "\"emit\"",
            "what bytes without an ending are at the end: \"emit\" for a frame, or \"error\"",
        ),
    ],
);

/// The options of [`Lines`].
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinesOptions {
    ending: Ending,
    at_eof: AtEof,
}

/// What ends the lines we write. Both are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Ending {
    #[serde(rename = "\n")]
    Lf,
    #[serde(rename = "\r\n")]
    CrLf,
}

impl Default for LinesOptions {
    fn default() -> Self {
        Self {
            ending: Ending::Lf,
            at_eof: AtEof::Emit,
        }
    }
}

impl LinesOptions {
    /// Writes `\r\n` behind each line, not `\n`.
    ///
    /// ```
    /// use framing::{LinesOptions, Limits, Machine};
    ///
    /// for (options, wire) in [
    ///     (LinesOptions::default(), "HELO\n"),
    ///     (LinesOptions::default().crlf(), "HELO\r\n"),
    /// ] {
    ///     let mut machine = Machine::new(options.build(Limits::new())?);
    ///     machine.send("HELO".into())?;
    ///     assert_eq!(machine.outbox().take_bytes(), wire);
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn crlf(mut self) -> Self {
        self.ending = Ending::CrLf;
        self
    }

    /// Sets what text behind the last line ending is when the stream ends (the last line).
    ///
    /// ```
    /// use framing::{AtEof, LinesOptions, Limits, Machine, Received};
    ///
    /// for at_eof in [AtEof::Emit, AtEof::Error] {
    ///     let mut machine = Machine::new(LinesOptions::default().at_eof(at_eof).build(Limits::new())?);
    ///     machine.receive(b"the last line"); // and then the end of the stream
    ///     machine.close_input();
    ///     match at_eof {
    ///         AtEof::Emit => assert_eq!(machine.next_frame()?, Received::Frame("the last line".into())),
    ///         _ => assert!(machine.next_frame().is_err()),
    ///     }
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn at_eof(mut self, at_eof: AtEof) -> Self {
        self.at_eof = at_eof;
        self
    }

    /// Checks the options.
    pub fn build(self, limits: Limits) -> Result<Lines, FrameError> {
        let marks = match self.ending {
            Ending::Lf => ["\n", "\r\n"],
            Ending::CrLf => ["\r\n", "\n"],
        };
        let options = DelimiterOptions::default()
            .delimiters(marks)
            .at_eof(self.at_eof);
        Ok(Lines {
            skips: limits.skips(),
            bytes: options.build(limits)?,
        })
    }
}

/// Lines of text. A line that is not UTF-8 is malformed; under `on_error = "skip"` the next one
/// follows.
///
/// ```text
///  wire  G E T ␣ a ⏎ G E T ␣ b ␍ ⏎        frames  "GET a", "GET b"
/// ```
///
/// ```
/// use framing::{Lines, Machine, Received};
///
/// let mut machine = Machine::new(Lines::new()?);
/// machine.receive("一\r\n二\n".as_bytes());
/// assert_eq!(machine.next_frame()?, Received::Frame("一".into()));
/// assert_eq!(machine.next_frame()?, Received::Frame("二".into()));
/// # Ok::<(), framing::FrameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Lines {
    bytes: Delimiter,
    skips: bool,
}

impl Lines {
    /// Lines that end with `\n` when written, with the default limits.
    pub fn new() -> Result<Self, FrameError> {
        LinesOptions::default().build(Limits::default())
    }

    #[inline]
    fn check(&self, input: &[u8], step: Step) -> Result<Step, FrameError> {
        let Step::Frame { payload, consumed } = &step else {
            return Ok(step);
        };
        match std::str::from_utf8(&input[payload.clone()]) {
            Ok(_) => Ok(step),
            Err(error) => {
                let at = error.valid_up_to();
                let error = FrameError::malformed("a line is not UTF-8").at(at);
                Err(if self.skips {
                    error.skipping(*consumed)
                } else {
                    error
                })
            }
        }
    }
}

impl Framing for Lines {
    #[inline]
    fn decode(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        let step = self.bytes.decode(input, out)?;
        self.check(input, step)
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        let step = self.bytes.decode_eof(input, out)?;
        self.check(input, step)
    }

    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        if std::str::from_utf8(&frame).is_err() {
            return Err(FrameError::unencodable("a line that is not UTF-8").with_frame(frame));
        }
        self.bytes.encode(frame, out)
    }

    fn encode_slice(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), FrameError> {
        if std::str::from_utf8(frame).is_err() {
            return Err(FrameError::unencodable("a line that is not UTF-8"));
        }
        self.bytes.encode_slice(frame, out)
    }

    fn max_frame(&self) -> usize {
        self.bytes.max_frame()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.bytes.set_max_frame(bytes);
    }

    fn is_mid_frame(&self) -> bool {
        self.bytes.is_mid_frame()
    }

    fn carries(&self) -> Carries {
        Carries::Text
    }
}
