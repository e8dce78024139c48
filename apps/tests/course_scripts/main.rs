//! Scripts of the course's kind, run by a real `python3`, against `framed` and `frame`, in both roles.

#[path = "../common/mod.rs"]
mod common;
#[path = "../frame_support/mod.rs"]
mod frame_support;

mod client;
mod server;
mod support;
