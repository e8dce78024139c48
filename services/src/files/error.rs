//! Says why a store did not do what it was asked.

use std::io;

use super::name::NameError;

/// Why a store did not do what it was asked.
///
/// Fit to be shown to a peer: it holds sizes, limits and kinds, never a path of the server or the
/// text of another file's name. What the operating system said in full goes to the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No file has this name.
    #[error("no such file")]
    NotFound,
    /// The name is taken, and the precondition said it must not be.
    #[error("a file of this name already exists")]
    AlreadyExists,
    /// A file whose name differs only in case or in its Unicode form is there.
    #[error(
        "the name looks like that of another file, which differs only in case or in its Unicode form"
    )]
    Collision,
    /// The name is not fit for a new file.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What has this name is a folder, a link, a device or the like.
    #[error("what has this name is not a plain file")]
    NotAFile,
    /// The file is not the version that was asked for, or it changed while it was read.
    #[error("the file has changed")]
    Changed,
    /// The file is larger than the largest this store takes.
    #[error("larger than the largest file taken here, {limit} bytes")]
    TooLarge {
        /// The largest file taken, in bytes.
        limit: u64,
    },
    /// The store would grow beyond its quota.
    #[error("the quota of {quota} bytes is used up: {needed} bytes needed, {left} left")]
    QuotaExceeded {
        /// The quota of the whole store, in bytes.
        quota: u64,
        /// How many further bytes were asked for.
        needed: u64,
        /// How many bytes are left.
        left: u64,
    },
    /// The upload is longer or shorter than was said.
    #[error("the upload has {got} bytes where {expected} were announced")]
    SizeMismatch {
        /// The bytes announced.
        expected: u64,
        /// The bytes that came; of an upload that is too long, up to where it was stopped.
        got: u64,
    },
    /// The upload's content does not have the digest that was announced.
    #[error("the upload does not have the digest that was announced")]
    DigestMismatch,
    /// A download was to start behind the end of the file.
    #[error("offset {offset} is behind the end of the file, which has {size} bytes")]
    OffsetBeyondEnd {
        /// The offset asked for.
        offset: u64,
        /// The size of the file.
        size: u64,
    },
    /// The disk is full.
    #[error("no space left for this file")]
    NoSpace,
    /// The store cannot do more at the same time; it may work later.
    #[error("the file store is busy; try again later")]
    Busy,
    /// The upload failed or was ended before.
    #[error("the upload has ended")]
    Ended,
    /// The operating system refused in some other way.
    #[error("the file store failed: {0}")]
    Io(io::ErrorKind),
}

/// The kind of a [`StoreError`]: a stable code for protocols and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "each kind is documented at the error of the same name"
)]
pub enum StoreErrorKind {
    NotFound,
    AlreadyExists,
    Collision,
    Name,
    NotAFile,
    Changed,
    TooLarge,
    QuotaExceeded,
    SizeMismatch,
    DigestMismatch,
    OffsetBeyondEnd,
    NoSpace,
    Busy,
    Ended,
    Io,
}

impl StoreErrorKind {
    /// The kind as a word in kebab-case, such as `not-found`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::AlreadyExists => "already-exists",
            Self::Collision => "collision",
            Self::Name => "name",
            Self::NotAFile => "not-a-file",
            Self::Changed => "changed",
            Self::TooLarge => "too-large",
            Self::QuotaExceeded => "quota-exceeded",
            Self::SizeMismatch => "size-mismatch",
            Self::DigestMismatch => "digest-mismatch",
            Self::OffsetBeyondEnd => "offset-beyond-end",
            Self::NoSpace => "no-space",
            Self::Busy => "busy",
            Self::Ended => "ended",
            Self::Io => "io",
        }
    }
}

impl StoreError {
    /// The kind of this error.
    pub fn kind(&self) -> StoreErrorKind {
        match self {
            Self::NotFound => StoreErrorKind::NotFound,
            Self::AlreadyExists => StoreErrorKind::AlreadyExists,
            Self::Collision => StoreErrorKind::Collision,
            Self::Name(_) => StoreErrorKind::Name,
            Self::NotAFile => StoreErrorKind::NotAFile,
            Self::Changed => StoreErrorKind::Changed,
            Self::TooLarge { .. } => StoreErrorKind::TooLarge,
            Self::QuotaExceeded { .. } => StoreErrorKind::QuotaExceeded,
            Self::SizeMismatch { .. } => StoreErrorKind::SizeMismatch,
            Self::DigestMismatch => StoreErrorKind::DigestMismatch,
            Self::OffsetBeyondEnd { .. } => StoreErrorKind::OffsetBeyondEnd,
            Self::NoSpace => StoreErrorKind::NoSpace,
            Self::Busy => StoreErrorKind::Busy,
            Self::Ended => StoreErrorKind::Ended,
            Self::Io(_) => StoreErrorKind::Io,
        }
    }

    /// Sorts what the operating system said while the store was `doing` something, and logs what a
    /// peer is not told.
    pub(super) fn from_io(doing: &'static str, error: &io::Error) -> Self {
        use rustix::io::Errno;

        let sorted = match Errno::from_io_error(error) {
            Some(Errno::NOENT) => return Self::NotFound,
            Some(Errno::EXIST) => return Self::AlreadyExists,
            // A link refuses to be opened with ELOOP, a folder to be written with EISDIR, a socket
            // or a device without a driver to be opened with ENXIO or ENODEV.
            Some(Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::NODEV) => {
                return Self::NotAFile;
            }
            Some(Errno::NOSPC | Errno::DQUOT) => Self::NoSpace,
            Some(Errno::MFILE | Errno::NFILE) => Self::Busy,
            Some(Errno::FBIG) => Self::NoSpace,
            _ => Self::Io(error.kind()),
        };
        tracing::warn!(doing, %error, "the file store met an error");
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn svc_d18_svc_d20_what_the_system_says_is_sorted() {
        for (code, kind) in [
            (rustix::io::Errno::NOSPC, StoreErrorKind::NoSpace),
            (rustix::io::Errno::DQUOT, StoreErrorKind::NoSpace),
            (rustix::io::Errno::MFILE, StoreErrorKind::Busy),
            (rustix::io::Errno::NFILE, StoreErrorKind::Busy),
            (rustix::io::Errno::NOENT, StoreErrorKind::NotFound),
            (rustix::io::Errno::EXIST, StoreErrorKind::AlreadyExists),
            (rustix::io::Errno::LOOP, StoreErrorKind::NotAFile),
            (rustix::io::Errno::IO, StoreErrorKind::Io),
            (rustix::io::Errno::ACCESS, StoreErrorKind::Io),
        ] {
            let error = StoreError::from_io("testing", &code.into());
            assert_eq!(error.kind(), kind, "{code:?}");
        }
    }

    #[test]
    fn no_path_reaches_a_peer() {
        let error = io::Error::other("cannot open /srv/secret/files/x");
        let shown = StoreError::from_io("testing", &error).to_string();
        assert!(!shown.contains("secret"), "{shown}");
    }
}
