//! Lends frames where they stand, and sends replies at once.

use std::{
    future::poll_fn,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{BATCH, Connection, receive::note_frame, send::poll_write_out};
use crate::{Error, Framing, Machine, Replies, Visited};

impl<Io: AsyncRead + AsyncWrite + Unpin, F: Framing> Connection<Io, F> {
    /// Lends each frame that arrives to `visitor`, as it stands in the read buffer, until the
    /// stream ends or the visitor [breaks](ControlFlow::Break). Then its replies are flushed.
    ///
    /// Nothing is copied or counted on the way. Replies are gathered and written once for each
    /// read; when more than [`high_water`](crate::ConnectionOptions::high_water) of them wait
    /// for the peer, nothing is read.
    ///
    /// With an interactive framing the visitor may send one reply to each frame, and frames are owned
    /// before they are lent.
    ///
    /// # Errors
    ///
    /// The connection's. After one that [is recoverable](Error::is_recoverable) call again.
    ///
    /// # Cancel safety
    ///
    /// A dropped call loses nothing: a frame is visited once, and its replies are kept for
    /// whichever flush comes next.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use framing::{Connection, StructHeader};
    /// use futures_util::{SinkExt, StreamExt};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), framing::Error> {
    /// let (ours, theirs) = tokio::io::duplex(64);
    /// tokio::spawn(async move {
    ///     let mut echo = Connection::new(theirs, StructHeader::default());
    ///     echo.visit(|frame, replies| {
    ///         // An answer that cannot be sent ends the visit.
    ///         match replies.send_slice(frame) {
    ///             Ok(()) => ControlFlow::Continue(()),
    ///             Err(_) => ControlFlow::Break(()),
    ///         }
    ///     })
    ///     .await
    /// });
    /// let mut client = Connection::new(ours, StructHeader::default());
    /// client.send("hello".into()).await?;
    /// assert_eq!(client.next().await.unwrap()?, "hello");
    /// # Ok(()) }
    /// ```
    pub async fn visit(
        &mut self,
        mut visitor: impl FnMut(&[u8], &mut Replies<'_, F>) -> ControlFlow<()>,
    ) -> Result<Visited, Error> {
        let visited = poll_fn(|cx| {
            let visited = Pin::new(&mut *self).poll_visit(cx, &mut visitor);
            Pin::new(&mut *self).settle_pinned();
            visited
        })
        .await?;
        poll_fn(|cx| Pin::new(&mut *self).poll_flush(cx)).await?;
        Ok(visited)
    }
}

impl<Io: AsyncRead + AsyncWrite, F: Framing> Connection<Io, F> {
    fn poll_visit(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        visitor: &mut impl FnMut(&[u8], &mut Replies<'_, F>) -> ControlFlow<()>,
    ) -> Poll<Result<Visited, Error>> {
        if self.halves.is_some() || !self.slot.is_empty() {
            return self.poll_visit_owned(cx, visitor);
        }
        if self.batch >= BATCH {
            // Each bad frame that is skipped ends a visit, and the next one needs no I/O either.
            *self.project().batch = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if self.failed {
                return Poll::Ready(Err(self.sending_failed()));
            }
            if self.ended {
                return Poll::Ready(match &self.found {
                    Some(Some(error)) => Err(error.copy()),
                    _ => Ok(Visited::End),
                });
            }
            let mut this = self.as_mut().project();
            let high_water = *this.high_water;
            if this.machine.unsent() >= high_water {
                // The peer reads its answers, or it is asked nothing more.
                let written = ready!(poll_write_out(
                    this.io.as_mut(),
                    cx,
                    this.machine,
                    this.clock
                ));
                if let Err(error) = &written {
                    self.as_mut().note(error);
                }
                written?;
                continue;
            }
            if this.machine.is_resting() && this.machine.unsent() == 0 {
                // As for the stream: at a wake there is nothing to look at yet.
                ready!(self.as_mut().poll_more(cx))?;
                continue;
            }
            let mut left = BATCH;
            let mut broken = false;
            let visited = this.machine.visit(|frame, replies| {
                left -= 1;
                broken = visitor(frame, replies).is_break();
                // Frames of one read need no I/O: without an end nobody else would have a turn.
                if broken || left == 0 || replies.unsent() >= high_water {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            if left < BATCH {
                note_frame(this.machine, this.clock, this.share);
            }
            let written = poll_write_out(this.io, cx, this.machine, this.clock);
            if let Poll::Ready(Err(error)) = written {
                self.as_mut().note(&error);
                return Poll::Ready(Err(error));
            }
            match visited {
                Ok(Visited::Broken) if broken => return Poll::Ready(Ok(Visited::Broken)),
                Ok(Visited::Broken) if left == 0 => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Ok(Visited::Broken) => {}
                Ok(Visited::End) => {
                    *self.as_mut().project().ended = true;
                    return Poll::Ready(Ok(Visited::End));
                }
                Ok(Visited::Need(_)) => ready!(self.as_mut().poll_more(cx))?,
                Err(error) => {
                    let error = Error::from(error);
                    *self.as_mut().project().batch += 1;
                    self.as_mut().note(&error);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    /// By way of the stream and the sink, which know how to wait for a peer's agreement.
    fn poll_visit_owned(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        visitor: &mut impl FnMut(&[u8], &mut Replies<'_, F>) -> ControlFlow<()>,
    ) -> Poll<Result<Visited, Error>> {
        loop {
            // Without room for its reply a frame is not shown.
            ready!(self.as_mut().poll_ready(cx))?;
            let Poll::Ready(frame) = self.as_mut().poll_next(cx) else {
                let _ = self.as_mut().poll_flush(cx)?;
                return Poll::Pending;
            };
            let Some(frame) = frame.transpose()? else {
                return Poll::Ready(Ok(Visited::End));
            };
            let this = self.as_mut().project();
            *this.arrived = 0;
            let mut replies = Machine::replies(this.machine);
            if visitor(&frame, &mut replies).is_break() {
                return Poll::Ready(Ok(Visited::Broken));
            }
        }
    }
}
