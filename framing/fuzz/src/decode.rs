//! Any bytes, to any framing: no panic, the same however they are cut, no frame over the limit, no
//! more kept than a frame may have.

use std::ops::ControlFlow;

use bytes::Bytes;
use framing::{
    BoxFraming, Framing, Machine, Outbox, Received, Visited,
    testkit::{Event, Problem, Trace, trace},
};

use super::{
    framings::{Row, choice, names},
    input::{Input, cut},
};

/// What one read brings may be kept, and what a machine holds when it is idle.
const HELD: usize = 512 * 1024;

/// A framing, its limit, flags, how to cut; the rest is the stream.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let row = Row::choose(&mut input);
    let flags = input.byte();
    let sizes = input.take(usize::from(flags >> 4));
    let (ends, announced) = (flags & 1 == 0, flags & 2 != 0);
    let stream = input.rest();
    let make = || {
        let mut framing = row.make();
        if announced {
            // What is due next of the peer of some framings. It is refused by others.
            let _ = framing.encode(Bytes::from_static(b"hello"), &mut Outbox::new());
        }
        framing
    };

    let whole = trace(make(), &[stream], ends);
    let pieces = cut(stream, sizes);
    same(&make, &trace(make(), &pieces, ends), &whole);
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    same(&make, &trace(make(), &bytes, ends), &whole);
    same(&make, &visit(make(), &pieces, ends), &whole);
    bounded(make(), &pieces);
}

fn same(make: &impl Fn() -> BoxFraming, cut: &Trace, whole: &Trace) {
    if make().keeps_boundaries() {
        assert_eq!(cut.events, whole.events, "left cut, right whole");
    } else {
        let bytes = |trace: &Trace| trace.frames().flatten().copied().collect::<Vec<u8>>();
        assert_eq!(bytes(cut), bytes(whole), "left cut, right whole");
        assert_eq!(cut.problem(), whole.problem());
    }
    assert_eq!(cut.replies, whole.replies);
}

/// What [`Machine::visit`] lends, in the form of a trace.
fn visit(framing: BoxFraming, pieces: &[&[u8]], ends: bool) -> Trace {
    let mut machine = Machine::new(framing);
    let mut trace = Trace::default();
    for piece in pieces.iter().copied().map(Some).chain(ends.then_some(None)) {
        match piece {
            Some(bytes) => machine.receive(bytes),
            None => machine.close_input(),
        }
        loop {
            let visited = machine.visit(|frame, _| {
                trace
                    .events
                    .push(Event::Frame(Bytes::copy_from_slice(frame)));
                ControlFlow::Continue(())
            });
            match visited {
                Ok(Visited::Need(_)) => break,
                Ok(Visited::End) => {
                    trace.events.push(Event::End);
                    break;
                }
                Ok(_) => unreachable!("nobody broke"),
                Err(error) => {
                    trace.events.push(Event::Problem(Problem::from(&error)));
                    if !error.is_recoverable() {
                        trace.replies.extend(machine.outbox().take_bytes());
                        return trace;
                    }
                }
            }
        }
        trace.replies.extend(machine.outbox().take_bytes());
    }
    trace
}

/// Nothing grows but with what a frame may have.
fn bounded(framing: BoxFraming, pieces: &[&[u8]]) {
    let limit = framing.max_frame();
    // Escapes may double a frame; headers and marks come to it.
    let most = limit.saturating_mul(2).saturating_add(128);
    let mut machine = Machine::new(framing);
    let mut arrived = 0;
    for piece in pieces {
        machine.receive(piece);
        arrived += piece.len();
        loop {
            match machine.next_frame() {
                Ok(Received::Frame(frame)) => {
                    assert!(frame.len() <= limit, "{} over {limit}", frame.len())
                }
                Ok(Received::Need(count)) => {
                    assert!(count > 0);
                    assert!(
                        machine.unread() <= most,
                        "{} kept, limit {limit}",
                        machine.unread()
                    );
                    break;
                }
                Ok(_) => unreachable!("the peer has not closed its side"),
                Err(error) if error.is_recoverable() => {}
                Err(error) => {
                    assert!(
                        error.offset() <= arrived as u64,
                        "{error:?} of {arrived} bytes"
                    );
                    return;
                }
            }
        }
        machine.outbox().take_bytes();
    }
    let held = machine.read_buffer().capacity();
    assert!(
        held <= HELD + 2 * arrived,
        "{held} bytes held for {arrived}"
    );
}

/// For each framing some frames that it has written, and then garbage; and what is nasty.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (row, name) in names() {
        let head = choice(row);
        let mut sender = Machine::new(Row::choose(&mut Input::new(&head)).unlimited());
        for frame in [&b"hello"[..], b"", b"\0\xc0\xdba", b"\x07\0\x03abc;"] {
            let _ = sender.send(Bytes::copy_from_slice(frame));
        }
        let mut written = sender.outbox().take_bytes().to_vec();
        if sender.framing().is_interactive() {
            written.extend_from_slice(b"hello0\n12\r\n");
        }
        let seed = [&head[..], &[0x20, 3, 1], &written, b"\xff\xfe\n||;\0"].concat();
        seeds.push((format!("{row:02}-{name}"), seed));
    }
    let nasty: [(&str, u8, &[u8]); 12] = [
        ("ack-and-length", 0, b"\0\x02ok5\nhello"),
        (
            "ack-endless-digits",
            0,
            b"\0\x00000000000000000000000000000000000000",
        ),
        ("ack-half-an-end", 0, b"\0\x005\r"),
        ("json-deep", 27, b"\0\0\0\0\0\x0c[[[[[[[[[[[["),
        (
            "json-size-twice",
            27,
            b"\0\0\0\0\0\x15{\"size\":1,\"size\":2}hi",
        ),
        ("length-negative", 15, b"\0\0\x80abc"),
        (
            "length-most",
            18,
            b"\0\0\x07\xff\xff\xff\xff\xff\xff\xff\xffabc",
        ),
        ("mark-in-halves", 8, b"\0\x10\x01a\r\n\r\r\n;b\r"),
        ("netstring-leading-zero", 21, b"\0\x0000:,007:hello,"),
        ("slip-escape-at-the-mark", 25, b"\0\0\xc0a\xdb\xc0b\xc0"),
        (
            "varint-too-wide",
            40,
            b"\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        ),
        ("varint-not-shortest", 41, b"\0\0\x80\0\x81\0a"),
    ];
    let nasty = nasty.map(|(name, row, rest)| (name.to_owned(), [&[row], rest].concat()));
    seeds.extend(nasty);
    seeds
}
