//! What the framing promises, case by case and at every split of the bytes.

mod cases;
mod options;
mod round_trip;
mod wire;

use bytes::Bytes;

use crate::{
    ErrorKind, FrameError, Framing, Limits, Machine, Received, StructHeader, StructHeaderOptions,
};

/// What comes out of a stream: its frames, at most one final error, its end.
#[derive(Clone, Debug, PartialEq)]
enum Event {
    Frame(Bytes),
    Error(FrameError),
    End,
}

fn frame(bytes: impl AsRef<[u8]>) -> Event {
    Event::Frame(Bytes::copy_from_slice(bytes.as_ref()))
}

/// `format`, with frames of 10 bytes at most.
fn ten(format: &str) -> StructHeader {
    StructHeaderOptions::new(format)
        .build(Limits::new().max_frame(10))
        .unwrap()
}

/// A header that cannot be built, or the reason why.
fn refusal(options: StructHeaderOptions, limits: Limits) -> FrameError {
    let error = options
        .clone()
        .build(limits)
        .expect_err(&format!("{options:?}"));
    assert_eq!(error.kind(), ErrorKind::Config, "{options:?}");
    error
}

/// Feeds a stream piece by piece, and takes what there is after each.
fn run(framing: &StructHeader, pieces: &[&[u8]], ends: bool) -> Vec<Event> {
    let mut machine = Machine::new(framing.clone());
    let mut events = Vec::new();
    // How many of the bytes that are announced to change nothing are still to come.
    let mut idle = 0;
    for piece in pieces {
        machine.receive(piece);
        let before = events.len();
        let need = drain(&mut machine, &mut events);
        if piece.len() < idle {
            assert_eq!(
                need,
                Some(idle - piece.len()),
                "the answer changed too early"
            );
            assert_eq!(events.len(), before, "the answer changed too early");
        }
        idle = need.unwrap_or(0);
    }
    if ends {
        machine.close_input();
        drain(&mut machine, &mut events);
    }
    events
}

/// Takes all there is, and says how many more bytes are needed, if more can come.
fn drain(machine: &mut Machine<StructHeader>, events: &mut Vec<Event>) -> Option<usize> {
    loop {
        match machine.next_frame() {
            Ok(Received::Frame(frame)) => events.push(Event::Frame(frame)),
            Ok(Received::Need(count)) => {
                assert!(count > 0);
                assert_eq!(
                    machine.next_frame(),
                    Ok(Received::Need(count)),
                    "a repeated call"
                );
                return Some(count);
            }
            Ok(Received::End) => {
                events.push(Event::End);
                return None;
            }
            Err(error) if error.is_recoverable() => events.push(Event::Error(error)),
            Err(error) => {
                assert_eq!(
                    machine.next_frame(),
                    Err(error.clone()),
                    "it must come again"
                );
                if events.last() != Some(&Event::Error(error.clone())) {
                    events.push(Event::Error(error));
                }
                return None;
            }
        }
    }
}

/// Runs a stream whole, byte by byte, and at every split into two and (where it is short) three;
/// all must give the same.
fn at_every_split(framing: &StructHeader, stream: &[u8], ends: bool) -> Vec<Event> {
    let whole = run(framing, &[stream], ends);
    let single: Vec<&[u8]> = stream.chunks(1).collect();
    assert_same(&whole, &run(framing, &single, ends), "byte by byte");
    for first in 0..=stream.len() {
        let (a, rest) = stream.split_at(first);
        assert_same(
            &whole,
            &run(framing, &[a, rest], ends),
            &format!("split at {first}"),
        );
        if stream.len() <= 24 {
            for second in 0..=rest.len() {
                let (b, c) = rest.split_at(second);
                let what = format!("split at {first} and {}", first + second);
                assert_same(&whole, &run(framing, &[a, b, c], ends), &what);
            }
        }
    }
    whole
}

/// Compares all but the first bytes that an error shows: how many there are depends on how many
/// had come.
#[track_caller]
fn assert_same(expected: &[Event], actual: &[Event], what: &str) {
    let facts = |events: &[Event]| -> Vec<String> {
        let facts = events.iter().map(|event| match event {
            Event::Error(error) => format!("{error:?} {:?}", (error.declared(), error.limit())),
            other => format!("{other:?}"),
        });
        facts.collect()
    };
    assert_eq!(facts(expected), facts(actual), "{what}");
}

/// The one error that a stream ends in.
#[track_caller]
fn only_error(events: Vec<Event>) -> FrameError {
    match <[Event; 1]>::try_from(events) {
        Ok([Event::Error(error)]) => error,
        other => panic!("not one error: {other:?}"),
    }
}
