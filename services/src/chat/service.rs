//! The directory as a tower service of datagrams.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, Ready, poll_fn, ready},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use framing::serve::{Address, Peer};
use tokio::time::{Instant, sleep};
use tower_service::Service;

use super::{
    directory::{Directory, HOLD, Reply, Ticket},
    source::is_odd,
};

/// One directory for all peers: a tower service of [`Peer`]s for
/// [`serve_datagrams`](framing::datagram::serve_datagrams) over [`framing`](super::framing), with
/// `silent_when_empty(true)`.
///
/// ```
/// use std::time::Instant;
///
/// use framing::datagram::{Datagrams, serve_datagrams};
/// use services::chat::{self, ChatServer, Directory, DirectoryOptions};
/// use tokio::net::UdpSocket;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let chance = [7; 32];
/// let directory = Directory::new(DirectoryOptions::default(), chance, Instant::now());
/// let datagrams = Datagrams::new(UdpSocket::bind("127.0.0.1:0").await?, chat::framing()?)?
///     .max_datagram(chat::MAX_DATAGRAM);
/// let server = serve_datagrams(datagrams, ChatServer::new(directory)).silent_when_empty(true);
/// tokio::spawn(server.into_future());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ChatServer {
    directory: Arc<Mutex<Directory>>,
}

impl ChatServer {
    /// A service over `directory`.
    pub fn new(directory: Directory) -> Self {
        Self {
            directory: Arc::new(Mutex::new(directory)),
        }
    }

    /// The directory, to look at; nobody is served meanwhile.
    pub fn directory(&self) -> MutexGuard<'_, Directory> {
        // A panic in between leaves at worst a message half taken, and its sender repeats it.
        self.directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ChatServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatServer").finish_non_exhaustive()
    }
}

impl Service<Peer> for ChatServer {
    type Response = ChatPeer;
    type Error = Infallible;
    type Future = Ready<Result<ChatPeer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, peer: Peer) -> Self::Future {
        let source = match (&peer.remote, &peer.local) {
            (Address::Udp(source), Address::Udp(local)) if !is_odd(*source, *local) => {
                Some(*source)
            }
            _ => None,
        };
        let server = self.clone();
        ready(Ok(ChatPeer { server, source }))
    }
}

/// The service of one peer.
#[derive(Debug)]
pub struct ChatPeer {
    server: ChatServer,
    /// None if nobody can be there.
    source: Option<SocketAddr>,
}

impl Service<Bytes> for ChatPeer {
    type Response = Bytes;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Bytes, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, frame: Bytes) -> Self::Future {
        let Some(source) = self.source else {
            return Box::pin(ready(Ok(Bytes::new())));
        };
        let now = Instant::now().into_std();
        let reply = self.server.directory().handle(source, &frame, now);
        match reply {
            Reply::Now(answer) => Box::pin(ready(Ok(answer))),
            Reply::Never => Box::pin(ready(Ok(Bytes::new()))),
            Reply::Later(ticket) => {
                let server = self.server.clone();
                Box::pin(async move { Ok(server.mail(&ticket).await) })
            }
        }
    }
}

impl ChatServer {
    /// Waits for mail, but not for ever.
    async fn mail(&self, ticket: &Ticket) -> Bytes {
        let mut time = std::pin::pin!(sleep(HOLD));
        poll_fn(|cx| {
            let is_over = time.as_mut().poll(cx).is_ready();
            match self.directory().mail(ticket, cx.waker(), is_over) {
                Some(answer) => Poll::Ready(answer),
                None if is_over => Poll::Ready(Bytes::new()),
                None => Poll::Pending,
            }
        })
        .await
    }
}
