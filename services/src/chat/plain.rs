//! The plain form: a datagram is the text of a message and nothing else.
//!
//! Short scripts on raw sockets speak it. They read at most 1024 bytes and lose the rest, so no more is
//! sent to them; what comes from them is shown, whatever it is, with a note of what is wrong with it.
//!
//! ```text
//!  datagram  E4 BD A0 E5 A5 BD      你好
//! ```

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use framing::serve::{Address, Peer};
use tokio::sync::mpsc;
use tower_service::Service;

use super::source::is_odd;

/// The most bytes of a message to a plain peer, which reads no more.
pub const MAX_PLAIN: usize = 1024;

/// How many messages wait to be shown. What comes on top of them is let go, and counted.
const WAITING: usize = 4096;

/// The datagram of a message to a plain peer.
///
/// # Errors
/// When it has no bytes, or more than [`MAX_PLAIN`]; it is never cut.
pub fn plain_message(text: &str) -> Result<Bytes, PlainError> {
    match text.len() {
        0 => Err(PlainError::Empty),
        1..=MAX_PLAIN => Ok(Bytes::copy_from_slice(text.as_bytes())),
        bytes => Err(PlainError::TooLong { bytes }),
    }
}

/// Why a message cannot be sent to a plain peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlainError {
    /// It has no bytes.
    #[error("an empty message is not sent")]
    Empty,
    /// It has more than [`MAX_PLAIN`] bytes.
    #[error("the message has {bytes} bytes; plain peers read 1024 at most, so it was not sent")]
    TooLong {
        /// How many.
        bytes: usize,
    },
}

/// A message that a plain peer has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainMessage {
    /// The sender, as the datagram says.
    pub from: SocketAddr,
    /// The text; bytes that are not UTF-8 are U+FFFD. Not yet [safe to show](super::shown).
    pub text: String,
    /// What is wrong with it.
    pub flaws: Vec<Flaw>,
}

impl PlainMessage {
    /// Reads a datagram. There is none that cannot be read.
    pub fn read(from: SocketAddr, datagram: &[u8]) -> Self {
        let mut flaws = Vec::new();
        if datagram.len() > MAX_PLAIN {
            flaws.push(Flaw::Long {
                bytes: datagram.len(),
            });
        }
        if let Err(error) = std::str::from_utf8(datagram) {
            let at = error.valid_up_to();
            flaws.push(match error.error_len() {
                None => Flaw::CutCharacter { at },
                Some(_) => Flaw::NotUtf8 { at },
            });
        }
        Self {
            from,
            text: String::from_utf8_lossy(datagram).into_owned(),
            flaws,
        }
    }
}

/// What is wrong with a message of a plain peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// It has more bytes than other plain peers read.
    Long {
        /// How many.
        bytes: usize,
    },
    /// Its last character is cut.
    CutCharacter {
        /// Where that begins.
        at: usize,
    },
    /// It is not UTF-8.
    NotUtf8 {
        /// The first byte that is not.
        at: usize,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Long { bytes } => {
                write!(f, "{bytes} bytes, where plain peers read 1024 at most")
            }
            Self::CutCharacter { at } => {
                write!(f, "the sender cut it inside the character at byte {at}")
            }
            Self::NotUtf8 { at } => write!(f, "not UTF-8 from byte {at} on"),
        }
    }
}

/// Puts what plain peers send where it can be taken out to be shown, and answers nothing by itself.
///
/// A tower service of [`Peer`]s for [`serve_datagrams`](framing::datagram::serve_datagrams) over
/// [`Raw`](framing::Raw) with `silent_when_empty(true)`: a person answers later, or not at all.
#[derive(Clone, Debug)]
pub struct PlainInbox {
    sender: mpsc::Sender<PlainMessage>,
    lost: Arc<AtomicU64>,
}

impl PlainInbox {
    /// An inbox, and where its messages come out.
    pub fn new() -> (Self, mpsc::Receiver<PlainMessage>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let lost = Arc::default();
        (Self { sender, lost }, receiver)
    }

    /// How many messages had to be let go because too many waited to be shown.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Takes a datagram in, unless nobody can have sent it.
    pub fn take(&self, from: SocketAddr, local: SocketAddr, datagram: &[u8]) {
        if is_odd(from, local) {
            return;
        }
        // Shown late is better than a server that stands still; that it was let go is counted.
        if self
            .sender
            .try_send(PlainMessage::read(from, datagram))
            .is_err()
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Service<Peer> for PlainInbox {
    type Response = PlainPeer;
    type Error = Infallible;
    type Future = Ready<Result<PlainPeer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, peer: Peer) -> Self::Future {
        let inbox = self.clone();
        ready(Ok(PlainPeer { inbox, peer }))
    }
}

/// The service of one plain peer.
#[derive(Debug)]
pub struct PlainPeer {
    inbox: PlainInbox,
    peer: Peer,
}

impl Service<Bytes> for PlainPeer {
    type Response = Bytes;
    type Error = Infallible;
    type Future = Ready<Result<Bytes, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, datagram: Bytes) -> Self::Future {
        if let (Address::Udp(from), Address::Udp(local)) = (&self.peer.remote, &self.peer.local) {
            self.inbox.take(*from, *local, &datagram);
        }
        ready(Ok(Bytes::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

    #[test]
    fn svc_g7_what_does_not_fit_is_refused_with_its_size_and_the_limit() {
        assert_eq!(plain_message(""), Err(PlainError::Empty));
        assert_eq!(plain_message(&"x".repeat(1024)).unwrap().len(), 1024);
        let bytes = 1025;
        assert_eq!(
            plain_message(&"x".repeat(bytes)),
            Err(PlainError::TooLong { bytes })
        );
        let error = plain_message(&"语".repeat(342)).unwrap_err();
        assert!(error.to_string().contains("1026 bytes"), "{error}");
        assert!(error.to_string().contains("1024 at most"), "{error}");
    }

    #[test]
    fn svc_g16_what_is_wrong_with_a_datagram_is_noted_and_none_of_it_is_lost() {
        let read = |bytes: &[u8]| PlainMessage::read(FROM, bytes);
        assert_eq!(read("你好".as_bytes()).flaws, []);
        assert_eq!(read(b"").flaws, []);
        let text = "语".repeat(342);
        // What a script does that cuts its text after 1024 bytes.
        let cut = read(&text.as_bytes()[..1024]);
        assert_eq!(cut.flaws, [Flaw::CutCharacter { at: 1023 }]);
        assert_eq!(cut.text, format!("{}\u{fffd}", "语".repeat(341)));
        let long = read(text.as_bytes());
        assert_eq!(long.flaws, [Flaw::Long { bytes: 1026 }]);
        assert_eq!(long.text, text);
        assert_eq!(read(b"a\xffb").flaws, [Flaw::NotUtf8 { at: 1 }]);
    }

    #[test]
    fn svc_g11_a_burst_is_bounded_and_counted() {
        let (inbox, mut messages) = PlainInbox::new();
        for _ in 0..100_000 {
            inbox.take(FROM, "127.0.0.1:8081".parse().unwrap(), b"x");
        }
        assert_eq!(inbox.lost(), (100_000 - WAITING) as u64);
        assert!(messages.try_recv().is_ok());
    }
}
