//! Makes what fails as small as it will go.

use bytes::Bytes;

use super::law::{Broken, Kept};

/// The most attempts: a framing that panics prints a line at each.
const MOST_ATTEMPTS: usize = 600;

/// What breaks a law, and can be made smaller.
pub(super) trait Shrink: Sized {
    /// Smaller ones, the smallest first.
    fn smaller(&self) -> Box<dyn Iterator<Item = Self> + '_>;
}

/// The smallest found that breaks the same law: what it says of that one.
pub(super) fn shortest<T: Shrink>(
    mut input: T,
    mut broken: Broken,
    check: impl Fn(&T) -> Kept,
) -> Broken {
    let mut attempts = 0..MOST_ATTEMPTS;
    loop {
        let same = |smaller: T| match check(&smaller) {
            Err(again) if again.law == broken.law => Some((smaller, again)),
            _ => None,
        };
        let found = input
            .smaller()
            .zip(attempts.by_ref())
            .find_map(|(smaller, _)| same(smaller));
        match found {
            Some(found) => (input, broken) = found,
            None => return broken,
        }
    }
}

/// Checks, and if that fails looks for the smallest that fails.
pub(super) fn check_shortest<T: Shrink>(input: T, check: impl Fn(&T) -> Kept) -> Kept {
    match check(&input) {
        Ok(()) => Ok(()),
        Err(broken) => Err(shortest(input, broken, check)),
    }
}

/// Every way to leave out a run: the half, quarters, and so on down to one.
fn without_runs(length: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let sizes = std::iter::successors(Some(length), |size| (*size > 1).then_some(size / 2));
    sizes.flat_map(move |size| {
        (0..length)
            .step_by(size.max(1))
            .map(move |start| start..(start + size).min(length))
    })
}

/// A stream: fewer bytes.
impl Shrink for Vec<u8> {
    fn smaller(&self) -> Box<dyn Iterator<Item = Self> + '_> {
        Box::new(
            without_runs(self.len()).map(|run| [&self[..run.start], &self[run.end..]].concat()),
        )
    }
}

/// A list of frames: fewer of them, or shorter ones.
impl Shrink for Vec<Bytes> {
    fn smaller(&self) -> Box<dyn Iterator<Item = Self> + '_> {
        let fewer =
            without_runs(self.len()).map(|run| [&self[..run.start], &self[run.end..]].concat());
        let shorter = (0..self.len()).flat_map(move |at| {
            without_runs(self[at].len()).map(move |run| {
                let frame = &self[at];
                let mut frames = self.clone();
                frames[at] = [&frame[..run.start], &frame[run.end..]].concat().into();
                frames
            })
        });
        Box::new(fewer.filter(|frames| !frames.is_empty()).chain(shorter))
    }
}

/// A stream in pieces: fewer bytes in a piece.
#[derive(Clone, Debug)]
pub(super) struct Pieces(pub(super) Vec<Vec<u8>>);

impl Pieces {
    pub(super) fn slices(&self) -> Vec<&[u8]> {
        self.0.iter().map(Vec::as_slice).collect()
    }
}

impl Shrink for Pieces {
    fn smaller(&self) -> Box<dyn Iterator<Item = Self> + '_> {
        Box::new((0..self.0.len()).flat_map(move |at| {
            without_runs(self.0[at].len()).map(move |run| {
                let piece = &self.0[at];
                let mut pieces = self.0.clone();
                pieces[at] = [&piece[..run.start], &piece[run.end..]].concat();
                Self(pieces)
            })
        }))
    }
}

/// A stream in pieces: fewer cuts, the same bytes.
pub(super) struct Cuts(pub(super) Pieces);

impl Cuts {
    pub(super) fn of(pieces: &[&[u8]]) -> Self {
        Self(Pieces(pieces.iter().map(|piece| piece.to_vec()).collect()))
    }

    pub(super) fn slices(&self) -> Vec<&[u8]> {
        self.0.slices()
    }
}

impl Shrink for Cuts {
    fn smaller(&self) -> Box<dyn Iterator<Item = Self> + '_> {
        let Pieces(all) = &self.0;
        Box::new((1..all.len()).map(move |at| {
            let mut pieces = all.clone();
            let piece = pieces.remove(at);
            pieces[at - 1].extend(piece);
            Self(Pieces(pieces))
        }))
    }
}
