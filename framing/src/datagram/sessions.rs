//! The table of peers that are served, which has a bound.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use crate::serve::Address;

/// Whose session it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// The peer at an address.
    Peer(Address),
    /// A peer without a name. Nobody can tell whether two requests come from the same one, so each
    /// has a session to itself.
    Unnamed(u64),
}

/// The limits of a table.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// Sessions at once, at least 1.
    pub(super) sessions: usize,
    /// How long a session is kept without a request in flight.
    pub(super) idle: Duration,
    /// Requests of one peer that are in flight.
    pub(super) of_a_peer: usize,
    /// Requests of all peers that are in flight.
    pub(super) requests: usize,
    /// Bytes of these, at which no further one is taken.
    pub(super) bytes: usize,
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is with its session.
    Taken,
    /// Its peer needs a session first, and there is room for one.
    NewPeer,
    /// It is one too many.
    Dropped,
    /// Its peer has no session, and all that there may be are busy.
    Refused,
}

/// One peer.
#[derive(Debug)]
struct Session {
    number: u64,
    requests: UnboundedSender<Bytes>,
    /// The bytes of each request in flight; they are answered in order.
    in_flight: VecDeque<usize>,
    /// While nothing is in flight: its place in the order of `Sessions::idle`.
    turn: u64,
    idle_since: Instant,
}

/// All peers, and what is in flight: `bytes` and `requests` are the sums over all sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    bounds: Bounds,
    table: HashMap<Key, Session>,
    /// The sessions without a request in flight, that which has been so for longest first.
    idle: BTreeMap<u64, Key>,
    turn: u64,
    requests: usize,
    bytes: usize,
}

impl Sessions {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            table: HashMap::new(),
            idle: BTreeMap::new(),
            turn: 0,
            requests: 0,
            bytes: 0,
        }
    }

    /// Hands a request to its peer's session, or says why not.
    pub(super) fn admit(&mut self, key: &Key, frame: Bytes) -> Admission {
        if self.requests >= self.bounds.requests || self.bytes >= self.bounds.bytes {
            return Admission::Dropped;
        }
        let Some(session) = self.table.get_mut(key) else {
            let room = self.table.len() < self.bounds.sessions || !self.idle.is_empty();
            return if room {
                Admission::NewPeer
            } else {
                Admission::Refused
            };
        };
        if session.in_flight.len() >= self.bounds.of_a_peer {
            return Admission::Dropped;
        }
        let size = frame.len();
        if session.requests.send(frame).is_err() {
            // Its service has failed, and the news is on its way. The next request begins anew.
            return Admission::Dropped;
        }
        if session.in_flight.is_empty() {
            self.idle.remove(&session.turn);
        }
        session.in_flight.push_back(size);
        self.requests += 1;
        self.bytes += size;
        Admission::Taken
    }

    /// Begins a session. Tells whether one had to end for it: that which was idle for longest.
    pub(super) fn open(
        &mut self,
        key: Key,
        number: u64,
        requests: UnboundedSender<Bytes>,
        now: Instant,
    ) -> bool {
        let mut evicted = false;
        while self.table.len() >= self.bounds.sessions
            && let Some((_, oldest)) = self.idle.pop_first()
        {
            self.table.remove(&oldest);
            evicted = true;
        }
        let session = Session {
            number,
            requests,
            in_flight: VecDeque::new(),
            turn: self.next_turn(),
            idle_since: now,
        };
        self.idle.insert(session.turn, key.clone());
        self.table.insert(key, session);
        evicted
    }

    /// Notes that the oldest request of a session has been answered.
    pub(super) fn answered(&mut self, key: &Key, number: u64, now: Instant) {
        let turn = self.next_turn();
        let Some(session) = self.session(key, number) else {
            return;
        };
        let Some(size) = session.in_flight.pop_front() else {
            return;
        };
        let is_idle = session.in_flight.is_empty();
        session.turn = turn;
        session.idle_since = now;
        self.requests -= 1;
        self.bytes -= size;
        match key {
            Key::Peer(_) if is_idle => {
                self.idle.insert(turn, key.clone());
            }
            // There will be no second request.
            Key::Unnamed(_) => {
                self.table.remove(key);
            }
            Key::Peer(_) => {}
        }
    }

    /// Forgets a session whose service has ended. Returns how many requests it leaves unanswered.
    pub(super) fn ended(&mut self, key: &Key, number: u64) -> usize {
        if self.session(key, number).is_none() {
            return 0;
        }
        let Some(session) = self.table.remove(key) else {
            return 0;
        };
        if session.in_flight.is_empty() {
            self.idle.remove(&session.turn);
        }
        self.requests -= session.in_flight.len();
        self.bytes -= session.in_flight.iter().sum::<usize>();
        session.in_flight.len()
    }

    /// When the next session will have been idle for too long; `None` if none will.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let (_, key) = self.idle.first_key_value()?;
        let session = self.table.get(key)?;
        session.idle_since.checked_add(self.bounds.idle)
    }

    /// Ends the sessions that have been idle for too long.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.next_expiry().is_some_and(|at| at <= now)
            && let Some((_, key)) = self.idle.pop_first()
        {
            self.table.remove(&key);
        }
    }

    /// Takes no further request; those that are taken can still be answered.
    pub(super) fn close(&mut self) {
        self.table.clear();
        self.idle.clear();
        (self.requests, self.bytes) = (0, 0);
    }

    /// The session, unless another has taken its place.
    fn session(&mut self, key: &Key, number: u64) -> Option<&mut Session> {
        self.table
            .get_mut(key)
            .filter(|session| session.number == number)
    }

    fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }
}
