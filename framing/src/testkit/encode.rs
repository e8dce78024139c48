//! A frame is written whole, or refused and given back.

use bytes::Bytes;

use super::{
    Laws,
    checked::Bench,
    law::{Kept, Law},
    show,
};
use crate::{ErrorKind, Framing, Outbox, Received};

const LAW: Law = Law::AllOrNothing;

impl<M: Fn() -> F, F: Framing> Laws<M> {
    /// Law 2: what is refused leaves no trace. That nothing is written and that the frame comes
    /// back is looked at with every `encode`.
    pub(super) fn refusals_write_nothing(&self) -> Kept {
        for frame in &self.refused {
            let mut bench = Bench::new((self.make)());
            LAW.holds(bench.send(frame)?.is_err(), || {
                format!("{} is not refused", show(frame))
            })?;
            let Some(good) = self.frames.iter().find(|frame| !frame.is_empty()) else {
                continue;
            };
            let mut fresh = Bench::new((self.make)());
            fresh.send_sample(good)?;
            bench.send_sample(good)?;
            let (after, alone) = (bench.written(), fresh.written());
            LAW.holds(after == alone, || {
                format!(
                    "behind the refused {} comes {}, and without it {}",
                    show(frame),
                    show(&after),
                    show(&alone)
                )
            })?;
        }
        Ok(())
    }

    /// Law 2: borrowed frames are written like owned ones.
    pub(super) fn slices_are_written_like_frames(&self) -> Kept {
        for frame in self.frames.iter().chain(&self.refused) {
            let (mut owned, mut lent) = (Bench::new((self.make)()), Bench::new((self.make)()));
            let mut out = Outbox::new();
            let results = (
                owned.send(frame)?.map_err(|error| error.to_string()),
                lent.send_slice(frame, &mut out)?
                    .map_err(|error| error.to_string()),
            );
            LAW.holds(results.0 == results.1, || {
                format!(
                    "`encode` and `encode_slice` of {} differ: {:?} and {:?}",
                    show(frame),
                    results.0,
                    results.1
                )
            })?;
            let written = (owned.written(), out.take_bytes());
            LAW.holds(written.0 == written.1, || {
                format!(
                    "`encode` and `encode_slice` of {} differ: {} and {}",
                    show(frame),
                    show(&written.0),
                    show(&written.1)
                )
            })?;
        }
        Ok(())
    }

    /// Law 2: a frame in two pieces is written like one in one.
    pub(super) fn pieces_are_written_like_frames(&self) -> Kept {
        for frame in self.frames.iter().chain(&self.refused) {
            for at in [0, 1, frame.len() / 2] {
                let Some((prefix, rest)) = frame.split_at_checked(at) else {
                    continue;
                };
                let (mut whole, mut cut) = (Bench::new((self.make)()), Bench::new((self.make)()));
                let mut out = Outbox::new();
                let results = (
                    whole.send(frame)?.map_err(|error| error.to_string()),
                    cut.send_prefixed(prefix, frame.slice_ref(rest), &mut out)?
                        .map_err(|error| error.to_string()),
                );
                LAW.holds(results.0 == results.1, || {
                    format!(
                        "`encode` and `encode_prefixed` of {} differ: {:?} and {:?}",
                        show(frame),
                        results.0,
                        results.1
                    )
                })?;
                let written = (whole.written(), out.take_bytes());
                LAW.holds(written.0 == written.1, || {
                    format!(
                        "`encode` and `encode_prefixed` of {} differ: {} and {}",
                        show(frame),
                        show(&written.0),
                        show(&written.1)
                    )
                })?;
            }
        }
        Ok(())
    }

    /// Law 2 for interactive framings: a frame that was announced and can no longer be sent.
    pub(super) fn announced_frames_come_back(&self) -> Kept {
        for frame in &self.frames {
            let mut bench = Bench::new((self.make)());
            bench.send_sample(frame)?;
            if bench.framing().is_ready() {
                return Ok(());
            }
            let announced = bench.unsent();
            // That it is refused, and leaves no trace, is seen by whoever watches `encode`.
            let _ = bench.send(frame)?;
            LAW.holds(bench.unsent() == announced, || {
                format!("{} is written while an answer is due", show(frame))
            })?;
            for ends in [true, false] {
                self.comes_back(frame, ends)?;
            }
        }
        Ok(())
    }

    /// No answer comes, because the stream `ends` or because time is up.
    fn comes_back(&self, frame: &Bytes, ends: bool) -> Kept {
        let mut bench = Bench::new((self.make)());
        bench.send_sample(frame)?;
        let why = if ends {
            bench.close_input();
            "the end of the stream"
        } else {
            match bench.framing().deadline() {
                Some(deadline) => bench.set_now(deadline),
                None => return Ok(()),
            }
            "the deadline"
        };
        match bench.next()? {
            Err(error) => {
                let with_error = error.frame().cloned();
                let taken = bench.framing_mut().take_unsent();
                LAW.holds(with_error.xor(taken).as_ref() == Some(frame), || {
                    format!(
                        "{} was announced and does not come back, or twice, after {why}",
                        show(frame)
                    )
                })?;
                let possible = matches!(
                    error.kind(),
                    ErrorKind::Truncated | ErrorKind::Timeout | ErrorKind::Refused
                );
                LAW.holds(possible, || {
                    format!(
                        "{why}, while an answer is due, is `{}`: {error}",
                        error.kind()
                    )
                })
            }
            Ok(Received::End) => Err(LAW.broken(format!(
                "{why}, while an answer to {} is due, is a clean end",
                show(frame)
            ))),
            // Another deadline may come first.
            Ok(_) => Ok(()),
        }
    }
}
