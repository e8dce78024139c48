//! Hands what was seen to the watcher, without ever waiting for it.
//!
//! What waits is bounded: when the watcher does not keep up, reads are left out, and it is told how
//! much.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender, TryRecvError},
    },
    time::Instant,
};

use bytes::Bytes;
use framing::serve::Address;

use super::found::End;

/// Bytes that wait for the watcher at most.
const ROOM: usize = 32 * 1024 * 1024;

/// What a note costs beside its bytes.
const COST: usize = 256;

/// Something seen on a connection.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) connection: u64,
    pub(super) at: Instant,
    pub(super) event: Event,
    cost: usize,
}

#[derive(Debug)]
pub(super) enum Event {
    Opened(Address),
    Read(End, Bytes),
    /// So many bytes in so many reads were not kept.
    LeftOut(End, u64, u64),
    Ended(End),
    /// The connection is gone; if it did not end by itself, why.
    Closed(Option<String>),
    /// So many connections were not watched from their start.
    Unwatched(u64),
}

/// Where notes are put.
#[derive(Clone, Debug)]
pub(super) struct Notes {
    sender: Sender<Note>,
    waiting: Arc<AtomicUsize>,
    unwatched: Arc<AtomicU64>,
}

/// Where they come out.
#[derive(Debug)]
pub(super) struct Inbox {
    receiver: Receiver<Note>,
    waiting: Arc<AtomicUsize>,
}

pub(super) fn channel() -> (Notes, Inbox) {
    let (sender, receiver) = mpsc::channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let notes = Notes {
        sender,
        waiting: waiting.clone(),
        unwatched: Arc::default(),
    };
    (notes, Inbox { receiver, waiting })
}

impl Notes {
    /// Notes of a new connection; none if there is no room to begin with.
    pub(super) fn open(&self, connection: u64, peer: Address) -> Option<Log> {
        let log = Log {
            notes: self.clone(),
            connection,
        };
        if !self.has_room(0) {
            self.unwatched.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let unwatched = self.unwatched.swap(0, Ordering::Relaxed);
        if unwatched > 0 {
            log.put(Event::Unwatched(unwatched));
        }
        log.put(Event::Opened(peer));
        Some(log)
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.waiting.load(Ordering::Relaxed) + bytes + COST <= ROOM
    }
}

impl Inbox {
    /// Waits for a note; none when nobody can put one any more.
    pub(super) fn wait(&self) -> Option<Note> {
        self.receiver.recv().ok().map(|note| self.taken(note))
    }

    /// A note that is there already.
    pub(super) fn next(&self) -> Result<Note, TryRecvError> {
        self.receiver.try_recv().map(|note| self.taken(note))
    }

    fn taken(&self, note: Note) -> Note {
        self.waiting.fetch_sub(note.cost, Ordering::Relaxed);
        note
    }
}

/// The notes of one connection.
#[derive(Clone, Debug)]
pub(super) struct Log {
    notes: Notes,
    connection: u64,
}

impl Log {
    /// Notes that the connection is gone.
    pub(super) fn closed(&self, why: Option<String>) {
        self.put(Event::Closed(why));
    }

    fn put(&self, event: Event) {
        let cost = COST
            + match &event {
                Event::Read(_, bytes) => bytes.len(),
                _ => 0,
            };
        self.notes.waiting.fetch_add(cost, Ordering::Relaxed);
        let note = Note {
            connection: self.connection,
            at: Instant::now(),
            event,
            cost,
        };
        // Without a watcher the program is about to end.
        let _ = self.notes.sender.send(note);
    }
}

/// The notes of one direction of it.
#[derive(Debug)]
pub(super) struct Tap {
    log: Option<Log>,
    from: End,
    /// Bytes and reads that there was no room for.
    left_out: (u64, u64),
}

impl Tap {
    pub(super) fn new(log: Option<Log>, from: End) -> Self {
        Self {
            log,
            from,
            left_out: (0, 0),
        }
    }

    /// Notes a read, or that there was one.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        let Some(log) = &self.log else {
            return;
        };
        if log.notes.has_room(bytes.len() + COST) {
            let log = log.clone();
            self.tell_left_out();
            log.put(Event::Read(self.from, Bytes::copy_from_slice(bytes)));
        } else {
            self.left_out.0 += bytes.len() as u64;
            self.left_out.1 += 1;
        }
    }

    /// Notes the end of the stream.
    pub(super) fn ended(&mut self) {
        self.tell_left_out();
        if let Some(log) = &self.log {
            log.put(Event::Ended(self.from));
        }
    }

    fn tell_left_out(&mut self) {
        let (bytes, reads) = std::mem::take(&mut self.left_out);
        if let Some(log) = &self.log
            && reads > 0
        {
            log.put(Event::LeftOut(self.from, bytes, reads));
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.tell_left_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_that_sleeps_is_told_what_it_missed_and_holds_a_bounded_amount() {
        let (notes, inbox) = channel();
        let log = notes.open(1, Address::Memory(1)).unwrap();
        let mut tap = Tap::new(Some(log.clone()), End::Client);
        let piece = vec![7; 1 << 20];
        for _ in 0..100 {
            tap.read(&piece);
            assert!(notes.waiting.load(Ordering::Relaxed) <= ROOM);
        }
        while notes.has_room(0) {
            log.put(Event::Ended(End::Client));
        }
        assert!(notes.open(2, Address::Memory(2)).is_none());

        let mut seen = 0;
        while let Ok(note) = inbox.next() {
            if let Event::Read(End::Client, bytes) = note.event {
                seen += bytes.len() as u64;
            }
        }
        assert_eq!(notes.waiting.load(Ordering::Relaxed), 0);
        tap.read(b"again");
        let left_out = inbox.next().unwrap().event;
        assert!(
            matches!(left_out, Event::LeftOut(End::Client, bytes, reads)
                if bytes + seen == 100 << 20 && bytes == reads << 20),
            "{left_out:?}"
        );
        assert!(matches!(inbox.next().unwrap().event, Event::Read(..)));
        notes.open(3, Address::Memory(3)).unwrap();
        assert!(matches!(inbox.next().unwrap().event, Event::Unwatched(1)));
    }
}
