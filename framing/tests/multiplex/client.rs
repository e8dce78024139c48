//! The client's side, against servers written by hand.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use framing::{
    Connection, Delimiter, Error, HeaderItem, Limits, OnError, StructHeader, StructHeaderOptions,
    U32InFront,
    client::{ClientError, Multiplexed, MultiplexedOptions, ResponseFuture},
};
use futures_util::{FutureExt, SinkExt, StreamExt, future::join_all};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, duplex},
    time::{Instant, sleep, timeout},
};
use tower::{Service, ServiceBuilder, ServiceExt, timeout::error::Elapsed};

use crate::{Framed, Peer, heard, pair, soon, tagged};

fn with_options(options: MultiplexedOptions) -> (Multiplexed, Framed) {
    let (client, server) = pair(1024);
    let client = Multiplexed::with_options(client, U32InFront::new(), options).unwrap();
    (client, server)
}

fn connected() -> (Multiplexed, Framed) {
    with_options(MultiplexedOptions::default())
}

/// Makes a call that is not waited for.
async fn begin(client: &mut Multiplexed, frame: &'static str) -> ResponseFuture {
    soon(client.ready()).await.unwrap().call(frame.into())
}

/// What `poll_ready` fails with, soon.
async fn fate(client: &Multiplexed) -> ClientError {
    let mut client = client.clone();
    soon(async {
        loop {
            if let Err(error) = client.ready().await {
                return error;
            }
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
}

fn is_ready(client: &mut Multiplexed) -> impl Future<Output = bool> {
    poll_fn(|cx| Poll::Ready(client.poll_ready(cx).is_ready()))
}

#[tokio::test]
async fn b01_calls_wait_while_as_many_requests_are_on_their_way_as_may_be() {
    let options = MultiplexedOptions::default().max_in_flight(3);
    let (mut client, mut server) = with_options(options);
    let mut calls = Vec::new();
    for frame in ["a", "b", "c"] {
        calls.push(begin(&mut client, frame).await);
    }
    assert!(!is_ready(&mut client).await);
    let mut other = client.clone();
    assert!(!is_ready(&mut other).await);
    drop((client, other.clone()));
    for (tag, frame) in [(1, "a"), (2, "b"), (3, "c")] {
        assert_eq!(server.hear().await, heard(tag, frame));
    }
    let waits = tokio::spawn(async move { other.ready().await.unwrap().call("d".into()).await });
    server.say(2, "B").await;
    assert_eq!(server.hear().await, heard(4, "d"));
    server.say(4, "D").await;
    assert_eq!(soon(waits).await.unwrap().unwrap(), "D");
    server.say(1, "A").await;
    server.say(3, "C").await;
    let answers = soon(join_all(calls)).await;
    assert_eq!(answers.map_ok(), ["A", "B", "C"]);
}

/// The answers, all of which must be there.
trait AllOk {
    fn map_ok(self) -> Vec<Bytes>;
}

impl AllOk for Vec<Result<Bytes, ClientError>> {
    fn map_ok(self) -> Vec<Bytes> {
        self.into_iter().map(Result::unwrap).collect()
    }
}

#[tokio::test]
async fn b01_calls_wait_while_as_many_bytes_are_on_their_way_as_may_be() {
    let options = MultiplexedOptions::default().max_bytes(10);
    let (mut client, mut server) = with_options(options);
    let first = begin(&mut client, "six by").await;
    let second = begin(&mut client, "this one reaches the limit").await;
    assert!(!is_ready(&mut client).await);
    assert_eq!(server.hear().await, heard(1, "six by"));
    assert_eq!(server.hear().await.unwrap().0, 2);
    server.say(1, "").await;
    soon(first).await.unwrap();
    assert!(!is_ready(&mut client).await, "26 bytes are on their way");
    server.say(2, "").await;
    soon(second).await.unwrap();
    soon(client.ready()).await.unwrap();
}

#[tokio::test]
async fn b01_a_server_that_does_not_read_is_not_sent_more_than_the_limit() {
    let (client, _server) = pair(16);
    let mut client = Multiplexed::new(client, U32InFront::new()).unwrap();
    let mut calls = Vec::new();
    while let Ok(ready) = timeout(Duration::from_millis(100), client.ready()).await {
        calls.push(ready.unwrap().call("x".into()));
        assert!(calls.len() <= 64, "it takes calls without end");
    }
    assert_eq!(calls.len(), 64);
}

#[tokio::test]
async fn b04_a_client_that_is_idle_learns_that_the_server_has_closed() {
    let (client, server) = connected();
    let mut ready = client.clone();
    ready.ready().await.unwrap();
    drop(server);
    let error = fate(&client).await;
    assert!(matches!(error, ClientError::Closed), "{error:?}");
    assert!(error.to_string().contains("closed by the peer"));
    // One that was ready before finds out when it calls.
    let error = soon(ready.call("late".into())).await.unwrap_err();
    assert!(matches!(error, ClientError::Closed), "{error:?}");
    let error = soon(client.clone().send("late".into())).await.unwrap_err();
    assert!(matches!(error, ClientError::Closed), "{error:?}");
}

#[tokio::test]
async fn b04_every_call_without_an_answer_is_told_and_those_that_wait_too() {
    let options = MultiplexedOptions::default().max_in_flight(2);
    let (mut client, mut server) = with_options(options);
    let first = begin(&mut client, "a").await;
    let second = begin(&mut client, "b").await;
    let waits = tokio::spawn(client.clone().oneshot("c".into()));
    server.hear().await.unwrap();
    server.hear().await.unwrap();
    server.send(tagged(1, "A")).await.unwrap();
    // Cut off inside a frame.
    let (mut io, _, _) = server.into_parts();
    tokio::io::AsyncWriteExt::write_all(&mut io, b"\0\0")
        .await
        .unwrap();
    drop(io);
    assert_eq!(soon(first).await.unwrap(), "A");
    let error = soon(second).await.unwrap_err();
    assert!(matches!(&error, ClientError::Connection(_)), "{error:?}");
    assert!(error.to_string().contains("2 of 4 bytes"), "{error}");
    let waited = soon(waits).await.unwrap();
    // It may just have got the place of the first.
    assert!(waited.is_err());
}

#[tokio::test]
async fn b05_the_late_answer_to_a_dropped_call_goes_to_nobody() {
    let (mut client, mut server) = connected();
    let dropped = begin(&mut client, "first").await;
    assert_eq!(server.hear().await, heard(1, "first"));
    drop(dropped);
    let second = begin(&mut client, "second").await;
    assert_eq!(server.hear().await, heard(2, "second"));
    server.say(1, "late").await;
    server.say(2, "right").await;
    assert_eq!(soon(second).await.unwrap(), "right");
}

#[tokio::test]
async fn b05_a_tag_is_not_used_again_before_its_answer_came_however_often_the_tags_wrap() {
    let framing = || StructHeader::new("!BI").unwrap();
    let (ours, theirs) = duplex(1024);
    let mut client =
        Multiplexed::new(Connection::new(ours, framing()), HeaderItem::only()).unwrap();
    let mut server = Connection::new(theirs, framing());
    let dropped = begin(&mut client, "dropped").await;
    assert_eq!(soon(server.next()).await.unwrap().unwrap(), "dropped");
    let late = server.header();
    drop(dropped);
    let mut tags = Vec::new();
    for number in 0..600 {
        let call = begin(&mut client, "x").await;
        soon(server.next()).await.unwrap().unwrap();
        let header = server.header();
        assert_ne!(header, late, "call {number} has the tag of the dropped one");
        assert_ne!(
            header,
            [0.into()],
            "call {number} has the tag of one-way requests"
        );
        if number < 254 {
            assert!(
                !tags.contains(&header),
                "a tag comes again while others wait"
            );
            tags.push(header.clone());
        }
        server.set_header(&header).unwrap();
        server.send("y".into()).await.unwrap();
        assert_eq!(soon(call).await.unwrap(), "y");
    }
    server.set_header(&late).unwrap();
    server.send("late".into()).await.unwrap();
    // Now it may be used again.
    let mut was_used = false;
    for _ in 0..255 {
        let call = begin(&mut client, "x").await;
        soon(server.next()).await.unwrap().unwrap();
        let header = server.header();
        was_used |= header == late;
        server.set_header(&header).unwrap();
        server.send("z".into()).await.unwrap();
        assert_eq!(soon(call).await.unwrap(), "z");
    }
    assert!(was_used);
}

#[tokio::test]
async fn b05_a_dropped_call_keeps_its_place_until_the_server_is_done_with_it() {
    let options = MultiplexedOptions::default().max_in_flight(2);
    let (mut client, mut server) = with_options(options);
    for frame in ["a", "b"] {
        let call = begin(&mut client, frame).await;
        server.hear().await.unwrap();
        drop(call);
    }
    assert!(!is_ready(&mut client).await);
    server.say(2, "late").await;
    soon(client.ready()).await.unwrap();
}

#[tokio::test]
async fn b05_a_call_that_is_dropped_before_it_was_written_is_not_sent() {
    let (mut client, mut server) = connected();
    // The task that writes has had no turn yet.
    drop(
        client
            .ready()
            .now_or_never()
            .unwrap()
            .unwrap()
            .call("dropped".into()),
    );
    let call = begin(&mut client, "kept").await;
    assert_eq!(server.hear().await, heard(1, "kept"));
    server.say(1, "yes").await;
    assert_eq!(soon(call).await.unwrap(), "yes");
}

#[tokio::test]
async fn b06_an_answer_with_an_unknown_tag_ends_the_client() {
    let (mut client, mut server) = connected();
    let call = begin(&mut client, "a").await;
    server.hear().await.unwrap();
    server.say(77, "surprise").await;
    let error = soon(call).await.unwrap_err();
    assert!(matches!(error, ClientError::Desynchronized), "{error:?}");
    let error = fate(&client).await;
    assert!(matches!(error, ClientError::Desynchronized), "{error:?}");
}

#[tokio::test]
async fn b06_an_answer_that_comes_twice_ends_the_client_and_reaches_no_other_call() {
    let (mut client, mut server) = connected();
    let first = begin(&mut client, "a").await;
    server.hear().await.unwrap();
    server.say(1, "A").await;
    assert_eq!(soon(first).await.unwrap(), "A");
    let second = begin(&mut client, "b").await;
    server.hear().await.unwrap();
    server.say(1, "A").await;
    let error = soon(second).await.unwrap_err();
    assert!(matches!(error, ClientError::Desynchronized), "{error:?}");
}

#[tokio::test]
async fn b06_an_answer_without_a_tag_ends_the_client() {
    let (mut client, mut server) = connected();
    let call = begin(&mut client, "a").await;
    server.send("abc".into()).await.unwrap();
    let error = soon(call).await.unwrap_err();
    assert!(error.to_string().contains("a frame of 3 bytes"), "{error}");
}

#[tokio::test]
async fn an_answer_that_would_be_skipped_fails_the_calls_and_leaves_none_waiting() {
    let (ours, theirs) = duplex(1024);
    let limits = Limits::new().max_frame(8).on_error(OnError::Skip);
    let framing = StructHeaderOptions::default().build(limits).unwrap();
    let mut client = Multiplexed::new(Connection::new(ours, framing), U32InFront::new()).unwrap();
    let mut server = Connection::new(theirs, StructHeader::default());
    let call = begin(&mut client, "a").await;
    server.hear().await.unwrap();
    server.say(1, "much too long").await;
    let error = soon(call).await.unwrap_err();
    let ClientError::Connection(error) = error else {
        panic!("{error:?}");
    };
    assert!(matches!(&*error, Error::Frame(_)), "{error:?}");
}

#[tokio::test]
async fn b10_a_one_way_request_is_sent_and_not_waited_for() {
    let options = MultiplexedOptions::default().max_in_flight(1);
    let (mut client, mut server) = with_options(options);
    for _ in 0..3 {
        soon(client.send("note".into())).await.unwrap();
        assert_eq!(server.hear().await, heard(0, "note"));
    }
    // They keep no place.
    let call = begin(&mut client, "a").await;
    assert_eq!(server.hear().await, heard(1, "a"));
    server.say(1, "A").await;
    assert_eq!(soon(call).await.unwrap(), "A");
    let error = soon(client.send(vec![0; 17 << 20].into()))
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Unencodable(_)), "{error:?}");
    soon(client.send("after".into())).await.unwrap();
    assert_eq!(server.hear().await, heard(0, "after"));
}

#[tokio::test]
async fn b10_what_the_server_pushes_is_delivered_apart() {
    let (client, mut server) = pair(1024);
    let options = MultiplexedOptions::default();
    let (mut client, mut pushed) =
        Multiplexed::with_pushes(client, U32InFront::new(), options).unwrap();
    server.say(0, "before").await;
    let call = begin(&mut client, "a").await;
    server.hear().await.unwrap();
    server.say(0, "between").await;
    server.say(1, "A").await;
    server.say(0, "after").await;
    assert_eq!(soon(call).await.unwrap(), "A");
    for word in ["before", "between", "after"] {
        assert_eq!(soon(pushed.next()).await.unwrap(), word);
    }
    server.close().await.unwrap();
    assert!(soon(pushed.next()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn b10_pushes_that_nobody_takes_stop_the_reading_and_are_thrown_away_if_nobody_can() {
    let (client, mut server) = pair(1 << 16);
    let options = MultiplexedOptions::default()
        .max_pushes(2)
        .stall(Duration::from_secs(10));
    let (mut client, mut pushed) =
        Multiplexed::with_pushes(client, U32InFront::new(), options).unwrap();
    for number in 0..5 {
        server.say(0, &number.to_string()).await;
    }
    let call = begin(&mut client, "a").await;
    server.hear().await.unwrap();
    server.say(1, "A").await;
    // The answer stands behind them; that is not the server's fault.
    let mut call = Box::pin(call);
    assert!(timeout(Duration::from_secs(100), &mut call).await.is_err());
    assert_eq!(pushed.next().await.unwrap(), "0");
    assert_eq!(pushed.next().await.unwrap(), "1");
    assert!(timeout(Duration::from_secs(5), &mut call).await.is_err());
    drop(pushed);
    assert_eq!(soon(call).await.unwrap(), "A");
    for _ in 0..100 {
        server.say(0, "to nobody").await;
    }
    let call = begin(&mut client, "b").await;
    server.hear().await.unwrap();
    server.say(2, "B").await;
    assert_eq!(soon(call).await.unwrap(), "B");
}

#[tokio::test(start_paused = true)]
async fn b12_a_server_that_answers_nothing_any_more_fails_all_calls() {
    let options = MultiplexedOptions::default().stall(Duration::from_secs(10));
    let (mut client, mut server) = with_options(options);
    // Nothing is due: no time limit.
    sleep(Duration::from_secs(100)).await;
    let begun = Instant::now();
    let mut calls = vec![begin(&mut client, "never").await];
    // Every answer, also to another call, starts the time anew; a push does not.
    for number in 2..5 {
        sleep(Duration::from_secs(9)).await;
        let call = begin(&mut client, "x").await;
        while server.hear().await.unwrap().0 != number {}
        server.say(number, "X").await;
        assert_eq!(call.await.unwrap(), "X");
    }
    sleep(Duration::from_secs(5)).await;
    calls.push(begin(&mut client, "late").await);
    server.say(0, "push").await;
    for call in calls {
        let error = soon(call).await.unwrap_err();
        assert!(matches!(error, ClientError::Stalled(_)), "{error:?}");
        assert_eq!(error.to_string(), "no request was answered for 10s");
    }
    assert_eq!(begun.elapsed().as_secs(), 3 * 9 + 10);
    let error = client.ready().await.unwrap_err();
    assert!(matches!(error, ClientError::Stalled(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn b12_an_idle_client_never_stalls() {
    let options = MultiplexedOptions::default().stall(Duration::from_secs(10));
    let (mut client, mut server) = with_options(options);
    for tag in 1..4 {
        let call = begin(&mut client, "a").await;
        server.hear().await.unwrap();
        server.say(tag, "A").await;
        assert_eq!(call.await.unwrap(), "A");
        sleep(Duration::from_secs(60)).await;
    }
    client.ready().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn b12_a_deadline_for_each_call_is_towers() {
    let (client, mut server) = connected();
    let client = ServiceBuilder::new()
        .timeout(Duration::from_secs(1))
        .service(client);
    let slow = tokio::spawn(client.clone().oneshot("slow".into()));
    assert_eq!(server.hear().await, heard(1, "slow"));
    let error = slow.await.unwrap().unwrap_err();
    assert!(error.is::<Elapsed>(), "{error}");
    let fast = tokio::spawn(client.oneshot("fast".into()));
    assert_eq!(server.hear().await, heard(2, "fast"));
    server.say(1, "SLOW").await;
    server.say(2, "FAST").await;
    assert_eq!(fast.await.unwrap().unwrap(), "FAST");
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_harms_no_other() {
    let (mut client, mut server) = connected();
    let refused = soon(client.ready())
        .await
        .unwrap()
        .call(vec![0; 17 << 20].into());
    let call = begin(&mut client, "a").await;
    let ClientError::Unencodable(error) = soon(refused).await.unwrap_err() else {
        panic!("it was sent");
    };
    assert_eq!(error.frame().unwrap().len(), 17 << 20);
    let (tag, _) = server.hear().await.unwrap();
    server.say(tag, "A").await;
    assert_eq!(soon(call).await.unwrap(), "A");
}

#[tokio::test]
async fn tags_that_the_framing_cannot_carry_are_refused_at_the_start() {
    let (ours, _theirs) = duplex(64);
    let refused = Multiplexed::new(
        Connection::new(ours, Delimiter::default()),
        U32InFront::new(),
    );
    assert_eq!(refused.unwrap_err().kind(), framing::ErrorKind::Config);
}

#[tokio::test]
async fn the_last_clone_closes_the_connection_once_nobody_waits() {
    let (mut client, mut server) = connected();
    let waits = begin(&mut client, "a").await;
    let dropped = begin(&mut client, "b").await;
    let last = begin(&mut client, "c").await;
    drop(client);
    for tag in 1..=3 {
        assert_eq!(server.hear().await.unwrap().0, tag);
    }
    server.say(1, "A").await;
    assert_eq!(soon(waits).await.unwrap(), "A");
    drop(dropped);
    assert!(
        timeout(Duration::from_millis(50), server.next())
            .await
            .is_err()
    );
    drop(last);
    // It does not wait for answers to nobody.
    assert_eq!(server.hear().await, None);
}

#[tokio::test]
async fn calling_without_being_ready_is_an_error_and_no_panic() {
    fn is_shareable<T: Clone + Send + Sync + Unpin + 'static>(_: &T) {}
    let (mut client, _server) = connected();
    is_shareable(&client);
    assert!(soon(client.call("a".into())).await.is_err());
    soon(client.ready()).await.unwrap();
    // Readiness is not shared with a clone.
    assert!(soon(client.clone().call("a".into())).await.is_err());
}

/// Takes one write and fails the next. Its peer's last words can be read after that.
struct HalfGone {
    words: Option<&'static [u8]>,
    writes: usize,
    reader: Option<Waker>,
}

impl AsyncRead for HalfGone {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.writes < 2 {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buffer.put_slice(self.words.take().unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HalfGone {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes += 1;
        if self.writes == 1 {
            return Poll::Ready(Ok(bytes.len()));
        }
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn b04_a_client_that_cannot_send_still_reads_its_answers() {
    let io = HalfGone {
        words: Some(b"\0\0\0\x0a\0\0\0\x01answer"),
        writes: 0,
        reader: None,
    };
    let connection = Connection::new(io, StructHeader::default());
    let mut client = Multiplexed::new(connection, U32InFront::new()).unwrap();
    let first = begin(&mut client, "first").await;
    sleep(Duration::from_secs(1)).await;
    let second = begin(&mut client, "second").await;
    let (first, second) = soon(async { tokio::join!(first, second) }).await;
    assert_eq!(first.unwrap(), "answer");
    let error = second.unwrap_err();
    assert!(matches!(error, ClientError::Connection(_)), "{error:?}");
    let error = client.ready().await.unwrap_err();
    assert!(matches!(error, ClientError::Connection(_)), "{error:?}");
}
