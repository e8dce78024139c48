//! Takes each read for a frame: it keeps no boundaries, and is the sticky one itself.
//!
//! Two sends can arrive as one frame, one send as two. It is here to show the problem, and for
//! peers that never had a framing.

use bytes::Bytes;
use serde::Deserialize;

use crate::{
    Carries, FrameError, Framing, FramingHelp, Limits, OptionHelp, Outbox, Step, options::size,
};

pub(crate) const HELP: FramingHelp = FramingHelp::new(
    "each read is a frame: keeps no boundaries",
    &[OptionHelp::new(
        "chunk",
        "\"64KiB\"",
        "the most bytes taken for one frame",
    )],
);

/// The options of a [`Raw`].
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawOptions {
    #[serde(deserialize_with = "size")]
    chunk: usize,
}

impl Default for RawOptions {
    fn default() -> Self {
        Self { chunk: 64 * 1024 }
    }
}

impl RawOptions {
    /// Sets the most bytes taken for one frame (64 KiB), as the size of a `recv`.
    ///
    /// ```
    /// use framing::{Limits, Machine, RawOptions, Received};
    ///
    /// let mut machine = Machine::new(RawOptions::default().chunk(4).build(Limits::new())?);
    /// machine.receive(b"sticky");
    /// assert_eq!(machine.next_frame()?, Received::Frame("stic".into()));
    /// assert_eq!(machine.next_frame()?, Received::Frame("ky".into()));
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn chunk(mut self, bytes: usize) -> Self {
        self.chunk = bytes;
        self
    }

    /// Checks the options.
    pub fn build(self, mut limits: Limits) -> Result<Raw, FrameError> {
        if self.chunk == 0 {
            return Err(FrameError::config("`chunk` must be at least 1 byte"));
        }
        limits.fit(u64::MAX, "raw")?;
        Ok(Raw {
            limits,
            chunk: self.chunk,
        })
    }
}

/// Each read is a frame; frames are written as they are.
///
/// ```text
///  sent      "hello"  "sigui"
///  wire       h e l l o s i g u i
///  read       h e l l o s i g u i              one frame, or
///             h e l l │ o s i g u i            two, or ten: nobody knows
/// ```
///
/// ```
/// use framing::{Machine, Raw, Received};
///
/// let mut machine = Machine::new(Raw::default());
/// machine.receive(b"hello");
/// machine.receive(b"sigui");
/// assert_eq!(machine.next_frame()?, Received::Frame("hellosigui".into()));
/// # Ok::<(), framing::FrameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Raw {
    limits: Limits,
    chunk: usize,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            chunk: RawOptions::default().chunk,
        }
    }
}

impl Framing for Raw {
    fn decode(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        if input.is_empty() {
            return Ok(Step::Need(1));
        }
        let length = input.len().min(self.chunk).min(self.limits.largest());
        Ok(Step::Frame {
            payload: 0..length,
            consumed: length,
        })
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        match self.decode(input, out)? {
            Step::Need(_) => Ok(Step::End),
            step => Ok(step),
        }
    }

    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        if let Err(error) = self.check(&frame) {
            return Err(error.with_frame(frame));
        }
        out.put(frame);
        Ok(())
    }

    fn encode_slice(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), FrameError> {
        self.check(frame)?;
        out.put_slice(frame);
        Ok(())
    }

    fn max_frame(&self) -> usize {
        self.limits.largest()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        // A frame of nothing would take nothing away, again and again.
        self.limits.set_largest(bytes.max(1));
    }

    fn keeps_boundaries(&self) -> bool {
        false
    }

    fn carries(&self) -> Carries {
        Carries::Neither("raw keeps no message boundaries")
    }
}

impl Raw {
    fn check(&self, frame: &[u8]) -> Result<(), FrameError> {
        if frame.is_empty() {
            return Err(FrameError::unencodable(
                "an empty frame, which raw cannot carry: nothing would be sent",
            ));
        }
        self.limits.permit(frame.len())
    }
}
