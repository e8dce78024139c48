//! Looks whether what a configuration names is there and can be used, and changes nothing.
//!
//! That the configuration itself holds together is found when it is read. This finds, all at once,
//! what would stop the server at its start or fail at the first request: a bad line of the accounts
//! file, a folder that is none, a place where no socket can be.

use std::{
    fmt, fs, io,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use framing::serve::Address;
use rustix::fs::{Access, access};
use services::login::AccountsFile;
use toml::de::DeTable;

use crate::config::Config;

/// Something that a configuration names and that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The configuration file and the line that names it, where there are such.
    pub place: Option<(PathBuf, usize)>,
    /// The key, as `[files] root`.
    pub key: &'static str,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((file, line)) = &self.place {
            write!(f, "{}: line {line}: ", file.display())?;
        }
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// Looks at all that `config` names. `file` is where it was read from; without one, the accounts may
/// be missing, because the first start makes them.
pub fn problems(config: &Config, file: Option<&Path>) -> Vec<Problem> {
    let source = file.and_then(|file| Some((file, fs::read_to_string(file).ok()?)));
    let place = |section: &str, number: Option<usize>, key: &str| {
        let (file, text) = source.as_ref()?;
        Some((file.to_path_buf(), line_of(text, section, number, key)?))
    };
    let mut problems = Vec::new();
    if let Some(accounts) = &config.accounts
        && (file.is_some() || accounts.file.exists())
        && let Err(error) = AccountsFile::open(&accounts.file, accounts.default_rights())
    {
        let hint = if accounts.file.exists() {
            ""
        } else {
            "; `framed --config FILE account add NAME` makes it"
        };
        problems.push(Problem {
            place: place("accounts", None, "file"),
            key: "[accounts] file",
            message: format!("{error}{hint}"),
        });
    }
    if let Some(files) = &config.files
        && let Err(message) = folder_to_write(&files.root)
    {
        problems.push(Problem {
            place: place("files", None, "root"),
            key: "[files] root",
            message,
        });
    }
    if let Some(exec) = &config.exec
        && let Err(message) = folder_to_enter(&exec.folder)
    {
        problems.push(Problem {
            place: place("exec", None, "folder"),
            key: "[exec] folder",
            message,
        });
    }
    for (listen, number) in config.listen.iter().zip(0..) {
        if let Address::Unix(Some(path)) = &listen.address
            && let Err(message) = place_for_socket(path)
        {
            problems.push(Problem {
                place: place("listen", Some(number), "address"),
                key: "[[listen]] address",
                message,
            });
        }
        if let Err(error) = listen.acceptor() {
            let (section, key) = match listen.hmac {
                Some(_) => ("hmac", "[[listen]] hmac"),
                None => ("hmac_mutual", "[[listen]] hmac_mutual"),
            };
            problems.push(Problem {
                place: place("listen", Some(number), section),
                key,
                message: format!("{error:#}"),
            });
        }
    }
    problems
}

/// A folder that files are kept in; the server makes it if it is not there.
fn folder_to_write(folder: &Path) -> Result<(), String> {
    let mut there = folder;
    loop {
        match fs::metadata(there) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("cannot look at {}: {error}", there.display())),
        }
        match there.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => there = parent,
            _ => return Err(format!("{} cannot be made", folder.display())),
        }
    }
    let wanted = if there == folder {
        Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK
    } else {
        Access::WRITE_OK | Access::EXEC_OK
    };
    usable(there, wanted)
}

/// A folder that commands run in.
fn folder_to_enter(folder: &Path) -> Result<(), String> {
    usable(folder, Access::EXEC_OK)
}

/// A path that a socket is made at.
fn place_for_socket(path: &Path) -> Result<(), String> {
    if let Ok(found) = fs::symlink_metadata(path)
        && !found.file_type().is_socket()
    {
        return Err(format!("{} is there and is no socket", path.display()));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    usable(folder, Access::WRITE_OK | Access::EXEC_OK)
}

fn usable(folder: &Path, wanted: Access) -> Result<(), String> {
    let shown = folder.display();
    match fs::metadata(folder) {
        Ok(found) if !found.is_dir() => Err(format!("{shown} is no folder")),
        Ok(_) => access(folder, wanted).map_err(|error| {
            let mut may_not = Vec::new();
            for (one, word) in [
                (Access::READ_OK, "read"),
                (Access::WRITE_OK, "written"),
                (Access::EXEC_OK, "entered"),
            ] {
                if wanted.contains(one) && access(folder, one).is_err() {
                    may_not.push(word);
                }
            }
            format!(
                "the folder {shown} cannot be {} by this user: {error}",
                may_not.join(" and ")
            )
        }),
        Err(error) => Err(format!("there is no folder {shown}: {error}")),
    }
}

/// The line, from 1, of a key's value, or of its section if it has the default.
fn line_of(text: &str, section: &str, number: Option<usize>, key: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let mut section = table.get_ref().get(section)?;
    if let Some(number) = number {
        section = section.get_ref().get(number)?;
    }
    let value = section.get_ref().get(key).unwrap_or(section);
    let before = text.get(..value.span().start)?;
    Some(before.matches('\n').count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_however_they_are_written() {
        let text = "accounts = { file = \"a\" }\n\nfiles.root = \"r\"\n[exec]\n\n\
                    [[listen]]\nx = 1\n\n[[listen]]\naddress = 'b'\n";
        assert_eq!(line_of(text, "accounts", None, "file"), Some(1));
        assert_eq!(line_of(text, "files", None, "root"), Some(3));
        assert_eq!(line_of(text, "exec", None, "folder"), Some(4));
        assert_eq!(line_of(text, "listen", Some(1), "address"), Some(10));
        assert_eq!(line_of(text, "listen", Some(2), "address"), None);
        assert_eq!(line_of(text, "nothing", None, "address"), None);
    }
}
