//! The ack-handshake against itself: every order in which two ends can act and bytes can arrive,
//! and connections both of whose users only send.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use framing::{
    AckHandshake, Connection, Framing, Outbox, Step,
    testkit::{Random, talk},
};
use futures_util::{SinkExt, StreamExt};

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
            (0..random.below(3)).map(|_| bodies[random.below(bodies.len())].clone()).collect()
        };
        let frames = [list(), list()];
        // It checks what arrives, and that nobody waits for ever.
        talk(AckHandshake::default, [&frames[0], &frames[1]], &mut random, 4);
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
        let [mut alice, mut bob] = connections(buffer);
        let (from_alice, from_bob) = (Bytes::from(vec![b'a'; LARGE]), Bytes::from(vec![b'b'; LARGE]));
        // Both bodies are larger than the pipe, nobody reads, and each has two to send.
        let twice = async |connection: &mut Connection<_, _>, frame: &Bytes| {
            connection.send(frame.clone()).await?;
            connection.send(frame.clone()).await
        };
        let sent = tokio::time::timeout(
            Duration::from_secs(20),
            async { tokio::join!(twice(&mut alice, &from_alice), twice(&mut bob, &from_bob)) },
        );
        let (a, b) = sent.await.unwrap_or_else(|_| panic!("buffer {buffer}: both wait for ever"));
        a.and(b).unwrap();
        for _ in 0..2 {
            assert_eq!(alice.next().await.unwrap().unwrap(), from_bob);
            assert_eq!(bob.next().await.unwrap().unwrap(), from_alice);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_stream_is_bounded() {
    let [mut alice, mut bob] = connections(64);
    // Bob never polls his stream. Two frames wait for him; the third is not even agreed to.
    let received = tokio::spawn(async move {
        bob.send("from bob".into()).await.unwrap();
        // Flushing goes on reading.
        let _ = tokio::time::timeout(Duration::from_secs(5), bob.send("again".into())).await;
        bob
    });
    for number in 0..4 {
        let sent = tokio::time::timeout(Duration::from_secs(6), alice.send(format!("{number}").into()));
        if sent.await.is_err() {
            assert!(number >= 2, "frame {number} has room in the slot");
            break;
        }
        assert!(number < 3, "frame {number} is taken though nobody reads");
    }
    let mut bob = received.await.unwrap();
    let (first, second) = tokio::join!(bob.next(), async {
        alice.flush().await.unwrap();
        alice.next().await
    });
    assert_eq!(first.unwrap().unwrap(), "0");
    assert_eq!(second.unwrap().unwrap(), "from bob");
}

#[tokio::test(start_paused = true)]
async fn the_halves_may_live_in_two_tasks() {
    for buffer in [1, 64] {
        let halves = connections(buffer).map(|connection| connection.split());
        let tasks = halves.into_iter().map(|(mut sink, mut stream)| {
            let sending = tokio::spawn(async move {
                for number in 0..50_u32 {
                    sink.send(Bytes::from(number.to_string().repeat(5))).await.unwrap();
                }
                sink
            });
            let receiving = tokio::spawn(async move {
                for number in 0..50_u32 {
                    let frame = stream.next().await.unwrap().unwrap();
                    assert_eq!(frame, number.to_string().repeat(5));
                }
                // The peer's ack to our last frame may still be on its way to us.
                tokio::time::timeout(Duration::from_secs(1), stream.next()).await.ok();
                stream
            });
            async { (sending.await.unwrap(), receiving.await.unwrap()) }
        });
        let all = futures_util::future::join_all(tasks);
        tokio::time::timeout(Duration::from_secs(20), all).await.expect("a half waits for ever");
    }
}

#[tokio::test(start_paused = true)]
async fn a17_a_dropped_send_is_finished_before_the_next() {
    let [mut alice, mut bob] = connections(64);
    // Dropped while waiting for the ack.
    let dropped = tokio::time::timeout(Duration::from_secs(1), alice.send("first".into()));
    assert!(dropped.await.is_err());
    let (sent, received) = tokio::join!(alice.send("second".into()), async {
        [bob.next().await.unwrap().unwrap(), bob.next().await.unwrap().unwrap()]
    });
    sent.unwrap();
    assert_eq!(received, ["first", "second"]);
}
