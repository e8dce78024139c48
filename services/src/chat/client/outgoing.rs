//! Messages on their way to the directory, and those it has taken and not yet told of.
//!
//! ```text
//!  queued ─▶ in the window, repeated ─▶ taken by the directory ─▶ shown, or failed
//! ```

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    super::{
        name::PeerName,
        pieces,
        wire::{self, Ask, Request},
    },
    MessageId,
    repeat::Repeat,
};

/// Pieces that may be on their way at once; the directory keeps more than that.
const WINDOW: u64 = 8;

/// Messages of which nobody knows yet what becomes of them; the directory allows more.
const MOST_UNDER_WAY: usize = 32;

/// How often a piece is sent at most: for 28 seconds.
pub(super) const MOST_TRIES: u32 = 16;

/// How long the directory's word on a message is waited for. It gives up after half of that.
const PATIENCE: Duration = Duration::from_secs(60);

/// A message and what is known of it.
#[derive(Debug)]
struct Message {
    id: MessageId,
    to: PeerName,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
struct Piece {
    text: String,
    /// Its number, once it has been sent.
    seq: Option<u64>,
    /// The directory has it.
    taken: bool,
    repeat: Option<Repeat>,
}

/// A message that the directory has taken.
#[derive(Debug)]
struct Awaited {
    id: MessageId,
    to: PeerName,
    until: Instant,
}

/// All messages.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    queue: VecDeque<Message>,
    /// By the numbers of their last pieces.
    awaited: BTreeMap<u64, Awaited>,
    /// The number for the next piece.
    next: u64,
    /// Datagrams with a piece, and how many of them were repeated.
    pub(super) sent: u64,
    pub(super) repeated: u64,
}

impl Outgoing {
    pub(super) fn put(&mut self, id: MessageId, to: PeerName, text: &str) {
        let piece = |text: &str| Piece {
            text: text.to_owned(),
            seq: None,
            taken: false,
            repeat: None,
        };
        let pieces = pieces::cut(text).into_iter().map(piece).collect();
        self.queue.push_back(Message { id, to, pieces });
    }

    /// How many messages there are of which nothing has been told.
    pub(super) fn len(&self) -> usize {
        self.queue.len() + self.awaited.len()
    }

    /// The next piece to be sent, or sent again.
    pub(super) fn transmit(
        &mut self,
        session: &str,
        next_id: &mut u32,
        now: Instant,
    ) -> Option<Bytes> {
        let room = MOST_UNDER_WAY.saturating_sub(self.awaited.len());
        let mut base = None;
        for message in self.queue.iter_mut().take(room) {
            let last = message.pieces.len() - 1;
            for (index, piece) in message.pieces.iter_mut().enumerate() {
                if piece.taken {
                    continue;
                }
                let seq = piece.seq.unwrap_or(self.next);
                let base = *base.get_or_insert(seq);
                if seq >= base + WINDOW {
                    return None;
                }
                if piece.seq.is_none() {
                    piece.seq = Some(seq);
                    self.next = seq + 1;
                }
                if piece.repeat.is_none() {
                    *next_id = next_id.wrapping_add(1);
                    let ask = Ask::Say {
                        session: session.to_owned(),
                        seq,
                        to: message.to.to_string(),
                        text: piece.text.clone(),
                        more: index < last,
                    };
                    let object = wire::write(&Request { id: *next_id, ask })?;
                    piece.repeat = Some(Repeat::new(*next_id, object, now, MOST_TRIES));
                }
                let repeat = piece.repeat.as_mut()?;
                if let Some(object) = repeat.due(now) {
                    self.sent += 1;
                    self.repeated += u64::from(repeat.tries() > 1);
                    return Some(object);
                }
            }
        }
        None
    }

    /// When there is something to do; `now` if it is now.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let room = MOST_UNDER_WAY.saturating_sub(self.awaited.len());
        let mut unsent = self.next;
        let mut base = None;
        let mut first: Option<Instant> = None;
        let pieces = self.queue.iter().take(room).flat_map(|m| &m.pieces);
        for piece in pieces.filter(|piece| !piece.taken) {
            let seq = piece.seq.unwrap_or(unsent);
            if seq >= *base.get_or_insert(seq) + WINDOW {
                break;
            }
            unsent += u64::from(piece.seq.is_none());
            let at = piece.repeat.as_ref().map_or(now, Repeat::at);
            first = Some(first.map_or(at, |first| first.min(at)));
        }
        let expiry = self.awaited.values().map(|awaited| awaited.until);
        expiry.chain(first).min()
    }

    /// Whether a piece was sent as often as it may be.
    pub(super) fn is_exhausted(&self, now: Instant) -> bool {
        self.repeats().any(|repeat| repeat.is_exhausted(now))
    }

    /// Whether this is the number of a request that waits for its answer.
    pub(super) fn awaits(&self, id: u32) -> bool {
        self.repeats().any(|repeat| repeat.id == id)
    }

    /// Notes that the directory has the piece `seq` and all in front of `next`.
    pub(super) fn taken(&mut self, seq: Option<u64>, next: u64, now: Instant) {
        let pieces = self
            .queue
            .iter_mut()
            .flat_map(|message| &mut message.pieces);
        for piece in pieces {
            if piece.seq.is_some_and(|own| own < next || Some(own) == seq) {
                piece.taken = true;
                piece.repeat = None;
            }
        }
        while let Some(message) = self.queue.front()
            && let Some(last) = message.pieces.last().and_then(|piece| piece.seq)
            && last < next
            && let Some(Message { id, to, .. }) = self.queue.pop_front()
        {
            let until = now + PATIENCE;
            self.awaited.insert(last, Awaited { id, to, until });
        }
    }

    /// Takes out the message whose last piece this is.
    pub(super) fn close(&mut self, seq: u64, now: Instant) -> Option<(MessageId, PeerName)> {
        // The word on it may have overtaken the word that it was taken.
        self.taken(None, self.next.min(seq.saturating_add(1)), now);
        let Awaited { id, to, .. } = self.awaited.remove(&seq)?;
        Some((id, to))
    }

    /// Goes on in a new session of the same directory, which has all in front of `next`.
    pub(super) fn resume(&mut self, next: u64, now: Instant) {
        self.taken(None, next, now);
        self.next = next;
        for piece in self
            .queue
            .iter_mut()
            .flat_map(|message| &mut message.pieces)
        {
            piece.seq = None;
            piece.taken = false;
            piece.repeat = None;
        }
    }

    /// Gives up what the directory may have had before it forgot everything.
    pub(super) fn forgotten(&mut self, next: u64) -> Vec<(MessageId, PeerName)> {
        let awaited = std::mem::take(&mut self.awaited).into_values();
        let mut lost: Vec<_> = awaited.map(|awaited| (awaited.id, awaited.to)).collect();
        while let Some(message) = self.queue.front()
            && message.pieces[0].seq.is_some()
            && let Some(Message { id, to, .. }) = self.queue.pop_front()
        {
            lost.push((id, to));
        }
        self.next = next;
        lost
    }

    /// Gives up all that the directory has not taken.
    pub(super) fn give_up(&mut self) -> Vec<(MessageId, PeerName)> {
        let queue = std::mem::take(&mut self.queue).into_iter();
        queue.map(|message| (message.id, message.to)).collect()
    }

    /// Gives up what the directory has told nothing of for too long.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<(MessageId, PeerName)> {
        let is_over = |awaited: &&Awaited| awaited.until <= now;
        let over = self.awaited.values().filter(is_over);
        let expired = over
            .map(|awaited| (awaited.id, awaited.to.clone()))
            .collect();
        self.awaited.retain(|_, awaited| awaited.until > now);
        expired
    }

    fn repeats(&self) -> impl Iterator<Item = &Repeat> {
        let pieces = self.queue.iter().flat_map(|message| &message.pieces);
        pieces.filter_map(|piece| piece.repeat.as_ref())
    }
}
