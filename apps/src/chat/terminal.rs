//! A line editor in a thread of its own, and a printer that does not tear the line being typed.

use std::{io, sync::mpsc, thread};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::{Config, Editor, ExternalPrinter, error::ReadlineError, history::MemHistory};
use tokio::sync::mpsc as channel;

use super::console::Line;

/// Restores the terminal, whatever the editor was doing when the program ends.
pub(super) struct Restore(Option<Termios>);

impl Restore {
    /// Keeps the modes of standard input.
    pub(super) fn new() -> Self {
        Self(tcgetattr(io::stdin()).ok())
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        if let Some(modes) = &self.0 {
            // If the terminal is gone there is nothing to restore.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
        }
    }
}

/// Starts the editor. It reads a line for each prompt that it is given.
pub(super) fn start(
    prompts: mpsc::Receiver<String>,
    lines: channel::Sender<Line>,
) -> rustyline::Result<impl ExternalPrinter + Send + use<>> {
    // A pasted text is lines like those that are typed.
    let config = Config::builder().bracketed_paste(false).build();
    let mut editor = Editor::<(), MemHistory>::with_history(config, MemHistory::new())?;
    let printer = editor.create_external_printer()?;
    thread::spawn(move || {
        for prompt in prompts {
            let line = match editor.readline(&prompt) {
                Ok(line) => {
                    // A history that is full forgets the oldest.
                    let _ = editor.add_history_entry(line.as_str());
                    Line::Text(line)
                }
                Err(ReadlineError::Interrupted) => Line::Interrupt,
                Err(ReadlineError::Eof) => Line::End,
                Err(error) => Line::Failed(io::Error::other(error)),
            };
            if lines.blocking_send(line).is_err() {
                break;
            }
        }
    });
    Ok(printer)
}
