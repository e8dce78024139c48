//! Shows control characters of a stream instead of letting them drive the terminal.
//!
//! Tabs and line ends pass, everything else below a space, DEL and the C1 controls (in UTF-8) become
//! visible escapes. A character may be cut anywhere between two pieces.

/// Masks one stream.
#[derive(Debug, Default)]
pub(super) struct Mask {
    /// The last piece ended in the first byte of what may be a C1 control.
    lead: bool,
}

/// The first byte of U+0080 to U+00BF.
const LEAD: u8 = 0xc2;

impl Mask {
    /// The next piece of the stream, fit to be shown.
    pub(super) fn apply(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(piece.len() + 16);
        for &byte in piece {
            if std::mem::take(&mut self.lead) {
                if (0x80..=0x9f).contains(&byte) {
                    escape(byte, &mut shown);
                    continue;
                }
                shown.push(LEAD);
            }
            match byte {
                LEAD => self.lead = true,
                b'\n' | b'\t' => shown.push(byte),
                ..=0x1f | 0x7f => escape(byte, &mut shown),
                _ => shown.push(byte),
            }
        }
        shown
    }

    /// What was held back, at the end of the stream.
    pub(super) fn finish(&mut self) -> &'static [u8] {
        if std::mem::take(&mut self.lead) {
            &[LEAD]
        } else {
            &[]
        }
    }
}

fn escape(byte: u8, shown: &mut Vec<u8>) {
    match byte {
        b'\r' => shown.extend_from_slice(b"\\r"),
        _ => shown.extend_from_slice(format!("\\u{{{byte:x}}}").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(pieces: &[&[u8]]) -> String {
        let mut mask = Mask::default();
        let mut shown: Vec<u8> = pieces.iter().flat_map(|piece| mask.apply(piece)).collect();
        shown.extend_from_slice(mask.finish());
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn svc_c33_nothing_drives_the_terminal_however_it_is_cut() {
        let text = "a\u{1b}]52;c;eA==\u{7}\tb\r\n\u{9b}31m é ©空\u{7f}\0".as_bytes();
        let shown = "a\\u{1b}]52;c;eA==\\u{7}\tb\\r\n\\u{9b}31m é ©空\\u{7f}\\u{0}";
        for cut in 0..=text.len() {
            assert_eq!(masked(&[&text[..cut], &text[cut..]]), shown, "{cut}");
        }
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(masked(&single), shown);
    }

    #[test]
    fn a_stream_that_ends_within_a_character_ends_as_it_is() {
        let mut mask = Mask::default();
        assert_eq!(mask.apply(b"a\xc2"), b"a");
        assert_eq!(mask.finish(), b"\xc2");
        assert_eq!(mask.finish(), b"");
    }
}
