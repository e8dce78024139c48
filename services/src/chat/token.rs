//! What proves that a name is one's own.

use std::{fmt, io, str::FromStr};

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

/// A secret of 32 hexadecimal digits, made by chance; never shown, and overwritten when dropped.
#[derive(Clone)]
pub struct Token(SecretString);

impl Token {
    /// How many hexadecimal digits it has: 128 bits, which nobody guesses.
    pub const LENGTH: usize = 32;

    /// A new one.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; Self::LENGTH / 2];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self(hex(&bytes).into()))
    }

    /// The digits, to be kept in a private file or sent.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What a directory keeps in its place.
    pub fn digest(&self) -> TokenDigest {
        // A fast hash will do: there is nothing to guess in 128 bits of chance.
        TokenDigest(*blake3::hash(self.expose().as_bytes()).as_bytes())
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let digits = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if text.len() != Self::LENGTH || !text.bytes().all(digits) {
            return Err(TokenError(()));
        }
        Ok(Self(text.to_owned().into()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A text that is no token. Shows nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a token: it is 32 hexadecimal digits in lower case")]
pub struct TokenError(());

/// A token that cannot be turned back into one.
#[derive(Clone, Copy)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Whether it is of this token; takes as long where it is not.
    pub fn is_of(&self, token: &Token) -> bool {
        self.0.ct_eq(&token.digest().0).into()
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

impl FromStr for TokenDigest {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let hash = blake3::Hash::from_hex(text).map_err(|_| TokenError(()))?;
        Ok(Self(*hash.as_bytes()))
    }
}

/// Bytes as hexadecimal digits in lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;

    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_by_chance_read_again_and_never_shown() {
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        let again: Token = one.expose().parse().unwrap();
        assert!(one.digest().is_of(&again));
        assert!(!one.digest().is_of(&other));
        let digest: TokenDigest = one.digest().to_string().parse().unwrap();
        assert!(digest.is_of(&one) && !digest.is_of(&other));
        assert!(!format!("{one:?} {digest:?}").contains(one.expose()));
        for text in ["", "x", &"A".repeat(32), &"a".repeat(33), &"语".repeat(11)] {
            assert!(text.parse::<Token>().is_err(), "{text}");
        }
    }
}
