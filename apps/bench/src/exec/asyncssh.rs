//! asyncssh's client; this process becomes it.

use std::{io, os::unix::process::CommandExt, process::Command};

use super::client::ExecClient;

const SCRIPT: &str = include_str!("asyncssh.py");

/// Returns only if it does not work.
pub(super) fn become_client(options: &ExecClient) -> io::Error {
    Command::new("python3")
        .args(["-c", SCRIPT])
        .arg(options.port.to_string())
        .arg(options.seconds.to_string())
        .exec()
}
