//! Lines of bytes, one at a time, none longer than a limit.

use std::io::{self, BufRead, Read};

/// Reads lines; the line feed, and a carriage return in front of it, are not part of them.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    /// How many lines have been read.
    number: u64,
    most: usize,
}

/// Why there is no line.
#[derive(Debug)]
pub(crate) enum LineError {
    /// It is over the limit; what follows is its rest.
    TooLong,
    Io(io::Error),
}

impl<R: BufRead> Lines<R> {
    /// Lines of at most `most` bytes.
    pub(crate) fn new(reader: R, most: usize) -> Self {
        Self {
            reader,
            line: Vec::new(),
            number: 0,
            most,
        }
    }

    /// The next line; at the end, none.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, LineError> {
        self.line.clear();
        self.number += 1;
        let most = (self.most as u64).saturating_add(2);
        let read = self
            .reader
            .by_ref()
            .take(most)
            .read_until(b'\n', &mut self.line)
            .map_err(LineError::Io)?;
        if read == 0 {
            return Ok(None);
        }
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > self.most {
            return Err(LineError::TooLong);
        }
        Ok(Some(line))
    }

    /// What the lines are read from.
    pub(crate) fn reader(&self) -> &R {
        &self.reader
    }

    /// The number of the line last read, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_lines_are_no_part_of_them() {
        let mut lines = Lines::new(&b"a\r\n\nbc"[..], 2);
        assert_eq!(lines.next().unwrap(), Some(&b"a"[..]));
        assert_eq!(lines.next().unwrap(), Some(&b""[..]));
        assert_eq!(lines.next().unwrap(), Some(&b"bc"[..]));
        assert_eq!(lines.number(), 3);
        assert_eq!(lines.next().unwrap(), None);
    }

    #[test]
    fn an_endless_line_is_not_read_to_its_end() {
        let mut lines = Lines::new(io::BufReader::new(io::repeat(b'a')), 1000);
        assert!(matches!(lines.next(), Err(LineError::TooLong)));
        assert!(lines.line.len() <= 1002);
    }
}
