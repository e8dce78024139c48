//! Says who somebody is and what they may do.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::escape::escaped;

/// One thing an account may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Right {
    /// To run the programs that the server allows.
    Exec,
    /// To list and download files.
    Read,
    /// To upload and remove files.
    Write,
    /// To run any program and any line of shell, where the server has that at all.
    Shell,
}

impl Right {
    /// All rights there are.
    pub const ALL: [Self; 4] = [Self::Exec, Self::Read, Self::Write, Self::Shell];

    /// The right's name, as in the accounts file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Read => "read",
            Self::Write => "write",
            Self::Shell => "shell",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Right {
    type Err = UnknownRight;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|right| right.as_str() == name)
            .ok_or(UnknownRight(()))
    }
}

/// The text names no right.
///
/// Does not repeat the text, which may be a part of a password that holds the separator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown right; the rights are exec, read, write and shell, separated by commas")]
pub struct UnknownRight(());

/// A set of rights; written as their names with commas between.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(into = "Vec<Right>", from = "Vec<Right>")]
pub struct Rights(u8);

impl Rights {
    /// No right at all.
    pub const NONE: Self = Self(0);

    /// Whether `right` is among them.
    pub fn contains(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// Adds `right`.
    pub fn insert(&mut self, right: Right) {
        self.0 |= right.bit();
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The rights, in the order of [`Right::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL
            .into_iter()
            .filter(move |right| self.contains(*right))
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        let mut set = Self::NONE;
        rights.into_iter().for_each(|right| set.insert(right));
        set
    }
}

impl<const N: usize> From<[Right; N]> for Rights {
    fn from(rights: [Right; N]) -> Self {
        rights.into_iter().collect()
    }
}

impl From<Vec<Right>> for Rights {
    fn from(rights: Vec<Right>) -> Self {
        rights.into_iter().collect()
    }
}

impl IntoIterator for Rights {
    type Item = Right;
    type IntoIter = std::vec::IntoIter<Right>;

    fn into_iter(self) -> Self::IntoIter {
        Vec::from(self).into_iter()
    }
}

impl From<Rights> for Vec<Right> {
    fn from(rights: Rights) -> Self {
        rights.iter().collect()
    }
}

impl FromStr for Rights {
    type Err = UnknownRight;

    /// Reads names with commas between, and white space around them; an empty name is none.
    fn from_str(names: &str) -> Result<Self, Self::Err> {
        names
            .split(',')
            .map(|name| name.trim().parse::<Right>())
            .collect()
    }
}

impl Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, right) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(right.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Somebody who is known: a name and what it may do. Holds no secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Identity {
    /// The account's name.
    pub name: String,
    /// What the account may do.
    pub rights: Rights,
}

impl Identity {
    /// An identity.
    pub fn new(name: impl Into<String>, rights: impl IntoIterator<Item = Right>) -> Self {
        Self {
            name: name.into(),
            rights: rights.into_iter().collect(),
        }
    }

    /// Whether it has this right.
    pub fn may(&self, right: Right) -> bool {
        self.rights.contains(right)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("name", &escaped(&self.name))
            .field("rights", &self.rights)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_read_and_write_their_names() {
        let rights: Rights = "write, read,read".parse().unwrap();
        assert_eq!(rights, Rights::from([Right::Read, Right::Write]));
        assert_eq!(rights.to_string(), "read,write");
        assert!(!rights.contains(Right::Exec));
        for unknown in ["", "read,", "root", "Read", "read write"] {
            assert!(unknown.parse::<Rights>().is_err(), "{unknown:?}");
        }
        let json = serde_json::to_string(&rights).unwrap();
        assert_eq!(json, r#"["read","write"]"#);
        assert_eq!(serde_json::from_str::<Rights>(&json).unwrap(), rights);
    }
}
