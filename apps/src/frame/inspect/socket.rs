//! The two kinds of sockets that bytes go through.

use std::{io, net::Shutdown, time::Duration};

use framing::serve::{Address, Listener, Tcp, Unix};
use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};

use crate::frame::connect::ServerUrl;

/// A connected socket; both directions may be used at once.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Connects, with Nagle's algorithm off.
    pub(super) async fn connect(url: &ServerUrl) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in url.addresses().await? {
            match Self::dial(&address).await {
                Ok(socket) => return Ok(socket),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn dial(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Address::Unix(Some(path)) => Ok(Self::Unix(UnixStream::connect(path).await?)),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// One read; zero at the end of the stream. Cancel safe.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Tcp(stream) => {
                    stream.readable().await?;
                    stream.try_read(buffer)
                }
                Self::Unix(stream) => {
                    stream.readable().await?;
                    stream.try_read(buffer)
                }
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    /// Writes all of it; not cancel safe.
    pub(super) async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = match self {
                Self::Tcp(stream) => {
                    stream.writable().await?;
                    stream.try_write(bytes)
                }
                Self::Unix(stream) => {
                    stream.writable().await?;
                    stream.try_write(bytes)
                }
            };
            match written {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says that nothing more will be written.
    pub(super) fn finish(&self) {
        self.shut_down(Shutdown::Write);
    }

    /// Says that nothing more will be read.
    pub(super) fn refuse(&self) {
        self.shut_down(Shutdown::Read);
    }

    /// Makes the end of this socket a reset, as the one that it stands for was.
    pub(super) fn reset(&self) {
        if let Self::Tcp(stream) = self {
            // A socket that cannot be told is gone already.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    fn shut_down(&self, how: Shutdown) {
        // An error says that it is gone already, which reading it says too.
        let _ = match self {
            Self::Tcp(stream) => SockRef::from(stream).shutdown(how),
            Self::Unix(stream) => SockRef::from(stream).shutdown(how),
        };
    }
}

/// A listening socket.
#[derive(Debug)]
pub(super) enum Listening {
    Tcp(Tcp),
    Unix(Unix),
}

impl Listening {
    pub(super) async fn bind(url: &ServerUrl) -> io::Result<Self> {
        match url {
            ServerUrl::Tcp { host, port } => {
                Ok(Self::Tcp(Tcp::bind((host.as_str(), *port)).await?))
            }
            ServerUrl::Unix(path) => Ok(Self::Unix(Unix::bind(path).await?)),
        }
    }

    /// The next connection, and whose it is. Cancel safe.
    pub(super) async fn accept(&mut self) -> (Socket, Address) {
        match self {
            Self::Tcp(tcp) => {
                let (stream, peer) = tcp.accept().await;
                (Socket::Tcp(stream), peer.remote)
            }
            Self::Unix(unix) => {
                let (stream, peer) = unix.accept().await;
                (Socket::Unix(stream), peer.remote)
            }
        }
    }

    pub(super) fn address(&self) -> Address {
        match self {
            Self::Tcp(tcp) => tcp.local_addr(),
            Self::Unix(unix) => unix.local_addr(),
        }
    }
}
