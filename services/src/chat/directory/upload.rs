//! What a client says, in order and each piece once, however the datagrams come.
//!
//! ```text
//!  came      3 1 1 4        next = 3: pieces 1 and 2 are taken, 4 waits for 3
//!  in order  1 2 │ . 4
//! ```

use std::collections::BTreeMap;

use super::super::pieces::{Joining, TooLong};

/// How far ahead of the next piece one may be. Only these are kept, so a repeated datagram needs no list
/// of all that ever came: what is behind the next piece has been taken.
pub(super) const WINDOW: u64 = 16;

/// A piece of a message.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) to: String,
    pub(super) text: String,
    pub(super) more: bool,
}

/// A whole message; its number is that of its last piece.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) seq: u64,
    pub(super) to: String,
    pub(super) text: Result<String, TooLong>,
}

/// The pieces of one sender.
#[derive(Debug)]
pub(super) struct Upload {
    next: u64,
    /// The first piece of the message that is not complete.
    first: u64,
    ahead: BTreeMap<u64, Piece>,
    joining: Joining,
}

impl Default for Upload {
    fn default() -> Self {
        Self {
            next: 1,
            first: 1,
            ahead: BTreeMap::new(),
            joining: Joining::default(),
        }
    }
}

impl Upload {
    /// All pieces in front of this one have been taken.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Takes a piece. Tells whether it is taken, now or before; one too far ahead is not.
    pub(super) fn take(&mut self, seq: u64, piece: Piece) -> bool {
        let Some(ahead) = seq.checked_sub(self.next) else {
            return true;
        };
        if ahead >= WINDOW {
            return false;
        }
        self.ahead.entry(seq).or_insert(piece);
        true
    }

    /// The next message that is complete.
    pub(super) fn message(&mut self) -> Option<Message> {
        while let Some(piece) = self.ahead.remove(&self.next) {
            let seq = self.next;
            self.next += 1;
            if let Some(text) = self.joining.add(&piece.text, piece.more) {
                self.first = self.next;
                let to = piece.to;
                return Some(Message { seq, to, text });
            }
        }
        None
    }

    /// Gives back the pieces of a message that is not complete, to be said again.
    pub(super) fn rewind(&mut self) {
        self.next = self.first;
        self.ahead.clear();
        self.joining.clear();
    }

    /// Bytes that wait here.
    pub(super) fn bytes(&self) -> usize {
        let ahead = self.ahead.values();
        ahead.map(|piece| piece.text.len() + piece.to.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str, more: bool) -> Piece {
        let (to, text) = ("bob".to_owned(), text.to_owned());
        Piece { to, text, more }
    }

    fn texts(upload: &mut Upload) -> Vec<String> {
        std::iter::from_fn(|| upload.message())
            .map(|message| message.text.unwrap())
            .collect()
    }

    #[test]
    fn svc_g4_g6_whatever_order_and_however_often_each_comes_once_and_in_order() {
        let mut upload = Upload::default();
        for seq in [3, 1, 1, 3, 4] {
            assert!(upload.take(seq, piece(&seq.to_string(), false)));
        }
        assert_eq!(texts(&mut upload), ["1"]);
        assert!(upload.take(2, piece("2", false)));
        assert_eq!(texts(&mut upload), ["2", "3", "4"]);
        for seq in 0..5 {
            assert!(upload.take(seq, piece("again", false)));
        }
        assert_eq!(texts(&mut upload), Vec::<String>::new());
        assert_eq!(upload.next(), 5);
    }

    #[test]
    fn svc_g4_only_a_window_is_kept() {
        let mut upload = Upload::default();
        for seq in (2..100_000).chain([u64::MAX]) {
            let taken = upload.take(seq, piece("x", false));
            assert_eq!(taken, seq <= WINDOW, "{seq}");
        }
        assert_eq!(upload.ahead.len() as u64, WINDOW - 1);
    }

    #[test]
    fn what_is_not_complete_is_given_back() {
        let mut upload = Upload::default();
        upload.take(1, piece("whole", false));
        upload.take(2, piece("be", true));
        upload.take(4, piece("x", false));
        assert_eq!(texts(&mut upload), ["whole"]);
        assert_eq!(upload.next(), 3);
        upload.rewind();
        assert_eq!((upload.next(), upload.bytes()), (2, 0));
        upload.take(2, piece("a", true));
        upload.take(3, piece("b", false));
        assert_eq!(texts(&mut upload), ["ab"]);
    }
}
