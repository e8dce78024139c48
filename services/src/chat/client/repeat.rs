//! Sends a request until it is answered, less and less often, and not without end.

use std::time::{Duration, Instant};

use bytes::Bytes;

const FIRST_PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A request that is repeated.
#[derive(Debug)]
pub(super) struct Repeat {
    pub(super) id: u32,
    object: Bytes,
    at: Instant,
    pause: Duration,
    tries: u32,
    most: u32,
}

impl Repeat {
    /// A request to be sent at `at`, and at most `most` times in all.
    pub(super) fn new(id: u32, object: Bytes, at: Instant, most: u32) -> Self {
        Self {
            id,
            object,
            at,
            pause: FIRST_PAUSE,
            tries: 0,
            most,
        }
    }

    /// The same, but first repeated after `pause`.
    pub(super) fn pausing(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// When there is something to do.
    pub(super) fn at(&self) -> Instant {
        self.at
    }

    /// How often it has been sent.
    pub(super) fn tries(&self) -> u32 {
        self.tries
    }

    /// Whether it was sent as often as it may be, and no answer has come in time.
    pub(super) fn is_exhausted(&self, now: Instant) -> bool {
        self.tries >= self.most && self.at <= now
    }

    /// What is to be sent now, if anything.
    pub(super) fn due(&mut self, now: Instant) -> Option<Bytes> {
        if self.at > now || self.tries >= self.most {
            return None;
        }
        self.tries += 1;
        self.at = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Some(self.object.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sent_so_often_and_no_more_and_with_growing_pauses() {
        let start = Instant::now();
        let mut repeat = Repeat::new(1, Bytes::from_static(b"x"), start, 6);
        let mut sent = Vec::new();
        for passed in (0..60_000).step_by(10).map(Duration::from_millis) {
            if repeat.due(start + passed).is_some() {
                sent.push(passed.as_millis());
            }
        }
        assert_eq!(sent, [0, 300, 900, 2100, 4100, 6100]);
        assert!(!repeat.is_exhausted(start + Duration::from_millis(8000)));
        assert!(repeat.is_exhausted(start + Duration::from_millis(8100)));
    }
}
