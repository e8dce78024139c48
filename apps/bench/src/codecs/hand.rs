//! The decoders that one would write by hand: the limits.

use std::hint::black_box;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use super::decode::Decode;

/// A `u32` length, then so many bytes: the frame's place, once it is whole.
fn whole(input: &[u8]) -> Option<usize> {
    let header = input.first_chunk()?;
    let end = 4 + u32::from_be_bytes(*header) as usize;
    (input.len() >= end).then_some(end)
}

/// Frames split off the buffer.
#[derive(Default)]
pub(super) struct Split(BytesMut);

impl Decode for Split {
    fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn drain(&mut self) -> usize {
        let mut frames = 0;
        while let Some(end) = whole(&self.0) {
            self.0.advance(4);
            black_box(self.0.split_to(end - 4).freeze());
            frames += 1;
        }
        frames
    }
}

/// The same, with small frames copied.
#[derive(Default)]
pub(super) struct Copied(BytesMut);

impl Decode for Copied {
    fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn drain(&mut self) -> usize {
        let mut frames = 0;
        while let Some(end) = whole(&self.0) {
            if end - 4 <= 256 {
                black_box(Bytes::copy_from_slice(&self.0[4..end]));
                self.0.advance(end);
            } else {
                self.0.advance(4);
                black_box(self.0.split_to(end - 4).freeze());
            }
            frames += 1;
        }
        frames
    }
}

/// Frames where they stand.
#[derive(Default)]
pub(super) struct Slices(Vec<u8>);

impl Decode for Slices {
    fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn drain(&mut self) -> usize {
        let (mut frames, mut at) = (0, 0);
        while let Some(end) = whole(&self.0[at..]) {
            black_box(&self.0[at + 4..at + end]);
            at += end;
            frames += 1;
        }
        self.0.drain(..at);
        frames
    }
}

/// Frames up to a line feed.
#[derive(Default)]
pub(super) struct Memchr {
    buffer: BytesMut,
    /// So many bytes hold none.
    searched: usize,
}

impl Memchr {
    fn next(&mut self) -> Option<Bytes> {
        match memchr(b'\n', &self.buffer[self.searched..]) {
            Some(place) => {
                let frame = self.buffer.split_to(self.searched + place).freeze();
                self.buffer.advance(1);
                self.searched = 0;
                Some(frame)
            }
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }
}

impl Decode for Memchr {
    fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn drain(&mut self) -> usize {
        let mut frames = 0;
        while let Some(frame) = self.next() {
            black_box(frame);
            frames += 1;
        }
        frames
    }
}

/// The same, and each is text.
#[derive(Default)]
pub(super) struct Text(Memchr);

impl Decode for Text {
    fn feed(&mut self, bytes: &[u8]) {
        self.0.feed(bytes);
    }

    fn drain(&mut self) -> usize {
        let mut frames = 0;
        while let Some(frame) = self.0.next() {
            if std::str::from_utf8(&frame).is_err() {
                break;
            }
            black_box(frame);
            frames += 1;
        }
        frames
    }
}
