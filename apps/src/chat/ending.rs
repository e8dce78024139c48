//! When a chat ends by itself, or because it is told to.

use std::time::Duration;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep_until},
};

use super::{cli::Talk, failure::Failure};

/// What ends a chat: signals, a time, and a number of messages.
pub(super) struct Ending {
    interrupt: Signal,
    terminate: Signal,
    at: Option<Instant>,
    count: Option<u64>,
    /// Time or count were asked for.
    wanted: bool,
    shown: u64,
}

impl Ending {
    /// Catches signals from now on.
    pub(super) fn new(talk: Option<&Talk>) -> Result<Self, Failure> {
        let failed = |error| Failure::io("cannot catch signals", &error);
        let time = talk.and_then(|talk| talk.time);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            at: time.and_then(|time| Instant::now().checked_add(time)),
            count: talk.and_then(|talk| talk.count),
            wanted: talk.is_some_and(|talk| talk.time.is_some() || talk.count.is_some()),
            shown: 0,
        })
    }

    /// Whether somebody has said when it is to end.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Ends after so long, if nobody has said when.
    pub(super) fn or_after(&mut self, time: Duration) {
        if !self.wanted {
            self.at = Instant::now().checked_add(time);
        }
    }

    /// Counts a message that was shown.
    pub(super) fn count(&mut self) {
        self.shown += 1;
    }

    /// Whether as many messages have been shown as were wanted.
    pub(super) fn is_complete(&self) -> bool {
        self.count.is_some_and(|count| self.shown >= count)
    }

    /// Completes at a signal or when the time is up. Cancel safe.
    pub(super) async fn reached(&mut self) {
        let at = self.at;
        tokio::select! {
            _ = self.interrupt.recv() => self.count = None,
            _ = self.terminate.recv() => self.count = None,
            () = async { sleep_until(at.unwrap_or_else(Instant::now)).await }, if at.is_some() => {}
        }
    }

    /// Whether all is well at the end: fewer messages than were wanted are a failure, but not where somebody
    /// has ended it.
    pub(super) fn result(&self) -> Result<(), Failure> {
        match self.count {
            Some(count) if self.shown < count => {
                let shown = self.shown;
                Err(Failure::unavailable(format!(
                    "only {shown} of {count} messages came in time"
                )))
            }
            _ => Ok(()),
        }
    }
}
