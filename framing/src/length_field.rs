//! Finds frames by a length field somewhere in their header, as Netty and tokio-util do.

use bytes::Bytes;
use serde::Deserialize;

use crate::{
    Carries, FrameError, Framing, FramingHelp, Limits, OptionHelp, Outbox, Step, StructHeader,
    StructHeaderOptions, Value,
    options::{size, some_size},
    struct_header::{Format, Item, Kind, MAX_SIZE, Order},
};

pub(crate) const HELP: FramingHelp = FramingHelp::new(
    "a length field at an offset, as Netty's and tokio-util's",
    &[
        OptionHelp::new(
            "offset",
            "0",
            "how many bytes of a frame stand in front of the length field",
        ),
        OptionHelp::new("width", "4", "how many bytes the length field has, 1 to 8"),
        OptionHelp::new(
            "endian",
            "\"big\"",
            "the order of its bytes: \"big\" or \"little\"",
        ),
        OptionHelp::new(
            "signed",
            "false",
            "whether it is in two's complement; a negative length is malformed",
        ),
        OptionHelp::new("adjust", "0", "added to the length that was read, in bytes"),
        OptionHelp::new(
            "strip",
            "(offset + width)",
            "how many bytes are removed in front of a frame",
        ),
    ],
);

/// The order of the bytes of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Endian {
    /// The most significant byte first: network byte order.
    #[default]
    Big,
    /// The least significant byte first.
    Little,
}

/// The options of a [`LengthField`].
///
/// ```toml
/// framing = { type = "length-field", offset = 1, width = 3, endian = "little" }
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LengthFieldOptions {
    #[serde(deserialize_with = "size")]
    offset: usize,
    #[serde(deserialize_with = "size")]
    width: usize,
    endian: Endian,
    signed: bool,
    adjust: i64,
    #[serde(deserialize_with = "some_size")]
    strip: Option<usize>,
}

impl Default for LengthFieldOptions {
    fn default() -> Self {
        Self {
            offset: 0,
            width: 4,
            endian: Endian::Big,
            signed: false,
            adjust: 0,
            strip: None,
        }
    }
}

impl LengthFieldOptions {
    /// Sets how many bytes stand in front of the length field (0). Netty calls it
    /// `lengthFieldOffset`.
    ///
    /// They may be anything: those that are stripped are written as zeros, unless
    /// [`set_header`](Framing::set_header) sets them, and [`header`](Framing::header) hands them
    /// out, as one byte string.
    ///
    /// ```
    /// use framing::{LengthFieldOptions, Limits, Machine, Received};
    ///
    /// let options = LengthFieldOptions::default().offset(2).width(2);
    /// let mut machine = Machine::new(options.build(Limits::new())?);
    /// machine.receive(b"\xca\xfe\x00\x05hello");
    /// assert_eq!(machine.next_frame()?, Received::Frame("hello".into()));
    /// machine.send("hello".into())?;
    /// assert_eq!(machine.outbox().take_bytes(), "\0\0\x00\x05hello");
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn offset(mut self, bytes: usize) -> Self {
        self.offset = bytes;
        self
    }

    /// Sets how many bytes the length field has (4): 1 to 8. Netty calls it `lengthFieldLength`.
    ///
    /// ```
    /// use framing::{LengthFieldOptions, Limits, Machine};
    ///
    /// for (width, wire) in [(1, "\x02hi"), (3, "\0\0\x02hi"), (8, "\0\0\0\0\0\0\0\x02hi")] {
    ///     let mut machine = Machine::new(LengthFieldOptions::default().width(width).build(Limits::new())?);
    ///     machine.send("hi".into())?;
    ///     assert_eq!(machine.outbox().take_bytes(), wire);
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn width(mut self, bytes: usize) -> Self {
        self.width = bytes;
        self
    }

    /// Sets the order of its bytes (big-endian).
    ///
    /// ```
    /// use framing::{Endian, LengthFieldOptions, Limits, Machine};
    ///
    /// for (endian, wire) in [(Endian::Big, "\0\0\0\x02hi"), (Endian::Little, "\x02\0\0\0hi")] {
    ///     let options = LengthFieldOptions::default().endian(endian);
    ///     let mut machine = Machine::new(options.build(Limits::new())?);
    ///     machine.send("hi".into())?;
    ///     assert_eq!(machine.outbox().take_bytes(), wire);
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn endian(mut self, endian: Endian) -> Self {
        self.endian = endian;
        self
    }

    /// Sets whether it is in two's complement (`false`). A length that comes out negative is
    /// malformed.
    ///
    /// ```
    /// use framing::{ErrorKind, LengthFieldOptions, Limits, Machine, Received};
    ///
    /// for signed in [false, true] {
    ///     let options = LengthFieldOptions::default().width(1).signed(signed);
    ///     let mut machine = Machine::new(options.build(Limits::new())?);
    ///     machine.receive(b"\xff"); // 255, or -1
    ///     match signed {
    ///         false => assert_eq!(machine.next_frame()?, Received::Need(255)),
    ///         true => assert_eq!(machine.next_frame().unwrap_err().kind(), ErrorKind::Malformed),
    ///     }
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn signed(mut self, signed: bool) -> Self {
        self.signed = signed;
        self
    }

    /// Sets a number of bytes that is added to what the length field says (0), as Netty's
    /// `lengthAdjustment`: a frame on the wire has offset + width + value + adjust bytes.
    ///
    /// tokio-util's `length_adjustment` counts from behind the bytes that are skipped: it is this
    /// one plus the bytes of the header that are not stripped.
    ///
    /// ```
    /// use framing::{LengthFieldOptions, Limits, Machine, Received};
    ///
    /// // The length counts itself: 2 bytes more than the payload has.
    /// let options = LengthFieldOptions::default().width(2).adjust(-2);
    /// let mut machine = Machine::new(options.build(Limits::new())?);
    /// machine.receive(b"\x00\x07hello");
    /// assert_eq!(machine.next_frame()?, Received::Frame("hello".into()));
    /// machine.send("hello".into())?;
    /// assert_eq!(machine.outbox().take_bytes(), "\x00\x07hello");
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn adjust(mut self, bytes: i64) -> Self {
        self.adjust = bytes;
        self
    }

    /// Sets how many bytes are removed in front of a frame (offset + width, which is also the
    /// most). Netty calls it `initialBytesToStrip`, tokio-util `num_skip`.
    ///
    /// What is left of the header is part of the frame, of its size and of the limit, and a frame
    /// to be sent brings it along, with the right length in it.
    ///
    /// ```
    /// use framing::{LengthFieldOptions, Limits, Machine, Received};
    ///
    /// for (strip, frame) in [(2, "hello"), (0, "\x00\x05hello")] {
    ///     let options = LengthFieldOptions::default().width(2).strip(strip);
    ///     let mut machine = Machine::new(options.build(Limits::new())?);
    ///     machine.receive(b"\x00\x05hello");
    ///     assert_eq!(machine.next_frame()?, Received::Frame(frame.into()));
    ///     machine.send(frame.into())?;
    ///     assert_eq!(machine.outbox().take_bytes(), "\x00\x05hello");
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn strip(mut self, bytes: usize) -> Self {
        self.strip = Some(bytes);
        self
    }

    /// Checks the options against one another and against `limits`, and builds the framing.
    ///
    /// # Errors
    ///
    /// Kind [`Config`](crate::ErrorKind::Config). Refused are: a `width` of 0 or more than 8; a
    /// header of more than 64 KiB; a `strip` of more than the header, since what it removes behind
    /// could not be written again; an `adjust` with which no frame could be said; and a
    /// `max_frame` of 0, or of more than the length field can say.
    pub fn build(self, limits: Limits) -> Result<LengthField, FrameError> {
        if !(1..=8).contains(&self.width) {
            return Err(FrameError::config(format!(
                "`width` is {}, but a length field has 1 to 8 bytes",
                self.width
            )));
        }
        if self.offset > MAX_SIZE - self.width {
            return Err(FrameError::config(format!(
                "`offset` is {}, but a header has {MAX_SIZE} bytes at most",
                self.offset
            )));
        }
        let header = self.offset + self.width;
        StructHeaderOptions::default()
            .adjust(self.adjust)
            .strip(self.strip.unwrap_or(header))
            .build_on(
                &self.format(),
                usize::from(self.offset > 0),
                &format!("a length field of {} bytes", self.width),
                limits,
            )
            .map(LengthField)
    }

    /// The header as a struct: a string of `offset` bytes, then the length.
    fn format(&self) -> Format {
        let order = match self.endian {
            Endian::Big => Order::Big,
            Endian::Little => Order::Little,
        };
        let item = |code, kind, offset, width| Item {
            code,
            kind,
            order,
            offset,
            width,
            position: 0,
        };
        let length = match self.signed {
            true => item('q', Kind::Signed, self.offset, self.width),
            false => item('Q', Kind::Unsigned, self.offset, self.width),
        };
        let front = (self.offset > 0).then(|| item('s', Kind::Text, 0, self.offset));
        Format {
            items: front.into_iter().chain([length]).collect(),
            pads: Vec::new(),
            size: length.end(),
        }
    }
}

/// A length field of 1 to 8 bytes at an offset, then the payload.
///
/// ```text
///  offset 1, width 3     ┌────┬──────────┬───────────────────
///                        │ 07 │ 00 00 05 │ h e l l o             frame "hello"
///                        └────┴──────────┴───────────────────
///                                length     payload
///
///  strip 1               ┌────┬──────────┬───────────────────
///                        │ 07 │ 00 00 05 │ h e l l o             frame "␀␀␅hello"
///                        └────┴──────────┴───────────────────
/// ```
///
/// The framing of Netty's `LengthFieldBasedFrameDecoder` and of tokio-util's
/// `LengthDelimitedCodec`, for reading and for writing; what could be read but not written again
/// is refused by [`LengthFieldOptions::build`]. A [`StructHeader`] does the same for headers with
/// more in them.
///
/// ```
/// use framing::{Framing, LengthFieldOptions, Limits, Machine, Received};
///
/// let framing = LengthFieldOptions::default().offset(1).width(3).build(Limits::new())?;
/// let mut machine = Machine::new(framing);
/// machine.receive(b"\x07\x00\x00\x05hello");
/// assert_eq!(machine.next_frame()?, Received::Frame("hello".into()));
/// assert_eq!(machine.framing().header(), ["\x07".into()]);
///
/// machine.framing_mut().set_header(&["\x08".into()])?;
/// machine.send("hi".into())?;
/// assert_eq!(machine.outbox().take_bytes(), "\x08\x00\x00\x02hi");
/// # Ok::<(), framing::FrameError>(())
/// ```
///
/// With [`OnError::Skip`](crate::OnError::Skip), a frame that is too long, or empty where that is
/// not allowed, is discarded as it arrives. A negative length and a flood of empty frames are
/// always final.
#[derive(Clone, Debug, Default)]
pub struct LengthField(StructHeader);

impl LengthField {
    /// A big-endian length of `width` bytes in front of the payload, with the default limits.
    ///
    /// # Errors
    ///
    /// As [`LengthFieldOptions::build`].
    pub fn new(width: usize) -> Result<Self, FrameError> {
        LengthFieldOptions::default()
            .width(width)
            .build(Limits::new())
    }
}

impl Framing for LengthField {
    #[inline]
    fn decode(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        self.0.decode(input, out)
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        self.0.decode_eof(input, out)
    }

    #[inline]
    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        self.0.encode(frame, out)
    }

    #[inline]
    fn encode_slice(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), FrameError> {
        self.0.encode_slice(frame, out)
    }

    fn encode_prefixed(
        &mut self,
        prefix: &[u8],
        rest: Bytes,
        out: &mut Outbox,
    ) -> Result<(), FrameError> {
        self.0.encode_prefixed(prefix, rest, out)
    }

    fn is_mid_frame(&self) -> bool {
        self.0.is_mid_frame()
    }

    fn max_frame(&self) -> usize {
        self.0.max_frame()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.0.set_max_frame(bytes);
    }

    fn carries(&self) -> Carries {
        self.0.carries()
    }

    fn header(&self) -> Vec<Value> {
        self.0.header()
    }

    fn set_header(&mut self, items: &[Value]) -> Result<(), FrameError> {
        self.0.set_header(items)
    }
}
