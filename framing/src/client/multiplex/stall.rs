//! Notices that a server answers nothing any more.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Runs out when answers are due, and none comes for too long.
#[derive(Debug)]
pub(super) struct Stall {
    limit: Duration,
    /// Since when there has been no answer; `None` while none is due.
    since: Option<Instant>,
    /// Sleeps until some time not later than `since + limit`.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            since: None,
            timer: None,
        }
    }

    /// A request was sent.
    pub(super) fn sent(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// An answer came, or could not come for a reason of ours; more may be due.
    pub(super) fn answered(&mut self, more_are_due: bool) {
        self.since = more_are_due.then(Instant::now);
    }

    /// Ready, with the limit, once it has passed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        loop {
            let Some(end) = self.since.and_then(|since| since.checked_add(self.limit)) else {
                self.timer = None;
                return Poll::Pending;
            };
            // Not reset with every answer: that would cost more than to wake now and then for
            // nothing.
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= end {
                return Poll::Ready(self.limit);
            }
            timer.as_mut().reset(end);
        }
    }
}
