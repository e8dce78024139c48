//! The laws about what is carried, refused, and found.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use super::{
    Event, Laws, Random, Rest, Trace, every_split,
    talk::{Wire, show},
    trace,
};
use crate::{Carries, ErrorKind, Framing, Machine};

/// A stream up to this length is cut at every place; a longer one at places left to chance.
const EVERY_PLACE: usize = 1024;

impl<M: Fn() -> F, F: Framing> Laws<M> {
    /// Law 1 for a framing without boundaries: the bytes at least are the same.
    pub(super) fn bytes_survive(&self) {
        let mut sender = Machine::new((self.make)());
        for frame in self.frames.iter().filter(|frame| !frame.is_empty()) {
            sender
                .send(frame.clone())
                .expect("law 1: a sample is refused");
        }
        let stream = sender.outbox().take_bytes();
        for pieces in every_split(&stream) {
            let trace = trace((self.make)(), &pieces, true);
            let bytes: Vec<u8> = trace.frames().flatten().copied().collect();
            assert_eq!(bytes, stream, "law 1, the bytes: {}", cuts(&pieces));
            assert_eq!(
                trace.events.last(),
                Some(&Event::End),
                "law 5: {}",
                cuts(&pieces)
            );
        }
    }

    /// Law 1.
    pub(super) fn frames_survive_however_they_are_cut(&self) {
        // The shortest failing list is found first.
        let mut by_size = self.frames.clone();
        by_size.sort_by_key(Bytes::len);
        let mut lists: Vec<Vec<Bytes>> = by_size.iter().map(|frame| vec![frame.clone()]).collect();
        lists.extend(by_size.windows(2).map(<[_]>::to_vec));
        lists.push(by_size);
        lists.push(self.frames.clone());
        for frames in lists {
            let wire = Wire::of(&self.make, &frames);
            let mut expected: Vec<_> = frames.into_iter().map(Event::Frame).collect();
            expected.push(Event::End);
            let trace = self.trace_at_every_cut("1, round trip", &wire.bytes);
            assert_eq!(
                trace.events,
                expected,
                "law 1, round trip: {}",
                show(&wire.bytes)
            );
        }
    }

    /// Law 1 for interactive framings: nobody overtakes, nobody waits for ever.
    pub(super) fn both_ends_may_talk(&self) {
        let rounds = if (self.make)().is_interactive() {
            200
        } else {
            20
        };
        for seed in 0..rounds {
            let mut random = Random::new(seed);
            let longest = [1, 2, 7, 1 << 20][random.below(4)];
            let middle = random.below(self.frames.len() + 1);
            let (front, back) = self.frames.split_at(middle);
            // It checks for itself.
            super::talk(&self.make, [front, back], &mut random, longest);
            super::talk(
                &self.make,
                [&self.frames, &self.frames],
                &mut random,
                longest,
            );
        }
    }

    /// Law 2: borrowed frames are written like owned ones.
    pub(super) fn slices_are_written_like_frames(&self) {
        for frame in self.frames.iter().chain(&self.refused) {
            let (mut owned, mut lent) = (Machine::new((self.make)()), Machine::new((self.make)()));
            let sent = owned.send(frame.clone()).map_err(|error| error.kind());
            let slice = lent
                .framing_mut()
                .encode_slice(frame, &mut Default::default());
            assert_eq!(
                sent,
                slice.map_err(|error| error.kind()),
                "law 2: {}",
                show(frame)
            );

            let mut framing = (self.make)();
            let mut out = crate::Outbox::new();
            let _ = framing.encode_slice(frame, &mut out);
            let written = (out.take_bytes(), owned.outbox().take_bytes());
            assert_eq!(written.0, written.1, "law 2, encode_slice: {}", show(frame));
        }
    }

    /// Law 2.
    pub(super) fn refusals_write_nothing(&self) {
        for frame in &self.refused {
            let mut machine = Machine::new((self.make)());
            let error = machine.send(frame.clone()).expect_err(&format!(
                "law 2, all or nothing: {} is not refused",
                show(frame)
            ));
            assert_refused(&error, frame);
            assert_eq!(
                machine.unsent(),
                0,
                "law 2: something of {} is written",
                show(frame)
            );
            if let Some(good) = self.frames.first() {
                let mut fresh = Machine::new((self.make)());
                fresh
                    .send(good.clone())
                    .expect("law 2: a sample is refused");
                machine
                    .send(good.clone())
                    .expect("law 2: a refusal changes the framing");
                let written = (machine.outbox().take_bytes(), fresh.outbox().take_bytes());
                assert_eq!(
                    written.0, written.1,
                    "law 2: a refusal changes what comes after it"
                );
            }
        }
    }

    /// Law 2, the other way round.
    pub(super) fn what_is_written_is_read_back(&self) {
        let alphabet = self.own_bytes(6);
        let Some(good) = self.frames.iter().find(|frame| !frame.is_empty()) else {
            return;
        };
        let mut payload = [0; 4];
        for length in 0..=4 {
            for mut number in 0..alphabet.len().pow(length as u32) {
                for byte in &mut payload[..length] {
                    *byte = alphabet[number % alphabet.len()];
                    number /= alphabet.len();
                }
                self.is_read_back(Bytes::copy_from_slice(&payload[..length]), good);
            }
        }
        let mut random = Random::new(2);
        for _ in 0..200 {
            let any: Vec<u8> = (0..=255).collect();
            let length = random.below(40);
            self.is_read_back(random.bytes(length, &any).into(), good);
            let text = random.bytes(length, b" !\"#$%&'()*+,-./059:;<=>?@AZ[\\]^_`az{|}~");
            self.is_read_back(text.into(), good);
        }
    }

    /// Sends a frame and a good one behind it: refused, or read back as they were.
    fn is_read_back(&self, frame: Bytes, good: &Bytes) {
        let mut sender = Machine::new((self.make)());
        let fits = frame.len() <= sender.framing().max_frame();
        if let Err(error) = sender.send(frame.clone()) {
            assert_refused(&error, &frame);
            assert_eq!(
                sender.unsent(),
                0,
                "law 2: something of {} is written",
                show(&frame)
            );
            let text = std::str::from_utf8(&frame).ok();
            let promised = match sender.framing().carries() {
                Carries::Anything => !frame.is_empty(),
                Carries::Text => text.is_some_and(|text| !text.contains(char::is_control)),
                Carries::Neither(_) => false,
            };
            let promised = promised && fits && !frame.is_empty();
            assert!(
                !promised,
                "law 2: {} is refused, though `carries` promises it",
                show(&frame)
            );
            return;
        }
        let frames = [frame, good.clone()];
        let result = catch_unwind(AssertUnwindSafe(|| Wire::of(&self.make, &frames)));
        assert!(
            result.is_ok(),
            "law 2: {} is written, and not read back",
            show(&frames[0])
        );
    }

    /// Law 5.
    pub(super) fn cut_off_is_not_clean(&self) {
        if self.rest == Rest::Anything {
            return;
        }
        let wire = Wire::of(&self.make, &self.frames);
        for end in 0..=wire.bytes.len().min(4096) {
            let whole = wire.borders[1..]
                .iter()
                .filter(|&&border| border <= end)
                .count();
            let stream = &wire.bytes[..end];
            let trace = trace((self.make)(), &[stream], true);
            let (frames, last) = trace.events.split_at(whole.min(trace.events.len()));
            let expected: Vec<_> = self.frames[..whole]
                .iter()
                .cloned()
                .map(Event::Frame)
                .collect();
            assert_eq!(frames, expected, "law 5, the end: {}", show(stream));
            // Behind the last whole frame, or the mark that opens the next.
            let between = [wire.borders[whole], wire.borders[whole] + self.opening].contains(&end);
            match last {
                [Event::End] if between => {}
                [Event::Frame(_), Event::End] if self.rest == Rest::Emitted => {}
                // The rest is taken for a frame, and is no good one.
                [Event::Problem(problem)]
                    if self.rest == Rest::Emitted && problem.kind == ErrorKind::Malformed => {}
                [Event::Problem(problem)] if problem.kind == ErrorKind::Truncated && !between => {
                    assert!(
                        problem.part.is_some(),
                        "law 5: no part is named: {}",
                        show(stream)
                    );
                    let begun = end - wire.borders[whole];
                    assert!(
                        problem.have <= begun
                            && problem.need.is_none_or(|need| need > problem.have),
                        "law 5: {} of {:?} bytes, {begun} bytes into a frame: {}",
                        problem.have,
                        problem.need,
                        show(stream)
                    );
                    assert_eq!(
                        problem.offset as usize,
                        end,
                        "law 5, where: {}",
                        show(stream)
                    );
                }
                other => panic!("law 5, the end: {other:?} after {}", show(stream)),
            }
        }
    }

    /// Law 6, and with it law 4 for every error that turns up.
    pub(super) fn any_bytes_are_safe(&self) {
        let wire = Wire::of(&self.make, &self.frames).bytes;
        let own = self.own_bytes(12);
        let any: Vec<u8> = (0..=255).collect();
        let mut random = Random::new(6);
        for round in 0..400 {
            let length = random.below(24);
            let stream = match round % 3 {
                0 => random.bytes(length, &own),
                1 => random.bytes(length, &any),
                _ if wire.is_empty() => Vec::new(),
                _ => {
                    // A good stream with a byte changed, lost or added.
                    let mut damaged = wire[..wire.len().min(64)].to_vec();
                    let at = random.below(damaged.len());
                    match random.below(3) {
                        0 => damaged[at] = random.next_u64() as u8,
                        1 => drop(damaged.remove(at)),
                        _ => damaged.insert(at, own[random.below(own.len())]),
                    }
                    damaged
                }
            };
            let check = |stream: &[u8]| {
                catch_unwind(AssertUnwindSafe(|| {
                    self.trace_at_every_cut("6, any bytes", stream)
                }))
            };
            if check(&stream).is_err() {
                let shortest = shrink(stream, |stream| check(stream).is_err());
                // Once more, for its message.
                self.trace_at_every_cut("6, any bytes", &shortest);
                panic!("law 6, any bytes: {}", show(&shortest));
            }
        }
    }

    /// What comes out of a stream, after making sure that it is the same at every cut.
    pub(super) fn trace_at_every_cut(&self, law: &str, stream: &[u8]) -> Trace {
        let run = |pieces: &[&[u8]]| {
            catch_unwind(AssertUnwindSafe(|| trace((self.make)(), pieces, true))).unwrap_or_else(
                |panic| {
                    let text = panic.downcast_ref::<String>().map_or("", String::as_str);
                    panic!("law {law}: panic at {}: {text}", cuts(pieces))
                },
            )
        };
        let whole = run(&[stream]);
        let same = |pieces: &[&[u8]]| {
            let trace = run(pieces);
            assert_eq!(
                trace,
                whole,
                "law {law}: left {}, right whole",
                cuts(pieces)
            );
        };
        if stream.len() <= EVERY_PLACE {
            every_split(stream).for_each(|pieces| same(&pieces));
        }
        let mut random = Random::new(stream.len() as u64);
        for _ in 0..8 {
            let longest = [2, 9, 1 + stream.len()][random.below(3)];
            same(&random.cut(stream, longest));
        }
        whole
    }

    /// Bytes that the framing itself writes for its shortest frames, and some others.
    fn own_bytes(&self, most: usize) -> Vec<u8> {
        let mut by_size = self.frames.clone();
        by_size.sort_by_key(Bytes::len);
        let mut own: Vec<u8> = Vec::new();
        for byte in Wire::of(&self.make, &by_size)
            .bytes
            .into_iter()
            .chain(*b"a\0\xff\\")
        {
            if !own.contains(&byte) && own.len() < most {
                own.push(byte);
            }
        }
        own
    }
}

fn assert_refused(error: &crate::FrameError, frame: &Bytes) {
    assert_eq!(
        error.kind(),
        ErrorKind::Unencodable,
        "law 2: {} gives {error}",
        show(frame)
    );
    assert_eq!(
        error.frame(),
        Some(frame),
        "law 2: the refused frame is not given back"
    );
}

/// How a stream was cut.
fn cuts(pieces: &[&[u8]]) -> String {
    let pieces: Vec<_> = pieces.iter().map(|piece| show(piece)).collect();
    format!("[{}]", pieces.join(", "))
}

/// Takes bytes out while it still fails.
fn shrink(mut stream: Vec<u8>, fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut at = 0;
    while at < stream.len() {
        let mut shorter = stream.clone();
        shorter.remove(at);
        if fails(&shorter) {
            stream = shorter;
            at = 0;
        } else {
            at += 1;
        }
    }
    stream
}
