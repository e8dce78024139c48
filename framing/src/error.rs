//! What can go wrong with a frame, said so that a person can act on it.
//!
//! A [`FrameError`] names its [kind](ErrorKind), and carries as data what is known: the declared
//! size and the limit, the [part](Part) that was cut off and how much of it had come, the offset
//! in the stream, the first bytes, and a [hint](Hint) where the peer plainly speaks another
//! protocol. `Display` never prints bytes of the stream: they may be a password.

use std::{borrow::Cow, error, fmt, io, time::Duration};

use bytes::Bytes;

/// How many bytes from the start of a bad frame an error keeps.
const SAMPLE: usize = 16;

/// A frame that could not be read or written.
///
/// One pointer wide, so that results on the path of every frame travel in registers.
#[derive(Clone, PartialEq, Eq)]
pub struct FrameError(Box<Detail>);

#[derive(Clone, PartialEq, Eq)]
struct Detail {
    kind: ErrorKind,
    message: Cow<'static, str>,
    declared: Option<u128>,
    limit: Option<usize>,
    part: Option<Part>,
    have: usize,
    need: Option<usize>,
    /// While a framing holds the error: relative to its `input`. Afterwards: to the stream.
    offset: u64,
    sample: Bytes,
    hint: Option<Hint>,
    resume: Option<usize>,
    frame: Option<Bytes>,
}

/// The kind of a [`FrameError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Options that cannot work; found when a framing is built.
    Config,
    /// Bytes that the framing's wire format does not allow.
    Malformed,
    /// The peer did not agree to a frame we announced.
    Refused,
    /// A time limit of the framing's own protocol has passed.
    Timeout,
    /// A frame longer than the limit.
    TooLong,
    /// The stream ended inside a frame.
    Truncated,
    /// A frame that this framing cannot carry; nothing of it was written.
    Unencodable,
}

impl ErrorKind {
    /// The stable name, as the command line prints it: `too-long`, `malformed` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Malformed => "malformed",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::TooLong => "too-long",
            Self::Truncated => "truncated",
            Self::Unencodable => "unencodable",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The part of a frame that was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// The answer to a frame we announced.
    Ack,
    /// The payload.
    Body,
    /// The mark that ends a frame.
    Delimiter,
    /// The length, or whatever stands in front of the payload.
    Header,
}

impl Part {
    /// The name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Body => "body",
            Self::Delimiter => "delimiter",
            Self::Header => "header",
        }
    }
}

impl Part {
    fn article(self) -> &'static str {
        if self == Self::Ack { "an" } else { "a" }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Another protocol that the first bytes of a stream look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hint {
    /// An HTTP/1 request or an HTTP/2 preface.
    Http,
    /// A greeting of the secure shell.
    Ssh,
    /// A TLS client hello.
    Tls,
}

impl Hint {
    /// Recognises the protocol from the start of a stream.
    pub(crate) fn of(start: &[u8]) -> Option<Self> {
        const METHODS: [&[u8]; 9] = [
            b"GET ",
            b"POST ",
            b"HEAD ",
            b"PUT ",
            b"DELETE ",
            b"OPTIONS ",
            b"CONNECT ",
            b"PATCH ",
            b"PRI * HTTP/2",
        ];
        // A struct header fails after four bytes, before a long method is complete.
        let method = |m: &&[u8]| start.starts_with(m) || (start.len() >= 4 && m.starts_with(start));
        if METHODS.iter().any(method) {
            Some(Self::Http)
        } else if start.starts_with(b"SSH-") {
            Some(Self::Ssh)
        } else if matches!(start, [0x16, 0x03, 0x00..=0x04, ..]) {
            Some(Self::Tls)
        } else {
            None
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "this looks like an HTTP request",
            Self::Ssh => "this looks like an SSH greeting",
            Self::Tls => "this looks like a TLS client hello",
        })
    }
}

// For those who write a framing.
impl FrameError {
    fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Detail {
            kind,
            message: message.into(),
            declared: None,
            limit: None,
            part: None,
            have: 0,
            need: None,
            offset: 0,
            sample: Bytes::new(),
            hint: None,
            resume: None,
            frame: None,
        }))
    }

    /// Options that cannot work together, or a value out of range.
    pub fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// Bytes that the wire format does not allow; say what was found and what would be allowed.
    pub fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Malformed, message)
    }

    /// A declared length, or a length already reached, over the limit.
    pub fn too_long(declared: impl Into<u128>, limit: usize) -> Self {
        let mut error = Self::new(ErrorKind::TooLong, "");
        error.0.declared = Some(declared.into());
        error.0.limit = Some(limit);
        error
    }

    /// The same for a header with a length and a limit of its own.
    pub(crate) fn header_too_long(declared: impl Into<u128>, limit: usize) -> Self {
        let mut error = Self::too_long(declared, limit);
        error.0.message = "a header".into();
        error
    }

    /// A frame that has passed the limit while its end is not in sight, so its size is unknown.
    pub fn over_limit(limit: usize) -> Self {
        let mut error = Self::new(ErrorKind::TooLong, "");
        error.0.limit = Some(limit);
        error
    }

    /// The stream ended after `have` bytes of `part`; `need` is its full size where it is known.
    pub fn truncated(part: Part, have: usize, need: impl Into<Option<usize>>) -> Self {
        let mut error = Self::new(ErrorKind::Truncated, "");
        error.0.part = Some(part);
        error.0.have = have;
        error.0.need = need.into();
        error
    }

    /// The peer did not agree to a frame that was announced.
    pub fn refused(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    /// A time limit of the protocol has passed.
    pub fn timeout(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Timeout, message)
    }

    /// A frame that cannot be carried.
    pub fn unencodable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unencodable, message)
    }

    /// The same for one that is longer than `limit`.
    pub(crate) fn over(mut self, limit: usize) -> Self {
        self.0.limit = Some(limit);
        self
    }

    /// Points at the byte of `input` where the trouble is; without it, its first.
    pub fn at(mut self, position: usize) -> Self {
        self.0.offset = position as u64;
        self
    }

    /// Gives the frame back to whoever wanted to send it.
    pub fn with_frame(mut self, frame: Bytes) -> Self {
        self.0.frame = Some(frame);
        self
    }

    /// Makes this an error after which decoding goes on: the framing knows where the bad frame
    /// ends and has noted to discard it; `consumed` bytes of `input` are gone with it already.
    pub fn skipping(mut self, consumed: usize) -> Self {
        self.0.resume = Some(consumed);
        self
    }

    /// Turns a position in `input` into one in the stream and keeps the first bytes of the frame.
    pub(crate) fn locate(&mut self, start: u64, input: &[u8]) {
        self.0.offset = self.0.offset.saturating_add(start);
        self.0.sample = Bytes::copy_from_slice(&input[..input.len().min(SAMPLE)]);
        if start == 0 {
            self.0.hint = Hint::of(input);
        }
    }

    /// The bytes gone with an error after which decoding goes on.
    pub(crate) fn resume(&self) -> Option<usize> {
        self.0.resume
    }
}

// For those who receive one.
impl FrameError {
    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether decoding goes on behind the bad frame (`on_error = "skip"`). Otherwise the error
    /// is final: no frame comes after it.
    pub fn is_recoverable(&self) -> bool {
        self.0.resume.is_some()
    }

    /// The size that the peer declared, in bytes.
    pub fn declared(&self) -> Option<u128> {
        self.0.declared
    }

    /// The limit that applied, in bytes.
    pub fn limit(&self) -> Option<usize> {
        self.0.limit
    }

    /// The part of the frame that was cut off.
    pub fn part(&self) -> Option<Part> {
        self.0.part
    }

    /// How many bytes of that part had come.
    pub fn have(&self) -> usize {
        self.0.have
    }

    /// How many bytes that part has in full, where that is known.
    pub fn need(&self) -> Option<usize> {
        self.0.need
    }

    /// Where in the received stream the trouble is, in bytes from its start. Meaningless for
    /// errors of `encode`.
    pub fn offset(&self) -> u64 {
        self.0.offset
    }

    /// The protocol that the peer seems to speak instead.
    pub fn hint(&self) -> Option<Hint> {
        self.0.hint
    }

    /// The first bytes of the bad frame, sixteen at most, escaped as in a Rust byte string.
    ///
    /// They come from the peer and may be part of a secret: `Display` and `Debug` leave them out.
    pub fn first_bytes(&self) -> String {
        self.0.sample.escape_ascii().to_string()
    }

    /// The frame that could not be sent.
    pub fn frame(&self) -> Option<&Bytes> {
        self.0.frame.as_ref()
    }

    /// Takes out the frame that could not be sent.
    pub fn take_frame(&mut self) -> Option<Bytes> {
        self.0.frame.take()
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Detail {
            declared,
            limit,
            part,
            have,
            need,
            ..
        } = &*self.0;
        match (self.0.kind, declared, limit, part) {
            (ErrorKind::TooLong, Some(declared), Some(limit), _) => {
                let what = match &*self.0.message {
                    "" => "a frame",
                    what => what,
                };
                write!(
                    f,
                    "{what} of {declared} bytes is over the limit of {limit} bytes"
                )?;
            }
            (ErrorKind::TooLong, None, Some(limit), _) => {
                write!(f, "a frame runs over the limit of {limit} bytes")?;
            }
            (ErrorKind::Truncated, _, _, Some(part)) => match need {
                Some(need) => {
                    let article = part.article();
                    write!(
                        f,
                        "the stream ended inside {article} {part}: {have} of {need} bytes had come"
                    )?;
                }
                None => {
                    let article = part.article();
                    let s = if *have == 1 { "" } else { "s" };
                    write!(
                        f,
                        "the stream ended before {article} {part}, {have} byte{s} into a frame"
                    )?;
                }
            },
            _ => f.write_str(&self.0.message)?,
        }
        match self.0.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameError")
            .field("kind", &self.0.kind)
            .field("message", &format_args!("{self}"))
            .field("offset", &self.0.offset)
            .field("recoverable", &self.is_recoverable())
            .finish()
    }
}

impl error::Error for FrameError {}

/// What ends a connection, or a call on one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A frame could not be read or written.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// `start_send` was called without a `poll_ready` that said so.
    #[error("the connection is not ready for another frame")]
    NotReady,
    /// Nothing has arrived for the [idle time](crate::ConnectionOptions::idle_timeout). The
    /// connection lives.
    #[error("nothing has arrived for {}", humantime::format_duration(*.0))]
    Idle(Duration),
}

impl Error {
    /// Whether the connection lives, and more may come: a bad frame was skipped, or nothing has
    /// arrived for a while.
    pub fn is_recoverable(&self) -> bool {
        match self {
            Self::Frame(error) => error.is_recoverable(),
            Self::Idle(_) => true,
            Self::Io(_) | Self::NotReady => false,
        }
    }

    /// The same error for the other half of a connection.
    pub(crate) fn copy(&self) -> Self {
        match self {
            Self::Frame(error) => Self::Frame(error.clone()),
            Self::Io(error) => Self::Io(io::Error::new(error.kind(), error.to_string())),
            Self::NotReady => Self::NotReady,
            Self::Idle(time) => Self::Idle(*time),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error,
            Error::Frame(error) => {
                let kind = match error.kind() {
                    ErrorKind::Truncated => io::ErrorKind::UnexpectedEof,
                    ErrorKind::Timeout => io::ErrorKind::TimedOut,
                    ErrorKind::Unencodable | ErrorKind::Config => io::ErrorKind::InvalidInput,
                    _ => io::ErrorKind::InvalidData,
                };
                Self::new(kind, error)
            }
            Error::NotReady => Self::other(error),
            Error::Idle(_) => Self::new(io::ErrorKind::TimedOut, error),
        }
    }
}
