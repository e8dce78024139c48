//! Moves bodies over a connection: one out, one in, both at once.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use framing::{Connection, Error, Framing};
use futures_core::Stream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};

use super::wire::{Piece, Wire, WireError};
use crate::{Body, BodyError, BodySender, Code, Part, Status};

/// What ends a connection of the native dialect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NativeError {
    /// The connection failed, or its frames cannot be read.
    #[error(transparent)]
    Connection(#[from] Error),
    /// The peer does not keep to the dialect.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The peer closed its side in the middle of a request or a response.
    #[error("the connection was closed before the end of a message")]
    Closed,
    /// Nobody logged in in time.
    #[error("nobody logged in within the time for it")]
    LoginTimeout,
}

/// A body on its way out, as frames.
#[derive(Debug)]
pub(super) struct Outgoing {
    wire: Wire,
    body: Body,
    /// Frames that go out before the body's next part.
    head: Option<Bytes>,
    /// The rest of a part with more bytes than a frame takes.
    rest: Option<Part>,
    /// Everything has been handed to the connection.
    done: bool,
}

impl Outgoing {
    /// `head`, then `body` if there is one.
    pub(super) fn new(wire: Wire, head: Bytes, body: Body) -> Self {
        Self {
            wire,
            body,
            head: Some(head),
            rest: None,
            done: false,
        }
    }

    /// Gives the body up, so that its receiver does not wait for the rest.
    pub(super) fn give_up(&mut self) {
        if !self.done && !self.body.is_none() {
            self.rest = None;
            let status = Status::new(
                Code::from_static("cancelled"),
                "the answer is there already",
            );
            let aborted = Err(BodyError::Aborted(status));
            self.body = Body::from_stream(futures_util::stream::iter([aborted]));
        }
    }

    /// Hands frames to `connection` while it has room and the body has parts. Ready when all are.
    pub(super) fn poll_send<Io, F>(
        &mut self,
        mut connection: Pin<&mut Connection<Io, F>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), NativeError>>
    where
        Io: AsyncRead + AsyncWrite,
        F: Framing,
    {
        while !self.done {
            // Room comes first: a part that is taken from the body must not wait here.
            ready!(connection.as_mut().poll_ready(cx))?;
            let frame = ready!(self.poll_frame(cx))?;
            if let Some(frame) = frame {
                connection.as_mut().start_send(frame)?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The next frame; sets `done` with the last.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, NativeError>> {
        if let Some(head) = self.head.take() {
            self.done = self.body.is_none();
            return Poll::Ready(Ok(Some(head)));
        }
        let part = match self.rest.take() {
            Some(part) => part,
            None => match ready!(self.body.poll_next(cx)) {
                Some(Ok(part)) => part,
                Some(Err(error)) => {
                    self.done = true;
                    return Poll::Ready(Ok(Some(self.wire.write_abort(&status_of(error))?)));
                }
                None => {
                    self.done = true;
                    return Poll::Ready(Ok(None));
                }
            },
        };
        self.done = matches!(part, Part::End(_));
        let (now, rest) = split(part, self.wire.max_chunk());
        self.rest = rest;
        Poll::Ready(Ok(Some(self.wire.write_part(now)?)))
    }
}

/// Splits off what does not fit into one frame.
fn split(part: Part, most: usize) -> (Part, Option<Part>) {
    let cut = |mut bytes: Bytes, kind: fn(Bytes) -> Part| {
        if bytes.len() <= most {
            return (kind(bytes), None);
        }
        let rest = bytes.split_off(most);
        (kind(bytes), Some(kind(rest)))
    };
    match part {
        Part::Data(bytes) => cut(bytes, Part::Data),
        Part::Stdout(bytes) => cut(bytes, Part::Stdout),
        Part::Stderr(bytes) => cut(bytes, Part::Stderr),
        other => (other, None),
    }
}

fn status_of(error: BodyError) -> Status {
    match error {
        BodyError::Aborted(status) => status,
        other => Status::new(Code::INTERNAL, other.to_string()),
    }
}

/// A body on its way in.
#[derive(Debug)]
pub(super) struct Incoming {
    wire: Wire,
    /// None once nobody reads it any more: what still comes is thrown away.
    reader: Option<BodySender>,
    done: bool,
}

impl Incoming {
    /// No body.
    pub(super) fn none(wire: Wire) -> Self {
        Self {
            wire,
            reader: None,
            done: true,
        }
    }

    /// A body for `reader`.
    pub(super) fn new(wire: Wire, reader: BodySender) -> Self {
        Self {
            wire,
            reader: Some(reader),
            done: false,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Gives the rest of the body up; its reader learns that it is lost.
    pub(super) fn abandon(&mut self) {
        self.reader = None;
        self.done = true;
    }

    /// Moves frames from `connection` to the reader while it has room. Ready when the body has
    /// ended.
    pub(super) fn poll_receive<Io, F>(
        &mut self,
        mut connection: Pin<&mut Connection<Io, F>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), NativeError>>
    where
        Io: AsyncRead + AsyncWrite,
        F: Framing,
    {
        while !self.done {
            if let Some(reader) = &mut self.reader
                && ready!(reader.poll_ready(cx)).is_err()
            {
                self.reader = None;
            }
            let frame = match ready!(connection.as_mut().poll_next(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                None => return Poll::Ready(Err(NativeError::Closed)),
            };
            let part = match self.wire.read_piece(frame)? {
                Piece::Part(part) => Ok(part),
                Piece::Aborted(error) => Err(error),
            };
            self.done = matches!(part, Ok(Part::End(_)) | Err(_));
            if let Some(reader) = &mut self.reader {
                // If nobody reads it, it is thrown away.
                let _ = reader.start_send(part);
            }
        }
        self.reader = None;
        Poll::Ready(Ok(()))
    }
}
