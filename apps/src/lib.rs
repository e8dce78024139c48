//! The programs `framed`, `frame`, `chat`, `tour` and `sticky`, and what they are put together from.
//!
//! | file | what it holds |
//! |---|---|
//! | `config/` | the server's configuration file |
//! | `check.rs` | whether what it names is there |
//! | `stack.rs` | which layers stand in which order |
//! | `server.rs` | listeners, each with its stack, until it is told to stop |
//! | `socket.rs` | their sockets, with their options |
//! | `first_start.rs` | what there is without a configuration file |
//! | `account.rs` | `framed account …` |
//! | `terminal.rs` | passwords and log lines |
//! | `frame/` | the client |
//! | `chat/` | chat over UDP |
//! | `tour/` | everything in one command |
//! | `sticky/` | sticky packets on real sockets, and each framing's cure |

pub mod account;
pub mod chat;
pub mod check;
pub mod config;
pub mod first_start;
pub mod frame;
pub mod server;
mod socket;
pub mod stack;
pub mod sticky;
pub mod terminal;
pub mod tour;
