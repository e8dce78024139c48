//! What happens on a connection before its first frame: a handshake, an encryption, a check.

use std::future::Future;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{BoxError, Peer, Serve};

/// What happens on a connection after it is accepted and before its first frame.
///
/// It gets the byte stream as it came from the [`Listener`](super::Listener), and gives the one that
/// frames are read from: the same, where peers only have to show something, or another around it,
/// where bytes are encrypted from here on.
///
/// ```text
///  listener ─▶ on_connect ─▶ acceptor ───▶ Connection ─▶ handler
///   socket      yes or no     Io ─▶ A::Io   frames
///                                └─ error: closed, nothing behind it is reached
/// ```
///
/// Each connection has its own, in its own task, so a peer that dawdles keeps nobody else waiting, but
/// it does hold one of [`max_connections`](Serve::max_connections) places: an acceptor needs a time limit
/// of its own. A shutdown drops what is not done yet, with the byte stream. An error is logged, and
/// [`on_close`](Serve::on_close) gets it as [`Ending::Failed`](super::Ending::Failed), as it is; a panic is
/// [`Ending::Panicked`](super::Ending::Panicked). In all these cases the handler never sees the peer.
///
/// Here peers must begin with a word:
///
/// ```
/// use std::{convert::Infallible, time::Duration};
///
/// use bytes::Bytes;
/// use framing::{Connection, StructHeader, serve::{Acceptor, BoxError, Memory, Peer, serve}};
/// use futures_util::{SinkExt, StreamExt};
/// use tokio::{io::{AsyncReadExt, AsyncWriteExt, DuplexStream}, time::timeout};
/// use tower::{make::Shared, service_fn};
///
/// struct Sesame;
///
/// impl Acceptor<DuplexStream> for Sesame {
///     type Io = DuplexStream;
///
///     async fn accept(&self, mut io: DuplexStream, _: &mut Peer) -> Result<DuplexStream, BoxError> {
///         let mut word = [0; 6];
///         timeout(Duration::from_secs(5), io.read_exact(&mut word)).await??;
///         match &word {
///             b"sesame" => Ok(io),
///             _ => Err("that is not the word".into()),
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let (listener, connector) = Memory::new(1024);
/// let echo = Shared::new(service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame)));
/// tokio::spawn(serve(listener, echo).acceptor(Sesame).into_future());
///
/// let mut io = connector.connect().await?;
/// io.write_all(b"sesame").await?;
/// let mut client = Connection::new(io, StructHeader::default());
/// client.send("hello".into()).await?;
/// assert_eq!(client.next().await.unwrap()?, "hello");
///
/// let mut io = connector.connect().await?;
/// io.write_all(b"cheese").await?;
/// assert_eq!(io.read(&mut [0; 1]).await?, 0);
/// # Ok(()) }
/// ```
///
/// An acceptor reads no byte more than is its own, since there is no way to put one back; one that
/// cannot help it gives a byte stream that yields them first, such as
/// `tokio::io::join(unread.chain(reader), writer)`.
pub trait Acceptor<Io>: Send + Sync + 'static {
    /// The byte stream that frames are read from.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Does what comes before the first frame; write it as an `async fn`.
    ///
    /// What it finds out of the peer, such as its real address, it notes in `peer`: the handler and
    /// [`on_close`](Serve::on_close) see it (logs keep the address that the listener gave).
    ///
    /// # Errors
    ///
    /// The connection is closed, and the error is why. It is logged: it must show no secret.
    ///
    /// # Cancel safety
    ///
    /// It is dropped when the server shuts down; the byte stream goes with it.
    fn accept(
        &self,
        io: Io,
        peer: &mut Peer,
    ) -> impl Future<Output = Result<Self::Io, BoxError>> + Send;
}

/// Begins every connection with its first frame; what [`Serve`] does unless it is told otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAcceptor;

impl<Io> Acceptor<Io> for NoAcceptor
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Io = Io;

    async fn accept(&self, io: Io, _: &mut Peer) -> Result<Io, BoxError> {
        Ok(io)
    }
}

/// With `None`, connections begin with their first frame: for what a configuration may leave out.
impl<Io, A> Acceptor<Io> for Option<A>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Acceptor<Io, Io = Io>,
{
    type Io = Io;

    async fn accept(&self, io: Io, peer: &mut Peer) -> Result<Io, BoxError> {
        match self {
            Some(acceptor) => acceptor.accept(io, peer).await,
            None => Ok(io),
        }
    }
}

impl<L, H, F, A> Serve<L, H, F, A> {
    /// Sets what happens on each connection before its first frame (nothing); see [`Acceptor`].
    pub fn acceptor<B>(self, acceptor: B) -> Serve<L, H, F, B> {
        Serve {
            listener: self.listener,
            handler: self.handler,
            framing: self.framing,
            acceptor,
            connection: self.connection,
            max_connections: self.max_connections,
            drain_timeout: self.drain_timeout,
            shutdown: self.shutdown,
            hooks: self.hooks,
        }
    }
}
