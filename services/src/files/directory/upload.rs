//! Takes an upload in on the async side and writes it in large pieces on blocking threads.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::gathered::Gathered;
use super::staging::Staged;
use super::{AHEAD, PIECE, blocking, joined};
use crate::files::digest::Digest;
use crate::files::error::StoreError;
use crate::files::name::FileName;
use crate::files::quota::Reservation;
use crate::files::store::{BoxFuture, Precondition, Stored, Upload};

/// An upload into a folder. While some is written more is gathered.
#[derive(Debug)]
pub(super) struct DirectoryUpload {
    name: FileName,
    expected: Option<u64>,
    precondition: Precondition,
    offset: u64,
    gathered: Gathered,
    state: State,
}

#[derive(Debug)]
enum State {
    Idle(Box<Staged>, Arc<Reservation>),
    Writing(
        JoinHandle<Result<Box<Staged>, StoreError>>,
        Arc<Reservation>,
    ),
    Ended(StoreError),
}

impl DirectoryUpload {
    pub(super) fn new(
        staged: Box<Staged>,
        name: FileName,
        expected: Option<u64>,
        precondition: Precondition,
    ) -> Self {
        let reservation = Arc::clone(&staged.reservation);
        Self {
            name,
            expected,
            precondition,
            offset: 0,
            gathered: Gathered::default(),
            state: State::Idle(staged, reservation),
        }
    }

    /// Takes the chunk in, unless it would be more than was announced or than is allowed.
    fn gather(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        let reservation = match &self.state {
            State::Idle(_, reservation) | State::Writing(_, reservation) => reservation,
            State::Ended(error) => return Err(error.clone()),
        };
        let offset = self.offset.saturating_add(chunk.len() as u64);
        let allowed = match self.expected {
            Some(expected) if offset > expected => Err(StoreError::SizeMismatch {
                expected,
                got: offset,
            }),
            Some(_) => Ok(()),
            None => reservation.grow_to(offset),
        };
        if let Err(error) = allowed {
            self.end(error.clone());
            return Err(error);
        }
        self.gathered.push(chunk);
        self.offset = offset;
        Ok(())
    }

    fn is_writing(&self) -> bool {
        matches!(&self.state, State::Writing(job, _) if !job.is_finished())
    }

    /// Waits for the write under way. Nothing is lost when the future is dropped.
    async fn settle(&mut self) -> Result<(), StoreError> {
        if let State::Writing(job, reservation) = &mut self.state {
            self.state = match joined(job.await) {
                Ok(staged) => State::Idle(staged, Arc::clone(reservation)),
                Err(error) => State::Ended(error),
            };
        }
        match &self.state {
            State::Ended(error) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    fn start_writing(&mut self) {
        self.state = match mem::replace(&mut self.state, State::Ended(StoreError::Ended)) {
            State::Idle(mut staged, reservation) => {
                let piece = self.gathered.take(mem::take(&mut staged.spare));
                let job = tokio::task::spawn_blocking(move || staged.write(piece));
                State::Writing(job, reservation)
            }
            other => other,
        };
    }

    /// Lets go of what is staged. A write under way removes it when it ends.
    fn end(&mut self, error: StoreError) {
        self.gathered = Gathered::default();
        if let State::Idle(staged, _) = mem::replace(&mut self.state, State::Ended(error)) {
            // Removing a large file takes a while. Where the runtime has gone, the closure is
            // dropped at once and `staged` with it.
            match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn_blocking(move || drop(staged))),
                Err(_) => drop(staged),
            }
        }
    }

    async fn commit_as(mut self, size: u64, digest: Option<Digest>) -> Result<Stored, StoreError> {
        self.settle().await?;
        let ended = State::Ended(StoreError::Ended);
        let State::Idle(staged, _) = mem::replace(&mut self.state, ended) else {
            return Err(StoreError::Ended);
        };
        let rest = mem::take(&mut self.gathered);
        let (name, precondition) = (self.name.clone(), self.precondition);
        let expected = self.expected.unwrap_or(size);
        let cancelled = Arc::new(AtomicBool::new(false));
        let _cancel = CancelOnDrop(Arc::clone(&cancelled));
        blocking(move || {
            if expected != size {
                return Err(StoreError::SizeMismatch {
                    expected,
                    got: size,
                });
            }
            let staged = staged.write(rest)?;
            staged.commit(&name, precondition, (size, digest), &cancelled)
        })
        .await
    }

    async fn abort_now(mut self) {
        if self.settle().await.is_err() {
            return;
        }
        let ended = State::Ended(StoreError::Ended);
        let state = mem::replace(&mut self.state, ended);
        // Only the log, which has it already, could do something with an error here.
        let _ = blocking(move || {
            drop(state);
            Ok(())
        })
        .await;
    }
}

impl Upload for DirectoryUpload {
    fn offset(&self) -> u64 {
        self.offset
    }

    fn expect_no_digest(&mut self) {
        if let State::Idle(staged, _) = &mut self.state {
            staged.expect_no_digest();
        }
    }

    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.gather(chunk)?;
            let most = if self.is_writing() { AHEAD } else { 1 };
            if self.gathered.len() >= most * PIECE {
                self.settle().await?;
                self.start_writing();
            }
            Ok(())
        })
    }

    fn commit(
        self: Box<Self>,
        size: u64,
        digest: Option<Digest>,
    ) -> BoxFuture<'static, Result<Stored, StoreError>> {
        Box::pin(self.commit_as(size, digest))
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(self.abort_now())
    }
}

impl Drop for DirectoryUpload {
    fn drop(&mut self) {
        self.end(StoreError::Ended);
    }
}

/// Tells the blocking job that nobody waits for it any more.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
