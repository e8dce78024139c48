//! What a connection that is busy allocates: nothing but its frames.

use std::{convert::Infallible, ops::ControlFlow};

use allocation_counter::measure;
use bytes::Bytes;
use framing::{Connection, StructHeader, serve::Pipeline};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    runtime::{Builder, Runtime},
};
use tower::service_fn;

/// Requests that are on their way together.
const DEPTH: usize = 64;

/// Batches of that many.
const BATCHES: usize = 100;

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

/// Sends batches of requests and reads their answers.
async fn converse(io: &mut DuplexStream, batches: usize) {
    let batch = [&[0, 0, 0, 64][..], &[b'x'; 64]].concat().repeat(DEPTH);
    let mut answers = vec![0; batch.len()];
    for _ in 0..batches {
        io.write_all(&batch).await.unwrap();
        io.read_exact(&mut answers).await.unwrap();
    }
    assert_eq!(answers, batch);
}

/// How many allocations a request costs, once everything has grown as large as it gets.
fn allocations(runtime: &Runtime, io: &mut DuplexStream) -> f64 {
    runtime.block_on(converse(io, 10));
    let counted = measure(|| runtime.block_on(converse(io, BATCHES)));
    counted.count_total as f64 / (DEPTH * BATCHES) as f64
}

/// What the test itself and the rest of a batch may cost, spread over its requests.
const BESIDE: f64 = 0.1;

#[test]
fn a_pipelined_echo_allocates_its_frame_and_nothing_else() {
    let runtime = runtime();
    let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
    let service = service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame));
    let connection = Connection::new(theirs, StructHeader::default());
    runtime.spawn(Pipeline::new(connection, service));
    let each = allocations(&runtime, &mut ours);
    assert!(each <= 1.0 + BESIDE, "{each} allocations a request");
    assert!(each >= 1.0, "the frame itself is not counted: {each}");
}

#[test]
fn lent_frames_are_not_allocated() {
    let runtime = runtime();
    let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
    let mut connection = Connection::new(theirs, StructHeader::default());
    runtime.spawn(async move {
        let visited = connection.visit(|frame, replies| {
            replies.send_slice(frame).unwrap();
            ControlFlow::Continue(())
        });
        visited.await.map(drop)
    });
    let each = allocations(&runtime, &mut ours);
    assert!(each <= BESIDE, "{each} allocations a request");
}
