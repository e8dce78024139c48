//! A command that runs, as its caller sees it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;

use super::outcome::{Ended, Event, Outcome};
use super::signal::Signal;

/// A command that runs: a stream of [`Event`]s, the last of which is [`Event::Ended`].
///
/// Whoever does not read holds the command back: only a few pieces of output wait here, then the
/// command's own writes block. Limits are kept all the same.
///
/// Dropping it before the end ends the command: it is asked to go at once, and made to after the
/// grace of its [`Limits`](super::Limits).
pub struct Running {
    events: mpsc::Receiver<Event>,
    control: Arc<dyn Control>,
    stdin: Option<Stdin>,
    has_ended: bool,
}

/// What a [`Spawner`](super::Spawner) lets others do to a command it runs.
pub trait Control: Send + Sync + 'static {
    /// Ends the command; the outcome becomes [`Outcome::Killed`] with this reason. Only the first
    /// reason counts, and none once the command has ended by itself.
    fn kill(&self, reason: String);

    /// Sends the signal to the command and everything in its group.
    ///
    /// # Errors
    ///
    /// The command has ended, or the system does not permit it.
    fn signal(&self, signal: Signal) -> Result<(), SignalError>;

    /// Nobody is interested any more: ends the command. Called at most once, when a [`Running`] is
    /// dropped before its end; must not block.
    fn abandon(&self);
}

/// Why a signal was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// The command has ended.
    #[error("the command has ended")]
    Ended,
    /// The system refused.
    #[error("the signal could not be sent: {0}")]
    Refused(#[source] io::Error),
}

impl Running {
    /// Puts together what a spawner made: where its events come from, what ends it, and the writer to
    /// its standard input if one was asked for.
    ///
    /// The spawner sends [`Event::Ended`] last. When `events` closes without one, an outcome is made
    /// up that says so; it is not a success.
    pub fn new(
        events: mpsc::Receiver<Event>,
        control: Arc<dyn Control>,
        stdin: Option<Stdin>,
    ) -> Self {
        Self {
            events,
            control,
            stdin,
            has_ended: false,
        }
    }

    /// The next event; `None` after [`Event::Ended`].
    ///
    /// Cancel safe: an event that was not returned comes the next time.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`next`](Self::next), for those who poll.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let event = ready!(self.events.poll_recv(cx)).unwrap_or_else(|| {
            let reason = "whatever watched over the command is gone".to_owned();
            Event::Ended(Ended::new(Outcome::Killed(reason)))
        });
        self.has_ended = matches!(event, Event::Ended(_));
        Poll::Ready(Some(event))
    }

    /// The writer to the command's standard input, the first time, if one was asked for.
    ///
    /// Left in here it stays open until this value is dropped, and a command that reads to the end of
    /// its input waits for ever.
    pub fn take_stdin(&mut self) -> Option<Stdin> {
        self.stdin.take()
    }

    /// Ends the command for a reason that the outcome will tell. Does not wait; go on reading.
    pub fn kill(&self, reason: impl Into<String>) {
        self.control.kill(reason.into());
    }

    /// Sends a signal to the command and everything in its group.
    ///
    /// # Errors
    ///
    /// The command has ended, or the system does not permit it.
    pub fn signal(&self, signal: Signal) -> Result<(), SignalError> {
        self.control.signal(signal)
    }

    /// A second hold on the command, for somebody who does not read its output.
    pub fn handle(&self) -> Handle {
        Handle {
            control: Arc::clone(&self.control),
        }
    }
}

impl Stream for Running {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        Running::poll_next(self.get_mut(), cx)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            // Closed first: whoever watches over the command must not take its end by our signal for
            // news that somebody waits for.
            self.events.close();
            self.control.abandon();
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("has_ended", &self.has_ended)
            .field("stdin", &self.stdin)
            .finish_non_exhaustive()
    }
}

/// A hold on a running command that can end it. It keeps nothing alive: the command ends with its
/// [`Running`], however many handles there are.
#[derive(Clone)]
pub struct Handle {
    control: Arc<dyn Control>,
}

impl Handle {
    /// As [`Running::kill`].
    pub fn kill(&self, reason: impl Into<String>) {
        self.control.kill(reason.into());
    }

    /// As [`Running::signal`].
    ///
    /// # Errors
    ///
    /// The command has ended, or the system does not permit it.
    pub fn signal(&self, signal: Signal) -> Result<(), SignalError> {
        self.control.signal(signal)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// The writer to a command's standard input.
///
/// Writes wait while the command does not read. Shutting it down or dropping it is the end of the
/// input. A command that reads no further is not an error: what is written after that is thrown away,
/// and [`is_open`](Self::is_open) says so to those who would rather stop.
pub struct Stdin {
    writer: Option<Pin<Box<dyn AsyncWrite + Send>>>,
}

impl Stdin {
    /// Writes to the given writer, which is dropped as soon as there is nobody to write to.
    pub fn new(writer: impl AsyncWrite + Send + 'static) -> Self {
        Self {
            writer: Some(Box::pin(writer)),
        }
    }

    /// Whether writing still reaches the command, as far as the last write knew.
    pub fn is_open(&self) -> bool {
        self.writer.is_some()
    }

    /// Polls the writer; takes a closed pipe for a writer that swallows everything.
    fn poll<T>(
        &mut self,
        swallowed: T,
        poll: impl FnOnce(Pin<&mut (dyn AsyncWrite + Send)>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Some(writer) = &mut self.writer else {
            return Poll::Ready(Ok(swallowed));
        };
        match ready!(poll(writer.as_mut())) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.writer = None;
                Poll::Ready(Ok(swallowed))
            }
            other => Poll::Ready(other),
        }
    }
}

impl AsyncWrite for Stdin {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .poll(bytes.len(), |writer| writer.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll((), |writer| writer.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = ready!(this.poll((), |writer| writer.poll_shutdown(cx)));
        // A pipe ends only when its writing end is closed.
        this.writer = None;
        Poll::Ready(result)
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin")
            .field("is_open", &self.is_open())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    struct Nothing;

    impl Control for Nothing {
        fn kill(&self, _: String) {}
        fn signal(&self, _: Signal) -> Result<(), SignalError> {
            Err(SignalError::Ended)
        }
        fn abandon(&self) {}
    }

    #[tokio::test]
    async fn svc_c32_a_spawner_that_falls_silent_is_not_a_success() {
        let (events, receiver) = mpsc::channel(1);
        let mut running = Running::new(receiver, Arc::new(Nothing), None);
        drop(events);
        let Some(Event::Ended(ended)) = running.next().await else {
            panic!("an end is reported");
        };
        assert_eq!(ended.outcome.kind(), "killed");
        assert_eq!(running.next().await, None);
    }

    #[tokio::test]
    async fn svc_c22_a_reader_that_left_is_no_error() {
        let (near, far) = tokio::io::duplex(16);
        let mut stdin = Stdin::new(near);
        stdin.write_all(b"abc").await.unwrap();
        assert!(stdin.is_open());
        drop(far);
        stdin.write_all(&[0; 1000]).await.unwrap();
        assert!(!stdin.is_open());
        stdin.flush().await.unwrap();
        stdin.shutdown().await.unwrap();
    }
}
