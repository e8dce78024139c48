//! Length fields at an offset: F01 to F28 where they apply, and widths that no struct has.

use framing::{Endian, ErrorKind, Framing, LengthFieldOptions, Limits, Machine, Received};

use crate::{
    cases, refused,
    script::{Case, case},
};

const TEN: &str = r#"{ type = "length-field", max_frame = 10 }"#;
const TEN_SKIP: &str = r#"{ type = "length-field", max_frame = 10, on_error = "skip" }"#;
const COUNTS_FRAME: &str = r#"{ type = "length-field", adjust = -4, max_frame = 10 }"#;
/// A tag, then three bytes of length.
const TAGGED: &str = r#"{ type = "length-field", offset = 1, width = 3 }"#;

fn options(options: &str) -> Case {
    case(&format!(r#"{{ type = "length-field", {options} }}"#))
}

fn evil(on_error: &str) -> Case {
    // The inner length and `EVIL` are in the body of the frame that is too long.
    options(&format!(
        r#"width = 3, max_frame = 16, on_error = "{on_error}""#
    ))
    .read(b"\0\0\x20AA")
    .read(b"\0\0\x04EVIL")
    .read([b'x'; 23])
    .read(b"\0\0\x04good")
    .eof()
}

cases! {
    f01_nothing_at_all_is_a_clean_end: case(TEN).eof().gives(["end"]).writes("");
    f02_a_header_alone_is_cut_off:
        case(TEN).read(b"\0\0\0\x05").eof().gives(["truncated body 0 of 5 @4"]);
    f03_half_a_header_is_cut_off: case(TEN).read(b"\0\0").eof().gives(["truncated header 2 of 4 @2"]);
    f03_so_is_one_without_its_length:
        case(TAGGED).read(b"\x07\0").eof().gives(["truncated header 2 of 4 @2"]);
    f04_half_a_body_is_cut_off:
        case(TAGGED).read(b"\x07\0\0\x05he").eof().gives(["truncated body 2 of 5 @6"]);
    f05_an_empty_frame_is_a_frame:
        case(TEN).read(b"\0\0\0\0\0\0\0\x01A").eof().gives(["frame ", "frame A", "end"]);
    f05_an_empty_frame_may_be_forbidden:
        options("allow_empty = false").read(b"\0\0\0\0\0\0\0\x01A").eof()
            .gives(["malformed @0"]).says("allow_empty");
    f06_the_limit_itself_is_allowed:
        case(TEN).read(b"\0\0\0\x0aAAAAAAAAAA").eof().gives(["frame AAAAAAAAAA", "end"]);
    f06_one_more_is_too_long_without_its_body:
        case(TEN).read(b"\0\0\0\x0b").gives(["too-long 11 > 10 @0"]);
    f07_too_long_is_final:
        case(TEN).read(b"\0\0\0\x0bAAAAAAAAAAA\0\0\0\x01B").eof().gives(["too-long 11 > 10 @0"]);
    f07_too_long_is_skipped:
        case(TEN_SKIP).read(b"\0\0\0\x0bAAAAAAAAAAA\0\0\0\x01B").eof()
            .gives(["too-long 11 > 10 @0, skipped", "frame B", "end"]);
    f08_a_skipped_body_is_never_parsed:
        evil("skip").gives(["too-long 32 > 16 @0, skipped", "frame good", "end"]);
    f08_nor_is_that_of_a_final_error: evil("close").gives(["too-long 32 > 16 @0"]);
    a_stream_that_ends_in_a_skipped_body_is_cut_off:
        case(TEN_SKIP).read(b"\0\0\0\x0bABC").eof()
            .gives(["too-long 11 > 10 @0, skipped", "truncated body 3 of 11 @7"]);
    f09_a_negative_length_is_malformed:
        options("signed = true").read(b"\xff\xff\xff\xff").gives(["malformed @0"]).says("-1");
    f09_in_three_bytes_too:
        options("offset = 1, width = 3, signed = true").read(b"\x07\xff\xff\xfe")
            .gives(["malformed @1"]).says("-2");
    f10_the_largest_length:
        options("width = 8, max_frame = 10").read([0xff; 8])
            .gives(["too-long 18446744073709551615 > 10 @0"]);
    f10_and_more_than_the_largest:
        options("width = 8, adjust = 8").read([0xff; 8])
            .gives(["too-long 18446744073709551623 > 16777216 @0"]);
    f10_which_no_stream_can_skip:
        options(r#"width = 8, adjust = 8, on_error = "skip""#).read([0xff; 8]).read(b"x")
            .gives(["too-long 18446744073709551623 > 16777216 @0"]);
    f10_without_a_limit_to_speak_of:
        options(&format!("width = 8, max_frame = {}", i64::MAX)).read([0xff; 8]).read(b"x")
            .gives([&format!("too-long {} > {} @0", u64::MAX, i64::MAX - 8)]);
    f10_the_largest_length_of_seven_bytes:
        options(r#"width = 7, endian = "little""#).read([0xff; 7])
            .gives(["too-long 72057594037927935 > 16777216 @0"]);
    f11_header_and_length_never_overflow:
        options("offset = 3, width = 8, max_frame = 10").read(b"\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xf9")
            .gives(["too-long 9223372036854775801 > 10 @3"]);
    f12_the_adjustment_counts:
        options("width = 2, adjust = 100, max_frame = 10").read(b"\0\x0a").read([b'A'; 110])
            .gives(["too-long 110 > 10 @0"]);
    f13_a_length_that_counts_the_header:
        case(COUNTS_FRAME).send(b"0123456789").read(b"\0\0\0\x0e0123456789").eof()
            .gives(["frame 0123456789", "end"]).writes(b"\0\0\0\x0e0123456789");
    f14_and_is_less_than_it: case(COUNTS_FRAME).read(b"\0\0\0\x03").gives(["malformed @0"])
        .says("a length of 3, where 4 is the least");
    f14_or_just_as_much: case(COUNTS_FRAME).read(b"\0\0\0\x04").eof().gives(["frame ", "end"]);
    f15_the_least_adjustment_is_refused_or_malformed:
        options(&format!("width = 8, adjust = {}", i64::MIN)).read(b"\0\0\0\0\0\0\0\x05")
            .gives(["malformed @0"]);
    f19_a_byte_of_length: options("width = 1").send(&[7; 255]).send(&[7; 256])
        .gives(["unencodable"]).says("255").gives_back(&[7; 256])
        .writes([&[255][..], &[7; 255]].concat());
    f20_more_than_the_limit_is_refused:
        options(r#"width = 3, max_frame = "1KiB""#).send(&[0; 1025]).send(b"x")
            .gives(["unencodable"]).says("1025").gives_back(&[0; 1025]).writes(b"\0\0\x01x");
    f22_an_endless_run_of_empty_frames_is_a_flood:
        options("width = 3, max_empty_run = 2").read([0; 12]).eof()
            .gives(["frame ", "frame ", "malformed @6"]).says("flood");
    f27_an_http_request: case("length-field").read(b"GET / HTTP/1.1\r\n")
        .gives(["too-long 1195725856 > 16777216 @0"]).says("HTTP request");
    f27_a_tls_hello: case("length-field").read(b"\x16\x03\x01\x02\0\x01")
        .gives(["too-long 369295618 > 16777216 @0"]).says("TLS");
    f28_minus_the_header:
        options(r#"endian = "little", signed = true"#).read(b"\xfc\xff\xff\xff").eof()
            .gives(["malformed @0"]).says("-4");

    three_bytes_big: case(TAGGED).send(&[b'x'; 300]).read(b"\x09\0\0\x02hi").eof()
        .gives(["frame hi", "end"]).writes([&b"\0\0\x01\x2c"[..], &[b'x'; 300]].concat());
    three_bytes_little: options(r#"width = 3, endian = "little""#).send(&[b'x'; 300])
        .read(b"\x02\0\0hi").eof()
        .gives(["frame hi", "end"]).writes([&b"\x2c\x01\0"[..], &[b'x'; 300]].concat());
    five_bytes: options("width = 5").send(b"hi").read(b"\x01\0\0\0\0")
        .gives(["too-long 4294967296 > 16777216 @0"]).writes(b"\0\0\0\0\x02hi");
    six_bytes_little: options(r#"width = 6, endian = "little""#).send(b"hi").read(b"\0\0\0\0\0\x01")
        .gives(["too-long 1099511627776 > 16777216 @0"]).writes(b"\x02\0\0\0\0\0hi");
    seven_bytes_signed: options("width = 7, signed = true").read([0x80, 0, 0, 0, 0, 0, 0])
        .gives(["malformed @0"]).says("-36028797018963968");

    // The examples of Netty's documentation of `LengthFieldBasedFrameDecoder`.
    netty_two_bytes_nothing_stripped:
        options("width = 2, strip = 0").send(b"\0\x0cHELLO, WORLD").read(b"\0\x0cHELLO, WORLD").eof()
            .gives([r"frame \x00\x0cHELLO, WORLD", "end"]).writes(b"\0\x0cHELLO, WORLD");
    netty_two_bytes_stripped:
        options("width = 2, strip = 2").send(b"HELLO, WORLD").read(b"\0\x0cHELLO, WORLD").eof()
            .gives(["frame HELLO, WORLD", "end"]).writes(b"\0\x0cHELLO, WORLD");
    netty_the_length_of_the_whole_message:
        options("width = 2, adjust = -2, strip = 0").read(b"\0\x0eHELLO, WORLD").eof()
            .gives([r"frame \x00\x0eHELLO, WORLD", "end"]);
    netty_five_bytes_of_header:
        options("offset = 2, width = 3, strip = 0").read(b"\xca\xfe\0\0\x0cHELLO, WORLD").eof()
            .gives([r"frame \xca\xfe\x00\x00\x0cHELLO, WORLD", "end"]);
    netty_a_header_behind_the_length:
        options("width = 3, adjust = 2, strip = 0").read(b"\0\0\x0c\xca\xfeHELLO, WORLD").eof()
            .gives([r"frame \x00\x00\x0c\xca\xfeHELLO, WORLD", "end"]);
    netty_headers_on_both_sides:
        options("offset = 1, width = 2, adjust = 1, strip = 3").send(b"\xfeHELLO, WORLD")
            .read(b"\xca\0\x0c\xfeHELLO, WORLD").eof()
            .gives([r"frame \xfeHELLO, WORLD", "end"]).writes(b"\0\0\x0c\xfeHELLO, WORLD");

    a_frame_brings_what_is_left_of_its_header:
        options("offset = 2, width = 2, strip = 1").send(b"\x07\0\x05hello").send(b"\x07\0\x06hello")
            .gives(["unencodable"]).says("length in it is not its own")
            .gives_back(b"\x07\0\x06hello").writes(b"\0\x07\0\x05hello");
    a_frame_shorter_than_the_adjustment_cannot_be_said:
        options("width = 3, adjust = 8").send(b"seven..").send(b"eight...")
            .gives(["unencodable"]).says("-1").writes(b"\0\0\0eight...");
}

#[test]
fn every_option_is_also_a_method() {
    let options = LengthFieldOptions::default;
    for (options, wire) in [
        (options(), &b"\0\0\0\x02hi"[..]),
        (options().offset(1), b"\0\0\0\0\x02hi"),
        (options().width(2), b"\0\x02hi"),
        (options().width(2).endian(Endian::Little), b"\x02\0hi"),
        (options().adjust(1), b"\0\0\0\x01hi"),
    ] {
        let mut machine = Machine::new(options.build(Limits::new()).unwrap());
        machine.send("hi".into()).unwrap();
        assert_eq!(machine.outbox().take_bytes(), wire);
    }
    let signed = options().width(1).signed(true).build(Limits::new());
    let mut machine = Machine::new(signed.unwrap());
    machine.receive(b"\xff");
    let error = machine.next_frame().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    let whole = options().width(1).strip(0).build(Limits::new());
    let mut machine = Machine::new(whole.unwrap());
    machine.receive(b"\x02hi");
    assert_eq!(machine.next_frame(), Ok(Received::Frame("\x02hi".into())));
}

#[test]
fn what_is_in_front_of_the_length_is_read_and_written() {
    let options = LengthFieldOptions::default().offset(2).width(1);
    let mut machine = Machine::new(options.build(Limits::new()).unwrap());
    machine.receive(b"ab\x01c");
    machine.next_frame().unwrap();
    assert_eq!(machine.framing().header(), ["ab".into()]);
    machine.framing_mut().set_header(&["xy".into()]).unwrap();
    machine.send("c".into()).unwrap();
    assert_eq!(machine.outbox().take_bytes(), "xy\x01c");
    // Longer than what stands there, and one item too many.
    for items in [vec!["xyz".into()], vec!["x".into(), "y".into()]] {
        let error = machine.framing_mut().set_header(&items).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unencodable);
    }
    let long = machine.framing_mut().set_header(&["xyz".into()]);
    assert!(long.unwrap_err().to_string().contains("`s` takes"));
}

#[test]
fn the_largest_header_is_accepted() {
    for (width, offset) in [(1, 65535), (4, 65532), (8, 65528)] {
        let options = LengthFieldOptions::default().width(width);
        assert!(options.clone().offset(offset).build(Limits::new()).is_ok());
        assert!(options.offset(offset + 1).build(Limits::new()).is_err());
    }
}

#[test]
fn f15_the_greatest_adjustment_is_refused() {
    for adjust in [i64::MAX, i64::MIN] {
        let framing = format!(r#"{{ type = "length-field", adjust = {adjust} }}"#);
        refused(&framing, "adjust");
    }
}

#[test]
fn f25_a_limit_that_the_length_cannot_say_is_refused() {
    for (options, says) in [
        ("width = 1, max_frame = 256", "255"),
        ("width = 2, max_frame = 70000", "65535"),
        ("width = 3, max_frame = \"16MiB\"", "16777215"),
        ("width = 3, signed = true, max_frame = \"16MiB\"", "8388607"),
        ("width = 2, adjust = -2, max_frame = 65534", "65533"),
        ("width = 2, strip = 0, max_frame = 65538", "65537"),
    ] {
        let framing = format!(r#"{{ type = "length-field", {options} }}"#);
        refused(&framing, says);
        refused(&framing, "length field of");
    }
}

#[test]
fn f26_what_cannot_work_is_refused_when_it_is_built() {
    for (options, says) in [
        ("width = 0", "1 to 8"),
        ("width = 9", "1 to 8"),
        ("width = -1", "-1"),
        (r#"endian = "middle""#, "little"),
        ("offset = 65533", "65536"),
        ("offset = 9223372036854775807", "65536"),
        ("strip = 5", "could not be written again"),
        ("offset = 2, width = 3, strip = 6", "has 5 bytes"),
        ("width = 1, adjust = -255", "1 at least"),
        ("max_frame = 0", "at least 1"),
    ] {
        refused(&format!(r#"{{ type = "length-field", {options} }}"#), says);
    }
}
