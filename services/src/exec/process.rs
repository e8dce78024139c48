//! Starts commands as processes of the operating system.
//!
//! What happens to them afterwards is the business of the supervisor, a task for each command.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{Access, access};
use rustix::io::Errno;
use tokio::net::unix::pipe;
use tokio::runtime;
use tokio::sync::{mpsc, watch};

use super::command::{Command, has_slash, look_up};
use super::environment::Environment;
use super::exit::Exit;
use super::group::{Group, Leash};
use super::pipes::Pipes;
use super::running::{Control, Running, SignalError, Stdin};
use super::signal::Signal;
use super::spawner::{Setup, SpawnError, SpawnFuture, Spawner};
use super::supervisor::Supervisor;

/// Pieces of output that wait for a slow reader, at most 64 KiB each.
const WAITING_PIECES: usize = 4;

/// Runs commands as processes, each in a group of its own.
///
/// A command gets:
///
/// - **the environment** `PATH`, `HOME` and `PWD` (the working directory), `SHELL`, `LANG=C.UTF-8`,
///   `USER`, `LOGNAME`, what [`variable`](Self::variable) adds, what a request asks for and
///   [`accept_variable`](Self::accept_variable) lets through, and `FRAMEWRIGHT_COMMAND`, a mark by which
///   processes are found that leave the group. Nothing of the server's own environment.
/// - **the descriptors** 0, 1 and 2, provided that the program called
///   [`mark_inherited_descriptors_close_on_exec`](super::mark_inherited_descriptors_close_on_exec) at
///   its start. Without a request for it, standard input is `/dev/null`.
/// - **the folder** given here or in the [`Setup`].
///
/// It runs as the server's own user, with everything that user may do: the choice of the user, and
/// limits on memory and processes, belong around the server.
///
/// A command is ended by `SIGTERM` to its group and, after the grace, `SIGKILL`. The same goes for what
/// it leaves behind, unless that may stay. On Linux that includes processes that moved to another
/// group or session, as long as they kept their environment.
///
/// Needs a tokio runtime with I/O and time. Where the runtime is torn down while commands run, they are
/// killed at once.
#[derive(Debug, Clone)]
pub struct ProcessSpawner {
    working_directory: PathBuf,
    environment: Environment,
}

impl ProcessSpawner {
    /// Runs commands in the given folder, which should be absolute.
    pub fn new(working_directory: impl Into<PathBuf>) -> Self {
        Self {
            working_directory: working_directory.into(),
            environment: Environment::default(),
        }
    }

    /// Sets an environment variable for every command, in place of the usual one of that name.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.fixed.insert(name.into(), value.into());
        self
    }

    /// Lets requests set the environment variable of this name. Think before naming one that changes
    /// what a program does, such as `PATH` or `LD_PRELOAD`.
    #[must_use]
    pub fn accept_variable(mut self, name: impl Into<OsString>) -> Self {
        self.environment.accepted.insert(name.into());
        self
    }

    /// Starts the process. Blocks for about a millisecond.
    fn start(&self, command: Command, setup: &mut Setup) -> Result<Started, SpawnError> {
        command.check()?;
        let folder = match &setup.working_directory {
            Some(folder) => self.working_directory.join(folder),
            None => self.working_directory.clone(),
        };
        check_folder(&folder)?;
        let mark = new_mark();
        let requested = std::mem::take(&mut setup.variables);
        let variables = self.environment.build(&folder, requested, &mark)?;

        let mut child = match &command {
            Command::Arguments { program, arguments } => {
                let mut child = process::Command::new(resolve(program, &folder)?);
                child.arg0(program).args(arguments);
                child
            }
            Command::Shell(line) => {
                let mut child = process::Command::new("/bin/sh");
                // Without the dashes a line that begins with one would be taken for options.
                child.args([OsStr::new("-c"), OsStr::new("--"), line]);
                child
            }
        };
        child
            .env_clear()
            .envs(variables)
            .current_dir(&folder)
            .process_group(0)
            .stdin(if setup.pipe_stdin {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = child
            .spawn()
            .map_err(|error| explain(error, &command, &folder))?;
        Ok(Started {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            leash: Leash::new(Arc::new(Group::new(child, mark))),
        })
    }
}

impl Spawner for ProcessSpawner {
    fn spawn(&self, command: Command, mut setup: Setup) -> SpawnFuture {
        let spawner = self.clone();
        Box::pin(async move {
            let runtime = runtime::Handle::try_current()
                .map_err(|error| SpawnError::Failed(io::Error::other(error)))?;
            // Starting reads the disk and stands still until the program is loaded.
            let start = move || {
                let started = spawner.start(command, &mut setup)?;
                Ok((started, setup))
            };
            let (started, setup) = runtime
                .spawn_blocking(start)
                .await
                .unwrap_or_else(|error| Err(SpawnError::Failed(io::Error::other(error))))?;
            started.supervise(&runtime, setup).map_err(classify)
        })
    }
}

/// A process that nobody watches over yet; dropping it kills the process.
#[derive(Debug)]
struct Started {
    leash: Leash,
    stdin: Option<process::ChildStdin>,
    stdout: Option<process::ChildStdout>,
    stderr: Option<process::ChildStderr>,
}

impl Started {
    fn supervise(self, runtime: &runtime::Handle, setup: Setup) -> io::Result<Running> {
        let stdin = match self.stdin {
            Some(stdin) => Some(Stdin::new(pipe::Sender::from_owned_fd(stdin.into())?)),
            None => None,
        };
        let group = Arc::clone(self.leash.group());
        let (events, receiver) = mpsc::channel(WAITING_PIECES);
        let (kill, asked_to_kill) = watch::channel(None);
        let supervisor = Supervisor {
            exit: Exit::new(Arc::clone(&group))?,
            pipes: Pipes::new(self.stdout, self.stderr, setup.limits.max_output)?,
            leash: self.leash,
            limits: setup.limits,
            events,
            kill: asked_to_kill,
        };
        runtime.spawn(supervisor.run());
        Ok(Running::new(
            receiver,
            Arc::new(Reins { group, kill }),
            stdin,
        ))
    }
}

/// What others may do to a process.
#[derive(Debug)]
struct Reins {
    group: Arc<Group>,
    kill: watch::Sender<Option<String>>,
}

impl Control for Reins {
    fn kill(&self, reason: String) {
        self.kill.send_if_modified(|asked| {
            let is_first = asked.is_none();
            asked.get_or_insert(reason);
            is_first
        });
    }

    fn signal(&self, signal: Signal) -> Result<(), SignalError> {
        self.group.signal(signal.into())
    }

    fn abandon(&self) {
        // At once and not by the supervisor, whose runtime may not run at the moment.
        self.group.terminate();
    }
}

/// A value that no other command has, on this machine and for as long as it runs.
fn new_mark() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    format!(
        "{}-{:x}-{}",
        process::id(),
        now.map_or(0, |now| now.as_nanos()),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

fn check_folder(folder: &Path) -> Result<(), SpawnError> {
    let check = || {
        if !folder.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(access(folder, Access::EXEC_OK)?)
    };
    check().map_err(|source| SpawnError::WorkingDirectory {
        folder: folder.to_owned(),
        source,
    })
}

/// The file to run; whether it can be run turns out when it is.
fn resolve(program: &OsStr, folder: &Path) -> Result<PathBuf, SpawnError> {
    if has_slash(program) {
        return Ok(folder.join(program));
    }
    look_up(program).ok_or_else(|| SpawnError::NotFound {
        program: program.to_owned(),
    })
}

/// Tells apart what the system reports with one number.
fn explain(error: io::Error, command: &Command, folder: &Path) -> SpawnError {
    if let Err(error) = check_folder(folder) {
        // It was there a moment ago.
        return error;
    }
    let program = command.program().to_owned();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
            SpawnError::NotFound { program }
        }
        io::ErrorKind::ArgumentListTooLong => SpawnError::TooLong,
        // An unknown format has no kind of its own.
        kind if kind == io::ErrorKind::PermissionDenied || is_one_of(&error, &[Errno::NOEXEC]) => {
            SpawnError::NotExecutable {
                program,
                source: error,
            }
        }
        _ => classify(error),
    }
}

/// An error of the system, not of the command.
fn classify(error: io::Error) -> SpawnError {
    let exhausted = [Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    if is_one_of(&error, &exhausted) {
        SpawnError::Exhausted(error)
    } else {
        SpawnError::Failed(error)
    }
}

fn is_one_of(error: &io::Error, numbers: &[Errno]) -> bool {
    numbers
        .iter()
        .any(|number| error.raw_os_error() == Some(number.raw_os_error()))
}
