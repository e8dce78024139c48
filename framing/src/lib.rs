//! Interchangeable message framings for byte streams.

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
pub use registry::{FramingFactory, FramingSeed, Registry};
pub use struct_header::{Constant, Counts, StructHeader, StructHeaderOptions};
pub use value::Value;
