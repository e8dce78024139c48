//! The native dialect's frames: a head, a chunk, an end.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use framing::{Carries, Framing};
use serde::{Deserialize, Serialize};

use crate::{BodyError, Code, Fields, Part, Status, Verb};

/// The version of the dialect.
const VERSION: u32 = 1;

/// The most bytes of a body in one chunk: large enough that the frame costs nothing beside it.
const MAX_CHUNK: usize = 256 * 1024;

/// The most characters of what is wrong with a frame's JSON.
const MAX_REASON: usize = 256;

const DATA: u8 = b'd';
const STDOUT: u8 = b'o';
const STDERR: u8 = b'e';
const CONTROL: u8 = b'c';
const END: u8 = b'.';
const ABORT: u8 = b'!';
const HEAD: u8 = b'{';

/// How the dialect is written over one framing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire {
    /// Chunks are the bytes themselves; otherwise base64.
    binary: bool,
}

/// Why a framing cannot carry the native dialect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this framing cannot carry the native dialect, because {0}")]
pub struct Unsuitable(&'static str);

/// A frame that the dialect does not allow.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// It begins with a byte that stands for nothing.
    #[error("a frame is neither a head, nor a chunk, nor an end")]
    Unknown,
    /// It is of a kind that cannot come now.
    #[error("{0}")]
    Unexpected(&'static str),
    /// Its JSON is not what it must be.
    #[error("a frame's JSON is not what it must be: {0}")]
    Json(String),
    /// Its base64 is not base64.
    #[error("a chunk's base64 is malformed")]
    Base64,
    /// A version that is not spoken here.
    #[error("version {0} of the dialect is not spoken here; there is: {VERSION}")]
    Version(u32),
}

impl From<serde_json::Error> for WireError {
    fn from(error: serde_json::Error) -> Self {
        // It may repeat what it found, however long that is.
        Self::Json(error.to_string().chars().take(MAX_REASON).collect())
    }
}

/// A request without its body.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestHead {
    #[serde(default = "version", skip_serializing_if = "is_current")]
    v: u32,
    pub(super) verb: Verb,
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub(super) args: Fields,
    /// Whether chunks and an end follow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) body: bool,
}

/// A response without its body.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ResponseHead {
    pub(super) status: Code,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub(super) details: Fields,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) body: bool,
}

/// Why the sender of a body gives it up.
#[derive(Serialize, Deserialize)]
struct Abort {
    status: Code,
    #[serde(default)]
    message: String,
}

fn version() -> u32 {
    VERSION
}

fn is_current(v: &u32) -> bool {
    *v == VERSION
}

impl RequestHead {
    pub(super) fn new(verb: Verb, args: Fields, body: bool) -> Self {
        Self {
            v: VERSION,
            verb,
            args,
            body,
        }
    }
}

impl ResponseHead {
    pub(super) fn new(status: Status, details: Fields, body: bool) -> Self {
        let message = status.sentence().to_owned();
        Self {
            status: status.code().clone(),
            message,
            details,
            body,
        }
    }

    pub(super) fn status(&self) -> Status {
        Status::new(self.status.clone(), self.message.clone())
    }
}

/// A frame to be sent, in two pieces: so a chunk is not copied behind the byte that says what it is.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) prefix: &'static [u8],
    pub(super) rest: Bytes,
}

impl From<Bytes> for Written {
    fn from(frame: Bytes) -> Self {
        Self {
            prefix: b"",
            rest: frame,
        }
    }
}

/// What a frame within a body is.
pub(super) enum Piece {
    Part(Part),
    Aborted(BodyError),
}

impl Wire {
    /// Finds out how to write over `framing`.
    pub(super) fn over(framing: &impl Framing) -> Result<Self, Unsuitable> {
        if !framing.keeps_boundaries() {
            return Err(Unsuitable("it keeps no message boundaries"));
        }
        let binary = match framing.carries() {
            Carries::Anything => true,
            Carries::Text => false,
            Carries::Neither(why) => return Err(Unsuitable(why)),
        };
        let wire = Self { binary };
        if wire.max_chunk(framing.max_frame()) < 64 {
            return Err(Unsuitable("its frames are too small to hold a request"));
        }
        Ok(wire)
    }

    /// The most bytes of a body in a frame of at most `max_frame` bytes.
    pub(super) fn max_chunk(&self, max_frame: usize) -> usize {
        // One byte says what the chunk is.
        let room = max_frame.saturating_sub(1);
        let room = if self.binary { room } else { room / 4 * 3 };
        // Nothing at all would never come to an end.
        room.clamp(1, MAX_CHUNK)
    }

    /// A frame with at most [`max_chunk`](Self::max_chunk) bytes of a body.
    pub(super) fn write_part(&self, part: Part) -> Result<Written, WireError> {
        match part {
            Part::Data(bytes) => Ok(self.write_chunk(&[DATA], bytes)),
            Part::Stdout(bytes) => Ok(self.write_chunk(&[STDOUT], bytes)),
            Part::Stderr(bytes) => Ok(self.write_chunk(&[STDERR], bytes)),
            Part::Control(fields) => Ok(write_json(CONTROL, &fields)?.into()),
            Part::End(trailer) if trailer.is_empty() => Ok(Bytes::from_static(&[END]).into()),
            Part::End(trailer) => Ok(write_json(END, &trailer)?.into()),
        }
    }

    fn write_chunk(&self, prefix: &'static [u8], bytes: Bytes) -> Written {
        let rest = match self.binary {
            true => bytes,
            false => STANDARD.encode(bytes).into(),
        };
        Written { prefix, rest }
    }

    /// A frame that ends a body whose rest will never come.
    pub(super) fn write_abort(&self, why: &Status) -> Result<Bytes, WireError> {
        let message = why.sentence().to_owned();
        write_json(
            ABORT,
            &Abort {
                status: why.code().clone(),
                message,
            },
        )
    }

    pub(super) fn write_head(&self, head: &impl Serialize) -> Result<Bytes, WireError> {
        Ok(serde_json::to_vec(head)?.into())
    }

    pub(super) fn read_request(&self, frame: &[u8]) -> Result<RequestHead, WireError> {
        let head: RequestHead = read_head(frame)?;
        match head.v {
            VERSION => Ok(head),
            other => Err(WireError::Version(other)),
        }
    }

    pub(super) fn read_response(&self, frame: &[u8]) -> Result<ResponseHead, WireError> {
        read_head(frame)
    }

    /// Reads a frame within a body.
    pub(super) fn read_piece(&self, frame: Bytes) -> Result<Piece, WireError> {
        let part = match frame.first() {
            Some(&DATA) => Part::Data(self.read_chunk(frame)?),
            Some(&STDOUT) => Part::Stdout(self.read_chunk(frame)?),
            Some(&STDERR) => Part::Stderr(self.read_chunk(frame)?),
            Some(&CONTROL) => Part::Control(serde_json::from_slice(&frame[1..])?),
            Some(&END) if frame.len() == 1 => Part::End(Fields::new()),
            Some(&END) => Part::End(serde_json::from_slice(&frame[1..])?),
            Some(&ABORT) => {
                let Abort { status, message } = serde_json::from_slice(&frame[1..])?;
                return Ok(Piece::Aborted(BodyError::Aborted(Status::new(
                    status, message,
                ))));
            }
            Some(&HEAD) => {
                return Err(WireError::Unexpected(
                    "a head came before the end of a body",
                ));
            }
            _ => return Err(WireError::Unknown),
        };
        Ok(Piece::Part(part))
    }

    fn read_chunk(&self, mut frame: Bytes) -> Result<Bytes, WireError> {
        let bytes = frame.split_off(1);
        if self.binary {
            return Ok(bytes);
        }
        STANDARD
            .decode(&bytes)
            .map(Bytes::from)
            .map_err(|_| WireError::Base64)
    }
}

fn write_json(kind: u8, value: &impl Serialize) -> Result<Bytes, WireError> {
    let mut frame = vec![kind];
    serde_json::to_writer(&mut frame, value)?;
    Ok(frame.into())
}

fn read_head<'a, H: Deserialize<'a>>(frame: &'a [u8]) -> Result<H, WireError> {
    match frame.first() {
        Some(&HEAD) => Ok(serde_json::from_slice(frame)?),
        Some(&(DATA | STDOUT | STDERR | CONTROL | END | ABORT)) => Err(WireError::Unexpected(
            "a chunk or an end came where a head was due",
        )),
        _ => Err(WireError::Unknown),
    }
}
