//! Any frames, through any framing: refused with nothing written, or read back as they were; and
//! those over the receiver's limit are skipped without a trace of what is inside.

use bytes::Bytes;
use framing::{
    Carries, ErrorKind, FrameError, Framing, Machine,
    testkit::{Event, trace},
};

use super::{
    framings::{Row, choice, names},
    input::{Input, cut},
};

/// A framing, the receiver's limit, flags, how to cut; then frames.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let row = Row::choose(&mut input);
    let flags = input.byte();
    let sizes = input.take(usize::from(flags >> 4));
    let framing = row.unlimited();
    // Two that talk to each other have a target of their own.
    if framing.is_interactive() || !framing.is_ready() {
        return;
    }
    let mut sender = Machine::new(framing);
    let (mut sent, mut empty) = (Vec::new(), 0);
    while !input.is_empty() && sent.len() < 64 {
        let frame = next(&mut input);
        // Some framings take more of them for a flood.
        empty += usize::from(frame.is_empty());
        if frame.is_empty() && empty > 3 {
            continue;
        }
        sent.extend(send(row, &mut sender, frame));
    }
    if !sender.framing().is_ready() {
        return;
    }
    let stream = sender.outbox().take_bytes();

    let pieces = cut(&stream, sizes);
    let whole = trace(row.unlimited(), &pieces, true);
    if !sender.framing().keeps_boundaries() {
        let bytes: Vec<u8> = whole.frames().flatten().copied().collect();
        assert_eq!(bytes, stream);
        return;
    }
    let expected: Vec<Event> = sent
        .iter()
        .cloned()
        .map(Event::Frame)
        .chain([Event::End])
        .collect();
    assert_eq!(whole.events, expected, "{}", stream.escape_ascii());
    limited(row, &sent, &pieces);
}

/// A frame: so many bytes of the input, or one that is repeated and a few behind it, or another
/// frame in its wrapping.
fn next(input: &mut Input<'_>) -> Bytes {
    let kind = input.byte();
    match kind >> 6 {
        0 | 1 => Bytes::copy_from_slice(input.take(usize::from(kind & 0x3f))),
        2 => {
            let (byte, more) = (input.byte(), input.byte());
            let mut frame = vec![byte; usize::from(kind & 0x3f) * 8 + usize::from(more & 7)];
            frame.extend_from_slice(input.take(usize::from(more >> 5)));
            frame.into()
        }
        _ => {
            // What it looks like is a frame itself, in the framing that the input names.
            let row = Row::choose(input);
            let mut inner = Machine::new(row.unlimited());
            let frame = Bytes::copy_from_slice(input.take(usize::from(kind & 0x3f)));
            let _ = inner.send(frame);
            inner.outbox().take_bytes()
        }
    }
}

/// Sends a frame; gives it as it must arrive, or nothing if it was refused.
fn send<F: Framing>(row: Row, sender: &mut Machine<F>, frame: Bytes) -> Option<Bytes> {
    let before = sender.unsent();
    let Err(error) = sender.send(frame.clone()) else {
        return Some(row.arriving(frame.to_vec()).into());
    };
    refused(sender, &frame, &error);
    assert_eq!(
        sender.unsent(),
        before,
        "something of a refused frame is written"
    );
    None
}

fn refused<F: Framing>(sender: &Machine<F>, frame: &Bytes, error: &FrameError) {
    assert_eq!(error.kind(), ErrorKind::Unencodable, "{error}");
    assert_eq!(error.frame(), Some(frame), "the frame is not given back");
    if frame.is_empty() || frame.len() > sender.framing().max_frame() {
        return;
    }
    let promised = match sender.framing().carries() {
        Carries::Anything => true,
        Carries::Text => {
            std::str::from_utf8(frame).is_ok_and(|text| !text.contains(char::is_control))
        }
        Carries::Neither(_) => false,
    };
    assert!(!promised, "{} is refused: {error}", frame.escape_ascii());
}

/// A receiver with a smaller limit: each frame within it arrives, each other is one error, and
/// nothing comes out of its inside.
fn limited(row: Row, sent: &[Bytes], pieces: &[&[u8]]) {
    let receiver = row.make();
    let limit = receiver.max_frame();
    let trace = trace(receiver, pieces, true);
    let mut events = trace.events.iter();
    for frame in sent {
        match events.next() {
            Some(Event::Frame(got)) => assert_eq!(got, frame),
            Some(Event::Problem(problem)) => {
                assert_eq!(problem.kind, ErrorKind::TooLong, "{problem:?}");
                assert!(frame.len() > limit, "{} is not over {limit}", frame.len());
                if !problem.recoverable {
                    assert_eq!(events.next(), None);
                    return;
                }
            }
            other => panic!("{other:?} in place of {}", frame.escape_ascii()),
        }
    }
    assert_eq!(events.as_slice(), [Event::End]);
}

/// For each framing some frames, among them what looks like one of its own, and a receiver with a
/// limit.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let frames = b"\x05hello\0\x02a|\x04\xc0\xdb\0\xff\x05ab\n;\\\x9fx\x23.\xcc";
    let inner = |row| [&choice(row)[..], b"inside\x03aaa"].concat();
    let seed = |row| [&[row, 3], &b"\x20\x02\x07"[..], frames, &inner(row)].concat();
    names()
        .map(|(row, name)| (format!("{row:02}-{name}"), seed(row)))
        .collect()
}
