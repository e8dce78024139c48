//! The limits of a multiplexed connection.

use std::time::Duration;

use bytes::Bytes;

use super::push::DEFAULT_CAPACITY;
use crate::serve::{Failure, PipelineOptions};

/// The limits of a [`Multiplex`](super::Multiplex), and what it says when a request fails.
#[derive(Clone, Debug)]
pub struct MultiplexOptions {
    /// Those that it has in common with a pipeline.
    pub(super) calls: PipelineOptions,
    pub(super) request_timeout: Option<Duration>,
    pub(super) max_pushes: usize,
}

impl Default for MultiplexOptions {
    fn default() -> Self {
        Self {
            calls: PipelineOptions::default(),
            request_timeout: None,
            max_pushes: DEFAULT_CAPACITY,
        }
    }
}

impl MultiplexOptions {
    /// Sets how many requests of a connection may be in the service at once (64; at least 1).
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.calls = self.calls.max_in_flight(requests);
        self
    }

    /// Sets how many bytes these requests may have together (16 MiB). The one that reaches the
    /// limit is still taken.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.calls = self.calls.max_bytes(bytes);
        self
    }

    /// Sets what is answered in place of a response that there is not (`error: ` and the reason).
    pub fn on_failure(mut self, answer: impl Fn(Failure) -> Bytes + Send + Sync + 'static) -> Self {
        self.calls = self.calls.on_failure(answer);
        self
    }

    /// Sets how long a connection that we close waits for the peer to close its side, too (1 s);
    /// see [`PipelineOptions::linger`].
    pub fn linger(mut self, limit: Duration) -> Self {
        self.calls = self.calls.linger(limit);
        self
    }

    /// Sets how long a request may be in the service (for ever, unless set). Then its future is
    /// dropped, and it is answered as [timed out](Failure::TimedOut).
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.request_timeout = Some(limit);
        self
    }

    /// Sets how many frames of a [`Pusher`](super::Pusher) may wait for the peer (16; at least 1),
    /// where [`serve_multiplexed`](super::serve_multiplexed) makes it.
    pub fn max_pushes(mut self, frames: usize) -> Self {
        self.max_pushes = frames;
        self
    }
}
