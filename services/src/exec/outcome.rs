//! Says what a command wrote and how it ended.

use std::fmt;

use bytes::Bytes;

use super::signal;

/// What a running command reports: output as it comes, and once, at last, how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A piece of output.
    Output(Output),
    /// The end; nothing follows.
    Ended(Ended),
}

/// A piece of output, at most 64 KiB and never empty. Pieces of one stream are in order; how the two
/// streams interleave is only roughly what the command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// From standard output.
    Stdout(Bytes),
    /// From standard error.
    Stderr(Bytes),
}

impl Output {
    /// The bytes, whichever stream they came from.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Stdout(bytes) | Self::Stderr(bytes) => bytes,
        }
    }
}

/// The end of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// How it ended.
    pub outcome: Outcome,
    /// Whether something the command left behind still held its standard output or error when the
    /// command itself had ended. What that writes later is not waited for.
    pub held_output: bool,
    /// How many bytes of output were handed out over both streams.
    pub output_bytes: u64,
}

impl Ended {
    /// An end without output and without anything left behind.
    pub const fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            held_output: false,
            output_bytes: 0,
        }
    }
}

/// How a command ended. Only `Exit(0)` is a success, and only when it was reported: the end of a
/// stream without an outcome is [`Outcome::ConnectionLost`], never a success.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The command ended by itself with this code, 0 to 255.
    Exit(i32),
    /// A signal ended the command that nobody here sent for a reason below, by name: `SIGSEGV`.
    Signal(String),
    /// The command ran into its time limit and was ended.
    TimedOut,
    /// The command wrote more than it may and was ended.
    OutputCap,
    /// The command was ended on purpose; the reason is a sentence for a person.
    Killed(String),
    /// Nobody knows: the connection went away before an outcome was reported.
    ConnectionLost,
}

impl Outcome {
    /// A stable name for machines: `exit`, `signal`, `timed-out`, `output-cap`, `killed` or
    /// `connection-lost`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Exit(_) => "exit",
            Self::Signal(_) => "signal",
            Self::TimedOut => "timed-out",
            Self::OutputCap => "output-cap",
            Self::Killed(_) => "killed",
            Self::ConnectionLost => "connection-lost",
        }
    }

    /// The exit code, when there is one.
    pub const fn code(&self) -> Option<i32> {
        match self {
            Self::Exit(code) => Some(*code),
            _ => None,
        }
    }

    /// The signal's name or the reason of the kill, when there is one.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Signal(text) | Self::Killed(text) => Some(text),
            _ => None,
        }
    }

    /// Puts an outcome together again from [`kind`](Self::kind), [`code`](Self::code) and
    /// [`detail`](Self::detail); `None` when they do not fit together.
    pub fn from_parts(kind: &str, code: Option<i32>, detail: Option<&str>) -> Option<Self> {
        match (kind, code, detail) {
            ("exit", Some(code @ 0..=255), _) => Some(Self::Exit(code)),
            ("signal", _, Some(name)) => Some(Self::Signal(name.to_owned())),
            ("timed-out", ..) => Some(Self::TimedOut),
            ("output-cap", ..) => Some(Self::OutputCap),
            ("killed", _, Some(reason)) => Some(Self::Killed(reason.to_owned())),
            ("connection-lost", ..) => Some(Self::ConnectionLost),
            _ => None,
        }
    }

    /// Whether the command ended by itself with code 0.
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Exit(0))
    }

    /// What a shell would show: the code itself, 128 and the number for a signal, 124 for a time
    /// limit. `None` where shells have no number.
    pub fn shell_status(&self) -> Option<u8> {
        match self {
            Self::Exit(code) => u8::try_from(*code).ok(),
            Self::Signal(name) => {
                let number = u8::try_from(signal::number_of(name)?).ok()?;
                number.checked_add(128)
            }
            Self::TimedOut => Some(124),
            _ => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "ended with code {code}"),
            Self::Signal(name) => write!(f, "ended by {name}"),
            Self::TimedOut => f.write_str("ended by the time limit"),
            Self::OutputCap => f.write_str("ended because it wrote too much"),
            Self::Killed(reason) => write!(f, "ended: {reason}"),
            Self::ConnectionLost => f.write_str("unknown: the connection was lost"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_survives_being_taken_apart() {
        for outcome in [
            Outcome::Exit(0),
            Outcome::Exit(255),
            Outcome::Signal("SIGKILL".into()),
            Outcome::TimedOut,
            Outcome::OutputCap,
            Outcome::Killed("the server is going down".into()),
            Outcome::ConnectionLost,
        ] {
            let again = Outcome::from_parts(outcome.kind(), outcome.code(), outcome.detail());
            assert_eq!(again, Some(outcome));
        }
        assert_eq!(Outcome::from_parts("exit", None, None), None);
        assert_eq!(Outcome::from_parts("exit", Some(256), None), None);
        assert_eq!(Outcome::from_parts("signal", Some(9), None), None);
        assert_eq!(Outcome::from_parts("success", Some(0), None), None);
    }

    #[test]
    fn svc_c32_only_a_reported_zero_is_a_success() {
        assert!(Outcome::Exit(0).is_success());
        assert!(!Outcome::Exit(1).is_success());
        assert!(!Outcome::ConnectionLost.is_success());
        assert!(!Outcome::TimedOut.is_success());
    }

    #[test]
    #[cfg(unix)]
    fn shells_show_the_usual_numbers() {
        assert_eq!(Outcome::Exit(77).shell_status(), Some(77));
        assert_eq!(Outcome::Signal("SIGKILL".into()).shell_status(), Some(137));
        assert_eq!(Outcome::TimedOut.shell_status(), Some(124));
        assert_eq!(Outcome::ConnectionLost.shell_status(), None);
    }
}
