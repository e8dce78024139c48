//! Peers in Python, each a script that prints `LISTENING <port>`.

use std::{io, os::unix::process::CommandExt, process::Command};

use crate::servers::Kind;

/// Returns only if it does not work.
pub(in super::super) fn become_python(kind: Kind) -> io::Error {
    let script = match kind {
        Kind::Asyncssh => include_str!("asyncssh.py"),
        _ => include_str!("twisted.py"),
    };
    Command::new("python3").args(["-c", script]).exec()
}
