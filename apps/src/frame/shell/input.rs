//! Where the shell's lines come from: a terminal with a line editor, or a pipe.

use std::{
    env, fs,
    io::{self, BufReader, IsTerminal, Stdin},
    path::PathBuf,
};

use rustyline::{CompletionType, Config, Editor, error::ReadlineError, history::DefaultHistory};
use services::client::RemoteFile;
use tokio::task::spawn_blocking;

use super::complete::Completion;
use crate::frame::{
    exit::Failure,
    lines::{LineError, Lines},
};

/// Bytes of a line, at most.
const LONGEST: usize = 1024 * 1024;

/// Lines that the history keeps.
const HISTORY: usize = 1000;

/// The shell's input. What it holds is lent to a thread while that waits for a line.
pub(super) struct Input {
    source: Option<Source>,
    terminal: bool,
}

enum Source {
    Terminal(Box<Editor<Completion, DefaultHistory>>),
    Pipe(Lines<BufReader<Stdin>>),
}

/// What came.
pub(super) enum Line {
    Text(String),
    /// Ctrl-C at the prompt: the line is given up.
    Nothing,
    /// No line, and why; more may follow.
    Bad(String),
    End,
}

impl Input {
    pub(super) fn new() -> Result<Self, Failure> {
        let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        let source = if terminal {
            Source::Terminal(Box::new(editor().map_err(failed)?))
        } else {
            Source::Pipe(Lines::new(BufReader::new(io::stdin()), LONGEST))
        };
        Ok(Self {
            source: Some(source),
            terminal,
        })
    }

    /// Whether somebody sits there.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The next line, asked for with `prompt` where somebody sits there. Not cancel safe: the rest of
    /// the input is lost.
    pub(super) async fn next(&mut self, prompt: &str) -> Result<Line, Failure> {
        let Some(mut source) = self.source.take() else {
            return Ok(Line::End);
        };
        let prompt = prompt.to_owned();
        let read = move || {
            let line = source.next(&prompt);
            (source, line)
        };
        let (source, line) = spawn_blocking(read)
            .await
            .map_err(|error| Failure::local_io("cannot read a line", &io::Error::other(error)))?;
        self.source = Some(source);
        line
    }

    /// Offers the names of these files when a name is to be completed.
    pub(super) fn complete_names(&mut self, files: Option<&[RemoteFile]>) {
        if let Some(Source::Terminal(editor)) = &mut self.source
            && let Some(completion) = editor.helper_mut()
        {
            let names = files.unwrap_or_default().iter();
            completion.names = names.map(|file| file.name.to_string()).collect();
        }
    }
}

impl Source {
    fn next(&mut self, prompt: &str) -> Result<Line, Failure> {
        match self {
            Self::Terminal(editor) => match editor.readline(prompt) {
                Ok(line) => {
                    let _ = editor.add_history_entry(line.as_str());
                    save_history(editor);
                    Ok(Line::Text(line))
                }
                Err(ReadlineError::Interrupted) => Ok(Line::Nothing),
                Err(ReadlineError::Eof) => Ok(Line::End),
                Err(error) => Err(failed(error)),
            },
            Self::Pipe(lines) => {
                let number = lines.number() + 1;
                match lines.next() {
                    Ok(None) => Ok(Line::End),
                    Ok(Some(line)) => Ok(match std::str::from_utf8(line) {
                        Ok(line) => Line::Text(line.to_owned()),
                        Err(_) => Line::Bad(format!("line {number} is not UTF-8")),
                    }),
                    // Its rest would be taken for lines.
                    Err(LineError::TooLong) => Err(Failure::usage(format!(
                        "line {number} is over {LONGEST} bytes"
                    ))),
                    Err(LineError::Io(error)) => Err(Failure::input("standard input", &error)),
                }
            }
        }
    }
}

fn failed(error: ReadlineError) -> Failure {
    Failure::local_io("cannot read a line", &io::Error::other(error))
}

fn editor() -> rustyline::Result<Editor<Completion, DefaultHistory>> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        // As with other shells: a line that begins with a space is not kept.
        .history_ignore_space(true)
        .max_history_size(HISTORY)?
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Completion::default()));
    if let Some(path) = history_path() {
        // The first time there is none.
        let _ = editor.load_history(&path);
    }
    Ok(editor)
}

/// Keeps the history for the next time, where that is possible; the shell works without.
fn save_history(editor: &mut Editor<Completion, DefaultHistory>) {
    if let Some(path) = history_path()
        && let Some(folder) = path.parent()
        && fs::create_dir_all(folder).is_ok()
    {
        let _ = editor.save_history(&path);
    }
}

fn history_path() -> Option<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state =
        absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("frame/history"))
}
