//! A program of somebody else: tower's own layers around framed services, and an error type of its
//! own. It starts its servers, asks them, and exits with 0 if every answer is right.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use framing::{
    AckHandshake, Connection, StructHeader,
    client::{Client as FrameClient, ClientError},
    serve::{Failure, Listener, Memory, PipelineOptions, Tcp, serve, serve_with},
};
use services::{
    Authed, Body, Fields, Handle, HandleLayer, Request, Response, Session, Unsupported, Verb,
    client::Client,
    login::{Authenticator, LoginLayer, MemoryAccounts, Password, Right},
    native::NativeServer,
};
use tower::{
    BoxError, Service, ServiceBuilder, ServiceExt, load_shed::error::Overloaded, make::Shared,
    retry::Policy, service_fn, timeout::error::Elapsed,
};

/// What can go wrong here.
#[derive(Debug)]
enum AppError {
    Busy,
    TooSlow,
    NoSuchDish(String),
    Other(BoxError),
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("the kitchen is full"),
            Self::TooSlow => f.write_str("the kitchen is slow"),
            Self::NoSuchDish(dish) => write!(f, "nobody here can cook {dish}"),
            Self::Other(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for AppError {}

impl From<BoxError> for AppError {
    fn from(error: BoxError) -> Self {
        if error.is::<Overloaded>() {
            Self::Busy
        } else if error.is::<Elapsed>() {
            Self::TooSlow
        } else {
            match error.downcast::<Self>() {
                Ok(error) => *error,
                Err(error) => Self::Other(error),
            }
        }
    }
}

/// The service: a dish takes its time.
async fn cook(order: Bytes) -> Result<Bytes, AppError> {
    let time = match &*order {
        b"tea" => Duration::from_millis(1),
        b"soup" => Duration::from_millis(400),
        b"ragout" => Duration::from_secs(60),
        _ => return Err(AppError::NoSuchDish(order.escape_ascii().to_string())),
    };
    tokio::time::sleep(time).await;
    Ok([&order, &b", please"[..]].concat().into())
}

/// Asks again while the kitchen is full.
#[derive(Clone, Default)]
struct Patient {
    tries: Arc<AtomicU32>,
}

impl Policy<Bytes, Bytes, ClientError> for Patient {
    type Future = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

    fn retry(
        &mut self,
        _: &mut Bytes,
        result: &mut Result<Bytes, ClientError>,
    ) -> Option<Self::Future> {
        let full = matches!(result, Ok(answer) if **answer == *b"the kitchen is full");
        if !full {
            return None;
        }
        self.tries.fetch_add(1, Ordering::Relaxed);
        Some(Box::pin(tokio::time::sleep(Duration::from_millis(50))))
    }

    fn clone_request(&mut self, request: &Bytes) -> Option<Bytes> {
        Some(request.clone())
    }
}

async fn frames() -> Result<(), BoxError> {
    let kitchen = ServiceBuilder::new()
        .map_err(AppError::from)
        .load_shed()
        .concurrency_limit(1)
        .timeout(Duration::from_secs(1))
        .service_fn(cook);
    let listener = Tcp::bind("127.0.0.1:0").await?;
    let address = listener.local_addr();
    let options = PipelineOptions::default().on_failure(|failure| match failure {
        Failure::Service(error) => AppError::from(error).to_string().into(),
        other => other.to_string().into(),
    });
    let server = serve(listener, Shared::new(kitchen))
        .framing(StructHeader::default())
        .pipeline(options);
    tokio::spawn(server.into_future());

    let io = framing::client::dial(&address).await?;
    let mut client = FrameClient::new(Connection::new(io, StructHeader::default()));
    assert_eq!(
        client.ready().await?.call("tea".into()).await?,
        "tea, please"
    );
    assert_eq!(
        client.ready().await?.call("hay".into()).await?,
        "nobody here can cook hay"
    );
    assert_eq!(
        client.ready().await?.call("ragout".into()).await?,
        "the kitchen is slow"
    );

    // Two orders at once are one too many for this kitchen.
    let soup = client.ready().await?.call("soup".into());
    let tea = client.ready().await?.call("tea".into());
    assert_eq!(soup.await?, "soup, please");
    assert_eq!(tea.await?, "the kitchen is full");

    // The client's own stack asks again, until there is room.
    let policy = Patient::default();
    let tries = policy.tries.clone();
    let mut patient = ServiceBuilder::new()
        .map_err(AppError::from)
        .load_shed()
        .concurrency_limit(1)
        .timeout(Duration::from_secs(10))
        .retry(policy)
        .service(client.clone());
    let soup = client.ready().await?.call("soup".into());
    let tea = patient.ready().await?.call("tea".into());
    let (soup, tea) = tokio::join!(soup, tea);
    assert_eq!((soup?, tea?), ("soup, please".into(), "tea, please".into()));
    assert!(tries.load(Ordering::Relaxed) > 0, "there was room at once");

    // A call that takes too long for the client; its late answer goes to nobody else.
    let mut hasty = ServiceBuilder::new()
        .map_err(AppError::from)
        .timeout(Duration::from_millis(20))
        .service(client);
    let late = hasty.ready().await?.call("soup".into()).await;
    assert!(matches!(late, Err(AppError::TooSlow)), "{late:?}");
    let tea = patient.ready().await?.call("tea".into()).await?;
    assert_eq!(tea, "tea, please");
    Ok(())
}

/// A verb of one's own, behind the login.
#[derive(Clone)]
struct Menu;

impl Handle<Authed<Request>> for Menu {
    fn takes(&self, verb: &Verb) -> bool {
        verb.as_str() == "menu"
    }

    async fn handle(self, request: Authed<Request>) -> Response {
        if request.request.arguments.get::<bool>("slowly") == Ok(Some(true)) {
            std::future::pending::<()>().await;
        }
        let dishes = ["tea", "soup"];
        let details = Fields::new()
            .with("for", &request.identity.name)
            .with("dishes", dishes);
        Response::ok().with_details(details)
    }
}

async fn messages() -> Result<(), BoxError> {
    let accounts = MemoryAccounts::new().with("gast", Password::new("hunger")?, [Right::Read])?;
    let stack = ServiceBuilder::new()
        .map_err(AppError::from)
        .load_shed()
        .concurrency_limit(8)
        .timeout(Duration::from_secs(5))
        .layer(LoginLayer::new(Authenticator::new(accounts)))
        .layer(HandleLayer::new(Menu))
        .service(Unsupported);
    let make =
        service_fn(move |_: Session| -> Ready<Result<_, Infallible>> { ready(Ok(stack.clone())) });
    let (listener, connector) = Memory::new(4096);
    let server = serve_with(listener, NativeServer::new(make)).framing(AckHandshake::default());
    tokio::spawn(server.into_future());

    let mut client = Client::new(connector.connect().await?, AckHandshake::default())?;
    client.login("gast", Password::new("hunger")?).await?;
    let reply = client
        .call(Verb::new("menu"), Fields::new(), Body::none())
        .await?;
    assert_eq!(reply.details().require::<String>("for")?, "gast");
    assert_eq!(
        reply.details().require::<Vec<String>>("dishes")?,
        ["tea", "soup"]
    );

    let slowly = Fields::new().with("slowly", true);
    let error = client
        .call(Verb::new("menu"), slowly, Body::none())
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(
        error.status().map(|status| status.code().as_str()),
        Some("internal"),
        "{error}"
    );
    client
        .call(Verb::new("menu"), Fields::new(), Body::none())
        .await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    frames().await?;
    messages().await?;
    println!("served");
    Ok(())
}
