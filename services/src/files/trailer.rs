//! Says in a trailer which digests a file's bytes have, and checks what a trailer says.
//!
//! BLAKE3 is there unless a request does without, as it may where the server allows it. SHA-256 comes
//! beside it for peers whose standard library has no other, and only where a request asks for it:
//! nobody else pays for a second hash.

use std::fmt::Write;

use sha2::{Digest as _, Sha256};

use super::digest::{Digest, Hasher};
use crate::{Code, Fields, Status};

/// The digests of a file's bytes, in the making.
pub(super) struct Digests {
    blake3: Option<Hasher>,
    sha256: Option<Sha256>,
    count: u64,
}

/// What a request says of its digests.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// Whether there is the digest that files are known by here.
    pub(super) digest: bool,
    pub(super) sha256: bool,
}

impl Asked {
    /// Reads it from a request's arguments. To do without a digest must be `allowed`.
    pub(super) fn read(arguments: &Fields, allowed: bool) -> Result<Self, Status> {
        let asked = Self {
            digest: arguments.get("digest")?.unwrap_or(true),
            sha256: arguments.get("sha256")?.unwrap_or(false),
        };
        if !asked.digest && !allowed {
            let sentence = "this server moves no file without a digest";
            return Err(Status::new(Code::NOT_ALLOWED, sentence));
        }
        Ok(asked)
    }
}

impl Digests {
    /// Of a file that goes out: all that were asked for.
    pub(super) fn of_download(asked: Asked) -> Self {
        Self::new(asked.digest, asked.sha256)
    }

    /// Of a file that comes in: the store compares BLAKE3, so it is made here only where the peer may
    /// have another.
    pub(super) fn of_upload(asked: Asked) -> Self {
        Self::new(asked.digest && asked.sha256, asked.sha256)
    }

    fn new(blake3: bool, sha256: bool) -> Self {
        Self {
            blake3: blake3.then(Digest::hasher),
            sha256: sha256.then(Sha256::new),
            count: 0,
        }
    }

    /// Takes in the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.count += bytes.len() as u64;
        if let Some(blake3) = &mut self.blake3 {
            blake3.update(bytes);
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
    }

    /// How many bytes have been taken in.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    fn digest(&self) -> Option<Digest> {
        self.blake3.as_ref().map(Hasher::digest)
    }

    /// What a trailer says of the bytes taken in.
    pub(super) fn to_trailer(&self) -> Fields {
        let mut trailer = Fields::new();
        if let Some(digest) = self.digest() {
            trailer.set("digest", digest);
        }
        if let Some(sha256) = self.sha256() {
            trailer.set("sha256", sha256);
        }
        trailer
    }

    /// The digest to store the bytes with, after `trailer` has said all that were `asked` for, and no
    /// wrong one. None where the request does without.
    pub(super) fn agree(&self, trailer: &Fields, asked: Asked) -> Result<Option<Digest>, Status> {
        let wrong = |sentence| Err(Status::new(Code::BAD_REQUEST, sentence));
        let theirs: Option<Digest> = trailer.get("digest")?;
        if theirs.is_some() && !asked.digest {
            return wrong("a `digest` comes, and the request says that none does");
        }
        let said = trailer.get::<String>("sha256")?;
        let Some(ours) = self.sha256() else {
            if said.is_some() && theirs.is_none() {
                return wrong(
                    "a `sha256` in place of the `digest` must be announced: \
                     the request has to say `sha256: true`",
                );
            }
            return Ok(match asked.digest {
                true => Some(theirs.map_or_else(|| trailer.require("digest"), Ok)?),
                false => None,
            });
        };
        match said {
            Some(sha256) if sha256.eq_ignore_ascii_case(&ours) => Ok(theirs.or(self.digest())),
            Some(_) => Err(super::StoreError::DigestMismatch.into()),
            None => wrong("`sha256` is missing, and the request says that it comes"),
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

    const PLAIN: Asked = Asked {
        digest: true,
        sha256: false,
    };
    const BOTH: Asked = Asked {
        digest: true,
        sha256: true,
    };
    const NONE: Asked = Asked {
        digest: false,
        sha256: false,
    };
    const SHA256: Asked = Asked {
        digest: false,
        sha256: true,
    };

    fn filled(mut digests: Digests) -> Digests {
        digests.update(b"a");
        digests.update(b"bc");
        digests
    }

    fn says(digest: Option<&str>, sha256: Option<&str>) -> Fields {
        Fields::new().with("digest", digest).with("sha256", sha256)
    }

    #[test]
    fn a_trailer_has_what_was_asked_for() {
        let trailer = |asked| filled(Digests::of_download(asked)).to_trailer();
        let blake3 = Fields::new().with("digest", Digest::of(b"abc"));
        assert_eq!(trailer(PLAIN), blake3);
        assert_eq!(trailer(BOTH), blake3.with("sha256", ABC));
        assert_eq!(trailer(NONE), Fields::new());
        assert_eq!(trailer(SHA256), Fields::new().with("sha256", ABC));
    }

    #[test]
    fn to_do_without_a_digest_must_be_allowed() {
        let asked = |fields: Fields, allowed| {
            Asked::read(&fields, allowed)
                .map(|asked| asked.digest)
                .map_err(|status| status.code().clone())
        };
        let without = || Fields::new().with("digest", false);
        assert_eq!(asked(Fields::new(), true), Ok(true));
        assert_eq!(asked(without(), true), Ok(false));
        assert_eq!(asked(without(), false), Err(Code::NOT_ALLOWED));
    }

    #[test]
    fn one_digest_is_enough_and_a_wrong_one_is_too_many() {
        let blake3 = Digest::of(b"abc").to_string();
        let wrong = ABC.replace('b', "c");
        let agreed = |asked, digest, sha256| {
            let result = filled(Digests::of_upload(asked)).agree(&says(digest, sha256), asked);
            result
                .map(|digest| digest.map(|digest| digest.to_string()))
                .map_err(|status| status.code().clone())
        };
        let ours = || Ok(Some(blake3.clone()));
        let bad = || Err(Code::BAD_REQUEST);
        assert_eq!(agreed(PLAIN, Some(&blake3), None), ours());
        assert_eq!(agreed(PLAIN, None, None), bad());
        assert_eq!(agreed(PLAIN, None, Some(ABC)), bad());
        let unannounced = filled(Digests::of_upload(PLAIN)).agree(&says(None, Some(ABC)), PLAIN);
        let unannounced = unannounced.unwrap_err();
        assert!(
            unannounced.sentence().contains("`sha256: true`"),
            "{unannounced}"
        );
        assert_eq!(agreed(BOTH, None, Some(ABC)), ours());
        let upper = ABC.to_uppercase();
        assert_eq!(agreed(BOTH, None, Some(&upper)), ours());
        assert_eq!(agreed(BOTH, Some(&blake3), None), bad());
        assert_eq!(agreed(BOTH, None, None), bad());
        let mismatch = || Err(Code::from_static("digest-mismatch"));
        assert_eq!(agreed(BOTH, None, Some(&wrong)), mismatch());
        assert_eq!(agreed(BOTH, Some(&blake3), Some(&wrong)), mismatch());
        // A wrong BLAKE3 digest is refused by the store, so it must reach it.
        assert_eq!(
            agreed(BOTH, Some(&wrong), Some(ABC)),
            Ok(Some(wrong.clone()))
        );
        assert_eq!(agreed(NONE, None, None), Ok(None));
        // Nobody would compare it.
        assert_eq!(agreed(NONE, Some(&blake3), None), bad());
        assert_eq!(agreed(SHA256, None, Some(ABC)), Ok(None));
        assert_eq!(agreed(SHA256, None, Some(&wrong)), mismatch());
        assert_eq!(agreed(SHA256, None, None), bad());
    }
}
