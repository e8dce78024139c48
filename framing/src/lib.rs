//! Interchangeable message framings for byte streams, and the bridge from frames to tower services.
//!
//! TCP keeps no message boundaries: two sends can arrive as one read, one send as two. A *framing* is
//! the rule that finds the messages again. Here each is a small state machine without I/O, chosen by
//! type in code or by name in a config file. This crate knows no login, no command and no file: those
//! are services, and live elsewhere.
//!
//! # The way of a byte
//!
//! ```text
//!  socket ─▶ listener ──▶ Connection ────────────────────────────▶ pipeline ─▶ Service<Bytes>
//!            serve::Tcp,   Machine: buffers, poison, offsets        serve::Pipeline
//!            Unix, Memory    └─ Framing: bytes ⇄ frames
//!  socket ◀─ one vectored write ◀─ Outbox ◀─ frames ◀────────────── responses, in order
//! ```
//!
//! | you want | use |
//! |---|---|
//! | a framing alone, in a loop of your own | [`Machine`] |
//! | a `Stream` and `Sink` of frames | [`Connection`] |
//! | frames into a tower service | [`serve::serve`] |
//! | a tower service that is a server elsewhere | [`client::Client`] |
//! | services of your own types, not of bytes | [`typed::TypedLayer`], [`typed::TypedClient`] |
//! | to choose the framing in a config file | [`Registry`] |
//! | to write a framing | [`Framing`] |
//! | a tokio-util codec here, or one of these there | [`CodecFraming`], [`FramingCodec`] |
//!
//! # Layout
//!
//! - `framing.rs`: the trait and its contract; `machine.rs` runs one over buffers; `outbox.rs` holds what
//!   is to be written; `limits.rs` checks every length; `error.rs` says what went wrong.
//! - `ack_handshake.rs`, `delimiter/`, `raw.rs`, `struct_header/`: one framing each; `codec.rs`: other people's.
//! - `connection.rs`: a framing over I/O, with the spare buffers of `pool.rs`.
//! - `registry/`: from a name to a framing.
//! - `serve/`, `client/`: frames to services and back; `typed/`: values to frames and back.
//! - `testkit/` (feature): the laws, as functions to run on a framing of your own.
//!
//! # Cancel safety
//!
//! Every future and stream here may be dropped between two polls without losing a byte, unless it says
//! otherwise. What was handed over (a frame to [`Connection`]'s sink, a call to a client) is still sent.

mod ack_handshake;
pub mod client;
mod codec;
mod connection;
mod delimiter;
mod error;
mod framing;
mod limits;
mod machine;
mod options;
mod outbox;
mod pool;
mod raw;
mod registry;
pub mod serve;
mod struct_header;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod typed;
mod value;

pub use ack_handshake::{AckHandshake, AckHandshakeOptions};
pub use codec::{CodecFraming, FramingCodec};
pub use connection::Connection;
pub use delimiter::{AtEof, Delimiter, DelimiterOptions, Lines, LinesOptions};
pub use error::{Error, ErrorKind, FrameError, Hint, Part};
pub use framing::{BoxFraming, Carries, Framing, Step};
pub use limits::{Limits, OnError};
pub use machine::{Machine, Received};
pub use outbox::Outbox;
pub use raw::{Raw, RawOptions};
pub use registry::{FramingFactory, FramingHelp, FramingSeed, OptionHelp, Registry};
pub use struct_header::{Constant, Counts, StructHeader, StructHeaderOptions};
pub use value::Value;

// The README's code is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
