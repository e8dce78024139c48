//! Checks the options of a [`StructHeader`] and puts it together.

use std::{fmt, ops::Range};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{StructHeader, format::Format, item::Item, length::Length, template::Template};
use crate::{FrameError, FramingHelp, Limits, OptionHelp, Value, options::ByteString};

pub(crate) const HELP: FramingHelp = FramingHelp::new(
    "a header laid out as by Python's `struct`, then the body",
    &[
        OptionHelp::new(
            "format",
            "\"!I\"",
            "the header's layout, in the language of Python's `struct`",
        ),
        OptionHelp::new(
            "length",
            "(the last)",
            "which item holds the length, counted from 0",
        ),
        OptionHelp::new(
            "counts",
            "\"payload\"",
            "what the length counts: \"payload\", or \"frame\" with the header",
        ),
        OptionHelp::new("adjust", "0", "added to the length that was read, in bytes"),
        OptionHelp::new(
            "constants",
            "(all \"any\")",
            "what the other items hold, in order: a number, a string, or \"any\"",
        ),
        OptionHelp::new("strict_pad", "false", "whether pad bytes must be zero"),
        OptionHelp::new(
            "strip",
            "(the header)",
            "how many bytes are removed in front of a frame",
        ),
    ],
);

/// The options of a [`StructHeader`].
///
/// In a file they are the keys of a table, named like the methods here:
///
/// ```toml
/// framing = { type = "struct-header", format = "!4sBxH", constants = ["MAGC", "any"] }
/// ```
///
/// What cannot work is refused by [`build`](Self::build), never at the first frame.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct StructHeaderOptions {
    format: String,
    length: Option<usize>,
    counts: Counts,
    adjust: i64,
    constants: Option<Vec<Constant>>,
    strict_pad: bool,
    strip: Option<usize>,
}

impl Default for StructHeaderOptions {
    fn default() -> Self {
        Self {
            format: "!I".into(),
            length: None,
            counts: Counts::Payload,
            adjust: 0,
            constants: None,
            strict_pad: false,
            strip: None,
        }
    }
}

/// What the number in the header counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counts {
    /// The bytes behind the header.
    #[default]
    Payload,
    /// The header and the bytes behind it.
    Frame,
}

/// What an item of the header other than the length must hold.
///
/// In a file: a number, `true` or `false`, a string, `{ hex = "cafe" }` for any bytes, or the
/// word `"any"`.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// Any value: written as zero unless [set](crate::Framing::set_header), not checked, and
    /// handed to the application by [`header`](crate::Framing::header).
    Any,
    /// Exactly this one: written, and a frame with another is malformed. A string shorter than
    /// its item is filled up with zeros.
    Is(Value),
}

impl<V: Into<Value>> From<V> for Constant {
    fn from(value: V) -> Self {
        Self::Is(value.into())
    }
}

impl StructHeaderOptions {
    /// The options for a header in the format language of Python's `struct`.
    ///
    /// ```
    /// use framing::{Limits, Machine, StructHeaderOptions};
    ///
    /// for (format, wire) in [
    ///     ("!I", "\0\0\0\x02hi"),
    ///     ("<H", "\x02\0hi"),
    ///     ("!HxB", "\0\0\0\x02hi"), // an item of ours, a pad byte, the length
    /// ] {
    ///     let mut machine = Machine::new(StructHeaderOptions::new(format).build(Limits::new())?);
    ///     machine.send("hi".into())?;
    ///     assert_eq!(machine.outbox().take_bytes(), wire);
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn new(format: impl Into<String>) -> Self {
        Self {
            format: format.into(),
            ..Self::default()
        }
    }

    /// Sets which item holds the length, counted from 0 as Python's `unpack` returns them (pad
    /// bytes are no items, `3H` is three). The last one by default. It must be an integer.
    ///
    /// ```
    /// use framing::{Framing, Limits, Machine, StructHeaderOptions, Value};
    ///
    /// // A length, then a version.
    /// let framing = StructHeaderOptions::new("!HB").length(0).build(Limits::new())?;
    /// let mut machine = Machine::new(framing);
    /// machine.framing_mut().set_header(&[Value::Int(7)])?;
    /// machine.send("hello".into())?;
    /// assert_eq!(machine.outbox().take_bytes(), "\x00\x05\x07hello");
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn length(mut self, item: usize) -> Self {
        self.length = Some(item);
        self
    }

    /// Sets what the length counts: the payload (the default), or the whole frame.
    ///
    /// ```
    /// use framing::{Counts, Limits, Machine, StructHeaderOptions};
    ///
    /// let options = StructHeaderOptions::new("!H").counts(Counts::Frame);
    /// let mut machine = Machine::new(options.build(Limits::new())?);
    /// machine.send("hello".into())?;
    /// assert_eq!(machine.outbox().take_bytes(), "\x00\x07hello");
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn counts(mut self, counts: Counts) -> Self {
        self.counts = counts;
        self
    }

    /// Sets a number of bytes that is added to what the length item says, 0 by default: for
    /// headers that count a trailer or a part of the header. Netty calls it `lengthAdjustment`.
    ///
    /// ```
    /// use framing::{Limits, Machine, StructHeaderOptions};
    ///
    /// // The length counts itself, but not the tag in front of it.
    /// let options = StructHeaderOptions::new("!BH").adjust(-2);
    /// let mut machine = Machine::new(options.build(Limits::new())?);
    /// machine.send("hello".into())?;
    /// assert_eq!(machine.outbox().take_bytes(), "\x00\x00\x07hello");
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn adjust(mut self, bytes: i64) -> Self {
        self.adjust = bytes;
        self
    }

    /// Sets what the items other than the length hold, one entry for each of them in order. All
    /// are [`Constant::Any`] by default.
    ///
    /// A wrong byte is reported as soon as it has arrived, even if the header is not complete.
    ///
    /// ```
    /// use framing::{Constant, ErrorKind, Limits, Machine, StructHeaderOptions};
    ///
    /// let options = StructHeaderOptions::new("!4sBxH").constants(["MAGC".into(), Constant::Any]);
    /// let mut machine = Machine::new(options.build(Limits::new())?);
    /// machine.send("hello".into())?;
    /// assert_eq!(machine.outbox().take_bytes(), "MAGC\x00\x00\x00\x05hello");
    ///
    /// machine.receive(b"MAGD");
    /// let error = machine.next_frame().unwrap_err();
    /// assert_eq!((error.kind(), error.offset()), (ErrorKind::Malformed, 3));
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn constants(mut self, constants: impl IntoIterator<Item = Constant>) -> Self {
        self.constants = Some(constants.into_iter().collect());
        self
    }

    /// Sets whether pad bytes must be zero: those of `x`, and those that align native items. By
    /// default, as in Python, they may be anything. They are always written as zero.
    ///
    /// ```
    /// use framing::{Limits, Machine, Received, StructHeaderOptions};
    ///
    /// for strict in [false, true] {
    ///     let options = StructHeaderOptions::new("!xH").strict_pad(strict);
    ///     let mut machine = Machine::new(options.build(Limits::new())?);
    ///     machine.receive(b"\x2a\x00\x02hi"); // a pad byte of 42
    ///     match strict {
    ///         false => assert_eq!(machine.next_frame()?, Received::Frame("hi".into())),
    ///         true => assert!(machine.next_frame().is_err()),
    ///     }
    ///     machine.send("hi".into())?;
    ///     assert_eq!(machine.outbox().take_bytes(), "\x00\x00\x02hi");
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn strict_pad(mut self, strict: bool) -> Self {
        self.strict_pad = strict;
        self
    }

    /// Sets how many bytes are removed in front of a frame, the whole header by default. Netty
    /// calls it `initialBytesToStrip`.
    ///
    /// What is left of the header is part of the frame, of its size and of the limit, and a frame
    /// to be sent brings it along: it must agree with the constants and with the length.
    ///
    /// ```
    /// use framing::{ErrorKind, Limits, Machine, Received, StructHeaderOptions};
    ///
    /// let options = StructHeaderOptions::new("!HB").length(0).strip(2);
    /// let mut machine = Machine::new(options.build(Limits::new())?);
    /// machine.receive(b"\x00\x05\x07hello");
    /// assert_eq!(machine.next_frame()?, Received::Frame("\x07hello".into()));
    ///
    /// machine.send("\x07hello".into())?;
    /// assert_eq!(machine.outbox().take_bytes(), "\x00\x05\x07hello");
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
    /// Kind [`Config`](crate::ErrorKind::Config), with the name of the option, what is wrong with
    /// it, and what would be allowed; its [`offset`](FrameError::offset) is a position in the
    /// format string. Refused are: a format that Python would refuse, and `0p`; a header of no
    /// bytes or of more than 64 KiB; a length item that is not there or no integer; constants too
    /// many, too few, or out of range; a `strip` of more than the header, since what it removes
    /// behind could not be written again; an `adjust` with which no frame could be said; and a
    /// `max_frame` of 0, or of more than the length item can say.
    pub fn build(self, limits: Limits) -> Result<StructHeader, FrameError> {
        let format = Format::parse(&self.format)?;
        if format.size == 0 {
            return Err(FrameError::config(format!(
                "`format` {:?} describes a header of 0 bytes; the shortest is 1 byte, such as `B`",
                self.format
            )));
        }
        let index = self.length_item(&format)?;
        let named = format!("the length item `{}`", format.items[index].code);
        self.build_on(&format, index, &named, limits)
    }

    /// Checks all but the format itself, of which item `index` holds the length and is `named` so
    /// in errors.
    pub(crate) fn build_on(
        self,
        format: &Format,
        index: usize,
        named: &str,
        mut limits: Limits,
    ) -> Result<StructHeader, FrameError> {
        let strip = self.strip.unwrap_or(format.size);
        if strip > format.size {
            return Err(FrameError::config(format!(
                "`strip` is {strip}, but the header has {} bytes, and what is removed behind it \
                 could not be written again",
                format.size
            )));
        }
        let length = self.body_length(format.items[index], format, named)?;
        // What the limit counts: the frame as handed out, with what is left of the header.
        let most = length.most() + (format.size - strip) as i128;
        limits.fit(u64::try_from(most).unwrap_or(u64::MAX), named)?;
        let template = self.template(format, index)?;
        Ok(StructHeader::assemble(
            format, index, length, template, strip, limits,
        ))
    }
}

impl StructHeaderOptions {
    /// Finds the length item and checks that it can hold a length.
    fn length_item(&self, format: &Format) -> Result<usize, FrameError> {
        let count = format.items.len();
        let index = self.length.or(count.checked_sub(1));
        let Some((index, item)) = index.and_then(|index| Some((index, format.items.get(index)?)))
        else {
            return Err(FrameError::config(match self.length {
                Some(index) if count > 0 => format!(
                    "`length` is {index}, but the items of {:?} are 0 to {}",
                    self.format,
                    count - 1
                ),
                _ => format!(
                    "`format` {:?} has no item that could hold the length",
                    self.format
                ),
            }));
        };
        if !item.is_integer() {
            return Err(FrameError::config(format!(
                "`format` {:?}, position {}: item {index} (`{}`) cannot hold the length, only one \
                 of b B h H i I l L q Q n N P can; `length` says which item it is",
                self.format, item.position, item.code
            ))
            .at(item.position));
        }
        Ok(index)
    }

    fn body_length(&self, item: Item, format: &Format, named: &str) -> Result<Length, FrameError> {
        let header = match self.counts {
            Counts::Payload => 0,
            Counts::Frame => format.size as i128,
        };
        let length = Length::new(item, i128::from(self.adjust) - header);
        if length.most() <= 0 {
            return Err(FrameError::config(format!(
                "`adjust` is {}, so that the largest number in {named} would mean {} bytes; it must \
                 be possible to say 1 at least",
                self.adjust,
                length.most()
            )));
        }
        // A buffer cannot have more than `isize::MAX` bytes, and never comes near it.
        if length.least() > isize::MAX as i128 / 2 {
            return Err(FrameError::config(format!(
                "`adjust` is {}, so that the shortest frame would have {} bytes, more than fit in \
                 memory",
                self.adjust,
                length.least()
            )));
        }
        Ok(length)
    }

    /// Writes the constants into a header of zeros, and notes where they stand.
    fn template(&self, format: &Format, length: usize) -> Result<Template, FrameError> {
        let mut header = vec![0; format.size];
        let mut fixed: Vec<Range<usize>> = Vec::new();
        if self.strict_pad {
            fixed.extend_from_slice(&format.pads);
        }
        let Some(constants) = &self.constants else {
            return Ok(Template::new(header, fixed));
        };
        if constants.len() + 1 != format.items.len() {
            return Err(FrameError::config(format!(
                "`constants` has {} entries, but {:?} has {} items beside the length; `\"any\"` \
                 stands for one without a constant",
                constants.len(),
                self.format,
                format.items.len() - 1
            )));
        }
        let others = (0..format.items.len()).filter(|&index| index != length);
        for (index, constant) in others.zip(constants) {
            if let Constant::Is(value) = constant {
                let item = &format.items[index];
                item.pack(value, &mut header).map_err(|what| {
                    FrameError::config(format!("`constants`: item {index} of the header, {what}"))
                        .at(item.position)
                })?;
                fixed.push(item.offset..item.end());
            }
        }
        Ok(Template::new(header, fixed))
    }
}

impl<'de> Deserialize<'de> for Constant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ConstantVisitor)
    }
}

struct ConstantVisitor;

impl<'de> Visitor<'de> for ConstantVisitor {
    type Value = Constant;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, true, false, a string, { hex = \"…\" } for any bytes, or \"any\"")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Constant, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Constant, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Constant, E> {
        Ok(value.into())
    }

    fn visit_i128<E>(self, value: i128) -> Result<Constant, E> {
        Ok(Constant::Is(Value::Int(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Constant, E> {
        Ok(value.into())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Constant, E> {
        if text == "any" {
            return Ok(Constant::Any);
        }
        Ok(Constant::Is(Value::Bytes(Bytes::copy_from_slice(
            text.as_bytes(),
        ))))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Constant, A::Error> {
        let ByteString(bytes) = ByteString::deserialize(MapAccessDeserializer::new(map))?;
        Ok(bytes.into())
    }
}
