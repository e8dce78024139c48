//! Three servers behind tower's balancer, one of which is killed: what is answered, and how often.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use framing::{
    StructHeader, U32InFront,
    client::{Connect, Multiplexed, MultiplexedOptions},
    serve::{Address, Listener, Tcp, serve_multiplexed},
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tower::{
    BoxError, Service, ServiceBuilder, ServiceExt,
    balance::p2c::Balance,
    discover::ServiceList,
    load::{CompleteOnResponse, PendingRequests},
    make::Shared,
    reconnect::Reconnect,
    retry::Policy,
    service_fn,
    util::BoxCloneService,
};

const CALLS: u32 = 600;
const IN_FLIGHT: usize = 16;

/// What the servers have seen: for each call, in order, which server began it, and whether that
/// server came to its end.
type Record = Arc<Mutex<HashMap<u32, Vec<Attempt>>>>;

#[derive(Clone, Copy, Debug)]
struct Attempt {
    server: usize,
    is_done: bool,
}

/// Answers a call's number with itself and the server's own, after a little while; from its
/// `healthy`th call on not at all.
async fn start(server: usize, healthy: usize, record: Record) -> (Address, JoinHandle<()>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let service = service_fn(move |frame: Bytes| {
        let (record, before) = (record.clone(), calls.fetch_add(1, Ordering::SeqCst));
        async move {
            let call: u32 = std::str::from_utf8(&frame).unwrap().parse().unwrap();
            let attempt = {
                let mut record = record.lock().unwrap();
                let attempts = record.entry(call).or_default();
                attempts.push(Attempt {
                    server,
                    is_done: false,
                });
                attempts.len() - 1
            };
            sleep(Duration::from_millis(5)).await;
            if before >= healthy {
                std::future::pending::<()>().await;
            }
            record.lock().unwrap().get_mut(&call).unwrap()[attempt].is_done = true;
            Ok::<_, Infallible>(Bytes::from(format!("{call} {server}")))
        }
    });
    let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr();
    let server = serve_multiplexed(listener, U32InFront::new(), Shared::new(service));
    (address, tokio::spawn(server.into_future()))
}

/// Dials until somebody answers: until then the server is not ready, and gets no calls.
#[derive(Clone)]
struct Patient;

type Dialling = Pin<Box<dyn Future<Output = io::Result<Multiplexed>> + Send>>;

impl Service<Address> for Patient {
    type Response = Multiplexed;
    type Error = io::Error;
    type Future = Dialling;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), io::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Address) -> Dialling {
        let options = MultiplexedOptions::default().max_in_flight(IN_FLIGHT);
        let connect = Connect::new(StructHeader::default())
            .multiplexed(U32InFront::new())
            .options(options);
        Box::pin(async move {
            loop {
                if let Ok(client) = connect.clone().oneshot(address.clone()).await {
                    return Ok(client);
                }
                sleep(Duration::from_millis(10)).await;
            }
        })
    }
}

/// Every call here can be repeated; it is, when its connection is lost.
#[derive(Clone)]
struct Again {
    left: usize,
    repeated: Arc<AtomicUsize>,
}

impl Policy<Bytes, Bytes, BoxError> for Again {
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
        self.repeated.fetch_add(1, Ordering::SeqCst);
        Some(std::future::ready(()))
    }

    fn clone_request(&mut self, request: &Bytes) -> Option<Bytes> {
        Some(request.clone())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_answered_once_though_one_server_of_three_is_killed() {
    let record = Record::default();
    let (mut addresses, mut servers) = (Vec::new(), Vec::new());
    for number in 0..3 {
        // The one in the middle gets stuck, so that something is on its way there when it dies.
        let healthy = if number == 1 { 20 } else { usize::MAX };
        let (address, server) = start(number, healthy, record.clone()).await;
        addresses.push(address);
        servers.push(server);
    }
    let endpoints = addresses.into_iter().map(|address| {
        let client = Reconnect::new(Patient, address);
        PendingRequests::new(client, CompleteOnResponse::default())
    });
    let endpoints: Vec<_> = endpoints.collect();
    let repeated = Arc::new(AtomicUsize::new(0));
    let client = ServiceBuilder::new()
        .retry(Again {
            left: 5,
            repeated: repeated.clone(),
        })
        .timeout(Duration::from_secs(10))
        .buffer(16)
        .service(Balance::new(ServiceList::new::<Bytes>(endpoints)));
    let client = BoxCloneService::new(client);

    let answered = Arc::new(AtomicUsize::new(0));
    let calls: Vec<_> = (0..CALLS)
        .map(|call| {
            let (client, answered) = (client.clone(), answered.clone());
            tokio::spawn(async move {
                let answer = client.oneshot(call.to_string().into()).await?;
                answered.fetch_add(1, Ordering::SeqCst);
                Ok::<_, BoxError>(answer)
            })
        })
        .collect();

    let all = async {
        let is_stuck = || {
            let record = record.lock().unwrap();
            let begun = record
                .values()
                .flatten()
                .filter(|attempt| attempt.server == 1);
            begun.count() > 20
        };
        while answered.load(Ordering::SeqCst) < CALLS as usize / 3 || !is_stuck() {
            sleep(Duration::from_millis(1)).await;
        }
        servers[1].abort();
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await.unwrap().unwrap());
        }
        answers
    };
    let answers = timeout(Duration::from_secs(60), all)
        .await
        .expect("some call waits for ever");

    let record = record.lock().unwrap();
    assert_eq!(record.len(), CALLS as usize);
    let mut begun_again = 0;
    for (call, answer) in (0..CALLS).zip(&answers) {
        let attempts = &record[&call];
        let last = attempts.last().unwrap();
        // The answer is its own, and of the last server that was asked, which finished.
        assert_eq!(*answer, format!("{call} {}", last.server), "{attempts:?}");
        assert!(last.is_done, "{attempts:?}");
        // One that was asked twice was on its way on the server that was killed.
        if let [first, again] = attempts[..] {
            assert_eq!(first.server, 1, "call {call}: {attempts:?}");
            assert!(again.server != 1, "call {call}: {attempts:?}");
            begun_again += 1;
        } else {
            assert_eq!(attempts.len(), 1, "call {call}: {attempts:?}");
        }
    }
    let repeated = repeated.load(Ordering::SeqCst);
    // What was on its way when the server died, and no more; some of it had not arrived yet.
    assert!(begun_again <= repeated, "{begun_again} of {repeated}");
    assert!(
        (1..=IN_FLIGHT).contains(&repeated),
        "{repeated} calls were repeated"
    );
    for server in [0, 2] {
        let calls = answers
            .iter()
            .filter(|it| it.ends_with(server.to_string().as_bytes()));
        assert!(calls.count() > 50, "server {server} is left out");
        servers[server].abort();
    }
}
