//! Services.

pub mod audit;
mod body;
pub mod client;
pub mod escape;
pub mod exec;
mod fields;
pub mod files;
mod handle;
pub mod login;
mod message;
pub mod native;
mod ping;
mod session;
mod trace;
mod whoami;

pub use body::{Body, BodyError, BodySender, Part, Unread};
pub use fields::{FieldError, Fields};
pub use handle::{Handle, HandleFuture, HandleLayer, HandleOrPass, HasVerb, Unsupported};
pub use message::{Authed, Code, Request, Response, Status, Verb};
pub use ping::Ping;
pub use session::Session;
pub use trace::{Trace, TraceFuture, TraceLayer};
pub use whoami::WhoAmI;
