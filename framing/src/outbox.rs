//! Queues the bytes that a framing wants written.
//!
//! Small pieces are gathered in one buffer; large payloads stay the caller's [`Bytes`] and leave
//! by vectored write without a copy.

use std::{collections::VecDeque, fmt, io::IoSlice, mem, time::Instant};

use bytes::{Buf, Bytes};

use crate::pool;

/// Up to this many bytes a copy costs less than one more segment in a vectored write.
const COPY_LIMIT: usize = 4096;

/// A buffer that is used up is given back to the allocator if it is larger than this. Below, a busy
/// connection would make it grow again for every batch of answers (half of what a batch of 1 KiB
/// frames cost); an idle one lets go of it [at rest](Outbox::rest).
const KEEP_CAPACITY: usize = 1024 * 1024;

/// The front of the buffer is not moved over for less than this.
const LEAST_MOVED: usize = 16 * 1024;

/// The bytes on their way out, in order, and the time.
///
/// A framing appends with [`put_slice`](Self::put_slice) and [`put`](Self::put); the driver reads
/// through [`Buf`] and never sees a byte twice.
///
/// ```
/// use bytes::{Buf, Bytes};
/// use framing::Outbox;
///
/// let mut out = Outbox::new();
/// out.put_slice(b"5:");
/// out.put(Bytes::from_static(b"hello"));
/// out.put_slice(b",");
/// assert_eq!(out.copy_to_bytes(out.remaining()), "5:hello,");
/// ```
pub struct Outbox {
    /// What leaves before `tail`. Most outboxes never have any, and are a third smaller without.
    segments: Option<Box<Segments>>,
    /// Small pieces gathered since the last complete segment.
    tail: Vec<u8>,
    /// How much of `tail` has left: `sent <= tail.len()`.
    sent: usize,
    /// The time, where the driver tells it.
    now: Option<Instant>,
}

/// Complete segments, in order.
#[derive(Default)]
struct Segments {
    queue: VecDeque<Bytes>,
    /// Bytes in `queue`.
    bytes: usize,
}

impl Segments {
    fn push(&mut self, segment: Bytes) {
        self.bytes += segment.len();
        self.queue.push_back(segment);
    }

    /// Drops the first `count` bytes, or all there are; how many there were not.
    fn advance(&mut self, mut count: usize) -> usize {
        while let Some(segment) = self.queue.front_mut() {
            let step = count.min(segment.len());
            segment.advance(step);
            self.bytes -= step;
            count -= step;
            if !segment.is_empty() {
                break;
            }
            self.queue.pop_front();
        }
        count
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Outbox {
    /// Without the bytes: they may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Self {
        Self {
            segments: None,
            tail: Vec::new(),
            sent: 0,
            now: None,
        }
    }

    /// Appends a copy of `bytes`.
    #[inline]
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    /// Two pieces, for which room is made once (a seventh of a small frame's encoding).
    #[inline]
    pub(crate) fn put_both(&mut self, header: &[u8], body: &[u8]) {
        self.tail.reserve(header.len() + body.len());
        self.tail.extend_from_slice(header);
        self.tail.extend_from_slice(body);
    }

    /// The same for a body that is [not copied](Self::put) if it is large.
    #[inline]
    pub(crate) fn put_behind(&mut self, header: &[u8], body: Bytes) {
        if body.len() <= COPY_LIMIT {
            self.put_both(header, &body);
        } else {
            self.put_slice(header);
            self.put(body);
        }
    }

    /// Appends `bytes`: a copy where they are few, themselves where they are many.
    #[inline]
    pub fn put(&mut self, bytes: Bytes) {
        if bytes.len() <= COPY_LIMIT {
            self.tail.extend_from_slice(&bytes);
        } else {
            self.seal();
            self.segments.get_or_insert_default().push(bytes);
        }
    }

    /// Lets `write` append to the gathering buffer directly, for escapers and other writers that
    /// produce byte after byte. What it does to bytes already there is its own mistake.
    pub fn write_with<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        write(&mut self.tail)
    }

    /// The time. Framings measure with it, so that tests can run on virtual time: what the driver
    /// has [set](Self::set_now), or else tokio's.
    ///
    /// The clock is read when it is asked for, since most framings never do: reading it at every
    /// wake cost a tenth of what a small request takes.
    pub fn now(&self) -> Instant {
        self.now
            .unwrap_or_else(|| tokio::time::Instant::now().into_std())
    }

    /// Sets the time, which stands still from then on.
    pub fn set_now(&mut self, now: Instant) {
        self.now = Some(now);
    }

    /// Whether everything has left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// Whether what has not left lies in one place.
    pub(crate) fn is_one_piece(&self) -> bool {
        self.segments.as_ref().is_none_or(|it| it.queue.is_empty())
    }

    /// Takes everything out, as one piece.
    pub fn take_bytes(&mut self) -> Bytes {
        self.copy_to_bytes(self.remaining())
    }

    /// Lets go of buffers that hold nothing, because nothing may be written for a while.
    #[inline]
    pub(crate) fn rest(&mut self) {
        if self.is_empty() {
            if self.tail.capacity() > 0 {
                pool::give_back_out(mem::take(&mut self.tail));
            }
            self.segments = None;
        }
    }

    /// Makes room for what will be written soon: a buffer that has grown already spares half a dozen
    /// allocations to each batch of answers.
    #[inline]
    pub(crate) fn wake(&mut self) {
        if self.tail.capacity() == 0 {
            self.tail = pool::lend_out();
        }
    }

    /// Makes the gathered bytes a complete segment, so that another may follow it.
    fn seal(&mut self) {
        let mut sealed = Bytes::from(mem::take(&mut self.tail));
        sealed.advance(mem::take(&mut self.sent));
        if !sealed.is_empty() {
            self.segments.get_or_insert_default().push(sealed);
        }
    }
}

impl Buf for Outbox {
    #[inline]
    fn remaining(&self) -> usize {
        let queued = self.segments.as_ref().map_or(0, |it| it.bytes);
        queued + self.tail.len() - self.sent
    }

    fn chunk(&self) -> &[u8] {
        match self.segments.as_ref().and_then(|it| it.queue.front()) {
            Some(segment) => segment,
            None => &self.tail[self.sent..],
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = &self.tail[self.sent..];
        let segments = self.segments.iter().flat_map(|it| &it.queue);
        let segments = segments.map(|segment| &segment[..]);
        let mut filled = 0;
        for (slot, chunk) in slices.iter_mut().zip(segments.chain([tail])) {
            if !chunk.is_empty() {
                *slot = IoSlice::new(chunk);
                filled += 1;
            }
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        assert!(
            count <= self.remaining(),
            "cannot advance past the end of the outbox"
        );
        if let Some(segments) = &mut self.segments {
            count = segments.advance(count);
        }
        self.sent += count;
        if self.sent == self.tail.len() {
            self.sent = 0;
            self.tail.clear();
            if self.tail.capacity() > KEEP_CAPACITY {
                self.tail = Vec::new();
            }
        } else if self.sent >= LEAST_MOVED.max(self.tail.len() / 2) {
            // A peer that keeps up, and never quite catches up, must not make us keep all that it
            // has had. Fewer bytes are moved than have left.
            self.tail.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b01_a_peer_that_never_quite_catches_up_costs_no_memory() {
        let mut out = Outbox::new();
        let (mut written, mut read) = (0_u32, 0_u32);
        let mut put = |out: &mut Outbox| {
            out.put_slice(&written.to_be_bytes());
            written += 1;
        };
        for _ in 0..10_000 {
            put(&mut out);
        }
        for _ in 0..1_000_000 {
            put(&mut out);
            assert_eq!(out.get_u32(), read);
            read += 1;
            assert_eq!(out.remaining(), 40_000);
        }
        assert!(out.tail.capacity() < 300_000, "{}", out.tail.capacity());
    }

    #[test]
    fn what_is_left_moves_once_it_is_the_smaller_part() {
        let mut out = Outbox::new();
        out.put_slice(&[7; 100_000]);
        let start = out.chunk().as_ptr();
        let mut left = 0;
        for (gone, place) in [(1, 1), (20_000, 20_000), (49_999, 49_999), (50_000, 0)] {
            out.advance(gone - left);
            left = gone;
            assert_eq!(out.chunk().as_ptr(), start.wrapping_add(place), "{gone}");
            assert_eq!(out.remaining(), 100_000 - gone);
            assert!(!out.is_empty());
        }
    }

    #[test]
    fn a_buffer_that_is_used_up_is_kept_if_it_is_small() {
        for (size, kept) in [
            (1000, true),
            (KEEP_CAPACITY, true),
            (KEEP_CAPACITY + 1, false),
        ] {
            let mut out = Outbox::new();
            out.put_slice(&vec![7; size]);
            assert_eq!(out.take_bytes().len(), size);
            assert!(out.is_empty());
            assert_eq!(out.tail.capacity() > 0, kept, "{size}");
            out.rest();
            assert_eq!(out.tail.capacity(), 0);
        }
    }
}
