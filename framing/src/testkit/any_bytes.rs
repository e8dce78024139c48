//! Garbage gives the same at every cut, and no panic.

use super::{
    Laws, Random,
    law::{Kept, Law},
    shrink::check_shortest,
    talk::Wire,
};
use crate::Framing;

impl<M: Fn() -> F, F: Framing> Laws<M> {
    /// Law 6, and with it laws 4 and 9 for every error that turns up.
    pub(super) fn any_bytes_are_safe(&self) -> Kept {
        let wire = Wire::of(&self.make, &self.frames)?.bytes;
        let own = self.own_bytes(12)?;
        let any: Vec<u8> = (0..=255).collect();
        let mut random = Random::new(6);
        for round in 0..300 {
            let length = random.below(24);
            let stream = match round % 3 {
                0 => random.bytes(length, &own),
                1 => random.bytes(length, &any),
                _ if wire.is_empty() => Vec::new(),
                _ => {
                    // A good stream with a byte changed, lost or added.
                    let mut damaged = wire[..wire.len().min(48)].to_vec();
                    let at = random.below(damaged.len());
                    match random.below(3) {
                        0 => damaged[at] = random.next_u64() as u8,
                        1 => drop(damaged.remove(at)),
                        _ => damaged.insert(at, own[random.below(own.len())]),
                    }
                    damaged
                }
            };
            check_shortest(stream, |stream| {
                self.trace_at_every_cut(Law::AnyBytes, stream).map(drop)
            })?;
        }
        Ok(())
    }
}
