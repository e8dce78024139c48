//! Reads and writes text in the encodings that the scripts use.

use std::borrow::Cow;

use encoding_rs::{Decoder, GBK, UTF_8};
use serde::{Deserialize, Serialize};

/// How the output of commands is written on the wire.
///
/// Commands, names and passwords are UTF-8 in any case, as the scripts write them; what is not valid
/// UTF-8 is read in this encoding, as a whole and before it is split: `|` can be the second byte of
/// a character of GBK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Encoding {
    /// UTF-8; bytes that are none are replaced by U+FFFD.
    #[default]
    Utf8,
    /// GBK, the code page of Chinese Windows. Characters that it does not have are written `?`.
    Gbk,
    /// Bytes as they are.
    Raw,
}

impl Encoding {
    /// A text that has arrived whole; `None` if it is no text.
    pub(super) fn read(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        match (std::str::from_utf8(bytes), self) {
            (Ok(text), _) => Some(text.into()),
            (Err(_), Self::Gbk) => GBK.decode_without_bom_handling_and_without_replacement(bytes),
            (Err(_), _) => None,
        }
    }

    /// A sentence of ours.
    pub(super) fn write(self, text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.append(text, &mut bytes);
        bytes
    }

    /// Writes `text` behind `bytes`.
    fn append(self, text: &str, bytes: &mut Vec<u8>) {
        match self {
            Self::Utf8 | Self::Raw => bytes.extend_from_slice(text.as_bytes()),
            Self::Gbk => {
                for (index, part) in text.split('\u{FFFD}').enumerate() {
                    // What is not a character here has none there.
                    if index > 0 {
                        bytes.push(b'?');
                    }
                    append_gbk(part, bytes);
                }
            }
        }
    }
}

fn append_gbk(text: &str, bytes: &mut Vec<u8>) {
    let (encoded, _, unmappable) = GBK.encode(text);
    if !unmappable {
        bytes.extend_from_slice(&encoded);
        return;
    }
    // The library writes what has no code as a reference for HTML.
    for character in text.chars() {
        let mut buffer = [0; 4];
        let (encoded, _, unmappable) = GBK.encode(character.encode_utf8(&mut buffer));
        bytes.extend_from_slice(if unmappable { b"?" } else { &encoded });
    }
}

/// Transcodes a stream piece by piece: a character that is cut by a piece's end is not torn.
pub(super) struct Transcoder {
    from: Encoding,
    to: Encoding,
    decoder: Decoder,
}

impl Transcoder {
    /// From what one side writes to what the other reads.
    pub(super) fn new(from: Encoding, to: Encoding) -> Self {
        let decoder = match from {
            Encoding::Gbk => GBK,
            Encoding::Utf8 | Encoding::Raw => UTF_8,
        };
        Self {
            from,
            to,
            decoder: decoder.new_decoder_without_bom_handling(),
        }
    }

    /// Transcodes the next piece; the `last` one completes what was begun.
    pub(super) fn push(&mut self, piece: &[u8], last: bool, out: &mut Vec<u8>) {
        if Encoding::Raw == self.from || Encoding::Raw == self.to {
            out.extend_from_slice(piece);
            return;
        }
        let most = self.decoder.max_utf8_buffer_length(piece.len());
        let mut text = String::with_capacity(most.unwrap_or(piece.len()));
        let mut rest = piece;
        loop {
            let (result, read, _) = self.decoder.decode_to_string(rest, &mut text, last);
            rest = &rest[read..];
            match result {
                encoding_rs::CoderResult::InputEmpty => break,
                encoding_rs::CoderResult::OutputFull => text.reserve(rest.len().max(64)),
            }
        }
        self.to.append(&text, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "你好|世界";

    fn transcode(from: Encoding, to: Encoding, bytes: &[u8], cut: usize) -> Vec<u8> {
        let mut transcoder = Transcoder::new(from, to);
        let mut out = Vec::new();
        for piece in bytes.chunks(cut) {
            transcoder.push(piece, false, &mut out);
        }
        transcoder.push(b"", true, &mut out);
        out
    }

    #[test]
    fn svc_c23_no_character_is_torn_wherever_the_pieces_are_cut() {
        let gbk = Encoding::Gbk.write(HELLO);
        assert_eq!(gbk, b"\xc4\xe3\xba\xc3|\xca\xc0\xbd\xe7");
        for cut in 1..=gbk.len() {
            let utf8 = transcode(Encoding::Gbk, Encoding::Utf8, &gbk, cut);
            assert_eq!(utf8, HELLO.as_bytes(), "{cut}");
        }
        for cut in 1..=HELLO.len() {
            let out = transcode(Encoding::Utf8, Encoding::Gbk, HELLO.as_bytes(), cut);
            assert_eq!(out, gbk, "{cut}");
        }
    }

    #[test]
    fn svc_c23_what_is_no_text_is_replaced_or_passed_on() {
        for cut in 1..4 {
            let utf8 = |to, bytes| transcode(Encoding::Utf8, to, bytes, cut);
            assert_eq!(utf8(Encoding::Utf8, b"a\xffb"), "a\u{FFFD}b".as_bytes());
            assert_eq!(utf8(Encoding::Gbk, b"a\xffb"), b"a?b");
            assert_eq!(utf8(Encoding::Raw, b"a\xffb"), b"a\xffb");
            // A character that its end cuts off.
            assert_eq!(utf8(Encoding::Utf8, b"a\xe4\xbd"), "a\u{FFFD}".as_bytes());
            assert_eq!(
                transcode(Encoding::Gbk, Encoding::Utf8, b"a\xc4", cut),
                "a\u{FFFD}".as_bytes()
            );
        }
        assert_eq!(Encoding::Gbk.write("a😀é"), b"a?\xa8\xa6");
    }

    #[test]
    fn a_mark_inside_of_a_character_is_none() {
        // 0x7C is the second byte of this one.
        let name = b"\x81\x7c|secret";
        let text = Encoding::Gbk.read(name).unwrap();
        assert_eq!(text.split_once('|').unwrap().1, "secret");
        assert_eq!(text.matches('|').count(), 1);
        assert_eq!(Encoding::Utf8.read(name), None);
        assert_eq!(Encoding::Gbk.read("é|x".as_bytes()).unwrap(), "é|x");
        assert_eq!(Encoding::Gbk.read(b"\xff\xff"), None);
    }
}
