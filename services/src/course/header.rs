//! Says which file comes: a JSON object of its name, size and digest.

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the keys of a header are called; scripts differ.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// The file's name (`filename`).
    pub filename: String,
    /// Its size in bytes (`filesize`).
    pub filesize: String,
    /// The MD5 digest of its bytes, in lower-case hexadecimal (`md5`).
    pub md5: String,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            filename: "filename".to_owned(),
            filesize: "filesize".to_owned(),
            md5: "md5".to_owned(),
        }
    }
}

/// A file that comes behind its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) filename: String,
    pub(super) filesize: u64,
    pub(super) md5: Option<Md5Digest>,
}

impl Header {
    /// Reads the object; other keys than ours are the peer's own business.
    pub(super) fn read(object: &Map<String, Value>, keys: &Keys) -> Result<Self, String> {
        let filename = text(object, &keys.filename)?;
        let filesize = object
            .get(&keys.filesize)
            .ok_or_else(|| format!("`{}` is missing", keys.filesize))?
            .as_u64()
            .ok_or_else(|| format!("`{}` is no number of bytes", keys.filesize))?;
        let md5 = match object.get(&keys.md5) {
            None | Some(Value::Null) => None,
            Some(_) => Some(Md5Digest::read(&text(object, &keys.md5)?)?),
        };
        Ok(Self {
            filename,
            filesize,
            md5,
        })
    }

    /// Adds it to an object.
    pub(super) fn write(&self, keys: &Keys, object: &mut Map<String, Value>) {
        object.insert(keys.filename.clone(), self.filename.clone().into());
        object.insert(keys.filesize.clone(), self.filesize.into());
        if let Some(md5) = self.md5 {
            object.insert(keys.md5.clone(), md5.to_string().into());
        }
    }
}

/// The text under `key`.
pub(super) fn text(object: &Map<String, Value>, key: &str) -> Result<String, String> {
    match object.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("`{key}` is no string")),
        None => Err(format!("`{key}` is missing")),
    }
}

/// A JSON object that has arrived.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("it is JSON, but no object".to_owned()),
        Err(error) => Err(format!("it is no JSON object: {error}")),
    }
}

/// A JSON object to be sent.
pub(super) fn bytes(object: Map<String, Value>) -> bytes::Bytes {
    Value::Object(object).to_string().into()
}

/// The MD5 digest of a file. It tells damage, and no malice: files of the same MD5 can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Md5Digest([u8; 16]);

impl Md5Digest {
    fn read(hex: &str) -> Result<Self, String> {
        let wrong = || "the MD5 digest is not 32 hexadecimal digits".to_owned();
        if hex.len() != 32 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let number = u128::from_str_radix(hex, 16).map_err(|_| wrong())?;
        Ok(Self(number.to_be_bytes()))
    }

    /// The digest of 32 digits behind a body.
    pub(super) fn read_bytes(hex: &[u8]) -> Result<Self, String> {
        Self::read(&String::from_utf8_lossy(hex))
    }
}

impl std::fmt::Display for Md5Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An MD5 digest in the making.
#[derive(Clone, Default)]
pub(super) struct Md5Hasher(Md5);

impl Md5Hasher {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn digest(self) -> Md5Digest {
        Md5Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Header, String> {
        Header::read(value.as_object().unwrap(), &Keys::default())
    }

    #[test]
    fn a_header_is_read_as_it_is_written() {
        let mut hasher = Md5Hasher::default();
        hasher.update(b"abc");
        let header = Header {
            filename: "a.txt".to_owned(),
            filesize: 3,
            md5: Some(hasher.digest()),
        };
        let mut object = Map::new();
        header.write(&Keys::default(), &mut object);
        // As RFC 1321 has it.
        assert_eq!(object["md5"], "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(read(object.into()), Ok(header));
    }

    #[test]
    fn what_is_wrong_with_a_header_is_said() {
        for (value, error) in [
            (json!({ "filesize": 1 }), "`filename` is missing"),
            (
                json!({ "filename": 1, "filesize": 1 }),
                "`filename` is no string",
            ),
            (json!({ "filename": "a" }), "`filesize` is missing"),
            (
                json!({ "filename": "a", "filesize": -1 }),
                "`filesize` is no number of bytes",
            ),
            (
                json!({ "filename": "a", "filesize": 1.5 }),
                "`filesize` is no number of bytes",
            ),
            (
                json!({ "filename": "a", "filesize": "1" }),
                "`filesize` is no number of bytes",
            ),
            (
                json!({ "filename": "a", "filesize": 1, "md5": "abc" }),
                "the MD5 digest is not 32 hexadecimal digits",
            ),
        ] {
            assert_eq!(read(value).unwrap_err(), error);
        }
        let without = read(json!({ "filename": "a", "filesize": 1, "md5": null, "more": [] }));
        assert_eq!(without.unwrap().md5, None);
        assert!(object(b"[1]").unwrap_err().contains("no object"));
        assert!(object(b"{").unwrap_err().contains("no JSON"));
    }
}
