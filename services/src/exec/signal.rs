//! Names signals.

use std::fmt;
use std::str::FromStr;

/// A signal that may be sent to a running command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// `SIGHUP`: the terminal is gone.
    Hangup,
    /// `SIGINT`: what Ctrl-C sends.
    Interrupt,
    /// `SIGQUIT`: what Ctrl-\ sends.
    Quit,
    /// `SIGKILL`: ends every process, asking none.
    Kill,
    /// `SIGUSR1`.
    User1,
    /// `SIGUSR2`.
    User2,
    /// `SIGTERM`: the polite request to end.
    Terminate,
    /// `SIGCONT`: goes on after a stop.
    Continue,
    /// `SIGSTOP`: stops until continued.
    Stop,
    /// `SIGWINCH`: the window has another size.
    WindowChange,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Hangup,
        Self::Interrupt,
        Self::Quit,
        Self::Kill,
        Self::User1,
        Self::User2,
        Self::Terminate,
        Self::Continue,
        Self::Stop,
        Self::WindowChange,
    ];

    /// The usual name, such as `SIGTERM`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hangup => "SIGHUP",
            Self::Interrupt => "SIGINT",
            Self::Quit => "SIGQUIT",
            Self::Kill => "SIGKILL",
            Self::User1 => "SIGUSR1",
            Self::User2 => "SIGUSR2",
            Self::Terminate => "SIGTERM",
            Self::Continue => "SIGCONT",
            Self::Stop => "SIGSTOP",
            Self::WindowChange => "SIGWINCH",
        }
    }

    /// Whether a process that does nothing about this signal is ended by it.
    pub const fn ends(self) -> bool {
        !matches!(self, Self::Continue | Self::Stop | Self::WindowChange)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads `SIGTERM` or `TERM`, in capitals only.
impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        let short = text.strip_prefix("SIG").unwrap_or(text);
        Self::ALL
            .into_iter()
            .find(|signal| signal.name().strip_prefix("SIG") == Some(short))
            .ok_or(UnknownSignal)
    }
}

/// A name that is not the name of a [`Signal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a signal that can be sent; HUP, INT, QUIT, KILL, USR1, USR2, TERM, CONT, STOP and WINCH can"
)]
pub struct UnknownSignal;

/// The first of the real-time signals that programs may use, as the C library counts them.
#[cfg(unix)]
const REAL_TIME: i32 = 34;

/// The name of what ended a process: `SIGSEGV`, `SIGRTMIN+3`, or `SIG99` for what has no name.
#[cfg(unix)]
pub(super) fn name_of(number: i32) -> String {
    let named = table().find(|(signal, _)| signal.as_raw() == number);
    match named {
        Some((_, name)) => name.to_owned(),
        None if number == REAL_TIME => "SIGRTMIN".to_owned(),
        None if (REAL_TIME..=64).contains(&number) => format!("SIGRTMIN+{}", number - REAL_TIME),
        None => format!("SIG{number}"),
    }
}

/// The number behind a name made by [`name_of`]; on other machines the numbers may differ, so this
/// is only for what shells show.
#[cfg(unix)]
pub(super) fn number_of(name: &str) -> Option<i32> {
    if let Some((signal, _)) = table().find(|(_, known)| *known == name) {
        return Some(signal.as_raw());
    }
    let offset = match name.strip_prefix("SIGRTMIN") {
        Some("") => 0,
        Some(rest) => rest.strip_prefix('+')?.parse().ok()?,
        None => return name.strip_prefix("SIG")?.parse().ok(),
    };
    (0..=30).contains(&offset).then_some(REAL_TIME + offset)
}

#[cfg(not(unix))]
pub(super) fn number_of(_: &str) -> Option<i32> {
    None
}

#[cfg(unix)]
fn table() -> impl Iterator<Item = (rustix::process::Signal, &'static str)> {
    use rustix::process::Signal as S;
    [
        (S::HUP, "SIGHUP"),
        (S::INT, "SIGINT"),
        (S::QUIT, "SIGQUIT"),
        (S::ILL, "SIGILL"),
        (S::TRAP, "SIGTRAP"),
        (S::ABORT, "SIGABRT"),
        (S::BUS, "SIGBUS"),
        (S::FPE, "SIGFPE"),
        (S::KILL, "SIGKILL"),
        (S::USR1, "SIGUSR1"),
        (S::SEGV, "SIGSEGV"),
        (S::USR2, "SIGUSR2"),
        (S::PIPE, "SIGPIPE"),
        (S::ALARM, "SIGALRM"),
        (S::TERM, "SIGTERM"),
        (S::CHILD, "SIGCHLD"),
        (S::CONT, "SIGCONT"),
        (S::STOP, "SIGSTOP"),
        (S::TSTP, "SIGTSTP"),
        (S::TTIN, "SIGTTIN"),
        (S::TTOU, "SIGTTOU"),
        (S::URG, "SIGURG"),
        (S::XCPU, "SIGXCPU"),
        (S::XFSZ, "SIGXFSZ"),
        (S::VTALARM, "SIGVTALRM"),
        (S::PROF, "SIGPROF"),
        (S::WINCH, "SIGWINCH"),
        (S::IO, "SIGIO"),
        (S::SYS, "SIGSYS"),
    ]
    .into_iter()
    .chain(linux_only())
}

#[cfg(target_os = "linux")]
fn linux_only() -> impl Iterator<Item = (rustix::process::Signal, &'static str)> {
    use rustix::process::Signal as S;
    // The stack-fault signal does not exist on every architecture; what has no name is shown by
    // its number.
    [(S::POWER, "SIGPWR")].into_iter()
}

#[cfg(all(unix, not(target_os = "linux")))]
fn linux_only() -> impl Iterator<Item = (rustix::process::Signal, &'static str)> {
    std::iter::empty()
}

#[cfg(unix)]
impl From<Signal> for rustix::process::Signal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Hangup => Self::HUP,
            Signal::Interrupt => Self::INT,
            Signal::Quit => Self::QUIT,
            Signal::Kill => Self::KILL,
            Signal::User1 => Self::USR1,
            Signal::User2 => Self::USR2,
            Signal::Terminate => Self::TERM,
            Signal::Continue => Self::CONT,
            Signal::Stop => Self::STOP,
            Signal::WindowChange => Self::WINCH,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_and_without_the_prefix() {
        for signal in Signal::ALL {
            assert_eq!(signal.name().parse(), Ok(signal));
            assert_eq!(signal.name()[3..].parse(), Ok(signal));
        }
        for text in ["", "SIG", "term", "SIGSIGTERM", "15", "SEGV", " TERM"] {
            assert_eq!(text.parse::<Signal>(), Err(UnknownSignal), "{text:?}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn every_number_has_a_name_and_the_name_leads_back() {
        for number in 1..=64 {
            assert_eq!(number_of(&name_of(number)), Some(number), "{number}");
        }
        assert_eq!(name_of(11), "SIGSEGV");
        assert_eq!(name_of(37), "SIGRTMIN+3");
        assert_eq!(name_of(16), "SIG16");
        assert_eq!(number_of("SIGRTMIN+31"), None);
        assert_eq!(number_of("nonsense"), None);
    }
}
