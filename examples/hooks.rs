//! cargo run --release --example hooks
//!
//! Says who comes and who goes, keeps out who is barred, and makes an answer of what went wrong.

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use framing::{
    Connection, Lines,
    client::dial,
    serve::{Address, Ending, Failure, Listener, Peer, PipelineOptions, Tcp, serve},
};
use futures_util::{SinkExt, StreamExt};
use tokio::{sync::mpsc, time::timeout};
use tower::{BoxError, make::Shared, service_fn};

/// Addresses that may not connect. It can change while the server runs.
#[derive(Clone, Default)]
struct Barred(Arc<Mutex<HashSet<IpAddr>>>);

impl Barred {
    fn add(&self, address: IpAddr) {
        let mut barred = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        barred.insert(address.to_canonical());
    }

    fn admit(&self, peer: &Peer) -> Result<(), &'static str> {
        let barred = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &peer.remote {
            Address::Tcp(remote) if barred.contains(&remote.ip().to_canonical()) => {
                Err("this address is barred")
            }
            _ => Ok(()),
        }
    }
}

/// Parses a number, or fails.
async fn double(line: Bytes) -> Result<Bytes, BoxError> {
    let number: i32 = std::str::from_utf8(&line)?.parse()?;
    let double = number.checked_mul(2).expect("nobody asks for so much");
    Ok(double.to_string().into())
}

/// An answer begins with a digit or a minus, and this with neither.
fn explain(failure: Failure) -> Bytes {
    match failure {
        Failure::Service(error) => format!("cannot do that: {error}").into(),
        Failure::Panicked => "cannot do that, and it is our fault".into(),
        other => format!("cannot do that: {other}").into(),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let barred = Barred::default();
    let (log, mut logged) = mpsc::unbounded_channel();

    let listener = Tcp::bind("127.0.0.1:0").await?;
    let address = listener.local_addr();
    let (list, coming, going) = (barred.clone(), log.clone(), log);
    let server = serve(listener, Shared::new(service_fn(double)))
        .framing(Lines::new()?)
        .pipeline(PipelineOptions::default().on_failure(explain))
        .on_connect(move |peer| {
            let admitted = list.admit(peer);
            let word = admitted.map_or_else(|reason| reason, |()| "connected");
            let _ = coming.send(word.to_owned());
            admitted
        })
        .on_close(move |_, closed| {
            let _ = going.send(match &closed.ending {
                Ending::Clean => "left".to_owned(),
                other => format!("left: {other}"),
            });
        });
    tokio::spawn(server.into_future());

    let mut next = async || {
        let line = timeout(Duration::from_secs(5), logged.recv()).await?;
        let line = line.context("the log has ended")?;
        println!("{line}");
        anyhow::Ok(line)
    };

    let answers = guest(&address, &["21", "much", "2000000000"]).await?;
    for answer in &answers {
        println!("> {answer}");
    }
    let visit = [next().await?, next().await?];
    ensure!(visit == ["connected", "left"]);
    let expected = [
        "42",
        "cannot do that: invalid digit found in string",
        "cannot do that, and it is our fault",
    ];
    ensure!(answers == expected);

    barred.add(IpAddr::from([127, 0, 0, 1]));
    let answers = guest(&address, &["21"]).await?;
    ensure!(answers.is_empty() && next().await? == "this address is barred");
    Ok(())
}

/// Connects, asks, and goes: what it was answered.
async fn guest(server: &Address, questions: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut connection = Connection::new(dial(server).await?, Lines::new()?);
    let mut answers = Vec::new();
    for question in questions {
        // Who is refused finds the connection closed.
        if connection.send(question.to_string().into()).await.is_err() {
            break;
        }
        match connection.next().await {
            Some(Ok(answer)) => answers.push(String::from_utf8(answer.into())?),
            _ => break,
        }
    }
    Ok(answers)
}

#[test]
fn runs() -> anyhow::Result<()> {
    main()
}
