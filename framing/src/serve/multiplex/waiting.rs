//! Keeps the requests that the service has not answered at once.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use futures_core::Stream;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::serve::{Failure, call::poll_in_place};

/// One request in the service.
pub(super) struct Waiting<F: Future> {
    pub(super) tag: u32,
    pub(super) bytes: usize,
    pub(super) place: Pin<Box<Option<F>>>,
    pub(super) deadline: Option<Deadline>,
}

/// When a request has had its time.
pub(super) struct Deadline {
    at: Instant,
    limit: Duration,
    has_passed: bool,
    /// Who is to be told, once it has.
    waker: Option<Waker>,
}

impl Deadline {
    pub(super) fn after(limit: Duration) -> Option<Self> {
        // What lies beyond the end of time never comes.
        let at = Instant::now().checked_add(limit)?;
        Some(Self {
            at,
            limit,
            has_passed: false,
            waker: None,
        })
    }
}

/// A request that is done with.
pub(super) struct Done<T> {
    pub(super) tag: u32,
    pub(super) bytes: usize,
    pub(super) result: Result<T, Failure>,
}

impl<F: Future> Future for Waiting<F> {
    type Output = Done<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let result = match &mut this.deadline {
            Some(deadline) if deadline.has_passed => {
                this.place.set(None);
                Err(Failure::TimedOut(deadline.limit))
            }
            deadline => match (poll_in_place(this.place.as_mut(), cx), deadline) {
                (Poll::Ready(result), _) => result,
                (Poll::Pending, None) => return Poll::Pending,
                (Poll::Pending, Some(deadline)) => {
                    match &mut deadline.waker {
                        Some(waker) => waker.clone_from(cx.waker()),
                        waker => *waker = Some(cx.waker().clone()),
                    }
                    return Poll::Pending;
                }
            },
        };
        Poll::Ready(Done {
            tag: this.tag,
            bytes: this.bytes,
            result,
        })
    }
}

/// All of them, and a clock for all their deadlines.
pub(super) struct Queue<F: Future> {
    waiting: FuturesUnordered<Waiting<F>>,
    /// Bytes of the requests in `waiting`.
    bytes: usize,
    /// Sleeps until the earliest deadline there was when it was set.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> Queue<F> {
    pub(super) fn new() -> Self {
        Self {
            waiting: FuturesUnordered::new(),
            bytes: 0,
            timer: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, waiting: Waiting<F>) {
        if let (Some(deadline), None) = (&waiting.deadline, &self.timer) {
            self.timer = Some(Box::pin(sleep_until(deadline.at)));
        }
        self.bytes += waiting.bytes;
        self.waiting.push(waiting);
    }

    /// The next one that is done; `None` if there are none at all.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Done<F::Output>>> {
        let done = ready!(Pin::new(&mut self.waiting).poll_next(cx));
        if let Some(done) = &done {
            self.bytes -= done.bytes;
        }
        Poll::Ready(done)
    }

    /// Wakes those whose time is up, and the task when the next one's is. To be polled before the
    /// task sleeps.
    pub(super) fn poll_deadlines(&mut self, cx: &mut Context<'_>) {
        while let Some(timer) = &mut self.timer {
            if timer.as_mut().poll(cx).is_pending() {
                return;
            }
            let now = Instant::now();
            let mut next: Option<Instant> = None;
            for waiting in self.waiting.iter_mut() {
                let Some(deadline) = &mut waiting.deadline else {
                    continue;
                };
                if deadline.at <= now {
                    deadline.has_passed = true;
                    if let Some(waker) = deadline.waker.take() {
                        waker.wake();
                    }
                } else if next.is_none_or(|next| deadline.at < next) {
                    next = Some(deadline.at);
                }
            }
            match next {
                Some(next) => timer.as_mut().reset(next),
                None => self.timer = None,
            }
        }
    }
}
