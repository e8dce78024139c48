//! Reads and writes lengths in decimal digits.

use crate::{FrameError, Outbox};

/// More digits than this exceed every length a machine can address.
const MAX_DIGITS: usize = 20;

/// How many digits `input` begins with: at most [`MAX_DIGITS`], and no zero in front of others.
pub(crate) fn digits(input: &[u8], limit: usize) -> Result<usize, FrameError> {
    let digits = input
        .iter()
        .take(MAX_DIGITS + 1)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if digits > 1 && input.first() == Some(&b'0') {
        return Err(FrameError::malformed("a length with a leading zero"));
    }
    if digits > MAX_DIGITS {
        return Err(FrameError::too_long(number(&input[..digits]), limit));
    }
    Ok(digits)
}

/// The value of up to 21 digits.
pub(crate) fn number(digits: &[u8]) -> u128 {
    digits
        .iter()
        .fold(0, |value, digit| value * 10 + u128::from(digit - b'0'))
}

/// Writes a length.
pub(crate) fn put(mut length: usize, out: &mut Outbox) {
    let mut digits = [0; MAX_DIGITS];
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (length % 10) as u8;
        length /= 10;
        start -= 1;
        if length == 0 {
            break;
        }
    }
    out.put_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_people_write_them() {
        let tens = (0..20).filter_map(|power| 10_usize.checked_pow(power));
        for ten in tens.chain([usize::MAX]) {
            for length in [ten - 1, ten] {
                let mut out = Outbox::new();
                put(length, &mut out);
                let written = out.take_bytes();
                assert_eq!(written, length.to_string());
                assert_eq!(digits(&written, 0), Ok(written.len()));
                assert_eq!(number(&written), length as u128);
            }
        }
    }
}
