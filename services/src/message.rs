//! What services see: requests and responses, whatever their form on the wire.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{Body, FieldError, Fields, Session, login::Identity};

/// What a request asks for. An open set: a service of yours has verbs of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Verb(Cow<'static, str>);

impl Verb {
    /// Tells the time, again and again.
    pub const CLOCK: Self = Self::from_static("clock");
    /// Runs a command.
    pub const EXEC: Self = Self::from_static("exec");
    /// Fetches a file.
    pub const GET: Self = Self::from_static("get");
    /// Lists the files.
    pub const LIST: Self = Self::from_static("list");
    /// Says who one is, with a secret.
    pub const LOGIN: Self = Self::from_static("login");
    /// Asks for an answer and nothing else.
    pub const PING: Self = Self::from_static("ping");
    /// Stores a file.
    pub const PUT: Self = Self::from_static("put");
    /// Removes a file.
    pub const REMOVE: Self = Self::from_static("remove");
    /// Asks who one is logged in as.
    pub const WHOAMI: Self = Self::from_static("whoami");

    /// A verb of your own.
    pub const fn from_static(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// A verb read at run time.
    pub fn new(name: impl Into<String>) -> Self {
        Self(Cow::Owned(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The stable part of a [`Status`]. An open set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(Cow<'static, str>);

impl Code {
    /// The request cannot be understood, or its arguments are wrong.
    pub const BAD_REQUEST: Self = Self::from_static("bad-request");
    /// Too much is going on; it may work later.
    pub const BUSY: Self = Self::from_static("busy");
    /// The server failed; its log says how.
    pub const INTERNAL: Self = Self::from_static("internal");
    /// The identity does not have the right.
    pub const NOT_ALLOWED: Self = Self::from_static("not-allowed");
    /// Nobody is logged in on this connection.
    pub const NOT_AUTHENTICATED: Self = Self::from_static("not-authenticated");
    /// The request was carried out, or its body tells how it goes.
    pub const OK: Self = Self::from_static("ok");
    /// Nothing here knows the verb.
    pub const UNSUPPORTED: Self = Self::from_static("unsupported");
    /// The name is unknown, or the secret is wrong; which one is not told.
    pub const WRONG_CREDENTIALS: Self = Self::from_static("wrong-credentials");

    /// A code of your own.
    pub const fn from_static(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a request went: a stable code for programs, a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    code: Code,
    sentence: Cow<'static, str>,
}

impl Status {
    /// A status; the sentence may be empty.
    pub fn new(code: Code, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            sentence: sentence.into(),
        }
    }

    /// Carried out.
    pub const fn ok() -> Self {
        Self {
            code: Code::OK,
            sentence: Cow::Borrowed(""),
        }
    }

    /// Whether the code is [`Code::OK`].
    pub fn is_ok(&self) -> bool {
        self.code == Code::OK
    }

    /// The code.
    pub fn code(&self) -> &Code {
        &self.code
    }

    /// The sentence.
    pub fn sentence(&self) -> &str {
        &self.sentence
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.sentence {
            "" => write!(f, "{}", self.code),
            sentence => write!(f, "{}: {sentence}", self.code),
        }
    }
}

impl From<FieldError> for Status {
    fn from(error: FieldError) -> Self {
        Self::new(Code::BAD_REQUEST, error.to_string())
    }
}

/// What a client asks for.
#[derive(Debug)]
#[non_exhaustive]
pub struct Request {
    /// What to do.
    pub verb: Verb,
    /// With what.
    pub arguments: Fields,
    /// The bytes that come along, as they come.
    pub body: Body,
    /// The connection it came on.
    pub session: Session,
}

impl Request {
    /// A request without arguments and body.
    pub fn new(verb: Verb, session: Session) -> Self {
        Self {
            verb,
            arguments: Fields::new(),
            body: Body::none(),
            session,
        }
    }

    /// Sets the arguments.
    #[must_use]
    pub fn with_arguments(mut self, arguments: Fields) -> Self {
        self.arguments = arguments;
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }
}

/// A request of somebody who is known: what services behind a login take.
///
/// Only a layer that has established an identity makes one, so a service mounted outside of such a
/// layer does not compile.
#[derive(Debug)]
#[non_exhaustive]
pub struct Authed<R> {
    /// The request.
    pub request: R,
    /// Whose it is.
    pub identity: Arc<Identity>,
}

impl<R> Authed<R> {
    /// Vouches that `request` is from `identity`.
    pub fn new(request: R, identity: Arc<Identity>) -> Self {
        Self { request, identity }
    }
}

/// What a client gets.
#[derive(Debug)]
#[non_exhaustive]
pub struct Response {
    /// How it went.
    pub status: Status,
    /// What else there is to say.
    pub details: Fields,
    /// The bytes that come along, as they come.
    pub body: Body,
}

impl Response {
    /// Carried out; nothing more to say.
    pub fn ok() -> Self {
        Self::from(Status::ok())
    }

    /// Sets the details.
    #[must_use]
    pub fn with_details(mut self, details: Fields) -> Self {
        self.details = details;
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }
}

impl From<Status> for Response {
    fn from(status: Status) -> Self {
        Self {
            status,
            details: Fields::new(),
            body: Body::none(),
        }
    }
}
