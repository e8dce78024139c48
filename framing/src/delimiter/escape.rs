//! Protects a mark inside a payload by a byte in front of it.
//!
//! The escape byte makes the byte behind it an ordinary one, whatever it is. We write it in front
//! of itself and of every byte that a mark begins with.

use std::ops::Range;

use super::marks::{Marks, Start};

/// The escape byte, and how far the search for an unprotected mark has come.
#[derive(Clone, Debug)]
pub(super) struct Escape {
    byte: u8,
    /// What must be protected: the escape byte, then each mark's first byte.
    special: Vec<u8>,
    /// Bytes of the input known to hold no unprotected mark.
    scanned: usize,
    /// Escape bytes among them, which are not part of the payload.
    removed: usize,
}

impl Escape {
    pub(super) fn new(byte: u8, marks: &Marks) -> Self {
        let mut special = vec![byte];
        for mark in marks.iter() {
            if !special.contains(&mark[0]) {
                special.push(mark[0]);
            }
        }
        Self {
            byte,
            special,
            scanned: 0,
            removed: 0,
        }
    }

    /// Looks for the mark that ends the frame.
    pub(super) fn find(&mut self, input: &[u8], marks: &Marks) -> Option<Range<usize>> {
        while let Some(step) = self.next_special(&input[self.scanned..]) {
            let at = self.scanned + step;
            self.scanned = at;
            if input[at] == self.byte {
                if at + 1 == input.len() {
                    return None;
                }
                self.scanned += 2;
                self.removed += 1;
                continue;
            }
            match marks.at_start(&input[at..]) {
                Start::Mark(length) => return Some(at..at + length),
                Start::Begun => return None,
                Start::Other => self.scanned += 1,
            }
        }
        self.scanned = input.len();
        None
    }

    /// How many bytes of payload have been seen for certain.
    pub(super) fn seen(&self) -> usize {
        self.scanned - self.removed
    }

    /// How many bytes of the input have been looked at for good.
    pub(super) fn scanned(&self) -> usize {
        self.scanned
    }

    /// Whether the last byte is an escape with nothing behind it.
    pub(super) fn dangles(&self, input: &[u8]) -> bool {
        input.get(self.scanned) == Some(&self.byte)
    }

    /// Begins a new frame.
    pub(super) fn restart(&mut self) {
        self.scanned = 0;
        self.removed = 0;
    }

    /// Takes the escape bytes out of a complete payload in place; returns its new length.
    pub(super) fn unescape(&self, payload: &mut [u8]) -> usize {
        if self.removed == 0 {
            return payload.len();
        }
        let (mut read, mut write) = (0, 0);
        while let Some(step) = memchr::memchr(self.byte, &payload[read..]) {
            payload.copy_within(read..read + step, write);
            write += step;
            // The protected byte itself may be an escape, so it is moved here.
            payload[write] = payload[read + step + 1];
            write += 1;
            read += step + 2;
        }
        let rest = payload.len() - read;
        payload.copy_within(read.., write);
        write + rest
    }

    /// Appends `payload` with its special bytes protected.
    pub(super) fn escape(&self, payload: &[u8], to: &mut Vec<u8>) {
        to.reserve(payload.len());
        let mut rest = payload;
        while let Some(at) = self.next_special(rest) {
            to.extend_from_slice(&rest[..at]);
            to.extend_from_slice(&[self.byte, rest[at]]);
            rest = &rest[at + 1..];
        }
        to.extend_from_slice(rest);
    }

    fn next_special(&self, bytes: &[u8]) -> Option<usize> {
        match self.special[..] {
            [a] => memchr::memchr(a, bytes),
            [a, b] => memchr::memchr2(a, b, bytes),
            [a, b, c] => memchr::memchr3(a, b, c, bytes),
            _ => bytes.iter().position(|byte| self.special.contains(byte)),
        }
    }
}
