//! cargo run --release --example balance
//!
//! Spreads calls over three servers with tower's balancer, and kills one of them in the middle.

use std::{
    collections::HashMap,
    convert::Infallible,
    io, mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use framing::{
    StructHeader, U32InFront,
    client::{Connect, Multiplexed},
    serve::{Address, Listener, Tcp, serve_multiplexed},
};
use futures_util::future::{BoxFuture, join_all};
use tokio::{task::JoinHandle, time::sleep};
use tower::{
    BoxError, ServiceBuilder, ServiceExt,
    balance::p2c::Balance,
    discover::ServiceList,
    load::{CompleteOnResponse, PendingRequests},
    make::Shared,
    reconnect::Reconnect,
    retry::Policy,
    service_fn,
    util::BoxCloneService,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let begun = Begun::default();
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(start(begun.clone()).await?);
    }

    // From the outside in: what is asked again, for how long, in what queue, of whom.
    let again = Arc::new(AtomicUsize::new(0));
    let endpoints = servers.iter().map(|(address, _)| {
        let connect = service_fn(dial as fn(Address) -> BoxFuture<'static, _>);
        let client = Reconnect::new(connect, address.clone());
        PendingRequests::new(client, CompleteOnResponse::default())
    });
    let endpoints: Vec<_> = endpoints.collect();
    let client = ServiceBuilder::new()
        .retry(Repeat {
            left: 3,
            count: again.clone(),
        })
        .timeout(Duration::from_secs(10))
        .buffer(64)
        .service(Balance::new(ServiceList::new::<Bytes>(endpoints)));
    let client = BoxCloneService::new(client);

    // Most calls read, which can be done twice. Every tenth adds, which must not be.
    let answered = Arc::new(AtomicUsize::new(0));
    let calls = (0..1000).map(|number| {
        let verb = if number % 10 == 0 { "add" } else { "read" };
        let (client, answered) = (client.clone(), answered.clone());
        async move {
            let request = format!("{verb} {number}");
            let answer = client.oneshot(request.clone().into()).await;
            answered.fetch_add(1, Ordering::Relaxed);
            (request, answer)
        }
    });
    let killing = async {
        while answered.load(Ordering::Relaxed) < 300 {
            sleep(Duration::from_millis(1)).await;
        }
        let (address, server) = &servers[1];
        server.abort();
        println!("killed {address}");
    };
    let (outcomes, ()) = tokio::join!(join_all(calls), killing);

    let begun = mem::take(
        &mut *begun
            .lock()
            .map_err(|_| anyhow::anyhow!("a server panicked"))?,
    );
    for verb in ["read", "add"] {
        let calls = || outcomes.iter().filter(|(call, _)| call.starts_with(verb));
        let answers = calls().filter(|(_, answer)| answer.is_ok()).count();
        let twice = calls().filter(|(call, _)| begun.get(call).is_some_and(|&times| times > 1));
        let (total, twice) = (calls().count(), twice.count());
        println!("{verb}: {total} calls, {answers} answered, {twice} begun twice");
        anyhow::ensure!(answers == total || verb == "add");
        anyhow::ensure!(twice == 0 || verb == "read");
    }
    for (call, answer) in &outcomes {
        // What comes back is the call's own answer, and no other's.
        anyhow::ensure!(answer.as_ref().is_ok_and(|it| it == call) || answer.is_err());
    }
    println!("{} calls were made again", again.load(Ordering::Relaxed));
    Ok(())
}

/// How often each request was begun, on all servers together.
type Begun = Arc<Mutex<HashMap<String, usize>>>;

/// A server that answers each request with itself, after a while.
async fn start(begun: Begun) -> io::Result<(Address, JoinHandle<()>)> {
    let service = service_fn(move |request: Bytes| {
        let name = String::from_utf8_lossy(&request).into_owned();
        if let Ok(mut begun) = begun.lock() {
            *begun.entry(name).or_default() += 1;
        }
        async move {
            sleep(Duration::from_millis(5)).await;
            Ok::<_, Infallible>(request)
        }
    });
    let listener = Tcp::bind("127.0.0.1:0").await?;
    let address = listener.local_addr();
    let server = serve_multiplexed(listener, U32InFront::new(), Shared::new(service));
    Ok((address, tokio::spawn(server.into_future())))
}

/// Dials until somebody answers. While it does, the balancer finds this server not ready and asks
/// the others; one that failed at once would look like the fastest of all.
fn dial(address: Address) -> BoxFuture<'static, io::Result<Multiplexed>> {
    Box::pin(async move {
        loop {
            let connect = Connect::new(StructHeader::default()).multiplexed(U32InFront::new());
            match connect.oneshot(address.clone()).await {
                Ok(client) => return Ok(client),
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    })
}

/// Makes a call again when its connection is lost, if it does no harm.
#[derive(Clone)]
struct Repeat {
    left: usize,
    count: Arc<AtomicUsize>,
}

impl Policy<Bytes, Bytes, BoxError> for Repeat {
    type Future = std::future::Ready<()>;

    fn retry(
        &mut self,
        _: &mut Bytes,
        result: &mut Result<Bytes, BoxError>,
    ) -> Option<Self::Future> {
        if result.is_ok() || self.left == 0 {
            return None;
        }
        self.left -= 1;
        self.count.fetch_add(1, Ordering::Relaxed);
        Some(std::future::ready(()))
    }

    fn clone_request(&mut self, request: &Bytes) -> Option<Bytes> {
        // Without a copy there is nothing to ask again with.
        request.starts_with(b"read").then(|| request.clone())
    }
}

#[test]
fn runs() -> anyhow::Result<()> {
    main()
}
