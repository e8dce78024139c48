//! Times decoders.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use framing::{Delimiter, FramingCodec, Lines, Machine, StructHeader};

use super::{Cut, SEGMENT, frames, hand, nanoseconds, ours, payload, peers, round, size_name};
use crate::{
    options::Measure,
    report::{Better, Report},
    rounds::{Case, Table, alternate},
};

/// A decoder with its buffer.
pub(super) trait Decode {
    /// Appends bytes that have arrived.
    fn feed(&mut self, bytes: &[u8]);
    /// Takes every whole frame, and says how many there were.
    fn drain(&mut self) -> usize;
}

/// Nanoseconds a frame.
fn time<D: Decode>(mut decoder: D, wire: &[u8], cut: Cut, limit: Duration) -> anyhow::Result<f64> {
    nanoseconds(limit, || match cut {
        Cut::Whole => {
            decoder.feed(black_box(wire));
            let start = Instant::now();
            let frames = decoder.drain();
            (start.elapsed(), frames)
        }
        Cut::Chunks => {
            let start = Instant::now();
            let mut frames = 0;
            for chunk in wire.chunks(SEGMENT) {
                decoder.feed(black_box(chunk));
                frames += decoder.drain();
            }
            (start.elapsed(), frames)
        }
    })
}

/// The time of copying the payloads alone.
fn memcpy(payload: &[u8], limit: Duration) -> anyhow::Result<f64> {
    let count = frames(payload.len());
    let source = payload.repeat(count);
    let mut target = vec![0; source.len()];
    nanoseconds(limit, || {
        let start = Instant::now();
        for (to, from) in target
            .chunks_exact_mut(payload.len())
            .zip(source.chunks_exact(payload.len()))
        {
            black_box(to).copy_from_slice(black_box(from));
        }
        (start.elapsed(), count)
    })
}

pub(super) fn run(measure: &Measure, report: &mut Report, size: usize, cut: Cut) {
    let payload = payload(size);
    let count = frames(size);
    let u32_wire = [&(size as u32).to_be_bytes()[..], &payload]
        .concat()
        .repeat(count);
    let u64_wire = [&(size as u64).to_be_bytes()[..], &payload]
        .concat()
        .repeat(count);
    let line_wire = [&payload[..], b"\n"].concat().repeat(count);
    let limit = round(measure);

    let mut table = |name: &str, cases: Vec<Case<'_>>| {
        let group = format!("decode {name}, {}, {}", size_name(size), cut.name());
        let mut first = true;
        let cases: Vec<_> = cases
            .into_iter()
            .filter(|case| std::mem::take(&mut first) || measure.wants(&group, &case.name))
            .collect();
        if cases.len() < 2 {
            return;
        }
        let table = Table {
            bench: "codecs",
            group,
            unit: "ns/frame",
            better: Better::Less,
        };
        report.extend(alternate(&table, measure.turns(), cases));
    };
    // One case: a decoder that is made anew for each round, and what it is fed.
    macro_rules! case {
        ($name:literal, $wire:ident, $decoder:expr) => {
            Case::new($name, || Ok(time($decoder, &$wire, cut, limit)?.into()))
        };
    }
    let memcpy = || {
        Case::new("memcpy of the payload", || {
            Ok(memcpy(&payload, limit)?.into())
        })
    };

    table(
        "u32 to owned frames",
        vec![
            case!(
                "by hand: split_to and freeze",
                u32_wire,
                hand::Split::default()
            ),
            case!(
                "by hand, up to 256 B copied",
                u32_wire,
                hand::Copied::default()
            ),
            memcpy(),
            case!(
                "ours, static",
                u32_wire,
                ours::Owned::new(StructHeader::default())
            ),
            case!(
                "ours, from a config string",
                u32_wire,
                ours::Owned::new(ours::boxed("struct-header")?)
            ),
            case!(
                "ours, Machine::next_frame",
                u32_wire,
                ours::OneByOne(Machine::new(StructHeader::default()))
            ),
            case!(
                "ours, a loop for any framing",
                u32_wire,
                ours::Split::new(StructHeader::default())
            ),
            case!(
                "ours, as a tokio-util codec",
                u32_wire,
                peers::TokioUtil::new(FramingCodec::new(StructHeader::default())?)
            ),
            case!(
                "tokio-util LengthDelimitedCodec",
                u32_wire,
                peers::TokioUtil::new(peers::length_delimited())
            ),
            case!(
                "asynchronous-codec LengthCodec (u64)",
                u64_wire,
                peers::Asynchronous::new(asynchronous_codec::LengthCodec)
            ),
        ],
    );
    table(
        "u32 to lent frames",
        vec![
            case!("by hand: slices", u32_wire, hand::Slices::default()),
            memcpy(),
            case!(
                "ours, Machine::visit",
                u32_wire,
                ours::Lent(Machine::new(StructHeader::default()))
            ),
            case!(
                "ours, Machine::visit, from a config string",
                u32_wire,
                ours::Lent(Machine::new(ours::boxed("struct-header")?))
            ),
            case!(
                "ours, Framing::decode alone",
                u32_wire,
                ours::Bare::new(StructHeader::default())
            ),
            case!(
                "tokio-util LengthDelimitedCodec (owned)",
                u32_wire,
                peers::TokioUtil::new(peers::length_delimited())
            ),
        ],
    );
    table(
        "delimited to owned frames",
        vec![
            case!(
                "by hand: memchr and split_to",
                line_wire,
                hand::Memchr::default()
            ),
            case!(
                "ours, static",
                line_wire,
                ours::Owned::new(Delimiter::default())
            ),
            case!(
                "ours, from a config string",
                line_wire,
                ours::Owned::new(ours::boxed("delimiter")?)
            ),
            case!(
                "ours, Machine::next_frame",
                line_wire,
                ours::OneByOne(Machine::new(Delimiter::default()))
            ),
            case!(
                "ours, Machine::visit",
                line_wire,
                ours::Lent(Machine::new(Delimiter::default()))
            ),
            case!(
                "tokio-util AnyDelimiterCodec",
                line_wire,
                peers::TokioUtil::new(peers::any_delimiter())
            ),
        ],
    );
    table(
        "lines to owned frames",
        vec![
            case!(
                "by hand: memchr, UTF-8 and split_to",
                line_wire,
                hand::Text::default()
            ),
            case!("ours, static", line_wire, ours::Owned::new(Lines::new()?)),
            case!(
                "ours, from a config string",
                line_wire,
                ours::Owned::new(ours::boxed("lines")?)
            ),
            case!(
                "tokio-util LinesCodec",
                line_wire,
                peers::TokioUtil::new(tokio_util::codec::LinesCodec::new())
            ),
            case!(
                "asynchronous-codec LinesCodec",
                line_wire,
                peers::Asynchronous::new(asynchronous_codec::LinesCodec)
            ),
        ],
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All take the same frames out of the same bytes, or they could not be compared.
    #[test]
    fn every_decoder_finds_every_frame() {
        fn check(mut decoder: impl Decode, wire: &[u8]) {
            for cut in [wire.len(), SEGMENT, 7] {
                let mut found = 0;
                for chunk in wire.chunks(cut) {
                    decoder.feed(chunk);
                    found += decoder.drain();
                }
                assert_eq!(found, 100);
            }
        }
        let payload = payload(300);
        let u32_wire = [&300_u32.to_be_bytes()[..], &payload].concat().repeat(100);
        let u64_wire = [&300_u64.to_be_bytes()[..], &payload].concat().repeat(100);
        let lines = [&payload[..], b"\n"].concat().repeat(100);
        check(hand::Split::default(), &u32_wire);
        check(hand::Copied::default(), &u32_wire);
        check(hand::Slices::default(), &u32_wire);
        check(hand::Memchr::default(), &lines);
        check(hand::Text::default(), &lines);
        check(ours::Owned::new(StructHeader::default()), &u32_wire);
        check(
            ours::OneByOne(Machine::new(StructHeader::default())),
            &u32_wire,
        );
        check(ours::Split::new(StructHeader::default()), &u32_wire);
        check(ours::Split::new(Delimiter::default()), &lines);
        check(ours::Lent(Machine::new(Delimiter::default())), &lines);
        check(ours::Bare::new(StructHeader::default()), &u32_wire);
        check(peers::TokioUtil::new(peers::length_delimited()), &u32_wire);
        check(peers::TokioUtil::new(peers::any_delimiter()), &lines);
        check(
            peers::Asynchronous::new(asynchronous_codec::LengthCodec),
            &u64_wire,
        );
        check(
            peers::Asynchronous::new(asynchronous_codec::LinesCodec),
            &lines,
        );
    }
}
