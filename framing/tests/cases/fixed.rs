//! Frames of one size.

use framing::{ErrorKind, Fixed, FixedOptions, Framing, Limits, Machine, Outbox};

use crate::{cases, refused, script::case};

const FIVE: &str = r#"{ type = "fixed", size = 5 }"#;
const PADDED: &str = r#"{ type = "fixed", size = 5, pad = " " }"#;

cases! {
    f01_nothing_at_all_is_a_clean_end: case(FIVE).eof().gives(["end"]).writes("");
    frames_of_one_size: case(FIVE).send(b"hello").send(b"world").read(b"helloworld").eof()
        .gives(["frame hello", "frame world", "end"]).writes(b"helloworld");
    f04_a_short_piece_at_the_end_is_cut_off:
        case(FIVE).read(b"hellowo").eof().gives(["frame hello", "truncated body 2 of 5 @7"]);
    f19_a_short_frame_is_refused: case(FIVE).send(b"hell").send(b"hello")
        .gives(["unencodable"]).says("4 bytes").gives_back(b"hell").writes(b"hello");
    f19_so_is_a_long_one: case(FIVE).send(b"hello!").gives(["unencodable"]).says("have 5")
        .gives_back(b"hello!").writes("");
    f19_and_an_empty_one: case(FIVE).send(b"").gives(["unencodable"]).writes("");
    short_frames_are_padded_and_stay_so:
        case(PADDED).send(b"hi").send(b"").send(b"hello").read(b"hi   ").eof()
            .gives(["frame hi   ", "end"]).writes(b"hi        hello");
    long_ones_are_refused_all_the_same: case(PADDED).send(b"hello!").gives(["unencodable"])
        .gives_back(b"hello!").writes("");
    an_empty_frame_may_be_forbidden:
        case(r#"{ type = "fixed", size = 5, pad = { hex = "00" }, allow_empty = false }"#)
            .send(b"").send(b"a").gives(["unencodable"]).says("allow_empty").writes(b"a\0\0\0\0");
    a_larger_limit_means_the_size:
        case(r#"{ type = "fixed", size = 5, max_frame = "1KiB" }"#).send(b"hello").read(b"hello")
            .eof().gives(["frame hello", "end"]);
}

#[test]
fn every_option_is_also_a_method() {
    let framing = FixedOptions::new(5).pad(b'x').build(Limits::new()).unwrap();
    assert_eq!(framing.max_frame(), 5);
    let mut machine = Machine::new(framing);
    machine.send("hi".into()).unwrap();
    assert_eq!(machine.outbox().take_bytes(), "hixxx");
    let mut out = Outbox::new();
    machine.framing_mut().encode_slice(b"hi", &mut out).unwrap();
    assert_eq!(out.take_bytes(), "hixxx");
}

#[test]
fn f24_a_size_that_is_forbidden_later_is_final() {
    let mut machine = Machine::new(Fixed::new(5).unwrap());
    machine.framing_mut().set_max_frame(4);
    machine.receive(b"helloworld");
    for _ in 0..3 {
        let error = machine.next_frame().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLong);
        assert_eq!(error.offset(), 0);
        assert!(!error.is_recoverable());
    }
}

#[test]
fn f26_what_cannot_work_is_refused_when_it_is_built() {
    for (options, says) in [
        ("pad = \"x\"", "size"),
        ("size = 0", "at least 1"),
        ("size = -1", "negative"),
        ("size = 5, max_frame = 4", "`max_frame`, which is 4"),
        ("size = \"17MiB\"", "max_frame"),
        (
            "size = 9223372036854775807, max_frame = 9223372036854775807",
            "memory",
        ),
        ("size = 5, max_frame = 0", "at least 1"),
        ("size = 5, pad = \"\"", "one byte"),
        ("size = 5, pad = \"ab\"", "one byte"),
    ] {
        refused(&format!(r#"{{ type = "fixed", {options} }}"#), says);
    }
}

#[test]
fn no_size_is_more_than_half_of_what_a_buffer_may_have() {
    let most = isize::MAX as usize / 2;
    let build = |size| FixedOptions::new(size).build(Limits::new().max_frame(usize::MAX));
    assert_eq!(build(most).unwrap().max_frame(), most);
    assert_eq!(build(most + 1).unwrap_err().kind(), ErrorKind::Config);
}
