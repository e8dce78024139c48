//! Counts the requests on their way, and their bytes, and makes callers wait when there are many.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// What all clones of a client share.
#[derive(Debug)]
pub(super) struct Room {
    /// A permit for each request that may be on its way.
    requests: Arc<Semaphore>,
    bytes: Arc<Bytes>,
}

/// Bytes are known only when the call is made, so the one that reaches the limit goes over it, and
/// what is over is owed: `limit - available + owed` are on their way.
#[derive(Debug)]
struct Bytes {
    available: Arc<Semaphore>,
    owed: AtomicUsize,
}

impl Bytes {
    fn take(&self, count: usize) {
        let missing = count - self.available.forget_permits(count);
        self.owed.fetch_add(missing, Ordering::Relaxed);
    }

    fn give_back(&self, count: usize) {
        let pay = |owed: usize| Some(owed.saturating_sub(count));
        let owed = self
            .owed
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
        // Either way it is what was owed before.
        let owed = owed.unwrap_or_else(|owed| owed);
        self.available.add_permits(count.saturating_sub(owed));
    }
}

impl Room {
    pub(super) fn new(max_in_flight: usize, max_bytes: usize) -> Self {
        let semaphore =
            |count: usize| Arc::new(Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS)));
        Self {
            requests: semaphore(max_in_flight),
            bytes: Arc::new(Bytes {
                available: semaphore(max_bytes),
                owed: AtomicUsize::new(0),
            }),
        }
    }

    /// Makes everyone who waits learn that there will be no more room.
    pub(super) fn close(&self) {
        self.requests.close();
        self.bytes.available.close();
    }
}

/// The place of one request, from before the call until its answer has come.
#[derive(Debug)]
pub(super) struct Place {
    _request: OwnedSemaphorePermit,
    bytes: Arc<Bytes>,
    /// At least 1, so that an empty request takes room too.
    count: usize,
}

impl Place {
    /// Counts the bytes of the request.
    pub(super) fn fill(&mut self, bytes: usize) {
        if let Some(more) = bytes.checked_sub(self.count) {
            self.bytes.take(more);
            self.count = bytes;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.bytes.give_back(self.count);
    }
}

/// One caller on its way to a [`Place`].
#[derive(Debug)]
pub(super) struct Turn {
    room: Arc<Room>,
    requests: PollSemaphore,
    available: PollSemaphore,
    request: Option<OwnedSemaphorePermit>,
    place: Option<Place>,
}

impl Turn {
    pub(super) fn new(room: Arc<Room>) -> Self {
        Self {
            requests: PollSemaphore::new(room.requests.clone()),
            available: PollSemaphore::new(room.bytes.available.clone()),
            room,
            request: None,
            place: None,
        }
    }

    /// Waits for room; `None` once there will be no more.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        if self.place.is_some() {
            return Poll::Ready(Some(()));
        }
        if self.request.is_none() {
            self.request = ready!(self.requests.poll_acquire(cx));
        }
        if self.request.is_none() {
            return Poll::Ready(None);
        }
        let Some(first) = ready!(self.available.poll_acquire(cx)) else {
            return Poll::Ready(None);
        };
        // From here on the place gives it back.
        first.forget();
        Poll::Ready(self.request.take().map(|request| {
            self.place = Some(Place {
                _request: request,
                bytes: self.room.bytes.clone(),
                count: 1,
            });
        }))
    }

    /// The place that [`poll`](Self::poll) has found.
    pub(super) fn take(&mut self) -> Option<Place> {
        self.place.take()
    }
}

impl Clone for Turn {
    /// Who is ready is so for itself alone.
    fn clone(&self) -> Self {
        Self::new(self.room.clone())
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    fn is_ready(turn: &mut Turn) -> bool {
        task::spawn(()).enter(|cx, _| turn.poll(cx)).is_ready()
    }

    #[test]
    fn there_is_room_until_the_bytes_on_their_way_reach_the_limit() {
        let mut turn = Turn::new(Arc::new(Room::new(10, 100)));
        let mut place = |bytes: usize| {
            is_ready(&mut turn).then(|| {
                let mut place = turn.take().unwrap();
                place.fill(bytes);
                place
            })
        };
        let first = place(60).unwrap();
        // This one reaches the limit, and goes over it by 960.
        let second = place(1000).unwrap();
        assert!(place(1).is_none());
        // 1000 bytes are on their way still: giving back what the first took is not enough.
        drop(first);
        assert!(place(1).is_none());
        drop(second);
        let all = [0; 10].map(|_| place(0).unwrap());
        assert!(place(0).is_none(), "the limit in requests");
        drop(all);
        let exactly = place(99).unwrap();
        let last = place(1).unwrap();
        assert!(place(0).is_none());
        drop((exactly, last));
        assert!(place(100).is_some());
    }

    #[test]
    fn who_waits_is_woken_and_a_clone_waits_for_itself() {
        let room = Arc::new(Room::new(1, 10));
        let mut first = Turn::new(room.clone());
        assert!(is_ready(&mut first));
        let mut second = task::spawn(first.clone());
        assert_pending!(second.enter(|cx, mut turn| turn.poll(cx)));
        drop(first);
        assert!(second.is_woken());
        assert_eq!(
            assert_ready!(second.enter(|cx, mut turn| turn.poll(cx))),
            Some(())
        );
        let mut third = task::spawn(second.clone());
        assert_pending!(third.enter(|cx, mut turn| turn.poll(cx)));
        room.close();
        assert!(third.is_woken());
        assert_eq!(
            assert_ready!(third.enter(|cx, mut turn| turn.poll(cx))),
            None
        );
    }
}
