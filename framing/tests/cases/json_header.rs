//! JSON headers: what is read, what is not, and what is written.

use framing::{
    ErrorKind, Framing, Hint, JsonHeader, JsonHeaderOptions, Limits, Machine, Received, Value,
};

use crate::{
    cases, refused,
    script::{Case, case},
};

const JSON: &str = "json-header";
const JSON10: &str = r#"{ type = "json-header", max_frame = 10 }"#;
const JSON10_SKIP: &str = r#"{ type = "json-header", max_frame = 10, on_error = "skip" }"#;

/// A header with its length in front.
fn head(json: impl AsRef<[u8]>) -> Vec<u8> {
    let json = json.as_ref();
    let mut wire = (json.len() as u32).to_be_bytes().to_vec();
    wire.extend_from_slice(json);
    wire
}

fn after(json: impl AsRef<[u8]>) -> Case {
    case(JSON10).read(head(json)).read(b"hello")
}

cases! {
    as_we_write_it: case(JSON).send(b"hello").send(b"").read(b"\0\0\0\x0a{\"size\":5}hello").eof()
        .gives(["frame hello", "end"])
        .writes(b"\0\0\0\x0a{\"size\":5}hello\0\0\0\x0a{\"size\":0}");
    as_python_writes_it: after(r#"{"size": 5, "name": "\u4e2d\u6587 \ud800"}"#).eof()
        .gives(["frame hello", "end"]);
    with_the_size_behind: after("\t{\r\n \"a\" : { \"size\" : 7 } , \"size\" :5 }\n ").eof()
        .gives(["frame hello", "end"]);
    with_an_escaped_key: after(r#"{"\u0073ize":5}"#).eof().gives(["frame hello", "end"]);
    with_half_a_surrogate_for_a_key: after(r#"{"\ud800":1,"size":5}"#).eof()
        .gives(["frame hello", "end"]);
    an_empty_body: case(JSON).read(head(r#"{"size":0}"#)).eof().gives(["frame ", "end"]);
    another_key: case(r#"{ type = "json-header", size = "file size" }"#)
        .send(b"a").read(head(r#"{"size":9,"file size":1}"#)).read(b"x").eof()
        .gives(["frame x", "end"]).writes(b"\0\0\0\x0f{\"file size\":1}a");
    a_little_endian_length: case(r#"{ type = "json-header", format = "<i" }"#)
        .send(b"a").read(b"\x0a\0\0\0{\"size\":1}x").eof().gives(["frame x", "end"])
        .writes(b"\x0a\0\0\0{\"size\":1}a");
    pad_bytes: case(r#"{ type = "json-header", format = "!xBx" }"#)
        .send(b"a").read(b"?\x0a?{\"size\":1}x").eof().gives(["frame x", "end"])
        .writes(b"\0\x0a\0{\"size\":1}a");

    cut_off_in_the_length: case(JSON).read(b"\0\0").eof().gives(["truncated header 2 of 4 @2"]);
    cut_off_in_the_header: case(JSON).read(b"\0\0\0\x0a{\"si").eof()
        .gives(["truncated header 8 of 14 @8"]);
    cut_off_behind_the_header: case(JSON).read(head(r#"{"size":5}"#)).eof()
        .gives(["truncated body 0 of 5 @14"]);
    cut_off_in_the_body: case(JSON).read(head(r#"{"size":5}"#)).read(b"he").eof()
        .gives(["truncated body 2 of 5 @16"]);

    not_json: after("size: 5").gives(["malformed @4"]);
    half_of_it: after(r#"{"size":5"#).gives(["malformed @4"]);
    more_than_it: after(r#"{"size":5}{}"#).gives(["malformed @4"]);
    a_comma_too_many: after(r#"{"size":5,}"#).gives(["malformed @4"]);
    not_utf8: after(b"{\"a\":\"\xff\",\"size\":5}").gives(["malformed @10"]);
    not_an_object: after("[5]").gives(["malformed @4"]);
    a_number_alone: after("5").gives(["malformed @4"]);
    a_string_is_not_quoted: after(r#""hunter2""#).gives(["malformed @4"]).says("line 1");
    no_size: after(r#"{"Size":5}"#).gives(["malformed @4"]).says("without `size`");
    two_sizes: after(r#"{"size":5,"size":5}"#).gives(["malformed @4"]).says("more than once");
    two_sizes_and_more: after(r#"{"size":5,"size":5,"a":6}"#).gives(["malformed @4"])
        .says("more than once");
    three_sizes: after(r#"{"size":5,"a":6,"size":5,"size":5}"#).gives(["malformed @4"])
        .says("more than once");
    two_sizes_in_a_broken_object: after(r#"{"size":5,"size":5"#).gives(["malformed @4"])
        .says("not a JSON object");
    a_negative_size: after(r#"{"size":-1}"#).gives(["malformed @4"]).says("integer of 0 or more");
    minus_nothing: after(r#"{"size":-0}"#).gives(["malformed @4"]);
    a_size_with_a_point: after(r#"{"size":5.0}"#).gives(["malformed @4"]);
    a_size_with_an_exponent: after(r#"{"size":5e0}"#).gives(["malformed @4"]);
    a_size_in_quotes: after(r#"{"size":"5"}"#).gives(["malformed @4"]);
    a_size_of_null: after(r#"{"size":null}"#).gives(["malformed @4"]);
    a_size_of_true: after(r#"{"size":true}"#).gives(["malformed @4"]);
    a_size_with_a_leading_zero: after(r#"{"size":05}"#).gives(["malformed @4"]);
    a_size_that_is_not_a_number: after(r#"{"size":NaN}"#).gives(["malformed @4"]);

    a_header_of_no_bytes: case(JSON).read(b"\0\0\0\0{}").gives(["malformed @0"]);
    a_header_of_fewer: case(r#"{ type = "json-header", format = "!i" }"#)
        .read(b"\xff\xff\xff\xff").gives(["malformed @0"]).says("-1");
    a_header_too_long_is_known_at_once: case(JSON).read(b"\0\x01\0\x01")
        .gives(["too-long 65537 > 65536 @0"]).says("a header of 65537 bytes");
    a_header_too_long_is_final: case(JSON10_SKIP).read(b"\0\x01\0\x01{")
        .gives(["too-long 65537 > 65536 @0"]);

    a_body_too_long_is_known_at_once: case(JSON10).read(head(r#"{"size":11}"#))
        .gives(["too-long 11 > 10 @4"]);
    a_body_of_two_to_the_64th: case(JSON).read(head(r#"{"size":18446744073709551616}"#))
        .gives(["too-long 18446744073709551616 > 16777216 @4"]);
    a_body_of_any_number_of_digits: case(JSON)
        .read(head(r#"{"size":1000000000000000000000000000000000000000000000000}"#))
        .gives(["too-long 340282366920938463463374607431768211455 > 16777216 @4"]);
    a_body_too_long_is_skipped: case(JSON10_SKIP)
        .read(head(r#"{"size":40}"#)).read(head(r#"{"size":4}"#)).read(b"EVIL")
        .read([b'x'; 22]).read(head(r#"{"size":4}"#)).read(b"good").eof()
        .gives(["too-long 40 > 10 @4, skipped", "frame good", "end"]);
    a_body_too_long_is_cut_off: case(JSON10_SKIP).read(head(r#"{"size":40}"#)).read(b"abc").eof()
        .gives(["too-long 40 > 10 @4, skipped", "truncated body 3 of 40 @18"]);
    a_body_that_no_stream_holds_is_final: case(JSON10_SKIP)
        .read(head(r#"{"size":18446744073709551615}"#)).read(head(r#"{"size":1}"#)).read(b"a")
        .gives(["too-long 18446744073709551615 > 10 @4"]);
    malformed_is_final: case(JSON10_SKIP).read(head(r#"{}"#)).read(head(r#"{"size":1}"#))
        .read(b"a").gives(["malformed @4"]);
    an_empty_body_may_be_forbidden:
        case(r#"{ type = "json-header", allow_empty = false, on_error = "skip" }"#)
            .send(b"").read(head(r#"{"size":0}"#)).read(head(r#"{"size":1}"#)).read(b"a").eof()
            .gives(["unencodable", "malformed @4, skipped", "frame a", "end"]).writes("");
    a_flood_of_empty_ones_is_final:
        case(r#"{ type = "json-header", max_empty_run = 1, on_error = "skip" }"#)
            .read(head(r#"{"size":0}"#)).read(head(r#"{"size":0}"#))
            .gives(["frame ", "malformed @18"]);
}

#[test]
fn the_members_of_a_header_reach_the_application_and_the_peer() {
    let mut machine = Machine::new(JsonHeader::default());
    assert_eq!(machine.framing().header(), []);
    let first = r#"{"size": 1, "name": "\u4e2d", "deep": [1, {"a": null}]}"#;
    machine.receive(&head(first));
    machine.receive(b"x");
    machine.receive(&head(r#"{"size":3}"#));
    assert_eq!(machine.next_frame(), Ok(Received::Frame("x".into())));
    assert_eq!(machine.framing().header(), [first.into()]);
    // A header whose body has not come is not that of the frame last decoded.
    assert_eq!(machine.next_frame(), Ok(Received::Need(3)));
    assert_eq!(machine.framing().header(), [first.into()]);

    // What was read can be set as it is: the size is each frame's own.
    machine.framing_mut().set_header(&[first.into()]).unwrap();
    machine.send("hello".into()).unwrap();
    let json = r#"{"size":5,"name":"中","deep":[1,{"a":null}]}"#;
    let escaped = json.replace('中', r"\u4e2d");
    let mut wire = head(&escaped);
    wire.extend_from_slice(b"hello");
    assert_eq!(machine.outbox().take_bytes(), wire);

    machine.framing_mut().set_header(&[]).unwrap();
    machine.send("a".into()).unwrap();
    assert_eq!(machine.outbox().take_bytes(), "\0\0\0\x0a{\"size\":1}a");
}

#[test]
fn a_header_that_cannot_be_written_changes_nothing() {
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(64 * 1024));
    let mut machine = Machine::new(JsonHeader::default());
    machine
        .framing_mut()
        .set_header(&[r#"{"a":1}"#.into()])
        .unwrap();
    for items in [
        vec![Value::Int(5)],
        vec!["5".into()],
        vec!["[]".into()],
        vec![r#"{"a":1}{}"#.into()],
        vec![r#"{"a":}"#.into()],
        vec![Value::Bytes(b"{\"a\":\"\xff\"}".as_slice().into())],
        vec!["{}".into(), "{}".into()],
        vec![Value::Bytes(long.into())],
    ] {
        let error = machine.framing_mut().set_header(&items).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unencodable, "{items:?}");
    }
    machine.send("hello".into()).unwrap();
    let wire = machine.outbox().take_bytes();
    assert_eq!(wire, "\0\0\0\x10{\"size\":5,\"a\":1}hello");
}

#[test]
fn a_body_whose_size_does_not_fit_into_the_header_is_refused() {
    let options = JsonHeaderOptions::default().max_header(10);
    let mut machine = Machine::new(options.build(Limits::new().max_frame(9)).unwrap());
    machine.framing_mut().set_max_frame(100);
    machine.send("123456789".into()).unwrap();
    let sent = machine.outbox().take_bytes();
    let error = machine.send("1234567890".into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unencodable);
    assert_eq!(error.frame().unwrap(), "1234567890");
    assert_eq!(machine.unsent(), 0);
    assert_eq!(sent, "\0\0\0\x0a{\"size\":9}123456789");
}

#[test]
fn a_browser_is_told_apart() {
    let mut machine = Machine::new(JsonHeader::default());
    machine.receive(b"GET / HTTP/1.1\r\n");
    let error = machine.next_frame().unwrap_err();
    assert_eq!(
        (error.kind(), error.hint()),
        (ErrorKind::TooLong, Some(Hint::Http))
    );
}

#[test]
fn nothing_of_a_header_is_quoted() {
    for json in [
        r#""hunter2""#,
        r#"{"size":"hunter2"}"#,
        "hunter2",
        r#"["hunter2"]"#,
    ] {
        let mut machine = Machine::new(JsonHeader::default());
        machine.receive(&head(json));
        let text = machine.next_frame().unwrap_err().to_string();
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn the_largest_header_is_still_read() {
    for framing in [
        JsonHeader::default(),
        JsonHeaderOptions::default().build(Limits::new()).unwrap(),
    ] {
        let mut json = br#"{"size":1}"#.to_vec();
        json.resize(64 * 1024, b' ');
        let mut machine = Machine::new(framing);
        machine.receive(b"\0\x01\0\0");
        assert_eq!(machine.next_frame(), Ok(Received::Need(64 * 1024)));
        machine.receive(&json);
        assert_eq!(machine.next_frame(), Ok(Received::Need(1)));
        machine.receive(b"a");
        assert_eq!(machine.next_frame(), Ok(Received::Frame("a".into())));
        // Its own limit is that of headers, and one byte more is too many.
        machine.receive(b"\0\x01\0\x01");
        assert_eq!(machine.next_frame().unwrap_err().limit(), Some(64 * 1024));
    }
}

#[test]
fn every_option_is_also_a_method() {
    let options = JsonHeaderOptions::default().format("<H").size("n");
    let mut machine = Machine::new(options.build(Limits::new()).unwrap());
    machine.send("hello".into()).unwrap();
    assert_eq!(machine.outbox().take_bytes(), "\x07\0{\"n\":5}hello");
}

#[test]
fn no_limit_is_more_than_fits_into_memory() {
    let limits = Limits::new().max_frame(usize::MAX);
    let framing = JsonHeaderOptions::default().build(limits).unwrap();
    assert!(framing.max_frame() < usize::MAX / 4);
}

#[test]
fn options_that_cannot_work_are_refused() {
    for (options, says) in [
        (r#"format = "Z""#, "no code"),
        (r#"format = "!II""#, "2 items"),
        (r#"format = """#, "0 items"),
        (r#"format = "!4s""#, "cannot hold the header's length"),
        (r#"format = "!d""#, "cannot hold the header's length"),
        (r#"max_header = 16"#, "17 bytes"),
        (r#"max_header = 0"#, "max_header"),
        (r#"max_header = "much""#, "much"),
        (r#"max_frame = 0"#, "at least 1"),
    ] {
        refused(&format!(r#"{{ type = "json-header", {options} }}"#), says);
    }
    let long = "k".repeat(130);
    refused(
        &format!(r#"{{ type = "json-header", format = "b", size = "{long}" }}"#),
        "`b` can say",
    );
}

#[test]
fn f24_a_new_limit_judges_the_next_frame_and_not_the_one_whose_header_has_come() {
    let mut stream = head(r#"{"size":5}"#);
    let header = stream.len();
    stream.extend_from_slice(b"hello");
    for split in 0..stream.len() {
        let mut machine = Machine::new(JsonHeader::default());
        machine.receive(&stream[..split]);
        assert!(matches!(machine.next_frame(), Ok(Received::Need(_))));
        machine.framing_mut().set_max_frame(4);
        machine.receive(&stream[split..]);
        let received = machine.next_frame();
        if split >= header {
            assert_eq!(received, Ok(Received::Frame("hello".into())), "{split}");
        } else {
            let error = received.unwrap_err();
            assert_eq!((error.declared(), error.limit()), (Some(5), Some(4)));
        }
    }
}
