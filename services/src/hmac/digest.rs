//! Makes and compares HMACs (RFC 2104).

use std::fmt;

use ::hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use serde::Deserialize;
use sha2::Sha256;

use super::{HmacError, Secret};

/// Which hash the one-way form's HMAC is made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Digest {
    /// SHA-256: 32 bytes.
    #[default]
    Sha256,
    /// MD5: 16 bytes. Only for peers that cannot do better: it is what `hmac.new(key, message)` meant
    /// before Python 3.8. Collisions of MD5 do not break its HMAC, but nothing new should rest on it.
    Md5,
}

impl Digest {
    /// The length of an HMAC in bytes.
    pub(super) fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Md5 => 16,
        }
    }

    /// The HMAC of the parts of a message, one behind the other.
    pub(super) fn sign(self, secret: &Secret, message: &[&[u8]]) -> Result<Vec<u8>, HmacError> {
        Ok(match self {
            Self::Sha256 => run::<Hmac<Sha256>>(secret, message)?
                .finalize()
                .into_bytes()
                .to_vec(),
            Self::Md5 => run::<Hmac<Md5>>(secret, message)?
                .finalize()
                .into_bytes()
                .to_vec(),
        })
    }

    /// Whether `proof` is the whole HMAC of the message, in a time that does not tell how much of it
    /// is right.
    pub(super) fn verify(
        self,
        secret: &Secret,
        message: &[&[u8]],
        proof: &[u8],
    ) -> Result<(), HmacError> {
        let verified = match self {
            Self::Sha256 => run::<Hmac<Sha256>>(secret, message)?.verify_slice(proof),
            Self::Md5 => run::<Hmac<Md5>>(secret, message)?.verify_slice(proof),
        };
        verified.map_err(|_| HmacError::Wrong)
    }
}

fn run<M: Mac + KeyInit>(secret: &Secret, message: &[&[u8]]) -> Result<M, HmacError> {
    // Never for an HMAC, whose keys may have any length.
    let mut mac = <M as KeyInit>::new_from_slice(secret.expose()).map_err(|_| HmacError::System)?;
    for part in message {
        mac.update(part);
    }
    Ok(mac)
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "sha256",
            Self::Md5 => "md5",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn check(digest: Digest, key: &[u8], message: &[u8], expected: &str) {
        let secret = Secret::new(key).unwrap();
        let proof = digest.sign(&secret, &[message]).unwrap();
        assert_eq!(hex(&proof), expected);
        assert_eq!(proof.len(), digest.length());
        // Where a message is cut into parts makes no difference.
        let (head, tail) = message.split_at(message.len() / 2);
        assert_eq!(digest.sign(&secret, &[head, tail]).unwrap(), proof);
        digest.verify(&secret, &[message], &proof).unwrap();
        for wrong in [&[][..], &proof[1..], &proof[..proof.len() - 1]] {
            assert!(digest.verify(&secret, &[message], wrong).is_err());
        }
        for bit in 0..8 * proof.len() {
            let mut proof = proof.clone();
            proof[bit / 8] ^= 1 << (bit % 8);
            assert!(
                digest.verify(&secret, &[message], &proof).is_err(),
                "bit {bit}"
            );
        }
    }

    const LONG_KEY: &[u8] = b"Test Using Larger Than Block-Size Key - Hash Key First";
    const LONGER: &[u8] = b"This is a test using a larger than block-size key and a larger than \
        block-size data. The key needs to be hashed before being used by the HMAC algorithm.";

    #[test]
    fn the_vectors_of_rfc_4231() {
        // Case 5 is one of truncation, which is not offered.
        let counted: Vec<u8> = (1..=25).collect();
        let cases: [(&[u8], &[u8], &str); 6] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 20],
                &[0xdd; 50],
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
            (
                &counted,
                &[0xcd; 50],
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            ),
            (
                &[0xaa; 131],
                LONG_KEY,
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                &[0xaa; 131],
                LONGER,
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ];
        for (key, message, expected) in cases {
            check(Digest::Sha256, key, message, expected);
        }
    }

    #[test]
    fn the_vectors_of_rfc_2202() {
        let counted: Vec<u8> = (1..=25).collect();
        let cases: [(&[u8], &[u8], &str); 7] = [
            (&[0x0b; 16], b"Hi There", "9294727a3638bb1c13f48ef8158bfc9d"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "750c783e6ab0b503eaa86e310a5db738",
            ),
            (&[0xaa; 16], &[0xdd; 50], "56be34521d144c88dbb8c733f0e8b3f6"),
            (&counted, &[0xcd; 50], "697eaf0aca3a3aea3a75164746ffaa79"),
            (
                &[0x0c; 16],
                b"Test With Truncation",
                "56461ef2342edc00f9bab995690efd4c",
            ),
            (&[0xaa; 80], LONG_KEY, "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd"),
            (
                &[0xaa; 80],
                b"Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data",
                "6f630fad67cda0ee1fb1f562db3aa53e",
            ),
        ];
        for (key, message, expected) in cases {
            check(Digest::Md5, key, message, expected);
        }
    }

    #[test]
    fn names_are_those_of_the_configuration() {
        for digest in [Digest::Sha256, Digest::Md5] {
            let read: Digest = serde_json::from_str(&format!("\"{digest}\"")).unwrap();
            assert_eq!(read, digest);
        }
        assert_eq!(Digest::default(), Digest::Sha256);
        assert!(serde_json::from_str::<Digest>("\"sha1\"").is_err());
    }
}
