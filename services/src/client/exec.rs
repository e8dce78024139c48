//! Runs commands on the server.

use std::time::Duration;

use bytes::Bytes;

use super::{Client, ClientError, Reply};
use crate::{
    Body, BodyError, BodySender, Fields, Part, Unread, Verb,
    exec::{Ended, Event, Outcome, Output, Signal},
};

/// Parts of standard input that wait to be sent.
const WAITING_PARTS: usize = 2;

/// What to run.
#[derive(Clone, Debug)]
pub struct Command {
    arguments: Fields,
}

impl Command {
    /// A program and its arguments; each arrives literally.
    pub fn program<W: Into<String>>(words: impl IntoIterator<Item = W>) -> Self {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        Self {
            arguments: Fields::new().with("argv", words),
        }
    }

    /// One line for the shell; needs the right `shell`.
    pub fn shell(line: impl Into<String>) -> Self {
        Self {
            arguments: Fields::new().with("shell", line.into()),
        }
    }

    /// Ends the command after this time, if the server does not before.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.arguments.set("timeout", limit.as_secs_f64());
        self
    }

    /// Gives the command a standard input; otherwise it is at its end from the start.
    #[must_use]
    pub fn stdin(mut self) -> Self {
        self.arguments.set("stdin", true);
        self
    }
}

impl Client {
    /// Starts a command.
    pub async fn exec(&mut self, command: Command) -> Result<Exec<'_>, ClientError> {
        let (sender, body) = Body::channel(WAITING_PARTS);
        let reply = self.call(Verb::EXEC, command.arguments, body).await?;
        Ok(Exec {
            reply,
            input: ExecInput { sender },
            ended: false,
        })
    }
}

/// A command that runs on the server. Dropped before its end, the connection cannot be used any
/// more, and when that is dropped the server ends the command.
#[derive(Debug)]
pub struct Exec<'a> {
    reply: Reply<'a>,
    input: ExecInput,
    ended: bool,
}

/// Standard input and controls of a command. Clones serve the same command; everything moves only
/// while the [`Exec`] is read.
#[derive(Clone, Debug)]
pub struct ExecInput {
    sender: BodySender,
}

impl ExecInput {
    /// Sends bytes for the standard input, if the command was given one. Waits until there is room.
    pub async fn write(&mut self, bytes: impl Into<Bytes>) -> Result<(), Unread> {
        self.sender.send(Part::Data(bytes.into())).await
    }

    /// Ends the standard input. No control can be sent after it.
    pub async fn close(&mut self) -> Result<(), Unread> {
        self.sender.send(Part::End(Fields::new())).await
    }

    /// Sends a signal to the command's process group.
    pub async fn signal(&mut self, signal: Signal) -> Result<(), Unread> {
        let name = signal.to_string();
        self.sender
            .send(Part::Control(Fields::new().with("signal", name)))
            .await
    }

    /// Ends the command.
    pub async fn cancel(&mut self) -> Result<(), Unread> {
        self.sender
            .send(Part::Control(Fields::new().with("cancel", true)))
            .await
    }
}

impl Exec<'_> {
    /// What standard input and controls are sent through.
    pub fn input(&self) -> ExecInput {
        self.input.clone()
    }

    /// The next piece of output, at last how it ended, then `None`. Cancel safe.
    ///
    /// A connection that is lost before the server has told the outcome gives
    /// [`Outcome::ConnectionLost`], never a success.
    pub async fn next(&mut self) -> Option<Result<Event, ClientError>> {
        if self.ended {
            return None;
        }
        loop {
            let event = match self.reply.next().await {
                Some(Ok(Part::Stdout(bytes))) => Event::Output(Output::Stdout(bytes)),
                Some(Ok(Part::Stderr(bytes))) => Event::Output(Output::Stderr(bytes)),
                Some(Ok(Part::End(trailer))) => {
                    self.ended = true;
                    match ended(&trailer) {
                        Ok(ended) => Event::Ended(ended),
                        Err(error) => return Some(Err(error)),
                    }
                }
                Some(Ok(_)) => continue,
                Some(Err(BodyError::ConnectionLost)) | None => {
                    self.ended = true;
                    Event::Ended(Ended::new(Outcome::ConnectionLost))
                }
                Some(Err(error)) => {
                    self.ended = true;
                    return Some(Err(ClientError::Body(error)));
                }
            };
            return Some(Ok(event));
        }
    }

    /// Runs the command to its end and hands each piece of output to `show`.
    pub async fn wait(&mut self, mut show: impl FnMut(Output)) -> Result<Ended, ClientError> {
        loop {
            match self.next().await {
                Some(Ok(Event::Output(output))) => show(output),
                Some(Ok(Event::Ended(ended))) => return Ok(ended),
                Some(Err(error)) => return Err(error),
                None => return Ok(Ended::new(Outcome::ConnectionLost)),
            }
        }
    }
}

fn ended(trailer: &Fields) -> Result<Ended, ClientError> {
    let kind: String = trailer.require("outcome")?;
    let code: Option<i32> = trailer.get("code")?;
    let detail: Option<String> = trailer.get("detail")?;
    let outcome = Outcome::from_parts(&kind, code, detail.as_deref())
        .ok_or_else(|| ClientError::Nonsense("an outcome that does not exist".to_owned()))?;
    let mut ended = Ended::new(outcome);
    ended.held_output = trailer.get("held_output")?.unwrap_or(false);
    Ok(ended)
}
