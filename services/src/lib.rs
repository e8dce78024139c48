//! Login, exec and a file store as composable tower layers over framed connections.
//!
//! Services see a [`Request`] (a verb, arguments, a body of chunks, the session it came on) and give a
//! [`Response`] (a status, details, a body). They see no socket and no framing; how requests are written in
//! frames is a dialect's business, such as [`native`].
//!
//! **Handle it or pass it on.** Every service is a layer that answers the verbs it knows and gives all
//! others to the one below ([`Handle`]); at the bottom stands [`Unsupported`]. A plug-in is one more
//! `.layer(..)`.
//!
//! **Login changes the type.** Outside of [`login::LoginLayer`] a request is a [`Request`], inside an
//! [`Authed<Request>`](Authed) with an identity. What takes only the latter cannot be mounted outside:
//!
//! ```compile_fail
//! # use services::{Unsupported, exec::{Allow, Exec, ProcessSpawner}, Request};
//! # use tower::{Service, ServiceBuilder};
//! fn serves_requests<S: Service<Request>>(_: S) {}
//!
//! let exec = Exec::new(ProcessSpawner::new("/"), Allow::new(["ls"]).unwrap());
//! serves_requests(ServiceBuilder::new().layer(exec.into_layer()).service(Unsupported));
//! ```
//!
//! **Success is said, never inferred.** A body ends with [`Part::End`], an upload is done when its commit is
//! answered, a command succeeded when its outcome says so. The end of a stream is never good news.
//!
//! # A whole stack
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//!
//! use framing::{Delimiter, serve::{Memory, serve_with}};
//! use services::{
//!     HandleLayer, Ping, Session, Unsupported, WhoAmI,
//!     client::Client,
//!     files::{Files, MemoryStore},
//!     login::{Authenticator, LoginLayer, MemoryAccounts, Password, Right},
//!     native::NativeServer,
//! };
//! use tower::{ServiceBuilder, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let accounts = MemoryAccounts::new().with("alice", Password::new("secret")?, [Right::Read])?;
//! let stack = ServiceBuilder::new()
//!     .layer(HandleLayer::new(Ping))
//!     .layer(LoginLayer::new(Authenticator::new(accounts)))
//!     .layer(HandleLayer::new(WhoAmI))
//!     .layer(Files::new(MemoryStore::new()).into_layer())
//!     .service(Unsupported);
//! let make = service_fn(move |_: Session| {
//!     let stack = stack.clone();
//!     async move { Ok::<_, Infallible>(stack) }
//! });
//! let server = NativeServer::new(make).before_login(8 * 1024, Duration::from_secs(10));
//! let (listener, connector) = Memory::new(64 * 1024);
//! tokio::spawn(serve_with(listener, server).framing(Delimiter::default()).into_future());
//!
//! let mut client = Client::new(connector.connect().await?, Delimiter::default())?;
//! client.login("alice", Password::new("secret")?).await?;
//! assert_eq!(client.whoami().await?.name, "alice");
//! assert!(client.list_all().await?.is_empty());
//! # Ok(()) }
//! ```
//!
//! # Layout
//!
//! - `message.rs`, `body.rs`, `fields.rs`, `session.rs`: what services see.
//! - `buffers.rs`: what large pieces are read into.
//! - `handle.rs`: how a service joins a stack; `ping.rs` and `whoami.rs` are the smallest that do; `trace.rs`
//!   and `audit.rs` note what happens.
//! - `login/`, `exec/`, `files/`: each with its `layer.rs`, and below it the traits that others can implement.
//! - `hmac/`: whether the other end has a secret of ours, before the first frame.
//! - `native/`: requests and responses in frames, both sides.
//! - `client/`: the verbs as an async API.
//! - `chat/`: messages in datagrams, and the directory that passes them on.

pub mod audit;
mod body;
mod buffers;
pub mod chat;
pub mod client;
mod clock;
pub mod course;
mod dialect;
pub mod escape;
pub mod exec;
mod fields;
pub mod files;
mod handle;
pub mod hmac;
pub mod login;
mod message;
pub mod native;
mod ping;
mod session;
mod trace;
mod whoami;

pub use body::{Body, BodyError, BodySender, Part, Unread};
pub use clock::{Clock, ClockFormatError};
pub use fields::{FieldError, Fields};
pub use handle::{Handle, HandleFuture, HandleLayer, HandleOrPass, HasVerb, Unsupported};
pub use message::{Authed, Code, Request, Response, Status, Verb};
pub use ping::Ping;
pub use session::Session;
pub use trace::{Trace, TraceFuture, TraceLayer};
pub use whoami::WhoAmI;
