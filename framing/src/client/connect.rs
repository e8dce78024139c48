//! Opens connections to servers.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tower_service::Service;

use super::Client;
use crate::{
    Connection,
    serve::{Address, MakeFraming},
};

/// A byte stream of either kind.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Opens a byte stream to a server, with Nagle's algorithm off.
pub async fn dial(address: &Address) -> io::Result<Box<dyn Io>> {
    match address {
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        Address::Unix(Some(path)) => Ok(Box::new(UnixStream::connect(path).await?)),
        Address::Udp(_) | Address::Unix(None) | Address::Memory(_) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{address} cannot be dialled"),
        )),
    }
}

/// Makes a [`Client`] of an address: a tower service, such as `tower::reconnect` wants.
///
/// ```no_run
/// use framing::{StructHeader, client::Connect, serve::Address};
/// use tower::{Service, ServiceExt};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let address: Address = "tcp://127.0.0.1:8002".parse()?;
/// let mut client = Connect::new(StructHeader::default()).oneshot(address).await?;
/// let response = client.ready().await?.call("ping".into()).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Connect<F> {
    pub(super) framing: F,
}

impl<F: MakeFraming> Connect<F> {
    /// Connections with this framing.
    pub fn new(framing: F) -> Self {
        Self { framing }
    }
}

impl<F: MakeFraming> Service<Address> for Connect<F> {
    type Response = Client;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Client>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Address) -> Self::Future {
        let framing = self.framing.make_framing();
        Box::pin(async move { Ok(Client::new(Connection::new(dial(&address).await?, framing))) })
    }
}
