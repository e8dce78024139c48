//! What an application is told of its connections: who comes, who may not, how each ended.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use framing::{
    Connection, StructHeader,
    client::dial,
    serve::{
        Address, BoxError, Drain, Ending, Failure, Handler, Listener, Memory, MemoryConnector,
        Peer, PipelineOptions, Serve, Tcp, serve, serve_with,
    },
};
use futures_util::{SinkExt, Stream, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::{mpsc, oneshot},
    task::{JoinHandle, block_in_place},
    time::{Instant, sleep, timeout},
};
use tower::{make::Shared, service_fn};

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work)
        .await
        .expect("this takes too long")
}

async fn connect(connector: &MemoryConnector) -> Connection<DuplexStream, StructHeader> {
    let io = connector.connect().await.unwrap();
    Connection::new(io, StructHeader::default())
}

async fn ask(client: &mut Connection<DuplexStream, StructHeader>, request: &str) -> Bytes {
    client.send(request.to_owned().into()).await.unwrap();
    soon(client.next()).await.unwrap().unwrap()
}

async fn echo(frame: Bytes) -> Result<Bytes, Infallible> {
    Ok(frame)
}

/// Ends as the first frame says.
async fn end<C>(mut connection: C) -> Result<(), BoxError>
where
    C: Stream<Item = Result<Bytes, framing::Error>> + Unpin,
{
    let Some(frame) = connection.next().await else {
        return Ok(());
    };
    match &frame?[..] {
        b"fail" => Err("it went wrong".into()),
        b"panic" => panic!("a panic that the test asked for"),
        b"never" => pending().await,
        _ => Ok(()),
    }
}

struct Moody;

impl<C> Handler<C> for Moody
where
    C: Stream<Item = Result<Bytes, framing::Error>> + Send + Unpin + 'static,
{
    fn handle(
        &self,
        connection: C,
        _: Peer,
        _: Drain,
    ) -> impl Future<Output = Result<(), BoxError>> + Send + 'static {
        end(connection)
    }
}

type Told = mpsc::UnboundedReceiver<(Address, String, Duration)>;

/// Runs a server that tells how its connections end.
fn watched<H>(server: Serve<Memory, H>) -> (JoinHandle<()>, Told)
where
    H: Handler<Connection<DuplexStream, StructHeader>>,
{
    let (tell, told) = mpsc::unbounded_channel();
    let server = server.on_close(move |peer, closed| {
        let ending = match &closed.ending {
            Ending::Clean => "clean".to_owned(),
            Ending::Failed(error) => format!("failed: {error}"),
            Ending::Cut => "cut".to_owned(),
            Ending::Panicked => "panicked".to_owned(),
            other => panic!("{other:?} is new"),
        };
        let _ = tell.send((peer.remote.clone(), ending, closed.lived));
    });
    (tokio::spawn(server.into_future()), told)
}

#[tokio::test]
async fn each_end_is_told_once_and_how_it_came() {
    let (listener, connector) = Memory::new(1024);
    let (_server, mut told) = watched(serve_with(listener, Moody));
    for (frame, ending) in [
        (Some("go"), "clean"),
        (None, "clean"),
        (Some("fail"), "failed: it went wrong"),
        (Some("panic"), "panicked"),
        (Some("go"), "clean"),
    ] {
        let mut client = connect(&connector).await;
        if let Some(frame) = frame {
            client.send(frame.into()).await.unwrap();
        }
        client.close().await.unwrap();
        assert_eq!(soon(told.recv()).await.unwrap().1, ending);
    }
    // An error of the framing: the stream ends inside a header.
    let mut client = connector.connect().await.unwrap();
    client.write_all(b"\0\0").await.unwrap();
    drop(client);
    let (_, ending, _) = soon(told.recv()).await.unwrap();
    assert!(
        ending.starts_with("failed: the stream ended inside"),
        "{ending}"
    );
    assert!(told.try_recv().is_err(), "told twice");
}

#[tokio::test(start_paused = true)]
async fn b07_what_is_cut_when_the_server_stops_is_told_as_cut() {
    let (listener, connector) = Memory::new(1024);
    let (stop, stopped) = oneshot::channel::<()>();
    let server = serve_with(listener, Moody)
        .drain_timeout(Duration::from_secs(3))
        .with_graceful_shutdown(async { drop(stopped.await) });
    let (server, mut told) = watched(server);
    let mut client = connect(&connector).await;
    client.send("never".into()).await.unwrap();
    sleep(Duration::from_secs(4)).await;
    assert!(told.try_recv().is_err());
    stop.send(()).unwrap();
    server.await.unwrap();
    let (_, ending, lived) = told.try_recv().unwrap();
    assert_eq!((ending.as_str(), lived.as_secs()), ("cut", 7));
    assert!(told.try_recv().is_err(), "told twice");
    assert!(client.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_because_the_server_is_dropped_is_told_too() {
    let (listener, connector) = Memory::new(1024);
    let (server, mut told) = watched(serve_with(listener, Moody));
    let mut client = connect(&connector).await;
    client.send("never".into()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    server.abort();
    assert_eq!(told.recv().await.unwrap().1, "cut");
    assert!(told.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_drains_ends_clean_and_its_age_is_told() {
    let (listener, connector) = Memory::new(1024);
    let (stop, stopped) = oneshot::channel::<()>();
    let server = serve(listener, Shared::new(service_fn(echo)))
        .with_graceful_shutdown(async { drop(stopped.await) });
    let (server, mut told) = watched(server);
    let mut clients = [connect(&connector).await, connect(&connector).await];
    for client in &mut clients {
        assert_eq!(ask(client, "a").await, "a");
    }
    sleep(Duration::from_secs(5)).await;
    stop.send(()).unwrap();
    for client in &mut clients {
        assert!(client.next().await.is_none());
        client.close().await.unwrap();
    }
    server.await.unwrap();
    let ends = [told.recv().await.unwrap(), told.recv().await.unwrap()];
    for (_, ending, lived) in &ends {
        assert_eq!((ending.as_str(), lived.as_secs()), ("clean", 5));
    }
    assert_ne!(ends[0].0, ends[1].0, "one connection, twice");
    assert!(told.recv().await.is_none());
}

#[tokio::test]
async fn who_is_refused_is_not_read_not_served_and_not_told_as_closed() {
    let (listener, connector) = Memory::new(1024);
    let (made, counted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (making, asked) = (made.clone(), counted.clone());
    let make = service_fn(move |_: Peer| {
        making.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, Infallible>(service_fn(echo)) }
    });
    // Every second one may.
    let server = serve(listener, make).on_connect(move |peer| {
        assert_eq!(&*peer.framing, "StructHeader");
        match asked.fetch_add(1, Ordering::SeqCst) % 2 {
            0 => Err("not you"),
            _ => Ok(()),
        }
    });
    let (_server, mut told) = watched(server);
    for _ in 0..3 {
        let mut refused = connector.connect().await.unwrap();
        assert_eq!(soon(refused.read(&mut [0])).await.unwrap(), 0);
        assert!(refused.write_all(b"\0").await.is_err(), "somebody reads");
        let mut client = connect(&connector).await;
        assert_eq!(ask(&mut client, "a").await, "a");
        drop(client);
        assert_eq!(soon(told.recv()).await.unwrap().1, "clean");
    }
    assert_eq!(counted.load(Ordering::SeqCst), 6);
    assert_eq!(made.load(Ordering::SeqCst), 3);
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn who_is_refused_takes_nobodys_place() {
    let (listener, connector) = Memory::new(1024);
    let asked = AtomicUsize::new(0);
    let server = serve(listener, Shared::new(service_fn(echo)))
        .max_connections(1)
        .on_connect(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
            0..5 => Err("not yet"),
            _ => Ok(()),
        });
    tokio::spawn(server.into_future());
    let mut refused = Vec::new();
    for _ in 0..5 {
        refused.push(connector.connect().await.unwrap());
    }
    let mut client = connect(&connector).await;
    assert_eq!(ask(&mut client, "a").await, "a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_is_given_away_only_after_its_end_was_told() {
    let (listener, connector) = Memory::new(1024);
    let open = Arc::new(AtomicUsize::new(0));
    let (opened, closed) = (open.clone(), open);
    let server = serve(listener, Shared::new(service_fn(echo)))
        .max_connections(1)
        .on_connect(move |_| {
            let open = opened.fetch_add(1, Ordering::SeqCst);
            if open == 0 {
                Ok(())
            } else {
                Err("two at once")
            }
        })
        .on_close(move |_, _| {
            // Time enough for another to be let in, and a thread for it.
            block_in_place(|| std::thread::sleep(Duration::from_millis(5)));
            closed.fetch_sub(1, Ordering::SeqCst);
        });
    tokio::spawn(server.into_future());
    for _ in 0..50 {
        let mut client = connect(&connector).await;
        assert_eq!(ask(&mut client, "a").await, "a");
    }
}

#[tokio::test]
async fn hooks_that_panic_refuse_or_do_nothing_and_the_server_lives() {
    let (listener, connector) = Memory::new(1024);
    let (asked, told) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let telling = told.clone();
    let server = serve(listener, Shared::new(service_fn(echo)))
        .on_connect(move |_| {
            let count = asked.fetch_add(1, Ordering::SeqCst);
            assert_ne!(count, 0, "a panic that the test asked for");
            Ok::<_, BoxError>(())
        })
        .on_close(move |_, _| {
            telling.fetch_add(1, Ordering::SeqCst);
            panic!("a panic that the test asked for");
        });
    let server = tokio::spawn(server.into_future());
    let mut refused = connector.connect().await.unwrap();
    assert_eq!(soon(refused.read(&mut [0])).await.unwrap(), 0);
    for _ in 0..3 {
        let mut client = connect(&connector).await;
        assert_eq!(ask(&mut client, "a").await, "a");
    }
    soon(async {
        while told.load(Ordering::SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!server.is_finished());
}

#[tokio::test]
async fn a_peer_is_refused_by_its_address() {
    let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr();
    // Known only once somebody has connected, so the hook is told.
    let barred = Arc::new(std::sync::Mutex::new(None));
    let asked = barred.clone();
    let server = serve(listener, Shared::new(service_fn(echo))).on_connect(move |peer| {
        assert!(peer.remote.is_local());
        let mut barred = asked.lock().unwrap();
        match &*barred {
            Some(address) if *address != peer.remote => Ok(()),
            _ => {
                *barred = Some(peer.remote.clone());
                Err("this port is barred")
            }
        }
    });
    tokio::spawn(server.into_future());
    let mut refused = dial(&address).await.unwrap();
    assert_eq!(soon(refused.read(&mut [0])).await.unwrap(), 0);
    assert!(matches!(*barred.lock().unwrap(), Some(Address::Tcp(_))));
    let client = dial(&address).await.unwrap();
    let mut client = Connection::new(client, StructHeader::default());
    client.send("a".into()).await.unwrap();
    assert_eq!(soon(client.next()).await.unwrap().unwrap(), "a");
}

/// What a service may say, and the two things it cannot.
#[derive(Debug, thiserror::Error)]
#[error("busy for {0} s")]
struct Busy(u32);

#[tokio::test]
async fn b02_b03_b11_a_failure_comes_to_its_hook_as_it_was() {
    let (listener, connector) = Memory::new(1024);
    let service = service_fn(async |frame: Bytes| match &frame[..] {
        b"busy" => Err(Busy(7)),
        b"panic" => panic!("a panic that the test asked for"),
        b"long" => Ok(vec![0; 17 << 20].into()),
        _ => Ok(frame),
    });
    let options = PipelineOptions::default().on_failure(|failure| {
        match failure {
            Failure::Service(error) => match error.downcast_ref::<Busy>() {
                Some(Busy(seconds)) => format!("!{seconds}"),
                None => "!?".to_owned(),
            },
            Failure::Panicked => "!panic".to_owned(),
            Failure::Unencodable(error) => format!("!{}", error.kind()),
            other => format!("!{other:?}"),
        }
        .into()
    });
    let server = serve(listener, Shared::new(service)).pipeline(options);
    let (_server, mut told) = watched(server);
    let mut client = connect(&connector).await;
    for (request, answer) in [
        ("a", "a"),
        ("busy", "!7"),
        ("panic", "!panic"),
        ("long", "!unencodable"),
        ("b", "b"),
    ] {
        assert_eq!(ask(&mut client, request).await, answer);
    }
    drop(client);
    assert_eq!(soon(told.recv()).await.unwrap().1, "clean");
}

#[tokio::test]
async fn a_failure_hook_that_panics_ends_its_connection_alone() {
    let (listener, connector) = Memory::new(1024);
    let service = service_fn(async |frame: Bytes| match &frame[..] {
        b"busy" => Err(Busy(7)),
        _ => Ok(frame),
    });
    let options = PipelineOptions::default()
        .on_failure(|failure| panic!("a panic that the test asked for: {failure}"));
    let (_server, mut told) = watched(serve(listener, Shared::new(service)).pipeline(options));
    let mut client = connect(&connector).await;
    client.send("busy".into()).await.unwrap();
    assert!(soon(client.next()).await.is_none());
    assert_eq!(soon(told.recv()).await.unwrap().1, "panicked");
    let mut client = connect(&connector).await;
    assert_eq!(ask(&mut client, "a").await, "a");
}

/// Panics for the first connection, before there is a future.
struct Hasty(AtomicUsize);

impl<C: Send + 'static> Handler<C> for Hasty {
    fn handle(
        &self,
        connection: C,
        _: Peer,
        _: Drain,
    ) -> impl Future<Output = Result<(), BoxError>> + Send + 'static {
        let first = self.0.fetch_add(1, Ordering::SeqCst) == 0;
        assert!(!first, "a panic that the test asked for");
        drop(connection);
        async { Ok(()) }
    }
}

#[tokio::test]
async fn a_handler_that_panics_at_once_costs_its_connection_alone() {
    let (listener, connector) = Memory::new(1024);
    let (_server, mut told) = watched(serve_with(listener, Hasty(AtomicUsize::new(0))));
    for ending in ["panicked", "clean"] {
        let mut client = connect(&connector).await;
        assert!(soon(client.next()).await.is_none());
        assert_eq!(soon(told.recv()).await.unwrap().1, ending);
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_named() {
    let taken = Tcp::bind("127.0.0.1:0").await.unwrap();
    let Address::Tcp(address) = taken.local_addr() else {
        unreachable!("a TCP listener")
    };
    let error = Tcp::bind(address).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    let told = error.to_string();
    assert!(
        told.starts_with(&format!("cannot listen on tcp://{address}: ")),
        "{told}"
    );
    // The second can be had.
    let free = "127.0.0.1:0".parse().unwrap();
    assert!(Tcp::bind(&[address, free][..]).await.is_ok());
    let error = Tcp::bind("127.0.0.1:many").await.unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:many"), "{error}");
    let error = Tcp::bind(&[][..]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[tokio::test(start_paused = true)]
async fn ages_are_measured_from_the_connection_on() {
    let (listener, connector) = Memory::new(1024);
    let (_server, mut told) = watched(serve_with(listener, Moody));
    sleep(Duration::from_secs(100)).await;
    let mut client = connect(&connector).await;
    let begun = Instant::now();
    tokio::task::yield_now().await;
    sleep(Duration::from_secs(3)).await;
    client.send("go".into()).await.unwrap();
    let (_, _, lived) = told.recv().await.unwrap();
    assert_eq!(lived.as_secs(), begun.elapsed().as_secs());
}
