//! Reads one version of a file in large pieces, some of them ahead.

use std::collections::VecDeque;
use std::fs::File;
use std::mem;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};
use tokio::task::JoinHandle;

use super::folder::{Folder, info_of};
use super::{AHEAD, PIECE, cache::Cache, joined};
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
            cache: Cache::of(&file),
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
        if let State::Ready(reader, pieces) = &mut self.state
            && pieces.is_empty()
        {
            pieces.extend(reader.read_at_once());
        }
        self.go_on();
        if let State::Reading(job) = &mut self.state {
            self.state = match joined(job.await) {
                Ok((reader, pieces)) => State::Ready(reader, pieces),
                Err(error) => State::End(Err(error)),
            };
        }
        let piece = match &mut self.state {
            State::Ready(_, pieces) => pieces.pop_front(),
            State::End(outcome) => return outcome.clone().map(|()| None),
            State::Reading(_) => None,
        };
        self.go_on();
        match (piece, &self.state) {
            (Some(piece), _) if !piece.is_empty() => Ok(Some(piece)),
            // Of an empty file there is one piece, which is empty.
            (_, State::End(outcome)) => outcome.clone().map(|()| None),
            _ => Err(StoreError::Ended),
        }
    }

    /// Has further pieces read where those there are do not suffice, unless that is done at once.
    fn go_on(&mut self) {
        let State::Ready(reader, pieces) = &self.state else {
            return;
        };
        if !pieces.is_empty() || reader.left > 0 && reader.cache.is_known() {
            return;
        }
        let ended = State::End(Err(StoreError::Ended));
        if let State::Ready(reader, _) = mem::replace(&mut self.state, ended) {
            self.state = match reader.left {
                0 => State::End(reader.outcome),
                _ => State::Reading(tokio::task::spawn_blocking(move || reader.read(AHEAD))),
            };
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

fn failed(error: Errno) -> StoreError {
    StoreError::from_io("reading a file", &error.into())
}

#[derive(Debug)]
struct Reader {
    file: File,
    cache: Cache,
    offset: u64,
    left: u64,
    buffers: Buffers,
    info: FileInfo,
    /// Whether the file was still the same when the last piece had been read.
    outcome: Result<(), StoreError>,
}

impl Reader {
    /// Reads the next piece if it is in memory, or what is of it. That takes as long as to send it, and
    /// less than to hand it over to a thread that may wait (a fifth of a download's time).
    fn read_at_once(&mut self) -> Option<Bytes> {
        let wanted = self.left.min(PIECE as u64) as usize;
        if wanted == 0 || !self.cache.is_known() {
            return None;
        }
        let mut piece = self.buffers.lend_full();
        let read = self
            .cache
            .read(&self.file, &mut piece[..wanted], self.offset);
        let Some(count) = read else {
            self.buffers.give_back(piece);
            return None;
        };
        piece.truncate(count);
        self.advance(count);
        Some(self.buffers.take(&mut piece))
    }

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
        self.advance(piece.len());
        Ok(self.buffers.take(&mut piece))
    }

    /// Takes note of so many bytes that have been read.
    fn advance(&mut self, count: usize) {
        self.offset += count as u64;
        self.left -= count as u64;
        if self.left == 0 {
            self.outcome = match rustix::fs::fstat(&self.file) {
                Ok(stat) if info_of(self.info.name.clone(), &stat).version == self.info.version => {
                    Ok(())
                }
                Ok(_) => Err(StoreError::Changed),
                Err(error) => Err(failed(error)),
            };
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    #[tokio::test]
    async fn what_is_in_memory_comes_at_once_and_is_the_same() {
        let content: Vec<u8> = (0..3 * PIECE + 5).map(|at| (at / 999) as u8).collect();
        let mut file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.write_all(&content).unwrap();
        file.rewind().unwrap();
        let info = info_of("name".parse().unwrap(), &rustix::fs::fstat(&file).unwrap());
        for cache in [Cache::of(&file), Cache::Unknown] {
            let is_known = cache.is_known();
            let reader = Reader {
                cache,
                file: file.try_clone().unwrap(),
                offset: 0,
                left: content.len() as u64,
                buffers: Buffers::new(PIECE, KEPT),
                info: info.clone(),
                outcome: Ok(()),
            };
            let mut download = DirectoryDownload {
                info: info.clone(),
                state: State::Ready(reader, VecDeque::new()),
            };
            let (mut read, mut waited) = (Vec::new(), false);
            while let Some(piece) = download.next().await.unwrap() {
                read.extend_from_slice(&piece);
                waited |= matches!(&download.state, State::Ready(_, pieces) if !pieces.is_empty());
            }
            assert!(read == content, "{is_known}");
            assert_eq!(waited, !is_known);
        }
    }
}
