//! The seam between those who want a command run and whoever runs it.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use super::command::{Command, CommandError};
use super::running::Running;

/// What [`Spawner::spawn`] returns.
///
/// Dropping it starts nothing, or ends what was already started.
pub type SpawnFuture = Pin<Box<dyn Future<Output = Result<Running, SpawnError>> + Send>>;

/// Starts commands and ends them.
///
/// One that does it with processes is [`ProcessSpawner`](super::ProcessSpawner), one for tests is
/// [`ScriptedSpawner`](super::ScriptedSpawner). Whether somebody may run the command has been decided
/// by the time it comes here.
pub trait Spawner: Send + Sync + 'static {
    /// Starts the command.
    ///
    /// Once this is `Ok`, everything else that can be said about the command comes out of the
    /// [`Running`]; when that is dropped, the command is ended.
    fn spawn(&self, command: Command, setup: Setup) -> SpawnFuture;
}

impl<S: Spawner + ?Sized> Spawner for std::sync::Arc<S> {
    fn spawn(&self, command: Command, setup: Setup) -> SpawnFuture {
        (**self).spawn(command, setup)
    }
}

impl<S: Spawner + ?Sized> Spawner for Box<S> {
    fn spawn(&self, command: Command, setup: Setup) -> SpawnFuture {
        (**self).spawn(command, setup)
    }
}

/// The conditions under which one command runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setup {
    /// How long, how much, and how it is ended.
    pub limits: Limits,
    /// Whether [`Running::take_stdin`] gives a writer. Otherwise standard input is at its end from the
    /// start.
    pub pipe_stdin: bool,
    /// Where the command runs; relative to the spawner's own folder, which is also the default. It is
    /// not confined to anything: a caller that lets a client choose has to check the choice.
    pub working_directory: Option<PathBuf>,
    /// Environment variables somebody asked for. Only names that the spawner accepts arrive; all
    /// others are left out.
    pub variables: Vec<(OsString, OsString)>,
}

impl Setup {
    /// No standard input, no limits, the spawner's folder and environment.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Asks for a writer to the command's standard input.
    #[must_use]
    pub fn pipe_stdin(mut self) -> Self {
        self.pipe_stdin = true;
        self
    }

    /// Sets where the command runs.
    #[must_use]
    pub fn working_directory(mut self, folder: impl Into<PathBuf>) -> Self {
        self.working_directory = Some(folder.into());
        self
    }

    /// Asks for an environment variable.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }
}

/// How long a command may run, how much it may write, and how it is ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// From the start to the first signal; none by default.
    pub timeout: Option<Duration>,
    /// Bytes over standard output and error together; none by default. Exactly so many are handed
    /// out, and only a byte more ends the command.
    pub max_output: Option<u64>,
    /// From the polite signal to the one that cannot be refused; one second by default.
    pub grace: Duration,
    /// Whether processes that the command left behind may live on once it has ended by itself;
    /// by default they are ended as well. A command that is ended takes them along either way.
    pub keep_background: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: None,
            max_output: None,
            grace: Duration::from_secs(1),
            keep_background: false,
        }
    }
}

impl Limits {
    /// No limits, a grace of one second, nothing left behind.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the longest time the command may run.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the most bytes the command may write.
    #[must_use]
    pub fn max_output(mut self, bytes: u64) -> Self {
        self.max_output = Some(bytes);
        self
    }

    /// Sets the time between the polite signal and the other one.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Lets processes live on that the command leaves behind.
    #[must_use]
    pub fn keep_background(mut self) -> Self {
        self.keep_background = true;
        self
    }
}

/// Why a command was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// No operating system could start this.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// An environment variable has an impossible name or a NUL byte in its value.
    #[error("the environment variable {name:?} cannot be set: {fault}")]
    Variable {
        /// Its name.
        name: OsString,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The working directory is missing, is not a folder, or must not be entered.
    #[error("cannot run in the folder {folder:?}: {source}")]
    WorkingDirectory {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no such program, or not the interpreter that its first line names.
    #[error("there is no program `{}`", program.to_string_lossy())]
    NotFound {
        /// What was asked for.
        program: OsString,
    },
    /// The file is there but cannot be run: no permission, a folder, an unknown format.
    #[error("`{}` cannot be run: {source}", program.to_string_lossy())]
    NotExecutable {
        /// What was asked for.
        program: OsString,
        /// What the system says.
        source: io::Error,
    },
    /// The arguments are longer than the system takes: on Linux 128 KiB for one, usually 2 MiB for
    /// all.
    #[error("the command's arguments are longer than the system takes")]
    TooLong,
    /// The system is out of processes, descriptors or memory; the same command may start later.
    #[error("no more commands can be started now: {0}")]
    Exhausted(#[source] io::Error),
    /// Anything else that went wrong.
    #[error("the command could not be started: {0}")]
    Failed(#[source] io::Error),
}

impl SpawnError {
    /// A stable name for machines: `invalid-command`, `invalid-variable`, `working-directory`,
    /// `not-found`, `not-executable`, `too-long`, `exhausted` or `failed`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Command(_) => "invalid-command",
            Self::Variable { .. } => "invalid-variable",
            Self::WorkingDirectory { .. } => "working-directory",
            Self::NotFound { .. } => "not-found",
            Self::NotExecutable { .. } => "not-executable",
            Self::TooLong => "too-long",
            Self::Exhausted(_) => "exhausted",
            Self::Failed(_) => "failed",
        }
    }

    /// What a shell would show: 127 for an unknown program, 126 for one that cannot be run.
    pub const fn shell_status(&self) -> Option<u8> {
        match self {
            Self::NotFound { .. } => Some(127),
            Self::NotExecutable { .. } | Self::TooLong => Some(126),
            _ => None,
        }
    }
}
