//! However the bytes arrive: the same events, and no byte is searched again and again.

use std::time::{Duration, Instant};

use framing::{Delimiter, FrameError, Machine, Received};

/// How long it takes to feed `count` bytes without a mark, one at a time; the least of three.
fn one_by_one(count: usize) -> Duration {
    let once = |_| {
        let mut machine = Machine::new(Delimiter::new("||").unwrap());
        let begun = Instant::now();
        for _ in 0..count {
            machine.receive(b"a");
            assert_eq!(machine.next_frame(), Ok(Received::Need(2)));
        }
        begun.elapsed()
    };
    (0..3).map(once).min().unwrap()
}

#[test]
fn d09_a_frame_without_its_mark_is_scanned_once() {
    // Eight times the bytes: linear is 8, quadratic 64, and that at every try; a machine that is
    // busy with other things is not.
    let tries = (0..5).map(|_| (one_by_one(32 * 1024), one_by_one(256 * 1024)));
    let mut seen = Vec::new();
    for (short, long) in tries {
        if long < short * 32 {
            return;
        }
        seen.push((short, long));
    }
    panic!("for 32 KiB and 256 KiB: {seen:?}");
}

#[test]
fn s01_every_split_gives_the_same_events() {
    let wire = b"one||two|||x||";
    let events = |cut: usize| -> Result<Vec<String>, FrameError> {
        let mut machine = Machine::new(Delimiter::new("||")?);
        let mut events = Vec::new();
        for piece in [&wire[..cut], &wire[cut..]] {
            machine.receive(piece);
            while let Received::Frame(frame) = machine.next_frame()? {
                events.push(String::from_utf8_lossy(&frame).into_owned());
            }
        }
        Ok(events)
    };
    for cut in 0..=wire.len() {
        assert_eq!(events(cut).unwrap(), ["one", "two", "|x"], "cut at {cut}");
    }
}
