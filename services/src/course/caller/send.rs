//! Sends files to a script's server.

use std::io::SeekFrom;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::SinkExt;
use serde_json::{Map, Value};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
    time::timeout,
};

use super::{Answer, CourseCaller, receive::reply};
use crate::{
    Body, BodyError, Code, Fields, Part, Status,
    course::{
        CourseError, Keys, TransferForm, TransferOptions,
        conversation::next,
        framings,
        header::{self, Header, Md5Digest, Md5Hasher},
    },
    files::Digest,
};

/// Bytes sent at once.
const CHUNK: usize = 256 * 1024;

/// How long a server may take to read the last bytes and close.
const CLOSE_TIME: Duration = Duration::from_secs(10);

/// A file to be sent, kept aside: its digest stands in front of it on the wire.
struct Kept {
    file: File,
    header: Header,
    md5: Md5Digest,
    /// What whoever gave us the bytes says they are.
    digest: Digest,
}

/// Reads the body to its end.
async fn keep(arguments: &Fields, mut body: Body) -> Result<Kept, CourseError> {
    let failed = |error: std::io::Error| CourseError::Connection(error.into());
    let filename: String = arguments
        .require("name")
        .map_err(|error| CourseError::Nonsense(error.to_string()))?;
    let mut file = File::from_std(tempfile::tempfile().map_err(failed)?);
    let mut md5 = Md5Hasher::default();
    let mut filesize = 0;
    loop {
        match body.next().await {
            Some(Ok(Part::Data(bytes))) => {
                md5.update(&bytes);
                filesize += bytes.len() as u64;
                file.write_all(&bytes).await.map_err(failed)?;
            }
            Some(Ok(Part::End(trailer))) => {
                file.flush().await.map_err(failed)?;
                file.seek(SeekFrom::Start(0)).await.map_err(failed)?;
                let md5 = md5.digest();
                let header = Header {
                    filename,
                    filesize,
                    md5: Some(md5),
                };
                let digest = trailer.require("digest");
                return Ok(Kept {
                    file,
                    header,
                    md5,
                    digest: digest.map_err(|error| CourseError::Nonsense(error.to_string()))?,
                });
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(CourseError::File(error)),
            None => return Err(CourseError::File(BodyError::ConnectionLost)),
        }
    }
}

/// Refuses what a header has no words for.
fn check(arguments: &Fields) -> Result<(), Status> {
    if arguments.get("overwrite")?.unwrap_or(false) || arguments.names().any(|n| n == "version") {
        let sentence = "this dialect has no words for replacing a file";
        return Err(Status::new(Code::UNSUPPORTED, sentence));
    }
    Ok(())
}

/// A header and its file, for whoever listens.
pub(super) async fn transfer(
    caller: &mut CourseCaller,
    arguments: &Fields,
    body: Body,
    options: &TransferOptions,
) -> Result<Answer, CourseError> {
    if let Err(status) = check(arguments) {
        return Ok(status.into());
    }
    let TransferForm::Upload { reply: replies } = options.form else {
        let sentence = "files are only fetched in this form of the dialect";
        return Ok(Status::new(Code::UNSUPPORTED, sentence).into());
    };
    let kept = keep(arguments, body).await?;
    let mut object = Map::new();
    kept.header.write(&options.keys, &mut object);
    if replies {
        return stored(caller, object, kept, &options.keys).await;
    }
    // Nothing comes back but the end.
    caller.spent = true;
    pour(caller, object, &kept.header, kept.file).await?;
    caller.connection.close().await.map_err(CourseError::from)?;
    let end = timeout(CLOSE_TIME, next(&mut caller.connection)).await;
    if let Ok(Err(error)) = end {
        return Err(error.into());
    }
    let details = Fields::new()
        .with("size", kept.header.filesize)
        .with("digest", kept.digest)
        .with("unconfirmed", true);
    Ok(Answer::ok(details))
}

/// A file for the store of a server.
pub(super) async fn put(
    caller: &mut CourseCaller,
    arguments: &Fields,
    body: Body,
    keys: &Keys,
) -> Result<Answer, CourseError> {
    if let Err(status) = check(arguments) {
        return Ok(status.into());
    }
    let kept = keep(arguments, body).await?;
    let mut object = Map::from_iter([("op".to_owned(), Value::from("put"))]);
    kept.header.write(keys, &mut object);
    stored(caller, object, kept, keys).await
}

/// Sends a file, and reads what became of it.
async fn stored(
    caller: &mut CourseCaller,
    object: Map<String, Value>,
    kept: Kept,
    keys: &Keys,
) -> Result<Answer, CourseError> {
    // A server may refuse and close without taking the file: what it says counts more than the
    // failure to send.
    let sent = pour(caller, object, &kept.header, kept.file).await;
    caller.speak(framings::counted()?);
    let answer = match (reply(caller).await, sent) {
        (Err(_), Err(error)) => return Err(error),
        (answer, _) => answer?,
    };
    let object = match answer {
        Ok(object) => object,
        Err(status) => return Ok(status.into()),
    };
    let stored = Header::read(&object, keys).map_err(CourseError::Nonsense)?;
    let same =
        stored.filesize == kept.header.filesize && stored.md5.is_none_or(|md5| md5 == kept.md5);
    if !same {
        let sentence = "the server has stored another size or digest than was sent";
        return Err(CourseError::Nonsense(sentence.to_owned()));
    }
    let details = Fields::new()
        .with("size", kept.header.filesize)
        .with("digest", kept.digest);
    Ok(Answer::ok(details))
}

/// Sends the object with its length, and the bytes as they are.
async fn pour(
    caller: &mut CourseCaller,
    object: Map<String, Value>,
    header: &Header,
    mut file: File,
) -> Result<(), CourseError> {
    caller.speak(framings::counted()?);
    caller.send(header::bytes(object)).await?;
    caller.speak(framings::text()?);
    let mut left = header.filesize;
    while left > 0 {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let read = file.read_buf(&mut chunk).await;
        let read = read.map_err(|error| CourseError::Connection(error.into()))?;
        if read == 0 {
            return Err(super::receive::cut_off());
        }
        left = left.saturating_sub(read as u64);
        caller.send(chunk.freeze()).await?;
    }
    Ok(())
}
