//! Two framings in one, and the one that waits for answers.

use std::time::{Duration, Instant};

use bytes::Bytes;

use framing::{
    AckHandshake, AckHandshakeOptions, BoxFraming, Carries, Cobs, CodecFraming, Delimiter,
    ErrorKind, FrameError, Framing, FramingCodec, Limits, Lines, Machine, Outbox, Pair, Raw,
    Received, Registry, Step, StructHeader, Value,
};

use tokio_util::codec::LengthDelimitedCodec;

use crate::{cases, refused, script::case};

const LINES_STRUCT: &str = r#"{ type = "pair", receive = "lines", send = "struct-header" }"#;
const EXEC: &str = r#"{ type = "pair", receive = "raw", send = "ack-handshake" }"#;

cases! {
    each_direction_has_its_own: case(LINES_STRUCT).read(b"one\ntwo\n").send(b"a\nb").eof()
        .gives(["frame one", "frame two", "end"]).writes(b"\0\0\0\x03a\nb");
    what_the_one_cannot_send_the_other_can_receive:
        case(r#"{ type = "pair", receive = "struct-header", send = "delimiter" }"#)
            .send(b"a\nb").read(b"\0\0\0\x03a\nb").eof()
            .gives(["unencodable", r"frame a\nb", "end"]).writes("");
    its_limits_are_those_of_both:
        case(r#"{ type = "pair", max_frame = 4, receive = "delimiter", on_error = "skip", send = "cobs" }"#)
            .send(b"12345").read(b"12345\nab\n").eof()
            .gives(["unencodable", "too-long ? > 4 @0, skipped", "frame ab", "end"]);
    but_for_what_they_say_themselves:
        case(r#"{ type = "pair", receive = { type = "delimiter", max_frame = 2 }, send = { max_frame = 6, type = "delimiter" }, max_frame = 4 }"#)
            .send(b"123456").read(b"abc\n").gives(["too-long ? > 2 @0"]).writes(b"123456\n");
    an_ack_is_read_where_one_is_due: case(EXEC)
        .read(b"uname").send(b"Linux\n").read(b"ok").keep_cuts()
        .gives(["frame uname"]).writes("6\nLinux\n");
    what_follows_the_ack_is_raw: case(EXEC)
        .send(b"hello").read(b"o").read(b"knext").eof().keep_cuts()
        .gives(["frame next", "end"]).writes("5\nhello");
    without_an_ack_due_nothing_is_one: case(EXEC).read(b"ok").eof().keep_cuts()
        .gives(["frame ok", "end"]).writes("");
    a_number_is_no_announcement: case(EXEC).send(b"hello").read(b"5\nhello").gives(["refused @0"])
        .gives_back(b"hello").says("5").writes("5\n");
    nor_half_of_one: case(EXEC).send(b"hello").read(b"12").gives(["refused @0"]).writes("5\n");
    another_answer: case(EXEC).send(b"hello").read(b"no").gives(["refused @0"])
        .gives_back(b"hello").writes("5\n");
    no_answer_in_time: case(EXEC).send(b"hello").wait(Duration::from_secs(30))
        .gives(["timeout @0"]).gives_back(b"hello").writes("5\n");
    no_answer_to_come: case(EXEC).send(b"hello").read(b"o").eof()
        .gives(["truncated ack 1 of 2 @1"]).gives_back(b"hello").writes("5\n");
    the_ack_and_the_end: case(EXEC).send(b"hello").read(b"ok").eof().gives(["end"])
        .writes("5\nhello");
    behind_the_end_no_ack_can_come: case(EXEC).read(b"ls").eof().send(b"hello").keep_cuts()
        .gives(["frame ls", "end", "unencodable"]).gives_back(b"hello").writes("");
}

#[test]
fn its_limit_is_the_smaller_one() {
    let (mut receive, mut send) = (Cobs::default(), Cobs::default());
    receive.set_max_frame(6);
    send.set_max_frame(5);
    let mut pair = Pair::new(receive.clone(), send.clone()).unwrap();
    assert_eq!(pair.max_frame(), 5);
    assert_eq!(Pair::new(send, receive).unwrap().max_frame(), 5);
    pair.set_max_frame(4);
    assert_eq!(pair.receiver().max_frame(), 4);
    assert_eq!(pair.sender().max_frame(), 4);
}

/// Gives up at its time.
struct Punctual(Instant);

impl Framing for Punctual {
    fn decode(&mut self, _: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        Ok(Step::Need(1))
    }

    fn decode_eof(&mut self, _: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        Ok(Step::End)
    }

    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        out.put(frame);
        Ok(())
    }

    fn max_frame(&self) -> usize {
        1
    }

    fn set_max_frame(&mut self, _: usize) {}

    fn deadline(&self) -> Option<Instant> {
        Some(self.0)
    }

    fn expired(&mut self, _: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        Err(FrameError::malformed("too late"))
    }
}

#[test]
fn the_one_that_reads_may_have_its_own_deadline() {
    let now = Instant::now();
    let due = now + Duration::from_secs(1);
    let mut machine = Machine::new(Pair::new(Punctual(due), Cobs::default()).unwrap());
    machine.set_now(now);
    assert!(!machine.framing().is_interactive());
    assert_eq!(machine.deadline(), Some(due));
    assert_eq!(machine.next_frame(), Ok(Received::Need(1)));
    machine.set_now(due);
    let error = machine.next_frame().unwrap_err();
    assert!(error.to_string().contains("too late"), "{error}");
}

#[test]
fn a_frame_from_elsewhere_passes_through() {
    let framing = CodecFraming::new(LengthDelimitedCodec::new(), Limits::new());
    let mut machine = Machine::new(Pair::new(framing, Cobs::default()).unwrap());
    machine.receive(b"\0\0\0\x05hello");
    assert_eq!(machine.next_frame(), Ok(Received::Frame("hello".into())));
}

#[test]
fn what_cannot_go_together_is_refused() {
    for (receive, send, says) in [
        (r#""ack-handshake""#, r#""raw""#, "`receive` answers"),
        (
            r#""ack-handshake""#,
            r#""ack-handshake""#,
            "`receive` answers",
        ),
        (r#""lines""#, r#""ack-handshake""#, "receive = \"raw\""),
        (r#""morse""#, r#""raw""#, "unknown framing `morse`"),
        (r#""raw""#, r#"{ type = "raw", chink = 5 }"#, "`chink`"),
        (
            r#""raw""#,
            r#"{ type = "raw", chunk = 0 }"#,
            "`send`: `chunk`",
        ),
        (r#"5"#, r#""raw""#, "a framing's name"),
        (r#"{ chunk = 5 }"#, r#""raw""#, "`type`"),
        (
            r#"{ type = "pair", receive = "raw", send = "raw" }"#,
            r#""raw""#,
            "cannot stand inside",
        ),
        (
            r#"{ receive = "raw", send = "raw", type = "pair" }"#,
            r#""raw""#,
            "cannot stand inside",
        ),
        (r#""pair""#, r#""raw""#, "cannot stand inside"),
    ] {
        for text in [
            format!(r#"{{ type = "pair", receive = {receive}, send = {send} }}"#),
            format!(r#"{{ send = {send}, receive = {receive}, type = "pair" }}"#),
        ] {
            refused(&text, says);
        }
    }
    refused("pair", "`receive`");
    refused(r#"{ type = "pair", receive = "raw" }"#, "`send`");
    // Its policy is that of both, and one of them cannot have it.
    let skips = r#"{ type = "pair", receive = "raw", send = "ack-handshake", on_error = "skip" }"#;
    refused(skips, "`send`: `on_error");
}

#[test]
fn pairs_within_pairs_end_somewhere() {
    let mut text = r#""raw""#.to_owned();
    for _ in 0..40 {
        text = format!(r#"{{ type = "pair", receive = {text}, send = "raw" }}"#);
    }
    refused(&text, "cannot stand inside");
    for _ in 0..4000 {
        text = format!(r#"{{ receive = {text}, send = "raw", type = "pair" }}"#);
    }
    refused(&text, "");
}

#[test]
fn a_framing_of_ones_own_may_be_part_of_a_pair() {
    #[derive(serde::Deserialize)]
    struct Fields {
        separator: String,
    }

    let mut registry = Registry::default();
    registry.register("fields", |options: Fields, limits: Limits| {
        framing::DelimiterOptions::default()
            .delimiter(options.separator)
            .build(limits)
    });
    let pair = r#"{ type = "pair", receive = { type = "fields", separator = ";" }, send = { separator = "!", type = "fields" }, max_frame = 3 }"#;
    let factory = registry.parse(pair).unwrap();
    assert_eq!((factory.name(), factory.make().max_frame()), ("pair", 3));
    for _ in 0..2 {
        let mut machine = Machine::new(factory.make());
        machine.receive(b"a;");
        assert_eq!(machine.next_frame(), Ok(Received::Frame("a".into())));
        machine.send("b".into()).unwrap();
        assert_eq!(machine.outbox().take_bytes(), "b!");
    }
}

#[test]
fn an_error_in_a_pair_shows_its_line() {
    let text =
        "type = \"pair\"\nreceive = \"raw\"\nmax_frame = 5\nsend = { type = \"raw\", chink = 5 }\n";
    let table = toml::de::Deserializer::parse(text).unwrap();
    let registry = Registry::default();
    let error = serde::de::DeserializeSeed::deserialize(registry.seed(), table).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("line 4") && error.contains("unknown option `chink` of `raw`"),
        "{error}"
    );
}

/// The peer writes with the one and we with the other, and both come to the same answer.
#[test]
fn a_pair_carries_what_both_do() {
    fn boxed(framing: impl Framing + Send + 'static) -> BoxFraming {
        Box::new(framing)
    }
    let carries = |one: BoxFraming, other: BoxFraming| Pair::new(one, other).unwrap().carries();
    let cobs = || boxed(Cobs::default());
    let text = || boxed(Delimiter::default());
    let raw = || boxed(Raw::default());
    assert_eq!(carries(cobs(), cobs()), Carries::Anything);
    assert_eq!(carries(cobs(), text()), Carries::Text);
    assert_eq!(carries(text(), cobs()), Carries::Text);
    assert_eq!(carries(text(), text()), Carries::Text);
    for (one, other) in [(raw(), cobs()), (text(), raw()), (raw(), raw())] {
        let pair = Pair::new(one, other).unwrap();
        assert!(matches!(pair.carries(), Carries::Neither(_)));
        assert!(!pair.keeps_boundaries());
    }
    assert!(
        Pair::new(Lines::new().unwrap(), Cobs::default())
            .unwrap()
            .keeps_boundaries()
    );
}

#[test]
fn headers_are_those_of_their_direction() {
    let receive = StructHeader::new("!BH").unwrap();
    let send = StructHeader::new("!H4sI").unwrap();
    let mut machine = Machine::new(Pair::new(receive, send).unwrap());
    machine.receive(b"\x07\0\x01a");
    assert_eq!(machine.next_frame(), Ok(Received::Frame("a".into())));
    assert_eq!(machine.framing().header(), [Value::Int(7)]);
    let items = [Value::Int(1), "abcd".into()];
    machine.framing_mut().set_header(&items).unwrap();
    machine.send("x".into()).unwrap();
    assert_eq!(machine.outbox().take_bytes(), "\0\x01abcd\0\0\0\x01x");
}

#[test]
fn an_unanswered_frame_is_handed_back() {
    let mut pair = Pair::new(Raw::default(), AckHandshake::default()).unwrap();
    assert!(pair.is_interactive() && pair.is_ready());
    let mut out = framing::Outbox::new();
    pair.encode("hello".into(), &mut out).unwrap();
    assert!(!pair.is_ready() && pair.deadline().is_some());
    assert_eq!(pair.take_unsent().unwrap(), "hello");
    let pair = Pair::new(Raw::default(), AckHandshake::default()).unwrap();
    let error = FramingCodec::new(pair).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn an_ack_of_any_length_is_asked_for_exactly() {
    let options = AckHandshakeOptions::default().ack("go ahead");
    let send = options.build(Limits::new()).unwrap();
    let mut machine = Machine::new(Pair::new(Raw::default(), send).unwrap());
    machine.send("hello".into()).unwrap();
    assert_eq!(machine.next_frame(), Ok(Received::Need(8)));
    machine.receive(b"go ahead!");
    assert_eq!(machine.next_frame(), Ok(Received::Frame("!".into())));
    assert_eq!(machine.outbox().take_bytes(), "5\nhello");
}
