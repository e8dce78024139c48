//! A framing over a byte stream: a `Stream` of frames and a `Sink` for them.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker, ready},
};

use bytes::{Buf, Bytes};
use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use futures_util::task::AtomicWaker;
use pin_project::pin_project;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep},
};
use tokio_util::io::{poll_read_buf, poll_write_buf};

use crate::{Error, Framing, Machine, Received, Value, pool};

/// Frames decoded from one read before other tasks get their turn.
const BATCH: u32 = 256;

/// How many frames can arrive before the peer's agreement to one of ours.
const SLOT: usize = 2;

/// The most frames that wait for a stream which nobody polls.
const MOST_WAITING: usize = 256;

/// A framing over one [`AsyncRead`] + [`AsyncWrite`]: a [`Stream`] and a [`Sink`] of frames.
///
/// ```
/// use framing::{Connection, StructHeader};
/// use futures_util::{SinkExt, StreamExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), framing::Error> {
/// let (ours, theirs) = tokio::io::duplex(64);
/// let mut client = Connection::new(ours, StructHeader::default());
/// let mut server = Connection::new(theirs, StructHeader::default());
///
/// client.send("hello".into()).await?;
/// assert_eq!(server.next().await.unwrap()?, "hello");
/// drop(client);
/// assert!(server.next().await.is_none());
/// # Ok(()) }
/// ```
///
/// # Receiving
///
/// The stream ends with `None` after a clean end, and after a final error, which comes once. An
/// error that [is recoverable](crate::FrameError::is_recoverable) is an item like any other.
///
/// # Sending
///
/// `poll_ready` says yes while less than [`high_water`](Self::set_high_water) bytes wait to be
/// written (64 KiB unless set); above that it writes first, and `start_send` without asking is
/// [`Error::NotReady`]. So the most that can wait is that mark and one frame. A frame that cannot
/// be encoded is an error of `start_send` alone; the connection lives. `poll_flush` is done when
/// everything has been handed to the socket; for an interactive framing that includes the peer's
/// agreement. `poll_close` flushes and shuts the write side down; frames can still be received.
///
/// # Interactive framings
///
/// For one whose decoding answers the peer (the [ack-handshake](crate::AckHandshake)), the sink
/// reads and the stream writes too. Frames that arrive while the sink is polled wait for the
/// stream. Each frame sent lets in two at most, and beyond 256 nothing more is read: poll the
/// stream now and then. The two halves may live in two tasks.
///
/// # Cancel safety
///
/// All state is in the connection: a dropped `next`, `send` or `flush` loses nothing. A frame that
/// was accepted by `start_send` is sent by whichever flush comes next, before any later frame.
#[pin_project]
#[derive(Debug)]
pub struct Connection<Io, F> {
    #[pin]
    io: Io,
    machine: Machine<F>,
    /// Sleeps until the framing's deadline; `None` while there is none.
    timer: Option<Pin<Box<Sleep>>>,
    /// Frames that arrived while the sink was polled: `slot.len() <= MOST_WAITING`.
    slot: VecDeque<Bytes>,
    /// How many of them since a frame was last sent: `arrived <= SLOT`.
    arrived: usize,
    /// The end or the error found while the sink was polled, for the stream.
    found: Option<Option<Error>>,
    /// Why nothing more can be sent.
    failed: bool,
    /// Nothing comes out of the stream any more.
    ended: bool,
    high_water: usize,
    /// Frames handed out since the stream was last pending.
    batch: u32,
    /// Of an interactive framing only: both halves, each woken by what the other is waiting for.
    halves: Option<Arc<Halves>>,
}

/// The tasks that poll the two halves of an interactive connection.
#[derive(Debug, Default)]
struct Halves {
    stream: AtomicWaker,
    sink: AtomicWaker,
}

impl Wake for Halves {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.stream.wake();
        self.sink.wake();
    }
}

impl<Io, F: Framing> Connection<Io, F> {
    /// Runs `framing` over `io`.
    pub fn new(io: Io, framing: F) -> Self {
        let halves = framing.is_interactive().then(Arc::default);
        Self {
            io,
            machine: Machine::new(framing),
            timer: None,
            slot: VecDeque::new(),
            arrived: 0,
            found: None,
            failed: false,
            ended: false,
            high_water: 64 * 1024,
            batch: 0,
            halves,
        }
    }

    /// Begins with bytes that were read from `io` before.
    pub fn with_read_bytes(mut self, bytes: &[u8]) -> Self {
        self.machine.receive(bytes);
        self
    }

    /// Sets how many bytes may wait to be written before `poll_ready` writes first; at least 1.
    pub fn set_high_water(&mut self, bytes: usize) {
        self.high_water = bytes.max(1);
    }

    /// The framing.
    pub fn framing(&self) -> &F {
        self.machine.framing()
    }

    /// The framing, to change its limit.
    pub fn framing_mut(&mut self) -> &mut F {
        self.machine.framing_mut()
    }

    /// What the header of the frame last received held beside the length.
    pub fn header(&self) -> Vec<Value> {
        self.machine.framing().header()
    }

    /// What the headers of frames sent from now on hold beside the length.
    pub fn set_header(&mut self, items: &[Value]) -> Result<(), Error> {
        Ok(self.machine.framing_mut().set_header(items)?)
    }

    /// The byte stream.
    pub fn get_ref(&self) -> &Io {
        &self.io
    }

    /// The byte stream. Reading or writing on it breaks the framing.
    pub fn get_mut(&mut self) -> &mut Io {
        &mut self.io
    }

    /// Whether another frame may be sent now.
    fn has_room(&self) -> bool {
        self.machine.framing().is_ready() && self.machine.unsent() < self.high_water
    }

    /// Whether the sink may read, though nobody may be there to take the frames that come.
    ///
    /// While an ack is due it must, whatever waits already, or a user who has several frames to
    /// send before it takes any in would never get to the ack behind them. The framing makes sure
    /// that no more than [`SLOT`] frames come before it.
    fn may_pump(&self) -> bool {
        let ack_due = !self.machine.framing().is_ready();
        self.found.is_none() && self.slot.len() < MOST_WAITING && (ack_due || self.arrived < SLOT)
    }

    /// Whether every frame has gone to the socket, with the peer's agreement.
    fn has_sent_all(&self) -> bool {
        self.machine.unsent() == 0 && self.machine.framing().is_ready()
    }

    /// Takes the connection apart: the byte stream, the framing, and bytes read but not consumed.
    /// Bytes not yet written are lost: flush first.
    pub fn into_parts(self) -> (Io, F, Bytes) {
        let (framing, rest) = self.machine.into_parts();
        (self.io, framing, rest)
    }
}

impl<Io: AsyncRead + AsyncWrite, F: Framing> Connection<Io, F> {
    /// Reads and decodes until there is a frame, an end, an error, or nothing to read.
    ///
    /// `None` is the clean end; it comes again at every call, as a final error does.
    fn poll_receive(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Error>> {
        let mut this = self.project();
        loop {
            match this.machine.next_frame() {
                Ok(Received::Frame(frame)) => return Poll::Ready(Ok(Some(frame))),
                Ok(Received::End) => return Poll::Ready(Ok(None)),
                Ok(Received::Need(_)) => {}
                Err(error) => {
                    if !error.is_recoverable() {
                        // A refusal is worth a try, but the error must not wait for a peer that
                        // does not read.
                        let _ = poll_write_out(this.io.as_mut(), cx, this.machine);
                    }
                    return Poll::Ready(Err(error.into()));
                }
            }
            if this.halves.is_some() && this.machine.unsent() > 0 {
                // Answers go out before we wait for what they bring.
                if let Poll::Ready(result) = poll_write_out(this.io.as_mut(), cx, this.machine) {
                    result?;
                }
            }
            if this.machine.input_mut().is_empty() {
                pool::lend(this.machine.input_mut());
            }
            match poll_read_buf(this.io.as_mut(), cx, this.machine.read_buffer())? {
                Poll::Ready(0) => this.machine.close_input(),
                Poll::Ready(_) => this.machine.set_now(Instant::now().into_std()),
                Poll::Pending => {
                    if this.machine.input_mut().is_empty() {
                        pool::give_back(this.machine.input_mut());
                    }
                    let Some(deadline) = this.machine.deadline() else {
                        *this.timer = None;
                        return Poll::Pending;
                    };
                    let deadline = Instant::from_std(deadline);
                    let timer = this
                        .timer
                        .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
                    if timer.deadline() != deadline {
                        timer.as_mut().reset(deadline);
                    }
                    ready!(timer.as_mut().poll(cx));
                    *this.timer = None;
                    this.machine.set_now(Instant::now().into_std());
                }
            }
        }
    }

    /// Receives on behalf of the sink: what comes waits for the stream.
    ///
    /// Pending while something more may come; ready when no more is to be taken.
    fn poll_pump(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.may_pump() {
            let received = ready!(self.as_mut().poll_receive(cx));
            let this = self.as_mut().project();
            let result = match received {
                Ok(Some(frame)) => {
                    this.slot.push_back(frame);
                    *this.arrived += 1;
                    Ok(())
                }
                Ok(None) => {
                    *this.found = Some(None);
                    Ok(())
                }
                Err(error) => {
                    *this.failed = true;
                    *this.found = Some(Some(copy_of(&error)));
                    Err(error)
                }
            };
            if let Some(halves) = this.halves {
                halves.stream.wake();
            }
            result?;
        }
        Poll::Ready(Ok(()))
    }

    /// Makes progress for the sink until `done`, on the waker that serves both halves.
    fn poll_until(
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
            let written = match poll_write_out(this.io, cx, this.machine) {
                Poll::Ready(Err(error)) => {
                    *this.failed = true;
                    return Poll::Ready(Err(error.into()));
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

    /// The error of a sink whose connection has failed before.
    fn sending_failed(&self) -> Error {
        match &self.found {
            Some(Some(error)) => copy_of(error),
            _ => io::Error::from(io::ErrorKind::BrokenPipe).into(),
        }
    }
}

/// Writes until nothing waits any more.
fn poll_write_out<Io: AsyncWrite, F: Framing>(
    mut io: Pin<&mut Io>,
    cx: &mut Context<'_>,
    machine: &mut Machine<F>,
) -> Poll<io::Result<()>> {
    while machine.outbox().has_remaining() {
        if ready!(poll_write_buf(io.as_mut(), cx, machine.outbox()))? == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
    }
    Poll::Ready(Ok(()))
}

/// The same error for the other half.
fn copy_of(error: &Error) -> Error {
    match error {
        Error::Frame(error) => Error::Frame(error.clone()),
        Error::Io(error) => io::Error::new(error.kind(), error.to_string()).into(),
        Error::NotReady => Error::NotReady,
    }
}

impl<Io: AsyncRead + AsyncWrite, F: Framing> Stream for Connection<Io, F> {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(frame) = self.as_mut().project().slot.pop_front() {
            let arrived = self.as_mut().project().arrived;
            *arrived = arrived.saturating_sub(1);
            if let Some(halves) = &self.halves {
                halves.sink.wake();
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        if self.batch >= BATCH {
            // Frames of one read need no I/O, so nothing else would ever make us yield.
            *self.project().batch = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let received = match self.as_mut().project().found.take() {
            Some(None) => Poll::Ready(Ok(None)),
            Some(Some(error)) => Poll::Ready(Err(error)),
            None => match self.halves.clone() {
                None => self.as_mut().poll_receive(cx),
                Some(halves) => {
                    let before = (self.machine.framing().is_ready(), self.machine.unsent());
                    halves.stream.register(cx.waker());
                    let waker = Waker::from(halves.clone());
                    let received = self.as_mut().poll_receive(&mut Context::from_waker(&waker));
                    if before != (self.machine.framing().is_ready(), self.machine.unsent()) {
                        halves.sink.wake();
                    }
                    received
                }
            },
        };
        let this = self.project();
        let item = match received {
            Poll::Pending => {
                *this.batch = 0;
                return Poll::Pending;
            }
            Poll::Ready(item) => item,
        };
        *this.batch += 1;
        match &item {
            Ok(Some(_)) => {}
            Ok(None) => *this.ended = true,
            Err(Error::Frame(error)) if error.is_recoverable() => {}
            Err(error) => {
                *this.ended = true;
                *this.failed = true;
                // The sink tells why, too.
                *this.found = Some(Some(copy_of(error)));
                if let Some(halves) = this.halves {
                    halves.sink.wake();
                }
            }
        }
        Poll::Ready(item.transpose())
    }
}

impl<Io: AsyncRead + AsyncWrite, F: Framing> FusedStream for Connection<Io, F> {
    fn is_terminated(&self) -> bool {
        self.ended && self.slot.is_empty()
    }
}

impl<Io: AsyncRead + AsyncWrite, F: Framing> Sink<Bytes> for Connection<Io, F> {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if !self.failed && self.has_room() {
            return Poll::Ready(Ok(()));
        }
        self.poll_until(cx, Self::has_room)
    }

    fn start_send(self: Pin<&mut Self>, frame: Bytes) -> Result<(), Error> {
        if self.failed {
            return Err(self.sending_failed());
        }
        if !self.has_room() {
            return Err(Error::NotReady);
        }
        let this = self.project();
        if this.halves.is_some() {
            this.machine.set_now(Instant::now().into_std());
        }
        this.machine.send(frame)?;
        *this.arrived = 0;
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.as_mut().poll_until(cx, Self::has_sent_all))?;
        self.project().io.poll_flush(cx).map_err(Error::from)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.project().io.poll_shutdown(cx).map_err(Error::from)
    }
}
