//! Serves each peer's datagrams with a service of its own.

use std::{
    fmt,
    future::{self, Future, IntoFuture, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    task::{JoinSet, coop::consume_budget},
    time::{Instant, sleep, timeout},
};
use tower_service::Service;
use tracing::{debug, warn};

use super::{
    Counters, DatagramError, DatagramSocket, Datagrams, Outgoing, Receiving, Sending,
    exchange::{Done, Exchange},
    sessions::{Admission, Bounds, Key, Sessions},
    spawner::Spawner,
};
use crate::serve::{Address, BoxError, Handler, MakeFraming, Peer, PipelineOptions, Pipelines};

/// Serves each frame that arrives at `datagrams` with a service made for its peer, and sends the
/// answer back in one datagram.
///
/// `make_service` is a tower service of [`Peer`]s, as for [`serve`](crate::serve::serve).
///
/// ```
/// use std::convert::Infallible;
///
/// use bytes::Bytes;
/// use framing::{Raw, datagram::{Datagrams, serve_datagrams}};
/// use tokio::net::UdpSocket;
/// use tower::{make::Shared, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let socket = UdpSocket::bind("127.0.0.1:0").await?;
/// let address = socket.local_addr()?;
/// let shout = service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame.to_ascii_uppercase().into()));
/// let datagrams = Datagrams::new(socket, Raw::default())?;
/// tokio::spawn(serve_datagrams(datagrams, Shared::new(shout)).into_future());
///
/// let client = UdpSocket::bind("127.0.0.1:0").await?;
/// client.send_to(b"hello", address).await?;
/// let mut answer = [0; 16];
/// let (size, _) = client.recv_from(&mut answer).await?;
/// assert_eq!(&answer[..size], b"HELLO");
/// # Ok(()) }
/// ```
///
/// # Sessions
///
/// A session is a service and the requests in it, which it answers in order; a peer's first
/// good frame begins it. At most [`max_sessions`](ServeDatagrams::max_sessions) are kept. Where one
/// more is needed, that which has been without a request for longest ends; if all are busy, the new
/// peer's request is let go. So a session can end at any time: whoever forges senders can make the
/// idle ones go, and a peer's address proves nothing. Give the service a time limit, or a request
/// that hangs keeps its session for ever.
///
/// Peers without a name (Unix sockets not bound to a path) are served too, each request by a
/// session of its own, as they cannot be told apart; they cannot be answered, unless the socket is
/// connected to one.
///
/// # What is lost
///
/// Nobody can be made to wait, so what exceeds a limit is dropped and [counted](Counters). A datagram
/// that is not one good frame is never answered: its sender may be forged, and the answer would
/// hit a bystander. An answer is as large as the service makes it; on a public network let it not
/// exceed its request by much, for the same reason.
pub fn serve_datagrams<S, F: MakeFraming, M>(
    datagrams: Datagrams<S, F>,
    make_service: M,
) -> ServeDatagrams<S, F, M> {
    ServeDatagrams {
        datagrams,
        sessions: Pipelines {
            make_service,
            options: Arc::default(),
        },
        bounds: Bounds {
            sessions: 1024,
            idle: Duration::from_secs(60),
            of_a_peer: 0,
            requests: 1024,
            bytes: 16 * 1024 * 1024,
        },
        silent: false,
        counters: Counters::default(),
        drain_timeout: Duration::from_secs(30),
        shutdown: Box::pin(future::pending()),
    }
}

/// A server of datagrams, to be awaited; made by [`serve_datagrams`].
#[must_use = "a server does nothing until it is awaited"]
pub struct ServeDatagrams<S, F: MakeFraming, M> {
    datagrams: Datagrams<S, F>,
    sessions: Pipelines<M>,
    bounds: Bounds,
    silent: bool,
    counters: Counters,
    drain_timeout: Duration,
    shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<S, F: MakeFraming, M> ServeDatagrams<S, F, M> {
    /// Sets the limits of each peer's requests, and what is answered when one fails.
    ///
    /// [`max_in_flight`](PipelineOptions::max_in_flight) counts those of a peer that wait as well:
    /// what exceeds it is dropped.
    pub fn pipeline(mut self, options: PipelineOptions) -> Self {
        self.sessions.options = Arc::new(options);
        self
    }

    /// Sets how many peers may have a session at once (1024; at least 1). For a moment there are
    /// more services than sessions, twice as many at most: those of ended sessions are let go in
    /// their own tasks.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.bounds.sessions = sessions.max(1);
        self
    }

    /// Sets how long a session is kept after its last answer (60 s).
    pub fn idle(mut self, limit: Duration) -> Self {
        self.bounds.idle = limit;
        self
    }

    /// Sets how many requests of all peers together may be in flight, from their arrival until
    /// their answer is sent (1024; at least 1).
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.bounds.requests = requests.max(1);
        self
    }

    /// Sets how many bytes these requests may have together (16 MiB). The one that reaches the
    /// limit is still taken.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.bounds.bytes = bytes.max(1);
        self
    }

    /// Sets whether an empty answer is none: nothing is sent, and the request counts as
    /// [unanswered](Counters::unanswered) (`false`).
    ///
    /// For services that must be able to be silent: an answer to what needs none, such as an
    /// acknowledgement or an error, lets two servers answer each other without end.
    pub fn silent_when_empty(mut self, silent: bool) -> Self {
        self.silent = silent;
        self
    }

    /// Sets how long requests in flight have to finish after the shutdown began (30 s).
    pub fn drain_timeout(mut self, limit: Duration) -> Self {
        self.drain_timeout = limit;
        self
    }

    /// Begins to shut down when `signal` completes: nothing more is received, requests in flight
    /// are answered, and the server's future ends.
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.shutdown = Box::pin(signal);
        self
    }

    /// What the server has done and let go, to look at while it runs.
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }
}

impl<S, F, M> IntoFuture for ServeDatagrams<S, F, M>
where
    S: DatagramSocket + Send + Sync + 'static,
    F: MakeFraming,
    M: Service<Peer> + Clone + Send + Sync + 'static,
    M::Response: Service<Bytes, Response = Bytes> + Send,
    <M::Response as Service<Bytes>>::Error: Into<BoxError> + Send,
    <M::Response as Service<Bytes>>::Future: Send,
    M::Error: Into<BoxError>,
    M::Future: Send,
{
    type Output = ();
    type IntoFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self {
            datagrams,
            sessions,
            mut bounds,
            silent,
            counters,
            drain_timeout,
            shutdown,
        } = self;
        bounds.of_a_peer = sessions.options.requests();
        let Datagrams {
            socket,
            packing,
            receiving,
            sending,
        } = datagrams;
        let (answers, answered) = mpsc::unbounded_channel();
        let spawner = Spawner {
            handler: sessions,
            framing_name: packing.prototype().framing_name(),
            packing: Arc::new(packing),
            silent,
            local: socket.local_addr(),
            most: bounds.sessions.saturating_mul(2),
            answers,
            tasks: JoinSet::new(),
            last: 0,
        };
        let server = Server {
            socket,
            sending,
            sessions: Sessions::new(bounds),
            spawner,
            counters,
        };
        Box::pin(server.run(receiving, answered, shutdown, drain_timeout))
    }
}

impl<S, F: MakeFraming, M> fmt::Debug for ServeDatagrams<S, F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeDatagrams")
            .field("bounds", &self.bounds)
            .field("counters", &self.counters)
            .field("drain_timeout", &self.drain_timeout)
            .finish_non_exhaustive()
    }
}

/// A server at work. One task receives, sends and keeps the table; each session is a task.
struct Server<S, F, H> {
    socket: S,
    sending: Sending,
    sessions: Sessions,
    spawner: Spawner<F, H>,
    counters: Counters,
}

impl<S, F, H> Server<S, F, H>
where
    S: DatagramSocket,
    F: MakeFraming,
    H: Handler<Exchange<F>>,
{
    async fn run(
        mut self,
        mut receiving: Receiving<F>,
        mut answered: UnboundedReceiver<Done>,
        mut shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
        drain_timeout: Duration,
    ) {
        let packing = self.spawner.packing.clone();
        let mut timer = pin!(sleep(Duration::ZERO));
        let mut timed = false;
        loop {
            if !timed && let Some(at) = self.sessions.next_expiry() {
                timer.as_mut().reset(at);
                timed = true;
            }
            // Answers come first: each makes room, and under a flood there is always more to read.
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                sent = poll_fn(|cx| self.sending.poll_flush(&self.socket, cx)),
                    if self.sending.is_waiting() => self.sent(sent),
                Some(done) = answered.recv(), if !self.sending.is_waiting() => self.answer(done),
                // Behind its answers, or they would count as missing.
                Some(ended) = self.spawner.tasks.join_next(), if !self.sending.is_waiting() => {
                    if let Ok((key, number)) = ended {
                        self.ended(&key, number);
                    }
                }
                () = &mut timer, if timed => {
                    timed = false;
                    self.sessions.expire(Instant::now());
                }
                received = poll_fn(|cx| receiving.poll(&self.socket, &packing, cx)) => {
                    self.receive(received);
                    consume_budget().await;
                }
            }
        }
        drop(receiving);
        if timeout(drain_timeout, self.drain(answered)).await.is_err() {
            let left = self.spawner.tasks.len();
            warn!("{left} sessions did not end in {drain_timeout:?}");
        }
        self.spawner.tasks.shutdown().await;
    }

    /// Answers what has been taken.
    async fn drain(&mut self, mut answered: UnboundedReceiver<Done>) {
        self.sessions.close();
        // Then the queue ends when the last session has.
        let (unused, _) = mpsc::unbounded_channel();
        self.spawner.answers = unused;
        loop {
            if self.sending.is_waiting() {
                let sent = poll_fn(|cx| self.sending.poll_flush(&self.socket, cx)).await;
                self.sent(sent);
            }
            let Some(done) = answered.recv().await else {
                break;
            };
            self.answer(done);
        }
        while self.spawner.tasks.join_next().await.is_some() {}
    }

    /// Gives a frame to its peer's session, which may be a new one.
    fn receive(&mut self, received: Result<(Bytes, Address), DatagramError>) {
        let (frame, from) = match received {
            Ok(received) => received,
            Err(error @ DatagramError::Receive(_)) => {
                self.counters.count_failure();
                warn!(%error, "the socket lives on");
                return;
            }
            Err(error) => {
                self.counters.count_unreadable();
                debug!(%error, "let go");
                return;
            }
        };
        let key = if from == Address::Unix(None) && self.sending.peer.as_ref() != Some(&from) {
            Key::Unnamed(self.spawner.next())
        } else {
            Key::Peer(from)
        };
        let mut admission = self.sessions.admit(&key, frame.clone());
        if admission == Admission::NewPeer {
            admission = self.begin(key, frame);
        }
        match admission {
            Admission::Taken => self.counters.count_request(),
            Admission::Dropped => self.counters.count_dropped(),
            Admission::NewPeer | Admission::Refused => self.counters.count_refused(),
        }
    }

    /// Begins a session with its first request.
    fn begin(&mut self, key: Key, frame: Bytes) -> Admission {
        let largest = match &key {
            Key::Peer(address) => self.socket.largest_sent(address),
            Key::Unnamed(_) => 0,
        };
        let Some((number, requests)) = self.spawner.spawn(&key, largest) else {
            return Admission::Refused;
        };
        self.counters.count_session();
        if self
            .sessions
            .open(key.clone(), number, requests, Instant::now())
        {
            self.counters.count_evicted();
        }
        self.sessions.admit(&key, frame)
    }

    fn answer(&mut self, done: Done) {
        let Done {
            key,
            session,
            datagram,
        } = done;
        self.sessions.answered(&key, session, Instant::now());
        match (key, datagram) {
            (Key::Peer(to), Some(datagram)) => {
                let frame = Bytes::new();
                self.sending.put(Outgoing { datagram, frame }, to);
            }
            _ => self.counters.count_unanswered(),
        }
    }

    fn sent(&mut self, sent: Result<(), DatagramError>) {
        match sent {
            Ok(()) => self.counters.count_answer(),
            Err(error) => {
                self.counters.count_unanswered();
                debug!(%error, "an answer is lost");
            }
        }
    }

    fn ended(&mut self, key: &Key, number: u64) {
        for _ in 0..self.sessions.ended(key, number) {
            self.counters.count_unanswered();
        }
    }
}
