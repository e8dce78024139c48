//! Times encoders.

use std::{
    collections::VecDeque,
    hint::black_box,
    time::{Duration, Instant},
};

use asynchronous_codec::LengthCodec;
use bytes::{Buf, Bytes, BytesMut};
use framing::{Delimiter, Framing, Outbox, StructHeader};
use tokio_util::codec::{Encoder, LinesCodec};

use super::{frames, nanoseconds, ours, payload, peers, round, size_name};
use crate::{
    options::Measure,
    report::{Better, Report},
    rounds::{Case, Sample, Table, alternate},
};

/// From here on a hand-written loop queues a payload and does not copy it.
const COPY_LIMIT: usize = 4096;

/// Nanoseconds a frame of `encode`; `empty` lets go of what a batch has made.
fn time<T>(
    state: &mut T,
    count: usize,
    limit: Duration,
    mut encode: impl FnMut(&mut T) -> anyhow::Result<()>,
    mut empty: impl FnMut(&mut T),
) -> anyhow::Result<Sample> {
    let mut failed = None;
    let figure = nanoseconds(limit, || {
        let start = Instant::now();
        for _ in 0..count {
            if let Err(error) = encode(state) {
                failed = Some(error);
                return (start.elapsed(), 0);
            }
        }
        empty(black_box(state));
        (start.elapsed(), count)
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(figure?.into()),
    }
}

/// A framing with what it has written.
struct Ours<F>(F, Outbox);

impl<F: Framing> Ours<F> {
    fn new(framing: F) -> Self {
        Self(framing, Outbox::new())
    }

    fn empty(&mut self) {
        self.1.advance(self.1.remaining());
    }
}

fn slices<F: Framing>(framing: F, payload: &[u8], limit: Duration) -> anyhow::Result<Sample> {
    time(
        &mut Ours::new(framing),
        frames(payload.len()),
        limit,
        |ours| Ok(ours.0.encode_slice(black_box(payload), &mut ours.1)?),
        Ours::empty,
    )
}

fn owned<F: Framing>(framing: F, payload: &Bytes, limit: Duration) -> anyhow::Result<Sample> {
    time(
        &mut Ours::new(framing),
        frames(payload.len()),
        limit,
        |ours| Ok(ours.0.encode(black_box(payload.clone()), &mut ours.1)?),
        Ours::empty,
    )
}

fn tokio_util<C, I>(
    codec: C,
    item: impl Fn() -> I,
    count: usize,
    limit: Duration,
) -> anyhow::Result<Sample>
where
    C: Encoder<I>,
    C::Error: std::error::Error + Send + Sync + 'static,
{
    time(
        &mut (codec, BytesMut::new()),
        count,
        limit,
        |(codec, out)| Ok(codec.encode(black_box(item()), out)?),
        |(_, out)| out.clear(),
    )
}

fn asynchronous<C>(
    codec: C,
    item: impl Fn() -> C::Item<'static>,
    count: usize,
    limit: Duration,
) -> anyhow::Result<Sample>
where
    C: asynchronous_codec::Encoder,
    C::Error: std::error::Error + Send + Sync + 'static,
{
    time(
        &mut (codec, BytesMut::new()),
        count,
        limit,
        |(codec, out)| Ok(codec.encode(black_box(item()), out)?),
        |(_, out)| out.clear(),
    )
}

pub(super) fn run(measure: &Measure, report: &mut Report, size: usize) {
    let payload = payload(size);
    let text = String::from_utf8_lossy(&payload).into_owned();
    let line = text.clone() + "\n";
    let bytes = Bytes::from(payload.clone());
    let header = (size as u32).to_be_bytes();
    let count = frames(size);
    let limit = round(measure);
    let mut table = |name: &str, cases: Vec<Case<'_>>| {
        let group = format!("encode {name}, {}", size_name(size));
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

    table(
        "u32 from a slice",
        vec![
            Case::new("by hand: into a Vec", || {
                let encode = |out: &mut Vec<u8>| {
                    out.extend_from_slice(&header);
                    out.extend_from_slice(black_box(&payload));
                    Ok(())
                };
                time(&mut Vec::new(), count, limit, encode, Vec::clear)
            }),
            Case::new("ours, static", || {
                slices(StructHeader::default(), &payload, limit)
            }),
            Case::new("ours, from a config string", || {
                slices(ours::boxed("struct-header")?, &payload, limit)
            }),
            Case::new("tokio-util LengthDelimitedCodec (copied to Bytes)", || {
                let item = || Bytes::copy_from_slice(&payload);
                tokio_util(peers::length_delimited(), item, count, limit)
            }),
            Case::new(
                "asynchronous-codec LengthCodec (u64, copied to Bytes)",
                || {
                    let item = || Bytes::copy_from_slice(&payload);
                    asynchronous(LengthCodec, item, count, limit)
                },
            ),
        ],
    );
    table(
        "u32 from Bytes",
        vec![
            Case::new("by hand: copied up to 4 KiB, then queued", || {
                let encode = |(out, queue): &mut (Vec<u8>, VecDeque<Bytes>)| {
                    out.extend_from_slice(&header);
                    let frame = black_box(bytes.clone());
                    if frame.len() <= COPY_LIMIT {
                        out.extend_from_slice(&frame);
                    } else {
                        queue.push_back(frame);
                    }
                    Ok(())
                };
                time(
                    &mut Default::default(),
                    count,
                    limit,
                    encode,
                    |(out, queue)| {
                        out.clear();
                        queue.clear();
                    },
                )
            }),
            Case::new("ours, static", || {
                owned(StructHeader::default(), &bytes, limit)
            }),
            Case::new("ours, from a config string", || {
                owned(ours::boxed("struct-header")?, &bytes, limit)
            }),
            Case::new("tokio-util LengthDelimitedCodec", || {
                tokio_util(peers::length_delimited(), || bytes.clone(), count, limit)
            }),
            Case::new("asynchronous-codec LengthCodec (u64)", || {
                asynchronous(LengthCodec, || bytes.clone(), count, limit)
            }),
        ],
    );
    table(
        "delimited from a slice",
        vec![
            Case::new("by hand: into a Vec, unchecked", || {
                let encode = |out: &mut Vec<u8>| {
                    out.extend_from_slice(black_box(&payload));
                    out.push(b'\n');
                    Ok(())
                };
                time(&mut Vec::new(), count, limit, encode, Vec::clear)
            }),
            Case::new("ours, static", || {
                slices(Delimiter::default(), &payload, limit)
            }),
            Case::new("ours, from a config string", || {
                slices(ours::boxed("delimiter")?, &payload, limit)
            }),
            Case::new("tokio-util LinesCodec", || {
                tokio_util(LinesCodec::new(), || &*text, count, limit)
            }),
            Case::new("asynchronous-codec LinesCodec (copied to a String)", || {
                let item = || line.clone();
                asynchronous(asynchronous_codec::LinesCodec, item, count, limit)
            }),
        ],
    );
}
