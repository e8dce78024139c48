//! Keeps accounts in a text file, and follows its changes.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::OFlags;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::accounts::{Account, Accounts, AccountsError, BoxFuture};
use super::identity::Rights;
use super::table::{self, LineError};

/// The largest accounts file that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// How long a file that is written in place must stay as it is before it is read.
const SETTLE: Duration = Duration::from_millis(100);

/// How often that is waited for, until the next login looks again.
const SETTLE_TRIES: u32 = 10;

/// [`Accounts`] of a text file.
///
/// Each line is an account: `name|password-or-hash`, or `name|password-or-hash|rights` with rights
/// from `exec`, `read`, `write` and `shell` separated by commas. Lines that are blank or begin with
/// `#` are skipped. One bad line refuses the whole file.
///
/// The file is read again when it has changed, at the next login. Replacing it by renaming another
/// one takes effect at once; when it is written in place, that login waits for a moment until the
/// file stays as it is. A file that is gone, or is refused, changes nothing: the accounts that were
/// read before stay in force, and the reason is logged once.
///
/// The file must be a plain file (or a link to one) of at most 16 MiB that not everybody can write.
/// That everybody can read it, and plain passwords, are logged as warnings.
#[derive(Debug)]
pub struct AccountsFile {
    path: PathBuf,
    default_rights: Rights,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    accounts: Arc<HashMap<String, Account>>,
    /// What the file was when `accounts` were read from it.
    read: Stamp,
    /// What the file was when it was refused.
    refused: Option<Seen>,
}

impl AccountsFile {
    /// Reads the file; lines without rights get `default_rights`. Blocks the thread while it reads.
    ///
    /// # Errors
    /// When the file is missing or refused; the text names the file and the line.
    pub fn open(
        path: impl Into<PathBuf>,
        default_rights: Rights,
    ) -> Result<Self, AccountsFileError> {
        let path = path.into();
        let loaded = load(&path, default_rights);
        let (accounts, read) = loaded.map_err(|problem| AccountsFileError {
            path: path.clone(),
            problem,
        })?;
        let state = State {
            accounts: Arc::new(accounts),
            read,
            refused: None,
        };
        Ok(Self {
            path,
            default_rights,
            state: Mutex::new(state),
        })
    }

    async fn current(&self) -> Arc<HashMap<String, Account>> {
        let mut state = self.state.lock().await;
        let seen = self.look().await;
        if seen == Ok(state.read) || state.refused == Some(seen) {
            return Arc::clone(&state.accounts);
        }
        match self.read_changed(&state, seen).await {
            Ok((accounts, stamp)) => {
                tracing::info!(path = %self.path.display(), accounts = accounts.len(), "the accounts file has changed");
                *state = State {
                    accounts: Arc::new(accounts),
                    read: stamp,
                    refused: None,
                };
            }
            // Still being written: the next login looks again.
            Err(AccountsFileProblem::Unsettled) => {}
            Err(problem) => {
                tracing::error!(path = %self.path.display(), %problem, "the changed accounts file is refused; the accounts read before stay in force");
                state.refused = Some(self.look().await);
            }
        }
        Arc::clone(&state.accounts)
    }

    async fn read_changed(
        &self,
        state: &State,
        mut seen: Seen,
    ) -> Result<(HashMap<String, Account>, Stamp), AccountsFileProblem> {
        // A file of the same number was written in place, and half of it may not be there yet.
        let in_place = |seen: &Seen| seen.is_ok_and(|stamp| stamp.file == state.read.file);
        let mut tries = 0;
        while in_place(&seen) {
            tokio::time::sleep(SETTLE).await;
            let now = self.look().await;
            if now == seen {
                break;
            }
            seen = now;
            tries += 1;
            if tries == SETTLE_TRIES {
                return Err(AccountsFileProblem::Unsettled);
            }
        }
        let (path, default_rights) = (self.path.clone(), self.default_rights);
        tokio::task::spawn_blocking(move || load(&path, default_rights))
            .await
            .unwrap_or_else(|error| Err(AccountsFileProblem::Io(io::Error::other(error).kind())))
    }

    async fn look(&self) -> Seen {
        let path = self.path.clone();
        let look = move || fs::metadata(path).map(|file| Stamp::of(&file));
        match tokio::task::spawn_blocking(look).await {
            Ok(seen) => seen.map_err(|error| error.kind()),
            Err(_) => Err(io::ErrorKind::Other),
        }
    }
}

impl Accounts for AccountsFile {
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Account>, AccountsError>> {
        Box::pin(async move { Ok(self.current().await.get(name).cloned()) })
    }
}

type Seen = Result<Stamp, io::ErrorKind>;

/// Tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(file: &fs::Metadata) -> Self {
        Self {
            file: (file.dev(), file.ino()),
            size: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

fn load(
    path: &Path,
    default_rights: Rights,
) -> Result<(HashMap<String, Account>, Stamp), AccountsFileProblem> {
    let (file, stamp) = open_checked(path)?;
    let text = read_all(&file)?;
    if Stamp::of(&file.metadata().map_err(AccountsFileProblem::from_io)?) != stamp {
        return Err(AccountsFileProblem::Unsettled);
    }
    let accounts = table::parse(&text, default_rights)
        .map_err(|(line, error)| AccountsFileProblem::Line { line, error })?;
    let plain = accounts
        .iter()
        .filter(|account| !account.secret.is_hashed())
        .count();
    if plain > 0 {
        tracing::warn!(
            path = %path.display(),
            accounts = plain,
            "passwords are stored as they are; `framed account hash` replaces them by hashes"
        );
    }
    let accounts = accounts
        .into_iter()
        .map(|account| (account.name.clone(), account));
    Ok((accounts.collect(), stamp))
}

/// Opens the file if it is one that accounts may be read from.
pub(super) fn open_checked(path: &Path) -> Result<(File, Stamp), AccountsFileProblem> {
    // Without blocking, because opening a FIFO would wait for its writer.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(AccountsFileProblem::from_io)?;
    let metadata = file.metadata().map_err(AccountsFileProblem::from_io)?;
    if !metadata.is_file() {
        return Err(AccountsFileProblem::NotAFile);
    }
    if metadata.len() > MAX_FILE {
        return Err(AccountsFileProblem::TooLarge);
    }
    if metadata.mode() & 0o002 != 0 {
        return Err(AccountsFileProblem::Writable);
    }
    if metadata.mode() & 0o004 != 0 {
        tracing::warn!(
            path = %path.display(),
            "the accounts file can be read by everybody on this machine; `chmod o= FILE` ends that"
        );
    }
    Ok((file, Stamp::of(&metadata)))
}

pub(super) fn read_all(file: &File) -> Result<Zeroizing<Vec<u8>>, AccountsFileProblem> {
    let length = file.metadata().map_err(AccountsFileProblem::from_io)?.len();
    // Room for all of it at once: a buffer that grows leaves pieces of passwords behind.
    let mut text = Zeroizing::new(Vec::with_capacity(length.min(MAX_FILE) as usize + 1));
    // One byte more, because the file may have grown since it was looked at.
    file.take(MAX_FILE + 1)
        .read_to_end(&mut text)
        .map_err(AccountsFileProblem::from_io)?;
    if text.len() as u64 > MAX_FILE {
        return Err(AccountsFileProblem::TooLarge);
    }
    Ok(text)
}

/// Why an accounts file is refused: which file, and the problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("accounts file {}: {problem}", path.display())]
pub struct AccountsFileError {
    pub(super) path: PathBuf,
    pub(super) problem: AccountsFileProblem,
}

impl AccountsFileError {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with it.
    pub fn problem(&self) -> &AccountsFileProblem {
        &self.problem
    }
}

/// What is wrong with an accounts file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountsFileProblem {
    /// One line is refused.
    #[error("line {line}: {error}")]
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// Why it is refused.
        error: LineError,
    },
    /// It is no plain file.
    #[error("not a plain file")]
    NotAFile,
    /// It is larger than is read.
    #[error("larger than 16 MiB")]
    TooLarge,
    /// Everybody can write it.
    #[error("everybody on this machine can write it; `chmod o-w` ends that")]
    Writable,
    /// It is being written at this moment.
    #[error("it is being written at this moment")]
    Unsettled,
    /// The operating system refused.
    #[error("{0}")]
    Io(io::ErrorKind),
}

impl AccountsFileProblem {
    pub(super) fn from_io(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}
