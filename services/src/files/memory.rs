//! Keeps files in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};

use super::digest::{Digest, Hasher};
use super::error::StoreError;
use super::name::{FileName, looks_like_one_of};
use super::quota::{Quota, Reservation};
use super::store::{
    BoxFuture, Download, FileInfo, Listing, MAX_PAGE, Precondition, ReadFrom, Store, Stored,
    Upload, Version,
};

/// How large the pieces are that a file is kept and handed out in.
const PIECE: usize = 256 << 10;

/// A [`Store`] in memory, for tests and for files that need not last.
///
/// Without a [quota](MemoryStore::with_limits) it grows as long as there are uploads. Nothing in it
/// waits; every future is ready at its first poll. Cloning is cheap and gives the same store.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    files: Mutex<BTreeMap<FileName, Arc<Kept>>>,
    quota: Arc<Quota>,
    versions: AtomicU64,
}

#[derive(Debug)]
struct Kept {
    info: FileInfo,
    /// All pieces but the last have [`PIECE`] bytes; none is empty.
    pieces: Vec<Bytes>,
}

impl MemoryStore {
    /// An empty store without limits.
    pub fn new() -> Self {
        Self::with_limits(None, None)
    }

    /// An empty store that takes files of up to `max_file` bytes and up to `quota` bytes altogether.
    pub fn with_limits(max_file: Option<u64>, quota: Option<u64>) -> Self {
        Self {
            shared: Arc::new(Shared {
                files: Mutex::default(),
                quota: Quota::new(max_file, quota),
                versions: AtomicU64::new(0),
            }),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("files", &self.shared.lock().len())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<FileName, Arc<Kept>>> {
        // A map is whole between its calls, whoever panicked.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_version(&self) -> Version {
        let number = self.versions.fetch_add(1, Ordering::Relaxed);
        u128::from(number).to_be_bytes().into()
    }
}

fn check(
    files: &BTreeMap<FileName, Arc<Kept>>,
    name: &FileName,
    precondition: Precondition,
) -> Result<(), StoreError> {
    let present = files.get(name);
    precondition.check(present.map(|kept| kept.info.version))?;
    if present.is_none() && looks_like_one_of(name, files.keys()) {
        return Err(StoreError::Collision);
    }
    Ok(())
}

impl Store for MemoryStore {
    fn begin<'a>(
        &'a self,
        name: &'a FileName,
        expected: Option<u64>,
        precondition: Precondition,
    ) -> BoxFuture<'a, Result<Box<dyn Upload>, StoreError>> {
        Box::pin(async move {
            name.check_new()?;
            check(&self.shared.lock(), name, precondition)?;
            let room = self.shared.quota.reserve(expected.unwrap_or(0))?;
            Ok(Box::new(MemoryUpload {
                shared: Arc::clone(&self.shared),
                name: name.clone(),
                expected,
                precondition,
                staged: Ok(Staged {
                    pieces: Vec::new(),
                    rest: BytesMut::new(),
                    hasher: Digest::hasher(),
                    room,
                }),
                offset: 0,
            }) as Box<dyn Upload>)
        })
    }

    fn open<'a>(
        &'a self,
        name: &'a FileName,
        from: ReadFrom,
    ) -> BoxFuture<'a, Result<Box<dyn Download>, StoreError>> {
        Box::pin(async move {
            let kept = self.shared.lock().get(name).cloned();
            let kept = kept.ok_or(StoreError::NotFound)?;
            let (offset, _) = from.check(&kept.info)?;
            Ok(Box::new(MemoryDownload { kept, offset }) as Box<dyn Download>)
        })
    }

    fn list<'a>(
        &'a self,
        after: Option<&'a FileName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        Box::pin(async move {
            let limit = limit.clamp(1, MAX_PAGE);
            let files = self.shared.lock();
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            let mut behind = files.range::<FileName, _>((start, Bound::Unbounded));
            let page: Vec<_> = behind.by_ref().take(limit).collect();
            let next = page.last().filter(|_| behind.next().is_some());
            Ok(Listing {
                next: next.map(|(name, _)| (*name).clone()),
                files: page.iter().map(|(_, kept)| kept.info.clone()).collect(),
                others: 0,
            })
        })
    }

    fn remove<'a>(
        &'a self,
        name: &'a FileName,
        precondition: Precondition,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut files = self.shared.lock();
            let kept = files.get(name).ok_or(StoreError::NotFound)?;
            precondition.check(Some(kept.info.version))?;
            self.shared.quota.removed(kept.info.size);
            files.remove(name);
            Ok(())
        })
    }
}

#[derive(Debug)]
struct MemoryUpload {
    shared: Arc<Shared>,
    name: FileName,
    expected: Option<u64>,
    precondition: Precondition,
    /// What has come, or why the upload ended.
    staged: Result<Staged, StoreError>,
    offset: u64,
}

#[derive(Debug)]
struct Staged {
    pieces: Vec<Bytes>,
    rest: BytesMut,
    hasher: Hasher,
    room: Reservation,
}

impl Staged {
    fn take(&mut self, chunk: &[u8]) {
        self.hasher.update(chunk);
        self.rest.extend_from_slice(chunk);
        while self.rest.len() >= PIECE {
            self.pieces.push(self.rest.split_to(PIECE).freeze());
        }
    }
}

impl MemoryUpload {
    fn take(&mut self, chunk: &[u8]) -> Result<(), StoreError> {
        let staged = self.staged.as_mut().map_err(|error| error.clone())?;
        let offset = self.offset.saturating_add(chunk.len() as u64);
        let allowed = match self.expected {
            Some(expected) if offset > expected => Err(StoreError::SizeMismatch {
                expected,
                got: offset,
            }),
            Some(_) => Ok(()),
            None => staged.room.grow_to(offset),
        };
        if let Err(error) = allowed {
            self.staged = Err(error.clone());
            return Err(error);
        }
        staged.take(chunk);
        self.offset = offset;
        Ok(())
    }

    fn publish(self, size: u64, digest: Option<Digest>) -> Result<Stored, StoreError> {
        let mut staged = self.staged?;
        let expected = self.expected.unwrap_or(size);
        for (expected, got) in [(expected, size), (size, self.offset)] {
            if expected != got {
                return Err(StoreError::SizeMismatch { expected, got });
            }
        }
        if digest.is_some_and(|digest| digest != staged.hasher.digest()) {
            return Err(StoreError::DigestMismatch);
        }
        if !staged.rest.is_empty() {
            staged.pieces.push(staged.rest.freeze());
        }
        let mut files = self.shared.lock();
        check(&files, &self.name, self.precondition)?;
        let info = FileInfo {
            name: self.name.clone(),
            size,
            modified: SystemTime::now(),
            version: self.shared.next_version(),
        };
        let kept = Kept {
            info: info.clone(),
            pieces: staged.pieces,
        };
        let old = files.insert(self.name, Arc::new(kept));
        let replaced = old.as_ref().map_or(0, |old| old.info.size);
        staged.room.settle(size, replaced);
        Ok(Stored {
            info,
            replaced: old.is_some(),
        })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Upload for MemoryUpload {
    fn offset(&self) -> u64 {
        self.offset
    }

    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.take(&chunk) })
    }

    fn commit(
        self: Box<Self>,
        size: u64,
        digest: Option<Digest>,
    ) -> BoxFuture<'static, Result<Stored, StoreError>> {
        Box::pin(async move { self.publish(size, digest) })
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { drop(self) })
    }
}

#[derive(Debug)]
struct MemoryDownload {
    kept: Arc<Kept>,
    offset: u64,
}

impl MemoryDownload {
    fn next(&mut self) -> Option<Bytes> {
        let piece = PIECE as u64;
        // An index that does not fit is behind the last piece in any case.
        let index = usize::try_from(self.offset / piece).unwrap_or(usize::MAX);
        let within = (self.offset % piece) as usize;
        let chunk = self.kept.pieces.get(index)?.slice(within..);
        self.offset += chunk.len() as u64;
        Some(chunk).filter(|chunk| !chunk.is_empty())
    }
}

impl Download for MemoryDownload {
    fn info(&self) -> &FileInfo {
        &self.kept.info
    }

    fn read(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        Box::pin(async move { Ok(self.next()) })
    }
}
