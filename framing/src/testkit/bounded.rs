//! No run of bytes is gathered without end.

use super::{
    Laws,
    checked::Bench,
    law::{Kept, Law},
    memory::LITTLE,
    show,
    shrink::{Pieces, check_shortest},
    talk::Wire,
};
use crate::{Framing, Received};

/// The limit that the framing gets.
const LIMIT: usize = 1024;

/// What may be held: a header of up to 64 KiB, and a payload that its wrapping makes four times as
/// long.
const BOUND: usize = 4 * LIMIT + 72 * 1024;

/// How far into a frame runs begin.
const DEPTH: usize = 24;

impl<M: Fn() -> F, F: Framing> Laws<M> {
    /// Law 11.
    pub(super) fn nothing_is_gathered_without_end(&self) -> Kept {
        let own = self.own_bytes(12)?;
        let by_size = self.by_size();
        let mut wires = vec![Wire::of(&self.make, &by_size)?.bytes];
        if let Some(longest) = by_size.last() {
            wires.push(Wire::of(&self.make, std::slice::from_ref(longest))?.bytes);
        }
        for byte in 0..=255 {
            // What is skipped must not be held; at the start of a stream is enough to see it.
            let errors = if own.contains(&byte) { 8 } else { 0 };
            self.comes_to_something(&[], &[byte], errors)?;
        }
        for wire in wires {
            for end in 1..=wire.len().min(DEPTH) {
                let start = &wire[..end];
                for byte in &own {
                    self.comes_to_something(start, &[*byte], 0)?;
                }
                // A header of one line after the other, say.
                for length in 2..=end.min(8) {
                    self.comes_to_something(start, &start[end - length..], 0)?;
                }
            }
        }
        Ok(())
    }

    fn comes_to_something(&self, start: &[u8], run: &[u8], errors: u32) -> Kept {
        let pieces = Pieces(vec![start.to_vec(), run.to_vec()]);
        check_shortest(pieces, |pieces| {
            self.is_bounded(&pieces.0[0], &pieces.0[1], errors)
        })
    }

    /// Feeds a run behind the start of a frame until a frame comes, or one error more than so
    /// many from which decoding goes on.
    fn is_bounded(&self, start: &[u8], run: &[u8], mut errors: u32) -> Kept {
        if run.is_empty() {
            return Ok(());
        }
        let before = self.allocated();
        let mut framing = (self.make)();
        framing.set_max_frame(LIMIT.min(framing.max_frame()));
        let mut bench = Bench::new(framing);
        bench.receive(start);
        if bench.drain()?.1.is_err() {
            return Ok(());
        }
        let (mut fed, mut size) = (0, 16);
        while fed <= BOUND {
            bench.receive(&run.repeat(size / run.len() + 1));
            fed += size;
            size = (size * 4).min(16 * 1024);
            let need = loop {
                let (frames, last) = bench.drain()?;
                if !frames.is_empty() {
                    return Ok(());
                }
                match last {
                    Err(error) if error.is_recoverable() && errors > 0 => errors -= 1,
                    Ok(Received::Need(need)) => break need,
                    _ => return Ok(()),
                }
            };
            let grown = self.allocated().saturating_sub(before);
            let held = bench.buffer().len().max(grown.saturating_sub(LITTLE));
            Law::Bounded.holds(held <= BOUND && need <= BOUND, || {
                format!(
                    "frames of {LIMIT} bytes are allowed; {} and then {} again and again come to \
                     no frame and no error: {held} bytes are held, and {need} more are asked for",
                    show(start),
                    show(run)
                )
            })?;
        }
        Ok(())
    }
}
