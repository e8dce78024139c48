//! Says why a check failed.

use std::{io, time::Duration};

/// Why a connection did not pass the check. Shows nothing of the secret, a challenge or a proof.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HmacError {
    /// The peer's proof is not what the secret makes of the challenge.
    #[error(
        "the peer's proof is wrong: it has another secret, or is set to another form or digest"
    )]
    Wrong,
    /// The peer ended the connection before the check was over, or before it had begun.
    #[error("the peer closed the connection before it had proved itself")]
    Left,
    /// To a client: the server ended the connection when it had the client's proof.
    #[error(
        "the server closed the connection instead of proving itself: it has another secret, or is set to another form"
    )]
    Refused,
    /// The check was not over within this time.
    #[error("the check was not over within {0:?}")]
    Late(Duration),
    /// The socket failed.
    #[error(transparent)]
    Io(io::Error),
    /// The operating system gave no random bytes.
    #[error("the system has no random bytes for a challenge")]
    System,
}

impl HmacError {
    /// Tells a peer that is gone from a socket that fails.
    pub(super) fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::WriteZero
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset => Self::Left,
            _ => Self::Io(error),
        }
    }
}
