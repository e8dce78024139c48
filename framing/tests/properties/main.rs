//! The promises of framings with options, frames, bytes and cuts left to chance.
//!
//! The seed is fixed, so that a run that fails fails again; `PROPTEST_RNG_SEED` is another one.

mod options;

use std::time::Instant;

use bytes::Bytes;
use framing::{
    BoxFraming, Carries, ErrorKind, Machine, Received, Registry,
    testkit::{Event, Random, Trace, talk, trace},
};
use options::{Named, framings, tables};
use proptest::{collection::vec, prelude::*, sample::select, test_runner::RngSeed};

/// The same cases in every run, and nothing written about those that fail.
fn config(cases: u32) -> ProptestConfig {
    let rng_seed = match ProptestConfig::default().rng_seed {
        RngSeed::Random => RngSeed::Fixed(0x0066_7261_6d65),
        chosen => chosen,
    };
    ProptestConfig {
        cases,
        rng_seed,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Bytes that framings themselves write.
const OWN: &[u8] = b"\0\0\0\x01\x02\x05\x07\n\r|;ab\\\x1bx\xc0\xdb\xdc\xdd{}\":,0159ok\xfe\xff";

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => vec(select(OWN), 0..most),
        1 => vec(any::<u8>(), 0..most),
        1 => "[ -~]{0,40}".prop_map(String::into_bytes),
    ]
}

fn frames() -> impl Strategy<Value = Vec<Bytes>> {
    let frame = prop_oneof![1 => Just(Vec::new()), 6 => bytes(40), 1 => vec(Just(b'a'), 41..300)];
    vec(frame.prop_map(Bytes::from), 0..7)
}

/// The frames that are taken, each by a framing of its own. Those refused leave no trace.
fn taken(named: &Named, frames: &[Bytes]) -> Result<Vec<Bytes>, TestCaseError> {
    let mut taken = Vec::new();
    for frame in frames {
        let mut machine = Machine::new(named.factory.make());
        let Err(error) = machine.send(frame.clone()) else {
            taken.push(frame.clone());
            continue;
        };
        prop_assert_eq!(error.kind(), ErrorKind::Unencodable, "{}", error);
        prop_assert_eq!(error.frame(), Some(frame));
        prop_assert_eq!(machine.unsent(), 0);
        let framing = machine.framing();
        let promised = match framing.carries() {
            Carries::Anything => true,
            Carries::Text => {
                std::str::from_utf8(frame).is_ok_and(|text| !text.contains(char::is_control))
            }
            Carries::Neither(_) => false,
        };
        let fits = (1..=framing.max_frame()).contains(&frame.len());
        prop_assert!(
            !(promised && fits),
            "{} is refused: {error}",
            frame.escape_ascii()
        );
    }
    Ok(taken)
}

/// What some frames are on the wire. Not for those that answer.
fn wire(framing: BoxFraming, frames: &[Bytes]) -> Bytes {
    let mut machine = Machine::new(framing);
    for frame in frames {
        machine.send(frame.clone()).expect("it is taken by itself");
    }
    machine.outbox().take_bytes()
}

/// Traces of the same stream are the same, however it is cut.
fn cut_anyhow(
    make: &dyn Fn() -> BoxFraming,
    stream: &[u8],
    random: &mut Random,
) -> Result<Trace, TestCaseError> {
    let whole = trace(make(), &[stream], true);
    for longest in [1, 3, 20] {
        let pieces = random.cut(stream, longest);
        let cut = trace(make(), &pieces, true);
        if make().keeps_boundaries() {
            prop_assert_eq!(&cut, &whole, "left cut, right whole");
        } else {
            let bytes = |trace: &Trace| trace.frames().flatten().copied().collect::<Vec<u8>>();
            prop_assert_eq!(bytes(&cut), bytes(&whole));
        }
    }
    Ok(whole)
}

/// Sends one frame after the other to an end that answers; time passes when nobody has anything to
/// say.
fn in_turns(named: &Named, frames: &[Bytes]) -> Vec<Bytes> {
    let mut ends = [
        Machine::new(named.factory.make()),
        Machine::new(named.factory.make()),
    ];
    let (mut now, mut received) = (Instant::now(), Vec::new());
    for frame in frames {
        ends[0].send(frame.clone()).expect("it is taken by itself");
        let before = received.len();
        while received.len() == before || !ends[0].framing().is_ready() {
            let written = [ends[0].outbox().take_bytes(), ends[1].outbox().take_bytes()];
            if written.iter().all(Bytes::is_empty) {
                let due = ends[1].deadline().expect("nobody waits for ever");
                now = now.max(due);
                ends.iter_mut().for_each(|end| end.set_now(now));
            }
            ends[1].receive(&written[0]);
            ends[0].receive(&written[1]);
            for (who, end) in ends.iter_mut().enumerate() {
                while let Received::Frame(frame) = end.next_frame().expect("a good stream") {
                    assert_eq!(who, 1, "a frame came back");
                    received.push(frame);
                }
            }
        }
    }
    received
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn what_is_taken_arrives(named in framings(), frames in frames(), seed: u64) {
        let random = &mut Random::new(seed);
        let frames = taken(&named, &frames)?;
        let make = || named.factory.make();
        if make().is_interactive() {
            prop_assert_eq!(&in_turns(&named, &frames), &frames);
            if !named.text.contains("terminator = \"\"") {
                // It checks for itself.
                talk(make, [&frames, &frames], random, 5);
            }
            return Ok(());
        }
        let stream = wire(make(), &frames);
        let whole = cut_anyhow(&make, &stream, random)?;
        if make().keeps_boundaries() {
            let expected: Vec<_> = frames.into_iter().map(Event::Frame).chain([Event::End]).collect();
            prop_assert_eq!(whole.events, expected);
        } else {
            prop_assert_eq!(whole.frames().flatten().copied().collect::<Vec<u8>>(), stream);
        }
    }

    #[test]
    fn any_bytes_are_the_same_at_any_cut(
        named in framings(),
        (noise, frames) in (bytes(80), frames()),
        limit in prop::option::of(1..70_usize),
        damage in any::<(bool, prop::sample::Index, u8)>(),
        seed: u64,
    ) {
        let make = || {
            let mut framing = named.factory.make();
            if let Some(limit) = limit {
                framing.set_max_frame(limit);
            }
            framing
        };
        let mut stream = noise;
        if !make().is_interactive() {
            // A good stream with a byte changed, and garbage behind it.
            let mut good = wire(named.factory.make(), &taken(&named, &frames)?).to_vec();
            if damage.0 && !good.is_empty() {
                let at = damage.1.index(good.len());
                good[at] ^= damage.2;
            }
            stream.splice(0..0, good);
        }
        let whole = cut_anyhow(&make, &stream, &mut Random::new(seed))?;
        let limit = make().max_frame();
        prop_assert!(whole.frames().all(|frame| frame.len() <= limit));
        // An error comes at the end, unless it is skipped; nothing comes behind the end.
        if let Some((_, before)) = whole.events.split_last() {
            for event in before {
                let goes_on = match event {
                    Event::Frame(_) => true,
                    Event::Problem(problem) => problem.recoverable,
                    _ => false,
                };
                prop_assert!(goes_on, "{:?}", whole.events);
            }
        }
    }

    #[test]
    fn nothing_comes_out_of_a_frame_that_is_too_long(
        named in framings(),
        frames in frames(),
        limit in 3..40_usize,
        seed: u64,
    ) {
        let make = || named.factory.make();
        if make().is_interactive() || !make().keeps_boundaries() {
            return Ok(());
        }
        let mut frames = taken(&named, &frames)?;
        // One that is full of good frames.
        let inside = wire(make(), &frames).repeat(2);
        frames.extend(taken(&named, &[inside.into(), "ab".into()])?);
        let limited = || {
            let mut framing = make();
            framing.set_max_frame(limit);
            framing
        };
        let stream = wire(make(), &frames);
        let whole = cut_anyhow(&limited, &stream, &mut Random::new(seed))?;
        let limit = limited().max_frame();
        let mut events = whole.events.iter();
        for frame in &frames {
            match events.next() {
                Some(Event::Frame(got)) => prop_assert_eq!(got, frame),
                Some(Event::Problem(problem)) => {
                    prop_assert_eq!(problem.kind, ErrorKind::TooLong, "{:?}", problem);
                    prop_assert!(frame.len() > limit);
                    let skips = named.text.contains("\"skip\"");
                    prop_assert_eq!(problem.recoverable, skips);
                    if !skips {
                        prop_assert_eq!(events.next(), None);
                        return Ok(());
                    }
                }
                other => prop_assert!(false, "{other:?} in place of {}", frame.escape_ascii()),
            }
        }
        prop_assert_eq!(events.as_slice(), [Event::End]);
    }
}

proptest! {
    #![proptest_config(config(4000))]

    #[test]
    fn any_options_are_good_or_refused_in_words(text in tables()) {
        match Registry::default().parse(&text) {
            Ok(factory) => {
                let mut framing = factory.make();
                prop_assert!(framing.max_frame() > 0);
                framing.set_max_frame(64);
                let mut machine = Machine::new(framing);
                let _ = machine.send("hello\n".into());
                machine.receive(b"\0\0\0\x05hello\n");
                let _ = machine.next_frame();
            }
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::Config);
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}

#[test]
fn the_strategies_reach_what_they_are_for() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::new(config(1));
    let mut draw = |strategy: &BoxedStrategy<Named>| {
        strategy.new_tree(&mut runner).expect("a framing").current()
    };
    let strategy = framings().boxed();
    let drawn: Vec<Named> = (0..600).map(|_| draw(&strategy)).collect();
    for name in Registry::default().names() {
        let of_name: Vec<_> = drawn
            .iter()
            .filter(|named| named.factory.name() == name)
            .collect();
        assert!(of_name.len() > 10, "{name}");
        let most = [1, 2, 3, 4, 5, 6, 7, 8].map(|length| Bytes::from(vec![b'a'; length]));
        let taken = of_name
            .iter()
            .filter(|named| taken(named, &most).is_ok_and(|taken| !taken.is_empty()));
        assert!(
            taken.count() * 3 > of_name.len(),
            "{name} takes hardly any frame"
        );
    }
}
