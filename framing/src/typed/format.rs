//! Says how a value is written in a frame.

use std::{borrow::Cow, error, fmt};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// How values are written in frames.
///
/// A clone must read and write as the original does.
///
/// ```
/// use bytes::Bytes;
/// use framing::typed::{Format, FormatError, Json};
/// use serde::{Serialize, de::DeserializeOwned};
///
/// /// JSON with a version in front: `1{"id":7}`.
/// #[derive(Clone)]
/// struct Versioned;
///
/// impl Format for Versioned {
///     fn read<T: DeserializeOwned>(&self, frame: &[u8]) -> Result<T, FormatError> {
///         match frame.strip_prefix(b"1") {
///             Some(json) => Json.read(json),
///             None => Err(FormatError::new("a frame of another version than 1")),
///         }
///     }
///
///     fn write<T: Serialize + ?Sized>(&self, value: &T) -> Result<Bytes, FormatError> {
///         Ok([&b"1"[..], &Json.write(value)?].concat().into())
///     }
/// }
///
/// assert_eq!(Versioned.write(&[7, 8])?, "1[7,8]");
/// assert_eq!(Versioned.read::<Vec<u32>>(b"1[7,8]")?, [7, 8]);
/// assert!(Versioned.read::<Vec<u32>>(b"2[7,8]").is_err());
/// # Ok::<(), FormatError>(())
/// ```
pub trait Format {
    /// Reads the value that `frame` holds. Bytes left over behind it are an error.
    fn read<T: DeserializeOwned>(&self, frame: &[u8]) -> Result<T, FormatError>;

    /// Writes `value` as a frame.
    fn write<T: Serialize + ?Sized>(&self, value: &T) -> Result<Bytes, FormatError>;
}

/// A frame that holds no such value, or a value that cannot be written.
///
/// It says what is wrong and where, and never what was there: that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError {
    message: Cow<'static, str>,
    place: Option<(usize, usize)>,
}

impl FormatError {
    /// Say what is wrong, and nothing of the value.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
            place: None,
        }
    }

    /// Where it is: line, and column in bytes, both counted from 1.
    pub fn at(mut self, line: usize, column: usize) -> Self {
        self.place = Some((line, column));
        self
    }

    /// The line, from 1, where that is known.
    pub fn line(&self) -> Option<usize> {
        self.place.map(|(line, _)| line)
    }

    /// How many bytes into that line, from 1.
    pub fn column(&self) -> Option<usize> {
        self.place.map(|(_, column)| column)
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.place {
            Some((line, column)) => write!(f, " at line {line} column {column}"),
            None => Ok(()),
        }
    }
}

impl error::Error for FormatError {}
