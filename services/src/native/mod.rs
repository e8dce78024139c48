//! The native dialect: requests and responses with streaming bodies, in frames that a person can
//! read.
//!
//! A frame is a head (one compact JSON object), a chunk, or an end:
//!
//! ```text
//! client ▶ {"verb":"put","args":{"name":"a.txt","size":5},"body":true}
//! client ▶ dhello
//! client ▶ .{"digest":"ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f"}
//! server ◀ {"status":"ok","details":{"size":5}}
//! ```
//!
//! Chunks are binary where the framing is transparent and base64 where it is not; services do not
//! see the difference. The whole of it is specified in `docs/protocol.md`.

mod caller;
mod inbox;
mod server;
mod transfer;
mod wire;

pub use caller::{CallError, Caller, Reply};
pub use server::NativeServer;
pub use transfer::NativeError;
pub use wire::{Unsuitable, WireError};

use framing::Framing;

/// Checks that `framing` can carry the dialect: it must keep messages apart, and carry at least
/// text.
pub fn check(framing: &impl Framing) -> Result<(), Unsuitable> {
    wire::Wire::over(framing).map(drop)
}
