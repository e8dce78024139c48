//! Speaks to the scripts of a course on TCP sockets, byte for byte, in both roles.
//!
//! The scripts use nothing but `socket`: they take one `recv(1024)` for one message, call `int()` on a
//! length, and will not change. What they say is fixed; what stands behind it (who may log in, what
//! may run, where files are kept) is the same services as everywhere, which know nothing of it.
//!
//! | dialect | client ▶ server | server ▶ client |
//! |---|---|---|
//! | login | `alex\|dsb` | `登录成功`, or `用户名或者密码错误` and another try |
//! | exec | `ls -l`, and later `ok` | `128`, then 128 bytes |
//! | exec, counted | `struct.pack('i', 5)` `ls -l` | `struct.pack('i', 128)`, 128 bytes |
//! | transfer | `struct.pack('i', 60)`, a JSON header of 60 bytes, the file | nothing, or a JSON object with its length |
//! | files | requests as JSON objects with their lengths, files behind them | likewise |
//! | clock | nothing | `2024/06/01`, again and again |
//!
//! Each is off until a server names it. A peer's every byte is checked as anywhere: what cannot be
//! understood ends that connection, and no other.
//!
//! `docs/course.md` has all of it, with what a script's way of reading costs.
//!
//! # Layout
//!
//! `conversation.rs` is one connection with its service; `framings.rs` and `exactly.rs` are what it
//! speaks; `encoding.rs` and `header.rs` are texts and file headers. `login.rs`, `exec.rs`,
//! `transfer.rs`, `files.rs` and `clock.rs` are one dialect each, with `incoming.rs` and `outgoing.rs`
//! for the files of two of them. `caller/` is the client's side.

mod caller;
mod clock;
mod conversation;
mod encoding;
mod exactly;
mod exec;
mod files;
mod framings;
mod header;
mod incoming;
mod login;
mod outgoing;
mod transfer;

use std::{pin::pin, time::Duration};

use framing::{
    BoxFraming, Connection, FrameError, Framing, FramingFactory,
    serve::{BoxError, Drain, Handler, Peer},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

use self::conversation::{Answers, Conversation, Wire};
use crate::{
    BodyError, Request, Response, Session, Status,
    dialect::{self, BeforeLogin},
};

pub use self::{
    caller::{CourseCaller, CourseReply},
    clock::ClockOptions,
    encoding::Encoding,
    exec::{ExecForm, ExecOptions},
    header::Keys,
    transfer::{TransferForm, TransferOptions},
};

/// What is spoken on a connection, behind the login if there is one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Dialect {
    /// Commands and their output.
    Exec(ExecOptions),
    /// Files behind their headers.
    Transfer(TransferOptions),
    /// Files by number, with a login of its own.
    Files(Keys),
    /// The time.
    Clock(ClockOptions),
}

/// What ends a connection of a course's script.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CourseError {
    /// The connection failed, or what came on it cannot be read.
    #[error(transparent)]
    Connection(#[from] framing::Error),
    /// A file could not be sent to its end.
    #[error("a file could not be sent: {0}")]
    File(BodyError),
    /// The server has closed the connection in place of an answer.
    #[error("the connection was closed in place of an answer")]
    Closed,
    /// Nobody logged in in time.
    #[error("nobody logged in within the time for it")]
    LoginTimeout,
    /// What came makes no sense.
    #[error("what came makes no sense: {0}")]
    Nonsense(String),
    /// An earlier answer was not read to its end, or the connection had to be ended with it.
    #[error("nothing more can be asked on this connection; connect again")]
    OutOfStep,
    /// The dialect has no word for a refusal.
    #[error("refused, for which this dialect has no word: {0}")]
    Refused(Status),
    /// A message is too long. Nothing was sent, and the connection lives.
    #[error("the message has {size} bytes; the dialect takes {limit}")]
    TooLong {
        /// Its bytes.
        size: usize,
        /// The most bytes of a message.
        limit: usize,
    },
}

impl From<FrameError> for CourseError {
    fn from(error: FrameError) -> Self {
        Self::Connection(error.into())
    }
}

/// The dialects of the course for [`serve_with`](framing::serve::serve_with), over
/// [its own framing](Self::framing).
///
/// ```
/// use std::convert::Infallible;
///
/// use framing::serve::{Memory, serve_with};
/// use services::{
///     HandleLayer, Session, Unsupported,
///     course::{CourseServer, Dialect, ExecOptions},
///     exec::{Allow, Exec, Run, Script, ScriptedSpawner},
///     login::{Authenticator, LoginLayer, MemoryAccounts, Password, Right},
/// };
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tower::{ServiceBuilder, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let accounts = MemoryAccounts::new().with("alex", Password::new("dsb")?, [Right::Exec])?;
/// let stack = ServiceBuilder::new()
///     .layer(LoginLayer::new(Authenticator::new(accounts)))
///     .service(Unsupported);
/// let make = service_fn(move |_: Session| {
///     let stack = stack.clone();
///     async move { Ok::<_, Infallible>(stack) }
/// });
/// let server = CourseServer::new(make).login(true);
/// let framing = server.framing();
/// let (listener, connector) = Memory::new(1024);
/// tokio::spawn(serve_with(listener, server).framing(framing).into_future());
///
/// let mut script = connector.connect().await?;
/// script.write_all(b"alex|dsb").await?;
/// let mut answer = String::new();
/// script.read_to_string(&mut answer).await?;
/// assert_eq!(answer, "登录成功");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct CourseServer<M> {
    make_service: M,
    login: bool,
    encoding: Encoding,
    then: Option<Dialect>,
    before_login: Option<BeforeLogin>,
}

impl<M> CourseServer<M> {
    /// Serves with what `make_service` (a tower service of [`Session`]s) makes for each connection.
    pub fn new(make_service: M) -> Self {
        Self {
            make_service,
            login: false,
            encoding: Encoding::default(),
            then: None,
            before_login: None,
        }
    }

    /// Sets whether connections begin with `name|password` (`false`). Where nothing else is spoken,
    /// a connection ends with the login.
    pub fn login(mut self, first: bool) -> Self {
        self.login = first;
        self
    }

    /// Sets what names and passwords that are not UTF-8 are read in (UTF-8: they are refused).
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Sets what is spoken, behind the login if there is one.
    pub fn then(mut self, dialect: Dialect) -> Self {
        self.then = Some(dialect);
        self
    }

    /// For connections on which somebody must log in: until then a message may have no more than
    /// `frame_limit` bytes, and the login must have come within `deadline` of the connection's start.
    pub fn before_login(mut self, frame_limit: usize, deadline: Duration) -> Self {
        self.before_login = Some(BeforeLogin {
            frame_limit,
            deadline,
        });
        self
    }

    /// The framing for [`Serve::framing`](framing::serve::Serve::framing): the name says what the
    /// connection speaks first. The dialects set theirs as they go.
    pub fn framing(&self) -> FramingFactory {
        let name = match &self.then {
            _ if self.login => "raw",
            None | Some(Dialect::Clock(_)) => "raw",
            Some(Dialect::Exec(options)) => match options.form {
                ExecForm::Announced => "ack-handshake",
                ExecForm::Counted | ExecForm::CountedAnswer => "struct-header",
            },
            Some(Dialect::Files(_)) => "struct-header",
            Some(Dialect::Transfer(options)) => match options.form {
                TransferForm::Ack => "raw",
                _ => "json-header",
            },
        };
        FramingFactory::new(name, framing::Raw::default())
    }

    /// Speaks what there is to be spoken, to the end.
    async fn run<Io: Wire, S: Answers>(
        &self,
        talk: &mut Conversation<Io, S>,
    ) -> Result<(), CourseError> {
        if self.login && !login::serve(talk, self.encoding).await? {
            return Ok(());
        }
        match &self.then {
            None => Ok(()),
            Some(Dialect::Exec(options)) => exec::serve(talk, *options).await,
            Some(Dialect::Transfer(options)) => transfer::serve(talk, options).await,
            Some(Dialect::Files(keys)) => files::serve(talk, keys).await,
            Some(Dialect::Clock(options)) => clock::serve(talk, options).await,
        }
    }
}

impl<Io, M, S> Handler<Connection<Io, BoxFraming>> for CourseServer<M>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    M: Service<Session, Response = S> + Clone + Send + Sync + 'static,
    M::Error: Into<BoxError>,
    M::Future: Send,
    S: Service<Request, Response = Response> + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
{
    fn handle(
        &self,
        connection: Connection<Io, BoxFraming>,
        peer: Peer,
        drain: Drain,
    ) -> impl Future<Output = Result<(), BoxError>> + Send + 'static {
        let server = self.clone();
        async move {
            let session = Session::new(peer, connection.framing().max_frame());
            let mut deadline = pin!(BeforeLogin::begin(server.before_login, &session));
            let service = dialect::open(server.make_service.clone(), &session).await?;
            let mut talk = Conversation::new(connection, session.clone(), service, drain.clone());
            let result = tokio::select! {
                biased;
                () = dialect::login_timeout(&session, deadline.as_mut()) => Err(CourseError::LoginTimeout),
                result = server.run(&mut talk) => result,
                never = dialect::stop_with(&drain, &session) => match never {},
            };
            session.hang_up();
            // Whoever was answered in words may still be reading them.
            let in_words =
                |error: &_| !matches!(error, CourseError::Connection(framing::Error::Io(_)));
            if result.as_ref().err().is_none_or(in_words) {
                dialect::close(&mut talk.into_connection()).await;
            }
            Ok(result?)
        }
    }
}
