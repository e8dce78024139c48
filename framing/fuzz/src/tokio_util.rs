//! Ours and tokio-util's codecs, where both can be told the same: the same bytes are the same frames
//! and errors, and the same frames are the same bytes.

use bytes::{Bytes, BytesMut};
use framing::{
    AtEof, DelimiterOptions, Endian, ErrorKind, Framing, LengthFieldOptions, Limits, LinesOptions,
    Machine, OnError,
    testkit::{Event, trace},
};
use tokio_util::codec::{
    AnyDelimiterCodec, AnyDelimiterCodecError, Decoder, Encoder, LengthDelimitedCodec, LinesCodec,
    LinesCodecError,
};

use super::input::{Input, cut};

/// Which codec, how to cut; the rest is that codec's.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let kind = input.byte();
    let sizes = input.take(usize::from(kind >> 5));
    match kind & 3 {
        0 => length_field(input, sizes),
        1 => delimiter(input, sizes),
        _ => lines(input, sizes),
    }
}

/// What comes out, without what the two say differently.
#[derive(Debug, PartialEq)]
enum Outcome {
    Frame(Bytes),
    TooLong,
    Malformed,
}

/// What a framing of ours makes of a stream.
fn ours(framing: impl Framing, pieces: &[&[u8]]) -> Vec<Outcome> {
    let trace = trace(framing, pieces, true);
    let outcomes = trace.events.into_iter().filter_map(|event| match event {
        Event::Frame(frame) => Some(Outcome::Frame(frame)),
        Event::Problem(problem) => match problem.kind {
            ErrorKind::TooLong => Some(Outcome::TooLong),
            ErrorKind::Malformed => Some(Outcome::Malformed),
            kind => panic!("{kind}: {problem:?}"),
        },
        _ => None,
    });
    outcomes.collect()
}

/// What a codec of theirs makes of it.
fn theirs<C: Decoder>(
    mut codec: C,
    pieces: &[&[u8]],
    outcome: impl Fn(Result<C::Item, C::Error>) -> Outcome,
) -> Vec<Outcome> {
    let mut buffer = BytesMut::new();
    let mut outcomes = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(next) = codec.decode(&mut buffer).transpose() {
            outcomes.push(outcome(next));
        }
    }
    while let Some(next) = codec.decode_eof(&mut buffer).transpose() {
        outcomes.push(outcome(next));
    }
    outcomes
}

/// Marks of one byte each, any of which ends a frame.
fn delimiter(mut input: Input<'_>, sizes: &[u8]) {
    let limit = usize::from(input.byte()).max(1);
    let count = 1 + usize::from(input.byte() & 3);
    let mut marks: Vec<u8> = Vec::new();
    for &mark in input.take(count) {
        // A mark twice is refused.
        if !marks.contains(&mark) {
            marks.push(mark);
        }
    }
    if marks.is_empty() {
        return;
    }
    let options = DelimiterOptions::default()
        .delimiters(marks.iter().map(|&mark| Bytes::copy_from_slice(&[mark])))
        .at_eof(AtEof::Emit);
    let limits = Limits::new()
        .max_frame(limit)
        .max_empty_run(u32::MAX)
        .on_error(OnError::Skip);
    let framing = options.build(limits).expect("marks of one byte");
    let codec = || AnyDelimiterCodec::new_with_max_length(marks.clone(), vec![marks[0]], limit);

    let stream = input.rest();
    let pieces = cut(stream, sizes);
    let expected = theirs(codec(), &pieces, |next| match next {
        Ok(frame) => Outcome::Frame(frame),
        Err(AnyDelimiterCodecError::MaxChunkLengthExceeded) => Outcome::TooLong,
        Err(AnyDelimiterCodecError::Io(error)) => panic!("{error}"),
    });
    assert_eq!(
        ours(framing.clone(), &pieces),
        expected,
        "left ours, right theirs"
    );

    let mut machine = Machine::new(framing);
    if let Ok(text) = std::str::from_utf8(stream)
        && machine.send(Bytes::copy_from_slice(stream)).is_ok()
    {
        let mut written = BytesMut::new();
        codec()
            .encode(text, &mut written)
            .expect("it writes anything");
        assert_eq!(machine.outbox().take_bytes(), written);
    }
}

/// Lines of text.
fn lines(mut input: Input<'_>, sizes: &[u8]) {
    // An ending of two bytes is read as well.
    let limit = usize::from(input.byte()).max(2);
    let mut stream = input.rest();
    // Theirs takes a carriage return at the very end for half of an ending.
    while let Some((b'\r', rest)) = stream.split_last() {
        stream = rest;
    }
    // And counts it where it is one.
    let limit = if stream.contains(&b'\r') {
        1 << 20
    } else {
        limit
    };
    let limits = Limits::new()
        .max_frame(limit)
        .max_empty_run(u32::MAX)
        .on_error(OnError::Skip);
    let framing = LinesOptions::default().build(limits).expect("lines");

    let pieces = cut(stream, sizes);
    let expected = theirs(
        LinesCodec::new_with_max_length(limit),
        &pieces,
        |next| match next {
            Ok(line) => Outcome::Frame(line.into()),
            Err(LinesCodecError::MaxLineLengthExceeded) => Outcome::TooLong,
            Err(LinesCodecError::Io(_)) => Outcome::Malformed,
        },
    );
    assert_eq!(
        ours(framing.clone(), &pieces),
        expected,
        "left ours, right theirs"
    );

    let mut machine = Machine::new(framing);
    if let Ok(text) = std::str::from_utf8(stream)
        && machine.send(Bytes::copy_from_slice(stream)).is_ok()
    {
        let mut written = BytesMut::new();
        LinesCodec::new()
            .encode(text, &mut written)
            .expect("it writes anything");
        assert_eq!(machine.outbox().take_bytes(), written);
    }
}

/// A length field anywhere in a header.
fn length_field(mut input: Input<'_>, sizes: &[u8]) {
    let (offset, width) = (
        usize::from(input.byte()) % 6,
        1 + usize::from(input.byte()) % 8,
    );
    let little = input.byte() & 1 == 1;
    let adjust = i64::from(input.byte() as i8) % 10;
    let strip = usize::from(input.byte()) % (offset + width + 1);
    let kept = offset + width - strip;
    // What one byte can say limits frames as well.
    let most = 200_usize.min((if width == 1 { 255 } else { 200 } + adjust) as usize + kept);
    let ours_with = |most| {
        let options = LengthFieldOptions::default()
            .offset(offset)
            .width(width)
            .adjust(adjust);
        let endian = if little { Endian::Little } else { Endian::Big };
        let limits = Limits::new().max_frame(most).max_empty_run(u32::MAX);
        options
            .endian(endian)
            .strip(strip)
            .build(limits)
            .expect("a layout")
    };
    let codec = || {
        let mut builder = LengthDelimitedCodec::builder();
        builder
            .length_field_offset(offset)
            .length_field_length(width)
            // Theirs counts from behind what is skipped, ours from behind the header.
            .length_adjustment(adjust as isize + kept as isize)
            .num_skip(strip)
            // Of what the field says, before it is adjusted.
            .max_frame_length(1 << 20);
        if little {
            builder.little_endian();
        }
        builder.new_codec()
    };

    let stream = input.rest();
    let pieces = cut(stream, sizes);
    let mut expected = Vec::new();
    let (mut theirs, mut buffer) = (codec(), BytesMut::from(stream));
    let failed = loop {
        let before = buffer.len();
        match theirs.decode(&mut buffer) {
            // A negative length that cancels out a header that is kept: it would go on for ever.
            Ok(Some(_)) if buffer.len() == before => break true,
            Ok(Some(frame)) => expected.push(Event::Frame(frame.freeze())),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    let trace = trace(ours_with(most), &pieces, false);
    match trace.problem() {
        None => assert!(!failed, "theirs is refused, ours is not"),
        // A frame that is longer than ours may be. Theirs, with its larger limit, may go on.
        Some(problem) if problem.kind == ErrorKind::TooLong => {
            assert!(problem.declared > Some(most as u128), "{problem:?}");
        }
        // A negative length. With part of the header kept theirs is the shorter frame.
        Some(problem) => {
            assert_eq!(problem.kind, ErrorKind::Malformed, "{problem:?}");
            assert!(adjust < 0 && (kept > 0 || failed), "{problem:?}");
        }
    }
    let frames: Vec<Event> = trace.frames().cloned().map(Event::Frame).collect();
    if trace.problem().is_some() {
        expected.truncate(frames.len());
    }
    assert_eq!(frames, expected, "left ours, right theirs");

    // Theirs writes the length and the frame, whatever stands in front and is to be stripped.
    if offset == 0 && strip == width && adjust >= 0 {
        let mut written = BytesMut::new();
        let frame = Bytes::copy_from_slice(&stream[..stream.len().min(most)]);
        let good = codec().encode(frame.clone(), &mut written).is_ok();
        let mut machine = Machine::new(ours_with(most));
        assert_eq!(machine.send(frame).is_ok(), good);
        if good {
            assert_eq!(machine.outbox().take_bytes(), written);
        }
    }
}

/// Streams in which every codec finds something.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let seeds: [(&str, &[u8]); 18] = [
        ("delimiter", b"\x01\x40\0\none\ntwo\n\nrest"),
        ("delimiter-cut", b"\x41\x01\x02\x40\x03;\n,|a;b\n,c||d"),
        ("delimiter-encode", b"\x01\x40\0;plain text"),
        ("delimiter-too-long", b"\x21\x02\x04\x01;\nlonger;ok\nx"),
        (
            "delimiter-too-long-at-the-end",
            b"\x01\x04\0;good;too long for it",
        ),
        ("length-adjusted", b"\0\0\x01\0\xfe\x02\0\x07hello\0\x04hi"),
        (
            "length-adjusted-up",
            b"\x20\x02\0\0\0\x03\x01\x02hello\0abc",
        ),
        ("length-kept", b"\0\x02\x01\0\0\x01ab\0\x05helloab\0\0"),
        (
            "length-little",
            b"\x40\x01\x01\0\x02\x01\0\x02\x05\0\0hello\0\0\0",
        ),
        ("length-negative", b"\0\0\0\0\xf8\x01\x03"),
        ("length-of-8", b"\0\0\x07\0\0\x08\0\0\0\0\0\0\0\x02hi"),
        ("length-too-long", b"\0\0\x03\0\0\x04\0\0\x01\0abc"),
        ("length-written", b"\0\0\x01\0\0\x02\0\x05hello"),
        ("lines", b"\x02\x40one\ntwo\r\n\nrest"),
        ("lines-carriage-returns", b"\x22\x01\x40a\r\r\nb\rc\n\r\n"),
        ("lines-not-text", b"\x02\x40ok\n\xff\xfe\nok\n\xe4\xb8"),
        (
            "lines-too-long",
            b"\x42\x03\x01\x05much too long\nok\nand again",
        ),
        ("lines-written", b"\x02\x40a line of text"),
    ];
    seeds
        .map(|(name, seed)| (name.to_owned(), seed.to_vec()))
        .into()
}
