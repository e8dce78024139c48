//! Moves files to and from the server.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::{BufMut, Bytes};
use futures_util::stream;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Client, ClientError, Reply, unasked_body};
use crate::{
    Body, BodyError, Code, Fields, Part, Status, Verb,
    buffers::Buffers,
    files::{Digest, FileName, Hasher, Version},
};

/// Bytes read from a local file at once.
const CHUNK: usize = 256 * 1024;

/// How many buffers are kept for further chunks: one that is sent and one that is read.
const KEPT: usize = 2;

/// The most files that [`Client::list_all`] takes, whatever the server says.
const MAX_FILES: usize = 1_000_000;

/// A file as the server lists it. Its name is checked: it can be one component of a path, and
/// nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteFile {
    /// Its name.
    pub name: FileName,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last written, where the server tells.
    pub modified: Option<SystemTime>,
    /// Which version of the name it is, where the server tells.
    pub version: Option<Version>,
}

/// A page of the server's files, in the order of their names' bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing {
    /// The files.
    pub files: Vec<RemoteFile>,
    /// What to give as `after` for the next page, if there is one.
    pub next: Option<FileName>,
}

/// A file that the server has stored for good.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Uploaded {
    /// Its size in bytes.
    pub size: u64,
    /// The digest of its bytes, the same here and there; none if the client [does
    /// without](Client::set_digests).
    pub digest: Option<Digest>,
    /// Whether it took the place of an older version.
    pub replaced: bool,
    /// Whether the server said that it is stored. Where the dialect has no words for that, all that
    /// is known is that every byte was sent.
    pub confirmed: bool,
}

impl Client {
    /// Stores what `content` holds as `name`. With `size` known the server can refuse at once.
    ///
    /// Unless it is `Ok`, nothing was stored under the name, or (if the connection was lost) it is
    /// not known; the old version is whole in any case.
    pub async fn put(
        &mut self,
        name: &FileName,
        size: Option<u64>,
        overwrite: bool,
        content: impl AsyncRead + Send + Unpin + 'static,
    ) -> Result<Uploaded, ClientError> {
        let mut arguments = Fields::new().with("name", name);
        if let Some(size) = size {
            arguments.set("size", size);
        }
        if overwrite {
            arguments.set("overwrite", true);
        }
        if self.does_without_digest() {
            arguments.set("digest", false);
        }
        let sent = Arc::new(OnceLock::new());
        let source = Source {
            content,
            hasher: (!self.does_without_digest()).then(Digest::hasher),
            count: 0,
            buffers: Buffers::new(CHUNK, KEPT),
            sent: sent.clone(),
        };
        let body = Body::from_stream(stream::unfold(Some(source), async |source| {
            source?.next().await
        }));
        let result = self.call(Verb::PUT, arguments, body).await;
        if let Some(Read::Failed(kind)) = sent.get() {
            return Err(ClientError::Source((*kind).into()));
        }
        let reply = result?;
        if reply.has_body() {
            return Err(unasked_body());
        }
        let details = reply.details();
        let (size, digest) = (details.require("size")?, details.get("digest")?);
        if sent.get() != Some(&Read::Whole(size, digest)) {
            return Err(ClientError::Nonsense(
                "another size or digest than that of what was sent".to_owned(),
            ));
        }
        Ok(Uploaded {
            size,
            digest,
            replaced: details.get("replaced")?.unwrap_or(false),
            confirmed: !details.get("unconfirmed")?.unwrap_or(false),
        })
    }

    /// A page of the files, from behind `after` on.
    pub async fn list(&mut self, after: Option<&FileName>) -> Result<Listing, ClientError> {
        let mut arguments = Fields::new();
        if let Some(after) = after {
            arguments.set("after", after);
        }
        let details = self.ask(Verb::LIST, arguments).await?;
        let files: Vec<Fields> = details.require("files")?;
        let next: Option<String> = details.get("next")?;
        Ok(Listing {
            files: files
                .iter()
                .map(|file| self.remote_file(file))
                .collect::<Result<_, _>>()?,
            next: next.as_deref().map(checked).transpose()?,
        })
    }

    /// All files, page by page, up to a million.
    pub async fn list_all(&mut self) -> Result<Vec<RemoteFile>, ClientError> {
        let mut files: Vec<RemoteFile> = Vec::new();
        let mut after: Option<FileName> = None;
        loop {
            let page = self.list(after.as_ref()).await?;
            // A server that never advances would keep us here for ever.
            let mut last = after.as_ref();
            for file in &page.files {
                if last.is_some_and(|last| file.name <= *last) {
                    return Err(ClientError::Nonsense(
                        "files that do not follow the ones before".to_owned(),
                    ));
                }
                last = Some(&file.name);
            }
            if let Some(next) = &page.next
                && (page.files.is_empty() || last.is_some_and(|last| next < last))
            {
                return Err(ClientError::Nonsense(
                    "a further page that does not follow this one".to_owned(),
                ));
            }
            files.extend(page.files);
            if files.len() > MAX_FILES {
                return Err(ClientError::Nonsense(format!(
                    "more than {MAX_FILES} files"
                )));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(files),
            }
        }
    }

    /// Fetches a file.
    pub async fn get(&mut self, name: &FileName) -> Result<Download<'_>, ClientError> {
        self.get_version(name, None).await
    }

    /// Fetches a file if it is still `version`: what was chosen from a list is what comes, or
    /// nothing does.
    pub async fn get_version(
        &mut self,
        name: &FileName,
        version: Option<Version>,
    ) -> Result<Download<'_>, ClientError> {
        self.resume(name, version, Digest::hasher()).await
    }

    /// Fetches the rest of a file whose beginning is here and has gone through `have`.
    pub async fn resume(
        &mut self,
        name: &FileName,
        version: Option<Version>,
        have: Hasher,
    ) -> Result<Download<'_>, ClientError> {
        self.fetch(Some(name), version, have).await
    }

    /// Fetches what the server sends to whoever connects; its name is checked, and the server's
    /// choice.
    pub async fn receive(&mut self) -> Result<Download<'_>, ClientError> {
        self.fetch(None, None, Digest::hasher()).await
    }

    async fn fetch(
        &mut self,
        name: Option<&FileName>,
        version: Option<Version>,
        have: Hasher,
    ) -> Result<Download<'_>, ClientError> {
        let mut arguments = Fields::new();
        if let Some(name) = name {
            arguments.set("name", name);
        }
        if have.count() > 0 {
            arguments.set("offset", have.count());
        }
        if let Some(version) = version {
            arguments.set("version", version);
        }
        let digest_due = !self.does_without_digest();
        if !digest_due {
            arguments.set("digest", false);
        }
        let has_versions = self.has_versions();
        let reply = self.call(Verb::GET, arguments, Body::none()).await?;
        let file = remote_file(reply.details(), has_versions)?;
        if name.is_some_and(|name| file.name != *name)
            || version.is_some_and(|version| Some(version) != file.version)
        {
            return Err(ClientError::Nonsense(
                "another file than the one asked for".to_owned(),
            ));
        }
        if !reply.has_body() || have.count() > file.size {
            return Err(ClientError::Nonsense("a file without its bytes".to_owned()));
        }
        Ok(Download {
            reply,
            file,
            come: have.count(),
            hasher: digest_due.then_some(have),
        })
    }

    fn remote_file(&self, fields: &Fields) -> Result<RemoteFile, ClientError> {
        remote_file(fields, self.has_versions())
    }

    /// Removes a file.
    pub async fn remove(&mut self, name: &FileName) -> Result<(), ClientError> {
        self.ask(Verb::REMOVE, Fields::new().with("name", name))
            .await
            .map(drop)
    }
}

/// A file on its way here.
#[derive(Debug)]
pub struct Download<'a> {
    reply: Reply<'a>,
    file: RemoteFile,
    /// Bytes of the file that are here.
    come: u64,
    /// None without a digest to compare with.
    hasher: Option<Hasher>,
}

impl Download<'_> {
    /// The file, as it was when the download began.
    pub fn file(&self) -> &RemoteFile {
        &self.file
    }

    /// The next bytes. `None` comes only when all have come and their digest, unless the client [does
    /// without](Client::set_digests), agrees with the server's; more bytes than announced are an error. Cancel safe.
    pub async fn read(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.reply.next().await {
                Some(Ok(Part::Data(bytes))) => {
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(&bytes);
                    }
                    self.come += bytes.len() as u64;
                    if self.come > self.file.size {
                        return Err(ClientError::Nonsense(
                            "more bytes than announced".to_owned(),
                        ));
                    }
                    return Ok(Some(bytes));
                }
                Some(Ok(Part::End(trailer))) => {
                    if self.come < self.file.size {
                        return Err(ClientError::Nonsense(
                            "fewer bytes than announced".to_owned(),
                        ));
                    }
                    if let Some(digest) = self.digest()
                        && digest != trailer.require("digest")?
                    {
                        return Err(ClientError::Nonsense(
                            "a digest that is not the file's".to_owned(),
                        ));
                    }
                    return Ok(None);
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(ClientError::Body(error)),
                None => return Err(ClientError::Body(BodyError::ConnectionLost)),
            }
        }
    }

    /// The digest of what has come so far; at the end, of the file. None if the client [does
    /// without](Client::set_digests).
    pub fn digest(&self) -> Option<Digest> {
        self.hasher.as_ref().map(Hasher::digest)
    }
}

/// How the reading of a local file went.
#[derive(Debug, PartialEq)]
enum Read {
    Whole(u64, Option<Digest>),
    Failed(std::io::ErrorKind),
}

/// A local file on its way to the server.
struct Source<R> {
    content: R,
    /// None if there is to be no digest.
    hasher: Option<Hasher>,
    count: u64,
    buffers: Buffers,
    sent: Arc<OnceLock<Read>>,
}

impl<R: AsyncRead + Unpin> Source<R> {
    async fn next(mut self) -> Option<(Result<Part, BodyError>, Option<Self>)> {
        let mut chunk = self.buffers.lend();
        // Whole chunks, however little each read gives.
        while chunk.len() < CHUNK {
            let room = CHUNK - chunk.len();
            match self.content.read_buf(&mut (&mut chunk).limit(room)).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    let _ = self.sent.set(Read::Failed(error.kind()));
                    let status = Status::new(
                        Code::from_static("cancelled"),
                        "the client could not read it",
                    );
                    return Some((Err(BodyError::Aborted(status)), None));
                }
            }
        }
        if chunk.is_empty() {
            let digest = self.hasher.as_ref().map(Hasher::digest);
            let _ = self.sent.set(Read::Whole(self.count, digest));
            let mut trailer = Fields::new();
            if let Some(digest) = digest {
                trailer.set("digest", digest);
            }
            return Some((Ok(Part::End(trailer)), None));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&chunk);
        }
        self.count += chunk.len() as u64;
        let chunk = self.buffers.take(&mut chunk);
        Some((Ok(Part::Data(chunk)), Some(self)))
    }
}

fn checked(name: &str) -> Result<FileName, ClientError> {
    FileName::existing(name)
        .map_err(|error| ClientError::Nonsense(format!("a file name that is none: {error}")))
}

fn remote_file(fields: &Fields, has_versions: bool) -> Result<RemoteFile, ClientError> {
    let seconds: Option<u64> = fields.get("modified")?;
    let modified = seconds.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    Ok(RemoteFile {
        name: checked(&fields.require::<String>("name")?)?,
        size: fields.require("size")?,
        modified,
        version: match has_versions {
            true => Some(fields.require("version")?),
            false => None,
        },
    })
}
