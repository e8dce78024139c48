//! cargo bench -p framewright --bench instructions -- CASE COUNT
//!
//! Does one thing COUNT times, for a program that counts instructions to look at: `.ci/instructions`
//! compares the counts with those in `instructions.txt`. They are the same on a busy machine as on an
//! idle one, where times are not.

use std::{convert::Infallible, env, hint::black_box, ops::ControlFlow};

use bytes::{Buf, Bytes};
use framing::{
    Connection, Delimiter, Framing, Machine, Outbox, Received, Registry, StructHeader,
    serve::Pipeline,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::service_fn;

/// Bytes of a frame.
const SIZE: usize = 64;

/// Frames that arrive together.
const BATCH: usize = 64;

fn main() {
    let words: Vec<String> = env::args().filter(|word| word != "--bench").collect();
    let [_, case, count] = &words[..] else {
        // As `cargo bench` starts it: there is nothing to time.
        println!("cases: {}", CASES.join(" "));
        return;
    };
    let count = count.parse().expect("COUNT is a number");
    match case.as_str() {
        "decode-owned" => decode(StructHeader::default(), counted(), count),
        "decode-lent" => visit(StructHeader::default(), count),
        "decode-dyn" => {
            let factory = Registry::default().parse("struct-header");
            decode(factory.expect("it is registered").make(), counted(), count);
        }
        "decode-delimiter" => decode(Delimiter::default(), marked(), count),
        "encode" => encode(count),
        "echo" => echo(count),
        _ => panic!("there are the cases {}", CASES.join(" ")),
    }
}

const CASES: [&str; 6] = [
    "decode-owned",
    "decode-lent",
    "decode-dyn",
    "decode-delimiter",
    "encode",
    "echo",
];

/// A batch of frames behind their lengths.
fn counted() -> Vec<u8> {
    let frame = [&(SIZE as u32).to_be_bytes()[..], &[b'x'; SIZE]].concat();
    frame.repeat(BATCH)
}

/// A batch of frames in front of their marks.
fn marked() -> Vec<u8> {
    [&[b'x'; SIZE][..], b"\n"].concat().repeat(BATCH)
}

fn decode(framing: impl Framing, batch: Vec<u8>, count: usize) {
    let mut machine = Machine::new(framing);
    for _ in 0..count / BATCH {
        machine.receive(&batch);
        while let Received::Frame(frame) = machine.next_frame().expect("they are good") {
            black_box(frame);
        }
    }
}

fn visit(framing: impl Framing, count: usize) {
    let mut machine = Machine::new(framing);
    let batch = counted();
    for _ in 0..count / BATCH {
        machine.receive(&batch);
        let visited = machine.visit(|frame, _| {
            black_box(frame);
            ControlFlow::Continue(())
        });
        visited.expect("they are good");
    }
}

fn encode(count: usize) {
    let mut framing = StructHeader::default();
    let mut out = Outbox::new();
    for _ in 0..count / BATCH {
        for _ in 0..BATCH {
            let encoded = framing.encode_slice(black_box(&[b'x'; SIZE]), &mut out);
            encoded.expect("it fits");
        }
        black_box(out.chunk());
        out.advance(out.remaining());
    }
}

/// Requests and answers through a pipe in memory, a batch at a time.
fn echo(count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime starts").block_on(async {
        let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
        let service = service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame));
        let connection = Connection::new(theirs, StructHeader::default());
        tokio::spawn(Pipeline::new(connection, service));
        let batch = counted();
        let mut answers = vec![0; batch.len()];
        for _ in 0..count / BATCH {
            ours.write_all(&batch).await.expect("the server takes them");
            ours.read_exact(&mut answers).await.expect("it answers");
        }
        black_box(answers);
    });
}
