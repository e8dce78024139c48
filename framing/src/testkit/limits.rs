//! The laws about lengths, memory and time.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{
    Event, Laws,
    talk::{Wire, show},
    trace,
};
use crate::{ErrorKind, Framing, Machine, Received};

/// What an idle machine, or one that has seen no more than the start of a frame, may hold.
const LITTLE: usize = 512 * 1024;

/// The size of a large frame. To look at all of it takes far longer than a call does otherwise.
const LARGE: usize = 2 * 1024 * 1024;

impl<M: Fn() -> F, F: Framing> Laws<M> {
    /// Laws 3 and 4.
    pub(super) fn frames_over_the_limit_are_too_long(&self) {
        for long in self.frames.iter().filter(|frame| frame.len() > 1) {
            let limit = long.len() - 1;
            let limited = || {
                let mut framing = (self.make)();
                framing.set_max_frame(limit);
                framing
            };
            let mut sender = Machine::new(limited());
            let error = sender
                .send(long.clone())
                .expect_err("law 3: over the limit, and sent");
            assert_eq!(error.kind(), ErrorKind::Unencodable, "law 3: {error}");
            assert_eq!(
                error.frame(),
                Some(long),
                "law 3: the refused frame is not given back"
            );
            assert_eq!(
                sender.unsent(),
                0,
                "law 3: something of {} is written",
                show(long)
            );

            let frames: Vec<Bytes> = match self.shorter_than(limit) {
                Some(good) => vec![long.clone(), good.clone()],
                None => vec![long.clone()],
            };
            let stream = Wire::of(&self.make, &frames).bytes;
            let laws = self.with(limited);
            let trace = laws.trace_at_every_cut("3, limits first", &stream);
            let Some(problem) = trace.problem() else {
                panic!(
                    "law 3: {limit} bytes allowed, and no error: {}",
                    show(&stream)
                );
            };
            assert_eq!(problem.kind, ErrorKind::TooLong, "law 3: {}", show(&stream));
            assert_eq!(problem.limit, Some(limit), "law 3: {}", show(&stream));
            let good = frames.get(1).cloned().map(Event::Frame);
            let after: Vec<_> = match problem.recoverable {
                true => good.into_iter().chain([Event::End]).collect(),
                false => Vec::new(),
            };
            assert_eq!(
                trace.events[1..],
                after,
                "law 4, after an error: {}",
                show(&stream)
            );
        }
    }

    /// The same samples for another factory.
    fn with<N>(&self, make: N) -> Laws<N> {
        Laws {
            make,
            frames: self.frames.clone(),
            refused: self.refused.clone(),
            rest: self.rest,
            opening: self.opening,
        }
    }

    fn shorter_than(&self, limit: usize) -> Option<&Bytes> {
        self.frames
            .iter()
            .find(|frame| (1..=limit).contains(&frame.len()))
    }

    /// A frame of `length` bytes on the wire, and the end of its first bytes; `None` if there can
    /// be no such frame.
    fn wire_of(&self, length: usize) -> Option<(Bytes, Vec<u8>)> {
        let framing = (self.make)();
        if framing.max_frame() < length {
            return None;
        }
        let frame = Bytes::from(vec![b'a'; length]);
        Machine::new(framing).send(frame.clone()).ok()?;
        let wire = Wire::of(&self.make, std::slice::from_ref(&frame));
        Some((frame, wire.bytes))
    }

    /// Law 3: who declares much and sends little costs little.
    pub(super) fn declared_lengths_reserve_nothing(&self) {
        let Some((_, wire)) = self.wire_of(LARGE) else {
            return;
        };
        let mut machine = Machine::new((self.make)());
        for piece in wire[..64].chunks(16) {
            machine.receive(piece);
            assert!(!matches!(machine.next_frame(), Ok(Received::Frame(_))));
            let held = machine.read_buffer().capacity();
            assert!(
                held <= LITTLE,
                "law 3: {held} bytes held for a frame of which 64 have come"
            );
        }
    }

    /// Law 7.
    pub(super) fn scanning_is_linear(&self) {
        /// Bytes that arrive one by one.
        const FEW: usize = 128;
        let Some((_, wire)) = self.wire_of(LARGE) else {
            return;
        };
        // A framing that looks at everything again takes many times as long at the end. The
        // least of several measurements is the one that nothing else has disturbed.
        let (mut early, mut late) = (Duration::MAX, Duration::MAX);
        for attempt in 0..6 {
            let mut machine = Machine::new((self.make)());
            early = early.min(one_by_one(&mut machine, &wire[..FEW]));
            let last = LARGE - FEW;
            machine.receive(&wire[FEW..last - 1]);
            assert!(matches!(machine.next_frame(), Ok(Received::Need(_))));
            // Buffers grow now, and not while the time is taken.
            one_by_one(&mut machine, &wire[last - 1..last]);
            late = late.min(one_by_one(&mut machine, &wire[last..LARGE]));
            if late < early * 16 {
                return;
            }
            if attempt > 0 && late > early * 40 {
                break;
            }
        }
        panic!("law 7: {FEW} bytes take {late:?} late in a long frame and {early:?} early in it");
    }

    /// Law 8.
    pub(super) fn buffers_shrink(&self) {
        let Some((frame, wire)) = self.wire_of(LARGE) else {
            return;
        };
        let mut machine = Machine::new((self.make)());
        machine.receive(&wire);
        assert_eq!(machine.next_frame(), Ok(Received::Frame(frame)));
        assert!(matches!(machine.next_frame(), Ok(Received::Need(_))));
        let held = machine.read_buffer().capacity();
        assert!(
            held <= LITTLE,
            "law 8: {held} bytes held after a large frame"
        );
        // And the machine goes on.
        for frame in self.frames.iter().take(3) {
            let again = trace(
                (self.make)(),
                &[&Wire::of(&self.make, std::slice::from_ref(frame)).bytes],
                true,
            );
            assert_eq!(again.events, [Event::Frame(frame.clone()), Event::End]);
        }
    }
}

fn one_by_one<F: Framing>(machine: &mut Machine<F>, bytes: &[u8]) -> Duration {
    let start = Instant::now();
    for byte in bytes {
        machine.receive(&[*byte]);
        let _ = std::hint::black_box(machine.next_frame());
    }
    start.elapsed()
}
