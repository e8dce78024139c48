//! Bytes as hexadecimal digits and back.

use std::fmt;

/// Appends two digits for each byte.
pub(super) fn write(bytes: &[u8], text: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.reserve(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// The same as a string.
pub(super) fn string(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    write(bytes, &mut text);
    text.into_iter().map(char::from).collect()
}

/// Why a text is not hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HexError {
    /// This byte, counted from 1, is no digit.
    Digit(usize),
    /// The number of digits is odd.
    Odd,
}

impl fmt::Display for HexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digit(column) => write!(
                f,
                "column {column} is no hexadecimal digit; 0 to 9 and a to f are, and nothing between them"
            ),
            Self::Odd => f.write_str("the number of hexadecimal digits is odd; two make a byte"),
        }
    }
}

/// Reads digits of either case, with nothing between them.
pub(super) fn read(text: &[u8]) -> Result<Vec<u8>, HexError> {
    let digit = |at: usize| match text[at] {
        byte @ b'0'..=b'9' => Ok(byte - b'0'),
        byte @ b'a'..=b'f' => Ok(byte - b'a' + 10),
        byte @ b'A'..=b'F' => Ok(byte - b'A' + 10),
        _ => Err(HexError::Digit(at + 1)),
    };
    let bytes = (0..text.len() / 2)
        .map(|pair| Ok(digit(2 * pair)? << 4 | digit(2 * pair + 1)?))
        .collect::<Result<_, _>>()?;
    if text.len() % 2 == 1 {
        digit(text.len() - 1)?;
        return Err(HexError::Odd);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_goes_there_and_back() {
        let all: Vec<u8> = (0..=255).collect();
        let text = string(&all);
        assert_eq!(read(text.as_bytes()), Ok(all.clone()));
        assert_eq!(read(text.to_uppercase().as_bytes()), Ok(all));
        assert_eq!(read(b""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_hex_is_named() {
        assert_eq!(read(b"0"), Err(HexError::Odd));
        assert_eq!(read(b"00 1"), Err(HexError::Digit(3)));
        assert_eq!(read(b"0g"), Err(HexError::Digit(2)));
        assert_eq!(read(b"00x"), Err(HexError::Digit(3)));
        assert_eq!(read("é".as_bytes()), Err(HexError::Digit(1)));
    }
}
