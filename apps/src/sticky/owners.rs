//! Says of each byte on the way to the server which message it belongs to, and whether it is the
//! message's own or wrapped around it.

use std::ops::Range;

use super::scene::Message;

/// Whose a byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Of the message with this number.
    Message(usize),
    /// What the server's framing says to the client's.
    Answer,
}

/// Bytes in a row of one owner and one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) owner: Owner,
    /// Added by the framing.
    pub(super) wrapping: bool,
    pub(super) bytes: Vec<u8>,
}

/// Whose each byte of a stream is.
#[derive(Clone, Debug)]
pub(super) struct Owners {
    marks: Vec<(Owner, bool)>,
}

impl Owners {
    /// Of messages with nothing around them.
    pub(super) fn bare(messages: &[Message]) -> Self {
        let of = |(number, message): (usize, &Message)| {
            std::iter::repeat_n((Owner::Message(number), false), message.content.len())
        };
        Self {
            marks: messages.iter().enumerate().flat_map(of).collect(),
        }
    }

    /// Of framed messages: the bytes of each end in `stream` at its place in `ends`.
    pub(super) fn framed(stream: &[u8], ends: &[usize], messages: &[Message]) -> Self {
        let mut marks = Vec::with_capacity(stream.len());
        let mut start = 0;
        for (number, (&end, message)) in ends.iter().zip(messages).enumerate() {
            let wire = stream.get(start..end).unwrap_or_default();
            let wrapping = wrapped(wire, &message.content);
            marks.extend(wrapping.map(|wrapping| (Owner::Message(number), wrapping)));
            start = end;
        }
        // Whatever was written behind the last message belongs to its framing.
        let last = Owner::Message(messages.len().saturating_sub(1));
        marks.resize(stream.len().max(marks.len()), (last, true));
        Self { marks }
    }

    /// How many messages have bytes in this part of the stream.
    pub(super) fn messages_in(&self, range: Range<usize>) -> usize {
        let mut seen = Vec::new();
        for (owner, _) in self.marks.get(range).unwrap_or_default() {
            if !seen.contains(owner) {
                seen.push(*owner);
            }
        }
        seen.len()
    }

    /// The bytes that stand at `from` of the stream, piece by piece.
    pub(super) fn pieces(&self, from: usize, bytes: &[u8]) -> Vec<Piece> {
        let unknown = (Owner::Answer, true);
        let marks = self.marks.iter().skip(from).copied();
        pieces(
            bytes
                .iter()
                .copied()
                .zip(marks.chain(std::iter::repeat(unknown))),
        )
    }

    /// The first bytes of one message, as a datagram holds them.
    pub(super) fn of_message(number: usize, bytes: &[u8]) -> Vec<Piece> {
        let mark = (Owner::Message(number), false);
        pieces(bytes.iter().map(|byte| (*byte, mark)))
    }

    /// Bytes on the way back to the client.
    pub(super) fn answer(bytes: &[u8]) -> Vec<Piece> {
        pieces(bytes.iter().map(|byte| (*byte, (Owner::Answer, true))))
    }
}

fn pieces(bytes: impl Iterator<Item = (u8, (Owner, bool))>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (byte, (owner, wrapping)) in bytes {
        match pieces.last_mut() {
            Some(piece) if piece.owner == owner && piece.wrapping == wrapping => {
                piece.bytes.push(byte);
            }
            _ => pieces.push(Piece {
                owner,
                wrapping,
                bytes: vec![byte],
            }),
        }
    }
    pieces
}

/// For each byte on the wire, whether the framing added it.
fn wrapped(wire: &[u8], content: &[u8]) -> impl Iterator<Item = bool> {
    let whole = wire
        .windows(content.len().max(1))
        .rposition(|window| window == content);
    let mut wrapping = vec![true; wire.len()];
    if let Some(start) = whole {
        wrapping[start..start + content.len()].fill(false);
    } else {
        // Bytes stuffed in between, as by `cobs`: those that come in the content's order are its own.
        let mut rest = content.iter();
        let mut wanted = rest.next();
        for (wrapping, byte) in wrapping.iter_mut().zip(wire) {
            if wanted == Some(byte) {
                *wrapping = false;
                wanted = rest.next();
            }
        }
    }
    wrapping.into_iter()
}

#[cfg(test)]
mod tests {
    use super::{super::scene::short, *};

    #[test]
    fn the_content_is_found_in_its_wrapping() {
        let stream = b"5:hello,5:sigui,";
        let owners = Owners::framed(stream, &[8, 16], &short());
        let pieces = owners.pieces(0, stream);
        let told: Vec<_> = pieces
            .iter()
            .map(|piece| (piece.wrapping, &piece.bytes[..]))
            .collect();
        assert_eq!(
            told,
            [
                (true, &b"5:"[..]),
                (false, b"hello"),
                (true, b","),
                (true, b"5:"),
                (false, b"sigui"),
                (true, b","),
            ]
        );
        assert_eq!(owners.messages_in(0..8), 1);
        assert_eq!(owners.messages_in(7..9), 2);
    }

    #[test]
    fn stuffed_bytes_are_the_framing_s() {
        let wrapping: Vec<bool> = wrapped(b"\xffaa\x02a\0", b"aaa").collect();
        assert_eq!(wrapping, [true, false, false, true, false, true]);
    }
}
