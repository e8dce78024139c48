//! Keeps the limits in time: of a frame, of its rate, of idleness, of a peer that takes nothing.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::time::Sleep;

use super::{ConnectionOptions, options::LeastRate};
use crate::{Error, FrameError, limits::seconds};

/// The limits of one connection, and since when each of them counts.
#[derive(Debug)]
pub(super) struct Clock {
    frame_timeout: Option<Duration>,
    least_rate: Option<LeastRate>,
    idle_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    /// When the first byte of the frame that is not whole yet arrived.
    frame_began: Option<Instant>,
    /// Bytes arrived since then.
    frame_bytes: u64,
    /// When something last arrived or was sent, or idleness was last reported.
    quiet_since: Instant,
    /// Whether something has been asked for since the last frame was handed out. While nobody
    /// asks, nothing is read, and that is not the peer's doing.
    asking: bool,
    /// Runs while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    pub(super) fn new(options: &ConnectionOptions) -> Option<Self> {
        let clock = Self {
            frame_timeout: options.frame_timeout,
            least_rate: options.least_rate,
            idle_timeout: options.idle_timeout,
            write_timeout: options.write_timeout,
            frame_began: None,
            frame_bytes: 0,
            quiet_since: now(),
            asking: false,
            stalled: None,
        };
        let limits = clock.frame_timeout.is_some()
            || clock.least_rate.is_some()
            || clock.idle_timeout.is_some()
            || clock.write_timeout.is_some();
        limits.then_some(clock)
    }

    /// More is asked for, in the middle of a frame or in front of one.
    pub(super) fn asks(&mut self, mid_frame: bool) {
        if !mid_frame {
            // What has arrived was no part of a frame: an acknowledgement, or filling.
            self.frame_began = None;
            self.frame_bytes = 0;
        }
        let begins = mid_frame && self.frame_began.is_none();
        if self.asking && !begins {
            return;
        }
        let now = now();
        if begins {
            self.frame_began = Some(now);
        }
        if !self.asking {
            self.asking = true;
            self.quiet_since = now;
        }
    }

    /// So many bytes have arrived.
    pub(super) fn arrived(&mut self, bytes: usize) {
        let now = now();
        self.quiet_since = now;
        self.frame_began.get_or_insert(now);
        self.frame_bytes += bytes as u64;
    }

    /// A frame is handed out; so many bytes behind it belong to the next, whose time begins when
    /// the rest of it is asked for.
    pub(super) fn frame_ended(&mut self, unread: usize) {
        self.frame_began = None;
        self.frame_bytes = unread as u64;
        self.asking = false;
    }

    /// A frame is sent: its receiver gets the whole idle time to react.
    pub(super) fn sent(&mut self) {
        if self.idle_timeout.is_some() {
            self.quiet_since = now();
        }
    }

    /// When [`check`](Self::check) is worth a call. Beyond any clock's range there is nothing to
    /// wait for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.frame_due(), self.rate_due(), self.idle_due()]
            .into_iter()
            .flatten()
            .min()
    }

    fn frame_due(&self) -> Option<Instant> {
        self.frame_began?.checked_add(self.frame_timeout?)
    }

    fn idle_due(&self) -> Option<Instant> {
        self.quiet_since.checked_add(self.idle_timeout?)
    }

    /// When the bytes that have arrived are no longer enough.
    fn rate_due(&self) -> Option<Instant> {
        let rate = self.least_rate?;
        let worth = self.frame_bytes as f64 / f64::from(rate.bytes_per_second);
        let worth = Duration::try_from_secs_f64(worth).ok()?;
        self.frame_began?
            .checked_add(rate.grace)?
            .checked_add(worth)
    }

    /// What has run out by now.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        let now = now();
        let passed = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if passed(self.frame_due()) {
            let limit = seconds(self.frame_timeout.unwrap_or_default());
            return Err(FrameError::timeout(format!("a frame was not whole after {limit}")).into());
        }
        if passed(self.rate_due()) {
            let least = self.least_rate.map_or(0, |rate| rate.bytes_per_second);
            return Err(FrameError::timeout(format!(
                "a frame came more slowly than {least} bytes a second"
            ))
            .into());
        }
        match self.idle_timeout {
            Some(limit) if passed(self.idle_due()) => {
                self.quiet_since = now;
                Err(Error::Idle(limit))
            }
            _ => Ok(()),
        }
    }

    /// The peer has taken something.
    pub(super) fn wrote(&mut self) {
        self.stalled = None;
    }

    /// The peer takes nothing: ready with the error once that has gone on for too long.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let Some(limit) = self.write_timeout else {
            return Poll::Pending;
        };
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        let limit = seconds(limit);
        Poll::Ready(FrameError::timeout(format!("the peer has taken nothing for {limit}")).into())
    }
}

/// The time, virtual in tests.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
