//! Holds uploads aside until they are whole.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::folder::{Folder, info_of};
use super::gathered::Gathered;
use super::{AHEAD, PIECE};
use crate::files::digest::{Digest, Hasher};
use crate::files::error::StoreError;
use crate::files::name::FileName;
use crate::files::quota::Reservation;
use crate::files::store::{Precondition, Stored};

/// How often a temporary name is drawn anew before the folder is given up.
const TRIES: usize = 8;

/// An upload in the staging folder. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Staged {
    temporary: Temporary,
    /// None where nobody will say what the digest must be.
    hasher: Option<Hasher>,
    written: u64,
    pub(super) reservation: Arc<Reservation>,
    /// A buffer that has been written, to be filled again.
    pub(super) spare: Vec<u8>,
}

impl Staged {
    /// Makes room for an upload of the announced size, if there is one. Blocks.
    pub(super) fn create(
        folder: Arc<Folder>,
        expected: Option<u64>,
    ) -> Result<Box<Self>, StoreError> {
        let announced = expected.unwrap_or(0);
        let reservation = match folder.quota.reserve(announced) {
            Err(StoreError::QuotaExceeded { .. }) if folder.recount_stored() => {
                folder.quota.reserve(announced)?
            }
            other => other?,
        };
        if folder.free_space().is_some_and(|free| announced > free) {
            return Err(StoreError::NoSpace);
        }
        Ok(Box::new(Self {
            temporary: Temporary::create(folder)?,
            hasher: Some(Digest::hasher()),
            written: 0,
            reservation: Arc::new(reservation),
            spare: Vec::new(),
        }))
    }

    /// Makes no digest of what is written from here on.
    pub(super) fn expect_no_digest(&mut self) {
        self.hasher = None;
    }

    /// Writes all that was `gathered`. Blocks. An error ends the upload.
    pub(super) fn write(mut self: Box<Self>, gathered: Gathered) -> Result<Box<Self>, StoreError> {
        for bytes in gathered.pieces() {
            self.temporary
                .file
                .write_all(bytes)
                .map_err(|error| StoreError::from_io("writing an upload", &error))?;
            if let Some(hasher) = &mut self.hasher {
                hasher.update(bytes);
            }
            self.written += bytes.len() as u64;
        }
        // Much that was gathered once must not keep its memory for as long as the upload lives.
        let spare = gathered.into_spare();
        if spare.capacity() <= 2 * AHEAD * PIECE {
            self.spare = spare;
        }
        Ok(self)
    }

    /// Gives the upload its name, if it is what was announced and nobody has `cancelled` it. Blocks.
    pub(super) fn commit(
        self,
        name: &FileName,
        precondition: Precondition,
        announced: (u64, Option<Digest>),
        cancelled: &AtomicBool,
    ) -> Result<Stored, StoreError> {
        let (size, digest) = announced;
        let got = self.written;
        if size != got {
            return Err(StoreError::SizeMismatch {
                expected: size,
                got,
            });
        }
        // One that was not expected cannot be compared, and so does not agree.
        if digest.is_some() && digest != self.hasher.as_ref().map(Hasher::digest) {
            return Err(StoreError::DigestMismatch);
        }
        let folder = &self.temporary.folder;
        let file = &self.temporary.file;
        if folder.sync {
            // When this fails the pages may be dropped and a second try would seem to succeed, so
            // there is none: the upload ends here.
            file.sync_all()
                .map_err(|error| StoreError::from_io("syncing an upload", &error))?;
        }
        let stat = rustix::fs::fstat(file)
            .map_err(|error| StoreError::from_io("looking at an upload", &error.into()))?;
        if cancelled.load(Ordering::Acquire) {
            return Err(StoreError::Ended);
        }
        let replaced = self.temporary.publish(name, precondition)?;
        self.reservation.settle(size, replaced.unwrap_or(0));
        folder.sync_names()?;
        Ok(Stored {
            info: info_of(name.clone(), &stat),
            replaced: replaced.is_some(),
        })
    }
}

/// A file in the staging folder, locked for as long as we live; removed on drop unless published.
#[derive(Debug)]
struct Temporary {
    folder: Arc<Folder>,
    file: File,
    name: String,
    published: AtomicBool,
}

impl Temporary {
    fn create(folder: Arc<Folder>) -> Result<Self, StoreError> {
        let failed = |error: Errno| StoreError::from_io("staging an upload", &error.into());
        for _ in 0..TRIES {
            let name = random_name()?;
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mode = Mode::from_raw_mode(0o640);
            let file = match rustix::fs::openat(&folder.staging, &name, flags, mode) {
                Err(Errno::EXIST) => continue,
                other => File::from(other.map_err(failed)?),
            };
            let temporary = Self {
                folder: Arc::clone(&folder),
                file,
                name,
                published: AtomicBool::new(false),
            };
            if temporary.claim().map_err(failed)? {
                return Ok(temporary);
            }
        }
        Err(StoreError::Busy)
    }

    /// Locks the file, so that no sweep takes it for a leftover. Fails when a sweep came between
    /// making and locking it: it holds the lock, or has removed the name.
    fn claim(&self) -> rustix::io::Result<bool> {
        match rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(false),
            other => other?,
        }
        Ok(rustix::fs::fstat(&self.file)?.st_nlink > 0)
    }

    fn publish(
        &self,
        name: &FileName,
        precondition: Precondition,
    ) -> Result<Option<u64>, StoreError> {
        let replaced = self.folder.publish(&self.name, name, precondition)?;
        self.published.store(true, Ordering::Relaxed);
        Ok(replaced)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.published.load(Ordering::Relaxed) {
            return;
        }
        match self.folder.staging.remove_file(&self.name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "an ended upload could not be removed");
            }
            _ => {}
        }
    }
}

/// Not to be guessed, so nobody can put something in its place beforehand.
fn random_name() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system gives no random numbers");
        StoreError::Io(io::ErrorKind::Other)
    })?;
    Ok(format!("upload-{:032x}", u128::from_ne_bytes(bytes)))
}

/// Removes staged uploads that nobody holds a lock on: those of ended processes.
pub(super) fn sweep(folder: &Folder) -> io::Result<usize> {
    let mut swept = 0;
    for entry in folder.staging.entries()? {
        let name = entry?.file_name();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&folder.staging, &name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(error) => {
                // Gone meanwhile, or something that we have never put there.
                tracing::debug!(?name, %error, "not swept");
                continue;
            }
        };
        let stat = rustix::fs::fstat(&file)?;
        let ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !ours || rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        match rustix::fs::unlinkat(&folder.staging, &name, AtFlags::empty()) {
            Ok(()) => swept += 1,
            Err(Errno::NOENT) => {}
            Err(error) => tracing::warn!(?name, %error, "a leftover upload could not be removed"),
        }
    }
    if swept > 0 {
        tracing::info!(swept, "removed uploads that ended processes had left");
    }
    Ok(swept)
}
