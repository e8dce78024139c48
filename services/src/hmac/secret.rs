//! Holds the shared secret so that it is not shown or left in memory, and reads it from a file.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use secrecy::{ExposeSecret, SecretSlice};
use tracing::warn;
use zeroize::{Zeroize, Zeroizing};

/// Below so many bytes a secret is called short. Whoever sees one exchange can try guesses on it for as
/// long as they like.
const SHORT: usize = 16;

/// A secret that both sides know: any bytes, the more random the better.
///
/// `Debug` shows nothing of it, there is no `Display`, and its memory is overwritten when it is
/// dropped. `head -c 32 /dev/urandom | base64` makes a good one.
#[derive(Clone)]
pub struct Secret(SecretSlice<u8>);

impl Secret {
    /// The longest secret in bytes.
    pub const MAX_LENGTH: usize = 4096;

    /// Takes the secret over.
    ///
    /// # Errors
    ///
    /// When it is empty or longer than [`MAX_LENGTH`](Self::MAX_LENGTH).
    pub fn new(secret: impl Into<Vec<u8>>) -> Result<Self, SecretError> {
        let mut secret = secret.into();
        let problem = match secret.len() {
            0 => SecretError::Empty,
            1..=Self::MAX_LENGTH => return Ok(Self(secret.into())),
            _ => SecretError::TooLong,
        };
        secret.zeroize();
        Err(problem)
    }

    /// Reads the secret from a file. Blocks the thread while it reads.
    ///
    /// The file's bytes are the secret, except that one newline at its end (`\n` or `\r\n`), as editors
    /// and `echo` leave it, is not part of it. Nothing else is cut off, and nothing is decoded: that of
    /// a file of base64 is its text.
    ///
    /// It must be a plain file (or a link to one) that not everybody can write. That everybody can
    /// read it, and a secret of less than 16 bytes, are logged as warnings.
    ///
    /// # Errors
    ///
    /// When the file is missing or refused; the text names it.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, SecretFileError> {
        let path = path.as_ref();
        read(path).map_err(|problem| SecretFileError {
            path: path.to_owned(),
            problem,
        })
    }

    /// The secret itself, to be hashed.
    pub(super) fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

fn read(path: &Path) -> Result<Secret, SecretError> {
    // Without blocking, because opening a FIFO would wait for its writer.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(SecretError::from_io)?;
    check(path, &file)?;
    // Room for all of it at once: a buffer that grows leaves pieces of the secret behind.
    let most = Secret::MAX_LENGTH + "\r\n".len();
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    file.take(most as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(SecretError::from_io)?;
    let secret = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let secret = match secret.len() < bytes.len() {
        true => secret.strip_suffix(b"\r").unwrap_or(secret),
        false => secret,
    };
    if (1..SHORT).contains(&secret.len()) {
        warn!(path = %path.display(), "the secret has less than {SHORT} bytes, and may be guessed");
    }
    Secret::new(secret)
}

/// Whether a secret may be read from this file.
fn check(path: &Path, file: &File) -> Result<(), SecretError> {
    let metadata = file.metadata().map_err(SecretError::from_io)?;
    if !metadata.is_file() {
        return Err(SecretError::NotAFile);
    }
    if metadata.mode() & 0o002 != 0 {
        return Err(SecretError::Writable);
    }
    if metadata.mode() & 0o004 != 0 {
        warn!(
            path = %path.display(),
            "the secret's file can be read by everybody on this machine; `chmod o= FILE` ends that"
        );
    }
    Ok(())
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a file's secret is refused: which file, and the problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("secret file {}: {problem}", path.display())]
pub struct SecretFileError {
    path: PathBuf,
    problem: SecretError,
}

impl SecretFileError {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with it.
    pub fn problem(&self) -> &SecretError {
        &self.problem
    }
}

/// What is wrong with a secret, or with its file. Shows nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// It has no bytes.
    #[error("the secret is empty")]
    Empty,
    /// It is longer than [`Secret::MAX_LENGTH`].
    #[error("the secret has more than 4096 bytes")]
    TooLong,
    /// Its file is no plain file.
    #[error("not a plain file")]
    NotAFile,
    /// Everybody can write its file.
    #[error("everybody on this machine can write it; `chmod o-w` ends that")]
    Writable,
    /// The operating system refused.
    #[error("{0}")]
    Io(io::ErrorKind),
}

impl SecretError {
    fn from_io(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn one_newline_at_the_end_is_not_part_of_it() {
        for (bytes, secret) in [
            (&b"a secret"[..], &b"a secret"[..]),
            (b"a secret\n", b"a secret"),
            (b"a secret\r\n", b"a secret"),
            (b"a secret\n\n", b"a secret\n"),
            (b"a secret\r", b"a secret\r"),
            (b"a secret\r\r\n", b"a secret\r"),
            (b" a\nsecret \n", b" a\nsecret "),
            (b"\xFF\0\x0D\x0A\xFE", b"\xFF\0\x0D\x0A\xFE"),
        ] {
            let read = Secret::read(file(bytes).path()).unwrap();
            assert_eq!(read.expose(), secret, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_and_the_file_named() {
        for (bytes, problem) in [
            (&b""[..], SecretError::Empty),
            (b"\n", SecretError::Empty),
            (b"\r\n", SecretError::Empty),
            (&[b'a'; 4097], SecretError::TooLong),
            (&[b'a'; 5000], SecretError::TooLong),
            (&[b'\n'; 4099], SecretError::TooLong),
        ] {
            let file = file(bytes);
            let error = Secret::read(file.path()).unwrap_err();
            assert_eq!(error.problem(), &problem, "{} bytes", bytes.len());
            assert!(error.to_string().contains(file.path().to_str().unwrap()));
        }
        let mut longest = vec![b'a'; 4096];
        longest.extend(b"\r\n");
        assert_eq!(
            Secret::read(file(&longest).path()).unwrap().expose(),
            &longest[..4096]
        );

        let folder = tempfile::tempdir().unwrap();
        let error = Secret::read(folder.path()).unwrap_err();
        assert_eq!(error.problem(), &SecretError::NotAFile);
        let error = Secret::read(folder.path().join("none")).unwrap_err();
        assert_eq!(error.problem(), &SecretError::Io(io::ErrorKind::NotFound));
        let error = Secret::read("/dev/null").unwrap_err();
        assert_eq!(error.problem(), &SecretError::NotAFile);
    }

    #[test]
    fn a_file_that_everybody_can_write_is_refused() {
        let file = file(b"a secret of some length");
        for (mode, is_refused) in [(0o600, false), (0o644, false), (0o646, true), (0o602, true)] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            let read = Secret::read(file.path());
            assert_eq!(read.is_err(), is_refused, "{mode:o}");
        }
    }

    #[test]
    fn svc_b19_a_secret_is_never_shown() {
        let secret = Secret::new(*b"hunter2").unwrap();
        assert_eq!(format!("{secret:?} {secret:#?}"), "Secret(…) Secret(…)");
        let error = Secret::new([b'h'; 5000]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hh"));
    }
}
