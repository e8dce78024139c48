//! Memory grows with what has arrived, and shrinks when it is gone.

use bytes::Bytes;

use super::{
    Laws,
    checked::Bench,
    law::{Kept, Law},
    talk::Wire,
};
use crate::{Framing, Received};

/// What an idle machine, or one that has seen no more than the start of a frame, may hold.
pub(super) const LITTLE: usize = 512 * 1024;

/// The size of a large frame.
const LARGE: usize = 1024 * 1024;

impl<M: Fn() -> F, F: Framing> Laws<M> {
    /// A framing that allows frames of `length` bytes, if its wire format can say that much.
    pub(super) fn for_frames_of(&self, length: usize) -> F {
        let mut framing = (self.make)();
        if framing.max_frame() < length {
            framing.set_max_frame(length);
        }
        framing
    }

    /// A frame of `length` equal bytes, and what it is on the wire; `None` if there can be no such
    /// frame.
    pub(super) fn large_frame(&self, length: usize, fill: u8) -> Kept<Option<(Bytes, Vec<u8>)>> {
        let framing = self.for_frames_of(length);
        if framing.max_frame() < length {
            return Ok(None);
        }
        let frame = Bytes::from(vec![fill; length]);
        let mut bench = Bench::new(framing);
        if bench.send(&frame)?.is_err() {
            return Ok(None);
        }
        if !bench.framing().is_interactive() {
            return Ok(Some((frame, bench.written().to_vec())));
        }
        let wire = Wire::of(&|| self.for_frames_of(length), std::slice::from_ref(&frame))?;
        Ok(Some((frame, wire.bytes)))
    }

    /// What the program has allocated, if that is measured.
    pub(super) fn allocated(&self) -> usize {
        self.heap.map_or(0, |heap| heap())
    }

    /// Law 3: who declares much and sends little costs little.
    pub(super) fn declared_lengths_reserve_nothing(&self) -> Kept {
        let Some((_, wire)) = self.large_frame(LARGE, b'a')? else {
            return Ok(());
        };
        for limit in [LARGE, LARGE / 2] {
            let before = self.allocated();
            let mut framing = self.for_frames_of(LARGE);
            framing.set_max_frame(limit.min(framing.max_frame()));
            let mut bench = Bench::new(framing);
            for piece in wire[..64].chunks(16) {
                bench.receive(piece);
                let _ = bench.drain()?;
                let grown = self.allocated().saturating_sub(before);
                let held = grown.max(bench.buffer().capacity());
                Law::Limits.holds(held <= LITTLE, || {
                    format!("{held} bytes are held for a frame of {LARGE}, of which 64 have come")
                })?;
            }
        }
        Ok(())
    }

    /// Law 8.
    pub(super) fn buffers_shrink(&self) -> Kept {
        let Some((frame, wire)) = self.large_frame(LARGE, b'a')? else {
            return Ok(());
        };
        let before = self.allocated();
        let mut bench = Bench::new(self.for_frames_of(LARGE));
        bench.receive(&wire);
        let (frames, last) = bench.drain()?;
        Law::RoundTrip.holds(frames.first() == Some(&frame), || {
            format!("a frame of {LARGE} bytes is not received: {last:?}")
        })?;
        drop(frames);
        Law::SmallWhenIdle.holds(matches!(last, Ok(Received::Need(_))), || {
            format!("after a large frame, with nothing behind it, comes {last:?}")
        })?;
        // What the framing has put out for its peer is gone, too.
        drop(bench.written());
        let grown = self.allocated().saturating_sub(before);
        let held = grown.max(bench.buffer().capacity());
        Law::SmallWhenIdle.holds(held <= LITTLE, || {
            format!("{held} bytes are held after a frame of {LARGE}")
        })?;
        // And the machine goes on.
        for frame in self.frames.iter().take(3) {
            let wire = Wire::of(&self.make, std::slice::from_ref(frame))?;
            bench.receive(&wire.bytes);
            let (frames, last) = bench.drain()?;
            Law::RoundTrip.holds(frames == [frame.clone()], || {
                format!("behind a large frame {frame:?} is received as {frames:?}, then {last:?}")
            })?;
        }
        Ok(())
    }
}
