//! Keeps what each call on a socket did: who called, when, and which bytes went or came.
//!
//! A call is noted after it has returned, with what it returned, so the record is of what the sockets
//! did and not of what was meant.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;

/// One end of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The one that connects and sends the messages.
    Client,
    /// The one that listens and reads them.
    Server,
}

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// `send`: bytes are handed to the system.
    Send,
    /// `recv`: bytes are taken from the system. None of them is the end of the stream.
    Recv,
    /// `shutdown`: nothing more will be sent.
    Close,
}

/// A call that has returned.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) side: Side,
    pub(super) call: Call,
    /// How many bytes there was something to send of, or room to receive.
    pub(super) asked: usize,
    /// Since the tape began.
    pub(super) began: Duration,
    pub(super) ended: Duration,
    /// Those that the call took or gave.
    pub(super) bytes: Bytes,
}

impl Event {
    /// When it counts: bytes are on their way from the beginning of a `send`, and there at the end of
    /// a `recv`. In this order no byte comes before it goes.
    pub(super) fn at(&self) -> Duration {
        match self.call {
            Call::Send | Call::Close => self.began,
            Call::Recv => self.ended,
        }
    }

    /// Whether it is a `recv` that gave nothing: the peer has closed its side.
    pub(super) fn is_end(&self) -> bool {
        self.call == Call::Recv && self.bytes.is_empty()
    }
}

/// The record of one conversation, written by both sides.
#[derive(Debug)]
pub(super) struct Tape {
    origin: Instant,
    events: Mutex<Vec<Event>>,
}

impl Tape {
    /// An empty one, whose clock starts now.
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            events: Mutex::new(Vec::new()),
        }
    }

    /// Since the tape began.
    pub(super) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Notes a call that returns now.
    pub(super) fn note(&self, side: Side, call: Call, asked: usize, began: Duration, bytes: Bytes) {
        let ended = self.now();
        self.events().push(Event {
            side,
            call,
            asked,
            began,
            ended,
            bytes,
        });
    }

    /// How many bytes one side has sent so far.
    pub(super) fn sent(&self, by: Side) -> usize {
        let events = self.events();
        let sends = events
            .iter()
            .filter(|event| event.side == by && event.call == Call::Send);
        sends.map(|event| event.bytes.len()).sum()
    }

    /// All of it in the order of time, which begins with the first call.
    pub(super) fn finish(&self, looked: Option<Looked>) -> Record {
        let mut events = std::mem::take(&mut *self.events());
        // What came before, such as starting a thread, is nobody's business.
        let first = events.iter().map(|event| event.began).min();
        let first = first.unwrap_or_default();
        for event in &mut events {
            event.began -= first;
            event.ended -= first;
        }
        // Stable: of two at the same instant, the one that was noted first stays first.
        events.sort_by_key(Event::at);
        Record {
            events,
            looked: looked.map(|looked| Looked {
                at: looked.at.saturating_sub(first),
                ..looked
            }),
        }
    }

    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        // A side that panicked has pushed its event or has not; the list is whole either way.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What waited in a server's input buffer when a late reader looked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looked {
    pub(super) at: Duration,
    /// Bytes that had arrived and were not read.
    pub(super) waiting: usize,
}

/// What happened in one conversation.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) events: Vec<Event>,
    /// Only of a reader that came late.
    pub(super) looked: Option<Looked>,
}

impl Record {
    /// The calls of one kind on one side.
    pub(super) fn calls(&self, side: Side, call: Call) -> impl Iterator<Item = &Event> {
        self.events
            .iter()
            .filter(move |event| event.side == side && event.call == call)
    }

    /// All bytes of those calls.
    pub(super) fn bytes(&self, side: Side, call: Call) -> Vec<u8> {
        self.calls(side, call)
            .flat_map(|event| event.bytes.iter().copied())
            .collect()
    }

    /// How often the side that sends had to wait for an answer: turns of direction.
    pub(super) fn round_trips(&self) -> usize {
        let mut turns = 0;
        let mut last = Side::Server;
        let sends = self
            .events
            .iter()
            .filter(|event| event.call == Call::Send && !event.bytes.is_empty());
        for event in sends {
            if (last, event.side) == (Side::Client, Side::Server) {
                turns += 1;
            }
            last = event.side;
        }
        turns
    }
}
