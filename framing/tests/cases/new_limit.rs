//! F24: a new limit judges the next frame, and not the one whose length is already read.

use framing::{ErrorKind, Framing, Machine, Received, Registry};

/// Streams that begin with two frames of five bytes, and the size of the first header.
const STREAMS: &[(&str, usize, &[u8])] = &[
    (
        r#"{ type = "length-field", offset = 1, width = 3 }"#,
        4,
        b"\0\0\0\x05hello\0\0\0\x05world\0\0\0\x02hi",
    ),
    ("netstring", 2, b"5:hello,5:world,2:hi,"),
    ("varint", 1, b"\x05hello\x05world\x02hi"),
    // A padded length, which does not take the short way.
    ("varint", 2, b"\x85\0hello\x05world\x02hi"),
    // A frame of one size has no header: it has begun with its first byte.
    (r#"{ type = "fixed", size = 5 }"#, 1, b"helloworld"),
];

fn with(framing: &str, option: &str) -> String {
    match framing.strip_suffix(" }") {
        Some(options) => format!("{options}, {option} }}"),
        None => format!(r#"{{ type = "{framing}", {option} }}"#),
    }
}

#[test]
fn f24_a_new_limit_judges_the_next_frame_and_not_the_one_that_has_begun() {
    for &(framing, header, stream) in STREAMS {
        let factory = Registry::default().parse(framing).unwrap();
        for split in 0..header + 4 {
            let mut machine = Machine::new(factory.make());
            machine.receive(&stream[..split]);
            assert!(matches!(machine.next_frame(), Ok(Received::Need(_))));
            machine.framing_mut().set_max_frame(4);
            machine.receive(&stream[split..]);
            let mut frames = Vec::new();
            let error = loop {
                match machine.next_frame() {
                    Ok(Received::Frame(frame)) => frames.push(frame),
                    Ok(other) => panic!("{framing}, {split}: {other:?}"),
                    Err(error) => break error,
                }
            };
            let judged_before = usize::from(split >= header);
            assert_eq!(frames, ["hello"][..judged_before], "{framing}, {split}");
            assert_eq!(error.kind(), ErrorKind::TooLong, "{framing}, {split}");
            assert_eq!((error.declared(), error.limit()), (Some(5), Some(4)));
        }
    }
}

#[test]
fn f24_frames_that_a_new_limit_forbids_are_skipped() {
    for &(framing, _, stream) in STREAMS {
        let framing = with(framing, r#"on_error = "skip""#);
        let factory = Registry::default().parse(&framing).unwrap();
        for cut in 0..=stream.len() {
            let mut machine = Machine::new(factory.make());
            machine.framing_mut().set_max_frame(4);
            let (mut frames, mut errors) = (Vec::new(), 0);
            for piece in [&stream[..cut], &stream[cut..]] {
                machine.receive(piece);
                loop {
                    match machine.next_frame() {
                        Ok(Received::Frame(frame)) => frames.push(frame),
                        Ok(_) => break,
                        Err(error) => {
                            assert!(error.is_recoverable(), "{framing}, {cut}: {error}");
                            errors += 1;
                        }
                    }
                }
            }
            machine.close_input();
            assert_eq!(machine.next_frame(), Ok(Received::End), "{framing}, {cut}");
            assert_eq!(errors, 2, "{framing}, {cut}");
            let rest = if framing.contains("fixed") {
                &[][..]
            } else {
                &["hi"]
            };
            assert_eq!(frames, rest, "{framing}, {cut}");
        }
    }
}

#[test]
fn f24_a_lower_limit_is_for_frames_to_be_sent_as_well() {
    for option in ["size = 5", r#"size = 5, pad = "x""#] {
        let framing = format!(r#"{{ type = "fixed", {option} }}"#);
        let mut machine = Machine::new(Registry::default().parse(&framing).unwrap().make());
        machine.framing_mut().set_max_frame(4);
        for frame in ["hello", "hi"] {
            let error = machine.send(frame.into()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unencodable, "{framing}");
            assert_eq!(machine.unsent(), 0, "{framing}");
        }
        // More than the size is the size.
        machine.framing_mut().set_max_frame(6);
        assert_eq!(machine.framing().max_frame(), 5);
        machine.send("hello".into()).unwrap();
    }
}

#[test]
fn f24_a_mark_that_stays_is_over_a_new_limit_even_alone() {
    let text = r#"{ type = "delimiter", delimiter = "||", strip = false, on_error = "skip" }"#;
    let factory = Registry::default().parse(text).unwrap();
    for stream in [&[&b"||"[..]][..], &[b"|", b"|"]] {
        let mut machine = Machine::new(factory.make());
        machine.framing_mut().set_max_frame(1);
        stream.iter().for_each(|piece| machine.receive(piece));
        let error = machine.next_frame().unwrap_err();
        assert_eq!((error.kind(), error.limit()), (ErrorKind::TooLong, Some(1)));
        assert!(error.is_recoverable());
        let error = machine.send("||".into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unencodable);
        machine.framing_mut().set_max_frame(2);
        machine.receive(b"||");
        assert_eq!(machine.next_frame(), Ok(Received::Frame("||".into())));
        machine.send("||".into()).unwrap();
    }
}

#[test]
fn f24_a_new_limit_holds_where_it_was_never_an_option() {
    for framing in [
        "ack-handshake",
        "cobs",
        "delimiter",
        "json-header",
        "length-field",
        "lines",
        "netstring",
        "slip",
        "struct-header",
        "varint",
        r#"{ type = "pair", receive = "cobs", send = "cobs" }"#,
    ] {
        let factory = Registry::default().parse(framing).unwrap();
        for (limit, fits) in [(5, true), (4, false)] {
            let mut sender = Machine::new(factory.make());
            sender.send("hello".into()).unwrap();
            let wire = sender.outbox().take_bytes();

            let mut machine = Machine::new(factory.make());
            machine.framing_mut().set_max_frame(limit);
            assert_eq!(machine.framing().max_frame(), limit, "{framing}");
            let sent = machine.send("hello".into()).map_err(|error| error.kind());
            let expected = if fits {
                Ok(())
            } else {
                Err(ErrorKind::Unencodable)
            };
            assert_eq!(sent, expected, "{framing}");

            let mut machine = Machine::new(factory.make());
            machine.framing_mut().set_max_frame(limit);
            machine.receive(&wire);
            if framing == "ack-handshake" {
                // It announces a frame, and waits.
                continue;
            }
            match machine.next_frame() {
                Ok(Received::Frame(frame)) => assert_eq!((&frame[..], fits), (&b"hello"[..], true)),
                Ok(other) => panic!("{framing}: {other:?}"),
                Err(error) => {
                    assert_eq!(
                        (error.kind(), fits),
                        (ErrorKind::TooLong, false),
                        "{framing}"
                    );
                    assert_eq!(error.limit(), Some(4), "{framing}");
                }
            }
        }
    }
}

#[test]
fn f24_reads_are_cut_at_a_new_limit() {
    let mut machine = Machine::new(Registry::default().parse("raw").unwrap().make());
    machine.framing_mut().set_max_frame(3);
    assert_eq!(machine.framing().max_frame(), 3);
    machine.receive(b"hello");
    for frame in ["hel", "lo"] {
        assert_eq!(machine.next_frame(), Ok(Received::Frame(frame.into())));
    }
    let error = machine.send("hell".into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unencodable);
    machine.send("hel".into()).unwrap();
}
