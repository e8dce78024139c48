//! The native server against peers that break the framing, the dialect, or the connection.

mod common;

use std::{
    convert::Infallible,
    future::{Ready, pending, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use common::{CODECS, Parts, Peer, Server, answer, login, native_error, noise, trailer, within};
use framing::{Error, ErrorKind};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use services::{
    Body, Part, Request, Response, Unsupported,
    exec::{Script, ScriptedSpawner},
    native::NativeError,
};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tower::{BoxError, Service, ServiceBuilder};

/// The kind of the framing's error that ended a connection.
fn frame_error(result: Result<(), BoxError>) -> ErrorKind {
    match native_error(result) {
        NativeError::Connection(Error::Frame(error)) => error.kind(),
        other => panic!("{other:?} is not an error of the framing"),
    }
}

/// Writes until the other end is gone; how many bytes it took.
async fn flood(io: &mut (impl AsyncWrite + Unpin), piece: &[u8], most: usize) -> usize {
    let mut taken = 0;
    while taken < most {
        match io.write(piece).await {
            Ok(written) => taken += written,
            Err(_) => break,
        }
    }
    taken
}

#[tokio::test]
async fn svc_a1_a_frame_without_end_is_too_long_before_a_login() {
    for name in [
        "delimiter",
        "lines",
        r#"{ type = "delimiter", delimiter = "||", escape = "\\" }"#,
    ] {
        let server = Parts::new(name).start();
        let (mut io, ended) = server.connect();
        let taken = within(flood(&mut io, &[b'A'; 32 * 1024], 256 << 20)).await;
        // The limit of 8 KiB, what one read brings beyond it, and the pipe.
        assert!(
            taken <= 8 * 1024 + 64 * 1024 + server.buffer,
            "{name}: {taken} bytes were taken"
        );
        assert_eq!(
            frame_error(within(ended).await.unwrap()),
            ErrorKind::TooLong,
            "{name}"
        );
        let mut said = Vec::new();
        let _ = within(io.read_to_end(&mut said)).await;
        assert!(said.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn svc_a1_the_limit_before_a_login_is_exact_and_goes_with_the_login() {
    for name in CODECS {
        let server = Parts::new(name).start();
        for (length, fits) in [(8 * 1024, true), (8 * 1024 + 1, false)] {
            let mut peer = server.peer();
            let empty = login("alice", "").to_string().len();
            let head = login("alice", &"p".repeat(length - empty)).to_string();
            assert_eq!(head.len(), length);
            let sent = within(peer.connection.send(head.clone().into())).await;
            let answer = peer.frame().await;
            assert_eq!(sent.is_ok() && answer.is_some(), fits, "{name}: {length}");

            let mut peer = server.peer_of("alice").await;
            peer.send(head).await;
            assert_eq!(
                peer.head().await["status"],
                "bad-request",
                "{name}: it is too late"
            );
        }
    }
}

#[tokio::test]
async fn svc_a2_a_huge_declared_length_is_refused_from_the_header_alone() {
    let struct_header =
        |format: &str| format!(r#"{{ type = "struct-header", format = "{format}" }}"#);
    let big = |length: u64| length.to_be_bytes().to_vec();
    let small = |length: u32| length.to_be_bytes().to_vec();
    for (name, header) in [
        (struct_header("!I"), small(8 * 1024 + 1)),
        (struct_header("!I"), small(1 << 31)),
        (struct_header("!I"), small(u32::MAX)),
        (struct_header("!Q"), big(1 << 63)),
        (struct_header("!Q"), big(u64::MAX)),
        (struct_header("!q"), big(1 << 62)),
        ("ack-handshake".to_owned(), b"8193\n".to_vec()),
        ("ack-handshake".to_owned(), b"2147483648\n".to_vec()),
        ("ack-handshake".to_owned(), b"4294967295\n".to_vec()),
        (
            "ack-handshake".to_owned(),
            b"9223372036854775808\n".to_vec(),
        ),
        (
            "ack-handshake".to_owned(),
            b"18446744073709551615\n".to_vec(),
        ),
    ] {
        let server = Parts::new(&name).start();
        let (mut io, ended) = server.connect();
        io.write_all(&header).await.unwrap();
        // Not a byte of the body has come.
        let kind = frame_error(within(ended).await.unwrap());
        assert_eq!(kind, ErrorKind::TooLong, "{name} {header:?}");
        let mut said = Vec::new();
        let _ = within(io.read_to_end(&mut said)).await;
        assert_eq!(said, b"", "{name}: and there is no `ok` to it");
        assert_eq!(server.counting.calls(), 0);
    }
}

#[tokio::test]
async fn svc_a5_a_body_that_is_cut_off_is_never_a_success() {
    for name in CODECS {
        let spawner = ScriptedSpawner::new().program("cat", Script::new().copy_stdin());
        let server = Parts::new(name).spawner(spawner).start();
        let digest = services::files::Digest::of(b"hello").to_string();
        // Cut within a frame, and between two of them.
        for within_a_frame in [true, false] {
            let mut peer = server.peer_of("alice").await;
            let put = json!({"verb": "put", "args": {"name": "x", "size": 5}, "body": true});
            peer.say(put).await;
            peer.chunk('d', b"hello").await;
            let rest = if within_a_frame {
                let end = format!(".{{\"digest\":\"{digest}\"}}");
                let wire = match name {
                    "struct-header" => [
                        &u32::try_from(end.len()).unwrap().to_be_bytes(),
                        end.as_bytes(),
                    ]
                    .concat(),
                    "ack-handshake" => format!("{}\n{end}", end.len()).into_bytes(),
                    _ => format!("{end}\n").into_bytes(),
                };
                wire[..wire.len() - 1].to_vec()
            } else {
                Vec::new()
            };
            let io = peer.connection.get_mut();
            io.write_all(&rest).await.unwrap();
            io.shutdown().await.unwrap();
            for frame in peer.rest().await {
                let head: Value = serde_json::from_slice(&frame).unwrap();
                assert_ne!(head["status"], "ok", "{name}");
            }
            let mut reader = server.peer_of("reader").await;
            let list = reader.ask(json!({"verb": "list"})).await;
            assert_eq!(
                list["details"]["files"],
                json!([]),
                "{name}: nothing was stored"
            );
        }
    }
}

#[tokio::test]
async fn svc_a5_one_byte_too_many_is_the_next_frame_and_no_frame() {
    let server = Parts::new("struct-header").start();
    let mut peer = server.peer_of("alice").await;
    let head = br#"{"verb":"whoami"}"#;
    let lied = [&(head.len() as u32).to_be_bytes(), &head[..], b"!"].concat();
    peer.connection.get_mut().write_all(&lied).await.unwrap();
    assert_eq!(peer.head().await["status"], "ok");
    peer.connection.get_mut().shutdown().await.unwrap();
    assert!(peer.rest().await.is_empty());
    let Peer { ended, .. } = peer;
    assert_eq!(
        frame_error(within(ended).await.unwrap()),
        ErrorKind::Truncated
    );
}

/// What the server writes in answer to each of these, and how its side ends.
async fn converse(steps: &[(&str, &str)]) -> Result<(), BoxError> {
    let server = Parts::new("ack-handshake").start();
    let (mut io, ended) = server.connect();
    for (bytes, expected) in steps {
        io.write_all(bytes.as_bytes()).await.unwrap();
        let mut said = vec![0; expected.len()];
        within(io.read_exact(&mut said)).await.unwrap();
        assert_eq!(String::from_utf8(said).unwrap(), *expected);
    }
    let ended = within(ended).await.unwrap();
    let mut more = Vec::new();
    let _ = io.read_to_end(&mut more).await;
    assert_eq!(more, b"", "{steps:?}");
    ended
}

#[tokio::test]
async fn svc_a8_acknowledgements_out_of_turn() {
    let ping = r#"{"verb":"ping"}"#;
    let announced = format!("{}\n", ping.len());
    let request = format!("{announced}{ping}");
    let answer = r#"{"status":"ok"}"#;
    let announcement = format!("ok{}\n", answer.len());

    // Before anything was announced.
    assert_eq!(
        frame_error(converse(&[("ok", "")]).await),
        ErrorKind::Malformed
    );
    // Twice: the second one agrees to nothing.
    let steps = [(&*request, &*announcement), ("okok", answer)];
    assert_eq!(frame_error(converse(&steps).await), ErrorKind::Malformed);
    // Something else: no body goes out.
    for wrong in ["oK", "OK", "no", "ko", "o\n"] {
        let steps = [(&*request, &*announcement), (wrong, "")];
        assert_eq!(
            frame_error(converse(&steps).await),
            ErrorKind::Refused,
            "{wrong}"
        );
    }
    // With something glued to it that is no announcement.
    let steps = [(&*request, &*announcement), ("okPAYLOAD", answer)];
    assert_eq!(frame_error(converse(&steps).await), ErrorKind::Malformed);
    // Glued to the next announcement, and split.
    let glued = (format!("ok{announced}"), format!("{answer}ok"));
    let steps = [
        (&*request, &*announcement),
        (&*glued.0, &*glued.1),
        (ping, &announcement[2..]),
        ("o", ""),
        ("k", answer),
        ("!", ""),
    ];
    assert_eq!(frame_error(converse(&steps).await), ErrorKind::Malformed);
}

#[tokio::test(start_paused = true)]
async fn svc_a8_an_acknowledgement_that_never_comes_runs_into_its_time_limit() {
    for requests in [1, 2, 5] {
        // Also with further requests between the announcement and the `ok` that is due.
        let server = Server::of("ack-handshake", Unsupported);
        let (mut io, ended) = server.connect();
        for _ in 0..requests {
            io.write_all(b"15\n{\"verb\":\"ping\"}").await.unwrap();
        }
        let began = tokio::time::Instant::now();
        let ended = tokio::time::timeout(Duration::from_secs(120), ended).await;
        let kind = frame_error(ended.expect("it ends").unwrap());
        if requests == 1 {
            assert_eq!(kind, ErrorKind::Timeout);
            let waited = began.elapsed();
            assert!((29..=31).contains(&waited.as_secs()), "{waited:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn svc_a8_a_peer_that_stops_agreeing_in_the_middle_is_given_up() {
    let stack = ServiceBuilder::new()
        .layer(answer("much", async |_| {
            // Larger than what may wait, so that the service is held back.
            let parts = std::iter::repeat_with(|| Ok(Part::Data(noise(100_000).into())));
            Response::ok().with_body(Body::from_stream(futures_util::stream::iter(parts)))
        }))
        .service(Unsupported);
    let server = Server::of("ack-handshake", stack);
    let mut peer = server.peer();
    peer.say(json!({"verb": "much"})).await;
    peer.say(json!({"verb": "ahead"})).await;
    assert_eq!(peer.head().await["status"], "ok");
    let Peer { connection, ended } = peer;
    let ended = tokio::time::timeout(Duration::from_secs(120), ended).await;
    assert_eq!(
        frame_error(ended.expect("it ends").unwrap()),
        ErrorKind::Timeout
    );
    drop(connection);
}

#[tokio::test]
async fn svc_a11_other_protocols_are_closed_and_echoed_nothing() {
    let http = b"POST /exec HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n\
        {\"verb\":\"exec\",\"args\":{\"argv\":[\"uname\"]}}\n";
    let mut hello = vec![
        0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03,
    ];
    hello.extend(noise(500));
    let ssh = b"SSH-2.0-OpenSSH_9.9 marker\r\n";
    let random = noise(1024);
    for name in ["ack-handshake", "struct-header", "delimiter", "lines"] {
        for bytes in [&http[..], &hello, ssh, &random] {
            let server = Parts::new(name).start();
            let (mut io, ended) = server.connect();
            io.write_all(bytes).await.unwrap();
            // Over struct-header `SSH-` is a length of a gigabyte; the others hang in the air.
            io.shutdown().await.unwrap();
            let mut said = Vec::new();
            within(io.read_to_end(&mut said)).await.unwrap();
            let ended = within(ended).await.unwrap();
            let shown = said.escape_ascii().to_string();
            assert!(
                said.is_empty() || shown.contains("bad-request"),
                "{name}: {shown}"
            );
            assert!(said.is_empty() == ended.is_err(), "{name}: {shown}");
            // Of whatever they sent, no four bytes together come back.
            let fixed = b"{\"status\":\"bad-request\",\"message\":\"a frame is neither a head, nor a chunk, nor an end\"}\n";
            assert!(said.is_empty() || said == fixed, "{name}: {shown}");
            assert_eq!(server.counting.calls(), 0, "{name}");
            assert!(server.audit.events().is_empty(), "{name}");
        }
    }
}

#[tokio::test]
async fn what_is_no_head_is_a_bad_request_and_the_last_one() {
    for head in [
        "{",
        "{}",
        "{\"verb\"}",
        "{\"verb\":5}",
        "{\"verb\":\"ping\",}",
        "{\"verb\":\"ping\"} {\"verb\":\"ping\"}",
        "{\"verb\":\"ping\",\"verb\":\"exec\"}",
        "{\"verb\":\"ping\",\"arguments\":{}}",
        "{\"verb\":\"ping\",\"args\":[]}",
        "{\"verb\":\"ping\",\"body\":\"true\"}",
        "{\"verb\":\"ping\",\"v\":0}",
        "{\"verb\":\"ping\",\"v\":2}",
        "{\"verb\":\"ping\",\"v\":-1}",
        "{\"verb\":\"ping\",\"v\":99999999999999999999}",
        "{\"status\":\"ok\"}",
        "[]",
        "null",
        "\"ping\"",
        "",
        " {\"verb\":\"ping\"}",
        "daGVsbG8=",
        "oaGVsbG8=",
        "e",
        ".",
        ".{}",
        "!{\"status\":\"x\"}",
        "c{\"cancel\":true}",
    ] {
        for name in ["lines", "struct-header"] {
            let server = Parts::new(name).start();
            for logged_in in [false, true] {
                let mut peer = server.peer();
                if logged_in {
                    peer.login("alice").await;
                }
                peer.send(head).await;
                // What comes behind it is not looked at.
                let _ = peer.connection.send("{\"verb\":\"ping\"}".into()).await;
                let answer = peer.head().await;
                assert_eq!(answer["status"], "bad-request", "{head}");
                assert!(
                    answer["message"].as_str().is_some_and(|m| m.len() < 400),
                    "{head}"
                );
                assert!(peer.rest().await.is_empty(), "{head}");
                peer.ended().await.unwrap();
            }
            assert_eq!(server.counting.calls(), 0, "{head}");
        }
    }
}

#[tokio::test]
async fn deep_and_long_json_is_refused_in_few_words() {
    let server = Parts::new("struct-header").start();
    let deep = format!("{{\"verb\":\"x\",\"args\":{{\"a\":{}", "[".repeat(1 << 20));
    let long = format!("{{\"verb\":\"x\",\"args\":\"{}\"}}", "y".repeat(1 << 20));
    for head in [deep, long] {
        let mut peer = server.peer_of("alice").await;
        peer.send(head).await;
        let answer = peer.head().await;
        assert_eq!(answer["status"], "bad-request");
        assert!(answer["message"].as_str().unwrap().len() < 400, "{answer}");
        assert!(peer.rest().await.is_empty());
    }
}

/// A stack that collects a body and answers, and one that answers with a body while it collects.
fn collecting()
-> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync
{
    ServiceBuilder::new()
        .layer(answer("collect", async |request: Request| {
            let _ = request.body.collect(1 << 20).await;
            Response::ok()
        }))
        .layer(answer("stream", async |mut request: Request| {
            let body = std::mem::take(&mut request.body);
            Response::ok().with_body(Body::from_stream(futures_util::stream::unfold(
                body,
                async |mut body| {
                    let part = body.next().await?;
                    Some((part, body))
                },
            )))
        }))
        .service(Unsupported)
}

#[tokio::test]
async fn what_is_no_part_of_a_body_is_a_bad_request_and_the_last_one() {
    for (name, wrong) in [
        ("lines", "{\"verb\":\"ping\"}"),
        ("lines", "d&&&&"),
        ("lines", "daGVsbG8"),
        ("lines", "daGVs bG8="),
        ("lines", "x"),
        ("lines", ""),
        ("lines", "c"),
        ("lines", "c[]"),
        ("lines", ".x"),
        ("lines", ".[1]"),
        ("lines", "!"),
        ("lines", "!{}"),
        ("struct-header", "{\"verb\":\"ping\"}"),
        ("struct-header", "\0"),
        ("ack-handshake", "{}"),
    ] {
        let server = Server::of(name, collecting());
        let mut peer = server.peer();
        peer.say(json!({"verb": "collect", "body": true})).await;
        peer.chunk('d', b"hello").await;
        peer.send(wrong).await;
        let answer = peer.head().await;
        assert_eq!(answer["status"], "bad-request", "{name} {wrong:?}");
        assert!(peer.rest().await.is_empty(), "{name} {wrong:?}");
        peer.ended().await.unwrap();

        // When an answer is under way already, its body is given up.
        let mut peer = server.peer();
        let answer = peer.ask(json!({"verb": "stream", "body": true})).await;
        assert_eq!(answer["status"], "ok");
        peer.chunk('d', b"hello").await;
        peer.frame().await.unwrap();
        peer.send(wrong).await;
        let (_, _, end) = peer.body().await;
        assert_eq!(end[0], b'!', "{name} {wrong:?}");
        assert_eq!(trailer(&end)["status"], "bad-request", "{name} {wrong:?}");
        assert!(peer.rest().await.is_empty());
        peer.ended().await.unwrap();
    }
}

#[tokio::test]
async fn a_frame_that_is_too_long_within_a_body_ends_the_connection() {
    let server = Server::of(
        r#"{ type = "struct-header", max_frame = "1KiB" }"#,
        collecting(),
    );
    let mut peer = server.peer();
    peer.say(json!({"verb": "collect", "body": true})).await;
    peer.connection
        .get_mut()
        .write_all(&[0, 0, 4, 1])
        .await
        .unwrap();
    assert!(
        peer.rest().await.is_empty(),
        "no answer, and certainly no success"
    );
    let Peer { ended, .. } = peer;
    assert_eq!(
        frame_error(within(ended).await.unwrap()),
        ErrorKind::TooLong
    );
}

#[tokio::test]
async fn svc_h6_a_failing_or_panicking_service_costs_one_request() {
    let stack = ServiceBuilder::new()
        .layer(answer("panic", async |request: Request| {
            if request.arguments.is_empty() {
                panic!("on demand");
            }
            Response::ok()
        }))
        .layer(answer("later", async |_| {
            tokio::task::yield_now().await;
            panic!("on demand, later")
        }))
        .layer(answer("body", async |_| {
            let parts = (0..3).map(|part| match part {
                2 => panic!("on demand, in the middle"),
                _ => Ok(Part::Data("some".into())),
            });
            Response::ok().with_body(Body::from_stream(futures_util::stream::iter(parts)))
        }))
        .layer(answer("lost", async |_| {
            let (mut sender, body) = Body::channel(4);
            sender.send(Part::Data("some".into())).await.unwrap();
            Response::ok().with_body(body)
        }))
        .service(tower::service_fn(|request: Request| {
            assert_ne!(request.verb.as_str(), "call", "on demand, when called");
            ready(Err::<Response, BoxError>(
                "it failed: a secret reason".into(),
            ))
        }));
    for name in CODECS {
        let server = Server::of(name, stack.clone());
        let mut peer = server.peer();
        for verb in ["panic", "later", "call", "fails"] {
            for with_body in [false, true] {
                peer.say(json!({"verb": verb, "body": with_body})).await;
                if with_body {
                    peer.chunk('d', &noise(100_000)).await;
                    peer.send(".").await;
                }
                let head = peer.head().await;
                assert_eq!(head["status"], "internal", "{verb}");
                let said = head.to_string();
                assert!(
                    !said.contains("secret") && !said.contains("demand"),
                    "{said}"
                );
            }
        }
        for verb in ["body", "lost"] {
            assert_eq!(peer.ask(json!({"verb": verb})).await["status"], "ok");
            let (_, _, end) = peer.body().await;
            assert_eq!(end[0], b'!', "{verb}: a body that stops is not whole");
            assert_eq!(trailer(&end)["status"], "internal");
        }
        let fine = peer.ask(json!({"verb": "panic", "args": {"not": 1}})).await;
        assert_eq!(fine["status"], "ok", "the connection lives");
    }
}

/// Is ready until it was called, and never again.
#[derive(Clone)]
struct Worn(bool);

impl Service<Request> for Worn {
    type Response = Response;
    type Error = BoxError;
    type Future = Ready<Result<Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self.0 {
            false => Poll::Ready(Ok(())),
            true => Poll::Ready(Err("worn out".into())),
        }
    }

    fn call(&mut self, _: Request) -> Self::Future {
        self.0 = true;
        ready(Ok(Response::ok()))
    }
}

#[tokio::test]
async fn a_service_that_takes_nothing_more_says_so_once() {
    let server = Server::of("struct-header", Worn(false));
    let mut peer = server.peer();
    assert_eq!(peer.ask(json!({"verb": "x"})).await["status"], "ok");
    // Its body is not waited for: the connection is at its end.
    assert_eq!(
        peer.ask(json!({"verb": "x", "body": true})).await["status"],
        "internal"
    );
    assert!(peer.rest().await.is_empty());
    peer.ended().await.unwrap();
}

/// Lives as long as the request that holds it.
struct Held(Arc<AtomicUsize>);

impl Held {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_drops_the_request() {
    for name in CODECS {
        let held = Arc::new(AtomicUsize::new(0));
        let (count, told) = (held.clone(), Arc::new(AtomicUsize::new(0)));
        let notice = told.clone();
        let stack = ServiceBuilder::new()
            .layer(answer("wait", move |request: Request| {
                let (held, notice) = (Held::new(&count), notice.clone());
                async move {
                    let _held = held;
                    request.session.hung_up().await;
                    notice.fetch_add(1, Ordering::SeqCst);
                    // It does not listen to that; it is dropped when it is known that nobody is there.
                    pending().await
                }
            }))
            .layer(answer("endless", {
                let count = held.clone();
                move |_| {
                    let held = Held::new(&count);
                    let parts = futures_util::stream::iter(std::iter::repeat_with(move || {
                        let _ = &held;
                        Ok(Part::Data(vec![0; 1000].into()))
                    }));
                    ready(Response::ok().with_body(Body::from_stream(parts)))
                }
            }))
            .service(Unsupported);
        let server = Server::of(name, stack);
        // While its answer is written.
        let mut peer = server.peer();
        assert_eq!(peer.ask(json!({"verb": "endless"})).await["status"], "ok");
        drop(peer.connection);
        common::until("the body is dropped", || held.load(Ordering::SeqCst) == 0).await;
        assert!(within(peer.ended).await.unwrap().is_err());
        // While it is waited for: told at once.
        let mut peer = server.peer();
        peer.say(json!({"verb": "wait"})).await;
        common::until("it has begun", || held.load(Ordering::SeqCst) == 1).await;
        drop(peer.connection);
        common::until("it is told", || told.load(Ordering::SeqCst) == 1).await;
        peer.ended.abort();
    }
}

#[tokio::test]
async fn a_peer_that_leaves_is_noticed_although_nobody_reads_its_body() {
    for name in CODECS {
        let told = Arc::new(AtomicUsize::new(0));
        let notice = told.clone();
        let stack = ServiceBuilder::new()
            .layer(answer("wait", move |request: Request| {
                let notice = notice.clone();
                async move {
                    request.session.hung_up().await;
                    notice.fetch_add(1, Ordering::SeqCst);
                    Response::ok()
                }
            }))
            .service(Unsupported);
        let server = Server::of(name, stack);
        let mut peer = server.peer();
        peer.say(json!({"verb": "wait", "body": true})).await;
        // As many parts as wait for the service: its end of the body is full.
        for _ in 0..4 {
            peer.chunk('d', b"x").await;
        }
        drop(peer.connection);
        common::until("it is told", || told.load(Ordering::SeqCst) == 1).await;
        let _ = within(peer.ended).await;
    }
}

#[tokio::test]
async fn a_peer_that_sends_without_end_while_its_agreement_is_due_is_bounded() {
    // The service answers without end and takes nothing; each frame of the answer lets in one of
    // the peer's.
    let stack = ServiceBuilder::new()
        .layer(answer("both", async |request: Request| {
            let parts = futures_util::stream::unfold(request.body, async |body| {
                tokio::task::yield_now().await;
                Some((Ok(Part::Stdout("x".into())), body))
            });
            Response::ok().with_body(Body::from_stream(parts))
        }))
        .service(Unsupported);
    let server = Server::of("ack-handshake", stack);
    let peer = server.peer();
    let (mut sink, mut stream) = peer.connection.split();
    let send = async {
        sink.send("{\"verb\":\"both\",\"body\":true}".into())
            .await
            .unwrap();
        let chunk = common::chunk(&server.framing.make(), 'd', &noise(200_000));
        let mut sent = 0;
        while sink.send(chunk.clone().into()).await.is_ok() {
            sent += chunk.len();
        }
        sent
    };
    let read = async { while let Some(Ok(_)) = stream.next().await {} };
    let (sent, ()) = within(async { tokio::join!(send, read) }).await;
    assert!(sent < 10 << 20, "{sent} bytes");
    let NativeError::Backlog(bytes) = native_error(within(peer.ended).await.unwrap()) else {
        panic!("another end");
    };
    assert!(bytes > 8 << 20 && bytes < 9 << 20, "{bytes}");
}
