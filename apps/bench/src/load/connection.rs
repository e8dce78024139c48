//! One connection of the load generator, and how far it is with its batch.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::requests::Batch;

pub(super) struct Connection<'a> {
    stream: TcpStream,
    batch: &'a Batch,
    started: Instant,
    written: usize,
    read: usize,
    /// Whether the last read left room in the buffer.
    short: bool,
}

impl<'a> Connection<'a> {
    pub(super) fn new(stream: TcpStream, batch: &'a Batch) -> Self {
        Self {
            stream,
            batch,
            started: Instant::now(),
            written: 0,
            read: 0,
            short: false,
        }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Starts a batch.
    pub(super) fn begin(&mut self) {
        self.started = Instant::now();
        self.written = 0;
        self.read = 0;
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Writes what is left of the batch; true once nothing is.
    pub(super) fn write(&mut self) -> io::Result<bool> {
        let rest = &self.batch.bytes[self.written..];
        if !rest.is_empty() {
            self.written += self.stream.write(rest)?;
        }
        Ok(self.written == self.batch.bytes.len())
    }

    /// Reads once; how many answers became complete.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<u64> {
        let count = self.stream.read(buffer)?;
        if count == 0 {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the server has closed",
            ));
        }
        self.short = count < buffer.len();
        let before = self.read / self.batch.answer;
        self.read += count;
        if self.read > self.expected() {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "more than was asked for",
            ));
        }
        Ok((self.read / self.batch.answer - before) as u64)
    }

    pub(super) fn was_short(&self) -> bool {
        self.short
    }

    pub(super) fn is_answered(&self) -> bool {
        self.read == self.expected()
    }

    fn expected(&self) -> usize {
        self.batch.answer * self.batch.depth
    }
}
