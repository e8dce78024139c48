//! Makes the sockets: always on 127.0.0.1, at a port of the system's choice, and never waiting long.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, SockRef, Socket, Type};

/// No call on a socket waits longer than this.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long a late reader waits, beyond the delays of the sender, for bytes that do not come because
/// there is no room for them.
pub(super) const LATEST: Duration = Duration::from_millis(400);

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What is asked of the sockets.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketOptions {
    /// `TCP_NODELAY`, at both ends.
    pub(super) nodelay: bool,
    /// `SO_RCVBUF` of the side that reads, in bytes.
    pub(super) receive_buffer: Option<usize>,
    /// `SO_SNDBUF` of the side that sends, in bytes.
    pub(super) send_buffer: Option<usize>,
}

/// What the system made of it, read back from the sockets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    pub(super) nodelay: bool,
    pub(super) receive_buffer: usize,
    pub(super) send_buffer: usize,
}

impl SocketOptions {
    /// A listener of its own. Its `accept` ends after [`PATIENCE`], too.
    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // Before `listen`, as what is accepted inherits it and the window is agreed on while
        // connecting.
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.bind(&LOOPBACK.into())?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.listen(1)?;
        Ok(socket.into())
    }

    /// The side that sends.
    pub(super) fn connect(&self, listener: &TcpListener) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        socket.connect_timeout(&listener.local_addr()?.into(), PATIENCE)?;
        self.prepare(socket.into())
    }

    /// The side that reads.
    pub(super) fn accept(&self, listener: &TcpListener) -> io::Result<TcpStream> {
        self.prepare(listener.accept()?.0)
    }

    /// Both sides, connected: client, server.
    pub(super) fn pair(&self) -> io::Result<(TcpStream, TcpStream)> {
        let listener = self.listen()?;
        let client = self.connect(&listener)?;
        Ok((client, self.accept(&listener)?))
    }

    /// Both sides over UDP.
    pub(super) fn datagram_pair(&self) -> io::Result<(UdpSocket, UdpSocket)> {
        let (client, server) = (UdpSocket::bind(LOOPBACK)?, UdpSocket::bind(LOOPBACK)?);
        if let Some(bytes) = self.send_buffer {
            SockRef::from(&client).set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.receive_buffer {
            SockRef::from(&server).set_recv_buffer_size(bytes)?;
        }
        client.connect(server.local_addr()?)?;
        server.connect(client.local_addr()?)?;
        server.set_read_timeout(Some(LATEST))?;
        client.set_write_timeout(Some(PATIENCE))?;
        Ok((client, server))
    }

    /// What the system grants of these options.
    pub(super) fn granted(&self) -> io::Result<Granted> {
        let (client, server) = self.pair()?;
        Ok(Granted {
            nodelay: client.nodelay()?,
            receive_buffer: SockRef::from(&server).recv_buffer_size()?,
            send_buffer: SockRef::from(&client).send_buffer_size()?,
        })
    }

    fn prepare(&self, stream: TcpStream) -> io::Result<TcpStream> {
        stream.set_nodelay(self.nodelay)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }
}

/// How many bytes wait in the input buffer, unread.
pub(super) fn waiting(socket: impl AsFd) -> io::Result<usize> {
    let bytes = rustix::io::ioctl_fionread(socket)?;
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// Waits until `bytes` wait in the input buffer, or no more have come for as long as `limit`; says how
/// many there are.
pub(super) fn wait_for(socket: impl AsFd, bytes: usize, limit: Duration) -> io::Result<usize> {
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let there = waiting(&socket)?;
        // A sender that has not begun has not run yet: it cannot want for room.
        let limit = if there == 0 {
            limit.max(PATIENCE)
        } else {
            limit
        };
        if there >= bytes || since.elapsed() >= limit {
            return Ok(there);
        }
        if there > last {
            (last, since) = (there, Instant::now());
        }
        thread::sleep(Duration::from_millis(1));
    }
}
