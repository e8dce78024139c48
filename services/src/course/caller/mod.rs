//! Speaks to a script's server: the client's side of the dialects.

mod exec;
mod login;
mod receive;
mod send;

use std::fmt;

use bytes::Bytes;
use framing::{BoxFraming, Connection, Unread, client::Io};
use futures_util::SinkExt;
use tokio::io::{AsyncRead, AsyncWrite};

use self::receive::Arriving;
use super::{CourseError, Dialect, conversation::next, framings};
use crate::{Body, BodyError, Code, Fields, Part, Status, Verb};

/// A connection to a server that speaks one of the [`Dialect`]s, one request at a time.
///
/// It takes the requests that the dialect has words for, and answers all others itself with
/// `unsupported`.
pub struct CourseCaller {
    connection: Connection<Box<dyn Io>, BoxFraming>,
    /// None where only the login is spoken.
    dialect: Option<Dialect>,
    /// Who has logged in on this connection.
    account: Option<String>,
    /// The server waits for a name and a password, as far as we know.
    at_login: bool,
    /// An answer is being read, or was left unread.
    busy: bool,
    /// Nothing more can be asked on this connection.
    spent: bool,
}

impl CourseCaller {
    /// Speaks `dialect` over `io`; none is the login alone.
    pub fn new<I>(io: I, dialect: Option<Dialect>) -> Result<Self, CourseError>
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let io: Box<dyn Io> = Box::new(io);
        Ok(Self {
            connection: Connection::new(io, framings::text()?),
            at_login: dialect.is_none(),
            dialect,
            account: None,
            busy: false,
            spent: false,
        })
    }

    /// Whether another request can be made on this connection.
    pub fn is_open(&self) -> bool {
        !self.busy && !self.spent
    }

    /// Sends a request, waits for its answer, and gives the head of it.
    ///
    /// Not cancel safe: a call that is dropped leaves the connection [out of
    /// step](CourseError::OutOfStep), as does a reply that is not read to its end.
    pub async fn call(
        &mut self,
        verb: Verb,
        arguments: Fields,
        body: Body,
    ) -> Result<CourseReply<'_>, CourseError> {
        if !self.is_open() {
            return Err(CourseError::OutOfStep);
        }
        self.busy = true;
        let answer = self.answer(&verb, &arguments, body).await?;
        self.busy = answer.body.is_some();
        Ok(CourseReply {
            caller: self,
            answer,
        })
    }

    async fn answer(
        &mut self,
        verb: &Verb,
        arguments: &Fields,
        body: Body,
    ) -> Result<Answer, CourseError> {
        let dialect = self.dialect.clone();
        Ok(match (verb, dialect) {
            (verb, dialect) if *verb == Verb::LOGIN => {
                let objects = matches!(dialect, Some(Dialect::Files(_)));
                login::run(self, arguments, objects).await?
            }
            (verb, _) if *verb == Verb::WHOAMI => login::whoami(self.account.as_deref()),
            (verb, Some(Dialect::Exec(options))) if *verb == Verb::EXEC => {
                exec::run(self, arguments, options).await?
            }
            (verb, Some(Dialect::Transfer(options))) if *verb == Verb::PUT => {
                send::transfer(self, arguments, body, &options).await?
            }
            (verb, Some(Dialect::Transfer(options))) if *verb == Verb::GET => {
                receive::transfer(self, arguments, &options).await?
            }
            (verb, Some(Dialect::Files(keys))) if *verb == Verb::PUT => {
                send::put(self, arguments, body, &keys).await?
            }
            (verb, Some(Dialect::Files(keys))) if *verb == Verb::GET => {
                receive::get(self, arguments, &keys).await?
            }
            (verb, Some(Dialect::Files(keys))) if *verb == Verb::LIST => {
                receive::list(self, &keys).await?
            }
            (verb, Some(Dialect::Clock(_)))
                if *verb == Verb::CLOCK
                    && (arguments.get::<f64>("every") != Ok(None)
                        || arguments.get::<String>("format") != Ok(None)) =>
            {
                let sentence =
                    "this dialect has no words for the time between ticks and the format";
                Status::new(Code::UNSUPPORTED, sentence).into()
            }
            (verb, Some(Dialect::Clock(_))) if *verb == Verb::CLOCK => Answer {
                body: Some(Answering::Texts),
                ..Answer::ok(Fields::new())
            },
            (verb, _) => Answer::from(Status::new(
                Code::UNSUPPORTED,
                format!("the dialect has no words for `{verb}`"),
            )),
        })
    }

    /// Says good-bye where the dialect has a word for it, and closes the connection.
    pub async fn leave(mut self) {
        // Behind a login it would be a command.
        if self.is_open() && self.at_login {
            self.speak_text();
            // Whoever has left already need not be told.
            let _ = self.send(super::login::LEAVE).await;
        }
        let _ = self.connection.close().await;
    }

    /// Goes on in another framing, from the first byte that is not consumed.
    fn speak(&mut self, framing: BoxFraming) {
        self.connection.replace_framing(framing, Unread::CarryOn);
    }

    fn speak_text(&mut self) {
        if let Ok(text) = framings::text() {
            self.speak(text);
        }
    }

    async fn send(&mut self, message: impl Into<Bytes>) -> Result<(), CourseError> {
        Ok(self.connection.send(message.into()).await?)
    }

    /// The next message, which must come.
    async fn receive(&mut self) -> Result<Bytes, CourseError> {
        match next(&mut self.connection).await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => {
                self.spent = true;
                Err(CourseError::Closed)
            }
            Err(error) => {
                self.spent = true;
                Err(error.into())
            }
        }
    }
}

impl fmt::Debug for CourseCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CourseCaller")
            .field("dialect", &self.dialect)
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}

/// What came of a request.
struct Answer {
    status: Status,
    details: Fields,
    body: Option<Answering>,
}

impl Answer {
    fn ok(details: Fields) -> Self {
        Self {
            status: Status::ok(),
            details,
            body: None,
        }
    }
}

impl From<Status> for Answer {
    fn from(status: Status) -> Self {
        Self {
            status,
            details: Fields::new(),
            body: None,
        }
    }
}

/// Where the parts of an answer's body come from.
enum Answering {
    /// It is here: the bytes, then how it ended.
    Output(Option<Bytes>, Fields),
    /// A file that is coming.
    File(Box<Arriving>),
    /// Texts, until the server ends.
    Texts,
}

/// The answer to a call: its head, and its body to be read part by part.
pub struct CourseReply<'a> {
    caller: &'a mut CourseCaller,
    answer: Answer,
}

impl CourseReply<'_> {
    /// How it went.
    pub fn status(&self) -> &Status {
        &self.answer.status
    }

    /// What else was said.
    pub fn details(&self) -> &Fields {
        &self.answer.details
    }

    /// Whether parts are still to come.
    pub fn has_body(&self) -> bool {
        self.answer.body.is_some()
    }

    /// The next part of the body; `None` after [`Part::End`], an error, or without a body. Cancel
    /// safe.
    pub async fn next(&mut self) -> Option<Result<Part, BodyError>> {
        let part = match self.answer.body.as_mut()? {
            Answering::Output(output, ended) => match output.take() {
                Some(bytes) if !bytes.is_empty() => Ok(Part::Stdout(bytes)),
                _ => Ok(Part::End(std::mem::take(ended))),
            },
            Answering::File(arriving) => arriving.next(self.caller).await,
            Answering::Texts => match next(&mut self.caller.connection).await {
                Ok(Some(text)) => Ok(Part::Data(text)),
                Ok(None) => {
                    self.caller.spent = true;
                    Ok(Part::End(Fields::new()))
                }
                Err(_) => Err(BodyError::ConnectionLost),
            },
        };
        match &part {
            Ok(Part::End(_)) => {
                self.answer.body = None;
                self.caller.busy = false;
            }
            Err(_) => {
                self.answer.body = None;
                self.caller.spent = true;
            }
            Ok(_) => {}
        }
        Some(part)
    }
}

impl fmt::Debug for CourseReply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CourseReply")
            .field("status", &self.answer.status)
            .finish_non_exhaustive()
    }
}
