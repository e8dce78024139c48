//! The exercise of the course: log in, see the files by number, upload and download.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{
    CourseError,
    conversation::{Answers, Conversation, Wire},
    framings,
    header::{self, Header, Keys},
    incoming,
    login::WRONG,
    outgoing::{self, Wanted},
    transfer::{failure, receipt},
};
use crate::{Code, Fields, Status, Verb, files::Version};

/// The longest list that is shown.
const MOST_FILES: usize = 100_000;

/// A file of a list that was shown.
struct Shown {
    name: String,
    size: u64,
    version: Version,
}

/// What is asked for.
enum Operation {
    Login { username: String, password: String },
    List,
    Put(Header),
    GetIndex(u64),
    GetName(String),
}

impl Operation {
    fn read(message: &[u8], keys: &Keys) -> Result<Self, String> {
        let object = header::object(message)?;
        match header::text(&object, "op")?.as_str() {
            "login" => Ok(Self::Login {
                username: header::text(&object, "username")?,
                password: header::text(&object, "password")?,
            }),
            "list" => Ok(Self::List),
            "put" => Header::read(&object, keys).map(Self::Put),
            "get" => match (object.get("index"), object.get(&keys.filename)) {
                (Some(index), None) => index
                    .as_u64()
                    .map(Self::GetIndex)
                    .ok_or_else(|| "`index` is no number of a list".to_owned()),
                (None, Some(_)) => header::text(&object, &keys.filename).map(Self::GetName),
                _ => Err(format!(
                    "`get` needs one of `index` and `{}`",
                    keys.filename
                )),
            },
            _ => Err("there are: login, list, put, get".to_owned()),
        }
    }
}

/// Carries out what is asked for, one after the other.
pub(super) async fn serve<Io: Wire, S: Answers>(
    talk: &mut Conversation<Io, S>,
    keys: &Keys,
) -> Result<(), CourseError> {
    talk.speak(framings::counted()?);
    let mut shown: Option<Vec<Shown>> = None;
    while let Some(message) = talk.receive().await? {
        match Operation::read(&message, keys) {
            Ok(Operation::Login { username, password }) => {
                let answer = log_in(talk, username, password).await;
                talk.send(answer).await?;
            }
            Ok(Operation::List) => {
                let answer = match list(talk).await {
                    Ok(files) => {
                        let answer = describe(&files, keys);
                        shown = Some(files);
                        answer
                    }
                    Err(status) => refusal(&status),
                };
                talk.send(answer).await?;
            }
            Ok(Operation::Put(header)) => {
                let (status, md5) = incoming::store(talk, &header).await?;
                talk.send(receipt(&status, &header, md5, keys)).await?;
            }
            Ok(Operation::GetIndex(index)) => match choose(talk, &mut shown, index).await {
                Ok(wanted) => get(talk, &wanted, keys).await?,
                Err(status) => talk.send(refusal(&status)).await?,
            },
            Ok(Operation::GetName(name)) => {
                let wanted = Wanted {
                    name,
                    version: None,
                };
                get(talk, &wanted, keys).await?;
            }
            Err(wrong) => {
                // A body may stand behind it, and how long it is cannot be known.
                talk.send(failure(&wrong)).await?;
                return Err(CourseError::Nonsense(wrong));
            }
        }
        if talk.session().is_closing() {
            break;
        }
    }
    Ok(())
}

async fn log_in<Io: Wire, S: Answers>(
    talk: &mut Conversation<Io, S>,
    username: String,
    password: String,
) -> Bytes {
    let arguments = Fields::new()
        .with("name", username)
        .with("password", password);
    let status = talk.ask(Verb::LOGIN, arguments).await.status;
    match status.is_ok() {
        true => header::bytes(Map::from_iter([("status".to_owned(), "ok".into())])),
        false => refusal(&status),
    }
}

/// All files, in the order of their names.
async fn list<Io: Wire, S: Answers>(talk: &mut Conversation<Io, S>) -> Result<Vec<Shown>, Status> {
    let mut shown = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let arguments = Fields::new().with("after", after);
        let response = talk.ask(Verb::LIST, arguments).await;
        if !response.status.is_ok() {
            return Err(response.status);
        }
        for file in response.details.require::<Vec<Fields>>("files")? {
            shown.push(Shown {
                name: file.require("name")?,
                size: file.require("size")?,
                version: file.require("version")?,
            });
        }
        if shown.len() > MOST_FILES {
            let sentence = format!("there are more than {MOST_FILES} files");
            return Err(Status::new(Code::from_static("too-long"), sentence));
        }
        after = response.details.get("next")?;
        if after.is_none() {
            return Ok(shown);
        }
    }
}

/// The file of a number in the list last shown, or in one taken now where none was.
async fn choose<Io: Wire, S: Answers>(
    talk: &mut Conversation<Io, S>,
    shown: &mut Option<Vec<Shown>>,
    index: u64,
) -> Result<Wanted, Status> {
    let files = match shown {
        Some(files) => files,
        None => shown.insert(list(talk).await?),
    };
    let position = usize::try_from(index)
        .ok()
        .and_then(|index| index.checked_sub(1));
    match position.and_then(|position| files.get(position)) {
        Some(file) => Ok(Wanted {
            name: file.name.clone(),
            version: Some(file.version),
        }),
        None => Err(Status::new(
            Code::from_static("not-found"),
            format!(
                "there is no number {index}: the list has {} files",
                files.len()
            ),
        )),
    }
}

async fn get<Io: Wire, S: Answers>(
    talk: &mut Conversation<Io, S>,
    wanted: &Wanted,
    keys: &Keys,
) -> Result<(), CourseError> {
    let (header, body) = match outgoing::open_digested(talk, wanted, false).await {
        Ok(opened) => opened,
        Err(status) => return Ok(talk.send(refusal(&status)).await?),
    };
    let mut object = Map::from_iter([("status".to_owned(), Value::from("ok"))]);
    header.write(keys, &mut object);
    talk.send(header::bytes(object)).await?;
    outgoing::send(talk, body).await?;
    talk.speak(framings::counted()?);
    Ok(())
}

fn describe(files: &[Shown], keys: &Keys) -> Bytes {
    let files: Vec<Value> = files
        .iter()
        .zip(1..)
        .map(|(file, index)| {
            let mut object = Map::new();
            object.insert("index".to_owned(), index.into());
            object.insert(keys.filename.clone(), file.name.clone().into());
            object.insert(keys.filesize.clone(), file.size.into());
            Value::Object(object)
        })
        .collect();
    json!({ "status": "ok", "files": files }).to_string().into()
}

/// A status as these clients show it.
fn refusal(status: &Status) -> Bytes {
    match *status.code() == Code::WRONG_CREDENTIALS {
        true => failure(WRONG),
        false => failure(&status.to_string()),
    }
}
