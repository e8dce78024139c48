//! Plays back commands from a script, for tests of what stands around a spawner.
//!
//! Limits, kills and the end by drop work as they do with processes; allow-lists, folders and
//! environments are only written down.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::future::pending;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::command::Command;
use super::meter::Meter;
use super::outcome::{Ended, Event, Outcome, Output};
use super::running::{Control, Running, SignalError, Stdin};
use super::script::{Script, Step};
use super::signal::Signal;
use super::spawner::{Setup, SpawnError, SpawnFuture, Spawner};

/// Pieces of output that wait for a slow reader, as with processes.
const WAITING_PIECES: usize = 4;
/// Bytes of input that wait for the script to read them, and of one piece of output.
const PIPE: usize = 64 * 1024;

/// A [`Spawner`] that starts nothing and plays a [`Script`] for each program it knows.
///
/// Clones share their scripts and records. Programs are known by the name asked for or by the last
/// part of a path; shell lines by the whole line. Anything else is
/// [`SpawnError::NotFound`]. Needs a tokio runtime, and time where a script pauses or a limit is set.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use services::exec::{Command, Event, Output, Script, ScriptedSpawner, Setup, Spawner};
///
/// let spawner = ScriptedSpawner::new().program("uname", Script::new().stdout("Linux\n"));
/// let command = Command::arguments("/usr/bin/uname", ["-s"]);
/// let mut running = spawner.spawn(command.clone(), Setup::new()).await?;
///
/// let first = running.next().await;
/// assert_eq!(first, Some(Event::Output(Output::Stdout("Linux\n".into()))));
/// assert_eq!(spawner.runs()[0].command, command);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct ScriptedSpawner {
    programs: HashMap<OsString, Answer>,
    lines: HashMap<OsString, Answer>,
    runs: Arc<Mutex<Vec<Run>>>,
}

#[derive(Clone)]
enum Answer {
    Plays(Script),
    Refuses(Arc<dyn Fn() -> SpawnError + Send + Sync>),
}

impl ScriptedSpawner {
    /// One that knows no program.
    pub fn new() -> Self {
        Self::default()
    }

    /// Plays the script for a program, whatever its arguments.
    #[must_use]
    pub fn program(mut self, name: impl Into<OsString>, script: Script) -> Self {
        self.programs.insert(name.into(), Answer::Plays(script));
        self
    }

    /// Plays the script for a shell line.
    #[must_use]
    pub fn shell(mut self, line: impl Into<OsString>, script: Script) -> Self {
        self.lines.insert(line.into(), Answer::Plays(script));
        self
    }

    /// Refuses to start a program, with the error that the function makes.
    #[must_use]
    pub fn refuse(
        mut self,
        name: impl Into<OsString>,
        error: impl Fn() -> SpawnError + Send + Sync + 'static,
    ) -> Self {
        self.programs
            .insert(name.into(), Answer::Refuses(Arc::new(error)));
        self
    }

    /// What was started so far, in order, as far as it has come.
    pub fn runs(&self) -> Vec<Run> {
        lock(&self.runs).clone()
    }

    fn find(&self, command: &Command) -> Option<&Answer> {
        match command {
            Command::Shell(line) => self.lines.get(line),
            Command::Arguments { program, .. } => {
                let last = Path::new(program).file_name().unwrap_or(program);
                let known = self.programs.get(program);
                known.or_else(|| self.programs.get(last))
            }
        }
    }
}

impl Spawner for ScriptedSpawner {
    fn spawn(&self, command: Command, setup: Setup) -> SpawnFuture {
        let result = self.start(command, setup);
        Box::pin(std::future::ready(result))
    }
}

impl ScriptedSpawner {
    fn start(&self, command: Command, setup: Setup) -> Result<Running, SpawnError> {
        command.check()?;
        let script = match self.find(&command) {
            Some(Answer::Plays(script)) => script.clone(),
            Some(Answer::Refuses(error)) => return Err(error()),
            None => {
                return Err(SpawnError::NotFound {
                    program: command.program().to_owned(),
                });
            }
        };
        let (stdin, input) = if setup.pipe_stdin {
            let (near, far) = tokio::io::duplex(PIPE);
            (Some(Stdin::new(near)), Some(far))
        } else {
            (None, None)
        };
        let limits = setup.limits.clone();
        let record = {
            let mut runs = lock(&self.runs);
            runs.push(Run::new(command, setup));
            Record {
                runs: Arc::clone(&self.runs),
                index: runs.len() - 1,
            }
        };
        let (events, receiver) = mpsc::channel(WAITING_PIECES);
        let (end, asked_to_end) = watch::channel(None);
        let control = Scripted {
            end,
            immune: script.immune.clone(),
            record: record.clone(),
        };
        let player = Player {
            events,
            input,
            record,
            meter: Meter::new(limits.max_output),
        };
        tokio::spawn(player.run(script, limits.timeout, asked_to_end));
        Ok(Running::new(receiver, Arc::new(control), stdin))
    }
}

impl fmt::Debug for ScriptedSpawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedSpawner")
            .field("programs", &self.programs.keys())
            .field("lines", &self.lines.keys())
            .finish_non_exhaustive()
    }
}

/// The record of a command that was started.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Run {
    /// What was asked for.
    pub command: Command,
    /// Under which conditions.
    pub setup: Setup,
    /// What the script has read of its standard input.
    pub stdin: Vec<u8>,
    /// Signals that were sent, in order, also those that did nothing.
    pub signals: Vec<Signal>,
    /// How it ended, whether or not anybody was told; `None` while it runs.
    pub outcome: Option<Outcome>,
    /// Whether its [`Running`] was dropped before the end was read.
    pub was_abandoned: bool,
}

impl Run {
    fn new(command: Command, setup: Setup) -> Self {
        Self {
            command,
            setup,
            stdin: Vec::new(),
            signals: Vec::new(),
            outcome: None,
            was_abandoned: false,
        }
    }
}

/// A hold on one entry of the records.
#[derive(Debug, Clone)]
struct Record {
    runs: Arc<Mutex<Vec<Run>>>,
    index: usize,
}

impl Record {
    fn change<T>(&self, change: impl FnOnce(&mut Run) -> T) -> T {
        // Nothing is ever taken out of the list.
        change(&mut lock(&self.runs)[self.index])
    }
}

/// What others may do to a script.
struct Scripted {
    end: watch::Sender<Option<Outcome>>,
    immune: Vec<Signal>,
    record: Record,
}

impl Scripted {
    fn end(&self, outcome: Outcome) {
        self.end.send_if_modified(|end| {
            let is_first = end.is_none();
            end.get_or_insert(outcome);
            is_first
        });
    }
}

impl Control for Scripted {
    fn kill(&self, reason: String) {
        self.end(Outcome::Killed(reason));
    }

    fn signal(&self, signal: Signal) -> Result<(), SignalError> {
        self.record.change(|run| {
            if run.outcome.is_some() {
                return Err(SignalError::Ended);
            }
            run.signals.push(signal);
            Ok(())
        })?;
        if signal.ends() && !self.immune.contains(&signal) {
            self.end(Outcome::Signal(signal.name().to_owned()));
        }
        Ok(())
    }

    fn abandon(&self) {
        self.record.change(|run| run.was_abandoned = true);
        self.end(Outcome::Killed("nobody waited for it any more".to_owned()));
    }
}

/// Plays one script.
struct Player {
    events: mpsc::Sender<Event>,
    input: Option<DuplexStream>,
    record: Record,
    meter: Meter,
}

impl Player {
    async fn run(
        mut self,
        script: Script,
        timeout: Option<Duration>,
        mut asked_to_end: watch::Receiver<Option<Outcome>>,
    ) {
        let end = async {
            let asked = asked_to_end.wait_for(Option::is_some).await;
            let outcome = asked.ok().and_then(|outcome| outcome.clone());
            match outcome {
                Some(outcome) => outcome,
                None => pending().await,
            }
        };
        let time_is_up = async {
            match timeout {
                Some(timeout) => sleep(timeout).await,
                None => pending().await,
            }
        };
        let outcome = tokio::select! {
            biased;
            outcome = end => outcome,
            () = time_is_up => Outcome::TimedOut,
            outcome = self.play(&script) => outcome,
        };
        self.record
            .change(|run| run.outcome = Some(outcome.clone()));
        let mut ended = Ended::new(outcome);
        ended.held_output = script.held_output;
        ended.output_bytes = self.meter.passed();
        // Nobody may be left to hear it.
        let _ = self.events.send(Event::Ended(ended)).await;
    }

    async fn play(&mut self, script: &Script) -> Outcome {
        for step in &script.steps {
            match step {
                Step::Write(output) => self.write(output).await,
                Step::Pause(time) => sleep(*time).await,
                Step::Copy => self.read(true).await,
                Step::Swallow => self.read(false).await,
                Step::Hang => pending().await,
            }
            if self.meter.is_exceeded() {
                return Outcome::OutputCap;
            }
        }
        script.outcome.clone()
    }

    async fn write(&mut self, output: &Output) {
        for piece in output.bytes().chunks(PIPE) {
            // Room first: a piece that is counted is also handed out, whenever the script is ended.
            let Ok(room) = self.events.reserve().await else {
                return pending().await;
            };
            let admitted = self.meter.admit(piece.len());
            let bytes = Bytes::copy_from_slice(&piece[..admitted]);
            if !bytes.is_empty() {
                room.send(Event::Output(match output {
                    Output::Stdout(_) => Output::Stdout(bytes),
                    Output::Stderr(_) => Output::Stderr(bytes),
                }));
            }
            if self.meter.is_exceeded() {
                return;
            }
        }
    }

    async fn read(&mut self, copy: bool) {
        let mut piece = vec![0; PIPE];
        while let Some(input) = &mut self.input {
            // A pipe in memory fails only by ending.
            let length = input.read(&mut piece).await.unwrap_or(0);
            if length == 0 {
                return;
            }
            self.record
                .change(|run| run.stdin.extend_from_slice(&piece[..length]));
            if copy {
                let bytes = Bytes::copy_from_slice(&piece[..length]);
                self.write(&Output::Stdout(bytes)).await;
                if self.meter.is_exceeded() {
                    return;
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
