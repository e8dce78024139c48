//! Keeps files in a folder of the local file system.
//!
//! Uploads are staged in the sub-folder `.framewright-staging`, each locked by the process it belongs
//! to, and take their name by one rename. Several stores, also of several processes, may share a
//! folder; quota is counted by each for itself. Checking that a new name looks like no other takes
//! time linear in the number of names.

mod cache;
mod download;
mod folder;
mod gathered;
mod staging;
mod upload;

use std::collections::BinaryHeap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use self::download::DirectoryDownload;
use self::folder::Folder;
use self::staging::Staged;
use self::upload::DirectoryUpload;
use super::error::StoreError;
use super::name::FileName;
use super::quota::Quota;
use super::store::{BoxFuture, Download, Listing, MAX_PAGE, Precondition, ReadFrom, Store, Upload};

/// How much is read or written in one go off the async threads: enough that handing the work over
/// costs little beside it.
const PIECE: usize = 256 << 10;

/// How many pieces are read in one go while the last of those before is sent, and how many come together
/// while those before are written. To hand the work over takes as long as a fifth of a piece; so where
/// there is much, they share that.
const AHEAD: usize = 4;

/// A [`Store`] in a folder of the local file system.
///
/// The folder itself is opened once and held; no name, link or `..` leads out of it. Only plain files
/// with a single name are served: links, folders, FIFOs, sockets, devices, and (unless
/// [`hard_links`](DirectoryOptions::hard_links) allows them) files that have a second name somewhere
/// are neither opened nor listed nor replaced. Files are made with mode 0640, less the umask.
///
/// It must be used within a tokio runtime; the work is done on its blocking threads, but for reads of
/// what the system has in memory. Cloning is cheap and gives the same store.
#[derive(Clone)]
pub struct DirectoryStore {
    folder: Arc<Folder>,
}

impl DirectoryStore {
    /// Opens `folder` without limits; see [`DirectoryOptions::open`].
    ///
    /// # Errors
    /// As [`DirectoryOptions::open`].
    pub fn open(folder: impl AsRef<Path>) -> io::Result<Self> {
        Self::options().open(folder)
    }

    /// Limits and habits to open a folder with.
    pub fn options() -> DirectoryOptions {
        DirectoryOptions::default()
    }

    /// Removes what uploads of ended processes have left, and returns how many there were.
    ///
    /// Opening does this already. Uploads of living processes are untouched. Blocks the thread while
    /// it works.
    ///
    /// # Errors
    /// When the staging folder cannot be read.
    pub fn sweep(&self) -> io::Result<usize> {
        staging::sweep(&self.folder)
    }
}

impl fmt::Debug for DirectoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not where the folder is: a Debug text may end up in a log that others read.
        f.debug_struct("DirectoryStore").finish_non_exhaustive()
    }
}

/// Limits and habits of a [`DirectoryStore`]; from [`DirectoryStore::options`].
#[derive(Debug, Clone)]
pub struct DirectoryOptions {
    max_file: Option<u64>,
    quota: Option<u64>,
    sync: bool,
    hard_links: bool,
}

impl Default for DirectoryOptions {
    fn default() -> Self {
        Self {
            max_file: None,
            quota: None,
            sync: true,
            hard_links: false,
        }
    }
}

impl DirectoryOptions {
    /// The largest file taken, in bytes. Default: no limit.
    #[must_use]
    pub fn max_file(mut self, bytes: u64) -> Self {
        self.max_file = Some(bytes);
        self
    }

    /// How many bytes all files and the uploads under way may have together. Default: no limit.
    ///
    /// While an upload replaces a file, both count. The sum is counted when the folder is opened, and
    /// again (at most once a second) before an upload is refused for it.
    #[must_use]
    pub fn quota(mut self, bytes: u64) -> Self {
        self.quota = Some(bytes);
        self
    }

    /// Whether an upload is on the disk before it is reported as stored. Default: yes.
    ///
    /// Without, a power failure may lose or empty files that were reported as stored.
    #[must_use]
    pub fn sync(mut self, sync: bool) -> Self {
        self.sync = sync;
        self
    }

    /// Whether files that have further names (hard links) are served. Default: no, because such a
    /// name may be a second door to a file outside of the folder.
    #[must_use]
    pub fn hard_links(mut self, allowed: bool) -> Self {
        self.hard_links = allowed;
        self
    }

    /// Opens `folder`, which must exist, and removes what uploads of ended processes have left there.
    ///
    /// Blocks the thread while it works; it is meant for the start of a program. With a quota all
    /// files are counted.
    ///
    /// # Errors
    /// When the folder cannot be opened, or its staging folder neither opened nor made; the text
    /// names the folder.
    pub fn open(self, folder: impl AsRef<Path>) -> io::Result<DirectoryStore> {
        let path = folder.as_ref();
        self.open_folder(path).map_err(|error| {
            let text = format!("cannot keep files in {}: {error}", path.display());
            io::Error::new(error.kind(), text)
        })
    }

    fn open_folder(self, path: &Path) -> io::Result<DirectoryStore> {
        let quota = Quota::new(self.max_file, self.quota);
        let folder = Arc::new(Folder::open(path, quota, self.sync, self.hard_links)?);
        staging::sweep(&folder)?;
        folder.count_stored()?;
        Ok(DirectoryStore { folder })
    }
}

impl Store for DirectoryStore {
    fn begin<'a>(
        &'a self,
        name: &'a FileName,
        expected: Option<u64>,
        precondition: Precondition,
    ) -> BoxFuture<'a, Result<Box<dyn Upload>, StoreError>> {
        Box::pin(async move {
            name.check_new()?;
            let (folder, wanted) = (Arc::clone(&self.folder), name.clone());
            let staged = blocking(move || {
                folder.check(&wanted, precondition)?;
                Staged::create(folder, expected)
            });
            let upload = DirectoryUpload::new(staged.await?, name.clone(), expected, precondition);
            Ok(Box::new(upload) as Box<dyn Upload>)
        })
    }

    fn open<'a>(
        &'a self,
        name: &'a FileName,
        from: ReadFrom,
    ) -> BoxFuture<'a, Result<Box<dyn Download>, StoreError>> {
        Box::pin(async move {
            let (folder, name) = (Arc::clone(&self.folder), name.clone());
            let download = blocking(move || DirectoryDownload::open(&folder, name, from)).await?;
            Ok(Box::new(download) as Box<dyn Download>)
        })
    }

    fn list<'a>(
        &'a self,
        after: Option<&'a FileName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        Box::pin(async move {
            let (folder, after) = (Arc::clone(&self.folder), after.cloned());
            let limit = limit.clamp(1, MAX_PAGE);
            blocking(move || page(&folder, after.as_ref(), limit)).await
        })
    }

    fn remove<'a>(
        &'a self,
        name: &'a FileName,
        precondition: Precondition,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let (folder, name) = (Arc::clone(&self.folder), name.clone());
            blocking(move || folder.remove(&name, precondition)).await
        })
    }
}

/// Reads all names but keeps only one page of them, so that a folder of any size costs little memory.
fn page(folder: &Folder, after: Option<&FileName>, limit: usize) -> Result<Listing, StoreError> {
    let mut first = BinaryHeap::with_capacity(limit + 1);
    let mut others = 0;
    let mut more = false;
    for entry in folder.entries()? {
        let Some(name) = entry? else {
            others += 1;
            continue;
        };
        if after.is_some_and(|after| name <= *after) {
            continue;
        }
        first.push(name);
        if first.len() > limit {
            first.pop();
            more = true;
        }
    }
    let names = first.into_sorted_vec();
    let next = names.last().filter(|_| more).cloned();
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        match folder.info(&name) {
            Ok(Some(info)) => files.push(info),
            // Removed since its name was read.
            Ok(None) => {}
            Err(StoreError::NotAFile) => others += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(Listing {
        files,
        next,
        others,
    })
}

/// Runs `work` on a thread where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    joined(tokio::task::spawn_blocking(work).await)
}

fn joined<T>(
    outcome: Result<Result<T, StoreError>, tokio::task::JoinError>,
) -> Result<T, StoreError> {
    outcome.unwrap_or_else(|error| {
        tracing::error!(%error, "a task of the file store ended early");
        Err(StoreError::Io(io::ErrorKind::Other))
    })
}
