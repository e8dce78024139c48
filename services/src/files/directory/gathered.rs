//! What has come of an upload and is not written yet.

use std::mem;

use bytes::Bytes;

/// Chunks that wait until there are enough of them for a write.
///
/// The first stays as it came: a large one is a write of its own and needs no copy. Those behind it are
/// copied together, so that small ones do not hold on to the large buffers that they were read into.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) first: Bytes,
    pub(super) copied: Vec<u8>,
}

impl Gathered {
    /// Adds a chunk behind the others.
    pub(super) fn push(&mut self, chunk: Bytes) {
        if self.first.is_empty() && self.copied.is_empty() {
            self.first = chunk;
        } else {
            self.copied.extend_from_slice(&chunk);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.first.len() + self.copied.len()
    }

    /// Takes everything out; what comes next is copied into `spare`.
    pub(super) fn take(&mut self, spare: Vec<u8>) -> Self {
        let next = Self {
            first: Bytes::new(),
            copied: spare,
        };
        mem::replace(self, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_chunk_is_not_copied_and_all_stay_in_order() {
        let mut gathered = Gathered::default();
        let first = Bytes::from(vec![1; 5]);
        let place = first.as_ptr();
        for chunk in [Bytes::new(), first, "ab".into(), "c".into()] {
            gathered.push(chunk);
        }
        assert_eq!(gathered.len(), 8);
        let Gathered { first, copied } = gathered.take(Vec::new());
        assert_eq!((first.as_ptr(), first.len()), (place, 5));
        assert_eq!(copied, b"abc");
        assert_eq!(gathered.len(), 0);
    }
}
