//! Remembers in which reads the bytes of one direction came, until it is known what they are.

use std::{collections::VecDeque, fmt};

/// Reads remembered one by one; of those beyond, only the sum. A frame that comes byte by byte must
/// not cost many times its size.
const MOST_SEGMENTS: usize = 1024;

/// Sizes listed for one frame.
const MOST_SIZES: usize = 16;

/// The reads of bytes that have come and were not yet taken.
#[derive(Debug, Default)]
pub(super) struct Reads {
    segments: VecDeque<Segment>,
}

#[derive(Debug)]
struct Segment {
    bytes: u64,
    /// At least one.
    reads: u64,
}

impl Reads {
    /// Notes one read.
    pub(super) fn arrived(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        if self.segments.len() >= MOST_SEGMENTS
            && let Some(last) = self.segments.back_mut()
        {
            last.bytes += bytes;
            last.reads += 1;
            return;
        }
        self.segments.push_back(Segment { bytes, reads: 1 });
    }

    /// Takes the next `bytes` out, and tells how they came.
    pub(super) fn take(&mut self, mut bytes: u64) -> Pieces {
        let mut pieces = Pieces::default();
        while bytes > 0 {
            let Some(first) = self.segments.front_mut() else {
                break;
            };
            let part = bytes.min(first.bytes);
            pieces.add(part, first.reads);
            bytes -= part;
            first.bytes -= part;
            // What is left of several reads is at least one.
            first.reads = 1;
            if first.bytes == 0 {
                self.segments.pop_front();
            }
        }
        pieces
    }

    /// How many bytes were not taken.
    pub(super) fn left(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
}

/// In how many reads something came, and what each of them brought of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pieces {
    /// Of the first reads, as far as it is known.
    pub(super) sizes: Vec<u64>,
    pub(super) reads: u64,
}

impl Pieces {
    fn add(&mut self, bytes: u64, reads: u64) {
        let complete = self.reads == self.sizes.len() as u64;
        if complete && reads == 1 && self.sizes.len() < MOST_SIZES {
            self.sizes.push(bytes);
        }
        self.reads += reads;
    }

    /// These, then those.
    pub(super) fn and(mut self, then: Self) -> Self {
        let complete = self.reads == self.sizes.len() as u64;
        let known = then.sizes.len() as u64;
        for bytes in then.sizes {
            if complete {
                self.add(bytes, 1);
            } else {
                self.reads += 1;
            }
        }
        self.reads += then.reads - known;
        self
    }
}

impl fmt::Display for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reads == 1 {
            return f.write_str("1 read");
        }
        write!(f, "{} reads", self.reads)?;
        for (size, mark) in self
            .sizes
            .iter()
            .zip([": "].into_iter().chain(["+"; MOST_SIZES]))
        {
            write!(f, "{mark}{size}")?;
        }
        match self.sizes.len() as u64 {
            0 => Ok(()),
            known if known < self.reads => f.write_str("+… bytes"),
            _ => f.write_str(" bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(sizes: &[usize]) -> Reads {
        let mut reads = Reads::default();
        for size in sizes {
            reads.arrived(*size);
        }
        reads
    }

    #[test]
    fn a_frame_knows_its_reads_and_a_read_its_frames() {
        let mut reads = reads(&[4, 1, 10]);
        assert_eq!(reads.take(11).to_string(), "3 reads: 4+1+6 bytes");
        assert_eq!(reads.left(), 4);
        assert_eq!(reads.take(3).to_string(), "1 read");
        assert_eq!(reads.take(1).to_string(), "1 read");
        assert_eq!((reads.left(), reads.take(1)), (0, Pieces::default()));
    }

    #[test]
    fn two_parts_of_a_frame_are_counted_together() {
        let mut reads = reads(&[2, 3, 2]);
        let announcement = reads.take(2);
        let body = reads.take(5);
        assert_eq!(announcement.and(body).to_string(), "3 reads: 2+3+2 bytes");
    }

    #[test]
    fn a_million_reads_are_counted_and_not_kept() {
        let mut reads = reads(&[1; 1_000_000]);
        assert_eq!(reads.segments.len(), MOST_SEGMENTS);
        let pieces = reads.take(1_000_000);
        assert_eq!((pieces.reads, pieces.sizes.len()), (1_000_000, MOST_SIZES));
        let shown = pieces.clone().and(pieces).to_string();
        assert_eq!(shown, format!("2000000 reads: {}… bytes", "1+".repeat(16)));
    }
}
