//! The seam between the files service and whatever keeps the files.

use std::fmt::{self, Display};
use std::pin::Pin;
use std::str::FromStr;
use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de};

use super::digest::Digest;
use super::error::StoreError;
use super::name::FileName;

/// A future on the heap, as the object-safe traits here return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The most entries [`Store::list`] returns at once, whatever limit is given.
pub const MAX_PAGE: usize = 4096;

/// Keeps whole versions of files by name.
///
/// All implementations promise:
/// - a name shows an old or a new complete version, never a mixture or a part;
/// - of several uploads that want a name to be [`Absent`](Precondition::Absent), exactly one wins;
/// - a download reads one version to its end, whatever happens to the name meanwhile;
/// - a new name that only [looks like](FileName::look) one that is there is refused;
/// - nothing that is not a plain file is opened, listed, replaced or removed.
///
/// Futures may be dropped at any time. A dropped `begin`, `open` or `list` leaves nothing behind. A
/// dropped `remove` may still take effect.
pub trait Store: fmt::Debug + Send + Sync {
    /// Starts an upload of `name`.
    ///
    /// `expected` is the announced size in bytes, if there is one: then limits are checked and quota
    /// is reserved now, and a byte too many ends the upload. What can be known now of `precondition`
    /// is refused now; the word that counts is said at [`Upload::commit`].
    fn begin<'a>(
        &'a self,
        name: &'a FileName,
        expected: Option<u64>,
        precondition: Precondition,
    ) -> BoxFuture<'a, Result<Box<dyn Upload>, StoreError>>;

    /// Opens the present version of `name` for reading.
    fn open<'a>(
        &'a self,
        name: &'a FileName,
        from: ReadFrom,
    ) -> BoxFuture<'a, Result<Box<dyn Download>, StoreError>>;

    /// Lists up to `limit` files (at least 1, at most [`MAX_PAGE`]) that come behind `after`, in the
    /// order of their names' bytes.
    ///
    /// `after` need not be the name of a file, so a page follows the one before it even when files
    /// came and went.
    fn list<'a>(
        &'a self,
        after: Option<&'a FileName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Listing, StoreError>>;

    /// Removes `name`.
    ///
    /// [`Absent`](Precondition::Absent) makes no sense here and always fails, with `AlreadyExists`
    /// or `NotFound`.
    fn remove<'a>(
        &'a self,
        name: &'a FileName,
        precondition: Precondition,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// A file on its way in. Nobody sees it before it is committed.
///
/// Dropping it at any moment, even while a write is under way, aborts it: what was staged is removed
/// and its quota is free again, at the latest when the write under way has ended.
pub trait Upload: fmt::Debug + Send {
    /// How many bytes have been taken in.
    fn offset(&self) -> u64;

    /// Says that [`commit`](Self::commit) will be given no digest, so that none need be made: of
    /// a large file that is a tenth of the work. To be said before the first bytes; a digest that comes
    /// all the same need not agree.
    fn expect_no_digest(&mut self) {}

    /// Takes in the next bytes.
    ///
    /// Bytes may be gathered and written later, so an error can belong to earlier ones; either way
    /// the upload has ended then, and every later call fails.
    ///
    /// Cancel safe in this sense: whether the chunk of a dropped future was taken in can be seen at
    /// [`offset`](Self::offset), and it was taken in whole or not at all.
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Makes the upload the file of its name, if it has exactly `size` bytes and this `digest`, as far
    /// as one is given.
    ///
    /// When this returns `Ok`, the file is there and lasts; when it returns an error, the name shows
    /// what it showed before, with one exception: if the last step, making the new name last through
    /// a power failure, fails, the new version may be seen. The upload is gone in any case.
    ///
    /// Dropping the future aborts the upload if its name has not been taken yet.
    fn commit(
        self: Box<Self>,
        size: u64,
        digest: Option<Digest>,
    ) -> BoxFuture<'static, Result<Stored, StoreError>>;

    /// Ends the upload and returns when everything it staged is gone.
    fn abort(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// One version of a file on its way out.
pub trait Download: fmt::Debug + Send {
    /// The file as it was when it was opened.
    fn info(&self) -> &FileInfo;

    /// The next bytes, in order; `None` at the end of the file.
    ///
    /// A chunk has 1 to 262 144 bytes. `None` comes only when all bytes of [`info`](Self::info) were
    /// read and the file is still that version: a file changed in place by somebody else is
    /// reported as [`StoreError::Changed`].
    ///
    /// Cancel safe: no bytes are lost with a dropped future.
    fn read(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>>;
}

/// What must hold of a name for an operation on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Precondition {
    /// No file has the name: create only.
    #[default]
    Absent,
    /// Anything: create or replace.
    Any,
    /// The file is there in exactly this version.
    Version(Version),
}

impl Precondition {
    /// Checks against the version that is there, if any.
    ///
    /// # Errors
    /// [`AlreadyExists`](StoreError::AlreadyExists), [`NotFound`](StoreError::NotFound) or
    /// [`Changed`](StoreError::Changed).
    pub fn check(self, present: Option<Version>) -> Result<(), StoreError> {
        match (self, present) {
            (Self::Any, _) | (Self::Absent, None) => Ok(()),
            (Self::Absent, Some(_)) => Err(StoreError::AlreadyExists),
            (Self::Version(_), None) => Err(StoreError::NotFound),
            (Self::Version(wanted), Some(there)) if wanted == there => Ok(()),
            (Self::Version(_), Some(_)) => Err(StoreError::Changed),
        }
    }
}

/// Where a download starts, and in which version of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadFrom {
    offset: u64,
    version: Option<Version>,
}

impl ReadFrom {
    /// The whole file.
    pub fn start() -> Self {
        Self::default()
    }

    /// From `offset` bytes on. At the file's size nothing is left; behind it is an error.
    pub fn offset(offset: u64) -> Self {
        Self {
            offset,
            version: None,
        }
    }

    /// Only if the file is still this version, as one who resumes a download must know.
    #[must_use]
    pub fn of_version(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    /// Checks against the file that is there, and returns how many bytes are to be read from which
    /// offset on.
    ///
    /// # Errors
    /// [`Changed`](StoreError::Changed) or [`OffsetBeyondEnd`](StoreError::OffsetBeyondEnd).
    pub fn check(self, info: &FileInfo) -> Result<(u64, u64), StoreError> {
        if self.version.is_some_and(|wanted| wanted != info.version) {
            return Err(StoreError::Changed);
        }
        let left = info.size.checked_sub(self.offset);
        let left = left.ok_or(StoreError::OffsetBeyondEnd {
            offset: self.offset,
            size: info.size,
        })?;
        Ok((self.offset, left))
    }
}

/// What is known of a stored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Its name.
    pub name: FileName,
    /// Its size in bytes.
    pub size: u64,
    /// When its content was last written.
    pub modified: SystemTime,
    /// Which version of the name this is.
    pub version: Version,
}

/// The outcome of a successful upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The file as it is now.
    pub info: FileInfo,
    /// Whether it took the place of an older version.
    pub replaced: bool,
}

/// A page of a store's files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// The files, in the order of their names' bytes.
    pub files: Vec<FileInfo>,
    /// What to give as `after` for the next page; `None` when this was the last.
    pub next: Option<FileName>,
    /// How many other things the whole folder holds that are never served: folders, links, devices,
    /// and files whose names are not UTF-8. Of those, at least this many were met for this page.
    pub others: u64,
}

/// Tells versions of one name apart: 16 opaque bytes, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version([u8; Version::LENGTH]);

impl Version {
    /// The length of a version in bytes.
    pub const LENGTH: usize = 16;
}

impl From<[u8; Version::LENGTH]> for Version {
    fn from(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }
}

impl Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({self})")
    }
}

impl FromStr for Version {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `from_str_radix` alone would take a sign and a shorter text.
        if text.len() != 2 * Self::LENGTH || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ParseVersionError(()));
        }
        u128::from_str_radix(text, 16)
            .map(|number| Self(number.to_be_bytes()))
            .map_err(|_| ParseVersionError(()))
    }
}

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a version is exactly 32 hexadecimal digits")]
pub struct ParseVersionError(());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_reads_back_from_its_text() {
        let version = Version::from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(version.to_string(), "000102030405060708090a0b0c0d0eff");
        assert_eq!(version.to_string().parse(), Ok(version));
        for text in [
            "",
            "00",
            "+00102030405060708090a0b0c0d0eff",
            &"g".repeat(32),
        ] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
    }
}
