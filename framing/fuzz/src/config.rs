//! Any text as a configuration file, and as a framing on a command line: refused in words, or good.

use bytes::Bytes;
use framing::{ErrorKind, Framing, Machine, Registry};

use super::server_config::Config;

/// The first byte says which; the rest is text.
pub fn run(data: &[u8]) {
    let Some((kind, text)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    if kind & 1 == 0 {
        file(&text);
    } else {
        framing(&text);
    }
}

/// What is good reads back from its own words.
fn file(text: &str) {
    match Config::parse(text) {
        Ok(config) => {
            for listen in &config.listen {
                if let Some(framing) = &listen.framing {
                    assert!(services::native::check(&framing.factory.make()).is_ok());
                }
            }
            let shown = config.to_toml().expect("a configuration can be shown");
            let again = Config::parse(&shown).unwrap_or_else(|error| panic!("{error:#}\n{shown}"));
            assert_eq!(again.to_toml().expect("and again"), shown);
            // Also what is written in other words is the same.
            assert_eq!(format!("{again:?}"), format!("{config:?}"));
        }
        Err(error) => assert!(!format!("{error:#}").is_empty()),
    }
}

/// What is good can be used.
fn framing(text: &str) {
    match Registry::default().parse(text) {
        Ok(factory) => {
            let mut framing = factory.make();
            assert!(framing.max_frame() > 0);
            framing.set_max_frame(64);
            let mut machine = Machine::new(framing);
            let _ = machine.send(Bytes::from_static(b"hello\n"));
            let written = machine.outbox().take_bytes();
            let mut receiver = Machine::new(factory.make());
            receiver.receive(&written);
            let _ = receiver.next_frame();
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(!error.to_string().is_empty());
        }
    }
}

/// A configuration with everything in it, framings of every kind, and texts with a fault each.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let all = r#"[accounts]
file = "accounts.txt"
default_rights = ["read", "exec"]
max_tries = 3
[files]
root = "files"
max_file = "64KiB"
quota = "1GiB"
[exec]
allow = ["ls", "/bin/cat"]
shell = true
timeout = "1m 30s"
max_output = 5000
folder = "/tmp"
[limits]
frame_before_login = 4096
login_deadline = "5s"
[[listen]]
address = "tcp://127.0.0.1:8001"
framing = { type = "delimiter", delimiter = ["\n", { hex = "0d0a" }], max_frame = "1MiB" }
[[listen]]
address = "unix:/run/x"
services = []
identity = { name = "all", rights = ["read"] }
keepalive = "1m"
"#;
    let listen = |framing: &str| {
        format!(
            "[[listen]]\naddress = \"tcp://[::1]:1\"\nservices = []\nidentity = {{ name = \"a\", rights = [] }}\nframing = {framing}\n"
        )
    };
    let files = [
        ("file-all", all.to_owned()),
        ("file-ack", listen("\"ack-handshake\"")),
        ("file-raw", listen("\"raw\"")),
        (
            "file-pair",
            listen("{ receive = \"lines\", type = \"pair\", send = \"lines\" }"),
        ),
        ("file-unknown", listen("{ type = \"slip\", trailing = 1 }")),
        (
            "file-exposed",
            "[[listen]]\naddress = \"tcp://0.0.0.0:1\"".to_owned(),
        ),
        ("file-nobody", "[limits]\ndrain_timeout = \"1y\"".to_owned()),
    ];
    let framings = [
        (
            "framing-ack",
            r#"{ type = "ack-handshake", ack = { hex = "06" }, settle = "5ms", ack_timeout = "1h", bare = true, refusal = "no" }"#,
        ),
        (
            "framing-cobs",
            r#"{ sentinel = 255, type = "cobs", leading = true }"#,
        ),
        (
            "framing-delimiter",
            r#"{ type = "delimiter", delimiter = ["||", "\n"], escape = "\\", at_eof = "emit", skip_empty = true }"#,
        ),
        (
            "framing-fixed",
            r#"{ type = "fixed", size = "64KiB", pad = { hex = "20" } }"#,
        ),
        (
            "framing-fixed-huge",
            r#"{ type = "fixed", size = 9223372036854775807, max_frame = "8EiB" }"#,
        ),
        (
            "framing-json",
            r#"{ type = "json-header", format = "<H", size = "n", max_header = 99, max_frame = 9 }"#,
        ),
        (
            "framing-length",
            r#"{ type = "length-field", offset = 65530, width = 8, endian = "little", signed = true, adjust = -9223372036854775808, strip = 3 }"#,
        ),
        ("framing-name", " varint "),
        (
            "framing-nested",
            r#"{ type = "pair", receive = { type = "pair", receive = "raw", send = "raw" }, send = "raw" }"#,
        ),
        (
            "framing-pair",
            r#"{ type = "pair", receive = "raw", send = "ack-handshake", max_frame = 5 }"#,
        ),
        (
            "framing-struct",
            r#"{ type = "struct-header", format = "!4sBxHfd?", length = 2, constants = ["MAGC", 2, 1.5, "any", true], counts = "frame", strict_pad = true, strip = 1 }"#,
        ),
        (
            "framing-struct-huge",
            r#"{ type = "struct-header", format = "@99999999999999999999s0p65536xI" }"#,
        ),
        (
            "framing-struct-many",
            r#"{ type = "struct-header", format = "!B9999999999999999999I" }"#,
        ),
        (
            "framing-varint",
            r#"{ type = "varint", canonical = true, max_frame = 1, on_error = "skip", allow_empty = false, max_empty_run = 4294967295 }"#,
        ),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), format!("\0{text}").into_bytes()));
    let framings =
        framings.map(|(name, text)| (name.to_owned(), format!("\x01{text}").into_bytes()));
    files.into_iter().chain(framings).collect()
}
