//! Time is up when the deadline has passed, and only then.

use std::time::Duration;

use bytes::Bytes;

use super::{
    Laws,
    checked::Bench,
    law::{Kept, Law},
    show,
    talk::Wire,
};
use crate::{Framing, Received};

const LAW: Law = Law::Time;

impl<M: Fn() -> F, F: Framing> Laws<M> {
    /// Law 13.
    pub(super) fn time_is_up_at_the_deadline(&self) -> Kept {
        for frame in &self.frames {
            self.keeps_its_deadline(Some(frame), &[])?;
        }
        let wire = Wire::of(&self.make, &self.by_size())?.bytes;
        for end in 0..=wire.len().min(64) {
            self.keeps_its_deadline(None, &wire[..end])?;
        }
        Ok(())
    }

    /// A machine that has sent a frame, and into which bytes have come.
    fn after(&self, sent: Option<&Bytes>, received: &[u8]) -> Kept<(Bench<F>, Answer)> {
        let mut bench = Bench::new((self.make)());
        if let Some(frame) = sent {
            bench.send_sample(frame)?;
        }
        bench.receive(received);
        let answer = bench.drain()?.1;
        Ok((bench, answer))
    }

    fn keeps_its_deadline(&self, sent: Option<&Bytes>, received: &[u8]) -> Kept {
        let (mut bench, answer) = self.after(sent, received)?;
        let (Some(deadline), Ok(Received::Need(_))) = (bench.framing().deadline(), &answer) else {
            return Ok(());
        };
        let when = || match sent {
            Some(frame) => format!("{} was sent", show(frame)),
            None => format!("{} has come", show(received)),
        };
        LAW.holds(deadline >= bench.now(), || {
            format!("{}: the deadline is in the past at once", when())
        })?;

        if let Some(before) = deadline.checked_sub(Duration::from_nanos(1))
            && before > bench.now()
        {
            bench.set_now(before);
            let early = bench.next()?;
            LAW.holds(
                early == answer && bench.framing().deadline() == Some(deadline),
                || {
                    format!(
                        "{}: just before the deadline comes {early:?} instead of {answer:?}, or \
                         the deadline moves",
                        when()
                    )
                },
            )?;
        }

        let (mut bench, _) = self.after(sent, received)?;
        let (late, deadline) = match bench.framing().deadline() {
            Some(deadline) => (deadline + Duration::from_secs(1), deadline),
            None => return Ok(()),
        };
        bench.framing_mut().forget_time();
        bench.set_now(late);
        let unasked = bench.next()?;
        LAW.holds(unasked == answer, || {
            format!(
                "{}: `decode` itself takes the time for up, with {unasked:?} instead of {answer:?}",
                when()
            )
        })?;

        let (mut bench, _) = self.after(sent, received)?;
        let deadline = bench.framing().deadline().unwrap_or(deadline);
        bench.set_now(deadline);
        let expired = bench.next()?;
        let next = bench.framing().deadline();
        let goes_on = !matches!(expired, Ok(Received::Need(_)));
        LAW.holds(goes_on || next.is_none_or(|next| next > deadline), || {
            format!(
                "{}: at the deadline comes {expired:?}, and the deadline stays; a driver would \
                 call without end",
                when()
            )
        })
    }
}

type Answer = Result<Received, crate::FrameError>;
