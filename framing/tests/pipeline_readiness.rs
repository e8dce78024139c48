//! A service's readiness is for a request that is there: an idle connection holds none of it, and
//! no request is passed on without it.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use framing::{
    Connection, StructHeader, U32InFront,
    client::{Client, Multiplexed},
    serve::{Memory, Multiplex, Pipeline, serve, serve_multiplexed},
};
use futures_util::future::join_all;
use tokio::{io::duplex, time::timeout};
use tower::{Service, ServiceBuilder, ServiceExt, make::Shared};

/// A service that answers one request at a time, over all connections.
fn one_at_a_time() -> impl Service<
    Bytes,
    Response = Bytes,
    Error = Infallible,
    Future: Future<Output = Result<Bytes, Infallible>> + Send,
> + Clone
+ Send
+ Sync {
    ServiceBuilder::new()
        .concurrency_limit(1)
        .service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame))
}

/// Calls on three connections, in an order that is nobody's turn.
async fn call_each<C>(mut clients: Vec<C>)
where
    C: Service<Bytes, Response = Bytes, Error: std::fmt::Debug>,
{
    for number in [0, 2, 2, 1, 1, 1, 0, 2] {
        let client = &mut clients[number];
        let answer = client.ready().await.unwrap().call("a".into());
        let answer = timeout(Duration::from_secs(5), answer).await;
        assert_eq!(answer.expect("it waits for an idle one").unwrap(), "a");
    }
}

#[tokio::test]
async fn idle_connections_keep_no_permit_from_the_others() {
    let (listener, connector) = Memory::new(1024);
    tokio::spawn(serve(listener, Shared::new(one_at_a_time())).into_future());
    let mut clients = Vec::new();
    for _ in 0..3 {
        let io = connector.connect().await.unwrap();
        clients.push(Client::new(Connection::new(io, StructHeader::default())));
    }
    call_each(clients).await;
}

#[tokio::test]
async fn idle_multiplexed_connections_keep_no_permit_from_the_others() {
    let (listener, connector) = Memory::new(1024);
    let tags = U32InFront::new();
    let make = Shared::new(one_at_a_time());
    tokio::spawn(serve_multiplexed(listener, tags.clone(), make).into_future());
    let mut clients = Vec::new();
    for _ in 0..3 {
        let io = connector.connect().await.unwrap();
        let connection = Connection::new(io, StructHeader::default());
        clients.push(Multiplexed::new(connection, tags.clone()).unwrap());
    }
    call_each(clients).await;
}

/// Is ready only every second time it is asked, and counts calls that come without it.
#[derive(Clone, Default)]
struct Probe {
    is_ready: bool,
    asked: usize,
    calls: Arc<AtomicUsize>,
    called_unready: Arc<AtomicUsize>,
}

impl Service<Bytes> for Probe {
    type Response = Bytes;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Bytes, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.asked += 1;
        if !self.is_ready && self.asked % 2 == 1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, frame: Bytes) -> Self::Future {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if !std::mem::take(&mut self.is_ready) {
            self.called_unready.fetch_add(1, Ordering::SeqCst);
        }
        Box::pin(async {
            tokio::task::yield_now().await;
            Ok(frame)
        })
    }
}

impl Probe {
    async fn asked_by<C>(&self, client: C)
    where
        C: Service<Bytes, Response = Bytes, Error: std::fmt::Debug> + Clone,
    {
        let calls = (0..20).map(|number: u32| client.clone().oneshot(number.to_string().into()));
        let answers = timeout(Duration::from_secs(20), join_all(calls)).await;
        for (number, answer) in answers.unwrap().into_iter().enumerate() {
            assert_eq!(answer.unwrap(), number.to_string());
        }
        assert_eq!(self.calls.load(Ordering::SeqCst), 20);
        assert_eq!(self.called_unready.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn both_drivers_call_only_what_is_ready() {
    let connection = |io| Connection::new(io, StructHeader::default());

    let (probe, (ours, theirs)) = (Probe::default(), duplex(256));
    tokio::spawn(Pipeline::new(connection(theirs), probe.clone()));
    probe.asked_by(Client::new(connection(ours))).await;

    let (probe, (ours, theirs)) = (Probe::default(), duplex(256));
    let tags = U32InFront::new();
    let driver = Multiplex::new(connection(theirs), tags.clone(), probe.clone());
    tokio::spawn(driver.unwrap());
    let client = Multiplexed::new(connection(ours), tags).unwrap();
    probe.asked_by(client).await;
}
