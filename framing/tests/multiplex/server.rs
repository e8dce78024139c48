//! The server's side, against peers written by hand.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use framing::{
    Connection, ErrorKind, FrameError, Limits, OnError, StructHeader, StructHeaderOptions,
    U32InFront,
    serve::{
        BoxError, Drain, Failure, Listener, Memory, Multiplex, MultiplexOptions, Peer as Who,
        PushError, Pusher, Tcp, serve_multiplexed,
    },
};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore, oneshot},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tower::{Service, make::Shared, service_fn};

use crate::{Framed, Peer, heard, moody, pair, soon, tagged};

/// Serves one connection; what it ends with.
fn run<S>(
    connection: Framed,
    service: S,
    options: MultiplexOptions,
) -> JoinHandle<Result<(), BoxError>>
where
    S: Service<Bytes, Response = Bytes, Error: Into<BoxError> + Send, Future: Send>
        + Send
        + 'static,
{
    let multiplex = Multiplex::new(connection, U32InFront::new(), service).unwrap();
    tokio::spawn(multiplex.options(options))
}

fn moody_server() -> Framed {
    let (client, server) = pair(1 << 16);
    run(server, service_fn(moody), MultiplexOptions::default());
    client
}

/// Counts the bytes that are read from a socket.
struct Counted<Io> {
    io: Io,
    read: Arc<AtomicUsize>,
}

impl<Io: AsyncRead + Unpin> AsyncRead for Counted<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        let read = buffer.filled().len() - before;
        self.read.fetch_add(read, Ordering::Relaxed);
        polled
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Counted<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Writes 200 000 requests of 256 bytes, and says how many were taken before nothing moved.
async fn flood(mut peer: impl AsyncWrite + Unpin) -> usize {
    let mut sent = 0;
    for tag in 1..=200_000_u32 {
        let frame = [&252_u32.to_be_bytes()[..], &tag.to_be_bytes(), &[7; 248]].concat();
        let written = timeout(Duration::from_millis(500), peer.write_all(&frame)).await;
        if written.is_err() {
            break;
        }
        written.unwrap().unwrap();
        sent += 1;
    }
    sent
}

#[tokio::test]
async fn b01_two_hundred_thousand_requests_never_read() {
    const LIMIT: usize = 50;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (io, _) = listener.accept().await.unwrap();
    let (read, calls) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = calls.clone();
    let service = service_fn(move |_: Bytes| {
        counted.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<Result<Bytes, Infallible>>()
    });
    let io = Counted {
        io,
        read: read.clone(),
    };
    let connection = Connection::new(io, StructHeader::default());
    let multiplex = Multiplex::new(connection, U32InFront::new(), service).unwrap();
    let multiplex = multiplex.options(MultiplexOptions::default().max_in_flight(LIMIT));
    let multiplex = tokio::spawn(multiplex);

    let sent = flood(&mut peer).await;
    assert!(sent < 200_000, "TCP does not make the peer wait");
    assert_eq!(calls.load(Ordering::SeqCst), LIMIT);
    // What the server holds, it has read: 51 MB were on offer.
    let read = read.load(Ordering::Relaxed);
    assert!(read <= 256 * 1024, "{read} bytes were read");
    assert!(!multiplex.is_finished());
    multiplex.abort();
}

#[tokio::test]
async fn b01_answers_that_nobody_reads_stop_the_reading_of_requests() {
    let (client, server) = duplex(4096);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let service = service_fn(move |_: Bytes| {
        counted.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok::<_, Infallible>(Bytes::from(vec![0; 1024])))
    });
    let mut server = Connection::new(server, StructHeader::default());
    server.set_high_water(4096);
    let options = MultiplexOptions::default().max_in_flight(8);
    run(server, service, options);
    let (_unread, requests) = tokio::io::split(client);
    let sent = flood(requests).await;
    // Pipe and outgoing buffer hold 4 KiB each, which is eight answers of 1032 bytes with the one
    // that goes over; one is on its way there.
    let calls = calls.load(Ordering::SeqCst);
    assert!((2..=9).contains(&calls), "{calls} calls");
    assert!(sent < 1000, "{sent} requests were taken");
}

#[tokio::test]
async fn b01_no_more_is_in_the_service_than_the_limits_say() {
    let (mut client, server) = pair(1 << 20);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counting, peak) = (now.clone(), most.clone());
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let service = service_fn(move |frame: Bytes| {
        let count = counting.fetch_add(1, Ordering::SeqCst) + 1;
        peak.fetch_max(count, Ordering::SeqCst);
        let (counting, opened) = (counting.clone(), opened.clone());
        async move {
            opened.acquire().await.unwrap().forget();
            counting.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Infallible>(frame)
        }
    });
    let options = MultiplexOptions::default().max_in_flight(5).max_bytes(30);
    run(server, service, options);
    // Of one byte: the limit in requests. Then of ten: three reach the limit in bytes.
    for (frame, limit) in [("x", 5), ("ten bytes!", 3)] {
        most.store(0, Ordering::SeqCst);
        for tag in 1..=12 {
            client.say(tag, frame).await;
        }
        let mut answered = Vec::new();
        for _ in 0..12 {
            gate.add_permits(1);
            let (tag, answer) = client.hear().await.unwrap();
            assert_eq!(answer, frame);
            answered.push(tag);
        }
        answered.sort_unstable();
        assert_eq!(answered, (1..=12).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::SeqCst), limit);
    }
}

#[tokio::test(start_paused = true)]
async fn b09_a_fast_answer_overtakes_a_slow_one_and_keeps_its_tag() {
    let mut client = moody_server();
    for (tag, pause) in [(7, "50"), (8, "10"), (9, "now"), (10, "30")] {
        client.say(tag, pause).await;
    }
    for (tag, pause) in [(9, "now"), (8, "10"), (10, "30"), (7, "50")] {
        assert_eq!(client.hear().await, heard(tag, pause));
    }
}

#[tokio::test]
async fn b02_b03_b11_each_failure_is_answered_on_its_own_tag() {
    let mut client = moody_server();
    let requests = ["fail", "panic", "late panic", "huge", "never", "good"];
    for (tag, request) in (1..).zip(requests) {
        client.say(tag, request).await;
    }
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(client.hear().await.unwrap());
    }
    answers.sort();
    let too_long = "a frame of 33554432 bytes and a tag of 4 are over the limit of 16777216 bytes";
    let expected = [
        (1, "error: it was not to be".to_owned()),
        (2, "error: the request failed".into()),
        (3, "error: the request failed".into()),
        (4, format!("error: the response cannot be sent: {too_long}")),
        (6, "good".into()),
    ];
    assert_eq!(answers, expected);
    client.say(11, "still here").await;
    assert_eq!(client.hear().await, heard(11, "still here"));
}

#[tokio::test]
async fn b03_a_panic_before_the_future_is_a_failure_too_and_the_answer_can_be_chosen() {
    let (mut client, server) = pair(1024);
    let service = service_fn(|frame: Bytes| {
        assert_ne!(frame, "panic", "a panic that the test asked for");
        std::future::ready(Ok::<_, Infallible>(frame))
    });
    let options = MultiplexOptions::default().on_failure(|failure| match failure {
        Failure::Panicked => "500".into(),
        other => other.to_string().into(),
    });
    run(server, service, options);
    for (tag, request, answer) in [(1, "a", "a"), (2, "panic", "500"), (3, "b", "b")] {
        client.say(tag, request).await;
        assert_eq!(client.hear().await, heard(tag, answer));
    }
}

#[tokio::test]
async fn b02_what_was_answered_is_sent_though_nothing_can_be_said_of_the_next() {
    let (mut client, server) = pair(1 << 16);
    let options = MultiplexOptions::default().on_failure(|_| vec![b'x'; 1 << 25].into());
    let server = run(server, service_fn(moody), options);
    for (tag, request) in [(1, "now"), (2, "huge"), (3, "now")] {
        client.say(tag, request).await;
    }
    assert_eq!(client.hear().await, heard(1, "now"));
    assert_eq!(client.hear().await, None);
    drop(client);
    let error = server.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("over the limit"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn b06_a_tag_that_is_in_use_ends_the_connection_once_the_first_is_answered() {
    let (mut client, server) = pair(1024);
    let gate = Arc::new(Notify::new());
    let calls = Arc::new(AtomicUsize::new(0));
    let (opened, counted) = (gate.clone(), calls.clone());
    let service = service_fn(move |frame: Bytes| {
        counted.fetch_add(1, Ordering::SeqCst);
        let opened = opened.clone();
        async move {
            opened.notified().await;
            Ok::<_, Infallible>(frame)
        }
    });
    let server = run(server, service, MultiplexOptions::default());
    client.say(5, "first").await;
    client.say(5, "second").await;
    client.say(6, "third").await;
    // On a clock that stands until nobody has anything to do.
    sleep(Duration::from_secs(1)).await;
    gate.notify_one();
    assert_eq!(client.hear().await, heard(5, "first"));
    assert_eq!(client.hear().await, None);
    let error = soon(server).await.unwrap().unwrap_err();
    let error = error.downcast::<FrameError>().unwrap();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("tag 5 is in use"), "{error}");
    assert_eq!(
        calls.load(Ordering::SeqCst),
        1,
        "more was asked than answered"
    );
}

#[tokio::test]
async fn b06_a_tag_may_be_used_again_once_it_is_answered() {
    let mut client = moody_server();
    for _ in 0..3 {
        for request in ["1", "at once"] {
            client.say(u32::MAX, request).await;
            assert_eq!(client.hear().await, heard(u32::MAX, request));
        }
    }
}

#[tokio::test]
async fn b06_a_frame_without_a_tag_ends_the_connection() {
    let (mut client, server) = pair(1024);
    let server = run(server, service_fn(moody), MultiplexOptions::default());
    client.say(1, "10").await;
    client.send("abc".into()).await.unwrap();
    assert_eq!(client.hear().await, heard(1, "10"));
    assert_eq!(client.hear().await, None);
    let error = soon(server).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("a frame of 3 bytes"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn b07_a_server_that_stops_finishes_what_it_has() {
    let (listener, connector) = Memory::new(1024);
    let (stop, stopped) = oneshot::channel::<()>();
    let make = Shared::new(service_fn(moody));
    let server = tokio::spawn(
        serve_multiplexed(listener, U32InFront::new(), make)
            .drain_timeout(Duration::from_secs(1))
            .with_graceful_shutdown(async { drop(stopped.await) })
            .into_future(),
    );
    let io = connector.connect().await.unwrap();
    let mut client = Connection::new(io, StructHeader::default());
    for (tag, request) in (1..).zip(["50", "50", "50", "50", "never"]) {
        client.say(tag, request).await;
    }
    sleep(Duration::from_millis(10)).await;
    let begun = Instant::now();
    stop.send(()).unwrap();
    sleep(Duration::from_millis(1)).await;
    // A request that comes now is too late.
    client.say(6, "too late").await;
    let mut answered = Vec::new();
    while let Some((tag, _)) = client.hear().await {
        answered.push(tag);
    }
    answered.sort_unstable();
    assert_eq!(answered, [1, 2, 3, 4]);
    server.await.unwrap();
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_millis(1100),
        "{took:?}"
    );
}

#[tokio::test]
async fn b07_an_idle_connection_is_closed_when_the_server_stops() {
    let (mut client, server) = pair(1024);
    let drain = Drain::new();
    let multiplex = Multiplex::new(server, U32InFront::new(), service_fn(moody)).unwrap();
    let multiplex = tokio::spawn(multiplex.drain(&drain));
    client.say(1, "a").await;
    assert_eq!(client.hear().await, heard(1, "a"));
    drain.request();
    assert_eq!(client.hear().await, None);
    soon(multiplex).await.unwrap().unwrap();
}

#[tokio::test]
async fn b08_nothing_is_read_while_the_service_is_not_ready() {
    let (client, server) = duplex(64);
    let (service, mut handle) = tower_test::mock::pair::<Bytes, Bytes>();
    handle.allow(0);
    let read = Arc::new(AtomicUsize::new(0));
    let server = Counted {
        io: server,
        read: read.clone(),
    };
    let server = Connection::new(server, StructHeader::default());
    let multiplex = Multiplex::new(server, U32InFront::new(), service).unwrap();
    tokio::spawn(multiplex);
    let (mut answers, mut requests) = tokio::io::split(client);
    // The pipe holds 64 bytes, and what is read of it is one read of 64 at most.
    let frame = [&8_u32.to_be_bytes()[..], &3_u32.to_be_bytes(), b"ping"].concat();
    let mut sent = 0;
    while timeout(Duration::from_millis(100), requests.write_all(&frame))
        .await
        .is_ok()
    {
        sent += frame.len();
        assert!(sent < 1000, "it reads without end");
    }
    let read = read.load(Ordering::Relaxed);
    assert!(read <= 64, "{read} bytes were read");
    handle.allow(1);
    let (request, respond) = soon(handle.next_request()).await.unwrap();
    assert_eq!(request, "ping");
    respond.send_response("pong".into());
    let mut answer = [0; 12];
    soon(answers.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"\0\0\0\x08\0\0\0\x03pong");
}

#[tokio::test]
async fn b10_a_one_way_request_reaches_the_service_and_is_not_answered() {
    let (mut client, server) = pair(1024);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let list = seen.clone();
    let service = service_fn(move |frame: Bytes| {
        list.lock().unwrap().push(frame.clone());
        moody(frame)
    });
    run(server, service, MultiplexOptions::default());
    // Several of them at once, ready and late, good and bad.
    for request in ["a", "1", "fail", "panic", "late panic", "2"] {
        client.say(0, request).await;
    }
    client.say(1, "30").await;
    client.say(2, "b").await;
    assert_eq!(client.hear().await, heard(2, "b"));
    assert_eq!(client.hear().await, heard(1, "30"));
    client.close().await.unwrap();
    assert_eq!(client.hear().await, None);
    assert_eq!(seen.lock().unwrap().len(), 8);
}

#[tokio::test]
async fn b10_what_is_pushed_comes_between_answers() {
    let make = service_fn(async |peer: Who| {
        let pusher = peer.pusher.ok_or("there is no pusher")?;
        let service = service_fn(move |frame: Bytes| {
            let pusher = pusher.clone();
            async move {
                for word in ["one", "two"] {
                    pusher.push(word.into()).await?;
                }
                sleep(Duration::from_millis(20)).await;
                pusher.push("three".into()).await?;
                Ok::<_, PushError>(frame)
            }
        });
        Ok::<_, BoxError>(service)
    });
    let (listener, connector) = Memory::new(1024);
    let server = serve_multiplexed(listener, U32InFront::new(), make)
        .multiplex(MultiplexOptions::default().max_pushes(1));
    tokio::spawn(server.into_future());
    let io = connector.connect().await.unwrap();
    let mut client = Connection::new(io, StructHeader::default());
    client.say(9, "go").await;
    for word in ["one", "two", "three"] {
        assert_eq!(client.hear().await, heard(0, word));
    }
    assert_eq!(client.hear().await, heard(9, "go"));
}

#[tokio::test]
async fn b10_a_peer_that_does_not_read_costs_its_pusher_a_wait_and_no_memory() {
    let (mut client, mut server) = pair(64);
    server.set_high_water(64);
    let (pusher, pushes) = Pusher::new(2);
    let multiplex = Multiplex::new(server, U32InFront::new(), service_fn(moody)).unwrap();
    let multiplex = tokio::spawn(multiplex.pushes(pushes));
    let frame = Bytes::from("x".repeat(56));
    let mut pushed = 0;
    while timeout(Duration::from_millis(100), pusher.push(frame.clone()))
        .await
        .is_ok()
    {
        pushed += 1;
        // One in the pipe, one or two in the outgoing buffer, one on its way there, two waiting.
        assert!(pushed <= 7, "it takes frames without end");
    }
    assert_eq!(
        pusher.try_push("x".into()),
        Err(PushError::Full("x".into()))
    );
    // Everything that was taken arrives, and the connection is as good as before.
    for _ in 0..pushed {
        let (tag, word) = client.hear().await.unwrap();
        assert_eq!((tag, word.len()), (0, 56));
    }
    client.say(3, "a").await;
    assert_eq!(client.hear().await, heard(3, "a"));
    // What cannot be carried is dropped alone.
    soon(pusher.push(vec![0; 17 << 20].into())).await.unwrap();
    soon(pusher.push("last".into())).await.unwrap();
    // What was accepted before the end is sent.
    client.close().await.unwrap();
    assert_eq!(client.hear().await, heard(0, "last"));
    assert_eq!(client.hear().await, None);
    soon(multiplex).await.unwrap().unwrap();
    soon(pusher.closed()).await;
    assert_eq!(
        pusher.try_push("x".into()),
        Err(PushError::Closed("x".into()))
    );
    assert_eq!(
        pusher.push("x".into()).await,
        Err(PushError::Closed("x".into()))
    );
}

#[tokio::test]
async fn b10_a_flood_of_pushes_does_not_keep_requests_waiting() {
    let (mut client, mut server) = pair(256);
    server.set_high_water(256);
    let (pusher, pushes) = Pusher::new(16);
    let multiplex = Multiplex::new(server, U32InFront::new(), service_fn(moody)).unwrap();
    tokio::spawn(multiplex.pushes(pushes));
    let flood = tokio::spawn(async move { while pusher.push("noise".into()).await.is_ok() {} });
    let mut noise = 0;
    for tag in 1..=50 {
        client.say(tag, "a").await;
        loop {
            match client.hear().await {
                Some((0, _)) => noise += 1,
                other => {
                    assert_eq!(other, heard(tag, "a"));
                    break;
                }
            }
        }
    }
    // Whatever fits into the pipe and the buffers stands before an answer, and not much more.
    assert!((1..50 * 1000).contains(&noise), "{noise} pushes");
    flood.abort();
}

#[tokio::test(start_paused = true)]
async fn b12_a_request_that_takes_too_long_is_answered_and_its_place_is_free() {
    let dropped = Arc::new(AtomicUsize::new(0));
    struct Counts(Arc<AtomicUsize>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (mut client, server) = pair(1024);
    let counted = dropped.clone();
    let service = service_fn(move |frame: Bytes| {
        let counts = Counts(counted.clone());
        async move {
            let answer = moody(frame).await;
            drop(counts);
            answer
        }
    });
    let options = MultiplexOptions::default()
        .max_in_flight(3)
        .request_timeout(Duration::from_secs(5));
    run(server, service, options);
    let begun = Instant::now();
    client.say(1, "never").await;
    client.say(2, "4999").await;
    sleep(Duration::from_secs(2)).await;
    client.say(3, "never").await;
    // There is no place for it before five seconds are over.
    client.say(4, "1").await;
    assert_eq!(client.hear().await, heard(2, "4999"));
    assert_eq!(client.hear().await, heard(4, "1"));
    assert_eq!(
        client.hear().await,
        heard(1, "error: it took longer than 5s")
    );
    assert_eq!(begun.elapsed().as_millis(), 5000);
    assert_eq!(
        client.hear().await,
        heard(3, "error: it took longer than 5s")
    );
    assert_eq!(begun.elapsed().as_millis(), 7000);
    // Their work is given up, and another round begins.
    assert_eq!(dropped.load(Ordering::SeqCst), 4);
    client.say(1, "6000").await;
    assert_eq!(
        client.hear().await,
        heard(1, "error: it took longer than 5s")
    );
    assert_eq!(begun.elapsed().as_millis(), 12_000);
}

#[tokio::test]
async fn b14_what_is_known_of_a_peer_reaches_the_service() {
    let make = service_fn(async |peer: Who| {
        let known = format!("{} {} {}", peer.framing, peer.remote, peer.local);
        let service = service_fn(move |_: Bytes| {
            std::future::ready(Ok::<_, Infallible>(Bytes::from(known.clone())))
        });
        Ok::<_, Infallible>(service)
    });
    let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr();
    tokio::spawn(serve_multiplexed(listener, U32InFront::new(), make).into_future());
    let text = address.to_string();
    let socket = TcpStream::connect(text.strip_prefix("tcp://").unwrap())
        .await
        .unwrap();
    let local = socket.local_addr().unwrap();
    let mut client = Connection::new(socket, StructHeader::default());
    client.send(tagged(1, "who")).await.unwrap();
    let known = soon(client.next()).await.unwrap().unwrap();
    let expected = format!("StructHeader tcp://{local} {address}");
    assert_eq!(known, tagged(1, expected));
}

#[tokio::test]
async fn s03_after_an_error_nothing_more_reaches_the_service() {
    let (mut client, server) = duplex(1 << 16);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let service = service_fn(move |frame: Bytes| {
        counted.fetch_add(1, Ordering::SeqCst);
        moody(frame)
    });
    let framing = StructHeaderOptions::default()
        .build(Limits::new().max_frame(16))
        .unwrap();
    let server = run(
        Connection::new(server, framing),
        service,
        MultiplexOptions::default(),
    );
    let mut wire = b"\0\0\0\x05\0\0\0\x01a\0\0\0\x11a frame too long".to_vec();
    wire.extend(b"\0\0\0\x05\0\0\0\x02b".repeat(100));
    client.write_all(&wire).await.unwrap();
    let mut answers = Vec::new();
    soon(client.read_to_end(&mut answers)).await.unwrap();
    assert_eq!(answers, b"\0\0\0\x05\0\0\0\x01a");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert!(soon(server).await.unwrap().is_err());
}

#[tokio::test]
async fn s18_half_closed_requests_are_answered() {
    let (mut client, server) = pair(1024);
    let server = run(server, service_fn(moody), MultiplexOptions::default());
    client.say(1, "30").await;
    client.say(2, "a").await;
    client.close().await.unwrap();
    assert_eq!(client.hear().await, heard(2, "a"));
    assert_eq!(client.hear().await, heard(1, "30"));
    assert_eq!(client.hear().await, None);
    soon(server).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_bad_frame_that_is_skipped_harms_no_other_request() {
    let (ours, theirs) = duplex(1024);
    let limits = Limits::new().max_frame(8).on_error(OnError::Skip);
    let framing = StructHeaderOptions::default().build(limits).unwrap();
    run(
        Connection::new(theirs, framing),
        service_fn(moody),
        MultiplexOptions::default(),
    );
    let mut client = Connection::new(ours, StructHeader::default());
    client.say(1, "a").await;
    client.say(2, "far too long").await;
    client.say(3, "b").await;
    assert_eq!(client.hear().await, heard(1, "a"));
    assert_eq!(client.hear().await, heard(3, "b"));
}

#[tokio::test]
async fn a_service_that_is_broken_ends_the_connection() {
    #[derive(Clone)]
    struct Broken;
    impl Service<Bytes> for Broken {
        type Response = Bytes;
        type Error = &'static str;
        type Future = std::future::Ready<Result<Bytes, &'static str>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            Poll::Ready(Err("worn out"))
        }

        fn call(&mut self, _: Bytes) -> Self::Future {
            std::future::ready(Err("worn out"))
        }
    }
    let (mut client, server) = pair(64);
    let server = run(server, Broken, MultiplexOptions::default());
    client.say(1, "a").await;
    let error = soon(server).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "worn out");
    assert_eq!(client.hear().await, None);
}
