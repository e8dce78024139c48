//! Login as the scripts have it: `name|password` in one read, a sentence back.

use super::{
    CourseError, Encoding,
    conversation::{Answers, Conversation, Wire},
    framings,
    framings::MOST_TEXT,
};
use crate::{Code, Fields, Verb};

/// Said to whoever has logged in.
pub(super) const WELCOME: &str = "登录成功";

/// Said to whoever has not.
pub(super) const WRONG: &str = "用户名或者密码错误";

/// What ends a connection in an orderly way.
pub(super) const LEAVE: &str = "good|bye";

/// Asks for a name and a password until they are right. False if the peer has left, or is to leave.
pub(super) async fn serve<Io: Wire, S: Answers>(
    talk: &mut Conversation<Io, S>,
    encoding: Encoding,
) -> Result<bool, CourseError> {
    talk.speak(framings::text()?);
    while let Some(message) = talk.receive().await? {
        // What is no text, or too much of it, is nobody's name; it is refused as any other.
        let text = encoding
            .read(&message)
            .filter(|_| message.len() <= MOST_TEXT)
            .unwrap_or_default();
        if text == LEAVE {
            return Ok(false);
        }
        let (name, password) = text.split_once('|').unwrap_or((&text, ""));
        let arguments = Fields::new().with("name", name).with("password", password);
        let status = talk.ask(Verb::LOGIN, arguments).await.status;
        if status.is_ok() {
            talk.send(WELCOME).await?;
            return Ok(true);
        }
        let sentence = match *status.code() == Code::WRONG_CREDENTIALS {
            true => WRONG,
            // The server cannot tell now whether it is right.
            false => status.sentence(),
        };
        talk.send(sentence.to_owned()).await?;
        if talk.session().is_closing() {
            return Ok(false);
        }
    }
    Ok(false)
}
