//! Asks connections to finish what they have and take nothing new.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use pin_project::pin_project;
use tokio::sync::{Notify, futures::OwnedNotified};

/// Tells a connection when the server wants to stop.
///
/// A driver that is asked to drain reads no further request, finishes those in flight, flushes,
/// and closes.
#[derive(Clone, Default)]
pub struct Drain(Arc<State>);

#[derive(Default)]
struct State {
    requested: AtomicBool,
    /// Of those who wait.
    waiting: Arc<Notify>,
}

impl Drain {
    /// One that nobody has asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every connection that holds a clone.
    pub fn request(&self) {
        self.0.requested.store(true, Ordering::SeqCst);
        self.0.waiting.notify_waiters();
    }

    /// Whether it has been asked for.
    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::SeqCst)
    }

    /// Waits until it is asked for. Cancel safe.
    pub async fn requested(&self) {
        self.wait().await;
    }

    /// The same, for a driver that keeps the future.
    pub(super) fn wait(&self) -> Requested {
        Requested {
            // It notices what is requested from here on, polled or not.
            notified: self.0.waiting.clone().notified_owned(),
            drain: self.clone(),
            woken: None,
        }
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Drain").field(&self.is_requested()).finish()
    }
}

/// Ready once a [`Drain`] is requested.
///
/// A driver asks at every wake, so all that costs is a look at a flag; the lock around the list of
/// those who wait, which all connections share, is taken once for each task that waits.
#[pin_project]
pub(super) struct Requested {
    #[pin]
    notified: OwnedNotified,
    drain: Drain,
    /// Who stands in the list.
    woken: Option<Waker>,
}

impl Future for Requested {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.drain.is_requested() {
            return Poll::Ready(());
        }
        let this = self.project();
        let stands_there = |woken: &Waker| woken.will_wake(cx.waker());
        if this.woken.as_ref().is_some_and(stands_there) {
            return Poll::Pending;
        }
        *this.woken = Some(cx.waker().clone());
        this.notified.poll(cx)
    }
}
