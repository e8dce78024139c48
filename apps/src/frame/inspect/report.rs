//! Writes what was found, a line each, for people or as JSON objects.

use std::{fmt::Write as _, time::Duration};

use framing::serve::Address;
use serde_json::{Map, Value, json};
use services::escape::escaped;

use super::found::{After, End, Found, What};
use crate::frame::{hex, output::json_line};

/// How lines are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) json: bool,
    pub(super) content: Content,
    /// Bytes of content shown of one frame or read.
    pub(super) most: usize,
}

/// How content is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Hidden,
    Text,
    Hex,
}

/// Which connection, and how long after its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct When {
    pub(super) connection: u64,
    pub(super) time: Duration,
}

/// What else was in the read that completed a frame.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InRead {
    /// Frames that it completed.
    pub(super) frames: u64,
    /// Bytes behind them, of something that is not complete.
    pub(super) rest: u64,
}

impl Report {
    pub(super) fn opened(&self, when: When, peer: &Address) -> String {
        // A client on a Unix socket has no name.
        let unnamed = matches!(peer, Address::Unix(None));
        if self.json {
            let client = (!unnamed).then(|| peer.to_string());
            return self.object(when, "opened", None, [("client", json!(client))]);
        }
        let by = format!(" by {peer}");
        self.line(
            when,
            None,
            format_args!("opened{}", if unnamed { "" } else { &by }),
        )
    }

    pub(super) fn closed(&self, when: When, passed: [u64; 2], why: Option<&str>) -> String {
        let [there, back] = passed;
        if self.json {
            let fields = [
                ("client_bytes", json!(there)),
                ("upstream_bytes", json!(back)),
                ("message", json!(why)),
            ];
            return self.object(when, "closed", None, fields);
        }
        let mut text = format!("closed · {there} bytes →, {back} bytes ←");
        if let Some(why) = why {
            let _ = write!(text, " · {}", escaped(why).limit(1024));
        }
        self.line(when, None, text)
    }

    pub(super) fn left_out(&self, when: When, from: End, bytes: u64, reads: u64) -> String {
        if self.json {
            let fields = [("bytes", json!(bytes)), ("read_count", json!(reads))];
            return self.object(when, "left-out", Some(from), fields);
        }
        let text = format!(
            "{bytes} bytes in {reads} reads went through and are not shown, because what reads \
             this output does not keep up"
        );
        self.line(when, Some(from), text)
    }

    pub(super) fn unwatched(&self, when: When, connections: u64) -> String {
        if self.json {
            let fields = [("connections", json!(connections))];
            return self.object(when, "unwatched", None, fields);
        }
        let text = format!("{connections} connections before this one are not shown");
        self.line(when, None, text)
    }

    pub(super) fn found(&self, when: When, found: &Found, in_read: InRead) -> String {
        let from = found.from;
        match &found.what {
            What::Frame {
                payload,
                wire,
                pieces,
            } => {
                if self.json {
                    let mut fields = vec![
                        ("bytes", json!(payload.len())),
                        ("wire", json!(wire)),
                        ("reads", json!(pieces.sizes)),
                        ("read_count", json!(pieces.reads)),
                        ("frames_in_read", json!(in_read.frames)),
                        ("bytes_behind", json!(in_read.rest)),
                    ];
                    fields.extend(self.content_fields(payload));
                    return self.object(when, "frame", Some(from), fields);
                }
                let bytes = bytes(payload.len() as u64);
                let reads = Reads { pieces, in_read };
                let text = format!("frame of {bytes}, {wire} on the wire · {reads}");
                self.line(when, Some(from), self.with_content(text, payload))
            }
            What::Announcement { length, wire } => {
                if self.json {
                    let fields = [("bytes", json!(length)), ("wire", json!(wire))];
                    return self.object(when, "announcement", Some(from), fields);
                }
                let text = format!("announces {}", bytes(*length as u64));
                self.line(when, Some(from), text)
            }
            What::Ack { wire } => {
                if self.json {
                    return self.object(when, "ack", Some(from), [("wire", json!(wire))]);
                }
                self.line(when, Some(from), "ack")
            }
            What::Raw(read) => {
                if self.json {
                    let mut fields = vec![("bytes", json!(read.len()))];
                    fields.extend(self.content_fields(read));
                    return self.object(when, "raw", Some(from), fields);
                }
                let text = format!("raw: {}", bytes(read.len() as u64));
                self.line(when, Some(from), self.with_content(text, read))
            }
            What::End => {
                if self.json {
                    return self.object(when, "end", Some(from), []);
                }
                self.line(when, Some(from), "end of stream")
            }
            What::Error {
                error,
                offset,
                first,
                after,
            } => {
                let first = (self.content != Content::Hidden).then_some(first);
                if self.json {
                    let fields = [
                        ("error", json!(error.kind().as_str())),
                        ("message", json!(error.to_string())),
                        ("offset", json!(offset)),
                        ("hint", json!(error.hint().map(|hint| hint.to_string()))),
                        ("first_bytes", json!(first)),
                        ("decoding", json!(matches!(after, After::Frames))),
                    ];
                    return self.object(when, "error", Some(from), fields);
                }
                // The message ends with the hint, if there is one.
                let message = error.to_string();
                let mut text = format!("{}: {}", error.kind(), escaped(&message).limit(1024));
                let _ = write!(text, ", at byte {offset}");
                if let Some(first) = first.filter(|first| !first.is_empty()) {
                    let _ = write!(text, " · it begins with \"{first}\"");
                }
                text += match after {
                    After::Frames => " · decoding goes on behind it",
                    After::Raw => " · from here on reads are shown as they are in this direction",
                    After::BothRaw => " · from here on reads are shown as they are, both ways",
                    After::Nothing => "",
                };
                self.line(when, Some(from), text)
            }
        }
    }

    fn line(&self, when: When, from: Option<End>, text: impl std::fmt::Display) -> String {
        let arrow = from.map_or(" ", End::arrow);
        let seconds = when.time.as_secs_f64();
        format!("#{} {seconds:.6} {arrow} {text}\n", when.connection)
    }

    fn object<'a>(
        &self,
        when: When,
        event: &str,
        from: Option<End>,
        fields: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> String {
        let mut object = Map::new();
        object.insert("event".into(), event.into());
        object.insert("connection".into(), when.connection.into());
        object.insert("time".into(), when.time.as_secs_f64().into());
        if let Some(from) = from {
            object.insert("from".into(), from.as_str().into());
        }
        for (key, value) in fields {
            if !value.is_null() {
                object.insert(key.into(), value);
            }
        }
        json_line(&object.into())
    }

    /// The content in hex, as text too where it is text, and how much of it is not shown.
    fn content_fields(&self, bytes: &[u8]) -> Vec<(&'static str, Value)> {
        if self.content == Content::Hidden {
            return Vec::new();
        }
        let shown = &bytes[..bytes.len().min(self.most)];
        let mut fields = vec![
            ("hex", hex::string(shown).into()),
            ("more", (bytes.len() - shown.len()).into()),
        ];
        if self.content == Content::Text
            && let Ok(text) = std::str::from_utf8(shown)
        {
            fields.push(("text", text.into()));
        }
        fields
    }

    fn with_content(&self, mut text: String, bytes: &[u8]) -> String {
        if self.content == Content::Hidden || bytes.is_empty() {
            return text;
        }
        text += " · ";
        let shown = &bytes[..bytes.len().min(self.most)];
        match self.content {
            Content::Hex => text += &hex::string(shown),
            _ => {
                text.push('"');
                push_escaped(shown, &mut text);
                text.push('"');
            }
        }
        match bytes.len() - shown.len() {
            0 => {}
            more => {
                let _ = write!(text, " and {more} more");
            }
        }
        text
    }
}

/// Text as it is where it is harmless, everything else as escapes.
fn push_escaped(bytes: &[u8], text: &mut String) {
    for chunk in bytes.utf8_chunks() {
        let _ = write!(text, "{}", escaped(chunk.valid()).limit(usize::MAX));
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
}

fn bytes(count: u64) -> String {
    match count {
        1 => "1 byte".to_owned(),
        _ => format!("{count} bytes"),
    }
}

/// In which reads a frame came, and what came with it.
struct Reads<'a> {
    pieces: &'a super::reads::Pieces,
    in_read: InRead,
}

impl std::fmt::Display for Reads<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let InRead { frames, rest } = self.in_read;
        write!(f, "{}", self.pieces)?;
        if frames < 2 && rest == 0 {
            return Ok(());
        }
        let which = if self.pieces.reads > 1 {
            "the last "
        } else {
            "one read "
        };
        let mark = if self.pieces.reads > 1 { "; " } else { ", " };
        write!(f, "{mark}{which}held ")?;
        match frames {
            0 | 1 => write!(f, "{} of the next too", bytes(rest)),
            _ if rest == 0 => write!(f, "{frames} frames"),
            _ => write!(f, "{frames} frames and {} of the next", bytes(rest)),
        }
    }
}
