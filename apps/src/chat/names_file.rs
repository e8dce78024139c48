//! Keeps a directory's names over a restart: lines of a name and its token's hash, in a private file.

use std::{fmt::Write as _, fs, io, io::Write as _, path::Path};

use services::chat::{Directory, PeerName, TokenDigest};
use tempfile::NamedTempFile;

use super::failure::Failure;

/// Puts the names of a file into a directory; a file that is not there has none.
pub(super) fn read(path: &Path, directory: &mut Directory) -> Result<(), Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(Failure::input(
                format_args!("the names {}", path.display()),
                &error,
            ));
        }
    };
    for (number, line) in (1..).zip(text.lines()) {
        let wrong = |why: &str| {
            Failure::data(format!(
                "{}, line {number}: {why}; a line is a name, a space and 64 hexadecimal digits",
                path.display()
            ))
        };
        let (name, digest) = line
            .split_once(' ')
            .ok_or_else(|| wrong("there is no space in it"))?;
        let name: PeerName = name.parse().map_err(|_| wrong("that is no name"))?;
        let digest: TokenDigest = digest.parse().map_err(|_| wrong("that is no hash"))?;
        if !directory.adopt(name, digest) {
            return Err(wrong(
                "the name looks like one before it, or there are more than --max-names",
            ));
        }
    }
    Ok(())
}

/// Writes all names; the file is the old one or the new one, never a part.
pub(super) fn write(path: &Path, directory: &Directory) -> Result<(), Failure> {
    let mut text = String::new();
    for (name, digest) in directory.owners() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name} {digest}");
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // Made with the mode 600.
    NamedTempFile::new_in(folder)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)
        })
        .map(drop)
        .map_err(|error| Failure::create(format_args!("the names {}", path.display()), &error))
}
