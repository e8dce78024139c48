//! A server that stops answers every request it has taken, and then ends the stream.

use std::{
    convert::Infallible,
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use framing::{
    AckHandshake, Connection, Error, StructHeader,
    client::{Io, dial},
    serve::{Listener, MakeFraming, Memory, Pipeline, PipelineOptions, Tcp, serve},
};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{mpsc, oneshot},
    task::yield_now,
    time::{Instant, timeout},
};
use tower::{make::Shared, service_fn};

const REQUESTS: usize = 16;

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), work)
        .await
        .expect("this takes too long")
}

/// When the server is told to stop, and how long its answers are.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// So many requests have reached the service,
    taken: usize,
    /// and so many turns have passed since.
    turns: usize,
    answer: usize,
}

impl Moment {
    /// Every one in its turn.
    fn of(round: usize) -> Self {
        Self {
            taken: 1 + round % REQUESTS,
            turns: round / REQUESTS % 7,
            answer: [2, 300, 70_000, 400_000][round / 5 % 4],
        }
    }
}

/// A client sends all its requests and the server stops: how many it took, and what came back.
async fn round<L, F>(
    listener: L,
    io: impl Future<Output = Box<dyn Io>>,
    framing: F,
    moment: Moment,
) -> (usize, Vec<Bytes>)
where
    L: Listener,
    F: MakeFraming + Clone,
{
    let taken = Arc::new(AtomicUsize::new(0));
    let (tell, mut told) = mpsc::unbounded_channel();
    let counted = taken.clone();
    let service = service_fn(move |request: Bytes| {
        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
        // Nobody listens any more once the server has been told to stop.
        let _ = tell.send(number);
        async move {
            for _ in 0..number % 3 {
                yield_now().await;
            }
            let mut answer = request.to_vec();
            answer.resize(moment.answer, b'.');
            Ok::<_, Infallible>(Bytes::from(answer))
        }
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(
        serve(listener, Shared::new(service))
            .framing(framing.clone())
            .with_graceful_shutdown(async { drop(stopped.await) })
            .into_future(),
    );
    let (mut requests, mut answers) = Connection::new(io.await, framing.make_framing()).split();
    let sending = tokio::spawn(async move {
        for n in 0..REQUESTS {
            requests.send(format!("{n:02}").into()).await?;
        }
        Ok::<_, Error>(())
    });
    let reading = tokio::spawn(async move {
        let mut received = Vec::new();
        while let Some(Ok(answer)) = answers.next().await {
            received.push(answer);
        }
        received
    });
    while soon(told.recv()).await.expect("the server takes requests") < moment.taken {}
    for _ in 0..moment.turns {
        yield_now().await;
    }
    stop.send(()).unwrap();
    let received = soon(reading).await.unwrap();
    // The rest cannot be sent, or has been and is not answered: the end tells which.
    let _ = soon(sending).await.unwrap();
    soon(server).await.unwrap();
    (taken.load(Ordering::SeqCst), received)
}

/// All that were taken are answered, in order, and nothing else.
fn check(case: impl Debug, taken: usize, received: &[Bytes]) {
    assert_eq!(received.len(), taken, "{case:?}");
    for (n, answer) in received.iter().enumerate() {
        assert!(answer.starts_with(format!("{n:02}").as_bytes()), "{case:?}");
    }
}

async fn over_memory<F: MakeFraming + Clone>(framing: F) {
    for number in 0..240 {
        let moment = Moment::of(number);
        // Long answers through a pipe of one byte would only take long.
        let widths = [1, 64, 4096];
        let width = widths[if moment.answer > 300 { 2 } else { number % 3 }];
        let (listener, connector) = Memory::new(width);
        let io = async move { Box::new(connector.connect().await.unwrap()) as Box<dyn Io> };
        let (taken, received) = round(listener, io, framing.clone(), moment).await;
        check((number, moment, width), taken, &received);
    }
}

async fn over_tcp<F: MakeFraming + Clone>(framing: F) {
    for number in 0..240 {
        let moment = Moment::of(number);
        let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr();
        let io = async move { dial(&address).await.unwrap() };
        let (taken, received) = round(listener, io, framing.clone(), moment).await;
        check((number, moment), taken, &received);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b07_what_was_taken_is_answered_over_the_ack_handshake_in_memory() {
    over_memory(AckHandshake::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b07_what_was_taken_is_answered_over_the_ack_handshake_and_tcp() {
    over_tcp(AckHandshake::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b07_what_was_taken_is_answered_over_a_struct_header_and_tcp() {
    over_tcp(StructHeader::default()).await;
}

/// A peer that has more on its way than the server wants must still get what was answered.
#[tokio::test]
async fn b07_requests_that_nobody_reads_do_not_reset_the_answers_away() {
    const ANSWER: usize = 2 << 20;
    let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr();
    let (stop, stopped) = oneshot::channel::<()>();
    let (tell, mut told) = mpsc::unbounded_channel();
    let service = service_fn(move |_: Bytes| {
        let _ = tell.send(());
        async {
            yield_now().await;
            Ok::<_, Infallible>(Bytes::from(vec![7; ANSWER]))
        }
    });
    let server = serve(listener, Shared::new(service))
        .pipeline(
            PipelineOptions::default()
                .max_in_flight(1)
                .linger(Duration::from_secs(20)),
        )
        .with_graceful_shutdown(async { drop(stopped.await) });
    let server = tokio::spawn(server.into_future());
    let (mut answers, mut requests) = tokio::io::split(dial(&address).await.unwrap());
    // One request is taken; of the rest there is more than the server's buffers hold.
    let rest = tokio::spawn(async move {
        requests.write_all(b"\0\0\0\x01a").await?;
        let request = [&(60_000u32.to_be_bytes())[..], &[b'b'; 60_000]].concat();
        for _ in 0..100 {
            requests.write_all(&request).await?;
        }
        requests.shutdown().await
    });
    soon(told.recv()).await.unwrap();
    stop.send(()).unwrap();
    let mut received = Vec::new();
    soon(answers.read_to_end(&mut received)).await.unwrap();
    assert_eq!(received.len() % (4 + ANSWER), 0, "an answer is cut off");
    assert!(!received.is_empty());
    soon(rest).await.unwrap().unwrap();
    soon(server).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_close_is_waited_for_no_longer_than_said() {
    for (linger, least) in [(None, 1), (Some(0), 0), (Some(7), 7)] {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let drain = framing::serve::Drain::new();
        let mut options = PipelineOptions::default();
        if let Some(seconds) = linger {
            options = options.linger(Duration::from_secs(seconds));
        }
        let echo = service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame));
        let pipeline = Pipeline::new(Connection::new(ours, StructHeader::default()), echo)
            .options(options)
            .drain(&drain);
        drain.request();
        let begun = Instant::now();
        let pipeline = tokio::spawn(pipeline);
        // The end is there at once, whatever the server waits for.
        assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        pipeline.await.unwrap().unwrap();
        assert_eq!(begun.elapsed().as_secs(), least);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_is_not_waited_for() {
    // Before the server stops, and after.
    for first in [true, false] {
        let (ours, theirs) = tokio::io::duplex(1024);
        let drain = framing::serve::Drain::new();
        let echo = service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame));
        let pipeline = Pipeline::new(Connection::new(ours, StructHeader::default()), echo);
        let pipeline = tokio::spawn(pipeline.drain(&drain));
        let mut client = Connection::new(theirs, StructHeader::default());
        client.send("a".into()).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), "a");
        let begun = Instant::now();
        if first {
            client.close().await.unwrap();
            assert!(client.next().await.is_none());
        } else {
            drain.request();
            assert!(client.next().await.is_none());
            drop(client);
        }
        pipeline.await.unwrap().unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}

/// The answers in front of a frame that cannot be read reach a peer that is still writing.
#[tokio::test]
async fn an_unreadable_frame_does_not_reset_the_answers_in_front_of_it_away() {
    const ANSWER: usize = 1 << 20;
    let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr();
    let service = service_fn(async |_: Bytes| Ok::<_, Infallible>(Bytes::from(vec![7; ANSWER])));
    tokio::spawn(serve(listener, Shared::new(service)).into_future());
    let (mut answers, mut requests) = tokio::io::split(dial(&address).await.unwrap());
    let writing = tokio::spawn(async move {
        requests.write_all(b"\0\0\0\x01a\xff\xff\xff\xff").await?;
        for _ in 0..10 {
            requests.write_all(&[b'x'; 60_000]).await?;
        }
        requests.shutdown().await
    });
    soon(writing).await.unwrap().unwrap();
    let mut received = Vec::new();
    soon(answers.read_to_end(&mut received)).await.unwrap();
    assert_eq!(received.len(), 4 + ANSWER);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_writes_on_behind_an_unreadable_frame_is_not_heard_for_ever() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let echo = service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame));
    let pipeline = Pipeline::new(Connection::new(ours, StructHeader::default()), echo);
    let pipeline = tokio::spawn(pipeline);
    let begun = Instant::now();
    theirs.write_all(b"\xff\xff\xff\xff").await.unwrap();
    assert!(pipeline.await.unwrap().is_err());
    assert_eq!(begun.elapsed().as_secs(), 1);
}

#[tokio::test]
async fn a_peer_that_writes_on_fast_behind_an_unreadable_frame_is_not_listened_to() {
    let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
    let echo = service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame));
    let pipeline = Pipeline::new(Connection::new(ours, StructHeader::default()), echo);
    let pipeline = tokio::spawn(pipeline);
    theirs.write_all(b"\xff\xff\xff\xff").await.unwrap();
    let mut taken = 0;
    while theirs.write_all(&[b'x'; 4096]).await.is_ok() {
        taken += 4096;
        assert!(taken < 2 << 20, "{taken} bytes were taken");
    }
    assert!(soon(pipeline).await.unwrap().is_err());
}
