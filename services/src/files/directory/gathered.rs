//! What has come of an upload and is not written yet.

use std::mem;

use bytes::Bytes;

/// From so many bytes on, a chunk is a write of its own.
const LARGE: usize = 64 << 10;

/// Chunks that wait until there are enough of them for a write.
///
/// Large ones stay as they came. Small ones are copied together, so that they do not hold on to the
/// large buffers that they were read into.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// What comes first.
    pieces: Vec<Bytes>,
    /// Bytes in `pieces`.
    length: usize,
    /// What comes then.
    copied: Vec<u8>,
}

impl Gathered {
    /// Adds a chunk behind the others.
    pub(super) fn push(&mut self, chunk: Bytes) {
        if chunk.len() < LARGE {
            self.copied.extend_from_slice(&chunk);
            return;
        }
        if !self.copied.is_empty() {
            let copied = Bytes::from(mem::take(&mut self.copied));
            self.push_piece(copied);
        }
        self.push_piece(chunk);
    }

    fn push_piece(&mut self, piece: Bytes) {
        self.length += piece.len();
        self.pieces.push(piece);
    }

    pub(super) fn len(&self) -> usize {
        self.length + self.copied.len()
    }

    /// Everything, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let pieces = self.pieces.iter().map(|piece| &piece[..]);
        pieces.chain([&self.copied[..]])
    }

    /// Takes everything out; small chunks that come next are copied into `spare`.
    pub(super) fn take(&mut self, spare: Vec<u8>) -> Self {
        let next = Self {
            copied: spare,
            ..Self::default()
        };
        mem::replace(self, next)
    }

    /// The buffer that small chunks were copied into, for further ones.
    pub(super) fn into_spare(self) -> Vec<u8> {
        let mut spare = self.copied;
        spare.clear();
        spare
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_chunks_are_not_copied_and_all_stay_in_order() {
        let mut gathered = Gathered::default();
        let large = [1, 2].map(|byte| Bytes::from(vec![byte; LARGE]));
        let small: Bytes = "ab".into();
        let chunks = [&Bytes::new(), &small, &large[0], &large[1], &small, &small];
        for chunk in chunks {
            gathered.push(chunk.clone());
        }
        assert_eq!(gathered.len(), 6 + 2 * LARGE);
        let taken = gathered.take(Vec::new());
        assert_eq!((gathered.len(), taken.len()), (0, 6 + 2 * LARGE));
        assert_eq!(
            taken.pieces().collect::<Vec<_>>(),
            [b"ab", &large[0][..], &large[1], b"abab"]
        );
        let places = taken.pieces().skip(1).map(<[u8]>::as_ptr);
        assert!(places.take(2).eq(large.iter().map(|chunk| chunk.as_ptr())));
        let spare = taken.into_spare();
        assert!(spare.is_empty() && spare.capacity() >= 4);
    }
}
