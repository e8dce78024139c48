//! Counts the bytes a store holds, and those promised to uploads under way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::StoreError;

/// A size beyond which no file can be, whatever limits are set: offsets are signed in the kernel.
const LARGEST: u64 = i64::MAX as u64;

/// The limits of a store and what is used of them.
#[derive(Debug)]
pub(super) struct Quota {
    max_file: u64,
    quota: Option<u64>,
    used: Mutex<Used>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Used {
    stored: u64,
    reserved: u64,
}

impl Quota {
    pub(super) fn new(max_file: Option<u64>, quota: Option<u64>) -> Arc<Self> {
        Arc::new(Self {
            max_file: max_file.unwrap_or(LARGEST).min(LARGEST),
            quota,
            used: Mutex::default(),
        })
    }

    /// Whether it matters how much is stored.
    pub(super) fn is_limited(&self) -> bool {
        self.quota.is_some()
    }

    /// Sets what is stored, as counted afresh.
    pub(super) fn set_stored(&self, bytes: u64) {
        self.lock().stored = bytes;
    }

    pub(super) fn removed(&self, bytes: u64) {
        let mut used = self.lock();
        used.stored = used.stored.saturating_sub(bytes);
    }

    /// Promises room for a file of `bytes`.
    pub(super) fn reserve(self: &Arc<Self>, bytes: u64) -> Result<Reservation, StoreError> {
        let reservation = Reservation {
            quota: Arc::clone(self),
            bytes: AtomicU64::new(0),
        };
        reservation.grow_to(bytes)?;
        Ok(reservation)
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        // Each change is one assignment, so a panic elsewhere leaves nothing half done.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room promised to one upload; dropping it frees the room.
#[derive(Debug)]
pub(super) struct Reservation {
    quota: Arc<Quota>,
    /// Changed only while the quota is locked.
    bytes: AtomicU64,
}

impl Reservation {
    /// Makes the promise as large as `bytes`; it never shrinks.
    pub(super) fn grow_to(&self, bytes: u64) -> Result<(), StoreError> {
        if bytes > self.quota.max_file {
            return Err(StoreError::TooLarge {
                limit: self.quota.max_file,
            });
        }
        let mut used = self.quota.lock();
        let needed = bytes.saturating_sub(self.bytes.load(Ordering::Relaxed));
        // Without a quota nothing is refused, but the sums are kept all the same.
        if let Some(quota) = self.quota.quota {
            let left = quota.saturating_sub(used.stored.saturating_add(used.reserved));
            if needed > left {
                return Err(StoreError::QuotaExceeded {
                    quota,
                    needed,
                    left,
                });
            }
        }
        used.reserved = used.reserved.saturating_add(needed);
        self.bytes.fetch_add(needed, Ordering::Relaxed);
        Ok(())
    }

    /// Turns the promise into a stored file of `size` in place of one of `replaced` bytes.
    pub(super) fn settle(&self, size: u64, replaced: u64) {
        let mut used = self.quota.lock();
        let bytes = self.bytes.swap(0, Ordering::Relaxed);
        used.reserved = used.reserved.saturating_sub(bytes);
        used.stored = used.stored.saturating_sub(replaced).saturating_add(size);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut used = self.quota.lock();
        let bytes = self.bytes.swap(0, Ordering::Relaxed);
        used.reserved = used.reserved.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn svc_d24_promises_count_and_free_themselves() {
        let quota = Quota::new(None, Some(100));
        let first = quota.reserve(60).unwrap();
        let error = quota.reserve(60).unwrap_err();
        assert_eq!(
            error,
            StoreError::QuotaExceeded {
                quota: 100,
                needed: 60,
                left: 40
            }
        );
        drop(first);
        let second = quota.reserve(60).unwrap();
        second.settle(60, 0);
        assert!(quota.reserve(41).is_err());
        // A replacement needs room for both, then only for itself.
        quota.reserve(40).unwrap().settle(40, 60);
        assert_eq!(quota.lock().stored, 40);
        assert_eq!(quota.lock().reserved, 0);
        quota.removed(40);
        assert!(quota.reserve(100).is_ok());
    }

    #[test]
    fn a_promise_grows_within_the_limits() {
        let quota = Quota::new(Some(10), Some(15));
        let one = quota.reserve(0).unwrap();
        one.grow_to(10).unwrap();
        assert_eq!(one.grow_to(11), Err(StoreError::TooLarge { limit: 10 }));
        let other = quota.reserve(5).unwrap();
        assert!(other.grow_to(6).is_err());
        assert_eq!(quota.lock().reserved, 15);
    }

    #[test]
    fn svc_d25_absurd_sizes_are_refused_without_any_limit_set() {
        let quota = Quota::new(None, None);
        for size in [1 << 63, u64::MAX] {
            assert!(matches!(
                quota.reserve(size),
                Err(StoreError::TooLarge { .. })
            ));
        }
    }
}
