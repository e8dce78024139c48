//! The files service: stores, lists, fetches and removes files for those who may.

use std::{fmt, sync::Arc, time::UNIX_EPOCH};

use bytes::Bytes;
use futures_util::stream;

use super::{
    Download, FileInfo, FileName, Precondition, ReadFrom, Store, StoreError, StoreErrorKind,
    Version,
    trailer::{Asked, Digests},
};
use crate::{
    Authed, Body, BodyError, Code, Fields, Handle, HandleLayer, Part, Request, Response, Status,
    Verb,
    audit::{Audit, AuditEvent, LogAudit},
    login::{Identity, Right},
};

/// How many files one answer to `list` tells of, unless fewer are asked for.
const PAGE: usize = 1000;

/// Answers [`Verb::PUT`], [`Verb::LIST`], [`Verb::GET`] and [`Verb::REMOVE`].
///
/// | verb | right | arguments | answer |
/// |---|---|---|---|
/// | `put` | `write` | `name`; `size` if known; `overwrite` (false); `version`, to replace just that one; `digest` (true), `sha256` (false) | after the commit: `size`, `digest`, `version`, `replaced` |
/// | `list` | `read` | `after` (a name), `limit` (fewer, if they do not fit into a frame) | `files`: `name`, `size`, `modified` (seconds since 1970), `version`; `next`, if there are more |
/// | `get` | `read` | `name`; `offset` (0); `version`, to fetch just that one; `digest` (true), `sha256` (false) | `name`, `size`, `offset`, `version`, `modified`; the bytes; trailer: `digest` of the whole file |
/// | `remove` | `write` | `name`; `version` | |
///
/// A put's body ends with the `digest` of its bytes (BLAKE3, in hexadecimal) in the trailer, and is
/// stored only if that and the size agree; until the answer says `ok`, nothing is stored. The digest
/// of a get covers the whole file also when it begins at an offset: the part in front is read for it.
///
/// A request with `sha256: true` has a `sha256` in that trailer: in a put it takes the place of the
/// `digest`, in a get it stands beside it.
///
/// A request with `digest: false` does without the `digest`: nothing but its size and the connection
/// then say that a file is whole, for a tenth less time. It is refused unless
/// [`digest_optional`](Self::digest_optional) allows it.
#[derive(Clone)]
pub struct Files {
    store: Arc<dyn Store>,
    digest_optional: bool,
    audit: Arc<dyn Audit>,
}

impl Files {
    /// Serves the files of `store`.
    pub fn new(store: impl Store + 'static) -> Self {
        Self {
            store: Arc::new(store),
            digest_optional: false,
            audit: Arc::new(LogAudit),
        }
    }

    /// Lets requests do without a digest (`false`).
    #[must_use]
    pub fn digest_optional(mut self, optional: bool) -> Self {
        self.digest_optional = optional;
        self
    }

    /// Sets where changes are noted (the log).
    #[must_use]
    pub fn audit(mut self, audit: Arc<dyn Audit>) -> Self {
        self.audit = audit;
        self
    }

    /// The service as a layer.
    pub fn into_layer(self) -> HandleLayer<Self> {
        HandleLayer::new(self)
    }

    async fn put(&self, request: Request) -> Result<Response, Status> {
        let arguments = &request.arguments;
        arguments.only(&["name", "size", "overwrite", "version", "digest", "sha256"])?;
        let name: FileName = arguments.require("name")?;
        let size: Option<u64> = arguments.get("size")?;
        let precondition = match (
            arguments.get::<Version>("version")?,
            arguments.get("overwrite")?,
        ) {
            (Some(version), None) => Precondition::Version(version),
            (None, Some(true)) => Precondition::Any,
            (None, _) => Precondition::Absent,
            (Some(_), Some(_)) => {
                let sentence = "one of `overwrite` and `version` may be given, not both";
                return Err(Status::new(Code::BAD_REQUEST, sentence));
            }
        };
        let asked = Asked::read(arguments, self.digest_optional)?;
        let mut digests = Digests::of_upload(asked);
        let mut upload = self.store.begin(&name, size, precondition).await?;
        if !asked.digest {
            upload.expect_no_digest();
        }
        let mut body = request.body;
        // Dropping the upload on any way out but the commit leaves nothing of it.
        let trailer = loop {
            match body.next().await {
                Some(Ok(Part::Data(bytes))) => {
                    digests.update(&bytes);
                    upload.write(bytes).await?;
                }
                Some(Ok(Part::End(trailer))) => break trailer,
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(lost(&error)),
                None => return Err(Status::new(Code::BAD_REQUEST, "a put needs a body")),
            }
        };
        let digest = digests.agree(&trailer, asked)?;
        let got = upload.offset();
        let stored = upload.commit(size.unwrap_or(got), digest).await?;
        let mut details = Fields::new()
            .with("name", &stored.info.name)
            .with("size", stored.info.size)
            .with("version", stored.info.version)
            .with("replaced", stored.replaced);
        if let Some(digest) = digest {
            details.set("digest", digest);
        }
        Ok(Response::ok().with_details(details))
    }

    async fn list(&self, request: Request) -> Result<Response, Status> {
        request.arguments.only(&["after", "limit"])?;
        // A name that could not be stored any more may still be where a page ended.
        let after: Option<String> = request.arguments.get("after")?;
        let after = after
            .map(|name| FileName::existing(&name))
            .transpose()
            .map_err(StoreError::from)?;
        let limit: usize = request.arguments.get("limit")?.unwrap_or(PAGE);
        let listing = self
            .store
            .list(after.as_ref(), limit.clamp(1, PAGE))
            .await?;
        let mut files: Vec<Fields> = listing.files.iter().map(describe).collect();
        let mut next = listing.next.as_ref();
        let fitting = fitting(&files, request.session.frame_limit());
        if fitting < files.len() {
            files.truncate(fitting);
            next = Some(&listing.files[fitting - 1].name);
        }
        let mut details = Fields::new().with("files", files);
        if let Some(next) = next {
            details.set("next", next);
        }
        Ok(Response::ok().with_details(details))
    }

    async fn get(&self, request: Request) -> Result<Response, Status> {
        let arguments = &request.arguments;
        arguments.only(&["name", "offset", "version", "digest", "sha256"])?;
        let name = existing(arguments)?;
        let offset: u64 = arguments.get("offset")?.unwrap_or(0);
        let version = arguments.get::<Version>("version")?;
        let from = |offset| match version {
            Some(version) => ReadFrom::offset(offset).of_version(version),
            None => ReadFrom::offset(offset),
        };
        let asked = Asked::read(arguments, self.digest_optional)?;
        let mut digests = Digests::of_download(asked);
        // Only a digest needs what stands in front of the offset.
        let begin = if asked.digest || asked.sha256 {
            0
        } else {
            offset
        };
        let mut download;
        if begin == offset {
            download = self.store.open(&name, from(offset)).await?;
        } else {
            // An offset behind the end is refused before the file is read.
            drop(self.store.open(&name, from(offset)).await?);
            download = self.store.open(&name, from(0)).await?;
        }
        let details = describe(download.info()).with("offset", offset);
        let mut first = None;
        while begin + digests.count() < offset {
            let Some(mut chunk) = download.read().await? else {
                return Err(StoreError::Changed.into());
            };
            let before = (offset - begin - digests.count()).min(chunk.len() as u64) as usize;
            digests.update(&chunk[..before]);
            let rest = chunk.split_off(before);
            first = Some(rest).filter(|rest| !rest.is_empty());
        }
        let body = Body::from_stream(stream::unfold(
            Some(Sending {
                download,
                digests,
                first,
            }),
            async |sending| sending?.next().await,
        ));
        Ok(Response::ok().with_details(details).with_body(body))
    }

    async fn remove(&self, request: Request) -> Result<Response, Status> {
        request.arguments.only(&["name", "version"])?;
        let name = existing(&request.arguments)?;
        let precondition = match request.arguments.get::<Version>("version")? {
            Some(version) => Precondition::Version(version),
            None => Precondition::Any,
        };
        self.store.remove(&name, precondition).await?;
        Ok(Response::ok())
    }
}

impl Handle<Authed<Request>> for Files {
    fn takes(&self, verb: &Verb) -> bool {
        [Verb::PUT, Verb::LIST, Verb::GET, Verb::REMOVE].contains(verb)
    }

    async fn handle(self, Authed { request, identity }: Authed<Request>) -> Response {
        let (session, verb) = (request.session.clone(), request.verb.clone());
        let subject: String = request
            .arguments
            .get("name")
            .ok()
            .flatten()
            .unwrap_or_default();
        let result = if verb == Verb::PUT {
            match allowed(&identity, Right::Write) {
                Ok(()) => self.put(request).await,
                Err(status) => Err(status),
            }
        } else if verb == Verb::REMOVE {
            match allowed(&identity, Right::Write) {
                Ok(()) => self.remove(request).await,
                Err(status) => Err(status),
            }
        } else {
            match allowed(&identity, Right::Read) {
                Ok(()) if verb == Verb::LIST => self.list(request).await,
                Ok(()) => self.get(request).await,
                Err(status) => Err(status),
            }
        };
        let action = match &verb {
            verb if *verb == Verb::PUT => Some("put"),
            verb if *verb == Verb::REMOVE => Some("remove"),
            _ => None,
        };
        if let Some(action) = action {
            let outcome = result
                .as_ref()
                .map_or_else(|status| status.code().as_str(), |_| "ok");
            self.audit.record(AuditEvent::new(
                &session,
                &identity.name,
                action,
                &subject,
                outcome,
            ));
        }
        result.unwrap_or_else(Response::from)
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// A file on its way out.
struct Sending {
    download: Box<dyn Download>,
    digests: Digests,
    /// Bytes read together with what stands in front of the offset.
    first: Option<Bytes>,
}

impl Sending {
    async fn next(mut self) -> Option<(Result<Part, BodyError>, Option<Self>)> {
        let chunk = match self.first.take() {
            Some(chunk) => Ok(Some(chunk)),
            None => self.download.read().await,
        };
        match chunk {
            Ok(Some(chunk)) => {
                self.digests.update(&chunk);
                Some((Ok(Part::Data(chunk)), Some(self)))
            }
            Ok(None) => {
                let trailer = self.digests.to_trailer();
                Some((Ok(Part::End(trailer)), None))
            }
            Err(error) => Some((Err(BodyError::Aborted(error.into())), None)),
        }
    }
}

fn describe(info: &FileInfo) -> Fields {
    let since = info.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    Fields::new()
        .with("name", &info.name)
        .with("size", info.size)
        .with("modified", since.as_secs())
        .with("version", info.version)
}

/// How many of `files` fit into a response of `limit` bytes; at least one, if there is one.
fn fitting(files: &[Fields], limit: usize) -> usize {
    // The rest of the head, and the longest `next` with every byte of it escaped.
    let mut size = 64 + 6 * FileName::MAX_LENGTH;
    let fitting = files.iter().take_while(|file| {
        size += file.length_as_json() + 1;
        size <= limit
    });
    fitting.count().max(files.len().min(1))
}

/// The name of a file that is there, if it is.
fn existing(arguments: &Fields) -> Result<FileName, Status> {
    let name: String = arguments.require("name")?;
    Ok(FileName::existing(&name).map_err(StoreError::from)?)
}

fn allowed(identity: &Identity, right: Right) -> Result<(), Status> {
    if identity.rights.contains(right) {
        return Ok(());
    }
    Err(Status::new(
        Code::NOT_ALLOWED,
        format!("this needs the right `{right}`"),
    ))
}

fn lost(error: &BodyError) -> Status {
    Status::new(Code::BAD_REQUEST, format!("nothing was stored: {error}"))
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        let code = match error.kind() {
            StoreErrorKind::Busy => Code::BUSY,
            StoreErrorKind::Io => Code::INTERNAL,
            kind => Code::from_static(kind.as_str()),
        };
        Self::new(code, error.to_string())
    }
}
