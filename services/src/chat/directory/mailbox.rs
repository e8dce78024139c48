//! What waits for a client, and what it has been sent and has not confirmed.
//!
//! Items get their numbers when they are first sent, as many at once as fit a datagram; until these are
//! confirmed the same ones are sent again and no others, so the client needs to remember one number.
//!
//! ```text
//!  waiting ─▶ sent, numbered ─▶ confirmed by the client's next request
//! ```

use std::collections::VecDeque;

use super::super::wire::{Item, What, write};

/// Bytes of items in one datagram; what stands around them needs the rest.
const BATCH: usize = 1120;

/// An item on its way.
#[derive(Debug)]
struct Parcel {
    what: What,
    /// The message of which it is a piece.
    message: Option<u64>,
}

impl Parcel {
    fn bytes(&self) -> usize {
        match &self.what {
            What::Piece { text, .. } => text.len() + size_of::<Self>(),
            _ => size_of::<Self>(),
        }
    }

    fn ends_message(&self) -> bool {
        matches!(self.what, What::Piece { more: false, .. })
    }
}

/// The mailbox of one name.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    /// The number of the item confirmed last.
    taken: u64,
    /// Numbered from `taken + 1`.
    sent: Vec<Parcel>,
    waiting: VecDeque<Parcel>,
    /// A message of which some has been sent, but not its last piece.
    begun: Option<u64>,
    bytes: usize,
}

impl Mailbox {
    pub(super) fn put(&mut self, what: What, message: Option<u64>) {
        let parcel = Parcel { what, message };
        self.bytes += parcel.bytes();
        self.waiting.push_back(parcel);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.waiting.is_empty()
    }

    /// Bytes that wait here.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of the item confirmed last.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Notes that the client has all up to `got`, and gives the messages that are complete by that. What was
    /// never sent cannot be confirmed.
    pub(super) fn confirm(&mut self, got: u64) -> Vec<u64> {
        let count = got.saturating_sub(self.taken).min(self.sent.len() as u64);
        self.taken += count;
        let confirmed = self.sent.drain(..count as usize);
        let mut messages = Vec::new();
        for parcel in confirmed {
            self.bytes -= parcel.bytes();
            if parcel.ends_message() {
                messages.extend(parcel.message);
            }
        }
        messages
    }

    /// What to send: what is not confirmed, or else what waits.
    pub(super) fn batch(&mut self) -> Vec<Item> {
        if self.sent.is_empty() {
            self.fill();
        }
        let parcels = self.sent.iter().zip(self.taken + 1..);
        parcels.map(|(parcel, n)| item(parcel, n)).collect()
    }

    fn fill(&mut self) {
        let mut room = BATCH;
        while let Some(parcel) = self.waiting.front() {
            let n = self.taken + 1 + self.sent.len() as u64;
            let size = write(&item(parcel, n)).map_or(BATCH, |object| object.len() + 1);
            match room.checked_sub(size) {
                // An item is smaller than a batch, so that one always fits.
                Some(left) => room = left,
                None if self.sent.is_empty() => room = 0,
                None => break,
            }
            self.begun = parcel.message.filter(|_| !parcel.ends_message());
            self.sent.extend(self.waiting.pop_front());
        }
    }

    /// Takes a message back unless some of it has been sent; tells whether it did.
    pub(super) fn withdraw(&mut self, message: u64) -> bool {
        let is_of_it = |parcel: &Parcel| parcel.message == Some(message);
        let is_begun = self.begun == Some(message) || self.sent.iter().any(is_of_it);
        if !is_begun {
            self.keep(|parcel| !is_of_it(parcel));
        }
        !is_begun
    }

    /// Lets go what became of messages that the client has forgotten.
    pub(super) fn forget_receipts(&mut self) {
        self.keep(|parcel| matches!(parcel.what, What::Piece { .. }));
    }

    fn keep(&mut self, is_kept: impl Fn(&Parcel) -> bool) {
        self.waiting.retain(is_kept);
        let left = self.sent.iter().chain(&self.waiting);
        self.bytes = left.map(Parcel::bytes).sum();
    }
}

fn item(parcel: &Parcel, n: u64) -> Item {
    let what = parcel.what.clone();
    Item { n, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str, more: bool) -> What {
        What::Piece {
            from: "alice".parse().unwrap(),
            text: text.to_owned(),
            more,
        }
    }

    fn numbers(items: &[Item]) -> Vec<u64> {
        items.iter().map(|item| item.n).collect()
    }

    #[test]
    fn the_same_items_are_sent_until_they_are_confirmed() {
        let mut mailbox = Mailbox::default();
        mailbox.put(piece("a", false), Some(1));
        mailbox.put(piece("b", false), Some(2));
        assert_eq!(numbers(&mailbox.batch()), [1, 2]);
        mailbox.put(piece("c", false), Some(3));
        assert_eq!(numbers(&mailbox.batch()), [1, 2]);
        assert_eq!(mailbox.confirm(1), [1]);
        assert_eq!(numbers(&mailbox.batch()), [2]);
        // What was never sent cannot be confirmed.
        assert_eq!(mailbox.confirm(u64::MAX), [2]);
        assert_eq!(numbers(&mailbox.batch()), [3]);
        assert!(mailbox.confirm(0).is_empty());
        assert_eq!(mailbox.confirm(3), [3]);
        assert!(mailbox.is_empty());
        assert_eq!(mailbox.bytes(), 0);
    }

    #[test]
    fn a_batch_fits_a_datagram() {
        let mut mailbox = Mailbox::default();
        for message in 0..50 {
            mailbox.put(
                piece(&"x".repeat(message * 16), false),
                Some(message as u64),
            );
        }
        let mut seen = 0;
        while !mailbox.is_empty() {
            let batch = mailbox.batch();
            let size: usize = batch.iter().map(|i| write(i).unwrap().len() + 1).sum();
            assert!(size <= BATCH);
            seen += batch.len() as u64;
            assert_eq!(mailbox.confirm(seen).len(), batch.len());
        }
        assert_eq!(seen, 50);
    }

    #[test]
    fn a_message_is_taken_back_whole_or_not_at_all() {
        let mut mailbox = Mailbox::default();
        let long = "x".repeat(700);
        mailbox.put(piece(&long, true), Some(1));
        mailbox.put(piece(&long, false), Some(1));
        mailbox.put(piece("b", false), Some(2));
        assert_eq!(numbers(&mailbox.batch()), [1]);
        assert!(mailbox.confirm(1).is_empty());
        assert!(!mailbox.withdraw(1), "half of it is gone");
        assert!(mailbox.withdraw(2));
        assert_eq!(numbers(&mailbox.batch()), [2]);
        assert_eq!(mailbox.confirm(2), [1]);
        assert_eq!(mailbox.bytes(), 0);
    }
}
