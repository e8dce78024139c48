//! The limits of a multiplexed client.

use std::time::Duration;

/// The limits of a [`Multiplexed`](super::Multiplexed).
///
/// ```
/// use std::time::Duration;
/// use framing::client::MultiplexedOptions;
///
/// let options = MultiplexedOptions::default()
///     .max_in_flight(16)
///     .stall(Duration::from_secs(30));
/// ```
#[derive(Clone, Debug)]
pub struct MultiplexedOptions {
    pub(super) max_in_flight: usize,
    pub(super) max_bytes: usize,
    pub(super) max_pushes: usize,
    pub(super) stall: Option<Duration>,
}

impl Default for MultiplexedOptions {
    fn default() -> Self {
        Self {
            max_in_flight: 64,
            max_bytes: 16 * 1024 * 1024,
            max_pushes: 64,
            stall: None,
        }
    }
}

impl MultiplexedOptions {
    /// Sets how many requests may be on their way, from the call to the answer (64; at least 1, and
    /// no more than there are tags). A call that was dropped counts until the server has answered
    /// it: the server works on it still.
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.max_in_flight = requests;
        self
    }

    /// Sets how many bytes these requests may have together (16 MiB). The one that reaches the limit
    /// is still taken.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets how many frames that no request asked for may wait to be taken from
    /// [`Pushed`](super::Pushed) (64; at least 1).
    pub fn max_pushes(mut self, frames: usize) -> Self {
        self.max_pushes = frames;
        self
    }

    /// Sets how long the server may leave every request without an answer (for ever). Then the
    /// connection is given up, and all calls on it fail.
    pub fn stall(mut self, limit: Duration) -> Self {
        self.stall = Some(limit);
        self
    }
}
