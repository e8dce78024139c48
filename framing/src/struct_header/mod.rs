//! Finds frames by a header that holds their length, laid out as Python's `struct` would.
//!
//! Headers whose size depends on what they hold are not for it.

mod format;
mod half;
mod item;
mod length;
mod options;
mod receive;
mod send;
mod template;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

pub use self::options::{Constant, Counts, StructHeaderOptions};
pub(crate) use self::{
    format::{Format, MAX_SIZE},
    item::{Item, Kind, Order},
    options::HELP,
};
use self::{length::Length, receive::Stage, template::Template};
use crate::{Carries, FrameError, Framing, Limits, Outbox, Step, Value};

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
/// let wire = sender.outbox().take_bytes();
/// assert_eq!(wire, "MAGC\x02\x00\x00\x05hello");
///
/// let mut receiver = Machine::new(StructHeader::new("!4sBxH")?);
/// receiver.receive(&wire);
/// assert_eq!(receiver.next_frame()?, Received::Frame("hello".into()));
/// assert_eq!(receiver.framing().header(), ["MAGC".into(), Value::Int(2)]);
/// # Ok::<(), framing::FrameError>(())
/// ```
///
/// Of Netty's `LengthFieldBasedFrameDecoder`, `lengthFieldOffset` and `lengthFieldLength` are what
/// stands in the format, `lengthAdjustment` is [`adjust`](StructHeaderOptions::adjust), and
/// `initialBytesToStrip` is [`strip`](StructHeaderOptions::strip); all of them work for writing
/// too.
///
/// With [`OnError::Skip`](crate::OnError::Skip), a frame that is too long, or empty where that is
/// not allowed, is discarded as it arrives. A negative length, a wrong constant and a flood of
/// empty frames are always final.
#[derive(Clone, Debug)]
pub struct StructHeader {
    layout: Arc<Layout>,
    limits: Limits,
    stage: Stage,
    /// The order of the bytes of a header that is a payload's length in 32 bits and nothing else:
    /// the commonest, and worth a short way of its own.
    plain: Option<Order>,
    /// Nothing where headers are plain and frames have a byte in them.
    headers: Option<Box<Headers>>,
}

#[derive(Clone, Debug)]
struct Headers {
    /// That of the frame last decoded; empty before, and where the length is the only item.
    received: Vec<u8>,
    /// That of frames to be sent, right but for its length.
    sent: Vec<u8>,
}

/// What a header looks like: the same for all connections that have the framing from one another, so
/// that each of them is a hundred bytes smaller.
#[derive(Debug)]
struct Layout {
    length: Length,
    /// How many bytes the header has, 1 to 64 KiB.
    size: usize,
    /// How many of them are not part of the frame as handed out: `strip <= size`.
    strip: usize,
    /// The largest frame, as handed out, that the length item can say and memory can hold; the
    /// limit never exceeds it, so `size` and an admitted length add up without overflow.
    most: usize,
    template: Template,
    /// All items but the length.
    others: Vec<Item>,
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
            limits,
            stage: Stage::Header { seen: 0 },
            plain: length.plain(format.size).filter(|_| strip == format.size),
            headers: None,
            layout: Arc::new(Layout {
                length,
                size: format.size,
                strip,
                most: usize::try_from(most).map_or(room, |most| most.min(room)),
                template,
                others: others.map(|(_, item)| *item).collect(),
            }),
        };
        framing.set_max_frame(framing.limits.largest());
        framing
    }

    /// The headers, and what all of them look like.
    fn headers(&mut self) -> (&mut Headers, &Layout) {
        let layout = &*self.layout;
        let headers = self.headers.get_or_insert_with(|| {
            Box::new(Headers {
                received: Vec::new(),
                sent: layout.template.header().to_vec(),
            })
        });
        (headers, layout)
    }

    /// How many bytes of the header are part of the frame as handed out.
    fn kept(&self) -> usize {
        self.layout.size - self.layout.strip
    }
}

impl Framing for StructHeader {
    #[inline]
    fn decode(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        match self.plain_frame(input) {
            Some(step) => Ok(step),
            None => self.find(input),
        }
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        match self.decode(input, out)? {
            Step::Need(_) => self.end(input.len()),
            step => Ok(step),
        }
    }

    #[inline]
    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        if let Some(header) = self.plain_header(frame.len()) {
            out.put_behind(&header, frame);
            return Ok(());
        }
        match self.prepare(&frame) {
            Ok(header) => out.put_slice(header),
            Err(error) => return Err(error.with_frame(frame)),
        }
        out.put(frame);
        Ok(())
    }

    #[inline]
    fn encode_slice(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), FrameError> {
        if let Some(header) = self.plain_header(frame.len()) {
            out.put_both(&header, frame);
            return Ok(());
        }
        out.put_slice(self.prepare(frame)?);
        out.put_slice(frame);
        Ok(())
    }

    fn encode_prefixed(
        &mut self,
        prefix: &[u8],
        rest: Bytes,
        out: &mut Outbox,
    ) -> Result<(), FrameError> {
        let Some(header) = self.plain_header(prefix.len() + rest.len()) else {
            return self.encode(Bytes::from([prefix, &rest].concat()), out);
        };
        out.put_slice(&header);
        out.put_slice(prefix);
        out.put(rest);
        Ok(())
    }

    fn max_frame(&self) -> usize {
        self.limits.largest()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.limits.set_largest(bytes.min(self.layout.most));
    }

    fn is_mid_frame(&self) -> bool {
        self.is_discarding()
    }

    fn carries(&self) -> Carries {
        if self.kept() > 0 {
            Carries::Neither("a frame begins with part of its own header")
        } else if self.layout.length.least() > 0 {
            Carries::Neither("`adjust` makes short frames impossible")
        } else {
            Carries::Anything
        }
    }

    fn header(&self) -> Vec<Value> {
        let received = match &self.headers {
            Some(headers) if !headers.received.is_empty() => &headers.received,
            _ => return Vec::new(),
        };
        self.layout
            .others
            .iter()
            .map(|item| item.unpack(received))
            .collect()
    }

    fn set_header(&mut self, items: &[Value]) -> Result<(), FrameError> {
        self.replace_header(items)
    }
}
