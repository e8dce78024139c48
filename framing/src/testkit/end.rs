//! A stream that ends between two frames ends cleanly, and anywhere else it is truncated.

use bytes::Bytes;

use super::{
    Event, Laws, Rest,
    checked::Bench,
    law::{Kept, Law},
    show,
    shrink::check_shortest,
    talk::Wire,
    trace::{self, Calls},
};
use crate::{ErrorKind, Framing};

/// No more than so many ends are tried.
const MOST_ENDS: usize = 4096;

/// A stream up to this length also comes byte by byte.
const BYTEWISE: usize = 256;

impl<M: Fn() -> F, F: Framing> Laws<M> {
    /// Law 5.
    pub(super) fn cut_off_is_not_clean(&self) -> Kept {
        if self.rest == Rest::Anything {
            return Ok(());
        }
        check_shortest(self.frames.clone(), |frames| {
            let wire = Wire::of(&self.make, frames)?;
            (0..=wire.bytes.len().min(MOST_ENDS))
                .try_for_each(|end| self.ends_at(frames, &wire, end))
        })
    }

    fn ends_at(&self, frames: &[Bytes], wire: &Wire, end: usize) -> Kept {
        let stream = &wire.bytes[..end];
        self.ends_well(frames, wire, &[stream])?;
        if end <= BYTEWISE {
            let bytewise: Vec<&[u8]> = stream.chunks(1).collect();
            self.ends_well(frames, wire, &bytewise)?;
        }
        Ok(())
    }

    fn ends_well(&self, frames: &[Bytes], wire: &Wire, pieces: &[&[u8]]) -> Kept {
        let law = Law::End;
        let stream = pieces.concat();
        let end = stream.len();
        let borders = &wire.borders[1..];
        let whole = borders.iter().filter(|&&border| border <= end).count();
        let trace = trace::run(Bench::new((self.make)()), pieces, true, Calls::Repeated)?;
        let (first, last) = trace.events.split_at(whole.min(trace.events.len()));
        let expected = frames[..whole].iter().cloned().map(Event::Frame);
        let came = || {
            format!(
                "{:?} came out of {}, and then the end",
                trace.events,
                show(&stream)
            )
        };
        law.holds(first.iter().cloned().eq(expected), || {
            format!("not all whole frames: {}", came())
        })?;
        let begun = end - wire.borders[whole];
        match last {
            [Event::End] if begun == 0 => Ok(()),
            [Event::End] => law.holds(self.are_nothing(frames, wire, end, whole)?, || {
                format!("the end is clean, {begun} bytes into a frame: {}", came())
            }),
            [Event::Frame(_), Event::End] if self.rest == Rest::Emitted => Ok(()),
            // The rest is taken for a frame, and is no good one.
            [Event::Problem(problem)]
                if self.rest == Rest::Emitted && problem.kind == ErrorKind::Malformed =>
            {
                Ok(())
            }
            [Event::Problem(problem)] if problem.kind == ErrorKind::Truncated && begun > 0 => {
                law.holds(problem.part.is_some(), || {
                    format!("truncated, and no part is named: {}", came())
                })?;
                law.holds(problem.need.is_none_or(|need| need > problem.have), || {
                    let have = problem.have;
                    format!("cut off, and yet all {have} bytes had come: {}", came())
                })?;
                law.holds(problem.have <= begun, || {
                    let have = problem.have;
                    format!(
                        "{have} bytes had come, {begun} bytes into a frame: {}",
                        came()
                    )
                })?;
                law.holds(problem.offset as usize == end, || {
                    format!(
                        "truncated at {} instead of {end}, behind the last byte: {}",
                        problem.offset,
                        came()
                    )
                })
            }
            _ => Err(law.broken(format!("{begun} bytes into a frame: {}", came()))),
        }
    }

    /// Whether the bytes behind the last whole frame belong to none: the framing passes over them
    /// in front of a frame as well.
    fn are_nothing(&self, frames: &[Bytes], wire: &Wire, end: usize, whole: usize) -> Kept<bool> {
        let stream = [&wire.bytes[..end], &wire.bytes[wire.borders[whole]..]].concat();
        let trace = trace::run(Bench::new((self.make)()), &[&stream], true, Calls::Once)?;
        let all = frames.iter().cloned().map(Event::Frame);
        Ok(trace.events.into_iter().eq(all.chain([Event::End])))
    }
}
