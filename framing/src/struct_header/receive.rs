//! Finds a frame, or says how many bytes are missing, or what is wrong.

use super::{StructHeader, item::Order};
use crate::{FrameError, Part, Step, discard::Discard};

/// Where in the stream decoding stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// In a header of which so many bytes agree with the template.
    Header { seen: usize },
    /// Behind a header that was accepted, with so many bytes behind it. Whatever the limit
    /// becomes, it is not judged again.
    Body(usize),
    /// In the body of a bad frame.
    Discard(Discard),
}

impl StructHeader {
    /// A whole frame with a plain header, if it is a good one.
    #[inline]
    pub(super) fn plain_frame(&mut self, input: &[u8]) -> Option<Step> {
        // Network order alone: where the next frame begins hangs on every instruction from here to the
        // length, and a choice of the order would be one of seven.
        let (Some(Order::Big), Stage::Header { .. }) = (self.plain, self.stage) else {
            return None;
        };
        let (header, rest) = input.split_first_chunk()?;
        let length = u32::from_be_bytes(*header);
        // Whatever is not plainly right is left to the long way, which says what is wrong.
        let body = usize::try_from(length).ok()?;
        if body == 0 || body > self.limits.largest() || body > rest.len() {
            return None;
        }
        self.limits.saw_content();
        let end = 4 + body;
        Some(Step::Frame {
            payload: 4..end,
            consumed: end,
        })
    }

    /// Finds any frame.
    pub(super) fn find(&mut self, input: &[u8]) -> Result<Step, FrameError> {
        let body = match self.stage {
            Stage::Header { seen } => match self.accept(seen, input)? {
                Some(body) => body,
                None => return Ok(Step::Need(self.missing(input.len()))),
            },
            Stage::Body(body) => body,
            Stage::Discard(_) if input.is_empty() => return Ok(Step::Need(1)),
            Stage::Discard(rest) => return Ok(Step::Consumed(self.discard(rest, input.len()))),
        };
        let end = self.layout.size + body;
        if input.len() < end {
            self.stage = Stage::Body(body);
            return Ok(Step::Need(end - input.len()));
        }
        self.stage = Stage::Header { seen: 0 };
        if !self.layout.others.is_empty() {
            let header = &input[..self.layout.size];
            let received = &mut self.headers().0.received;
            received.clear();
            received.extend_from_slice(header);
        }
        Ok(Step::Frame {
            payload: self.layout.strip..end,
            consumed: end,
        })
    }

    /// Judges the header: the number of bytes behind it, or `None` while it is not complete.
    #[inline]
    fn accept(&mut self, seen: usize, input: &[u8]) -> Result<Option<usize>, FrameError> {
        if !self.layout.template.is_empty() {
            let arrived = &input[..input.len().min(self.layout.size)];
            let seen = seen.min(arrived.len());
            if let Some(position) = self
                .layout
                .template
                .first_difference(seen, &arrived[seen..])
            {
                return Err(self.wrong_byte(position));
            }
        }
        if input.len() < self.layout.size {
            self.stage = Stage::Header { seen: input.len() };
            return Ok(None);
        }
        let body = self.layout.length.read(input)?;
        match self.limits.admit(body + self.kept() as u128) {
            Ok(frame) => Ok(Some(frame - self.kept())),
            Err(error) => Err(self.reject(error, body, input.len())),
        }
    }

    /// How many bytes are missing until a header of which `arrived` have come can be judged
    /// further: up to the next that must have a certain value, or its end.
    #[cold]
    fn missing(&self, arrived: usize) -> usize {
        let next = self
            .layout
            .template
            .next_checked(arrived)
            .map_or(self.layout.size, |position| position + 1);
        next - arrived
    }

    #[cold]
    fn wrong_byte(&self, position: usize) -> FrameError {
        let expected = self.layout.template.expected(position);
        FrameError::malformed(format!(
            "byte {position} of the header is not {expected:#04x}"
        ))
        .at(position)
    }

    /// Completes the error for a frame that the limits do not allow, and decides what comes next.
    #[cold]
    fn reject(&mut self, error: FrameError, body: u128, arrived: usize) -> FrameError {
        let error = error.at(self.layout.length.item().offset);
        match Discard::new(self.layout.size, body) {
            Some(rest) if self.limits.may_skip(&error) => {
                error.skipping(self.discard(rest, arrived))
            }
            _ => error,
        }
    }

    /// Drops what has arrived of a bad frame, and says how many bytes that are.
    #[cold]
    fn discard(&mut self, rest: Discard, arrived: usize) -> usize {
        let (gone, rest) = rest.pass(arrived);
        self.stage = rest.map_or(Stage::Header { seen: 0 }, Stage::Discard);
        gone
    }

    /// Whether the rest of a bad frame is being dropped.
    pub(super) fn is_discarding(&self) -> bool {
        matches!(self.stage, Stage::Discard { .. })
    }

    /// What it means that the stream ends here, where `arrived` bytes are no whole frame.
    pub(super) fn end(&self, arrived: usize) -> Result<Step, FrameError> {
        let cut_off = match self.stage {
            Stage::Header { .. } if arrived == 0 => return Ok(Step::End),
            Stage::Header { .. } => FrameError::truncated(Part::Header, arrived, self.layout.size),
            Stage::Body(body) => {
                FrameError::truncated(Part::Body, arrived.saturating_sub(self.layout.size), body)
            }
            Stage::Discard(rest) => rest.cut_off(),
        };
        Err(cut_off.at(arrived))
    }
}
