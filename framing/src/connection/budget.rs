//! Bounds the bytes that many connections hold together.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Waker},
};

/// A number of bytes that connections may hold together: what has been read and is no whole frame
/// yet, frames that wait for the stream, and what waits to be written.
///
/// While it is used up nothing is read, by none of them, and TCP makes the peers wait; as soon as
/// something is let go of they go on. One connection at a time may overdraw it to complete the
/// frame it is in the middle of, or to hear the peer's agreement to one of ours, or all could wait
/// for one another; behind that frame it is another's turn. So what is read is bounded by the
/// budget, one frame, and one read (up to 384 KiB, or as much as has come of the frame) for each thread.
/// What is sent counts, too, and is not held back by it: its bounds are each connection's
/// [`high_water`](crate::ConnectionOptions::high_water) mark and what a service has in work.
///
/// It counts bytes, not the room that they lie in: a peer that stops more than 16 KiB into a frame, behind
/// a large one, keeps up to sixteen times as much memory as it is counted for.
///
/// Give it along with a time limit, or peers that stop in the middle of a frame hold their part
/// for ever. The time of a frame runs on while the budget is used up: if it stood still, those who
/// stop in the middle could only be told from the others one after the other.
#[derive(Clone)]
pub struct Budget(Arc<Shared>);

struct Shared {
    limit: usize,
    used: AtomicUsize,
    next_id: AtomicU64,
    /// Whether anyone may be in the queue: most of the time nobody is, and no lock is taken.
    crowded: AtomicBool,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: HashMap<u64, Waker>,
    /// Who may overdraw.
    overdraws: Option<u64>,
}

impl Budget {
    /// So many bytes for all connections that share it.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Shared {
            limit: bytes.max(1),
            used: AtomicUsize::new(0),
            next_id: AtomicU64::new(0),
            crowded: AtomicBool::new(false),
            queue: Mutex::default(),
        }))
    }

    /// How many bytes are held now.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The share of one more connection.
    pub(super) fn share(&self) -> Share {
        Share {
            id: self.0.next_id.fetch_add(1, Ordering::Relaxed),
            shared: self.0.clone(),
            held: 0,
            waits: false,
            has_finished: false,
            gives_way: false,
        }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("limit", &self.0.limit)
            .field("used", &self.used())
            .finish()
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self) -> bool {
        self.used.load(Ordering::SeqCst) < self.limit
    }

    /// Wakes everyone who waits. They ask again, and most will find room.
    fn wake(&self) {
        if !self.crowded.swap(false, Ordering::SeqCst) {
            return;
        }
        let waiting = std::mem::take(&mut self.queue().waiting);
        waiting.into_values().for_each(Waker::wake);
    }
}

/// What one connection holds of a [`Budget`]; given back when dropped.
pub(super) struct Share {
    shared: Arc<Shared>,
    id: u64,
    held: usize,
    /// Whether it may stand in the queue, or overdraw.
    waits: bool,
    /// Whether a frame was completed since it was last told how much is held.
    has_finished: bool,
    /// It has overdrawn for a frame that is whole, and is in the middle of the next already.
    gives_way: bool,
}

impl Share {
    /// Whether more may be read; if not, the task is woken when it is worth asking again.
    ///
    /// `owed`: the peer owes the rest of a frame, or its agreement to one.
    pub(super) fn may_read(&mut self, owed: bool, cx: &Context<'_>) -> bool {
        let gives_way = std::mem::take(&mut self.gives_way);
        if self.shared.has_room() {
            return true;
        }
        self.waits = true;
        if gives_way {
            // Those who were woken when it was done come first, where there are any.
            cx.waker().wake_by_ref();
            return false;
        }
        let mut queue = self.shared.queue();
        if owed && queue.overdraws.is_none_or(|id| id == self.id) {
            queue.overdraws = Some(self.id);
            return true;
        }
        queue.waiting.insert(self.id, cx.waker().clone());
        self.shared.crowded.store(true, Ordering::SeqCst);
        // What was let go of between the first look and the queue has woken nobody.
        self.shared.has_room()
    }

    /// Notes that a frame is whole, whatever has come behind it.
    pub(super) fn frame_ended(&mut self) {
        self.has_finished = true;
    }

    /// Notes how much is held now.
    pub(super) fn hold(&mut self, bytes: usize, owed: bool) {
        let used = &self.shared.used;
        let before = std::mem::replace(&mut self.held, bytes);
        if bytes >= before {
            used.fetch_add(bytes - before, Ordering::SeqCst);
        } else {
            used.fetch_sub(before - bytes, Ordering::SeqCst);
        }
        let mut wake = bytes < before && self.shared.has_room();
        let has_finished = std::mem::take(&mut self.has_finished);
        if self.waits && (!owed || has_finished) {
            self.waits = false;
            let mut queue = self.shared.queue();
            if queue.overdraws == Some(self.id) {
                queue.overdraws = None;
                self.gives_way = owed;
                wake = true;
            }
        }
        if wake {
            self.shared.wake();
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shared.queue().waiting.remove(&self.id);
        self.waits = true;
        self.hold(0, false);
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("held", &self.held).finish()
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::task::{Spawn, spawn};

    use super::*;

    fn asks(share: &mut Share, owed: bool, task: &mut Spawn<()>) -> bool {
        task.enter(|cx, _| share.may_read(owed, cx))
    }

    #[test]
    fn who_waits_is_woken_once_there_is_room_and_not_before() {
        let budget = Budget::new(10);
        let (mut large, mut small) = (budget.share(), budget.share());
        let mut task = spawn(());
        large.hold(12, false);
        assert!(!asks(&mut small, false, &mut task));
        large.hold(11, false);
        large.hold(10, false);
        assert!(!task.is_woken(), "all of it is used still");
        assert!(!asks(&mut small, false, &mut task));
        large.hold(9, false);
        assert!(task.is_woken());
        assert!(asks(&mut small, false, &mut task));
    }

    #[test]
    fn one_overdraws_until_its_frame_is_whole() {
        let budget = Budget::new(10);
        let (mut first, mut second) = (budget.share(), budget.share());
        let (mut one, mut other) = (spawn(()), spawn(()));
        first.hold(10, true);
        assert!(!asks(&mut second, false, &mut other), "nothing is owed");
        assert!(asks(&mut first, true, &mut one));
        first.hold(12, true);
        assert!(!asks(&mut second, true, &mut other), "another overdraws");
        assert!(asks(&mut first, true, &mut one), "it goes on");
        first.hold(14, true);
        assert!(!other.is_woken());
        // In the middle of the next already, it gives way once.
        first.frame_ended();
        first.hold(11, true);
        assert!(other.is_woken());
        assert!(!asks(&mut first, true, &mut one));
        assert!(one.is_woken());
        assert!(asks(&mut second, true, &mut other));
        assert!(!asks(&mut first, true, &mut one));
        drop(second);
        assert!(asks(&mut first, true, &mut one));
    }
}
