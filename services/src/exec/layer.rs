//! The exec service: runs commands for those who may.

use std::{
    ffi::OsString,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use tokio::{io::AsyncWriteExt, task::JoinHandle, time::timeout};
use tracing::Instrument;

use super::{
    Allow, Command, Denied, Ended, Event, Handle as Process, Limits, Outcome, Output, Running,
    Setup, Spawner, Stdin,
};
use crate::{
    Authed, Body, BodyError, Code, FieldError, Fields, Handle, HandleLayer, Part, Request,
    Response, Session, Status, Verb,
    audit::{Audit, AuditEvent, LogAudit},
    login::{Identity, Right},
};

const PROGRAM_NOT_FOUND: Code = Code::from_static("program-not-found");

/// Why a command is ended whose client has asked for it.
const CANCELLED: &str = "cancelled by the client";

/// Why a command is ended whose client has left.
const GONE: &str = "the client is gone";

/// How long the answer waits for the first that the command has to say.
///
/// Most commands have written, or ended, by then: their answer is one write and one wake-up of the
/// client in place of two, which spares 26 microseconds each time. Nobody notices that others are
/// answered so much later.
const FIRST_WORD: Duration = Duration::from_millis(2);

/// Answers [`Verb::EXEC`].
///
/// Arguments: `argv` (a list: the program and what follows it), `shell` (one line for the shell) or
/// `line` (a command line, run by the shell if the identity may have that, and otherwise split into
/// words as a shell would, without anything else that a shell does); `timeout` (seconds, may be a fraction), which can shorten the server's limit; `stdin`, whether
/// the request's body is the command's standard input (otherwise that is at its end from the start,
/// and the body holds controls only).
///
/// A right decides: with `exec` one may run the programs of the [`Allow`] list by argument vector;
/// with `shell`, where the server has it [enabled](Self::shell), any program and any line.
///
/// The response's body has the output as it comes, and ends with the outcome: `outcome` (`exit`,
/// `signal`, `timed-out`, `output-cap`, `killed`), `code` or `detail`, and `held_output` if something
/// in the background still held the output. Controls in the request's body: `signal` with a name
/// such as `INT`, for the command's whole process group; `cancel`.
///
/// When the peer hangs up, the command is ended; also while it does not read its standard input, as
/// far as the hang-up can be seen. It cannot while more bytes stand in front of it than are read
/// ahead (a few parts), so give commands a time limit.
#[derive(Clone)]
pub struct Exec {
    spawner: Arc<dyn Spawner>,
    allow: Arc<Allow>,
    shell: bool,
    limits: Limits,
    audit: Arc<dyn Audit>,
}

impl Exec {
    /// Runs what `allow` lists, by `spawner`, without limits.
    pub fn new(spawner: impl Spawner, allow: Allow) -> Self {
        Self {
            spawner: Arc::new(spawner),
            allow: Arc::new(allow),
            shell: false,
            limits: Limits::new(),
            audit: Arc::new(LogAudit),
        }
    }

    /// Lets those with the right `shell` run anything (`false`).
    #[must_use]
    pub fn shell(mut self, enabled: bool) -> Self {
        self.shell = enabled;
        self
    }

    /// Sets the limits of every command.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets where starts and ends are noted (the log).
    #[must_use]
    pub fn audit(mut self, audit: Arc<dyn Audit>) -> Self {
        self.audit = audit;
        self
    }

    /// The service as a layer.
    pub fn into_layer(self) -> HandleLayer<Self> {
        HandleLayer::new(self)
    }

    /// The command that a request asks for, if its identity may run it.
    fn authorize(&self, asked: Asked, identity: &Identity) -> Result<Command, Status> {
        let anything = self.shell && identity.rights.contains(Right::Shell);
        match asked {
            Asked::Line(line) if anything => Ok(Command::shell(line)),
            Asked::Line(_) if self.shell => {
                Err(not_allowed("a shell line needs the right `shell`"))
            }
            Asked::Line(_) => Err(not_allowed("shell lines are switched off on this server")),
            Asked::Either(line) if anything => Ok(Command::shell(line)),
            Asked::Either(line) => self.authorize(split(&line)?, identity),
            Asked::Vector(program, arguments) if anything => {
                Ok(Command::arguments(program, arguments))
            }
            Asked::Vector(..) if !identity.rights.contains(Right::Exec) => {
                Err(not_allowed("running a program needs the right `exec`"))
            }
            Asked::Vector(program, arguments) => {
                let path = self.allow.check(&program).map_err(refused)?;
                Ok(Command::arguments(path, arguments))
            }
        }
    }

    async fn run(self, Authed { request, identity }: Authed<Request>) -> Result<Response, Status> {
        let arguments = Arguments::read(&request.arguments)?;
        let subject = arguments.asked.to_string();
        let record = Record {
            audit: self.audit.clone(),
            session: request.session.clone(),
            who: identity.name.clone(),
            subject,
        };
        let command = self
            .authorize(arguments.asked, &identity)
            .inspect_err(|status| {
                record.note("exec", status.code().as_str());
            })?;
        let mut limits = self.limits.clone();
        if let Some(asked) = arguments.timeout {
            limits.timeout = Some(limits.timeout.map_or(asked, |limit| limit.min(asked)));
        }
        let mut setup = Setup::new().limits(limits);
        if arguments.stdin {
            setup = setup.pipe_stdin();
        }
        let mut running = self.spawner.spawn(command, setup).await.map_err(|error| {
            record.note("exec", error.kind());
            let code = match error.kind() {
                "exhausted" => Code::BUSY,
                "not-found" => PROGRAM_NOT_FOUND,
                "invalid-command" | "too-long" => Code::BAD_REQUEST,
                _ => Code::from_static("cannot-run"),
            };
            Status::new(code, error.to_string())
        })?;
        record.note("exec", "started");
        let stdin = running.take_stdin();
        let attendant = attend(request.body, stdin, running.handle(), request.session);
        let mut output = OutputStream {
            running,
            first: None,
            attendant: tokio::spawn(attendant.in_current_span()),
            record: Some(record),
        };
        let first = timeout(FIRST_WORD, output.running.next()).await;
        output.first = first.ok().flatten();
        Ok(Response::ok().with_body(Body::from_stream(output)))
    }
}

impl Handle<Authed<Request>> for Exec {
    fn takes(&self, verb: &Verb) -> bool {
        *verb == Verb::EXEC
    }

    async fn handle(self, request: Authed<Request>) -> Response {
        self.run(request).await.unwrap_or_else(Response::from)
    }
}

impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec")
            .field("allow", &self.allow)
            .field("shell", &self.shell)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

fn refused(denied: Denied) -> Status {
    match denied {
        Denied::NotListed { program } => {
            let program = program.to_string_lossy();
            not_allowed(format!(
                "the program `{program}` is not on this server's list"
            ))
        }
        Denied::NotInstalled { program } => {
            let program = program.to_string_lossy();
            let sentence = format!("the program `{program}` is not installed here");
            Status::new(PROGRAM_NOT_FOUND, sentence)
        }
    }
}

fn not_allowed(sentence: impl Into<std::borrow::Cow<'static, str>>) -> Status {
    Status::new(Code::NOT_ALLOWED, sentence)
}

/// What a request asks to be run.
enum Asked {
    Vector(OsString, Vec<OsString>),
    Line(OsString),
    /// A line for the shell, or else words for a program.
    Either(String),
}

/// The words of a line, by the quoting of shells.
fn split(line: &str) -> Result<Asked, Status> {
    let wrong = |sentence| Status::new(Code::BAD_REQUEST, sentence);
    let words = shlex::split(line)
        .ok_or_else(|| wrong("a quotation mark or a backslash of the line has no counterpart"))?;
    let mut words = words.into_iter().map(OsString::from);
    let program = words
        .next()
        .ok_or_else(|| wrong("the line names no program"))?;
    Ok(Asked::Vector(program, words.collect()))
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => f.write_str(&line.to_string_lossy()),
            Self::Either(line) => f.write_str(line),
            Self::Vector(program, arguments) => {
                f.write_str(&program.to_string_lossy())?;
                arguments
                    .iter()
                    .try_for_each(|word| write!(f, " {}", word.to_string_lossy()))
            }
        }
    }
}

struct Arguments {
    asked: Asked,
    timeout: Option<Duration>,
    stdin: bool,
}

impl Arguments {
    fn read(fields: &Fields) -> Result<Self, Status> {
        fields.only(&["argv", "shell", "line", "timeout", "stdin"])?;
        let vector: Option<Vec<String>> = fields.get("argv")?;
        let shell: Option<String> = fields.get("shell")?;
        let line: Option<String> = fields.get("line")?;
        let asked = match (vector, shell, line) {
            (Some(vector), None, None) => {
                let mut words = vector.into_iter().map(OsString::from);
                let program = words.next().ok_or_else(|| FieldError::Mistyped {
                    name: "argv".to_owned(),
                    reason: "it names no program".to_owned(),
                })?;
                Asked::Vector(program, words.collect())
            }
            (None, Some(line), None) => Asked::Line(line.into()),
            (None, None, Some(line)) => Asked::Either(line),
            _ => {
                let sentence = "one of `argv`, `shell` and `line` must be given, and no other";
                return Err(Status::new(Code::BAD_REQUEST, sentence));
            }
        };
        let timeout: Option<f64> = fields.get("timeout")?;
        let timeout = timeout
            .map(Duration::try_from_secs_f64)
            .transpose()
            .map_err(|error| {
                Status::new(
                    Code::BAD_REQUEST,
                    format!("`timeout` is no number of seconds: {error}"),
                )
            })?;
        Ok(Self {
            asked,
            timeout,
            stdin: fields.get("stdin")?.unwrap_or(false),
        })
    }
}

/// Carries the request's body to the command, and ends the command when the peer hangs up.
///
/// It goes on whether or not anybody reads the command's output.
async fn attend(body: Body, stdin: Option<Stdin>, process: Process, session: Session) {
    tokio::select! {
        biased;
        () = session.hung_up() => {}
        () = feed(body, stdin, &process) => session.hung_up().await,
    }
    process.kill(GONE);
}

/// Carries the request's body to the command: standard input and controls.
///
/// Writes and reads on at once: a control behind bytes that the command does not read is still
/// obeyed, as long as no more than one part stands between them.
async fn feed(mut body: Body, stdin: Option<Stdin>, process: &Process) {
    let mut input = Input {
        stdin,
        writing: Bytes::new(),
        held: None,
    };
    let mut has_ended = false;
    while input.is_writing() || !has_ended {
        let part = tokio::select! {
            biased;
            part = body.next(), if !has_ended && input.held.is_none() => part,
            () = input.write(), if input.is_writing() => continue,
        };
        match part {
            Some(Ok(Part::Data(bytes))) => input.push(bytes),
            Some(Ok(Part::Control(fields))) => control(&fields, process),
            Some(Ok(Part::End(_))) | None => has_ended = true,
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                process.kill(match error {
                    BodyError::Aborted(_) => CANCELLED,
                    _ => GONE,
                });
                return;
            }
        }
    }
    if let Some(mut stdin) = input.stdin {
        // A command that has closed it already needs no end of it.
        let _ = stdin.shutdown().await;
    }
}

/// A command's standard input with what waits for the command to read.
struct Input {
    /// None without one, and once nobody reads it.
    stdin: Option<Stdin>,
    writing: Bytes,
    /// Comes after what is being written.
    held: Option<Bytes>,
}

impl Input {
    fn is_writing(&self) -> bool {
        !self.writing.is_empty()
    }

    fn push(&mut self, bytes: Bytes) {
        if self.stdin.is_none() || bytes.is_empty() {
            return;
        }
        if self.is_writing() {
            self.held = Some(bytes);
        } else {
            self.writing = bytes;
        }
    }

    /// Writes some of it. Cancel safe: what is not written still waits.
    async fn write(&mut self) {
        let Some(stdin) = &mut self.stdin else {
            return;
        };
        let written = stdin.write_buf(&mut self.writing).await;
        if written.is_err() || !stdin.is_open() {
            // A command that closes its standard input, or ends, need not read it all.
            *self = Self {
                stdin: None,
                writing: Bytes::new(),
                held: None,
            };
        } else if self.writing.is_empty() {
            self.writing = self.held.take().unwrap_or_default();
        }
    }
}

fn control(fields: &Fields, process: &Process) {
    if fields.get("cancel") == Ok(Some(true)) {
        process.kill(CANCELLED);
    }
    if let Ok(Some(name)) = fields.get::<String>("signal") {
        // An unknown name, or a command that has ended: there is nobody to tell but the log.
        match name.parse() {
            Ok(signal) => {
                if let Err(error) = process.signal(signal) {
                    tracing::debug!(%error, "a signal was not sent");
                }
            }
            Err(_) => tracing::debug!("a client asked for an unknown signal"),
        }
    }
}

/// Notes the start and the end of one command.
struct Record {
    audit: Arc<dyn Audit>,
    session: Session,
    who: String,
    subject: String,
}

impl Record {
    fn note(&self, action: &'static str, outcome: &str) {
        self.audit.record(AuditEvent::new(
            &self.session,
            &self.who,
            action,
            &self.subject,
            outcome,
        ));
    }
}

/// The response's body: the command's output, then its outcome. Dropping it ends the command.
struct OutputStream {
    running: Running,
    /// What came before the answer was given.
    first: Option<Event>,
    /// Sees to standard input, controls, and a peer that hangs up.
    attendant: JoinHandle<()>,
    /// Until the end has been noted.
    record: Option<Record>,
}

impl Stream for OutputStream {
    type Item = Result<Part, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = match self.first.take() {
            Some(event) => Poll::Ready(Some(event)),
            None => self.running.poll_next(cx),
        };
        event.map(|event| {
            Some(Ok(match event? {
                Event::Output(Output::Stdout(bytes)) => Part::Stdout(bytes),
                Event::Output(Output::Stderr(bytes)) => Part::Stderr(bytes),
                Event::Ended(ended) => {
                    if let Some(record) = self.record.take() {
                        record.note("exec-end", &ended.outcome.to_string());
                    }
                    Part::End(trailer(&ended))
                }
            }))
        })
    }
}

impl Drop for OutputStream {
    fn drop(&mut self) {
        self.attendant.abort();
        if let Some(record) = self.record.take() {
            record.note("exec-end", Outcome::ConnectionLost.kind());
        }
    }
}

fn trailer(ended: &Ended) -> Fields {
    let mut trailer = Fields::new().with("outcome", ended.outcome.kind());
    if let Some(code) = ended.outcome.code() {
        trailer.set("code", code);
    }
    if let Some(detail) = ended.outcome.detail() {
        trailer.set("detail", detail);
    }
    if ended.held_output {
        trailer.set("held_output", true);
    }
    trailer
}
