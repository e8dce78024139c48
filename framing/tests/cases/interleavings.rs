//! The ack-handshake against itself: every order in which two ends can act and bytes can arrive,
//! and connections both of whose users only send.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use framing::{
    AckHandshake, Connection, Framing, Outbox, Step,
    testkit::{Random, talk},
};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bodies that look like everything else on the wire.
const BODIES: [&[u8]; 4] = [b"okxyz", b"5\n", b"2\nok", b""];

/// One of the two, its buffers kept by hand so that a whole state can be cloned and compared.
#[derive(Clone, Debug)]
struct End {
    framing: AckHandshake,
    input: Vec<u8>,
    wire: Vec<u8>,
    /// How many of its frames it has announced.
    sent: usize,
    received: Vec<Vec<u8>>,
    /// Frames that have arrived while an ack has been due.
    while_waiting: usize,
}

impl End {
    fn new() -> Self {
        Self {
            framing: AckHandshake::default(),
            input: Vec::new(),
            wire: Vec::new(),
            sent: 0,
            received: Vec::new(),
            while_waiting: 0,
        }
    }

    fn send(&mut self, frame: &'static [u8], out: &mut Outbox) {
        self.framing.encode(Bytes::from_static(frame), out).unwrap();
        self.wire.extend_from_slice(&out.take_bytes());
        self.sent += 1;
        self.while_waiting = 0;
    }

    fn receive(&mut self, byte: u8, out: &mut Outbox) {
        self.input.push(byte);
        loop {
            let consumed = match self.framing.decode(&mut self.input, out).unwrap() {
                Step::Frame { payload, consumed } => {
                    self.received.push(self.input[payload].to_vec());
                    if !self.framing.is_ready() {
                        self.while_waiting += 1;
                        assert!(self.while_waiting <= 2, "a third frame while an ack is due");
                    }
                    consumed
                }
                Step::Consumed(count) => count,
                _ => break,
            };
            self.input.drain(..consumed);
        }
        self.wire.extend_from_slice(&out.take_bytes());
    }

    /// What tells its future: times are all the same here.
    fn key(&self) -> String {
        format!("{self:?}")
    }
}

/// Walks through every state that two ends can reach.
fn explore(frames: [&[&'static [u8]]; 2]) -> usize {
    let mut out = Outbox::new();
    let mut seen = HashSet::new();
    let mut todo = vec![[End::new(), End::new()]];
    let mut finals = 0;
    while let Some(ends) = todo.pop() {
        if !seen.insert([ends[0].key(), ends[1].key()]) {
            continue;
        }
        let mut stuck = true;
        for who in 0..2 {
            if ends[who].framing.is_ready()
                && let Some(frame) = frames[who].get(ends[who].sent)
            {
                let mut next = ends.clone();
                next[who].send(frame, &mut out);
                todo.push(next);
                stuck = false;
            }
            if let Some(&byte) = ends[who].wire.first() {
                let mut next = ends.clone();
                next[who].wire.remove(0);
                next[1 - who].receive(byte, &mut out);
                todo.push(next);
                stuck = false;
            }
        }
        if stuck {
            finals += 1;
            for who in 0..2 {
                assert_eq!(ends[who].received, frames[1 - who], "{frames:?}");
                assert!(ends[who].framing.is_ready() && ends[who].input.is_empty());
            }
        }
    }
    assert!(finals > 0);
    seen.len()
}

#[test]
fn a12_a13_a14_every_interleaving_of_small_bodies_arrives() {
    let mut states = 0;
    for ours in BODIES {
        for theirs in BODIES {
            states += explore([&[ours], &[theirs]]);
        }
    }
    for ours in BODIES {
        // Two in a row, one way and both ways.
        states += explore([&[ours, b"5\n"], &[]]);
        states += explore([&[ours, b"2\nok"], &[b"okxyz", b""]]);
    }
    assert!(states > 1000, "{states} states are too few to be all");
}

#[test]
fn a12_random_interleavings_with_random_cuts_arrive() {
    let mut random = Random::new(12);
    let bodies = BODIES.map(Bytes::from_static);
    for _ in 0..100_000 {
        let mut list = || -> Vec<Bytes> {
            (0..random.below(3))
                .map(|_| bodies[random.below(bodies.len())].clone())
                .collect()
        };
        let frames = [list(), list()];
        // It checks what arrives, and that nobody waits for ever.
        talk(
            AckHandshake::default,
            [&frames[0], &frames[1]],
            &mut random,
            4,
        );
    }
}

const LARGE: usize = 100_000;

fn connections(buffer: usize) -> [Connection<tokio::io::DuplexStream, AckHandshake>; 2] {
    let (ours, theirs) = tokio::io::duplex(buffer);
    [ours, theirs].map(|io| Connection::new(io, AckHandshake::default()))
}

#[tokio::test(start_paused = true)]
async fn two_users_that_only_send_make_progress() {
    for buffer in [1, 2, 7, 64, 4096] {
        let [alice, bob] = connections(buffer);
        let (from_alice, from_bob) = (
            Bytes::from(vec![b'a'; LARGE]),
            Bytes::from(vec![b'b'; LARGE]),
        );
        // All bodies are larger than the pipe, and nobody reads before having sent three.
        let user = async |mut connection: Connection<_, _>, ours: Bytes, theirs: Bytes| {
            for _ in 0..3 {
                connection.send(ours.clone()).await.unwrap();
            }
            for _ in 0..3 {
                assert_eq!(connection.next().await.unwrap().unwrap(), theirs);
            }
            connection
        };
        let both = async {
            tokio::join!(
                user(alice, from_alice.clone(), from_bob.clone()),
                user(bob, from_bob.clone(), from_alice.clone())
            )
        };
        let done = tokio::time::timeout(Duration::from_secs(20), both).await;
        done.unwrap_or_else(|_| panic!("buffer {buffer}: both wait for ever"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_and_does_not_agree_is_not_listened_to_for_ever() {
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    let mut connection = Connection::new(ours, AckHandshake::default());
    // Many empty frames, which need no more than our ack, and no ack to ours.
    theirs.write_all(&b"0\n".repeat(900)).await.unwrap();
    let error = connection.send("hello".into()).await.unwrap_err();
    assert!(error.to_string().contains("second frame"), "{error}");
    let mut written = vec![0; 100];
    let length = theirs.read(&mut written).await.unwrap();
    // One announcement may have crossed ours; a second shows that this peer does not mean to agree.
    assert_eq!(&written[..length], b"5\nok");
    // What has arrived is not lost.
    assert_eq!(connection.next().await.unwrap().unwrap(), "");
    let Some(Err(framing::Error::Frame(mut error))) = connection.next().await else {
        panic!("the stream says nothing");
    };
    assert_eq!(error.take_frame().unwrap(), "hello");
    assert!(connection.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_halves_may_live_in_two_tasks() {
    for buffer in [1, 64] {
        let halves = connections(buffer).map(|connection| connection.split());
        let tasks = halves.into_iter().map(|(mut sink, mut stream)| {
            let sending = tokio::spawn(async move {
                for number in 0..50_u32 {
                    sink.send(Bytes::from(number.to_string().repeat(5)))
                        .await
                        .unwrap();
                }
                sink
            });
            let receiving = tokio::spawn(async move {
                for number in 0..50_u32 {
                    let frame = stream.next().await.unwrap().unwrap();
                    assert_eq!(frame, number.to_string().repeat(5));
                }
                // The peer's ack to our last frame may still be on its way to us.
                tokio::time::timeout(Duration::from_secs(1), stream.next())
                    .await
                    .ok();
                stream
            });
            async { (sending.await.unwrap(), receiving.await.unwrap()) }
        });
        let all = futures_util::future::join_all(tasks);
        tokio::time::timeout(Duration::from_secs(20), all)
            .await
            .expect("a half waits for ever");
    }
}

#[tokio::test(start_paused = true)]
async fn a17_a_dropped_send_is_finished_before_the_next() {
    let [mut alice, mut bob] = connections(64);
    // Dropped while waiting for the ack.
    let dropped = tokio::time::timeout(Duration::from_secs(1), alice.send("first".into()));
    assert!(dropped.await.is_err());
    let (sent, received) = tokio::join!(alice.send("second".into()), async {
        [
            bob.next().await.unwrap().unwrap(),
            bob.next().await.unwrap().unwrap(),
        ]
    });
    sent.unwrap();
    assert_eq!(received, ["first", "second"]);
}

/// Requests come while responses wait for their acks; the server takes them up only later.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_wait_and_a_slow_service_get_through() {
    for (buffer, pause) in [(1, 1), (64, 0), (64, 1), (64, 50), (4096, 7)] {
        let [client, server] = connections(buffer);
        let service = tower::service_fn(move |frame: Bytes| async move {
            tokio::time::sleep(Duration::from_millis(pause * (frame.len() as u64 % 3))).await;
            Ok::<_, std::convert::Infallible>(frame)
        });
        let serving = tokio::spawn(framing::serve::Pipeline::new(server, service));
        let client = framing::client::Client::new(client);
        let calls = (0..100_usize).map(|number| {
            let frame = Bytes::from(number.to_string().repeat(number % 5));
            tower::ServiceExt::oneshot(client.clone(), frame)
        });
        let all = futures_util::future::join_all(calls);
        let answers = tokio::time::timeout(Duration::from_secs(25), all).await;
        let answers = answers.unwrap_or_else(|_| panic!("buffer {buffer}: both wait for ever"));
        for (number, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.unwrap(), number.to_string().repeat(number % 5));
        }
        drop(client);
        serving.await.unwrap().unwrap();
    }
}
