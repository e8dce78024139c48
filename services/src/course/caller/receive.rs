//! Fetches files and lists of them from a script's server.

use framing::{FrameError, Part as FramePart};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::{Answer, Answering, CourseCaller};
use crate::{
    BodyError, Code, Fields, Part, Status,
    course::{
        CourseError, Keys, TransferForm, TransferOptions,
        conversation::next,
        exactly::Exactly,
        framings::{self, SETTLE},
        header::{self, Header, Md5Digest, Md5Hasher},
    },
    escape::escaped,
    files::{Digest, Hasher},
};

/// The digits of an MD5 digest.
const MD5_DIGITS: u64 = 32;

/// The most digits of a size.
const MOST_DIGITS: usize = 20;

/// A file on its way here.
pub(super) struct Arriving {
    size: u64,
    hasher: Hasher,
    md5: Md5Hasher,
    expected: Expected,
}

/// What is known of a file's digest.
enum Expected {
    /// It stood in front of the file, or nowhere.
    Before(Option<Md5Digest>),
    /// Its digits come behind the file; those that have come.
    Behind(Vec<u8>),
}

impl Arriving {
    /// The next part. Cancel safe.
    pub(super) async fn next(&mut self, caller: &mut CourseCaller) -> Result<Part, BodyError> {
        if self.hasher.count() < self.size {
            let bytes = self.bytes(caller).await?;
            self.hasher.update(&bytes);
            self.md5.update(&bytes);
            if self.hasher.count() == self.size && matches!(self.expected, Expected::Behind(_)) {
                caller.speak(Box::new(Exactly::new(MD5_DIGITS)));
            }
            return Ok(Part::Data(bytes));
        }
        if let Expected::Behind(digits) = &self.expected {
            let mut have = digits.len();
            while have < MD5_DIGITS as usize {
                let bytes = self.bytes(caller).await?;
                if let Expected::Behind(digits) = &mut self.expected {
                    digits.extend_from_slice(&bytes);
                    have = digits.len();
                }
            }
        }
        let expected = match &self.expected {
            Expected::Before(md5) => *md5,
            Expected::Behind(digits) => Some(Md5Digest::read_bytes(digits).map_err(mismatch)?),
        };
        let md5 = self.md5.clone().digest();
        if expected.is_some_and(|expected| expected != md5) {
            return Err(mismatch(format!(
                "the file that came has the MD5 digest {md5}, not its own"
            )));
        }
        caller.speak(framings::counted().map_err(|_| BodyError::ConnectionLost)?);
        Ok(Part::End(
            Fields::new().with("digest", self.hasher.digest()),
        ))
    }

    async fn bytes(&self, caller: &mut CourseCaller) -> Result<bytes::Bytes, BodyError> {
        match next(&mut caller.connection).await {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) | Err(_) => Err(BodyError::ConnectionLost),
        }
    }
}

fn mismatch(sentence: String) -> BodyError {
    BodyError::Aborted(Status::new(Code::from_static("digest-mismatch"), sentence))
}

/// A file whose header has come.
fn arriving(caller: &mut CourseCaller, header: &Header, expected: Expected) -> Answer {
    caller.speak(Box::new(Exactly::new(header.filesize)));
    if header.filesize == 0 && matches!(expected, Expected::Behind(_)) {
        caller.speak(Box::new(Exactly::new(MD5_DIGITS)));
    }
    let details = Fields::new()
        .with("name", &header.filename)
        .with("size", header.filesize);
    Answer {
        body: Some(Answering::File(Box::new(Arriving {
            size: header.filesize,
            hasher: Digest::hasher(),
            md5: Md5Hasher::default(),
            expected,
        }))),
        ..Answer::ok(details)
    }
}

/// Sends a JSON object and reads the one that comes back: the object of a success, or a status.
pub(super) async fn ask(
    caller: &mut CourseCaller,
    object: Value,
) -> Result<Result<Map<String, Value>, Status>, CourseError> {
    caller.speak(framings::counted()?);
    caller.send(object.to_string()).await?;
    reply(caller).await
}

/// The object that comes.
pub(super) async fn reply(
    caller: &mut CourseCaller,
) -> Result<Result<Map<String, Value>, Status>, CourseError> {
    let message = caller.receive().await?;
    let object = header::object(&message).map_err(CourseError::Nonsense)?;
    match header::text(&object, "status")
        .map_err(CourseError::Nonsense)?
        .as_str()
    {
        "ok" => Ok(Ok(object)),
        "error" => {
            let reason = header::text(&object, "reason").unwrap_or_default();
            Ok(Err(refusal(&reason)))
        }
        other => Err(CourseError::Nonsense(format!(
            "the status {:?}; there are ok and error",
            escaped(other).limit(64)
        ))),
    }
}

/// A reason as a status. One of our own servers begins it with the code.
fn refusal(reason: &str) -> Status {
    const CODES: [&str; 8] = [
        "already-exists",
        "changed",
        "digest-mismatch",
        "name",
        "not-allowed",
        "not-authenticated",
        "not-found",
        "too-large",
    ];
    let (code, sentence) = reason.split_once(": ").unwrap_or(("", reason));
    match CODES.into_iter().find(|known| *known == code) {
        Some(code) => Status::new(Code::from_static(code), sentence.to_owned()),
        None => Status::new(Code::from_static("refused"), reason.to_owned()),
    }
}

/// The files, by number.
pub(super) async fn list(caller: &mut CourseCaller, keys: &Keys) -> Result<Answer, CourseError> {
    let object = match ask(caller, json!({ "op": "list" })).await? {
        Ok(object) => object,
        Err(status) => return Ok(status.into()),
    };
    let Some(Value::Array(listed)) = object.get("files") else {
        return Err(CourseError::Nonsense("a list without `files`".to_owned()));
    };
    let mut files = Vec::with_capacity(listed.len());
    for (file, index) in listed.iter().zip(1u64..) {
        let object = file.as_object();
        let file = object.and_then(|object| {
            let header = Header::read(object, keys).ok()?;
            (object.get("index")?.as_u64()? == index).then_some(header)
        });
        let Some(file) = file else {
            let sentence = format!("the list's number {index} is no file");
            return Err(CourseError::Nonsense(sentence));
        };
        files.push(
            Fields::new()
                .with("name", file.filename)
                .with("size", file.filesize),
        );
    }
    Ok(Answer::ok(Fields::new().with("files", files)))
}

/// A file by its name.
pub(super) async fn get(
    caller: &mut CourseCaller,
    arguments: &Fields,
    keys: &Keys,
) -> Result<Answer, CourseError> {
    let name: String = match wanted(arguments) {
        Ok(Some(name)) => name,
        Ok(None) => return Ok(no_name()),
        Err(status) => return Ok(status.into()),
    };
    let mut object = Map::from_iter([("op".to_owned(), Value::from("get"))]);
    object.insert(keys.filename.clone(), name.into());
    match ask(caller, object.into()).await? {
        Ok(object) => {
            let header = Header::read(&object, keys).map_err(CourseError::Nonsense)?;
            let expected = Expected::Before(header.md5);
            Ok(arriving(caller, &header, expected))
        }
        Err(status) => Ok(status.into()),
    }
}

/// A file that the server sends to whoever connects, or asks for.
pub(super) async fn transfer(
    caller: &mut CourseCaller,
    arguments: &Fields,
    options: &TransferOptions,
) -> Result<Answer, CourseError> {
    let name = match wanted(arguments) {
        Ok(name) => name,
        Err(status) => return Ok(status.into()),
    };
    if options.form != TransferForm::Ack {
        caller.speak(framings::counted()?);
        let message = caller.receive().await?;
        let header = header::object(&message)
            .and_then(|object| Header::read(&object, &options.keys))
            .map_err(CourseError::Nonsense)?;
        let expected = Expected::Before(header.md5);
        return Ok(arriving(caller, &header, expected));
    }
    let Some(filename) = name else {
        return Ok(no_name());
    };
    caller.speak(framings::text()?);
    caller.send(format!("get {filename}")).await?;
    let mut digits = caller.receive().await?.to_vec();
    // A number without an end of its own is complete after a pause.
    while let Ok(more) = timeout(SETTLE, next(&mut caller.connection)).await {
        match more? {
            Some(more) if digits.len() <= MOST_DIGITS => digits.extend_from_slice(&more),
            _ => break,
        }
    }
    let text = String::from_utf8_lossy(&digits);
    let plain = digits.len() <= MOST_DIGITS && digits.iter().all(u8::is_ascii_digit);
    let Some(filesize) = text.parse().ok().filter(|_| plain) else {
        return Err(CourseError::Nonsense(format!(
            "{:?} in place of a size",
            escaped(&text).limit(256)
        )));
    };
    caller.send("ok").await?;
    let header = Header {
        filename,
        filesize,
        md5: None,
    };
    Ok(arriving(caller, &header, Expected::Behind(Vec::new())))
}

fn no_name() -> Answer {
    Status::new(Code::BAD_REQUEST, "this dialect needs a file's name").into()
}

/// The name that is asked for; there is nothing but whole files here.
fn wanted(arguments: &Fields) -> Result<Option<String>, Status> {
    if arguments.get::<u64>("offset")?.unwrap_or(0) > 0 {
        let sentence = "this dialect has no words for a part of a file";
        return Err(Status::new(Code::UNSUPPORTED, sentence));
    }
    Ok(arguments.get("name")?)
}

/// The error of a stream that ends where more must come.
pub(super) fn cut_off() -> CourseError {
    FrameError::truncated(FramePart::Body, 0, None).into()
}
