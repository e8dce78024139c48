//! What one side encodes the other decodes, however the bytes are cut.

use bytes::Bytes;

use super::{
    Event, Laws, Random, Trace,
    checked::Bench,
    cuts, every_split,
    law::{Broken, Kept, Law},
    show,
    shrink::{Cuts, check_shortest, shortest},
    talk::{Wire, converse},
    trace::{self, Calls},
};
use crate::Framing;

/// A stream up to this length is cut at every place; a longer one at places left to chance.
const EVERY_PLACE: usize = 1024;

impl<M: Fn() -> F, F: Framing> Laws<M> {
    /// Law 1.
    pub(super) fn frames_survive_however_they_are_cut(&self) -> Kept {
        // A short list that fails is found before a long one.
        let by_size = self.by_size();
        let mut lists: Vec<Vec<Bytes>> = by_size.iter().map(|frame| vec![frame.clone()]).collect();
        lists.extend(by_size.windows(2).map(<[_]>::to_vec));
        lists.push(by_size);
        lists.push(self.frames.clone());
        for frames in lists {
            check_shortest(frames, |frames| {
                let wire = Wire::of(&self.make, frames)?;
                let mut expected: Vec<_> = frames.iter().cloned().map(Event::Frame).collect();
                expected.push(Event::End);
                let trace = self.trace_at_every_cut(Law::RoundTrip, &wire.bytes)?;
                Law::RoundTrip.holds(trace.events == expected, || {
                    format!(
                        "{frames:?} were sent and {:?} came out; the wire is {}",
                        trace.events,
                        show(&wire.bytes)
                    )
                })
            })?;
        }
        Ok(())
    }

    /// Law 1 for interactive framings: nobody overtakes, nobody waits for ever.
    pub(super) fn both_ends_may_talk(&self) -> Kept {
        let rounds = if (self.make)().is_interactive() {
            200
        } else {
            20
        };
        for seed in 0..rounds {
            let mut random = Random::new(seed);
            let longest = [1, 2, 7, 1 << 20][random.below(4)];
            let middle = random.below(self.frames.len() + 1);
            check_shortest(self.frames.clone(), |frames| {
                let (front, back) = frames.split_at(middle.min(frames.len()));
                let mut random = random.clone();
                for frames in [[front, back], [frames, frames]] {
                    converse(&self.make, frames, &mut random, longest).map_err(|broken| {
                        let [one, two] = frames;
                        broken.while_doing(format!(
                            "one end sends {one:?}, the other {two:?}, with up to {longest} bytes \
                             at a time"
                        ))
                    })?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// What comes out of a stream, after making sure that it is the same at every cut.
    pub(super) fn trace_at_every_cut(&self, law: Law, stream: &[u8]) -> Kept<Trace> {
        let whole = self.trace(&[stream], Calls::Once)?;
        self.same_as(law, &whole, &[stream])?;
        if stream.len() <= EVERY_PLACE {
            // Byte by byte comes last: one cut says more.
            let mut ways: Vec<_> = every_split(stream).skip(1).collect();
            let bytewise = ways.remove(0);
            for pieces in ways.into_iter().chain([bytewise]) {
                self.same_at(law, &whole, &pieces)?;
            }
        }
        let mut random = Random::new(stream.len() as u64);
        for _ in 0..8 {
            let longest = [2, 9, 1 + stream.len()][random.below(3)];
            self.same_at(law, &whole, &random.cut(stream, longest))?;
        }
        Ok(whole)
    }

    fn trace(&self, pieces: &[&[u8]], calls: Calls) -> Kept<Trace> {
        trace::run(Bench::new((self.make)()), pieces, true, calls)
    }

    /// The same; of a failure, with as few cuts as will do.
    fn same_at(&self, law: Law, whole: &Trace, pieces: &[&[u8]]) -> Kept {
        self.same_as(law, whole, pieces).map_err(|broken| {
            shortest(Cuts::of(pieces), broken, |fewer| {
                self.same_as(law, whole, &fewer.slices())
            })
        })
    }

    /// Whether cutting changes nothing, and asking twice neither.
    fn same_as(&self, law: Law, whole: &Trace, pieces: &[&[u8]]) -> Kept {
        let asked_again = self.trace(pieces, Calls::Repeated)?;
        if asked_again == *whole {
            return Ok(());
        }
        let once = self.trace(pieces, Calls::Once)?;
        if once == *whole {
            return Err(differs(
                Law::HonestSteps,
                "a call repeated without new bytes changes what comes after it",
                &asked_again,
                whole,
                pieces,
            ));
        }
        Err(differs(
            law,
            "the cut changes what comes out",
            &once,
            whole,
            pieces,
        ))
    }
}

fn differs(law: Law, what: &str, trace: &Trace, whole: &Trace, pieces: &[&[u8]]) -> Broken {
    law.broken(format!(
        "{what}\n  fed with {}: {}\n  fed in one piece and asked once: {}",
        cuts(pieces),
        said(trace),
        said(whole)
    ))
}

fn said(trace: &Trace) -> String {
    let mut said = format!("{:?}", trace.events);
    if !trace.replies.is_empty() {
        said += &format!(", answering {}", show(&trace.replies));
    }
    said
}
