//! Connections: what is written and read when the socket takes one byte at a time, when futures
//! are dropped, when one side closes.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use framing::{
    AckHandshake, BoxFraming, CodecFraming, Connection, Delimiter, Error, ErrorKind, FrameError,
    Framing, FramingCodec, Limits, Machine, OnError, Received, Registry, StructHeader,
    StructHeaderOptions,
};
use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt, stream::FusedStream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_test::{assert_pending, io::Builder, task::spawn};
use tokio_util::codec::{Decoder, Encoder, Framed, LengthDelimitedCodec};

/// One of each kind, by name.
const FRAMINGS: [&str; 6] = [
    "ack-handshake",
    r#"{ type = "delimiter", delimiter = "||" }"#,
    r#"{ type = "delimiter", escape = "\\" }"#,
    "lines",
    "struct-header",
    r#"{ type = "struct-header", format = "!4sBxH" }"#,
];

fn make(framing: &str) -> BoxFraming {
    Registry::default().parse(framing).unwrap().make()
}

fn frames() -> Vec<Bytes> {
    let long = "long ".repeat(2000);
    ["", "a", "hello", &long, "the end"]
        .iter()
        .map(|frame| Bytes::copy_from_slice(frame.as_bytes()))
        .collect()
}

/// A socket that writes and reads a byte or none at a time.
#[derive(Debug, Default)]
struct Reluctant {
    input: VecDeque<u8>,
    written: Vec<u8>,
    /// Whether every other call finds the socket not ready.
    blocks: bool,
    blocked: bool,
    vectored: bool,
}

impl Reluctant {
    fn refuses(&mut self, cx: &mut Context<'_>) -> bool {
        self.blocked = self.blocks && !self.blocked;
        if self.blocked {
            cx.waker().wake_by_ref();
        }
        self.blocked
    }
}

impl AsyncRead for Reluctant {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.refuses(cx) {
            return Poll::Pending;
        }
        if let Some(byte) = self.input.pop_front() {
            buffer.put_slice(&[byte]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Reluctant {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.refuses(cx) {
            return Poll::Pending;
        }
        self.written.push(bytes[0]);
        Poll::Ready(Ok(1))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices.iter().find(|slice| !slice.is_empty()) {
            Some(slice) => self.as_mut().poll_write(cx, slice),
            None => Poll::Ready(Ok(0)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }
}

/// What frames look like on the wire when nothing is in the way.
fn wire(framing: &str, frames: &[Bytes]) -> Vec<u8> {
    let mut machine = framing::Machine::new(make(framing));
    for frame in frames {
        machine.send(frame.clone()).unwrap();
    }
    machine.outbox().take_bytes().to_vec()
}

#[tokio::test]
async fn s02_s23_after_an_error_the_stream_is_over() {
    for ending in ["close", "skip"] {
        let framing = format!(r#"{{ type = "delimiter", max_frame = 4, on_error = "{ending}" }}"#);
        let io = Builder::new().read(b"good\nmuch too long\nok\n").build();
        let mut connection = Connection::new(io, make(&framing));
        assert_eq!(connection.next().await.unwrap().unwrap(), "good");
        let Some(Err(Error::Frame(error))) = connection.next().await else {
            panic!("too long, and no error");
        };
        assert_eq!(error.kind(), ErrorKind::TooLong);
        if ending == "skip" {
            assert_eq!(connection.next().await.unwrap().unwrap(), "ok");
            assert!(!connection.is_terminated());
        }
        for _ in 0..3 {
            assert!(connection.next().await.is_none());
        }
        assert!(connection.is_terminated());
    }
}

#[tokio::test]
async fn s02_an_error_of_the_socket_ends_the_stream_too() {
    let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
    let io = Builder::new()
        .read(b"good\nhalf")
        .read_error(reset())
        .build();
    let mut connection = Connection::new(io, Delimiter::default());
    assert_eq!(connection.next().await.unwrap().unwrap(), "good");
    let Some(Err(Error::Io(error))) = connection.next().await else {
        panic!("reset, and no error");
    };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(connection.next().await.is_none());
    assert!(
        connection.send("x".into()).await.is_err(),
        "nothing can be sent any more"
    );
}

#[tokio::test(start_paused = true)]
async fn s06_closing_sends_what_waits() {
    for framing in FRAMINGS {
        let (ours, theirs) = tokio::io::duplex(3);
        let mut connection = Connection::new(ours, make(framing));
        let peer = tokio::spawn(Connection::new(theirs, make(framing)).collect::<Vec<_>>());
        for frame in ["one", "two", "three"] {
            connection.feed(frame.into()).await.unwrap();
        }
        connection.close().await.unwrap();
        let received = peer.await.unwrap().into_iter().map(Result::unwrap);
        assert_eq!(
            received.collect::<Vec<_>>(),
            ["one", "two", "three"],
            "{framing}"
        );
    }
}

#[tokio::test]
async fn s07_a_frame_that_cannot_be_sent_leaves_the_others_whole() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let mut connection = Connection::new(ours, Delimiter::default());
    connection.feed("one".into()).await.unwrap();
    let Err(Error::Frame(mut error)) = connection.feed("t\nwo".into()).await else {
        panic!("a frame with its mark inside is taken");
    };
    assert_eq!(error.kind(), ErrorKind::Unencodable);
    assert_eq!(error.take_frame().unwrap(), "t\nwo");
    connection.send("three".into()).await.unwrap();
    drop(connection);
    let mut written = String::new();
    theirs.read_to_string(&mut written).await.unwrap();
    assert_eq!(written, "one\nthree\n");
}

#[tokio::test]
async fn s08_a_reluctant_socket_gets_the_same_bytes() {
    for framing in FRAMINGS
        .iter()
        .filter(|framing| **framing != "ack-handshake")
    {
        let expected = wire(framing, &frames());
        for (blocks, vectored) in [(false, false), (false, true), (true, false), (true, true)] {
            let io = Reluctant {
                blocks,
                vectored,
                ..Reluctant::default()
            };
            let mut connection = Connection::new(io, make(framing));
            connection.set_high_water(100);
            for frame in frames() {
                connection.feed(frame).await.unwrap();
            }
            connection.flush().await.unwrap();
            assert!(connection.get_ref().written == expected, "{framing}");

            let io = Reluctant {
                blocks,
                input: expected.iter().copied().collect(),
                ..Default::default()
            };
            let received = Connection::new(io, make(framing)).map(Result::unwrap);
            assert!(received.collect::<Vec<_>>().await == frames(), "{framing}");
        }
    }
}

#[tokio::test]
async fn s08_a_socket_that_takes_nothing_is_an_error() {
    let (ours, theirs) = tokio::io::duplex(8);
    drop(theirs);
    let mut connection = Connection::new(ours, StructHeader::default());
    let Err(Error::Io(error)) = connection.send("hello".into()).await else {
        panic!("written to nobody");
    };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    assert!(connection.send("again".into()).await.is_err());
}

#[test]
fn s09_what_waits_to_be_written_is_bounded() {
    let (ours, _theirs) = tokio::io::duplex(16);
    let mut connection = spawn(Connection::new(ours, StructHeader::default()));
    connection.set_high_water(1000);
    let frame = Bytes::from(vec![0; 400]);
    // Nobody has asked, but there is room: three frames pass the mark.
    for _ in 0..3 {
        connection
            .enter(|_, sink| sink.start_send(frame.clone()))
            .unwrap();
    }
    for _ in 0..1000 {
        let refused = connection.enter(|_, sink| sink.start_send(frame.clone()));
        assert!(matches!(refused, Err(Error::NotReady)), "{refused:?}");
    }
    assert_pending!(connection.enter(|cx, sink| sink.poll_ready(cx)));
}

#[tokio::test]
async fn s09_asking_writes_and_wakes() {
    let (ours, theirs) = tokio::io::duplex(16);
    let mut connection = Connection::new(ours, StructHeader::default());
    connection.set_high_water(1);
    let mut peer = Connection::new(theirs, StructHeader::default());
    let sending = async {
        for _ in 0..100 {
            connection.send(Bytes::from(vec![0; 400])).await.unwrap();
        }
    };
    let receiving = async {
        for _ in 0..100 {
            assert_eq!(peer.next().await.unwrap().unwrap().len(), 400);
        }
    };
    let both = async { tokio::join!(sending, receiving) };
    tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .expect("nobody was woken");
}

/// Notes where the bytes it is given stand, and takes all of them.
#[derive(Debug, Default)]
struct Greedy {
    calls: Vec<Vec<(*const u8, usize)>>,
}

// The addresses are only compared.
impl AsyncWrite for Greedy {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.calls.push(vec![(bytes.as_ptr(), bytes.len())]);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.calls.push(
            slices
                .iter()
                .map(|slice| (slice.as_ptr(), slice.len()))
                .collect(),
        );
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Greedy {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn s10_a_large_payload_is_written_where_it_stands() {
    const SIZE: usize = 64 * 1024 * 1024;
    let payload = Bytes::from(vec![b'x'; SIZE]);
    let length = format!(r#"{{ type = "struct-header", max_frame = {SIZE} }}"#);
    let mark = format!(r#"{{ type = "delimiter", max_frame = {SIZE} }}"#);
    for framing in [&length, &mark] {
        let mut connection = Connection::new(Greedy::default(), make(framing));
        connection.send(payload.clone()).await.unwrap();
        let calls = &connection.get_ref().calls;
        assert!(calls.len() <= 2, "{framing}: {} writes", calls.len());
        let written: Vec<_> = calls.iter().flatten().copied().collect();
        assert!(
            written.contains(&(payload.as_ptr(), SIZE)),
            "{framing}: the payload was copied"
        );
        let rest: usize = written.iter().map(|(_, length)| length).sum();
        assert!(
            rest - SIZE <= 4,
            "{framing}: {} bytes beside the payload",
            rest - SIZE
        );
    }
}

#[tokio::test]
async fn small_frames_leave_in_one_write() {
    let mut connection = Connection::new(Greedy::default(), StructHeader::default());
    for _ in 0..100 {
        connection.feed("hello".into()).await.unwrap();
    }
    connection.flush().await.unwrap();
    let calls = &connection.get_ref().calls;
    assert_eq!(calls.len(), 1);
    assert_eq!(
        calls[0].iter().map(|(_, length)| length).sum::<usize>(),
        900
    );
}

/// Polls a future some times and drops it; its output if it was ready.
async fn poll_times<T>(future: impl Future<Output = T>, times: usize) -> Option<T> {
    let mut future = std::pin::pin!(future);
    for _ in 0..times {
        if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

#[tokio::test(start_paused = true)]
async fn s11_dropped_futures_lose_nothing() {
    for framing in FRAMINGS {
        for times in 1..8 {
            let (ours, theirs) = tokio::io::duplex(4);
            let (mut ours, mut theirs) = (
                Connection::new(ours, make(framing)),
                Connection::new(theirs, make(framing)),
            );
            let expected = ["hello", "world", "", "the last frame"];
            let sending = async {
                for frame in expected {
                    // Until `start_send` has taken it, the frame is ours; from then on a dropped
                    // flush is taken up by the next.
                    poll_fn(|cx| ours.poll_ready_unpin(cx)).await.unwrap();
                    ours.start_send_unpin(frame.into()).unwrap();
                    while poll_times(ours.flush(), times).await.is_none() {}
                }
            };
            let receiving = async {
                let mut received = Vec::new();
                while received.len() < expected.len() {
                    if let Some(frame) = poll_times(theirs.next(), times).await {
                        received.push(frame.unwrap().unwrap());
                    }
                }
                received
            };
            let both = async { tokio::join!(sending, receiving) };
            let (_, received) = tokio::time::timeout(Duration::from_secs(20), both)
                .await
                .unwrap();
            assert_eq!(received, expected, "{framing}, dropped after {times}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s11_a_send_dropped_anywhere_is_whole_or_not_at_all() {
    for framing in FRAMINGS {
        for times in 1..12 {
            let (ours, theirs) = tokio::io::duplex(2);
            let mut connection = Connection::new(ours, make(framing));
            let peer = tokio::spawn(Connection::new(theirs, make(framing)).collect::<Vec<_>>());
            poll_times(connection.send("first".into()), times).await;
            connection.send("second".into()).await.unwrap();
            connection.close().await.unwrap();
            let received: Vec<_> = peer
                .await
                .unwrap()
                .into_iter()
                .map(Result::unwrap)
                .collect();
            let whole = received == ["first", "second"] || received == ["second"];
            assert!(whole, "{framing}, dropped after {times}: {received:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipe_of_one_byte_carries_everything() {
    for framing in FRAMINGS {
        let (ours, theirs) = tokio::io::duplex(1);
        let echo = tokio::spawn(async move {
            let mut connection = Connection::new(theirs, make(framing));
            while let Some(frame) = connection.next().await {
                connection.send(frame.unwrap()).await.unwrap();
            }
        });
        let mut connection = Connection::new(ours, make(framing));
        for frame in frames() {
            connection.send(frame.clone()).await.unwrap();
            assert!(
                connection.next().await.unwrap().unwrap() == frame,
                "{framing}"
            );
        }
        drop(connection);
        echo.await.unwrap();
    }
}

#[tokio::test]
async fn s18_after_a_half_close_answers_still_go_out() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let mut connection = Connection::new(ours, Delimiter::default());
    theirs.write_all(b"request\n").await.unwrap();
    theirs.shutdown().await.unwrap();
    assert_eq!(connection.next().await.unwrap().unwrap(), "request");
    assert!(connection.next().await.is_none());
    connection.send("response".into()).await.unwrap();
    connection.close().await.unwrap();
    let mut written = String::new();
    theirs.read_to_string(&mut written).await.unwrap();
    assert_eq!(written, "response\n");
}

#[tokio::test]
async fn s18_but_no_ack_can_come_any_more() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let mut connection = Connection::new(ours, AckHandshake::default());
    theirs.write_all(b"2\nhi").await.unwrap();
    theirs.shutdown().await.unwrap();
    assert_eq!(connection.next().await.unwrap().unwrap(), "hi");
    assert!(connection.next().await.is_none());
    // At once, not after the ack's time limit.
    let sent = connection.send("response".into()).now_or_never();
    let Some(Err(Error::Frame(mut error))) = sent else {
        panic!("sent without an ack");
    };
    assert_eq!(error.take_frame().unwrap(), "response");
}

#[tokio::test]
async fn s23_a_half_close_inside_a_frame_is_a_cut_off_frame() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let mut connection = Connection::new(ours, StructHeader::default());
    theirs.write_all(b"\0\0\0\x05hel").await.unwrap();
    theirs.shutdown().await.unwrap();
    let Some(Err(Error::Frame(error))) = connection.next().await else {
        panic!("cut off, and no error");
    };
    assert_eq!(
        (error.kind(), error.have(), error.need()),
        (ErrorKind::Truncated, 3, Some(5))
    );
}

#[tokio::test]
async fn s13_other_tasks_run_while_frames_of_one_read_are_taken() {
    let io = Builder::new().read(&b"x\n".repeat(10_000)).build();
    let mut connection = spawn(Connection::new(io, Delimiter::default()));
    let (mut frames, mut pauses) = (0, 0);
    while frames < 10_000 {
        match connection.enter(|cx, stream| stream.poll_next(cx)) {
            Poll::Ready(Some(Ok(_))) => frames += 1,
            Poll::Ready(other) => panic!("{other:?}"),
            Poll::Pending => {
                assert!(connection.is_woken(), "it waits though there is more");
                pauses += 1;
            }
        }
    }
    assert!(pauses >= 10, "{pauses} pauses");
}

#[tokio::test]
async fn s04_bytes_read_ahead_pass_to_the_next_framing() {
    let io = Builder::new().read(b"UPGRADE\n\0\0\0\x02hi").build();
    let mut lines = Connection::new(io, Delimiter::default());
    assert_eq!(lines.next().await.unwrap().unwrap(), "UPGRADE");
    let (io, _, rest) = lines.into_parts();
    let mut binary = Connection::new(io, StructHeader::default()).with_read_bytes(&rest);
    assert_eq!(binary.next().await.unwrap().unwrap(), "hi");
}

#[tokio::test]
async fn a_refusal_reaches_the_peer_before_the_error() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let framing = make(r#"{ type = "ack-handshake", max_frame = 10, refusal = "too much" }"#);
    let mut connection = Connection::new(ours, framing);
    theirs.write_all(b"11\n").await.unwrap();
    assert!(connection.next().await.unwrap().is_err());
    drop(connection);
    let mut written = String::new();
    theirs.read_to_string(&mut written).await.unwrap();
    assert_eq!(written, "too much");
}

#[tokio::test]
async fn a_final_error_of_the_stream_is_told_to_the_sink() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let mut connection =
        Connection::new(ours, make(r#"{ type = "ack-handshake", max_frame = 1 }"#));
    theirs.write_all(b"2\n").await.unwrap();
    assert!(connection.next().await.unwrap().is_err());
    let Err(Error::Frame(error)) = connection.send("x".into()).await else {
        panic!("a broken connection takes a frame");
    };
    assert_eq!(error.kind(), ErrorKind::TooLong);
}

#[tokio::test]
async fn what_came_before_a_frame_that_cannot_be_read_can_be_answered() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let mut connection =
        Connection::new(ours, make(r#"{ type = "struct-header", max_frame = 1 }"#));
    theirs
        .write_all(b"\0\0\0\x01aGET / HTTP/1.1")
        .await
        .unwrap();
    assert_eq!(connection.next().await.unwrap().unwrap(), "a");
    assert!(connection.next().await.unwrap().is_err());
    assert!(connection.next().await.is_none());
    let visited = connection.visit(|_, _| unreachable!("the stream has ended"));
    assert!(matches!(visited.await, Err(Error::Frame(_))));
    connection.send("b".into()).await.unwrap();
    connection.close().await.unwrap();
    let mut answer = Vec::new();
    theirs.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"\0\0\0\x01b");
}

#[tokio::test]
async fn nothing_of_a_frame_is_shown_to_those_who_debug() {
    async fn shown<F: framing::Framing + std::fmt::Debug>(framing: F, begun: &[u8]) -> String {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let mut connection = Connection::new(ours, framing);
        theirs.write_all(begun).await.unwrap();
        assert!(connection.next().now_or_never().is_none());
        connection.feed("hunter2".into()).await.unwrap();
        let (io, machine) = (connection.get_ref(), &connection);
        format!("{machine:?}").replace(&format!("{io:?}"), "")
    }
    let codec = CodecFraming::new(LengthDelimitedCodec::new(), Limits::new());
    for shown in [
        shown(Delimiter::default(), b"hunter2").await,
        shown(StructHeader::default(), b"\0\0\0\x09hunter2").await,
        shown(codec, b"\0\0\0\x09hunter2").await,
        shown(AckHandshake::default(), b"9\nhunter2").await,
    ] {
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(shown.contains("unread"), "{shown}");
    }
}

#[tokio::test]
async fn the_header_reaches_the_application() {
    let (ours, theirs) = tokio::io::duplex(1024);
    let framing = || StructHeader::new("!4sBxH").unwrap();
    let (mut ours, mut theirs) = (
        Connection::new(ours, framing()),
        Connection::new(theirs, framing()),
    );
    let items = ["MAGC".into(), framing::Value::Int(2)];
    ours.set_header(&items).unwrap();
    ours.send("hello".into()).await.unwrap();
    assert_eq!(theirs.next().await.unwrap().unwrap(), "hello");
    assert_eq!(theirs.header(), items);
}

#[tokio::test]
async fn our_framings_are_codecs() {
    let (ours, theirs) = tokio::io::duplex(3);
    let codec = || FramingCodec::new(StructHeader::default()).unwrap();
    let mut ours = Framed::new(ours, codec());
    let theirs = tokio::spawn(Framed::new(theirs, codec()).collect::<Vec<_>>());
    for frame in frames() {
        ours.send(frame).await.unwrap();
    }
    ours.close().await.unwrap();
    let received: Vec<_> = theirs
        .await
        .unwrap()
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(received == frames());
}

#[tokio::test]
async fn a_codec_of_ours_keeps_its_error() {
    let limits = Limits::new().max_frame(4).on_error(OnError::Close);
    let framing = StructHeaderOptions::default().build(limits).unwrap();
    let io = Builder::new().read(b"\0\0\0\x05hello\0\0\0\x02hi").build();
    let mut framed = Framed::new(io, FramingCodec::new(framing).unwrap());
    let error = framed.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let inner = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<FrameError>());
    assert_eq!(inner.map(FrameError::kind), Some(ErrorKind::TooLong));
    // What `Framed` asks for once more is refused once more.
    assert!(framed.next().await.is_none_or(|again| again.is_err()));
}

#[tokio::test]
async fn a_codec_of_ours_refuses_and_goes_on() {
    let (ours, mut theirs) = tokio::io::duplex(64);
    let mut framed = Framed::new(ours, FramingCodec::new(Delimiter::default()).unwrap());
    let error = framed.send("a\nb".into()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    framed.send("ab".into()).await.unwrap();
    drop(framed);
    let mut written = String::new();
    theirs.read_to_string(&mut written).await.unwrap();
    assert_eq!(written, "ab\n");
}

#[test]
fn a_codec_of_ours_gives_a_frame_before_the_end_and_tells_a_cut_off_one() {
    let mut codec = FramingCodec::new(StructHeader::default()).unwrap();
    let mut buffer = BytesMut::from(&b"\0\0\0\x02hi\0\0\0\x05hel"[..]);
    assert_eq!(codec.decode(&mut buffer).unwrap().unwrap(), "hi");
    assert!(codec.decode(&mut buffer).unwrap().is_none());
    let error = codec.decode_eof(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_framing_that_answers_cannot_be_a_codec() {
    let error = FramingCodec::new(AckHandshake::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn foreign_codecs_are_framings() {
    let framing = || {
        CodecFraming::new(
            LengthDelimitedCodec::new(),
            Limits::new().max_frame(1 << 20),
        )
    };
    let (ours, theirs) = tokio::io::duplex(3);
    let mut ours = Connection::new(ours, framing());
    let theirs = tokio::spawn(Connection::new(theirs, framing()).collect::<Vec<_>>());
    for frame in frames() {
        ours.send(frame).await.unwrap();
    }
    ours.close().await.unwrap();
    let received: Vec<_> = theirs
        .await
        .unwrap()
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(received == frames());
}

#[test]
fn an_error_of_a_foreign_codec_has_its_place() {
    let mut codec = LengthDelimitedCodec::new();
    codec.set_max_frame_length(4);
    for pieces in [
        &[&b"\0\0\0\x02hi\0\0\0\x05hello"[..]][..],
        &[b"\0\0\0\x02h", b"i\0\0", b"\0\x05"],
    ] {
        let mut machine = Machine::new(CodecFraming::new(codec.clone(), Limits::new()));
        let mut errors = Vec::new();
        for piece in pieces {
            machine.receive(piece);
            loop {
                match machine.next_frame() {
                    Ok(Received::Frame(frame)) => assert_eq!(frame, "hi"),
                    Ok(_) => break,
                    Err(error) => {
                        errors.push((error.kind(), error.offset()));
                        break;
                    }
                }
            }
        }
        assert_eq!(errors, [(ErrorKind::Malformed, 6)]);
    }
}

/// Waits for an end that never comes, and does not mind when the stream ends.
struct Endless;

impl Decoder for Endless {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, _: &mut BytesMut) -> io::Result<Option<Bytes>> {
        Ok(None)
    }

    fn decode_eof(&mut self, _: &mut BytesMut) -> io::Result<Option<Bytes>> {
        Ok(None)
    }
}

impl Encoder<Bytes> for Endless {
    type Error = io::Error;

    fn encode(&mut self, _: Bytes, _: &mut BytesMut) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_a_foreign_codec_gathers_is_bounded_and_nothing_that_it_leaves_is_lost() {
    let make = || Machine::new(CodecFraming::new(Endless, Limits::new().max_frame(100)));
    let mut machine = make();
    machine.receive(&vec![0; 2 * 100 + 64 * 1024]);
    assert_eq!(machine.next_frame(), Ok(Received::Need(1)));
    machine.receive(b"!");
    let error = machine.next_frame().unwrap_err();
    assert_eq!(
        (error.kind(), error.limit()),
        (ErrorKind::TooLong, Some(100))
    );

    let mut machine = make();
    machine.receive(b"abc");
    machine.close_input();
    let error = machine.next_frame().unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Truncated, 3));
}

#[test]
fn a_foreign_codec_that_has_dropped_a_header_is_inside_a_frame() {
    let framing = CodecFraming::new(LengthDelimitedCodec::new(), Limits::new());
    let mut machine = Machine::new(framing);
    machine.framing_mut().set_max_frame(5);
    assert_eq!(machine.framing().max_frame(), 5);
    assert!(!machine.is_mid_frame());
    machine.receive(b"\0\0\0\x02");
    assert_eq!(machine.next_frame(), Ok(Received::Need(1)));
    assert_eq!(machine.unread(), 0);
    assert!(machine.is_mid_frame());
    machine.receive(b"hi");
    assert_eq!(machine.next_frame(), Ok(Received::Frame("hi".into())));
    assert!(!machine.is_mid_frame());
}

#[test]
fn an_idle_connection_holds_no_buffer() {
    let (ours, _theirs) = tokio::io::duplex(16);
    let mut connection = spawn(Connection::new(ours, StructHeader::default()));
    assert_pending!(connection.enter(|cx, stream| stream.poll_next(cx)));
    let rest: BytesMut = connection.into_inner().into_parts().2.into();
    assert_eq!(rest.capacity(), 0);
}

#[tokio::test]
async fn what_had_come_is_received_though_nothing_can_be_written_any_more() {
    let (ours, mut theirs) = tokio::io::duplex(64);
    let mut connection = Connection::new(ours, AckHandshake::default());
    theirs.write_all(b"3\n").await.unwrap();
    assert!(connection.next().now_or_never().is_none());
    // The peer has our agreement, sends its frame and goes; our announcement finds nobody.
    theirs.write_all(b"yes").await.unwrap();
    drop(theirs);
    connection.feed("no".into()).await.unwrap();
    assert_eq!(connection.next().await.unwrap().unwrap(), "yes");
    assert!(connection.next().await.unwrap().is_err());
    assert!(connection.next().await.is_none());
}
