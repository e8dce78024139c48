//! Why the program ends otherwise than well, and its exit code.

use std::{fmt, io};

/// What is told, and the exit code after `sysexits.h`.
#[derive(Debug)]
pub(super) struct Failure {
    exit: u8,
    message: String,
}

impl Failure {
    /// The command line is wrong.
    pub(super) const USAGE: u8 = 64;
    /// Data that cannot be read.
    const DATA: u8 = 65;
    /// No such file.
    const NO_INPUT: u8 = 66;
    /// Nobody is there, or a message was not delivered.
    const UNAVAILABLE: u8 = 69;
    /// A file cannot be created.
    const CANNOT_CREATE: u8 = 73;
    /// Reading or writing failed.
    const IO: u8 = 74;
    /// Not allowed.
    const NOT_ALLOWED: u8 = 77;
    /// Nobody reads standard output any more.
    const BROKEN_PIPE: u8 = 128 + 13;

    fn new(exit: u8, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { exit, message }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Self::USAGE, message)
    }

    pub(super) fn data(message: impl Into<String>) -> Self {
        Self::new(Self::DATA, message)
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Self::UNAVAILABLE, message)
    }

    pub(super) fn not_allowed(message: impl Into<String>) -> Self {
        Self::new(Self::NOT_ALLOWED, message)
    }

    /// A file that cannot be read.
    pub(super) fn input(what: impl fmt::Display, error: &io::Error) -> Self {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Self::NO_INPUT,
            io::ErrorKind::PermissionDenied => Self::NOT_ALLOWED,
            _ => Self::IO,
        };
        Self::new(exit, format!("cannot read {what}: {error}"))
    }

    /// A file that cannot be made.
    pub(super) fn create(what: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(Self::CANNOT_CREATE, format!("cannot make {what}: {error}"))
    }

    /// Something else that failed; quiet if nobody reads our output any more.
    pub(super) fn io(what: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Self::BROKEN_PIPE, ""),
            _ => Self::new(Self::IO, format!("{what}: {error}")),
        }
    }

    /// The system has no randomness.
    pub(super) fn chance(error: impl fmt::Display) -> Self {
        Self::new(Self::IO, format!("the system has no randomness: {error}"))
    }

    /// An address that cannot be had.
    pub(super) fn bind(address: impl fmt::Display, error: &io::Error) -> Self {
        let message = format!(
            "cannot listen on udp://{address}: {error}\n  --bind ADDRESS names another one; with port 0 the system \
             chooses"
        );
        Self::unavailable(message)
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
