//! What programs have to do with a terminal: passwords in, log lines out.

use std::io::{self, BufRead, IsTerminal};

use anyhow::{Context, ensure};
use services::login::Password;
use tracing_subscriber::EnvFilter;

/// Writes log lines to standard error: what `filter` lets through, or, without one, the variable
/// `RUST_LOG`, or `usual`.
pub fn init_log(filter: Option<&str>, usual: &str) -> anyhow::Result<()> {
    let filter = match (filter, std::env::var("RUST_LOG")) {
        (Some(filter), _) => EnvFilter::try_new(filter).context("the log filter")?,
        (None, Ok(filter)) => EnvFilter::try_new(filter).context("RUST_LOG")?,
        (None, Err(_)) => EnvFilter::new(usual),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    Ok(())
}

/// A new password: asked for twice on a terminal, otherwise the first line of standard input.
pub fn new_password() -> anyhow::Result<Password> {
    if io::stdin().is_terminal() {
        let first = rpassword::prompt_password("New password: ")?;
        let second = rpassword::prompt_password("Once more: ")?;
        ensure!(
            first == second,
            "the two passwords differ; nothing was changed"
        );
        return Ok(Password::new(first)?);
    }
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .context("cannot read the password")?;
    let end = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(end);
    ensure!(!line.is_empty(), "no password came on standard input");
    Ok(Password::new(line)?)
}
