//! From frames to the socket.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};
use tokio_util::io::poll_write_buf;

use super::{Connection, clock::Clock};
use crate::{Error, FrameError, Framing, Machine};

/// How long a close waits for a peer whose frames cannot be read to stop writing, and how much of
/// what it writes is thrown away: somebody who never stops is not listened to.
const PARTING: Duration = Duration::from_secs(1);
const PARTING_BYTES: usize = 1024 * 1024;

/// A close that waits for the peer of a stream that cannot be read.
#[derive(Debug)]
pub(super) struct Parting {
    /// Until when.
    limit: Pin<Box<Sleep>>,
    /// How many of its bytes were thrown away.
    thrown: usize,
}

impl<Io: AsyncRead + AsyncWrite, F: Framing> Connection<Io, F> {
    /// As [`start_send`](futures_sink::Sink::start_send), for a frame in two pieces, `prefix` and
    /// behind it `rest`: a large `rest` is [not copied](Framing::encode_prefixed) where the framing
    /// can do without.
    ///
    /// ```
    /// use std::pin::Pin;
    ///
    /// use framing::{Connection, StructHeader};
    /// use futures_util::SinkExt;
    /// use tokio::io::AsyncReadExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), framing::Error> {
    /// let (ours, mut theirs) = tokio::io::duplex(64);
    /// let mut frames = Connection::new(ours, StructHeader::default());
    /// Pin::new(&mut frames).start_send_prefixed(b"d", "hello".into())?;
    /// frames.close().await?;
    /// let mut written = Vec::new();
    /// theirs.read_to_end(&mut written).await?;
    /// assert_eq!(written, b"\0\0\0\x06dhello");
    /// # Ok(()) }
    /// ```
    pub fn start_send_prefixed(
        self: Pin<&mut Self>,
        prefix: &[u8],
        rest: Bytes,
    ) -> Result<(), Error> {
        self.start(|machine| machine.send_prefixed(prefix, rest))
    }

    /// Hands a frame over, which `write` appends to the outbox.
    #[inline(always)]
    pub(super) fn start(
        mut self: Pin<&mut Self>,
        write: impl FnOnce(&mut Machine<F>) -> Result<(), FrameError>,
    ) -> Result<(), Error> {
        if self.failed {
            return Err(self.sending_failed());
        }
        if !self.has_room() {
            return Err(Error::NotReady);
        }
        let this = self.as_mut().project();
        write(this.machine)?;
        *this.arrived = 0;
        if let Some(clock) = this.clock {
            clock.sent();
        }
        self.settle_pinned();
        Ok(())
    }

    /// Makes progress for the sink until `done`, on the waker that serves both halves.
    #[inline(always)]
    pub(super) fn poll_until(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        done: impl Fn(&Self) -> bool,
    ) -> Poll<Result<(), Error>> {
        match self.halves.clone() {
            None => self.poll_sink(cx, done),
            Some(halves) => {
                halves.sink.register(cx.waker());
                let waker = Waker::from(halves);
                self.poll_sink(&mut Context::from_waker(&waker), done)
            }
        }
    }

    /// Writes what waits, and reads what an interactive framing waits for.
    #[inline(always)]
    fn poll_sink(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        done: impl Fn(&Self) -> bool,
    ) -> Poll<Result<(), Error>> {
        loop {
            if self.failed {
                return Poll::Ready(Err(self.sending_failed()));
            }
            let this = self.as_mut().project();
            let written = match poll_write_out(this.io, cx, this.machine, this.clock) {
                Poll::Ready(Err(error)) => {
                    *this.failed = true;
                    return Poll::Ready(Err(error));
                }
                written => written.is_ready(),
            };
            if done(&self) {
                return Poll::Ready(Ok(()));
            }
            if self.halves.is_some() {
                let room = self.may_pump();
                let received = self.as_mut().poll_pump(cx)?.is_ready();
                if done(&self) {
                    return Poll::Ready(Ok(()));
                }
                // Something has arrived, or reading has brought bytes to write: go on.
                if received && room || written && self.machine.unsent() > 0 {
                    continue;
                }
            }
            return Poll::Pending;
        }
    }

    /// Waits until the peer of a stream that cannot be read any more has closed, or for
    /// [`PARTING`], and throws away the first [`PARTING_BYTES`] of what it still sends.
    pub(super) fn poll_part(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let parting = this.parting.get_or_insert_with(|| {
            Box::new(Parting {
                limit: Box::pin(tokio::time::sleep(PARTING)),
                thrown: 0,
            })
        });
        let mut unread = [0; 4096];
        while parting.thrown < PARTING_BYTES && parting.limit.as_mut().poll(cx).is_pending() {
            let mut unread = ReadBuf::new(&mut unread);
            match ready!(this.io.as_mut().poll_read(cx, &mut unread)) {
                Ok(()) if !unread.filled().is_empty() => parting.thrown += unread.filled().len(),
                // It has closed its side, or the connection is gone.
                _ => break,
            }
        }
        Poll::Ready(())
    }

    /// The error of a sink whose connection has failed before.
    pub(super) fn sending_failed(&self) -> Error {
        match (&self.found, &self.unwritten) {
            (Some(Some(error)), _) | (_, Some(error)) => error.copy(),
            _ => io::Error::from(io::ErrorKind::BrokenPipe).into(),
        }
    }
}

/// Writes until nothing waits any more.
///
/// Part of its callers, and [`poll_flush`](futures_sink::Sink::poll_flush) of its own: each call between a
/// task and the kernel costs a wake 10 to 25 ns behind the kernel's work.
#[inline(always)]
pub(super) fn poll_write_out<Io: AsyncWrite, F: Framing>(
    mut io: Pin<&mut Io>,
    cx: &mut Context<'_>,
    machine: &mut Machine<F>,
    clock: &mut Option<Box<Clock>>,
) -> Poll<Result<(), Error>> {
    while machine.outbox().has_remaining() {
        let out = machine.outbox();
        let written = if out.is_one_piece() {
            // A vectored write takes a longer way through the kernel: a tenth of a small answer.
            let written = io.as_mut().poll_write(cx, out.chunk());
            if let Poll::Ready(Ok(count)) = written {
                out.advance(count);
            }
            written
        } else {
            poll_write_buf(io.as_mut(), cx, out)
        };
        match written? {
            Poll::Ready(0) => {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
            }
            Poll::Ready(_) => {
                if let Some(clock) = clock {
                    clock.wrote();
                }
            }
            Poll::Pending => {
                let Some(clock) = clock else {
                    return Poll::Pending;
                };
                let error = ready!(clock.poll_stalled(cx));
                return Poll::Ready(Err(error));
            }
        }
    }
    Poll::Ready(Ok(()))
}
