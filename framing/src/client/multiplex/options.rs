//! The limits of a multiplexed client.

use std::time::Duration;

/// The limits of a [`Multiplexed`](super::Multiplexed).
///
/// ```
/// use std::time::Duration;
/// use framing::client::MultiplexedOptions;
///
/// let mut options = MultiplexedOptions::default();
/// options.stall = Some(Duration::from_secs(30));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MultiplexedOptions {
    /// How many requests may be on their way, from the call to the answer (64; at least 1, and no
    /// more than there are tags). A call that was dropped counts until the server has answered it:
    /// the server works on it still.
    pub max_in_flight: usize,
    /// How many bytes these requests may have together (16 MiB). The one that reaches the limit is
    /// still taken.
    pub max_bytes: usize,
    /// How many frames that no request asked for may wait to be taken from
    /// [`Pushed`](super::Pushed) (64; at least 1).
    pub max_pushes: usize,
    /// How long the server may leave every request without an answer (for ever). Then the connection
    /// is given up, and all calls on it fail.
    pub stall: Option<Duration>,
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
