//! Sends a file of the store.

use super::{
    CourseError,
    conversation::{Answers, Conversation, Wire},
    framings,
    header::{Header, Md5Digest, Md5Hasher},
};
use crate::{Body, BodyError, Code, FieldError, Fields, Part, Status, Verb, files::Version};

/// A file that is asked for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// Only this one, where it was chosen from a list.
    pub(super) version: Option<Version>,
}

impl Wanted {
    fn arguments(&self) -> Fields {
        let mut arguments = Fields::new().with("name", &self.name);
        if let Some(version) = self.version {
            arguments.set("version", version);
        }
        arguments
    }
}

/// A file that is there: its header, but for the digest, and its bytes.
pub(super) async fn open<Io: Wire, S: Answers>(
    talk: &mut Conversation<Io, S>,
    wanted: &Wanted,
) -> Result<(Header, Version, Body), Status> {
    let response = talk.ask(Verb::GET, wanted.arguments()).await;
    if !response.status.is_ok() {
        return Err(response.status);
    }
    let details = response.details;
    let header = |details: &Fields| -> Result<_, FieldError> {
        let header = Header {
            filename: details.require("name")?,
            filesize: details.require("size")?,
            md5: None,
        };
        Ok((header, details.require("version")?))
    };
    let (header, version) = header(&details)?;
    Ok((header, version, response.body))
}

/// The same with the digest, for which the file is read once more: it stands in front of the bytes.
///
/// That is given up when the peer leaves, if it is `silent`: what others send meanwhile cannot be read
/// ahead, as a file may stand behind it.
pub(super) async fn open_digested<Io: Wire, S: Answers>(
    talk: &mut Conversation<Io, S>,
    wanted: &Wanted,
    silent: bool,
) -> Result<(Header, Body), Status> {
    let (header, version, body) = open(talk, wanted).await?;
    let md5 = if silent {
        let gone = Status::new(Code::from_static("cancelled"), "the client is gone");
        talk.while_there(digest(body)).await.ok_or(gone)?
    } else {
        digest(body).await
    };
    let md5 = md5.map_err(|error| Status::new(Code::INTERNAL, error.to_string()))?;
    let same = Wanted {
        name: header.filename,
        version: Some(version),
    };
    let (mut header, _, body) = open(talk, &same).await?;
    header.md5 = Some(md5);
    Ok((header, body))
}

/// The digest of all that comes.
async fn digest(mut body: Body) -> Result<Md5Digest, BodyError> {
    let mut md5 = Md5Hasher::default();
    while let Some(part) = body.next().await {
        if let Part::Data(bytes) = part? {
            md5.update(&bytes);
        }
    }
    Ok(md5.digest())
}

/// Sends the bytes of a file as they are, and gives their digest. What cannot be sent to its end
/// ends the connection: nothing else could tell the peer.
pub(super) async fn send<Io: Wire, S: Answers>(
    talk: &mut Conversation<Io, S>,
    mut body: Body,
) -> Result<Md5Digest, CourseError> {
    talk.speak(framings::text()?);
    let mut md5 = Md5Hasher::default();
    while let Some(part) = body.next().await {
        match part {
            Ok(Part::Data(bytes)) if !bytes.is_empty() => {
                md5.update(&bytes);
                talk.send(bytes).await?;
            }
            Ok(_) => {}
            Err(error) => return Err(CourseError::File(error)),
        }
    }
    Ok(md5.digest())
}
