//! Chat over UDP: the plain form that short scripts speak, and a directory whose messages arrive once, whole
//! and in order, or whose senders are told.
//!
//! Nothing here opens a socket or looks at a clock, except that [`ChatServer`] holds a request for a second.
//!
//! ```text
//!  alice                    directory                    bob
//!    say 1 ───────────────▶   │   ◀─────────────── poll
//!    ◀─────────────── said 1  │   mail: "hi" ────────▶
//!    poll ────────────────▶   │   ◀──────── poll, got 1
//!    ◀──── mail: 1 was shown  │
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `plain.rs` | the plain form |
//! | `wire.rs`, `pieces.rs` | what is said in datagrams, and texts longer than one |
//! | `name.rs`, `token.rs`, `cookie.rs`, `source.rs` | who somebody is, and whether they are there |
//! | `directory/` | the directory, a state machine |
//! | `service.rs` | it as a tower service |
//! | `client/` | its client, a state machine |
//! | `text.rs` | text made safe for a terminal |

mod client;
mod cookie;
mod directory;
mod name;
mod pieces;
mod plain;
mod service;
mod source;
mod text;
mod token;
mod wire;

pub use client::{Client, Event, Lost, MessageId, SayError, Stats};
pub use directory::{Directory, DirectoryOptions, HOLD, Reply, Ticket};
pub use name::{PeerName, PeerNameError};
pub use pieces::MAX_TEXT;
pub use plain::{Flaw, MAX_PLAIN, PlainError, PlainInbox, PlainMessage, PlainPeer, plain_message};
pub use service::{ChatPeer, ChatServer};
pub use text::{Shown, shown};
pub use token::{Token, TokenDigest, TokenError};
pub use wire::{MAX_DATAGRAM, Refusal, Undelivered, framing};
