//! What happens on a connection before its first frame: in its own task, in its own place, and
//! nothing behind it is reached unless it is done.

use std::{
    convert::Infallible,
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use framing::{
    Connection, Lines, StructHeader, U32InFront,
    client::Multiplexed,
    serve::{
        Acceptor, Address, BoxError, Drain, Ending, Handler, Memory, MemoryConnector, NoAcceptor,
        Peer, Serve, serve, serve_multiplexed, serve_with,
    },
};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufStream, DuplexStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tower::{Service, ServiceExt, make::Shared, service_fn};

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work)
        .await
        .expect("this takes too long")
}

async fn echo(frame: Bytes) -> Result<Bytes, Infallible> {
    Ok(frame)
}

/// Reads one byte, and does what it says.
struct Obeys;

impl Acceptor<DuplexStream> for Obeys {
    type Io = DuplexStream;

    async fn accept(
        &self,
        mut io: DuplexStream,
        peer: &mut Peer,
    ) -> Result<DuplexStream, BoxError> {
        match io.read_u8().await? {
            b'g' => Ok(io),
            b'n' => {
                peer.remote = Address::Memory(4711);
                Ok(io)
            }
            b'p' => panic!("a panic that the test asked for"),
            b'w' => pending().await,
            other => Err(format!("not {other}").into()),
        }
    }
}

/// Panics before there is a future, once.
struct Hasty(AtomicUsize);

impl Acceptor<DuplexStream> for Hasty {
    type Io = DuplexStream;

    fn accept(
        &self,
        io: DuplexStream,
        _: &mut Peer,
    ) -> impl Future<Output = Result<DuplexStream, BoxError>> + Send {
        let first = self.0.fetch_add(1, Ordering::SeqCst) == 0;
        assert!(!first, "a panic that the test asked for");
        ready(Ok(io))
    }
}

type Told = mpsc::UnboundedReceiver<(Address, String)>;

/// Runs an echo server that tells how its connections end, and counts the services it makes.
fn watched<A>(
    acceptor: A,
    set: impl FnOnce(
        Serve<Memory, Counting, StructHeader, A>,
    ) -> Serve<Memory, Counting, StructHeader, A>,
) -> (MemoryConnector, JoinHandle<()>, Told, Arc<AtomicUsize>)
where
    A: Acceptor<DuplexStream>,
{
    let (listener, connector) = Memory::new(1024);
    let (tell, told) = mpsc::unbounded_channel();
    let made = Arc::new(AtomicUsize::new(0));
    let server = serve_with(listener, Counting(made.clone()))
        .acceptor(acceptor)
        .on_close(move |peer, closed| {
            let ending = match &closed.ending {
                Ending::Clean => "clean".to_owned(),
                Ending::Failed(error) => format!("failed: {error}"),
                Ending::Cut => "cut".to_owned(),
                Ending::Panicked => "panicked".to_owned(),
                other => panic!("{other:?} is new"),
            };
            let _ = tell.send((peer.remote.clone(), ending));
        });
    let server = tokio::spawn(set(server).into_future());
    (connector, server, told, made)
}

/// Echoes, and counts for how many peers it was asked to.
struct Counting(Arc<AtomicUsize>);

impl<Io> Handler<Connection<Io, StructHeader>> for Counting
where
    Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    fn handle(
        &self,
        mut connection: Connection<Io, StructHeader>,
        _: Peer,
        drain: Drain,
    ) -> impl Future<Output = Result<(), BoxError>> + Send + 'static {
        self.0.fetch_add(1, Ordering::SeqCst);
        async move {
            loop {
                let frame = tokio::select! {
                    frame = connection.next() => frame,
                    () = drain.requested() => return Ok(connection.close().await?),
                };
                match frame {
                    Some(frame) => connection.send(frame?).await?,
                    None => return Ok(()),
                }
            }
        }
    }
}

/// A peer that begins with `word`.
async fn begin(connector: &MemoryConnector, word: &[u8]) -> Connection<DuplexStream, StructHeader> {
    let mut io = connector.connect().await.unwrap();
    io.write_all(word).await.unwrap();
    Connection::new(io, StructHeader::default())
}

async fn is_served(client: &mut Connection<DuplexStream, StructHeader>) {
    client.send("hello".into()).await.unwrap();
    assert_eq!(soon(client.next()).await.unwrap().unwrap(), "hello");
}

#[tokio::test]
async fn frames_begin_where_the_acceptor_ends() {
    let (connector, _server, _told, made) = watched(Obeys, |server| server);
    // Glued, and in pieces.
    let mut io = connector.connect().await.unwrap();
    io.write_all(b"g\0\0\0\x05hel").await.unwrap();
    sleep(Duration::from_millis(5)).await;
    io.write_all(b"lo").await.unwrap();
    let mut answer = [0; 9];
    soon(io.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"\0\0\0\x05hello");
    assert_eq!(made.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn whoever_fails_is_closed_and_reaches_nothing() {
    let (connector, _server, mut told, made) = watched(Obeys, |server| server);
    for (word, ending) in [
        (&b"x"[..], "failed: not 120"),
        (b"x\0\0\0\x01a", "failed: not 120"),
        (b"p", "panicked"),
    ] {
        let mut client = begin(&connector, word).await;
        assert!(soon(client.next()).await.is_none(), "not a byte");
        assert_eq!(soon(told.recv()).await.unwrap().1, ending);
    }
    // One that leaves before anything.
    drop(begin(&connector, b"").await);
    let ending = soon(told.recv()).await.unwrap().1;
    assert!(ending.starts_with("failed: "), "{ending}");
    assert_eq!(made.load(Ordering::SeqCst), 0, "no handler saw them");

    let mut client = begin(&connector, b"g").await;
    is_served(&mut client).await;
}

#[tokio::test]
async fn an_acceptor_that_panics_at_once_costs_its_connection_alone() {
    let (connector, _server, mut told, made) = watched(Hasty(AtomicUsize::new(0)), |server| server);
    let mut client = begin(&connector, b"").await;
    assert!(soon(client.next()).await.is_none());
    assert_eq!(soon(told.recv()).await.unwrap().1, "panicked");
    assert_eq!(made.load(Ordering::SeqCst), 0);
    is_served(&mut begin(&connector, b"").await).await;
}

#[tokio::test]
async fn a_slow_peer_holds_nobody_up() {
    let (connector, _server, _told, _) = watched(Obeys, |server| server);
    let _slow: Vec<_> = [begin(&connector, b"w").await, begin(&connector, b"").await].into();
    for _ in 0..20 {
        is_served(&mut begin(&connector, b"g").await).await;
    }
}

#[tokio::test]
async fn a_handshake_holds_a_place_and_a_failed_one_gives_it_back() {
    let (connector, _server, mut told, made) = watched(Obeys, |server| server.max_connections(1));
    let undecided = begin(&connector, b"").await;
    let mut waiting = begin(&connector, b"g").await;
    waiting.send("hello".into()).await.unwrap();
    timeout(Duration::from_millis(50), waiting.next())
        .await
        .expect_err("the one place is taken");
    assert_eq!(made.load(Ordering::SeqCst), 0);
    drop(undecided);
    assert_eq!(soon(waiting.next()).await.unwrap().unwrap(), "hello");
    drop(waiting);
    for word in [b"x", b"p", b"x"] {
        let mut client = begin(&connector, word).await;
        assert!(soon(client.next()).await.is_none());
    }
    is_served(&mut begin(&connector, b"g").await).await;
    let mut endings = Vec::new();
    for _ in 0..5 {
        endings.push(soon(told.recv()).await.unwrap().1);
    }
    let early = endings.remove(0);
    assert!(early.starts_with("failed: "), "{early}");
    let rest = ["clean", "failed: not 120", "panicked", "failed: not 120"];
    assert_eq!(endings, rest);
}

#[tokio::test]
async fn a_drain_ends_open_handshakes_at_once_and_answers_the_others() {
    let (stop, stopped) = oneshot::channel::<()>();
    let (connector, server, mut told, made) = watched(Obeys, |server| {
        server.with_graceful_shutdown(async { drop(stopped.await) })
    });
    let mut served = begin(&connector, b"g").await;
    is_served(&mut served).await;
    let mut open = [begin(&connector, b"").await, begin(&connector, b"w").await];
    // All three are accepted: the one behind them is served.
    is_served(&mut begin(&connector, b"g").await).await;
    assert_eq!(soon(told.recv()).await.unwrap().1, "clean");
    stop.send(()).unwrap();
    for client in &mut open {
        assert!(soon(client.next()).await.is_none());
    }
    // Far below the drain's time limit of 30 seconds.
    timeout(Duration::from_secs(5), server)
        .await
        .unwrap()
        .unwrap();
    for _ in 0..3 {
        assert_eq!(soon(told.recv()).await.unwrap().1, "clean");
    }
    assert_eq!(made.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_server_that_is_dropped_cuts_open_handshakes() {
    let (connector, server, mut told, _) = watched(Obeys, |server| server);
    let mut open = begin(&connector, b"w").await;
    is_served(&mut begin(&connector, b"g").await).await;
    assert_eq!(soon(told.recv()).await.unwrap().1, "clean");
    server.abort();
    assert!(soon(open.next()).await.is_none());
    assert_eq!(soon(told.recv()).await.unwrap().1, "cut");
}

#[tokio::test]
async fn what_an_acceptor_finds_out_of_the_peer_is_seen_behind_it() {
    let (listener, connector) = Memory::new(1024);
    let (tell, mut told) = mpsc::unbounded_channel();
    let tell_closed = tell.clone();
    let make = service_fn(move |peer: Peer| {
        let _ = tell.send(peer.remote);
        async { Ok::<_, Infallible>(service_fn(echo)) }
    });
    let server = serve(listener, make)
        .acceptor(Obeys)
        .on_close(move |peer, _| {
            let _ = tell_closed.send(peer.remote.clone());
        });
    tokio::spawn(server.into_future());
    drop(begin(&connector, b"n").await);
    for _ in 0..2 {
        assert_eq!(soon(told.recv()).await.unwrap(), Address::Memory(4711));
    }
}

/// Gives another byte stream than it got.
struct Buffers;

impl<Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static> Acceptor<Io>
    for Buffers
{
    type Io = BufStream<Io>;

    async fn accept(&self, io: Io, _: &mut Peer) -> Result<BufStream<Io>, BoxError> {
        Ok(BufStream::new(io))
    }
}

#[tokio::test]
async fn handlers_get_the_byte_stream_that_the_acceptor_gives() {
    let (listener, connector) = Memory::new(1024);
    let server = serve(listener, Shared::new(service_fn(echo)))
        .acceptor(Buffers)
        .framing(Lines::new().unwrap());
    tokio::spawn(server.into_future());
    let mut client = Connection::new(connector.connect().await.unwrap(), Lines::new().unwrap());
    client.send("hello".into()).await.unwrap();
    assert_eq!(soon(client.next()).await.unwrap().unwrap(), "hello");
}

#[tokio::test]
async fn with_tags_too_and_whatever_the_order_of_the_options() {
    let (listener, connector) = Memory::new(1024);
    let server = serve_multiplexed(
        listener,
        U32InFront::default(),
        Shared::new(service_fn(echo)),
    )
    .acceptor(Obeys)
    .multiplex(Default::default())
    .framing(StructHeader::default());
    tokio::spawn(server.into_future());
    let client = begin(&connector, b"g").await;
    let mut client = Multiplexed::new(client, U32InFront::default()).unwrap();
    let answer = soon(async { client.ready().await?.call("hello".into()).await });
    assert_eq!(answer.await.unwrap(), "hello");
}

#[tokio::test]
async fn one_that_a_configuration_leaves_out_does_nothing() {
    for acceptor in [None, Some(Obeys)] {
        let word: &[u8] = if acceptor.is_some() { b"g" } else { b"" };
        let (connector, _server, _told, _) = watched(acceptor, |server| server);
        is_served(&mut begin(&connector, word).await).await;
    }
    let (connector, _server, _told, _) = watched(NoAcceptor, |server| server);
    is_served(&mut begin(&connector, b"").await).await;
}
