//! Values to frames and back: readiness, clones, errors and their secrets, both sides together.

use std::{
    future::Ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use framing::{
    AckHandshake, Connection, Framing, Lines, StructHeader,
    client::{Client, ClientError},
    serve::{Memory, PipelineOptions, serve},
    typed::{Format, FormatError, Json, Typed, TypedClient, TypedError, TypedLayer},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, make::Shared, service_fn};
use tower_test::mock;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Request {
    Add { a: u32, b: u32 },
    Name(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Response {
    Sum(u32),
    Error(String),
    #[serde(serialize_with = "refuse")]
    Unwritable(String),
}

fn refuse<S: serde::Serializer>(_: &str, _: S) -> Result<S::Ok, S::Error> {
    Err(serde::ser::Error::custom("hunter2 cannot be written"))
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work)
        .await
        .expect("this takes too long")
}

type Mocked = mock::Spawn<Typed<mock::Mock<Request, Response>, Request, Response>>;

/// A typed service of frames around a mock.
fn server(layer: TypedLayer<Request, Response>) -> (Mocked, mock::Handle<Request, Response>) {
    mock::spawn_with(|inner| layer.layer(inner))
}

fn to_text(error: TypedError) -> Response {
    Response::Error(error.to_string())
}

const ADD: &str = r#"{"add":{"a":2,"b":3}}"#;

#[tokio::test]
async fn a_frame_becomes_a_request_and_the_response_a_frame() {
    let (mut typed, mut handle) = server(TypedLayer::json());
    assert_ready_ok!(typed.poll_ready());
    let answer = tokio::spawn(typed.call(format!(" {ADD}\r\n").into()));
    let (request, respond) = handle.next_request().await.unwrap();
    assert_eq!(request, Request::Add { a: 2, b: 3 });
    respond.send_response(Response::Sum(5));
    assert_eq!(answer.await.unwrap().unwrap(), r#"{"sum":5}"#);
}

#[tokio::test]
async fn b08_it_is_ready_when_the_service_is() {
    let (mut typed, mut handle) = server(TypedLayer::json());
    handle.allow(0);
    assert_pending!(typed.poll_ready());
    handle.allow(1);
    assert!(typed.is_woken());
    assert_ready_ok!(typed.poll_ready());
    let _called = typed.call(ADD.into());
    assert_pending!(typed.poll_ready());
    handle.send_error("worn out");
    let error = assert_ready_err!(typed.poll_ready());
    assert!(matches!(error, TypedError::Service(_)));
    assert_eq!(error.to_string(), "worn out");
}

#[tokio::test]
async fn an_error_is_one_of_the_call_unless_a_hook_answers_it() {
    let unreadable = "the frame cannot be read: expected value at line 1 column 1";
    let unwritable = "the value cannot be written: a value that its type refuses";
    for hooked in [false, true] {
        let layer = TypedLayer::json();
        let (mut typed, mut handle) = server(if hooked {
            layer.on_error(to_text)
        } else {
            layer
        });
        let expect = |result: Result<Bytes, TypedError>, told: &str| match result {
            Ok(frame) => {
                assert!(hooked);
                let response: Response = Json.read(&frame).unwrap();
                assert_eq!(response, Response::Error(told.to_owned()));
            }
            Err(error) => {
                assert!(!hooked);
                assert_eq!(error.to_string(), told);
            }
        };
        assert_ready_ok!(typed.poll_ready());
        expect(typed.call("hunter2".into()).await, unreadable);

        assert_ready_ok!(typed.poll_ready());
        let answer = tokio::spawn(typed.call(ADD.into()));
        let (_, respond) = handle.next_request().await.unwrap();
        respond.send_error("out of numbers");
        expect(answer.await.unwrap(), "out of numbers");

        assert_ready_ok!(typed.poll_ready());
        let answer = tokio::spawn(typed.call(ADD.into()));
        let (_, respond) = handle.next_request().await.unwrap();
        respond.send_response(Response::Unwritable("hunter2".into()));
        expect(answer.await.unwrap(), unwritable);
    }
}

#[tokio::test]
async fn what_the_hook_answers_may_be_unwritable_too() {
    let layer = TypedLayer::json().on_error(|_| Response::Unwritable(String::new()));
    let (mut typed, _handle) = server(layer);
    assert_ready_ok!(typed.poll_ready());
    let error = typed.call("?".into()).await.unwrap_err();
    assert!(matches!(error, TypedError::Unwritable(_)), "{error:?}");
}

#[tokio::test]
async fn a_finished_future_that_is_polled_again_does_not_panic() {
    let (mut typed, _handle) = server(TypedLayer::json());
    assert_ready_ok!(typed.poll_ready());
    let mut answer = task::spawn(typed.call("?".into()));
    assert_ready_err!(answer.poll());
    assert_pending!(answer.poll());
}

/// What a frame that is no request is told.
fn told<T: DeserializeOwned + std::fmt::Debug>(frame: &[u8]) -> FormatError {
    Json.read::<T>(frame).unwrap_err()
}

#[test]
fn a_bad_frame_is_told_with_its_place_and_without_its_bytes() {
    for (frame, message) in [
        ("", "EOF while parsing a value at line 1 column 0"),
        (
            "{\"name\":\n\"hunter2",
            "EOF while parsing a string at line 2 column 8",
        ),
        (
            "{\"name\":\"hunter2\"} x",
            "trailing characters at line 1 column 20",
        ),
        (
            "{\"hunter2\":1}",
            "unknown variant, expected `add` or `name` at line 1 column 10",
        ),
        (
            "{\"add\":{\"hunter2\":1}}",
            "unknown field, expected `a` or `b` at line 1 column 17",
        ),
        (
            "{\"add\":{\"a\":1}}",
            "missing field `b` at line 1 column 14",
        ),
        (
            "{\"add\":{\"a\":1,\"a\":1}}",
            "duplicate field `a` at line 1 column 17",
        ),
        (
            "{\"add\":{\"a\":\"hunter2, expected hunter2\"}}",
            "invalid type: string, expected u32 at line 1 column 39",
        ),
        (
            "{\"add\":{\"a\":-7777}}",
            "invalid value: integer, expected u32 at line 1 column 17",
        ),
        (
            "{\"name\":null}",
            "invalid type: null, expected a string at line 1 column 12",
        ),
    ] {
        let error = told::<Request>(frame.as_bytes());
        assert_eq!(error.to_string(), message, "{frame}");
        let place = (error.line().unwrap(), error.column().unwrap());
        assert!(message.ends_with(&format!("line {} column {}", place.0, place.1)));
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(
                !shown.contains("hunter2") && !shown.contains("7777"),
                "{shown}"
            );
        }
    }
}

#[test]
fn a_type_that_quotes_what_it_refuses_is_not_quoted() {
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "String")]
    struct Strict;

    impl TryFrom<String> for Strict {
        type Error = String;

        fn try_from(text: String) -> Result<Self, String> {
            Err(format!("`{text}` is no good"))
        }
    }

    let error = told::<Vec<Strict>>(b"[\"hunter2\"]");
    assert_eq!(
        error.to_string(),
        "a value that its type refuses at line 1 column 11"
    );
}

#[test]
fn bytes_that_are_no_json_are_errors_and_nothing_worse() {
    for byte in 0..=u8::MAX {
        for frame in [
            vec![byte],
            vec![b'"', byte],
            [&b"{\"name\":\""[..], &[byte]].concat(),
        ] {
            assert!(Json.read::<Request>(&frame).is_err(), "{frame:?}");
        }
    }
    // Neither the stack nor the memory grows with brackets.
    for nested in ["[".repeat(1_000_000), "{\"a\":".repeat(1_000_000)] {
        let error = told::<serde_json::Value>(nested.as_bytes());
        assert!(
            error.to_string().starts_with("recursion limit exceeded"),
            "{error}"
        );
    }
}

#[test]
fn json_is_one_line_whatever_is_in_it() {
    let text = Json
        .write(&Request::Name("a\nb\r\u{2028}\0".into()))
        .unwrap();
    assert!(!text.contains(&b'\n') && !text.contains(&b'\r'));
    let back: Request = Json.read(&text).unwrap();
    assert_eq!(back, Request::Name("a\nb\r\u{2028}\0".into()));
}

#[test]
fn a_map_whose_keys_are_no_strings_cannot_be_written() {
    let error = Json.write(
        &[(vec![1], 2)]
            .into_iter()
            .collect::<std::collections::BTreeMap<_, _>>(),
    );
    assert_eq!(error.unwrap_err().to_string(), "key must be a string");
}

#[tokio::test]
async fn a_client_writes_requests_and_reads_responses() {
    let (mut client, mut handle) =
        mock::spawn_with(TypedClient::<mock::Mock<Bytes, Bytes>, Request, Response>::json);
    handle.allow(0);
    assert_pending!(client.poll_ready());
    handle.allow(4);
    for (answer, expected) in [
        (r#"{"sum":5}"#, Ok(Response::Sum(5))),
        (
            r#"{"sum":"hunter2"}"#,
            Err("the frame cannot be read: invalid type: string, expected u32 at line 1 column 16"),
        ),
    ] {
        assert_ready_ok!(client.poll_ready());
        let called = tokio::spawn(client.call(Request::Add { a: 2, b: 3 }));
        let (request, respond) = handle.next_request().await.unwrap();
        assert_eq!(request, ADD);
        respond.send_response(answer.into());
        let result = called.await.unwrap().map_err(|error| error.to_string());
        assert_eq!(result, expected.map_err(str::to_owned));
    }
    assert_ready_ok!(client.poll_ready());
    let called = tokio::spawn(client.call(Request::Name(String::new())));
    let (_, respond) = handle.next_request().await.unwrap();
    respond.send_error("gone");
    let error = called.await.unwrap().unwrap_err();
    assert!(matches!(error, TypedError::Service(_)) && error.to_string() == "gone");
}

/// Counts how many of it are ready and were not called.
#[derive(Default)]
struct Reserving {
    reserved: bool,
    open: Arc<AtomicUsize>,
}

impl Clone for Reserving {
    fn clone(&self) -> Self {
        Self {
            reserved: false,
            open: self.open.clone(),
        }
    }
}

impl Drop for Reserving {
    fn drop(&mut self) {
        if self.reserved {
            self.open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl<R: Send + 'static> Service<R> for Reserving {
    type Response = R;
    type Error = BoxError;
    type Future = Ready<Result<R, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if !std::mem::replace(&mut self.reserved, true) {
            self.open.fetch_add(1, Ordering::SeqCst);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        std::future::ready(if std::mem::take(&mut self.reserved) {
            self.open.fetch_sub(1, Ordering::SeqCst);
            Ok(request)
        } else {
            Err("called without being asked whether it is ready".into())
        })
    }
}

#[tokio::test]
async fn what_was_set_aside_for_a_call_that_is_not_made_is_given_back() {
    let open = Arc::new(AtomicUsize::new(0));
    let reserving = Reserving {
        reserved: false,
        open: open.clone(),
    };
    let mut typed = TypedLayer::<String, String>::json().layer(reserving.clone());
    for (frame, good) in [("\"a\"", true), ("a", false), ("\"b\"", true), ("", false)] {
        let answer = typed.ready().await.unwrap();
        assert_eq!(open.load(Ordering::SeqCst), 1);
        let answer = answer.call(frame.into());
        assert_eq!(open.load(Ordering::SeqCst), 0, "{frame}");
        match answer.await {
            Ok(answer) => assert!(good && answer == frame),
            Err(error) => assert!(matches!(error, TypedError::Unreadable(_)) && !good),
        }
    }
    // A clone of a ready one is not ready, and takes nothing from it.
    typed.ready().await.unwrap();
    let mut other = typed.clone();
    assert!(matches!(
        other.call("\"a\"".into()).await,
        Err(TypedError::Service(_))
    ));
    assert!(typed.call("\"a\"".into()).await.is_ok());

    let mut client = TypedClient::<_, Response, String>::json(reserving);
    let unwritable = Response::Unwritable(String::new());
    let error = client.ready().await.unwrap().call(unwritable).await;
    assert!(matches!(error, Err(TypedError::Unwritable(_))), "{error:?}");
    assert_eq!(open.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn b08_a_bad_frame_keeps_no_permit_from_the_others() {
    let (listener, connector) = Memory::new(1024);
    let service = ServiceBuilder::new()
        .layer(TypedLayer::<Request, Response>::json().on_error(to_text))
        .concurrency_limit(1)
        .service_fn(async |_: Request| Ok::<_, BoxError>(Response::Sum(1)));
    tokio::spawn(
        serve(listener, Shared::new(service))
            .framing(Lines::new().unwrap())
            .into_future(),
    );
    let mut peers = Vec::new();
    for _ in 0..3 {
        let mut peer = connector.connect().await.unwrap();
        peer.write_all(b"nonsense\n").await.unwrap();
        let mut answer = [0; 9];
        soon(peer.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"{\"error\":");
        peers.push(peer);
    }
    let client = Client::new(Connection::new(
        connector.connect().await.unwrap(),
        Lines::new().unwrap(),
    ));
    let client = TypedClient::<_, Request, Response>::json(client);
    let answer = soon(client.oneshot(Request::Add { a: 0, b: 1 })).await;
    assert_eq!(answer.unwrap(), Response::Sum(1));
}

/// Answers sums, fails on a sum that is too large, panics on a name.
async fn sums(request: Request) -> Result<Response, &'static str> {
    match request {
        Request::Add { a, b } => a.checked_add(b).map(Response::Sum).ok_or("too large"),
        Request::Name(name) => panic!("a panic that the test asked for: {name}"),
    }
}

#[tokio::test]
async fn b02_b03_both_sides_work_over_every_framing() {
    async fn over<F: Framing + Clone + Send + Sync + 'static>(framing: F) {
        let (listener, connector) = Memory::new(64);
        let service = ServiceBuilder::new()
            .layer(TypedLayer::json().on_error(to_text))
            .service_fn(sums);
        let options = PipelineOptions::default().on_failure(|failure| {
            let response = Response::Error(failure.to_string());
            Json.write(&response).unwrap_or_default()
        });
        tokio::spawn(
            serve(listener, Shared::new(service))
                .framing(framing.clone())
                .pipeline(options)
                .into_future(),
        );
        let client = Client::new(Connection::new(
            connector.connect().await.unwrap(),
            framing.clone(),
        ));
        let mut client = TypedClient::<_, Request, Response>::json(client);
        let error = |text: &str| Response::Error(text.to_owned());
        for (request, response) in [
            (Request::Add { a: 2, b: 3 }, Response::Sum(5)),
            (Request::Add { a: 2, b: u32::MAX }, error("too large")),
            (Request::Name("x\ny".into()), error("the request failed")),
            (Request::Add { a: 0, b: 1 }, Response::Sum(1)),
        ] {
            let answer = client.ready().await.unwrap().call(request);
            assert_eq!(soon(answer).await.unwrap(), response);
        }
        drop(connector);
    }
    over(Lines::new().unwrap()).await;
    over(StructHeader::default()).await;
    over(AckHandshake::default()).await;
}

#[tokio::test]
async fn b04_why_the_connection_ended_can_be_had_from_the_error() {
    let (ours, theirs) = tokio::io::duplex(64);
    let client = Client::new(Connection::new(ours, StructHeader::default()));
    drop(theirs);
    let client = TypedClient::<_, Request, Response>::json(client);
    let error = soon(client.oneshot(Request::Name(String::new()))).await;
    let Err(TypedError::Service(error)) = error else {
        panic!("{error:?}");
    };
    assert!(error.downcast_ref::<ClientError>().is_some(), "{error}");
}

/// JSON, written from right to left.
#[derive(Clone)]
struct Reversed;

impl Format for Reversed {
    fn read<T: DeserializeOwned>(&self, frame: &[u8]) -> Result<T, FormatError> {
        Json.read(&frame.iter().rev().copied().collect::<Vec<_>>())
    }

    fn write<T: Serialize + ?Sized>(&self, value: &T) -> Result<Bytes, FormatError> {
        Ok(Json.write(value)?.iter().rev().copied().collect())
    }
}

#[tokio::test]
async fn a_format_of_ones_own_serves_on_both_sides() {
    let double = service_fn(async |n: u32| Ok::<_, BoxError>(n * 2));
    let server = TypedLayer::<u32, u32, _>::new(Reversed).layer(double);
    assert_eq!(server.clone().oneshot("12".into()).await.unwrap(), "24");
    let client = TypedClient::<_, u32, u32, _>::new(server, Reversed);
    assert_eq!(client.oneshot(600).await.unwrap(), 1200);
    assert_eq!(
        FormatError::new("odd").at(3, 4).to_string(),
        "odd at line 3 column 4"
    );
    assert_eq!(FormatError::new("odd").line(), None);
}

#[test]
fn futures_and_services_go_between_threads() {
    fn goes<T: Send + Sync + 'static>(_: &T) {}
    // A request that itself must stay in its thread is nowhere kept.
    let layer = TypedLayer::<std::rc::Rc<u8>, u8>::json();
    goes(&layer);
    let typed = TypedLayer::<u8, u8>::json()
        .on_error(|_| 0)
        .layer(service_fn(async |n: u8| Ok::<_, BoxError>(n)));
    goes(&typed);
    fn sends<T: Send>(_: T) {}
    sends(typed.oneshot("1".into()));
}
