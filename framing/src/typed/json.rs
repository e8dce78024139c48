//! Writes values as compact JSON.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::error::Category;

use super::{Format, FormatError};

/// One JSON text (RFC 8259) a frame, without line breaks, so that it fits a line too.
///
/// ```text
///  Request { id: 7, name: "ada" }   ⇄   {"id":7,"name":"ada"}
/// ```
///
/// White space around it is allowed, anything else behind it is an error, and so is nesting deeper
/// than 128. What is done with unknown, missing and repeated fields is the type's to say
/// (`#[serde(deny_unknown_fields)]`). A number that is not finite is written as `null`.
///
/// An error keeps serde's sentence where that speaks of the type, and leaves out what it tells of
/// the value; the sentence of a type that refuses a value in its own words is left out whole.
///
/// ```
/// use framing::typed::{Format, Json};
///
/// assert_eq!(Json.write(&("ada", 7))?, r#"["ada",7]"#);
/// assert_eq!(Json.read::<(String, u8)>(br#"["ada", 7]"#)?, ("ada".to_owned(), 7));
///
/// let error = Json.read::<(String, u8)>(br#"["ada", "hunter2"]"#).unwrap_err();
/// assert_eq!(error.to_string(), "invalid type: string, expected u8 at line 1 column 17");
/// # Ok::<(), framing::typed::FormatError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json;

impl Format for Json {
    fn read<T: DeserializeOwned>(&self, frame: &[u8]) -> Result<T, FormatError> {
        serde_json::from_slice(frame).map_err(|error| without_values(&error))
    }

    fn write<T: Serialize + ?Sized>(&self, value: &T) -> Result<Bytes, FormatError> {
        match serde_json::to_vec(value) {
            Ok(text) => Ok(text.into()),
            Err(error) => Err(without_values(&error)),
        }
    }
}

/// The same error, but for what was in the frame.
fn without_values(error: &serde_json::Error) -> FormatError {
    let text = error.to_string();
    let place = (error.line(), error.column());
    let suffix = format!(" at line {} column {}", place.0, place.1);
    let sentence = text.strip_suffix(&suffix).unwrap_or(&text);
    let message = match error.classify() {
        // Sentences of serde_json's own; not one quotes its input.
        Category::Syntax | Category::Eof | Category::Io => sentence.to_owned().into(),
        Category::Data => of_the_type(sentence),
    };
    let safe = FormatError::new(message);
    // Counted from 1; line 0 is no place.
    if place.0 == 0 {
        safe
    } else {
        safe.at(place.0, place.1)
    }
}

/// How serde names what it has found in place of something else.
const KINDS: [&str; 15] = [
    "boolean",
    "integer",
    "floating point",
    "character",
    "string",
    "byte array",
    "unit value",
    "Option value",
    "newtype struct",
    "sequence",
    "map",
    "enum",
    "unit variant",
    "newtype variant",
    "null",
];

/// What serde says of the type, taken out of a sentence that may also quote the value.
fn of_the_type(sentence: &str) -> Cow<'static, str> {
    // The last: one before it may stand in a quoted string, as any does where nothing is expected.
    let nothing = ["`, there are no variants", "`, there are no fields"]
        .iter()
        .any(|end| sentence.ends_with(end));
    let expected = sentence
        .rfind(", expected ")
        .filter(|_| !nothing)
        .map_or("", |at| &sentence[at..]);
    for (start, kind) in [
        ("invalid type: ", true),
        ("invalid value: ", true),
        ("unknown variant `", false),
        ("unknown field `", false),
    ] {
        let Some(found) = sentence.strip_prefix(start) else {
            continue;
        };
        if !kind {
            let what = start.trim_end_matches(" `");
            return format!("{what}{expected}").into();
        }
        let kind = KINDS.iter().find(|kind| found.starts_with(**kind));
        let kind = kind.unwrap_or(&"something else");
        return format!("{start}{kind}{expected}").into();
    }
    let names_a_field = ["missing field `", "duplicate field `"]
        .iter()
        .any(|start| sentence.starts_with(start) && sentence.ends_with('`'));
    let tells_a_length = sentence
        .strip_prefix("invalid length ")
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let about_untagged = sentence.starts_with("data did not match any variant of untagged enum ");
    if names_a_field || tells_a_length || about_untagged {
        return sentence.to_owned().into();
    }
    "a value that its type refuses".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serde_quotes_is_left_out() {
        for (sentence, told) in [
            (
                "invalid type: string \"a, expected b\", expected u8",
                "invalid type: string, expected u8",
            ),
            (
                "invalid value: integer `300`, expected u8",
                "invalid value: integer, expected u8",
            ),
            (
                "invalid type: my own secret, expected u8",
                "invalid type: something else, expected u8",
            ),
            (
                "unknown variant `secret`, expected `a` or `b`",
                "unknown variant, expected `a` or `b`",
            ),
            (
                "unknown variant `secret`, there are no variants",
                "unknown variant",
            ),
            (
                "unknown field `x, expected y`, expected one of `a`, `b`",
                "unknown field, expected one of `a`, `b`",
            ),
            (
                "unknown field `x, expected secret`, there are no fields",
                "unknown field",
            ),
            ("missing field `id`", "missing field `id`"),
            (
                "invalid length 1, expected a tuple of size 2",
                "invalid length 1, expected a tuple of size 2",
            ),
            (
                "`secret` is too short a password",
                "a value that its type refuses",
            ),
        ] {
            assert_eq!(of_the_type(sentence), told);
        }
    }
}
