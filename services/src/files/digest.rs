//! Names the content of a file by its BLAKE3 digest.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize, de};

/// The BLAKE3 digest of a whole file: 32 bytes, written as 64 lower-case hexadecimal digits.
///
/// Two digests are compared in constant time. Reading accepts upper-case digits too.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(blake3::Hash);

impl Digest {
    /// The length of a digest in bytes.
    pub const LENGTH: usize = blake3::OUT_LEN;

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes))
    }

    /// Starts a digest of bytes that arrive in pieces.
    pub fn hasher() -> Hasher {
        Hasher(blake3::Hasher::new())
    }

    /// The digest's bytes.
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        self.0.as_bytes()
    }
}

impl From<[u8; Digest::LENGTH]> for Digest {
    fn from(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes.into())
    }
}

impl Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        blake3::Hash::from_hex(text)
            .map(Self)
            .map_err(|_| ParseDigestError(()))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The text is not the hexadecimal form of a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a digest is exactly 64 hexadecimal digits (BLAKE3, 32 bytes)")]
pub struct ParseDigestError(());

/// A digest in the making; from [`Digest::hasher`].
#[derive(Clone)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// Takes in the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// How many bytes have been taken in.
    pub fn count(&self) -> u64 {
        self.0.count()
    }

    /// The digest of all bytes taken in so far; more may follow.
    pub fn digest(&self) -> Digest {
        Digest(self.0.finalize())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("count", &self.count())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest of nothing, as published with BLAKE3.
    const EMPTY: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

    #[test]
    fn is_blake3_in_hexadecimal_and_reads_back() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(digest));
        assert_eq!(EMPTY.to_uppercase().parse(), Ok(digest));
        assert_eq!(Digest::from(*digest.as_bytes()), digest);
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{EMPTY}\""));
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    }

    #[test]
    fn pieces_make_the_digest_of_the_whole() {
        let mut hasher = Digest::hasher();
        hasher.update(b"hel");
        assert_ne!(hasher.digest(), Digest::of(b"hello"));
        hasher.update(b"lo");
        assert_eq!(hasher.digest(), Digest::of(b"hello"));
        assert_eq!(hasher.count(), 5);
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        for text in [
            "",
            "af13",
            &EMPTY[1..],
            &format!("{EMPTY}0"),
            &EMPTY.replace('a', "g"),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text:?}");
        }
    }
}
