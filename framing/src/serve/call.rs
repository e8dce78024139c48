//! Runs one request in a service; a panic is a failure of that request alone.

use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tower_service::Service;

use super::BoxError;
use crate::{FrameError, limits::seconds};

/// Why a request has no response of the service's own.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The service said so.
    Service(BoxError),
    /// The service panicked.
    Panicked,
    /// The response cannot be carried by the framing: it is too long, for one.
    Unencodable(FrameError),
    /// The service took longer than it may.
    TimedOut(Duration),
    /// The request could not be read, and was skipped.
    Unreadable(FrameError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(error) => write!(f, "{error}"),
            Self::Panicked => f.write_str("the request failed"),
            Self::TimedOut(limit) => write!(f, "it took longer than {}", seconds(*limit)),
            Self::Unencodable(error) => write!(f, "the response cannot be sent: {error}"),
            Self::Unreadable(error) => write!(f, "the request cannot be read: {error}"),
        }
    }
}

/// Calls a service that is ready, and polls its response for the first time in `place`.
#[inline]
pub(super) fn call_in_place<S: Service<Bytes>>(
    service: &mut S,
    frame: Bytes,
    mut place: Pin<&mut Option<S::Future>>,
    cx: &mut Context<'_>,
) -> Poll<Result<<S::Future as Future>::Output, Failure>> {
    let called = AssertUnwindSafe(|| {
        place.set(Some(service.call(frame)));
        place.as_mut().as_pin_mut().map(|future| future.poll(cx))
    });
    // One guard for both. The future is dropped after a panic and never polled again.
    match catch_unwind(called) {
        Ok(Some(polled)) => polled.map(Ok),
        Ok(None) | Err(_) => Poll::Ready(Err(Failure::Panicked)),
    }
}

/// Polls a response where it lies; a panic is a failure of that request alone.
pub(super) fn poll_in_place<F: Future>(
    place: Pin<&mut Option<F>>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Failure>> {
    let Some(future) = place.as_pin_mut() else {
        return Poll::Ready(Err(Failure::Panicked));
    };
    // The future is dropped after a panic and never polled again.
    match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(_) => Poll::Ready(Err(Failure::Panicked)),
    }
}
