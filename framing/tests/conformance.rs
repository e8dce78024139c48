//! Every law over every framing. A new framing is a new row.

use std::collections::BTreeSet;

use bytes::Bytes;
use framing::{
    BoxFraming, Carries, CodecFraming, DelimiterOptions, FramingCodec, Limits, OnError, Registry,
    StructHeader,
    testkit::{Law, Laws},
};
use tokio_util::codec::{BytesCodec, LengthDelimitedCodec};

/// What the laws need to know beside the framing.
#[derive(Clone, Copy, Default)]
struct About {
    /// Samples.
    frames: &'static [&'static [u8]],
    /// Frames that must be refused.
    refused: &'static [&'static [u8]],
    emits_rest: bool,
    any_end: bool,
    /// Laws that are not for this one.
    except: &'static [Law],
}

const ANY: About = About {
    frames: &[
        b"",
        b"hello",
        b"ok",
        b"5\n",
        b"\0\0\0\x01",
        b"\xff\xfe\n||\\a",
        b"a somewhat longer frame",
    ],
    refused: &[],
    emits_rest: false,
    any_end: false,
    except: &[],
};

/// Bytes that stuffing cares about, and every frame but the empty one.
const STUFFED: About = About {
    frames: &[
        b"hello",
        b"\0",
        b"\xc0\xdb\xdc\xdd",
        b"\0\0a\0",
        b"\xff\x01\x02",
        &[7; 254],
        &[7; 255],
        b"a somewhat longer frame",
    ],
    refused: &[b""],
    ..ANY
};

const TEXT: About = About {
    frames: &[
        b"",
        b"hello",
        b"5",
        "één".as_bytes(),
        b"a somewhat longer frame",
    ],
    ..ANY
};

/// By name, as a command line would have them.
const ROWS: &[(&str, About)] = &[
    ("ack-handshake", ANY),
    (
        r#"{ type = "ack-handshake", terminator = "\r\n", ack = "go ahead", refusal = "no" }"#,
        ANY,
    ),
    (
        // No pause of a busy machine is that long.
        r#"{ type = "ack-handshake", bare = true, settle = "1h" }"#,
        About {
            emits_rest: true,
            ..ANY
        },
    ),
    (r#"{ type = "ack-handshake", ack = { hex = "06" } }"#, ANY),
    (
        "delimiter",
        About {
            refused: &[b"a\nb", b"\n"],
            ..TEXT
        },
    ),
    (
        r#"{ type = "delimiter", delimiter = "||" }"#,
        About {
            frames: &[b"", b"a", b"|a", b"a|b", b"longer \n text"],
            refused: &[b"a|", b"||", b"a||b", b"|"],
            ..ANY
        },
    ),
    (
        r#"{ type = "delimiter", delimiter = "aab" }"#,
        About {
            frames: &[b"", b"ab", b"aa|", b"baba"],
            refused: &[b"aab", b"xaaby"],
            ..ANY
        },
    ),
    (
        r##"{ type = "delimiter", delimiter = "#$" }"##,
        About {
            refused: &[b"a#$b"],
            frames: &[b"ADD:123#x", b"$", b""],
            ..ANY
        },
    ),
    (
        r#"{ type = "delimiter", delimiter = { hex = "00" } }"#,
        About {
            refused: &[b"a\0b"],
            ..TEXT
        },
    ),
    (r#"{ type = "delimiter", escape = "\\" }"#, ANY),
    (
        r#"{ type = "delimiter", delimiter = "||", escape = "\\" }"#,
        ANY,
    ),
    (
        r#"{ type = "delimiter", delimiter = ["||", "\n", "ab", ";"], escape = "\\", on_error = "skip" }"#,
        ANY,
    ),
    (
        r#"{ type = "delimiter", delimiter = ["\n", "\r\n", ";"] }"#,
        About {
            refused: &[b"a;b", b"a\r", b"a\nb"],
            ..TEXT
        },
    ),
    (
        r#"{ type = "delimiter", delimiter = ["\r\n", "\n"], on_error = "skip" }"#,
        About {
            refused: &[b"a\r\nb", b"a\nb"],
            ..TEXT
        },
    ),
    (
        r#"{ type = "delimiter", strip = false }"#,
        About {
            frames: &[b"\n", b"hello\n", b"a longer one\n"],
            refused: &[b"", b"hello", b"a\nb\n"],
            ..ANY
        },
    ),
    (
        r#"{ type = "delimiter", strip = false, escape = "\\", delimiter = [";", "||"] }"#,
        About {
            frames: &[b";", b"hello;", b"a;b;", b"||;", b"\\;;", b"a||"],
            refused: &[b"", b"hello"],
            ..ANY
        },
    ),
    (
        r#"{ type = "delimiter", skip_empty = true, at_eof = "emit" }"#,
        About {
            frames: &[b"hello", b"x", b"longer text"],
            refused: &[b"", b"a\nb"],
            emits_rest: true,
            ..ANY
        },
    ),
    (
        r#"{ type = "delimiter", at_eof = "emit", escape = "%" }"#,
        About {
            emits_rest: true,
            ..ANY
        },
    ),
    (
        r#"{ type = "delimiter", delimiter = "||", on_error = "skip" }"#,
        About {
            refused: &[b"a|"],
            ..TEXT
        },
    ),
    (
        r#"{ type = "fixed", size = 5 }"#,
        About {
            frames: &[b"hello", b"world", b"\0\0\0\x01a"],
            refused: &[b"", b"hell", b"hello!"],
            ..ANY
        },
    ),
    (
        r#"{ type = "fixed", size = "1B", on_error = "skip", allow_empty = false }"#,
        About {
            frames: &[b"a", b"\0", b"\xff"],
            refused: &[b"", b"ab"],
            ..ANY
        },
    ),
    ("length-field", ANY),
    (r#"{ type = "length-field", on_error = "skip" }"#, ANY),
    (
        r#"{ type = "length-field", width = 3, endian = "little" }"#,
        ANY,
    ),
    (
        r#"{ type = "length-field", offset = 2, width = 5, on_error = "skip" }"#,
        ANY,
    ),
    (
        r#"{ type = "length-field", width = 1, signed = true, adjust = -1 }"#,
        ANY,
    ),
    (
        r#"{ type = "length-field", width = 8, endian = "little", signed = true, max_frame = 9223372036854775807 }"#,
        ANY,
    ),
    (
        r#"{ type = "length-field", offset = 1, width = 7, adjust = 3, allow_empty = false, on_error = "skip" }"#,
        About {
            frames: &[b"abc", b"hello", b"a somewhat longer frame"],
            refused: &[b"", b"ab"],
            ..ANY
        },
    ),
    (
        r#"{ type = "length-field", offset = 2, width = 2, strip = 1 }"#,
        About {
            frames: &[b"\x07\0\0", b"\x07\0\x05hello"],
            refused: &[b"", b"hello", b"\x07\0\x04hello", b"\x07\0"],
            ..ANY
        },
    ),
    (
        r#"{ type = "length-field", width = 6, strip = 0, on_error = "skip" }"#,
        About {
            frames: &[b"\0\0\0\0\0\0", b"\0\0\0\0\0\x02hi"],
            refused: &[b"", b"\0\0\0\0\0\x03hi"],
            ..ANY
        },
    ),
    (
        "lines",
        About {
            refused: &[b"a\nb", b"a\r", b"\xff"],
            emits_rest: true,
            ..TEXT
        },
    ),
    (
        r#"{ type = "lines", ending = "\r\n", at_eof = "error", on_error = "skip" }"#,
        About {
            refused: &[b"a\nb", b"\xff"],
            ..TEXT
        },
    ),
    ("netstring", ANY),
    (r#"{ type = "netstring", on_error = "skip" }"#, ANY),
    (
        r#"{ type = "netstring", allow_empty = false, on_error = "skip", max_frame = 9223372036854775807 }"#,
        About {
            frames: &[b"x", b"hello", b"5:hello,", b"a somewhat longer frame"],
            refused: &[b""],
            ..ANY
        },
    ),
    ("cobs", ANY),
    (
        r#"{ type = "cobs", sentinel = 255, on_error = "skip" }"#,
        ANY,
    ),
    (
        r#"{ type = "cobs", sentinel = 97, leading = true, on_error = "skip" }"#,
        ANY,
    ),
    (
        r#"{ type = "cobs", allow_empty = false, on_error = "skip" }"#,
        STUFFED,
    ),
    ("slip", STUFFED),
    (
        r#"{ type = "slip", leading = false, on_error = "skip" }"#,
        STUFFED,
    ),
    (
        r#"{ type = "slip", invalid_escape = "pass", on_error = "skip" }"#,
        STUFFED,
    ),
    ("json-header", ANY),
    (
        r#"{ type = "json-header", format = "i", on_error = "skip" }"#,
        ANY,
    ),
    (
        r#"{ type = "json-header", format = "<xHx", size = "\"é\"", max_header = 40, allow_empty = false, on_error = "skip" }"#,
        STUFFED,
    ),
    (
        r#"{ type = "pair", receive = "struct-header", send = { type = "struct-header", format = ">I" } }"#,
        ANY,
    ),
    (
        r#"{ type = "pair", receive = "cobs", send = { type = "cobs", leading = true }, on_error = "skip" }"#,
        ANY,
    ),
    (
        r#"{ type = "pair", receive = { type = "delimiter", delimiter = ["\r\n", "\n"] }, send = { type = "lines", ending = "\r\n" } }"#,
        About {
            refused: &[b"a\nb", b"\xff"],
            ..TEXT
        },
    ),
    (
        r#"{ type = "pair", receive = "raw", send = { type = "raw", chunk = 5 } }"#,
        ANY,
    ),
    (
        "raw",
        About {
            refused: &[b""],
            ..ANY
        },
    ),
    (r#"{ type = "raw", chunk = "3B" }"#, ANY),
    ("struct-header", ANY),
    (r#"{ type = "struct-header", on_error = "skip" }"#, ANY),
    (
        r#"{ type = "struct-header", format = "<I", allow_empty = false }"#,
        About {
            frames: &[b"x", b"hello"],
            refused: &[b""],
            ..ANY
        },
    ),
    (
        r#"{ type = "struct-header", format = "!H", counts = "frame", on_error = "skip" }"#,
        ANY,
    ),
    (r#"{ type = "struct-header", format = "B" }"#, ANY),
    (r#"{ type = "struct-header", format = "<q" }"#, ANY),
    (
        r#"{ type = "struct-header", format = "!Q", adjust = 8 }"#,
        About {
            frames: &[b"eight...", b"nine.....", b"a somewhat longer frame"],
            refused: &[b"", b"seven.."],
            ..ANY
        },
    ),
    (
        r#"{ type = "struct-header", format = "!4sBxH", constants = ["MAGC", 2], strict_pad = true }"#,
        ANY,
    ),
    (r#"{ type = "struct-header", format = "!4sBxH" }"#, ANY),
    (
        r#"{ type = "struct-header", format = "!HBd", length = 0, adjust = -1, on_error = "skip" }"#,
        ANY,
    ),
    (
        r#"{ type = "struct-header", format = "!HB", length = 0, strip = 2 }"#,
        About {
            frames: &[b"\x07", b"\x07hello", b"\0longer one"],
            refused: &[b""],
            ..ANY
        },
    ),
    (r#"{ type = "struct-header", format = "@bhl" }"#, ANY),
    ("varint", ANY),
    (
        r#"{ type = "varint", canonical = true, max_frame = 9223372036854775807 }"#,
        ANY,
    ),
    (r#"{ type = "varint", on_error = "skip" }"#, ANY),
    (
        r#"{ type = "varint", allow_empty = false, on_error = "skip" }"#,
        About {
            frames: &[b"x", b"\xac\x02", &[7; 127], &[7; 128], &[7; 300]],
            refused: &[b""],
            ..ANY
        },
    ),
];

type Make = Box<dyn Fn() -> BoxFraming>;

/// Those that have no name.
fn unnamed() -> Vec<(&'static str, Make, About)> {
    let skip = || Limits::new().on_error(OnError::Skip);
    vec![
        (
            "StructHeader, unboxed",
            Box::new(|| Box::new(StructHeader::default())),
            ANY,
        ),
        (
            "CodecFraming of LengthDelimitedCodec",
            Box::new(|| {
                let framing = CodecFraming::new(LengthDelimitedCodec::new(), Limits::new());
                Box::new(framing.carrying(Carries::Anything))
            }),
            About {
                any_end: true,
                ..ANY
            },
        ),
        (
            "CodecFraming of FramingCodec of Delimiter",
            Box::new(move || {
                let framing = DelimiterOptions::default().build(Limits::new()).unwrap();
                Box::new(CodecFraming::new(
                    FramingCodec::new(framing).unwrap(),
                    skip(),
                ))
            }),
            About {
                refused: &[b"a\nb"],
                ..TEXT
            },
        ),
        (
            "CodecFraming of FramingCodec of StructHeader",
            Box::new(|| {
                let codec = FramingCodec::new(StructHeader::default()).unwrap();
                Box::new(CodecFraming::new(codec, Limits::new()))
            }),
            ANY,
        ),
    ]
}

fn check(make: impl Fn() -> BoxFraming, about: &About) {
    let frames: Vec<Bytes> = about
        .frames
        .iter()
        .map(|frame| Bytes::from_static(frame))
        .collect();
    let mut laws = Laws::new(make, &frames);
    for frame in about.refused {
        laws = laws.refuses(*frame);
    }
    if about.emits_rest {
        laws = laws.emits_rest();
    }
    if about.any_end {
        laws = laws.any_end();
    }
    for law in about.except {
        laws = laws.except(*law);
    }
    laws.check();
}

#[test]
fn every_registered_framing_has_a_row() {
    let registry = Registry::default();
    let tested: BTreeSet<String> = ROWS
        .iter()
        .map(|(text, _)| registry.parse(text).unwrap().name().to_owned())
        .collect();
    let registered: BTreeSet<String> = registry.names().map(str::to_owned).collect();
    assert_eq!(tested, registered);
}

#[test]
fn every_framing_keeps_every_law() {
    let registry = Registry::default();
    let mut broken = Vec::new();
    for (text, about) in ROWS {
        let factory = registry
            .parse(text)
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        check_row(text, || factory.make(), about, &mut broken);
    }
    for (name, make, about) in unnamed() {
        check_row(name, make, &about, &mut broken);
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// One framing that breaks a law must not hide the next.
fn check_row(name: &str, make: impl Fn() -> BoxFraming, about: &About, broken: &mut Vec<String>) {
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(make, about)));
    if let Err(panic) = checked {
        let law = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        broken.push(format!("{name}: {law}"));
    }
}

#[test]
fn a_codec_that_is_its_own_framing_keeps_no_boundaries_and_says_so() {
    let framing = CodecFraming::new(BytesCodec::new(), Limits::new());
    let mut machine = framing::Machine::new(framing);
    machine.receive(b"ab");
    assert_eq!(
        machine.next_frame(),
        Ok(framing::Received::Frame("ab".into()))
    );
}
