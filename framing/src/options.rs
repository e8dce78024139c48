//! The kinds of values that framing options have in a file: byte strings, sizes, times.

use std::{fmt, str::FromStr, time::Duration};

use bytes::Bytes;
use bytesize::ByteSize;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Unexpected, Visitor},
};

/// Bytes given as a string, or as `{ hex = "0d0a" }` where they are not text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByteString(pub(crate) Bytes);

impl<'de> Deserialize<'de> for ByteString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ByteStringVisitor)
    }
}

struct ByteStringVisitor;

impl<'de> Visitor<'de> for ByteStringVisitor {
    type Value = ByteString;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or { hex = \"…\" } for any bytes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ByteString, E> {
        Ok(ByteString(Bytes::copy_from_slice(text.as_bytes())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ByteString, A::Error> {
        let Some(key) = map.next_key::<String>()? else {
            return Err(A::Error::missing_field("hex"));
        };
        if key != "hex" {
            return Err(A::Error::unknown_field(&key, &["hex"]));
        }
        let digits: String = map.next_value()?;
        let bytes = from_hex(&digits)
            .ok_or_else(|| A::Error::custom("`hex` takes pairs of hexadecimal digits"))?;
        match map.next_key::<String>()? {
            Some(key) => Err(A::Error::unknown_field(&key, &["hex"])),
            None => Ok(ByteString(bytes.into())),
        }
    }
}

/// The bytes that pairs of hexadecimal digits stand for; `None` for anything else.
fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| (*byte as char).to_digit(16).map(|value| value as u8);
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}

/// One byte: a number from 0 to 255, a string of one byte, or `{ hex = "00" }`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Byte(pub(crate) u8);

impl<'de> Deserialize<'de> for Byte {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ByteVisitor)
    }
}

struct ByteVisitor;

impl<'de> Visitor<'de> for ByteVisitor {
    type Value = Byte;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one byte: a number from 0 to 255, a string, or { hex = \"…\" }")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Byte, E> {
        let byte = u8::try_from(number);
        byte.map(Byte)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Byte, E> {
        let byte = u8::try_from(number);
        byte.map(Byte)
            .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Byte, E> {
        match *text.as_bytes() {
            [byte] => Ok(Byte(byte)),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Byte, A::Error> {
        match *ByteStringVisitor.visit_map(map)?.0 {
            [byte] => Ok(Byte(byte)),
            ref bytes => Err(A::Error::invalid_length(bytes.len(), &self)),
        }
    }
}

/// A number of bytes: `"64KiB"`, `"16MiB"`, or a plain number.
pub(crate) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    deserializer.deserialize_any(SizeVisitor)
}

/// The same, where there need not be one.
pub(crate) fn some_size<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<usize>, D::Error> {
    size(deserializer).map(Some)
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes, such as 65536 or \"64KiB\"")
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<usize, E> {
        usize::try_from(bytes).map_err(|_| E::custom("more bytes than this machine can address"))
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<usize, E> {
        let bytes = u64::try_from(bytes);
        self.visit_u64(bytes.map_err(|_| E::custom("a number of bytes cannot be negative"))?)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<usize, E> {
        match ByteSize::from_str(text) {
            Ok(size) => self.visit_u64(size.as_u64()),
            Err(_) => Err(E::custom(format!(
                "`{text}` is not a number of bytes such as 65536 or \"64KiB\""
            ))),
        }
    }
}

/// A span of time: `"20ms"`, `"30s"`.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_str(Span)
}

struct Span;

impl Visitor<'_> for Span {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as \"20ms\" or \"30s\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        humantime::parse_duration(text).map_err(|error| {
            E::custom(format!(
                "`{text}` is not a time such as `20ms` or `30s`: {error}"
            ))
        })
    }
}
