//! What clients and directory say to each other: one JSON object a datagram.
//!
//! ```text
//!  46 57 00 1E {"op":"hello","id":7,"pad":"…"}      `FW`, the length, the object
//! ```
//!
//! Requests have an `op`, answers an `is`, so that neither end ever answers an answer. Each answer repeats
//! the `id` of its request. Keys that nobody knows are passed over. `docs/chat.md` tells it all.

use bytes::Bytes;
use framing::{FrameError, Limits, StructHeader, StructHeaderOptions, Value};
use serde::{Deserialize, Serialize};

use super::name::PeerName;

/// The largest datagram of this protocol in bytes: it fits into one packet on any path of IPv6.
pub const MAX_DATAGRAM: usize = 1200;

/// The header: the mark and the length.
const HEADER: usize = 4;

/// The largest object in bytes.
pub(super) const MAX_OBJECT: usize = MAX_DATAGRAM - HEADER;

/// `FW`: tells our datagrams from the text of plain peers.
const MARK: u64 = 0x4657;

/// An object of fewer bytes asks for no cookie: the answer must not be larger than the question.
pub(super) const SMALLEST_HELLO: usize = 128;

/// The framing of this protocol. The length in front is how a datagram that was cut is found out.
///
/// # Errors
/// None in practice: the options are constants.
pub fn framing() -> Result<StructHeader, FrameError> {
    StructHeaderOptions::new("!HH")
        .constants([Value::from(MARK).into()])
        .build(Limits::new().max_frame(MAX_OBJECT))
}

/// A request and its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) id: u32,
    #[serde(flatten)]
    pub(super) ask: Ask,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub(super) enum Ask {
    /// A cookie, which proves that the client is where its datagrams say. Filled up with `pad`.
    Hello {
        #[serde(default, skip_serializing)]
        pad: serde::de::IgnoredAny,
    },
    /// A session under a name, which is registered if nobody has it.
    Join {
        name: String,
        token: String,
        cookie: String,
        /// The client begins anew: what it said before is no concern of its any more.
        #[serde(default)]
        fresh: bool,
    },
    /// One piece of a message.
    Say {
        session: String,
        seq: u64,
        to: String,
        text: String,
        /// Another piece of the same message follows.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    },
    /// What has come for the client behind item `got`; the answer may take [`HOLD`](super::HOLD).
    Poll { session: String, got: u64 },
    /// The names of those who are here, behind one of them.
    Who {
        session: String,
        #[serde(default)]
        after: String,
    },
    /// The end of the session.
    Leave { session: String },
}

/// An answer and the number of its request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) id: u32,
    #[serde(flatten)]
    pub(super) tell: Tell,
}

/// What the directory answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub(super) enum Tell {
    Cookie {
        cookie: String,
    },
    Joined {
        session: String,
        /// Another one means that the directory was started anew and has forgotten what it held.
        epoch: String,
        /// The number that the next piece said must have.
        next: u64,
        /// The last item that this name's owner has taken.
        got: u64,
    },
    /// The piece `seq` has been taken, and all in front of `next`.
    Said {
        seq: u64,
        next: u64,
    },
    Mail {
        mail: Vec<Item>,
    },
    Names {
        names: Vec<PeerName>,
        /// There are others behind the last of these.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    },
    Left,
    Error {
        code: Refusal,
        /// For people.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        say: String,
    },
}

/// Something that has come for a client; the numbers have no gaps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) n: u64,
    #[serde(flatten)]
    pub(super) what: What,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum What {
    /// A piece of a message.
    Piece {
        from: PeerName,
        text: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    },
    /// The message whose last piece was this one has been taken by its receiver.
    Shown { shown: u64 },
    /// It has not, and nobody tries any more.
    Failed { failed: u64, why: Undelivered },
}

/// Why the directory does not do as it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Refusal {
    /// The cookie is wrong or old: ask for another one.
    Cookie,
    /// There is no such session, or it is another address's: join again.
    NoSession,
    /// The owner of the name has joined from elsewhere since.
    Moved,
    /// That is no name.
    Name,
    /// That is no token.
    Token,
    /// The name belongs to whoever has another token.
    Taken,
    /// It looks like a name that somebody has.
    LookAlike,
    /// A later join has been seen.
    Stale,
    /// There is no room for another name.
    Full,
    /// The request cannot be read, or asks for too much.
    BadRequest,
    /// One that is not known here.
    #[serde(other)]
    Other,
}

/// Why a message was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Undelivered {
    /// Nobody has that name.
    Unknown,
    /// The receiver did not come.
    NotHere,
    /// Too much waits for the receiver already.
    Full,
    /// It has more than [`MAX_TEXT`](super::MAX_TEXT) bytes or pieces than there may be.
    TooLong,
    /// The receiver was sent it and has not confirmed it: it may or may not have been shown.
    Unconfirmed,
    /// One that is not known here.
    #[serde(other)]
    Other,
}

/// Reads an object.
pub(super) fn read<'a, T: Deserialize<'a>>(frame: &'a [u8]) -> Option<T> {
    serde_json::from_slice(frame).ok()
}

/// Writes an object; `None` if it is too large, which nothing that is written here is.
pub(super) fn write<T: Serialize>(object: &T) -> Option<Bytes> {
    let bytes = serde_json::to_vec(object).ok()?;
    (bytes.len() <= MAX_OBJECT).then(|| bytes.into())
}

/// The request for a cookie, filled up so that its answer is no larger.
pub(super) fn hello(id: u32) -> Bytes {
    let pad = "x".repeat(SMALLEST_HELLO);
    format!(r#"{{"op":"hello","id":{id},"pad":"{pad}"}}"#).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_written_as_the_page_says() {
        let said = Request {
            id: 7,
            ask: Ask::Say {
                session: "s".into(),
                seq: 1,
                to: "bob".into(),
                text: "你好".into(),
                more: false,
            },
        };
        let text = r#"{"id":7,"op":"say","session":"s","seq":1,"to":"bob","text":"你好"}"#;
        assert_eq!(write(&said).unwrap(), text);
        assert_eq!(read::<Request>(text.as_bytes()), Some(said));
        let mail = r#"{"id":7,"is":"mail","mail":[{"n":1,"from":"bob","text":"hi"},{"n":2,"shown":4},{"n":3,"failed":5,"why":"not-here"}]}"#;
        let answer: Answer = read(mail.as_bytes()).unwrap();
        assert_eq!(write(&answer).unwrap(), mail);
    }

    #[test]
    fn a_hello_with_its_pad_can_be_read_and_an_answer_is_no_request() {
        let request: Request = read(&hello(u32::MAX)).unwrap();
        assert_eq!(request.id, u32::MAX);
        assert!(read::<Request>(br#"{"id":1,"is":"left"}"#).is_none());
        assert!(read::<Answer>(br#"{"id":1,"op":"hello"}"#).is_none());
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        let text = br#"{"id":1,"is":"error","code":"weather","more":{"a":[1]}}"#;
        let answer: Answer = read(text).unwrap();
        let Tell::Error { code, .. } = answer.tell else {
            panic!("{answer:?}");
        };
        assert_eq!(code, Refusal::Other);
    }

    #[test]
    fn the_framing_can_be_built() {
        assert!(framing().is_ok());
    }
}
