//! Compares headers with the bytes that all of them have in common.

use std::ops::Range;

/// The bytes that do not vary: constants, and pad bytes where they are checked.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// Where they stand: in order, not empty, apart from one another.
    runs: Vec<Range<usize>>,
    /// A whole header; between the runs, zeros.
    bytes: Vec<u8>,
}

impl Template {
    /// Takes what `header` holds in `ranges` for what all headers hold there; elsewhere it is zero.
    pub(super) fn new(header: Vec<u8>, mut ranges: Vec<Range<usize>>) -> Self {
        ranges.retain(|range| !range.is_empty());
        ranges.sort_by_key(|range| range.start);
        let mut runs: Vec<Range<usize>> = Vec::new();
        for range in ranges {
            match runs.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => runs.push(range),
            }
        }
        Self {
            runs,
            bytes: header,
        }
    }

    /// A header with all that it must hold, and zeros elsewhere.
    pub(super) fn header(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether every header agrees with it.
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The first byte of a header that is not as it must be, where `part` is what stands in the
    /// header from `start` on.
    pub(super) fn first_difference(&self, start: usize, part: &[u8]) -> Option<usize> {
        let end = start + part.len();
        let runs = self.runs[self.behind(start)..]
            .iter()
            .take_while(|run| run.start < end);
        for run in runs {
            let run = run.start.max(start)..run.end.min(end);
            let (there, expected) = (
                &part[run.start - start..run.end - start],
                &self.bytes[run.clone()],
            );
            if there != expected {
                let same = there
                    .iter()
                    .zip(expected)
                    .take_while(|(a, b)| a == b)
                    .count();
                return Some(run.start + same);
            }
        }
        None
    }

    /// The first position from `start` on that is compared at all.
    pub(super) fn next_checked(&self, start: usize) -> Option<usize> {
        self.runs
            .get(self.behind(start))
            .map(|run| run.start.max(start))
    }

    /// What a header must hold at a position that is compared.
    pub(super) fn expected(&self, position: usize) -> u8 {
        self.bytes.get(position).copied().unwrap_or_default()
    }

    /// The index of the first run that does not end before `start`.
    fn behind(&self, start: usize) -> usize {
        self.runs.partition_point(|run| run.end <= start)
    }
}
