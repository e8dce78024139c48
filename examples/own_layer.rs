//! cargo run --release --example own_layer
//!
//! A tower layer of your own around a whole stack, and a service of your own as a plug-in inside it.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use framing::{
    StructHeader,
    serve::{Memory, serve_with},
};
use services::{
    Authed, Body, Fields, Handle, HandleLayer, Request, Response, Session, Unsupported, Verb,
    client::Client,
    login::{AnonymousLayer, Identity},
    native::NativeServer,
};
use tower::{Layer, Service, ServiceBuilder, service_fn};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let requests = Arc::new(AtomicU64::new(0));
    let stack = ServiceBuilder::new()
        .layer(CountLayer(requests.clone()))
        .layer(AnonymousLayer::new(Identity::new("guest", [])))
        .layer(HandleLayer::new(Greet))
        .service(Unsupported);

    let (listener, connector) = Memory::new(1024);
    let make = service_fn(move |_: Session| std::future::ready(Ok::<_, Infallible>(stack.clone())));
    tokio::spawn(serve_with(listener, NativeServer::new(make)).into_future());

    let mut client = Client::new(connector.connect().await?, StructHeader::default())?;
    let arguments = Fields::new().with("language", "zh");
    let reply = client
        .call(Verb::new("greet"), arguments, Body::none())
        .await?;
    let text: String = reply.details().require("text")?;
    println!("{text}");

    let refused = client
        .call(Verb::new("dance"), Fields::new(), Body::none())
        .await;
    let refused = refused.err().map(|error| error.to_string());
    println!("{}", refused.as_deref().unwrap_or("it dances"));

    let count = requests.load(Ordering::Relaxed);
    println!("{count} requests");
    anyhow::ensure!(text == "你好, guest" && refused.is_some() && count == 2);
    Ok(())
}

/// Counts what passes through, whatever it is.
#[derive(Clone)]
struct CountLayer(Arc<AtomicU64>);

impl<S> Layer<S> for CountLayer {
    type Service = Count<S>;

    fn layer(&self, inner: S) -> Count<S> {
        Count {
            counter: self.0.clone(),
            inner,
        }
    }
}

#[derive(Clone)]
struct Count<S> {
    counter: Arc<AtomicU64>,
    inner: S,
}

impl<R, S: Service<R>> Service<R> for Count<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.counter.fetch_add(1, Ordering::Relaxed);
        self.inner.call(request)
    }
}

/// Answers the verb `greet`. It takes an `Authed` request, so it compiles only where somebody has
/// been found out to be somebody.
#[derive(Clone)]
struct Greet;

impl Handle<Authed<Request>> for Greet {
    fn takes(&self, verb: &Verb) -> bool {
        verb.as_str() == "greet"
    }

    async fn handle(
        self,
        Authed {
            request, identity, ..
        }: Authed<Request>,
    ) -> Response {
        let word = match request.arguments.get::<String>("language") {
            Ok(language) if language.as_deref() == Some("zh") => "你好",
            Ok(_) => "hello",
            Err(error) => return services::Status::from(error).into(),
        };
        let text = format!("{word}, {}", identity.name);
        Response::ok().with_details(Fields::new().with("text", text))
    }
}

#[test]
fn runs() -> anyhow::Result<()> {
    main()
}
