//! Waits, after our last byte, for the peer to close its side.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use tokio::time::{Sleep, sleep};

use crate::Error;

/// Reads and throws away what a peer still sends after our side is shut down.
///
/// A socket that is dropped with unread bytes in it, or that is written to afterwards, resets the
/// connection, and a reset takes answers with it that are on their way or not yet read: the peer
/// fails at its next write and never looks at them.
pub(super) struct Linger(Pin<Box<Sleep>>);

impl Linger {
    /// For `limit` at most.
    pub(super) fn new(limit: Duration) -> Self {
        Self(Box::pin(sleep(limit)))
    }

    /// Ready once nothing more can come from the peer, or the time is up.
    pub(super) fn poll<T>(&mut self, mut transport: Pin<&mut T>, cx: &mut Context<'_>) -> Poll<()>
    where
        T: Stream<Item = Result<Bytes, Error>>,
    {
        while self.0.as_mut().poll(cx).is_pending() {
            match ready!(transport.as_mut().poll_next(cx)) {
                Some(Ok(_)) => {}
                Some(Err(Error::Frame(error))) if error.is_recoverable() => {}
                Some(Err(_)) | None => break,
            }
        }
        Poll::Ready(())
    }
}
