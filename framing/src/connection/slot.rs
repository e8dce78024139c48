//! Keeps frames that arrive while nobody asks for one.

use std::collections::VecDeque;

use bytes::Bytes;

/// Frames that arrived while the sink was polled, for the stream.
///
/// Only interactive framings ever have any, so others do without the queue.
#[derive(Debug, Default)]
#[expect(
    clippy::box_collection,
    reason = "every connection has the place, and few the queue"
)]
pub(super) struct Slot(Option<Box<VecDeque<Bytes>>>);

impl Slot {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many frames.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.len())
    }

    /// How many bytes these have.
    pub(super) fn bytes(&self) -> usize {
        self.0
            .iter()
            .flat_map(|queue| queue.iter())
            .map(Bytes::len)
            .sum()
    }

    pub(super) fn push(&mut self, frame: Bytes) {
        self.0.get_or_insert_default().push_back(frame);
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.0.as_mut()?.pop_front()
    }

    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}
