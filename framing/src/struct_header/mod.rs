//! Finds frames by a header that holds their length, laid out as Python's `struct` would.
//!
//! Headers whose size depends on what they hold are not for it; a `length` that may take one to
//! ten bytes is the `varint` framing's.

mod format;
mod half;
mod item;
mod length;
mod options;
mod template;

#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use self::options::{Constant, Counts, StructHeaderOptions};
use self::{format::Format, item::Item, length::Length, template::Template};
use crate::{Carries, ErrorKind, FrameError, Framing, Limits, Outbox, Part, Step, Value};

/// A binary header that holds the payload's length, then the payload.
///
/// ```text
///  "!I"       ┌──────────────┬───────────────────
///             │ 00 00 00 05  │ h e l l o
///             └──────────────┴───────────────────
///  "!4sBxH"   ┌──────────────┬────┬────┬───────┬───────────────────
///             │ M  A  G  C   │ 02 │ 00 │ 00 05 │ h e l l o
///             └──────────────┴────┴────┴───────┴───────────────────
///               magic        version pad length  payload
/// ```
///
/// The header is described in the language of Python's
/// [`struct`](https://docs.python.org/3.11/library/struct.html), so that a peer's
/// `struct.pack("!4sBxH", b"MAGC", 2, len(body)) + body` and its format string can be taken as
/// they are:
///
/// | in front | byte order | sizes | alignment |
/// |---|---|---|---|
/// | `@` or nothing | this machine's | those of its C compiler | pad bytes between items, none at the end |
/// | `=` | this machine's | standard | none |
/// | `<` | little-endian | standard | none |
/// | `>` or `!` | big-endian | standard | none |
///
/// | codes | what | standard size |
/// |---|---|---|
/// | `b B` `h H` `i I` `l L` `q Q` | integers with and without a sign | 1, 2, 4, 4, 8 |
/// | `n N` `P` | sizes, and a pointer | native only |
/// | `e` `f` `d` | floating-point numbers | 2, 4, 8 |
/// | `?` | a truth value | 1 |
/// | `c` | one byte | 1 |
/// | `4s` | a string of 4 bytes, filled up with zeros | 4 |
/// | `4p` | a byte that counts, a string of up to 3, zeros | 4 |
/// | `x` | a pad byte, no item | 1 |
///
/// A number in front of a code repeats it, or is the width of `s` and `p`. White space may stand
/// between codes, but not behind a number.
///
/// The length may be any integer item, count the header too, be adjusted, and the other items may
/// be constants that are written and checked: see [`StructHeaderOptions`]. Items that are not
/// constants are read with [`header`](Framing::header) and set with
/// [`set_header`](Framing::set_header). One thing is stricter than in Python: a value that would
/// be read back as another, such as a string longer than its item, is refused.
///
/// ```
/// use framing::{Framing, Machine, Received, StructHeader, Value};
///
/// let mut sender = Machine::new(StructHeader::new("!4sBxH")?);
/// sender.framing_mut().set_header(&["MAGC".into(), Value::Int(2)])?;
/// sender.send("hello".into())?;
/// let wire = sender.outbox().take();
/// assert_eq!(wire, "MAGC\x02\x00\x00\x05hello");
///
/// let mut receiver = Machine::new(StructHeader::new("!4sBxH")?);
/// receiver.receive(&wire);
/// assert_eq!(receiver.next_frame()?, Received::Frame("hello".into()));
/// assert_eq!(receiver.framing().header(), ["MAGC".into(), Value::Int(2)]);
/// # Ok::<(), framing::FrameError>(())
/// ```
///
/// With [`OnError::Skip`](crate::OnError::Skip), a frame that is too long, or empty where that is
/// not allowed, is discarded as it arrives. A negative length, a wrong constant and a flood of
/// empty frames are always final.
#[derive(Clone, Debug)]
pub struct StructHeader {
    length: Length,
    /// How many bytes the header has, 1 to 64 KiB.
    size: usize,
    /// How many of them are not part of the frame as handed out: `strip <= size`.
    strip: usize,
    limits: Limits,
    /// The largest frame, as handed out, that the length item can say and memory can hold; the
    /// limit never exceeds it, so `size` and an admitted length add up without overflow.
    most: usize,
    stage: Stage,
    template: Template,
    /// All items but the length.
    others: Vec<Item>,
    /// The header of the frame last decoded; empty before, and where there are no others.
    received: Vec<u8>,
    /// The header of frames to be sent, right but for its length.
    sent: Vec<u8>,
}

/// Where in the stream decoding stands.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// In a header of which so many bytes agree with the template.
    Header { seen: usize },
    /// Behind a header that was accepted, with so many bytes behind it. Whatever the limit
    /// becomes, it is not judged again.
    Body(usize),
    /// In the body of a bad frame.
    Discard { body: u64, left: u64 },
}

impl Default for StructHeader {
    /// `!I`: 32 bits in network byte order, and the default limits.
    fn default() -> Self {
        let format = Format::network_u32();
        let length = Length::new(format.items[0], 0);
        Self::assemble(
            &format,
            0,
            length,
            Template::new(vec![0; 4], Vec::new()),
            4,
            Limits::new(),
        )
    }
}

impl StructHeader {
    /// A header in the format language of Python's `struct`. Its last item is the payload's
    /// length; [`StructHeaderOptions`] has everything else.
    ///
    /// # Errors
    ///
    /// As [`StructHeaderOptions::build`].
    pub fn new(format: &str) -> Result<Self, FrameError> {
        StructHeaderOptions::new(format).build(Limits::new())
    }

    /// Puts together what has been checked: `length` is item `index` of `format`, `strip` is at
    /// most its size, and the limit at most what the length can say.
    fn assemble(
        format: &Format,
        index: usize,
        length: Length,
        template: Template,
        strip: usize,
        limits: Limits,
    ) -> Self {
        let most = length.most() + (format.size - strip) as i128;
        // No buffer holds more than `isize::MAX` bytes, header included.
        let room = isize::MAX as usize - format.size;
        let others = format
            .items
            .iter()
            .enumerate()
            .filter(|&(other, _)| other != index);
        let mut framing = Self {
            length,
            size: format.size,
            strip,
            limits,
            most: usize::try_from(most).map_or(room, |most| most.min(room)),
            stage: Stage::Header { seen: 0 },
            others: others.map(|(_, item)| *item).collect(),
            received: Vec::new(),
            sent: template.header().to_vec(),
            template,
        };
        framing.set_max_frame(framing.limits.largest());
        framing
    }

    /// How many bytes of the header are part of the frame as handed out.
    fn kept(&self) -> usize {
        self.size - self.strip
    }

    /// Judges the header: the number of bytes behind it, or `None` while it is not complete.
    #[inline]
    fn accept(&mut self, seen: usize, input: &[u8]) -> Result<Option<usize>, FrameError> {
        if !self.template.is_empty() {
            let arrived = &input[..input.len().min(self.size)];
            let seen = seen.min(arrived.len());
            if let Some(position) = self.template.first_difference(seen, &arrived[seen..]) {
                return Err(self.wrong_byte(position));
            }
        }
        if input.len() < self.size {
            self.stage = Stage::Header { seen: input.len() };
            return Ok(None);
        }
        let body = self.length.read(input)?;
        match self.limits.admit(body + self.kept() as u128) {
            Ok(frame) => Ok(Some(frame - self.kept())),
            Err(error) => Err(self.reject(error, body, input.len())),
        }
    }

    /// How many bytes are missing until a header of which `arrived` have come can be judged
    /// further: up to the next that must have a certain value, or its end.
    #[cold]
    fn missing(&self, arrived: usize) -> usize {
        let next = self
            .template
            .next_checked(arrived)
            .map_or(self.size, |position| position + 1);
        next - arrived
    }

    #[cold]
    fn wrong_byte(&self, position: usize) -> FrameError {
        let expected = self.template.expected(position);
        FrameError::malformed(format!(
            "byte {position} of the header is not {expected:#04x}"
        ))
        .at(position)
    }

    /// Completes the error for a frame that the limits do not allow, and decides what comes next.
    #[cold]
    fn reject(&mut self, error: FrameError, body: u128, arrived: usize) -> FrameError {
        let error = error.at(self.length.item().offset);
        // A flood of empty frames is no bad frame but a bad peer: each of them is allowed.
        let flood = error.kind() != ErrorKind::TooLong && self.limits.permit(0).is_ok();
        if flood || !self.limits.skips() {
            return error;
        }
        let (Ok(body), Ok(whole)) = (u64::try_from(body), u64::try_from(body + self.size as u128))
        else {
            // No stream is that long.
            return error;
        };
        let gone = usize::try_from(whole).map_or(arrived, |whole| whole.min(arrived));
        let left = whole - gone as u64;
        self.stage = if left == 0 {
            Stage::Header { seen: 0 }
        } else {
            Stage::Discard { body, left }
        };
        error.skipping(gone)
    }

    /// Drops what has arrived of a bad frame.
    #[cold]
    fn discard(&mut self, body: u64, left: u64, arrived: usize) -> Step {
        if arrived == 0 {
            return Step::Need(1);
        }
        let gone = usize::try_from(left).map_or(arrived, |left| left.min(arrived));
        let left = left - gone as u64;
        self.stage = if left == 0 {
            Stage::Header { seen: 0 }
        } else {
            Stage::Discard { body, left }
        };
        Step::Consumed(gone)
    }

    /// Checks whether `frame` can be sent, and if so writes its length into the header.
    #[inline]
    fn prepare(&mut self, frame: &[u8]) -> Result<(), FrameError> {
        self.limits.permit(frame.len())?;
        let kept = self.kept();
        let Some((rest, body)) = frame.split_at_checked(kept) else {
            return Err(FrameError::unencodable(format!(
                "a frame of {} bytes, but it must begin with the last {kept} of its header",
                frame.len()
            )));
        };
        self.length.write(body.len(), &mut self.sent)?;
        if kept > 0 {
            self.check_kept(rest)
        } else {
            Ok(())
        }
    }

    /// Checks that the part of the header that a frame brings along says what it must.
    fn check_kept(&self, rest: &[u8]) -> Result<(), FrameError> {
        if let Some(position) = self.template.first_difference(self.strip, rest) {
            let expected = self.template.expected(position);
            return Err(FrameError::unencodable(format!(
                "the frame begins with part of its header, but its byte {} is not {expected:#04x}",
                position - self.strip
            )));
        }
        let length = self.length.item().offset.max(self.strip)..self.length.item().end();
        if !length.is_empty() {
            let there = &rest[length.start - self.strip..length.end - self.strip];
            if *there != self.sent[length] {
                return Err(FrameError::unencodable(
                    "the frame begins with part of its header, but the length in it is not its own",
                ));
            }
        }
        Ok(())
    }
}

impl Framing for StructHeader {
    #[inline]
    fn decode(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        let body = match self.stage {
            Stage::Header { seen } => match self.accept(seen, input)? {
                Some(body) => body,
                None => return Ok(Step::Need(self.missing(input.len()))),
            },
            Stage::Body(body) => body,
            Stage::Discard { body, left } => return Ok(self.discard(body, left, input.len())),
        };
        let end = self.size + body;
        if input.len() < end {
            self.stage = Stage::Body(body);
            return Ok(Step::Need(end - input.len()));
        }
        self.stage = Stage::Header { seen: 0 };
        if !self.others.is_empty() {
            self.received.clear();
            self.received.extend_from_slice(&input[..self.size]);
        }
        Ok(Step::Frame {
            payload: self.strip..end,
            consumed: end,
        })
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        match self.decode(input, out)? {
            Step::Need(_) => match self.stage {
                Stage::Header { .. } if input.is_empty() => Ok(Step::End),
                Stage::Header { .. } => {
                    Err(FrameError::truncated(Part::Header, input.len(), self.size))
                }
                Stage::Body(body) => Err(FrameError::truncated(
                    Part::Body,
                    input.len().saturating_sub(self.size),
                    body,
                )),
                Stage::Discard { body, left } => {
                    let have = usize::try_from(body - left).unwrap_or(usize::MAX);
                    Err(FrameError::truncated(
                        Part::Body,
                        have,
                        usize::try_from(body).ok(),
                    ))
                }
            },
            step => Ok(step),
        }
    }

    #[inline]
    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        if let Err(error) = self.prepare(&frame) {
            return Err(error.with_frame(frame));
        }
        out.put_slice(&self.sent[..self.strip]);
        out.put(frame);
        Ok(())
    }

    #[inline]
    fn encode_slice(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), FrameError> {
        self.prepare(frame)?;
        out.put_slice(&self.sent[..self.strip]);
        out.put_slice(frame);
        Ok(())
    }

    fn max_frame(&self) -> usize {
        self.limits.largest()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.limits.set_largest(bytes.min(self.most));
    }

    fn carries(&self) -> Carries {
        if self.kept() > 0 {
            Carries::Neither("a frame begins with part of its own header")
        } else if self.length.least() > 0 {
            Carries::Neither("`adjust` makes short frames impossible")
        } else {
            Carries::Anything
        }
    }

    fn header(&self) -> Vec<Value> {
        if self.received.is_empty() {
            return Vec::new();
        }
        self.others
            .iter()
            .map(|item| item.unpack(&self.received))
            .collect()
    }

    fn set_header(&mut self, items: &[Value]) -> Result<(), FrameError> {
        if items.len() != self.others.len() {
            return Err(FrameError::unencodable(format!(
                "{} header items, but beside the length this header has {}",
                items.len(),
                self.others.len()
            )));
        }
        let mut header = self.sent.clone();
        for (index, (item, value)) in self.others.iter().zip(items).enumerate() {
            item.pack(value, &mut header).map_err(|what| {
                FrameError::unencodable(format!("header item {index} beside the length: {what}"))
            })?;
            let there = &header[item.offset..item.end()];
            if self.template.first_difference(item.offset, there).is_some() {
                return Err(FrameError::unencodable(format!(
                    "header item {index} beside the length must be its constant"
                )));
            }
        }
        self.sent = header;
        Ok(())
    }
}
