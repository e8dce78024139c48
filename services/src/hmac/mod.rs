//! Checks, before a connection's first frame, that the other end knows a shared secret.
//!
//! It names nobody, encrypts nothing, and binds nothing to the connection: whoever can change what passes
//! waits for the check and goes on in the client's place. It keeps strangers and mistaken clients out of
//! a network that is trusted otherwise; [login](crate::login) comes behind it, not instead of it.
//!
//! There are two [`Form`]s. What is on the wire, and what each withstands, stands in the repository's
//! `docs/hmac.md`.
//!
//! ```text
//!  one way     server ─▶ challenge (32)                             ─▶ client
//!              server ◀─ HMAC(secret, challenge) (32, or 16 by MD5) ◀─ client       frames ⇄
//!
//!  mutual      server ─▶ server's challenge (32)                    ─▶ client
//!              server ◀─ client's challenge (32), its proof (32)    ◀─ client
//!              server ─▶ its proof (32)                             ─▶ client       frames ⇄
//! ```
//!
//! # Example
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use framing::{Connection, StructHeader, serve::{Memory, serve}};
//! use futures_util::{SinkExt, StreamExt};
//! use services::hmac::{Form, HmacAcceptor, Secret, TIME_LIMIT, answer};
//! use tower::{make::Shared, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = Secret::new(*b"what only our programs know")?;
//! let (listener, connector) = Memory::new(1024);
//! let echo = Shared::new(service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame)));
//! let server = serve(listener, echo).acceptor(HmacAcceptor::new(secret.clone(), Form::Mutual));
//! tokio::spawn(server.into_future());
//!
//! let mut io = connector.connect().await?;
//! answer(&mut io, &secret, Form::Mutual, TIME_LIMIT).await?;
//! let mut client = Connection::new(io, StructHeader::default());
//! client.send("hello".into()).await?;
//! assert_eq!(client.next().await.unwrap()?, "hello");
//!
//! let mut io = connector.connect().await?;
//! let guessed = Secret::new(*b"what others guess")?;
//! assert!(answer(&mut io, &guessed, Form::Mutual, TIME_LIMIT).await.is_err());
//! # Ok(()) }
//! ```

mod acceptor;
mod client;
mod digest;
mod error;
mod exchange;
mod mutual;
mod one_way;
mod secret;

use std::time::Duration;

pub use self::acceptor::HmacAcceptor;
pub use self::client::answer;
pub use self::digest::Digest;
pub use self::error::HmacError;
pub use self::secret::{Secret, SecretError, SecretFileError};

/// How long the check may take, from the connection's start to its end, unless it is told otherwise.
pub const TIME_LIMIT: Duration = Duration::from_secs(5);

/// What each side shows the other. Both must be set to the same: there is no negotiation, so nobody in
/// the middle can talk them into the weaker one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// The client proves itself: the raw HMAC of a fresh challenge. What courses on Python's `socket`
    /// teach (合法性链接), and all that their scripts speak. The client does not learn whether the server
    /// knows the secret.
    OneWay(Digest),
    /// Each side proves itself to the other, the client first; which side it is, and the challenges of
    /// both, are in the HMAC (SHA-256). Our own, spoken by Framewright alone.
    Mutual,
}

impl Default for Form {
    /// One way, with SHA-256.
    fn default() -> Self {
        Self::OneWay(Digest::default())
    }
}
