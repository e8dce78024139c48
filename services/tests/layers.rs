//! The layers by themselves: tower's contract, and tower's own layers around and between them.

mod common;

use std::{
    convert::Infallible,
    future::{Future, Ready, pending, poll_fn, ready},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use common::{Server, within};
use framing::serve::{Address, Peer};
use serde_json::json;
use services::{
    Authed, Fields, Handle, HandleLayer, HasVerb, Ping, Request, Response, Session, TraceLayer,
    Unsupported, Verb, WhoAmI,
    exec::{Allow, Exec, ScriptedSpawner},
    files::{Files, MemoryStore},
    login::{
        AnonymousLayer, Authenticator, HashCost, Identity, LoginLayer, MemoryAccounts, Password,
        Right,
    },
};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};

fn session() -> Session {
    Session::new(Peer::new(Address::Memory(1), Address::Memory(0)), 1 << 20)
}

fn request(verb: &'static str) -> Request {
    Request::new(Verb::from_static(verb), session())
}

fn alice() -> Arc<Identity> {
    Arc::new(Identity::new("alice", [Right::Read]))
}

fn authed(verb: &'static str) -> Authed<Request> {
    Authed::new(request(verb), alice())
}

fn login() -> LoginLayer {
    let accounts = MemoryAccounts::new();
    let accounts = accounts.with("alice", Password::new("secret").unwrap(), [Right::Read]);
    let authenticator = Authenticator::new(accounts.unwrap());
    LoginLayer::new(authenticator.hash_cost(HashCost::new(8, 1, 1).unwrap()))
}

fn a_login() -> Request {
    let arguments = Fields::new()
        .with("name", "alice")
        .with("password", "secret");
    request("login").with_arguments(arguments)
}

fn exec() -> HandleLayer<Exec> {
    Exec::new(ScriptedSpawner::new(), Allow::new(["uname"]).unwrap()).into_layer()
}

fn files() -> HandleLayer<Files> {
    Files::new(MemoryStore::new()).into_layer()
}

/// Fails the test when it is called without having said that it is ready, or asked after an error;
/// is ready only every other time. A clone has said nothing.
#[derive(Debug, Default)]
struct Probe {
    is_ready: bool,
    asked: usize,
    calls: Arc<AtomicUsize>,
}

impl Clone for Probe {
    fn clone(&self) -> Self {
        Self {
            is_ready: false,
            asked: 0,
            calls: self.calls.clone(),
        }
    }
}

impl<R: HasVerb> Service<R> for Probe {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.asked += 1;
        if !self.is_ready && self.asked.is_multiple_of(2) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        assert!(
            self.is_ready,
            "called without being ready: {}",
            request.verb()
        );
        self.is_ready = false;
        self.calls.fetch_add(1, Ordering::SeqCst);
        ready(Ok(Response::ok()))
    }
}

/// Sends every request through `service` by the rules; how many reached the probe below.
async fn probe<R, S>(mut service: S, probe: &Probe, requests: impl IntoIterator<Item = R>) -> usize
where
    S: Service<R, Response = Response, Error = Infallible> + Clone,
{
    let before = probe.calls.load(Ordering::SeqCst);
    for (index, request) in requests.into_iter().enumerate() {
        poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
        if index % 3 == 2 {
            // What was said to one is not said to its clone.
            service = service.clone();
            poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
        }
        service.call(request).await.unwrap();
    }
    probe.calls.load(Ordering::SeqCst) - before
}

#[tokio::test]
async fn every_layer_calls_the_one_below_only_when_it_is_ready() {
    let below = Probe::default();
    let mixed = || ["ping", "other", "other", "ping", "other", "ping", "other"].map(request);
    let service = TraceLayer.layer(below.clone());
    assert_eq!(probe(service, &below, mixed()).await, 7);
    let service = HandleLayer::new(Ping).layer(below.clone());
    assert_eq!(probe(service, &below, mixed()).await, 4);
    let anonymous = AnonymousLayer::new(Identity::new("guest", [Right::Read]));
    let requests = ["login", "other", "other", "login", "other", "other"].map(request);
    let service = anonymous.layer(below.clone());
    assert_eq!(probe(service, &below, requests).await, 4);

    let authed_ones = || ["whoami", "get", "other", "exec", "other", "list"].map(authed);
    let service = HandleLayer::new(WhoAmI).layer(below.clone());
    assert_eq!(probe(service, &below, authed_ones()).await, 5);
    let service = exec().layer(below.clone());
    assert_eq!(probe(service, &below, authed_ones()).await, 5);
    let service = files().layer(below.clone());
    assert_eq!(probe(service, &below, authed_ones()).await, 4);

    // A login, before and after it.
    let service = login().layer(below.clone());
    let shared = session();
    let mut requests = Vec::new();
    for verb in ["login", "other", "login", "other", "other"] {
        let mut request = if verb == "login" {
            a_login()
        } else {
            request(verb)
        };
        request.session = shared.clone();
        requests.push(request);
    }
    assert_eq!(probe(service.clone(), &below, requests).await, 3);
    assert_eq!(
        probe(service, &below, ["other", "other"].map(request)).await,
        0
    );

    // All of them at once.
    let service = ServiceBuilder::new()
        .layer(TraceLayer)
        .layer(HandleLayer::new(Ping))
        .layer(anonymous)
        .layer(HandleLayer::new(WhoAmI))
        .layer(exec())
        .layer(files())
        .service(below.clone());
    let all = ["ping", "whoami", "exec", "list", "login", "other", "other"].map(request);
    assert_eq!(probe(service, &below, all).await, 2);
}

/// What is not ready below is not ready above.
#[tokio::test]
async fn readiness_reaches_the_top() {
    let open = Arc::new(AtomicBool::new(false));
    #[derive(Clone)]
    struct Gate(Arc<AtomicBool>);
    impl<R> Service<R> for Gate {
        type Response = Response;
        type Error = Infallible;
        type Future = Ready<Result<Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            match self.0.load(Ordering::SeqCst) {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            }
        }

        fn call(&mut self, _: R) -> Self::Future {
            ready(Ok(Response::ok()))
        }
    }
    let mut stack = ServiceBuilder::new()
        .layer(TraceLayer)
        .layer(HandleLayer::new(Ping))
        .layer(login())
        .layer(HandleLayer::new(WhoAmI))
        .layer(exec())
        .layer(files())
        .service(Gate(open.clone()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(stack.poll_ready(&mut cx).is_pending());
    open.store(true, Ordering::SeqCst);
    assert!(stack.poll_ready(&mut cx).is_ready());
}

#[tokio::test]
async fn a_limit_below_is_not_held_by_connections_that_do_not_use_it() {
    // Two places, shared by all connections; each asks for something that is answered above.
    let stack = ServiceBuilder::new()
        .layer(HandleLayer::new(Ping))
        .layer(login())
        .layer(HandleLayer::new(WhoAmI))
        .concurrency_limit(2)
        .service(Unsupported);
    let mut idle = Vec::new();
    for asked in [
        request("ping"),
        a_login(),
        request("before any login"),
        request("ping"),
    ] {
        let mut service = stack.clone();
        let answer = within(service.ready())
            .await
            .unwrap()
            .call(asked)
            .await
            .unwrap();
        idle.push((service, answer));
    }
    let shared = session();
    let logged_in = |mut request: Request| {
        request.session = shared.clone();
        request
    };
    let mut service = stack.clone();
    within(service.ready())
        .await
        .unwrap()
        .call(logged_in(a_login()))
        .await
        .unwrap();
    let asked = within(service.ready())
        .await
        .unwrap()
        .call(logged_in(request("whoami")))
        .await;
    assert!(asked.unwrap().status.is_ok());
    let mut others: Vec<_> = idle.into_iter().map(|(service, _)| service).collect();
    others.push(service);
    for mut service in others {
        let asked = logged_in(request("at the bottom"));
        let answer = within(service.ready())
            .await
            .unwrap()
            .call(asked)
            .await
            .unwrap();
        assert_eq!(answer.status.code().as_str(), "unsupported");
    }

    let stack = ServiceBuilder::new()
        .layer(AnonymousLayer::new(Identity::new("guest", [])))
        .concurrency_limit(1)
        .service(Unsupported);
    let mut first = stack.clone();
    within(first.ready())
        .await
        .unwrap()
        .call(request("login"))
        .await
        .unwrap();
    let answer = within(stack.clone().oneshot(request("other")))
        .await
        .unwrap();
    assert_eq!(answer.status.code().as_str(), "unsupported");
}

#[tokio::test(start_paused = true)]
async fn towers_own_layers_fit_around_a_stack() {
    let slow = common::answer("slow", async |_| {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Response::ok()
    });
    let stack = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(1)
        .timeout(Duration::from_secs(1))
        .layer(TraceLayer)
        .layer(HandleLayer::new(Ping))
        .layer(slow)
        .layer(login())
        .layer(HandleLayer::new(WhoAmI))
        .layer(exec())
        .layer(files())
        .service(Unsupported);
    let server = Server::of("struct-header", stack);
    let mut first = server.peer();
    let mut second = server.peer();
    first.say(json!({"verb": "slow"})).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    // The one place is taken: the other connection is told at once, and lives.
    assert_eq!(
        second.ask(json!({"verb": "ping"})).await["status"],
        "internal"
    );
    assert_eq!(first.head().await["status"], "internal", "its time is up");
    second.lives().await;
    first.lives().await;
}

#[tokio::test]
async fn towers_own_layers_fit_between_ours() {
    let stack = ServiceBuilder::new()
        .layer(HandleLayer::new(Ping))
        .layer(AnonymousLayer::new(Identity::new("guest", [Right::Read])))
        .map_request(|mut request: Authed<Request>| {
            request.request.arguments = Fields::new();
            request
        })
        .layer(HandleLayer::new(WhoAmI))
        .option_layer(Some(files()))
        .option_layer(None::<HandleLayer<Exec>>)
        .buffer(4)
        .concurrency_limit(2)
        .service(Unsupported);
    let server = Server::of("lines", stack);
    let mut peer = server.peer();
    let head = peer
        .ask(json!({"verb": "whoami", "args": {"misspelt": 1}}))
        .await;
    assert_eq!(head["details"]["name"], "guest");
    assert_eq!(peer.ask(json!({"verb": "list"})).await["status"], "ok");
    assert_eq!(
        peer.ask(json!({"verb": "exec"})).await["status"],
        "unsupported"
    );
}

#[tokio::test]
async fn a_service_made_for_each_connection_sees_its_session() {
    use framing::serve::{Drain, Handler};

    let make = service_fn(|session: Session| async move {
        if session.id() == 0 {
            return Err(BoxError::from("never"));
        }
        let id = session.id();
        Ok(service_fn(move |request: Request| {
            let same = request.session.id() == id;
            ready(Ok::<_, Infallible>(
                Response::ok().with_details(Fields::new().with("same", same)),
            ))
        }))
    });
    let native = services::native::NativeServer::new(make);
    let factory = common::framing("lines");
    let (ours, theirs) = tokio::io::duplex(1024);
    let connection = framing::Connection::new(theirs, factory.make());
    let peer = Peer::new(Address::Memory(1), Address::Memory(0));
    tokio::spawn(native.handle(connection, peer, Drain::new()));
    let mut client = services::client::Client::new(ours, factory.make()).unwrap();
    let body = services::Body::none();
    let reply = within(client.call(Verb::PING, Fields::new(), body))
        .await
        .unwrap();
    assert_eq!(reply.details().require("same"), Ok(true));
}

#[tokio::test]
async fn an_unsuitable_framing_is_refused_at_the_first_connection() {
    let server = Server::of("raw", Unsupported);
    let (io, ended) = server.connect();
    let error = within(ended).await.unwrap().unwrap_err().to_string();
    assert!(error.contains("boundaries"), "{error}");
    drop(io);
    let comma = common::framing(r#"{ type = "delimiter", delimiter = "," }"#);
    assert!(services::native::check(&comma.make()).is_err());
    let escaped = common::framing(r#"{ type = "delimiter", delimiter = ",", escape = "\\" }"#);
    assert!(services::native::check(&escaped.make()).is_ok());
    let small = common::framing(r#"{ type = "struct-header", max_frame = "64B" }"#);
    assert!(services::native::check(&small.make()).is_err());
}

/// A handler of somebody else's, inside of a login.
#[derive(Clone)]
struct Greet;

impl Handle<Authed<Request>> for Greet {
    fn takes(&self, verb: &Verb) -> bool {
        verb.as_str() == "greet"
    }

    async fn handle(self, request: Authed<Request>) -> Response {
        Response::ok().with_details(Fields::new().with("hello", &request.identity.name))
    }
}

#[tokio::test]
async fn a_handler_answers_its_verbs_and_passes_on_all_others() {
    let mut service = ServiceBuilder::new()
        .layer(HandleLayer::new(Greet))
        .layer(HandleLayer::new(WhoAmI))
        .service(Unsupported);
    let mut ask = async |verb| {
        service
            .ready()
            .await
            .unwrap()
            .call(authed(verb))
            .await
            .unwrap()
    };
    assert_eq!(
        ask("greet").await.details.require("hello"),
        Ok("alice".to_owned())
    );
    assert_eq!(
        ask("whoami").await.details.require("name"),
        Ok("alice".to_owned())
    );
    let unknown = ask("fly").await;
    assert_eq!(unknown.status.code().as_str(), "unsupported");
    assert_eq!(
        unknown.status.sentence(),
        "nothing here knows the verb `fly`"
    );
}

#[tokio::test]
async fn what_takes_no_arguments_says_so() {
    let misspelt = || Fields::new().with("verbose", true);
    let ping = request("ping").with_arguments(misspelt());
    let answer = HandleLayer::new(Ping)
        .layer(Unsupported)
        .oneshot(ping)
        .await
        .unwrap();
    assert_eq!(answer.status.code().as_str(), "bad-request");
    let mut whoami = authed("whoami");
    whoami.request.arguments = misspelt();
    let answer = HandleLayer::new(WhoAmI)
        .layer(Unsupported)
        .oneshot(whoami)
        .await
        .unwrap();
    assert_eq!(answer.status.code().as_str(), "bad-request");
}

#[tokio::test]
async fn a_dropped_call_is_a_dropped_handler() {
    let running = Arc::new(AtomicUsize::new(0));
    let counter = running.clone();
    let layer = common::answer("wait", move |_| {
        let counter = counter.clone();
        async move {
            struct Leaves(Arc<AtomicUsize>);
            impl Drop for Leaves {
                fn drop(&mut self) {
                    self.0.fetch_sub(1, Ordering::SeqCst);
                }
            }
            counter.fetch_add(1, Ordering::SeqCst);
            let _leaves = Leaves(counter);
            pending().await
        }
    });
    let call = layer.layer(Unsupported).oneshot(request("wait"));
    {
        let mut call = pin!(call);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut cx).is_pending());
        assert_eq!(running.load(Ordering::SeqCst), 1);
    }
    assert_eq!(running.load(Ordering::SeqCst), 0);
}
