//! Reads what the system has in memory, and never waits for a disk.

use std::fs::File;

/// How it is told whether a read would wait.
#[derive(Debug)]
pub(super) enum Cache {
    /// By the file system, which is memory and nothing else.
    Whole,
    /// By each read, which says so in place of waiting.
    #[cfg(target_os = "linux")]
    Asked,
    /// It cannot be told.
    Unknown,
}

impl Cache {
    #[cfg(target_os = "linux")]
    pub(super) fn of(file: &File) -> Self {
        // In `linux/magic.h`; it does not know reads that do not wait.
        const TMPFS: rustix::fs::FsWord = 0x0102_1994;
        match rustix::fs::fstatfs(file) {
            Ok(system) if system.f_type == TMPFS => Self::Whole,
            _ => Self::Asked,
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(_: &File) -> Self {
        Self::Unknown
    }

    /// Whether there may be something to read.
    pub(super) fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown)
    }

    /// Reads the first bytes at `offset`, as many as are in memory. If there are none, or the read fails,
    /// which one that may wait will tell, nothing is known from then on.
    pub(super) fn read(&mut self, file: &File, buffer: &mut [u8], offset: u64) -> Option<usize> {
        let read = match self {
            Self::Whole => rustix::io::pread(file, buffer, offset),
            #[cfg(target_os = "linux")]
            Self::Asked => {
                use rustix::io::{ReadWriteFlags, preadv2};

                let mut buffers = [std::io::IoSliceMut::new(buffer)];
                preadv2(file, &mut buffers, offset, ReadWriteFlags::NOWAIT)
            }
            Self::Unknown => Ok(0),
        };
        let count = read.ok().filter(|count| *count > 0);
        if count.is_none() {
            *self = Self::Unknown;
        }
        count
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{self, Write};

    use super::*;

    /// A file with 100,000 bytes in it.
    fn filled(file: io::Result<File>) -> File {
        let mut file = file.unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        file
    }

    #[test]
    fn what_was_just_written_is_in_memory() {
        let file = filled(tempfile::tempfile_in("/dev/shm"));
        let mut cache = Cache::of(&file);
        assert!(matches!(cache, Cache::Whole));
        let mut buffer = [0; 1000];
        assert_eq!(cache.read(&file, &mut buffer, 99_500), Some(500));
        assert_eq!(buffer[..500], [7; 500]);
        assert_eq!(buffer[500..], [0; 500]);
        assert!(cache.is_known());
        assert_eq!(cache.read(&file, &mut buffer, 100_000), None);
        assert!(!cache.is_known());
    }

    #[test]
    fn a_file_system_that_cannot_be_asked_is_not_asked_again() {
        let file = filled(tempfile::tempfile_in("/dev/shm"));
        let mut cache = Cache::Asked;
        let mut buffer = [0; 1000];
        if cache.read(&file, &mut buffer, 0).is_none() {
            assert!(!cache.is_known());
            assert_eq!(cache.read(&file, &mut buffer, 0), None);
        }
    }

    #[test]
    fn one_that_can_be_asked_gives_what_is_there() {
        let file = filled(tempfile::tempfile());
        let mut cache = Cache::Asked;
        let mut buffer = [0; 1000];
        // Whether it can, and whether the pages are still there, is the machine's business.
        if let Some(count) = cache.read(&file, &mut buffer, 99_500) {
            assert!((1..=500).contains(&count));
            assert_eq!(buffer[..count], [7; 500][..count]);
        }
    }
}
