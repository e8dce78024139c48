//! What remains of the laws for a framing without boundaries.

use super::{
    Event, Laws, Random,
    checked::Bench,
    every_split,
    law::{Kept, Law},
    show,
    shrink::check_shortest,
    trace::{self, Calls},
};
use crate::Framing;

impl<M: Fn() -> F, F: Framing> Laws<M> {
    /// Law 1: the bytes at least are the same.
    pub(super) fn bytes_survive(&self) -> Kept {
        let mut sender = Bench::new((self.make)());
        for frame in self.frames.iter().filter(|frame| !frame.is_empty()) {
            sender.send_sample(frame)?;
        }
        self.come_out(Law::RoundTrip, &sender.written())
    }

    /// Law 6.
    pub(super) fn any_bytes_come_out(&self) -> Kept {
        let any: Vec<u8> = (0..=255).collect();
        let mut random = Random::new(6);
        for _ in 0..50 {
            let length = random.below(24);
            check_shortest(random.bytes(length, &any), |stream| {
                self.come_out(Law::AnyBytes, stream)
            })?;
        }
        Ok(())
    }

    fn come_out(&self, law: Law, stream: &[u8]) -> Kept {
        for pieces in every_split(stream) {
            let bench = Bench::new((self.make)());
            let trace = trace::run(bench, &pieces, true, Calls::Repeated)?;
            let bytes: Vec<u8> = trace.frames().flatten().copied().collect();
            law.holds(bytes == stream, || {
                format!("{} went in and {} came out", show(stream), show(&bytes))
            })?;
            Law::End.holds(trace.events.last() == Some(&Event::End), || {
                format!("no clean end: {:?} out of {}", trace.events, show(stream))
            })?;
        }
        Ok(())
    }
}
