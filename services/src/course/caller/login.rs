//! Logs in to a script's server.

use serde_json::json;

use super::{Answer, CourseCaller};
use crate::{
    Code, Fields, Status,
    course::{
        CourseError,
        framings::{self, MOST_TEXT},
        login::{LEAVE, WELCOME, WRONG},
    },
};

struct Credentials {
    name: String,
    password: String,
}

fn credentials(arguments: &Fields) -> Result<Credentials, Status> {
    Ok(Credentials {
        name: arguments.require("name")?,
        password: arguments.require("password")?,
    })
}

/// Logs in, in `objects` or in plain text.
pub(super) async fn run(
    caller: &mut CourseCaller,
    arguments: &Fields,
    objects: bool,
) -> Result<Answer, CourseError> {
    match credentials(arguments) {
        Ok(credentials) if objects => as_object(caller, credentials).await,
        Ok(credentials) => as_text(caller, credentials).await,
        Err(status) => Ok(status.into()),
    }
}

/// `name|password`, and a sentence back.
async fn as_text(
    caller: &mut CourseCaller,
    Credentials { name, password }: Credentials,
) -> Result<Answer, CourseError> {
    let text = format!("{name}|{password}");
    if name.contains('|') || text == LEAVE || text.len() > MOST_TEXT {
        let sentence = "no account of this dialect can have this name and password";
        return Ok(Status::new(Code::BAD_REQUEST, sentence).into());
    }
    caller.speak(framings::text()?);
    caller.send(text).await?;
    let answer = caller.receive().await?;
    match String::from_utf8_lossy(&answer).trim() {
        WELCOME => Ok(admitted(caller, name)),
        WRONG => {
            caller.at_login = true;
            Ok(Status::new(Code::WRONG_CREDENTIALS, WRONG).into())
        }
        other => Err(CourseError::Nonsense(format!(
            "{:?}, which is neither {WELCOME} nor {WRONG}",
            crate::escape::escaped(other).limit(256)
        ))),
    }
}

/// The same as a JSON object.
async fn as_object(
    caller: &mut CourseCaller,
    Credentials { name, password }: Credentials,
) -> Result<Answer, CourseError> {
    let object = json!({ "op": "login", "username": name, "password": password });
    let answer = super::receive::ask(caller, object).await?;
    Ok(match answer {
        Ok(_) => admitted(caller, name),
        Err(status) if status.sentence() == WRONG => {
            Status::new(Code::WRONG_CREDENTIALS, WRONG).into()
        }
        Err(status) => status.into(),
    })
}

/// These servers do not tell what one may do.
fn admitted(caller: &mut CourseCaller, name: String) -> Answer {
    let details = account(&name);
    caller.account = Some(name);
    caller.at_login = false;
    Answer::ok(details)
}

fn account(name: &str) -> Fields {
    Fields::new().with("name", name)
}

/// Who has logged in; known here, as these servers cannot be asked.
pub(super) fn whoami(account_name: Option<&str>) -> Answer {
    match account_name {
        Some(name) => Answer::ok(account(name)),
        None => Status::new(Code::NOT_AUTHENTICATED, "log in first").into(),
    }
}
