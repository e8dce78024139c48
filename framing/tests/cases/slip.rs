//! SLIP, against the reference code of RFC 1055 too.

use framing::{InvalidEscape, Limits, Machine, Received, Slip, SlipOptions, testkit::Random};

use crate::{cases, refused, script::case};

const SLIP: &str = "slip";
const BARE: &str = r#"{ type = "slip", leading = false }"#;
const PASS: &str = r#"{ type = "slip", invalid_escape = "pass" }"#;
const SKIP: &str = r#"{ type = "slip", on_error = "skip" }"#;
const SLIP4: &str = r#"{ type = "slip", max_frame = 4 }"#;
const SLIP4_SKIP: &str = r#"{ type = "slip", max_frame = 4, on_error = "skip" }"#;

cases! {
    a_mark_on_both_sides: case(SLIP).send(b"hi").send(b"\xc0").read(b"\xc0hi\xc0\xc0\xdb\xdc\xc0")
        .eof().gives(["frame hi", r"frame \xc0", "end"]).writes(b"\xc0hi\xc0\xc0\xdb\xdc\xc0");
    a_mark_behind_only: case(BARE).send(b"a\xdbb").read(b"a\xdb\xddb\xc0").eof()
        .gives([r"frame a\xdbb", "end"]).writes(b"a\xdb\xddb\xc0");
    what_an_escape_is_followed_by_is_ordinary_alone: case(BARE).send(b"\xdc\xdd")
        .read(b"\xdc\xdd\xc0").eof().gives([r"frame \xdc\xdd", "end"]).writes(b"\xdc\xdd\xc0");
    nothing_between_two_marks: case(SLIP).read(b"\xc0\xc0\xc0a\xc0\xc0\xc0").eof()
        .gives(["frame a", "end"]);
    nothing_cannot_be_sent: case(SLIP).send(b"").gives(["unencodable"]).gives_back(b"").writes("");
    cut_off: case(SLIP).read(b"\xc0a\xc0\xc0bc").eof()
        .gives(["frame a", "truncated delimiter 2 of ? @6"]);
    cut_off_behind_an_escape: case(SLIP).read(b"\xc0bc\xdb").eof()
        .gives(["truncated delimiter 3 of ? @4"]);
    cut_off_behind_the_mark_in_front: case(SLIP).read(b"\xc0a\xc0\xc0").eof()
        .gives(["frame a", "end"]);
    an_escape_of_another_byte: case(SLIP).read(b"\xc0a\xdbb\xc0\xc0c\xc0").gives(["malformed @3"]);
    an_escape_of_another_byte_is_skipped: case(SKIP).read(b"\xc0a\xdbb\xc0\xc0c\xc0").eof()
        .gives(["malformed @3, skipped", "frame c", "end"]);
    an_escape_of_another_byte_is_that_byte: case(PASS).read(b"\xc0a\xdbb\xdb\xdb\xc0\xc0c\xc0").eof()
        .gives([r"frame ab\xdb", "frame c", "end"]);
    an_escape_of_the_mark: case(SKIP).read(b"ab\xdb\xc0\xc0c\xc0").eof()
        .gives(["malformed @3, skipped", "frame c", "end"]);
    an_escape_of_the_mark_is_never_passed:
        case(r#"{ type = "slip", invalid_escape = "pass", on_error = "skip" }"#)
            .read(b"ab\xdb\xc0\xc0c\xc0").eof().gives(["malformed @3, skipped", "frame c", "end"]);
    the_limit_itself_is_allowed: case(SLIP4).read(b"\xdb\xdc\xdb\xdc\xdb\xdc\xdb\xdc\xc0").eof()
        .gives([r"frame \xc0\xc0\xc0\xc0", "end"]);
    one_more_is_too_long_at_once: case(SLIP4).read(b"\xc0aa\xdb\xdcaa").gives(["too-long ? > 4 @1"]);
    a_long_one_is_skipped_in_pieces: case(SLIP4_SKIP).read([b'x'; 3000]).read(b"\xc0\xc0a\xc0").eof()
        .gives(["too-long ? > 4 @0, skipped", "frame a", "end"]);
    a_passed_escape_counts:
        case(r#"{ type = "slip", invalid_escape = "pass", max_frame = 2, on_error = "skip" }"#)
            .read(b"\xdb\xdb\xdb\xdb\xdb\xdb\xc0a\xc0").eof()
            .gives(["too-long ? > 2 @0, skipped", "frame a", "end"]);
    escapes_alone_are_too_long_in_time:
        case(r#"{ type = "slip", invalid_escape = "pass", max_frame = 2 }"#)
            .read(b"\xdb\xdb\xdb\xdb\xdb\xdb").gives(["too-long ? > 2 @0"]);
    a_passed_escape_counts_only_once_it_is_known:
        // Two escapes and two others may be two bytes; only their order tells that they are three.
        case(r#"{ type = "slip", invalid_escape = "pass", max_frame = 2, on_error = "skip" }"#)
            .read(b"\xdb\xdbaa\xc0b\xc0").eof()
            .gives(["too-long ? > 2 @0, skipped", "frame b", "end"]);
}

/// The receiver of RFC 1055 on one packet, its final END left off.
fn reference(packet: &[u8]) -> Vec<u8> {
    let mut bytes = packet.iter().copied();
    let mut received = Vec::new();
    while let Some(byte) = bytes.next() {
        match byte {
            0xdb => match bytes.next() {
                Some(0xdc) => received.push(0xc0),
                Some(0xdd) => received.push(0xdb),
                Some(other) => received.push(other),
                None => {}
            },
            byte => received.push(byte),
        }
    }
    received
}

#[test]
fn what_is_passed_is_what_the_reference_code_passes() {
    let mut random = Random::new(1055);
    let mut compared = 0;
    for _ in 0..2000 {
        let length = 1 + random.below(12);
        let packet = random.bytes(length, b"ab\xdb\xdb\xdc\xdd");
        let options = SlipOptions::default().invalid_escape(InvalidEscape::Pass);
        let mut machine = Machine::new(options.build(Limits::new()).unwrap());
        machine.receive(&packet);
        machine.receive(b"\xc0");
        match machine.next_frame() {
            Ok(received) => {
                assert_eq!(received, Received::Frame(reference(&packet).into()));
                compared += 1;
            }
            Err(error) => assert!(error.to_string().contains("nothing behind it")),
        }
    }
    assert!(compared > 1000, "{compared} packets are compared");
}

#[test]
fn marks_in_front_are_a_choice() {
    for (leading, wire) in [(true, &b"\xc0a\xc0"[..]), (false, b"a\xc0")] {
        let options = SlipOptions::default().leading(leading);
        let mut machine = Machine::new(options.build(Limits::new()).unwrap());
        machine.send("a".into()).unwrap();
        assert_eq!(machine.outbox().take_bytes(), wire);
    }
    let mut machine = Machine::new(Slip::default());
    machine.send("a".into()).unwrap();
    assert_eq!(machine.outbox().take_bytes(), &b"\xc0a\xc0"[..]);
}

#[test]
fn options_that_cannot_work_are_refused() {
    for (options, says) in [
        (r#"invalid_escape = "keep""#, "`pass`"),
        (r#"leading = 1"#, "bool"),
        ("max_frame = 0", "at least 1"),
    ] {
        refused(&format!(r#"{{ type = "slip", {options} }}"#), says);
    }
}
