//! Says in a trailer which digests a file's bytes have, and checks what a trailer says.
//!
//! BLAKE3 is there always. SHA-256 comes beside it for peers whose standard library has no other,
//! and only where a request asks for it: nobody else pays for a second hash.

use std::fmt::Write;

use sha2::{Digest as _, Sha256};

use super::digest::{Digest, Hasher};
use crate::{Code, Fields, Status};

/// The digests of a file's bytes, in the making.
pub(super) struct Digests {
    blake3: Hasher,
    sha256: Option<Sha256>,
}

impl Digests {
    /// Starts; `sha256` is what the request says of itself.
    pub(super) fn new(sha256: Option<bool>) -> Self {
        Self {
            blake3: Digest::hasher(),
            sha256: sha256.unwrap_or(false).then(Sha256::new),
        }
    }

    /// Takes in the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.blake3.update(bytes);
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
    }

    /// How many bytes have been taken in.
    pub(super) fn count(&self) -> u64 {
        self.blake3.count()
    }

    /// The digest that files are known by here.
    pub(super) fn digest(&self) -> Digest {
        self.blake3.digest()
    }

    /// What a trailer says of the bytes taken in.
    pub(super) fn to_trailer(&self) -> Fields {
        let trailer = Fields::new().with("digest", self.digest());
        match self.sha256() {
            Some(sha256) => trailer.with("sha256", sha256),
            None => trailer,
        }
    }

    /// The digest to store the bytes with, after `trailer` has said at least one and no wrong one.
    pub(super) fn agree(&self, trailer: &Fields) -> Result<Digest, Status> {
        let theirs: Option<Digest> = trailer.get("digest")?;
        let Some(ours) = self.sha256() else {
            if theirs.is_none() && trailer.names().any(|name| name == "sha256") {
                let sentence = "a `sha256` in place of the `digest` must be announced: \
                                the request has to say `sha256: true`";
                return Err(Status::new(Code::BAD_REQUEST, sentence));
            }
            return Ok(theirs.map_or_else(|| trailer.require("digest"), Ok)?);
        };
        match trailer.get::<String>("sha256")? {
            Some(sha256) if sha256.eq_ignore_ascii_case(&ours) => {
                Ok(theirs.unwrap_or_else(|| self.digest()))
            }
            Some(_) => Err(super::StoreError::DigestMismatch.into()),
            None => {
                let sentence = "`sha256` is missing, and the request says that it comes";
                Err(Status::new(Code::BAD_REQUEST, sentence))
            }
        }
    }

    fn sha256(&self) -> Option<String> {
        let digest = self.sha256.clone()?.finalize();
        Some(digest.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The SHA-256 of `abc`, as published with it.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn digests(sha256: Option<bool>) -> Digests {
        let mut digests = Digests::new(sha256);
        digests.update(b"a");
        digests.update(b"bc");
        digests
    }

    fn says(digest: Option<&str>, sha256: Option<&str>) -> Fields {
        Fields::new().with("digest", digest).with("sha256", sha256)
    }

    #[test]
    fn a_trailer_has_what_was_asked_for() {
        let blake3 = Fields::new().with("digest", Digest::of(b"abc"));
        assert_eq!(digests(None).to_trailer(), blake3);
        assert_eq!(digests(Some(false)).to_trailer(), blake3);
        assert_eq!(digests(Some(true)).to_trailer(), blake3.with("sha256", ABC));
    }

    #[test]
    fn one_digest_is_enough_and_a_wrong_one_is_too_many() {
        let blake3 = Digest::of(b"abc").to_string();
        let wrong = ABC.replace('b', "c");
        let agreed = |asked, digest, sha256| {
            let result = digests(asked).agree(&says(digest, sha256));
            result
                .map(|digest| digest.to_string())
                .map_err(|status| status.code().clone())
        };
        assert_eq!(agreed(None, Some(&blake3), None), Ok(blake3.clone()));
        assert_eq!(agreed(None, None, None), Err(Code::BAD_REQUEST));
        assert_eq!(agreed(None, None, Some(ABC)), Err(Code::BAD_REQUEST));
        let unannounced = digests(None).agree(&says(None, Some(ABC))).unwrap_err();
        assert!(
            unannounced.sentence().contains("`sha256: true`"),
            "{unannounced}"
        );
        assert_eq!(agreed(Some(true), None, Some(ABC)), Ok(blake3.clone()));
        let upper = ABC.to_uppercase();
        assert_eq!(agreed(Some(true), None, Some(&upper)), Ok(blake3.clone()));
        assert_eq!(
            agreed(Some(true), Some(&blake3), None),
            Err(Code::BAD_REQUEST)
        );
        assert_eq!(agreed(Some(true), None, None), Err(Code::BAD_REQUEST));
        let mismatch = Err(Code::from_static("digest-mismatch"));
        assert_eq!(agreed(Some(true), None, Some(&wrong)), mismatch);
        assert_eq!(agreed(Some(true), Some(&blake3), Some(&wrong)), mismatch);
        // A wrong BLAKE3 digest is refused by the store, so it must reach it.
        assert_eq!(
            agreed(Some(true), Some(&wrong), Some(ABC)),
            Ok(wrong.clone())
        );
    }
}
