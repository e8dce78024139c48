//! Runs a command on the server as if it were here: standard input in, output and status out.

use std::{collections::VecDeque, future::pending, io};

use rustix::fs::{FileType, fstat, stat};
use serde_json::{Map, Value};
use services::{
    Unread,
    client::{Client, ClientError, Command, Exec, ExecInput},
    escape::escaped,
    exec::{Ended, Event, Outcome, Output as Piece, Signal},
};
use tokio::{
    io::{AsyncReadExt, stdin},
    task::{JoinHandle, JoinSet},
};

use super::{
    cli::ExecArgs,
    connect::Target,
    exit::{Exit, Failure, of_outcome},
    hex,
    interrupt::{Interrupt, Interrupts},
    output::Output,
    printer::Printer,
};

/// Bytes of standard input read at once.
const READ: usize = 64 * 1024;

/// Bytes of each stream that a JSON object holds at most.
const MOST_COLLECTED: usize = 64 * 1024 * 1024;

/// Bytes of output taken in after each Ctrl-C, though nobody takes them from us: a server that cannot
/// get rid of output does not look at signals either. More than the buffers on the way hold.
const EXTRA_OUTPUT: usize = 16 * 1024 * 1024;

/// Whether standard input goes to the command: not if it is the null device, so that a command
/// without input can still be sent signals; and not unasked where commands have none.
pub(super) fn forwards_stdin(args: &ExecArgs, target: &Target) -> bool {
    args.stdin || (!args.no_stdin && target.has_stdin() && !is_null(io::stdin()))
}

fn is_null(file: impl std::os::fd::AsFd) -> bool {
    match (fstat(file), stat("/dev/null")) {
        (Ok(file), Ok(null)) => {
            FileType::from_raw_mode(file.st_mode) == FileType::CharacterDevice
                && file.st_rdev == null.st_rdev
        }
        _ => false,
    }
}

/// Runs the command to its end and gives the exit code that says how it ended.
pub(super) async fn run(
    client: &mut Client,
    args: &ExecArgs,
    forward_stdin: bool,
    output: Output,
    interrupts: &mut Interrupts,
) -> Result<u8, Failure> {
    let mut command = match &args.shell {
        Some(line) => Command::shell(line),
        None => Command::program(args.program.iter().cloned()),
    };
    if let Some(limit) = args.timeout {
        command = command.timeout(limit);
    }
    if forward_stdin {
        command = command.stdin();
    }
    let start = async { client.exec(command).await.map_err(Failure::from) };
    let mut exec = interrupts.unless(start).await?;
    let mut beside = Beside::new(exec.input(), forward_stdin, interrupts);
    let (ended, collected) = if output.is_json() {
        let mut collected = Collected::default();
        let ended = collect(&mut exec, &mut collected, &mut beside).await?;
        (ended, Some(collected))
    } else {
        let printer = Printer::new(args.raw);
        (print(&mut exec, printer, &mut beside).await?, None)
    };
    let code = match ended.outcome {
        // The server says why it ended the command: because we wanted it.
        Outcome::Killed(_) if beside.presses > 0 => Exit::INTERRUPTED,
        _ => of_outcome(&ended.outcome),
    };
    if let Some(collected) = collected {
        output.show(describe(&ended, collected), "").await?;
    } else if ended.outcome.code().is_none() {
        let outcome = ended.outcome.to_string();
        output.note(format_args!("frame: the command {}", said(&outcome)));
    }
    Ok(code)
}

/// `ended by SIGKILL` as the rest of a sentence about the command.
fn said(outcome: &str) -> String {
    let outcome = escaped(outcome).limit(1024).to_string();
    match outcome.strip_prefix("unknown: ") {
        Some(why) => format!("may have ended or not: {why}"),
        None => format!("was {outcome}"),
    }
}

/// Hands the output to `printer` until the end, and waits until all of it is written.
async fn print(
    exec: &mut Exec<'_>,
    printer: Printer,
    beside: &mut Beside<'_>,
) -> Result<Ended, Failure> {
    let mut held: VecDeque<Piece> = VecDeque::new();
    let mut held_bytes = 0;
    let mut end: Option<Result<Ended, ClientError>> = None;
    while end.is_none() || !held.is_empty() {
        let extra = beside.presses.saturating_mul(EXTRA_OUTPUT);
        let more = end.is_none() && (held.is_empty() || held_bytes < extra);
        tokio::select! {
            biased;
            happened = beside.next() => happened?,
            room = printer.room(), if !held.is_empty() => match (room, held.pop_front()) {
                (Ok(room), Some(piece)) => {
                    held_bytes -= piece.bytes().len();
                    room.send(piece);
                }
                _ => break,
            },
            event = next(exec), if more => match event {
                Ok(Event::Output(piece)) => {
                    held_bytes += piece.bytes().len();
                    held.push_back(piece);
                }
                Ok(Event::Ended(ended)) => end = Some(Ok(ended)),
                Err(error) => end = Some(Err(error)),
            },
        }
    }
    beside.interrupts.unless(printer.finish()).await?;
    // Without an end the printer has failed, and has just said so.
    Ok(end.unwrap_or(Ok(Ended::new(Outcome::ConnectionLost)))?)
}

/// Keeps the output until the end.
async fn collect(
    exec: &mut Exec<'_>,
    collected: &mut Collected,
    beside: &mut Beside<'_>,
) -> Result<Ended, Failure> {
    loop {
        tokio::select! {
            biased;
            happened = beside.next() => happened?,
            event = next(exec) => match event? {
                Event::Output(piece) => collected.add(&piece),
                Event::Ended(ended) => return Ok(ended),
            },
        }
    }
}

async fn next(exec: &mut Exec<'_>) -> Result<Event, ClientError> {
    exec.next()
        .await
        .unwrap_or(Ok(Event::Ended(Ended::new(Outcome::ConnectionLost))))
}

/// What goes on beside the output: standard input to the command, and signals.
struct Beside<'a> {
    input: ExecInput,
    feeding: Option<JoinHandle<io::Result<()>>>,
    /// Signals on their way to the command.
    controls: JoinSet<Result<(), Unread>>,
    /// How often Ctrl-C was pressed.
    presses: usize,
    interrupts: &'a mut Interrupts,
}

impl<'a> Beside<'a> {
    fn new(input: ExecInput, forward_stdin: bool, interrupts: &'a mut Interrupts) -> Self {
        Self {
            feeding: forward_stdin.then(|| tokio::spawn(feed(input.clone()))),
            input,
            controls: JoinSet::new(),
            presses: 0,
            interrupts,
        }
    }

    /// The next thing that happens; an error ends the whole. Cancel safe.
    async fn next(&mut self) -> Result<(), Failure> {
        let fed = async {
            match &mut self.feeding {
                Some(feeding) => feeding.await,
                None => pending().await,
            }
        };
        tokio::select! {
            which = self.interrupts.next() => self.interrupted(which),
            Some(sent) = self.controls.join_next() => match sent {
                Ok(Ok(())) => Ok(()),
                // After the end of standard input nothing can be said any more but good-bye.
                _ => Err(Interrupt::Interrupt.into()),
            },
            result = fed => {
                self.feeding = None;
                match result {
                    Ok(Err(error)) => Err(Failure::input("standard input", &error)),
                    _ => Ok(()),
                }
            }
        }
    }

    fn interrupted(&mut self, which: Interrupt) -> Result<(), Failure> {
        self.presses += 1;
        let mut input = self.input.clone();
        match (which, self.presses) {
            (Interrupt::Interrupt, 1) => {
                self.controls
                    .spawn(async move { input.signal(Signal::Interrupt).await });
            }
            (Interrupt::Interrupt, 2) => {
                self.controls.spawn(async move { input.cancel().await });
            }
            // The server ends a command whose client is gone.
            _ => return Err(which.into()),
        }
        Ok(())
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        if let Some(feeding) = &self.feeding {
            feeding.abort();
        }
    }
}

/// Carries standard input to the command, until either has enough.
async fn feed(mut input: ExecInput) -> io::Result<()> {
    let mut stdin = stdin();
    let mut buffer = vec![0; READ];
    loop {
        let count = stdin.read(&mut buffer).await?;
        let sent = match count {
            0 => input.close().await,
            count => input.write(buffer[..count].to_vec()).await,
        };
        if count == 0 || sent.is_err() {
            return Ok(());
        }
    }
}

/// A command's output for the JSON object.
#[derive(Default)]
struct Collected {
    stdout: Stream,
    stderr: Stream,
}

#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    cut: bool,
}

impl Collected {
    fn add(&mut self, piece: &Piece) {
        match piece {
            Piece::Stdout(bytes) => self.stdout.add(bytes),
            Piece::Stderr(bytes) => self.stderr.add(bytes),
        }
    }
}

impl Stream {
    fn add(&mut self, bytes: &[u8]) {
        let room = MOST_COLLECTED - self.bytes.len();
        self.cut |= bytes.len() > room;
        self.bytes
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// As text where it is text, otherwise as hex under another key.
    fn describe(self, key: &str, object: &mut Map<String, Value>) {
        match String::from_utf8(self.bytes) {
            Ok(text) => object.insert(key.to_owned(), text.into()),
            Err(error) => object.insert(format!("{key}_hex"), hex::string(error.as_bytes()).into()),
        };
        if self.cut {
            object.insert(format!("{key}_cut"), true.into());
        }
    }
}

fn describe(ended: &Ended, collected: Collected) -> Value {
    let mut object = Map::new();
    object.insert("outcome".to_owned(), ended.outcome.kind().into());
    if let Some(code) = ended.outcome.code() {
        object.insert("code".to_owned(), code.into());
    }
    if let Some(detail) = ended.outcome.detail() {
        object.insert("detail".to_owned(), detail.into());
    }
    if ended.held_output {
        object.insert("held_output".to_owned(), true.into());
    }
    collected.stdout.describe("stdout", &mut object);
    collected.stderr.describe("stderr", &mut object);
    object.into()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn the_null_device_is_known() {
        assert!(is_null(File::open("/dev/null").unwrap()));
        assert!(!is_null(File::open("/dev/zero").unwrap()));
        assert!(!is_null(tempfile::tempfile().unwrap()));
    }

    #[test]
    fn outcomes_make_sentences() {
        let said = |outcome: Outcome| said(&outcome.to_string());
        assert_eq!(said(Outcome::TimedOut), "was ended by the time limit");
        assert_eq!(
            said(Outcome::Killed("no\u{1b}".into())),
            r"was ended: no\u{1b}"
        );
        assert_eq!(
            said(Outcome::ConnectionLost),
            "may have ended or not: the connection was lost"
        );
    }

    #[test]
    fn output_that_is_no_text_is_hex() {
        let mut collected = Collected::default();
        collected.add(&Piece::Stdout(vec![0xff, 0].into()));
        collected.add(&Piece::Stderr("é".into()));
        let object = describe(&Ended::new(Outcome::Exit(77)), collected);
        assert_eq!(
            object,
            serde_json::json!({ "outcome": "exit", "code": 77, "stdout_hex": "ff00", "stderr": "é" })
        );
    }
}
