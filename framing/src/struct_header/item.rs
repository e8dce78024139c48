//! Packs and unpacks one item of a header.
//!
//! Follows Python's `struct`, but for one thing: what would silently be read back as another value
//! is refused. Python cuts a string that is too long for `s`, packs 1e300 as infinity in a native
//! `f`, and any object whatever in a `?`.

use bytes::Bytes;

use super::half;
use crate::Value;

/// What sort of value an item holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One byte, as a byte string.
    Char,
    /// An integer in two's complement.
    Signed,
    /// An integer without a sign.
    Unsigned,
    /// A byte that is zero or not.
    Bool,
    /// A floating-point number of 2, 4 or 8 bytes.
    Float,
    /// Bytes, filled up with zeros.
    Text,
    /// A byte that counts, so many bytes, and zeros.
    Pascal,
}

/// The order of the bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Big,
    Little,
}

impl Order {
    pub(crate) const NATIVE: Self = if cfg!(target_endian = "big") {
        Self::Big
    } else {
        Self::Little
    };
}

/// One item: what it holds, and where in the header it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// The letter in the format.
    pub(crate) code: char,
    pub(crate) kind: Kind,
    pub(crate) order: Order,
    /// The first byte in the header.
    pub(crate) offset: usize,
    /// How many bytes: 1, 2, 4 or 8 for a number of Python's, any from 1 to 8 for a length field.
    pub(crate) width: usize,
    /// The byte of the format string that its letter is.
    pub(crate) position: usize,
}

impl Item {
    /// The first byte behind the item.
    pub(crate) fn end(&self) -> usize {
        self.offset + self.width
    }

    /// Whether it holds an integer, and so can hold a length.
    pub(crate) fn is_integer(&self) -> bool {
        matches!(self.kind, Kind::Signed | Kind::Unsigned)
    }

    /// The least and the greatest integer that it can hold.
    pub(crate) fn range(&self) -> (i128, i128) {
        let bits = 8 * self.width;
        match self.kind {
            Kind::Signed => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
            _ => (0, (1 << bits) - 1),
        }
    }

    /// The integer it holds in `header`, which must be whole.
    #[inline]
    pub(crate) fn integer(&self, header: &[u8]) -> i128 {
        let raw = self.raw(header);
        match self.kind {
            Kind::Signed => {
                let unused = 64 - 8 * self.width;
                i128::from(((raw << unused) as i64) >> unused)
            }
            _ => i128::from(raw),
        }
    }

    /// Writes an integer; false, and nothing is written, if it is out of range.
    #[inline]
    pub(crate) fn put_integer(&self, value: i128, header: &mut [u8]) -> bool {
        let (least, most) = self.range();
        if value < least || value > most {
            return false;
        }
        self.put_raw(value as u64, header);
        true
    }

    /// The value it holds in `header`, which must be whole.
    pub(crate) fn unpack(&self, header: &[u8]) -> Value {
        let bytes = &header[self.offset..self.end()];
        match self.kind {
            Kind::Char | Kind::Text => Value::Bytes(Bytes::copy_from_slice(bytes)),
            Kind::Signed | Kind::Unsigned => Value::Int(self.integer(header)),
            Kind::Bool => Value::Bool(bytes.iter().any(|&byte| byte != 0)),
            Kind::Float => Value::Float(self.float(header)),
            Kind::Pascal => {
                // The count is the peer's: more than there is means all there is, as in Python.
                let (count, rest) = bytes.split_first().unwrap_or((&0, &[]));
                let text = &rest[..rest.len().min(usize::from(*count))];
                Value::Bytes(Bytes::copy_from_slice(text))
            }
        }
    }

    /// Writes `value` into `header`, or says what would be allowed; then nothing is written.
    pub(crate) fn pack(&self, value: &Value, header: &mut [u8]) -> Result<(), String> {
        let packed = match (self.kind, value) {
            (Kind::Char, Value::Bytes(text)) => text.len() == 1 && self.put_text(text, header),
            (Kind::Text, Value::Bytes(text)) => self.put_text(text, header),
            (Kind::Pascal, Value::Bytes(text)) => self.put_pascal(text, header),
            (Kind::Signed | Kind::Unsigned, Value::Int(value)) => self.put_integer(*value, header),
            (Kind::Signed | Kind::Unsigned, Value::Bool(value)) => {
                self.put_integer(i128::from(*value), header)
            }
            (Kind::Bool, Value::Bool(value)) => self.put_bool(*value, header),
            (Kind::Bool, Value::Int(value @ (0 | 1))) => self.put_bool(*value == 1, header),
            (Kind::Bool, Value::Float(value)) if *value == 0.0 || *value == 1.0 => {
                self.put_bool(*value == 1.0, header)
            }
            (Kind::Float, Value::Float(value)) => self.put_float(*value, header),
            (Kind::Float, Value::Int(value)) => self.put_float(*value as f64, header),
            (Kind::Float, Value::Bool(value)) => self.put_float(f64::from(*value), header),
            _ => false,
        };
        if packed {
            return Ok(());
        }
        let given = match value {
            Value::Int(value) => value.to_string(),
            Value::Float(value) => format!("{value:?}"),
            Value::Bool(value) => value.to_string(),
            // The bytes themselves may be a secret.
            Value::Bytes(text) => format!("a string of {} bytes", text.len()),
        };
        Err(format!(
            "`{}` takes {}, not {given}",
            self.code,
            self.allowed()
        ))
    }

    /// What the item can hold, in words.
    fn allowed(&self) -> String {
        match self.kind {
            Kind::Char => "a string of 1 byte".into(),
            Kind::Signed | Kind::Unsigned => {
                let (least, most) = self.range();
                format!("an integer from {least} to {most}")
            }
            Kind::Bool => "true or false".into(),
            Kind::Float => format!("a number that {} bytes can hold", self.width),
            Kind::Text => format!("a string of {} bytes at most", self.width),
            Kind::Pascal => format!("a string of {} bytes at most", self.pascal_room()),
        }
    }

    fn put_text(&self, text: &[u8], header: &mut [u8]) -> bool {
        let room = &mut header[self.offset..self.end()];
        let Some((start, rest)) = room.split_at_mut_checked(text.len()) else {
            return false;
        };
        start.copy_from_slice(text);
        rest.fill(0);
        true
    }

    fn put_pascal(&self, text: &[u8], header: &mut [u8]) -> bool {
        if text.len() > self.pascal_room() {
            return false;
        }
        if let Some((count, rest)) = header[self.offset..self.end()].split_first_mut() {
            // `pascal_room` is 255 at most.
            *count = text.len() as u8;
            rest.fill(0);
            rest[..text.len()].copy_from_slice(text);
        }
        true
    }

    /// The longest string that `p` can hold: its first byte counts.
    fn pascal_room(&self) -> usize {
        self.width.saturating_sub(1).min(usize::from(u8::MAX))
    }

    fn put_bool(&self, value: bool, header: &mut [u8]) -> bool {
        self.put_raw(u64::from(value), header);
        true
    }

    fn float(&self, header: &[u8]) -> f64 {
        let raw = self.raw(header);
        match self.width {
            2 => half::to_f64(raw as u16),
            4 => f64::from(f32::from_bits(raw as u32)),
            _ => f64::from_bits(raw),
        }
    }

    fn put_float(&self, value: f64, header: &mut [u8]) -> bool {
        let raw = match self.width {
            2 => half::from_f64(value).map(u64::from),
            4 => {
                let single = value as f32;
                let fits = single.is_finite() || !value.is_finite();
                fits.then(|| u64::from(single.to_bits()))
            }
            _ => Some(value.to_bits()),
        };
        match raw {
            Some(raw) => {
                self.put_raw(raw, header);
                true
            }
            None => false,
        }
    }

    /// The bytes of a number, in the low end.
    #[inline]
    fn raw(&self, header: &[u8]) -> u64 {
        // Patterns of a fixed size each become a single load.
        let raw = match header[self.offset..self.end()] {
            [a] => u64::from(a),
            [a, b] => u16::from_be_bytes([a, b]).into(),
            [a, b, c, d] => u32::from_be_bytes([a, b, c, d]).into(),
            [a, b, c, d, e, f, g, h] => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            ref bytes => bytes
                .iter()
                .fold(0, |raw, &byte| raw << 8 | u64::from(byte)),
        };
        match self.order {
            Order::Big => raw,
            // Rotates the unused high bytes, zeros, out of the low end.
            Order::Little => raw.swap_bytes() >> (64 - 8 * self.width),
        }
    }

    /// Writes the low end of `raw`.
    #[inline]
    fn put_raw(&self, raw: u64, header: &mut [u8]) {
        let room = &mut header[self.offset..self.end()];
        // The bytes in the order of the header, from the front.
        let bytes = match self.order {
            Order::Big => (raw << (64 - 8 * self.width)).to_be_bytes(),
            Order::Little => raw.to_le_bytes(),
        };
        // Copies of a fixed size each become a single store.
        match room.len() {
            8 => room.copy_from_slice(&bytes),
            4 => room.copy_from_slice(&bytes[..4]),
            2 => room.copy_from_slice(&bytes[..2]),
            1 => room.copy_from_slice(&bytes[..1]),
            width => room.copy_from_slice(&bytes[..width]),
        }
    }
}
