//! Lends buffers to whoever reads piece after piece.
//!
//! A large buffer that is new each time costs more than the read into it: the allocator gets it
//! from the system and gives it back, and every page of it is a fault. That was two fifths of the
//! server's time while a command wrote much.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Up to this many bytes a copy costs less than to give a whole buffer away for them.
const COPY_LIMIT: usize = 4 * 1024;

/// Buffers of one size. What is read into one becomes [`Bytes`] without a copy, and when the last of
/// those is dropped it comes back here. Clones share the buffers.
#[derive(Clone, Debug)]
pub(crate) struct Buffers {
    size: usize,
    kept: usize,
    idle: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    /// Buffers of `size` bytes, of which up to `kept` wait to be lent again.
    pub(crate) fn new(size: usize, kept: usize) -> Self {
        Self {
            size,
            kept,
            idle: Arc::default(),
        }
    }

    /// An empty buffer, which fills without growing.
    pub(crate) fn lend(&self) -> Vec<u8> {
        let mut buffer = self.idle();
        buffer.clear();
        buffer
    }

    /// A buffer that is full of whatever was in it last, to be written over: unlike an empty one it may be
    /// read into by calls that take no room that was never written.
    pub(crate) fn lend_full(&self) -> Vec<u8> {
        let mut buffer = self.idle();
        buffer.resize(self.size, 0);
        buffer
    }

    fn idle(&self) -> Vec<u8> {
        let idle = self.lock_idle().pop();
        idle.unwrap_or_else(|| Vec::with_capacity(self.size))
    }

    /// Takes out what is in `buffer`; it is empty then, and if it was not copied, no buffer any more.
    pub(crate) fn take(&self, buffer: &mut Vec<u8>) -> Bytes {
        if buffer.len() <= COPY_LIMIT {
            let bytes = Bytes::copy_from_slice(buffer);
            buffer.clear();
            return bytes;
        }
        Bytes::from_owner(Lent {
            buffer: mem::take(buffer),
            home: self.clone(),
        })
    }

    /// Takes a buffer back, from which nothing was [taken](Self::take).
    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        let mut idle = self.lock_idle();
        if idle.len() < self.kept {
            idle.push(buffer);
        }
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer on its way, as the owner of the bytes in it.
struct Lent {
    buffer: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.give_back(mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_bytes_are_gone() {
        let buffers = Buffers::new(8192, 1);
        let mut buffer = buffers.lend();
        buffer.resize(8192, 7);
        let place = buffer.as_ptr();
        let bytes = buffers.take(&mut buffer);
        assert!(buffer.capacity() == 0 && bytes.as_ptr() == place);
        let half = bytes.slice(..4096);
        drop(bytes);
        let other = buffers.lend();
        assert_ne!(other.as_ptr(), place);
        assert_eq!(half, [7; 4096][..]);
        drop(half);
        let again = buffers.lend();
        assert!(again.is_empty() && again.as_ptr() == place && again.capacity() == 8192);
    }

    #[test]
    fn few_bytes_are_copied_and_keep_no_buffer() {
        let buffers = Buffers::new(8192, 4);
        let mut buffer = buffers.lend();
        buffer.extend_from_slice(b"hello");
        let place = buffer.as_ptr();
        let bytes = buffers.take(&mut buffer);
        assert_eq!(bytes, "hello");
        assert!(buffer.is_empty() && buffer.as_ptr() == place);
    }

    #[test]
    fn no_more_are_kept_than_agreed() {
        let buffers = Buffers::new(8192, 2);
        let lent: Vec<_> = (0..5)
            .map(|_| {
                let mut buffer = buffers.lend();
                buffer.resize(8192, 7);
                buffers.take(&mut buffer)
            })
            .collect();
        drop(lent);
        assert_eq!(buffers.lock_idle().len(), 2);
    }
}
