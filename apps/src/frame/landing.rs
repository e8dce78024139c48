//! Where a download lands: under its name only once all of it has come, and never on top of
//! something unless that was said.
//!
//! The folder is opened once, so that whatever happens to its path meanwhile, the file lands in the
//! folder that was meant. Links are not followed.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, linkat, open, openat, renameat, statat, unlinkat},
    io::Errno,
};
use services::{escape::escaped, files::FileName};

use super::exit::{Exit, Failure};

/// A place for a file, and nothing there yet.
#[derive(Debug)]
pub(super) struct Landing {
    folder: OwnedFd,
    name: OsString,
    path: PathBuf,
    overwrite: bool,
}

impl Landing {
    /// In the current folder, under a name that came from a server or is to be looked up there.
    pub(super) fn here(name: &FileName, overwrite: bool) -> Result<Self, Failure> {
        let refuse = |why: &dyn std::fmt::Display| {
            let name = escaped(name.as_str());
            cannot_create(format!(
                "no file is saved here under the name {name:?}: {why}"
            ))
            .hint("-o PATH saves it under another name")
        };
        name.check_new().map_err(|error| refuse(&error.rule()))?;
        // A shell's or a program's start file would be obeyed the next time it starts.
        if name.as_str().starts_with('.') {
            return Err(refuse(&"it would be hidden"));
        }
        Self::at(Path::new(name.as_str()), overwrite)
    }

    /// At a path that somebody here chose.
    pub(super) fn at(path: &Path, overwrite: bool) -> Result<Self, Failure> {
        let ends_as_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let name = path
            .file_name()
            .filter(|_| !ends_as_folder)
            .ok_or_else(|| {
                cannot_create(format!("{} names a folder, not a file", path.display()))
            })?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let folder = open(parent, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| io_failed(format!("in the folder {}", parent.display()), error))?;
        let landing = Self {
            folder,
            name: name.to_owned(),
            path: path.to_owned(),
            overwrite,
        };
        landing.check()?;
        Ok(landing)
    }

    /// Says at once what publishing would only find out after the whole transfer.
    fn check(&self) -> Result<(), Failure> {
        match statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed(error)),
            Ok(_) if !self.overwrite => Err(self.taken()),
            Ok(there) => match FileType::from_raw_mode(there.st_mode) {
                FileType::RegularFile | FileType::Symlink => Ok(()),
                _ => Err(cannot_create(format!(
                    "{} is a folder or a device; --force replaces files only",
                    self.shown()
                ))),
            },
        }
    }

    /// Begins the file, beside its place.
    pub(super) fn begin(self) -> Result<Arriving, Failure> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let number = getrandom::u64()
            .map_err(|error| cannot_create(format!("no random number to be had: {error}")))?;
        let temporary = format!(".frame-{number:016x}.part");
        // As any new file: what the umask leaves of this.
        let mode = Mode::from_raw_mode(0o666);
        let file =
            openat(&self.folder, &temporary, flags, mode).map_err(|error| self.failed(error))?;
        Ok(Arriving {
            landing: self,
            file: File::from(file),
            temporary: Some(temporary),
        })
    }

    fn shown(&self) -> String {
        format!("{:?}", escaped(&self.path.to_string_lossy()).limit(1024))
    }

    fn taken(&self) -> Failure {
        cannot_create(format!(
            "{} is here already; it was not touched",
            self.shown()
        ))
        .hint("--force replaces it, -o PATH saves under another name")
    }

    fn failed(&self, error: Errno) -> Failure {
        io_failed(self.shown(), error)
    }

    /// Gives the file its name in one step, if nothing has it.
    fn publish(&self, temporary: &str) -> Result<(), Failure> {
        if self.overwrite {
            // A link of this name is replaced, not followed.
            return renameat(&self.folder, temporary, &self.folder, &self.name)
                .map_err(|error| self.failed(error));
        }
        match linkat(
            &self.folder,
            temporary,
            &self.folder,
            &self.name,
            AtFlags::empty(),
        ) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(self.taken()),
            // Some file systems have no hard links.
            Err(_) => match rename_new(&self.folder, temporary, &self.name) {
                Ok(()) => Ok(()),
                Err(Errno::EXIST) => Err(self.taken()),
                Err(error) => Err(self.failed(error)),
            },
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_new(folder: &OwnedFd, from: &str, to: &OsStr) -> rustix::io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};
    renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_new(_: &OwnedFd, _: &str, _: &OsStr) -> rustix::io::Result<()> {
    Err(Errno::NOTSUP)
}

/// A file that is arriving, under a hidden random name. Dropped, it leaves nothing.
#[derive(Debug)]
pub(super) struct Arriving {
    landing: Landing,
    file: File,
    temporary: Option<String>,
}

impl Arriving {
    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file
            .write_all(bytes)
            .map_err(|error| self.write_failed(&error))
    }

    /// Makes sure of the bytes, then gives the file its name.
    pub(super) fn publish(mut self) -> Result<PathBuf, Failure> {
        self.file
            .sync_all()
            .map_err(|error| self.write_failed(&error))?;
        if let Some(temporary) = &self.temporary {
            self.landing.publish(temporary)?;
        }
        // The link under its temporary name goes; after a rename there is none.
        self.remove();
        // The name is there; that it survives a power cut is as much as the file system gives.
        let _ = rustix::fs::fsync(&self.landing.folder);
        Ok(self.landing.path.clone())
    }

    fn write_failed(&self, error: &io::Error) -> Failure {
        cannot_create(format!("cannot write {}: {error}", self.landing.shown()))
    }

    fn remove(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            let _ = unlinkat(&self.landing.folder, &temporary, AtFlags::empty());
        }
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.remove();
    }
}

fn cannot_create(message: String) -> Failure {
    Failure::new(Exit::CANNOT_CREATE, "cannot-create", message)
}

fn io_failed(place: String, error: Errno) -> Failure {
    cannot_create(format!(
        "cannot create a file {place}: {}",
        io::Error::from(error)
    ))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn svc_e4_a_file_has_its_name_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut arriving = Landing::at(&path, false).unwrap().begin().unwrap();
        arriving.write(b"half").unwrap();
        assert!(!path.exists());
        drop(arriving);
        assert!(
            names(folder.path()).is_empty(),
            "dropped, it leaves nothing"
        );

        let mut arriving = Landing::at(&path, false).unwrap().begin().unwrap();
        arriving.write(b"whole").unwrap();
        arriving.publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn svc_e1_a_name_taken_during_the_transfer_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut arriving = Landing::at(&path, false).unwrap().begin().unwrap();
        arriving.write(b"new").unwrap();
        symlink("elsewhere", &path).unwrap();
        assert_eq!(arriving.publish().unwrap_err().exit(), Exit::CANNOT_CREATE);
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("elsewhere"));
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn svc_e1_a_link_is_replaced_when_that_is_said_and_never_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (link, target) = (folder.path().join("link"), folder.path().join("target"));
        fs::write(&target, b"old").unwrap();
        symlink(&target, &link).unwrap();
        assert_eq!(
            Landing::at(&link, false).unwrap_err().exit(),
            Exit::CANNOT_CREATE
        );
        let mut arriving = Landing::at(&link, true).unwrap().begin().unwrap();
        arriving.write(b"new").unwrap();
        arriving.publish().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"old");
        assert_eq!(fs::read(&link).unwrap(), b"new");
        assert!(!link.is_symlink());
    }

    #[test]
    fn svc_e5_the_folder_is_the_one_that_was_meant() {
        let outer = tempfile::tempdir().unwrap();
        let (meant, moved) = (outer.path().join("meant"), outer.path().join("moved"));
        fs::create_dir(&meant).unwrap();
        let arriving = Landing::at(&meant.join("a"), false)
            .unwrap()
            .begin()
            .unwrap();
        fs::rename(&meant, &moved).unwrap();
        fs::create_dir(&meant).unwrap();
        arriving.publish().unwrap();
        assert_eq!(names(&moved), ["a"]);
        assert!(names(&meant).is_empty());
    }

    #[test]
    fn svc_e1_names_that_act_are_refused_here() {
        for name in [
            ".bashrc",
            "..x",
            "-rf",
            "a\u{1b}b",
            "a\u{202e}b",
            "NUL",
            "x:y",
            "a\\b",
        ] {
            let name = FileName::existing(name).unwrap();
            let failure = Landing::here(&name, true).unwrap_err();
            assert_eq!(failure.exit(), Exit::CANNOT_CREATE, "{name:?}");
            assert!(
                !failure.to_string().contains(['\u{1b}', '\u{202e}']),
                "{failure}"
            );
        }
    }

    #[test]
    fn svc_e4_what_cannot_be_replaced_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            folder.path().to_owned(),
            folder.path().join("new/"),
            folder.path().join("missing/a"),
            PathBuf::from("/"),
            PathBuf::from(".."),
            PathBuf::from("/dev/null"),
        ] {
            let failure = Landing::at(&path, true).unwrap_err();
            assert_eq!(failure.exit(), Exit::CANNOT_CREATE, "{}", path.display());
        }
    }
}
