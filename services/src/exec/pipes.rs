//! Reads what a command writes.

use std::future::poll_fn;
use std::io;
use std::process::{ChildStderr, ChildStdout};
use std::task::{Context, Poll, ready};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionread};
use tokio::net::unix::pipe::Receiver;

use super::meter::Meter;
use super::outcome::Output;
use crate::buffers::Buffers;

/// The most that one read takes: what a pipe holds by default.
const PIECE: usize = 64 * 1024;
/// The most that is read as long as no read has taken so much: most commands write less than this,
/// and need no large buffer for it.
const FIRST: usize = 4 * 1024;
/// How many buffers are kept for further pieces: those that wait for a slow reader, one that is on
/// its way to the client and one to read into.
const KEPT: usize = 6;

/// The reading ends of a command's standard output and error.
#[derive(Debug)]
pub(super) struct Pipes {
    stdout: Option<Receiver>,
    stderr: Option<Receiver>,
    /// What is read into; empty between two reads.
    buffer: Vec<u8>,
    buffers: Buffers,
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
            buffer: Vec::new(),
            buffers: Buffers::new(PIECE, KEPT),
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
            match poll_fill(receiver, &mut self.buffer, cx) {
                Poll::Pending => continue,
                // A pipe has no errors that could pass; it is as good as ended.
                Poll::Ready(Ok(0) | Err(_)) => *pipe = None,
                Poll::Ready(Ok(_)) => {
                    let piece = self.take(is_stderr);
                    return Poll::Ready(piece.map_or(Read::Exceeded, Read::Piece));
                }
            }
        }
        if self.is_open() {
            Poll::Pending
        } else {
            Poll::Ready(Read::Closed)
        }
    }

    /// What is in the buffer, as far as it may pass.
    fn take(&mut self, is_stderr: bool) -> Option<Output> {
        let admitted = self.meter.admit(self.buffer.len());
        self.buffer.truncate(admitted);
        if self.buffer.is_empty() {
            return None;
        }
        let was_full = self.buffer.len() == self.buffer.capacity();
        let bytes = self.buffers.take(&mut self.buffer);
        if self.buffer.capacity() == 0 || was_full && self.buffer.capacity() < PIECE {
            self.buffer = self.buffers.lend();
        }
        Some(match is_stderr {
            true => Output::Stderr(bytes),
            false => Output::Stdout(bytes),
        })
    }

    /// Reads what stands in the pipes at this moment, without waiting.
    ///
    /// Called once the command has ended, this is all that the command itself can have written. The
    /// pipes are asked directly: the runtime may not have heard yet that there is something.
    pub(super) fn read_waiting(&mut self) -> Vec<Output> {
        // Of most commands both are at their end now, which one question tells.
        self.close_ended();
        let mut pieces = Vec::new();
        for is_stderr in [false, true] {
            // Only so much: somebody left behind may write without end.
            let mut waiting = None;
            while !self.meter.is_exceeded() {
                let pipe = if is_stderr {
                    &self.stderr
                } else {
                    &self.stdout
                };
                let Some(receiver) = pipe else { break };
                let left = waiting.get_or_insert_with(|| ioctl_fionread(receiver).unwrap_or(0));
                if *left == 0 {
                    break;
                }
                make_room(&mut self.buffer);
                match rustix::io::read(receiver, spare_capacity(&mut self.buffer)) {
                    Ok(0) => break,
                    Ok(length) => *left = left.saturating_sub(length as u64),
                    Err(Errno::INTR) => continue,
                    Err(_) => break,
                }
                pieces.extend(self.take(is_stderr));
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
        let pipes = [&mut self.stdout, &mut self.stderr];
        let mut open: Vec<_> = pipes.into_iter().filter(|pipe| pipe.is_some()).collect();
        if open.is_empty() {
            return;
        }
        let mut asked: Vec<_> = open
            .iter()
            .flat_map(|pipe| pipe.as_ref())
            .map(|pipe| PollFd::new(pipe, PollFlags::IN))
            .collect();
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if poll(&mut asked, Some(&now)).is_err() {
            return;
        }
        // Nobody holds the writing end, and nothing is left to read.
        let has_ended = |asked: &PollFd<'_>| {
            let found = asked.revents();
            found.contains(PollFlags::HUP) && !found.contains(PollFlags::IN)
        };
        let ended: Vec<_> = asked.iter().map(has_ended).collect();
        for (pipe, has_ended) in open.iter_mut().zip(ended) {
            if has_ended {
                **pipe = None;
            }
        }
    }
}

/// Reads into the empty `buffer` as soon as there is something. Only then it has to have room: most
/// commands write nothing.
fn poll_fill(
    receiver: &mut Receiver,
    buffer: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(receiver.poll_read_ready(cx))?;
        make_room(buffer);
        match receiver.try_read_buf(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return Poll::Ready(other),
        }
    }
}

fn make_room(buffer: &mut Vec<u8>) {
    if buffer.capacity() == 0 {
        buffer.reserve_exact(FIRST);
    }
}
