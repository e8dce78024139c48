//! The systems that `framed` has no part in: sticky packets, chat, talk.

use std::{env, path::Path, process::Stdio};

use anyhow::{Context, ensure};
use framing::{
    Connection, Lines,
    serve::{Listener, Tcp},
};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

use super::converse;
use crate::tour::say;

/// One of our programs, from the folder of this one.
fn program(name: &str) -> anyhow::Result<Command> {
    let here = env::current_exe().context("cannot find out where this program is")?;
    let path = here.with_file_name(name);
    ensure!(
        path.exists(),
        "there is no {}; `cargo build --bins` makes it",
        path.display()
    );
    let mut command = Command::new(path);
    command.kill_on_drop(true);
    Ok(command)
}

/// The problem itself, as `sticky` shows it.
pub(super) async fn sticky() -> anyhow::Result<bool> {
    let status = program("sticky")?
        .args(["--only", "raw", "--runs", "5"])
        .status()
        .await?;
    Ok(status.success())
}

/// A script's client and `chat listen`.
pub(super) async fn chat(script: &Path) -> anyhow::Result<bool> {
    let mut listener = program("chat")?
        .args([
            "listen",
            "--bind",
            "127.0.0.1:0",
            "--for",
            "20s",
            "--count",
            "2",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (Some(mut answers), Some(shown)) = (listener.stdin.take(), listener.stdout.take()) else {
        anyhow::bail!("chat has no pipes");
    };
    answers
        .write_all("hello yourself\n你好你好\n".as_bytes())
        .await?;
    let mut shown = BufReader::new(shown).lines();
    let first = shown.next_line().await?.unwrap_or_default();
    say(format_args!("{first}"))?;
    let port = first.rsplit(':').next().unwrap_or_default().parse()?;
    let right = converse(script, "chat", port).await?;
    drop(answers);
    while let Some(line) = shown.next_line().await? {
        say(format_args!("  {line}"))?;
    }
    listener.wait().await?;
    Ok(right)
}

/// A script's client and a person who answers line for line.
pub(super) async fn talk(script: &Path) -> anyhow::Result<bool> {
    let mut listener = Tcp::bind("127.0.0.1:0").await?;
    let address = listener.local_addr();
    say(format_args!("listening on {address} (lines)"))?;
    let port = address.to_string();
    let port = port.rsplit(':').next().unwrap_or_default().parse()?;
    let person = async {
        let (io, _) = listener.accept().await;
        let mut lines = Connection::new(io, Lines::new()?);
        while let Some(line) = lines.next().await.transpose()? {
            let answer = format!("you said: {}", String::from_utf8_lossy(&line));
            lines.send(answer.into()).await?;
        }
        lines.close().await?;
        Ok(())
    };
    let (right, ()) = tokio::try_join!(converse(script, "talk", port), person)?;
    Ok(right)
}
