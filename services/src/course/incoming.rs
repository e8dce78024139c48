//! Takes a file from the connection into the store.

use framing::{BoxFraming, Connection, Error, FrameError, Part as FramePart, Unread};

use super::{
    conversation::{Answers, Conversation, Wire, next},
    exactly::Exactly,
    framings,
    header::{Header, Md5Digest, Md5Hasher},
};
use crate::{
    Body, BodyError, BodySender, Code, Fields, Part, Session, Status, Verb, files::Digest,
};

/// Parts of a file that wait for the store.
const WAITING_PARTS: usize = 4;

/// Stores the file that comes behind `header`: how that went, and the digest of what has come.
///
/// All of it is read also when it is refused, as what follows stands behind it; not where the
/// connection is to be closed, as for a stranger.
pub(super) async fn store<Io: Wire, S: Answers>(
    talk: &mut Conversation<Io, S>,
    header: &Header,
) -> Result<(Status, Option<Md5Digest>), Error> {
    let arguments = Fields::new()
        .with("name", &header.filename)
        .with("size", header.filesize);
    let (sender, body) = Body::channel(WAITING_PARTS);
    let (size, expected) = (header.filesize, header.md5);
    let session = talk.session().clone();
    let feed = |connection| feed(connection, &session, sender, size, expected);
    let (response, fed) = talk.ask_fed(Verb::PUT, arguments, body, feed).await;
    let digest = fed?;
    talk.speak(framings::counted()?);
    Ok((response.status, digest))
}

/// Reads `size` bytes for whoever takes them.
async fn feed<Io: Wire>(
    connection: &mut Connection<Io, BoxFraming>,
    session: &Session,
    sender: BodySender,
    size: u64,
    expected: Option<Md5Digest>,
) -> Result<Option<Md5Digest>, Error> {
    connection.replace_framing(Box::new(Exactly::new(size)), Unread::CarryOn);
    let mut sender = Some(sender);
    let (mut md5, mut hasher) = (Md5Hasher::default(), Digest::hasher());
    let mut left = size;
    while left > 0 {
        // Dropping the sender on an error tells the store that the rest is lost.
        let Some(bytes) = next(connection).await? else {
            return Err(FrameError::truncated(FramePart::Body, 0, None).into());
        };
        left -= bytes.len() as u64;
        if let Some(to) = &mut sender {
            md5.update(&bytes);
            hasher.update(&bytes);
            if to.send(Part::Data(bytes)).await.is_err() {
                // It has been refused already; the rest is in the way of what comes behind it.
                sender = None;
            }
        }
        if sender.is_none() && session.is_closing() {
            return Ok(None);
        }
    }
    let md5 = md5.digest();
    if let Some(mut to) = sender {
        let end = if expected.is_none_or(|expected| expected == md5) {
            Ok(Part::End(Fields::new().with("digest", hasher.digest())))
        } else {
            let sentence = "the MD5 digest is not that of the bytes that came";
            let code = Code::from_static("digest-mismatch");
            Err(BodyError::Aborted(Status::new(code, sentence)))
        };
        if std::future::poll_fn(|cx| to.poll_ready(cx)).await.is_ok() {
            // Who has refused it meanwhile has answered.
            let _ = to.start_send(end);
        }
    }
    Ok(Some(md5))
}
