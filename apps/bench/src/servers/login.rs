//! An echo behind our login and trace layers, in two dialects: plain frames, which show what the
//! layers cost, and the native one, which is what a user gets.

use std::{
    convert::Infallible,
    future::{Ready, ready},
};

use bytes::Bytes;
use framing::{
    StructHeader,
    serve::{Peer, Tcp, serve, serve_with},
};
use services::{
    Authed, Fields, Part, Request, Response, Session, Trace, TraceLayer, Verb,
    login::{
        Account, Authenticator, HashCost, Login, LoginLayer, MemoryAccounts, Password, Right,
        Secret,
    },
    native::NativeServer,
};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt, service_fn, util::ServiceFn};

/// Who logs in, at the beginning of each connection.
pub const NAME: &str = "alice";
pub const PASSWORD: &str = "secret";

/// What is asked for.
pub const ECHO: &str = "echo";

type Echo = ServiceFn<fn(Authed<Request>) -> Ready<Result<Response, Infallible>>>;

fn echo(request: Authed<Request>) -> Ready<Result<Response, Infallible>> {
    let Request {
        arguments, body, ..
    } = request.request;
    let response = Response::ok().with_details(arguments).with_body(body);
    ready(Ok(response))
}

/// The echo with the layers around it.
fn stack() -> anyhow::Result<Trace<Login<Echo>>> {
    // The logins are over when the clock starts, so they need not be dear.
    let cost = HashCost::new(8, 1, 1)?;
    let accounts = MemoryAccounts::new().with_account(Account {
        name: NAME.into(),
        secret: Secret::hash(&Password::new(PASSWORD)?, cost)?,
        rights: [Right::Read].into(),
    })?;
    let authenticator = Authenticator::new(accounts).hash_cost(cost);
    let layers = ServiceBuilder::new()
        .layer(TraceLayer)
        .layer(LoginLayer::new(authenticator));
    Ok(layers.service(service_fn(echo as fn(_) -> _)))
}

/// Each frame is a request's body, and the first one `name password`.
pub(super) async fn plain(listener: TcpListener) -> anyhow::Result<()> {
    let stack = stack()?;
    let make = service_fn(move |peer: Peer| {
        let session = Session::new(peer, usize::MAX);
        let service = stack
            .clone()
            .map_request(move |frame| request(&session, frame));
        ready(Ok::<_, Infallible>(service.and_then(answer)))
    });
    serve(Tcp::new(listener)?, make)
        .framing(StructHeader::default())
        .await;
    Ok(())
}

fn request(session: &Session, frame: Bytes) -> Request {
    if session.identity().is_some() {
        return Request::new(Verb::from_static(ECHO), session.clone()).with_body(frame.into());
    }
    let text = String::from_utf8_lossy(&frame);
    let (name, password) = text.split_once(' ').unwrap_or_default();
    let arguments = Fields::new().with("name", name).with("password", password);
    Request::new(Verb::LOGIN, session.clone()).with_arguments(arguments)
}

/// The body, or how it went where there is none.
async fn answer(mut response: Response) -> Result<Bytes, Infallible> {
    Ok(match response.body.next().await {
        Some(Ok(Part::Data(bytes))) => bytes,
        _ => Bytes::from(response.status.code().to_string()),
    })
}

/// The native dialect: the text is an argument, and comes back as a detail.
pub(super) async fn native(listener: TcpListener) -> anyhow::Result<()> {
    let stack = stack()?;
    let make = service_fn(move |_: Session| ready(Ok::<_, Infallible>(stack.clone())));
    serve_with(Tcp::new(listener)?, NativeServer::new(make))
        .framing(StructHeader::default())
        .await;
    Ok(())
}
