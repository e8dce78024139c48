//! cargo run --release --example embed
//!
//! Adds a port with a login to a tokio program that does something else: here it watches a kettle.

use std::{convert::Infallible, time::Duration};

use framing::{
    AckHandshake,
    client::dial,
    serve::{Listener, Tcp, serve_with},
};
use services::{
    Authed, Body, Fields, Handle, HandleLayer, Request, Response, Session, Unsupported, Verb,
    client::Client,
    login::{Authenticator, LoginLayer, MemoryAccounts, Password, Right},
    native::NativeServer,
};
use tokio::{
    sync::{oneshot, watch},
    time::{interval, timeout},
};
use tower::{ServiceBuilder, service_fn};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // What the program did before: it heats water, and knows how hot it is.
    let (heat, degrees) = watch::channel(20);
    let kettle = tokio::spawn(boil(heat));

    // What is new: somebody may ask over the network.
    let listener = Tcp::bind("127.0.0.1:0").await?;
    let address = listener.local_addr();
    let (stop, stopped) = oneshot::channel();
    let port = tokio::spawn(open_port(listener, degrees.clone(), stopped)?);
    println!("ask me on {address}");

    // Somebody does, as another program would.
    let mut client = Client::new(dial(&address).await?, AckHandshake::default())?;
    client.login("cook", Password::new("secret")?).await?;
    loop {
        let reply = client
            .call(Verb::new("degrees"), Fields::new(), Body::none())
            .await?;
        let degrees: u32 = reply.details().require("degrees")?;
        println!("{degrees} °C");
        if degrees == 100 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    kettle.await?;
    let _ = stop.send(());
    drop(client);
    Ok(timeout(Duration::from_secs(5), port).await??)
}

/// The program's own work.
async fn boil(heat: watch::Sender<u32>) {
    let mut clock = interval(Duration::from_millis(2));
    while *heat.borrow() < 100 {
        clock.tick().await;
        heat.send_modify(|degrees| *degrees += 1);
    }
}

/// Serves until it is told to stop.
fn open_port(
    listener: Tcp,
    degrees: watch::Receiver<u32>,
    stopped: oneshot::Receiver<()>,
) -> anyhow::Result<impl Future<Output = ()> + Send> {
    let accounts = MemoryAccounts::new().with("cook", Password::new("secret")?, [Right::Read])?;
    let stack = ServiceBuilder::new()
        .layer(LoginLayer::new(Authenticator::new(accounts)))
        .layer(HandleLayer::new(Thermometer { degrees }))
        .service(Unsupported);
    let make = service_fn(move |_: Session| std::future::ready(Ok::<_, Infallible>(stack.clone())));
    let dialect = NativeServer::new(make).before_login(8 * 1024, Duration::from_secs(10));
    Ok(serve_with(listener, dialect)
        .framing(AckHandshake::default())
        .with_graceful_shutdown(async {
            // That the sender is gone means the same.
            let _ = stopped.await;
        })
        .into_future())
}

/// Answers the verb `degrees`, behind the login.
#[derive(Clone)]
struct Thermometer {
    degrees: watch::Receiver<u32>,
}

impl Handle<Authed<Request>> for Thermometer {
    fn takes(&self, verb: &Verb) -> bool {
        verb.as_str() == "degrees"
    }

    async fn handle(self, _: Authed<Request>) -> Response {
        let degrees = *self.degrees.borrow();
        Response::ok().with_details(Fields::new().with("degrees", degrees))
    }
}

#[test]
fn runs() -> anyhow::Result<()> {
    main()
}
