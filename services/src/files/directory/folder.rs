//! Reads, publishes and removes names in one opened folder, and never follows a link.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt};
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::files::error::StoreError;
use crate::files::name::{FileName, is_own, looks_like_one_of};
use crate::files::quota::Quota;
use crate::files::store::{FileInfo, Precondition, Version};

/// The sub-folder where uploads wait for their commit.
const STAGING: &str = ".framewright-staging";

/// How long a change of names waits for another process that is just making one.
const NAMES_WAIT: Duration = Duration::from_secs(5);

/// How often, at most, files are counted afresh because the quota seemed used up.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// The files' folder and its staging folder, opened once and held.
#[derive(Debug)]
pub(super) struct Folder {
    files: Dir,
    pub(super) staging: Dir,
    pub(super) quota: Arc<Quota>,
    pub(super) sync: bool,
    hard_links: bool,
    /// Held while names change, so that looking at them and changing them is one step.
    names: Mutex<()>,
    counted: Mutex<Option<Instant>>,
}

impl Folder {
    pub(super) fn open(
        path: &Path,
        quota: Arc<Quota>,
        sync: bool,
        hard_links: bool,
    ) -> io::Result<Self> {
        let files = Dir::open_ambient_dir(path, ambient_authority())?;
        let mut private = DirBuilder::new();
        private.mode(0o700);
        match files.create_dir_with(STAGING, &private) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // Not through a planted link, and not as a mere path handle: it is locked later on.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let staging = rustix::fs::openat(&files, STAGING, flags, Mode::empty())?;
        Ok(Self {
            files,
            staging: Dir::from_std_file(File::from(staging)),
            quota,
            sync,
            hard_links,
            names: Mutex::new(()),
            counted: Mutex::new(None),
        })
    }

    /// All entries but our own: the names of possible files, and `None` for what is never served.
    pub(super) fn entries(
        &self,
    ) -> Result<impl Iterator<Item = Result<Option<FileName>, StoreError>>, StoreError> {
        let failed = |error: io::Error| StoreError::from_io("reading the folder", &error);
        let entries = self.files.entries().map_err(failed)?;
        Ok(entries.filter_map(move |entry| {
            let read = entry.and_then(|entry| {
                let name = entry.file_name();
                // What kind it is comes with the name, without a further question to the disk.
                Ok((name, entry.file_type()?.is_file()))
            });
            match read {
                Ok((name, _)) if name.to_str().is_some_and(is_own) => None,
                Ok((name, true)) => Some(Ok(name
                    .to_str()
                    .and_then(|name| FileName::existing(name).ok()))),
                Ok((_, false)) => Some(Ok(None)),
                // Removed between reading its name and asking what it is.
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => Some(Err(failed(error))),
            }
        }))
    }

    /// What is known of the plain file `name`; `None` when nothing has this name.
    pub(super) fn info(&self, name: &FileName) -> Result<Option<FileInfo>, StoreError> {
        let stat = match rustix::fs::statat(&self.files, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(failed("looking at a file", error)),
        };
        self.plain(name, &stat).map(Some)
    }

    /// Opens the plain file `name` for reading.
    pub(super) fn open_file(&self, name: &FileName) -> Result<(File, FileInfo), StoreError> {
        // Looked at before it is opened, because opening a device can set something off already; and
        // after, because only then it is sure that it is what was opened.
        self.info(name)?.ok_or(StoreError::NotFound)?;
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.files, name.as_str(), flags, Mode::empty())
            .map_err(|error| failed("opening a file", error))?;
        let stat = rustix::fs::fstat(&file).map_err(|error| failed("looking at a file", error))?;
        // A file that was replaced or removed just after it was opened is still whole.
        let info = self.plain(name, &stat)?;
        Ok((File::from(file), info))
    }

    /// Refuses what is no plain file, or has another name that may stand outside of the folder.
    fn plain(&self, name: &FileName, stat: &Stat) -> Result<FileInfo, StoreError> {
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !regular || (stat.st_nlink > 1 && !self.hard_links) {
            return Err(StoreError::NotAFile);
        }
        Ok(info_of(name.clone(), stat))
    }

    /// Whether `precondition` holds of `name`, and it looks like no other name. Returns the file that
    /// has the name now.
    pub(super) fn check(
        &self,
        name: &FileName,
        precondition: Precondition,
    ) -> Result<Option<FileInfo>, StoreError> {
        let present = match self.info(name) {
            // Whatever it is, it has the name: a link is no reason to speak of links.
            Err(StoreError::NotAFile) if precondition == Precondition::Absent => {
                return Err(StoreError::AlreadyExists);
            }
            other => other?,
        };
        precondition.check(present.as_ref().map(|info| info.version))?;
        if present.is_none() {
            self.check_look(name)?;
        }
        Ok(present)
    }

    /// Looks at every name, folders and links included: on another system they would be the same.
    fn check_look(&self, name: &FileName) -> Result<(), StoreError> {
        let failed = |error: io::Error| StoreError::from_io("reading the folder", &error);
        let mut broken = None;
        let others = self.files.entries().map_err(failed)?.map_while(|entry| {
            entry
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .map_err(|error| broken = Some(error))
                .ok()
        });
        let alike = looks_like_one_of(name, others);
        match broken {
            Some(error) => Err(failed(error)),
            None if alike => Err(StoreError::Collision),
            None => Ok(()),
        }
    }

    /// Gives the staged file `staged` its `name`, in one step, and returns the size of the file whose
    /// place it took.
    pub(super) fn publish(
        &self,
        staged: &str,
        name: &FileName,
        precondition: Precondition,
    ) -> Result<Option<u64>, StoreError> {
        let names = self.lock_names()?;
        let present = self.check(name, precondition)?;
        if precondition == Precondition::Absent {
            self.publish_new(staged, name)?;
        } else {
            rustix::fs::renameat(&self.staging, staged, &self.files, name.as_str())
                .map_err(|error| failed("publishing a file", error))?;
        }
        drop(names);
        Ok(present.map(|info| info.size))
    }

    /// The lock on names binds only those who take it; this cannot replace a file even when somebody
    /// else makes one at the same moment.
    fn publish_new(&self, staged: &str, name: &FileName) -> Result<(), StoreError> {
        let failed = |error| failed("publishing a file", error);
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
        match rustix::fs::renameat_with(
            &self.staging,
            staged,
            &self.files,
            name.as_str(),
            rustix::fs::RenameFlags::NOREPLACE,
        ) {
            // The file system does not know how: link and unlink do the same in two steps.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            outcome => return outcome.map_err(failed),
        }
        rustix::fs::linkat(
            &self.staging,
            staged,
            &self.files,
            name.as_str(),
            AtFlags::empty(),
        )
        .map_err(failed)?;
        // From here on the file has its name; a second one that stays is swept at the next start.
        if let Err(error) = self.staging.remove_file(staged) {
            tracing::warn!(%error, "a published file keeps its temporary name");
        }
        Ok(())
    }

    /// Makes the folder's names last through a power failure.
    pub(super) fn sync_names(&self) -> Result<(), StoreError> {
        if !self.sync {
            return Ok(());
        }
        // Opened anew, because the held handle may be one that only serves to find names.
        self.files
            .open(".")
            .and_then(|folder| folder.sync_all())
            .map_err(|error| StoreError::from_io("syncing the folder", &error))
    }

    pub(super) fn remove(
        &self,
        name: &FileName,
        precondition: Precondition,
    ) -> Result<(), StoreError> {
        let names = self.lock_names()?;
        let present = self.info(name)?.ok_or(StoreError::NotFound)?;
        precondition.check(Some(present.version))?;
        self.files
            .remove_file(name.as_str())
            .map_err(|error| StoreError::from_io("removing a file", &error))?;
        self.quota.removed(present.size);
        drop(names);
        self.sync_names()
    }

    /// Counts what is stored, if there is a quota.
    pub(super) fn count_stored(&self) -> io::Result<()> {
        if !self.quota.is_limited() {
            return Ok(());
        }
        let names = self.lock_names().map_err(io::Error::other)?;
        let mut sum = 0u64;
        for entry in self.entries().map_err(io::Error::other)? {
            if let Some(name) = entry.map_err(io::Error::other)?
                && let Ok(Some(info)) = self.info(&name)
            {
                sum = sum.saturating_add(info.size);
            }
        }
        self.quota.set_stored(sum);
        drop(names);
        Ok(())
    }

    /// Counts again what is stored, unless that was done a moment ago: the operator may have removed
    /// files, or another process added some. Returns whether it was done.
    pub(super) fn recount_stored(&self) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.is_some_and(|at| at.elapsed() < COUNT_INTERVAL) {
            return false;
        }
        let done = self.count_stored().is_ok();
        *counted = Some(Instant::now());
        done
    }

    /// How many bytes the file system has left for us, if it says so.
    pub(super) fn free_space(&self) -> Option<u64> {
        let space = rustix::fs::fstatvfs(&self.staging).ok()?;
        (space.f_blocks > 0).then(|| space.f_bavail.saturating_mul(space.f_frsize))
    }

    /// Keeps others, of this process and of all that share the folder, from changing names.
    fn lock_names(&self) -> Result<NamesGuard<'_>, StoreError> {
        let within = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let give_up = Instant::now() + NAMES_WAIT;
        // Never waits without end: the process that holds the lock may have been stopped.
        loop {
            match rustix::fs::flock(&self.staging, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    return Ok(NamesGuard {
                        staging: &self.staging,
                        _within: within,
                    });
                }
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if Instant::now() < give_up => {
                    thread::sleep(Duration::from_millis(2));
                }
                Err(Errno::WOULDBLOCK) => return Err(StoreError::Busy),
                Err(error) => return Err(failed("locking the folder", error)),
            }
        }
    }
}

struct NamesGuard<'a> {
    staging: &'a Dir,
    _within: MutexGuard<'a, ()>,
}

impl Drop for NamesGuard<'_> {
    fn drop(&mut self) {
        if let Err(error) = rustix::fs::flock(self.staging, FlockOperation::Unlock) {
            tracing::warn!(%error, "the folder stays locked");
        }
    }
}

pub(super) fn info_of(name: FileName, stat: &Stat) -> FileInfo {
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    FileInfo {
        name,
        size,
        modified: modified(stat),
        version: version_of(stat),
    }
}

fn modified(stat: &Stat) -> SystemTime {
    #[allow(
        clippy::unnecessary_cast,
        reason = "signed on some systems, though never negative"
    )]
    let nanos = Duration::from_nanos(stat.st_mtime_nsec as u64);
    let seconds = Duration::from_secs(stat.st_mtime.unsigned_abs());
    let whole = if stat.st_mtime < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    whole
        .and_then(|whole| whole.checked_add(nanos))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Hashed, so that a peer learns nothing of devices and inode numbers.
fn version_of(stat: &Stat) -> Version {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&stat.st_dev.to_le_bytes());
    hasher.update(&stat.st_ino.to_le_bytes());
    hasher.update(&stat.st_size.to_le_bytes());
    hasher.update(&stat.st_mtime.to_le_bytes());
    hasher.update(&stat.st_mtime_nsec.to_le_bytes());
    let mut version = [0; Version::LENGTH];
    hasher.finalize_xof().fill(&mut version);
    version.into()
}

fn failed(doing: &'static str, error: Errno) -> StoreError {
    StoreError::from_io(doing, &error.into())
}
