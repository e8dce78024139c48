//! One connection's requests and responses: order, a broken service, draining, every framing.

use std::{
    convert::Infallible,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use framing::{
    AckHandshake, Connection, Delimiter, DelimiterOptions, Framing, Limits, StructHeader,
    serve::{BoxError, Drain, Failure, Pipeline, PipelineOptions},
};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tower::{Service, service_fn};

const A_WHILE: Duration = Duration::from_secs(5);

/// A pipeline over memory, and the raw other end.
fn piped<S>(
    buffer: usize,
    service: S,
    options: PipelineOptions,
) -> (DuplexStream, impl Future<Output = Result<(), BoxError>>)
where
    S: Service<Bytes, Response = Bytes, Error: Into<BoxError>>,
{
    let (ours, theirs) = tokio::io::duplex(buffer);
    let connection = Connection::new(ours, Delimiter::default());
    (theirs, Pipeline::new(connection, service).options(options))
}

/// Runs requests, one a line, through a pipeline; all that it answers.
async fn answers<S>(service: S, options: PipelineOptions, requests: &str) -> String
where
    S: Service<Bytes, Response = Bytes, Error: Into<BoxError>>,
{
    let (mut peer, pipeline) = piped(1024, service, options);
    peer.write_all(requests.as_bytes()).await.unwrap();
    peer.shutdown().await.unwrap();
    let mut answers = String::new();
    let (ended, read) = tokio::join!(pipeline, peer.read_to_string(&mut answers));
    ended.unwrap();
    read.unwrap();
    answers
}

/// Answers at once, `fail` with an error, `panic` and `panic late` not at all.
fn moody() -> impl Service<
    Bytes,
    Response = Bytes,
    Error = BoxError,
    Future: Future<Output = Result<Bytes, BoxError>> + Send,
> + Clone {
    service_fn(|request: Bytes| {
        assert!(request != "panic", "on call");
        async move {
            match &request[..] {
                b"fail" => Err("it went wrong".into()),
                b"panic late" => {
                    tokio::task::yield_now().await;
                    panic!("while waiting")
                }
                _ => Ok(request),
            }
        }
    })
}

#[tokio::test]
async fn b03_what_is_answered_can_be_chosen() {
    let options = PipelineOptions::default().on_failure(|failure| match failure {
        Failure::Panicked => "500".into(),
        other => format!("400 {other}").into(),
    });
    assert_eq!(
        answers(moody(), options, "panic\nfail\n").await,
        "500\n400 it went wrong\n"
    );
}

#[tokio::test(start_paused = true)]
async fn b09_answers_come_in_the_order_of_requests() {
    let service = service_fn(|request: Bytes| async move {
        let pause: u64 = std::str::from_utf8(&request).unwrap().parse().unwrap();
        sleep(Duration::from_millis(pause)).await;
        Ok::<_, Infallible>(request)
    });
    let started = tokio::time::Instant::now();
    let answers = answers(service, PipelineOptions::default(), "50\n0\n30\n10\n").await;
    assert_eq!(answers, "50\n0\n30\n10\n");
    assert_eq!(
        started.elapsed().as_millis() / 10,
        5,
        "they run at the same time"
    );
}

#[tokio::test]
async fn a_service_that_is_broken_ends_the_connection() {
    #[derive(Debug)]
    struct Broken;

    impl Service<Bytes> for Broken {
        type Response = Bytes;
        type Error = &'static str;
        type Future = std::future::Ready<Result<Bytes, &'static str>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            Poll::Ready(Err("worn out"))
        }

        fn call(&mut self, _: Bytes) -> Self::Future {
            ready(Err("worn out"))
        }
    }

    let (mut peer, pipeline) = piped(16, Broken, PipelineOptions::default());
    // A service is asked only once there is a request for it.
    peer.write_all(b"a\n").await.unwrap();
    assert_eq!(pipeline.await.unwrap_err().to_string(), "worn out");
}

#[tokio::test]
async fn a_final_error_answers_what_came_before_and_is_reported() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let framing = DelimiterOptions::default()
        .build(Limits::new().max_frame(8))
        .unwrap();
    let pipeline = Pipeline::new(Connection::new(ours, framing), moody());
    theirs
        .write_all(b"one\ntwo\nmuch too long\nfour\n")
        .await
        .unwrap();
    let error = pipeline.await.unwrap_err();
    assert!(
        error.to_string().contains("over the limit of 8 bytes"),
        "{error}"
    );
    let mut answers = String::new();
    theirs.read_to_string(&mut answers).await.unwrap();
    assert_eq!(answers, "one\ntwo\n");
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_leaves_though_what_came_behind_its_request_is_cut_off_or_bad() {
    for behind in ["thr", "much too long\nfour\n"] {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let slow = service_fn(async |request: Bytes| {
            sleep(A_WHILE).await;
            Ok::<_, Infallible>(request)
        });
        let framing = DelimiterOptions::default()
            .build(Limits::new().max_frame(8))
            .unwrap();
        let pipeline = tokio::spawn(Pipeline::new(Connection::new(ours, framing), slow));
        theirs
            .write_all(format!("one\ntwo\n{behind}").as_bytes())
            .await
            .unwrap();
        theirs.shutdown().await.unwrap();
        let mut answers = String::new();
        theirs.read_to_string(&mut answers).await.unwrap();
        assert_eq!(answers, "one\ntwo\n");
        assert!(pipeline.await.unwrap().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn s03_b07_nothing_new_is_taken_once_it_drains() {
    let gate = Arc::new(Semaphore::new(0));
    let calls = Arc::new(AtomicUsize::new(0));
    let (opened, counted) = (gate.clone(), calls.clone());
    let service = service_fn(move |request: Bytes| {
        counted.fetch_add(1, Ordering::Relaxed);
        let opened = opened.clone();
        async move {
            opened.acquire().await.unwrap().forget();
            Ok::<_, Infallible>(request)
        }
    });
    let drain = Drain::new();
    let (ours, mut theirs) = tokio::io::duplex(4096);
    let pipeline = Pipeline::new(Connection::new(ours, Delimiter::default()), service)
        .options(PipelineOptions::default().max_in_flight(5))
        .drain(&drain);
    let pipeline = tokio::spawn(pipeline);
    // A hundred and five arrive at once; five are in flight.
    theirs.write_all(&b"x\n".repeat(105)).await.unwrap();
    sleep(A_WHILE).await;
    drain.request();
    sleep(A_WHILE).await;
    assert!(
        !pipeline.is_finished(),
        "it does not wait for those in flight"
    );
    gate.add_permits(100);
    pipeline.await.unwrap().unwrap();
    let mut answers = String::new();
    theirs.read_to_string(&mut answers).await.unwrap();
    assert_eq!(answers, "x\n".repeat(5));
    assert_eq!(calls.load(Ordering::Relaxed), 5);
}

/// A pipe of one byte, and framings of every kind.
#[tokio::test(start_paused = true)]
async fn a_pipeline_works_over_every_framing_and_the_narrowest_pipe() {
    async fn through<F: Framing + Clone + Send + 'static>(framing: F) {
        let (ours, theirs) = tokio::io::duplex(1);
        tokio::spawn(Pipeline::new(
            Connection::new(ours, framing.clone()),
            moody(),
        ));
        let mut peer = Connection::new(theirs, framing);
        for request in ["", "hello", "a longer request", "fail"] {
            peer.send(request.into()).await.unwrap();
            let expected = if request == "fail" {
                "error: it went wrong"
            } else {
                request
            };
            assert_eq!(peer.next().await.unwrap().unwrap(), expected);
        }
    }
    let all = async {
        tokio::join!(
            through(AckHandshake::default()),
            through(StructHeader::default()),
            through(Delimiter::default())
        )
    };
    timeout(Duration::from_secs(20), all)
        .await
        .expect("a pipeline waits for ever");
}

/// Repeats each request twice, `!` a thousand times.
fn doubling() -> impl Service<
    Bytes,
    Response = Bytes,
    Error = Infallible,
    Future = std::future::Ready<Result<Bytes, Infallible>>,
> {
    service_fn(|request: Bytes| {
        let times = if request == "!" { 1000 } else { 2 };
        ready(Ok(request.repeat(times).into()))
    })
}

#[tokio::test]
async fn b02_what_was_answered_is_sent_though_nothing_can_be_said_of_the_next() {
    for (hook, expected) in [(false, "aa\nerror: t\nbb\n"), (true, "aa\n")] {
        let (ours, mut peer) = tokio::io::duplex(1024);
        let framing = DelimiterOptions::default()
            .build(Limits::new().max_frame(8))
            .unwrap();
        let mut options = PipelineOptions::default();
        if hook {
            options = options.on_failure(|_| "an answer that is too long as well".into());
        }
        let pipeline = Pipeline::new(Connection::new(ours, framing), doubling()).options(options);
        peer.write_all(b"a\n!\nb\n").await.unwrap();
        peer.shutdown().await.unwrap();
        let mut answers = String::new();
        let (ended, read) = tokio::join!(pipeline, peer.read_to_string(&mut answers));
        read.unwrap();
        assert_eq!(answers, expected);
        assert_eq!(ended.is_err(), hook);
    }
}

/// Takes two requests and no more; the first takes a while.
struct Spent(usize);

impl Service<Bytes> for Spent {
    type Response = Bytes;
    type Error = BoxError;
    type Future = futures_util::future::BoxFuture<'static, Result<Bytes, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self.0 {
            0 => Poll::Ready(Err("it is spent".into())),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: Bytes) -> Self::Future {
        self.0 -= 1;
        Box::pin(async move {
            sleep(Duration::from_millis(20)).await;
            Ok(request)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_service_has_taken_is_answered_though_it_takes_no_more() {
    let (mut peer, pipeline) = piped(1024, Spent(2), PipelineOptions::default());
    peer.write_all(b"a\nb\nc\nd\n").await.unwrap();
    let mut answers = String::new();
    let read = async {
        peer.read_to_string(&mut answers).await.unwrap();
        // It lingers for us.
        drop(peer);
    };
    let (ended, ()) = tokio::join!(pipeline, read);
    assert_eq!(ended.unwrap_err().to_string(), "it is spent");
    assert_eq!(answers, "a\nb\n");
}
