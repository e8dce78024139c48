//! The native dialect between peers that keep to it: every cut, every order, every framing.

mod common;

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use common::{CODECS, PASSWORD, Parts, Server, answer, chunk, login, noise, trailer, within};
use framing::{Connection, Framing};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use services::{
    Body, BodyError, Code, Fields, Part, Request, Response, Status, Unsupported,
    client::{Client, ClientError, Command},
    exec::{Outcome, Script, ScriptedSpawner},
    files::Digest,
    login::Password,
    native::CallError,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex},
    time::sleep,
};
use tower::ServiceBuilder;

/// Moves one byte at a time, and lets others run in between.
#[derive(Debug)]
struct Trickle<Io> {
    io: Io,
    paused: bool,
}

impl<Io> Trickle<Io> {
    fn new(io: Io) -> Self {
        Self { io, paused: false }
    }

    fn pause(&mut self, cx: &mut Context<'_>) -> bool {
        self.paused = !self.paused;
        if self.paused {
            cx.waker().wake_by_ref();
        }
        self.paused
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Trickle<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let mut one = ReadBuf::new(buffer.initialize_unfilled_to(1));
        let result = Pin::new(&mut self.io).poll_read(cx, &mut one);
        let read = one.filled().len();
        buffer.advance(read);
        result
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Trickle<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.pause(cx) {
            return Poll::Pending;
        }
        let one = bytes.len().min(1);
        Pin::new(&mut self.io).poll_write(cx, &bytes[..one])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

fn spawner() -> ScriptedSpawner {
    let uname = Script::new().stdout("Linux\n").stderr("a word\n").exit(3);
    ScriptedSpawner::new()
        .program("uname", uname)
        .program("cat", Script::new().copy_stdin())
}

/// Every request of a session: login, a command with and without standard input, a file in and out.
fn session(framing: &impl Framing) -> Vec<Vec<u8>> {
    let content = noise(1500);
    let end = json!({"digest": Digest::of(&content).to_string()});
    let said = |head: Value| head.to_string().into_bytes();
    let part = |kind, bytes: &[u8]| chunk(framing, kind, bytes);
    vec![
        said(json!({"verb": "ping"})),
        said(login("alice", PASSWORD)),
        said(json!({"verb": "exec", "args": {"argv": ["uname", "-a"]}})),
        said(json!({"verb": "exec", "args": {"argv": ["cat"], "stdin": true}, "body": true})),
        part('d', b"hello\nok\n5\n{|"),
        b".".to_vec(),
        said(json!({"verb": "put", "args": {"name": "a.bin", "size": 1500}, "body": true})),
        part('d', &content[..700]),
        part('d', &content[700..]),
        format!(".{end}").into_bytes(),
        said(json!({"verb": "list"})),
        said(json!({"verb": "get", "args": {"name": "a.bin"}})),
        said(json!({"verb": "get", "args": {"name": "a.bin", "offset": 1400}})),
        said(json!({"verb": "remove", "args": {"name": "a.bin"}})),
        said(json!({"verb": "whoami"})),
    ]
}

/// How many requests are among them.
const REQUESTS: usize = 10;

/// What the server says, with chunks joined and times left out, until every request has its answer.
async fn transcript<S>(mut frames: S, text: bool) -> Vec<String>
where
    S: futures_util::Stream<Item = Bytes> + Unpin,
{
    use base64::{Engine, engine::general_purpose::STANDARD};

    let mut lines: Vec<String> = Vec::new();
    let mut answered = 0;
    while answered < REQUESTS {
        let frame = within(frames.next())
            .await
            .expect("every request is answered");
        let (kind, rest) = (char::from(frame[0]), frame.slice(1..));
        match kind {
            '{' => {
                let mut head: Value = serde_json::from_slice(&frame).unwrap();
                answered += usize::from(head.get("body").is_none());
                if let Some(details) = head.get_mut("details").and_then(Value::as_object_mut) {
                    details.remove("modified");
                    if let Some(files) = details.get_mut("files") {
                        files[0].as_object_mut().unwrap().remove("modified");
                    }
                }
                lines.push(head.to_string());
            }
            '.' | '!' => {
                answered += 1;
                lines.push(String::from_utf8(frame.to_vec()).unwrap());
            }
            kind => {
                let bytes = if text {
                    STANDARD.decode(&rest).unwrap()
                } else {
                    rest.to_vec()
                };
                let shown = format!("{kind}{}", bytes.escape_ascii());
                match lines.last_mut().filter(|last| last.starts_with(kind)) {
                    Some(last) => last.push_str(&shown[1..]),
                    None => lines.push(shown),
                }
            }
        }
    }
    lines
}

fn is_text(name: &str) -> bool {
    name == "delimiter"
}

/// The session as it goes over an ordinary connection.
async fn ordinary(name: &str) -> Vec<String> {
    let server = Parts::new(name).spawner(spawner()).start();
    let (io, _ended) = server.connect();
    let connection = Connection::new(io, server.framing.make());
    let frames = session(connection.framing());
    let (mut sink, stream) = connection.split();
    let send = async {
        for frame in frames {
            sink.send(frame.into()).await.unwrap();
        }
    };
    let stream = Box::pin(stream.map(Result::unwrap));
    within(async { tokio::join!(send, transcript(stream, is_text(name))) })
        .await
        .1
}

#[tokio::test]
async fn a_session_gives_what_it_must() {
    let transcript = ordinary("struct-header").await;
    let begins = [
        r#"{"status":"ok"}"#,
        r#"{"details":{"name":"alice","rights":["exec","read","write"]},"status":"ok"}"#,
        r#"{"body":true,"status":"ok"}"#,
        "oLinux\\n",
        "ea word\\n",
        r#".{"code":3,"outcome":"exit"}"#,
        r#"{"body":true,"status":"ok"}"#,
        "ohello\\nok\\n5\\n{|",
        r#".{"code":0,"outcome":"exit"}"#,
        r#"{"details":{"digest":""#,
        r#"{"details":{"files":[{"name":"a.bin","size":1500,"version":""#,
        r#"{"body":true,"details":{"name":"a.bin","offset":0,"size":1500,"version":""#,
        "d",
        ".{\"digest\":",
        r#"{"body":true,"details":{"name":"a.bin","offset":1400,"size":1500,"version":""#,
        "d",
        ".{\"digest\":",
        r#"{"status":"ok"}"#,
        r#"{"details":{"name":"alice","rights":["exec","read","write"]},"status":"ok"}"#,
    ];
    assert_eq!(transcript.len(), begins.len(), "{transcript:#?}");
    for (line, begin) in transcript.iter().zip(begins) {
        assert!(
            line.starts_with(begin),
            "{line} does not begin with {begin}"
        );
    }
    let content = noise(1500);
    assert_eq!(transcript[12], format!("d{}", content.escape_ascii()));
    assert_eq!(
        transcript[15],
        format!("d{}", content[1400..].escape_ascii())
    );
    assert_eq!(
        transcript[13], transcript[16],
        "the digest is that of the whole file"
    );
}

#[tokio::test]
async fn svc_a6_one_byte_at_a_time_gives_the_same_transcript() {
    for name in CODECS {
        let server = Parts::new(name).spawner(spawner()).start();
        let (io, _ended) = server.connect();
        let connection = Connection::new(Trickle::new(io), server.framing.make());
        let frames = session(connection.framing());
        let (mut sink, stream) = connection.split();
        let send = async {
            for frame in frames {
                sink.send(frame.into()).await.unwrap();
            }
        };
        let stream = Box::pin(stream.map(Result::unwrap));
        let (_, slow) =
            within(async { tokio::join!(send, transcript(stream, is_text(name))) }).await;
        assert_eq!(slow, ordinary(name).await, "{name}");
    }
}

#[tokio::test]
async fn svc_a6_a_pipe_of_one_byte_gives_the_same_transcript() {
    for name in CODECS {
        let mut server = Parts::new(name).spawner(spawner()).start();
        server.buffer = 1;
        let (io, _ended) = server.connect();
        let connection = Connection::new(io, server.framing.make());
        let frames = session(connection.framing());
        let (mut sink, stream) = connection.split();
        let send = async {
            for frame in frames {
                sink.send(frame.into()).await.unwrap();
            }
        };
        let stream = Box::pin(stream.map(Result::unwrap));
        let (_, slow) =
            within(async { tokio::join!(send, transcript(stream, is_text(name))) }).await;
        assert_eq!(slow, ordinary(name).await, "{name}");
    }
}

#[tokio::test]
async fn svc_a7_everything_in_one_write_gives_the_same_answers_in_the_same_order() {
    for name in ["struct-header", "delimiter"] {
        let server = Parts::new(name).spawner(spawner()).start();
        let (mut io, _ended) = server.connect();
        let mut bytes = Vec::new();
        for frame in session(&server.framing.make()) {
            if name == "struct-header" {
                bytes.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
                bytes.extend(frame);
            } else {
                bytes.extend(frame);
                bytes.push(b'\n');
            }
        }
        assert_eq!(
            io.write(&bytes).await.unwrap(),
            bytes.len(),
            "one write takes it all"
        );
        let stream = Connection::new(io, server.framing.make()).map(Result::unwrap);
        let answers = transcript(Box::pin(stream), is_text(name)).await;
        assert_eq!(answers, ordinary(name).await, "{name}");
    }
}

/// Reads a frame of an ack-handshake by hand, and agrees to it.
async fn read_by_hand(io: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Vec<u8> {
    let mut length = 0;
    loop {
        match io.read_u8().await.unwrap() {
            b'\n' => break,
            digit => length = 10 * length + usize::from(digit - b'0'),
        }
    }
    io.write_all(b"ok").await.unwrap();
    let mut body = vec![0; length];
    io.read_exact(&mut body).await.unwrap();
    body
}

/// Over ack-handshake nobody can write everything at once: while the server announces an answer, the
/// next bytes from us are its `ok`. What can be glued together is one announcement and its body.
#[tokio::test]
async fn svc_a7_announcement_and_body_in_one_write() {
    let server = Parts::new("ack-handshake").spawner(spawner()).start();
    let (mut io, _ended) = server.connect();
    let mut answers = Vec::new();
    for request in session(&server.framing.make()) {
        // Requests that are a head and nothing else, and no file to talk about.
        let has = |text: &str| request.windows(text.len()).any(|w| w == text.as_bytes());
        if request[0] != b'{' || has("\"body\":true") || has("a.bin") {
            continue;
        }
        let glued = [format!("{}\n", request.len()).as_bytes(), &request].concat();
        assert_eq!(io.write(&glued).await.unwrap(), glued.len());
        let mut ok = [0; 2];
        within(io.read_exact(&mut ok)).await.unwrap();
        assert_eq!(ok, *b"ok");
        loop {
            let frame = within(read_by_hand(&mut io)).await;
            let goes_on = frame.starts_with(b"{\"") && frame.ends_with(b"\"body\":true}");
            let is_part = matches!(frame[0], b'o' | b'e');
            answers.push(String::from_utf8(frame).unwrap());
            if !goes_on && !is_part {
                break;
            }
        }
    }
    let alice = r#"{"status":"ok","details":{"name":"alice","rights":["exec","read","write"]}}"#;
    let expected = [
        r#"{"status":"ok"}"#,
        alice,
        r#"{"status":"ok","body":true}"#,
        "oLinux\n",
        "ea word\n",
        r#".{"code":3,"outcome":"exit"}"#,
        r#"{"status":"ok","details":{"files":[]}}"#,
        alice,
    ];
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn svc_a9_delimiters_in_commands_and_files_survive() {
    for text in [
        "delimiter",
        "lines",
        r#"{ type = "delimiter", delimiter = "||", escape = "\\" }"#,
        r#"{ type = "delimiter", delimiter = "o", escape = "\\" }"#,
        r#"{ type = "delimiter", delimiter = { hex = "0d0a" } }"#,
    ] {
        let spawner = ScriptedSpawner::new().program("cat", Script::new().copy_stdin());
        let server = Parts::new(text).spawner(spawner.clone()).start();
        let mut client = server.client_of("alice").await;
        let evil = [
            "||", "|", "\n", "\r\n", "\r", "o", "\\", "\\||", "a||b", "\n\n", "ok",
        ];
        for mark in evil {
            let word = format!("{mark}middle{mark}{mark}end{mark}");
            let mut exec = client
                .exec(Command::program(["cat", &word, mark]).stdin())
                .await
                .unwrap();
            let mut input = exec.input();
            let send = async {
                // Cut within the mark, too.
                for byte in word.clone().into_bytes() {
                    input.write(vec![byte]).await.unwrap();
                }
                input.close().await.unwrap();
            };
            let mut output = Vec::new();
            let read = exec.wait(|piece| output.extend_from_slice(piece.bytes()));
            let (ended, ()) = within(async { tokio::join!(read, send) }).await;
            assert_eq!(ended.unwrap().outcome, Outcome::Exit(0), "{text}");
            assert_eq!(output, word.as_bytes(), "{text}");
            let run = spawner.runs().pop().unwrap();
            let asked = services::exec::Command::arguments(run.command.program(), [&*word, mark]);
            assert_eq!(run.command, asked, "{text}: every word arrives literally");

            let name = "a.bin".parse().unwrap();
            let content = word.clone().into_bytes();
            let source = std::io::Cursor::new(content.clone());
            within(client.put(&name, None, true, source)).await.unwrap();
            let mut download = within(client.get(&name)).await.unwrap();
            let mut got = Vec::new();
            while let Some(bytes) = within(download.read()).await.unwrap() {
                got.extend_from_slice(&bytes);
            }
            assert_eq!(got, content, "{text}");
        }
    }
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_thrown_away() {
    for name in CODECS {
        let stack = ServiceBuilder::new()
            .layer(answer("deaf", async |_| Response::ok()))
            .service(Unsupported);
        let server = Server::of(name, stack);
        let mut client = server.client();
        for verb in ["deaf", "unknown"] {
            // Much more than every buffer in between.
            let parts = (0..200).map(|_| Ok(Part::Data(vec![7; 64 * 1024].into())));
            let end = [Ok(Part::End(Fields::new()))];
            let body = Body::from_stream(futures_util::stream::iter(parts.chain(end)));
            let verb = services::Verb::new(verb);
            let result = within(client.call(verb.clone(), Fields::new(), body)).await;
            match result {
                Ok(reply) => assert!(reply.status().is_ok() && verb.as_str() == "deaf"),
                Err(error) => assert_eq!(error.status().unwrap().code(), &Code::UNSUPPORTED),
            }
        }
        // A peer that sends it all is in step as well.
        let mut peer = server.peer();
        peer.say(json!({"verb": "deaf", "body": true})).await;
        for _ in 0..100 {
            peer.chunk('d', &[7; 10_000]).await;
        }
        peer.send(".").await;
        assert_eq!(peer.head().await["status"], "ok", "{name}");
        assert_eq!(
            peer.ask(json!({"verb": "deaf"})).await["status"],
            "ok",
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_body_given_up_reaches_the_service_as_such() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = seen.clone();
    let stack = ServiceBuilder::new()
        .layer(answer("store", move |request: Request| {
            let note = note.clone();
            async move {
                let result = request.body.collect(1 << 20).await;
                note.lock().unwrap().push(result.map(|(bytes, _)| bytes));
                Response::ok()
            }
        }))
        .service(Unsupported);
    let server = Server::of("lines", stack);
    let mut peer = server.peer();
    for end in [
        "!{\"status\":\"cancelled\",\"message\":\"enough\"}",
        ".",
        ".{\"a\":1}",
    ] {
        peer.say(json!({"verb": "store", "body": true})).await;
        peer.chunk('d', b"some").await;
        peer.send(end).await;
        assert_eq!(peer.head().await["status"], "ok");
    }
    let given_up = Status::new(Code::from_static("cancelled"), "enough");
    let whole = Ok(Bytes::from("some"));
    let expected = [Err(BodyError::Aborted(given_up)), whole.clone(), whole];
    assert_eq!(*seen.lock().unwrap(), expected);

    // Cut off by the end of the stream is no end.
    peer.say(json!({"verb": "store", "body": true})).await;
    peer.chunk('d', b"some").await;
    peer.connection.close().await.unwrap();
    assert_eq!(peer.head().await["status"], "ok", "the answer still comes");
    assert!(peer.rest().await.is_empty());
    assert_eq!(seen.lock().unwrap()[3], Err(BodyError::ConnectionLost));
}

#[tokio::test]
async fn an_answer_that_does_not_fit_into_a_frame_says_so() {
    let stack = ServiceBuilder::new()
        .layer(answer("much", async |_| {
            let details = Fields::new().with("much", "x".repeat(70_000));
            Response::ok()
                .with_details(details)
                .with_body(Body::from("never sent"))
        }))
        .service(Unsupported);
    let server = Server::of(r#"{ type = "struct-header", format = "!H" }"#, stack);
    let mut peer = server.peer();
    let head = peer.ask(json!({"verb": "much"})).await;
    assert_eq!(head["status"], "too-long");
    assert_eq!(head.get("body"), None);
    assert!(
        head["message"].as_str().unwrap().contains("65535"),
        "{head}"
    );
    assert_eq!(
        peer.ask(json!({"verb": "other"})).await["status"],
        "unsupported"
    );
}

#[tokio::test]
async fn a_request_that_does_not_fit_into_a_frame_is_not_sent() {
    let server = Parts::new(r#"{ type = "struct-header", format = "!H" }"#).start();
    let mut client = server.client_of("alice").await;
    let long = Command::program(["cat".to_owned(), "x".repeat(70_000)]);
    let error = within(client.exec(long)).await.unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::Call(CallError::TooLong { limit: 65_535, .. })
        ),
        "{error}"
    );
    assert!(!error.is_connection_lost());
    within(client.whoami()).await.unwrap();
}

#[tokio::test]
async fn chunks_are_cut_to_the_limit_that_holds_before_a_login() {
    // A service outside of the login answers while frames are still small.
    let stack = ServiceBuilder::new()
        .layer(answer("much", async |_| {
            Response::ok().with_body(Body::from(noise(100_000)))
        }))
        .service(Unsupported);
    let make = tower::service_fn(move |_| {
        let stack = stack.clone();
        async move { Ok::<_, std::convert::Infallible>(stack) }
    });
    for name in CODECS {
        use framing::serve::{Address, Drain, Handler, Peer};
        let native = services::native::NativeServer::new(make.clone())
            .before_login(1000, Duration::from_secs(10));
        let factory = common::framing(name);
        let (ours, theirs) = duplex(64 * 1024);
        let peer = Peer::new(Address::Memory(1), Address::Memory(0));
        let connection = Connection::new(theirs, factory.make());
        tokio::spawn(native.handle(connection, peer, Drain::new()));
        let mut client = Client::new(ours, factory.make()).unwrap();
        let verb = services::Verb::from_static("much");
        let mut reply = within(client.call(verb, Fields::new(), Body::none()))
            .await
            .unwrap();
        let mut got = Vec::new();
        while let Some(part) = within(reply.next()).await {
            if let Part::Data(bytes) = part.unwrap() {
                assert!(bytes.len() < 1000, "{name}");
                got.extend_from_slice(&bytes);
            }
        }
        assert_eq!(got, noise(100_000), "{name}");
    }
}

#[tokio::test]
async fn a_peer_that_closes_its_side_still_gets_the_answer() {
    for name in ["struct-header", "delimiter"] {
        let stack = ServiceBuilder::new()
            .layer(answer("slow", async |request: Request| {
                // The service is told, and may answer all the same.
                request.session.hung_up().await;
                Response::ok().with_body(Body::from("worth waiting for"))
            }))
            .service(Unsupported);
        let server = Server::of(name, stack);
        let mut peer = server.peer();
        peer.say(json!({"verb": "slow"})).await;
        peer.connection.close().await.unwrap();
        assert_eq!(peer.head().await["status"], "ok");
        assert_eq!(peer.body().await.0, b"worth waiting for");
        assert!(peer.rest().await.is_empty());
        peer.ended().await.unwrap();
    }
}

#[tokio::test]
async fn a_drain_finishes_the_present_request_and_takes_no_other() {
    let calls = Arc::new(AtomicUsize::new(0));
    let go = Arc::new(tokio::sync::Notify::new());
    let (counter, signal) = (calls.clone(), go.clone());
    let stack = ServiceBuilder::new()
        .layer(answer("work", move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            let go = signal.clone();
            async move {
                go.notified().await;
                Response::ok().with_body(Body::from("done"))
            }
        }))
        .service(Unsupported);
    let server = Server::of("struct-header", stack);
    let mut idle = server.peer();
    assert_eq!(
        idle.ask(json!({"verb": "x"})).await["status"],
        "unsupported"
    );
    let mut busy = server.peer();
    busy.say(json!({"verb": "work"})).await;
    busy.say(json!({"verb": "work"})).await;
    common::until("the request has begun", || {
        calls.load(Ordering::SeqCst) == 1
    })
    .await;
    server.drain.request();
    assert!(idle.rest().await.is_empty());
    idle.ended().await.unwrap();
    go.notify_one();
    assert_eq!(busy.head().await["status"], "ok");
    assert_eq!(busy.body().await.0, b"done");
    assert!(
        busy.rest().await.is_empty(),
        "the second request is not taken"
    );
    busy.ended().await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

/// Writes until nothing is taken for a while; how much was.
async fn fill(io: &mut (impl AsyncWrite + Unpin), bytes: &[u8], most: usize) -> usize {
    let mut written = 0;
    while written < most {
        let write = io.write(&bytes[written % bytes.len()..]);
        match tokio::time::timeout(Duration::from_millis(300), write).await {
            Ok(taken) => written += taken.unwrap(),
            Err(_) => break,
        }
    }
    written
}

#[tokio::test]
async fn a_service_that_does_not_read_stops_the_reading_of_the_socket() {
    let go = Arc::new(tokio::sync::Notify::new());
    let signal = go.clone();
    let stack = ServiceBuilder::new()
        .layer(answer("idle", move |request: Request| {
            let go = signal.clone();
            async move {
                go.notified().await;
                let (bytes, _) = request.body.collect(usize::MAX).await.unwrap();
                Response::ok().with_details(Fields::new().with("got", bytes.len()))
            }
        }))
        .service(Unsupported);
    let server = Server::of("struct-header", stack);
    let (mut io, _ended) = server.connect();
    let head = br#"{"verb":"idle","body":true}"#;
    io.write_all(&u32::try_from(head.len()).unwrap().to_be_bytes())
        .await
        .unwrap();
    io.write_all(head).await.unwrap();
    let mut frame = Vec::from(10_001_u32.to_be_bytes());
    frame.push(b'd');
    frame.extend([1; 10_000]);
    let written = fill(&mut io, &frame, 64 << 20).await;
    // Four parts for the service, one frame ahead, the read buffer, the pipe.
    assert!(
        written < 400_000,
        "{written} bytes were taken that nobody reads"
    );
    assert!(written > 64 * 1024, "{written}");

    // It was only held back: all arrives in the end.
    go.notify_one();
    let cut = written % frame.len();
    io.write_all(&frame[cut..]).await.unwrap();
    let frames = written / frame.len() + 1;
    io.write_all(&[0, 0, 0, 1, b'.']).await.unwrap();
    let mut connection = Connection::new(io, server.framing.make());
    let answer = within(connection.next()).await.unwrap().unwrap();
    let head: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(head["details"]["got"], frames * 10_000);
}

#[tokio::test]
async fn a_peer_that_does_not_read_stops_the_body_of_the_service() {
    for name in CODECS {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = made.clone();
        let stack = ServiceBuilder::new()
            .layer(answer("much", move |_| {
                let counter = counter.clone();
                async move {
                    let parts = futures_util::stream::iter(0..2000).map(move |part| {
                        counter.fetch_add(1, Ordering::SeqCst);
                        Ok(match part {
                            1999 => Part::End(Fields::new()),
                            _ => Part::Data(vec![5; 10_000].into()),
                        })
                    });
                    Response::ok().with_body(Body::from_stream(parts))
                }
            }))
            .service(Unsupported);
        let server = Server::of(name, stack);
        let mut peer = server.peer();
        peer.say(json!({"verb": "much"})).await;
        sleep(Duration::from_millis(300)).await;
        // The pipe, the 64 KiB that wait to be written, a frame; over ack-handshake a filled one.
        let waiting = made.load(Ordering::SeqCst);
        assert!(waiting < 60, "{name}: {waiting} parts were made for nobody");
        assert_eq!(peer.head().await["status"], "ok");
        assert_eq!(peer.body().await.0.len(), 1999 * 10_000);
        assert_eq!(made.load(Ordering::SeqCst), 2000);
    }
}

#[tokio::test]
async fn an_answer_goes_out_although_its_service_does_not_read_yet() {
    // Over ack-handshake the agreement to each of its frames stands behind what is not read yet.
    for name in CODECS {
        let stack = ServiceBuilder::new()
            .layer(answer("late", async |mut request: Request| {
                let body = std::mem::take(&mut request.body);
                let parts = futures_util::stream::unfold((0, Some(body)), async |(sent, body)| {
                    // In between, so that no two parts become one frame.
                    sleep(Duration::from_millis(1)).await;
                    if sent < 60 {
                        return Some((Ok(Part::Data("x".into())), (sent + 1, body)));
                    }
                    let (bytes, _) = body?.collect(1 << 20).await.unwrap();
                    let end = Fields::new().with("got", bytes.len());
                    Some((Ok(Part::End(end)), (sent, None)))
                });
                Response::ok().with_body(Body::from_stream(parts))
            }))
            .service(Unsupported);
        let server = Server::of(name, stack);
        let (io, _ended) = server.connect();
        let (mut sink, mut stream) = Connection::new(io, server.framing.make()).split();
        let send = async {
            let head = json!({"verb": "late", "body": true}).to_string();
            sink.send(head.into()).await.unwrap();
            for _ in 0..200 {
                let chunk = chunk(&server.framing.make(), 'd', &[7; 1000]);
                sink.send(chunk.into()).await.unwrap();
            }
            sink.send(".".into()).await.unwrap();
        };
        let read = async {
            loop {
                let frame = stream.next().await.unwrap().unwrap();
                if frame[0] == b'.' {
                    return trailer(&frame);
                }
            }
        };
        let (end, ()) = within(async { tokio::join!(read, send) }).await;
        assert_eq!(end, json!({"got": 200_000}), "{name}");
    }
}

#[tokio::test]
async fn a_pipelining_client_is_answered_over_every_framing() {
    // Over ack-handshake each answer needs the peer's agreement, which stands behind its requests.
    for name in CODECS {
        let stack = ServiceBuilder::new()
            .layer(answer("echo", async |request: Request| {
                let parts = futures_util::stream::unfold(0, async |sent| {
                    // In between, so that no two parts become one frame.
                    tokio::task::yield_now().await;
                    Some(match sent {
                        5 => (Ok(Part::End(Fields::new())), sent),
                        sent => (Ok(Part::Data(noise(1000).into())), sent + 1),
                    })
                });
                Response::ok()
                    .with_details(request.arguments)
                    .with_body(Body::from_stream(parts))
            }))
            .service(Unsupported);
        let mut server = Server::of(name, stack);
        server.buffer = 200;
        let (io, _ended) = server.connect();
        let (mut sink, mut stream) = Connection::new(io, server.framing.make()).split();
        let send = async {
            for i in 0..300 {
                let head = json!({"verb": "echo", "args": {"i": i}}).to_string();
                sink.send(head.into()).await.unwrap();
            }
        };
        let read = async {
            for i in 0..300 {
                let head: Value =
                    serde_json::from_slice(&stream.next().await.unwrap().unwrap()).unwrap();
                assert_eq!(head["details"]["i"], i, "{name}");
                while stream.next().await.unwrap().unwrap()[0] != b'.' {}
            }
        };
        within(async { tokio::join!(send, read) }).await;
    }
}

#[tokio::test]
async fn a_version_that_is_not_spoken_is_refused_by_number() {
    let server = Server::of("lines", Unsupported);
    let mut peer = server.peer();
    assert_eq!(
        peer.ask(json!({"v": 1, "verb": "x"})).await["status"],
        "unsupported"
    );
    let head = peer.ask(json!({"v": 2, "verb": "x"})).await;
    assert_eq!(head["status"], "bad-request");
    assert!(head["message"].as_str().unwrap().contains('2'), "{head}");
    assert!(peer.rest().await.is_empty());
}

#[tokio::test]
async fn a_login_is_answered_like_any_request_that_has_a_body() {
    // Nobody needs a body there, and it does no harm.
    let server = Parts::new("struct-header").start();
    let mut peer = server.peer();
    let mut head = login("alice", PASSWORD);
    head["body"] = true.into();
    peer.say(head).await;
    peer.chunk('d', b"what for").await;
    peer.send(".").await;
    assert_eq!(peer.head().await["status"], "ok");
    peer.lives().await;
    let password = Password::new(PASSWORD).unwrap();
    assert!(
        within(server.client().login("alice", password))
            .await
            .is_ok()
    );
}
