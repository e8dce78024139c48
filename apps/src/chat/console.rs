//! Lines in and lines out, each while the other goes on: at a terminal or in pipes.
//!
//! Messages go to standard output. Notes go to standard error, unless somebody sits at a terminal, where both
//! stand above the line that is being typed.

use std::{
    env,
    fmt::Display,
    io::{self, BufReader, IsTerminal, Write},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustyline::ExternalPrinter;
use tokio::sync::mpsc as channel;

use super::{
    failure::Failure,
    terminal::{self, Restore},
};
use crate::frame::lines::{LineError, Lines};

/// Bytes of a line in a pipe, at most. Longer than any message, so that its size can be told.
const LONGEST: usize = 1024 * 1024;

/// How long the editor has to show what it was given last.
const LAST_LINES: Duration = Duration::from_millis(100);

/// What came in.
#[derive(Debug)]
pub(super) enum Line {
    Text(String),
    /// No line, and why; more may follow.
    Bad(String),
    /// Ctrl-C at the prompt.
    Interrupt,
    End,
    Failed(io::Error),
}

/// Both directions.
pub(super) struct Console {
    prompts: mpsc::Sender<String>,
    lines: channel::Receiver<Line>,
    /// None in pipes.
    printer: Option<mpsc::Sender<String>>,
    _restore: Option<Restore>,
    is_coloured: bool,
    /// A line was asked for and has not come.
    asked: bool,
    /// No more lines will come.
    ended: bool,
}

impl Console {
    pub(super) fn new() -> Result<Self, Failure> {
        let (stdin, stdout) = (io::stdin().is_terminal(), io::stdout().is_terminal());
        let (prompts, asked) = mpsc::channel();
        let (sender, lines) = channel::channel(1);
        let is_terminal = stdin && stdout;
        let (restore, printer) = if is_terminal {
            let restore = Restore::new();
            let printer = terminal::start(asked, sender).map_err(|error| {
                Failure::io("cannot use the terminal", &io::Error::other(error))
            })?;
            (Some(restore), Some(print_apart(printer)))
        } else {
            thread::spawn(move || read_pipe(&asked, &sender));
            (None, None)
        };
        Ok(Self {
            prompts,
            lines,
            printer,
            _restore: restore,
            is_coloured: stdout && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            asked: false,
            ended: false,
        })
    }

    /// Whether somebody sits there.
    pub(super) fn is_terminal(&self) -> bool {
        self.printer.is_some()
    }

    /// Whether no more lines will come.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// The next line. Cancel safe: a line that was asked for comes with the next call.
    pub(super) async fn line(&mut self, prompt: &str) -> Line {
        if self.ended {
            return std::future::pending().await;
        }
        if !self.asked {
            // The thread that is asked lives as long as this, but for a panic.
            self.asked = self.prompts.send(prompt.to_owned()).is_ok();
        }
        let line = self.lines.recv().await.unwrap_or(Line::End);
        self.asked = false;
        self.ended = matches!(line, Line::End | Line::Failed(_));
        line
    }

    /// The text on a blue ground, where there are colours.
    pub(super) fn ground(&self, text: impl Display) -> String {
        if self.is_coloured {
            format!("\x1b[1;44m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }

    /// Shows a line of a message.
    pub(super) fn show(&self, line: impl Display) -> Result<(), Failure> {
        match &self.printer {
            Some(printer) => {
                print_above(printer, &line);
                Ok(())
            }
            None => print(format!("{line}\n").as_bytes()),
        }
    }

    /// Tells something that is no message.
    pub(super) fn note(&self, line: impl Display) {
        match &self.printer {
            Some(printer) => print_above(printer, &line),
            // Nobody is left to tell where this cannot be written.
            None => drop(writeln!(io::stderr(), "{line}")),
        }
    }

    /// Lets what was shown last appear before the program ends.
    pub(super) async fn finish(self) {
        if self.printer.is_some() {
            tokio::time::sleep(LAST_LINES).await;
        }
    }
}

/// Writes to standard output at once.
pub(super) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|error| Failure::io("cannot write to standard output", &error))
}

fn print_above(printer: &mpsc::Sender<String>, line: &dyn Display) {
    // The printing thread lives as long as the sender, but for a panic.
    let _ = printer.send(format!("{line}\n"));
}

/// Prints in a thread of its own: while the editor is busy, printing waits.
fn print_apart(mut printer: impl ExternalPrinter + Send + 'static) -> mpsc::Sender<String> {
    let (sender, lines) = mpsc::channel::<String>();
    thread::spawn(move || {
        for line in lines {
            if printer.print(line).is_err() {
                break;
            }
        }
    });
    sender
}

/// Reads a line of standard input for each that is asked for.
fn read_pipe(asked: &mpsc::Receiver<String>, lines: &channel::Sender<Line>) {
    let mut input = Lines::new(BufReader::new(io::stdin()), LONGEST);
    while asked.recv().is_ok() {
        let line = match input.next() {
            Ok(None) => Line::End,
            Ok(Some(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => Line::Text(text.to_owned()),
                Err(_) => Line::Bad(format!("line {} is not UTF-8", input.number())),
            },
            // Its rest would be taken for lines.
            Err(LineError::TooLong) => Line::Failed(io::Error::other(format!(
                "line {} is over {LONGEST} bytes",
                input.number()
            ))),
            Err(LineError::Io(error)) => Line::Failed(error),
        };
        if lines.blocking_send(line).is_err() {
            break;
        }
    }
}
