//! How the program ends: its exit codes, and failures said so that a person can act on them.

use std::{fmt, io};

/// The exit codes, after `sysexits.h`.
pub(super) struct Exit;

impl Exit {
    /// The command line is wrong.
    pub(super) const USAGE: u8 = 64;
    /// There is no such framing, or its options cannot work.
    pub(super) const DATA: u8 = 65;
    /// The machine's sockets do not do what they must.
    pub(super) const SOCKETS: u8 = 71;
    /// A file cannot be created.
    pub(super) const CANNOT_CREATE: u8 = 73;
    /// Standard output cannot be written.
    pub(super) const IO: u8 = 74;
    /// Nobody reads standard output any more.
    pub(super) const BROKEN_PIPE: u8 = 128 + 13;
}

/// Why the program could not do what it was asked.
#[derive(Debug)]
pub(super) struct Failure {
    exit: u8,
    message: String,
}

impl Failure {
    pub(super) fn new(exit: u8, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// Standard output cannot be written; quiet if nobody reads it any more.
    pub(super) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::BROKEN_PIPE, ""),
            _ => Self::new(Exit::IO, format!("cannot write standard output: {error}")),
        }
    }

    /// A socket on loopback failed in the scene `what`.
    pub(super) fn sockets(what: &str, error: &io::Error) -> Self {
        Self::new(Exit::SOCKETS, format!("{what}, over loopback: {error}"))
    }

    pub(super) fn exit(&self) -> u8 {
        self.exit
    }

    /// Whether there is anything to say.
    pub(super) fn is_quiet(&self) -> bool {
        self.message.is_empty()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
