//! Draws a picture with letters, for a terminal: time runs down, the client at the left.
//!
//! With colours each message has a ground of its own. Without, each is marked by its letter:
//! `A[hello]B[sigui]`.

use std::fmt::Write;

use super::{
    owners::{Owner, Piece},
    picture::{Cell, Picture, Row, What, blocks, cells},
    tape::Side,
    words::{Lang, clock},
};

/// How many blocks stand for the longest row.
const MOST_BLOCKS: usize = 40;

/// How many columns a paragraph has.
const LINE: usize = 96;

/// In front of what the server does.
const INDENT: &str = "            ";

/// How pictures are drawn in the terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Painter {
    pub(super) lang: Lang,
    pub(super) colour: bool,
}

impl Painter {
    /// A heading.
    pub(super) fn heading(self, text: &str) -> String {
        match self.colour {
            true => format!("\u{1b}[1m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }

    /// Beside the point.
    pub(super) fn aside(self, text: &str) -> String {
        match self.colour {
            true => format!("\u{1b}[2m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }

    /// A picture.
    pub(super) fn picture(self, picture: &Picture) -> String {
        let mut text = String::new();
        let (client, server) = (self.lang.client(), self.lang.server());
        let names = format!("{:>10}  {client}{INDENT}{server}", "");
        let _ = writeln!(text, "{}", self.aside(&names));
        for row in &picture.rows {
            text += &self.row(row, picture);
            text.push('\n');
        }
        text
    }

    fn row(self, row: &Row, picture: &Picture) -> String {
        let at = row.at.map(clock).unwrap_or_default();
        let label = self.lang.label(row);
        let indent = match row.side {
            Side::Client => "",
            Side::Server => INDENT,
        };
        let width: usize = label
            .chars()
            .map(|c| 1 + usize::from(c >= '\u{2e80}'))
            .sum();
        let gap = " ".repeat(13_usize.saturating_sub(width).max(1));
        let mut line = format!("{}  {indent}{label}{gap}", self.aside(&format!("{at:>10}")));
        line += &self.bytes(row, picture);
        if row.side == Side::Client && row.what == What::Send {
            line += " ──▶";
        }
        if let Some(note) = self.lang.note(row, &picture.messages) {
            let note = match row.pieces.is_empty() {
                true => note,
                false => format!("  ← {note}"),
            };
            line += &self.aside(&note);
        }
        line.trim_end().to_owned()
    }

    fn bytes(self, row: &Row, picture: &Picture) -> String {
        let mut text = String::new();
        let mut open = None;
        let mut after_hex = false;
        for piece in &row.pieces {
            let marked = picture.is_one_by_one() && !self.colour;
            // Wrapping stands with its message.
            if marked && open != Some(piece.owner) {
                if open.is_some() {
                    text.push(']');
                }
                let _ = write!(text, "{}[", letter(piece.owner, picture));
                open = Some(piece.owner);
                after_hex = false;
            }
            let shown = match picture.is_one_by_one() {
                true => one_by_one(
                    &piece.bytes,
                    &mut after_hex,
                    text.is_empty() || text.ends_with('['),
                ),
                false => {
                    let count = blocks(piece.bytes.len(), picture.widest, MOST_BLOCKS);
                    letter(piece.owner, picture).to_string().repeat(count)
                }
            };
            if self.colour {
                let _ = write!(text, "\u{1b}[{}m{shown}\u{1b}[0m", colours(piece));
            } else {
                text += &shown;
            }
        }
        if open.is_some() {
            text.push(']');
        }
        text
    }

    /// How a free run came out.
    pub(super) fn run(self, together: bool) -> String {
        let between = if together { "" } else { "·" };
        match self.colour {
            true => format!("\u{1b}[30;46mA\u{1b}[0m{between}\u{1b}[30;43mB\u{1b}[0m"),
            false => format!("A{between}B"),
        }
    }

    /// A paragraph in lines of at most [`LINE`] columns.
    pub(super) fn paragraph(self, text: &str) -> String {
        let mut lines = String::new();
        let mut width = 0;
        for word in words(text) {
            let wide: usize = word.trim_end().chars().map(columns).sum();
            if width > 0 && width + wide > LINE {
                lines.truncate(lines.trim_end().len());
                lines.push('\n');
                width = 0;
            }
            lines += word;
            width += word.chars().map(columns).sum::<usize>();
        }
        lines
    }
}

/// Where lines may be broken: behind spaces, and between Chinese letters.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let chinese = |c: char| columns(c) == 2 && c.is_alphanumeric();
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut before = None;
        let end = rest.char_indices().find_map(|(at, c)| {
            let breaks = match before.replace(c) {
                None => false,
                Some(' ') => c != ' ',
                // A line does not begin with a full stop or a comma.
                Some(before) => chinese(c) && columns(before) == 2 && before != '“',
            };
            breaks.then_some(at)
        });
        let (word, more) = rest.split_at(end.unwrap_or(rest.len()));
        rest = more;
        (!word.is_empty()).then_some(word)
    })
}

/// How wide a letter is: Chinese ones take two columns.
fn columns(c: char) -> usize {
    1 + usize::from(c >= '\u{2e80}')
}

/// Each byte; those in hex stand apart from their neighbours.
fn one_by_one(bytes: &[u8], after_hex: &mut bool, first: bool) -> String {
    let mut text = String::new();
    for cell in cells(bytes) {
        let hex = matches!(cell, Cell::Hex(_));
        if (hex || *after_hex) && !(first && text.is_empty()) {
            text.push(' ');
        }
        *after_hex = hex;
        match cell {
            Cell::Letter(letter) => text.push(letter),
            Cell::Hex(digits) => text += &digits,
        }
    }
    text
}

/// The letter of a message; answers of the framing have none.
fn letter(owner: Owner, picture: &Picture) -> char {
    match owner {
        Owner::Message(number) => picture
            .messages
            .get(number)
            .map_or('?', |(letter, _)| *letter),
        Owner::Answer => '↩',
    }
}

fn colours(piece: &Piece) -> &'static str {
    match (piece.owner, piece.wrapping) {
        (Owner::Message(0), false) => "30;46",
        (Owner::Message(0), true) => "36",
        (Owner::Message(_), false) => "30;43",
        (Owner::Message(_), true) => "33",
        (Owner::Answer, _) => "35",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn glued() -> Picture {
        let piece = |number, bytes: &[u8]| Piece {
            owner: Owner::Message(number),
            wrapping: false,
            bytes: bytes.to_vec(),
        };
        Picture {
            name: "glued".to_owned(),
            rows: vec![Row {
                at: Some(Duration::from_micros(12)),
                side: Side::Server,
                what: What::Recv,
                pieces: vec![piece(0, b"hello"), piece(1, b"sigui")],
            }],
            messages: vec![('A', 5), ('B', 5)],
            widest: 10,
        }
    }

    #[test]
    fn messages_are_told_apart_by_colours_or_by_letters() {
        let painter = |colour| Painter {
            lang: Lang::En,
            colour,
        };
        let plain = painter(false).picture(&glued());
        assert!(
            plain.contains("recv 10      A[hello]B[sigui]  ← glued: 5 of A + 5 of B"),
            "{plain}"
        );
        assert!(!plain.contains('\u{1b}'), "{plain}");
        let coloured = painter(true).picture(&glued());
        assert!(
            coloured.contains("\u{1b}[30;46mhello\u{1b}[0m\u{1b}[30;43msigui\u{1b}[0m"),
            "{coloured:?}"
        );
    }
}
