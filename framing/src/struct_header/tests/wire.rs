//! What each option does to the bytes, in both directions.

use bytes::Bytes;

use super::*;
use crate::{Carries, Constant, Counts, Value};

fn build(options: StructHeaderOptions) -> StructHeader {
    options.build(Limits::new()).unwrap()
}

/// `payload` is written as `wire`, and `wire` read as `payload`.
#[track_caller]
fn assert_wire(framing: &StructHeader, payload: &[u8], wire: &[u8]) {
    let mut machine = Machine::new(framing.clone());
    machine.send(Bytes::copy_from_slice(payload)).unwrap();
    assert_eq!(machine.outbox().take_bytes(), wire);
    assert_eq!(
        at_every_split(framing, wire, true),
        [frame(payload), Event::End]
    );
}

#[track_caller]
fn assert_unencodable(framing: &StructHeader, payload: &'static [u8], mention: &str) {
    let mut machine = Machine::new(framing.clone());
    let payload = Bytes::from_static(payload);
    let error = machine.send(payload.clone()).unwrap_err();
    assert_eq!(
        (error.kind(), error.frame()),
        (ErrorKind::Unencodable, Some(&payload))
    );
    assert!(
        error.to_string().contains(mention),
        "{mention:?} is not in: {error}"
    );
    assert_eq!(machine.unsent(), 0);
}

#[test]
fn every_integer_code_holds_a_length_in_either_order() {
    for (format, wire) in [
        ("<b", &b"\x03abc"[..]),
        (">B", b"\x03abc"),
        ("<h", b"\x03\0abc"),
        (">h", b"\0\x03abc"),
        ("<H", b"\x03\0abc"),
        (">H", b"\0\x03abc"),
        ("<i", b"\x03\0\0\0abc"),
        (">i", b"\0\0\0\x03abc"),
        ("<l", b"\x03\0\0\0abc"),
        (">L", b"\0\0\0\x03abc"),
        ("<I", b"\x03\0\0\0abc"),
        ("!I", b"\0\0\0\x03abc"),
        ("<q", b"\x03\0\0\0\0\0\0\0abc"),
        ("!q", b"\0\0\0\0\0\0\0\x03abc"),
        ("<Q", b"\x03\0\0\0\0\0\0\0abc"),
        ("!Q", b"\0\0\0\0\0\0\0\x03abc"),
    ] {
        assert_wire(&StructHeader::new(format).unwrap(), b"abc", wire);
    }
}

#[test]
fn a_signed_length_may_be_negative_where_the_adjustment_makes_up_for_it() {
    let framing = build(StructHeaderOptions::new("!b").adjust(128));
    assert_wire(&framing, b"", b"\x80");
    assert_wire(&framing, b"a", b"\x81a");
    assert_eq!(framing.max_frame(), 255);
    assert_eq!(framing.carries(), Carries::Anything);
}

#[test]
fn lengths_that_cannot_be_said_are_refused() {
    let framing = build(StructHeaderOptions::new("!B").adjust(2));
    assert_unencodable(&framing, b"a", "-1");
    assert_wire(&framing, b"ab", b"\0ab");
    assert!(matches!(framing.carries(), Carries::Neither(_)));
    let framing = StructHeaderOptions::new("!B")
        .build(Limits::new().allow_empty(false))
        .unwrap();
    assert_unencodable(&framing, b"", "empty");
}

#[test]
fn what_is_left_of_the_header_belongs_to_the_frame() {
    let options = StructHeaderOptions::new("!BHB")
        .length(1)
        .constants([7_u8.into(), Constant::Any]);
    for (strip, payload) in [
        (4, &b"abc"[..]),
        (3, b"\0abc"),
        (2, b"\x03\0abc"),
        (1, b"\0\x03\0abc"),
        (0, b"\x07\0\x03\0abc"),
    ] {
        assert_wire(
            &build(options.clone().strip(strip)),
            payload,
            b"\x07\0\x03\0abc",
        );
    }
    let framing = build(options.clone().strip(0));
    assert_wire(&framing, b"\x07\0\0\xff", b"\x07\0\0\xff");
    assert_unencodable(&framing, b"\x08\0\x03\0abc", "byte 0");
    assert_unencodable(&framing, b"\x07\0\x02\0abc", "length");
    assert_unencodable(&framing, b"\x07\0\0", "3 bytes");
    // The length is half in the frame.
    let framing = build(options.strip(2));
    assert_wire(&framing, b"\x01\xffa", b"\x07\0\x01\xffa");
    assert_unencodable(&framing, b"\x02\xffa", "length");
    assert!(matches!(framing.carries(), Carries::Neither(_)));
}

#[test]
fn what_is_left_of_the_header_counts_towards_the_limit() {
    let options = StructHeaderOptions::new("!BB").strip(1);
    let framing = options.build(Limits::new().max_frame(3)).unwrap();
    assert_wire(&framing, b"\x02ab", b"\0\x02ab");
    assert_unencodable(&framing, b"\x03abc", "limit of 3");
    let error = only_error(at_every_split(&framing, b"\0\x03", false));
    assert_eq!((error.declared(), error.limit()), (Some(4), Some(3)));
    // A frame with part of its header in it is never empty.
    let options = StructHeaderOptions::new("!BB").strip(1);
    let framing = options.build(Limits::new().allow_empty(false)).unwrap();
    assert_wire(&framing, b"\0", b"\0\0");
}

#[test]
fn an_error_in_the_length_points_at_the_length() {
    let framing = ten("!HbH");
    let error = only_error(at_every_split(&framing, b"\0\0\0\0\x0b", false));
    assert_eq!((error.kind(), error.offset()), (ErrorKind::TooLong, 3));
    let framing = build(StructHeaderOptions::new("!HbH").length(1));
    let error = only_error(at_every_split(&framing, b"\0\0\xff\0\0", false));
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Malformed, 2));
}

#[test]
fn header_items_are_set_all_or_none_and_constants_stay() {
    let options = StructHeaderOptions::new("!2sBHB?").length(2);
    let any = Constant::Any;
    let mut framing = build(options.constants(["ab".into(), any.clone(), 9_u8.into(), any]));
    let values = |magic: &'static str, version: i128, constant: i128, flag: bool| {
        [
            magic.into(),
            Value::Int(version),
            Value::Int(constant),
            Value::Bool(flag),
        ]
    };
    framing.set_header(&values("ab", 3, 9, true)).unwrap();
    let before = framing.clone();
    for (wrong, mention) in [
        (&values("ab", 256, 9, false)[..], "header item 1"),
        (&values("ac", 4, 9, false), "header item 0"),
        (&values("abc", 4, 9, false), "header item 0"),
        (&values("ab", 4, 8, false), "header item 2"),
        (&values("ab", 4, 9, false)[..3], "3 header items"),
        (&[], "0 header items"),
    ] {
        let error = framing.set_header(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unencodable);
        assert!(error.to_string().contains(mention), "{error}");
        assert_eq!(format!("{framing:?}"), format!("{before:?}"));
    }
    assert_wire(&framing, b"hi", b"ab\x03\0\x02\x09\x01hi");
    let mut plain = StructHeader::default();
    plain.set_header(&[]).unwrap();
    assert!(plain.set_header(&[Value::Int(1)]).is_err());
}

#[test]
fn a_relay_can_hand_on_the_header_it_received() {
    let framing = build(StructHeaderOptions::new("<5sBq3pH?deci").counts(Counts::Frame));
    let mut receiver = Machine::new(framing.clone());
    let header = [
        Value::Bytes(Bytes::from_static(b"a\0b\0\0")),
        Value::Int(200),
        Value::Int(-5),
        Value::Bytes(Bytes::from_static(b"xy")),
        Value::Int(65535),
        Value::Bool(true),
        Value::Float(1.5e300),
        Value::Float(-0.25),
        Value::Bytes(Bytes::from_static(b"c")),
    ];
    let mut sender = Machine::new(framing.clone());
    sender.framing_mut().set_header(&header).unwrap();
    sender.send("hello".into()).unwrap();
    let wire = sender.outbox().take_bytes();
    receiver.receive(&wire);
    assert_eq!(receiver.next_frame(), Ok(Received::Frame("hello".into())));
    assert_eq!(receiver.framing().header(), header);
    let mut relay = Machine::new(framing);
    relay
        .framing_mut()
        .set_header(&receiver.framing().header())
        .unwrap();
    relay.send("hello".into()).unwrap();
    assert_eq!(relay.outbox().take_bytes(), wire);
}

#[test]
fn the_need_is_the_distance_to_the_next_byte_that_can_change_the_answer() {
    let options = StructHeaderOptions::new("!2sHx2sxH").strict_pad(true);
    let constants = ["ab".into(), Constant::Any, "cd".into()];
    let framing = build(options.constants(constants));
    let mut machine = Machine::new(framing);
    for (byte, need) in b"ab..\0cd\0\0\x02h"
        .iter()
        .zip([1, 3, 2, 1, 1, 1, 1, 2, 1, 2, 1])
    {
        machine.receive(&[*byte]);
        assert_eq!(machine.next_frame(), Ok(Received::Need(need)));
    }
    machine.receive(b"i");
    assert_eq!(machine.next_frame(), Ok(Received::Frame("hi".into())));
}
