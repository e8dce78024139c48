//! Binary lengths: F01 to F28.

use framing::{Framing, Machine, Received, Registry, StructHeader, Value};

use crate::{
    cases, refused,
    script::{Case, case},
};

const I10: &str = r#"{ type = "struct-header", max_frame = 10 }"#;
const I10_SKIP: &str = r#"{ type = "struct-header", max_frame = 10, on_error = "skip" }"#;
const COUNTS_FRAME: &str = r#"{ type = "struct-header", counts = "frame", max_frame = 10 }"#;
const MAGIC: &str = r#"{ type = "struct-header", format = "!4sBxH", constants = ["MAGC", "any"] }"#;
const MAGIC_STRICT: &str =
    r#"{ type = "struct-header", format = "!4sBxH", constants = ["MAGC", 2], strict_pad = true }"#;

fn format(format: &str) -> String {
    format!("{{ type = \"struct-header\", format = {format:?}, max_frame = 10 }}")
}

fn evil(on_error: &str) -> Case {
    let framing =
        format!(r#"{{ type = "struct-header", max_frame = 16, on_error = "{on_error}" }}"#);
    // The inner length and `EVIL` are in the body of the frame that is too long.
    case(&framing)
        .read(b"\0\0\0\x20AA")
        .read(b"\0\0\0\x04EVIL")
        .read([b'x'; 22])
        .read(b"\0\0\0\x04good")
        .eof()
}

cases! {
    f01_nothing_at_all_is_a_clean_end: case(I10).eof().gives(["end"]).writes("");
    f02_a_header_alone_is_cut_off:
        case(I10).read(b"\0\0\0\x05").eof().gives(["truncated body 0 of 5 @4"]);
    f03_half_a_header_is_cut_off: case(I10).read(b"\0\0").eof().gives(["truncated header 2 of 4 @2"]);
    f04_half_a_body_is_cut_off:
        case(I10).read(b"\0\0\0\x05he").eof().gives(["truncated body 2 of 5 @6"]);
    f05_an_empty_frame_is_a_frame:
        case(I10).read(b"\0\0\0\0\0\0\0\x01A").eof().gives(["frame ", "frame A", "end"]);
    f05_an_empty_frame_may_be_forbidden:
        case(r#"{ type = "struct-header", allow_empty = false }"#)
            .read(b"\0\0\0\0\0\0\0\x01A").eof().gives(["malformed @0"]).says("allow_empty");
    f06_the_limit_itself_is_allowed:
        case(I10).read(b"\0\0\0\x0aAAAAAAAAAA").eof().gives(["frame AAAAAAAAAA", "end"]);
    f06_one_more_is_too_long_without_its_body:
        case(I10).read(b"\0\0\0\x0b").gives(["too-long 11 > 10 @0"]);
    f07_too_long_is_final:
        case(I10).read(b"\0\0\0\x0bAAAAAAAAAAA\0\0\0\x01B").eof().gives(["too-long 11 > 10 @0"]);
    f07_too_long_is_skipped:
        case(I10_SKIP).read(b"\0\0\0\x0bAAAAAAAAAAA\0\0\0\x01B").eof()
            .gives(["too-long 11 > 10 @0, skipped", "frame B", "end"]);
    f08_a_skipped_body_is_never_parsed:
        evil("skip").gives(["too-long 32 > 16 @0, skipped", "frame good", "end"]);
    f08_nor_is_that_of_a_final_error: evil("close").gives(["too-long 32 > 16 @0"]);
    f09_a_negative_length_is_malformed:
        case(&format("!i")).read(b"\xff\xff\xff\xff").gives(["malformed @0"]).says("-1");
    f10_the_largest_length:
        case(&format("!Q")).read([0xff; 8]).gives(["too-long 18446744073709551615 > 10 @0"]);
    f10_and_more_than_the_largest:
        case(r#"{ type = "struct-header", format = "!Q", adjust = 8 }"#)
            .read([0xff; 8]).gives(["too-long 18446744073709551623 > 16777216 @0"]);
    f10_without_a_limit_to_speak_of:
        case(&format!(r#"{{ type = "struct-header", format = "!Q", max_frame = {} }}"#, i64::MAX))
            .read([0xff; 8]).read(b"x").gives([&format!("too-long {} > {} @0", u64::MAX, i64::MAX - 8)]);
    f11_header_and_length_never_overflow:
        case(&format("!Q")).read(b"\x7f\xff\xff\xff\xff\xff\xff\xf9")
            .gives(["too-long 9223372036854775801 > 10 @0"]);
    f12_the_adjustment_counts:
        case(r#"{ type = "struct-header", format = "!H", adjust = 100, max_frame = 10 }"#)
            .read(b"\0\x0a").read([b'A'; 110]).gives(["too-long 110 > 10 @0"]);
    f13_a_length_that_counts_the_header:
        case(COUNTS_FRAME).send(b"0123456789").read(b"\0\0\0\x0e0123456789").eof()
            .gives(["frame 0123456789", "end"]).writes(b"\0\0\0\x0e0123456789");
    f14_and_is_less_than_it: case(COUNTS_FRAME).read(b"\0\0\0\x03").gives(["malformed @0"]).says("4");
    f14_or_just_as_much: case(COUNTS_FRAME).read(b"\0\0\0\x04").eof().gives(["frame ", "end"]);
    f15_the_least_adjustment_is_refused_or_malformed:
        case(&format!(r#"{{ type = "struct-header", format = "!Q", adjust = {} }}"#, i64::MIN))
            .read(b"\0\0\0\0\0\0\0\x05").gives(["malformed @0"]);
    f16_other_items_are_written_and_read:
        case(r#"{ type = "struct-header", format = "!4sBxH", constants = ["MAGC", 2] }"#)
            .send(b"hello").read(b"MAGC\x02\0\0\x05hello").eof()
            .gives(["frame hello", "end"]).writes(b"MAGC\x02\0\0\x05hello");
    f17_a_wrong_constant_is_told_at_once: case(MAGIC).read(b"MAGD").gives(["malformed @3"]);
    f18_a_pad_byte_may_be_anything:
        case(MAGIC).read(b"MAGC\x02\xff\0\x05hello").eof().gives(["frame hello", "end"]);
    f18_unless_it_is_checked: case(MAGIC_STRICT).read(b"MAGC\x02\xff").gives(["malformed @5"]);
    f20_more_than_the_limit_is_refused:
        case(r#"{ type = "struct-header", max_frame = "1KiB" }"#).send(&[0; 1025]).send(b"x")
            .gives(["unencodable"]).says("1025").gives_back(&[0; 1025]).writes(b"\0\0\0\x01x");
    f22_an_endless_run_of_empty_frames_is_a_flood:
        case(r#"{ type = "struct-header", max_empty_run = 2 }"#).read([0; 16]).eof()
            .gives(["frame ", "frame ", "malformed @8"]).says("flood");
    f27_an_http_request: case("struct-header").read(b"GET / HTTP/1.1\r\n")
        .gives(["too-long 1195725856 > 16777216 @0"]).says("HTTP request");
    f27_a_tls_hello: case("struct-header").read(b"\x16\x03\x01\x02\0\x01")
        .gives(["too-long 369295618 > 16777216 @0"]).says("TLS");
    f28_minus_the_header:
        case(r#"{ type = "struct-header", format = "<i" }"#).read(b"\xfc\xff\xff\xff").eof()
            .gives(["malformed @0"]);
    f19_a_byte_of_length: case(r#"{ type = "struct-header", format = "!B" }"#)
        .send(&[7; 255]).send(&[7; 256]).gives(["unencodable"]).says("255")
        .gives_back(&[7; 256]).writes([&[255][..], &[7; 255]].concat());
}

#[test]
fn f15_the_greatest_adjustment_is_refused() {
    let framing = format!(r#"{{ type = "struct-header", adjust = {} }}"#, i64::MAX);
    refused(&framing, "adjust");
    refused(
        &format!(r#"{{ type = "struct-header", adjust = {} }}"#, i64::MIN),
        "adjust",
    );
    for (adjust, good) in [(i64::MAX / 2, true), (i64::MAX / 2 + 1, false)] {
        let framing = format!(r#"{{ type = "struct-header", format = "B", adjust = {adjust} }}"#);
        assert_eq!(
            Registry::default().parse(&framing).is_ok(),
            good,
            "{adjust}"
        );
    }
}

#[test]
fn f25_a_limit_that_the_length_cannot_say_is_refused() {
    refused(
        r#"{ type = "struct-header", format = "!H", max_frame = 70000 }"#,
        "65535",
    );
}

#[test]
fn f26_what_cannot_work_is_refused_when_it_is_built() {
    for format in ["f", "?", "4s", "c", "!4sf"] {
        refused(
            &format!(r#"{{ type = "struct-header", format = "{format}" }}"#),
            "cannot hold",
        );
    }
    for (options, says) in [
        (r#"format = """#, "0 bytes"),
        (r#"format = "!0I""#, "0 bytes"),
        (r#"format = "4x""#, "no item"),
        (r#"format = "4x", length = 0"#, "no item"),
        (r#"format = "70000sI""#, "65536"),
        (r#"format = "!II", length = 2"#, "0 to 1"),
        (r#"format = "I", max_frame = 0"#, "at least 1"),
        (r#"format = "!z""#, "position 1"),
        (
            r#"format = "!IB", length = 0, constants = [256]"#,
            "0 to 255",
        ),
        (
            r#"format = "!IB", length = 0, constants = [1, 2]"#,
            "2 entries",
        ),
        (r#"format = "I", strip = 5"#, "strip"),
    ] {
        refused(&format!(r#"{{ type = "struct-header", {options} }}"#), says);
    }
}

/// The header that is written for one value beside the length, or `None` if it is refused.
fn packed(code: &str, value: impl Into<Value>) -> Option<Vec<u8>> {
    let mut machine = Machine::new(StructHeader::new(&format!("!{code}I")).unwrap());
    machine.framing_mut().set_header(&[value.into()]).ok()?;
    machine.send("".into()).unwrap();
    let wire = machine.outbox().take_bytes();
    let (item, length) = wire.split_at(wire.len() - 4);
    assert_eq!(length, [0; 4]);
    machine.receive(&wire);
    machine.next_frame().unwrap();
    Some(item.to_vec())
}

/// What is read out of one item beside the length.
fn unpacked(code: &str, item: &[u8]) -> Value {
    let mut machine = Machine::new(StructHeader::new(&format!("!{code}I")).unwrap());
    machine.receive(item);
    machine.receive(&[0; 4]);
    assert_eq!(machine.next_frame(), Ok(Received::Frame("".into())));
    machine.framing().header().remove(0)
}

#[test]
fn integers_hold_what_they_can_and_no_more() {
    for (code, width, signed) in [
        ("b", 1, true),
        ("B", 1, false),
        ("h", 2, true),
        ("H", 2, false),
        ("i", 4, true),
        ("I", 4, false),
        ("q", 8, true),
        ("Q", 8, false),
    ] {
        let bits = 8 * width - u32::from(signed);
        let (least, most) = (
            if signed { -(1_i128 << bits) } else { 0 },
            (1_i128 << bits) - 1,
        );
        for value in [least, least + 1, 0, 1, most - 1, most] {
            let item = packed(code, Value::Int(value)).unwrap();
            assert_eq!(
                item,
                value.to_be_bytes()[16 - width as usize..],
                "{code} {value}"
            );
            assert_eq!(unpacked(code, &item), Value::Int(value), "{code}");
        }
        for value in [least - 1, most + 1, i128::MIN, i128::MAX] {
            assert_eq!(packed(code, Value::Int(value)), None, "{code} {value}");
        }
        for value in [false, true] {
            let item = packed(code, Value::Bool(value)).unwrap();
            assert_eq!(unpacked(code, &item), Value::Int(value.into()), "{code}");
        }
        assert_eq!(packed(code, Value::Float(1.0)), None, "{code}");
        assert_eq!(packed(code, "1"), None, "{code}");
    }
}

#[test]
fn truth_values_are_zero_or_one() {
    for (value, item) in [
        (Value::Bool(false), 0),
        (Value::Bool(true), 1),
        (Value::Int(0), 0),
        (Value::Int(1), 1),
        (Value::Float(0.0), 0),
        (Value::Float(1.0), 1),
    ] {
        assert_eq!(packed("?", value.clone()), Some(vec![item]), "{value:?}");
    }
    for value in [
        Value::Int(2),
        Value::Int(-1),
        Value::Float(0.5),
        Value::Float(f64::NAN),
        "1".into(),
    ] {
        assert_eq!(packed("?", value.clone()), None, "{value:?}");
    }
    for (item, value) in [(0, false), (1, true), (2, true), (0x80, true)] {
        assert_eq!(unpacked("?", &[item]), Value::Bool(value));
    }
}

#[test]
fn strings_are_filled_up_and_never_cut() {
    for (code, text, item) in [
        ("3s", "", Some(&b"\0\0\0"[..])),
        ("3s", "ab", Some(b"ab\0")),
        ("3s", "abc", Some(b"abc")),
        ("3s", "abcd", None),
        ("c", "a", Some(b"a")),
        ("c", "", None),
        ("c", "ab", None),
        ("3p", "", Some(b"\0\0\0")),
        ("3p", "a", Some(b"\x01a\0")),
        ("3p", "ab", Some(b"\x02ab")),
        ("3p", "abc", None),
        ("1p", "", Some(b"\0")),
        ("1p", "a", None),
    ] {
        assert_eq!(packed(code, text).as_deref(), item, "{code} {text}");
    }
    // What stood there before is gone.
    let mut machine = Machine::new(StructHeader::new("!4s4pI").unwrap());
    for items in [["abcd".into(), "abc".into()], ["x".into(), "y".into()]] {
        machine.framing_mut().set_header(&items).unwrap();
    }
    machine.send("".into()).unwrap();
    let wire = machine.outbox().take_bytes();
    assert_eq!(wire, "x\0\0\0\x01y\0\0\0\0\0\0");
    let long = "x".repeat(255);
    assert_eq!(
        packed("300p", Value::Bytes(long.into())).unwrap()[..2],
        *b"\xffx"
    );
    assert_eq!(packed("300p", Value::Bytes("x".repeat(256).into())), None);
    for (item, text) in [
        (b"\x01ab", "a"),
        (b"\x02ab", "ab"),
        (b"\x03ab", "ab"),
        (b"\xffab", "ab"),
    ] {
        assert_eq!(unpacked("3p", item), text.into());
    }
    assert_eq!(unpacked("3p", b"\0ab"), "".into());
}

#[test]
fn numbers_with_a_point_fit_or_are_refused() {
    for (code, value, item) in [
        ("d", 1.5, Some(1.5_f64.to_be_bytes().to_vec())),
        ("d", 1e300, Some(1e300_f64.to_be_bytes().to_vec())),
        ("f", 1.5, Some(1.5_f32.to_be_bytes().to_vec())),
        ("f", 1e300, None),
        ("f", -1e300, None),
        (
            "f",
            f64::INFINITY,
            Some(f32::INFINITY.to_be_bytes().to_vec()),
        ),
        ("e", 1.5, Some(vec![0x3e, 0])),
        ("e", 65504.0, Some(vec![0x7b, 0xff])),
        ("e", 65520.0, None),
    ] {
        assert_eq!(packed(code, Value::Float(value)), item, "{code} {value}");
        if let Some(item) = item {
            assert_eq!(unpacked(code, &item), Value::Float(value), "{code}");
        }
    }
    for code in ["d", "f", "e"] {
        assert_eq!(packed(code, Value::Int(2)), packed(code, Value::Float(2.0)));
        assert_eq!(
            packed(code, Value::Bool(true)),
            packed(code, Value::Float(1.0))
        );
        assert!(packed(code, Value::Int(2)).is_some());
        assert_eq!(packed(code, "2"), None);
    }
}
