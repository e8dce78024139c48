//! The ack-handshake: A01 to A20, but those that are about datagrams and speed.

use std::time::Duration;

use framing::{
    AckHandshake, AckHandshakeOptions, ErrorKind, Framing, Limits, Machine, Pair, Raw, Received,
};

use crate::{cases, refused, script::case};

const ACK: &str = "ack-handshake";
const ACK1K: &str = r#"{ type = "ack-handshake", max_frame = "1KiB" }"#;
const REFUSING: &str = r#"{ type = "ack-handshake", max_frame = "1KiB", refusal = "no" }"#;
const BARE: &str = r#"{ type = "ack-handshake", bare = true }"#;
const BARE_SEND: &str = r#"{ type = "ack-handshake", bare = true, terminator = "" }"#;

const SETTLE: Duration = Duration::from_millis(20);
const NEARLY: Duration = Duration::from_millis(19);
const A_MOMENT: Duration = Duration::from_millis(1);
const TIMEOUT: Duration = Duration::from_secs(30);

cases! {
    a01_a_frame: case(ACK).read(b"5\n").read(b"hello").eof().gives(["frame hello", "end"]).writes("ok");
    a02_a_number_in_two_reads: case(ACK).read(b"1").read(b"2\n").read(b"twelve bytes").eof()
        .gives(["frame twelve bytes", "end"]).writes("ok");
    a02_no_ok_before_the_terminator: case(ACK).read(b"12").gives([]).writes("");
    a03_a_plus: case(ACK).read(b"+5\n").gives(["malformed @0"]).writes("");
    a03_a_minus: case(ACK).read(b"-1\n").gives(["malformed @0"]).writes("");
    a03_hexadecimal: case(ACK).read(b"0x10\n").gives(["malformed @1"]).writes("");
    a03_an_underscore: case(ACK).read(b"1_0\n").gives(["malformed @1"]).writes("");
    a03_a_space_in_front: case(ACK).read(b" 5\n").gives(["malformed @0"]).writes("");
    a03_a_space_behind: case(ACK).read(b"5 \n").gives(["malformed @1"]).writes("");
    a03_an_exponent: case(ACK).read(b"1e3\n").gives(["malformed @1"]).writes("");
    a03_a_fraction: case(ACK).read(b"5.0\n").gives(["malformed @1"]).writes("");
    a03_no_digit: case(ACK).read(b"\n").gives(["malformed @0"]).writes("");
    a03_no_digit_but_crlf: case(ACK).read(b"\r\n").gives(["malformed @0"]).writes("");
    a03_no_digit_and_half_a_crlf: case(ACK).read(b"\r").gives(["malformed @0"]).writes("");
    a03_an_arabic_digit: case(ACK).read("٥\n").gives(["malformed @0"]).writes("");
    a03_a_full_width_digit: case(ACK).read("５\n").gives(["malformed @0"]).writes("");
    a03_a_carriage_return_alone: case(ACK).read(b"5\rhello").gives(["malformed @2"]).writes("");
    a03_crlf_is_a_terminator: case(ACK).read(b"5\r\nhello").eof().gives(["frame hello", "end"])
        .writes("ok");
    a04_leading_zeros: case(ACK).read(b"007\n").gives(["malformed @0"]).writes("");
    a04_two_zeros: case(ACK).read(b"00\n").gives(["malformed @0"]).writes("");
    a04_zero_is_a_frame: case(ACK).read(b"0\n").eof().gives(["frame ", "end"]).writes("ok");
    a05_two_to_the_64th: case(ACK).read(b"18446744073709551616\n")
        .gives(["too-long 18446744073709551616 > 16777216 @0"]).writes("");
    a05_23_digits: case(ACK).read([b'9'; 23]).read(b"\n")
        .gives(["too-long 999999999999999999999 > 16777216 @0"]).writes("");
    a06_endless_digits: case(ACK).read([b'9'; 21])
        .gives(["too-long 999999999999999999999 > 16777216 @0"]).writes("");
    a06_as_many_digits_as_there_may_be: case(ACK).read([b'9'; 20]).gives([]).writes("");
    a07_over_the_limit_there_is_no_ok: case(ACK1K).read(b"9999999\n")
        .gives(["too-long 9999999 > 1024 @0"]).writes("");
    a07_but_a_refusal: case(REFUSING).read(b"9999999\n")
        .gives(["too-long 9999999 > 1024 @0"]).writes("no");
    a07_the_sender_is_told: case(ACK).send(b"hello").read(b"no").gives(["refused @0"])
        .says("no").gives_back(b"hello").writes("5\n");
    a08_a_body_that_does_not_wait: case(ACK).read(b"5\nhello2\nhi").eof()
        .gives(["frame hello", "frame hi", "end"]).writes("okok");
    a09_the_ack_in_two_reads: case(ACK).send(b"hello").read(b"o").read(b"k").gives([])
        .writes("5\nhello");
    a09_bytes_behind_the_ack: case(ACK).send(b"hello").read(b"okk").gives(["malformed @2"])
        .writes("5\nhello");
    a09_another_case: case(ACK).send(b"hello").read(b"OK").gives(["refused @0"])
        .gives_back(b"hello").writes("5\n");
    a09_no_ack_any_more: case(ACK).send(b"hello").eof().gives(["truncated ack 0 of 2 @0"])
        .gives_back(b"hello").writes("5\n");
    a09_half_an_ack: case(ACK).send(b"hello").read(b"o").eof().gives(["truncated ack 1 of 2 @1"])
        .gives_back(b"hello").writes("5\n");
    a09_behind_the_end_nothing_is_announced: case(ACK).read(b"1\nx").eof().send(b"hello").keep_cuts()
        .gives(["frame x", "end", "unencodable"]).says("closed its side").gives_back(b"hello")
        .writes("ok");
    a10_a_silent_peer: case(ACK).send(b"hello").wait(TIMEOUT).gives(["timeout @0"])
        .says("30s").gives_back(b"hello").writes("5\n");
    a10_not_before_its_time: case(ACK).send(b"hello").wait(TIMEOUT - A_MOMENT).read(b"ok").gives([])
        .writes("5\nhello");
    a10_an_ack_ends_the_wait: case(ACK).send(b"hello").read(b"ok").wait(TIMEOUT).gives([])
        .writes("5\nhello");
    a11_an_ack_that_is_late: case(ACK).send(b"hello").wait(TIMEOUT).read(b"ok")
        .gives(["timeout @0"]).writes("5\n");
    a12_both_at_once: case(ACK).send(b"hello").read(b"5\nokworld").eof()
        .gives(["frame world", "end"]).writes("5\nokhello");
    a12_ours_after_theirs: case(ACK).read(b"5\n").send(b"hello").read(b"worldok").eof()
        .gives(["frame world", "end"]).writes("ok5\nhello");
    a12_and_again: case(ACK).send(b"a").read(b"1\nokx").send(b"b").read(b"1\noky").eof()
        .gives(["frame x", "frame y", "end"]).writes("1\noka1\nokb").keep_cuts();
    a13_a_body_like_an_ack: case(ACK).send(b"hello").read(b"5\nokokxyz").eof()
        .gives(["frame okxyz", "end"]).writes("5\nokhello");
    a14_a_body_like_an_announcement: case(ACK).read(b"4\n2\nok").eof()
        .gives([r"frame 2\nok", "end"]).writes("ok");
    a15_bytes_and_not_characters: case(ACK).send("é".as_bytes()).read(b"ok").gives([])
        .writes("2\né");
    a16_no_body: case(ACK).read(b"5\n").eof().gives(["truncated body 0 of 5 @2"]).writes("ok");
    a16_half_a_body: case(ACK).read(b"5\nhe").eof().gives(["truncated body 2 of 5 @4"]);
    a16_half_a_number: case(ACK).read(b"5").eof().gives(["truncated header 1 of ? @1"]).writes("");
    a12_a_second_announcement_in_place_of_the_ack: case(ACK).send(b"hello").read(b"0\n0\n").eof()
        .gives(["frame ", "refused @2"]).gives_back(b"hello").writes("5\nok");
    a20_empty_frames_are_a_flood:
        case(r#"{ type = "ack-handshake", max_empty_run = 3 }"#).read(b"0\n0\n0\n0\n")
            .gives(["frame ", "frame ", "frame ", "malformed @6"]).writes("okokok");
    bare_a_number_and_a_pause: case(BARE).read(b"5").wait(SETTLE).read(b"hello").eof()
        .gives(["frame hello", "end"]).writes("ok").keep_cuts();
    bare_a_pause_that_is_too_short: case(BARE).read(b"1").wait(NEARLY).read(b"2").wait(NEARLY)
        .gives([]).writes("").keep_cuts();
    bare_each_digit_begins_the_pause_again:
        case(BARE).read(b"1").wait(NEARLY).read(b"2").wait(SETTLE).read(b"twelve bytes").eof()
            .gives(["frame twelve bytes", "end"]).writes("ok").keep_cuts();
    bare_zero: case(BARE).read(b"0").wait(SETTLE).gives(["frame "]).writes("ok").keep_cuts();
    bare_until_a_terminator_is_seen:
        case(BARE).read(b"2\nhi5").wait(SETTLE).gives(["frame hi"]).writes("ok").keep_cuts();
    bare_half_a_terminator_is_no_bare_number:
        case(BARE).read(b"2\r").wait(SETTLE).read(b"\nhi").eof().gives(["frame hi", "end"])
            .writes("ok").keep_cuts();
    bare_half_a_terminator_ends_the_pause:
        case(BARE).read(b"2").read(b"\r").wait(SETTLE).read(b"\nhi").eof()
            .gives(["frame hi", "end"]).writes("ok").keep_cuts();
    bare_one_number_after_the_other:
        case(BARE).read(b"2").wait(SETTLE).read(b"hi").read(b"2").wait(SETTLE).read(b"yo").eof()
            .gives(["frame hi", "frame yo", "end"]).writes("okok").keep_cuts();
    bare_an_ack_that_is_late_is_not_a_number_that_is_complete:
        case(r#"{ type = "ack-handshake", bare = true, settle = "20ms", ack_timeout = "10ms" }"#)
            .send(b"hello").read(b"5").wait(Duration::from_millis(10)).gives(["timeout @0"])
            .gives_back(b"hello").writes("5\n").keep_cuts();
    bare_a_pause_beyond_any_clock: case(r#"{ type = "ack-handshake", bare = true, settle = "500000000000y" }"#)
        .read(b"5").wait(TIMEOUT).read(b"\nhello").eof().gives(["frame hello", "end"])
        .writes("ok").keep_cuts();
    bare_the_end_completes_a_number: case(BARE).read(b"5").eof()
        .gives(["truncated body 0 of 5 @1"]).writes("ok");
    bare_what_we_write: case(BARE_SEND).send(b"hello").read(b"ok").gives([]).writes("5hello");
    bare_while_we_wait_for_an_ack: case(BARE_SEND).send(b"hello").read(b"5").wait(SETTLE).read(b"okworld")
        .eof().gives(["frame world", "end"]).writes("5okhello").keep_cuts();
    bare_the_ack_timeout_stays: case(BARE).send(b"hello").wait(TIMEOUT).gives(["timeout @0"])
        .writes("5\n");
}

#[test]
fn options_that_cannot_work_are_refused() {
    for (options, says) in [
        (r#"ack = """#, "empty"),
        (r#"ack = "1""#, "digit"),
        (r#"terminator = ";""#, "terminator"),
        (r#"on_error = "skip""#, "skip"),
        (r#"settle = "soon""#, "20ms"),
        (r#"max_frame = 0"#, "at least 1"),
    ] {
        refused(&format!(r#"{{ type = "ack-handshake", {options} }}"#), says);
    }
}

#[test]
fn every_option_is_also_a_method() {
    let options = AckHandshakeOptions::default()
        .ack("go ahead")
        .terminator("\r\n")
        .refusal("no");
    let framing = options.clone().build(Limits::new().max_frame(9)).unwrap();
    let mut machine = Machine::new(framing);
    machine.send("hi".into()).unwrap();
    machine.receive(b"1\r\n");
    assert!(matches!(machine.next_frame(), Ok(Received::Need(_))));
    assert_eq!(machine.outbox().take_bytes(), "2\r\ngo ahead");
    machine.receive(b"go aheadx10\n");
    assert_eq!(machine.next_frame(), Ok(Received::Frame("x".into())));
    assert_eq!(machine.next_frame().unwrap_err().kind(), ErrorKind::TooLong);
    assert_eq!(machine.outbox().take_bytes(), "hino");

    let (settle, ack_timeout) = (Duration::from_secs(3), Duration::from_secs(7));
    let options = options.bare(true).settle(settle).ack_timeout(ack_timeout);
    let mut machine = Machine::new(options.build(Limits::new()).unwrap());
    let now = std::time::Instant::now();
    machine.set_now(now);
    machine.send("hi".into()).unwrap();
    assert_eq!(machine.deadline(), Some(now + ack_timeout));
    machine.receive(b"1");
    assert_eq!(machine.next_frame(), Ok(Received::Need(1)));
    assert_eq!(machine.deadline(), Some(now + settle));
}

#[test]
fn in_front_of_an_ack_no_more_is_asked_for_than_an_announcement_may_have() {
    let options = || AckHandshakeOptions::default().ack("go ahead");
    for (bare, need) in [(false, 2), (true, 1)] {
        let framing = options().bare(bare).build(Limits::new()).unwrap();
        let mut machine = Machine::new(framing.clone());
        machine.send("hi".into()).unwrap();
        assert_eq!(machine.next_frame(), Ok(Received::Need(need)));
        machine.receive(b"go");
        assert_eq!(machine.next_frame(), Ok(Received::Need(6)));

        // Where the peer announces nothing, it can only be the ack.
        let mut machine = Machine::new(Pair::new(Raw::default(), framing).unwrap());
        machine.send("hi".into()).unwrap();
        assert_eq!(machine.next_frame(), Ok(Received::Need(8)));
    }
}

#[test]
fn one_frame_at_a_time_is_announced() {
    let mut machine = Machine::new(AckHandshake::default());
    assert!(machine.framing().is_ready());
    machine.send("one".into()).unwrap();
    assert!(!machine.framing().is_ready());
    let error = machine.send("two".into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unencodable);
    assert_eq!(error.frame().unwrap(), "two");
    let error = machine
        .framing_mut()
        .encode_slice(b"two", &mut framing::Outbox::new());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unencodable);
    assert_eq!(machine.outbox().take_bytes(), "3\n");
    assert_eq!(machine.framing_mut().take_unsent().unwrap(), "one");
    assert_eq!(machine.framing_mut().take_unsent(), None);
}

#[test]
fn a_slice_is_announced_as_well() {
    let mut machine = Machine::new(AckHandshake::default());
    let mut out = framing::Outbox::new();
    machine
        .framing_mut()
        .encode_slice(b"hello", &mut out)
        .unwrap();
    assert_eq!(out.take_bytes(), "5\n");
    machine.receive(b"ok");
    assert_eq!(machine.next_frame(), Ok(Received::Need(2)));
    assert_eq!(machine.outbox().take_bytes(), "hello");
}

#[test]
fn a_body_that_is_due_is_a_frame_begun() {
    let mut machine = Machine::new(AckHandshake::default());
    assert!(!machine.is_mid_frame());
    machine.receive(b"1\n");
    assert_eq!(machine.next_frame(), Ok(Received::Need(1)));
    assert!(machine.is_mid_frame());
    machine.receive(b"x");
    assert_eq!(machine.next_frame(), Ok(Received::Frame("x".into())));
    assert!(!machine.is_mid_frame());
    // An ack that is due is none.
    machine.send("hi".into()).unwrap();
    assert!(!machine.is_mid_frame());
}

#[test]
fn after_a_refusal_nothing_is_waited_for() {
    let mut machine = Machine::new(AckHandshake::default());
    machine.send("hi".into()).unwrap();
    assert!(machine.deadline().is_some());
    machine.receive(b"no");
    assert_eq!(machine.next_frame().unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(machine.deadline(), None);
}
