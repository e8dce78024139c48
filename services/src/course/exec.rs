//! Commands as the scripts have them: a line in, its whole output back.

use super::{
    CourseError,
    conversation::{Answers, Conversation, Wire},
    encoding::{Encoding, Transcoder},
    framings::{self, MOST_OUTPUT, MOST_TEXT},
};
use crate::{Fields, Part, Response, Verb};

/// How commands and their output are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExecForm {
    /// The command as it is; the output's length in digits, `ok` from the client, the output.
    #[default]
    Announced,
    /// Command and output behind `struct.pack('i', length)` each.
    Counted,
    /// The command as it is, the output behind `struct.pack('i', length)`.
    CountedAnswer,
}

/// How commands are answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExecOptions {
    /// The form of both.
    pub form: ExecForm,
    /// What output is written in.
    pub encoding: Encoding,
    /// Whether what commands write to their standard error is left out, as the scripts do it.
    pub drop_stderr: bool,
}

/// Answers command after command.
pub(super) async fn serve<Io: Wire, S: Answers>(
    talk: &mut Conversation<Io, S>,
    options: ExecOptions,
) -> Result<(), CourseError> {
    talk.speak(match options.form {
        ExecForm::Announced => framings::text_then_announced()?,
        ExecForm::Counted => framings::counted()?,
        ExecForm::CountedAnswer => framings::text_then_counted()?,
    });
    while let Some(message) = talk.receive().await? {
        let output = answer(talk, &message, options).await;
        talk.send(output).await?;
        if talk.session().is_closing() {
            break;
        }
    }
    Ok(())
}

/// A command's output; where there is none, the reason in one sentence.
async fn answer<Io: Wire, S: Answers>(
    talk: &mut Conversation<Io, S>,
    message: &[u8],
    options: ExecOptions,
) -> Vec<u8> {
    let say = |sentence: &str| options.encoding.write(sentence);
    if message.len() > MOST_TEXT {
        return say(&format!("a command has at most {MOST_TEXT} bytes"));
    }
    let Some(line) = options.encoding.read(message) else {
        return say("the command is no text");
    };
    // How a line becomes a command is the service's business.
    let arguments = Fields::new().with("line", line);
    let output = |response| collect(response, options);
    match talk.ask_attended(Verb::EXEC, arguments, output).await {
        Ok(output) => output,
        Err(sentence) => say(&sentence),
    }
}

/// Reads a command's output to its end.
async fn collect(response: Response, options: ExecOptions) -> Result<Vec<u8>, String> {
    let Response {
        status, mut body, ..
    } = response;
    if !status.is_ok() {
        return Err(match status.sentence() {
            "" => status.code().to_string(),
            sentence => sentence.to_owned(),
        });
    }
    let mut output = Vec::new();
    // Commands here write UTF-8. Each of the streams may stop within a character.
    let transcoder = || Transcoder::new(Encoding::Utf8, options.encoding);
    let (mut stdout, mut stderr) = (transcoder(), transcoder());
    while let Some(part) = body.next().await {
        match part.map_err(|error| error.to_string())? {
            Part::Stdout(bytes) => stdout.push(&bytes, false, &mut output),
            Part::Stderr(_) if options.drop_stderr => {}
            Part::Stderr(bytes) => stderr.push(&bytes, false, &mut output),
            Part::End(trailer) => {
                stdout.push(b"", true, &mut output);
                stderr.push(b"", true, &mut output);
                return ended(&trailer).map_or(Ok(output), Err);
            }
            _ => {}
        }
        if output.len() > MOST_OUTPUT {
            // Leaving the body ends the command.
            return Err(format!(
                "the output has more than {} MiB",
                MOST_OUTPUT >> 20
            ));
        }
    }
    Ok(output)
}

/// Why the output is not all that the command had to say.
fn ended(trailer: &Fields) -> Option<String> {
    let outcome: String = trailer.get("outcome").ok()??;
    let detail: String = trailer.get("detail").ok()?.unwrap_or_default();
    match outcome.as_str() {
        "timed-out" => Some("the command was ended by the time limit".to_owned()),
        "output-cap" => Some("the command was ended: it wrote more than is allowed".to_owned()),
        "killed" => Some(format!("the command was ended: {detail}")),
        _ => None,
    }
}
