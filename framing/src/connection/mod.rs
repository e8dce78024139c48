//! A framing over a byte stream: a `Stream` of frames and a `Sink` for them.

mod budget;
mod clock;
mod options;
mod receive;
mod send;
mod slot;
mod visit;

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, ready},
};

use bytes::Bytes;
use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use futures_util::task::AtomicWaker;
use pin_project::pin_project;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Sleep,
};

use self::{budget::Share, clock::Clock, send::Parting, slot::Slot};
use crate::{Error, Framing, Machine, Unread, Value};

pub use self::{budget::Budget, options::ConnectionOptions};

/// Frames decoded from one read before other tasks get their turn.
const BATCH: u32 = 256;

/// How many frames can arrive before the peer's agreement to one of ours.
const SLOT: u32 = 2;

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
/// error that [is recoverable](Error::is_recoverable) is an item like any other.
///
/// [`visit`](Self::visit) lends frames as slices and sends replies, which is the fastest way for
/// a server that needs no frame for longer than a call.
///
/// # Sending
///
/// `poll_ready` says yes while less than [`high_water`](ConnectionOptions::high_water) bytes wait to be
/// written (124 KiB unless set); above that it writes first, and `start_send` without asking is
/// [`Error::NotReady`]. So the most that can wait is that mark and one frame. A frame that cannot
/// be encoded is an error of `start_send` alone; the connection lives. `poll_flush` is done when
/// everything has been handed to the socket; for an interactive framing that includes the peer's
/// agreement. `poll_close` flushes and shuts the write side down; frames can still be received.
/// After a frame that cannot be read none can be, and the peer may be in the middle of writing: then
/// it also throws away what still comes, until the peer closes, for a second and a mebibyte at
/// most. A socket that is dropped while its peer writes is reset, and that takes answers with it
/// that were sent before.
///
/// A frame that cannot be read, or is cut off, ends the stream and not the sink: what came before
/// it can still be answered. After a failure of the socket, a time limit, and any error of an
/// interactive framing, the sink fails with the same error.
///
/// # What it holds
///
/// At most one frame that is not whole yet and one read of 64 KiB, or half as much again where a
/// frame grows; the high-water mark and one frame to be written; nothing while it is idle. Who sends
/// much at once, or frames of 64 to 384 KiB, has a buffer of 384 KiB instead until no more than 16 KiB wait
/// in it; each thread keeps up to eight of those for whoever comes next. Memory grows with what has
/// arrived, not with what was announced. [`ConnectionOptions`] has limits in
/// time, and for many connections together.
///
/// A frame of more than 256 bytes is a part of the buffer that it came in, which lives for as long as the
/// frame does: keep a copy of what you keep for long. Where frames that are kept hold buffers of more than
/// sixteen times their size, those of up to 16 KiB that come later are copied. A buffer that had to grow for a
/// frame of more than 384 KiB is not kept by others: up to a sixteenth of its size they are copied out of it.
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
pub struct Connection<Io, F> {
    #[pin]
    io: Io,
    machine: Machine<F>,
    /// Sleeps until the earliest time limit of those who wait to read, or until one that has been put
    /// off since.
    timer: Option<Pin<Box<Sleep>>>,
    /// Frames that arrived while the sink was polled: `slot.len() <= MOST_WAITING`.
    slot: Slot,
    /// How many of them since a frame was last sent: `arrived <= SLOT`.
    arrived: u32,
    /// The end or the error found while the sink was polled, for the stream.
    found: Option<Option<Error>>,
    /// Nothing more can be sent.
    failed: bool,
    /// Why the answers of an interactive framing cannot be written. What can still be read comes
    /// first: a peer may answer and leave.
    unwritten: Option<Error>,
    /// Nothing comes out of the stream any more.
    ended: bool,
    /// The stream ended with a frame that cannot be read, so the peer may be writing still.
    unreadable: bool,
    /// A close that waits for such a peer.
    parting: Option<Box<Parting>>,
    high_water: usize,
    /// Frames handed out since the stream was last pending.
    batch: u32,
    /// Of an interactive framing only: both halves, each woken by what the other is waiting for.
    halves: Option<Arc<Halves>>,
    /// Only where there are limits in time.
    clock: Option<Box<Clock>>,
    /// Only where there is a budget.
    share: Option<Share>,
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
            slot: Slot::default(),
            arrived: 0,
            found: None,
            failed: false,
            unwritten: None,
            ended: false,
            unreadable: false,
            parting: None,
            high_water: ConnectionOptions::default().high_water,
            batch: 0,
            halves,
            clock: None,
            share: None,
        }
    }

    /// Sets the limits beside those of the framing.
    pub fn with_options(mut self, options: ConnectionOptions) -> Self {
        self.high_water = options.high_water;
        self.share = options.budget.as_ref().map(Budget::share);
        self.clock = Clock::new(&options).map(Box::new);
        self.settle();
        self
    }

    /// Begins with bytes that were read from `io` before.
    pub fn with_read_bytes(mut self, bytes: &[u8]) -> Self {
        self.machine.receive(bytes);
        self.settle();
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

    /// Puts another framing in the place of this one, from the next byte on; see [`Unread`] for
    /// those that have been read already, and [`Machine::change_framing`].
    ///
    /// Flush first, as what the old framing still keeps (a frame whose agreement is owed) goes
    /// with it; bytes that only wait for the socket are still written. With an interactive framing,
    /// whose sink reads, too, what the peer sends behind its change may have been taken for frames of
    /// the old one by then: there the change has to be agreed to first. A connection that has
    /// failed stays failed. With [`Unread::Discard`] frames that wait for the stream are dropped,
    /// too.
    ///
    /// ```
    /// use framing::{Connection, Lines, StructHeader, Unread};
    /// use futures_util::{SinkExt, StreamExt};
    /// use tokio::io::AsyncWriteExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), framing::Error> {
    /// let (ours, mut theirs) = tokio::io::duplex(64);
    /// theirs.write_all(b"UPGRADE\n\0\0\0\x02hi").await?;
    ///
    /// let mut lines = Connection::new(ours, Lines::new()?);
    /// assert_eq!(lines.next().await.unwrap()?, "UPGRADE");
    /// let mut frames = lines.change_framing(StructHeader::default(), Unread::CarryOn);
    /// assert_eq!(frames.next().await.unwrap()?, "hi");
    /// # Ok(()) }
    /// ```
    pub fn change_framing<G: Framing>(self, framing: G, unread: Unread) -> Connection<Io, G> {
        let halves = framing
            .is_interactive()
            .then(|| self.halves.unwrap_or_default());
        let (machine, _) = self.machine.change_framing(framing, unread);
        let mut changed = Connection {
            io: self.io,
            machine,
            timer: None,
            slot: self.slot,
            arrived: 0,
            found: self.found,
            failed: self.failed,
            unwritten: self.unwritten,
            ended: self.ended,
            unreadable: self.unreadable,
            parting: self.parting,
            high_water: self.high_water,
            batch: self.batch,
            halves,
            clock: self.clock,
            share: self.share,
        };
        changed.settle_unread(unread);
        changed
    }

    /// The same in place, for a framing of the same type, such as a
    /// [`BoxFraming`](crate::BoxFraming); gives the old one back.
    pub fn replace_framing(&mut self, framing: F, unread: Unread) -> F {
        self.halves = framing
            .is_interactive()
            .then(|| self.halves.take().unwrap_or_default());
        self.timer = None;
        self.arrived = 0;
        let old = self.machine.replace_framing(framing, unread);
        self.settle_unread(unread);
        old
    }

    fn settle_unread(&mut self, unread: Unread) {
        if unread == Unread::Discard {
            self.slot.clear();
        }
        self.settle();
    }

    /// Whether another frame may be sent now.
    fn has_room(&self) -> bool {
        self.machine.framing().is_ready() && self.machine.unsent() < self.high_water
    }

    /// Whether every frame has gone to the socket, with the peer's agreement.
    fn has_sent_all(&self) -> bool {
        self.machine.unsent() == 0 && self.machine.framing().is_ready()
    }

    fn settle(&mut self) {
        settle(&mut self.share, &self.machine, &self.slot);
    }

    fn settle_pinned(self: Pin<&mut Self>) {
        let this = self.project();
        settle(this.share, this.machine, this.slot);
    }

    /// Takes the connection apart: the byte stream, the framing, and bytes read but not consumed.
    /// Bytes not yet written are lost: flush first.
    pub fn into_parts(self) -> (Io, F, Bytes) {
        let (framing, rest) = self.machine.into_parts();
        (self.io, framing, rest)
    }
}

impl<Io: fmt::Debug, F: fmt::Debug> fmt::Debug for Connection<Io, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("io", &self.io)
            .field("machine", &self.machine)
            .field("waiting", &self.slot.len())
            .field("failed", &self.failed)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// Tells the budget what is held now.
#[inline]
fn settle<F: Framing>(share: &mut Option<Share>, machine: &Machine<F>, slot: &Slot) {
    if let Some(share) = share {
        let held = machine.unread() + machine.unsent() + slot.bytes();
        share.hold(held, is_owed(machine));
    }
}

/// Whether the peer owes the rest of a frame, or its agreement to one of ours.
fn is_owed<F: Framing>(machine: &Machine<F>) -> bool {
    machine.is_mid_frame() || !machine.framing().is_ready()
}

impl<Io: AsyncRead + AsyncWrite, F: Framing> Stream for Connection<Io, F> {
    type Item = Result<Bytes, Error>;

    #[inline(always)]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_item(cx)
    }
}

impl<Io: AsyncRead + AsyncWrite, F: Framing> FusedStream for Connection<Io, F> {
    fn is_terminated(&self) -> bool {
        self.ended && self.slot.is_empty()
    }
}

impl<Io: AsyncRead + AsyncWrite, F: Framing> Sink<Bytes> for Connection<Io, F> {
    type Error = Error;

    #[inline(always)]
    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if !self.failed && self.has_room() {
            return Poll::Ready(Ok(()));
        }
        let ready = self.as_mut().poll_until(cx, Self::has_room);
        self.settle_pinned();
        ready
    }

    #[inline(always)]
    fn start_send(self: Pin<&mut Self>, frame: Bytes) -> Result<(), Error> {
        self.start(|machine| machine.send(frame))
    }

    #[inline(always)]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let sent = self.as_mut().poll_until(cx, Self::has_sent_all);
        self.as_mut().settle_pinned();
        ready!(sent)?;
        let this = self.project();
        this.machine.outbox().rest();
        this.io.poll_flush(cx).map_err(Error::from)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.as_mut().poll_flush(cx))?;
        ready!(self.as_mut().project().io.poll_shutdown(cx))?;
        if self.unreadable {
            ready!(self.poll_part(cx));
        }
        Poll::Ready(Ok(()))
    }
}
