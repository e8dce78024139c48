//! The client's side of the native dialect: one request at a time, bodies both ways.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use framing::{BoxFraming, Connection, Framing, client::Io};
use futures_core::Stream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    transfer::{NativeError, Outgoing},
    wire::{Piece, RequestHead, ResponseHead, Unsuitable, Wire, WireError},
};
use crate::{Body, BodyError, Code, Fields, Part, Status, Verb};

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The connection is lost, or the server does not keep to the dialect.
    #[error(transparent)]
    Native(#[from] NativeError),
    /// A reply before this one was not read to its end, so the connection cannot be used any more.
    #[error("an earlier reply was not read to its end; connect again")]
    OutOfStep,
    /// The request does not fit into a frame. Nothing was sent, and the connection lives.
    #[error("the request has {size} bytes, more than a frame's {limit}")]
    TooLong {
        /// The bytes of its head.
        size: usize,
        /// The most bytes of a frame.
        limit: usize,
    },
}

impl From<framing::Error> for CallError {
    fn from(error: framing::Error) -> Self {
        Self::Native(error.into())
    }
}

impl From<WireError> for CallError {
    fn from(error: WireError) -> Self {
        Self::Native(error.into())
    }
}

/// A connection to a server that speaks the native dialect.
pub struct Caller {
    connection: Connection<Box<dyn Io>, BoxFraming>,
    wire: Wire,
    /// A reply is being read, or was left unread.
    busy: bool,
}

impl Caller {
    /// Speaks the dialect over `io` in `framing`.
    pub fn new<I, F>(io: I, framing: F) -> Result<Self, Unsuitable>
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        F: Framing + Send + 'static,
    {
        let wire = Wire::over(&framing)?;
        let framing: BoxFraming = Box::new(framing);
        let io: Box<dyn Io> = Box::new(io);
        Ok(Self {
            connection: Connection::new(io, framing),
            wire,
            busy: false,
        })
    }

    /// Whether another request can be made: no reply is unread.
    pub fn is_open(&self) -> bool {
        !self.busy
    }

    /// Sends a request and waits for the head of its response. The body is sent meanwhile, and
    /// while the reply's parts are read.
    ///
    /// Not cancel safe: a call that is dropped leaves the connection [out of
    /// step](CallError::OutOfStep), as does a reply that is not read to its end.
    pub async fn call(
        &mut self,
        verb: Verb,
        args: Fields,
        body: Body,
    ) -> Result<Reply<'_>, CallError> {
        if self.busy {
            return Err(CallError::OutOfStep);
        }
        let head = RequestHead::new(verb, args, !body.is_none());
        let head = self.wire.write_head(&head)?;
        let limit = self.connection.framing().max_frame();
        if head.len() > limit {
            let size = head.len();
            return Err(CallError::TooLong { size, limit });
        }
        let outgoing = Outgoing::new(self.wire, head, body);
        self.busy = true;
        let mut exchange = Exchange {
            caller: self,
            outgoing,
        };
        let frame = poll_fn(|cx| exchange.poll_frame(cx)).await?;
        let head: ResponseHead = exchange.caller.wire.read_response(&frame)?;
        let status = head.status();
        let mut reply = Reply {
            exchange,
            status,
            details: head.details,
            has_body: head.body,
            last: None,
        };
        if !reply.has_body {
            reply.exchange.finish().await?;
        }
        Ok(reply)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("busy", &self.busy)
            .finish_non_exhaustive()
    }
}

/// A request whose body may still be going out.
#[derive(Debug)]
struct Exchange<'a> {
    caller: &'a mut Caller,
    outgoing: Outgoing,
}

impl Exchange<'_> {
    /// The next frame from the server, while the request's body goes out.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<bytes::Bytes, CallError>> {
        let mut connection = Pin::new(&mut self.caller.connection);
        let sent = self.outgoing.poll_send(connection.as_mut(), cx);
        let flushed = connection.as_mut().poll_flush(cx);
        // A server may answer and close without taking the body: its answer counts more than the
        // failure to send.
        match connection.poll_next(cx) {
            Poll::Ready(Some(Ok(frame))) => return Poll::Ready(Ok(frame)),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error.into())),
            Poll::Ready(None) => return Poll::Ready(Err(NativeError::Closed.into())),
            Poll::Pending => {}
        }
        if let Poll::Ready(Err(error)) = sent {
            return Poll::Ready(Err(error.into()));
        }
        if let Poll::Ready(Err(error)) = flushed {
            return Poll::Ready(Err(error.into()));
        }
        Poll::Pending
    }

    /// The response has ended: what is left of the request's body is not wanted.
    async fn finish(&mut self) -> Result<(), CallError> {
        self.outgoing.give_up(Status::new(
            Code::from_static("cancelled"),
            "the answer is there already",
        ));
        let Self { caller, outgoing } = self;
        let mut connection = Pin::new(&mut caller.connection);
        let sent = poll_fn(|cx| {
            ready!(outgoing.poll_send(connection.as_mut(), cx))?;
            connection
                .as_mut()
                .poll_flush(cx)
                .map_err(NativeError::from)
        });
        // If the server has closed already, the answer is here all the same; the next call fails.
        let _ = sent.await;
        caller.busy = false;
        Ok(())
    }
}

/// The response to a call: its head, and its body to be read part by part.
#[derive(Debug)]
pub struct Reply<'a> {
    exchange: Exchange<'a>,
    status: Status,
    details: Fields,
    /// Parts are still to come.
    has_body: bool,
    /// The last part, until the connection is in step again.
    last: Option<Result<Part, BodyError>>,
}

impl Reply<'_> {
    /// How it went.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// What else the head says.
    pub fn details(&self) -> &Fields {
        &self.details
    }

    /// Whether parts are still to come.
    pub fn has_body(&self) -> bool {
        self.has_body
    }

    /// The next part of the body; `None` after [`Part::End`], an error, or without a body.
    ///
    /// Cancel safe, as long as the reply itself is kept.
    pub async fn next(&mut self) -> Option<Result<Part, BodyError>> {
        if self.has_body {
            let frame = poll_fn(|cx| self.exchange.poll_frame(cx)).await;
            let piece = frame.and_then(|frame| Ok(self.exchange.caller.wire.read_piece(frame)?));
            let part = match piece {
                Ok(Piece::Part(part)) => Ok(part),
                Ok(Piece::Aborted(error)) => Err(error),
                Err(_) => {
                    self.has_body = false;
                    return Some(Err(BodyError::ConnectionLost));
                }
            };
            if !matches!(part, Ok(Part::End(_)) | Err(_)) {
                return Some(part);
            }
            self.has_body = false;
            self.last = Some(part);
        }
        if self.last.is_some() {
            // It stays here meanwhile: a future that is dropped must not take the end with it.
            let _ = self.exchange.finish().await;
        }
        self.last.take()
    }
}
