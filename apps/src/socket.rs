//! Opens the sockets of listeners, with their options.

use std::{io, net::SocketAddr};

use framing::serve::{Address, Listener, Tcp, Unix};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::config::Listen;

/// A listening socket of either kind.
#[derive(Debug)]
pub(crate) enum Socketed {
    Tcp(Tcp),
    Unix(Unix),
}

impl Socketed {
    /// The real address.
    pub(crate) fn local_addr(&self) -> Address {
        match self {
            Self::Tcp(tcp) => tcp.local_addr(),
            Self::Unix(unix) => unix.local_addr(),
        }
    }
}

/// Opens the socket of a listener.
pub(crate) async fn bind(listen: &Listen) -> anyhow::Result<Socketed> {
    match &listen.address {
        Address::Tcp(address) => {
            let listener = tcp_socket(*address, listen)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            Ok(Socketed::Tcp(Tcp::new(listener)?.nodelay(listen.nodelay)))
        }
        Address::Unix(Some(path)) => Ok(Socketed::Unix(Unix::bind(path).await?)),
        other => anyhow::bail!("nobody can listen on {other}"),
    }
}

/// A listening socket with the options of its listener; accepted sockets inherit them.
fn tcp_socket(address: SocketAddr, listen: &Listen) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(listen.reuse_address)?;
    if let Some(bytes) = listen.receive_buffer {
        socket.set_recv_buffer_size(usize::try_from(bytes.0).unwrap_or(usize::MAX))?;
    }
    if let Some(bytes) = listen.send_buffer {
        socket.set_send_buffer_size(usize::try_from(bytes.0).unwrap_or(usize::MAX))?;
    }
    if let Some(idle) = listen.keepalive {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle.0))?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(listen.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::{
        net::TcpStream,
        thread,
        time::{Duration, Instant},
    };

    use socket2::SockRef;

    use super::*;
    use crate::config::Config;

    fn listen(options: &str) -> Listen {
        let text = format!(
            "[[listen]]\naddress = \"tcp://127.0.0.1:0\"\n{options}\n\
             identity = {{ name = \"guest\", rights = [] }}\n"
        );
        Config::parse(&text).unwrap().listen.remove(0)
    }

    /// The listening socket, and one that it has accepted.
    async fn sockets(options: &str) -> (Socketed, Socket, tokio::net::TcpStream) {
        let listen = listen(options);
        let socketed = bind(&listen).await.unwrap();
        let Socketed::Tcp(mut tcp) = socketed else {
            panic!("no TCP socket");
        };
        let Address::Tcp(address) = tcp.local_addr() else {
            panic!("no TCP address");
        };
        let client = thread::spawn(move || TcpStream::connect(address).unwrap());
        let (accepted, _) = tcp.accept().await;
        let client = client.join().unwrap();
        (Socketed::Tcp(tcp), client.into(), accepted)
    }

    #[tokio::test]
    async fn nodelay_is_on_unless_it_is_switched_off() {
        for (options, expected) in [
            ("", true),
            ("nodelay = true", true),
            ("nodelay = false", false),
        ] {
            let (_listener, _client, accepted) = sockets(options).await;
            assert_eq!(accepted.nodelay().unwrap(), expected, "{options}");
        }
    }

    #[tokio::test]
    async fn keepalive_has_the_idle_time_that_is_set() {
        let (_listener, _client, accepted) = sockets("").await;
        assert!(!SockRef::from(&accepted).keepalive().unwrap());
        let (_listener, _client, accepted) = sockets("keepalive = \"77s\"").await;
        let accepted = SockRef::from(&accepted);
        assert!(accepted.keepalive().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap().as_secs(), 77);
    }

    #[tokio::test]
    async fn the_buffers_are_as_large_as_they_are_set() {
        let options = "receive_buffer = \"96KiB\"\nsend_buffer = \"48KiB\"";
        let (_listener, _client, accepted) = sockets(options).await;
        let accepted = SockRef::from(&accepted);
        // Linux keeps as much again for its own accounts.
        assert_eq!(accepted.recv_buffer_size().unwrap(), 2 * 96 * 1024);
        assert_eq!(accepted.send_buffer_size().unwrap(), 2 * 48 * 1024);
    }

    #[tokio::test]
    async fn a_restarted_server_binds_at_once() {
        for (options, expected) in [("", true), ("reuse_address = false", false)] {
            let mut listen = listen(options);
            let listener = tcp_socket("127.0.0.1:0".parse().unwrap(), &listen).unwrap();
            assert_eq!(SockRef::from(&listener).reuse_address().unwrap(), expected);
            let address = listener.local_addr().unwrap();
            let client = TcpStream::connect(address).unwrap();
            listener.set_nonblocking(false).unwrap();
            // The side that closes first keeps the address for minutes.
            let (accepted, _) = listener.accept().unwrap();
            drop((accepted, listener));
            drop(client);
            listen.address = Address::Tcp(address);
            assert_eq!(bind(&listen).await.is_ok(), expected, "{options}");
        }
    }

    #[test]
    fn so_many_connections_wait_as_the_backlog_says() {
        let listener = tcp_socket("127.0.0.1:0".parse().unwrap(), &listen("backlog = 3")).unwrap();
        let address = listener.local_addr().unwrap().into();
        let begun = Instant::now();
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                // Those that the system has no place for get no answer.
                let connected = client.connect_timeout(&address, Duration::from_millis(200));
                (client, connected.is_ok())
            })
            .collect();
        let waiting = clients.iter().filter(|(_, connected)| *connected).count();
        // Linux has one place more than is asked for.
        assert_eq!(waiting, 4, "after {:?}", begun.elapsed());
    }
}
