//! Both sides together, over tags and framings of every kind.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use framing::{
    AckHandshake, Connection, Delimiter, FrameError, Framing, HeaderItem, StructHeader, Tagging,
    U32InFront, Value,
    client::{Connect, Multiplexed},
    serve::{BoxError, Listener, Multiplex, Tcp, serve_multiplexed},
};
use futures_util::future::join_all;
use tokio::io::duplex;
use tower::{ServiceExt, make::Shared, service_fn};

use crate::{moody, soon};

/// `17 hello`: an outsider's, for framings that carry text.
#[derive(Clone)]
struct Digits;

impl Tagging for Digits {
    fn begin(&mut self, _: &mut dyn Framing) -> Result<u32, FrameError> {
        Ok(u32::MAX)
    }

    fn read(&mut self, frame: Bytes, _: &dyn Framing) -> Result<(u32, Bytes), FrameError> {
        let wrong = || FrameError::malformed("there is no number in front");
        let space = frame
            .iter()
            .position(|&byte| byte == b' ')
            .ok_or_else(wrong)?;
        let tag = std::str::from_utf8(&frame[..space])
            .ok()
            .and_then(|tag| tag.parse().ok());
        Ok((tag.ok_or_else(wrong)?, frame.slice(space + 1..)))
    }

    fn write(&mut self, tag: u32, frame: Bytes, _: &mut dyn Framing) -> Result<Bytes, FrameError> {
        Ok([tag.to_string().as_bytes(), b" ", &frame].concat().into())
    }

    fn one_way(&self) -> Option<u32> {
        None
    }
}

/// Two hundred calls at once, of which each has its own answer, over a pipe of `buffer` bytes.
async fn through<F, G>(framing: F, tags: G, buffer: usize)
where
    F: Framing + Clone + Send + 'static,
    G: Tagging + Clone + Send + 'static,
{
    let (ours, theirs) = duplex(buffer);
    let server = Connection::new(theirs, framing.clone());
    let server = Multiplex::new(server, tags.clone(), service_fn(moody)).unwrap();
    let server = tokio::spawn(server);
    let client = Multiplexed::new(Connection::new(ours, framing), tags).unwrap();
    let calls = (0..200).map(|number: u32| {
        // Some take a while, some fail.
        let request = match number % 4 {
            0 => (number % 7).to_string(),
            1 => "fail".into(),
            _ => format!("request {number}"),
        };
        let call = client.clone().oneshot(request.clone().into());
        async move {
            let expected = match &*request {
                "fail" => "error: it was not to be",
                other => other,
            };
            assert_eq!(call.await.unwrap(), expected);
        }
    });
    soon(join_all(calls)).await;
    drop(client);
    soon(server).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn b09_it_works_over_every_kind_of_tag_and_the_narrowest_pipe() {
    for buffer in [1, 7, 1 << 16] {
        through(StructHeader::default(), U32InFront::new(), buffer).await;
        through(AckHandshake::default(), U32InFront::new(), buffer).await;
        through(
            StructHeader::new("<BI").unwrap(),
            HeaderItem::only(),
            buffer,
        )
        .await;
        let items = ["MX".into(), Value::Int(0), Value::Int(3)];
        let framing = StructHeader::new("!2sHBI").unwrap();
        through(framing, HeaderItem::among(items, 1), buffer).await;
        through(Delimiter::default(), Digits, buffer).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b09_it_works_over_tcp_with_many_callers_in_many_tasks() {
    let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr();
    let make = Shared::new(service_fn(moody));
    tokio::spawn(serve_multiplexed(listener, U32InFront::new(), make).into_future());
    let connect = Connect::new(StructHeader::default()).multiplexed(U32InFront::new());
    let client = connect.oneshot(address).await.unwrap();
    let callers = (0..50).map(|caller: usize| {
        let client = client.clone();
        tokio::spawn(async move {
            for number in 0..40 {
                let size = [1, 300, 5000, 100_000][(caller + number) % 4];
                let request = Bytes::from(format!("{caller}/{number} ").repeat(size / 6 + 1));
                let call = client.clone().oneshot(request.clone());
                if number % 5 == 0 {
                    // Dropped before, while or after it is sent.
                    let pause = Duration::from_micros(50 * (caller % 4) as u64);
                    let _ = tokio::time::timeout(pause, call).await;
                } else {
                    assert_eq!(call.await.unwrap(), request);
                }
            }
        })
    });
    for caller in soon(join_all(callers)).await {
        caller.unwrap();
    }
}

#[tokio::test]
async fn b10_tags_without_one_for_one_way_frames_send_none() {
    let (ours, theirs) = duplex(64);
    let service = service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame));
    let (pusher, pushes) = framing::serve::Pusher::new(1);
    let server = Multiplex::new(
        Connection::new(theirs, Delimiter::default()),
        Digits,
        service,
    );
    tokio::spawn(server.unwrap().pushes(pushes));
    soon(pusher.closed()).await;
    let mut client = Multiplexed::new(Connection::new(ours, Delimiter::default()), Digits).unwrap();
    let error: BoxError = soon(client.send("note".into())).await.unwrap_err().into();
    assert!(error.to_string().contains("one-way"), "{error}");
    // Zero is a tag like any other; the client has used 1 for nothing yet.
    let answers = soon(join_all((0..3).map(|_| client.clone().oneshot("x".into())))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}
