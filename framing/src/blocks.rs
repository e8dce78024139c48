//! Cuts a stream at a byte that stands nowhere inside a stuffed frame.
//!
//! Such a byte is found again after any garbage, and nothing at all between two of them means
//! nothing.

use crate::{FrameError, Limits, Part, Step};

/// What stands in front of the input.
pub(crate) enum Block {
    /// A whole block of so many bytes, at least one, and the mark behind it.
    Whole(usize),
    /// No block: what to answer instead.
    Not(Step),
}

/// How far the search for the end of a block has come.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    mark: u8,
    /// A byte that is no payload itself, but announces one.
    escape: Option<u8>,
    /// Bytes of the input known to hold no mark.
    scanned: usize,
    /// Escape bytes among them.
    escapes: usize,
    /// Behind a block that was too long: looking for its end only.
    discarding: bool,
}

impl Blocks {
    /// Blocks that end at `mark`.
    pub(crate) fn new(mark: u8, escape: Option<u8>) -> Self {
        Self {
            mark,
            escape,
            scanned: 0,
            escapes: 0,
            discarding: false,
        }
    }

    /// Whether the rest of a block that was too long is being passed over.
    pub(crate) fn is_discarding(&self) -> bool {
        self.discarding
    }

    /// Looks for the end of the block from where the last look ended.
    ///
    /// A block of more than `longest` bytes, escape bytes not counted, is over the limit whether
    /// its end is in sight or not.
    pub(crate) fn next(
        &mut self,
        input: &[u8],
        longest: usize,
        limits: &Limits,
    ) -> Result<Block, FrameError> {
        let new = input.get(self.scanned..).unwrap_or_default();
        let mark = memchr::memchr(self.mark, new);
        let inside = &new[..mark.unwrap_or(new.len())];
        let length = self.scanned + inside.len();
        if self.discarding {
            return Ok(Block::Not(match mark {
                Some(at) => {
                    self.discarding = false;
                    Step::Consumed(at + 1)
                }
                None if input.is_empty() => Step::Need(1),
                None => Step::Consumed(length),
            }));
        }
        if mark.is_some() && length == 0 {
            let marks = input.iter().take_while(|&&byte| byte == self.mark);
            return Ok(Block::Not(Step::Consumed(marks.count())));
        }
        if let Some(escape) = self.escape {
            self.escapes += memchr::memchr_iter(escape, inside).count();
        }
        self.scanned = length;
        // Of a block of nothing but escape bytes, every other one is payload.
        let payload = (length - self.escapes).max(length / 2);
        if payload > longest {
            let error = FrameError::over_limit(limits.largest());
            if !limits.skips() {
                return Err(error);
            }
            self.restart();
            self.discarding = mark.is_none();
            return Err(error.skipping(length + usize::from(mark.is_some())));
        }
        if mark.is_some() {
            self.restart();
            return Ok(Block::Whole(length));
        }
        // The shortest block is one byte and its mark.
        Ok(Block::Not(Step::Need(1 + usize::from(length == 0))))
    }

    /// What it means that the stream ends here, where `input` holds no whole block.
    pub(crate) fn end(&self, input: &[u8]) -> Result<Step, FrameError> {
        if input.is_empty() && !self.discarding {
            return Ok(Step::End);
        }
        Err(FrameError::truncated(Part::Delimiter, input.len(), None).at(input.len()))
    }

    fn restart(&mut self) {
        self.scanned = 0;
        self.escapes = 0;
    }
}
