//! Holds the frames that have come and that nobody has taken yet.

use std::{
    collections::VecDeque,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use framing::{Connection, Framing};
use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncWrite};

use super::transfer::NativeError;

/// How many bytes wait at most, beside the frame that goes beyond.
const MOST_WAITING: usize = 8 * 1024 * 1024;

/// What has been read of a connection ahead of whoever takes it.
///
/// That is one frame: so a peer that leaves is noticed, and one whose frames nobody takes is held
/// back. Only when the peer owes us its agreement to a frame of ours, more is read, because the
/// agreement stands behind it; and what waits for our frame (a command whose output is full) may be
/// what has to take theirs (its standard input).
#[derive(Debug, Default)]
pub(super) struct Inbox {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// The peer has closed its side.
    ended: bool,
}

impl Inbox {
    /// Reads ahead from `connection`.
    ///
    /// An error is final, also one after which the framing would go on: a message of which a frame
    /// is missing is none.
    pub(super) fn fill<Io, F>(
        &mut self,
        mut connection: Pin<&mut Connection<Io, F>>,
        cx: &mut Context<'_>,
    ) -> Result<(), NativeError>
    where
        Io: AsyncRead + AsyncWrite,
        F: Framing,
    {
        while !self.ended && (self.frames.is_empty() || !connection.framing().is_ready()) {
            if self.bytes > MOST_WAITING {
                return Err(NativeError::Backlog(self.bytes));
            }
            let Poll::Ready(next) = connection.as_mut().poll_next(cx) else {
                break;
            };
            match next.transpose()? {
                Some(frame) => {
                    self.bytes += size_of(&frame);
                    self.frames.push_back(frame);
                }
                None => self.ended = true,
            }
        }
        Ok(())
    }

    /// The oldest frame.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let frame = self.frames.pop_front()?;
        self.bytes -= size_of(&frame);
        Some(frame)
    }

    /// How many frames wait.
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether nothing waits, and nothing more will come.
    pub(super) fn has_ended(&self) -> bool {
        self.ended && self.frames.is_empty()
    }

    /// The next frame; none at the end.
    pub(super) fn poll_take<Io, F>(
        &mut self,
        connection: Pin<&mut Connection<Io, F>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, NativeError>>
    where
        Io: AsyncRead + AsyncWrite,
        F: Framing,
    {
        self.fill(connection, cx)?;
        match self.take() {
            Some(frame) => Poll::Ready(Ok(Some(frame))),
            None if self.ended => Poll::Ready(Ok(None)),
            None => Poll::Pending,
        }
    }
}

/// What a frame costs us; an empty one costs something as well.
fn size_of(frame: &Bytes) -> usize {
    mem::size_of::<Bytes>() + frame.len()
}
