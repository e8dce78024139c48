//! Changes accounts files, for the command line.
//!
//! Each change rewrites the file in one step (a new file, synced, renamed over the old one), so a
//! server that reads it sees the old or the new accounts and nothing between. Comments, blank lines,
//! the order of the lines, line ends and the file's mode and owner stay. A file with a line that is
//! refused is not changed at all. Of two edits at the same time one is refused with
//! [`EditError::Busy`].
//!
//! All functions block the thread, also for the hashes they make; they are not for a server's async
//! threads. Passwords are stored as hashes only.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use zeroize::Zeroizing;

use super::accounts_file::{AccountsFileError, AccountsFileProblem, Stamp, open_checked, read_all};
use super::identity::Rights;
use super::password::Password;
use super::secret::{HashCost, Secret, SecretError};
use super::table::{self, LineError, check_name, check_sentinel, parse_line, without_mark};

/// What is shown of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its rights.
    pub rights: Rights,
    /// Whether only a hash of the password is stored.
    pub hashed: bool,
}

/// Lists the accounts in the order of the file; lines without rights get `default_rights`.
///
/// # Errors
/// When the file cannot be read or is refused.
pub fn list(path: &Path, default_rights: Rights) -> Result<Vec<Entry>, EditError> {
    let read = || {
        let (file, _) = open_checked(path)?;
        let text = read_all(&file)?;
        table::parse(&text, default_rights)
            .map_err(|(line, error)| AccountsFileProblem::Line { line, error })
    };
    let accounts = read().map_err(|problem| EditError::file(path, problem))?;
    let entries = accounts.into_iter().map(|account| Entry {
        hashed: account.secret.is_hashed(),
        name: account.name,
        rights: account.rights,
    });
    Ok(entries.collect())
}

/// Adds an account at the end of the file, which is made (with mode 0600) if it is missing.
///
/// Without `rights` the line gets none, and the account the server's default rights.
///
/// # Errors
/// [`EditError::Exists`] when the name has an account; when name, password or rights are not fit; as
/// for all edits.
pub fn add(
    path: &Path,
    name: &str,
    password: &Password,
    rights: Option<Rights>,
    cost: HashCost,
) -> Result<(), EditError> {
    check_name(name)?;
    if rights.is_some_and(Rights::is_empty) {
        return Err(EditError::NoRights);
    }
    let opened = Opened::open_or_make(path)?;
    if opened.lines()?.iter().any(|line| line.name() == Some(name)) {
        return Err(EditError::Exists);
    }
    let hash = hash_of(name, password, cost)?;
    let rights = rights
        .map(|rights| format!("|{rights}"))
        .unwrap_or_default();
    let end = opened.line_end();
    let mut text = opened.copy(name.len() + hash.len() + 64);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push_str(end);
    }
    for part in [name, "|", &hash, &rights, end] {
        text.push_str(part);
    }
    opened.replace(&text)
}

/// Sets the password of an account.
///
/// # Errors
/// [`EditError::Missing`] when the name has no account; when the password is empty; as for all edits.
pub fn passwd(
    path: &Path,
    name: &str,
    password: &Password,
    cost: HashCost,
) -> Result<(), EditError> {
    let opened = Opened::open(path)?;
    let lines = opened.lines()?;
    if !lines.iter().any(|line| line.name() == Some(name)) {
        return Err(EditError::Missing);
    }
    let hash = hash_of(name, password, cost)?;
    let mut text = opened.copy(hash.len());
    text.truncate(opened.mark().len());
    for line in &lines {
        if line.name() == Some(name) {
            line.write_with(&hash, &mut text);
        } else {
            text.push_str(line.whole);
        }
    }
    opened.replace(&text)
}

/// Removes an account.
///
/// # Errors
/// [`EditError::Missing`] when the name has no account; as for all edits.
pub fn remove(path: &Path, name: &str) -> Result<(), EditError> {
    let opened = Opened::open(path)?;
    let lines = opened.lines()?;
    let mut text = opened.copy(0);
    text.truncate(opened.mark().len());
    let mut found = false;
    for line in &lines {
        if line.name() == Some(name) {
            found = true;
        } else {
            text.push_str(line.whole);
        }
    }
    if !found {
        return Err(EditError::Missing);
    }
    opened.replace(&text)
}

/// Replaces all plain passwords by their hashes, and returns how many there were.
///
/// # Errors
/// As for all edits.
pub fn hash_in_place(path: &Path, cost: HashCost) -> Result<usize, EditError> {
    let opened = Opened::open(path)?;
    let lines = opened.lines()?;
    let mut text = opened.copy(lines.len().saturating_mul(128));
    text.truncate(opened.mark().len());
    let mut hashed = 0;
    for line in &lines {
        match line.secret.as_ref().and_then(Secret::as_plain) {
            Some(plain) => {
                line.write_with(
                    &hash_of(line.name().unwrap_or_default(), plain, cost)?,
                    &mut text,
                );
                hashed += 1;
            }
            None => text.push_str(line.whole),
        }
    }
    if hashed > 0 {
        opened.replace(&text)?;
    }
    Ok(hashed)
}

fn hash_of(name: &str, password: &Password, cost: HashCost) -> Result<String, EditError> {
    check_sentinel(name, Some(password.expose()))?;
    let secret = Secret::hash(password, cost)?;
    secret
        .to_phc()
        .ok_or(EditError::Secret(SecretError::System))
}

/// One line of the file, with its end.
struct Line<'a> {
    whole: &'a str,
    secret: Option<Secret>,
}

impl<'a> Line<'a> {
    /// The name, if the line holds an account.
    fn name(&self) -> Option<&'a str> {
        self.secret.as_ref()?;
        self.whole.split('|').next()
    }

    /// Writes the line with another secret.
    fn write_with(&self, secret: &str, text: &mut String) {
        let content = self.whole.trim_end_matches(['\r', '\n']);
        for (index, field) in content.split('|').enumerate() {
            if index > 0 {
                text.push('|');
            }
            text.push_str(if index == 1 { secret } else { field });
        }
        text.push_str(&self.whole[content.len()..]);
    }
}

/// An accounts file that nobody else edits.
struct Opened {
    /// Where the file really is, all links followed: a link must stay one.
    path: PathBuf,
    /// Holds the lock.
    file: File,
    text: Zeroizing<String>,
}

impl Opened {
    fn open_or_make(path: &Path) -> Result<Self, EditError> {
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(EditError::io("making the accounts file", &error))
            }
            _ => Self::open(path),
        }
    }

    fn open(path: &Path) -> Result<Self, EditError> {
        let refused = |problem| EditError::file(path, problem);
        let real = path
            .canonicalize()
            .map_err(|error| refused(AccountsFileProblem::from_io(error)))?;
        let (file, stamp) = open_checked(&real).map_err(refused)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(EditError::Busy),
            Err(error) => return Err(EditError::io("locking the accounts file", &error.into())),
            Ok(()) => {}
        }
        // Another edit may have put a new file in its place before this lock was had.
        let now = fs::metadata(&real).map(|file| Stamp::of(&file).file);
        if now.ok() != Some(stamp.file) {
            return Err(EditError::Busy);
        }
        let bytes = read_all(&file).map_err(refused)?;
        table::parse(&bytes, Rights::NONE)
            .map_err(|(line, error)| refused(AccountsFileProblem::Line { line, error }))?;
        let utf8 = |_| {
            refused(AccountsFileProblem::Line {
                line: 1,
                error: LineError::Utf8,
            })
        };
        let text = std::str::from_utf8(&bytes).map_err(utf8)?;
        Ok(Self {
            path: real,
            file,
            text: Zeroizing::new(text.to_owned()),
        })
    }

    /// The byte order mark in front, if there is one.
    fn mark(&self) -> &str {
        let length = self.text.len() - without_mark(self.text.as_bytes()).len();
        &self.text[..length]
    }

    fn lines(&self) -> Result<Vec<Line<'_>>, EditError> {
        let lines = self.text[self.mark().len()..].split_inclusive('\n');
        lines
            .map(|whole| {
                let content = whole.strip_suffix('\n').unwrap_or(whole);
                let content = content.strip_suffix('\r').unwrap_or(content);
                let account = parse_line(content, Rights::NONE)?;
                Ok(Line {
                    whole,
                    secret: account.map(|account| account.secret),
                })
            })
            .collect()
    }

    fn line_end(&self) -> &'static str {
        let first = self.text.split_inclusive('\n').next();
        if first.is_some_and(|line| line.ends_with("\r\n")) {
            "\r\n"
        } else {
            "\n"
        }
    }

    /// The text, with room for `more` bytes: growing would leave a copy of it in memory.
    fn copy(&self, more: usize) -> Zeroizing<String> {
        let mut copy = Zeroizing::new(String::with_capacity(self.text.len() + more));
        copy.push_str(&self.text);
        copy
    }

    /// Puts a file of `text` in place of this one.
    fn replace(self, text: &str) -> Result<(), EditError> {
        // What would be refused at the next start is not written.
        table::parse(text.as_bytes(), Rights::NONE).map_err(|(line, error)| {
            EditError::file(&self.path, AccountsFileProblem::Line { line, error })
        })?;
        let failed = |error: io::Error| EditError::io("writing the accounts file", &error);
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let mut temporary = Temporary::make(folder, &self.path).map_err(failed)?;
        temporary
            .write_like(&self.file, text.as_bytes())
            .map_err(failed)?;
        fs::rename(&temporary.path, &self.path).map_err(failed)?;
        temporary.renamed = true;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)
    }
}

/// The new file until it has its name; removed on drop.
struct Temporary {
    path: PathBuf,
    file: File,
    renamed: bool,
}

impl Temporary {
    fn make(folder: &Path, beside: &Path) -> io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let mut name = OsString::from(".");
        name.push(beside.file_name().unwrap_or_default());
        name.push(format!(".{:016x}", u64::from_ne_bytes(random)));
        let path = folder.join(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Ok(Self {
            path,
            file,
            renamed: false,
        })
    }

    /// Writes the content, and makes owner and mode those of `model`: the server must still be able
    /// to read a file that root has edited.
    fn write_like(&mut self, model: &File, content: &[u8]) -> io::Result<()> {
        self.file.write_all(content)?;
        let (model, own) = (model.metadata()?, self.file.metadata()?);
        if (model.uid(), model.gid()) != (own.uid(), own.gid()) {
            fchown(&self.file, Some(model.uid()), Some(model.gid()))?;
        }
        self.file.set_permissions(model.permissions())?;
        self.file.sync_all()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // Nothing can be done about a file that cannot be removed; it holds only hashes that
            // stand in the accounts file too.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Why an accounts file was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The file cannot be read or is refused.
    #[error(transparent)]
    File(#[from] AccountsFileError),
    /// The name has an account already.
    #[error("an account of this name exists already")]
    Exists,
    /// The name has no account.
    #[error("no account has this name")]
    Missing,
    /// The account would have no rights.
    #[error("an account needs at least one right: exec, read, write or shell")]
    NoRights,
    /// The name, or the name with this password, is not fit for an account.
    #[error(transparent)]
    Name(#[from] LineError),
    /// The password is not fit for an account, or could not be hashed.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Somebody else edits the file at this moment.
    #[error("somebody else edits the accounts file at this moment; try again")]
    Busy,
    /// The operating system refused.
    #[error("{doing} failed: {kind}")]
    Io {
        /// What was done.
        doing: &'static str,
        /// What the operating system said.
        kind: io::ErrorKind,
    },
}

impl EditError {
    fn file(path: &Path, problem: AccountsFileProblem) -> Self {
        Self::File(AccountsFileError {
            path: path.to_owned(),
            problem,
        })
    }

    fn io(doing: &'static str, error: &io::Error) -> Self {
        Self::Io {
            doing,
            kind: error.kind(),
        }
    }
}
