//! Frames in UDP and Unix datagrams: each by itself, and errors that never end the socket.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::ready,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use framing::{
    AckHandshake, Delimiter, ErrorKind, FrameError, Limits, OnError, Part, Raw, RawOptions,
    Registry, StructHeader, StructHeaderOptions, Value,
    datagram::{Counters, DatagramError, DatagramSocket, Datagrams, serve_datagrams},
    serve::{Address, MakeFraming, Peer, PipelineOptions},
};
use futures_util::{FutureExt, SinkExt, StreamExt};
use proptest::prelude::*;
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::{
    io::ReadBuf,
    net::{UdpSocket, UnixDatagram},
    sync::{Notify, Semaphore, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tower::{make::Shared, service_fn};

const LOOPBACK: &str = "127.0.0.1:0";

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work)
        .await
        .expect("this takes too long")
}

async fn udp() -> UdpSocket {
    UdpSocket::bind(LOOPBACK).await.unwrap()
}

/// Datagrams on loopback, and their address.
async fn datagrams<F: MakeFraming>(framing: F) -> (Datagrams<UdpSocket, F>, SocketAddr) {
    let socket = udp().await;
    let address = socket.local_addr().unwrap();
    (Datagrams::new(socket, framing).unwrap(), address)
}

/// What comes next, which is a frame or a bad datagram.
async fn next<S: DatagramSocket, F: MakeFraming>(
    datagrams: &mut Datagrams<S, F>,
) -> Result<Bytes, FrameError> {
    match soon(datagrams.next()).await.expect("the socket lives") {
        Ok((frame, _)) => Ok(frame),
        Err(DatagramError::Unreadable { error, .. }) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn s14_an_attackers_datagram_leaves_nothing_for_the_next_peer() {
    // For each framing the start of a frame, then a whole frame, each from a socket of its own.
    for (framing, attack, good) in [
        ("struct-header", &b"\0\0\0\x06"[..], &b"\0\0\0\x02hi"[..]),
        ("struct-header", b"\0", b"\0\0\0\x02hi"),
        ("delimiter", b"evil", b"hi\n"),
        (
            "{ type = \"delimiter\", escape = \"\\\\\" }",
            b"evil\\",
            b"hi\n",
        ),
    ] {
        let (mut server, address) = datagrams(Registry::default().parse(framing).unwrap()).await;
        let (attacker, peer) = (udp().await, udp().await);
        for _ in 0..3 {
            attacker.send_to(attack, address).await.unwrap();
            let error = next(&mut server).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated, "{framing}");
            peer.send_to(good, address).await.unwrap();
            let (frame, from) = soon(server.next()).await.unwrap().unwrap();
            assert_eq!(frame, "hi", "{framing}");
            assert_eq!(from, Address::Udp(peer.local_addr().unwrap()));
        }
    }
}

#[tokio::test]
async fn s14_the_error_tells_who_what_and_how_much() {
    let (mut server, address) = datagrams(StructHeader::default()).await;
    let attacker = udp().await;
    attacker.send_to(b"\0\0\0\x06ab", address).await.unwrap();
    let error = soon(server.next()).await.unwrap().unwrap_err();
    let told = error.to_string();
    let DatagramError::Unreadable { error, from } = error else {
        panic!("{error}");
    };
    let remote = attacker.local_addr().unwrap();
    assert_eq!(from, Address::Udp(remote));
    assert_eq!(
        told,
        format!("a datagram from udp://{remote} ends inside its body: 2 of 6 bytes came")
    );
    let cut = (error.part(), error.have(), error.need());
    assert_eq!(cut, (Some(Part::Body), 2, Some(6)));
    assert_eq!(error.first_bytes(), r"\x00\x00\x00\x06ab");
}

#[tokio::test]
async fn s14_what_one_peer_has_sent_does_not_count_against_another() {
    // More empty frames in a row than one stream may have.
    let limits = Limits::new().max_empty_run(2);
    let framing = StructHeaderOptions::default().build(limits).unwrap();
    let (mut server, address) = datagrams(framing).await;
    let peer = udp().await;
    for _ in 0..5 {
        peer.send_to(&[0; 4], address).await.unwrap();
        assert_eq!(next(&mut server).await.unwrap(), "");
    }
}

#[tokio::test]
async fn s15_a_bad_datagram_is_one_error_and_the_next_one_is_read() {
    let limits = || Limits::new().max_frame(1000);
    for on_error in [OnError::Close, OnError::Skip] {
        let limits = limits().on_error(on_error);
        let framing = StructHeaderOptions::default().build(limits).unwrap();
        let (mut server, address) = datagrams(framing).await;
        let peer = udp().await;
        for (bad, kind) in [
            (&b"\0\0\0\x06abc"[..], ErrorKind::Truncated),
            (b"\0\x01\0\0abc", ErrorKind::TooLong),
            (b"\xff\xff\xff\xff", ErrorKind::TooLong),
        ] {
            for _ in 0..20 {
                peer.send_to(bad, address).await.unwrap();
                peer.send_to(b"\0\0\0\x02hi", address).await.unwrap();
                assert_eq!(next(&mut server).await.unwrap_err().kind(), kind);
                assert_eq!(next(&mut server).await.unwrap(), "hi");
            }
        }
        // Nothing is left over: no error comes twice.
        assert!(server.next().now_or_never().is_none());
    }
}

#[tokio::test]
async fn s16_bytes_behind_the_frame_are_an_error() {
    let (mut server, address) = datagrams(StructHeader::default()).await;
    let peer = udp().await;
    for (rest, told) in [
        (&b"\0\0\0\x02hi+++"[..], "3 bytes too many behind the frame"),
        (b"\0\0\0\x02hi\0", "1 byte too many behind the frame"),
        (
            b"\0\0\0\x02hi\0\0\0\x01x",
            "5 bytes too many behind the frame",
        ),
        (b"\0\0\0\x02hi\0\0\0\0", "4 bytes too many behind the frame"),
    ] {
        peer.send_to(rest, address).await.unwrap();
        let error = next(&mut server).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert_eq!((error.to_string().as_str(), error.offset()), (told, 6));
        assert_eq!(error.first_bytes(), rest[6..].escape_ascii().to_string());
    }
}

#[tokio::test]
async fn s16_what_the_framing_passes_over_behind_the_frame_is_none() {
    let framing = r#"{ type = "delimiter", skip_empty = true }"#;
    let (mut server, address) = datagrams(Registry::default().parse(framing).unwrap()).await;
    let peer = udp().await;
    peer.send_to(b"\nhi\n\n\n", address).await.unwrap();
    assert_eq!(next(&mut server).await.unwrap(), "hi");
    peer.send_to(b"hi\n\n\nho", address).await.unwrap();
    let error = next(&mut server).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
}

#[tokio::test]
async fn s16_several_frames_a_datagram_where_that_is_wanted() {
    let (server, address) = datagrams(StructHeader::default()).await;
    let mut server = server.several(true);
    let peer = udp().await;
    let frames = b"\0\0\0\x02hi\0\0\0\0\0\0\0\x02ho\0\0\0\x09cut";
    peer.send_to(frames, address).await.unwrap();
    peer.send_to(b"\0\0\0\x03end", address).await.unwrap();
    assert_eq!(next(&mut server).await.unwrap(), "hi");
    assert_eq!(next(&mut server).await.unwrap(), "");
    assert_eq!(next(&mut server).await.unwrap(), "ho");
    let error = next(&mut server).await.unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Truncated, 23));
    assert_eq!(next(&mut server).await.unwrap(), "end");
    assert!(server.next().now_or_never().is_none());
}

#[tokio::test]
async fn s16_with_several_frames_a_bad_one_can_be_skipped() {
    let limits = Limits::new().max_frame(2).on_error(OnError::Skip);
    let framing = StructHeaderOptions::default().build(limits).unwrap();
    let (server, address) = datagrams(framing).await;
    let mut server = server.several(true);
    let frames = b"\0\0\0\x03bad\0\0\0\x02ok";
    udp().await.send_to(frames, address).await.unwrap();
    let error = next(&mut server).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLong);
    assert_eq!(next(&mut server).await.unwrap(), "ok");
    assert!(server.next().now_or_never().is_none());
}

#[tokio::test]
async fn s16_an_empty_datagram_holds_no_frame() {
    for several in [false, true] {
        let (server, address) = datagrams(Delimiter::default()).await;
        let mut server = server.several(several);
        let peer = udp().await;
        peer.send_to(b"", address).await.unwrap();
        let error = next(&mut server).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert_eq!(error.to_string(), "there is no frame in it");
        // An empty frame is something else.
        peer.send_to(b"\n", address).await.unwrap();
        assert_eq!(next(&mut server).await.unwrap(), "");
    }
}

#[tokio::test]
async fn s16_over_raw_the_datagram_is_the_frame() {
    // A `chunk` is what one `recv` of a stream takes; a datagram is not cut.
    let framing = RawOptions::default()
        .chunk(3)
        .build(Limits::new().max_frame(10));
    let (mut server, address) = datagrams(framing.unwrap()).await;
    let peer = udp().await;
    for datagram in [&b"hello"[..], b"", b"0123456789"] {
        peer.send_to(datagram, address).await.unwrap();
        let (frame, from) = soon(server.next()).await.unwrap().unwrap();
        assert_eq!(frame, datagram);
        soon(server.send((frame, from))).await.unwrap();
        let mut answer = [9; 16];
        let (size, _) = soon(peer.recv_from(&mut answer)).await.unwrap();
        assert_eq!(&answer[..size], datagram);
    }
    peer.send_to(b"0123456789x", address).await.unwrap();
    let error = next(&mut server).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.declared()),
        (ErrorKind::TooLong, Some(11))
    );
    let to = Address::Udp(peer.local_addr().unwrap());
    let error = soon(server.send(("0123456789x".into(), to))).await;
    assert!(matches!(error, Err(DatagramError::Unencodable { .. })));
}

#[tokio::test]
async fn s16_the_largest_datagram_is_carried_and_one_byte_more_is_refused() {
    for (bind, largest) in [(LOOPBACK, 65_507), ("[::1]:0", 65_527)] {
        let Ok(socket) = UdpSocket::bind(bind).await else {
            assert_ne!(bind, LOOPBACK);
            continue; // A machine without IPv6.
        };
        let to = Address::Udp(socket.local_addr().unwrap());
        let mut server = Datagrams::new(socket, StructHeader::default()).unwrap();
        let peer = UdpSocket::bind(bind).await.unwrap();
        let mut peer = Datagrams::new(peer, StructHeader::default()).unwrap();

        let frame = Bytes::from(vec![7; largest - 4]);
        soon(peer.send((frame.clone(), to.clone()))).await.unwrap();
        assert!(next(&mut server).await.unwrap() == frame);

        let frame = Bytes::from(vec![7; largest - 3]);
        let error = soon(peer.send((frame.clone(), to.clone())))
            .await
            .unwrap_err();
        let DatagramError::Unencodable { mut error, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(error.kind(), ErrorKind::Unencodable);
        assert!(error.to_string().contains(&largest.to_string()), "{error}");
        assert!(error.take_frame() == Some(frame));
        // Nothing of it was sent, and the sink lives.
        soon(peer.send(("hi".into(), to))).await.unwrap();
        assert_eq!(next(&mut server).await.unwrap(), "hi");
    }
}

#[tokio::test]
async fn s16_a_datagram_over_the_buffer_is_an_error_and_never_a_short_frame() {
    let (server, address) = datagrams(Raw::default()).await;
    let mut server = server.max_datagram(100);
    let peer = udp().await;
    for size in [100, 101, 102, 5000] {
        peer.send_to(&vec![7; size], address).await.unwrap();
        match soon(server.next()).await.unwrap() {
            Ok((frame, _)) => assert_eq!((frame.len(), size), (100, 100)),
            Err(DatagramError::CutOff { limit, from }) => {
                assert!(size > 100 && limit == 100);
                assert_eq!(from, Address::Udp(peer.local_addr().unwrap()));
            }
            Err(error) => panic!("{error}"),
        }
    }
    peer.send_to(b"hi", address).await.unwrap();
    assert_eq!(next(&mut server).await.unwrap(), "hi");
    // Not allocated, whatever is asked for.
    let _ = server.max_datagram(usize::MAX);
}

#[tokio::test]
async fn s16_what_the_system_does_not_send_is_refused_and_the_sink_lives() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, to) = unix(&folder.path().join("server"), Raw::default());
    let peer = UnixDatagram::unbound().unwrap();
    let mut peer = Datagrams::new(peer, Raw::default()).unwrap();
    let frame = Bytes::from(vec![7; 12 << 20]);
    let error = soon(peer.send((frame.clone(), to.clone())))
        .await
        .unwrap_err();
    let DatagramError::Unencodable { mut error, .. } = error else {
        panic!("{error}");
    };
    assert!(error.take_frame() == Some(frame));
    let nobody = Address::Unix(Some(folder.path().join("nobody")));
    let error = soon(peer.send(("hi".into(), nobody))).await.unwrap_err();
    assert!(
        matches!(&error, DatagramError::Send { error, .. } if error.kind() == io::ErrorKind::NotFound),
        "{error}"
    );
    let foreign = Address::Tcp("127.0.0.1:1".parse().unwrap());
    let error = soon(peer.send(("hi".into(), foreign))).await.unwrap_err();
    assert!(error.to_string().contains("tcp://127.0.0.1:1"), "{error}");
    soon(peer.send(("hi".into(), to))).await.unwrap();
    assert_eq!(next(&mut server).await.unwrap(), "hi");
}

#[tokio::test]
async fn a_payload_that_the_framing_cannot_carry_is_not_sent() {
    let (mut server, address) = datagrams(Delimiter::default()).await;
    let (mut peer, _) = datagrams(Delimiter::default()).await;
    let to = Address::Udp(address);
    let error = soon(peer.send(("two\nlines".into(), to.clone()))).await;
    assert!(matches!(error, Err(DatagramError::Unencodable { .. })));
    soon(peer.send(("one".into(), to))).await.unwrap();
    assert_eq!(next(&mut server).await.unwrap(), "one");
}

#[tokio::test]
async fn a_framing_that_waits_for_answers_is_refused() {
    let error = Datagrams::new(udp().await, AckHandshake::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("may be lost"), "{error}");
}

#[tokio::test]
async fn header_items_travel_with_the_datagram() {
    let framing = StructHeaderOptions::new("!BH")
        .build(Limits::default())
        .unwrap();
    let (mut server, address) = datagrams(framing.clone()).await;
    let (mut peer, _) = datagrams(framing).await;
    let to = Address::Udp(address);
    peer.set_header(&[Value::from(7u64)]).unwrap();
    for _ in 0..2 {
        soon(peer.send(("hi".into(), to.clone()))).await.unwrap();
        assert_eq!(next(&mut server).await.unwrap(), "hi");
        assert_eq!(server.header(), [Value::from(7u64)]);
    }
    assert!(peer.set_header(&[Value::from(256u64)]).is_err());
}

#[tokio::test]
async fn a_peer_that_is_gone_is_an_item_and_the_socket_lives() {
    // An address of its own, so that no other test takes the port meanwhile.
    let host = if cfg!(target_os = "linux") {
        "127.0.0.77:0"
    } else {
        LOOPBACK
    };
    let gone = UdpSocket::bind(host).await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let client = udp().await;
    client.connect(address).await.unwrap();
    let mut client = Datagrams::new(client, StructHeader::default()).unwrap();
    let to = Address::Udp(address);
    soon(client.send(("hi".into(), to.clone()))).await.unwrap();
    let error = soon(async {
        loop {
            if let Ok(told) = timeout(Duration::from_millis(5), client.next()).await {
                break told.unwrap().unwrap_err();
            }
        }
    })
    .await;
    assert!(
        matches!(&error, DatagramError::Receive(error) if error.kind() == io::ErrorKind::ConnectionRefused),
        "{error}"
    );
    // The peer comes back at the same address.
    let back = UdpSocket::bind(address).await.unwrap();
    let mut back = Datagrams::new(back, StructHeader::default()).unwrap();
    soon(client.send(("again".into(), to))).await.unwrap();
    let (frame, from) = soon(back.next()).await.unwrap().unwrap();
    soon(back.send((frame, from))).await.unwrap();
    assert_eq!(next(&mut client).await.unwrap(), "again");
}

/// A socket whose interface is down for a while.
struct Failing {
    failures: AtomicUsize,
    asked: AtomicUsize,
}

impl DatagramSocket for Failing {
    fn poll_receive(
        &self,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Address>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.failures.load(Ordering::Relaxed) == 0 {
            buffer.put_slice(b"hi\n");
            return Poll::Ready(Ok(Address::Memory(1)));
        }
        self.failures.fetch_sub(1, Ordering::Relaxed);
        Poll::Ready(Err(io::ErrorKind::NetworkDown.into()))
    }

    fn poll_send(
        &self,
        _: &mut Context<'_>,
        datagram: &[u8],
        _: Option<&Address>,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(datagram.len()))
    }

    fn local_addr(&self) -> Address {
        Address::Memory(0)
    }

    fn peer_addr(&self) -> Option<Address> {
        None
    }

    fn largest_received(&self) -> usize {
        100
    }

    fn largest_sent(&self, _: &Address) -> usize {
        100
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_fails_again_and_again_is_asked_less_and_less() {
    let socket = Failing {
        failures: AtomicUsize::new(100),
        asked: AtomicUsize::new(0),
    };
    let mut datagrams = Datagrams::new(socket, Delimiter::default()).unwrap();
    // The first failure is told at once; a hundred take minutes.
    assert!(datagrams.next().now_or_never().unwrap().unwrap().is_err());
    let start = tokio::time::Instant::now();
    let all = async { while datagrams.next().await.unwrap().is_err() {} };
    // On virtual time, so no watch is needed but one that is far longer.
    timeout(Duration::from_secs(3600), all).await.unwrap();
    let (took, asked) = (start.elapsed(), &datagrams.get_ref().asked);
    assert!((80..110).contains(&took.as_secs()), "{took:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_outlives_the_failures_of_its_socket() {
    let socket = Failing {
        failures: AtomicUsize::new(3),
        asked: AtomicUsize::new(0),
    };
    let datagrams = Datagrams::new(socket, Delimiter::default()).unwrap();
    let echo = service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame));
    let (stop, stopped) = oneshot::channel::<()>();
    let server = serve_datagrams(datagrams, Shared::new(echo)).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let counters = server.counters();
    let task = tokio::spawn(server.into_future());
    // There is always more to read, and yet answers leave and the end is noticed.
    until(|| counters.answers() >= 1000).await;
    assert_eq!(counters.failures(), 3);
    drop(stop);
    soon(task).await.unwrap();
}

/// A socket that has no room at first, each time something is sent.
struct Full {
    socket: UdpSocket,
    asked: AtomicUsize,
}

impl DatagramSocket for Full {
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Address>> {
        self.socket.poll_receive(cx, buffer)
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        datagram: &[u8],
        to: Option<&Address>,
    ) -> Poll<io::Result<usize>> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % 4 < 3 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        DatagramSocket::poll_send(&self.socket, cx, datagram, to)
    }

    fn local_addr(&self) -> Address {
        DatagramSocket::local_addr(&self.socket)
    }

    fn peer_addr(&self) -> Option<Address> {
        None
    }

    fn largest_received(&self) -> usize {
        100
    }

    fn largest_sent(&self, _: &Address) -> usize {
        100
    }
}

#[tokio::test]
async fn answers_wait_while_the_socket_has_no_room_and_none_takes_the_place_of_another() {
    let socket = udp().await;
    let address = socket.local_addr().unwrap();
    let asked = AtomicUsize::new(0);
    let datagrams = Datagrams::new(Full { socket, asked }, StructHeader::default()).unwrap();
    let server = serve_datagrams(datagrams, counting(Arc::default()));
    let task = tokio::spawn(server.into_future());
    let mut client = client(address).await;
    for _ in 0..30 {
        tell(&mut client, "x").await;
    }
    for count in 1..=30 {
        assert_eq!(next(&mut client).await.unwrap(), format!("{count}"));
    }
    task.abort();

    // The sink says so.
    let to = Address::Udp(address);
    let (socket, asked) = (udp().await, AtomicUsize::new(0));
    let full = Full { socket, asked };
    let mut full = Datagrams::new(full, StructHeader::default()).unwrap();
    full.start_send_unpin(("one".into(), to.clone())).unwrap();
    let error = full.start_send_unpin(("two".into(), to)).unwrap_err();
    assert!(matches!(error, DatagramError::NotReady));
    soon(full.flush()).await.unwrap();
}

/// A socket in memory: what it is given comes in, in order, from one peer each.
#[derive(Default)]
struct Mailbox(Mutex<VecDeque<Vec<u8>>>);

impl DatagramSocket for Mailbox {
    fn poll_receive(
        &self,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Address>> {
        let Some(datagram) = self.0.lock().unwrap().pop_front() else {
            return Poll::Pending;
        };
        buffer.put_slice(&datagram[..datagram.len().min(buffer.remaining())]);
        Poll::Ready(Ok(Address::Memory(1)))
    }

    fn poll_send(
        &self,
        _: &mut Context<'_>,
        datagram: &[u8],
        _: Option<&Address>,
    ) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().push_back(datagram.to_vec());
        Poll::Ready(Ok(datagram.len()))
    }

    fn local_addr(&self) -> Address {
        Address::Memory(0)
    }

    fn peer_addr(&self) -> Option<Address> {
        None
    }

    fn largest_received(&self) -> usize {
        4096
    }

    fn largest_sent(&self, _: &Address) -> usize {
        4096
    }
}

/// Bytes that are often the start of a frame.
fn junk() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0u8), Just(b'\n'), Just(b'\\'), Just(5), any::<u8>()];
    prop::collection::vec(byte, 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn s14_whatever_came_before_a_frame_is_read_and_each_datagram_is_one_item(
        before in prop::collection::vec(junk(), 0..8),
        frame in "[ -~]{1,200}",
        framing in prop::sample::select(vec![
            "struct-header",
            r#"{ type = "struct-header", format = "<BI", on_error = "skip", max_frame = 500 }"#,
            "delimiter",
            r#"{ type = "delimiter", delimiter = "||", escape = "\\", on_error = "skip" }"#,
            r#"{ type = "delimiter", skip_empty = true, allow_empty = false }"#,
            "lines",
            "raw",
        ]),
    ) {
        let factory = Registry::default().parse(framing).unwrap();
        let mut datagrams = Datagrams::new(Mailbox::default(), factory).unwrap();
        let count = before.len();
        datagrams.get_ref().0.lock().unwrap().extend(before);
        let sent = datagrams.send((frame.clone().into(), Address::Memory(1))).now_or_never();
        sent.unwrap().unwrap();
        for _ in 0..count {
            prop_assert!(datagrams.next().now_or_never().is_some());
        }
        let (got, _) = datagrams.next().now_or_never().unwrap().unwrap().unwrap();
        prop_assert_eq!(got, frame);
        prop_assert!(datagrams.next().now_or_never().is_none());
    }

    #[test]
    fn s16_several_frames_come_out_whatever_the_datagram_before(
        before in junk(),
        frames in prop::collection::vec("[ -~]{0,50}", 1..10),
    ) {
        let datagrams = Datagrams::new(Mailbox::default(), StructHeader::default()).unwrap();
        let mut datagrams = datagrams.several(true);
        let mut packed = Vec::new();
        for frame in &frames {
            packed.extend((frame.len() as u32).to_be_bytes());
            packed.extend(frame.bytes());
        }
        let least = usize::from(!before.is_empty());
        datagrams.get_ref().0.lock().unwrap().extend([before, packed]);
        let mut items = Vec::new();
        while let Some(item) = datagrams.next().now_or_never() {
            items.push(item.unwrap().ok().map(|(frame, _)| frame));
        }
        prop_assert!(items.len() >= frames.len() + least);
        let last = items.split_off(items.len() - frames.len());
        prop_assert!(last.into_iter().eq(frames.into_iter().map(|frame| Some(Bytes::from(frame)))));
    }
}

/// A Unix socket at `path`, and its address.
fn unix<F: MakeFraming>(
    path: &std::path::Path,
    framing: F,
) -> (Datagrams<UnixDatagram, F>, Address) {
    let socket = UnixDatagram::bind(path).unwrap();
    let address = Address::Unix(Some(path.into()));
    assert_eq!(DatagramSocket::local_addr(&socket), address);
    (Datagrams::new(socket, framing).unwrap(), address)
}

#[test]
fn addresses_of_udp_sockets_are_written_and_read() {
    for text in ["udp://127.0.0.1:9001", "udp://[::1]:0"] {
        let address: Address = text.parse().unwrap();
        assert!(matches!(address, Address::Udp(_)) && address.is_local());
        assert_eq!(address.to_string(), text);
    }
    assert!(!"udp://192.0.2.1:1".parse::<Address>().unwrap().is_local());
    let error = "udp://localhost".parse::<Address>().unwrap_err();
    assert!(
        error.to_string().contains("udp://127.0.0.1:9001"),
        "{error}"
    );
}

#[tokio::test]
async fn s17_unix_datagrams_carry_frames_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, to) = unix(&folder.path().join("server"), StructHeader::default());
    let (mut client, address) = unix(&folder.path().join("client"), StructHeader::default());
    let frame = Bytes::from(vec![7; 100_000]);
    soon(client.send((frame.clone(), to.clone())))
        .await
        .unwrap();
    let (got, from) = soon(server.next()).await.unwrap().unwrap();
    assert!(got == frame && from == address);
    soon(server.send((got, from))).await.unwrap();
    let (got, from) = soon(client.next()).await.unwrap().unwrap();
    assert!(got == frame && from == to);
}

#[tokio::test]
async fn s17_a_peer_without_a_name_is_heard_and_cannot_be_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server");
    let (mut server, _) = unix(&path, Raw::default());
    let unnamed = UnixDatagram::unbound().unwrap();
    unnamed.send_to(b"hi", &path).await.unwrap();
    let (frame, from) = soon(server.next()).await.unwrap().unwrap();
    assert_eq!((&frame[..], &from), (&b"hi"[..], &Address::Unix(None)));
    let error = soon(server.send((frame, from))).await.unwrap_err();
    assert!(error.to_string().contains("without a name"), "{error}");
    // Two that are connected need no names.
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let mut ours = Datagrams::new(ours, Raw::default()).unwrap();
    let mut theirs = Datagrams::new(theirs, Raw::default()).unwrap();
    soon(ours.send(("hi".into(), Address::Unix(None))))
        .await
        .unwrap();
    let received = soon(theirs.next()).await.unwrap().unwrap();
    soon(theirs.send(received)).await.unwrap();
    assert_eq!(next(&mut ours).await.unwrap(), "hi");
}

#[tokio::test]
async fn s17_a_peer_that_takes_nothing_in_does_not_keep_answers_from_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, _) = unix(&folder.path().join("server"), Raw::default());
    let (_deaf, deaf) = unix(&folder.path().join("deaf"), Raw::default());
    let (mut keen, keen_address) = unix(&folder.path().join("keen"), Raw::default());
    // Unread datagrams stay in the sender's buffer; it must hold more of them than a peer's queue.
    set_socket_send_buffer_size(server.get_ref(), 1 << 20).unwrap();
    let mut sent = 0;
    let error = loop {
        match soon(server.send(("news".into(), deaf.clone()))).await {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 1_000_000, "no system queues so much");
    };
    assert!(
        matches!(&error, DatagramError::Send { error, .. } if error.kind() == io::ErrorKind::WouldBlock),
        "{error}"
    );
    for _ in 0..100 {
        match soon(server.send(("news".into(), keen_address.clone()))).await {
            Ok(()) => assert_eq!(next(&mut keen).await.unwrap(), "news"),
            Err(error) => panic!("after {sent} datagrams: {error}"),
        }
    }
}

/// A server in a task.
struct Running {
    address: SocketAddr,
    counters: Counters,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves over UDP with `struct-header`, as `set_up` says.
macro_rules! serving {
    ($make:expr $(, $option:ident($($value:expr),*))* $(,)?) => {{
        let (datagrams, address) = datagrams(StructHeader::default()).await;
        let (stop, stopped) = oneshot::channel();
        let server = serve_datagrams(datagrams, $make)
            $(.$option($($value),*))*
            .with_graceful_shutdown(async {
                let _ = stopped.await;
            });
        let counters = server.counters();
        let task = tokio::spawn(server.into_future());
        Running { address, counters, stop: Some(stop), task }
    }};
}

/// A connected client.
async fn client(address: SocketAddr) -> Datagrams<UdpSocket, StructHeader> {
    let socket = udp().await;
    socket.connect(address).await.unwrap();
    Datagrams::new(socket, StructHeader::default()).unwrap()
}

async fn ask(client: &mut Datagrams<UdpSocket, StructHeader>, request: impl Into<Bytes>) -> Bytes {
    tell(client, request).await;
    next(client).await.unwrap()
}

async fn tell(client: &mut Datagrams<UdpSocket, StructHeader>, request: impl Into<Bytes>) {
    let to = DatagramSocket::peer_addr(client.get_ref()).unwrap();
    soon(client.send((request.into(), to))).await.unwrap();
}

async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// A service that counts its requests, one for each peer.
fn counting(
    services: Arc<AtomicUsize>,
) -> impl tower::Service<
    Peer,
    Response = impl tower::Service<Bytes, Response = Bytes, Error = Infallible, Future: Send> + Send,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ Sync
+ 'static {
    service_fn(move |_: Peer| {
        services.fetch_add(1, Ordering::Relaxed);
        let mut count = 0;
        ready(Ok::<_, Infallible>(service_fn(move |_: Bytes| {
            count += 1;
            ready(Ok::<_, Infallible>(Bytes::from(format!("{count}"))))
        })))
    })
}

#[tokio::test]
async fn b14_a_service_learns_who_its_peer_is() {
    let peers = Arc::new(Mutex::new(Vec::new()));
    let seen = peers.clone();
    let make = service_fn(move |peer: Peer| {
        let told = format!("{} {} {}", peer.remote, peer.local, peer.framing);
        seen.lock().unwrap().push(peer);
        let answer = move |_: Bytes| ready(Ok::<_, Infallible>(Bytes::from(told.clone())));
        ready(Ok::<_, Infallible>(service_fn(answer)))
    });
    let server = serving!(make);
    let mut client = client(server.address).await;
    let remote = client.get_ref().local_addr().unwrap();
    let local = server.address;
    let told = format!("udp://{remote} udp://{local} StructHeader");
    assert_eq!(ask(&mut client, "who am I?").await, told);
    assert_eq!(ask(&mut client, "and now?").await, told);
    let peers = peers.lock().unwrap();
    assert_eq!(peers.len(), 1, "one session for two requests");
    assert!(peers[0].credentials.is_none() && peers[0].remote.is_local());
}

#[tokio::test]
async fn s14_a_server_answers_the_good_peer_and_never_the_bad_datagram() {
    let services = Arc::new(AtomicUsize::new(0));
    let server = serving!(counting(services.clone()));
    let attacker = udp().await;
    attacker.connect(server.address).await.unwrap();
    let mut good = client(server.address).await;
    for round in 1..=5 {
        for bad in [
            &b"\0\0\0\x06"[..],
            b"",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\0\0\0\0+",
        ] {
            attacker.send(bad).await.unwrap();
        }
        assert_eq!(ask(&mut good, "hi").await, format!("{round}"));
    }
    until(|| server.counters.unreadable() == 20).await;
    // A bad datagram makes no session and gets no answer.
    assert_eq!(services.load(Ordering::Relaxed), 1);
    assert!(attacker.recv(&mut [0; 64]).now_or_never().is_none());
}

#[tokio::test]
async fn each_peer_has_a_session_and_its_answers_come_in_order() {
    let services = Arc::new(AtomicUsize::new(0));
    let server = serving!(counting(services.clone()));
    let (mut one, mut two) = (client(server.address).await, client(server.address).await);
    for count in 1..=10 {
        assert_eq!(ask(&mut one, "x").await, format!("{count}"));
        tell(&mut two, "x").await;
    }
    for count in 1..=10 {
        assert_eq!(next(&mut two).await.unwrap(), format!("{count}"));
    }
    assert_eq!(services.load(Ordering::Relaxed), 2);
    until(|| server.counters.answers() == 20).await;
    assert_eq!(
        (server.counters.requests(), server.counters.sessions()),
        (20, 2)
    );
}

/// Counts the services that live.
struct Living(Arc<AtomicUsize>);

impl Drop for Living {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_flood_from_many_senders_finds_a_table_with_a_bound() {
    const SESSIONS: usize = 8;
    let (living, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, peak) = (living.clone(), most.clone());
    let make = service_fn(move |_: Peer| {
        let now = count.fetch_add(1, Ordering::SeqCst) + 1;
        peak.fetch_max(now, Ordering::SeqCst);
        let alive = Living(count.clone());
        let echo = move |frame: Bytes| {
            let _alive = &alive;
            ready(Ok::<_, Infallible>(frame))
        };
        ready(Ok::<_, Infallible>(service_fn(echo)))
    });
    let server = serving!(make, max_sessions(SESSIONS));
    let mut senders = Vec::new();
    for _ in 0..50 {
        senders.push(client(server.address).await);
    }
    for round in 0..3 {
        for sender in &mut senders {
            let request = format!("{round}");
            assert_eq!(ask(sender, request.clone()).await, request);
        }
    }
    // Each came when all others were idle, so each had its turn and made another one end.
    assert_eq!(
        (server.counters.sessions(), server.counters.evicted()),
        (150, 142)
    );
    assert_eq!(
        (server.counters.refused(), server.counters.dropped()),
        (0, 0)
    );
    assert!(most.load(Ordering::SeqCst) <= 2 * SESSIONS);
    until(|| living.load(Ordering::SeqCst) == SESSIONS).await;
}

#[tokio::test]
async fn the_session_that_is_idle_for_longest_makes_room() {
    let server = serving!(counting(Arc::default()), max_sessions(2));
    let mut peers = Vec::new();
    for _ in 0..3 {
        peers.push(client(server.address).await);
    }
    let order = [
        (0, "1"),
        (1, "1"),
        (0, "2"),
        (2, "1"),
        (0, "3"),
        (1, "1"),
        (2, "1"),
    ];
    for (peer, count) in order {
        assert_eq!(ask(&mut peers[peer], "x").await, count, "peer {peer}");
    }
}

/// A service whose answers wait until the gate lets them through.
fn gated(gate: Arc<Semaphore>, begun: Arc<AtomicUsize>) -> impl Gated {
    Shared::new(service_fn(move |frame: Bytes| {
        begun.fetch_add(1, Ordering::SeqCst);
        let gate = gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            Ok::<_, Infallible>(frame)
        }
    }))
}

/// A maker of services with the bounds that a server asks for.
trait Gated:
    tower::Service<
        Peer,
        Response: tower::Service<Bytes, Response = Bytes, Error = Infallible, Future: Send> + Send,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<
    T: tower::Service<
            Peer,
            Response: tower::Service<Bytes, Response = Bytes, Error = Infallible, Future: Send>
                          + Send,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + Sync
        + 'static,
> Gated for T
{
}

#[tokio::test]
async fn a_new_peer_is_refused_while_all_sessions_are_busy() {
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let server = serving!(gated(gate.clone(), begun.clone()), max_sessions(2));
    let (mut one, mut two) = (client(server.address).await, client(server.address).await);
    let mut late = client(server.address).await;
    tell(&mut one, "one").await;
    tell(&mut two, "two").await;
    until(|| server.counters.requests() == 2).await;
    tell(&mut late, "late").await;
    until(|| server.counters.refused() == 1).await;
    gate.add_permits(100);
    assert_eq!(next(&mut one).await.unwrap(), "one");
    assert_eq!(next(&mut two).await.unwrap(), "two");
    // Now they are idle, and one of them makes room.
    until(|| server.counters.answers() == 2).await;
    assert_eq!(ask(&mut late, "late").await, "late");
    assert_eq!(server.counters.evicted(), 1);
    assert_eq!(begun.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn what_a_peer_has_in_flight_has_a_bound_and_so_has_all_of_it() {
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let options = PipelineOptions::default().max_in_flight(3);
    let server = serving!(
        gated(gate.clone(), begun.clone()),
        pipeline(options),
        max_in_flight(5)
    );
    let (mut one, mut two) = (client(server.address).await, client(server.address).await);
    for request in 0..10 {
        tell(&mut one, format!("{request}")).await;
    }
    until(|| server.counters.dropped() == 7).await;
    assert_eq!(server.counters.requests(), 3);
    for request in 0..10 {
        tell(&mut two, format!("{request}")).await;
    }
    until(|| server.counters.dropped() == 15).await;
    assert_eq!(server.counters.requests(), 5);
    assert!(begun.load(Ordering::SeqCst) <= 5);
    gate.add_permits(1000);
    for request in 0..3 {
        assert_eq!(next(&mut one).await.unwrap(), format!("{request}"));
    }
    for request in 0..2 {
        assert_eq!(next(&mut two).await.unwrap(), format!("{request}"));
    }
    // And there is room again.
    until(|| server.counters.answers() == 5).await;
    assert_eq!(ask(&mut one, "more").await, "more");
}

#[tokio::test]
async fn the_bytes_in_flight_have_a_bound() {
    let gate = Arc::new(Semaphore::new(0));
    let server = serving!(gated(gate.clone(), Arc::default()), max_bytes(2500));
    let mut client = client(server.address).await;
    for _ in 0..10 {
        tell(&mut client, vec![7; 1000]).await;
    }
    until(|| server.counters.dropped() == 7).await;
    assert_eq!(server.counters.requests(), 3);
    gate.add_permits(1000);
    until(|| server.counters.answers() == 3).await;
    for _ in 0..3 {
        assert_eq!(next(&mut client).await.unwrap().len(), 1000);
    }
    assert_eq!(ask(&mut client, "more").await, "more");
}

#[tokio::test]
async fn an_idle_session_ends_and_a_busy_one_does_not() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let make = service_fn(move |_: Peer| {
        let mut count = 0;
        let gate = opened.clone();
        ready(Ok::<_, Infallible>(service_fn(move |frame: Bytes| {
            count += 1;
            let (gate, answer) = (gate.clone(), Bytes::from(format!("{count}")));
            async move {
                if frame == "wait" {
                    gate.acquire().await.unwrap().forget();
                }
                Ok::<_, Infallible>(answer)
            }
        })))
    });
    let server = serving!(make, idle(Duration::from_millis(50)));
    let (mut idle, mut busy) = (client(server.address).await, client(server.address).await);
    tell(&mut busy, "wait").await;
    until(|| server.counters.requests() == 1).await;
    // Its service is a new one as soon as it was idle for long enough.
    soon(async {
        ask(&mut idle, "x").await;
        loop {
            tokio::time::sleep(Duration::from_millis(60)).await;
            if ask(&mut idle, "x").await == "1" {
                break;
            }
        }
    })
    .await;
    gate.add_permits(1);
    assert_eq!(next(&mut busy).await.unwrap(), "1");
    assert_eq!(server.counters.evicted(), 0, "there was room");
}

#[tokio::test]
async fn an_idle_limit_without_end_is_none() {
    let server = serving!(counting(Arc::default()), idle(Duration::MAX));
    let mut client = client(server.address).await;
    assert_eq!(ask(&mut client, "x").await, "1");
    assert_eq!(ask(&mut client, "x").await, "2");
}

#[tokio::test]
async fn a_request_that_fails_or_panics_is_answered_and_the_others_live() {
    let service = service_fn(async |frame: Bytes| match &frame[..] {
        b"fail" => Err(io::Error::other("no luck")),
        b"panic" => panic!("on purpose"),
        b"huge" => Ok(Bytes::from(vec![0; 70_000])),
        _ => Ok(frame),
    });
    let server = serving!(Shared::new(service));
    let mut client = client(server.address).await;
    assert_eq!(ask(&mut client, "fail").await, "error: no luck");
    assert_eq!(ask(&mut client, "panic").await, "error: the request failed");
    let told = ask(&mut client, "huge").await;
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("65507"), "{told}");
    assert_eq!(ask(&mut client, "hi").await, "hi");
    assert_eq!(server.counters.sessions(), 1);
}

#[tokio::test]
async fn an_answer_that_cannot_be_sent_at_all_is_let_go() {
    let service = service_fn(async |frame: Bytes| match &frame[..] {
        b"huge" => Ok(Bytes::from(vec![0; 70_000])),
        _ => Ok::<_, Infallible>(frame),
    });
    let options = PipelineOptions::default().on_failure(|_| vec![0; 80_000].into());
    let server = serving!(Shared::new(service), pipeline(options));
    let mut client = client(server.address).await;
    tell(&mut client, "huge").await;
    until(|| server.counters.unanswered() == 1).await;
    assert_eq!(ask(&mut client, "hi").await, "hi");
    assert_eq!(server.counters.sessions(), 1);
}

#[tokio::test]
async fn an_empty_answer_is_silence_where_that_is_wanted() {
    for silent in [true, false] {
        // A clone of the socket sends beside the server.
        let socket = udp().await;
        let address = socket.local_addr().unwrap();
        let socket = Arc::new(socket);
        let echo = service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame));
        let server = Datagrams::new(socket.clone(), StructHeader::default()).unwrap();
        let server = serve_datagrams(server, Shared::new(echo)).silent_when_empty(silent);
        let counters = server.counters();
        tokio::spawn(server.into_future());
        let mut client = client(address).await;
        tell(&mut client, "").await;
        let expected = if silent { "more" } else { "" };
        assert_eq!(ask(&mut client, "more").await, expected);
        until(|| counters.unanswered() == u64::from(silent)).await;
        let to = client.get_ref().local_addr().unwrap();
        socket.send_to(b"\0\0\0\x04push", to).await.unwrap();
        let expected = if silent { "push" } else { "more" };
        assert_eq!(next(&mut client).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_maker_of_services_that_fails_or_panics_costs_one_request() {
    let tried = Arc::new(AtomicUsize::new(0));
    let count = tried.clone();
    let make = service_fn(move |_: Peer| {
        let tried = count.fetch_add(1, Ordering::SeqCst);
        async move {
            match tried {
                0 => Err(io::Error::other("not yet")),
                1 => panic!("on purpose"),
                _ => Ok(service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame))),
            }
        }
    });
    let server = serving!(make, max_sessions(1), max_in_flight(1));
    let mut client = client(server.address).await;
    for lost in 1..=2 {
        tell(&mut client, "x").await;
        until(|| server.counters.unanswered() == lost).await;
    }
    assert_eq!(ask(&mut client, "hi").await, "hi");
}

#[tokio::test]
async fn a_shutdown_answers_what_was_taken() {
    let gate = Arc::new(Semaphore::new(0));
    let options = PipelineOptions::default().max_in_flight(100);
    let mut server = serving!(gated(gate.clone(), Arc::default()), pipeline(options));
    let mut client = client(server.address).await;
    for request in 0..20 {
        tell(&mut client, format!("{request}")).await;
    }
    until(|| server.counters.requests() == 20).await;
    server.stop.take().unwrap().send(()).unwrap();
    gate.add_permits(20);
    soon(&mut server.task).await.unwrap();
    for request in 0..20 {
        assert_eq!(next(&mut client).await.unwrap(), format!("{request}"));
    }
    assert_eq!(server.counters.answers(), 20);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let mut server = serving!(
        gated(Arc::new(Semaphore::new(0)), Arc::default()),
        drain_timeout(Duration::from_millis(20)),
    );
    let mut client = client(server.address).await;
    tell(&mut client, "x").await;
    until(|| server.counters.requests() == 1).await;
    server.stop.take().unwrap().send(()).unwrap();
    soon(&mut server.task).await.unwrap();
}

#[tokio::test]
async fn s17_a_server_hears_peers_without_names_each_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("server");
    let (datagrams, _) = unix(&path, Raw::default());
    let heard = Arc::new(Mutex::new(VecDeque::new()));
    let (seen, told) = (heard.clone(), Arc::new(Notify::new()));
    let tell = told.clone();
    let make = service_fn(move |peer: Peer| {
        let (seen, tell) = (seen.clone(), tell.clone());
        let mut count = 0;
        ready(Ok::<_, Infallible>(service_fn(move |frame: Bytes| {
            count += 1;
            seen.lock()
                .unwrap()
                .push_back((peer.remote.clone(), frame.clone(), count));
            tell.notify_one();
            ready(Ok::<_, Infallible>(frame))
        })))
    });
    let server = serve_datagrams(datagrams, make).max_sessions(1);
    let counters = server.counters();
    let task = tokio::spawn(server.into_future());
    let unnamed = UnixDatagram::unbound().unwrap();
    for request in ["one", "two"] {
        soon(unnamed.send_to(request.as_bytes(), &path))
            .await
            .unwrap();
        soon(told.notified()).await;
        let expected = (Address::Unix(None), Bytes::from(request), 1);
        assert_eq!(heard.lock().unwrap().pop_front(), Some(expected));
        let answered = if request == "one" { 1 } else { 2 };
        until(|| counters.unanswered() == answered).await;
    }
    // One with a name is answered.
    let named = UnixDatagram::bind(folder.path().join("client")).unwrap();
    soon(named.send_to(b"three", &path)).await.unwrap();
    let mut answer = [0; 16];
    let size = soon(named.recv(&mut answer)).await.unwrap();
    assert_eq!(&answer[..size], b"three");
    assert_eq!((counters.sessions(), counters.answers()), (3, 1));
    task.abort();
}
