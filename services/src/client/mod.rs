//! The services' verbs as an async Rust API, over any framing.
//!
//! Nothing that a server says is believed: names are checked before they can become paths, sizes and
//! digests are compared, texts are shown escaped, and only an end that is said is a success.
//!
//! ```no_run
//! use framing::{StructHeader, client::dial};
//! use services::{client::{Client, Command}, login::Password};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let io = dial(&"tcp://127.0.0.1:8002".parse()?).await?;
//! let mut client = Client::new(io, StructHeader::default())?;
//! client.login("admin", Password::new("secret")?).await?;
//!
//! let mut exec = client.exec(Command::program(["uname", "-a"])).await?;
//! let ended = exec.wait(|output| print!("{output:?}")).await?;
//! println!("{}", ended.outcome);
//! # Ok(()) }
//! ```

mod clock;
mod exec;
mod files;

use framing::Framing;
use tokio::io::{AsyncRead, AsyncWrite};

pub use clock::{Tick, Ticks};
pub use exec::{Command, Exec, ExecInput};
pub use files::{Download, Listing, RemoteFile, Uploaded};

use crate::{
    Body, BodyError, Code, FieldError, Fields, Part, Status, Verb,
    course::{CourseCaller, CourseError, CourseReply},
    escape::escaped,
    login::{Password, Right},
    native::{self, CallError, Caller, Unsuitable},
};

/// Why something a client asked for was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server says so.
    #[error("{}", escaped(&.0.to_string()).limit(1024))]
    Refused(Status),
    /// The connection is lost, or the server does not keep to the dialect.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The same of a script's server.
    #[error(transparent)]
    Course(#[from] CourseError),
    /// The end of what was to come never came.
    #[error("{}", escaped(&.0.to_string()).limit(1024))]
    Body(BodyError),
    /// The server's answer makes no sense.
    #[error("the server's answer makes no sense: {0}")]
    Nonsense(String),
    /// What was to be sent could not be read.
    #[error("cannot read what is to be sent: {0}")]
    Source(std::io::Error),
}

impl ClientError {
    /// The server's status, if it refused.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Refused(status) | Self::Body(BodyError::Aborted(status)) => Some(status),
            _ => None,
        }
    }

    /// Whether the name or the password was wrong.
    pub fn is_wrong_credentials(&self) -> bool {
        self.status()
            .is_some_and(|status| *status.code() == Code::WRONG_CREDENTIALS)
    }

    /// Whether the connection went away in the middle.
    pub fn is_connection_lost(&self) -> bool {
        match self {
            Self::Call(error) => !matches!(error, CallError::TooLong { .. }),
            Self::Course(error) => matches!(
                error,
                CourseError::Closed | CourseError::Connection(_) | CourseError::OutOfStep
            ),
            Self::Body(error) => *error == BodyError::ConnectionLost,
            _ => false,
        }
    }
}

impl From<FieldError> for ClientError {
    fn from(error: FieldError) -> Self {
        Self::Nonsense(escaped(&error.to_string()).to_string())
    }
}

/// Who one is, as the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Account {
    /// The account's name, as it came: escape it before you show it.
    pub name: String,
    /// What it may do, where the server tells; rights unknown here are left out.
    pub rights: Option<Vec<Right>>,
}

/// A connection to a server, one request at a time.
#[derive(Debug)]
pub struct Client {
    speaks: Speaks,
    digests: bool,
}

/// The dialect of a connection.
#[derive(Debug)]
enum Speaks {
    Native(Caller),
    Course(CourseCaller),
}

impl Client {
    /// Speaks the native dialect over `io` in `framing`.
    pub fn new<I, F>(io: I, framing: F) -> Result<Self, Unsuitable>
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        F: Framing + Send + 'static,
    {
        Ok(Self {
            speaks: Speaks::Native(Caller::new(io, framing)?),
            digests: true,
        })
    }

    /// Sets whether files are compared by a digest (`true`).
    ///
    /// Without, nothing but its size and the connection say that a file has arrived whole, and it
    /// takes a tenth less time. A server refuses that unless it [allows
    /// it](crate::files::Files::digest_optional). Scripts' servers are not asked.
    pub fn set_digests(&mut self, digests: bool) {
        self.digests = digests;
    }

    /// Whether files go without a digest, as far as the dialect has words for that.
    fn does_without_digest(&self) -> bool {
        !self.digests && matches!(self.speaks, Speaks::Native(_))
    }

    /// Whether another request can be made on this connection.
    pub fn is_open(&self) -> bool {
        match &self.speaks {
            Speaks::Native(caller) => caller.is_open(),
            Speaks::Course(caller) => caller.is_open(),
        }
    }

    /// Whether the dialect tells versions of a file apart.
    fn has_versions(&self) -> bool {
        matches!(self.speaks, Speaks::Native(_))
    }

    /// Says good-bye where the dialect has a word for it, and closes the connection.
    pub async fn leave(self) {
        if let Speaks::Course(caller) = self.speaks {
            caller.leave().await;
        }
    }

    /// Sends any request; for the verbs of other services than these.
    ///
    /// A response other than `ok` is [`ClientError::Refused`].
    pub async fn call(
        &mut self,
        verb: Verb,
        arguments: Fields,
        body: Body,
    ) -> Result<Reply<'_>, ClientError> {
        let reply = match &mut self.speaks {
            Speaks::Native(caller) => Reply::Native(caller.call(verb, arguments, body).await?),
            Speaks::Course(caller) => Reply::Course(caller.call(verb, arguments, body).await?),
        };
        if reply.status().is_ok() {
            Ok(reply)
        } else {
            Err(ClientError::Refused(reply.status().clone()))
        }
    }

    /// Sends a request without a body whose response has none.
    async fn ask(&mut self, verb: Verb, arguments: Fields) -> Result<Fields, ClientError> {
        let reply = self.call(verb, arguments, Body::none()).await?;
        if reply.has_body() {
            return Err(unasked_body());
        }
        Ok(reply.details().clone())
    }

    /// Asks whether the server is there.
    pub async fn ping(&mut self) -> Result<(), ClientError> {
        self.ask(Verb::PING, Fields::new()).await.map(drop)
    }

    /// Logs in, for the rest of the connection.
    pub async fn login(&mut self, name: &str, password: Password) -> Result<Account, ClientError> {
        let arguments = Fields::new()
            .with("name", name)
            .with("password", password.expose());
        account(&self.ask(Verb::LOGIN, arguments).await?)
    }

    /// Asks who one is.
    pub async fn whoami(&mut self) -> Result<Account, ClientError> {
        account(&self.ask(Verb::WHOAMI, Fields::new()).await?)
    }
}

impl From<CourseCaller> for Client {
    /// Speaks to a script's server.
    fn from(caller: CourseCaller) -> Self {
        Self {
            speaks: Speaks::Course(caller),
            digests: true,
        }
    }
}

/// The response to a call: its head, and its body to be read part by part.
#[derive(Debug)]
#[non_exhaustive]
// One lives at a time, on the stack of who reads it.
#[allow(clippy::large_enum_variant)]
pub enum Reply<'a> {
    /// In the native dialect.
    Native(native::Reply<'a>),
    /// Of a script's server.
    Course(CourseReply<'a>),
}

impl Reply<'_> {
    /// How it went.
    pub fn status(&self) -> &Status {
        match self {
            Self::Native(reply) => reply.status(),
            Self::Course(reply) => reply.status(),
        }
    }

    /// What else the head says.
    pub fn details(&self) -> &Fields {
        match self {
            Self::Native(reply) => reply.details(),
            Self::Course(reply) => reply.details(),
        }
    }

    /// Whether parts are still to come.
    pub fn has_body(&self) -> bool {
        match self {
            Self::Native(reply) => reply.has_body(),
            Self::Course(reply) => reply.has_body(),
        }
    }

    /// The next part of the body; `None` after [`Part::End`], an error, or without a body.
    ///
    /// Cancel safe, as long as the reply itself is kept.
    pub async fn next(&mut self) -> Option<Result<Part, BodyError>> {
        match self {
            Self::Native(reply) => reply.next().await,
            Self::Course(reply) => reply.next().await,
        }
    }
}

fn unasked_body() -> ClientError {
    ClientError::Nonsense("a body came where none is due".to_owned())
}

fn account(details: &Fields) -> Result<Account, ClientError> {
    let rights: Option<Vec<String>> = details.get("rights")?;
    let known = |rights: Vec<String>| {
        rights
            .iter()
            .filter_map(|right| right.parse().ok())
            .collect()
    };
    Ok(Account {
        name: details.require("name")?,
        rights: rights.map(known),
    })
}
