//! Ends each frame with a byte that it stuffs out of the payload (COBS).

use bytes::Bytes;
use serde::Deserialize;

use crate::{
    FrameError, Framing, FramingHelp, Limits, OptionHelp, Outbox, Step,
    blocks::{Block, Blocks},
    options::Byte,
};

/// The most payload bytes that one code stands in front of.
const RUN: usize = 254;

/// The code of a full run, behind which no zero is left out.
const FULL: u8 = 0xff;

pub(crate) const HELP: FramingHelp = FramingHelp::new(
    "byte-stuffed frames that end at a mark; carries any bytes, finds its way back after garbage",
    &[
        OptionHelp::new("sentinel", "0", "the byte that is the mark, 0 to 255"),
        OptionHelp::new(
            "leading",
            "false",
            "whether we also write a mark in front of each frame",
        ),
    ],
);

/// The options of a [`Cobs`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CobsOptions {
    sentinel: Byte,
    leading: bool,
}

impl CobsOptions {
    /// Sets the byte that is the mark (0). With another than 0, every byte of a block is written
    /// XOR the mark, so that it is this one that never occurs.
    ///
    /// ```
    /// use framing::{CobsOptions, Limits, Machine};
    ///
    /// for (mark, wire) in [(0, b"\x03a\n\x02b\x00"), (b'\n', b"\x09k\x00\x08h\x0a")] {
    ///     let mut machine = Machine::new(CobsOptions::default().sentinel(mark).build(Limits::new())?);
    ///     machine.send("a\n\0b".into())?;
    ///     assert_eq!(machine.outbox().take_bytes(), wire[..]);
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn sentinel(mut self, byte: u8) -> Self {
        self.sentinel = Byte(byte);
        self
    }

    /// Sets whether we also write a mark in front of each frame (`false`): it ends whatever noise
    /// a serial line has made before. Both forms are read.
    ///
    /// ```
    /// use framing::{CobsOptions, Limits, Machine, Received};
    ///
    /// for (leading, wire) in [(false, &b"\x03hi\0"[..]), (true, b"\0\x03hi\0")] {
    ///     let mut machine = Machine::new(CobsOptions::default().leading(leading).build(Limits::new())?);
    ///     machine.send("hi".into())?;
    ///     assert_eq!(machine.outbox().take_bytes(), wire);
    ///     machine.receive(b"\0\x03hi\0");
    ///     assert_eq!(machine.next_frame()?, Received::Frame("hi".into()));
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn leading(mut self, leading: bool) -> Self {
        self.leading = leading;
        self
    }

    /// Checks the options.
    ///
    /// # Errors
    ///
    /// Kind [`Config`](crate::ErrorKind::Config), for a `max_frame` of 0.
    pub fn build(self, mut limits: Limits) -> Result<Cobs, FrameError> {
        limits.fit(u64::MAX, "cobs")?;
        Ok(Cobs {
            limits,
            sentinel: self.sentinel.0,
            leading: self.leading,
            blocks: Blocks::new(self.sentinel.0, None),
        })
    }
}

/// Frames without a zero in them, and a zero behind each: Consistent Overhead Byte Stuffing, by
/// Stuart Cheshire and Mary Baker (1999).
///
/// ```text
///  frame   11 22 00 33          00        (nothing)     hello
///  wire    03 11 22 02 33 00    01 01 00  01 00         06 h e l l o 00
///          ▲        ▲     ▲
///          code     code  mark
/// ```
///
/// Each zero of the payload, and one that is thought of behind its end, is left out; in front of
/// the bytes before it stands their number and one. `FF` stands in front of 254 bytes that no zero
/// follows. So any payload can be carried, the overhead is one byte in 254 at most, and whoever
/// has lost count needs only to wait for the next zero.
///
/// Nothing between two marks is no frame, and passed over; the empty frame is the block `01`. A
/// code that points past its block's end is malformed. A frame is too long as soon as more has
/// come than the longest one allowed could have been stuffed into. With
/// [`OnError::Skip`](crate::OnError::Skip) the frame behind either is found; a flood of empty
/// frames is always final.
///
/// ```
/// use framing::{Cobs, Machine, Received};
///
/// let mut machine = Machine::new(Cobs::default());
/// machine.receive(b"\x03\x11\x22\x02\x33");
/// assert_eq!(machine.next_frame()?, Received::Need(1));
/// machine.receive(b"\0");
/// assert_eq!(machine.next_frame()?, Received::Frame("\x11\x22\0\x33".into()));
///
/// machine.send("\0".into())?;
/// assert_eq!(machine.outbox().take_bytes(), "\x01\x01\0");
/// # Ok::<(), framing::FrameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cobs {
    limits: Limits,
    sentinel: u8,
    leading: bool,
    blocks: Blocks,
}

impl Default for Cobs {
    /// Zero is the mark, and stands behind each frame only.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            sentinel: 0,
            leading: false,
            blocks: Blocks::new(0, None),
        }
    }
}

impl Cobs {
    /// A whole block stands in front of a mark.
    fn take(&mut self, input: &mut [u8], length: usize) -> Result<Step, FrameError> {
        let consumed = length + 1;
        let block = &mut input[..length];
        let payload = match self.measure(block) {
            Ok(payload) => payload,
            Err(error) if self.limits.skips() => return Err(error.skipping(consumed)),
            Err(error) => return Err(error),
        };
        // The error does not tell the length: it is the same whether the end was already in sight.
        let admitted = if payload > self.limits.largest() {
            Err(FrameError::over_limit(self.limits.largest()))
        } else {
            self.limits.admit(payload as u64)
        };
        match admitted {
            Ok(_) => {}
            Err(error) if self.limits.may_skip(&error) => return Err(error.skipping(consumed)),
            Err(error) => return Err(error),
        }
        unstuff(block, self.sentinel);
        Ok(Step::Frame {
            payload: 0..payload,
            consumed,
        })
    }

    /// How long the payload is, once the codes are known to fit together.
    fn measure(&self, block: &[u8]) -> Result<usize, FrameError> {
        let (mut at, mut payload) = (0, 0);
        while let Some(&byte) = block.get(at) {
            // Never zero: that would be the mark.
            let code = byte ^ self.sentinel;
            let end = at + usize::from(code);
            if end > block.len() {
                return Err(FrameError::malformed(format!(
                    "a code of {code} that points past the end of its block, {} bytes on",
                    block.len() - at
                ))
                .at(at));
            }
            payload += usize::from(code) - 1;
            if code != FULL && end < block.len() {
                payload += 1;
            }
            at = end;
        }
        Ok(payload)
    }

    /// Appends `frame` with its marks.
    fn write(&self, frame: &[u8], to: &mut Vec<u8>) {
        to.reserve(stuffed(frame.len()).saturating_add(2));
        if self.leading {
            to.push(self.sentinel);
        }
        let start = to.len();
        stuff(frame, to);
        if self.sentinel != 0 {
            for byte in &mut to[start..] {
                *byte ^= self.sentinel;
            }
        }
        to.push(self.sentinel);
    }
}

/// How many bytes a payload of so many can become, its mark not counted.
fn stuffed(payload: usize) -> usize {
    payload.saturating_add(payload / RUN + 1)
}

/// Puts the left-out zeros back in place; the codes must fit together.
fn unstuff(block: &mut [u8], sentinel: u8) {
    if sentinel != 0 {
        for byte in &mut *block {
            *byte ^= sentinel;
        }
    }
    let (mut read, mut write) = (0, 0);
    while read < block.len() {
        let code = block[read];
        let end = read + usize::from(code);
        block.copy_within(read + 1..end, write);
        write += end - read - 1;
        if code != FULL && end < block.len() {
            block[write] = 0;
            write += 1;
        }
        read = end;
    }
}

/// Appends `frame` without its zeros, and codes that say where they were.
fn stuff(frame: &[u8], to: &mut Vec<u8>) {
    let mut rest = frame;
    loop {
        let run = &rest[..rest.len().min(RUN)];
        let zero = memchr::memchr(0, run);
        let run = &run[..zero.unwrap_or(run.len())];
        // A full run is 254 bytes, so this fits.
        to.push(run.len() as u8 + 1);
        to.extend_from_slice(run);
        rest = &rest[run.len()..];
        match zero {
            // Behind a zero comes a code, even if nothing else does.
            Some(_) => rest = &rest[1..],
            None if rest.is_empty() => return,
            None => {}
        }
    }
}

impl Framing for Cobs {
    fn decode(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        let longest = stuffed(self.limits.largest());
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
        self.limits.permit(frame.len())?;
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
