//! How many bytes a framing asks for: as many as the frame needs at least, so that a driver that
//! reads exactly these never waits for bytes that do not come.

use framing::{Framing, Limits, Machine, OnError, Received, Registry};

/// A stream of one frame, and what is missing in front of each of its bytes.
const STREAMS: &[(&str, &[u8], &[usize])] = &[
    // The shortest block is one byte and its mark.
    ("cobs", b"\x03ab\0", &[2, 1, 1, 1]),
    ("slip", b"abc\xc0", &[2, 1, 1, 1]),
    ("varint", b"\x03abc", &[1, 3, 2, 1]),
    ("varint", b"\x83\x80\0abc", &[1, 1, 1, 3, 2, 1]),
    // The shortest frame is `0:,`.
    ("netstring", b"3:abc,", &[3, 2, 4, 3, 2, 1]),
    (
        "netstring",
        b"10:0123456789,",
        &[3, 2, 2, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
    ),
    (r#"{ type = "fixed", size = 3 }"#, b"abc", &[3, 2, 1]),
    ("length-field", b"\0\0\0\x02ab", &[4, 3, 2, 1, 2, 1]),
    (
        r#"{ type = "length-field", offset = 1, width = 2, strip = 0 }"#,
        b"x\0\x02ab",
        &[3, 2, 1, 2, 1],
    ),
    // What must have a certain value is asked for alone.
    (
        r#"{ type = "struct-header", format = "!B2sBBH", constants = [1, "MX", 2, 3], length = 4 }"#,
        b"\x01MX\x02\x03\0\x01a",
        &[1, 1, 1, 1, 1, 2, 1, 1],
    ),
    (
        r#"{ type = "struct-header", format = "!H2sB", constants = ["MX", "any"], length = 0 }"#,
        b"\0\x01MX\x07a",
        &[3, 2, 1, 1, 1, 1],
    ),
    (
        "json-header",
        b"\0\0\0\x0a{\"size\":2}ab",
        &[4, 3, 2, 1, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 2, 1],
    ),
    ("ack-handshake", b"3\nabc", &[2, 1, 3, 2, 1]),
    ("ack-handshake", b"3\r\nabc", &[2, 1, 1, 3, 2, 1]),
    (
        r#"{ type = "ack-handshake", bare = true, settle = "1h" }"#,
        b"3\nabc",
        &[1, 1, 3, 2, 1],
    ),
    ("delimiter", b"ab\n", &[1, 1, 1]),
    (
        r#"{ type = "delimiter", delimiter = "abc" }"#,
        b"xaaabc",
        &[3, 3, 2, 2, 2, 1],
    ),
    (
        r#"{ type = "delimiter", delimiter = ["abcd", "bx"] }"#,
        b"aab.abcd",
        &[2, 2, 2, 1, 2, 2, 1, 1],
    ),
    (
        r#"{ type = "delimiter", delimiter = "||", escape = "%" }"#,
        b"a%|||",
        &[2, 2, 2, 2, 1],
    ),
];

#[test]
fn what_is_missing_is_said_to_the_byte() {
    for &(framing, stream, needs) in STREAMS {
        let factory = Registry::default()
            .parse(framing)
            .unwrap_or_else(|error| panic!("{framing}: {error}"));
        let mut fed = Machine::new(factory.make());
        for (at, &need) in needs.iter().enumerate() {
            assert_eq!(
                fed.next_frame(),
                Ok(Received::Need(need)),
                "{framing}, byte by byte, {at}"
            );
            fed.receive(&stream[at..at + 1]);
            let mut whole = Machine::new(factory.make());
            whole.receive(&stream[..at]);
            assert_eq!(
                whole.next_frame(),
                Ok(Received::Need(need)),
                "{framing}, {at} at once"
            );
        }
        let frame = fed.next_frame();
        assert!(
            matches!(frame, Ok(Received::Frame(_))),
            "{framing}: {frame:?}"
        );
        assert_eq!(fed.unread(), 0, "{framing}: nothing of it is kept");
    }
}

#[test]
fn frames_that_are_left_at_the_end_come_first() {
    for &(framing, stream, _) in STREAMS {
        let factory = Registry::default().parse(framing).unwrap();
        let mut machine = Machine::new(factory.make());
        let times = 3;
        machine.receive(&stream.repeat(times));
        machine.close_input();
        for _ in 0..times {
            let frame = machine.next_frame();
            assert!(
                matches!(frame, Ok(Received::Frame(_))),
                "{framing}: {frame:?}"
            );
        }
        assert_eq!(machine.next_frame(), Ok(Received::End), "{framing}");
    }
}

/// Pieces of a frame that is too long; behind all but the last it is not over.
const TOO_LONG: &[(&str, &[&[u8]])] = &[
    (
        r#"{ type = "cobs", max_frame = 4, on_error = "skip" }"#,
        &[b"xxxxxxxx", b"x", b"\0"],
    ),
    (
        r#"{ type = "slip", max_frame = 4, on_error = "skip" }"#,
        &[b"xxxxxxxx", b"x", b"\xc0"],
    ),
    (
        r#"{ type = "varint", max_frame = 4, on_error = "skip" }"#,
        &[b"\x05", b"abcd", b"e"],
    ),
    // Its comma is part of it.
    (
        r#"{ type = "netstring", max_frame = 4, on_error = "skip" }"#,
        &[b"5:", b"abcd", b"e", b","],
    ),
    (
        r#"{ type = "length-field", max_frame = 4, on_error = "skip" }"#,
        &[b"\0\0\0\x05", b"abcd", b"e"],
    ),
    (
        r#"{ type = "struct-header", max_frame = 4, on_error = "skip" }"#,
        &[b"\0\0\0\x05", b"abcd", b"e"],
    ),
    (
        r#"{ type = "json-header", max_frame = 4, on_error = "skip" }"#,
        &[b"\0\0\0\x0a{\"size\":5}", b"abcd", b"e"],
    ),
    (
        r#"{ type = "delimiter", max_frame = 4, on_error = "skip" }"#,
        &[b"abcde", b"f", b"\n"],
    ),
    (
        r#"{ type = "lines", max_frame = 4, on_error = "skip" }"#,
        &[b"abcdef", b"f", b"\n"],
    ),
    (
        r#"{ type = "pair", receive = "varint", send = "cobs", max_frame = 4, on_error = "skip" }"#,
        &[b"\x05", b"abcd", b"e"],
    ),
];

#[test]
fn while_a_bad_frame_is_passed_over_its_peer_is_in_the_middle_of_it() {
    for &(framing, pieces) in TOO_LONG {
        let factory = Registry::default()
            .parse(framing)
            .unwrap_or_else(|error| panic!("{framing}: {error}"));
        let mut machine = Machine::new(factory.make());
        assert!(!machine.framing().is_mid_frame(), "{framing}, before it");
        for (at, piece) in pieces.iter().enumerate() {
            machine.receive(piece);
            let mut errors = 0;
            let need = loop {
                match machine.next_frame() {
                    Ok(Received::Need(need)) => break need,
                    Err(error) if error.is_recoverable() => errors += 1,
                    other => panic!("{framing}, {at}: {other:?}"),
                }
            };
            assert_eq!(errors, usize::from(at == 0), "{framing}, {at}");
            assert_eq!(
                machine.unread(),
                0,
                "{framing}, {at}: nothing of it is kept"
            );
            let over = at + 1 == pieces.len();
            assert_eq!(machine.framing().is_mid_frame(), !over, "{framing}, {at}");
            assert!(over || need == 1, "{framing}, {at}: {need} missing");
        }
    }
}

#[test]
fn so_it_is_in_one_of_a_size_that_is_forbidden() {
    let limits = Limits::new().on_error(OnError::Skip);
    let framing = framing::FixedOptions::new(5).build(limits).unwrap();
    let mut machine = Machine::new(framing);
    machine.framing_mut().set_max_frame(4);
    machine.receive(b"hell");
    assert!(
        machine
            .next_frame()
            .is_err_and(|error| error.is_recoverable())
    );
    assert_eq!(machine.next_frame(), Ok(Received::Need(1)));
    assert!(machine.framing().is_mid_frame());
    machine.receive(b"o");
    assert!(matches!(machine.next_frame(), Ok(Received::Need(_))));
    assert!(!machine.framing().is_mid_frame());
}
