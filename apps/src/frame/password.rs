//! Finds the password: in a file, in a variable, or by asking.

use std::{
    env,
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, Read},
    path::Path,
};

use services::{escape::escaped, login::Password};

use super::exit::Failure;

/// The variable that may hold the password.
const VARIABLE: &str = "FRAME_PASSWORD";

/// The password of `user`: the first line of `file`; without one the variable; without that, the
/// answer to a question on the terminal. It is never an argument, which every process can see.
pub(super) fn find(user: &str, file: Option<&Path>) -> Result<Password, Failure> {
    let text = match (file, env::var_os(VARIABLE)) {
        (Some(file), _) => first_line(file)?,
        (None, Some(text)) => text
            .into_string()
            .map_err(|_| Failure::usage(format!("{VARIABLE} is not UTF-8")))?,
        (None, None) => ask(user)?,
    };
    Password::new(text).map_err(|error| Failure::usage(error.to_string()))
}

fn first_line(path: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::input(format_args!("--password-file {}", path.display()), &error);
    // One more than the longest password, and a line end; the length is checked by who takes it.
    let most = Password::MAX_LENGTH as u64 + 3;
    let mut line = String::new();
    BufReader::new(File::open(path).map_err(failed)?.take(most))
        .read_line(&mut line)
        .map_err(failed)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}

fn ask(user: &str) -> Result<String, Failure> {
    if io::stderr().is_terminal() {
        let question = format!("Password of {}: ", escaped(user));
        // Asked on the controlling terminal, as standard input may be a pipe for the command.
        if let Ok(password) = rpassword::prompt_password(question) {
            return Ok(password);
        }
    }
    Err(
        Failure::usage("--user needs a password, and there is no terminal to ask for it").hint(
            format!("--password-file FILE or the variable {VARIABLE} can hold it"),
        ),
    )
}
