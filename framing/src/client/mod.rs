//! Sends requests to a server: [`Client`] to one that answers in order, [`Multiplexed`] to one that
//! answers tagged requests in any order.

mod connect;
mod multiplex;
mod task;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::ready;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, oneshot},
};
use tokio_util::sync::PollSender;
use tower_service::Service;

pub use connect::{Connect, Io, dial};
pub use multiplex::{ConnectMultiplexed, Multiplexed, MultiplexedOptions, Pushed};

use crate::{Connection, Error, FrameError, Framing, limits::seconds};

/// Why a call has no response.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server has closed the connection. Whether it has seen the request is not known.
    #[error("the connection was closed by the peer")]
    Closed,
    /// The connection failed.
    #[error(transparent)]
    Connection(Arc<Error>),
    /// A response came that nobody had asked for.
    #[error("the peer sent a response without a request")]
    Desynchronized,
    /// The server has answered none of the requests for this long.
    #[error("no request was answered for {}", seconds(*.0))]
    Stalled(Duration),
    /// The request cannot be carried by the framing; nothing of it was sent.
    #[error("the request cannot be sent: {0}")]
    Unencodable(FrameError),
}

/// A connection as a tower service of frames: each request gets the next response.
///
/// Clones share the connection; it is closed when the last is dropped. At most
/// [`max_in_flight`](ClientOptions::max_in_flight) requests are sent and without a response, and as
/// many wait to be sent; then `poll_ready` waits. It fails once the connection is gone. A call that
/// is dropped is still answered by the server; its response is thrown away and never given to
/// another.
///
/// ```
/// use framing::{Connection, StructHeader, client::Client};
/// use futures_util::{SinkExt, StreamExt};
/// use tower::{Service, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (ours, theirs) = tokio::io::duplex(64);
/// # tokio::spawn(async move {
/// #     let mut server = Connection::new(theirs, StructHeader::default());
/// #     while let Some(Ok(frame)) = server.next().await { server.send(frame).await.unwrap(); }
/// # });
/// let mut client = Client::new(Connection::new(ours, StructHeader::default()));
/// assert_eq!(client.ready().await?.call("hello".into()).await?, "hello");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    calls: PollSender<Call>,
    fate: Arc<OnceLock<ClientError>>,
}

/// The limits of a [`Client`].
///
/// ```
/// use framing::client::ClientOptions;
///
/// let options = ClientOptions::default().max_in_flight(8);
/// ```
#[derive(Clone, Debug)]
pub struct ClientOptions {
    max_in_flight: usize,
}

impl ClientOptions {
    /// Sets how many requests may be sent and without a response (64; at least 1).
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.max_in_flight = requests.clamp(1, Semaphore::MAX_PERMITS);
        self
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { max_in_flight: 64 }
    }
}

/// One request on its way, and where its response is to go.
#[derive(Debug)]
struct Call {
    frame: Bytes,
    response: oneshot::Sender<Result<Bytes, ClientError>>,
}

impl Client {
    /// Runs `connection` in a task of the current tokio runtime.
    pub fn new<Io, F>(connection: Connection<Io, F>) -> Self
    where
        Io: AsyncRead + AsyncWrite + Send + 'static,
        F: Framing + Send + 'static,
    {
        Self::with_options(connection, ClientOptions::default())
    }

    /// The same with limits of your own.
    pub fn with_options<Io, F>(connection: Connection<Io, F>, options: ClientOptions) -> Self
    where
        Io: AsyncRead + AsyncWrite + Send + 'static,
        F: Framing + Send + 'static,
    {
        let (client, task) = task::pair(connection, options.max_in_flight);
        tokio::spawn(task);
        client
    }

    fn error(&self) -> ClientError {
        self.fate.get().cloned().unwrap_or(ClientError::Closed)
    }
}

impl Service<Bytes> for Client {
    type Response = Bytes;
    type Error = ClientError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        if let Some(error) = self.fate.get() {
            // Gives back the place that an earlier yes has promised.
            self.calls.abort_send();
            return Poll::Ready(Err(error.clone()));
        }
        let reserved = ready!(self.calls.poll_reserve(cx));
        Poll::Ready(reserved.map_err(|_| self.error()))
    }

    fn call(&mut self, frame: Bytes) -> ResponseFuture {
        let (response, receiver) = oneshot::channel();
        let sent = self.calls.send_item(Call { frame, response });
        ResponseFuture {
            receiver: sent.is_ok().then_some(receiver),
            fate: self.fate.clone(),
        }
    }
}

/// The response to a call on a [`Client`] or a [`Multiplexed`].
#[derive(Debug)]
pub struct ResponseFuture {
    /// None if the connection was gone when the call was made.
    receiver: Option<oneshot::Receiver<Result<Bytes, ClientError>>>,
    fate: Arc<OnceLock<ClientError>>,
}

impl Future for ResponseFuture {
    type Output = Result<Bytes, ClientError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.receiver {
            Some(receiver) => ready!(Pin::new(receiver).poll(cx)).ok(),
            None => None,
        };
        Poll::Ready(
            answer.unwrap_or_else(|| Err(self.fate.get().cloned().unwrap_or(ClientError::Closed))),
        )
    }
}
