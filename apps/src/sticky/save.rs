//! Puts a file where it was asked for: whole or not at all, and on top of nothing unless that was said.

use std::{fs, io::Write, os::unix::fs::PermissionsExt, path::Path};

use tempfile::Builder;

use super::failure::{Exit, Failure};

/// Writes `text` to `path`; `force` replaces a file that is there.
pub(super) fn file(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let refuse = |error: &dyn std::fmt::Display| {
        let message = format!("cannot write {}: {error}", path.display());
        Failure::new(Exit::CANNOT_CREATE, message)
    };
    if path.is_dir() {
        return Err(refuse(&"it is a folder"));
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut draft = Builder::new()
        .prefix(".sticky-")
        // As any new file: what the umask leaves of this.
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(|error| refuse(&error))?;
    draft
        .write_all(text.as_bytes())
        .map_err(|error| refuse(&error))?;
    let persisted = match force {
        true => draft.persist(path),
        false => draft.persist_noclobber(path),
    };
    match persisted {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(refuse(&"it is there already; --force replaces it"))
        }
        Err(error) => Err(refuse(&error.error)),
    }
}

/// Makes a folder for pictures, if there is none.
pub(super) fn folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| {
        let message = format!("cannot make the folder {}: {error}", path.display());
        Failure::new(Exit::CANNOT_CREATE, message)
    })
}
