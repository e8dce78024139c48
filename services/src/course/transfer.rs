//! One file as the scripts have it: a header with its name, size and digest, then its bytes.

use bytes::Bytes;
use serde_json::{Map, Value};
use tracing::warn;

use super::{
    CourseError,
    conversation::{Answers, Conversation, Wire},
    encoding::Encoding,
    framings::{self, MOST_TEXT},
    header::{self, Header, Keys, Md5Digest},
    incoming,
    outgoing::{self, Wanted},
};
use crate::Status;

/// Which way files go, and what is said about them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferForm {
    /// The client sends headers, each with its file; they are stored.
    Upload {
        /// Whether each is answered; otherwise nothing comes back.
        reply: bool,
    },
    /// Whoever connects is sent this file, behind its header.
    Download {
        /// The file's name in the store.
        file: String,
    },
    /// The client asks `get NAME`, gets the size in digits, sends anything, and gets the file with
    /// the digits of its MD5 digest behind it.
    Ack,
}

/// How files are moved.
#[derive(Clone, Debug)]
pub struct TransferOptions {
    /// Which way.
    pub form: TransferForm,
    /// What the keys of headers are called.
    pub keys: Keys,
}

impl Default for TransferOptions {
    /// Uploads without a reply.
    fn default() -> Self {
        Self {
            form: TransferForm::Upload { reply: false },
            keys: Keys::default(),
        }
    }
}

/// Moves files until the peer has no more.
pub(super) async fn serve<Io: Wire, S: Answers>(
    talk: &mut Conversation<Io, S>,
    options: &TransferOptions,
) -> Result<(), CourseError> {
    match &options.form {
        TransferForm::Upload { reply } => receive(talk, &options.keys, *reply).await,
        TransferForm::Download { file } => send(talk, &options.keys, file).await,
        TransferForm::Ack => answer(talk).await,
    }
}

async fn receive<Io: Wire, S: Answers>(
    talk: &mut Conversation<Io, S>,
    keys: &Keys,
    reply: bool,
) -> Result<(), CourseError> {
    talk.speak(framings::counted()?);
    while let Some(message) = talk.receive().await? {
        let header = header::object(&message).and_then(|object| Header::read(&object, keys));
        let header = match header {
            Ok(header) => header,
            Err(wrong) => {
                // Where the next header stands cannot be known.
                if reply {
                    talk.send(failure(&format!("the header is wrong: {wrong}")))
                        .await?;
                }
                return Err(CourseError::Nonsense(wrong));
            }
        };
        let (status, md5) = incoming::store(talk, &header).await?;
        if !status.is_ok() {
            warn!(code = %status.code(), "a file was not stored");
        }
        if reply {
            talk.send(receipt(&status, &header, md5, keys)).await?;
        }
        if talk.session().is_closing() {
            break;
        }
    }
    Ok(())
}

async fn send<Io: Wire, S: Answers>(
    talk: &mut Conversation<Io, S>,
    keys: &Keys,
    file: &str,
) -> Result<(), CourseError> {
    let wanted = Wanted {
        name: file.to_owned(),
        version: None,
    };
    let (header, body) = outgoing::open_digested(talk, &wanted, true)
        .await
        .map_err(CourseError::Refused)?;
    talk.speak(framings::counted()?);
    let mut object = Map::new();
    header.write(keys, &mut object);
    talk.send(header::bytes(object)).await?;
    outgoing::send(talk, body).await?;
    Ok(())
}

async fn answer<Io: Wire, S: Answers>(talk: &mut Conversation<Io, S>) -> Result<(), CourseError> {
    talk.speak(framings::text()?);
    while let Some(message) = talk.receive().await? {
        let name = Encoding::Utf8
            .read(&message)
            .filter(|text| text.len() <= MOST_TEXT)
            .and_then(|text| Some(text.strip_prefix("get ")?.trim().to_owned()));
        let Some(name) = name else {
            // There is no word for a failure in this form: a client would take it for a size.
            return Err(CourseError::Nonsense(
                "it asks for nothing that is there: only `get NAME` is".to_owned(),
            ));
        };
        let wanted = Wanted {
            name,
            version: None,
        };
        let (header, _, body) = outgoing::open(talk, &wanted)
            .await
            .map_err(CourseError::Refused)?;
        talk.send(header.filesize.to_string()).await?;
        // Whatever it says is the agreement.
        if talk.receive().await?.is_none() {
            break;
        }
        let digest = outgoing::send(talk, body).await?;
        talk.send(digest.to_string()).await?;
    }
    Ok(())
}

/// What is said of a file that was to be stored.
pub(super) fn receipt(
    status: &Status,
    header: &Header,
    md5: Option<Md5Digest>,
    keys: &Keys,
) -> Bytes {
    if !status.is_ok() {
        return failure(&status.to_string());
    }
    let mut object = Map::from_iter([("status".to_owned(), "ok".into())]);
    let stored = Header {
        md5,
        ..header.clone()
    };
    stored.write(keys, &mut object);
    header::bytes(object)
}

/// What is said where something was not done.
pub(super) fn failure(reason: &str) -> Bytes {
    let object: [(String, Value); 2] = [
        ("status".to_owned(), "error".into()),
        ("reason".to_owned(), reason.into()),
    ];
    header::bytes(Map::from_iter(object))
}
