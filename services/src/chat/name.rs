//! The names that people have in a directory.
//!
//! A name is short, of letters, digits, `-`, `_` and `.`, and of one script (or of those that belong
//! together, such as Chinese and Latin). Names that look alike are one name to a directory.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize, de};
use unicode_normalization::{UnicodeNormalization, is_nfc};
use unicode_security::{
    GeneralSecurityProfile, RestrictionLevel, RestrictionLevelDetection, skeleton,
};

/// A person's name in a directory: safe to show, to log and to type behind `@`.
///
/// ```
/// use services::chat::PeerName;
///
/// let name: PeerName = "小明".parse()?;
/// assert_eq!(name.as_str(), "小明");
/// assert!("two words".parse::<PeerName>().is_err());
/// // The second letter is Cyrillic.
/// assert!("p\u{430}ul".parse::<PeerName>().is_err());
/// # Ok::<(), services::chat::PeerNameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerName(Arc<str>);

impl PeerName {
    /// The longest name in bytes of UTF-8.
    pub const MAX_LENGTH: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the name looks like: equal for names that a person would confuse, such as `paypal` and
    /// `PayPaI`, or a Latin and a Cyrillic `o`. After Unicode's TS 39.
    pub fn look(&self) -> String {
        let folded: String = self.0.nfkc().flat_map(char::to_lowercase).collect();
        let skeleton: String = skeleton(&folded).flat_map(char::to_lowercase).collect();
        // Of `I`, lower case made an `i`; the standard takes it for an `l`.
        skeleton.replace('i', "l")
    }
}

impl FromStr for PeerName {
    type Err = PeerNameError;

    fn from_str(name: &str) -> Result<Self, PeerNameError> {
        let problem = |problem| Err(PeerNameError { problem });
        if name.is_empty() || name.len() > Self::MAX_LENGTH {
            return problem("it is empty or over 64 bytes");
        }
        if !name.starts_with(char::is_alphanumeric) {
            return problem("it does not begin with a letter or a digit");
        }
        let fits = |c: char| matches!(c, '-' | '_' | '.') || c.identifier_allowed();
        if !name.chars().all(fits) || name.contains('\'') {
            return problem("it holds more than letters, digits, `-`, `_` and `.`");
        }
        if !is_nfc(name) {
            return problem("it is not in Unicode's composed form (NFC)");
        }
        if !name.check_restriction_level(RestrictionLevel::HighlyRestrictive) {
            return problem("it mixes scripts whose letters look alike");
        }
        Ok(Self(name.into()))
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

impl Serialize for PeerName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PeerName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(de::Error::custom)
    }
}

/// A text that is no name: which rule it breaks, and what would be allowed. Shows nothing of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a name: {problem}; a name is 1 to 64 bytes of letters, digits, `-`, `_` and `.`, begins with a \
     letter or a digit, and is of one script"
)]
pub struct PeerNameError {
    problem: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn svc_g9_names_that_hide_something_are_refused() {
        for name in [
            "",
            " ",
            "a b",
            "@a",
            "a\u{1b}",
            "a\u{200b}b",
            "a\u{202e}b",
            "-a",
            ".a",
            "a/b",
            "a\n",
            "a|b",
            "e\u{301}",
            "p\u{430}ul",
            "\u{3b1}lpha",
            "o'neill",
            "ｗｉｄｅ",
        ] {
            assert!(name.parse::<PeerName>().is_err(), "{name:?}");
        }
        assert!("x".repeat(65).parse::<PeerName>().is_err());
        for name in [
            "alice",
            "Bob-2",
            "小明",
            "小明abc",
            "Иван",
            "josé",
            "a.b_c",
            "ひろし",
            "x",
            "7",
        ] {
            assert!(name.parse::<PeerName>().is_ok(), "{name:?}");
        }
    }

    #[test]
    fn svc_g9_names_that_look_alike_have_one_look() {
        let look = |name: &str| name.parse::<PeerName>().unwrap().look();
        for (one, other) in [
            ("alice", "Alice"),
            ("paypal", "PayPaI"),
            ("bill", "bi1l"),
            ("coco", "\u{441}\u{43e}\u{441}\u{43e}"),
            ("bob", "b0b"),
            ("modern", "modem"),
        ] {
            assert_eq!(look(one), look(other), "{one} {other}");
        }
        assert_ne!(look("alice"), look("alicia"));
        assert_ne!(look("小明"), look("小朋"));
    }
}
