//! Any frames, and any bytes, to a server and to a client of the native dialect: the server answers
//! in well-formed frames and comes to an end, the client gives up.
//!
//! Time is paused and passes only when nobody has anything to do, so whoever waits for ever is found
//! out at once.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use framing::{
    BoxFraming, Carries, Connection, Framing, FramingFactory, Machine, Registry,
    serve::{Address, Drain, Handler, Peer},
};
use services::{
    HandleLayer, Ping, Session, Unsupported, WhoAmI,
    client::{Client, Command},
    exec::{Allow, Exec, Script, ScriptedSpawner},
    files::{Files, MemoryStore},
    login::{
        AnonymousLayer, Authenticator, HashCost, Identity, LoginLayer, MemoryAccounts, Password,
        Right,
    },
    native::NativeServer,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::timeout,
};
use tower::{ServiceBuilder, service_fn};

use super::{
    answers::Answers,
    expected::Expected,
    input::{Input, cut},
};

/// The first one answers its peer, and gets bytes only.
const FRAMINGS: [&str; 6] = [
    "ack-handshake",
    "struct-header",
    "delimiter",
    "lines",
    "cobs",
    r#"{ type = "netstring", on_error = "skip", max_frame = 300 }"#,
];

/// Longer than any time limit there is.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// Frames to begin with: what a fuzzer would take long to find.
pub const KNOWN: [&str; 25] = [
    r#"{"verb":"ping"}"#,
    r#"{"verb":"whoami"}"#,
    r#"{"verb":"login","args":{"name":"alice","password":"secret"}}"#,
    r#"{"verb":"login","args":{"name":"alice","password":"wrong"}}"#,
    r#"{"verb":"exec","args":{"argv":["cat"],"stdin":true},"body":true}"#,
    r#"{"verb":"exec","args":{"argv":["fail"]}}"#,
    r#"{"verb":"exec","args":{"argv":["sleep"],"timeout":2.5},"body":true}"#,
    r#"{"verb":"exec","args":{"shell":"x"}}"#,
    r#"{"verb":"put","args":{"name":"a","size":5},"body":true}"#,
    r#"{"verb":"put","args":{"name":"a"},"body":true}"#,
    r#"{"verb":"get","args":{"name":"a"}}"#,
    r#"{"verb":"list"}"#,
    r#"{"verb":"get","args":{"name":"a","offset":2,"sha256":true}}"#,
    r#"{"verb":"remove","args":{"name":"a"}}"#,
    "dhello",
    "daGVsbG8=",
    ".",
    r#".{"digest":"ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f"}"#,
    r#"c{"signal":"INT"}"#,
    r#"c{"cancel":true}"#,
    r#"!{"status":"cancelled","message":"no more"}"#,
    r#"{"status":"ok","body":true}"#,
    r#"{"status":"ok","details":{"size":5,"name":"alice","rights":["read"]}}"#,
    r#".{"code":0,"outcome":"exit"}"#,
    r#"{"verb":"exec","args":{"shell":"long"}}"#,
];

/// What the last of these answers: more than a frame of the last framing holds.
pub const LONG: &str = concat!(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen ",
    "sixteen seventeen eighteen nineteen twenty twenty-one twenty-two twenty-three twenty-four ",
    "twenty-five twenty-six twenty-seven twenty-eight twenty-nine thirty thirty-one thirty-two ",
    "thirty-three thirty-four thirty-five thirty-six thirty-seven thirty-eight thirty-nine forty",
);

/// A framing, flags, how to cut; then frames, or bytes for the wire.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let factory = Registry::default()
        .parse(input.pick(&FRAMINGS))
        .expect("a good framing");
    let flags = input.byte();
    let sizes = input.take(usize::from(flags >> 5));
    let verb = if flags & 4 == 0 {
        None
    } else {
        Some(input.byte())
    };
    let (said, wire) = if flags & 1 == 0 {
        frames(&factory, &mut input)
    } else {
        (Said::Bytes, Bytes::copy_from_slice(input.rest()))
    };
    let pieces = cut(&wire, sizes);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let talk = async {
            match verb {
                Some(verb) => client(&factory, verb, &pieces).await,
                None => server(&factory, flags & 2 != 0, &pieces, &said).await,
            }
        };
        timeout(FOR_EVER, talk)
            .await
            .expect("somebody waits for ever");
    });
}

/// What a server is told.
enum Said {
    /// Known frames alone, by their numbers.
    Known(Vec<usize>),
    /// So many frames.
    Frames(usize),
    /// Anything.
    Bytes,
}

/// Frames, each a known one or any bytes, on the wire.
fn frames(factory: &FramingFactory, input: &mut Input<'_>) -> (Said, Bytes) {
    let mut machine = Machine::new(factory.make());
    let (mut count, mut known) = (0, Some(Vec::new()));
    while !input.is_empty() && machine.framing().is_ready() {
        let kind = usize::from(input.byte());
        let frame = match KNOWN.get(kind) {
            Some(known) => Bytes::from_static(known.as_bytes()),
            // A known one with any bytes behind it, or any bytes.
            None => match KNOWN.get(kind - KNOWN.len()) {
                Some(known) => [known.as_bytes(), input.string()].concat().into(),
                None => Bytes::copy_from_slice(input.string()),
            },
        };
        if machine.send(frame).is_ok() {
            count += 1;
            known = known.filter(|_| kind < KNOWN.len()).map(|mut known| {
                known.push(kind);
                known
            });
        }
    }
    let said = known.map_or(Said::Frames(count), Said::Known);
    (said, machine.outbox().take_bytes())
}

/// Says `pieces` and listens until the other end has closed.
async fn say(io: DuplexStream, pieces: &[&[u8]]) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(io);
    let write = async {
        for piece in pieces {
            if writer.write_all(piece).await.is_err() {
                return;
            }
            // The other end may act on this piece alone.
            tokio::task::yield_now().await;
        }
        let _ = writer.shutdown().await;
    };
    let mut heard = Vec::new();
    let read = async {
        let _ = reader.read_to_end(&mut heard).await;
    };
    tokio::join!(write, read);
    heard
}

async fn server(factory: &FramingFactory, login: bool, pieces: &[&[u8]], said: &Said) {
    let (ours, theirs) = duplex(4096);
    let connection = Connection::new(theirs, factory.make());
    let peer = Peer::new(Address::Memory(1), Address::Memory(0));
    let serving = if login {
        tokio::spawn(login_server().handle(connection, peer, Drain::new()))
    } else {
        tokio::spawn(open_server().handle(connection, peer, Drain::new()))
    };
    let heard = say(ours, pieces).await;
    let ended = serving.await.expect("the server panicked");
    let framing = factory.make();
    // What an interactive one writes stands between answers to what we say.
    if framing.is_interactive() {
        return;
    }
    let text = framing.carries() == Carries::Text;
    let answers = Answers::read(framing, &heard, ended.is_ok());
    match said {
        Said::Known(numbers) if !login => {
            assert!(ended.is_ok(), "{numbers:?}: {ended:?}");
            answers.check(&Expected::of(numbers, text), numbers);
        }
        Said::Known(numbers) => assert!(answers.heads <= numbers.len()),
        Said::Frames(count) => assert!(answers.heads <= *count, "{answers:?} to {count}"),
        Said::Bytes => {}
    }
}

/// Everything that can be run or stored, without any process or disk.
fn parts() -> (Exec, Files) {
    let spawner = ScriptedSpawner::new()
        .program("cat", Script::new().copy_stdin())
        .program("fail", Script::new().stderr("no\n").exit(3))
        .program("sleep", Script::new().stdout("zzz").hang())
        .shell("x", Script::new().stdout("x\n"))
        .shell("long", Script::new().stdout(LONG));
    let allow = Allow::new(["cat", "fail", "sleep"]).expect("names of programs");
    let files = Files::new(MemoryStore::with_limits(Some(1 << 16), Some(1 << 17)));
    (Exec::new(spawner, allow).shell(true), files)
}

const RIGHTS: [Right; 4] = [Right::Read, Right::Write, Right::Exec, Right::Shell];

/// Serves anybody.
fn open_server() -> impl Handler<Connection<DuplexStream, BoxFraming>> {
    let (exec, files) = parts();
    let stack = ServiceBuilder::new()
        .layer(HandleLayer::new(Ping))
        .layer(AnonymousLayer::new(Identity::new("anyone", RIGHTS)))
        .layer(HandleLayer::new(WhoAmI))
        .layer(exec.into_layer())
        .layer(files.into_layer())
        .service(Unsupported);
    NativeServer::new(service_fn(move |_: Session| {
        let stack = stack.clone();
        async move { Ok::<_, Infallible>(stack) }
    }))
}

/// Serves whoever logs in.
fn login_server() -> impl Handler<Connection<DuplexStream, BoxFraming>> {
    let (exec, files) = parts();
    let password = Password::new("secret").expect("a password");
    let accounts = MemoryAccounts::new()
        .with("alice", password, RIGHTS)
        .expect("an account");
    let cheap = HashCost::new(8, 1, 1).expect("a cost");
    let stack = ServiceBuilder::new()
        .layer(HandleLayer::new(Ping))
        .layer(LoginLayer::new(
            Authenticator::new(accounts).hash_cost(cheap),
        ))
        .layer(HandleLayer::new(WhoAmI))
        .layer(exec.into_layer())
        .layer(files.into_layer())
        .service(Unsupported);
    let server = NativeServer::new(service_fn(move |_: Session| {
        let stack = stack.clone();
        async move { Ok::<_, Infallible>(stack) }
    }));
    server.before_login(8 * 1024, Duration::from_secs(10))
}

/// A client that asks for something, and gets `pieces` for an answer.
async fn client(factory: &FramingFactory, verb: u8, pieces: &[&[u8]]) {
    let (ours, theirs) = duplex(4096);
    let asking = async {
        let mut client = Client::new(theirs, factory.make()).expect("a framing for the dialect");
        // Whatever it makes of the answer, it must come to an end.
        match verb % 6 {
            0 => {
                let password = Password::new("secret").expect("a password");
                let _ = client.login("alice", password).await;
            }
            1 => drop(client.whoami().await),
            2 => drop(client.list_all().await),
            3 => drop(client.ping().await),
            4 => {
                if let Ok(mut exec) = client.exec(Command::program(["cat"])).await {
                    let _ = exec.wait(|_| {}).await;
                }
            }
            _ => {
                let name = "a".parse().expect("a name");
                if let Ok(mut download) = client.get(&name).await {
                    while let Ok(Some(_)) = download.read().await {}
                }
            }
        }
    };
    tokio::join!(asking, say(ours, pieces));
}

/// Conversations over each framing, with a server and with a client.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<(String, Vec<u8>)> = Vec::new();
    // The numbers are those of `KNOWN`.
    let open: [(&str, &[u8]); 7] = [
        ("asks", &[0, 1, 11, 5, 7]),
        ("copies", &[4, 14, 14, 15, 14, 16, 24, 6, 16, 0]),
        ("copies-in-text", &[4, 15, 15, 15, 16, 24, 6, 16, 0]),
        ("stores", &[8, 14, 17, 10, 12, 13]),
        ("stores-in-text", &[9, 15, 16, 10, 11]),
        ("runs", &[4, 14, 15, 18, 16, 6, 19, 16]),
        (
            "breaks",
            &[8, 14, 0, 20, 255, 3, b'{', b'}', b'!', 25, 1, b'x'],
        ),
    ];
    for row in 1..6_u8 {
        for (name, frames) in open {
            seeds.push((format!("server-{row}-{name}"), [&[row, 0], frames].concat()));
        }
    }
    seeds.push(("login".into(), vec![1, 0x42, 7, 9, 1, 3, 2, 1, 0]));
    seeds.push(("login-first".into(), vec![3, 0x02, 11, 2, 11]));
    for (verb, name, frames) in [
        (0, "login", &[22][..]),
        (1, "whoami", &[22]),
        (2, "list", &[22, 21]),
        (3, "ping", &[21, 14, 16]),
        (4, "exec", &[21, 14, 14, 23]),
        (5, "get", &[21, 14, 17]),
        (5, "get-nothing", &[20, 20]),
    ] {
        seeds.push((format!("client-{name}"), [&[1, 4, verb], frames].concat()));
    }
    for (name, bytes) in [
        ("asks", "15\n{\"verb\":\"ping\"}ok"),
        ("glued", "okok5\nhello"),
        (
            "twice",
            "15\n{\"verb\":\"ping\"}15\nok{\"verb\":\"ping\"}ok",
        ),
        ("other", "GET / HTTP/1.1\r\n\r\n"),
    ] {
        seeds.push((
            format!("ack-{name}"),
            [&[0, 0x21, 3], bytes.as_bytes()].concat(),
        ));
    }
    seeds
}
