//! Reads and writes the JSON object in front of a body.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::FrameError;

/// The size of the body, as the object in `header` states it under `key`.
///
/// A size that no integer here can hold is the greatest there is: too long by any measure.
pub(super) fn size_in(header: &[u8], key: &str) -> Result<u128, FrameError> {
    let text = std::str::from_utf8(header).map_err(|error| {
        FrameError::malformed("a header that is not UTF-8").at(error.valid_up_to())
    })?;
    // What serde says may quote the header, and that may hold a secret; where it is will do.
    let found = sizes_in(text, key).map_err(|error| {
        FrameError::malformed(format!(
            "a header that is not a JSON object, seen at line {}, column {}",
            error.line(),
            error.column()
        ))
    })?;
    let Some(number) = found.first else {
        return Err(FrameError::malformed(format!(
            "a header without `{key}`, the size of its body"
        )));
    };
    if found.more {
        return Err(FrameError::malformed(format!(
            "a header with `{key}` in it more than once"
        )));
    }
    integer(number.get()).ok_or_else(|| {
        FrameError::malformed(format!(
            "a header with a `{key}` that is not an integer of 0 or more"
        ))
    })
}

/// What follows the size in a header to be written: the members of `object` but `key`, each with
/// a comma in front, without white space, and the closing brace. `None` if it is no object.
pub(super) fn members_but(object: &[u8], key: &str) -> Option<String> {
    let text = std::str::from_utf8(object).ok()?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let members = reader.deserialize_map(Members).ok()?;
    reader.end().ok()?;
    let mut written = String::new();
    for (name, value) in members.iter().filter(|(name, _)| name != key) {
        written.push(',');
        written.push_str(&quoted(name));
        written.push(':');
        push_compact(value.get(), &mut written);
    }
    written.push('}');
    Some(written)
}

/// A string as it stands in JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The values under the key that states the size.
#[derive(Default)]
struct Sizes<'de> {
    first: Option<&'de RawValue>,
    more: bool,
}

fn sizes_in<'de>(text: &'de str, key: &str) -> serde_json::Result<Sizes<'de>> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = reader.deserialize_map(SizesUnder(key))?;
    reader.end()?;
    Ok(found)
}

/// Looks for values under a key, and passes over all others without keeping any.
struct SizesUnder<'k>(&'k str);

impl<'de> Visitor<'de> for SizesUnder<'_> {
    type Value = Sizes<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sizes<'de>, A::Error> {
        let mut found = Sizes::default();
        while let Some(is_size) = map.next_key_seed(Is(self.0))? {
            if is_size {
                found.more = found.first.replace(map.next_value()?).is_some();
                if found.more {
                    break;
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

/// Whether a key is this one. As bytes: half a surrogate pair, which Python writes, is no string
/// here, but as good a key as any.
struct Is<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E>(self, key: &[u8]) -> Result<bool, E> {
        Ok(key == self.0.as_bytes())
    }
}

/// All members of an object, their values as they were written: a number may have more digits
/// than any type here.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

/// What a JSON number stands for, if it is an integer that is not negative. `5.0` is none, as in
/// Python, nor is `5e0`.
fn integer(number: &str) -> Option<u128> {
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Digits that do not fit are too many.
    Some(number.parse().unwrap_or(u128::MAX))
}

/// Appends JSON without the white space between its tokens.
fn push_compact(json: &str, to: &mut String) {
    let (mut in_string, mut escaped) = (false, false);
    for character in json.chars() {
        if in_string {
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
        } else if character.is_ascii_whitespace() {
            continue;
        } else {
            in_string = character == '"';
        }
        to.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_but_not_out_of_strings() {
        for (json, compact) in [
            (r#"[ 1 , "a b" ]"#, r#"[1,"a b"]"#),
            ("{\n\t\"a\" : { } }", r#"{"a":{}}"#),
            (r#""a \" b \\" "#, r#""a \" b \\""#),
            (r#"["\\", "x y"]"#, r#"["\\","x y"]"#),
        ] {
            let mut written = String::new();
            push_compact(json, &mut written);
            assert_eq!(written, compact);
        }
    }

    #[test]
    fn numbers_keep_all_their_digits() {
        let object = br#"{"a": 123456789012345678901234567890, "size": 3, "b": 1.10}"#;
        assert_eq!(
            members_but(object, "size").unwrap(),
            r#","a":123456789012345678901234567890,"b":1.10}"#
        );
    }
}
