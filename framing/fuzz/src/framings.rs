//! The framings that the first bytes of an input choose from.

use std::sync::LazyLock;

use framing::{BoxFraming, Framing, FramingFactory, Registry};

use super::input::Input;

/// As a command line would have them. New ones stand at the end: the seeds count on the order.
const ROWS: &[&str] = &[
    "ack-handshake",
    r#"{ type = "ack-handshake", terminator = "\r\n", ack = "go ahead", refusal = "no" }"#,
    r#"{ type = "ack-handshake", bare = true }"#,
    "delimiter",
    r#"{ type = "delimiter", delimiter = "||" }"#,
    r#"{ type = "delimiter", delimiter = "aab", on_error = "skip" }"#,
    r#"{ type = "delimiter", escape = "\\", on_error = "skip" }"#,
    r#"{ type = "delimiter", delimiter = ["||", "\n", "ab", ";"], escape = "\\", on_error = "skip" }"#,
    r#"{ type = "delimiter", delimiter = ["\n", "\r\n", ";"], on_error = "skip" }"#,
    r#"{ type = "delimiter", strip = false, escape = "\\", delimiter = [";", "||"], on_error = "skip" }"#,
    r#"{ type = "delimiter", skip_empty = true, at_eof = "emit", delimiter = { hex = "00" } }"#,
    r#"{ type = "delimiter", at_eof = "emit", escape = "%", on_error = "skip" }"#,
    r#"{ type = "fixed", size = 5, on_error = "skip" }"#,
    r#"{ type = "fixed", size = "1B" }"#,
    "length-field",
    r#"{ type = "length-field", width = 1, signed = true, adjust = -1, on_error = "skip" }"#,
    r#"{ type = "length-field", width = 3, endian = "little", max_empty_run = 3 }"#,
    r#"{ type = "length-field", offset = 2, width = 2, strip = 1, on_error = "skip" }"#,
    r#"{ type = "length-field", offset = 1, width = 8, adjust = 3, allow_empty = false, on_error = "skip" }"#,
    "lines",
    r#"{ type = "lines", ending = "\r\n", at_eof = "error", on_error = "skip" }"#,
    "netstring",
    r#"{ type = "netstring", on_error = "skip", allow_empty = false }"#,
    "cobs",
    r#"{ type = "cobs", sentinel = 97, leading = true, on_error = "skip" }"#,
    "slip",
    r#"{ type = "slip", invalid_escape = "pass", leading = false, on_error = "skip" }"#,
    r#"{ type = "json-header", max_header = 60 }"#,
    r#"{ type = "json-header", format = "<xHx", size = "\"é\"", max_header = 40, allow_empty = false, on_error = "skip" }"#,
    r#"{ type = "pair", receive = "cobs", send = { type = "cobs", leading = true }, on_error = "skip" }"#,
    r#"{ type = "pair", receive = { type = "delimiter", delimiter = ["\r\n", "\n"] }, send = { type = "lines", ending = "\r\n" } }"#,
    r#"{ type = "raw", chunk = "3B" }"#,
    "struct-header",
    r#"{ type = "struct-header", format = "!H", counts = "frame", on_error = "skip" }"#,
    r#"{ type = "struct-header", format = "<q", on_error = "skip" }"#,
    r#"{ type = "struct-header", format = "!Q", adjust = 8 }"#,
    r#"{ type = "struct-header", format = "!4sBxH", constants = ["MAGC", 2], strict_pad = true, on_error = "skip" }"#,
    r#"{ type = "struct-header", format = "!HBd", length = 0, adjust = -1, on_error = "skip" }"#,
    r#"{ type = "struct-header", format = "!HB", length = 0, strip = 2 }"#,
    r#"{ type = "struct-header", format = "@bhl", max_empty_run = 3 }"#,
    "varint",
    r#"{ type = "varint", canonical = true, max_empty_run = 3, on_error = "skip" }"#,
    r#"{ type = "fixed", size = 7, pad = "~" }"#,
    r#"{ type = "pair", receive = "raw", send = { type = "ack-handshake", ack = { hex = "06" } } }"#,
];

/// Of the one that fills frames up.
const PADDED_SIZE: usize = 7;

static FACTORIES: LazyLock<Vec<FramingFactory>> = LazyLock::new(|| {
    let registry = Registry::default();
    let parse = |text: &&str| {
        registry
            .parse(text)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    };
    ROWS.iter().map(parse).collect()
});

/// Limits; the last one is each framing's own.
const LIMITS: [usize; 8] = [64, 1, 2, 5, 16, 255, 4096, 0];

/// A framing with a limit.
#[derive(Clone, Copy)]
pub struct Row {
    factory: &'static FramingFactory,
    limit: usize,
    pads: bool,
}

impl Row {
    /// Two bytes choose a framing and its limit.
    pub fn choose(input: &mut Input<'_>) -> Self {
        let row = usize::from(input.byte()) % ROWS.len();
        Self {
            factory: &FACTORIES[row],
            limit: input.pick(&LIMITS),
            pads: ROWS[row].contains(", pad = "),
        }
    }

    /// The frame as it arrives: this framing may fill it up.
    pub fn arriving(self, mut frame: Vec<u8>) -> Vec<u8> {
        if self.pads && frame.len() < PADDED_SIZE {
            frame.resize(PADDED_SIZE, b'~');
        }
        frame
    }

    /// The framing without that limit.
    pub fn unlimited(self) -> BoxFraming {
        self.factory.make()
    }

    pub fn make(self) -> BoxFraming {
        let mut framing = self.unlimited();
        if self.limit > 0 {
            framing.set_max_frame(self.limit);
        }
        framing
    }
}

/// The number of each framing, and its name.
pub fn names() -> impl Iterator<Item = (u8, &'static str)> {
    (0..).zip(FACTORIES.iter().map(FramingFactory::name))
}

/// Two bytes that choose the framing with this number, and its own limit.
pub fn choice(row: u8) -> [u8; 2] {
    [row, 7]
}
