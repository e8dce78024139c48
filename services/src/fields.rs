//! Named values beside a body: a request's arguments, a response's details, a body's trailer.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// Named values, each of any serde type; a JSON object on the wire.
///
/// `Debug` shows the names only: a value may be a password.
///
/// ```
/// use services::Fields;
///
/// let fields = Fields::new().with("name", "notes.txt").with("size", 5);
/// assert_eq!(fields.require::<u64>("size")?, 5);
/// assert_eq!(fields.get::<bool>("overwrite")?, None);
/// assert!(fields.require::<u64>("name").is_err());
/// # Ok::<(), services::FieldError>(())
/// ```
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fields(Map<String, Value>);

/// A named value that is missing, of the wrong type, or not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// There is none of this name.
    #[error("`{0}` is missing")]
    Missing(String),
    /// It is not of the type that it must have.
    #[error("`{name}` is not what it must be: {reason}")]
    Mistyped {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing here has this name.
    #[error("`{name}` is not known here; {}", there_are(known))]
    Unknown {
        /// The name.
        name: String,
        /// The names there are; empty if there are none.
        known: String,
    },
}

fn there_are(known: &str) -> String {
    match known {
        "" => "nothing is taken".to_owned(),
        known => format!("there are: {known}"),
    }
}

impl Fields {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value, in place of one of the same name. What has no JSON form is `null`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.set(name, value);
        self
    }

    /// Adds a value, in place of one of the same name. What has no JSON form is `null`.
    pub fn set(&mut self, name: &str, value: impl Serialize) {
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        self.0.insert(name.to_owned(), value);
    }

    /// The value of this name, if there is one.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, FieldError> {
        let Some(value) = self.0.get(name).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        T::deserialize(value)
            .map(Some)
            .map_err(|error| FieldError::Mistyped {
                name: name.to_owned(),
                reason: error.to_string(),
            })
    }

    /// The value of this name, which must be there.
    pub fn require<T: DeserializeOwned>(&self, name: &str) -> Result<T, FieldError> {
        self.get(name)?
            .ok_or_else(|| FieldError::Missing(name.to_owned()))
    }

    /// Refuses names that are not among `known`: a misspelt one would be passed over in silence.
    ///
    /// ```
    /// use services::Fields;
    ///
    /// let fields = Fields::new().with("tiemout", "10s");
    /// let error = fields.only(&["timeout"]).unwrap_err();
    /// assert_eq!(error.to_string(), "`tiemout` is not known here; there are: timeout");
    /// let error = fields.only(&[]).unwrap_err();
    /// assert_eq!(error.to_string(), "`tiemout` is not known here; nothing is taken");
    /// ```
    pub fn only(&self, known: &[&str]) -> Result<(), FieldError> {
        match self.names().find(|name| !known.contains(name)) {
            None => Ok(()),
            Some(name) => Err(FieldError::Unknown {
                name: name.to_owned(),
                known: known.join(", "),
            }),
        }
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// How many bytes they take as JSON.
    pub(crate) fn length_as_json(&self) -> usize {
        serde_json::to_vec(self).map_or(0, |json| json.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
