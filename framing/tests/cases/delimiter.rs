//! Marks: D01 to D18.

use framing::{
    AtEof, Carries, Delimiter, DelimiterOptions, ErrorKind, Framing, Limits, Lines, LinesOptions,
    Machine, Outbox, Received,
};

use crate::{cases, refused, script::case};

const LF: &str = "delimiter";
const LF4: &str = r#"{ type = "delimiter", max_frame = 4 }"#;
const BARS: &str = r#"{ type = "delimiter", delimiter = "||" }"#;
const BARS4_SKIP: &str =
    r#"{ type = "delimiter", delimiter = "||", max_frame = 4, on_error = "skip" }"#;
const CRLF: &str = r#"{ type = "delimiter", delimiter = "\r\n" }"#;
const CRLF4: &str = r#"{ type = "delimiter", delimiter = "\r\n", max_frame = 4 }"#;
const EITHER: &str = r#"{ type = "delimiter", delimiter = ["\n", "\r\n"] }"#;
const SEMICOLON: &str = r#"{ type = "delimiter", delimiter = ";" }"#;
const NUL: &str = r#"{ type = "delimiter", delimiter = { hex = "00" } }"#;
const AAB: &str = r#"{ type = "delimiter", delimiter = "aab" }"#;
const BARS_ESCAPED: &str = r#"{ type = "delimiter", delimiter = "||", escape = "\\" }"#;
const ESCAPED: &str = r#"{ type = "delimiter", escape = "\\" }"#;

cases! {
    d01_a_mark_in_two_reads: case(r##"{ type = "delimiter", delimiter = "#$" }"##)
        .read(b"ADD:123#").read(b"$add:123##$").eof()
        .gives(["frame ADD:123", "frame add:123#", "end"]);
    d02_a_mark_in_two_reads_behind_a_skipped_frame:
        case(BARS4_SKIP).read(b"aaaaaaaa|").read(b"|good||next||").eof()
            .gives(["too-long ? > 4 @0, skipped", "frame good", "frame next", "end"]);
    d03_half_a_mark_at_the_end_is_refused:
        case(BARS).send(b"a|").send(b"b").gives(["unencodable"]).gives_back(b"a|").writes("b||");
    d03_or_escaped: case(r#"{ type = "delimiter", delimiter = "||", escape = "\\" }"#)
        .send(b"a|").read(br"a\|||").eof().gives(["frame a|", "end"]).writes(br"a\|||");
    d04_a_mark_inside_is_refused:
        case(LF).send(b"a\nb").gives(["unencodable"]).gives_back(b"a\nb").writes("");
    d05_either_line_ending: case(EITHER).read(b"a\r").read(b"\nb\n").eof()
        .gives(["frame a", "frame b", "end"]);
    d06_a_lone_line_feed_is_no_crlf:
        case(CRLF).read(b"a\nb\r\n").eof().gives([r"frame a\nb", "end"]);
    d06_nor_is_a_lone_carriage_return:
        case(CRLF).read(b"a\rb\r\n").eof().gives([r"frame a\rb", "end"]);
    d07_the_mark_does_not_count: case(CRLF4).read(b"aaaa\r\n").eof().gives(["frame aaaa", "end"]);
    d08_the_limit_itself_is_allowed: case(LF4).read(b"aaaa").read(b"\n").eof()
        .gives(["frame aaaa", "end"]);
    d08_one_more_is_too_long_at_once: case(LF4).read(b"aaaaa").gives(["too-long ? > 4 @0"]);
    d08_with_or_without_its_mark: case(LF4).read(b"aaaaa\nbb\n").eof().gives(["too-long ? > 4 @0"]);
    d10_a_frame_without_its_mark_is_cut_off: case(SEMICOLON).read(b"good;trunc").eof()
        .gives(["frame good", "truncated delimiter 5 of ? @10"]);
    d10_or_a_frame_on_request:
        case(r#"{ type = "delimiter", delimiter = ";", at_eof = "emit" }"#)
            .read(b"good;trunc").eof().gives(["frame good", "frame trunc", "end"]);
    d11_empty_frames: case(SEMICOLON).read(b";;;").eof()
        .gives(["frame ", "frame ", "frame ", "end"]);
    d11_or_none: case(r#"{ type = "delimiter", delimiter = ";", skip_empty = true }"#)
        .read(b";;;a;;").eof().gives(["frame a", "end"]);
    d12_a_line_that_is_no_text: case(r#"{ type = "lines", on_error = "skip" }"#)
        .read(b"\xff\nok\n").eof().gives(["malformed @0, skipped", "frame ok", "end"]);
    d12_is_final_unless_skipped: case("lines").read(b"\xff\nok\n").eof().gives(["malformed @0"]);
    d12_nor_is_it_sent: case("lines").send(b"\xff").send(b"ok").gives(["unencodable"])
        .says("UTF-8").gives_back(b"\xff").writes("ok\n");
    d13_zero_bytes: case(NUL).read(b"\0a\0b\0").eof()
        .gives(["frame ", "frame a", "frame b", "end"]);
    d13_are_refused_inside: case(NUL).send(b"a\0b").send(b"ab").gives(["unencodable"])
        .writes(b"ab\0");
    d15_a_mark_that_overlaps_itself: case(AAB).read(b"aaab").read(b"aaaab").eof()
        .gives(["frame a", "frame aa", "end"]);
    d16_a_line_longer_than_a_read: case(LF).read([b'x'; 1460]).read(b"x\n").eof()
        .gives(["frame of 1461", "end"]);
    d17_a_long_frame_is_skipped_in_pieces:
        case(r#"{ type = "delimiter", max_frame = 4, on_error = "skip" }"#)
            .read([b'x'; 3000]).read(b"\nok\n").eof()
            .gives(["too-long ? > 4 @0, skipped", "frame ok", "end"]);
    d18_lines_are_not_guessed_at: case("lines").read(b"5 apples\n<34>1 x\n").eof()
        .gives(["frame 5 apples", "frame <34>1 x", "end"]);
    escaped_marks_are_ordinary: case(ESCAPED).read(b"a\\\nb\\\\\n").eof()
        .gives([r"frame a\nb\\", "end"]);
    an_escape_protects_any_byte: case(ESCAPED).read(b"\\a\\\\\n").eof().gives([r"frame a\\", "end"]);
    an_escape_with_nothing_behind_it_is_cut_off:
        case(r#"{ type = "delimiter", escape = "\\", at_eof = "emit" }"#)
            .read(b"a\\").eof().gives(["truncated body 2 of 3 @2"]);
    an_escape_does_not_count_towards_the_limit:
        case(r#"{ type = "delimiter", escape = "\\", max_frame = 4 }"#)
            .read(br"\a\a\a\a").read(b"\nabcde").gives(["frame aaaa", "too-long ? > 4 @9"]);
    the_mark_may_stay: case(r#"{ type = "delimiter", strip = false, max_frame = 3 }"#)
        .read(b"ab\n\nabc").gives([r"frame ab\n", r"frame \n", "too-long ? > 3 @4"]);
    a_frame_must_bring_its_mark: case(r#"{ type = "delimiter", strip = false }"#)
        .send(b"a\n").send(b"a").gives(["unencodable"]).says("strip").writes("a\n");
    a_mark_that_stays_makes_no_frame_of_an_empty_one:
        case(r#"{ type = "delimiter", strip = false, allow_empty = false }"#)
            .send(b"\n").send(b"a\n").read(b"a\n\n")
            .gives(["unencodable", r"frame a\n", "malformed @2"]).writes("a\n");
    an_empty_one_may_be_forbidden:
        case(r#"{ type = "delimiter", allow_empty = false, on_error = "skip" }"#)
            .send(b"").send(b"a").read(b"\na\n").eof()
            .gives(["unencodable", "malformed @0, skipped", "frame a", "end"]).writes("a\n");
    a_mark_that_stays_moves_up_to_what_was_escaped:
        case(r#"{ type = "delimiter", delimiter = "||", strip = false, escape = "\\" }"#)
            .read(br"a\|b\\||c||").eof()
            .gives([r"frame a|b\\||", "frame c||", "end"]);
    a_mark_that_stays_counts_at_once:
        case(r#"{ type = "delimiter", delimiter = "||", strip = false, max_frame = 2 }"#)
            .read(b"||a").gives(["frame ||", "too-long ? > 2 @2"]);
    alone_it_is_an_empty_frame_even_where_it_is_the_longest:
        case(r#"{ type = "delimiter", strip = false, max_frame = 1, allow_empty = false }"#)
            .read(b"\n").gives(["malformed @0"]);
    and_the_shortest_of_several:
        case(r#"{ type = "delimiter", delimiter = ["||", ";"], strip = false, max_frame = 2 }"#)
            .read(b"a;").eof().gives(["frame a;", "end"]);
    half_a_mark_where_escapes_are: case(BARS_ESCAPED).read(b"a|b|c||").eof()
        .gives(["frame a|b|c", "end"]);
    half_a_mark_in_front_of_another:
        case(r#"{ type = "delimiter", delimiter = ["||", ";"], escape = "\\" }"#)
            .read(br"a|;b|\;;").eof().gives(["frame a|", "frame b|;", "end"]);
    a_long_one_with_escapes_is_skipped_in_pieces:
        case(r#"{ type = "delimiter", delimiter = "||", escape = "\\", max_frame = 4, on_error = "skip" }"#)
            .read(br"aaaaaaa\|a\\\||aaa").read(br"\||aa|a||ok||").eof()
            .gives(["too-long ? > 4 @0, skipped", "frame ok", "end"]);
    the_rest_is_unescaped:
        case(r#"{ type = "delimiter", delimiter = "||", escape = "\\", at_eof = "emit" }"#)
            .read(br"a||b\|c\\").eof().gives(["frame a", r"frame b|c\\", "end"]);
    the_rest_is_not_over_the_limit:
        // Half a mark may still be one, up to the end.
        case(r#"{ type = "delimiter", delimiter = "||", max_frame = 4, at_eof = "emit" }"#)
            .read(b"aaaa|").eof().gives(["too-long ? > 4 @0"]);
    the_rest_of_a_long_one_is_no_frame:
        case(r#"{ type = "delimiter", max_frame = 4, at_eof = "emit", on_error = "skip" }"#)
            .read(b"ab\nxxxxxxxx").eof().gives(["frame ab", "too-long ? > 4 @3, skipped", "end"]);
    nor_with_half_a_mark:
        case(r#"{ type = "delimiter", delimiter = "||", max_frame = 4, at_eof = "emit", on_error = "skip" }"#)
            .read(b"xxxxxxxx|").eof().gives(["too-long ? > 4 @0, skipped", "end"]);
    it_is_cut_off_where_that_is_an_error: case(BARS4_SKIP).read(b"xxxxxxxx|").eof()
        .gives(["too-long ? > 4 @0, skipped", "truncated delimiter 1 of ? @9"]);
    the_longest_of_several_marks_is_taken:
        case(r#"{ type = "delimiter", delimiter = [";", "x;"] }"#)
            .read(b"ax;b;").eof().gives(["frame a", "frame b", "end"]);
}

/// What is sent as `wire` by a machine with these options.
fn written(options: DelimiterOptions, frame: &'static str) -> bytes::Bytes {
    let mut machine = Machine::new(options.build(Limits::new()).unwrap());
    machine.send(frame.into()).unwrap();
    machine.outbox().take_bytes()
}

/// What is read out of `wire` up to its end by a machine with these options.
fn read(options: DelimiterOptions, wire: &[u8]) -> Vec<Received> {
    read_by(options.build(Limits::new()).unwrap(), wire)
}

fn read_by(framing: impl Framing, wire: &[u8]) -> Vec<Received> {
    let mut machine = Machine::new(framing);
    machine.receive(wire);
    machine.close_input();
    let mut all = Vec::new();
    loop {
        match machine.next_frame().unwrap() {
            Received::End => return all,
            received => all.push(received),
        }
    }
}

fn frame(text: &'static str) -> Received {
    Received::Frame(text.into())
}

#[test]
fn every_option_is_also_a_method() {
    let options = DelimiterOptions::default;
    assert_eq!(written(options(), "a"), "a\n");
    assert_eq!(written(options().delimiter(";"), "a"), "a;");
    assert_eq!(written(options().delimiters(["||", ";"]), "a"), "a||");
    assert_eq!(
        read(options().delimiters(["||", ";"]), b"a;b||"),
        [frame("a"), frame("b")]
    );
    assert_eq!(written(options().strip(false), "a\n"), "a\n");
    assert_eq!(read(options().strip(false), b"a\n"), [frame("a\n")]);
    assert_eq!(written(options().escape(b'%'), "a\n%"), "a%\n%%\n");
    assert_eq!(read(options().at_eof(AtEof::Emit), b"a"), [frame("a")]);
    assert_eq!(read(options().skip_empty(true), b"\n\na\n"), [frame("a")]);

    let lines = LinesOptions::default;
    for (options, wire) in [(lines(), "a\n"), (lines().crlf(), "a\r\n")] {
        let mut machine = Machine::new(options.build(Limits::new()).unwrap());
        machine.send("a".into()).unwrap();
        assert_eq!(machine.outbox().take_bytes(), wire);
    }
    assert_eq!(
        read_by(Lines::new().unwrap(), b"a\r\nb"),
        [frame("a"), frame("b")]
    );
    let strict = lines().at_eof(AtEof::Error).build(Limits::new()).unwrap();
    let mut machine = Machine::new(strict);
    machine.receive(b"a");
    machine.close_input();
    let error = machine.next_frame().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
}

#[test]
fn d12_lines_are_checked_where_they_are_borrowed_too() {
    let (mut lines, mut out) = (Lines::new().unwrap(), Outbox::new());
    let error = lines.encode_slice(b"\xff", &mut out).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unencodable);
    lines.encode_slice(b"ok", &mut out).unwrap();
    assert_eq!(out.take_bytes(), "ok\n");
}

#[test]
fn what_it_carries() {
    let carries = |options: DelimiterOptions| options.build(Limits::new()).unwrap().carries();
    let options = DelimiterOptions::default;
    assert_eq!(carries(options()), Carries::Text);
    assert_eq!(carries(options().delimiters(["\n", "\r\n"])), Carries::Text);
    assert_eq!(carries(options().delimiter("|\0|")), Carries::Text);
    assert_eq!(
        carries(options().escape(b'%').delimiter(";")),
        Carries::Anything
    );
    for options in [
        options().strip(false),
        options().strip(false).escape(b'%'),
        options().delimiter(";"),
        options().delimiters(["\n", ";"]),
    ] {
        let text = format!("{options:?}");
        assert!(matches!(carries(options), Carries::Neither(_)), "{text}");
    }
}

#[test]
fn a_limit_below_the_mark_is_no_error_before_a_byte_has_come() {
    let options = DelimiterOptions::default().delimiter("||").strip(false);
    let mut machine = Machine::new(options.build(Limits::new()).unwrap());
    machine.framing_mut().set_max_frame(1);
    assert_eq!(machine.next_frame(), Ok(Received::Need(2)));
    machine.receive(b"a");
    assert_eq!(machine.next_frame().unwrap_err().kind(), ErrorKind::TooLong);
}

#[test]
fn the_default_is_what_its_options_are_by_default() {
    let built = DelimiterOptions::default().build(Limits::new()).unwrap();
    for framing in [Delimiter::default(), built] {
        let mut machine = Machine::new(framing);
        machine.send("".into()).unwrap();
        machine.send("a".into()).unwrap();
        let wire = machine.outbox().take_bytes();
        assert_eq!(wire, "\na\n");
        machine.receive(&wire);
        machine.receive(b"b");
        machine.close_input();
        assert_eq!(machine.next_frame(), Ok(frame("")));
        assert_eq!(machine.next_frame(), Ok(frame("a")));
        assert_eq!(
            machine.next_frame().unwrap_err().kind(),
            ErrorKind::Truncated
        );
    }
}

#[test]
fn the_longest_mark_is_accepted() {
    let mark = vec![b'x'; 64 * 1024];
    assert_eq!(
        read(DelimiterOptions::default().delimiter(mark.clone()), &mark),
        [frame("")]
    );
    // A mark as long as the limit can still stand behind a frame.
    let options = DelimiterOptions::default().delimiter("abcd");
    assert!(options.clone().build(Limits::new().max_frame(4)).is_ok());
    assert!(options.build(Limits::new().max_frame(3)).is_err());
}

#[test]
fn d14_marks_that_cannot_work_are_refused() {
    for (options, says) in [
        (r#"delimiter = """#, "empty"),
        (r#"delimiter = ["a", ""]"#, "empty"),
        (r#"delimiter = []"#, "at least one"),
        (r#"delimiter = ["a", "ab"]"#, "ambiguous"),
        (r#"delimiter = ["ab", "ab"]"#, "ambiguous"),
        (r#"delimiter = ["b", "abc"]"#, "ambiguous"),
        (r#"delimiter = "abcde", max_frame = 4"#, "max_frame"),
        (r#"escape = "ab""#, "one byte"),
        (r#"escape = """#, "one byte"),
        (r#"escape = "\n""#, "byte of `delimiter`"),
        (r#"delimiter = { hex = "0" }"#, "hexadecimal"),
        (r#"delimiter = { hex = "0g" }"#, "hexadecimal"),
        (r#"max_frame = 0"#, "at least 1"),
    ] {
        refused(&format!(r#"{{ type = "delimiter", {options} }}"#), says);
    }
    let none = DelimiterOptions::default().delimiters::<&str>([]);
    let error = none.build(Limits::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let long = "x".repeat(64 * 1024 + 1);
    refused(
        &format!(r#"{{ type = "delimiter", delimiter = "{long}" }}"#),
        "64 KiB",
    );
}
