//! How the program ends: exit codes, and failures said so that a person can act on them.

use std::{borrow::Cow, fmt, io};

use framing::{ErrorKind, FrameError};
use serde_json::{Value, json};
use services::{
    BodyError, Status,
    client::ClientError,
    course::CourseError,
    escape::escaped,
    exec::Outcome,
    native::{CallError, NativeError},
};

/// The exit codes that are ours, after `sysexits.h`; the others are a remote program's.
pub(super) struct Exit;

impl Exit {
    /// The command line is wrong.
    pub(super) const USAGE: u8 = 64;
    /// Data that cannot be read, or framing options that cannot work.
    pub(super) const DATA: u8 = 65;
    /// No such file.
    pub(super) const NO_INPUT: u8 = 66;
    /// The server cannot be reached, is busy, or does not do this.
    pub(super) const UNAVAILABLE: u8 = 69;
    /// The file cannot be created.
    pub(super) const CANNOT_CREATE: u8 = 73;
    /// The connection was lost, or a local read or write failed.
    pub(super) const IO: u8 = 74;
    /// The server does not keep to the protocol.
    pub(super) const PROTOCOL: u8 = 76;
    /// Not allowed.
    pub(super) const NOT_ALLOWED: u8 = 77;
    /// The program cannot be run, as shells say it.
    const CANNOT_RUN: u8 = 126;
    /// The program was not found, as shells say it.
    const NOT_FOUND: u8 = 127;
    /// Ended by SIGINT.
    pub(super) const INTERRUPTED: u8 = 128 + 2;
    /// Ended by SIGKILL.
    const KILLED: u8 = 128 + 9;
    /// Nobody reads standard output any more.
    const BROKEN_PIPE: u8 = 128 + 13;
    /// Ended by SIGTERM.
    pub(super) const TERMINATED: u8 = 128 + 15;
}

/// The exit code for how a command ended.
pub(super) fn of_outcome(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::ConnectionLost => Exit::IO,
        // The server has no milder means to end a command for good.
        _ => outcome.shell_status().unwrap_or(Exit::KILLED),
    }
}

/// Why a verb was not carried out.
#[derive(Debug)]
pub(super) struct Failure {
    exit: u8,
    /// For programs; a server's own code where it said one.
    kind: Cow<'static, str>,
    /// For people: safe to show.
    message: String,
    hint: Option<Cow<'static, str>>,
    /// The connection, if there is one, can carry another request.
    in_step: bool,
    /// It looks like this where the two sides speak different framings.
    doubts_framing: bool,
}

impl Failure {
    pub(super) fn new(exit: u8, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            exit,
            kind: kind.into(),
            message: message.into(),
            hint: None,
            in_step: false,
            doubts_framing: false,
        }
    }

    /// Adds what would be allowed, or what to do.
    pub(super) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The server may speak another framing than was taken for granted.
    pub(super) fn doubting_framing(mut self) -> Self {
        self.doubts_framing = true;
        self
    }

    /// Names the framing and the server, if the framing is in doubt.
    pub(super) fn over(self, framing: &str, server: impl fmt::Display) -> Self {
        if !self.doubts_framing {
            return self;
        }
        self.hint(format!(
            "the framing was {framing}: does {server} speak it? --framing F names another one, \
             `frame framings` lists them"
        ))
    }

    /// Names the dialect and the server, if what was spoken is in doubt.
    pub(super) fn in_dialect(self, dialect: &str, server: impl fmt::Display) -> Self {
        if !self.doubts_framing {
            return self;
        }
        self.hint(format!(
            "the dialect was {dialect}: does {server} speak it? --dialect D names another one"
        ))
    }

    /// Nothing was asked of the server, or all of its answer has come.
    pub(super) fn in_step(mut self) -> Self {
        self.in_step = true;
        self
    }

    pub(super) fn lost(message: impl Into<String>) -> Self {
        Self::new(Exit::IO, "connection-lost", message)
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::USAGE, "usage", message).in_step()
    }

    /// A file of ours that cannot be read.
    pub(super) fn input(what: impl fmt::Display, error: &io::Error) -> Self {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NO_INPUT,
            io::ErrorKind::PermissionDenied => Exit::NOT_ALLOWED,
            _ => Exit::IO,
        };
        Self::new(exit, "local-file", format!("cannot read {what}: {error}")).in_step()
    }

    /// A local read or write that failed; quiet if nobody reads our output any more.
    pub(super) fn local_io(what: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::BROKEN_PIPE, "broken-pipe", ""),
            _ => Self::new(Exit::IO, "local-io", format!("{what}: {error}")),
        }
    }

    /// Options of a framing that cannot work.
    pub(super) fn framing(error: &FrameError) -> Self {
        Self::new(Exit::DATA, "config", format!("--framing: {error}"))
            .hint("`frame framings` lists the framings and their options")
            .in_step()
    }

    pub(super) fn unreachable(url: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::new(
            Exit::UNAVAILABLE,
            "unreachable",
            format!("cannot reach {url}: {error}"),
        )
        .hint("is a server listening there? --server URL names another one")
    }

    pub(super) fn exit(&self) -> u8 {
        self.exit
    }

    pub(super) fn leaves_in_step(&self) -> bool {
        self.in_step
    }

    /// Whether there is anything to say.
    pub(super) fn is_quiet(&self) -> bool {
        self.message.is_empty()
    }

    pub(super) fn as_json(&self) -> Value {
        json!({ "error": self.kind, "message": self.message, "exit": self.exit })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  {hint}"),
            None => Ok(()),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        // Those that quote the server escape what they quote.
        let message = error.to_string();
        match error {
            ClientError::Refused(status) | ClientError::Body(BodyError::Aborted(status)) => {
                refused(&status)
            }
            ClientError::Body(BodyError::ConnectionLost) => lost(message),
            ClientError::Body(_) | ClientError::Nonsense(_) => protocol(message),
            ClientError::Call(error) => call(&error),
            ClientError::Course(error) => course(&error, message),
            ClientError::Source(_) => Self::new(Exit::IO, "local-io", message),
            _ => protocol(escaped(&message).limit(1024).to_string()),
        }
    }
}

fn lost(message: String) -> Failure {
    Failure::lost(message).doubting_framing()
}

/// What a script's server did, or did not.
fn course(error: &CourseError, message: String) -> Failure {
    match error {
        CourseError::TooLong { .. } => Failure::new(Exit::DATA, "too-long", message).in_step(),
        CourseError::Closed | CourseError::OutOfStep | CourseError::File(_) => lost(message),
        CourseError::Connection(framing::Error::Frame(error))
            if !matches!(error.kind(), ErrorKind::Truncated | ErrorKind::Timeout) =>
        {
            protocol(message)
        }
        CourseError::Connection(_) => lost(message),
        _ => protocol(message),
    }
}

fn protocol(message: String) -> Failure {
    Failure::new(Exit::PROTOCOL, "protocol", message).doubting_framing()
}

fn call(error: &CallError) -> Failure {
    let message = escaped(&error.to_string()).limit(1024).to_string();
    match error {
        CallError::OutOfStep => lost(message),
        CallError::Native(NativeError::Closed) => lost(message),
        CallError::Native(NativeError::Connection(framing::Error::Io(_))) => lost(message),
        CallError::Native(NativeError::Connection(framing::Error::Frame(error))) => {
            match error.kind() {
                ErrorKind::Truncated | ErrorKind::Timeout => lost(message),
                // A request that does not fit is ours, not the server's fault.
                ErrorKind::Unencodable => Failure::new(Exit::DATA, "unencodable", message),
                _ => protocol(message),
            }
        }
        _ => protocol(message),
    }
}

/// What a server's refusal means here.
fn refused(status: &Status) -> Failure {
    let code = status.code().as_str();
    let exit = match code {
        "wrong-credentials" | "not-authenticated" | "not-allowed" => Exit::NOT_ALLOWED,
        "not-found" | "changed" | "not-a-file" => Exit::NO_INPUT,
        "already-exists" | "collision" | "no-space" | "quota-exceeded" | "too-large" => {
            Exit::CANNOT_CREATE
        }
        "bad-request" | "name" => Exit::USAGE,
        "digest-mismatch" | "size-mismatch" | "offset-beyond-end" | "too-long" => Exit::DATA,
        "cancelled" => Exit::INTERRUPTED,
        "program-not-found" => Exit::NOT_FOUND,
        "cannot-run" => Exit::CANNOT_RUN,
        _ => Exit::UNAVAILABLE,
    };
    let message = match (code, status.sentence()) {
        ("wrong-credentials", _) => "wrong user name or password".to_owned(),
        (_, "") => format!("the server refuses: {}", escaped(code)),
        (_, sentence) => format!("the server refuses: {}", escaped(sentence).limit(1024)),
    };
    let hint = match code {
        "not-authenticated" => Some("--user NAME logs in"),
        "already-exists" => Some(
            "--overwrite replaces it, where the dialect has words for that; put FILE NAME gives it another name",
        ),
        "changed" => Some("the list is out of date: take it again"),
        "busy" => Some("try again later"),
        _ => None,
    };
    Failure {
        exit,
        kind: code.to_owned().into(),
        message,
        hint: hint.map(Cow::Borrowed),
        // The server closes after these.
        in_step: !matches!(code, "wrong-credentials" | "not-authenticated"),
        doubts_framing: false,
    }
}

#[cfg(test)]
mod tests {
    use services::Code;

    use super::*;

    #[test]
    fn svc_e6_a_refusal_is_shown_escaped() {
        let code: Code = serde_json::from_value(json!("busy\u{1b}[2J")).unwrap();
        let status = Status::new(code, "go\r\u{1b}]52;c;eA==\u{7} away");
        let failure = Failure::from(ClientError::Refused(status));
        let shown = failure.to_string();
        assert!(!shown.contains(['\u{1b}', '\r', '\u{7}']), "{shown:?}");
        assert!(shown.contains(r"\u{1b}]52"), "{shown}");
    }

    #[test]
    fn outcomes_have_the_codes_of_shells() {
        assert_eq!(of_outcome(&Outcome::Exit(7)), 7);
        assert_eq!(of_outcome(&Outcome::Signal("SIGKILL".into())), 137);
        assert_eq!(of_outcome(&Outcome::TimedOut), 124);
        assert_eq!(of_outcome(&Outcome::ConnectionLost), 74);
        assert_eq!(of_outcome(&Outcome::OutputCap), 137);
        // A signal this machine does not know is no success either.
        assert_eq!(of_outcome(&Outcome::Signal("\u{1b}".into())), 137);
    }
}
