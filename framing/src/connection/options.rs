//! What a connection puts up with: how much waits, and for how long.

use std::time::Duration;

use super::Budget;

/// The limits of a [`Connection`](crate::Connection) beside those of its framing.
///
/// Without options there is a high-water mark for what waits to be written, and no limit in time:
/// a connection may be idle for ever.
///
/// ```
/// use std::time::Duration;
/// use framing::{Budget, Connection, ConnectionOptions, StructHeader};
///
/// let everyone = Budget::new(256 << 20);
/// let options = ConnectionOptions::new()
///     .frame_timeout(Duration::from_secs(30))
///     .least_rate(1024, Duration::from_secs(5))
///     .budget(&everyone);
/// # let (ours, _theirs) = tokio::io::duplex(64);
/// let connection = Connection::new(ours, StructHeader::default()).with_options(options);
/// # drop(connection);
/// ```
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    pub(super) high_water: usize,
    pub(super) frame_timeout: Option<Duration>,
    pub(super) least_rate: Option<LeastRate>,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) write_timeout: Option<Duration>,
    pub(super) budget: Option<Budget>,
}

/// So many bytes a second, once the grace is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeastRate {
    pub(super) bytes_per_second: u32,
    pub(super) grace: Duration,
}

/// With the frame that reaches it about 128 KiB, two of TCP's largest segments. At 64 KiB and the frame
/// that reaches it, the little that is more went in a segment of its own: a tenth of the time of a batch
/// of large frames.
const HIGH_WATER: usize = 124 * 1024;

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            high_water: HIGH_WATER,
            frame_timeout: None,
            least_rate: None,
            idle_timeout: None,
            write_timeout: None,
            budget: None,
        }
    }
}

impl ConnectionOptions {
    /// 124 KiB may wait to be written; no limits in time, no budget.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many bytes may wait to be written before `poll_ready` writes first (124 KiB; at least 1).
    pub fn high_water(mut self, bytes: usize) -> Self {
        self.high_water = bytes.max(1);
        self
    }

    /// Sets how long a frame may take from its first byte to its last. A byte now and then does
    /// not help a peer; the error is final, of kind [`Timeout`](crate::ErrorKind::Timeout). The
    /// time from one frame to the moment when the next is asked for does not count: then it is we
    /// who do not read.
    pub fn frame_timeout(mut self, limit: Duration) -> Self {
        self.frame_timeout = Some(limit);
        self
    }

    /// Sets how fast a frame must arrive on the average, once `grace` has passed since its first
    /// byte. The error is final, of kind [`Timeout`](crate::ErrorKind::Timeout). Zero bytes a
    /// second is no limit.
    pub fn least_rate(mut self, bytes_per_second: u32, grace: Duration) -> Self {
        self.least_rate = (bytes_per_second > 0).then_some(LeastRate {
            bytes_per_second,
            grace,
        });
        self
    }

    /// Sets how long nothing may arrive, counted anew from each frame that is sent. Then the stream
    /// says [`Error::Idle`](crate::Error::Idle), and again after the same time: it is up to you
    /// whether that ends the connection. A pipeline closes it unless a request is in its service.
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle_timeout = Some(limit);
        self
    }

    /// Sets how long bytes may wait for a peer that takes none. The error is final, of kind
    /// [`Timeout`](crate::ErrorKind::Timeout).
    pub fn write_timeout(mut self, limit: Duration) -> Self {
        self.write_timeout = Some(limit);
        self
    }

    /// Counts what this connection holds against a budget shared with others.
    pub fn budget(mut self, budget: &Budget) -> Self {
        self.budget = Some(budget.clone());
        self
    }
}
