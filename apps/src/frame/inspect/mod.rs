//! Shows the frames that pass between a client and a server: a proxy that changes nothing.
//!
//! | file | what it holds |
//! |---|---|
//! | `socket.rs`, `forward.rs` | the bytes themselves, passed on as they come |
//! | `notes.rs` | copies of them, for the watcher |
//! | `watch.rs` | the watcher, in a thread of its own |
//! | `apart.rs`, `handshake.rs` | how it follows a framing |
//! | `reads.rs`, `found.rs`, `report.rs` | what it finds, and how that is said |
//!
//! Passing on never waits for the watcher. If that does not keep up, it is told what it missed.

mod apart;
mod forward;
mod found;
mod handshake;
mod notes;
mod reads;
mod report;
mod socket;
mod watch;

use std::{io, time::Duration};

use framing::{FrameError, Framing, serve::Address};
use serde_json::json;
use tokio::{sync::oneshot, task::JoinSet, time::timeout};

use self::{
    handshake::Rules,
    notes::Notes,
    report::{Content, Report},
    socket::{Listening, Socket},
    watch::Plan,
};
use super::{
    cli::InspectArgs,
    connect::{self, CONNECT_TIME, ServerUrl},
    exit::{Exit, Failure},
    interrupt::Interrupts,
    output::{Output, closed},
};

/// How long the last lines may take to be printed.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Passes bytes on and shows their frames, until a signal ends it.
pub(super) async fn run(framing: &str, args: &InspectArgs, output: Output) -> Result<u8, Failure> {
    let plan = plan(framing, args.answers.as_deref())?;
    let report = Report {
        json: output.is_json(),
        content: match (args.no_content, args.hex) {
            (true, _) => Content::Hidden,
            (false, true) => Content::Hex,
            (false, false) => Content::Text,
        },
        most: args.max_bytes,
    };
    let mut interrupts = Interrupts::new()?;
    let mut listening = Listening::bind(&args.listen).await.map_err(|error| {
        let message = format!("cannot listen on {}: {error}", args.listen);
        Failure::new(Exit::UNAVAILABLE, "cannot-listen", message)
            .hint("--listen URL names another place; port 0 lets the system choose")
    })?;
    let address = listening.address();
    let data = json!({
        "event": "listening",
        "listen": address.to_string(),
        "upstream": args.upstream.to_string(),
        "framing": framing,
    });
    let plain = format!("inspecting on {address} → {}", args.upstream);
    output.show_now(&data, plain)?;

    let (notes, inbox) = notes::channel();
    let mut printing = watch::start(plan, report, inbox);
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            (client, peer) = listening.accept() => {
                number += 1;
                let (upstream, notes) = (args.upstream.clone(), notes.clone());
                connections.spawn(connection(number, client, peer, upstream, notes));
            }
            Some(_) = connections.join_next() => {}
            ended = &mut printing => return Err(printing_failed(ended)),
            _ = interrupts.next() => break,
        }
    }
    connections.shutdown().await;
    drop(notes);
    match timeout(LAST_LINES, printing).await {
        Ok(Ok(Ok(()))) | Err(_) => Ok(0),
        Ok(ended) => Err(printing_failed(ended)),
    }
}

/// How to follow the directions; refuses what cannot be followed.
fn plan(framing: &str, answers: Option<&str>) -> Result<Plan, Failure> {
    let client = connect::framing(framing)?;
    let upstream = answers.map(connect::framing).transpose()?;
    let interactive = client.make().is_interactive()
        || upstream
            .as_ref()
            .is_some_and(|upstream| upstream.make().is_interactive());
    if !interactive {
        let upstream = upstream.unwrap_or_else(|| client.clone());
        return Ok(Plan::Apart([client, upstream]));
    }
    let rules = match upstream {
        // Its two directions are one conversation.
        Some(_) => None,
        None => Rules::of(&client),
    };
    rules.map(Plan::Handshake).ok_or_else(|| {
        let error = FrameError::config(format!(
            "{} cannot be inspected like this: of the framings that answer frames, only \
             ack-handshake can be followed, with both ends speaking it and without --answers",
            client.name()
        ));
        Failure::framing(&error)
    })
}

fn printing_failed(ended: Result<io::Result<()>, oneshot::error::RecvError>) -> Failure {
    match ended {
        Ok(Err(error)) => closed(&error),
        Ok(Ok(())) | Err(_) => closed(&io::Error::other("the watcher is gone")),
    }
}

async fn connection(number: u64, client: Socket, peer: Address, upstream: ServerUrl, notes: Notes) {
    let log = notes.open(number, peer);
    let dialled = timeout(CONNECT_TIME, Socket::connect(&upstream)).await;
    let ended = match dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(upstream) => forward::forward(&client, &upstream, log.as_ref()).await,
        Err(error) => {
            client.reset();
            Err(format!("cannot reach {upstream}: {error}"))
        }
    };
    if let Some(log) = log {
        log.closed(ended.err());
    }
}
