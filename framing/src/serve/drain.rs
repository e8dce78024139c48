//! Asks connections to finish what they have and take nothing new.

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Tells a connection when the server wants to stop.
///
/// A driver that is asked to drain reads no further request, finishes those in flight, flushes,
/// and closes.
#[derive(Clone, Debug, Default)]
pub struct Drain(CancellationToken);

impl Drain {
    /// One that nobody has asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every connection that holds a clone.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// Whether it has been asked for.
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it is asked for. Cancel safe.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }

    /// The same, for a driver that keeps the future.
    pub(crate) fn wait(&self) -> WaitForCancellationFutureOwned {
        self.0.clone().cancelled_owned()
    }
}
