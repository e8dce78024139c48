//! The programs `framed`, `frame`, `chat` and `tour`, and what they are put together from.
//!
//! | file | what it holds |
//! |---|---|
//! | `config.rs` | the server's configuration file |
//! | `check.rs` | whether what it names is there |
//! | `stack.rs` | which layers stand in which order |
//! | `server.rs` | listeners, each with its stack, until it is told to stop |
//! | `first_start.rs` | what there is without a configuration file |
//! | `account.rs` | `framed account …` |
//! | `terminal.rs` | passwords and log lines |
//! | `frame/` | the client |
//! | `chat/` | chat over UDP |
//! | `tour/` | everything in one command |

pub mod account;
pub mod chat;
pub mod check;
pub mod config;
pub mod first_start;
pub mod frame;
pub mod server;
pub mod stack;
pub mod terminal;
pub mod tour;
