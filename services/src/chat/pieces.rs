//! Cuts a text into pieces that fit a datagram each, and joins them.

/// The longest text of a message in bytes of UTF-8.
pub const MAX_TEXT: usize = 8192;

/// The most bytes of a piece as it stands in JSON, between its quotation marks. With the longest name and
/// numbers around it, an object stays within its limit.
pub(super) const MAX_PIECE: usize = 800;

/// The most pieces of a message: the longest text, if each byte takes the six of `\u001b`, and a little
/// room at the end of each piece.
pub(super) const MAX_PIECES: usize = 64;

/// The pieces of a text, in order; at least one, none empty unless the text is.
pub(super) fn cut(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (at, c) in text.char_indices() {
        let width = width(c);
        if size + width > MAX_PIECE {
            pieces.push(&text[start..at]);
            (start, size) = (at, 0);
        }
        size += width;
    }
    pieces.push(&text[start..]);
    pieces
}

/// How many bytes a text takes in JSON.
pub(super) fn size(text: &str) -> usize {
    text.chars().map(width).sum()
}

fn width(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => c.len_utf8(),
    }
}

/// A text that comes in pieces, and never grows over its limit.
#[derive(Debug, Default)]
pub(super) struct Joining {
    text: String,
    pieces: usize,
    too_long: bool,
}

impl Joining {
    /// Adds a piece. With the last one comes the text, or `Err` if it was too long to be kept.
    pub(super) fn add(&mut self, piece: &str, more: bool) -> Option<Result<String, TooLong>> {
        self.pieces += 1;
        if self.pieces > MAX_PIECES || self.text.len() + piece.len() > MAX_TEXT {
            self.too_long = true;
            self.text = String::new();
        }
        if !self.too_long {
            self.text.push_str(piece);
        }
        if more {
            return None;
        }
        let Self { text, too_long, .. } = std::mem::take(self);
        Some(if too_long { Err(TooLong) } else { Ok(text) })
    }

    /// Forgets what has come.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The text has more bytes or pieces than it may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(pieces: &[&str]) -> Result<String, TooLong> {
        let mut joining = Joining::default();
        let (last, rest) = pieces.split_last().unwrap();
        for piece in rest {
            assert_eq!(joining.add(piece, true), None);
        }
        joining.add(last, false).unwrap()
    }

    #[test]
    fn svc_g7_the_longest_text_of_any_kind_fits_and_one_byte_more_does_not() {
        for kind in ["x", "语", "\u{1b}", "\"", "🦀", "\u{1b}🦀"] {
            let text = kind.repeat(MAX_TEXT / kind.len());
            let pieces = cut(&text);
            assert!(pieces.len() <= MAX_PIECES, "{kind:?}: {}", pieces.len());
            for piece in &pieces {
                let json = serde_json::to_string(piece).unwrap();
                assert_eq!(size(piece), json.len() - 2);
                assert!(size(piece) <= MAX_PIECE);
            }
            assert_eq!(joined(&pieces), Ok(text));
        }
        let text = "x".repeat(MAX_TEXT + 1);
        assert_eq!(joined(&cut(&text)), Err(TooLong));
    }

    #[test]
    fn pieces_without_end_take_no_memory() {
        let mut joining = Joining::default();
        for _ in 0..100_000 {
            joining.add(&"x".repeat(700), true);
            assert!(joining.text.len() <= MAX_TEXT);
        }
        assert_eq!(joining.add("", false), Some(Err(TooLong)));
        assert_eq!(joining.add("next", false), Some(Ok("next".into())));
    }
}
