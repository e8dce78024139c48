//! Sends the same messages through a framing, over real sockets, and looks whether they come out as
//! they went in.
//!
//! The reader comes late here, too, so that all bytes lie glued in its input buffer; only a framing
//! that must be answered cannot be kept waiting.

use std::{io, net, sync::Arc, time::Duration};

use bytes::Bytes;
use framing::{Connection, Error, FrameError, FramingFactory, Registry};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::TcpStream,
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{
    recorded::Recorded,
    scene::{Message, Play, all_delays, long, short},
    sockets::{LATEST, PATIENCE, waiting},
    tape::{Call, Looked, Record, Side, Tape},
};

/// Pads short frames, where all must have one size.
const PAD: u8 = b' ';

/// A framing to be tried.
#[derive(Clone, Debug)]
pub(super) enum Remedy {
    /// By its name, with options that suit the messages.
    Named(String),
    /// Just as it was given: an inline table.
    Given(String),
}

impl Remedy {
    /// All that the registry knows.
    pub(super) fn all() -> Vec<Self> {
        let registry = Registry::default();
        let names = registry.names();
        names.map(|name| Self::Named(name.to_owned())).collect()
    }

    /// A name, or an inline table with `type` and options.
    pub(super) fn read(text: &str) -> Result<Self, FrameError> {
        let registry = Registry::default();
        if let Some(name) = registry.names().find(|name| *name == text.trim()) {
            return Ok(Self::Named(name.to_owned()));
        }
        let remedy = Self::Given(text.trim().to_owned());
        registry.parse(text)?;
        Ok(remedy)
    }

    /// How the framing is written, for these messages.
    fn written(&self, messages: &[Message]) -> String {
        let name = match self {
            Self::Given(text) => return text.clone(),
            Self::Named(name) => name,
        };
        let sizes = || messages.iter().map(|message| message.content.len());
        let largest = sizes().max().unwrap_or_default();
        match name.as_str() {
            "delimiter" => r#"{ type = "delimiter", delimiter = "||" }"#.to_owned(),
            "fixed" if sizes().all(|size| size == largest) => {
                format!(r#"{{ type = "fixed", size = {largest} }}"#)
            }
            "fixed" => format!(
                r#"{{ type = "fixed", size = {largest}, pad = {:?} }}"#,
                char::from(PAD)
            ),
            "pair" => r#"{ type = "pair", receive = "lines", send = "netstring" }"#.to_owned(),
            _ => name.clone(),
        }
    }
}

/// A framing that has been tried on both pairs of messages.
#[derive(Clone, Debug)]
pub(super) struct Cure {
    /// The framing's name.
    pub(super) name: String,
    /// On `hello` and `sigui`.
    pub(super) short: Trial,
    /// On 2000 and 1000 bytes.
    pub(super) long: Trial,
}

impl Cure {
    /// Tries a framing.
    pub(super) async fn take(remedy: &Remedy, play: &Play) -> Result<Self, CureError> {
        let short = Trial::run(remedy, short(), play).await?;
        let long = Trial::run(remedy, long(), play).await?;
        Ok(Self {
            name: short.name.clone(),
            short,
            long,
        })
    }
}

/// Why a framing could not be tried.
#[derive(Debug)]
pub(super) enum CureError {
    /// It cannot be built.
    Framing(FrameError),
    /// The sockets failed.
    Sockets(io::Error),
}

impl From<io::Error> for CureError {
    fn from(error: io::Error) -> Self {
        Self::Sockets(error)
    }
}

/// Two messages that went through a framing.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    name: String,
    /// How the client's framing was written.
    pub(super) written: String,
    pub(super) messages: Vec<Message>,
    pub(super) record: Record,
    /// Where each message's bytes end in what the client sent.
    pub(super) ends: Vec<usize>,
    /// What came out at the server.
    pub(super) frames: Vec<Bytes>,
    /// Why not all went through.
    pub(super) refused: Option<String>,
}

impl Trial {
    async fn run(remedy: &Remedy, messages: Vec<Message>, play: &Play) -> Result<Self, CureError> {
        let registry = Registry::default();
        let written = remedy.written(&messages);
        let ours = registry.parse(&written).map_err(CureError::Framing)?;
        let theirs = mirrored(&registry, &ours, &written).map_err(CureError::Framing)?;
        let tape = Arc::new(Tape::new());
        let (client, server) = play.sockets.pair()?;
        let (told, all_sent) = oneshot::channel();
        let patience = PATIENCE + all_delays(&messages, play.delay);
        let server_framing = theirs.make();
        let comes_late = !server_framing.is_interactive();
        let server = Recorded::new(
            asynchronous(server)?,
            Side::Server,
            Arc::clone(&tape),
            play.read_size,
        );
        let client = Recorded::new(
            asynchronous(client)?,
            Side::Client,
            Arc::clone(&tape),
            play.read_size,
        );
        let reader = async {
            let latest = LATEST + all_delays(&messages, play.delay);
            let looked = match comes_late {
                true => Some(look(&server, &tape, timeout(latest, all_sent)).await?),
                false => None,
            };
            let received = receive(Connection::new(server, server_framing)).await;
            io::Result::Ok((looked, received))
        };
        let sender = send(
            Connection::new(client, ours.make()),
            &messages,
            play.delay,
            &tape,
            told,
        );
        let both = timeout(patience, async { tokio::join!(sender, reader) }).await;
        let ((ends, sent), read) =
            both.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it took too long"))?;
        let (looked, (frames, received)) = read?;
        Ok(Self {
            name: ours.name().to_owned(),
            written,
            messages,
            record: tape.finish(looked),
            ends,
            frames,
            refused: sent.or(received).map(|error| error.to_string()),
        })
    }

    /// Each message came out as a frame of its own: with the padding of a fixed size, if any.
    pub(super) fn keeps_boundaries(&self) -> bool {
        self.refused.is_none()
            && self.frames.len() == self.messages.len()
            && self
                .messages
                .iter()
                .zip(&self.frames)
                .all(|(message, frame)| {
                    let padding = frame.strip_prefix(&message.content[..]);
                    padding.is_some_and(|padding| {
                        padding.iter().all(|byte| Some(byte) == padding.first())
                    })
                })
    }

    /// Bytes of the messages themselves.
    pub(super) fn payload(&self) -> usize {
        self.messages
            .iter()
            .map(|message| message.content.len())
            .sum()
    }

    /// Bytes that the client sent.
    pub(super) fn sent(&self) -> usize {
        self.record.bytes(Side::Client, Call::Send).len()
    }

    /// Bytes that the server's framing sent back.
    pub(super) fn answered(&self) -> usize {
        self.record.bytes(Side::Server, Call::Send).len()
    }

    /// What it costs in bytes, both ways.
    pub(super) fn overhead(&self) -> usize {
        (self.sent() + self.answered()).saturating_sub(self.payload())
    }
}

/// The other end's framing: a pair has its two framings the other way round.
fn mirrored(
    registry: &Registry,
    ours: &FramingFactory,
    written: &str,
) -> Result<FramingFactory, FrameError> {
    if ours.name() != "pair" {
        return registry.parse(written);
    }
    let refuse = |error: toml::de::Error| FrameError::config(error.to_string());
    let document: toml::Table = toml::from_str(&format!("framing = {written}")).map_err(refuse)?;
    let mut pair = match document.get("framing") {
        Some(toml::Value::Table(pair)) => pair.clone(),
        _ => return registry.parse(written),
    };
    if let (Some(receive), Some(send)) = (pair.remove("receive"), pair.remove("send")) {
        pair.insert("receive".to_owned(), send);
        pair.insert("send".to_owned(), receive);
    }
    registry.parse(&toml::Value::Table(pair).to_string())
}

fn asynchronous(stream: net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

/// Waits until all has been sent and has arrived, as far as there is room for it.
async fn look(
    server: &Recorded<TcpStream>,
    tape: &Tape,
    all_sent: impl Future<
        Output = Result<Result<(), oneshot::error::RecvError>, tokio::time::error::Elapsed>,
    >,
) -> io::Result<Looked> {
    // Neither a full buffer nor a framing that refused is an error: the reader begins all the same.
    let _ = all_sent.await;
    let arrives = async {
        while waiting(server.get_ref())? < tape.sent(Side::Client) {
            sleep(Duration::from_millis(1)).await;
        }
        io::Result::Ok(())
    };
    if let Ok(failed) = timeout(LATEST, arrives).await {
        failed?;
    }
    Ok(Looked {
        at: tape.now(),
        waiting: waiting(server.get_ref())?,
    })
}

/// Sends the messages; says where the bytes of each end, and what went wrong.
async fn send<F: framing::Framing>(
    mut connection: Connection<Recorded<TcpStream>, F>,
    messages: &[Message],
    delay: Duration,
    tape: &Tape,
    told: oneshot::Sender<()>,
) -> (Vec<usize>, Option<Error>) {
    let mut ends = Vec::new();
    let mut failed = None;
    for (number, message) in messages.iter().enumerate() {
        if number > 0 && !delay.is_zero() {
            sleep(delay).await;
        }
        // Done when the socket has taken all of it and, where it must, the peer has agreed.
        failed = connection.send(message.content.clone()).await.err();
        ends.push(tape.sent(Side::Client));
        if failed.is_some() {
            break;
        }
    }
    // A reader that is gone already does not listen.
    let _ = told.send(());
    let closed = connection.close().await.err();
    (ends, failed.or(closed))
}

/// Takes frames until the stream ends; says what went wrong.
async fn receive<F: framing::Framing>(
    mut connection: Connection<Recorded<TcpStream>, F>,
) -> (Vec<Bytes>, Option<Error>) {
    let mut frames = Vec::new();
    while let Some(item) = connection.next().await {
        match item {
            Ok(frame) => frames.push(frame),
            Err(error) => return (frames, Some(error)),
        }
    }
    (frames, None)
}
