//! Where connections come from: TCP, Unix sockets, memory.

use std::{
    fmt,
    fs::File,
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rustix::io::Errno;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    net::{TcpListener, TcpStream, ToSocketAddrs, UnixListener, UnixStream, lookup_host},
    sync::mpsc,
    time::sleep,
};
use tracing::warn;

use super::peer::{Address, Credentials, Peer};

/// A source of connections.
pub trait Listener: Send + 'static {
    /// The byte stream of one connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection.
    ///
    /// It never fails: what goes wrong is logged and, where it would go wrong again at once,
    /// waited out. Cancel safe.
    fn accept(&mut self) -> impl Future<Output = (Self::Io, Peer)> + Send;

    /// The address that is listened on.
    fn local_addr(&self) -> Address;
}

/// Connections over TCP, with Nagle's algorithm off unless asked for.
#[derive(Debug)]
pub struct Tcp {
    listener: TcpListener,
    local: Address,
    nodelay: bool,
    accepting: Accepting,
}

impl Tcp {
    /// Listens on `address`; port 0 lets the system choose. Of several that a name stands for, the
    /// first that can be had. An error names the address.
    pub async fn bind(address: impl ToSocketAddrs + fmt::Debug) -> io::Result<Self> {
        let named = |at: &dyn fmt::Display, error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen on {at}: {error}"))
        };
        let name = format!("{address:?}");
        let found = lookup_host(address).await;
        let mut failed = None;
        for address in found.map_err(|error| named(&name, error))? {
            match TcpListener::bind(address).await {
                Ok(listener) => return Self::new(listener),
                Err(error) => failed = Some(named(&Address::Tcp(address), error)),
            }
        }
        Err(failed.unwrap_or_else(|| {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "it stands for no address");
            named(&name, error)
        }))
    }

    /// Accepts from a socket with options of its own.
    pub fn new(listener: TcpListener) -> io::Result<Self> {
        let local = Address::Tcp(listener.local_addr()?);
        Ok(Self {
            listener,
            local,
            nodelay: true,
            accepting: Accepting::default(),
        })
    }

    /// Sets whether small writes leave at once (`true`). With Nagle's algorithm on, a protocol of
    /// small one-way messages falls to 25 of them a second.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }
}

impl Listener for Tcp {
    type Io = TcpStream;

    async fn accept(&mut self) -> (TcpStream, Peer) {
        loop {
            match self.listener.accept().await {
                Ok((io, remote)) => {
                    self.accepting.succeeded();
                    if let Err(error) = io.set_nodelay(self.nodelay) {
                        // The peer has reset the connection already; reading will say so.
                        warn!(%error, "cannot set TCP_NODELAY");
                    }
                    return (io, Peer::new(Address::Tcp(remote), self.local.clone()));
                }
                Err(error) => {
                    self.accepting.failed(error, self.listener.accept()).await;
                }
            }
        }
    }

    fn local_addr(&self) -> Address {
        self.local.clone()
    }
}

/// Connections over a Unix socket. The socket's file goes when the listener is dropped.
#[derive(Debug)]
pub struct Unix {
    listener: UnixListener,
    path: PathBuf,
    /// Which file our socket is.
    identity: Option<(u64, u64)>,
    accepting: Accepting,
}

impl Unix {
    /// Listens on `path`. A socket there that nobody listens on any more is replaced; anything else
    /// is left alone, and an error.
    pub async fn bind(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let listener = match UnixListener::bind(&path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                match UnixStream::connect(&path).await {
                    // A file that is no socket refuses too, and is not ours to remove.
                    Err(refused)
                        if refused.kind() == io::ErrorKind::ConnectionRefused
                            && socket_at(&path).is_some() =>
                    {
                        std::fs::remove_file(&path)?;
                        UnixListener::bind(&path)?
                    }
                    _ => return Err(error),
                }
            }
            listener => listener?,
        };
        Ok(Self {
            listener,
            identity: socket_at(&path),
            path,
            accepting: Accepting::default(),
        })
    }
}

/// Device and inode of the socket at `path`, if one is there (and not a link to one).
fn socket_at(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::symlink_metadata(path).ok()?;
    found
        .file_type()
        .is_socket()
        .then(|| (found.dev(), found.ino()))
}

impl Drop for Unix {
    fn drop(&mut self) {
        // Whatever took our place there meanwhile is somebody else's.
        if self.identity.is_some() && socket_at(&self.path) == self.identity {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Listener for Unix {
    type Io = UnixStream;

    async fn accept(&mut self) -> (UnixStream, Peer) {
        loop {
            match self.listener.accept().await {
                Ok((io, remote)) => {
                    self.accepting.succeeded();
                    let remote = Address::Unix(remote.as_pathname().map(PathBuf::from));
                    let mut peer = Peer::new(remote, self.local_addr());
                    peer.credentials = io.peer_cred().ok().map(|who| Credentials {
                        uid: who.uid(),
                        gid: who.gid(),
                        pid: who.pid(),
                    });
                    return (io, peer);
                }
                Err(error) => {
                    self.accepting.failed(error, self.listener.accept()).await;
                }
            }
        }
    }

    fn local_addr(&self) -> Address {
        Address::Unix(Some(self.path.clone()))
    }
}

/// Connections inside this process: no socket, the same stack.
#[derive(Debug)]
pub struct Memory {
    incoming: mpsc::Receiver<(DuplexStream, u64)>,
}

/// The other side of a [`Memory`] listener.
#[derive(Clone, Debug)]
pub struct MemoryConnector {
    outgoing: mpsc::Sender<(DuplexStream, u64)>,
    buffer: usize,
}

impl Memory {
    /// A listener, and what connects to it. Each direction of a connection holds up to `buffer`
    /// bytes that are sent and not yet received.
    pub fn new(buffer: usize) -> (Self, MemoryConnector) {
        let (outgoing, incoming) = mpsc::channel(16);
        (Self { incoming }, MemoryConnector { outgoing, buffer })
    }
}

impl MemoryConnector {
    /// Opens a connection; refused once the listener is gone.
    pub async fn connect(&self) -> io::Result<DuplexStream> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let (ours, theirs) = tokio::io::duplex(self.buffer);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        match self.outgoing.send((theirs, number)).await {
            Ok(()) => Ok(ours),
            Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

impl Listener for Memory {
    type Io = DuplexStream;

    async fn accept(&mut self) -> (DuplexStream, Peer) {
        match self.incoming.recv().await {
            Some((io, number)) => (io, Peer::new(Address::Memory(number), Address::Memory(0))),
            // Nobody can connect any more.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> Address {
        Address::Memory(0)
    }
}

/// What to do when accepting fails.
#[derive(Debug)]
struct Accepting {
    /// A descriptor held back, so that there is one to turn peers away with when all are in use.
    reserve: Option<File>,
    pause: Duration,
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Default for Accepting {
    fn default() -> Self {
        Self {
            reserve: reserve(),
            pause: SHORTEST_PAUSE,
        }
    }
}

impl Accepting {
    fn succeeded(&mut self) {
        self.pause = SHORTEST_PAUSE;
    }

    /// Logs, and waits if the next call would fail as well. `turn_away` accepts a connection, to
    /// be dropped.
    async fn failed<C>(&mut self, error: io::Error, turn_away: impl Future<Output = C>) {
        let exhausted = [Errno::MFILE, Errno::NFILE]
            .iter()
            .any(|e| error.raw_os_error() == Some(e.raw_os_error()));
        if !exhausted && is_of_the_connection(&error) {
            // That peer is gone; the next one is not.
            return;
        }
        warn!(%error, "cannot accept a connection; trying again in {:?}", self.pause);
        if exhausted && let Some(held) = self.reserve.take() {
            // A peer in the backlog would wait without an answer, and the listener stay readable.
            drop(held);
            let _ = tokio::time::timeout(SHORTEST_PAUSE, turn_away).await;
            self.reserve = reserve();
        }
        sleep(self.pause).await;
        self.pause = LONGEST_PAUSE.min(self.pause * 2);
    }
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::Interrupted
    )
}
