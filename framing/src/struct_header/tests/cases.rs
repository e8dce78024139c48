//! Lengths that lie, streams that end, headers that are not ours: F01 to F28.

use bytes::Bytes;

use super::*;
use crate::{Constant, Counts, Hint, OnError, Outbox, Part, Value};

fn limits(max: usize) -> Limits {
    Limits::new().max_frame(max)
}

fn skipping(max: usize) -> StructHeader {
    let limits = limits(max).on_error(OnError::Skip);
    StructHeaderOptions::new("!I").build(limits).unwrap()
}

#[track_caller]
fn assert_truncated(events: Vec<Event>, part: Part, have: usize, need: usize) {
    let error = only_error(events);
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert_eq!(
        (error.part(), error.have(), error.need()),
        (Some(part), have, Some(need))
    );
}

#[track_caller]
fn assert_too_long(error: &FrameError, declared: u128, limit: usize) {
    assert_eq!(error.kind(), ErrorKind::TooLong);
    assert_eq!(
        (error.declared(), error.limit()),
        (Some(declared), Some(limit))
    );
}

fn magic() -> StructHeaderOptions {
    StructHeaderOptions::new("!4sBxH").constants(["MAGC".into(), Constant::Any])
}

#[test]
fn f01_an_empty_stream_ends_cleanly() {
    assert_eq!(at_every_split(&ten("!I"), b"", true), [Event::End]);
}

#[test]
fn f02_a_header_without_its_body_is_cut_off() {
    assert_truncated(
        at_every_split(&ten("!I"), b"\0\0\0\x05", true),
        Part::Body,
        0,
        5,
    );
}

#[test]
fn f03_half_a_header_is_cut_off() {
    assert_truncated(
        at_every_split(&ten("!I"), b"\0\0", true),
        Part::Header,
        2,
        4,
    );
}

#[test]
fn f04_half_a_body_is_cut_off() {
    assert_truncated(
        at_every_split(&ten("!I"), b"\0\0\0\x05he", true),
        Part::Body,
        2,
        5,
    );
}

#[test]
fn f05_an_empty_frame_is_a_frame_or_malformed() {
    let stream = b"\0\0\0\0\0\0\0\x01A";
    let events = at_every_split(&ten("!I"), stream, true);
    assert_eq!(events, [frame(""), frame("A"), Event::End]);

    let strict = limits(10).allow_empty(false);
    let framing = StructHeaderOptions::default()
        .build(strict.clone())
        .unwrap();
    let error = only_error(at_every_split(&framing, stream, true));
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("empty"), "{error}");

    let strict = strict.on_error(OnError::Skip);
    let framing = StructHeaderOptions::default().build(strict).unwrap();
    let events = at_every_split(&framing, stream, true);
    assert!(
        matches!(&events[0], Event::Error(error) if error.is_recoverable()),
        "{events:?}"
    );
    assert_eq!(events[1..], [frame("A"), Event::End]);
}

#[test]
fn f06_a_length_over_the_limit_is_told_with_the_last_byte_of_the_header() {
    let framing = ten("!I");
    let stream = [b"\0\0\0\x0a", &[0x41; 10][..]].concat();
    assert_eq!(
        at_every_split(&framing, &stream, true),
        [frame([0x41; 10]), Event::End]
    );
    assert_too_long(
        &only_error(at_every_split(&framing, b"\0\0\0\x0b", false)),
        11,
        10,
    );
}

#[test]
fn f07_a_frame_that_is_too_long_ends_the_stream_or_is_skipped() {
    let stream = [b"\0\0\0\x0b", &[0x41; 11][..], b"\0\0\0\x01B"].concat();
    assert_too_long(
        &only_error(at_every_split(&ten("!I"), &stream, true)),
        11,
        10,
    );

    let events = at_every_split(&skipping(10), &stream, true);
    let [Event::Error(error), rest @ ..] = &events[..] else {
        panic!("{events:?}")
    };
    assert_too_long(error, 11, 10);
    assert!(error.is_recoverable());
    assert_eq!(rest, [frame("B"), Event::End]);
}

#[test]
fn f08_a_header_inside_a_skipped_body_is_never_believed() {
    let evil = [b"\0\0\0\x20AA\0\0\0\x04EVIL", &[0x41; 22][..]].concat();
    assert_too_long(&only_error(at_every_split(&ten("!I"), &evil, true)), 32, 10);

    let stream = [&evil[..], b"\0\0\0\x02ok"].concat();
    let events = at_every_split(&skipping(16), &stream, true);
    assert!(matches!(&events[0], Event::Error(error) if error.kind() == ErrorKind::TooLong));
    assert_eq!(events[1..], [frame("ok"), Event::End]);
}

#[test]
fn a_stream_that_ends_in_a_skipped_body_is_cut_off() {
    let events = at_every_split(&skipping(10), b"\0\0\0\x0bABC", true);
    let [Event::Error(long), Event::Error(cut)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_too_long(long, 11, 10);
    assert_eq!(
        (cut.kind(), cut.part()),
        (ErrorKind::Truncated, Some(Part::Body))
    );
    assert_eq!((cut.have(), cut.need()), (3, Some(11)));
}

#[test]
fn a_skipped_body_is_never_buffered_however_long_it_claims_to_be() {
    let limits = limits(10).on_error(OnError::Skip);
    let framing = StructHeaderOptions::new("!Q").build(limits).unwrap();
    let mut machine = Machine::new(framing);
    machine.receive(&(u64::MAX - 8).to_be_bytes());
    assert!(machine.next_frame().unwrap_err().is_recoverable());
    for _ in 0..1000 {
        machine.receive(&[0x41; 4096]);
        assert_eq!(machine.next_frame(), Ok(Received::Need(1)));
        assert!(machine.read_buffer().is_empty());
    }
}

#[test]
fn f09_a_negative_length_is_malformed() {
    let error = only_error(at_every_split(&ten("!i"), b"\xff\xff\xff\xff", false));
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("-1"), "{error}");
    // Its end is not known, so there is nothing that could be skipped.
    let skip = limits(10).on_error(OnError::Skip);
    let framing = StructHeaderOptions::new("!i").build(skip).unwrap();
    let error = only_error(at_every_split(
        &framing,
        b"\xff\xff\xff\xff\0\0\0\x01A",
        false,
    ));
    assert!(!error.is_recoverable());
}

#[test]
fn f10_the_largest_length_is_too_long_whatever_the_limit_and_adjustment() {
    let stream = [0xff; 8];
    let largest = u128::from(u64::MAX);
    assert_too_long(
        &only_error(at_every_split(&ten("!Q"), &stream, false)),
        largest,
        10,
    );
    for (adjust, strip, declared) in [(0, 8, largest), (8, 8, largest + 8), (8, 0, largest + 16)] {
        for policy in [OnError::Close, OnError::Skip] {
            let options = StructHeaderOptions::new("!Q").adjust(adjust).strip(strip);
            let framing = options.build(limits(usize::MAX).on_error(policy)).unwrap();
            let error = only_error(at_every_split(&framing, &stream, false));
            assert_eq!(error.kind(), ErrorKind::TooLong);
            assert_eq!(error.declared(), Some(declared));
            assert!(!error.is_recoverable(), "no stream is that long");
        }
    }
}

#[test]
fn f11_header_and_length_together_never_overflow() {
    for back in 0..40 {
        let declared = i64::MAX as u64 - back;
        for max in [10, usize::MAX] {
            let framing = StructHeaderOptions::new("!Q").build(limits(max)).unwrap();
            let events = at_every_split(&framing, &declared.to_be_bytes(), true);
            let error = only_error(events);
            if max == 10 || back < 8 {
                assert_too_long(&error, declared.into(), framing.max_frame());
            } else {
                assert_eq!(error.need(), Some(declared as usize));
            }
        }
    }
}

#[test]
fn f12_the_adjustment_counts_towards_the_limit() {
    let framing = StructHeaderOptions::new("!H")
        .adjust(100)
        .build(limits(10))
        .unwrap();
    let stream = [&[0, 10][..], &[0x41; 110]].concat();
    assert_too_long(
        &only_error(at_every_split(&framing, &stream, true)),
        110,
        10,
    );
}

#[test]
fn f13_a_length_that_counts_the_header_reads_back_what_it_wrote() {
    let framing = StructHeaderOptions::new("!I")
        .counts(Counts::Frame)
        .build(limits(10))
        .unwrap();
    let mut sender = Machine::new(framing.clone());
    sender.send(Bytes::from_static(&[7; 10])).unwrap();
    let wire = sender.outbox().take_bytes();
    assert_eq!(wire[..4], [0, 0, 0, 14]);
    assert_eq!(
        at_every_split(&framing, &wire, true),
        [frame([7; 10]), Event::End]
    );
}

#[test]
fn f14_a_length_that_counts_the_header_is_no_less_than_the_header() {
    let framing = StructHeaderOptions::new("!I")
        .counts(Counts::Frame)
        .build(limits(10))
        .unwrap();
    let error = only_error(at_every_split(&framing, b"\0\0\0\x03", false));
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(
        error.to_string().contains('3') && error.to_string().contains('4'),
        "{error}"
    );
    assert_eq!(
        at_every_split(&framing, b"\0\0\0\x04", true),
        [frame(""), Event::End]
    );
}

#[test]
fn f15_an_extreme_adjustment_is_refused_or_malformed() {
    let sizes = [
        ("!b", 1),
        ("!B", 1),
        ("!h", 2),
        ("!H", 2),
        ("!i", 4),
        ("!I", 4),
        ("!q", 8),
        ("!Q", 8),
    ];
    for (format, size) in sizes {
        for (counts, adjust) in [
            (Counts::Payload, i64::MIN),
            (Counts::Payload, i64::MAX),
            (Counts::Frame, i64::MIN),
            (Counts::Frame, i64::MAX),
        ] {
            let options = StructHeaderOptions::new(format)
                .counts(counts)
                .adjust(adjust);
            if size < 8 {
                let error = refusal(options, Limits::new());
                assert!(error.to_string().contains("`adjust`"), "{error}");
                continue;
            }
            // With 64 bits, a length can make up for it; those that do not are errors.
            let Ok(framing) = options.build(Limits::new()) else {
                continue;
            };
            for byte in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                let error = only_error(at_every_split(&framing, &vec![byte; size], false));
                let kinds = [ErrorKind::Malformed, ErrorKind::TooLong];
                assert!(
                    kinds.contains(&error.kind()),
                    "{format} {counts:?} {adjust}: {error}"
                );
            }
        }
    }
}

#[test]
fn f16_the_other_items_are_written_and_read_too() {
    let framing = magic().build(limits(10)).unwrap();
    let mut machine = Machine::new(framing);
    machine
        .framing_mut()
        .set_header(&["MAGC".into(), Value::Int(2)])
        .unwrap();
    machine.send("hello".into()).unwrap();
    let wire = machine.outbox().take_bytes();
    assert_eq!(wire, "MAGC\x02\0\0\x05hello");

    for split in 0..=wire.len() {
        let mut machine = Machine::new(magic().build(limits(10)).unwrap());
        assert_eq!(machine.framing().header(), []);
        machine.receive(&wire[..split]);
        let early = machine.next_frame().unwrap();
        machine.receive(&wire[split..]);
        if split < wire.len() {
            assert!(matches!(early, Received::Need(_)), "{early:?}");
            assert_eq!(machine.framing().header(), [], "the frame is not there yet");
            assert_eq!(machine.next_frame(), Ok(Received::Frame("hello".into())));
        }
        assert_eq!(machine.framing().header(), ["MAGC".into(), Value::Int(2)]);
    }
}

#[test]
fn f17_a_wrong_constant_is_told_with_its_first_wrong_byte() {
    let framing = magic().build(limits(10)).unwrap();
    for (stream, offset) in [
        (&b"MAGD"[..], 3),
        (b"XAGC", 0),
        (b"MAgC\x02\0\0\x05hello", 2),
        (b"MA\0\0", 2),
    ] {
        let error = only_error(at_every_split(&framing, stream, false));
        assert_eq!(
            (error.kind(), error.offset()),
            (ErrorKind::Malformed, offset)
        );
    }
    // In the second frame, counted from the start of the stream.
    let stream = b"MAGC\x02\0\0\x01AMAGD";
    let events = at_every_split(&framing, stream, false);
    assert_eq!(events[0], frame("A"));
    assert!(
        matches!(&events[1], Event::Error(error) if error.offset() == 12),
        "{events:?}"
    );
}

#[test]
fn f17_a_wrong_constant_comes_before_a_wrong_length_wherever_it_stands() {
    let options = StructHeaderOptions::new("!IH")
        .length(0)
        .constants([0xcafe_u16.into()]);
    let framing = options.build(limits(10)).unwrap();
    let error = only_error(at_every_split(&framing, b"\xff\xff\xff\xff\xca\xff", false));
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Malformed, 5));
    let error = only_error(at_every_split(&framing, b"\xff\xff\xff\xff\xca\xfe", false));
    assert_eq!(error.kind(), ErrorKind::TooLong);
    // While the constant is right so far, the length is not judged.
    assert_eq!(at_every_split(&framing, b"\xff\xff\xff\xff\xca", false), []);
}

#[test]
fn f18_pad_bytes_may_be_anything_unless_they_are_checked() {
    let stream = b"MAGC\x02\xff\0\x05hello";
    let framing = magic().build(limits(10)).unwrap();
    assert_eq!(
        at_every_split(&framing, stream, true),
        [frame("hello"), Event::End]
    );
    let framing = magic().strict_pad(true).build(limits(10)).unwrap();
    let error = only_error(at_every_split(&framing, stream, true));
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Malformed, 5));
}

#[test]
fn f18_bytes_that_align_native_items_are_pad_bytes() {
    let stream = [&[7, 0, 0, 9][..], &2_u32.to_ne_bytes(), b"hi"].concat();
    let framing = StructHeaderOptions::new("BI").build(limits(10)).unwrap();
    assert_eq!(
        at_every_split(&framing, &stream, true),
        [frame("hi"), Event::End]
    );
    let framing = StructHeaderOptions::new("BI")
        .strict_pad(true)
        .build(limits(10))
        .unwrap();
    let error = only_error(at_every_split(&framing, &stream, true));
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Malformed, 3));
}

#[test]
fn f19_a_frame_longer_than_the_length_can_say_is_refused_and_nothing_written() {
    let mut framing = StructHeader::new("!B").unwrap();
    let mut out = Outbox::new();
    let payload = Bytes::from(vec![0x41; 256]);
    framing.encode(payload.slice(..255), &mut out).unwrap();
    let wire = out.take_bytes();
    assert_eq!((wire.len(), wire[0]), (256, 255));

    let mut error = framing.encode(payload.clone(), &mut out).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unencodable);
    assert!(error.to_string().contains("255"), "{error}");
    assert_eq!(
        error.take_frame(),
        Some(payload.clone()),
        "the frame comes back"
    );
    assert!(out.is_empty());
    let error = framing.encode_slice(&payload, &mut out).unwrap_err();
    assert_eq!(
        (error.kind(), error.frame()),
        (ErrorKind::Unencodable, None)
    );
    assert!(out.is_empty());

    framing.encode_slice(&payload[..255], &mut out).unwrap();
    assert_eq!(out.take_bytes()[..3], [255, 0x41, 0x41]);
}

#[test]
#[cfg(target_pointer_width = "64")]
fn f20_a_frame_of_four_gibibytes_is_refused_and_nothing_written() {
    // Zeroed pages are not there until they are touched.
    let huge = Bytes::from(vec![0; 1 << 32]);
    for limits in [Limits::new(), limits(u32::MAX as usize)] {
        let mut framing = StructHeaderOptions::new("!I").build(limits).unwrap();
        let mut out = Outbox::new();
        let error = framing.encode(huge.clone(), &mut out).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unencodable);
        assert!(out.is_empty());
        framing.encode("ok".into(), &mut out).unwrap();
        assert_eq!(out.take_bytes(), "\0\0\0\x02ok");
    }
}

#[test]
fn f22_an_endless_run_of_empty_frames_is_a_flood() {
    for policy in [OnError::Close, OnError::Skip] {
        let limits = limits(10).max_empty_run(3).on_error(policy);
        let framing = StructHeaderOptions::new("!B").build(limits).unwrap();
        let calm = at_every_split(&framing, &[0, 0, 0, 1, 0x41, 0, 0, 0], true);
        assert_eq!(calm.len(), 8, "{calm:?}");
        let mut events = at_every_split(&framing, &[0; 1000], true);
        let flood = only_error(events.split_off(3));
        assert_eq!(flood.kind(), ErrorKind::Malformed);
        assert!(!flood.is_recoverable());
        assert!(flood.to_string().contains("flood"), "{flood}");
    }
}

#[test]
fn f24_a_new_limit_judges_the_next_header_and_not_the_one_already_read() {
    let stream = [b"\0\0\0\x08", &[0x41; 8][..], b"\0\0\0\x05"].concat();
    for split in 4..12 {
        let mut machine = Machine::new(ten("!I"));
        machine.receive(&stream[..split]);
        assert_eq!(machine.next_frame(), Ok(Received::Need(12 - split)));
        machine.framing_mut().set_max_frame(4);
        machine.receive(&stream[split..]);
        assert_eq!(
            machine.next_frame(),
            Ok(Received::Frame(vec![0x41; 8].into()))
        );
        let error = machine.next_frame().unwrap_err();
        assert_too_long(&error, 5, 4);
        assert_eq!(error.offset(), 12);
    }
    for split in 0..4 {
        let mut machine = Machine::new(ten("!I"));
        machine.receive(&stream[..split]);
        assert_eq!(machine.next_frame(), Ok(Received::Need(4 - split)));
        machine.framing_mut().set_max_frame(4);
        machine.receive(&stream[split..]);
        assert_too_long(&machine.next_frame().unwrap_err(), 8, 4);
    }
}

#[test]
fn f25_a_limit_over_what_the_length_can_say_is_refused() {
    let error = refusal(StructHeaderOptions::new("!H"), limits(70_000));
    assert!(error.to_string().contains("65535"), "{error}");
    let framing = StructHeaderOptions::new("!H")
        .build(limits(65_535))
        .unwrap();
    assert_eq!(framing.max_frame(), 65_535);

    // Nobody chose the default, so it is lowered.
    let mut framing = StructHeader::new("!H").unwrap();
    assert_eq!(framing.max_frame(), 65_535);
    framing.set_max_frame(70_000);
    assert_eq!(framing.max_frame(), 65_535);
    framing.set_max_frame(7);
    assert_eq!(framing.max_frame(), 7);

    // Adjustment, counting and what is left of the header all count.
    let options = StructHeaderOptions::new("!BH").adjust(-2).strip(1);
    assert_eq!(options.build(Limits::new()).unwrap().max_frame(), 65_535);
    let options = StructHeaderOptions::new("!BH").counts(Counts::Frame);
    assert_eq!(options.build(Limits::new()).unwrap().max_frame(), 65_532);
}

#[test]
fn f27_a_peer_that_speaks_something_else_is_recognised() {
    let http = at_every_split(&ten("!I"), b"GET / HTTP/1.1\r\n", false);
    let error = only_error(http);
    assert_too_long(&error, 1_195_725_856, 10);
    assert_eq!(error.hint(), Some(Hint::Http));
    let tls = only_error(at_every_split(
        &ten("!I"),
        b"\x16\x03\x01\x02\x00\x01",
        false,
    ));
    assert_eq!(tls.hint(), Some(Hint::Tls));
}

#[test]
fn f28_minus_the_header_finishes_at_once() {
    let error = only_error(at_every_split(&ten("<i"), b"\xfc\xff\xff\xff", true));
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("-4"), "{error}");
}
