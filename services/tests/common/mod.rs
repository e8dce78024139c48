//! A server without sockets, and a peer that speaks to it frame by frame.

#![allow(dead_code, reason = "each test file uses its own part of this one")]

use std::{
    convert::Infallible,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use framing::{
    BoxFraming, Carries, Connection, Framing, FramingFactory, Registry,
    serve::{Address, BoxError, Drain, Handler, Peer as RemotePeer},
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use services::{
    Authed, Handle, HandleLayer, Ping, Request, Response, Session, Unsupported, Verb, WhoAmI,
    audit::MemoryAudit,
    client::Client,
    exec::{Allow, Exec, Limits, ScriptedSpawner, Spawner},
    files::{Files, MemoryStore, Store},
    login::{
        Attempts, Authenticator, HashCost, LoginLayer, MemoryAccounts, Password, Right, Unlimited,
    },
    native::{NativeError, NativeServer},
};
use tokio::{
    io::DuplexStream,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tower::{Layer, Service, ServiceBuilder, service_fn};

/// The framings that the cases name: "all codecs".
pub(crate) const CODECS: [&str; 3] = ["ack-handshake", "struct-header", "delimiter"];

/// What `alice` proves herself with; no answer and no log may ever hold it.
pub(crate) const PASSWORD: &str = "open-sesame-8151";

/// The factory of the framing that `text` describes.
pub(crate) fn framing(text: &str) -> FramingFactory {
    Registry::default().parse(text).unwrap()
}

/// Waits for something that must not take long.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(25), future)
        .await
        .expect("it comes to an end")
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < give_up, "never: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Bytes without a pattern that a framing could hide a fault behind.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    });
    next.take(length).collect()
}

/// Answers `count`, and counts: a stand-in for whatever must not be reached before a login.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counting(pub(crate) Arc<AtomicUsize>);

impl Counting {
    pub(crate) fn calls(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted {
            calls: self.0.clone(),
            inner,
        }
    }
}

/// A service whose calls are counted.
#[derive(Clone, Debug)]
pub(crate) struct Counted<S> {
    calls: Arc<AtomicUsize>,
    inner: S,
}

impl<S: Service<Authed<Request>>> Service<Authed<Request>> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Authed<Request>) -> S::Future {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.inner.call(request)
    }
}

/// A handler made of a function.
#[derive(Clone)]
pub(crate) struct Answer<F> {
    verb: &'static str,
    answer: F,
}

/// Answers `verb` with what `answer` makes of the request, outside of any login.
pub(crate) fn answer<F, R>(verb: &'static str, answer: F) -> HandleLayer<Answer<F>>
where
    F: Fn(Request) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    HandleLayer::new(Answer { verb, answer })
}

impl<F, R> Handle<Request> for Answer<F>
where
    F: Fn(Request) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    fn takes(&self, verb: &Verb) -> bool {
        verb.as_str() == self.verb
    }

    fn handle(self, request: Request) -> impl Future<Output = Response> + Send + 'static {
        (self.answer)(request)
    }
}

/// The parts of an ordinary server. Change them, then [`start`](Self::start).
pub(crate) struct Parts {
    pub(crate) framing: FramingFactory,
    pub(crate) spawner: Arc<dyn Spawner>,
    pub(crate) allow: Allow,
    pub(crate) shell: bool,
    pub(crate) limits: Limits,
    pub(crate) store: Arc<dyn StoreMaker>,
    pub(crate) digest_optional: bool,
    pub(crate) attempts: Arc<dyn Attempts>,
    pub(crate) accounts: MemoryAccounts,
    pub(crate) max_tries: u32,
    pub(crate) login_deadline: Duration,
    pub(crate) buffer: usize,
    pub(crate) audit: Arc<MemoryAudit>,
    pub(crate) counting: Counting,
}

/// Puts a files layer around a store whose type only its maker knows.
pub(crate) trait StoreMaker: Send + Sync {
    fn files(&self) -> Files;
}

impl<S: Store + Clone + 'static> StoreMaker for S {
    fn files(&self) -> Files {
        Files::new(self.clone())
    }
}

impl Parts {
    /// `text` describes the framing.
    pub(crate) fn new(text: &str) -> Self {
        let person = |accounts: MemoryAccounts, name: &str, rights: &[Right]| {
            let password = Password::new(PASSWORD).unwrap();
            accounts.with(name, password, rights.to_vec()).unwrap()
        };
        let mut accounts = MemoryAccounts::new();
        for (name, rights) in [
            ("alice", &[Right::Exec, Right::Read, Right::Write][..]),
            ("root", &[Right::Shell]),
            ("runner", &[Right::Exec]),
            ("reader", &[Right::Read]),
            ("writer", &[Right::Write]),
            ("nobody", &[]),
        ] {
            accounts = person(accounts, name, rights);
        }
        Self {
            framing: framing(text),
            spawner: Arc::new(ScriptedSpawner::new()),
            allow: Allow::new(["uname", "cat", "sleep", "yes", "sh", "seq"]).unwrap(),
            shell: true,
            limits: Limits::new(),
            store: Arc::new(MemoryStore::new()),
            digest_optional: false,
            attempts: Arc::new(Unlimited),
            accounts,
            max_tries: 3,
            login_deadline: Duration::from_secs(10),
            buffer: 64 * 1024,
            audit: Arc::default(),
            counting: Counting::default(),
        }
    }

    pub(crate) fn spawner(mut self, spawner: impl Spawner) -> Self {
        self.spawner = Arc::new(spawner);
        self
    }

    pub(crate) fn store(mut self, store: impl Store + Clone + 'static) -> Self {
        self.store = Arc::new(store);
        self
    }

    /// Ping outside; login; inside of it who-am-I, exec and files.
    pub(crate) fn start(self) -> Server {
        let audit = self.audit.clone();
        let authenticator = Authenticator::new(self.accounts)
            .hash_cost(HashCost::new(8, 1, 1).unwrap())
            .attempts(self.attempts);
        let login = LoginLayer::new(authenticator)
            .max_tries(self.max_tries)
            .audit(audit.clone());
        let exec = Exec::new(self.spawner, self.allow)
            .shell(self.shell)
            .limits(self.limits)
            .audit(audit.clone());
        let files = self.store.files().audit(audit.clone());
        let files = files.digest_optional(self.digest_optional);
        let stack = ServiceBuilder::new()
            .layer(HandleLayer::new(Ping))
            .layer(login)
            .layer(self.counting.clone())
            .layer(HandleLayer::new(WhoAmI))
            .layer(exec.into_layer())
            .layer(files.into_layer())
            .service(Unsupported);
        let make = service_fn(move |_: Session| {
            let stack = stack.clone();
            async move { Ok::<_, Infallible>(stack) }
        });
        let native = NativeServer::new(make).before_login(8 * 1024, self.login_deadline);
        Server {
            run: runner(native, self.framing.clone()),
            framing: self.framing,
            buffer: self.buffer,
            audit,
            counting: self.counting,
            drain: Drain::new(),
        }
    }
}

type Run = Arc<dyn Fn(DuplexStream, Drain) -> JoinHandle<Result<(), BoxError>> + Send + Sync>;

fn runner<H>(handler: H, framing: FramingFactory) -> Run
where
    H: Handler<Connection<DuplexStream, BoxFraming>>,
{
    Arc::new(move |io, drain| {
        let connection = Connection::new(io, framing.make());
        let peer = RemotePeer::new(Address::Memory(1), Address::Memory(0));
        tokio::spawn(handler.handle(connection, peer, drain))
    })
}

/// A server of which each connection can be watched to its end.
pub(crate) struct Server {
    pub(crate) framing: FramingFactory,
    pub(crate) buffer: usize,
    pub(crate) audit: Arc<MemoryAudit>,
    pub(crate) counting: Counting,
    pub(crate) drain: Drain,
    run: Run,
}

/// How a connection ended on the server's side.
pub(crate) type Ended = JoinHandle<Result<(), BoxError>>;

impl Server {
    /// Serves `stack`, which needs no login.
    pub(crate) fn of<S>(text: &str, stack: S) -> Self
    where
        S: Service<Request, Response = Response> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError> + Send,
        S::Future: Send,
    {
        let framing = framing(text);
        let make = service_fn(move |_: Session| {
            let stack = stack.clone();
            async move { Ok::<_, Infallible>(stack) }
        });
        Self {
            run: runner(NativeServer::new(make), framing.clone()),
            framing,
            buffer: 64 * 1024,
            audit: Arc::default(),
            counting: Counting::default(),
            drain: Drain::new(),
        }
    }

    /// A connection as bytes, and how the server's side of it ends.
    pub(crate) fn connect(&self) -> (DuplexStream, Ended) {
        let (ours, theirs) = tokio::io::duplex(self.buffer);
        (ours, (self.run)(theirs, self.drain.clone()))
    }

    /// A connection as frames.
    pub(crate) fn peer(&self) -> Peer {
        let (io, ended) = self.connect();
        Peer {
            connection: Connection::new(Box::new(io), self.framing.make()),
            ended,
        }
    }

    /// The same, logged in.
    pub(crate) async fn peer_of(&self, name: &str) -> Peer {
        let mut peer = self.peer();
        peer.login(name).await;
        peer
    }

    /// A connection of our own client.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.connect().0, self.framing.make()).unwrap()
    }

    /// The same, logged in.
    pub(crate) async fn client_of(&self, name: &str) -> Client {
        let mut client = self.client();
        let password = Password::new(PASSWORD).unwrap();
        within(client.login(name, password)).await.unwrap();
        client
    }

    /// What was noted: action, subject, outcome.
    pub(crate) fn noted(&self) -> Vec<(&'static str, String, String)> {
        let events = self.audit.events().into_iter();
        events.map(|e| (e.action, e.subject, e.outcome)).collect()
    }

    /// What was noted of one action, with its outcome.
    pub(crate) fn outcomes(&self, action: &str) -> Vec<String> {
        let events = self.audit.events().into_iter();
        events
            .filter(|e| e.action == action)
            .map(|e| e.outcome)
            .collect()
    }
}

/// Any byte stream.
pub(crate) trait Stream:
    tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin
{
}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for T {}

/// A peer that says what it likes.
pub(crate) struct Peer {
    pub(crate) connection: Connection<Box<dyn Stream>, BoxFraming>,
    pub(crate) ended: Ended,
}

impl Peer {
    /// Sends a frame, whatever it is.
    pub(crate) async fn send(&mut self, frame: impl Into<Bytes>) {
        within(self.connection.send(frame.into())).await.unwrap();
    }

    /// Sends a head.
    pub(crate) async fn say(&mut self, head: Value) {
        self.send(head.to_string()).await;
    }

    /// Sends a chunk.
    pub(crate) async fn chunk(&mut self, kind: char, bytes: &[u8]) {
        let chunk = chunk(self.connection.framing(), kind, bytes);
        self.send(chunk).await;
    }

    /// The next frame; none once the server has closed the connection.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        within(self.connection.next()).await.and_then(Result::ok)
    }

    /// The next frame, which must be a head.
    pub(crate) async fn head(&mut self) -> Value {
        let frame = self.frame().await.expect("a head comes");
        assert_eq!(frame.first(), Some(&b'{'), "{frame:?}");
        serde_json::from_slice(&frame).expect("a head is JSON")
    }

    /// Asks, and reads the head of the answer.
    pub(crate) async fn ask(&mut self, head: Value) -> Value {
        self.say(head).await;
        self.head().await
    }

    /// The rest of a body: its bytes by kind, and the frame that ends it.
    pub(crate) async fn body(&mut self) -> (Vec<u8>, Vec<u8>, Bytes) {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        loop {
            let frame = self.frame().await.expect("the body comes to its end");
            let bytes = || unchunk(self.connection.framing(), &frame);
            match frame[0] {
                b'd' | b'o' => first.extend(bytes()),
                b'e' => second.extend(bytes()),
                b'.' | b'!' => return (first, second, frame),
                other => panic!("{other:?} within a body"),
            }
        }
    }

    pub(crate) async fn login(&mut self, name: &str) {
        let head = self.ask(login(name, PASSWORD)).await;
        assert_eq!(head["status"], "ok", "{head}");
    }

    /// Waits for the server to close; what it said before.
    pub(crate) async fn rest(&mut self) -> Vec<Bytes> {
        let mut frames = Vec::new();
        while let Some(frame) = self.frame().await {
            frames.push(frame);
        }
        frames
    }

    /// Checks that the connection lives.
    pub(crate) async fn lives(&mut self) {
        assert_eq!(
            self.ask(json!({"verb": "ping"})).await,
            json!({"status": "ok"})
        );
    }

    /// How the server's side ended.
    pub(crate) async fn ended(self) -> Result<(), BoxError> {
        drop(self.connection);
        within(self.ended).await.expect("no panic")
    }
}

/// The head of a login.
pub(crate) fn login(name: &str, password: &str) -> Value {
    json!({"verb": "login", "args": {"name": name, "password": password}})
}

/// A chunk as the dialect writes it over `framing`.
pub(crate) fn chunk(framing: &impl Framing, kind: char, bytes: &[u8]) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::STANDARD};

    let mut frame = kind.to_string().into_bytes();
    match framing.carries() {
        Carries::Anything => frame.extend(bytes),
        _ => frame.extend(STANDARD.encode(bytes).into_bytes()),
    }
    frame
}

/// The bytes of a chunk.
pub(crate) fn unchunk(framing: &impl Framing, frame: &[u8]) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::STANDARD};

    match framing.carries() {
        Carries::Anything => frame[1..].to_vec(),
        _ => STANDARD.decode(&frame[1..]).expect("base64"),
    }
}

/// The JSON behind the first byte of an end, a give-up or a control.
pub(crate) fn trailer(frame: &[u8]) -> Value {
    serde_json::from_slice(&frame[1..]).expect("a trailer is JSON")
}

/// Why the native server gave a connection up.
pub(crate) fn native_error(result: Result<(), BoxError>) -> NativeError {
    let error = result.expect_err("it is not a clean end");
    *error.downcast::<NativeError>().expect("a native error")
}
