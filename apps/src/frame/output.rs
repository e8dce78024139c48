//! Results on standard output, for people or as one JSON object; failures on standard error.

use std::{
    env, fmt,
    io::{self, IsTerminal, Write},
};

use serde_json::Value;
use services::escape::escaped;
use tokio::io::{AsyncWriteExt, stdout};

use super::exit::Failure;

/// How results are said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether each result is one JSON object.
    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// Says a result in the form that is wanted.
    pub(super) async fn show(self, data: Value, plain: impl fmt::Display) -> Result<(), Failure> {
        let text = self.text(&data, &plain);
        let mut stdout = stdout();
        let written = async {
            stdout.write_all(text.as_bytes()).await?;
            stdout.flush().await
        };
        written.await.map_err(|error| closed(&error))
    }

    /// The same where nothing else goes on that would have to be waited for.
    pub(super) fn show_now(self, data: &Value, plain: impl fmt::Display) -> Result<(), Failure> {
        write_now(self.text(data, &plain).as_bytes())
    }

    fn text(self, data: &Value, plain: &dyn fmt::Display) -> String {
        if self.json {
            return json_line(data);
        }
        let mut text = plain.to_string();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }

    /// Says something beside the result, to people only.
    pub(super) fn note(self, text: impl fmt::Display) {
        if !self.json {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Says why a verb was not carried out.
    pub(super) fn failure(self, failure: &Failure) {
        if failure.is_quiet() {
            return;
        }
        // When nobody reads this either, the exit code is all that is left.
        let _ = if self.json {
            io::stdout().write_all(json_line(&failure.as_json()).as_bytes())
        } else if colours() {
            writeln!(io::stderr(), "\u{1b}[1;31mframe:\u{1b}[0m {failure}")
        } else {
            writeln!(io::stderr(), "frame: {failure}")
        };
    }
}

/// Writes to standard output and does nothing else meanwhile.
pub(super) fn write_now(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| closed(&error))
}

/// Standard output cannot be written.
pub(super) fn closed(error: &io::Error) -> Failure {
    Failure::local_io("cannot write standard output", error)
}

fn colours() -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal()
        && !set("NO_COLOR")
        && env::var_os("TERM").is_none_or(|t| t != "dumb")
}

/// One line of JSON that says exactly what it says and drives no terminal: what could is written as
/// `\u` escapes, which mean the same.
pub(super) fn json_line(value: &Value) -> String {
    let text = value.to_string();
    let mut line = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if acts(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                line.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line
}

fn acts(c: char) -> bool {
    match c {
        // Quotes and backslashes are JSON's own here.
        ' '..='~' => false,
        _ => {
            let mut buffer = [0; 4];
            let text: &str = c.encode_utf8(&mut buffer);
            escaped(text).to_string() != text
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn svc_d28_json_is_exact_and_drives_no_terminal() {
        let value = json!({ "name": "a\u{1b}[2J\u{9b}31m\u{202e}\u{7f}\u{e0001}\"\\ 空 é 🦀" });
        let line = json_line(&value);
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
        for c in ['\u{1b}', '\u{9b}', '\u{202e}', '\u{7f}', '\u{e0001}'] {
            assert!(!line.contains(c), "{line:?}");
        }
        assert!(line.contains("空 é 🦀"), "{line}");
    }
}
