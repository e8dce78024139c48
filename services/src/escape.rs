//! Shows foreign text without letting it act on a log or a terminal.
//!
//! A user name, a file name or an error text that came from a peer may hold line feeds (which forge
//! log records), escape sequences (which drive a terminal), or invisible and direction-changing
//! characters (which make one name look like another). [`escaped`] writes such characters as
//! visible escapes and cuts the text to a bounded length.
//!
//! It does not make text fit for a shell, HTML or SQL.
//!
//! ```
//! use services::escape::escaped;
//!
//! assert_eq!(escaped("bob\nroot logged in").to_string(), r"bob\nroot logged in");
//! assert_eq!(escaped("\u{1b}[2J").to_string(), r"\u{1b}[2J");
//! ```

use std::fmt::{self, Display, Write as _};

/// How many bytes [`escaped`] writes at most, unless [`Escaped::limit`] says otherwise.
pub const DEFAULT_LIMIT: usize = 256;

/// Written in place of what was cut off.
const CUT: char = '…';

/// Wraps `text` so that its `Display` is one harmless line of at most [`DEFAULT_LIMIT`] bytes.
pub fn escaped(text: &str) -> Escaped<'_> {
    Escaped {
        text,
        limit: DEFAULT_LIMIT,
    }
}

/// Foreign text in a form that is safe to show; made by [`escaped`].
///
/// Control characters, invisible and direction-changing characters, line separators, backslashes
/// and double quotes are written as escapes in Rust's notation, so the shown form says exactly what
/// the text was. Everything else is written as it is. A text whose shown form would be longer than
/// the limit ends in `…`.
#[derive(Clone, Copy)]
pub struct Escaped<'a> {
    text: &'a str,
    limit: usize,
}

impl Escaped<'_> {
    /// Sets the largest number of bytes written, the mark of a cut (three bytes) included.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    fn is_short(&self) -> bool {
        let mut length = 0;
        for c in self.text.chars() {
            length += shown_length(c);
            // The sum stops here, so a text of many megabytes costs no more than a short one.
            if length > self.limit {
                return false;
            }
        }
        true
    }
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_short() {
            return self.text.chars().try_for_each(|c| write_shown(f, c));
        }
        let Some(mut room) = self.limit.checked_sub(CUT.len_utf8()) else {
            return Ok(());
        };
        for c in self.text.chars() {
            match room.checked_sub(shown_length(c)) {
                Some(left) => room = left,
                None => break,
            }
            write_shown(f, c)?;
        }
        f.write_char(CUT)
    }
}

impl fmt::Debug for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Whether `c` leaves no mark of its own or changes the direction of its neighbours.
///
/// Variation selectors are not among them: emoji need them, and they change only how the character
/// before them is drawn.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

fn needs_code(c: char) -> bool {
    c.is_control() || is_invisible(c)
}

fn short_escape(c: char) -> Option<&'static str> {
    Some(match c {
        '\n' => r"\n",
        '\r' => r"\r",
        '\t' => r"\t",
        '\0' => r"\0",
        '\\' => r"\\",
        '"' => "\\\"",
        _ => return None,
    })
}

fn write_shown(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match short_escape(c) {
        Some(escape) => f.write_str(escape),
        None if needs_code(c) => write!(f, "\\u{{{:x}}}", u32::from(c)),
        None => f.write_char(c),
    }
}

fn shown_length(c: char) -> usize {
    match short_escape(c) {
        Some(escape) => escape.len(),
        None if needs_code(c) => {
            let digits = (u32::from(c) | 1).ilog(16) as usize + 1;
            r"\u{}".len() + digits
        }
        None => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn svc_b18_whatever_acts_on_a_log_or_terminal_is_escaped() {
        for (text, shown) in [
            ("a\nb", r"a\nb"),
            ("a\r\nb", r"a\r\nb"),
            ("\u{1b}]0;title\u{7}", r"\u{1b}]0;title\u{7}"),
            ("a\0b", r"a\0b"),
            ("a\u{202e}txt.exe", r"a\u{202e}txt.exe"),
            ("a\u{200b}b", r"a\u{200b}b"),
            ("a\u{9b}31m", r"a\u{9b}31m"),
            ("} {\"level\":\"info\"", "} {\\\"level\\\":\\\"info\\\""),
            (r"a\nb", r"a\\nb"),
            ("用户 é 🦀", "用户 é 🦀"),
        ] {
            assert_eq!(escaped(text).to_string(), shown);
        }
    }

    #[test]
    fn svc_b18_long_text_is_cut_and_says_so() {
        let exact = "x".repeat(256);
        assert_eq!(escaped(&exact).to_string(), exact);
        let shown = escaped(&"x".repeat(64 << 10)).to_string();
        assert_eq!(shown, format!("{}…", "x".repeat(253)));
        // The cut never splits an escape or a character.
        let shown = escaped(&"\u{1b}".repeat(1000)).to_string();
        assert!(shown.len() <= 256, "{}", shown.len());
        assert!(shown.ends_with(r"\u{1b}…"), "{shown}");
        let shown = escaped(&"语".repeat(1000)).limit(10).to_string();
        assert_eq!(shown, "语语…");
        assert_eq!(escaped("long").limit(2).to_string(), "");
    }

    #[test]
    fn the_counted_length_is_the_written_length() {
        for c in ('\0'..='\u{2100}').chain(['\u{e0001}', '\u{10ffff}', '🦀']) {
            let text = c.to_string();
            assert_eq!(escaped(&text).to_string().len(), shown_length(c), "{c:?}");
        }
    }
}
