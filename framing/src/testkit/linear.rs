//! A byte late in a long frame costs no more than an early one.
//!
//! A framing sees its input as a slice, so that only time tells how much of it is looked at. The
//! median of many short measurements is not moved by what else the machine does; a framing that
//! looks at everything again is slower by a factor of hundreds, and fails every attempt.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use super::{
    Laws,
    checked::Bench,
    law::{Kept, Law},
    talk::Wire,
};
use crate::{Framing, Received};

/// The size of a frame, and of a read full of frames. To look at all of it takes far longer than a
/// call does otherwise; of optimized code even more must be looked at for that.
const LARGE: usize = if cfg!(debug_assertions) { 512 } else { 2048 } * 1024;

/// Calls of which the median is taken.
const CALLS: usize = 63;

/// Calls that will do where they take so long together.
const FEW_CALLS: usize = 15;
const LONG: Duration = Duration::from_millis(50);

/// One attempt out of so many has to be linear.
const ATTEMPTS: usize = 5;

/// How many times as long a late call may take, and what counts as no time at all.
const RATIO: u32 = 12;
const NO_TIME: Duration = Duration::from_nanos(250);

impl<M: Fn() -> F, F: Framing> Laws<M> {
    /// Law 7.
    pub(super) fn late_bytes_cost_no_more(&self) -> Kept {
        let fills = std::iter::once(b'a').chain(self.own_bytes(6)?);
        let mut tried = Vec::new();
        for fill in fills {
            // Two kinds of frame are enough, as one takes its time.
            if tried.len() == 2 || tried.contains(&fill) {
                continue;
            }
            let Some((_, wire)) = self.large_frame(LARGE, fill)? else {
                continue;
            };
            tried.push(fill);
            is_linear("a byte late in a large frame", || {
                self.early_and_late(&wire)
            })?;
        }
        Ok(())
    }

    fn early_and_late(&self, wire: &[u8]) -> Kept<(Duration, Duration)> {
        let mut bench = Bench::new(self.for_frames_of(LARGE));
        let late = wire.len() - 2 * CALLS;
        // The first bytes may be a header, and cost more.
        bench.receive(&wire[..CALLS]);
        let _ = bench.drain()?;
        let early = one_by_one(&mut bench, &wire[CALLS..2 * CALLS])?;
        bench.receive(&wire[2 * CALLS..late]);
        let _ = bench.drain()?;
        let late = one_by_one(&mut bench, &wire[late..late + CALLS])?;
        Ok((early, late))
    }

    /// Law 7: what lies behind a frame is not looked at for it.
    pub(super) fn bytes_behind_a_frame_cost_nothing(&self) -> Kept {
        let by_size = self.by_size();
        let Some(frame) = by_size.iter().find(|frame| !frame.is_empty()) else {
            return Ok(());
        };
        if frame.len() > 256 {
            return Ok(());
        }
        let few = Wire::of(&self.make, &vec![frame.clone(); CALLS + 1])?.bytes;
        let many = few.repeat(LARGE / few.len() + 1);
        is_linear("a frame with many others behind it", || {
            Ok((self.frame_by_frame(&few)?, self.frame_by_frame(&many)?))
        })
    }

    fn frame_by_frame(&self, stream: &[u8]) -> Kept<Duration> {
        let mut bench = Bench::new((self.make)());
        bench.receive(stream);
        // Whoever keeps a copy of the input makes it now.
        let _ = bench.next()?;
        let mut times = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            let start = Instant::now();
            let received = black_box(bench.next()?);
            times.push(start.elapsed());
            if is_slow(&times) || !matches!(received, Ok(Received::Frame(_))) {
                break;
            }
        }
        Ok(median(times))
    }
}

fn one_by_one<F: Framing>(bench: &mut Bench<F>, bytes: &[u8]) -> Kept<Duration> {
    let mut times = Vec::with_capacity(bytes.len());
    for byte in bytes {
        bench.receive(&[*byte]);
        let start = Instant::now();
        let _ = black_box(bench.next()?);
        times.push(start.elapsed());
        if is_slow(&times) {
            break;
        }
    }
    Ok(median(times))
}

fn is_slow(times: &[Duration]) -> bool {
    times.len() >= FEW_CALLS && times.iter().sum::<Duration>() > LONG
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn is_linear(what: &str, measure: impl Fn() -> Kept<(Duration, Duration)>) -> Kept {
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        let (early, late) = measure()?;
        if late <= early.max(NO_TIME) * RATIO {
            return Ok(());
        }
        seen.push((early, late));
    }
    Err(Law::Linear.broken(format!(
        "{what} takes too long in each of {ATTEMPTS} attempts; first an early call, then a late \
         one: {seen:?}"
    )))
}
