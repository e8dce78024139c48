//! Sends requests to a server that answers in any order, many at a time on one connection.

mod connect;
mod options;
mod room;
mod stall;
mod task;

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
};
use tower_service::Service;

pub use self::{connect::ConnectMultiplexed, options::MultiplexedOptions};
use self::{
    room::{Place, Turn},
    task::Call,
};
use super::{ClientError, ResponseFuture};
use crate::{Connection, FrameError, Framing, Tagging};

/// A connection as a tower service of frames, on which answers come in any order.
///
/// Each request carries a tag, and so does its answer. Clones share the connection; it is closed
/// when the last is dropped. `poll_ready` waits while as many requests, or bytes, are on their way
/// as the [options](MultiplexedOptions) allow, and fails once the connection is gone, also when that
/// happens while nobody calls. A clone that is ready holds a place until it calls or is dropped.
///
/// # Dropped calls
///
/// A call that is dropped before it was written is not sent. Later, the server answers it still;
/// the answer is thrown away, and its tag is not used again before. So with
/// `tower::timeout` around it, a late answer never reaches another call. A server that never
/// answers some of the requests keeps their places for good; set
/// [`stall`](MultiplexedOptions::stall) against it.
///
/// # What ends the connection
///
/// An answer with a tag that no request has (or the same answer twice) is
/// [`ClientError::Desynchronized`] for all: of such a server no answer can be believed. So does a
/// bad frame, even one that the framing could skip, since whose answer it was is not known.
///
/// ```
/// use framing::{
///     Connection, StructHeader, U32InFront,
///     client::Multiplexed,
///     serve::{Memory, serve_multiplexed},
/// };
/// use tower::{Service, ServiceExt, make::Shared, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (listener, connector) = Memory::new(1024);
/// let echo = service_fn(async |frame: bytes::Bytes| Ok::<_, std::convert::Infallible>(frame));
/// tokio::spawn(serve_multiplexed(listener, U32InFront::new(), Shared::new(echo)).into_future());
///
/// let connection = Connection::new(connector.connect().await?, StructHeader::default());
/// let mut client = Multiplexed::new(connection, U32InFront::new())?;
/// let first = client.ready().await?.call("first".into());
/// let second = client.ready().await?.call("second".into());
/// assert_eq!(second.await?, "second");
/// assert_eq!(first.await?, "first");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Multiplexed {
    calls: mpsc::UnboundedSender<Call>,
    turn: Turn,
    fate: Arc<OnceLock<ClientError>>,
}

impl Multiplexed {
    /// Runs `connection` in a task of the current tokio runtime. What the server sends without
    /// having been asked is thrown away.
    ///
    /// # Errors
    ///
    /// The framing cannot carry such tags; see [`Tagging::begin`].
    pub fn new<Io, F, G>(connection: Connection<Io, F>, tags: G) -> Result<Self, FrameError>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Framing + Send + 'static,
        G: Tagging + Send + 'static,
    {
        Self::with_options(connection, tags, MultiplexedOptions::default())
    }

    /// The same with limits of your own.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_options<Io, F, G>(
        connection: Connection<Io, F>,
        tags: G,
        options: MultiplexedOptions,
    ) -> Result<Self, FrameError>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Framing + Send + 'static,
        G: Tagging + Send + 'static,
    {
        Self::with_pushes(connection, tags, options).map(|(client, _)| client)
    }

    /// The same with what the server sends on the [one-way](Tagging::one_way) tag.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_pushes<Io, F, G>(
        connection: Connection<Io, F>,
        tags: G,
        options: MultiplexedOptions,
    ) -> Result<(Self, Pushed), FrameError>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Framing + Send + 'static,
        G: Tagging + Send + 'static,
    {
        let (client, pushed, task) = task::start(connection, tags, options)?;
        tokio::spawn(task);
        Ok((client, pushed))
    }

    /// Sends a request that is not answered, once there is room for it; done when it has been
    /// written behind all that was sent before. Whether the server has seen it is not known.
    ///
    /// Cancel safe: dropped while it waits for room, nothing is sent; later, all of it.
    ///
    /// # Errors
    ///
    /// [`ClientError::Unencodable`] if the framing cannot carry it, or if these tags have none for
    /// [one-way](Tagging::one_way) requests; otherwise why the connection is gone.
    pub async fn send(&mut self, frame: Bytes) -> Result<(), ClientError> {
        poll_fn(|cx| self.poll_ready(cx)).await?;
        self.enqueue(frame, true).await.map(drop)
    }

    fn enqueue(&mut self, frame: Bytes, is_one_way: bool) -> ResponseFuture {
        let (response, receiver) = oneshot::channel();
        let sent = self.turn.take().map(|mut place| {
            place.fill(frame.len());
            self.calls.send(Call {
                frame,
                is_one_way,
                response,
                place,
            })
        });
        ResponseFuture {
            receiver: matches!(sent, Some(Ok(()))).then_some(receiver),
            fate: self.fate.clone(),
        }
    }

    fn error(&self) -> ClientError {
        self.fate.get().cloned().unwrap_or(ClientError::Closed)
    }
}

impl Service<Bytes> for Multiplexed {
    type Response = Bytes;
    type Error = ClientError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        if let Some(error) = self.fate.get() {
            return Poll::Ready(Err(error.clone()));
        }
        let room = ready!(self.turn.poll(cx));
        Poll::Ready(room.ok_or_else(|| self.error()))
    }

    /// Sends a request. Without a `poll_ready` that said so, the answer is an error.
    fn call(&mut self, frame: Bytes) -> ResponseFuture {
        self.enqueue(frame, false)
    }
}

/// What the server sends without having been asked: a stream of frames, in their order.
///
/// It ends with the connection. As long as it is there it wants to be read: when
/// [`max_pushes`](MultiplexedOptions::max_pushes) wait in it, nothing more is read from the
/// connection, answers neither. Once it is dropped, they are thrown away.
#[derive(Debug)]
pub struct Pushed(mpsc::Receiver<Bytes>);

impl Stream for Pushed {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.poll_recv(cx)
    }
}
