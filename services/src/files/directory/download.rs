//! Reads one version of a file in large pieces, some of them ahead.

use std::collections::VecDeque;
use std::fs::File;
use std::mem;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};
use tokio::task::JoinHandle;

use super::folder::{Folder, info_of};
use super::{AHEAD, PIECE, joined};
use crate::buffers::Buffers;
use crate::files::error::StoreError;
use crate::files::name::FileName;
use crate::files::store::{BoxFuture, Download, FileInfo, ReadFrom};

/// How many buffers are kept for further pieces: one that is sent, and those that are read.
const KEPT: usize = 1 + AHEAD;

/// A download from a folder.
///
/// It holds the opened file, so the version stays whole when its name goes to another.
#[derive(Debug)]
pub(super) struct DirectoryDownload {
    info: FileInfo,
    state: State,
}

#[derive(Debug)]
enum State {
    Ready(Reader, VecDeque<Bytes>),
    Reading(JoinHandle<Result<(Reader, VecDeque<Bytes>), StoreError>>),
    End(Result<(), StoreError>),
}

impl DirectoryDownload {
    /// Opens `name` and reads its first piece, which of most files is all of it. Blocks.
    pub(super) fn open(
        folder: &Folder,
        name: FileName,
        from: ReadFrom,
    ) -> Result<Self, StoreError> {
        let (file, info) = folder.open_file(&name)?;
        let (offset, left) = from.check(&info)?;
        let reader = Reader {
            file,
            offset,
            left,
            buffers: Buffers::new(left.min(PIECE as u64) as usize, KEPT),
            info: info.clone(),
            outcome: Ok(()),
        };
        let (reader, pieces) = reader.read(1)?;
        Ok(Self {
            info,
            state: State::Ready(reader, pieces),
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        if let State::Reading(job) = &mut self.state {
            self.state = match joined(job.await) {
                Ok((reader, pieces)) => State::Ready(reader, pieces),
                Err(error) => State::End(Err(error)),
            };
        }
        let ended = State::End(Err(StoreError::Ended));
        match mem::replace(&mut self.state, ended) {
            State::Ready(reader, mut pieces) => {
                let piece = pieces.pop_front().unwrap_or_default();
                self.state = if !pieces.is_empty() {
                    State::Ready(reader, pieces)
                } else if reader.left > 0 {
                    State::Reading(tokio::task::spawn_blocking(move || reader.read(AHEAD)))
                } else {
                    State::End(reader.outcome)
                };
                if !piece.is_empty() {
                    return Ok(Some(piece));
                }
            }
            other => self.state = other,
        }
        match &self.state {
            State::End(outcome) => outcome.clone().map(|()| None),
            // Only the last piece can be empty.
            _ => Err(StoreError::Ended),
        }
    }
}

impl Download for DirectoryDownload {
    fn info(&self) -> &FileInfo {
        &self.info
    }

    fn read(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        Box::pin(self.next())
    }
}

#[derive(Debug)]
struct Reader {
    file: File,
    offset: u64,
    left: u64,
    buffers: Buffers,
    info: FileInfo,
    /// Whether the file was still the same when the last piece had been read.
    outcome: Result<(), StoreError>,
}

impl Reader {
    /// Reads up to so many pieces. Blocks.
    fn read(mut self, count: usize) -> Result<(Self, VecDeque<Bytes>), StoreError> {
        let mut pieces = VecDeque::with_capacity(count);
        loop {
            pieces.push_back(self.read_piece()?);
            if self.left == 0 || pieces.len() == count {
                return Ok((self, pieces));
            }
        }
    }

    fn read_piece(&mut self) -> Result<Bytes, StoreError> {
        let failed = |error: Errno| StoreError::from_io("reading a file", &error.into());
        let wanted = self.left.min(PIECE as u64);
        let mut piece = self.buffers.lend();
        // Into what is free of the buffer, so at once, and not by the doubled steps of `read_to_end`.
        while (piece.len() as u64) < wanted {
            let at = self.offset + piece.len() as u64;
            match pread(&self.file, spare_capacity(&mut piece), at) {
                Ok(0) => return Err(StoreError::Changed),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        // A file that has grown meanwhile has more.
        piece.truncate(wanted as usize);
        self.offset += wanted;
        self.left -= wanted;
        if self.left == 0 {
            let stat = rustix::fs::fstat(&self.file).map_err(failed)?;
            let now = info_of(self.info.name.clone(), &stat);
            if now.version != self.info.version {
                self.outcome = Err(StoreError::Changed);
            }
        }
        Ok(self.buffers.take(&mut piece))
    }
}
