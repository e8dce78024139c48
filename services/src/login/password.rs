//! Holds a password so that it is not shown, logged or left in memory.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de};
use zeroize::Zeroize;

/// A password as somebody gave it.
///
/// `Debug` shows nothing of it, there is no `Display`, and its memory is overwritten when it is
/// dropped (copies that were made before, such as a read buffer's, are their owners' business).
#[derive(Clone)]
pub struct Password(SecretString);

impl Password {
    /// The longest password in bytes. Longer ones are refused before any work is spent on them.
    pub const MAX_LENGTH: usize = 1024;

    /// Takes the password over.
    ///
    /// An empty one is a password too, though it never matches.
    ///
    /// # Errors
    /// When it is longer than [`MAX_LENGTH`](Self::MAX_LENGTH).
    pub fn new(password: impl Into<String>) -> Result<Self, PasswordTooLong> {
        let mut password = password.into();
        if password.len() > Self::MAX_LENGTH {
            password.zeroize();
            return Err(PasswordTooLong(()));
        }
        Ok(Self(password.into()))
    }

    /// The password itself, to be sent or hashed but never shown.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl TryFrom<String> for Password {
    type Error = PasswordTooLong;

    fn try_from(password: String) -> Result<Self, Self::Error> {
        Self::new(password)
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// The password is longer than [`Password::MAX_LENGTH`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a password has at most 1024 bytes")]
pub struct PasswordTooLong(());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn svc_b14_a_giant_password_is_refused_at_once() {
        assert!(Password::new("x".repeat(1024)).is_ok());
        assert!(Password::new("x".repeat(1025)).is_err());
        assert!(Password::new("x".repeat(10 << 20)).is_err());
        assert!(serde_json::from_str::<Password>(&format!("\"{}\"", "x".repeat(1025))).is_err());
    }

    #[test]
    fn svc_b19_a_password_is_never_shown() {
        let password = Password::new("hunter2").unwrap();
        assert_eq!(
            format!("{password:?} {password:#?}"),
            "Password(…) Password(…)"
        );
        let error = serde_json::from_str::<Password>(&format!("\"{}\"", "hunter2".repeat(500)));
        assert!(!error.unwrap_err().to_string().contains("hunter"));
    }
}
