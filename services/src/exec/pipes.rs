//! Reads what a command writes.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::process::{ChildStderr, ChildStdout};
use std::task::{Context, Poll};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionread};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::pipe::Receiver;

use super::meter::Meter;
use super::outcome::Output;

/// The most that one read takes: what a pipe holds by default.
const PIECE: usize = 64 * 1024;

/// The reading ends of a command's standard output and error.
#[derive(Debug)]
pub(super) struct Pipes {
    stdout: Option<Receiver>,
    stderr: Option<Receiver>,
    scratch: Box<[u8]>,
    meter: Meter,
    /// Which of the two is asked first; they take turns, so that neither starves.
    stderr_first: bool,
}

/// What a read brought.
#[derive(Debug)]
pub(super) enum Read {
    Piece(Output),
    /// There was more than may pass.
    Exceeded,
    /// Both streams are at their end.
    Closed,
}

impl Pipes {
    pub(super) fn new(
        stdout: Option<ChildStdout>,
        stderr: Option<ChildStderr>,
        max_output: Option<u64>,
    ) -> io::Result<Self> {
        let stdout = stdout.map(|pipe| Receiver::from_owned_fd(pipe.into()));
        let stderr = stderr.map(|pipe| Receiver::from_owned_fd(pipe.into()));
        Ok(Self {
            stdout: stdout.transpose()?,
            stderr: stderr.transpose()?,
            scratch: vec![0; PIECE].into_boxed_slice(),
            meter: Meter::new(max_output),
            stderr_first: false,
        })
    }

    /// Bytes handed out so far.
    pub(super) const fn passed(&self) -> u64 {
        self.meter.passed()
    }

    /// Whether at least one stream is not known to be at its end.
    pub(super) const fn is_open(&self) -> bool {
        self.stdout.is_some() || self.stderr.is_some()
    }

    /// Reads no more; whoever goes on writing gets a broken pipe.
    pub(super) fn close(&mut self) {
        self.stdout = None;
        self.stderr = None;
    }

    /// The next piece of either stream. Cancel safe: what is not returned has not been read.
    pub(super) async fn read(&mut self) -> Read {
        poll_fn(|cx| self.poll_read(cx)).await
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        if self.meter.is_exceeded() {
            return Poll::Ready(Read::Exceeded);
        }
        self.stderr_first = !self.stderr_first;
        for is_stderr in [self.stderr_first, !self.stderr_first] {
            let pipe = if is_stderr {
                &mut self.stderr
            } else {
                &mut self.stdout
            };
            let Some(receiver) = pipe else { continue };
            let mut buffer = ReadBuf::new(&mut self.scratch);
            match Pin::new(receiver).poll_read(cx, &mut buffer) {
                Poll::Pending => continue,
                // A pipe has no errors that could pass; it is as good as ended.
                Poll::Ready(Err(_)) => *pipe = None,
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => *pipe = None,
                Poll::Ready(Ok(())) => {
                    let bytes = self.meter.admit(buffer.filled());
                    return Poll::Ready(if bytes.is_empty() {
                        Read::Exceeded
                    } else {
                        Read::Piece(piece(is_stderr, bytes))
                    });
                }
            }
        }
        if self.is_open() {
            Poll::Pending
        } else {
            Poll::Ready(Read::Closed)
        }
    }

    /// Reads what stands in the pipes at this moment, without waiting.
    ///
    /// Called once the command has ended, this is all that the command itself can have written. The
    /// pipes are asked directly: the runtime may not have heard yet that there is something.
    pub(super) fn read_waiting(&mut self) -> Vec<Output> {
        let mut pieces = Vec::new();
        for is_stderr in [false, true] {
            let pipe = if is_stderr {
                &self.stderr
            } else {
                &self.stdout
            };
            let Some(receiver) = pipe else { continue };
            // Only so much: somebody left behind may write without end.
            let mut waiting = ioctl_fionread(receiver).unwrap_or(0);
            while waiting > 0 && !self.meter.is_exceeded() {
                let most = usize::try_from(waiting).map_or(PIECE, |waiting| waiting.min(PIECE));
                let length = match rustix::io::read(receiver, &mut self.scratch[..most]) {
                    Ok(0) => break,
                    Ok(length) => length,
                    Err(Errno::INTR) => continue,
                    Err(_) => break,
                };
                waiting -= length as u64;
                let bytes = self.meter.admit(&self.scratch[..length]);
                if !bytes.is_empty() {
                    pieces.push(piece(is_stderr, bytes));
                }
            }
        }
        pieces
    }

    /// Whether there was more than may pass.
    pub(super) const fn is_exceeded(&self) -> bool {
        self.meter.is_exceeded()
    }

    /// Lets go of streams that are at their end, without waiting and without reading.
    pub(super) fn close_ended(&mut self) {
        for pipe in [&mut self.stdout, &mut self.stderr] {
            if pipe.as_ref().is_some_and(has_ended) {
                *pipe = None;
            }
        }
    }
}

/// Whether nobody holds the writing end and nothing is left to read.
fn has_ended(receiver: &Receiver) -> bool {
    let mut asked = [PollFd::new(receiver, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    match poll(&mut asked, Some(&now)) {
        Ok(_) => {
            let found = asked[0].revents();
            found.contains(PollFlags::HUP) && !found.contains(PollFlags::IN)
        }
        Err(_) => false,
    }
}

fn piece(is_stderr: bool, bytes: Bytes) -> Output {
    if is_stderr {
        Output::Stderr(bytes)
    } else {
        Output::Stdout(bytes)
    }
}
