//! Whatever one side writes, the other reads, for any format, any options, and any cuts.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;
use crate::{Constant, Counts, OnError, Outbox};

/// A format with at least one integer.
fn formats() -> impl Strategy<Value = String> {
    let code = prop::sample::select(vec![
        "x", "c", "b", "B", "?", "h", "H", "i", "I", "l", "L", "q", "Q", "e", "f", "d", "s", "p",
        "n", "N", "P",
    ]);
    let count = prop_oneof![3 => Just(String::new()), 1 => (1..5_u8).prop_map(|n| n.to_string())];
    let codes = vec((count, code), 0..6);
    let length = prop::sample::select(vec!["b", "B", "h", "H", "i", "I", "l", "L", "q", "Q"]);
    let order = prop::sample::select(vec!["", "@", "=", "<", ">", "!"]);
    (order, codes.clone(), length, codes).prop_map(|(order, before, length, after)| {
        let part = |codes: Vec<(String, &str)>| -> String {
            let native = order.is_empty() || order == "@";
            let codes = codes
                .iter()
                .filter(|(_, code)| native || !"nNP".contains(code));
            codes
                .map(|(count, code)| format!("{count}{code}"))
                .collect()
        };
        format!("{order}{}{length}{}", part(before), part(after))
    })
}

#[derive(Clone, Debug)]
struct Setting {
    options: StructHeaderOptions,
    limits: Limits,
    /// Bytes from which the headers of the peer are made.
    noise: Vec<u8>,
}

fn settings() -> impl Strategy<Value = Setting> {
    let which = (
        any::<Index>(),
        any::<Option<Index>>(),
        any::<bool>(),
        any::<bool>(),
    );
    let adjust = prop_oneof![Just(0), -20..20_i64];
    let noise = vec(any::<u8>(), 256);
    (
        formats(),
        which,
        adjust,
        vec(any::<bool>(), 64),
        any::<bool>(),
        noise,
    )
        .prop_map(
            |(format, (length, strip, whole, strict), adjust, fixed, skip, noise)| {
                let layout = crate::struct_header::format::Format::parse(&format).unwrap();
                let integers: Vec<usize> = (0..layout.items.len())
                    .filter(|&i| layout.items[i].is_integer())
                    .collect();
                let index = integers[length.index(integers.len())];
                let mut options = StructHeaderOptions::new(format)
                    .length(index)
                    .adjust(adjust)
                    .strict_pad(strict)
                    .counts(if whole {
                        Counts::Frame
                    } else {
                        Counts::Payload
                    });
                if let Some(strip) = strip {
                    options = options.strip(strip.index(layout.size + 1));
                }
                // Constants are values that the items can hold: those found in the noise.
                let others = (0..layout.items.len()).filter(|&i| i != index);
                options = options.constants(others.zip(fixed.iter().cycle()).map(|(i, fixed)| {
                    if *fixed {
                        Constant::Is(layout.items[i].unpack(&noise))
                    } else {
                        Constant::Any
                    }
                }));
                let policy = if skip { OnError::Skip } else { OnError::Close };
                Setting {
                    options,
                    limits: Limits::new().on_error(policy),
                    noise,
                }
            },
        )
}

/// Cuts `stream` at some of its places.
fn cut<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| &stream[pair[0]..pair[1]])
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_is_decoded_however_it_is_cut(
        setting in settings(),
        bodies in vec(vec(any::<u8>(), 0..40), 0..6),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        // An adjustment may leave no length to say.
        let Ok(mut framing) = setting.options.build(setting.limits) else { return Ok(()) };
        let mut sender = Machine::new(framing.clone());
        let (mut expected, mut wire) = (Vec::new(), Vec::new());
        let kept = framing.kept();
        for body in bodies {
            // What is left of the header comes with the frame: first what it must hold, then the
            // length that belongs to it.
            let mut header = framing.headers().0.sent.clone();
            if framing.layout.length.write(body.len(), &mut header).is_err() {
                continue;
            }
            let payload = [&header[framing.layout.size - kept..], &body].concat();
            match sender.send(Bytes::from(payload.clone())) {
                Ok(()) => expected.push(frame(payload)),
                Err(error) => prop_assert!(
                    payload.len() > framing.max_frame(),
                    "{error} for {payload:?}"
                ),
            }
            wire.extend_from_slice(&sender.outbox().take_bytes());
        }
        expected.push(Event::End);
        prop_assert_eq!(run(&framing, &cut(&wire, &cuts), true), expected);
    }

    #[test]
    fn any_frame_that_encode_takes_comes_back_the_same(
        setting in settings(),
        payload in vec(prop_oneof![Just(0_u8), 0..12_u8, any::<u8>()], 0..24),
    ) {
        let Ok(framing) = setting.options.build(setting.limits) else { return Ok(()) };
        let mut sender = Machine::new(framing.clone());
        if sender.send(Bytes::from(payload.clone())).is_ok() {
            let wire = sender.outbox().take_bytes();
            prop_assert_eq!(run(&framing, &[&wire], true), [frame(payload), Event::End]);
        } else {
            prop_assert_eq!(sender.unsent(), 0);
        }
    }

    #[test]
    fn any_frame_that_decode_gives_is_written_as_it_was_read(
        setting in settings(),
        body in vec(any::<u8>(), 0..40),
    ) {
        let Setting { options, limits, noise } = setting;
        let Ok(framing) = options.strict_pad(true).build(limits) else { return Ok(()) };
        // A header from a peer: noise, with what must be in it.
        let mut header = noise[..framing.layout.size].to_vec();
        for (position, byte) in header.iter_mut().enumerate() {
            if framing.layout.template.next_checked(position) == Some(position) {
                *byte = framing.layout.template.expected(position);
            }
        }
        // Strings by count and truth values have more spellings than one; Python writes one.
        for item in &framing.layout.others {
            let value = item.unpack(&header);
            item.pack(&value, &mut header).unwrap();
        }
        let said = framing.layout.length.write(body.len(), &mut header);
        let agrees = framing.layout.template.first_difference(0, &header).is_none();
        prop_assume!(said.is_ok() && agrees);
        let wire = [&header[..], &body].concat();
        let mut receiver = Machine::new(framing.clone());
        receiver.receive(&wire);
        let Ok(Received::Frame(payload)) = receiver.next_frame() else {
            return Err(TestCaseError::fail("no frame"));
        };
        let mut relay = Machine::new(framing);
        relay.framing_mut().set_header(&receiver.framing().header()).unwrap();
        relay.send(payload).unwrap();
        prop_assert_eq!(relay.outbox().take_bytes(), wire);
    }

    #[test]
    fn any_bytes_give_the_same_events_however_they_are_cut(
        setting in settings(),
        lengths in vec((0..30_u8, any::<bool>()), 0..5),
        max in 1..30_usize,
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let Setting { options, limits, noise } = setting;
        let Ok(mut framing) = options.build(limits) else { return Ok(()) };
        framing.set_max_frame(max);
        // Headers that are mostly right, in front of bodies that are mostly as long as they say.
        let mut stream = Vec::new();
        for (body, right) in lengths {
            let mut header = framing.headers().0.sent.clone();
            if !right {
                header[usize::from(body) % framing.layout.size] ^= 1;
            } else if framing.layout.length.write(body.into(), &mut header).is_err() {
                continue;
            }
            stream.extend_from_slice(&header);
            stream.extend_from_slice(&noise[..body.into()]);
        }
        let whole = run(&framing, &[&stream], true);
        assert_same(&whole, &run(&framing, &cut(&stream, &cuts), true), "cut");
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        assert_same(&whole, &run(&framing, &single, true), "byte by byte");
    }

    #[test]
    fn the_short_way_gives_what_the_long_way_gives(
        format in prop::sample::select(vec!["!I", "<I"]),
        frames in vec((0..12_u32, 0..12_usize), 0..6),
        max in 1..12_usize,
        (skip, empty) in any::<(bool, bool)>(),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        let policy = if skip { OnError::Skip } else { OnError::Close };
        let limits = Limits::new().max_frame(max).on_error(policy).allow_empty(empty).max_empty_run(2);
        let short = StructHeaderOptions::new(format).build(limits).unwrap();
        prop_assert!(short.plain.is_some());
        let mut long = short.clone();
        long.plain = None;
        let mut stream = Vec::new();
        for (said, sent) in frames {
            let header = if format == "!I" { said.to_be_bytes() } else { said.to_le_bytes() };
            stream.extend_from_slice(&header);
            // Mostly the truth.
            let sent = if sent == 0 { said as usize / 2 } else { said as usize };
            stream.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3][..sent]);

            let payload = vec![7; said as usize];
            let [mut one, mut other] = [Machine::new(short.clone()), Machine::new(long.clone())];
            prop_assert_eq!(one.send(payload.clone().into()), other.send(payload.clone().into()));
            prop_assert_eq!(one.outbox().take_bytes(), other.outbox().take_bytes());
            let mut out = [Outbox::new(), Outbox::new()];
            let [mut one, mut other] = [short.clone(), long.clone()];
            prop_assert_eq!(
                one.encode_slice(&payload, &mut out[0]),
                other.encode_slice(&payload, &mut out[1])
            );
            prop_assert_eq!(out[0].take_bytes(), out[1].take_bytes());
        }
        let pieces = cut(&stream, &cuts);
        assert_same(&run(&long, &pieces, true), &run(&short, &pieces, true), format);
    }
}
