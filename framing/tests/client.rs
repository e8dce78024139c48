//! The client: whose answer is whose, when it closes, how many requests it sends.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use framing::{
    AckHandshake, Connection, Delimiter, StructHeader,
    client::{Client, ClientError, ClientOptions},
};
use futures_util::{SinkExt, StreamExt, future::join_all};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    time::{sleep, timeout},
};
use tower::{Service, ServiceBuilder, ServiceExt};

type Server = Connection<DuplexStream, StructHeader>;

fn pair() -> (Client, Server) {
    with_options(ClientOptions::default())
}

fn with_options(options: ClientOptions) -> (Client, Server) {
    let (ours, theirs) = tokio::io::duplex(1024);
    let client = Connection::new(ours, StructHeader::default());
    (
        Client::with_options(client, options),
        Connection::new(theirs, StructHeader::default()),
    )
}

/// Answers every request with itself, each after a while.
fn echo(mut server: Server, pause: Duration) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(Ok(frame)) = server.next().await {
            sleep(pause).await;
            if server.send(frame).await.is_err() {
                break;
            }
        }
    })
}

#[tokio::test]
async fn b04_calls_without_an_answer_say_why() {
    let (client, mut server) = pair();
    let calls = tokio::spawn(join_all((0..3).map(|_| client.clone().oneshot("x".into()))));
    server.next().await.unwrap().unwrap();
    server.send("first".into()).await.unwrap();
    drop(server);
    let answers = calls.await.unwrap();
    assert_eq!(answers[0].as_ref().unwrap(), "first");
    for answer in &answers[1..] {
        let error = answer.as_ref().unwrap_err();
        assert!(!error.to_string().is_empty(), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn b04_who_was_ready_before_the_server_left_is_told_when_it_calls() {
    let (mut client, server) = pair();
    client.ready().await.unwrap();
    drop(server);
    sleep(Duration::from_secs(1)).await;
    let call = timeout(Duration::from_secs(10), client.call("x".into()));
    let error = call.await.expect("it waits for ever").unwrap_err();
    assert!(matches!(error, ClientError::Closed), "{error:?}");
}

#[tokio::test]
async fn a_limit_beyond_all_measure_is_none() {
    let options = ClientOptions::default().max_in_flight(usize::MAX);
    let (client, server) = with_options(options);
    echo(server, Duration::ZERO);
    assert_eq!(client.oneshot("x".into()).await.unwrap(), "x");
}

#[tokio::test]
async fn b05_the_answer_to_a_dropped_call_goes_to_nobody() {
    let (mut client, mut server) = pair();
    let dropped = client.ready().await.unwrap().call("first".into());
    let request = server.next().await.unwrap().unwrap();
    drop(dropped);
    let second = client.ready().await.unwrap().call("second".into());
    server.send(request).await.unwrap();
    let request = server.next().await.unwrap().unwrap();
    server.send(request).await.unwrap();
    assert_eq!(second.await.unwrap(), "second");
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_harms_no_other() {
    let (ours, theirs) = tokio::io::duplex(1024);
    let client = Client::new(Connection::new(ours, Delimiter::default()));
    let mut server = Connection::new(theirs, Delimiter::default());
    tokio::spawn(async move {
        while let Some(Ok(frame)) = server.next().await {
            server.send(frame).await.unwrap();
        }
    });
    let calls = ["one", "t\nwo", "three"].map(|frame| client.clone().oneshot(frame.into()));
    let answers = join_all(calls).await;
    assert_eq!(answers[0].as_ref().unwrap(), "one");
    assert!(
        matches!(answers[1], Err(ClientError::Unencodable(_))),
        "{:?}",
        answers[1]
    );
    assert_eq!(answers[2].as_ref().unwrap(), "three");
}

#[tokio::test]
async fn the_last_clone_closes_the_connection() {
    let (client, mut server) = pair();
    let call = client.clone().oneshot("x".into());
    let call = tokio::spawn(call);
    assert_eq!(server.next().await.unwrap().unwrap(), "x");
    drop(client);
    // The call that waits is still answered.
    server.send("y".into()).await.unwrap();
    assert_eq!(call.await.unwrap().unwrap(), "y");
    assert!(
        timeout(Duration::from_secs(5), server.next())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_clone_waits_for_no_answer_that_nobody_wants() {
    let (mut client, mut server) = pair();
    let call = client.ready().await.unwrap().call("x".into());
    assert_eq!(server.next().await.unwrap().unwrap(), "x");
    drop(client);
    assert!(
        timeout(Duration::from_secs(5), server.next())
            .await
            .is_err(),
        "it is closed while a call waits"
    );
    // Its time limit has run out, say. The server never answers.
    drop(call);
    let end = timeout(Duration::from_secs(5), server.next()).await;
    assert!(end.expect("it stays open").is_none());
}

#[tokio::test(start_paused = true)]
async fn towers_limits_and_shedding_work_on_it() {
    let (client, server) = pair();
    echo(server, Duration::from_secs(1));
    let client = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(2)
        .service(client);
    let calls = (0..6).map(|_| client.clone().oneshot("x".into()));
    let answers = join_all(calls).await;
    let answered = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(answered, 2);
    let shed = |error: &tower::BoxError| error.is::<tower::load_shed::error::Overloaded>();
    assert!(
        answers
            .iter()
            .filter_map(|answer| answer.as_ref().err())
            .all(shed)
    );
}

#[tokio::test(start_paused = true)]
async fn it_works_over_a_framing_that_answers() {
    let (ours, theirs) = tokio::io::duplex(2);
    let client = Client::new(Connection::new(ours, AckHandshake::default()));
    let mut server = Connection::new(theirs, AckHandshake::default());
    tokio::spawn(async move {
        while let Some(Ok(frame)) = server.next().await {
            server.send(frame).await.unwrap();
        }
    });
    let calls = (0..20).map(|number: u32| client.clone().oneshot(number.to_string().into()));
    let answers = timeout(Duration::from_secs(20), join_all(calls))
        .await
        .unwrap();
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), number.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_than_allowed_are_sent_before_an_answer() {
    let options = ClientOptions::default().max_in_flight(2);
    let (client, mut server) = with_options(options);
    let calls = tokio::spawn(join_all((0..7).map(|_| client.clone().oneshot("x".into()))));
    for _ in 0..2 {
        server.next().await.unwrap().unwrap();
    }
    assert!(
        timeout(Duration::from_secs(5), server.next())
            .await
            .is_err(),
        "a third is sent"
    );
    // Two more wait to be sent; who comes then is not ready.
    let mut late = client.clone();
    assert!(
        timeout(Duration::from_secs(5), late.ready()).await.is_err(),
        "it is ready"
    );
    for _ in 0..2 {
        server.send("x".into()).await.unwrap();
    }
    echo(server, Duration::ZERO);
    for answer in calls.await.unwrap() {
        assert_eq!(answer.unwrap(), "x");
    }
}

/// Hands out one item a read, `None` for nothing yet, and then the end; swallows what is written.
struct Script(VecDeque<Option<&'static [u8]>>);

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.0.pop_front() {
            Some(None) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Some(bytes)) => buffer.put_slice(bytes),
            None => {}
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn b04_a_client_that_cannot_send_still_reads_its_answers() {
    // Leave for the first request, and an answer announced; while the second request waits for
    // leave, that answer and the end.
    let reads = [None, Some(&b"ok6\n"[..]), None, None, Some(b"answer")];
    let connection = Connection::new(Script(reads.into()), AckHandshake::default());
    let mut client = Client::new(connection);
    let first = client.ready().await.unwrap().call("first".into());
    let second = client.ready().await.unwrap().call("second".into());
    let answers = timeout(Duration::from_secs(5), async {
        tokio::join!(first, second)
    });
    let (first, second) = answers.await.unwrap();
    assert_eq!(first.unwrap(), "answer");
    let error = second.unwrap_err();
    assert!(matches!(error, ClientError::Connection(_)), "{error:?}");
    let error = client.ready().await.unwrap_err();
    assert!(matches!(error, ClientError::Connection(_)), "{error:?}");
}
