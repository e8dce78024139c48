//! Shows a chat message without letting it act on the terminal.
//!
//! Unlike [`escaped`](crate::escape::escaped) it leaves backslashes, quotation marks and emoji as they are,
//! shows the text whole, and bounds what is stacked on one letter.

use std::fmt::{self, Display, Write as _};

use unicode_normalization::char::is_combining_mark;

use crate::escape::is_invisible;

/// How many marks may stand on one letter. Languages get by with three; more climb over other lines.
const MOST_MARKS: usize = 4;

/// What a mark without a letter is put on, so that it does not change what stands before the text.
const DOTTED_CIRCLE: char = '\u{25cc}';

const JOINER: char = '\u{200d}';

/// Wraps `text` so that its `Display` is one harmless line.
///
/// Control, invisible and direction-changing characters and line ends become visible escapes; of marks on
/// one letter four are kept, and of the rest is said how many there were.
///
/// ```
/// use services::chat::shown;
///
/// assert_eq!(shown(r#"你好 "C:\new" 👩‍💻"#).to_string(), r#"你好 "C:\new" 👩‍💻"#);
/// assert_eq!(shown("\u{1b}[2J\rbob\n").to_string(), r"\u{1b}[2J\rbob\n");
/// assert_eq!(shown(&format!("e{}!", "\u{301}".repeat(100))).to_string(), "e\u{301}\u{301}\u{301}\u{301}[96 more marks]!");
/// ```
pub fn shown(text: &str) -> Shown<'_> {
    Shown(text)
}

/// A message in a form that is safe to show; made by [`shown`].
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(&'a str);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut marks = 0;
        let mut before = None;
        let mut rest = self.0.chars().peekable();
        while let Some(c) = rest.next() {
            if is_combining_mark(c) {
                marks += 1;
                if marks > MOST_MARKS {
                    continue;
                }
                if before.is_none() {
                    f.write_char(DOTTED_CIRCLE)?;
                    before = Some(DOTTED_CIRCLE);
                }
                f.write_char(c)?;
                continue;
            }
            leave_out(f, marks)?;
            marks = 0;
            let joins = c == JOINER
                && before.is_some_and(is_emoji)
                && rest.peek().copied().is_some_and(is_emoji);
            let kept = joins || !(c.is_control() || is_invisible(c));
            match c {
                '\n' => f.write_str(r"\n")?,
                '\r' => f.write_str(r"\r")?,
                '\t' => f.write_str(r"\t")?,
                _ if kept => f.write_char(c)?,
                _ => write!(f, "\\u{{{:x}}}", u32::from(c))?,
            }
            before = Some(c);
        }
        leave_out(f, marks)
    }
}

fn leave_out(f: &mut fmt::Formatter<'_>, marks: usize) -> fmt::Result {
    match marks.saturating_sub(MOST_MARKS) {
        0 => Ok(()),
        1 => f.write_str("[1 more mark]"),
        more => write!(f, "[{more} more marks]"),
    }
}

/// Whether a joiner between two of these makes one picture of them and hides nothing.
fn is_emoji(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{21ff}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn svc_g9_what_acts_on_a_terminal_is_shown_and_does_not_act() {
        for (text, safe) in [
            ("\u{1b}]0;title\u{7}", r"\u{1b}]0;title\u{7}"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("a\u{202e}txt.exe", r"a\u{202e}txt.exe"),
            ("a\u{200b}b\u{200d}c", r"a\u{200b}b\u{200d}c"),
            ("old\rnew", r"old\rnew"),
            ("a\r\nb\tc", r"a\r\nb\tc"),
            ("\u{301}x", "\u{25cc}\u{301}x"),
            (
                "👨\u{200d}👩\u{200d}👧 ❤\u{fe0f}\u{200d}🔥",
                "👨\u{200d}👩\u{200d}👧 ❤\u{fe0f}\u{200d}🔥",
            ),
            ("कि ทั้ง Việt 空", "कि ทั้ง Việt 空"),
        ] {
            assert_eq!(shown(text).to_string(), safe);
        }
    }

    #[test]
    fn svc_g9_ten_thousand_marks_become_four() {
        let text = format!("z{}", "\u{30d}".repeat(10_000));
        let safe = shown(&text).to_string();
        assert_eq!(safe, "z\u{30d}\u{30d}\u{30d}\u{30d}[9996 more marks]");
    }

    proptest::proptest! {
        #[test]
        fn svc_g9_whatever_comes_is_one_line_without_controls(text in "\\PC{0,20}|.{0,60}") {
            let safe = shown(&text).to_string();
            proptest::prop_assert!(!safe.chars().any(char::is_control));
        }
    }
}
