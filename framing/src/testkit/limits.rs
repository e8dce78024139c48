//! A frame over the limit is too long, in both directions.

use bytes::Bytes;

use super::{
    Event, Laws,
    checked::Bench,
    law::{Kept, Law},
    show,
    talk::Wire,
};
use crate::{ErrorKind, Framing};

impl<M: Fn() -> F, F: Framing> Laws<M> {
    fn with_limit(&self, limit: usize) -> F {
        let mut framing = (self.make)();
        framing.set_max_frame(limit);
        framing
    }

    /// Laws 3 and 4.
    pub(super) fn frames_over_the_limit_are_too_long(&self) -> Kept {
        let law = Law::Limits;
        for long in self.by_size().iter().filter(|frame| frame.len() > 1) {
            let limit = long.len() - 1;
            let mut sender = Bench::new(self.with_limit(limit));
            law.holds(sender.send(long)?.is_err(), || {
                format!("{limit} bytes allowed, and {} is sent", show(long))
            })?;

            let frames = self.and_a_shorter(long);
            let stream = Wire::of(&self.make, &frames)?.bytes;
            let laws = self.with(|| self.with_limit(limit));
            let trace = laws.trace_at_every_cut(law, &stream)?;
            let came = || {
                let events = &trace.events;
                format!("{limit} bytes allowed: {events:?} out of {}", show(&stream))
            };
            let Some(Event::Problem(problem)) = trace.events.first() else {
                return Err(law.broken(format!("no error first, with {}", came())));
            };
            law.holds(
                problem.kind == ErrorKind::TooLong && problem.limit == Some(limit),
                || {
                    format!(
                        "not `too-long` with the limit, but `{}`, with {}",
                        problem.kind,
                        came()
                    )
                },
            )?;
            let good = frames.get(1).cloned().map(Event::Frame);
            let after: Vec<_> = match problem.recoverable {
                true => good.into_iter().chain([Event::End]).collect(),
                false => Vec::new(),
            };
            Law::ErrorsAreFinal.holds(trace.events[1..] == after, || {
                format!("{after:?} had to come after the error, with {}", came())
            })?;
        }
        Ok(())
    }

    /// Law 3: a limit that comes in the middle of a frame judges that frame, or the next.
    pub(super) fn limits_change_between_frames(&self) -> Kept {
        let Some(long) = self.by_size().pop().filter(|frame| frame.len() > 1) else {
            return Ok(());
        };
        let limit = long.len() - 1;
        let frames = self.and_a_shorter(&long);
        let wire = Wire::of(&self.make, &frames)?;
        for at in 0..wire.borders[1].min(256) {
            let (front, back) = wire.bytes.split_at(at);
            let mut bench = Bench::new((self.make)());
            bench.receive(front);
            let mut got = bench.drain()?.0;
            bench.framing_mut().set_max_frame(limit);
            bench.receive(back);
            let (more, mut last) = bench.drain()?;
            got.extend(more);
            let mut expected = &frames[..];
            if let Err(error) = &last
                && error.kind() == ErrorKind::TooLong
                && got.is_empty()
            {
                if !error.is_recoverable() {
                    continue;
                }
                expected = &frames[1..];
                (got, last) = bench.drain()?;
            }
            Law::Limits.holds(got == expected && last.is_ok(), || {
                format!(
                    "the limit falls to {limit} bytes behind {}, and of {frames:?} come {got:?}, \
                     then {last:?}",
                    show(front)
                )
            })?;
        }
        Ok(())
    }

    /// A frame and, if there is one, a shorter one that is not empty.
    fn and_a_shorter(&self, long: &Bytes) -> Vec<Bytes> {
        let shorter = |frame: &&Bytes| !frame.is_empty() && frame.len() < long.len();
        let good = self.frames.iter().find(shorter);
        [long].into_iter().chain(good).cloned().collect()
    }
}
