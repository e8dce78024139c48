//! What holds for every dialect: limits before a login, deadlines, drains, and services that fail.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use framing::ErrorKind;
use futures_util::stream;
use serde_json::json;
use services::{
    Body, Clock, Fields, Part, Request, Response,
    course::{ClockOptions, CourseError, Dialect, ExecForm, Keys, TransferForm, TransferOptions},
    login::Right,
};
use tokio::time::{Instant, sleep};
use tower::service_fn;

use crate::support::*;

/// Every dialect, and what a script says first.
fn dialects() -> Vec<(Option<Dialect>, Vec<u8>)> {
    let transfer = |form| {
        let options = TransferOptions {
            form,
            ..TransferOptions::default()
        };
        Some(Dialect::Transfer(options))
    };
    let request = |object: serde_json::Value| counted(object.to_string());
    vec![
        (None, b"alex|dsb".to_vec()),
        (Some(exec(ExecForm::Announced)), b"uname".to_vec()),
        (Some(exec(ExecForm::Counted)), counted("uname")),
        (Some(exec(ExecForm::CountedAnswer)), b"uname".to_vec()),
        (
            transfer(TransferForm::Upload { reply: true }),
            request(json!({"filename": "a", "filesize": 0})),
        ),
        (
            transfer(TransferForm::Download {
                file: "a".to_owned(),
            }),
            Vec::new(),
        ),
        (transfer(TransferForm::Ack), b"get a".to_vec()),
        (
            Some(Dialect::Files(Keys::default())),
            request(json!({"op": "list"})),
        ),
        (Some(Dialect::Clock(ClockOptions::default())), Vec::new()),
    ]
}

fn running(stack: Stack, dialect: Option<Dialect>) -> Running {
    Running::of(stack, |server| match dialect {
        Some(dialect) => server.then(dialect),
        None => server.login(true),
    })
}

#[tokio::test(start_paused = true)]
async fn svc_b20_whoever_does_not_log_in_has_until_the_deadline() {
    let deadline = Duration::from_secs(10);
    for dialect in [
        None,
        Some(exec(ExecForm::Announced)),
        Some(Dialect::Files(Keys::default())),
    ] {
        let files = matches!(dialect, Some(Dialect::Files(_)));
        let server = Running::of(Parts::new().login(), |server| {
            let server = server.login(!files).before_login(8 * 1024, deadline);
            match dialect {
                Some(dialect) => server.then(dialect),
                None => server,
            }
        });
        // Silent, or busy.
        for busy in [false, true] {
            let mut script = server.connect();
            let start = Instant::now();
            if busy && !files {
                sleep(Duration::from_secs(9)).await;
                script.send(b"alex|nope").await;
                script.sees(WRONG).await;
            }
            if busy && files {
                // A stranger's file is refused, and not read to its end.
                script
                    .send(counted(
                        json!({"op": "put", "filename": "a", "filesize": 1u64 << 62}).to_string(),
                    ))
                    .await;
                script.send([0; 100]).await;
                let refusal = r#"{"reason":"not-authenticated: log in first","status":"error"}"#;
                script.sees(counted(refusal)).await;
                script.sees_the_end().await;
                assert!(start.elapsed() < Duration::from_secs(2));
                continue;
            }
            script.sees_the_end().await;
            let took = start.elapsed();
            assert!(
                took.abs_diff(deadline) < Duration::from_millis(1100),
                "{took:?}"
            );
            assert!(matches!(script.error().await, CourseError::LoginTimeout));
        }
        // Whoever has logged in may take their time.
        let mut script = server.connect();
        if files {
            let login = json!({"op": "login", "username": "alex", "password": "dsb"});
            assert_eq!(script.ask(login).await["status"], "ok");
            sleep(deadline * 3).await;
            assert_eq!(script.ask(json!({"op": "list"})).await["status"], "ok");
        }
    }
}

#[tokio::test]
async fn svc_a1_svc_a2_before_a_login_frames_are_small() {
    let files = || Dialect::Files(Keys::default());
    let server = Running::of(Parts::new().login(), |server| {
        server
            .then(files())
            .before_login(100, Duration::from_secs(10))
    });
    for (length, kind) in [
        (101, ErrorKind::TooLong),
        (i32::MAX, ErrorKind::TooLong),
        (-1, ErrorKind::Malformed),
        (i32::MIN, ErrorKind::Malformed),
    ] {
        let mut script = server.connect();
        script.send(length.to_ne_bytes()).await;
        script.sees_the_end().await;
        let CourseError::Connection(framing::Error::Frame(error)) = script.error().await else {
            panic!("{length}");
        };
        assert_eq!(error.kind(), kind, "{length}");
    }
    let mut script = server.connect();
    let login = json!({"op": "login", "username": "alex", "password": "dsb"});
    assert_eq!(script.ask(login).await["status"], "ok");
    // Afterwards they may be larger.
    let answer = script
        .ask(json!({"op": "list", "more": "x".repeat(60_000)}))
        .await;
    assert_eq!(answer["status"], "ok");
    script.send(i32::MAX.to_ne_bytes()).await;
    script.sees_the_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_clocks_and_whoever_is_idle() {
    for (dialect, _) in dialects() {
        let mut parts = Parts::new();
        parts.clock = Clock::new().every(Duration::from_secs(3600));
        let clock = matches!(dialect, Some(Dialect::Clock(_)));
        let download = matches!(&dialect, Some(Dialect::Transfer(options))
            if matches!(options.form, TransferForm::Download { .. }));
        let stack = match dialect {
            None => parts.login(),
            _ => parts.everybody(&[Right::Exec, Right::Read, Right::Write]),
        };
        let shown = format!("{dialect:?}");
        let server = running(stack, dialect);
        let mut script = server.connect();
        if clock {
            script.take(10).await;
        }
        if !download {
            script.sees_nothing().await;
        }
        let start = Instant::now();
        server.drain.request();
        script.sees_the_end().await;
        assert!(start.elapsed() < Duration::from_secs(2), "{shown}");
        let ended = script.ended().await;
        assert!(ended.is_ok() || download, "{shown}: {ended:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_the_command_that_runs_be_answered() {
    let slow = services::exec::Script::new()
        .pause(Duration::from_secs(5))
        .stdout("done");
    let parts = Parts::new().program("uname", slow);
    let server = running(
        parts.everybody(&[Right::Exec]),
        Some(exec(ExecForm::Announced)),
    );
    let mut script = server.connect();
    script.send(b"uname").await;
    sleep(Duration::from_secs(1)).await;
    server.drain.request();
    script.sees(b"4").await;
    script.send(b"ok").await;
    script.sees(b"done").await;
    script.sees_the_end().await;
    script.ended().await.unwrap();
}

/// Services that fail in every way, in turn, and then answer.
fn failing(count: Arc<AtomicU32>) -> Stack {
    Stack::new(service_fn(move |request: Request| {
        let turn = count.fetch_add(1, Ordering::SeqCst);
        assert!(turn != 0, "on purpose, when called");
        async move {
            drop(request);
            assert!(turn != 1, "on purpose, later");
            let mut polls = 0;
            let parts = stream::poll_fn(move |_| {
                polls += 1;
                assert!(polls < 2 || turn != 2, "on purpose, in the body");
                std::task::Poll::Ready(match polls {
                    1 => Some(Ok(Part::Stdout("half".into()))),
                    2 => Some(Ok(Part::End(Fields::new()))),
                    _ => None,
                })
            });
            Ok::<_, Infallible>(Response::ok().with_body(Body::from_stream(parts)))
        }
    }))
}

#[tokio::test(start_paused = true)]
async fn svc_h6_a_service_that_panics_costs_its_request_and_no_more() {
    let count = Arc::new(AtomicU32::new(0));
    let server = running(failing(count.clone()), Some(exec(ExecForm::Counted)));
    let mut script = server.connect();
    let sentence = "the request failed on the server";
    for _ in 0..3 {
        script.send(counted("uname")).await;
        let length = i32::from_ne_bytes(script.take(4).await.try_into().unwrap());
        let answer = script.take(length as usize).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains(sentence), "{answer}");
    }
    script.send(counted("uname")).await;
    script.sees(counted("half")).await;
    script.ended().await.unwrap();

    // In the other dialects it is one connection at most, with an end.
    for (dialect, first) in dialects() {
        let count = Arc::new(AtomicU32::new(0));
        let shown = format!("{dialect:?}");
        let server = running(failing(count.clone()), dialect);
        for _ in 0..3 {
            let mut script = server.connect();
            script.send(&first).await;
            sleep(Duration::from_millis(100)).await;
            use tokio::io::AsyncWriteExt;
            script.io.shutdown().await.unwrap();
            script.rest().await;
            // No panic reaches the connection's task.
            let _ = script.ended().await;
        }
        assert!(count.load(Ordering::SeqCst) > 1, "{shown}");
    }
}

#[tokio::test]
async fn what_a_peer_throws_at_it_ends_with_its_connection() {
    let mut state = 1u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize
    };
    for (dialect, first) in dialects() {
        let parts = Parts::new();
        let stack = match dialect {
            None => parts.login(),
            _ => parts.everybody(&[Right::Exec, Right::Read, Right::Write]),
        };
        let server = running(stack, dialect);
        for round in 0..60 {
            let mut script = server.connect();
            let mut bytes = first.clone();
            if round % 2 == 0 {
                bytes = (0..random() % 200).map(|_| random() as u8).collect();
            } else if !bytes.is_empty() {
                let at = random() % bytes.len();
                bytes[at] ^= 1 << (random() % 8);
            }
            for piece in bytes.chunks(1 + random() % 20) {
                use tokio::io::AsyncWriteExt;
                // It may have closed already.
                let _ = script.io.write_all(piece).await;
                tokio::task::yield_now().await;
            }
            let _ = script.ended().await;
        }
    }
}
