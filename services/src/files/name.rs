//! Checks file names: one plain path component that means the same everywhere.

use std::borrow::{Borrow, Cow};
use std::fmt::{self, Display};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, de};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::escape::{escaped, is_invisible};

/// What the names of a store's own temporary files and folders begin with.
const OWN_PREFIX: &str = ".framewright-";

/// The name of a stored file: one component of a path, never a path.
///
/// Parsing ([`FromStr`], `TryFrom`, serde) takes only names that are fit for a new file; the rules
/// are those of [`NameRule`]. A leading `~` is a letter like any other, because nothing here ever
/// expands it; `%2e%2e` is likewise just those six characters.
///
/// [`FileName::existing`] takes any name a folder can hold, for files that are already there: an
/// operator may have put a file called `NUL` or `a:b` into the folder, and it can be listed, read
/// and removed, though not made. Either way a `FileName` never leads out of its folder.
///
/// Names are ordered by their bytes. Cloning is cheap.
///
/// ```
/// use services::files::{FileName, NameRule};
///
/// assert!("report 2024.pdf".parse::<FileName>().is_ok());
/// let error = "../etc/passwd".parse::<FileName>().unwrap_err();
/// assert_eq!(error.rule(), NameRule::Separator);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Arc<str>);

impl FileName {
    /// The longest name in bytes (of UTF-8).
    pub const MAX_LENGTH: usize = 255;

    /// Takes the name of a file that is already there.
    ///
    /// # Errors
    /// Only what could not be one component of a path, or belongs to the store itself, is refused:
    /// [`NameRule::Empty`], [`TooLong`](NameRule::TooLong), [`Dots`](NameRule::Dots),
    /// [`Separator`](NameRule::Separator) (`/` alone), [`Control`](NameRule::Control) (NUL alone)
    /// and [`Reserved`](NameRule::Reserved) (our own prefix alone).
    pub fn existing(name: &str) -> Result<Self, NameError> {
        check_structure(name)?;
        Ok(Self(name.into()))
    }

    /// Whether the name is fit for a new file.
    ///
    /// # Errors
    /// Names the first rule that a name from [`FileName::existing`] breaks; a parsed name breaks none.
    pub fn check_new(&self) -> Result<(), NameError> {
        check_new(&self.0)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the name looks like: equal for names that differ only in case or in compatible forms.
    ///
    /// `README` and `readme`, `é` composed and decomposed, `ﬁle` and `file` look alike; letters of
    /// different scripts do not. A store refuses a new name that looks like another one it has.
    pub fn look(&self) -> String {
        look_of(&self.0)
    }
}

fn look_of(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    // Upper-casing first is what joins `ß` with `ss` and both forms of sigma: lower-casing alone
    // leaves them apart. Invisible characters would make two names of one look.
    name.nfkc()
        .filter(|&c| !is_invisible(c) && !is_variation_selector(c))
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfkc()
        .collect()
}

/// Whether `name` looks like one of `others` without being it.
pub(super) fn looks_like_one_of<T: AsRef<str>>(
    name: &FileName,
    others: impl IntoIterator<Item = T>,
) -> bool {
    let look = name.look();
    others.into_iter().any(|other| {
        let other = other.as_ref();
        // Almost all names are plain ASCII; of those none is rewritten just to be compared.
        let alike = if other.is_ascii() {
            other.eq_ignore_ascii_case(&look)
        } else {
            look_of(other) == look
        };
        alike && other != name.as_str()
    })
}

/// Whether a name belongs to the store's own temporary files.
pub(super) fn is_own(name: &str) -> bool {
    // Compared without case, so that it holds on a folder that ignores case as well.
    name.get(..OWN_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(OWN_PREFIX))
}

fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

fn check_structure(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::new(NameRule::Empty));
    }
    if name.len() > FileName::MAX_LENGTH {
        return Err(NameError::new(NameRule::TooLong));
    }
    if name == "." || name == ".." {
        return Err(NameError::new(NameRule::Dots));
    }
    if let Some(at) = name.find('/') {
        return Err(NameError::at(NameRule::Separator, '/', at));
    }
    if let Some(at) = name.find('\0') {
        return Err(NameError::at(NameRule::Control, '\0', at));
    }
    if is_own(name) {
        return Err(NameError::new(NameRule::Reserved));
    }
    Ok(())
}

fn check_new(name: &str) -> Result<(), NameError> {
    check_structure(name)?;
    for (at, c) in name.char_indices() {
        let rule = match c {
            '\\' => NameRule::Separator,
            ':' => NameRule::Colon,
            _ if c.is_control() => NameRule::Control,
            _ if is_invisible(c) => NameRule::Invisible,
            _ => continue,
        };
        return Err(NameError::at(rule, c, at));
    }
    if name.starts_with('-') {
        return Err(NameError::new(NameRule::LeadingDash));
    }
    if name.starts_with(char::is_whitespace) || name.ends_with(char::is_whitespace) {
        return Err(NameError::new(NameRule::OuterSpace));
    }
    if name.ends_with('.') {
        return Err(NameError::new(NameRule::TrailingDot));
    }
    if is_device(name) {
        return Err(NameError::new(NameRule::Reserved));
    }
    if !is_nfc(name) {
        return Err(NameError::new(NameRule::NotNormalised));
    }
    Ok(())
}

/// Whether Windows takes the name for a device, which it does whatever extension follows.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    let stem = stem.to_ascii_uppercase();
    if matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CLOCK$" | "CONIN$" | "CONOUT$"
    ) {
        return true;
    }
    let Some(port) = stem.strip_prefix("COM").or(stem.strip_prefix("LPT")) else {
        return false;
    };
    let mut rest = port.chars();
    matches!(
        (rest.next(), rest.next()),
        (Some('0'..='9' | '¹' | '²' | '³'), None)
    )
}

impl FromStr for FileName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        check_new(name)?;
        Ok(Self(name.into()))
    }
}

impl TryFrom<&str> for FileName {
    type Error = NameError;

    fn try_from(name: &str) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl TryFrom<&[u8]> for FileName {
    type Error = NameError;

    fn try_from(name: &[u8]) -> Result<Self, Self::Error> {
        std::str::from_utf8(name)
            .map_err(|_| NameError::new(NameRule::NotUtf8))?
            .parse()
    }
}

impl AsRef<str> for FileName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for FileName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Display for FileName {
    /// Writes the name exactly; wrap it in [`escaped`] where a person or a log reads it, because a
    /// name from [`FileName::existing`] may hold anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileName({:?})", escaped(&self.0).limit(usize::MAX))
    }
}

impl Serialize for FileName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for FileName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        name.parse().map_err(de::Error::custom)
    }
}

/// Which rule a file name breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NameRule {
    /// The name is empty.
    Empty,
    /// The name is longer than [`FileName::MAX_LENGTH`] bytes.
    TooLong,
    /// The name is `.` or `..`.
    Dots,
    /// The name holds `/` or `\`.
    Separator,
    /// The name holds `:`, which begins a drive or a stream on Windows.
    Colon,
    /// The name holds a control character, NUL included.
    Control,
    /// The name holds an invisible or direction-changing character.
    Invisible,
    /// The name begins with `-`, which programs take for an option.
    LeadingDash,
    /// The name begins or ends with white space.
    OuterSpace,
    /// The name ends with a dot, which Windows drops.
    TrailingDot,
    /// The name is that of a Windows device, or begins like the store's own files.
    Reserved,
    /// The name is not in Unicode's composed form (NFC).
    NotNormalised,
    /// The name is not UTF-8.
    NotUtf8,
}

impl Display for NameRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::TooLong => "it is longer than 255 bytes",
            Self::Dots => "it names a folder, not a file",
            Self::Separator => "it holds a path separator",
            Self::Colon => "it holds a colon",
            Self::Control => "it holds a control character",
            Self::Invisible => "it holds an invisible or direction-changing character",
            Self::LeadingDash => "it begins with '-'",
            Self::OuterSpace => "it begins or ends with white space",
            Self::TrailingDot => "it ends with a dot",
            Self::Reserved => "it is reserved",
            Self::NotNormalised => "it is not in Unicode's composed form (NFC)",
            Self::NotUtf8 => "it is not UTF-8",
        })
    }
}

/// A text that is no file name: which rule it breaks, where, and what would be allowed.
///
/// Shows the offending character by its code point, never the name itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameError {
    rule: NameRule,
    found: Option<(char, usize)>,
}

impl NameError {
    fn new(rule: NameRule) -> Self {
        Self { rule, found: None }
    }

    fn at(rule: NameRule, c: char, offset: usize) -> Self {
        Self {
            rule,
            found: Some((c, offset)),
        }
    }

    /// The rule that is broken.
    pub fn rule(&self) -> NameRule {
        self.rule
    }
}

impl Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a file name: {}", self.rule)?;
        if let Some((c, offset)) = self.found {
            write!(f, " (U+{:04X} at byte {offset})", u32::from(c))?;
        }
        f.write_str("; a name is one path component of 1 to 255 bytes of NFC text")
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(rule: NameRule, names: &[&str]) {
        for name in names {
            let error = name.parse::<FileName>().expect_err(name);
            assert_eq!(error.rule(), rule, "{name:?}");
            assert!(
                error.to_string().contains(&rule.to_string()),
                "{name:?}: {error}"
            );
        }
    }

    #[track_caller]
    fn taken(names: &[&str]) {
        for name in names {
            let parsed = name.parse::<FileName>().expect(name);
            assert_eq!(parsed.as_str(), *name);
        }
    }

    #[test]
    fn svc_d1_what_leads_elsewhere_is_refused_or_literal() {
        refused(
            NameRule::Separator,
            &[
                "../x",
                "a/../../x",
                r"..\x",
                "....//x",
                "%2e%2e/x",
                "x/..",
                "/..",
                "a/",
            ],
        );
        refused(NameRule::Dots, &[".", ".."]);
        taken(&["...x", "%2e%2e", "%2e%2e%2fx", "..x", ".hidden"]);
        let overlong: &[u8] = b"\xc0\xae\xc0\xae\xc0\xafx";
        let error = FileName::try_from(overlong).unwrap_err();
        assert_eq!(error.rule(), NameRule::NotUtf8);
    }

    #[test]
    fn svc_d2_absolute_and_drive_forms_are_refused_or_literal() {
        refused(
            NameRule::Separator,
            &["/etc/passwd", r"\\server\share\x", r"\x", "//x", "~/x"],
        );
        refused(NameRule::Colon, &[r"C:\x", "C:x", "C:"]);
        taken(&["~", "~root", "$HOME", "*"]);
    }

    #[test]
    fn svc_d3_special_names_are_refused() {
        refused(NameRule::Empty, &[""]);
        refused(
            NameRule::Control,
            &[
                "a\0",
                "a\nb",
                "a\rb",
                "a\tb",
                "\u{1b}[2J",
                "\u{85}x",
                "\u{7f}",
            ],
        );
        refused(
            NameRule::Invisible,
            &[
                "a\u{202e}txt.exe",
                "a\u{200b}",
                "\u{feff}a",
                "a\u{2066}b",
                "a\u{ad}b",
                "a\u{2028}b",
                "a\u{e0041}",
            ],
        );
        refused(NameRule::LeadingDash, &["-", "-rf", "--"]);
        refused(
            NameRule::TooLong,
            &[&"x".repeat(256), &"x".repeat(4097), &"é".repeat(128)],
        );
        taken(&[
            &"x".repeat(255),
            &"é".repeat(127),
            "a-b",
            "用户.txt",
            "👩\u{fe0f}",
        ]);
    }

    #[test]
    fn svc_d4_reserved_names_are_refused() {
        refused(
            NameRule::Reserved,
            &[
                "CON",
                "con",
                "nul.txt",
                "Aux.tar.gz",
                "COM1",
                "lpt9.log",
                "COM¹",
                "CONIN$",
                "nul .txt",
            ],
        );
        refused(
            NameRule::Reserved,
            &[".framewright-staging", ".framewright-", ".Framewright-x"],
        );
        refused(NameRule::TrailingDot, &["a.", "a..", "..."]);
        refused(NameRule::OuterSpace, &["a ", " a", "a\u{3000}", "\u{a0}a"]);
        refused(NameRule::Colon, &["a:stream", ":"]);
        taken(&[
            "CONSOLE",
            "COM10",
            "COM",
            "LPTx",
            "nulls",
            "a b",
            ".framewright",
        ]);
    }

    #[test]
    fn svc_d5_names_that_look_alike_have_one_look() {
        refused(NameRule::NotNormalised, &["e\u{301}", "\u{212b}"]);
        let look = |name: &str| FileName::existing(name).unwrap().look();
        for (one, other) in [
            ("README", "readme"),
            ("\u{e9}", "e\u{301}"),
            ("É", "é"),
            ("Straße", "STRASSE"),
            ("Σίσυφος", "σίσυφοσ"),
            ("\u{fb01}le", "file"),
            ("ｆｉｌｅ", "File"),
            ("a\u{200b}b", "ab"),
            ("heart❤\u{fe0f}", "heart❤"),
        ] {
            assert_eq!(look(one), look(other), "{one:?} {other:?}");
        }
        for (one, other) in [("a", "b"), ("é", "e"), ("file1", "filel"), ("a b", "ab")] {
            assert_ne!(look(one), look(other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn what_is_there_already_may_be_named_but_not_made() {
        for name in ["NUL", "a:b", "-x", " a", "a\u{1b}b", "e\u{301}", r"a\b"] {
            let name = FileName::existing(name).unwrap();
            assert!(name.check_new().is_err(), "{name:?}");
        }
        for name in ["", ".", "..", "a/b", "/", "a\0b", ".framewright-staging"] {
            assert!(FileName::existing(name).is_err(), "{name:?}");
        }
        assert!(FileName::existing(&"x".repeat(256)).is_err());
    }

    #[test]
    fn errors_show_no_foreign_text() {
        let error = "evil\u{1b}[2J".parse::<FileName>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "not a file name: it holds a control character (U+001B at byte 4); \
             a name is one path component of 1 to 255 bytes of NFC text"
        );
    }

    #[test]
    fn serde_checks_too() {
        let name: FileName = serde_json::from_str("\"a.txt\"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"a.txt\"");
        assert!(serde_json::from_str::<FileName>("\"../a\"").is_err());
    }

    proptest::proptest! {
        #[test]
        fn a_parsed_name_is_one_harmless_component(name in ".{0,40}") {
            if let Ok(name) = name.parse::<FileName>() {
                let mut parts = std::path::Path::new(name.as_str()).components();
                assert!(matches!(parts.next(), Some(std::path::Component::Normal(_))));
                assert!(parts.next().is_none());
                assert_eq!(escaped(name.as_str()).limit(usize::MAX).to_string().replace("\\\"", "\""), name.as_str());
            }
        }
    }
}
