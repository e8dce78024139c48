//! Finds frames by a JSON object in front of them that states their size.

mod head;

use bytes::Bytes;
use serde::Deserialize;

use crate::{
    FrameError, Framing, FramingHelp, Limits, OptionHelp, Outbox, Part, Step, Value,
    discard::Discard,
    options,
    struct_header::{Format, Item},
};

pub(crate) const HELP: FramingHelp = FramingHelp::new(
    "a struct-packed header length, a JSON object with the body's size, then the body",
    &[
        OptionHelp::new(
            "format",
            "\"!I\"",
            "the header length's layout, one integer in the language of Python's `struct`",
        ),
        OptionHelp::new(
            "size",
            "\"size\"",
            "the key under which the object states the body's size",
        ),
        OptionHelp::new(
            "max_header",
            "\"64KiB\"",
            "the largest JSON object, in both directions",
        ),
    ],
);

/// The options of a [`JsonHeader`].
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsonHeaderOptions {
    format: String,
    size: String,
    #[serde(deserialize_with = "options::size")]
    max_header: usize,
}

impl Default for JsonHeaderOptions {
    fn default() -> Self {
        Self {
            format: "!I".into(),
            size: "size".into(),
            max_header: 64 * 1024,
        }
    }
}

impl JsonHeaderOptions {
    /// Sets the layout of the header's length (`!I`), in the language of Python's
    /// [`struct`](https://docs.python.org/3.11/library/struct.html): one integer, and pad bytes
    /// if you like.
    ///
    /// ```
    /// use framing::{JsonHeaderOptions, Limits, Machine};
    ///
    /// for (format, wire) in [
    ///     ("!I", "\0\0\0\x0a{\"size\":2}hi"),
    ///     ("<H", "\x0a\0{\"size\":2}hi"),
    /// ] {
    ///     let options = JsonHeaderOptions::default().format(format);
    ///     let mut machine = Machine::new(options.build(Limits::new().max_frame(1024))?);
    ///     machine.send("hi".into())?;
    ///     assert_eq!(machine.outbox().take_bytes(), wire);
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn format(mut self, format: impl Into<String>) -> Self {
        self.format = format.into();
        self
    }

    /// Sets the key under which the object states the body's size (`size`).
    ///
    /// ```
    /// use framing::{JsonHeaderOptions, Limits, Machine, Received};
    ///
    /// let options = JsonHeaderOptions::default().size("total_size");
    /// let mut machine = Machine::new(options.build(Limits::new())?);
    /// machine.send("hi".into())?;
    /// let wire = machine.outbox().take_bytes();
    /// assert_eq!(wire, "\0\0\0\x10{\"total_size\":2}hi");
    /// machine.receive(&wire);
    /// assert_eq!(machine.next_frame()?, Received::Frame("hi".into()));
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn size(mut self, key: impl Into<String>) -> Self {
        self.size = key.into();
        self
    }

    /// Sets the largest JSON object in bytes (64 KiB), in both directions.
    ///
    /// ```
    /// use framing::{ErrorKind, JsonHeaderOptions, Limits, Machine};
    ///
    /// let options = JsonHeaderOptions::default().max_header(1024);
    /// let mut machine = Machine::new(options.build(Limits::new())?);
    /// machine.receive(b"\0\0\x04\x01"); // a header of 1025 bytes: it is not waited for
    /// assert_eq!(machine.next_frame().unwrap_err().kind(), ErrorKind::TooLong);
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn max_header(mut self, bytes: usize) -> Self {
        self.max_header = bytes;
        self
    }

    /// Checks the options.
    ///
    /// # Errors
    ///
    /// Kind [`Config`](crate::ErrorKind::Config): for a format that Python would refuse, or that
    /// is not one integer; for a `max_header` too small, or an integer too short, to say the size
    /// of a frame of `max_frame` bytes; and for a `max_frame` of 0.
    pub fn build(self, mut limits: Limits) -> Result<JsonHeader, FrameError> {
        let format = Format::parse(&self.format)?;
        let [item] = format.items[..] else {
            return Err(FrameError::config(format!(
                "`format` {:?} has {} items, but the header's length is one integer, such as `!I`",
                self.format,
                format.items.len()
            )));
        };
        if !item.is_integer() {
            return Err(FrameError::config(format!(
                "`format` {:?}, position {}: `{}` cannot hold the header's length, only one of b B \
                 h H i I l L q Q n N P can",
                self.format, item.position, item.code
            ))
            .at(item.position));
        }
        limits.fit(u64::MAX, "json-header")?;
        let mut framing = JsonHeader {
            prefix: format!("{{{}:", head::quoted(&self.size)),
            limits,
            item,
            prelude: vec![0; format.size],
            key: self.size,
            max_header: self.max_header.min(ADDRESSABLE),
            stage: Stage::Header,
            received: Bytes::new(),
            suffix: "}".into(),
        };
        framing.set_max_frame(framing.limits.largest());
        let largest = framing.limits.largest();
        if let Err(error) = framing.prepare(largest) {
            return Err(FrameError::config(format!(
                "`max_frame` is {largest}, but {error}"
            )));
        }
        Ok(framing)
    }
}

/// No header and no body is longer, so that their sum fits into memory.
const ADDRESSABLE: usize = isize::MAX as usize / 4;

/// A JSON object that states the body's size, its own length in front of it, the body behind it.
///
/// ```text
///  ┌──────────────┬───────────────────────┬───────────────────
///  │ 00 00 00 15  │ {"size":5,"name":"a"} │ h e l l o
///  └──────────────┴───────────────────────┴───────────────────
///    header length  JSON object             body
/// ```
///
/// What a Python peer makes of `json` and `struct`:
///
/// ```python
/// head = json.dumps({"size": len(body), "name": "a"}).encode()
/// connection.sendall(struct.pack("!I", len(head)) + head + body)
/// ```
///
/// Any JSON is read, with white space and escapes; it is written without white space, the size
/// first. The object of the frame last decoded is what [`header`](Framing::header) gives, as text
/// and whole; [`set_header`](Framing::set_header) takes an object whose members stand in the
/// headers of the frames to come, but for its size, which is each frame's own.
///
/// A header that is not UTF-8, not JSON or not an object, or whose size is missing, there twice,
/// negative or not written as an integer (`5.0`), is malformed; so is a header length of zero or
/// less. One over [`max_header`](JsonHeaderOptions::max_header) is too long at once. All these are
/// final, as nobody knows where the body ends. With [`OnError::Skip`](crate::OnError::Skip) a body
/// that is too long, or empty where that is not allowed, is discarded as it arrives.
///
/// ```
/// use framing::{Framing, JsonHeader, Machine, Received, Value};
///
/// let mut sender = Machine::new(JsonHeader::default());
/// sender.framing_mut().set_header(&[r#"{"name": "a"}"#.into()])?;
/// sender.send("hello".into())?;
/// let wire = sender.outbox().take_bytes();
/// assert_eq!(wire, "\0\0\0\x15{\"size\":5,\"name\":\"a\"}hello");
///
/// let mut receiver = Machine::new(JsonHeader::default());
/// receiver.receive(&wire);
/// assert_eq!(receiver.next_frame()?, Received::Frame("hello".into()));
/// assert_eq!(receiver.framing().header(), [r#"{"size":5,"name":"a"}"#.into()]);
/// # Ok::<(), framing::FrameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct JsonHeader {
    limits: Limits,
    /// The header's length.
    item: Item,
    /// What it stands in: zeros but for the length last written. Its size is the format's.
    prelude: Vec<u8>,
    /// The key of the body's size.
    key: String,
    max_header: usize,
    stage: Stage,
    /// The header of the frame last decoded; empty before.
    received: Bytes,
    /// What stands in a header in front of the size.
    prefix: String,
    /// What stands behind it.
    suffix: String,
}

/// Where in the stream decoding stands.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// In a header, or in front of one.
    Header,
    /// Behind a header that was accepted, with a body of `length` bytes from `start`. Whatever the
    /// limit becomes, it is not judged again.
    Body { start: usize, length: usize },
    /// In a bad frame.
    Discard(Discard),
}

impl Default for JsonHeader {
    /// `!I` and `size`, and the default limits.
    fn default() -> Self {
        let format = Format::network_u32();
        Self {
            limits: Limits::default(),
            item: format.items[0],
            prelude: vec![0; format.size],
            key: "size".into(),
            max_header: 64 * 1024,
            stage: Stage::Header,
            received: Bytes::new(),
            prefix: r#"{"size":"#.into(),
            suffix: "}".into(),
        }
    }
}

impl JsonHeader {
    fn find(&mut self, input: &[u8]) -> Result<Step, FrameError> {
        let (start, length) = match self.stage {
            Stage::Header => {
                let Some(start) = self.header_end(input)? else {
                    return Ok(Step::Need(self.prelude.len() - input.len()));
                };
                if input.len() < start {
                    return Ok(Step::Need(start - input.len()));
                }
                (start, self.accept(start, input)?)
            }
            Stage::Body { start, length } => (start, length),
            Stage::Discard(_) if input.is_empty() => return Ok(Step::Need(1)),
            Stage::Discard(rest) => return Ok(Step::Consumed(self.discard(rest, input.len()))),
        };
        let end = start + length;
        if input.len() < end {
            self.stage = Stage::Body { start, length };
            return Ok(Step::Need(end - input.len()));
        }
        self.stage = Stage::Header;
        self.received = Bytes::copy_from_slice(&input[self.prelude.len()..start]);
        Ok(Step::Frame {
            payload: start..end,
            consumed: end,
        })
    }

    /// Where the header ends, once its length has arrived.
    fn header_end(&self, input: &[u8]) -> Result<Option<usize>, FrameError> {
        if input.len() < self.prelude.len() {
            return Ok(None);
        }
        let declared = self.item.integer(input);
        let Some(declared) = u128::try_from(declared).ok().filter(|&length| length > 0) else {
            return Err(FrameError::malformed(format!(
                "a header length of {declared}, where 1 is the least"
            ))
            .at(self.item.offset));
        };
        match usize::try_from(declared) {
            Ok(length) if length <= self.max_header => Ok(Some(self.prelude.len() + length)),
            _ => Err(FrameError::header_too_long(declared, self.max_header).at(self.item.offset)),
        }
    }

    /// Judges a header that has arrived: the number of bytes in the body behind it.
    fn accept(&mut self, start: usize, input: &[u8]) -> Result<usize, FrameError> {
        let header = self.prelude.len();
        let body = head::size_in(&input[header..start], &self.key).map_err(|error| {
            let within = usize::try_from(error.offset()).unwrap_or_default();
            error.at(header + within)
        })?;
        self.limits.admit(body).map_err(|error| {
            let error = error.at(header);
            match Discard::new(start, body) {
                Some(rest) if self.limits.may_skip(&error) => {
                    error.skipping(self.discard(rest, input.len()))
                }
                _ => error,
            }
        })
    }

    /// Drops what has arrived of a bad frame, and says how many bytes that are.
    fn discard(&mut self, rest: Discard, arrived: usize) -> usize {
        let (gone, rest) = rest.pass(arrived);
        self.stage = rest.map_or(Stage::Header, Stage::Discard);
        gone
    }

    /// What it means that the stream ends here, where `input` holds no whole frame.
    fn end(&self, input: &[u8]) -> Result<Step, FrameError> {
        let arrived = input.len();
        let cut_off = match self.stage {
            Stage::Header if arrived == 0 => return Ok(Step::End),
            Stage::Header => {
                let whole = self.header_end(input)?.unwrap_or(self.prelude.len());
                FrameError::truncated(Part::Header, arrived, whole)
            }
            Stage::Body { start, length } => {
                FrameError::truncated(Part::Body, arrived.saturating_sub(start), length)
            }
            Stage::Discard(rest) => rest.cut_off(),
        };
        Err(cut_off.at(arrived))
    }

    /// Checks whether a frame of so many bytes can be sent, and writes its header's length.
    fn prepare(&mut self, length: usize) -> Result<String, FrameError> {
        let size = length.to_string();
        let header = self.prefix.len() + size.len() + self.suffix.len();
        if header > self.max_header {
            return Err(FrameError::unencodable(format!(
                "its header would have {header} bytes, more than `max_header`, which is {}",
                self.max_header
            )));
        }
        if !self.item.put_integer(header as i128, &mut self.prelude) {
            return Err(FrameError::unencodable(format!(
                "its header would have {header} bytes, more than `{}` can say",
                self.item.code
            )));
        }
        Ok(size)
    }

    fn write_header(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), FrameError> {
        self.limits.permit(frame.len())?;
        let size = self.prepare(frame.len())?;
        out.put_slice(&self.prelude);
        for part in [&self.prefix, &size, &self.suffix] {
            out.put_slice(part.as_bytes());
        }
        Ok(())
    }
}

impl Framing for JsonHeader {
    fn decode(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        self.find(input)
    }

    fn decode_eof(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        match self.find(input)? {
            Step::Need(_) => self.end(input),
            step => Ok(step),
        }
    }

    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        if let Err(error) = self.write_header(&frame, out) {
            return Err(error.with_frame(frame));
        }
        out.put(frame);
        Ok(())
    }

    fn encode_slice(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), FrameError> {
        self.write_header(frame, out)?;
        out.put_slice(frame);
        Ok(())
    }

    fn is_mid_frame(&self) -> bool {
        matches!(self.stage, Stage::Discard(_))
    }

    fn max_frame(&self) -> usize {
        self.limits.largest()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.limits.set_largest(bytes.min(ADDRESSABLE));
    }

    fn header(&self) -> Vec<Value> {
        if self.received.is_empty() {
            return Vec::new();
        }
        vec![self.received.clone().into()]
    }

    /// One item, a JSON object; or none, for headers with nothing but the size.
    fn set_header(&mut self, items: &[Value]) -> Result<(), FrameError> {
        let suffix = match items {
            [] => Some("}".into()),
            [Value::Bytes(object)] => head::members_but(object, &self.key),
            _ => None,
        };
        let Some(suffix) = suffix else {
            return Err(FrameError::unencodable(
                "header items that are not one text with a JSON object",
            ));
        };
        let before = std::mem::replace(&mut self.suffix, suffix);
        if let Err(error) = self.prepare(self.limits.largest()) {
            self.suffix = before;
            return Err(error);
        }
        Ok(())
    }
}
