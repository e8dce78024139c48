//! Reads the lines of an accounts file.
//!
//! A line is `name|password-or-hash` or `name|password-or-hash|rights`. Blank lines, and lines that
//! begin with `#`, are skipped. Lines end in LF or CR LF, and a byte order mark may stand in front of
//! the first one.

use std::collections::HashMap;

use super::accounts::Account;
use super::identity::{Rights, UnknownRight};
use super::secret::{Secret, SecretError};
use crate::escape::is_invisible;

/// The longest name of an account, in bytes.
pub const MAX_NAME: usize = 128;

/// What some clients send in place of a name and a password when they leave.
const SENTINEL: (&str, &str) = ("good", "bye");

/// Why a line of an accounts file is refused. Shows nothing of the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// There is no separator.
    #[error("no `|`; a line reads name|password-or-hash or name|password-or-hash|rights")]
    NoSecret,
    /// There are more than three fields.
    #[error(
        "more than three fields; a password that holds `|` cannot stand here as it is: \
         set it with `framed account passwd`, which stores its hash"
    )]
    Fields,
    /// The name is blank.
    #[error("a blank name")]
    BlankName,
    /// The name holds something that a name may not hold.
    #[error("{0} in the name")]
    Name(&'static str),
    /// The secret is no password and no hash.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The third field does not name rights.
    #[error(transparent)]
    Right(#[from] UnknownRight),
    /// The name has an account already.
    #[error("the account of line {first} has the same name")]
    Duplicate {
        /// The line that has the name.
        first: usize,
    },
    /// Name and password together are what clients send to leave.
    #[error("`good|bye` is what clients send to leave, so nobody could log in with it")]
    Sentinel,
    /// The line is not UTF-8.
    #[error("text that is not UTF-8")]
    Utf8,
}

/// All accounts of `text`; or the number of the first line that is refused, from 1, and why.
pub(super) fn parse(
    text: &[u8],
    default_rights: Rights,
) -> Result<Vec<Account>, (usize, LineError)> {
    let mut accounts = Vec::new();
    let mut lines_of_names = HashMap::new();
    for (line, number) in without_mark(text).split(|&byte| byte == b'\n').zip(1..) {
        let refused = |error| (number, error);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = std::str::from_utf8(line).map_err(|_| refused(LineError::Utf8))?;
        let Some(account) = parse_line(line, default_rights).map_err(refused)? else {
            continue;
        };
        if let Some(first) = lines_of_names.insert(account.name.clone(), number) {
            return Err(refused(LineError::Duplicate { first }));
        }
        accounts.push(account);
    }
    Ok(accounts)
}

/// What stands behind the byte order mark that some editors write.
pub(super) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text)
}

/// The account of a line without its end; `None` for a line that holds none.
pub(super) fn parse_line(line: &str, default_rights: Rights) -> Result<Option<Account>, LineError> {
    if line.trim().is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, rest) = line.split_once('|').ok_or(LineError::NoSecret)?;
    check_name(name)?;
    let (secret, rights) = match rest.split_once('|') {
        None => (rest, None),
        Some((_, rights)) if rights.contains('|') => return Err(LineError::Fields),
        Some((secret, rights)) => (secret, Some(rights)),
    };
    let secret = Secret::parse(secret)?;
    check_sentinel(name, secret.as_plain().map(|plain| plain.expose()))?;
    let rights = rights.map_or(Ok(default_rights), str::parse)?;
    Ok(Some(Account {
        name: name.to_owned(),
        secret,
        rights,
    }))
}

/// Refuses the name and password that clients send to leave.
pub(super) fn check_sentinel(name: &str, password: Option<&str>) -> Result<(), LineError> {
    match password {
        Some(password) if (name, password) == SENTINEL => Err(LineError::Sentinel),
        _ => Ok(()),
    }
}

/// Refuses what no account may be called.
pub(super) fn check_name(name: &str) -> Result<(), LineError> {
    if name.trim().is_empty() {
        return Err(LineError::BlankName);
    }
    let refused = if name.len() > MAX_NAME {
        "more than 128 bytes"
    } else if name.chars().any(char::is_control) {
        "a control character"
    } else if name.chars().any(is_invisible) {
        "an invisible or direction-changing character"
    } else if name.trim() != name {
        "white space at an end"
    } else if name.contains('|') {
        "the separator `|`"
    } else if name.starts_with('#') {
        "a `#` in front, which makes a comment,"
    } else {
        return Ok(());
    };
    Err(LineError::Name(refused))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::Right;

    fn names(text: &str) -> Vec<(String, Rights)> {
        let accounts = parse(text.as_bytes(), Rights::from([Right::Exec])).unwrap();
        accounts
            .into_iter()
            .map(|account| (account.name, account.rights))
            .collect()
    }

    #[test]
    fn lines_become_accounts() {
        let text = "# people\n\nalice|secret\n  \nbob|p w|read, write\ncarol|x|shell";
        assert_eq!(
            names(text),
            [
                ("alice".to_owned(), [Right::Exec].into()),
                ("bob".to_owned(), [Right::Read, Right::Write].into()),
                ("carol".to_owned(), [Right::Shell].into()),
            ]
        );
        assert_eq!(names(""), []);
    }

    #[test]
    fn svc_b17_line_ends_and_marks_of_editors_are_taken() {
        for text in [
            "a|x\r\nb|y|read\r\n",
            "\u{feff}a|x\nb|y|read",
            "\u{feff}a|x\r\nb|y|read\r\n",
        ] {
            let accounts = parse(text.as_bytes(), Rights::NONE).unwrap();
            assert_eq!(accounts.len(), 2, "{text:?}");
            assert_eq!(accounts[0].name, "a");
            let secret = |index: usize| accounts[index].secret.as_plain().unwrap().expose();
            assert_eq!((secret(0), secret(1)), ("x", "y"), "{text:?}");
        }
    }

    #[test]
    fn svc_b17_what_is_no_account_is_refused_with_its_line() {
        let fields = |text: &str| parse(text.as_bytes(), Rights::NONE).unwrap_err();
        for (line, error) in [
            ("alice", LineError::NoSecret),
            ("|x", LineError::BlankName),
            ("  |x", LineError::BlankName),
            ("|", LineError::BlankName),
            ("a|", LineError::Secret(SecretError::Blank)),
            ("a|  ", LineError::Secret(SecretError::Blank)),
            ("a||read", LineError::Secret(SecretError::Blank)),
            ("a|x|read|more", LineError::Fields),
            ("a|x\0|read", LineError::Secret(SecretError::Control)),
            ("a|x\r|read", LineError::Secret(SecretError::Control)),
            ("a\0|x", LineError::Name("a control character")),
            ("a\u{1b}[2J|x", LineError::Name("a control character")),
            (
                "a\u{202e}|x",
                LineError::Name("an invisible or direction-changing character"),
            ),
            (" a|x", LineError::Name("white space at an end")),
            ("ok|x", LineError::Duplicate { first: 2 }),
            ("good|bye", LineError::Sentinel),
            ("good|bye|read", LineError::Sentinel),
            ("a|$2b$10$abc", LineError::Secret(SecretError::Algorithm)),
            (
                "a|$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg",
                LineError::Secret(SecretError::Cost),
            ),
        ] {
            assert_eq!(
                fields(&format!("# one\nok|y\n{line}\n")),
                (3, error),
                "{line:?}"
            );
        }
        for line in ["a|x|", "a|x|root", "a|x|read,", "a|b|c"] {
            let (number, error) = fields(line);
            assert!(matches!(error, LineError::Right(_)), "{line:?}: {error}");
            assert_eq!(number, 1);
        }
        assert!(matches!(
            fields(&format!("{}|x", "n".repeat(129))).1,
            LineError::Name(_)
        ));
        assert_eq!(
            parse(b"a|x\nb|\xff\n", Rights::NONE).unwrap_err(),
            (2, LineError::Utf8)
        );
        assert_eq!(names("good|byes\nbye|good").len(), 2);
    }

    #[test]
    fn svc_b19_errors_show_nothing_of_the_line() {
        for line in [
            "hunter|hunter|hunter",
            "hunter|hu|nt|er",
            "a|$hunter",
            "hunter|\0hunter",
        ] {
            let (_, error) = parse(line.as_bytes(), Rights::NONE).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunt"), "{error}");
        }
    }
}
