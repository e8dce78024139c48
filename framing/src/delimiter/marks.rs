//! Finds the end of a frame: one mark or several, each of any length.

use std::{fmt, ops::Range};

use aho_corasick::{AhoCorasick, Anchored, Input, MatchKind};
use bytes::Bytes;
use memchr::memmem;

use crate::FrameError;

/// What stands somewhere in the input.
pub(super) enum Start {
    /// A whole mark, of so many bytes.
    Mark(usize),
    /// All the bytes there are, and they may become a mark.
    Begun,
    /// Something else.
    Other,
}

/// The marks that end a frame. The first is the one we write.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    marks: Vec<Bytes>,
    longest: usize,
    search: Search,
}

#[derive(Clone, Debug)]
enum Search {
    Byte(u8),
    /// One mark is this byte and the others end with it, so each of these bytes ends one: a line feed,
    /// with a carriage return in front or not.
    Ending(u8),
    /// Boxed, as it is large and most marks are one byte.
    Word(Box<memmem::Finder<'static>>),
    Several(AhoCorasick),
}

/// A mark of one byte, `last`, and perhaps another that has one more, `before`, in front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    pub(super) last: u8,
    pub(super) before: Option<u8>,
}

impl fmt::Display for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, mark) in self.marks.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}\"{}\"", mark.escape_ascii())?;
        }
        Ok(())
    }
}

/// The byte that is one of the marks and ends all of them.
fn common_ending(marks: &[Bytes]) -> Option<u8> {
    let ending = marks.iter().find_map(|mark| match mark[..] {
        [byte] => Some(byte),
        _ => None,
    })?;
    let all = marks.iter().all(|mark| mark.ends_with(&[ending]));
    all.then_some(ending)
}

impl Marks {
    pub(super) fn new(marks: Vec<Bytes>) -> Result<Self, FrameError> {
        if marks.is_empty() {
            return Err(FrameError::config(
                "`delimiter` must name at least one mark",
            ));
        }
        if marks.iter().any(Bytes::is_empty) {
            return Err(FrameError::config("`delimiter` must not be empty"));
        }
        for (i, long) in marks.iter().enumerate() {
            for (j, short) in marks.iter().enumerate() {
                // A mark is found where it ends first, so one that has another inside it, or in
                // front, could never be found. At its end is fine: the longer one wins.
                let inside = memmem::find(long, short);
                if i != j && inside.is_some_and(|at| at + short.len() < long.len() || long == short)
                {
                    return Err(FrameError::config(format!(
                        "`delimiter` is ambiguous: \"{}\" would always be cut short by \"{}\"",
                        long.escape_ascii(),
                        short.escape_ascii()
                    )));
                }
            }
        }
        let longest = marks.iter().map(Bytes::len).max().unwrap_or(0);
        if longest > 64 * 1024 {
            return Err(FrameError::config(
                "`delimiter` must not be longer than 64 KiB",
            ));
        }
        let search = match (&marks[..], common_ending(&marks)) {
            ([_], Some(byte)) => Search::Byte(byte),
            (_, Some(byte)) => Search::Ending(byte),
            ([mark], None) => Search::Word(Box::new(memmem::Finder::new(mark).into_owned())),
            // The standard kind reports the match that ends first.
            (several, None) => Search::Several(
                AhoCorasick::builder()
                    .match_kind(MatchKind::Standard)
                    .build(several)
                    .map_err(|error| FrameError::config(format!("`delimiter`: {error}")))?,
            ),
        };
        Ok(Self {
            marks,
            longest,
            search,
        })
    }

    /// The one mark of most text protocols.
    pub(super) fn line_feed() -> Self {
        Self {
            marks: vec![Bytes::from_static(b"\n")],
            longest: 1,
            search: Search::Byte(b'\n'),
        }
    }

    /// The marks, if they are as plain as most.
    pub(super) fn plain(&self) -> Option<Plain> {
        match (&self.search, &self.marks[..]) {
            (&Search::Byte(last), _) => Some(Plain { last, before: None }),
            (&Search::Ending(last), [one, other]) if one.len() + other.len() == 3 => {
                let before = Some(if one.len() == 2 { one[0] } else { other[0] });
                Some(Plain { last, before })
            }
            _ => None,
        }
    }

    /// The mark we write.
    pub(super) fn written(&self) -> &Bytes {
        &self.marks[0]
    }

    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    pub(super) fn shortest(&self) -> usize {
        self.marks.iter().map(Bytes::len).min().unwrap_or(0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.marks.iter()
    }

    /// Where the first mark in `bytes` stands, if none begins before `from`.
    pub(super) fn find(&self, bytes: &[u8], from: usize) -> Option<Range<usize>> {
        let tail = bytes.get(from..)?;
        match &self.search {
            Search::Byte(mark) => memchr::memchr(*mark, tail).map(|at| from + at..from + at + 1),
            Search::Ending(byte) => {
                let end = from + memchr::memchr(*byte, tail)? + 1;
                let length = self.at_end(&bytes[from..end])?;
                Some(end - length..end)
            }
            Search::Word(finder) => {
                let at = from + finder.find(tail)?;
                Some(at..at + self.longest)
            }
            Search::Several(automaton) => {
                let input = Input::new(bytes)
                    .span(from..bytes.len())
                    .anchored(Anchored::No);
                let end = automaton.find(input)?.end();
                let length = self.at_end(&bytes[from..end])?;
                Some(end - length..end)
            }
        }
    }

    /// Looks at the end of `bytes`, where no whole mark stands: how many bytes may be the
    /// beginning of one, and how many are missing at least until one is complete.
    pub(super) fn begun(&self, bytes: &[u8]) -> (usize, usize) {
        let (mut kept, mut missing) = (0, usize::MAX);
        for mark in &self.marks {
            let most = bytes.len().min(mark.len() - 1);
            let have = (1..=most)
                .rev()
                .find(|&n| bytes.ends_with(&mark[..n]))
                .unwrap_or(0);
            kept = kept.max(have);
            missing = missing.min(mark.len() - have);
        }
        (kept, missing)
    }

    /// What stands at the start of `bytes`.
    pub(super) fn at_start(&self, bytes: &[u8]) -> Start {
        let length = |mark: &Bytes| bytes.starts_with(mark).then_some(mark.len());
        if let Some(length) = self.marks.iter().filter_map(length).max() {
            Start::Mark(length)
        } else if self.marks.iter().any(|mark| mark.starts_with(bytes)) {
            Start::Begun
        } else {
            Start::Other
        }
    }

    /// The length of the longest mark that `frame` ends with.
    pub(super) fn at_end(&self, frame: &[u8]) -> Option<usize> {
        self.marks
            .iter()
            .filter(|mark| frame.ends_with(mark))
            .map(Bytes::len)
            .max()
    }

    /// Whether `payload` and `mark` behind it would be read back as they are.
    pub(super) fn separates(&self, payload: &[u8], mark: &[u8]) -> bool {
        if self.find(payload, 0).is_some() {
            return false;
        }
        if let Search::Byte(_) | Search::Ending(_) = self.search {
            // Only a longer mark, of which the payload ends with the beginning, could be read there.
            let longer = |other: &Bytes| {
                let more = other.len().checked_sub(mark.len()).filter(|&more| more > 0);
                more.is_some_and(|more| payload.ends_with(&other[..more]))
            };
            return !self.marks.iter().any(longer);
        }
        // Only the end of the payload can overlap the mark.
        let keep = payload.len().min(self.longest - 1);
        let mut edge = payload[payload.len() - keep..].to_vec();
        edge.extend_from_slice(mark);
        self.find(&edge, 0).is_some_and(|found| found.start == keep)
    }
}
