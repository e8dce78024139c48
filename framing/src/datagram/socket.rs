//! The sockets that datagrams come from and go to.

use std::{
    io,
    os::fd::AsFd,
    path::PathBuf,
    sync::Arc,
    task::{Context, Poll},
};

use rustix::net::{SendFlags, SocketAddrUnix, sendto};
use tokio::{
    io::ReadBuf,
    net::{UdpSocket, UnixDatagram},
};

use crate::serve::Address;

/// The most that a UDP datagram carries over IPv4: 65 535 bytes without the headers.
const UDP_OVER_IPV4: usize = 65_535 - 20 - 8;
/// The same over IPv6, whose own header is not counted.
const UDP_OVER_IPV6: usize = 65_535 - 8;
/// More than a Unix datagram has with the send buffers that systems give by default.
const UNIX: usize = 256 * 1024 - 1;

/// A socket of datagrams: UDP, Unix datagrams, or one of your own for a test.
pub trait DatagramSocket {
    /// Receives one datagram into `buffer` and tells its sender. Of a datagram that is larger
    /// than `buffer` the rest is lost, so what fills it to the brim was cut off.
    ///
    /// Only the task that polled last is woken.
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Address>>;

    /// Sends one datagram, whole or not at all, to an address, or on a connected socket to its
    /// peer. Returns its size.
    ///
    /// Pending while the socket itself has no room. That this one peer has none is an error of
    /// kind [`WouldBlock`](io::ErrorKind::WouldBlock): it must not keep datagrams from the others.
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        datagram: &[u8],
        to: Option<&Address>,
    ) -> Poll<io::Result<usize>>;

    /// Our address.
    fn local_addr(&self) -> Address;

    /// The peer, if the socket is connected to one.
    fn peer_addr(&self) -> Option<Address>;

    /// The largest datagram that is received, in bytes.
    fn largest_received(&self) -> usize;

    /// The largest datagram that can be sent to `to`, in bytes; the system may allow less.
    fn largest_sent(&self, to: &Address) -> usize;
}

/// For whoever sends through the socket as well: [`UdpSocket::send_to`] may be called beside a server
/// or a [`Datagrams`](super::Datagrams) that holds a clone.
impl<S: DatagramSocket + ?Sized> DatagramSocket for Arc<S> {
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Address>> {
        (**self).poll_receive(cx, buffer)
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        datagram: &[u8],
        to: Option<&Address>,
    ) -> Poll<io::Result<usize>> {
        (**self).poll_send(cx, datagram, to)
    }

    fn local_addr(&self) -> Address {
        (**self).local_addr()
    }

    fn peer_addr(&self) -> Option<Address> {
        (**self).peer_addr()
    }

    fn largest_received(&self) -> usize {
        (**self).largest_received()
    }

    fn largest_sent(&self, to: &Address) -> usize {
        (**self).largest_sent(to)
    }
}

impl DatagramSocket for UdpSocket {
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Address>> {
        match self.poll_recv_from(cx, buffer) {
            Poll::Pending => pending(self.take_error()),
            received => received.map_ok(Address::Udp),
        }
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        datagram: &[u8],
        to: Option<&Address>,
    ) -> Poll<io::Result<usize>> {
        match to {
            None => UdpSocket::poll_send(self, cx, datagram),
            Some(Address::Udp(to)) => self.poll_send_to(cx, datagram, *to),
            Some(to) => Poll::Ready(Err(foreign(to))),
        }
    }

    fn local_addr(&self) -> Address {
        // It is bound, or it could not have been made.
        let unspecified = (std::net::Ipv4Addr::UNSPECIFIED, 0).into();
        Address::Udp(UdpSocket::local_addr(self).unwrap_or(unspecified))
    }

    fn peer_addr(&self) -> Option<Address> {
        UdpSocket::peer_addr(self).ok().map(Address::Udp)
    }

    fn largest_received(&self) -> usize {
        65_535
    }

    fn largest_sent(&self, to: &Address) -> usize {
        match to {
            Address::Udp(to) if to.ip().to_canonical().is_ipv6() => UDP_OVER_IPV6,
            _ => UDP_OVER_IPV4,
        }
    }
}

/// A peer that is not bound to a path has no name, and cannot be answered unless the socket is
/// connected to it; a name in Linux' abstract space counts as none.
///
/// What a peer has not read yet stays in *our* send buffer, and each peer's queue holds up to
/// `net.unix.max_dgram_qlen` datagrams (10, often set to 512). So that peers which read nothing
/// cannot use up the buffer, give it more room (`SO_SNDBUF`) than a few full queues need.
impl DatagramSocket for UnixDatagram {
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Address>> {
        match self.poll_recv_from(cx, buffer) {
            Poll::Pending => pending(self.take_error()),
            received => received.map_ok(|from| named(from.as_pathname())),
        }
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        datagram: &[u8],
        to: Option<&Address>,
    ) -> Poll<io::Result<usize>> {
        match to {
            None => UnixDatagram::poll_send(self, cx, datagram),
            // Past tokio: once one peer's queue is full, it takes the whole socket for full, and
            // nothing tells it that the other peers have room.
            Some(Address::Unix(Some(path))) => Poll::Ready(
                SocketAddrUnix::new(path.as_path())
                    .and_then(|to| sendto(self.as_fd(), datagram, SendFlags::empty(), &to))
                    .map_err(io::Error::from),
            ),
            Some(Address::Unix(None)) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                "a peer without a name cannot be answered",
            ))),
            Some(to) => Poll::Ready(Err(foreign(to))),
        }
    }

    fn local_addr(&self) -> Address {
        let local = UnixDatagram::local_addr(self).ok();
        named(local.as_ref().and_then(|local| local.as_pathname()))
    }

    fn peer_addr(&self) -> Option<Address> {
        let peer = UnixDatagram::peer_addr(self).ok()?;
        Some(named(peer.as_pathname()))
    }

    fn largest_received(&self) -> usize {
        UNIX
    }

    fn largest_sent(&self, _: &Address) -> usize {
        // As much as the send buffer holds, which the system knows best.
        usize::MAX
    }
}

/// What to answer where nothing has come. An error that the socket has to report would fail the
/// next send though that has nothing to do with it, and makes nothing readable.
fn pending(error: io::Result<Option<io::Error>>) -> Poll<io::Result<Address>> {
    match error {
        Ok(Some(error)) => Poll::Ready(Err(error)),
        _ => Poll::Pending,
    }
}

fn named(path: Option<&std::path::Path>) -> Address {
    Address::Unix(path.map(PathBuf::from))
}

fn foreign(to: &Address) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{to} is not an address of this socket's kind"),
    )
}
