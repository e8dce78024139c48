//! Runs a command on a script's server.

use std::time::Duration;

use bytes::Bytes;
use framing::Error;
use futures_util::SinkExt;
use tokio::time::timeout;

use super::{Answer, Answering, CourseCaller};
use crate::{
    Code, Fields, Status,
    course::{
        CourseError, Encoding, ExecForm, ExecOptions,
        conversation::next,
        encoding::Transcoder,
        framings::{self, MOST_TEXT, SETTLE},
    },
};

/// How long a surplus is waited for: a few times what completes a length.
const SURPLUS_TIME: Duration = SETTLE.saturating_mul(3);

/// Sends the command and reads all of its output.
pub(super) async fn run(
    caller: &mut CourseCaller,
    arguments: &Fields,
    options: ExecOptions,
) -> Result<Answer, CourseError> {
    let line = match command_line(arguments) {
        Ok(line) => line,
        Err(status) => return Ok(status.into()),
    };
    if line.len() > MOST_TEXT {
        let (size, limit) = (line.len(), MOST_TEXT);
        caller.busy = false;
        return Err(CourseError::TooLong { size, limit });
    }
    let limit = arguments.get::<f64>("timeout").ok().flatten();
    let limit = limit.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let output = exchange(caller, line, options.form);
    let output = match limit {
        None => output.await?,
        Some(limit) => match timeout(limit, output).await {
            Ok(output) => output?,
            Err(_) => {
                // The server cannot be told; it notices that we are gone.
                caller.spent = true;
                return Ok(ended(
                    Bytes::new(),
                    Fields::new().with("outcome", "timed-out"),
                ));
            }
        },
    };
    let mut text = Vec::with_capacity(output.len());
    Transcoder::new(options.encoding, Encoding::Utf8).push(&output, true, &mut text);
    // This dialect tells no status: that all of the output has come is all there is to know.
    let outcome = Fields::new().with("outcome", "exit").with("code", 0);
    Ok(ended(text.into(), outcome))
}

fn ended(output: Bytes, outcome: Fields) -> Answer {
    Answer {
        body: Some(Answering::Output(Some(output), outcome)),
        ..Answer::ok(Fields::new())
    }
}

/// The one line that these servers take.
fn command_line(arguments: &Fields) -> Result<String, Status> {
    let wrong = |sentence| Status::new(Code::BAD_REQUEST, sentence);
    if arguments.get("stdin")?.unwrap_or(false) {
        let sentence = "this dialect has no standard input";
        return Err(Status::new(Code::UNSUPPORTED, sentence));
    }
    let line = match arguments.get::<Vec<String>>("argv")? {
        Some(words) => shlex::try_join(words.iter().map(String::as_str))
            .map_err(|_| wrong("a word of the command contains a NUL byte"))?,
        None => match arguments.get("shell")? {
            Some(line) => line,
            None => arguments.require("line")?,
        },
    };
    if line.trim().is_empty() {
        // As nothing is sent for it, both sides would wait for ever.
        return Err(wrong("an empty command is never sent"));
    }
    Ok(line)
}

async fn exchange(
    caller: &mut CourseCaller,
    line: String,
    form: ExecForm,
) -> Result<Bytes, CourseError> {
    match form {
        ExecForm::Announced => announced(caller, line).await,
        ExecForm::Counted => {
            caller.speak(framings::counted()?);
            caller.send(line).await?;
            caller.receive().await
        }
        ExecForm::CountedAnswer => {
            caller.speak(framings::text()?);
            caller.send(line).await?;
            caller.speak(framings::counted()?);
            caller.receive().await
        }
    }
}

/// A bare length, our `ok`, the output.
async fn announced(caller: &mut CourseCaller, line: String) -> Result<Bytes, CourseError> {
    caller.speak(framings::text()?);
    caller.send(line).await?;
    caller.speak(framings::announced(SETTLE)?);
    let output = caller.receive().await?;
    caller.speak(framings::text()?);
    if output.is_empty() {
        // The server takes our `ok` with one read, and answers it with nothing. A command sent now
        // could be in the same read: the server would drop both and wait, and so would we. Nothing
        // that comes tells when it has read the `ok`, but a connection that it sees end: so this
        // one ends, and the next command is the first of another.
        caller.spent = true;
        caller.connection.close().await?;
        return Ok(output);
    }
    // A length that came in pieces with a pause between them was taken for a shorter one. Then the
    // rest of the output stands behind what we took for all of it.
    match timeout(SURPLUS_TIME, next(&mut caller.connection)).await {
        Err(_) => {}
        Ok(Ok(Some(_))) => {
            caller.spent = true;
            return Err(CourseError::Nonsense(format!(
                "more came than the {} bytes that were announced; a length that comes in pieces \
                 with pauses of more than {} ms cannot be told from a shorter one",
                output.len(),
                SETTLE.as_millis(),
            )));
        }
        // It ends the connection behind the output.
        Ok(Ok(None) | Err(Error::Io(_))) => caller.spent = true,
        Ok(Err(error)) => return Err(error.into()),
    }
    Ok(output)
}
