//! Turns a service of types into a service of frames, and back.
//!
//! ```text
//!  server:  Bytes ──▶ Typed ── Request ──▶ your Service<Request>
//!           Bytes ◀─────────── Response ◀──
//!  client:  Request ──▶ TypedClient ── Bytes ──▶ client::Client
//!           Response ◀──────────────── Bytes ◀──
//! ```
//!
//! How a value is written in a frame is a [`Format`]: [`Json`], or one of your own. Where one frame
//! ends and the next begins stays the framing's business.

mod client;
mod format;
mod json;
mod service;

use serde::{Serialize, de::DeserializeOwned};

use crate::serve::BoxError;

pub use client::{TypedClient, TypedClientFuture};
pub use format::{Format, FormatError};
pub use json::Json;
pub use service::{Typed, TypedFuture, TypedLayer};

/// Why a call has no typed response.
///
/// `Display` prints nothing of a frame: it may hold a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TypedError {
    /// The frame that came is not a value of the type: a request on the server's side, a response
    /// on the client's.
    #[error("the frame cannot be read: {0}")]
    Unreadable(#[source] FormatError),
    /// The value cannot be written: a response on the server's side, a request on the client's.
    #[error("the value cannot be written: {0}")]
    Unwritable(#[source] FormatError),
    /// The service inside failed.
    #[error(transparent)]
    Service(BoxError),
}

fn read<T: DeserializeOwned>(format: &impl Format, frame: &[u8]) -> Result<T, TypedError> {
    format.read(frame).map_err(TypedError::Unreadable)
}

fn write<T: Serialize>(format: &impl Format, value: &T) -> Result<bytes::Bytes, TypedError> {
    format.write(value).map_err(TypedError::Unwritable)
}
