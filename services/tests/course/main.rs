//! The dialects of the course over memory: a script's bytes in, ours out, byte for byte; what peers
//! can do wrong; and our own client against servers that do as they are told.

#[path = "../common/mod.rs"]
mod common;

mod caller;
mod clock;
mod connection;
mod exec;
mod files;
mod login;
mod support;
mod transfer;
