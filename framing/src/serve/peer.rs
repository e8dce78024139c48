//! Who is at the other end of a connection.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, sync::Arc};

use super::Pusher;

/// What is known of a connection before its first byte.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Peer {
    /// The other end.
    pub remote: Address,
    /// Our end.
    pub local: Address,
    /// Who the process at the other end is, where the system vouches for it (Unix sockets).
    pub credentials: Option<Credentials>,
    /// The name of the connection's framing.
    pub framing: Arc<str>,
    /// Sends frames that no request has asked for, where the connection is
    /// [multiplexed](super::serve_multiplexed).
    pub pusher: Option<Pusher>,
}

impl Peer {
    /// A peer without credentials, whose framing is not yet known.
    pub fn new(remote: Address, local: Address) -> Self {
        Self {
            remote,
            local,
            credentials: None,
            framing: "".into(),
            pusher: None,
        }
    }
}

/// Process, user and group of a peer on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credentials {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The process, where the system tells.
    pub pid: Option<i32>,
}

/// One end of a connection, written as a URL: `tcp://127.0.0.1:8002`, `unix:/run/framed`,
/// `udp://127.0.0.1:9001`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A TCP socket.
    Tcp(SocketAddr),
    /// A UDP socket. That of a peer is what its datagrams say, and anyone can write anything there.
    Udp(SocketAddr),
    /// A Unix socket, of streams or of datagrams; most clients' have no name.
    Unix(Option<PathBuf>),
    /// An in-memory pipe, by number.
    Memory(u64),
}

impl Address {
    /// Whether only processes on this machine can be at the other end.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) | Self::Udp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) | Self::Memory(_) => true,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(None) => f.write_str("unix:"),
            Self::Memory(number) => write!(f, "memory:{number}"),
        }
    }
}

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an address; there are `tcp://127.0.0.1:8002`, `udp://127.0.0.1:9001` and `unix:/path`"
)]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    /// Reads a URL. A host must be given as an IP address: names are looked up elsewhere.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError(text.to_owned());
        if let Some(address) = text.strip_prefix("tcp://") {
            return address.parse().map(Self::Tcp).map_err(|_| wrong());
        }
        if let Some(address) = text.strip_prefix("udp://") {
            return address.parse().map(Self::Udp).map_err(|_| wrong());
        }
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => {
                // `unix:///run/x` is the long way to write `unix:/run/x`.
                let path = path
                    .strip_prefix("//")
                    .filter(|p| p.starts_with('/'))
                    .unwrap_or(path);
                Ok(Self::Unix(Some(path.into())))
            }
            _ => Err(wrong()),
        }
    }
}
