//! From the socket to frames.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::io::poll_read_buf;

use super::{
    BATCH, Connection, MOST_WAITING, SLOT, budget::Share, clock::Clock, is_owed,
    send::poll_write_out, settle,
};
use crate::{Error, ErrorKind, FrameError, Framing, Machine, Received, decoding::Found};

impl<Io: AsyncRead + AsyncWrite, F: Framing> Connection<Io, F> {
    /// The stream's next item.
    ///
    /// The two ways give what they find in different shapes on purpose: as soon as one of them is
    /// somebody else's to write, the frame moves through memory several times on either (a fifth of
    /// what a small request takes).
    #[inline(always)]
    pub(super) fn poll_item(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let mut found = None;
        // The short way of nearly every frame: it is whole, and nobody else is concerned.
        while self.found.is_none()
            && self.halves.is_none()
            && self.batch < BATCH
            && !self.ended
            && self.slot.is_empty()
        {
            let this = self.as_mut().project();
            match look(this.machine) {
                Ok(Found::Here(cut)) => {
                    let frame = this.machine.cut(cut);
                    note_frame(this.machine, this.clock, this.share);
                    *this.batch += 1;
                    settle(this.share, this.machine, this.slot);
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(Found::Need(_)) => match self.as_mut().poll_more(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                    Poll::Pending => return Poll::Pending,
                },
                other => {
                    found = Some(other);
                    break;
                }
            }
        }
        match self.poll_item_any(cx, found) {
            Poll::Ready(item) => Poll::Ready(item.transpose()),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Reads what the next frame is missing, for the stream.
    #[inline(never)]
    pub(super) fn poll_more(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let filled = self.as_mut().poll_fill(cx);
        match &filled {
            Poll::Ready(Ok(())) => return filled,
            Poll::Ready(Err(error)) => {
                *self.as_mut().project().batch += 1;
                self.as_mut().note(error);
            }
            Poll::Pending => *self.as_mut().project().batch = 0,
        }
        self.settle_pinned();
        filled
    }

    /// The same in any state, where `found` is what the machine has just found.
    #[inline(never)]
    fn poll_item_any(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        found: Option<Result<Found, FrameError>>,
    ) -> Poll<Result<Option<Bytes>, Error>> {
        let item = self.as_mut().poll_item_any_unsettled(cx, found);
        self.settle_pinned();
        item
    }

    fn poll_item_any_unsettled(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        found: Option<Result<Found, FrameError>>,
    ) -> Poll<Result<Option<Bytes>, Error>> {
        if let Some(frame) = self.as_mut().project().slot.pop() {
            let arrived = self.as_mut().project().arrived;
            *arrived = arrived.saturating_sub(1);
            if let Some(halves) = &self.halves {
                halves.sink.wake();
            }
            return Poll::Ready(Ok(Some(frame)));
        }
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        if self.batch >= BATCH {
            // Frames of one read need no I/O, so nothing else would ever make us yield.
            *self.project().batch = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let received = match self.as_mut().project().found.take() {
            Some(None) => Poll::Ready(Ok(None)),
            Some(Some(error)) => Poll::Ready(Err(error)),
            None => match self.halves.clone() {
                None => self.as_mut().poll_receive_from(cx, found),
                Some(halves) => {
                    let before = (self.machine.framing().is_ready(), self.machine.unsent());
                    halves.stream.register(cx.waker());
                    let waker = Waker::from(halves.clone());
                    let received = self.as_mut().poll_receive(&mut Context::from_waker(&waker));
                    if before != (self.machine.framing().is_ready(), self.machine.unsent()) {
                        halves.sink.wake();
                    }
                    received
                }
            },
        };
        let item = match received {
            Poll::Pending => {
                *self.project().batch = 0;
                return Poll::Pending;
            }
            Poll::Ready(item) => item,
        };
        *self.as_mut().project().batch += 1;
        let item = match item {
            Ok(None) => self
                .as_mut()
                .project()
                .unwritten
                .take()
                .map_or(Ok(None), Err),
            item => item,
        };
        match &item {
            Ok(Some(_)) => {}
            Ok(None) => *self.project().ended = true,
            Err(error) => self.note(error),
        }
        Poll::Ready(item)
    }

    /// Takes note of an error that is about to be told.
    pub(super) fn note(self: Pin<&mut Self>, error: &Error) {
        if error.is_recoverable() {
            return;
        }
        let this = self.project();
        *this.ended = true;
        // Requests that came before a frame that cannot be read may still be answered, unless that
        // takes an agreement of the peer.
        let in_what_came = matches!(error, Error::Frame(it) if it.kind() != ErrorKind::Timeout);
        *this.failed |= this.halves.is_some() || !in_what_came;
        *this.unreadable = in_what_came;
        // The sink tells why, too, where it fails.
        *this.found = Some(Some(error.copy()));
        if let Some(halves) = this.halves {
            halves.sink.wake();
        }
    }

    /// Reads and decodes until there is a frame, an end, an error, or nothing to read.
    ///
    /// `None` is the clean end; it comes again at every call, as a final error does.
    fn poll_receive(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Error>> {
        self.poll_receive_from(cx, None)
    }

    /// The same from what the machine has just found, if it has.
    fn poll_receive_from(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut found: Option<Result<Found, FrameError>>,
    ) -> Poll<Result<Option<Bytes>, Error>> {
        loop {
            let mut this = self.as_mut().project();
            let found = found.take().unwrap_or_else(|| look(this.machine));
            match this.machine.take(found) {
                Ok(Received::Frame(frame)) => {
                    note_frame(this.machine, this.clock, this.share);
                    return Poll::Ready(Ok(Some(frame)));
                }
                Ok(Received::End) => return Poll::Ready(Ok(None)),
                Ok(Received::Need(_)) => {}
                Err(error) => {
                    if !error.is_recoverable() {
                        // A refusal is worth a try, but the error must not wait for a peer that
                        // does not read.
                        let _ = poll_write_out(this.io.as_mut(), cx, this.machine, this.clock);
                    }
                    return Poll::Ready(Err(error.into()));
                }
            }
            ready!(self.as_mut().poll_fill(cx))?;
        }
    }

    /// Reads once, or waits until that is possible or time is up. Then it is worth looking for
    /// frames again.
    #[inline(always)]
    fn poll_fill(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut this = self.project();
        let machine = this.machine;
        if this.halves.is_some() && machine.unsent() > 0 {
            // Answers go out before we wait for what they bring.
            if this.unwritten.is_none()
                && let Poll::Ready(Err(error)) =
                    poll_write_out(this.io.as_mut(), cx, machine, this.clock)
            {
                *this.failed = true;
                *this.unwritten = Some(error);
            }
            if this.unwritten.is_some() {
                machine.outbox().take_bytes();
            }
        }
        if let Some(clock) = this.clock.as_mut() {
            clock.asks(machine.is_mid_frame());
        }
        settle(this.share, machine, this.slot);
        let may_read = match this.share {
            Some(share) => share.may_read(is_owed(machine), cx),
            None => true,
        };
        let read = if may_read {
            poll_read_buf(this.io.as_mut(), cx, &mut machine.wake())?
        } else {
            Poll::Pending
        };
        match read {
            Poll::Ready(0) => {
                machine.close_input();
                machine.rest();
            }
            Poll::Ready(count) => {
                machine.has_read();
                machine.outbox().wake();
                if let Some(clock) = this.clock {
                    clock.arrived(count);
                }
            }
            Poll::Pending => {
                machine.rest();
                let limits = this.clock.as_ref().and_then(|clock| clock.deadline());
                let deadline = machine.deadline().into_iter().chain(limits).min();
                if deadline.is_none() && this.timer.is_none() {
                    // Nearly always, and one call less at each wake.
                    return Poll::Pending;
                }
                ready!(poll_timer(this.timer, deadline, cx));
                machine.look_again();
                let limits = this.clock.as_mut().map_or(Ok(()), |clock| clock.check());
                if let Err(Error::Frame(error)) = limits {
                    return Poll::Ready(Err(machine.poison(error).into()));
                }
                limits?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the sink may read, though nobody may be there to take the frames that come.
    ///
    /// While an ack is due it must, whatever waits already, or a user who has several frames to
    /// send before it takes any in would never get to the ack behind them. The framing makes sure
    /// that no more than [`SLOT`] frames come before it.
    pub(super) fn may_pump(&self) -> bool {
        let ack_due = !self.machine.framing().is_ready();
        self.found.is_none() && self.slot.len() < MOST_WAITING && (ack_due || self.arrived < SLOT)
    }

    /// Receives on behalf of the sink: what comes waits for the stream.
    ///
    /// Pending while something more may come; ready when no more is to be taken.
    pub(super) fn poll_pump(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        while self.may_pump() {
            let received = ready!(self.as_mut().poll_receive(cx));
            let this = self.as_mut().project();
            let result = match received {
                Ok(Some(frame)) => {
                    this.slot.push(frame);
                    *this.arrived += 1;
                    Ok(())
                }
                Ok(None) => {
                    *this.found = Some(None);
                    Ok(())
                }
                // Who only sends is not idle.
                Err(Error::Idle(_)) => continue,
                Err(error) => {
                    *this.failed = true;
                    *this.found = Some(Some(error.copy()));
                    Err(error)
                }
            };
            if let Some(halves) = this.halves {
                halves.stream.wake();
            }
            result?;
        }
        Poll::Ready(Ok(()))
    }
}

/// What has arrived. At a wake that is nothing yet (a tenth of what a wake takes).
#[inline(always)]
fn look<F: Framing>(machine: &mut Machine<F>) -> Result<Found, FrameError> {
    if machine.is_resting() {
        return Ok(Found::Need(1));
    }
    machine.find()
}

/// Waits until `deadline`, for ever if there is none.
///
/// A timer that goes off earlier is left alone until then. Deadlines mostly move away from us, with
/// each frame, and moving the timer along takes a lock and often a system call: a tenth of an
/// ack-handshake's time.
#[inline]
fn poll_timer(
    timer: &mut Option<Pin<Box<Sleep>>>,
    deadline: Option<std::time::Instant>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let Some(deadline) = deadline.map(Instant::from_std) else {
        if timer.as_ref().is_some_and(|timer| timer.is_elapsed()) {
            *timer = None;
        }
        return Poll::Pending;
    };
    let set = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
    if set.deadline() > deadline {
        set.as_mut().reset(deadline);
    }
    ready!(set.as_mut().poll(cx));
    if set.deadline() < deadline {
        set.as_mut().reset(deadline);
        ready!(set.as_mut().poll(cx));
    }
    *timer = None;
    Poll::Ready(())
}

/// Tells the limits that a frame is whole.
#[inline]
pub(super) fn note_frame<F: Framing>(
    machine: &Machine<F>,
    clock: &mut Option<Box<Clock>>,
    share: &mut Option<Share>,
) {
    if let Some(clock) = clock {
        clock.frame_ended(machine.unread());
    }
    if let Some(share) = share {
        share.frame_ended();
    }
}
