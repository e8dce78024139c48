//! A byte stream whose reads and writes are noted on a tape, and whose reads are kept small.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::tape::{Call, Side, Tape};

/// A byte stream of one side that is recorded.
///
/// Attempts that would have had to wait are not calls: a `recv` is noted once, when bytes or the end
/// have come, with the time since it was first tried.
#[derive(Debug)]
pub(super) struct Recorded<Io> {
    io: Io,
    side: Side,
    tape: Arc<Tape>,
    /// No read takes more.
    read_size: usize,
    /// When the call that still waits was first tried.
    reading: Option<Duration>,
    writing: Option<Duration>,
}

impl<Io> Recorded<Io> {
    pub(super) fn new(io: Io, side: Side, tape: Arc<Tape>, read_size: usize) -> Self {
        Self {
            io,
            side,
            tape,
            read_size,
            reading: None,
            writing: None,
        }
    }

    /// The byte stream itself.
    pub(super) fn get_ref(&self) -> &Io {
        &self.io
    }

    fn wrote(&mut self, began: Duration, slices: &[IoSlice<'_>], written: usize) {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        let asked = all.len();
        let bytes = Bytes::from(all).slice(..written.min(asked));
        self.writing = None;
        self.tape.note(self.side, Call::Send, asked, began, bytes);
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Recorded<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let began = *this.reading.get_or_insert_with(|| this.tape.now());
        let asked = this.read_size.min(buffer.remaining());
        // Read beside and copied: a part of a buffer that may be uninitialized cannot be lent
        // without `unsafe`, and these reads need not be fast.
        let mut part = vec![0; asked];
        let mut part = ReadBuf::new(&mut part);
        ready!(Pin::new(&mut this.io).poll_read(cx, &mut part))?;
        buffer.put_slice(part.filled());
        let bytes = Bytes::copy_from_slice(part.filled());
        this.reading = None;
        this.tape.note(this.side, Call::Recv, asked, began, bytes);
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Recorded<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let began = *this.writing.get_or_insert_with(|| this.tape.now());
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, bytes))?;
        this.wrote(began, &[IoSlice::new(bytes)], written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let began = *this.writing.get_or_insert_with(|| this.tape.now());
        let written = ready!(Pin::new(&mut this.io).poll_write_vectored(cx, slices))?;
        this.wrote(began, slices, written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let began = self.tape.now();
        ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        let (side, tape) = (self.side, &self.tape);
        tape.note(side, Call::Close, 0, began, Bytes::new());
        Poll::Ready(Ok(()))
    }
}
