//! Carries frames over UDP and Unix datagrams, one in each.
//!
//! [`Datagrams`] is a stream and a sink of frames with their addresses; [`serve_datagrams`] serves
//! them with the same tower services as [`serve`](crate::serve::serve), a service for each peer.
//!
//! ```text
//!  socket ─▶ datagram ─▶ fresh framing ─▶ frame ─▶ the peer's session ─▶ Service<Bytes>
//!  socket ◀─ datagram ◀─ fresh framing ◀────────────────────────────────── response
//! ```

mod counters;
mod error;
mod exchange;
mod packing;
mod serve;
mod sessions;
mod socket;
mod spawner;

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use rustix::io::Errno;
use tokio::{
    io::ReadBuf,
    time::{Sleep, sleep},
};

use self::packing::{Packing, Unpacking};
use crate::{
    FrameError, Framing, Value,
    serve::{Address, MakeFraming},
};

pub use counters::Counters;
pub use error::DatagramError;
pub use serve::{ServeDatagrams, serve_datagrams};
pub use socket::DatagramSocket;

const LARGEST_BUFFER: usize = 16 * 1024 * 1024;
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A framing over a socket of datagrams: a [`Stream`] and a [`Sink`] of frames and addresses, one
/// frame a datagram.
///
/// ```text
///  struct-header, frame "hi"     datagram  00 00 00 02 h i
///  raw,           frame "hi"     datagram  h i
/// ```
///
/// ```
/// use framing::{StructHeader, datagram::{DatagramSocket, Datagrams}};
/// use futures_util::{SinkExt, StreamExt};
/// use tokio::net::UdpSocket;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = UdpSocket::bind("127.0.0.1:0").await?;
/// let client = UdpSocket::bind("127.0.0.1:0").await?;
/// client.connect(server.local_addr()?).await?;
/// let mut server = Datagrams::new(server, StructHeader::default())?;
/// let mut client = Datagrams::new(client, StructHeader::default())?;
///
/// let to = client.get_ref().peer_addr()?;
/// client.send(("hello".into(), framing::serve::Address::Udp(to))).await?;
/// let (frame, from) = server.next().await.unwrap()?;
/// assert_eq!(frame, "hello");
/// server.send((frame, from)).await?;
/// assert_eq!(client.next().await.unwrap()?.0, "hello");
/// # Ok(()) }
/// ```
///
/// # Receiving
///
/// Each datagram is decoded by a framing made for it alone, whose stream begins and ends with the
/// datagram: nothing of it reaches the next one, which may be a stranger's. The codec of tokio-util's
/// `UdpFramed` is one for all of them, and gives the end of one peer's frame to another.
///
/// A datagram is one frame, or one error ([`DatagramError`]): cut off, malformed, or with more
/// behind its frame than the framing passes over. With [`several`](Self::several) it may hold more
/// frames. An empty datagram holds no frame and is an error too, but for a framing that
/// [keeps no boundaries](Framing::keeps_boundaries): over [`Raw`](crate::Raw) the datagram *is* the
/// frame, of any size, none included.
///
/// No error ends the stream, and neither does anything else: it never gives `None`. So take care
/// with combinators that stop at the first error. A socket that fails again and again is asked in
/// growing intervals of up to a second.
///
/// # Sending
///
/// The sink takes a frame and its receiver; on a connected socket that is the peer. A frame that
/// cannot be carried, or does not fit one datagram (65 507 bytes over IPv4, 65 527 over IPv6, for
/// Unix sockets what the system allows), is refused and nothing is sent. What the system refuses
/// is an error of the flush, and that datagram's alone: the sink lives. That a datagram was sent
/// says nothing of its arrival.
///
/// # Cancel safety
///
/// All state is in this value: a dropped `next`, `send` or `flush` loses nothing.
pub struct Datagrams<S, F: MakeFraming> {
    socket: S,
    packing: Packing<F>,
    receiving: Receiving<F>,
    sending: Sending,
}

impl<S: DatagramSocket, F: MakeFraming> Datagrams<S, F> {
    /// Runs `framing` over `socket`.
    ///
    /// A clone of it, or one that a [`FramingFactory`](crate::FramingFactory) makes, reads and
    /// writes each datagram. One that is [interactive](Framing::is_interactive) is refused: it
    /// waits for an answer to each frame, and a datagram may be lost.
    pub fn new(socket: S, framing: F) -> Result<Self, FrameError> {
        let packing = Packing::new(framing)?;
        let receiving = Receiving::new(socket.largest_received());
        let sending = Sending {
            peer: socket.peer_addr(),
            waiting: None,
        };
        Ok(Self {
            socket,
            packing,
            receiving,
            sending,
        })
    }

    /// Sets whether a datagram may hold several frames (`false`). They come out one by one, and
    /// what is wrong with one of them does not take back those in front of it.
    pub fn several(mut self, several: bool) -> Self {
        self.packing.set_several(several);
        self
    }

    /// Sets the largest datagram that is received, in bytes; a larger one is
    /// [cut off](DatagramError::CutOff), and an error. Without it 65 535, which no UDP datagram
    /// exceeds, and 256 KiB for Unix datagrams. A buffer of this size, 16 MiB at most, is kept for
    /// the socket.
    pub fn max_datagram(mut self, bytes: usize) -> Self {
        self.receiving = Receiving::new(bytes);
        self
    }

    /// What the header of the frame last received held beside the length.
    pub fn header(&self) -> Vec<Value> {
        let last = self.receiving.current.as_ref();
        last.map_or_else(Vec::new, |(unpacking, _)| unpacking.framing().header())
    }

    /// What the headers of frames sent from now on hold beside the length.
    pub fn set_header(&mut self, items: &[Value]) -> Result<(), FrameError> {
        self.packing.set_header(items)
    }

    /// The socket.
    pub fn get_ref(&self) -> &S {
        &self.socket
    }

    /// The socket, back. Frames of a datagram not yet asked for, and a datagram not yet sent, are
    /// lost.
    pub fn into_inner(self) -> S {
        self.socket
    }
}

// Nothing in it is polled where it lies.
impl<S, F: MakeFraming> Unpin for Datagrams<S, F> {}

impl<S: DatagramSocket, F: MakeFraming> Stream for Datagrams<S, F> {
    type Item = Result<(Bytes, Address), DatagramError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.receiving
            .poll(&this.socket, &this.packing, cx)
            .map(Some)
    }
}

impl<S: DatagramSocket, F: MakeFraming> FusedStream for Datagrams<S, F> {
    fn is_terminated(&self) -> bool {
        false
    }
}

impl<S: DatagramSocket, F: MakeFraming> Sink<(Bytes, Address)> for Datagrams<S, F> {
    type Error = DatagramError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.poll_flush(cx)
    }

    fn start_send(self: Pin<&mut Self>, (frame, to): (Bytes, Address)) -> Result<(), Self::Error> {
        let this = self.get_mut();
        if this.sending.is_waiting() {
            return Err(DatagramError::NotReady);
        }
        let largest = this.socket.largest_sent(&to);
        match this.packing.pack(frame.clone(), largest) {
            Ok(datagram) => {
                this.sending.put(Outgoing { datagram, frame }, to);
                Ok(())
            }
            Err(error) => Err(DatagramError::Unencodable { error, to }),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let this = self.get_mut();
        this.sending.poll_flush(&this.socket, cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.poll_flush(cx)
    }
}

impl<S: fmt::Debug, F: MakeFraming> fmt::Debug for Datagrams<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagrams")
            .field("socket", &self.socket)
            .field("framing", &self.packing.prototype().framing_name())
            .finish_non_exhaustive()
    }
}

/// The receiving half.
struct Receiving<F: MakeFraming> {
    /// One byte more than the largest datagram: what reaches it was cut off.
    buffer: Vec<u8>,
    /// The datagram that came last, and from whom.
    current: Option<(Unpacking<F::Framing>, Address)>,
    /// How long to wait after one more failure in a row; none after the first.
    pause: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<F: MakeFraming> Receiving<F> {
    fn new(largest: usize) -> Self {
        Self {
            buffer: vec![0; largest.min(LARGEST_BUFFER) + 1],
            current: None,
            pause: None,
            timer: None,
        }
    }

    fn poll(
        &mut self,
        socket: &impl DatagramSocket,
        packing: &Packing<F>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Bytes, Address), DatagramError>> {
        if let Some((unpacking, from)) = &mut self.current
            && let Some(result) = unpacking.next()
        {
            return Poll::Ready(labelled(result, from));
        }
        if let Some(timer) = &mut self.timer {
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
        }
        loop {
            let mut buffer = ReadBuf::new(&mut self.buffer);
            let from = match socket.poll_receive(cx, &mut buffer) {
                Poll::Ready(Ok(from)) => from,
                Poll::Ready(Err(error)) => {
                    self.failed();
                    return Poll::Ready(Err(DatagramError::Receive(error)));
                }
                Poll::Pending => {
                    self.pause = None;
                    return Poll::Pending;
                }
            };
            self.pause = None;
            let limit = buffer.capacity() - 1;
            if buffer.filled().len() > limit {
                return Poll::Ready(Err(DatagramError::CutOff { limit, from }));
            }
            let unpacking = packing.unpack(buffer.filled());
            let (unpacking, from) = self.current.insert((unpacking, from));
            if let Some(result) = unpacking.next() {
                return Poll::Ready(labelled(result, from));
            }
        }
    }

    /// An error that comes again at once, such as that of an interface that is down, would come
    /// as often as it is asked for.
    fn failed(&mut self) {
        self.pause = match self.pause {
            None => Some(SHORTEST_PAUSE),
            Some(pause) => {
                self.timer = Some(Box::pin(sleep(pause)));
                Some(LONGEST_PAUSE.min(pause * 2))
            }
        };
    }
}

fn labelled(
    result: Result<Bytes, FrameError>,
    from: &Address,
) -> Result<(Bytes, Address), DatagramError> {
    let from = from.clone();
    match result {
        Ok(frame) => Ok((frame, from)),
        Err(error) => Err(DatagramError::Unreadable { error, from }),
    }
}

/// The sending half.
struct Sending {
    /// Whom the socket is connected to.
    peer: Option<Address>,
    /// A datagram that the socket has had no room for.
    waiting: Option<(Outgoing, Address)>,
}

/// A frame on its way out, and the datagram made of it.
struct Outgoing {
    datagram: Bytes,
    frame: Bytes,
}

impl Sending {
    fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    fn put(&mut self, outgoing: Outgoing, to: Address) {
        self.waiting = Some((outgoing, to));
    }

    fn poll_flush(
        &mut self,
        socket: &impl DatagramSocket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), DatagramError>> {
        let Some((Outgoing { datagram, .. }, to)) = &self.waiting else {
            return Poll::Ready(Ok(()));
        };
        let receiver = Some(to).filter(|to| self.peer.as_ref() != Some(to));
        let sent = ready!(socket.poll_send(cx, datagram, receiver));
        let size = datagram.len();
        let Some((Outgoing { frame, .. }, to)) = self.waiting.take() else {
            return Poll::Ready(Ok(()));
        };
        Poll::Ready(match sent {
            Ok(sent) if sent == size => Ok(()),
            Ok(sent) => Err(DatagramError::Send {
                error: io::Error::other(format!("only {sent} of {size} bytes were taken")),
                to,
            }),
            Err(error) if error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error()) => {
                let message = format!("the system does not send datagrams of {size} bytes");
                let error = FrameError::unencodable(message).with_frame(frame);
                Err(DatagramError::Unencodable { error, to })
            }
            Err(error) => Err(DatagramError::Send { error, to }),
        })
    }
}
