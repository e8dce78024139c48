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
//!  socket ─▶ listener ──▶ Connection ────────────────────▶ driver ────────────▶ Service<Bytes>
//!            serve::Tcp,   Machine: buffers, poison,        serve::Pipeline,     └─ TypedLayer:
//!            Unix, Memory  offsets                          answers in order        Service<Req>
//!            └─ Acceptor:    └─ Framing: bytes ⇄ frames     serve::Multiplex,
//!               what comes                                  any order, by tag
//!               before frames
//!  socket ◀─ one vectored write ◀─ Outbox ◀─ frames ◀───── responses
//!
//!  socket ─▶ datagram ─▶ a fresh framing ─▶ frame ────────▶ the peer's session ─▶ Service<Bytes>
//!            UDP, Unix   datagram::Datagrams                datagram::serve_datagrams
//! ```
//!
//! A client is the same way backwards: [`client::Client`] and [`client::Multiplexed`] are tower
//! services whose calls become frames.
//!
//! | you want | use |
//! |---|---|
//! | a framing alone, in a loop of your own | [`Machine`] |
//! | a `Stream` and `Sink` of frames | [`Connection`] |
//! | frames into a tower service | [`serve::serve`] |
//! | a frame in each UDP or Unix datagram | [`datagram::Datagrams`], [`datagram::serve_datagrams`] |
//! | a tower service that is a server elsewhere | [`client::Client`] |
//! | a handshake, or encryption, before the first frame | [`serve::Acceptor`] |
//! | either with answers in any order | [`serve::serve_multiplexed`], [`client::Multiplexed`] |
//! | services of your own types, not of bytes | [`typed::TypedLayer`], [`typed::TypedClient`] |
//! | to choose the framing in a config file | [`Registry`] |
//! | to write a framing | [`Framing`] |
//! | a tokio-util codec here, or one of these there | [`CodecFraming`], [`FramingCodec`] |
//!
//! # Layout
//!
//! - `framing.rs`: the trait and its contract; `machine/` runs one over buffers, `decoding.rs` step by
//!   step; `outbox.rs` holds what is to be written; `limits.rs` checks every length; `error.rs` says
//!   what went wrong.
//! - `ack_handshake.rs`, `cobs.rs`, `delimiter/`, `fixed.rs`, `json_header/`, `length_field.rs`,
//!   `netstring.rs`, `raw.rs`, `slip.rs`, `struct_header/`, `varint.rs`: one framing each; `pair.rs`: two
//!   in one; `codec.rs`: other people's.
//! - `blocks.rs`, `decimal.rs`, `discard.rs`: what several of them do alike.
//! - `connection/`: a framing over I/O, with its limits in time and the spare buffers of `pool.rs`.
//! - `datagram/`: a framing over sockets of datagrams, one frame in each.
//! - `tags.rs`: where in a frame stands which request a response answers.
//! - `registry/`: from a name to a framing.
//! - `serve/`, `client/`: frames to services and back; `typed/`: values to frames and back.
//! - `testkit/` (feature): the laws, as functions to run on a framing of your own.
//!
//! # Pages
//!
//! In the repository's `docs/`: `which-framing.md`, a table to choose by, and what each costs;
//! `write-your-own.md`; `coming-from.md`, from tokio-util, tokio-tower, Netty or Erlang;
//! `sticky-packets.md`, what all of this is against; `speak-it.md`, the server's dialect by hand and
//! from Python; `protocol.md`, that dialect; `testing.md`, how all of it is tested.
//!
//! # Cancel safety
//!
//! Every future and stream here may be dropped between two polls without losing a byte, unless it says
//! otherwise. What was handed over (a frame to [`Connection`]'s sink, a call to a [`client::Client`]) is
//! still sent; a call to a [`client::Multiplexed`] that is dropped before it was written is not.

mod ack_handshake;
mod blocks;
pub mod client;
mod cobs;
mod codec;
mod connection;
pub mod datagram;
mod decimal;
mod decoding;
mod delimiter;
mod discard;
mod error;
mod fixed;
mod framing;
mod json_header;
mod length_field;
mod limits;
mod machine;
mod netstring;
mod options;
mod outbox;
mod pair;
mod pool;
mod raw;
mod registry;
pub mod serve;
mod slip;
mod struct_header;
mod tags;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod typed;
mod value;
mod varint;

pub use ack_handshake::{AckHandshake, AckHandshakeOptions};
pub use cobs::{Cobs, CobsOptions};
pub use codec::{CodecFraming, FramingCodec};
pub use connection::{Budget, Connection, ConnectionOptions};
pub use delimiter::{AtEof, Delimiter, DelimiterOptions, Lines, LinesOptions};
pub use error::{Error, ErrorKind, FrameError, Hint, Part};
pub use fixed::{Fixed, FixedOptions};
pub use framing::{BoxFraming, Carries, Framing, Step};
pub use json_header::{JsonHeader, JsonHeaderOptions};
pub use length_field::{Endian, LengthField, LengthFieldOptions};
pub use limits::{Limits, OnError};
pub use machine::{Machine, Received, Replies, Unread, Visited};
pub use netstring::{Netstring, NetstringOptions};
pub use outbox::Outbox;
pub use pair::Pair;
pub use raw::{Raw, RawOptions};
pub use registry::{FramingFactory, FramingHelp, FramingSeed, OptionHelp, Registry};
pub use slip::{InvalidEscape, Slip, SlipOptions};
pub use struct_header::{Constant, Counts, StructHeader, StructHeaderOptions};
pub use tags::{HeaderItem, Tagging, U32InFront};
pub use value::Value;
pub use varint::{Varint, VarintOptions};

// The code of the README and of the pages is compiled with the tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../README.zh-CN.md")]
    struct ReadmeInChinese;
    #[doc = include_str!("../../docs/which-framing.md")]
    struct WhichFraming;
    #[doc = include_str!("../../docs/write-your-own.md")]
    struct WriteYourOwn;
    #[doc = include_str!("../../docs/coming-from.md")]
    struct ComingFrom;
}
