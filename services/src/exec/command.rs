//! Says what to run, and what may be run.
//!
//! Nothing is started here, and nothing is split: an argument vector stays a vector, a shell line
//! stays one line for the shell.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The folders in which programs are looked up, first match first. Never the server's own `PATH`.
pub const SEARCH_PATH: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// What to run.
///
/// Words are [`OsString`]s, so a command line in an encoding other than UTF-8 arrives as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A program with its arguments, each of which reaches it literally: no shell is involved.
    Arguments {
        /// An absolute path, a bare name to be looked up in [`SEARCH_PATH`], or a path with a
        /// slash relative to the working directory. Whether it *may* be run is [`Allow`]'s business.
        program: OsString,
        /// What follows the program's name; may be empty.
        arguments: Vec<OsString>,
    },
    /// One line for `/bin/sh`, with everything a shell can do.
    Shell(OsString),
}

impl Command {
    /// A program and its arguments.
    pub fn arguments<P, A>(program: P, arguments: A) -> Self
    where
        P: Into<OsString>,
        A: IntoIterator,
        A::Item: Into<OsString>,
    {
        Self::Arguments {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
        }
    }

    /// A line for the shell.
    pub fn shell(line: impl Into<OsString>) -> Self {
        Self::Shell(line.into())
    }

    /// The program asked for; for a shell line that is the shell.
    pub fn program(&self) -> &OsStr {
        match self {
            Self::Arguments { program, .. } => program,
            Self::Shell(_) => OsStr::new("/bin/sh"),
        }
    }

    /// Finds what no operating system can start.
    ///
    /// # Errors
    ///
    /// An empty program name, or a NUL byte in any word: it would end the word early and so hide
    /// its rest from whoever checks the command.
    pub fn check(&self) -> Result<(), CommandError> {
        match self {
            Self::Arguments { program, arguments } => {
                if program.is_empty() {
                    return Err(CommandError::Empty);
                }
                if has_nul(program) {
                    return Err(CommandError::Nul { argument: 0 });
                }
                match arguments.iter().position(|argument| has_nul(argument)) {
                    Some(index) => Err(CommandError::Nul {
                        argument: index + 1,
                    }),
                    None => Ok(()),
                }
            }
            Self::Shell(line) if has_nul(line) => Err(CommandError::NulInLine),
            Self::Shell(_) => Ok(()),
        }
    }
}

/// Why a command cannot be started by anyone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The program's name is empty.
    #[error("the command names no program")]
    Empty,
    /// A NUL byte stands in the program's name (0) or in an argument (from 1).
    #[error("word {argument} of the command contains a NUL byte")]
    Nul {
        /// Which word: 0 is the program's name.
        argument: usize,
    },
    /// A NUL byte stands in the shell line.
    #[error("the shell line contains a NUL byte")]
    NulInLine,
}

/// A list of programs that may be run by argument vector.
///
/// An entry is a bare name such as `ls`, or an absolute path such as `/opt/report/bin/report`.
/// Names are compared byte by byte, so nothing that merely looks alike gets through: no other
/// case, no trailing space, no letters of another script, no separators. A request with a slash in
/// it matches only an entry that is exactly that absolute path; a listed `ls` does not allow
/// `/bin/ls`, and `./ls` is never allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    entries: BTreeSet<OsString>,
}

impl Allow {
    /// A list of the given entries; an empty one allows nothing.
    ///
    /// # Errors
    ///
    /// An entry that could never match a program: empty, with a NUL byte, relative but with a
    /// slash, or with a component `.` or `..`.
    pub fn new<I>(entries: I) -> Result<Self, AllowError>
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        let entries = entries
            .into_iter()
            .map(|entry| {
                let entry = entry.into();
                check_entry(&entry)?;
                Ok(entry)
            })
            .collect::<Result<_, AllowError>>()?;
        Ok(Self { entries })
    }

    /// The path of the program to run.
    ///
    /// Looks at the file system, so a program that is installed later is found later.
    ///
    /// # Errors
    ///
    /// [`Denied::NotListed`] when no entry matches exactly, [`Denied::NotInstalled`] when one
    /// does and no executable file of that name exists.
    pub fn check(&self, program: impl AsRef<OsStr>) -> Result<PathBuf, Denied> {
        let program = program.as_ref();
        if !self.entries.contains(program) {
            return Err(Denied::NotListed {
                program: program.to_owned(),
            });
        }
        let found = if has_slash(program) {
            let path = PathBuf::from(program);
            is_executable_file(&path).then_some(path)
        } else {
            look_up(program)
        };
        found.ok_or_else(|| Denied::NotInstalled {
            program: program.to_owned(),
        })
    }

    /// The entries in order, for a message that says what would be allowed.
    pub fn entries(&self) -> impl Iterator<Item = &OsStr> {
        self.entries.iter().map(OsString::as_os_str)
    }
}

fn check_entry(entry: &OsStr) -> Result<(), AllowError> {
    let fault = if entry.is_empty() {
        "is empty"
    } else if has_nul(entry) {
        "contains a NUL byte"
    } else if entry == "." || entry == ".." {
        "is a folder"
    } else if has_slash(entry) && !has_leading_slash(entry) {
        "is a relative path; give a bare name or an absolute path"
    } else if has_dot_component(entry) {
        "has a component `.` or `..`"
    } else {
        return Ok(());
    };
    Err(AllowError {
        entry: entry.to_owned(),
        fault,
    })
}

/// An entry of an allow-list that could never match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the entry {entry:?} of the allow-list {fault}")]
pub struct AllowError {
    entry: OsString,
    fault: &'static str,
}

/// Why a program may not be run. The name is shown escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// The program is not in the list.
    #[error("the program {program:?} is not in the list of allowed programs")]
    NotListed {
        /// What was asked for.
        program: OsString,
    },
    /// The program is in the list but not on this machine.
    #[error("the program {program:?} is allowed but not installed")]
    NotInstalled {
        /// What was asked for.
        program: OsString,
    },
}

/// The first executable file of that name in [`SEARCH_PATH`].
pub(super) fn look_up(name: &OsStr) -> Option<PathBuf> {
    SEARCH_PATH
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| is_executable_file(path))
}

pub(super) fn is_executable_file(path: &Path) -> bool {
    path.is_file() && may_execute(path)
}

#[cfg(unix)]
fn may_execute(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(not(unix))]
fn may_execute(_: &Path) -> bool {
    true
}

pub(super) fn has_nul(word: &OsStr) -> bool {
    word.as_encoded_bytes().contains(&0)
}

pub(super) fn has_slash(word: &OsStr) -> bool {
    word.as_encoded_bytes().contains(&b'/')
}

fn has_leading_slash(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"/")
}

fn has_dot_component(word: &OsStr) -> bool {
    word.as_encoded_bytes()
        .split(|byte| *byte == b'/')
        .any(|part| part == b"." || part == b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn svc_c18_nul_and_empty_are_refused_before_anything_is_started() {
        let words = |words: &[&str]| Command::arguments("ls", words.iter().copied()).check();
        assert_eq!(
            words(&["; id", "$(id)", "`id`", "a\nb", "*", "-rf"]),
            Ok(())
        );
        assert_eq!(
            words(&["a", "b\0c"]),
            Err(CommandError::Nul { argument: 2 })
        );
        assert_eq!(
            Command::arguments("l\0s", [""; 0]).check(),
            Err(CommandError::Nul { argument: 0 })
        );
        assert_eq!(
            Command::arguments("", [""; 0]).check(),
            Err(CommandError::Empty)
        );
        assert_eq!(
            Command::shell("echo \0").check(),
            Err(CommandError::NulInLine)
        );
    }

    #[test]
    fn svc_c19_only_the_exact_name_gets_through() {
        let allow = Allow::new(["ls", "uname"]).unwrap();
        assert!(allow.check("ls").unwrap().is_absolute());
        for name in [
            "ls;id",
            "ls\nid",
            "ls&&id",
            "ls id",
            "ls ",
            " ls",
            "LS",
            "Ls",
            "ls\t",
            "./ls",
            "../bin/ls",
            "/bin/ls",
            "/usr/bin/ls",
            "bin/ls",
            "ls/",
            "ls$IFS",
            "l\u{455}",
            "ｌｓ",
            "ls\u{200b}",
            "",
            ".",
            "ls\0",
            "*",
            "l?",
            "sh",
        ] {
            assert_eq!(
                allow.check(name),
                Err(Denied::NotListed {
                    program: name.into()
                }),
                "{name:?}"
            );
        }
    }

    #[test]
    #[cfg(unix)]
    fn svc_c19_a_listed_path_matches_itself_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("report");
        std::os::unix::fs::symlink("/bin/ls", &link).unwrap();
        let allow = Allow::new([link.clone().into_os_string()]).unwrap();
        assert_eq!(allow.check(&link), Ok(link.clone()));
        assert!(allow.check("report").is_err());
        assert!(allow.check(folder.path().join("./report")).is_err());
        assert!(allow.check(folder.path().join("x/../report")).is_err());
        assert!(allow.check("/bin/ls").is_err());
    }

    #[test]
    #[cfg(unix)]
    fn a_listed_program_that_is_not_there_is_told_apart() {
        let text = tempfile::NamedTempFile::new().unwrap();
        let names = [
            OsStr::new("no-such-program-here"),
            text.path().as_os_str(),
            OsStr::new("/"),
        ];
        let allow = Allow::new(names).unwrap();
        for name in names {
            let program = name.to_owned();
            assert_eq!(allow.check(name), Err(Denied::NotInstalled { program }));
        }
    }

    #[test]
    fn entries_that_could_never_match_are_refused() {
        for entry in [
            "",
            "a\0b",
            ".",
            "..",
            "bin/ls",
            "./ls",
            "/bin/../ls",
            "/./ls",
        ] {
            assert!(Allow::new([entry]).is_err(), "{entry:?}");
        }
        let allow = Allow::new(["uname", "ls", "ls"]).unwrap();
        assert_eq!(allow.entries().collect::<Vec<_>>(), ["ls", "uname"]);
        assert!(Allow::default().check("ls").is_err());
    }
}
