//! Frames to services: the pipeline driver, the server around it, the client on the other side.

use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use framing::{
    AckHandshake, Connection, Error, FramingFactory, Limits, StructHeader, StructHeaderOptions,
    client::{Client, ClientError, Connect, dial},
    serve::{
        Address, BoxError, Drain, Listener, Memory, Peer, Pipeline, PipelineOptions, Tcp, Unix,
        serve,
    },
};
use futures_util::{SinkExt, StreamExt, future::join_all};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::{Notify, oneshot},
    time::timeout,
};
use tower::{Service, ServiceBuilder, ServiceExt, make::Shared, service_fn};

type Framed = Connection<DuplexStream, StructHeader>;

/// Both ends of a pipe that holds `buffer` bytes in each direction.
fn pair(buffer: usize) -> (Framed, Framed) {
    let (ours, theirs) = duplex(buffer);
    (
        Connection::new(ours, StructHeader::default()),
        Connection::new(theirs, StructHeader::default()),
    )
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work)
        .await
        .expect("this takes too long")
}

#[tokio::test]
async fn b01_a_peer_that_never_reads_is_not_served_for_ever() {
    const LIMIT: usize = 8;
    let (client, server) = duplex(4096);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    // Answers that the peer does not take fill the pipe, and then nothing more may be asked.
    let service = service_fn(move |_: Bytes| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, Infallible>(Bytes::from(vec![0; 1024])) }
    });
    let mut server = Connection::new(server, StructHeader::default());
    server.set_high_water(4096);
    let options = PipelineOptions::default().max_in_flight(LIMIT);
    tokio::spawn(Pipeline::new(server, service).options(options));

    let (_unread, mut requests) = tokio::io::split(client);
    let frame = [b"\0\0\0\x04".as_slice(), b"ping"].concat();
    let mut sent = 0;
    // TCP would make the peer wait here; so does the pipe.
    while timeout(Duration::from_millis(200), requests.write_all(&frame))
        .await
        .is_ok()
    {
        sent += 1;
        assert!(sent < 200_000, "the server takes requests without end");
    }
    // The pipe and the outgoing buffer hold 4 KiB each, and one answer may be on top.
    let calls = calls.load(Ordering::Relaxed);
    assert!((2..=10).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn b01_no_more_requests_are_in_the_service_than_the_limits_say() {
    let (client, server) = pair(1 << 20);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counting, peak) = (now.clone(), most.clone());
    let gate = Arc::new(Notify::new());
    let opened = gate.clone();
    let service = service_fn(move |frame: Bytes| {
        peak.fetch_max(
            counting.fetch_add(1, Ordering::SeqCst) + 1,
            Ordering::SeqCst,
        );
        let (counting, opened) = (counting.clone(), opened.clone());
        async move {
            opened.notified().await;
            counting.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Infallible>(frame)
        }
    });
    let options = PipelineOptions::default().max_in_flight(5).max_bytes(30);
    tokio::spawn(Pipeline::new(server, service).options(options));
    let (mut requests, mut answers) = client.split();
    // Five of one byte: the limit in requests. Then ten bytes each: three reach the limit in bytes.
    for (size, limit) in [(1, 5), (10, 3)] {
        most.store(0, Ordering::SeqCst);
        for _ in 0..12 {
            requests.send(vec![7; size].into()).await.unwrap();
        }
        let release = async {
            for _ in 0..12 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                assert!(now.load(Ordering::SeqCst) <= limit);
                gate.notify_one();
            }
        };
        let read = async {
            for _ in 0..12 {
                assert_eq!(answers.next().await.unwrap().unwrap(), vec![7; size]);
            }
        };
        soon(async { tokio::join!(release, read) }).await;
        assert_eq!(most.load(Ordering::SeqCst), limit);
    }
}

/// Answers with what came, fails on `fail`, panics on `panic`, and never answers `never`.
async fn moody(frame: Bytes) -> Result<Bytes, BoxError> {
    match &frame[..] {
        b"fail" => Err("it was not to be".into()),
        b"panic" => panic!("a panic that the test asked for"),
        b"never" => pending().await,
        b"late" => {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(frame)
        }
        b"late panic" => {
            tokio::time::sleep(Duration::from_millis(10)).await;
            panic!("a late panic that the test asked for")
        }
        b"huge" => Ok(vec![0; 32 * 1024 * 1024].into()),
        _ => Ok(frame),
    }
}

#[tokio::test]
async fn b02_b03_b09_b11_each_request_has_its_answer_in_its_place() {
    let (mut client, server) = pair(1 << 16);
    tokio::spawn(Pipeline::new(server, service_fn(moody)));
    let requests = ["late", "fail", "a", "panic", "late panic", "huge", "b"];
    for request in requests {
        client.send(request.into()).await.unwrap();
    }
    let answers = [
        "late",
        "error: it was not to be",
        "a",
        "error: the request failed",
        "error: the request failed",
        "error: the response cannot be sent: a frame of 33554432 bytes is over the limit of 16777216 bytes",
        "b",
    ];
    for answer in answers {
        assert_eq!(soon(client.next()).await.unwrap().unwrap(), answer);
    }
    client.close().await.unwrap();
    assert!(client.next().await.is_none());
}

#[tokio::test]
async fn b03_a_panic_before_the_future_is_a_failure_too() {
    let (mut client, server) = pair(1024);
    let service = service_fn(|frame: Bytes| {
        assert_ne!(frame, "panic", "a panic that the test asked for");
        std::future::ready(Ok::<_, Infallible>(frame))
    });
    tokio::spawn(Pipeline::new(server, service));
    for request in ["a", "panic", "b"] {
        client.send(request.into()).await.unwrap();
    }
    for answer in ["a", "error: the request failed", "b"] {
        assert_eq!(soon(client.next()).await.unwrap().unwrap(), answer);
    }
}

#[tokio::test]
async fn a_frame_that_is_skipped_is_answered_in_its_place() {
    let (ours, theirs) = duplex(1024);
    let limits = Limits::new().max_frame(4).on_error(framing::OnError::Skip);
    let framing = StructHeaderOptions::default().build(limits).unwrap();
    let options = PipelineOptions::default().on_failure(|failure| {
        if failure.to_string().contains("limit of 4") {
            "long"
        } else {
            "?"
        }
        .into()
    });
    tokio::spawn(
        Pipeline::new(Connection::new(theirs, framing), service_fn(moody)).options(options),
    );
    let mut client = Connection::new(ours, StructHeader::default());
    for (request, answer) in [("a", "a"), ("far too long", "long"), ("b", "b")] {
        client.send(request.into()).await.unwrap();
        assert_eq!(soon(client.next()).await.unwrap().unwrap(), answer);
    }
}

#[tokio::test]
async fn b04_a_client_learns_that_the_server_has_closed() {
    let (client, server) = pair(1024);
    let mut client = Client::new(client);
    poll_fn(|cx| client.poll_ready(cx)).await.unwrap();
    drop(server);
    // It is idle: nobody calls, and it is noticed all the same.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut other = client.clone();
    let error = poll_fn(|cx| other.poll_ready(cx)).await.unwrap_err();
    assert!(matches!(error, ClientError::Closed), "{error:?}");
    assert!(error.to_string().contains("closed by the peer"));
    let called = client.clone().oneshot("late".into()).await.unwrap_err();
    assert!(matches!(called, ClientError::Closed), "{called:?}");
}

#[tokio::test]
async fn a_client_gives_each_call_its_answer_and_no_other() {
    let (client, server) = pair(256);
    tokio::spawn(Pipeline::new(server, service_fn(moody)));
    let client = Client::new(client);
    // A call that is dropped leaves its answer to nobody.
    let dropped = timeout(
        Duration::from_millis(5),
        client.clone().oneshot("late".into()),
    );
    assert!(dropped.await.is_err());
    let calls = (0..100).map(|n: u32| client.clone().oneshot(n.to_string().into()));
    for (n, answer) in soon(join_all(calls)).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), n.to_string());
    }
    let refused = client
        .clone()
        .oneshot(vec![0; 17 << 20].into())
        .await
        .unwrap_err();
    assert!(
        matches!(refused, ClientError::Unencodable(_)),
        "{refused:?}"
    );
    assert_eq!(
        client.oneshot("still here".into()).await.unwrap(),
        "still here"
    );
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_ends_the_client() {
    let (client, mut server) = pair(256);
    let mut client = Client::new(client);
    server.send("surprise".into()).await.unwrap();
    let error = soon(async {
        loop {
            if let Err(error) = poll_fn(|cx| client.poll_ready(cx)).await {
                return error;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(matches!(error, ClientError::Desynchronized), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn b07_a_server_that_stops_finishes_what_it_has() {
    let (listener, connector) = Memory::new(1024);
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(
        serve(listener, Shared::new(service_fn(moody)))
            .framing(StructHeader::default())
            .drain_timeout(Duration::from_secs(1))
            .with_graceful_shutdown(async { drop(stopped.await) })
            .into_future(),
    );
    let mut clients = Vec::new();
    for request in ["late", "late", "late", "late", "never"] {
        let io = connector.connect().await.unwrap();
        let mut client = Connection::new(io, StructHeader::default());
        client.send(request.into()).await.unwrap();
        clients.push(client);
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    let begun = tokio::time::Instant::now();
    stop.send(()).unwrap();
    tokio::task::yield_now().await;
    // A request that comes now is too late.
    let _ = clients[0].send("too late".into()).await;
    for client in &mut clients[..4] {
        assert_eq!(client.next().await.unwrap().unwrap(), "late");
        assert!(client.next().await.is_none());
    }
    server.await.unwrap();
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_millis(1100),
        "{took:?}"
    );
    assert!(connector.connect().await.is_err());
}

#[tokio::test]
async fn b07_an_idle_connection_is_closed_when_the_server_stops() {
    let (mut client, server) = pair(1024);
    let drain = Drain::new();
    let pipeline = tokio::spawn(Pipeline::new(server, service_fn(moody)).drain(&drain));
    client.send("a".into()).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), "a");
    drain.request();
    assert!(soon(client.next()).await.is_none());
    soon(pipeline).await.unwrap().unwrap();
}

#[tokio::test]
async fn b08_nothing_is_read_while_the_service_is_not_ready() {
    let (client, server) = duplex(64);
    let (service, mut handle) = tower_test::mock::pair::<Bytes, Bytes>();
    handle.allow(0);
    tokio::spawn(Pipeline::new(
        Connection::new(server, StructHeader::default()),
        service,
    ));
    let (mut answers, mut requests) = tokio::io::split(client);
    // The pipe takes its 64 bytes, and not one is taken out of it.
    let flood = timeout(Duration::from_millis(100), async {
        for _ in 0..64 {
            requests.write_all(b"\0\0\0\x04").await.unwrap();
            requests.write_all(b"ping").await.unwrap();
        }
    });
    assert!(flood.await.is_err());
    handle.allow(1);
    let (request, respond) = soon(handle.next_request()).await.unwrap();
    assert_eq!(request, "ping");
    respond.send_response("pong".into());
    let mut answer = [0; 8];
    soon(answers.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"\0\0\0\x04pong");
}

/// Panics when it is called without having been asked whether it is ready.
#[derive(Clone, Default)]
struct Strict {
    ready: bool,
}

impl Service<Bytes> for Strict {
    type Response = Bytes;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Bytes, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, frame: Bytes) -> Self::Future {
        let ready = std::mem::take(&mut self.ready);
        std::future::ready(Ok(if ready {
            frame
        } else {
            "called unready".into()
        }))
    }
}

#[tokio::test]
async fn the_pipeline_asks_before_each_call() {
    let (mut client, server) = pair(1024);
    tokio::spawn(Pipeline::new(server, Strict::default()));
    for request in ["a", "b", "c"] {
        client.send(request.into()).await.unwrap();
    }
    for answer in ["a", "b", "c"] {
        assert_eq!(soon(client.next()).await.unwrap().unwrap(), answer);
    }
}

#[tokio::test]
async fn s18_half_closed_requests_are_answered() {
    let (mut client, server) = pair(1024);
    let pipeline = tokio::spawn(Pipeline::new(server, service_fn(moody)));
    client.send("late".into()).await.unwrap();
    client.send("a".into()).await.unwrap();
    client.close().await.unwrap();
    assert_eq!(soon(client.next()).await.unwrap().unwrap(), "late");
    assert_eq!(soon(client.next()).await.unwrap().unwrap(), "a");
    assert!(soon(client.next()).await.is_none());
    soon(pipeline).await.unwrap().unwrap();
}

#[tokio::test]
async fn s03_after_an_error_nothing_more_reaches_the_service() {
    let (mut client, server) = duplex(1 << 16);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let list = seen.clone();
    let service = service_fn(move |frame: Bytes| {
        list.lock().unwrap().push(frame.clone());
        async move { Ok::<_, Infallible>(frame) }
    });
    let framing = StructHeaderOptions::default()
        .build(Limits::new().max_frame(8))
        .unwrap();
    let pipeline = tokio::spawn(Pipeline::new(Connection::new(server, framing), service));
    let mut wire = b"\0\0\0\x01a\0\0\0\x09123456789".to_vec();
    for _ in 0..100 {
        wire.extend_from_slice(b"\0\0\0\x01b");
    }
    client.write_all(&wire).await.unwrap();
    let mut answers = Vec::new();
    soon(client.read_to_end(&mut answers)).await.unwrap();
    // What came before the error is answered; the error ends the connection.
    assert_eq!(answers, b"\0\0\0\x01a");
    assert_eq!(*seen.lock().unwrap(), ["a"]);
    assert!(soon(pipeline).await.unwrap().is_err());
}

/// Serves on `listener`, and tells of each peer what is known of it.
fn introduce<L: Listener>(listener: L, framing: FramingFactory) {
    let make = service_fn(async |peer: Peer| {
        let known = format!("{:?} {} {}", peer.credentials, peer.framing, peer.remote);
        let service = service_fn(move |_: Bytes| {
            std::future::ready(Ok::<_, Infallible>(Bytes::from(known.clone())))
        });
        Ok::<_, Infallible>(service)
    });
    tokio::spawn(serve(listener, make).framing(framing).into_future());
}

#[tokio::test]
async fn b14_what_is_known_of_a_peer_reaches_the_service() {
    let framing = FramingFactory::new("struct-header", StructHeader::default());
    let tcp = Tcp::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr();
    introduce(tcp, framing.clone());
    let mut client = Connect::new(framing.clone())
        .oneshot(address)
        .await
        .unwrap();
    let known = client
        .ready()
        .await
        .unwrap()
        .call("who".into())
        .await
        .unwrap();
    let known = String::from_utf8(known.to_vec()).unwrap();
    assert!(
        known.starts_with("None struct-header tcp://127.0.0.1:"),
        "{known}"
    );

    let folder = std::env::temp_dir().join(format!("framing-serve-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("socket");
    introduce(Unix::bind(&path).await.unwrap(), framing.clone());
    let address = Address::Unix(Some(path.clone()));
    let client = Connect::new(framing.clone())
        .oneshot(address)
        .await
        .unwrap();
    let known = client.oneshot("who".into()).await.unwrap();
    let known = String::from_utf8(known.to_vec()).unwrap();
    assert!(
        known.contains(&format!("pid: Some({})", std::process::id())),
        "{known}"
    );
    assert!(known.ends_with("struct-header unix:"), "{known}");

    let (memory, connector) = Memory::new(1024);
    introduce(memory, framing.clone());
    let client = Client::new(Connection::new(
        connector.connect().await.unwrap(),
        framing.make(),
    ));
    let known = client.oneshot("who".into()).await.unwrap();
    assert!(
        known.starts_with(b"None struct-header memory:"),
        "{known:?}"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_socket_file_that_nobody_listens_on_is_replaced_and_removed() {
    let folder = std::env::temp_dir().join(format!("framing-unix-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("socket");
    // Dropped without its file being removed, as a killed server would leave it.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let first = Unix::bind(&path).await.unwrap();
    let error = Unix::bind(&path).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    drop(first);
    assert!(!path.exists());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn svc_f6_peers_that_reset_at_once_harm_nobody() {
    let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr();
    tokio::spawn(serve(listener, Shared::new(service_fn(moody))).into_future());
    let Address::Tcp(socket) = address else {
        unreachable!()
    };
    for _ in 0..1000 {
        let peer = tokio::net::TcpStream::connect(socket).await.unwrap();
        peer.set_zero_linger().unwrap();
    }
    let client = Connect::new(StructHeader::default())
        .oneshot(address)
        .await
        .unwrap();
    assert_eq!(soon(client.oneshot("here".into())).await.unwrap(), "here");
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_their_turn() {
    let (listener, connector) = Memory::new(1024);
    tokio::spawn(
        serve(listener, Shared::new(service_fn(moody)))
            .max_connections(1)
            .into_future(),
    );
    let connect =
        async || Connection::new(connector.connect().await.unwrap(), StructHeader::default());
    let mut first = connect().await;
    first.send("1".into()).await.unwrap();
    assert_eq!(first.next().await.unwrap().unwrap(), "1");
    let mut second = connect().await;
    second.send("2".into()).await.unwrap();
    assert!(
        timeout(Duration::from_millis(50), second.next())
            .await
            .is_err()
    );
    drop(first);
    assert_eq!(soon(second.next()).await.unwrap().unwrap(), "2");
}

#[tokio::test]
async fn towers_own_layers_go_around_service_and_client() {
    let (client, server) = pair(1024);
    let service = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(4)
        .timeout(Duration::from_millis(100))
        .service(service_fn(moody));
    tokio::spawn(Pipeline::new(server, service));

    #[derive(Clone)]
    struct Thrice(u32);

    impl tower::retry::Policy<Bytes, Bytes, BoxError> for Thrice {
        type Future = std::future::Ready<()>;

        fn retry(
            &mut self,
            request: &mut Bytes,
            result: &mut Result<Bytes, BoxError>,
        ) -> Option<Self::Future> {
            let again = self.0 > 1 && matches!(result, Ok(answer) if answer.starts_with(b"error"));
            self.0 -= 1;
            *request = if self.0 == 1 {
                "a".into()
            } else {
                request.clone()
            };
            again.then(|| std::future::ready(()))
        }

        fn clone_request(&mut self, request: &Bytes) -> Option<Bytes> {
            Some(request.clone())
        }
    }

    let client = Client::new(client);
    let mut retried = ServiceBuilder::new()
        .concurrency_limit(2)
        .retry(Thrice(3))
        .timeout(Duration::from_secs(5))
        .service(client.clone());
    assert_eq!(
        retried
            .ready()
            .await
            .unwrap()
            .call("fail".into())
            .await
            .unwrap(),
        "a"
    );
    let timed_out = client.oneshot("never".into()).await.unwrap();
    assert_eq!(timed_out, "error: request timed out");
}

#[tokio::test]
async fn a_dialled_connection_is_a_connection() {
    let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr();
    tokio::spawn(serve(listener, Shared::new(service_fn(moody))).into_future());
    let mut connection = Connection::new(dial(&address).await.unwrap(), StructHeader::default());
    connection.send("a".into()).await.unwrap();
    assert_eq!(connection.next().await.unwrap().unwrap(), "a");
    let error: Result<Connection<_, StructHeader>, Error> = dial(&Address::Memory(1))
        .await
        .map(|io| Connection::new(io, StructHeader::default()))
        .map_err(Error::from);
    assert!(error.is_err());
}

#[tokio::test]
async fn a_file_where_a_socket_should_be_is_left_alone() {
    let folder = std::env::temp_dir().join(format!("framing-file-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("precious");
    std::fs::write(&path, "data").unwrap();
    let error = Unix::bind(&path).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(std::fs::read(&path).unwrap(), b"data");

    // Nor is a successor's socket removed when its predecessor goes.
    let socket = folder.join("socket");
    let first = Unix::bind(&socket).await.unwrap();
    std::fs::remove_file(&socket).unwrap();
    let second = Unix::bind(&socket).await.unwrap();
    drop(first);
    assert!(socket.exists());
    drop(second);
    assert!(!socket.exists());
    std::fs::remove_dir_all(&folder).unwrap();
}

/// With Nagle's algorithm on, a one-way frame waits until the peer's system has acknowledged the one
/// before, and that waits for 40 ms: 25 frames a second. It must be off wherever we open a socket.
#[tokio::test]
async fn one_way_frames_over_the_ack_handshake_do_not_wait_for_delayed_acknowledgements() {
    const FRAMES: u32 = 200;
    let mut listener = Tcp::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr();
    let receiving = tokio::spawn(async move {
        let (io, _) = listener.accept().await;
        let mut connection = Connection::new(io, AckHandshake::default());
        for _ in 0..FRAMES {
            assert_eq!(connection.next().await.unwrap().unwrap().len(), 64);
        }
    });
    let mut sending = Connection::new(dial(&address).await.unwrap(), AckHandshake::default());
    let begun = Instant::now();
    for _ in 0..FRAMES {
        sending.send(vec![b'x'; 64].into()).await.unwrap();
    }
    receiving.await.unwrap();
    // In the trap it would be eight seconds; otherwise it is a few milliseconds on an idle machine.
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(4),
        "{FRAMES} frames took {took:?}"
    );
}
