//! `Need` is a lower bound: with one byte less, of whatever kind, there is no frame.

use super::{
    Laws, Random,
    checked::Bench,
    law::{Kept, Law},
    show,
    shrink::{Pieces, check_shortest},
    talk::Wire,
};
use crate::{Framing, Received};

/// A need over this is not filled up.
const MOST: usize = 4096;

impl<M: Fn() -> F, F: Framing> Laws<M> {
    /// Law 9. The other promises of a step are looked at with every call.
    pub(super) fn need_is_a_lower_bound(&self) -> Kept {
        let wire = Wire::of(&self.make, &self.by_size())?.bytes;
        let mut probes = self.own_bytes(12)?;
        probes.extend([0, 1, 0xFF]);
        let mut random = Random::new(9);
        let garbage = (0..40).map(|_| {
            let length = random.below(12);
            random.bytes(length, &probes)
        });
        let starts: Vec<Vec<u8>> = (0..=wire.len().min(96))
            .map(|end| wire[..end].to_vec())
            .chain(garbage)
            .collect();
        for start in &starts {
            // With fewer than two bytes needed there is nothing to show.
            let Some(most) = self.need_after(start)?.map(|need| need - 1) else {
                continue;
            };
            if most == 0 {
                continue;
            }
            let going_on = wire.get(start.len()..).unwrap_or_default();
            let going_on = going_on[..going_on.len().min(most)].to_vec();
            let fills = probes.iter().map(|byte| vec![*byte; most.min(MOST)]);
            for fill in fills.chain([going_on]) {
                check_shortest(Pieces(vec![start.clone(), fill]), |pieces| {
                    self.no_frame_before_need(&pieces.0[0], &pieces.0[1])
                })?;
            }
        }
        Ok(())
    }

    /// What is needed behind these bytes; `None` if they came to an error.
    fn need_after(&self, start: &[u8]) -> Kept<Option<usize>> {
        let mut bench = Bench::new((self.make)());
        bench.receive(start);
        Ok(match bench.drain()?.1 {
            Ok(Received::Need(need)) => Some(need),
            _ => None,
        })
    }

    fn no_frame_before_need(&self, start: &[u8], fill: &[u8]) -> Kept {
        let mut bench = Bench::new((self.make)());
        bench.receive(start);
        let Ok(Received::Need(need)) = bench.drain()?.1 else {
            return Ok(());
        };
        if fill.len() >= need {
            return Ok(());
        }
        bench.receive(fill);
        let (frames, _) = bench.drain()?;
        Law::HonestSteps.holds(frames.is_empty(), || {
            format!(
                "`Need({need})` is answered to {}, and {} behind it is enough for {frames:?}",
                show(start),
                show(fill)
            )
        })
    }
}
