//! The services of chat over real sockets and over one that exists in memory only.

mod chat_support;

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use chat_support::token;
use framing::{
    Raw,
    datagram::{Counters, DatagramSocket, Datagrams, serve_datagrams},
    serve::Address,
};
use futures_util::{SinkExt, StreamExt};
use services::chat::{
    self, ChatServer, Client, Directory, DirectoryOptions, Event, MAX_DATAGRAM, PlainInbox,
};
use tokio::{
    io::ReadBuf,
    net::UdpSocket,
    time::{Instant, sleep_until, timeout},
};

const LOOPBACK: &str = "127.0.0.1:0";

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work)
        .await
        .expect("this takes too long")
}

/// A directory on loopback.
async fn directory() -> (SocketAddr, Counters, ChatServer) {
    let socket = UdpSocket::bind(LOOPBACK).await.unwrap();
    let address = socket.local_addr().unwrap();
    let now = std::time::Instant::now();
    let server = ChatServer::new(Directory::new(DirectoryOptions::default(), [7; 32], now));
    let datagrams = Datagrams::new(socket, chat::framing().unwrap()).unwrap();
    let serving = serve_datagrams(datagrams.max_datagram(MAX_DATAGRAM), server.clone());
    let serving = serving.silent_when_empty(true);
    let counters = serving.counters();
    tokio::spawn(serving.into_future());
    (address, counters, server)
}

/// A client with a socket.
struct Person {
    client: Client,
    datagrams: Datagrams<UdpSocket, framing::StructHeader>,
    server: SocketAddr,
}

impl Person {
    async fn join(name: &str, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind(LOOPBACK).await.unwrap();
        socket.connect(server).await.unwrap();
        let now = Instant::now().into_std();
        let mut person = Self {
            client: Client::new(name.parse().unwrap(), token(name), 1, now),
            datagrams: Datagrams::new(socket, chat::framing().unwrap()).unwrap(),
            server,
        };
        assert_eq!(person.event().await, Event::Joined);
        person
    }

    /// What happens next.
    async fn event(&mut self) -> Event {
        soon(async {
            loop {
                let now = Instant::now().into_std();
                while let Some(object) = self.client.transmit(now) {
                    // A refusal is that of a datagram before.
                    let _ = self
                        .datagrams
                        .send((object, Address::Udp(self.server)))
                        .await;
                }
                if let Some(event) = self.client.event() {
                    return event;
                }
                let at = self.client.deadline(now).unwrap();
                tokio::select! {
                    received = self.datagrams.next() => {
                        if let Some(Ok((object, _))) = received {
                            self.client.receive(&object, Instant::now().into_std());
                        }
                    }
                    () = sleep_until(Instant::from_std(at)) => {}
                }
            }
        })
        .await
    }
}

#[tokio::test]
async fn two_people_chat_over_real_sockets() {
    let (server, _, _) = directory().await;
    let mut alice = Person::join("alice", server).await;
    let mut bob = Person::join("bob", server).await;
    let start = Instant::now();
    for round in 0..20 {
        let text = format!("你好 {round} {}", "x".repeat(round * 200));
        let bob_name = "bob".parse().unwrap();
        alice.client.say(&bob_name, &text).unwrap();
        let (sent, came) = tokio::join!(alice.event(), bob.event());
        assert!(matches!(sent, Event::Delivered { .. }), "{sent:?}");
        let from = "alice".parse().unwrap();
        assert_eq!(came, Event::Message { from, text });
        // He confirms what he has seen while he waits for more.
    }
    println!("20 messages there and confirmed in {:?}", start.elapsed());
}

#[tokio::test]
async fn svc_g7_what_is_no_whole_datagram_of_ours_is_not_answered_and_harms_nobody() {
    let (server, counters, _) = directory().await;
    let mut alice = Person::join("alice", server).await;
    let stranger = UdpSocket::bind(LOOPBACK).await.unwrap();
    let object = format!(r#"{{"op":"hello","id":1,"pad":"{}"}}"#, "x".repeat(300));
    let mut whole = b"FW\x01".to_vec();
    whole.push((object.len() - 256) as u8);
    whole.extend_from_slice(object.as_bytes());
    let mut bad = 0;
    for datagram in [
        vec![],
        vec![b'x'],
        vec![b'x'; 1200],
        vec![b'x'; 1201],
        vec![b'x'; 65_507],
        b"hello".to_vec(),
        b"FW\0\x05{}".to_vec(),
        whole[..200].to_vec(),
        [&whole[..], b"}"].concat(),
    ] {
        stranger.send_to(&datagram, server).await.unwrap();
        bad += 1;
    }
    // The good one is the only one that is answered.
    stranger.send_to(&whole, server).await.unwrap();
    let mut buffer = [0; 2000];
    let (size, _) = soon(stranger.recv_from(&mut buffer)).await.unwrap();
    assert!(size <= whole.len());
    assert!(buffer.starts_with(b"FW"));
    assert!(String::from_utf8_lossy(&buffer[4..size]).contains("cookie"));
    assert_eq!(counters.unreadable(), bad);
    alice.client.ask_who("", Instant::now().into_std());
    assert!(matches!(alice.event().await, Event::Names { .. }));
    let quiet = timeout(Duration::from_millis(50), stranger.recv_from(&mut buffer)).await;
    assert!(quiet.is_err());
}

#[tokio::test]
async fn svc_g8_a_directory_that_is_not_there_yet_is_joined_once_it_is() {
    // Closed again: sends to it are refused.
    let socket = UdpSocket::bind(LOOPBACK).await.unwrap();
    let server = socket.local_addr().unwrap();
    drop(socket);
    let joining = tokio::spawn(async move { Person::join("alice", server).await });
    tokio::time::sleep(Duration::from_millis(400)).await;
    let socket = UdpSocket::bind(server).await.unwrap();
    let now = std::time::Instant::now();
    let service = ChatServer::new(Directory::new(DirectoryOptions::default(), [7; 32], now));
    let datagrams = Datagrams::new(socket, chat::framing().unwrap()).unwrap();
    tokio::spawn(
        serve_datagrams(datagrams, service)
            .silent_when_empty(true)
            .into_future(),
    );
    soon(joining).await.unwrap();
}

#[tokio::test]
async fn svc_g8_a_peer_that_has_gone_does_not_end_the_plain_loop() {
    let socket = Arc::new(UdpSocket::bind(LOOPBACK).await.unwrap());
    let local = UdpSocket::local_addr(&socket).unwrap();
    let (inbox, mut messages) = PlainInbox::new();
    let datagrams = Datagrams::new(socket.clone(), Raw::default()).unwrap();
    tokio::spawn(
        serve_datagrams(datagrams, inbox)
            .silent_when_empty(true)
            .into_future(),
    );
    for round in 0..20 {
        let peer = UdpSocket::bind(LOOPBACK).await.unwrap();
        let text = format!("round {round}");
        peer.send_to(text.as_bytes(), local).await.unwrap();
        let message = soon(messages.recv()).await.unwrap();
        assert_eq!(message.text, text);
        drop(peer);
        // Nobody is there any more.
        let _ = socket.send_to(b"answer", message.from).await;
    }
}

#[tokio::test]
async fn svc_g11_a_burst_is_counted_and_answers_come_again_within_a_second() {
    let (server, counters, service) = directory().await;
    let mut alice = Person::join("alice", server).await;
    let before = counters.requests() + counters.unreadable();
    let attack = std::thread::spawn(move || {
        let socket = std::net::UdpSocket::bind(LOOPBACK).unwrap();
        let hello = format!(r#"{{"op":"hello","id":1,"pad":"{}"}}"#, "x".repeat(128));
        let mut datagram = b"FW\0".to_vec();
        datagram.push(hello.len() as u8);
        datagram.extend_from_slice(hello.as_bytes());
        for _ in 0..100_000 {
            // What the system does not take is as good as lost.
            let _ = socket.send_to(&datagram, server);
        }
    });
    while !attack.is_finished() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let start = Instant::now();
    alice.client.ask_who("", Instant::now().into_std());
    while !matches!(alice.event().await, Event::Names { .. }) {}
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    let taken = counters.requests() + counters.unreadable() + counters.dropped() - before;
    println!(
        "of 100 000 datagrams {taken} were read, {} of these let go; then an answer in {took:?}",
        counters.dropped()
    );
    assert!(service.directory().len() == 1);
}

/// A datagram, and who it is from or to.
type Letter<A> = (Vec<u8>, A);

/// A socket whose datagrams are put in and taken out by a test.
#[derive(Clone, Default)]
struct Scripted {
    incoming: Arc<Mutex<VecDeque<Letter<SocketAddr>>>>,
    sent: Arc<Mutex<Vec<Letter<Address>>>>,
}

impl DatagramSocket for Scripted {
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Address>> {
        match self.incoming.lock().unwrap().pop_front() {
            Some((datagram, from)) => {
                buffer.put_slice(&datagram);
                Poll::Ready(Ok(Address::Udp(from)))
            }
            None => {
                // Asked again and again: the test ends soon.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn poll_send(
        &self,
        _: &mut Context<'_>,
        datagram: &[u8],
        to: Option<&Address>,
    ) -> Poll<io::Result<usize>> {
        let sent = (datagram.to_vec(), to.unwrap().clone());
        self.sent.lock().unwrap().push(sent);
        Poll::Ready(Ok(datagram.len()))
    }

    fn local_addr(&self) -> Address {
        Address::Udp("127.0.0.1:8090".parse().unwrap())
    }

    fn peer_addr(&self) -> Option<Address> {
        None
    }

    fn largest_received(&self) -> usize {
        65_535
    }

    fn largest_sent(&self, _: &Address) -> usize {
        65_507
    }
}

#[tokio::test]
async fn svc_g14_who_cannot_be_there_is_not_answered_and_not_shown() {
    let hello = format!(r#"{{"op":"hello","id":1,"pad":"{}"}}"#, "x".repeat(128));
    let mut ours = b"FW\0".to_vec();
    ours.push(hello.len() as u8);
    ours.extend_from_slice(hello.as_bytes());
    let odd = [
        "127.0.0.1:0",
        "127.0.0.1:8090",
        "255.255.255.255:9",
        "224.0.0.1:9",
        "0.0.0.0:9",
    ];
    let good: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let froms = || odd.iter().map(|odd| odd.parse().unwrap()).chain([good]);

    let socket = Scripted::default();
    socket
        .incoming
        .lock()
        .unwrap()
        .extend(froms().map(|from| (ours.clone(), from)));
    let now = std::time::Instant::now();
    let service = ChatServer::new(Directory::new(DirectoryOptions::default(), [7; 32], now));
    let datagrams = Datagrams::new(socket.clone(), chat::framing().unwrap()).unwrap();
    let server = serve_datagrams(datagrams, service).silent_when_empty(true);
    let counters = server.counters();
    let running = tokio::spawn(server.into_future());
    soon(async {
        while counters.unanswered() + counters.answers() <= odd.len() as u64 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    running.abort();
    let sent = socket.sent.lock().unwrap().clone();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].1, Address::Udp(good));

    let socket = Scripted::default();
    let plain = froms().map(|from| (b"hi".to_vec(), from));
    socket.incoming.lock().unwrap().extend(plain);
    let (inbox, mut messages) = PlainInbox::new();
    let datagrams = Datagrams::new(socket.clone(), Raw::default()).unwrap();
    let server = serve_datagrams(datagrams, inbox).silent_when_empty(true);
    let running = tokio::spawn(server.into_future());
    assert_eq!(soon(messages.recv()).await.unwrap().from, good);
    assert!(messages.try_recv().is_err());
    running.abort();
    assert!(socket.sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn svc_g16_a_plain_datagram_is_shown_as_it_came_with_what_is_wrong_with_it() {
    let socket = Arc::new(UdpSocket::bind(LOOPBACK).await.unwrap());
    let local = UdpSocket::local_addr(&socket).unwrap();
    let (inbox, mut messages) = PlainInbox::new();
    let datagrams = Datagrams::new(socket.clone(), Raw::default()).unwrap();
    tokio::spawn(
        serve_datagrams(datagrams, inbox)
            .silent_when_empty(true)
            .into_future(),
    );
    let peer = UdpSocket::bind(LOOPBACK).await.unwrap();
    for size in [0, 1, 1023, 1024, 1025, 65_507] {
        let text = "x".repeat(size);
        peer.send_to(text.as_bytes(), local).await.unwrap();
        let message = soon(messages.recv()).await.unwrap();
        assert!(message.text == text, "{size}");
        assert_eq!(message.flaws.is_empty(), size <= 1024, "{size}");
    }
    // Nothing comes back by itself.
    let mut buffer = Bytes::from_static(&[0; 16]).to_vec();
    let quiet = timeout(Duration::from_millis(50), peer.recv_from(&mut buffer)).await;
    assert!(quiet.is_err());
}
