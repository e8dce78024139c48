//! Runs password hashes off the async threads, a few at once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::password::Password;
use super::secret::{HashCost, Secret, SecretError};

/// Checks passwords, never more than so many at once.
#[derive(Clone)]
pub(super) struct Hashing {
    cost: HashCost,
    running: Arc<Semaphore>,
    /// One for each check that runs or waits.
    places: Arc<Semaphore>,
    counts: Arc<Counts>,
}

/// What has been done, for tests and for whoever watches a server.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) started: AtomicU64,
    now: AtomicUsize,
    pub(super) most_at_once: AtomicUsize,
}

impl Counts {
    #[cfg(test)]
    pub(super) fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }
}

/// Why a password was not checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotChecked {
    /// Too many wait already.
    Busy,
    /// The hash could not be run.
    Failed(Option<SecretError>),
}

impl Hashing {
    pub(super) fn new(cost: HashCost, at_once: usize, waiting: usize) -> Self {
        let at_once = at_once.clamp(1, Semaphore::MAX_PERMITS / 2);
        let places = at_once.saturating_add(waiting).min(Semaphore::MAX_PERMITS);
        Self {
            cost,
            running: Arc::new(Semaphore::new(at_once)),
            places: Arc::new(Semaphore::new(places)),
            counts: Arc::default(),
        }
    }

    /// Whether `password` is the stored one; exactly one hash is run for it.
    pub(super) async fn matches(
        &self,
        stored: Option<Secret>,
        password: Password,
    ) -> Result<bool, NotChecked> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| NotChecked::Busy)?;
        let permit = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| NotChecked::Busy)?;
        let (cost, counts) = (self.cost, Arc::clone(&self.counts));
        // Place and permit go along: a job runs on when its future is dropped, and one whose client
        // has gone must not make room for the next.
        let job = tokio::task::spawn_blocking(move || {
            let _held = (place, permit);
            let _counted = Counted::new(&counts);
            Secret::matches(stored.as_ref(), &password, cost)
        });
        match job.await {
            Ok(matched) => matched.map_err(|error| NotChecked::Failed(Some(error))),
            Err(_) => Err(NotChecked::Failed(None)),
        }
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl fmt::Debug for Hashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hashing")
            .field("cost", &self.cost)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// Counts a hash for as long as it lives.
struct Counted<'a>(&'a Counts);

impl<'a> Counted<'a> {
    fn new(counts: &'a Counts) -> Self {
        counts.started.fetch_add(1, Ordering::Relaxed);
        let now = counts.now.fetch_add(1, Ordering::Relaxed) + 1;
        counts.most_at_once.fetch_max(now, Ordering::Relaxed);
        Self(counts)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}
