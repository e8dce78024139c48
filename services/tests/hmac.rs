//! Who gets in with a shared secret and who does not, in both forms, against hostile peers and
//! against a real `python3` in both roles.

use std::{
    collections::HashSet,
    convert::Infallible,
    fs,
    io::Write,
    net::SocketAddr,
    path::Path,
    process::{Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use framing::{
    Connection, StructHeader,
    client::dial,
    serve::{Acceptor, Address, Ending, Listener, Memory, MemoryConnector, Peer, Tcp, serve},
};
use futures_util::{SinkExt, StreamExt};
use services::hmac::{Digest, Form, HmacAcceptor, HmacError, Secret, TIME_LIMIT, answer};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream},
    process::Command,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tower::service_fn;

const SHA256: Form = Form::OneWay(Digest::Sha256);
const MD5: Form = Form::OneWay(Digest::Md5);
const FORMS: [Form; 3] = [SHA256, MD5, Form::Mutual];

const KEY: &[u8] = b"a secret of the test's own";

fn secret() -> Secret {
    Secret::new(KEY).unwrap()
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work)
        .await
        .expect("this takes too long")
}

/// How a connection ended, in a word and with the reason.
type Told = mpsc::UnboundedReceiver<String>;

/// An echo server behind the check, that tells how connections end, and how many services were made.
struct Watched {
    server: JoinHandle<()>,
    told: Told,
    made: Arc<AtomicUsize>,
}

impl Watched {
    fn start<L: Listener>(listener: L, acceptor: HmacAcceptor) -> Self {
        Self::start_until(listener, acceptor, usize::MAX, std::future::pending())
    }

    fn start_until<L: Listener>(
        listener: L,
        acceptor: HmacAcceptor,
        max_connections: usize,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let made = Arc::new(AtomicUsize::new(0));
        let counted = made.clone();
        let make = service_fn(move |_: Peer| {
            counted.fetch_add(1, Ordering::SeqCst);
            let echo = service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame));
            async move { Ok::<_, Infallible>(echo) }
        });
        let (tell, told) = mpsc::unbounded_channel();
        let server = serve(listener, make)
            .acceptor(acceptor)
            .max_connections(max_connections)
            .with_graceful_shutdown(shutdown)
            .on_close(move |_, closed| {
                let told = match &closed.ending {
                    Ending::Failed(error) => match error.downcast_ref::<HmacError>() {
                        Some(HmacError::Wrong) => "wrong".to_owned(),
                        Some(HmacError::Left) => "left".to_owned(),
                        Some(HmacError::Late(limit)) => format!("late {limit:?}"),
                        _ => format!("failed: {error}"),
                    },
                    ending => ending.to_string(),
                };
                let _ = tell.send(told);
            });
        Self {
            server: tokio::spawn(server.into_future()),
            told,
            made,
        }
    }

    async fn told(&mut self) -> String {
        soon(self.told.recv()).await.unwrap()
    }

    fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }
}

fn memory(form: Form) -> (MemoryConnector, Watched) {
    let (listener, connector) = Memory::new(4096);
    let acceptor = HmacAcceptor::new(secret(), form);
    (connector, Watched::start(listener, acceptor))
}

/// Connects, and reads the challenge.
async fn challenged(connector: &MemoryConnector) -> (DuplexStream, [u8; 32]) {
    let mut io = connector.connect().await.unwrap();
    let mut challenge = [0; 32];
    soon(io.read_exact(&mut challenge)).await.unwrap();
    (io, challenge)
}

/// What a client of ours with this secret answers to a challenge: it is the one way to make proofs
/// that the public API has.
async fn proof(secret: &Secret, form: Form, challenge: &[u8; 32]) -> Vec<u8> {
    let (mut ours, mut theirs) = tokio::io::duplex(1024);
    theirs.write_all(challenge).await.unwrap();
    let secret = secret.clone();
    let answering = tokio::spawn(async move {
        // The mutual form would wait for the server's part.
        let _ = answer(&mut ours, &secret, form, TIME_LIMIT).await;
    });
    let mut proof = vec![0; if form == Form::Mutual { 64 } else { 32 }];
    if form == MD5 {
        proof.truncate(16);
    }
    soon(theirs.read_exact(&mut proof)).await.unwrap();
    drop(theirs);
    answering.await.unwrap();
    proof
}

const REQUEST: &[u8] = b"\0\0\0\x05hello";

/// That this client gets an echo; what it had sent in the handshake's step may be behind it.
async fn is_served(io: &mut DuplexStream) {
    let mut answer = [0; 9];
    soon(io.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, REQUEST);
}

async fn is_closed_without_a_byte(io: &mut DuplexStream) {
    let mut rest = Vec::new();
    soon(io.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty(), "{rest:?}");
}

#[tokio::test]
async fn each_form_lets_in_who_knows_the_secret() {
    for form in FORMS {
        let (connector, mut watched) = memory(form);
        for round in 1..=20 {
            let mut io = connector.connect().await.unwrap();
            answer(&mut io, &secret(), form, TIME_LIMIT).await.unwrap();
            let mut client = Connection::new(io, StructHeader::default());
            client.send("hello".into()).await.unwrap();
            assert_eq!(soon(client.next()).await.unwrap().unwrap(), "hello");
            drop(client);
            assert_eq!(watched.told().await, "closed");
            assert_eq!(watched.made(), round, "{form:?}");
        }
    }
}

#[tokio::test]
async fn svc_b21_only_the_exact_fresh_answer_passes() {
    let other = Secret::new(*b"a secret of somebody else").unwrap();
    for form in [SHA256, MD5] {
        let length = if form == MD5 { 16 } else { 32 };
        let (connector, mut watched) = memory(form);
        let (_io, earlier) = challenged(&connector).await;
        let earlier = proof(&secret(), form, &earlier).await;
        drop(_io);
        assert_eq!(watched.told().await, "left");

        // What is answered, whether the client then ends its side, and what is told of it.
        let mut tried = 0;
        for kind in [
            "wrong key",
            "earlier answer",
            "zeros",
            "first byte",
            "right prefix",
            "right suffix",
            "reversed",
            "challenge",
            "hex",
            "md5 and more",
            "empty",
            "one",
            "15",
            "31",
            "md5",
        ] {
            let (mut io, challenge) = challenged(&connector).await;
            let right = proof(&secret(), form, &challenge).await;
            let md5 = proof(&secret(), MD5, &challenge).await;
            let mut answer = right.clone();
            match kind {
                "wrong key" => answer = proof(&other, form, &challenge).await,
                "earlier answer" => answer = earlier.clone(),
                "zeros" => answer.fill(0),
                "first byte" => answer[0] ^= 1,
                "right prefix" => answer[length - 1] ^= 0x80,
                "right suffix" => answer[..length - 1].fill(0),
                "reversed" => answer.reverse(),
                "challenge" => answer = challenge[..length].to_vec(),
                "hex" => {
                    let hex: String = right.iter().map(|byte| format!("{byte:02x}")).collect();
                    answer = hex.into_bytes();
                }
                "empty" => answer.clear(),
                "one" => answer.truncate(1),
                "15" => answer.truncate(15),
                "31" if form == SHA256 => answer.truncate(31),
                "md5 and more" if form == SHA256 => {
                    answer = md5;
                    answer.extend([0; 16]);
                }
                "md5" if form == SHA256 => answer = md5,
                _ => continue,
            }
            io.write_all(&answer).await.unwrap();
            let told = if answer.len() < length {
                io.shutdown().await.unwrap();
                "left"
            } else {
                // Behind it stands a request, which must reach nothing.
                let _ = io.write_all(REQUEST).await;
                "wrong"
            };
            is_closed_without_a_byte(&mut io).await;
            assert_eq!(watched.told().await, told, "{form:?} {kind}");
            assert_eq!(watched.made(), 0, "{form:?} {kind}");
            tried += 1;
        }
        assert_eq!(tried, if form == MD5 { 12 } else { 15 });

        // And the right one does, so the rest were not refused for another reason.
        let (mut io, challenge) = challenged(&connector).await;
        io.write_all(&proof(&secret(), form, &challenge).await)
            .await
            .unwrap();
        io.write_all(REQUEST).await.unwrap();
        is_served(&mut io).await;
        assert_eq!(watched.made(), 1);
    }
}

#[tokio::test]
async fn svc_b21_a_byte_more_is_the_first_of_the_first_request() {
    // 33 bytes, or 17, and the rest of the request later; and all of it, or two of them, at once.
    for form in [SHA256, MD5] {
        let (connector, _watched) = memory(form);
        for glued in [1, 4, 5, 9, 12, 18] {
            let (mut io, challenge) = challenged(&connector).await;
            let requests = [REQUEST, REQUEST].concat();
            let mut step = proof(&secret(), form, &challenge).await;
            step.extend(&requests[..glued]);
            io.write_all(&step).await.unwrap();
            sleep(Duration::from_millis(5)).await;
            io.write_all(&requests[glued..]).await.unwrap();
            is_served(&mut io).await;
            is_served(&mut io).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn svc_b21_an_answer_in_32_pieces_passes_within_the_time() {
    let (connector, mut watched) = memory(SHA256);
    let (mut io, challenge) = challenged(&connector).await;
    for byte in proof(&secret(), SHA256, &challenge).await {
        sleep(Duration::from_millis(150)).await;
        io.write_all(&[byte]).await.unwrap();
    }
    io.write_all(REQUEST).await.unwrap();
    is_served(&mut io).await;
    // The time was the check's, not the connection's.
    sleep(Duration::from_secs(60)).await;
    io.write_all(REQUEST).await.unwrap();
    is_served(&mut io).await;

    // One that trickles the same answer for longer than the time is cut in the middle of it.
    let begun = Instant::now();
    let (mut io, challenge) = challenged(&connector).await;
    for byte in proof(&secret(), SHA256, &challenge).await {
        sleep(Duration::from_millis(200)).await;
        if io.write_all(&[byte]).await.is_err() {
            break;
        }
    }
    is_closed_without_a_byte(&mut io).await;
    assert_eq!(watched.told().await, "late 5s");
    assert_eq!(begun.elapsed().as_millis() / 200, 26, "at the next byte");
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_is_closed_after_the_time_limit() {
    for form in FORMS {
        for (limit, told) in [(None, "late 5s"), (Some(700), "late 700ms")] {
            let (listener, connector) = Memory::new(1024);
            let mut acceptor = HmacAcceptor::new(secret(), form);
            if let Some(limit) = limit {
                acceptor = acceptor.time_limit(Duration::from_millis(limit));
            }
            let mut watched = Watched::start(listener, acceptor);
            let begun = Instant::now();
            let (mut io, _) = challenged(&connector).await;
            is_closed_without_a_byte(&mut io).await;
            let lived = begun.elapsed().as_millis() as u64;
            assert!(lived.abs_diff(limit.unwrap_or(5000)) <= 2, "{lived}");
            assert_eq!(watched.told().await, told);
            assert_eq!(watched.made(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_challenge_is_late_too() {
    let (listener, connector) = Memory::new(1);
    let mut watched = Watched::start(listener, HmacAcceptor::new(secret(), SHA256));
    let _io = connector.connect().await.unwrap();
    assert_eq!(watched.told().await, "late 5s");
}

#[tokio::test]
async fn whoever_leaves_at_once_harms_nobody() {
    for form in FORMS {
        let (connector, mut watched) = memory(form);
        drop(connector.connect().await.unwrap());
        assert_eq!(watched.told().await, "left");
        assert_eq!(watched.made(), 0);
    }
}

#[tokio::test]
async fn svc_b21_all_of_100_000_challenges_differ() {
    for form in [SHA256, Form::Mutual] {
        let acceptor = HmacAcceptor::new(secret(), form);
        let mut seen = HashSet::new();
        for _ in 0..100_000 {
            let (ours, mut theirs) = tokio::io::duplex(64);
            let mut peer = Peer::new(Address::Memory(1), Address::Memory(0));
            let mut challenge = [0; 32];
            tokio::select! {
                biased;
                _ = acceptor.accept(ours, &mut peer) => panic!("nothing was answered"),
                read = theirs.read_exact(&mut challenge) => { read.unwrap(); }
            }
            assert!(seen.insert(challenge), "twice: {challenge:?}");
        }
    }
}

#[tokio::test]
async fn a_failed_check_gives_its_place_to_the_next() {
    let (listener, connector) = Memory::new(1024);
    let acceptor = HmacAcceptor::new(secret(), SHA256);
    let mut watched = Watched::start_until(listener, acceptor, 1, std::future::pending());
    for _ in 0..3 {
        let (mut io, _) = challenged(&connector).await;
        // Whoever comes now waits, and gets no challenge.
        let mut next = connector.connect().await.unwrap();
        timeout(Duration::from_millis(20), next.read(&mut [0; 1]))
            .await
            .expect_err("the one place is taken");
        io.write_all(&[0; 32]).await.unwrap();
        is_closed_without_a_byte(&mut io).await;
        assert_eq!(watched.told().await, "wrong");
        answer(&mut next, &secret(), SHA256, TIME_LIMIT)
            .await
            .unwrap();
        next.write_all(REQUEST).await.unwrap();
        is_served(&mut next).await;
        drop(next);
        assert_eq!(watched.told().await, "closed");
    }
}

#[tokio::test]
async fn a_drain_does_not_wait_for_open_checks() {
    let (listener, connector) = Memory::new(1024);
    let (stop, stopped) = oneshot::channel::<()>();
    let acceptor = HmacAcceptor::new(secret(), Form::Mutual);
    let mut watched = Watched::start_until(listener, acceptor, 8, async { drop(stopped.await) });
    let (mut io, _) = challenged(&connector).await;
    io.write_all(&[0; 63]).await.unwrap();
    stop.send(()).unwrap();
    is_closed_without_a_byte(&mut io).await;
    timeout(Duration::from_secs(3), &mut watched.server)
        .await
        .expect("less than the check's time")
        .unwrap();
    assert_eq!(watched.told().await, "closed");
    assert_eq!(watched.made(), 0);
}

// The client.

#[tokio::test(start_paused = true)]
async fn a_client_waits_no_longer_than_it_was_told() {
    for form in FORMS {
        for sent in [0, 1, 31, 32] {
            if sent == 32 && form != Form::Mutual {
                continue;
            }
            let (mut ours, mut theirs) = tokio::io::duplex(1024);
            theirs.write_all(&vec![7; sent]).await.unwrap();
            let begun = Instant::now();
            let limit = Duration::from_secs(3);
            let late = answer(&mut ours, &secret(), form, limit).await.unwrap_err();
            assert!(matches!(late, HmacError::Late(it) if it == limit), "{late}");
            assert_eq!(begun.elapsed().as_secs(), 3);
        }
    }
}

#[tokio::test]
async fn a_client_reads_nothing_but_the_check_and_tells_of_a_server_that_leaves() {
    for form in [SHA256, MD5] {
        let (mut ours, mut theirs) = tokio::io::duplex(1024);
        theirs.write_all(&[7; 32]).await.unwrap();
        theirs.write_all(b"behind").await.unwrap();
        answer(&mut ours, &secret(), form, TIME_LIMIT)
            .await
            .unwrap();
        let mut behind = [0; 6];
        ours.read_exact(&mut behind).await.unwrap();
        assert_eq!(&behind, b"behind");
    }
    for form in FORMS {
        for sent in [0, 31] {
            let (mut ours, mut theirs) = tokio::io::duplex(1024);
            theirs.write_all(&vec![7; sent]).await.unwrap();
            drop(theirs);
            let left = answer(&mut ours, &secret(), form, TIME_LIMIT).await;
            assert!(matches!(left, Err(HmacError::Left)), "{left:?}");
        }
    }
}

// The mutual form.

#[tokio::test]
async fn mutual_no_byte_that_depends_on_the_secret_is_sent_to_a_stranger() {
    let (connector, mut watched) = memory(Form::Mutual);
    for length in [0, 1, 31, 32, 33, 63] {
        let (mut io, challenge) = challenged(&connector).await;
        let step = proof(&secret(), Form::Mutual, &challenge).await;
        io.write_all(&step[..length]).await.unwrap();
        io.shutdown().await.unwrap();
        is_closed_without_a_byte(&mut io).await;
        assert_eq!(watched.told().await, "left", "{length}");
    }
    for byte in 0..64 {
        let (mut io, challenge) = challenged(&connector).await;
        let mut step = proof(&secret(), Form::Mutual, &challenge).await;
        step[byte] ^= 1;
        io.write_all(&step).await.unwrap();
        is_closed_without_a_byte(&mut io).await;
        assert_eq!(watched.told().await, "wrong", "{byte}");
    }
    // Of an earlier connection.
    let (mut first, challenge) = challenged(&connector).await;
    let step = proof(&secret(), Form::Mutual, &challenge).await;
    first.write_all(&step).await.unwrap();
    let mut proof = [0; 32];
    soon(first.read_exact(&mut proof)).await.unwrap();
    let (mut second, _) = challenged(&connector).await;
    second.write_all(&step).await.unwrap();
    is_closed_without_a_byte(&mut second).await;
    assert_eq!(watched.told().await, "wrong");
    assert_eq!(watched.made(), 1, "the first alone");
}

#[tokio::test]
async fn mutual_another_secret_is_seen_by_both_sides() {
    let (connector, mut watched) = memory(Form::Mutual);
    let other = Secret::new(*b"a secret of somebody else").unwrap();
    let mut io = connector.connect().await.unwrap();
    let refused = answer(&mut io, &other, Form::Mutual, TIME_LIMIT).await;
    assert!(matches!(refused, Err(HmacError::Refused)), "{refused:?}");
    assert_eq!(watched.told().await, "wrong");

    // A server that takes any client, and proves itself with its own secret, or with nothing.
    let (mut ours, mut theirs) = tokio::io::duplex(1024);
    let false_server = tokio::spawn(async move {
        theirs.write_all(&[7; 32]).await.unwrap();
        theirs.read_exact(&mut [0; 64]).await.unwrap();
        theirs.write_all(&[0; 32]).await.unwrap();
        let mut frames = Vec::new();
        theirs.read_to_end(&mut frames).await.unwrap();
        assert!(frames.is_empty());
    });
    let wrong = answer(&mut ours, &secret(), Form::Mutual, TIME_LIMIT).await;
    assert!(matches!(wrong, Err(HmacError::Wrong)), "{wrong:?}");
    drop(ours);
    soon(false_server).await.unwrap();
}

#[tokio::test]
async fn two_forms_never_agree() {
    for of_server in FORMS {
        for of_client in FORMS {
            if of_server == of_client {
                continue;
            }
            let (listener, connector) = Memory::new(1024);
            let acceptor =
                HmacAcceptor::new(secret(), of_server).time_limit(Duration::from_millis(300));
            let mut watched = Watched::start(listener, acceptor);
            let mut io = connector.connect().await.unwrap();
            let answered = answer(&mut io, &secret(), of_client, TIME_LIMIT).await;
            assert_eq!(answered.is_err(), of_client == Form::Mutual);
            let _ = io.write_all(&REQUEST.repeat(8)).await;
            is_closed_without_a_byte(&mut io).await;
            assert_eq!(watched.told().await, "wrong", "{of_server:?} {of_client:?}");
            assert_eq!(watched.made(), 0);
        }
    }
}

// Reflection and relay.

#[tokio::test]
async fn svc_b22_mutual_a_clients_own_proof_does_not_prove_a_server() {
    let (mut ours, mut theirs) = tokio::io::duplex(1024);
    let attacker = tokio::spawn(async move {
        // Whatever the challenge: even the client's own could not be known before.
        theirs.write_all(&[7; 32]).await.unwrap();
        let mut step = [0; 64];
        theirs.read_exact(&mut step).await.unwrap();
        theirs.write_all(&step[32..]).await.unwrap();
        theirs
    });
    let wrong = answer(&mut ours, &secret(), Form::Mutual, TIME_LIMIT).await;
    assert!(matches!(wrong, Err(HmacError::Wrong)), "{wrong:?}");
    attacker.await.unwrap();
}

#[tokio::test]
async fn svc_b22_mutual_a_servers_challenge_and_proof_are_of_no_use_against_it() {
    let (connector, mut watched) = memory(Form::Mutual);
    // Our challenge comes back on a second connection, for an answer that could be replayed.
    let (mut first, challenge) = challenged(&connector).await;
    let (mut second, _) = challenged(&connector).await;
    second.write_all(&challenge).await.unwrap();
    second.write_all(&challenge).await.unwrap();
    is_closed_without_a_byte(&mut second).await;
    assert_eq!(watched.told().await, "wrong");
    first.write_all(&challenge).await.unwrap();
    first.write_all(&challenge).await.unwrap();
    is_closed_without_a_byte(&mut first).await;
    assert_eq!(watched.told().await, "wrong");

    // The proof that a server gave an honest client is not one of a client.
    let (mut honest, challenge) = challenged(&connector).await;
    let step = proof(&secret(), Form::Mutual, &challenge).await;
    honest.write_all(&step).await.unwrap();
    let mut of_server = [0; 32];
    soon(honest.read_exact(&mut of_server)).await.unwrap();
    let (mut io, _) = challenged(&connector).await;
    io.write_all(&step[..32]).await.unwrap();
    io.write_all(&of_server).await.unwrap();
    is_closed_without_a_byte(&mut io).await;
    assert_eq!(watched.told().await, "wrong");
    assert_eq!(watched.made(), 1);
}

#[tokio::test]
async fn svc_b22_one_way_answers_are_no_mutual_proofs() {
    let (connector, mut watched) = memory(Form::Mutual);
    let (mut io, challenge) = challenged(&connector).await;
    // A client in the one-way form answers any challenge, so also this one.
    let oracle = proof(&secret(), SHA256, &challenge).await;
    io.write_all(&challenge).await.unwrap();
    io.write_all(&oracle).await.unwrap();
    is_closed_without_a_byte(&mut io).await;
    assert_eq!(watched.told().await, "wrong");
}

#[tokio::test]
async fn svc_b22_one_way_a_server_answers_no_challenge() {
    let (connector, mut watched) = memory(SHA256);
    let (mut first, challenge) = challenged(&connector).await;
    let (mut second, _) = challenged(&connector).await;
    second.write_all(&challenge).await.unwrap();
    is_closed_without_a_byte(&mut second).await;
    assert_eq!(watched.told().await, "wrong");
    first.write_all(&challenge).await.unwrap();
    is_closed_without_a_byte(&mut first).await;
    assert_eq!(watched.told().await, "wrong");
}

/// What neither form can withstand, as `docs/hmac.md` says; here so that nobody believes otherwise. Once
/// something is bound to the channel, this test has to change.
#[tokio::test]
async fn svc_b22_svc_b23_who_is_dialled_can_pass_the_check_on_and_get_in() {
    for form in FORMS {
        let (connector, watched) = memory(form);
        // A process that has the secret, perhaps the server itself, dials the attacker.
        let (mut ours, mut theirs) = tokio::io::duplex(1024);
        let honest = tokio::spawn(async move {
            answer(&mut ours, &secret(), form, TIME_LIMIT)
                .await
                .unwrap();
            ours
        });
        let (mut io, challenge) = challenged(&connector).await;
        theirs.write_all(&challenge).await.unwrap();
        let mut step = vec![0; if form == MD5 { 16 } else { 32 }];
        if form == Form::Mutual {
            step.resize(64, 0);
        }
        soon(theirs.read_exact(&mut step)).await.unwrap();
        io.write_all(&step).await.unwrap();
        if form == Form::Mutual {
            let mut proof = [0; 32];
            soon(io.read_exact(&mut proof)).await.unwrap();
            theirs.write_all(&proof).await.unwrap();
        }
        soon(honest).await.unwrap();
        io.write_all(REQUEST).await.unwrap();
        is_served(&mut io).await;
        assert_eq!(watched.made(), 1);
    }
}

// With a real Python.

/// A client as the courses write it: one `recv`, one `sendall`, and no loop.
const COURSE_CLIENT: &str = r#"
import hmac, socket, struct, sys
port, digest, key = int(sys.argv[1]), sys.argv[2], bytes.fromhex(sys.argv[3])

def conn_auth(conn):
    msg = conn.recv(32)
    h = hmac.new(key, msg, digest)
    conn.sendall(h.digest())

client = socket.socket()
client.connect(("127.0.0.1", port))
conn_auth(client)
for text in ("hello", "sigui"):
    try:
        client.sendall(struct.pack("!I", len(text)) + text.encode("utf-8"))
        answer = client.recv(1024)
    except ConnectionError:
        # The server may be gone before the request is sent, or behind it.
        answer = b""
    if not answer:
        print("closed")
        break
    print(answer[4:].decode("utf-8"))
client.close()
"#;

/// A server as the courses write it. Then echoes what one `recv` gives.
const COURSE_SERVER: &str = r#"
import hmac, os, socket, sys
digest, key = sys.argv[1], bytes.fromhex(sys.argv[2])

def conn_auth(conn):
    msg = os.urandom(32)
    conn.sendall(msg)
    h = hmac.new(key, msg, digest).digest()
    response = conn.recv(len(h))
    return hmac.compare_digest(response, h)

server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(5)
print(server.getsockname()[1], flush=True)
while True:
    conn, addr = server.accept()
    if conn_auth(conn):
        print("ok", flush=True)
        conn.sendall(conn.recv(1024))
    else:
        print("refused", flush=True)
    conn.close()
"#;

/// The mutual form's other side, from the page's words.
const MUTUAL_SERVER: &str = r#"
import hmac, os, socket, sys
key = bytes.fromhex(sys.argv[2])

def proof(role, s, c):
    return hmac.new(key, b"framewright hmac-mutual 1 " + role + b"\n" + s + c, "sha256").digest()

server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(5)
print(server.getsockname()[1], flush=True)
while True:
    conn, addr = server.accept()
    s = os.urandom(32)
    conn.sendall(s)
    step = conn.recv(64, socket.MSG_WAITALL)
    if hmac.compare_digest(step[32:], proof(b"client", s, step[:32])):
        print("ok", flush=True)
        conn.sendall(proof(b"server", s, step[:32]))
        conn.sendall(conn.recv(1024))
    else:
        print("refused", flush=True)
    conn.close()
"#;

/// Runs a script, or says visibly that it cannot.
async fn python(script: &str, arguments: &[&str]) -> Option<Output> {
    let ran = Command::new("python3")
        .args(["-c", script])
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match soon(ran).await {
        Ok(output) => Some(output),
        Err(error) => {
            skipped(&error);
            None
        }
    }
}

fn skipped(error: &std::io::Error) {
    // `eprintln` would be hidden by the test harness.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "SKIPPED: no python3 to talk with: {error}").unwrap();
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn on_tcp(form: Form) -> (String, Watched) {
    let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
    let Address::Tcp(address) = listener.local_addr() else {
        unreachable!("a TCP listener")
    };
    let acceptor = HmacAcceptor::new(secret(), form).time_limit(Duration::from_secs(1));
    (
        address.port().to_string(),
        Watched::start(listener, acceptor),
    )
}

#[tokio::test]
async fn svc_b24_clients_of_the_course_get_in_in_the_form_that_is_theirs() {
    for (form, digest) in [(SHA256, "sha256"), (MD5, "md5")] {
        let (port, mut watched) = on_tcp(form).await;
        let key = hex(KEY);
        for round in 1..=3 {
            let Some(output) = python(COURSE_CLIENT, &[&port, digest, &key]).await else {
                return;
            };
            assert_eq!(output.stdout, b"hello\nsigui\n", "{output:?}");
            assert_eq!(watched.told().await, "closed");
            assert_eq!(watched.made(), round);
        }
        let other_digest = if digest == "md5" { "sha256" } else { "md5" };
        let other_key = hex(b"another secret");
        for arguments in [[&port[..], digest, &other_key], [&port, other_digest, &key]] {
            let output = python(COURSE_CLIENT, &arguments).await.unwrap();
            assert_eq!(output.stdout, b"closed\n", "{arguments:?}");
            // MD5 where SHA-256 is demanded: the request fills it up, to something wrong or short.
            let told = watched.told().await;
            assert!(["wrong", "late 1s"].contains(&&*told), "{told}");
        }
        assert_eq!(watched.made(), 3, "and none of these");
    }
}

#[tokio::test]
async fn svc_b24_we_get_in_at_servers_of_the_course() {
    for (form, digest, script) in [
        (SHA256, "sha256", COURSE_SERVER),
        (MD5, "md5", COURSE_SERVER),
        (Form::Mutual, "sha256", MUTUAL_SERVER),
    ] {
        let spawned = Command::new("python3")
            .args(["-c", script, digest, &hex(KEY)])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => return skipped(&error),
        };
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = async || soon(said.next_line()).await.unwrap().unwrap();
        let address: SocketAddr = format!("127.0.0.1:{}", said().await).parse().unwrap();
        for _ in 0..3 {
            let mut io = dial(&Address::Tcp(address)).await.unwrap();
            answer(&mut io, &secret(), form, TIME_LIMIT).await.unwrap();
            // At once, so it may be glued to the proof.
            let mut client = Connection::new(io, StructHeader::default());
            client.send("hello".into()).await.unwrap();
            assert_eq!(soon(client.next()).await.unwrap().unwrap(), "hello");
            assert_eq!(said().await, "ok");

            let other = Secret::new(*b"another secret").unwrap();
            let mut io = dial(&Address::Tcp(address)).await.unwrap();
            let answered = answer(&mut io, &other, form, TIME_LIMIT).await;
            assert_eq!(answered.is_err(), form == Form::Mutual);
            assert_eq!(said().await, "refused");
        }
    }
}

// The page.

fn page(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    fs::read_to_string(docs.join(name)).unwrap()
}

/// What stands in a page between fences of this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let pieces = page.split("```").skip(1).step_by(2);
    let blocks = pieces.filter_map(|piece| piece.strip_prefix(language));
    blocks.map(str::to_owned).collect()
}

#[tokio::test]
async fn what_the_page_shows_works() {
    let (english, chinese) = (page("hmac.md"), page("hmac.zh-CN.md"));
    for language in ["python", "sh"] {
        assert_eq!(blocks(&english, language), blocks(&chinese, language));
    }
    let folder = tempfile::tempdir().unwrap();
    let commands = blocks(&english, "sh");
    assert_eq!(commands.len(), 1);
    let made = Command::new("sh")
        .args(["-c", &commands[0]])
        .current_dir(&folder)
        .status();
    assert!(soon(made).await.unwrap().success());
    let key = folder.path().join("key");
    let secret = Secret::read(&key).unwrap();
    let key = key.to_str().unwrap();

    let scripts = blocks(&english, "python");
    let [one_way, mutual] = &scripts[..] else {
        panic!("{} scripts", scripts.len())
    };
    for (form, script, digest) in [
        (SHA256, one_way, "sha256"),
        (MD5, one_way, "md5"),
        (Form::Mutual, mutual, ""),
    ] {
        let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
        let Address::Tcp(address) = listener.local_addr() else {
            unreachable!("a TCP listener")
        };
        let _watched = Watched::start(listener, HmacAcceptor::new(secret.clone(), form));
        let port = address.port().to_string();
        let Some(output) = python(script, &[&port, key, digest]).await else {
            return;
        };
        assert_eq!(output.stdout, b"hello\n", "{form:?}: {output:?}");
        // With another key it says so.
        fs::write(folder.path().join("other"), "another secret\n").unwrap();
        let other = folder.path().join("other");
        let output = python(script, &[&port, other.to_str().unwrap(), digest]).await;
        assert!(!output.unwrap().status.success());
    }
}

#[tokio::test]
async fn the_one_way_vectors_of_the_page() {
    let challenge: [u8; 32] = std::array::from_fn(|at| at as u8);
    let secret = Secret::new(*b"framewright test secret").unwrap();
    for form in [SHA256, MD5] {
        let proof = hex(&proof(&secret, form, &challenge).await);
        for name in ["hmac.md", "hmac.zh-CN.md"] {
            assert!(
                page(name).contains(&format!("`{proof}`")),
                "{name}: {proof}"
            );
        }
    }
}
