//! Moves bodies over a connection: one out, one in, both at once.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use framing::{Connection, Error, Framing};
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    inbox::Inbox,
    wire::{Piece, Wire, WireError, Written},
};
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
    /// The peer's agreement to one of our frames stands behind more than is kept for a service that
    /// does not read.
    #[error("{0} bytes wait to be read, and the peer's agreement is still behind them")]
    Backlog(usize),
}

/// A body on its way out, as frames.
#[derive(Debug)]
pub(super) struct Outgoing {
    wire: Wire,
    body: Body,
    /// Frames that go out before the body's next part.
    head: Option<Bytes>,
    /// What comes before the body's next part.
    rest: Option<Result<Part, BodyError>>,
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
    pub(super) fn give_up(&mut self, why: Status) {
        if !self.done && !self.body.is_none() {
            self.rest = None;
            let aborted = Err(BodyError::Aborted(why));
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
            let framing = connection.framing();
            let room = self.wire.max_chunk(framing.max_frame());
            let filled = framing.is_interactive();
            let frame = ready!(self.poll_frame(room, filled, cx))?;
            if let Some(Written { prefix, rest }) = frame {
                connection.as_mut().start_send_prefixed(prefix, rest)?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The next frame, of a chunk of up to `room` bytes; sets `done` with the last. A chunk is
    /// `filled` with what is there where each frame costs a round trip.
    fn poll_frame(
        &mut self,
        room: usize,
        filled: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Written>, NativeError>> {
        if let Some(head) = self.head.take() {
            self.done = self.body.is_none();
            return Poll::Ready(Ok(Some(head.into())));
        }
        let part = match self.rest.take() {
            Some(part) => Some(part),
            None => ready!(self.body.poll_next(cx)),
        };
        let part = match part {
            Some(Ok(part)) if filled => self.fill(part, room, cx),
            Some(Ok(part)) => part,
            Some(Err(error)) => {
                self.done = true;
                let abort = self.wire.write_abort(&status_of(error))?;
                return Poll::Ready(Ok(Some(abort.into())));
            }
            None => {
                self.done = true;
                return Poll::Ready(Ok(None));
            }
        };
        self.done = matches!(part, Part::End(_));
        let (now, rest) = split(part, room);
        if let Some(rest) = rest {
            self.rest = Some(Ok(rest));
        }
        Poll::Ready(Ok(Some(self.wire.write_part(now)?)))
    }

    /// Adds to a part the ones of its kind that are there already, while they fit.
    fn fill(&mut self, mut part: Part, room: usize, cx: &mut Context<'_>) -> Part {
        let kind = mem::discriminant(&part);
        let Some(bytes) = chunk(&mut part).filter(|bytes| bytes.len() < room) else {
            return part;
        };
        let mut gathered = BytesMut::from(&bytes[..]);
        while let Poll::Ready(mut next) = self.body.poll_next(cx) {
            if let Some(Ok(next)) = &mut next
                && mem::discriminant(next) == kind
                && let Some(more) = chunk(next).filter(|more| !more.is_empty())
                && gathered.len() + more.len() <= room
            {
                gathered.extend_from_slice(more);
                continue;
            }
            self.rest = next;
            break;
        }
        *bytes = gathered.freeze();
        part
    }
}

/// The bytes of a part that has some.
fn chunk(part: &mut Part) -> Option<&mut Bytes> {
    match part {
        Part::Data(bytes) | Part::Stdout(bytes) | Part::Stderr(bytes) => Some(bytes),
        Part::Control(_) | Part::End(_) => None,
    }
}

/// Splits off what does not fit into one frame.
fn split(mut part: Part, most: usize) -> (Part, Option<Part>) {
    let rest = chunk(&mut part)
        .filter(|bytes| bytes.len() > most)
        .map(|bytes| bytes.split_off(most));
    let rest = rest.map(|rest| match part {
        Part::Stdout(_) => Part::Stdout(rest),
        Part::Stderr(_) => Part::Stderr(rest),
        _ => Part::Data(rest),
    });
    (part, rest)
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

    /// Moves frames from `inbox` to the reader while it has room. Ready when the body has ended.
    pub(super) fn poll_receive(
        &mut self,
        inbox: &mut Inbox,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), WireError>> {
        while !self.done {
            if let Some(reader) = &mut self.reader
                && ready!(reader.poll_ready(cx)).is_err()
            {
                self.reader = None;
            }
            let Some(frame) = inbox.take() else {
                return Poll::Pending;
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
