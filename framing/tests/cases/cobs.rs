//! COBS: the encodings of the paper and of its Wikipedia article, and what comes after garbage.

use framing::{Cobs, CobsOptions, Limits, Machine, Received};

use crate::{cases, refused, script::case};

const COBS: &str = "cobs";
const COBS4: &str = r#"{ type = "cobs", max_frame = 4 }"#;
const COBS4_SKIP: &str = r#"{ type = "cobs", max_frame = 4, on_error = "skip" }"#;
const SKIP: &str = r#"{ type = "cobs", on_error = "skip" }"#;
const LEADING: &str = r#"{ type = "cobs", leading = true }"#;

cases! {
    one_zero: case(COBS).send(b"\0").read(b"\x01\x01\0").eof().gives([r"frame \x00", "end"])
        .writes(b"\x01\x01\0");
    nothing_at_all: case(COBS).send(b"").read(b"\x01\0").eof().gives(["frame ", "end"])
        .writes(b"\x01\0");
    a_mark_in_front_too: case(LEADING).send(b"a").send(b"").read(b"\0\x02a\0\0\x01\0").eof()
        .gives(["frame a", "frame ", "end"]).writes(b"\0\x02a\0\0\x01\0");
    nothing_between_two_marks: case(COBS).read(b"\0\0\0\x02a\0\0\0\x02b\0\0\0").eof()
        .gives(["frame a", "frame b", "end"]);
    nothing_but_marks: case(COBS).read(b"\0\0\0").eof().gives(["end"]);
    cut_off_before_its_mark: case(COBS).read(b"\x02a\0\x03b").eof()
        .gives(["frame a", "truncated delimiter 2 of ? @5"]);
    cut_off_behind_its_first_code: case(COBS).read(b"\x01").eof()
        .gives(["truncated delimiter 1 of ? @1"]);
    a_code_past_the_end: case(COBS).read(b"\x02a\0\x02a\x03b\0\x02c\0")
        .gives(["frame a", "malformed @5"]);
    a_code_past_the_end_is_skipped: case(SKIP).read(b"\x02a\0\x02a\x03b\0\x02c\0").eof()
        .gives(["frame a", "malformed @5, skipped", "frame c", "end"]);
    noise_is_one_error: case(SKIP).read(b"\xffGET / HTTP/1.1\r\n\r\n\0\x02a\0").eof()
        .gives(["malformed @0, skipped", "frame a", "end"]);
    the_limit_itself_is_allowed: case(COBS4).read(b"\x05aaaa\0\x01\x01\x01\x01\x01\0").eof()
        .gives(["frame aaaa", r"frame \x00\x00\x00\x00", "end"]);
    one_more_is_too_long_at_once: case(COBS4).read(b"\x06aaaaa").gives(["too-long ? > 4 @0"]);
    or_with_its_mark: case(COBS4).read(b"\x06aaaaa\0\x02b\0").gives(["too-long ? > 4 @0"]);
    a_long_one_is_skipped_in_pieces: case(COBS4_SKIP).read([b'x'; 3000]).read(b"\0\0\x02a\0").eof()
        .gives(["too-long ? > 4 @0, skipped", "frame a", "end"]);
    a_long_one_is_cut_off: case(COBS4_SKIP).read([b'x'; 30]).eof()
        .gives(["too-long ? > 4 @0, skipped", "truncated delimiter 0 of ? @30"]);
    the_overhead_of_zeros_does_not_hide_a_long_one:
        // As many bytes as 254 others would be stuffed into, but 255 zeros.
        case(r#"{ type = "cobs", max_frame = 254, on_error = "skip" }"#)
            .read([1; 256]).read(b"\0\x02a\0").eof()
            .gives(["too-long ? > 254 @0, skipped", "frame a", "end"]);
    an_empty_one_may_be_forbidden:
        case(r#"{ type = "cobs", allow_empty = false, on_error = "skip" }"#)
            .read(b"\x01\0\x02a\0").eof().gives(["malformed @0, skipped", "frame a", "end"]);
    a_flood_of_empty_ones_is_final:
        case(r#"{ type = "cobs", max_empty_run = 1, on_error = "skip" }"#)
            .read(b"\x01\0\x01\0\x02a\0").gives(["frame ", "malformed @2"]);
    another_mark: case(r#"{ type = "cobs", sentinel = 10 }"#)
        .send(b"a\0\n").read([2 ^ 10, b'a' ^ 10, 2 ^ 10, 0, 10]).eof()
        .gives([r"frame a\x00\n", "end"]).writes([2 ^ 10, b'a' ^ 10, 2 ^ 10, 0, 10]);
}

/// The examples of Wikipedia's article "Consistent Overhead Byte Stuffing", in its order; the
/// first ones are those of the paper's section on the encoding.
#[test]
fn published_encodings() {
    let run = |from: u8, to: u8| (from..=to).collect::<Vec<u8>>();
    let join = |parts: &[&[u8]]| parts.concat();
    let table: Vec<(Vec<u8>, Vec<u8>)> = vec![
        (b"\0".into(), b"\x01\x01\0".into()),
        (b"\0\0".into(), b"\x01\x01\x01\0".into()),
        (b"\0\x11\0".into(), b"\x01\x02\x11\x01\0".into()),
        (b"\x11\x22\0\x33".into(), b"\x03\x11\x22\x02\x33\0".into()),
        (b"\x11\x22\x33\x44".into(), b"\x05\x11\x22\x33\x44\0".into()),
        (b"\x11\0\0\0".into(), b"\x02\x11\x01\x01\x01\0".into()),
        (run(1, 254), join(&[b"\xff", &run(1, 254), b"\0"])),
        (run(0, 254), join(&[b"\x01\xff", &run(1, 254), b"\0"])),
        (run(1, 255), join(&[b"\xff", &run(1, 254), b"\x02\xff\0"])),
        (
            join(&[&run(2, 255), b"\0"]),
            join(&[b"\xff", &run(2, 255), b"\x01\x01\0"]),
        ),
        (
            join(&[&run(3, 255), b"\0\x01"]),
            join(&[b"\xfe", &run(3, 255), b"\x02\x01\0"]),
        ),
    ];
    for (frame, wire) in table {
        let mut machine = Machine::new(Cobs::default());
        machine.send(frame.clone().into()).unwrap();
        assert_eq!(machine.outbox().take_bytes(), wire);
        for cut in 0..wire.len() {
            machine.receive(&wire[..cut]);
            assert!(matches!(machine.next_frame(), Ok(Received::Need(_))));
            machine.receive(&wire[cut..]);
            let frame = Received::Frame(frame.clone().into());
            assert_eq!(machine.next_frame(), Ok(frame), "cut at {cut}");
        }
    }
}

/// The encoder in the paper's appendix writes one more code behind a full run at the end.
#[test]
fn a_code_with_nothing_behind_a_full_run_is_read() {
    let frame = [b'x'; 254];
    let mut machine = Machine::new(Cobs::default());
    machine.receive(b"\xff");
    machine.receive(&frame);
    machine.receive(b"\x01\0");
    let expected = Received::Frame(frame.to_vec().into());
    assert_eq!(machine.next_frame(), Ok(expected));
}

#[test]
fn every_mark_carries_every_byte() {
    let all: Vec<u8> = (0..=255).cycle().take(1000).collect();
    for sentinel in 0..=255 {
        let framing = CobsOptions::default().sentinel(sentinel);
        let mut machine = Machine::new(framing.build(Limits::new()).unwrap());
        machine.send(all.clone().into()).unwrap();
        let wire = machine.outbox().take_bytes();
        let marks = wire.iter().filter(|&&byte| byte == sentinel).count();
        assert_eq!(marks, 1, "only the mark itself is {sentinel}");
        machine.receive(&wire);
        assert_eq!(
            machine.next_frame(),
            Ok(Received::Frame(all.clone().into()))
        );
    }
}

#[test]
fn marks_in_front_are_a_choice() {
    for (leading, wire) in [(true, &b"\0\x02a\0"[..]), (false, b"\x02a\0")] {
        let options = CobsOptions::default().leading(leading);
        let mut machine = Machine::new(options.build(Limits::new()).unwrap());
        machine.send("a".into()).unwrap();
        assert_eq!(machine.outbox().take_bytes(), wire);
    }
}

#[test]
fn options_that_cannot_work_are_refused() {
    for (options, says) in [
        ("sentinel = 256", "256"),
        ("sentinel = -1", "-1"),
        (r#"leading = "yes""#, "bool"),
        ("max_frame = 0", "at least 1"),
    ] {
        refused(&format!(r#"{{ type = "cobs", {options} }}"#), says);
    }
}
