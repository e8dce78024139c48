//! A message's body: a stream of parts with back-pressure, and an end that is said.
//!
//! The last part of a whole body is [`Part::End`]. A stream that stops without one has lost its
//! rest, and whoever reads it gets a [`BodyError`]: the end of a stream is never good news.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::stream;
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use crate::{Fields, Status};

/// One part of a body.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Part {
    /// Bytes of a file, or of a command's standard input.
    Data(Bytes),
    /// What a command wrote to its standard output.
    Stdout(Bytes),
    /// What a command wrote to its standard error.
    Stderr(Bytes),
    /// Something said beside the bytes, such as a signal to a command.
    Control(Fields),
    /// The end, with what can only be said then: a digest, an exit status.
    End(Fields),
}

/// Why a body has no end.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The connection is gone.
    #[error("the connection was lost before the end of the body")]
    ConnectionLost,
    /// The side that sends it has given up, and says why.
    #[error("the body was given up: {0}")]
    Aborted(Status),
    /// It has more bytes than its reader takes.
    #[error("the body is over the limit of {0} bytes")]
    TooLong(usize),
}

/// A stream of [`Part`]s.
///
/// ```
/// use services::{Body, Part};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), services::BodyError> {
/// let mut body = Body::from("hello");
/// assert_eq!(body.next().await, Some(Ok(Part::Data("hello".into()))));
/// assert!(matches!(body.next().await, Some(Ok(Part::End(_)))));
/// assert_eq!(body.next().await, None);
///
/// assert_eq!(Body::from("hello").collect(1024).await?.0, "hello");
/// # Ok(()) }
/// ```
#[derive(Default)]
pub struct Body {
    parts: Option<Parts>,
}

type Parts = Pin<Box<dyn Stream<Item = Result<Part, BodyError>> + Send>>;

impl Body {
    /// No body at all, not even an end.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether there is no body, not even an empty one.
    pub fn is_none(&self) -> bool {
        self.parts.is_none()
    }

    /// A body of parts that somebody else makes; the last must be [`Part::End`].
    pub fn from_stream(
        parts: impl Stream<Item = Result<Part, BodyError>> + Send + 'static,
    ) -> Self {
        Self {
            parts: Some(Box::pin(parts)),
        }
    }

    /// A body, and the sender that fills it. Up to `parts` of them wait for the reader (at least
    /// one); then the sender waits.
    pub fn channel(parts: usize) -> (BodySender, Self) {
        let (sender, receiver) = mpsc::channel(parts.max(1));
        (
            BodySender(PollSender::new(sender)),
            Self::from_stream(Received {
                receiver,
                ended: false,
            }),
        )
    }

    /// The next part; `None` after the end, after an error, and where there is no body. Cancel
    /// safe.
    pub async fn next(&mut self) -> Option<Result<Part, BodyError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`next`](Self::next), for those who poll.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, BodyError>>> {
        let Some(parts) = &mut self.parts else {
            return Poll::Ready(None);
        };
        let part = ready!(parts.as_mut().poll_next(cx)).unwrap_or(Err(BodyError::ConnectionLost));
        if matches!(part, Ok(Part::End(_)) | Err(_)) {
            self.parts = None;
        }
        Poll::Ready(Some(part))
    }

    /// Reads the body to its end: the bytes, whatever their kind, and the trailer. No body is an
    /// empty one.
    ///
    /// Not cancel safe: the bytes read so far are lost.
    pub async fn collect(mut self, limit: usize) -> Result<(Bytes, Fields), BodyError> {
        let mut bytes = Vec::new();
        while let Some(part) = self.next().await {
            match part? {
                Part::Data(chunk) | Part::Stdout(chunk) | Part::Stderr(chunk) => {
                    if bytes.len() + chunk.len() > limit {
                        return Err(BodyError::TooLong(limit));
                    }
                    bytes.extend_from_slice(&chunk);
                }
                Part::Control(_) => {}
                Part::End(trailer) => return Ok((bytes.into(), trailer)),
            }
        }
        Ok((bytes.into(), Fields::new()))
    }
}

impl<B: Into<Bytes>> From<B> for Body {
    fn from(bytes: B) -> Self {
        let parts = [Part::Data(bytes.into()), Part::End(Fields::new())];
        Self::from_stream(stream::iter(parts.map(Ok)))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_none() {
            "Body(none)"
        } else {
            "Body(..)"
        })
    }
}

/// What a [`BodySender`] has sent.
struct Received {
    receiver: mpsc::Receiver<Result<Part, BodyError>>,
    ended: bool,
}

impl Stream for Received {
    type Item = Result<Part, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let part = ready!(self.receiver.poll_recv(cx)).unwrap_or(Err(BodyError::ConnectionLost));
        self.ended = matches!(part, Ok(Part::End(_)) | Err(_));
        Poll::Ready(Some(part))
    }
}

/// Fills a [`Body`]; clones fill the same one. When all are dropped without [`Part::End`], the reader
/// learns that the rest is lost.
#[derive(Clone, Debug)]
pub struct BodySender(PollSender<Result<Part, BodyError>>);

/// Nobody reads the body any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads the body any more")]
pub struct Unread;

impl BodySender {
    /// Waits until there is room for one more part.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unread>> {
        self.0.poll_reserve(cx).map_err(|_| Unread)
    }

    /// Sends a part, for which [`poll_ready`](Self::poll_ready) has made room.
    pub fn start_send(&mut self, part: Result<Part, BodyError>) -> Result<(), Unread> {
        self.0.send_item(part).map_err(|_| Unread)
    }

    /// Waits for room and sends a part. Cancel safe: a dropped future has sent nothing.
    pub async fn send(&mut self, part: Part) -> Result<(), Unread> {
        poll_fn(|cx| self.poll_ready(cx)).await?;
        self.start_send(Ok(part))
    }
}
