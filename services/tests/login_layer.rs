//! The login over the wire: what is reached before it, what it tells, and how often it may be tried.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{CODECS, PASSWORD, Parts, Peer, login, native_error, within};
use framing::{
    Connection,
    serve::{Memory, serve_with},
};
use futures_util::SinkExt;
use serde_json::{Value, json};
use services::{
    Authed, Fields, HandleLayer, Ping, Request, Response, Session, Unsupported, Verb, WhoAmI,
    login::{
        AnonymousLayer, Attempts, Authenticator, BoxFuture, HashCost, Identity, LoginLayer,
        MemoryAccounts, MemoryAttempts, Password, Right, Source, WRONG_CREDENTIALS,
    },
    native::{NativeError, NativeServer},
};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep, timeout},
};
use tower::{ServiceBuilder, service_fn};

#[tokio::test]
async fn svc_b1_nothing_is_reached_before_a_login() {
    let after_it = [
        json!({"verb": "whoami"}),
        json!({"verb": "exec", "args": {"argv": ["uname"]}}),
        json!({"verb": "exec", "args": {"argv": ["uname"], "stdin": true}, "body": true}),
        json!({"verb": "exec", "args": {"shell": "id"}}),
        json!({"verb": "put", "args": {"name": "x"}, "body": true}),
        json!({"verb": "list"}),
        json!({"verb": "get", "args": {"name": "x"}}),
        json!({"verb": "remove", "args": {"name": "x"}}),
        json!({"verb": "something else"}),
        json!({"verb": ""}),
        json!({"verb": "LOGIN", "args": {"name": "alice", "password": PASSWORD}}),
        json!({"verb": "login ", "args": {"name": "alice", "password": PASSWORD}}),
        json!({"verb": "ping ", "args": {"a": [1, 2, 3]}}),
    ];
    let from_a_server = [
        r#"{"status":"ok","details":{"name":"alice","rights":["exec","shell"]}}"#,
        r#"{"status":"ok"}"#,
        r#"{"status":"ok","body":true}"#,
        "ohello",
        "ehello",
        ".{\"code\":0,\"outcome\":\"exit\"}",
        ".",
        "!{\"status\":\"ok\",\"message\":\"\"}",
        "c{\"signal\":\"KILL\"}",
        "dhello",
    ];
    for name in CODECS {
        let server = Parts::new(name).start();
        let mut answers = Vec::new();
        for head in &after_it {
            let mut peer = server.peer();
            peer.say(head.clone()).await;
            // The body of an upload, and a good login behind it: both too late.
            let _ = peer.connection.send("dhello".into()).await;
            let _ = peer
                .connection
                .send(login("alice", PASSWORD).to_string().into())
                .await;
            answers.push(peer.rest().await);
            peer.ended().await.unwrap();
        }
        let refused = r#"{"status":"not-authenticated","message":"log in first"}"#;
        assert!(
            answers.iter().all(|frames| *frames == [refused]),
            "{name}: {answers:?}"
        );

        let mut answers = Vec::new();
        for frame in from_a_server {
            let mut peer = server.peer();
            peer.send(frame).await;
            let _ = peer.connection.send(r#"{"verb":"whoami"}"#.into()).await;
            answers.push(peer.rest().await);
        }
        for frames in answers {
            assert_eq!(frames.len(), 1, "{name}: {frames:?}");
            let head: Value = serde_json::from_slice(&frames[0]).unwrap();
            assert_eq!(head["status"], "bad-request");
        }
        assert_eq!(server.counting.calls(), 0, "{name}");
        assert!(server.audit.events().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn svc_b1_a_failed_login_opens_nothing() {
    let server = Parts::new("struct-header").start();
    for (name, password) in [
        ("alice", "wrong"),
        ("alice", ""),
        ("", PASSWORD),
        ("eve", PASSWORD),
    ] {
        let mut peer = server.peer();
        assert_eq!(
            peer.ask(login(name, password)).await["status"],
            "wrong-credentials"
        );
        assert_eq!(
            peer.ask(json!({"verb": "list"})).await["status"],
            "not-authenticated"
        );
        assert!(peer.rest().await.is_empty());
    }
    assert_eq!(server.counting.calls(), 0);
}

#[tokio::test]
async fn svc_b1_a_large_upload_before_a_login_is_not_listened_to() {
    let server = Parts::new("struct-header").start();
    let mut peer = server.peer();
    let put = json!({"verb": "put", "args": {"name": "x"}, "body": true});
    assert_eq!(peer.ask(put).await["status"], "not-authenticated");
    // The answer is there, and the connection goes although the body never ends.
    assert!(timeout(Duration::from_secs(5), peer.rest()).await.is_ok());
    peer.ended().await.unwrap();
}

#[tokio::test]
async fn svc_b4_every_failed_login_gets_the_same_bytes() {
    let attempts = Arc::new(MemoryAttempts::new(1, Duration::from_secs(1000)));
    let mut parts = Parts::new("struct-header");
    parts.attempts = attempts;
    parts.max_tries = 100;
    let server = parts.start();
    let mut peer = server.peer();
    let long = "x".repeat(5000);
    let mut answers = Vec::new();
    for (name, password) in [
        ("alice", "wrong"),
        // Locked by now; the right password makes no difference.
        ("alice", "wrong"),
        ("alice", PASSWORD),
        ("nobody like that", "wrong"),
        ("reader", ""),
        ("runner", &*long),
        ("", ""),
        ("\u{1b}[2J\n", "\0"),
        (&*long, "x"),
    ] {
        peer.say(login(name, password)).await;
        answers.push(peer.frame().await.unwrap());
    }
    let expected = json!({"status": "wrong-credentials", "message": WRONG_CREDENTIALS});
    assert_eq!(
        serde_json::from_slice::<Value>(&answers[0]).unwrap(),
        expected
    );
    assert!(
        answers.iter().all(|answer| answer == &answers[0]),
        "{answers:?}"
    );
    assert_eq!(
        WRONG_CREDENTIALS.split(' ').next(),
        Some("用户名或者密码错误")
    );
}

#[tokio::test]
async fn svc_b6_broken_input_is_answered_alike_for_names_that_exist_and_do_not() {
    let rests = [
        r#"","password":"p"#,
        r#"","password":5}}"#,
        r#"","password":null}}"#,
        r#""}}"#,
        r#"","password":"p","more":1}}"#,
        r#"","password":"p"},"more":1}"#,
        r#"","password":["p"]}}"#,
        r#"","password":"p"}}}"#,
    ];
    for name in CODECS {
        let server = Parts::new(name).start();
        for rest in rests {
            let mut seen = Vec::new();
            // Names of one length, so that a position in a sentence is the same.
            for who in ["alice", "elica"] {
                let mut peer = server.peer();
                let head = format!(r#"{{"verb":"login","args":{{"name":"{who}{rest}"#);
                peer.send(head).await;
                let first = peer.frame().await;
                let lives = peer
                    .connection
                    .send(r#"{"verb":"ping"}"#.into())
                    .await
                    .is_ok();
                seen.push((first, lives.then_some(peer.frame().await.is_some())));
            }
            assert_eq!(seen[0].0, seen[1].0, "{name}: {rest}");
            let said = seen[0].0.as_ref().unwrap().escape_ascii().to_string();
            assert!(
                said.contains("bad-request") && !said.contains("alice"),
                "{said}"
            );
            assert_eq!(seen[0].1.is_some(), seen[1].1.is_some(), "{name}: {rest}");
        }
        // Cut off within the frame: nothing is said to either.
        for who in ["alice", "elica"] {
            let mut peer = server.peer();
            let head = login(who, PASSWORD).to_string();
            let wire = match name {
                "struct-header" => [&(head.len() as u32).to_be_bytes(), head.as_bytes()].concat(),
                "ack-handshake" => format!("{}\n{head}", head.len()).into_bytes(),
                _ => head.into_bytes(),
            };
            let io = peer.connection.get_mut();
            io.write_all(&wire[..wire.len() - 1]).await.unwrap();
            io.shutdown().await.unwrap();
            assert!(peer.rest().await.is_empty(), "{name}");
        }
        assert!(server.audit.events().is_empty(), "{name}: nobody was tried");
    }
}

/// Lets everybody try, and counts.
#[derive(Debug, Default)]
struct Tries(AtomicUsize);

impl Attempts for Tries {
    fn begin<'a>(&'a self, _: &'a str, _: Source) -> BoxFuture<'a, bool> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(true))
    }

    fn succeeded<'a>(&'a self, _: &'a str, _: Source) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn returned<'a>(&'a self, _: &'a str, _: Source) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn svc_b13_a_hundred_tries_in_one_write_are_no_more_than_the_limit() {
    for name in ["struct-header", "delimiter"] {
        let tries = Arc::new(Tries::default());
        let mut parts = Parts::new(name);
        parts.attempts = tries.clone();
        let server = parts.start();
        let (mut io, ended) = server.connect();
        let mut bytes = Vec::new();
        for i in 0..100 {
            // The right one comes last, and too late.
            let password = if i == 99 {
                PASSWORD.to_owned()
            } else {
                i.to_string()
            };
            let head = login("alice", &password).to_string();
            if name == "struct-header" {
                bytes.extend((head.len() as u32).to_be_bytes());
            }
            bytes.extend(head.into_bytes());
            if name == "delimiter" {
                bytes.push(b'\n');
            }
        }
        assert_eq!(io.write(&bytes).await.unwrap(), bytes.len());
        let connection = Connection::new(
            Box::new(io) as Box<dyn common::Stream>,
            server.framing.make(),
        );
        let mut peer = Peer { connection, ended };
        let answers = peer.rest().await;
        assert_eq!(answers.len(), 3, "{name}");
        assert_eq!(tries.0.load(Ordering::SeqCst), 3, "{name}");
        assert_eq!(server.outcomes("login"), ["refused"; 3]);
        assert!(answers.iter().all(|answer| answer == &answers[0]));
        peer.ended().await.unwrap();
    }
}

#[tokio::test]
async fn svc_b13_the_limit_counts_failures_and_a_login_in_time_is_one() {
    let server = Parts::new("struct-header").start();
    let mut peer = server.peer();
    for _ in 0..2 {
        assert_eq!(
            peer.ask(login("alice", "wrong")).await["status"],
            "wrong-credentials"
        );
    }
    peer.login("alice").await;
    assert_eq!(server.outcomes("login"), ["refused", "refused", "ok"]);
    // A second login does not change who one is.
    assert_eq!(
        peer.ask(login("root", PASSWORD)).await["status"],
        "bad-request"
    );
    let who = peer.ask(json!({"verb": "whoami"})).await;
    assert_eq!(
        who["details"],
        json!({"name": "alice", "rights": ["exec", "read", "write"]})
    );
}

#[tokio::test]
async fn cases_b13_two_connections_need_a_login_each_though_the_service_is_cloned() {
    let server = Parts::new("struct-header").start();
    let mut first = server.peer_of("alice").await;
    let mut second = server.peer();
    second.lives().await;
    let who = first.ask(json!({"verb": "whoami"})).await;
    assert_eq!(who["details"]["name"], "alice");
    let refused = second.ask(json!({"verb": "whoami"})).await;
    assert_eq!(refused["status"], "not-authenticated");
    // And each is whom it said it was.
    let mut third = server.peer_of("reader").await;
    for _ in 0..3 {
        let who = third.ask(json!({"verb": "whoami"})).await;
        assert_eq!(who["details"]["name"], "reader");
        let who = first.ask(json!({"verb": "whoami"})).await;
        assert_eq!(who["details"]["name"], "alice");
    }
}

#[tokio::test]
async fn svc_b14_a_giant_password_does_no_work() {
    for name in ["struct-header", "delimiter"] {
        let tries = Arc::new(Tries::default());
        let mut parts = Parts::new(name);
        parts.attempts = tries.clone();
        let server = parts.start();
        // Longer than a password may be, and within a frame.
        let mut peer = server.peer();
        assert_eq!(
            peer.ask(login("alice", &"p".repeat(4000))).await["status"],
            "wrong-credentials"
        );
        assert_eq!(tries.0.load(Ordering::SeqCst), 0, "{name}");
        // Ten megabytes are not even read.
        let Peer {
            mut connection,
            ended,
        } = server.peer();
        let giant = login("alice", &"p".repeat(10 << 20)).to_string();
        let began = Instant::now();
        assert!(within(connection.send(giant.into())).await.is_err());
        let error = native_error(within(ended).await.unwrap());
        assert!(error.to_string().contains("8192"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(2), "{name}");
        assert_eq!(tries.0.load(Ordering::SeqCst), 0, "{name}");
    }
}

#[tokio::test]
async fn svc_b18_a_name_cannot_forge_an_audit_record() {
    let mut parts = Parts::new("struct-header");
    parts.max_tries = 100;
    let server = parts.start();
    let mut peer = server.peer();
    for name in [
        "x\ny logged in",
        "\u{1b}[2J",
        "\u{202e}gnp",
        &"x".repeat(7000),
        "} {\"a\":\"b\"",
    ] {
        assert_eq!(
            peer.ask(login(name, "x")).await["status"],
            "wrong-credentials"
        );
    }
    let events = server.audit.events();
    assert_eq!(events.len(), 5);
    for event in events {
        assert!(
            event.who.len() <= 256 && !event.who.chars().any(char::is_control),
            "{event:?}"
        );
        assert!(!event.who.contains('\u{202e}'), "{event:?}");
        assert_eq!(event.outcome, "refused");
    }
}

#[tokio::test]
async fn svc_b19_no_password_is_ever_shown() {
    let mut parts = Parts::new("struct-header");
    parts.max_tries = 100;
    let server = parts.start();
    let mut peer = server.peer();
    let mut said = String::new();
    let wrong = "my-secret-word";
    for head in [
        login("alice", wrong),
        json!({"verb": "login", "args": {"name": "alice", "password": [wrong]}}),
        json!({"verb": "login", "args": {"name": "alice", "password": {wrong: 1}}}),
        json!({"verb": "login", "args": {"name": "alice", "passwort": wrong}}),
        json!({"verb": "login", "args": {"password": wrong}}),
    ] {
        said += &peer.ask(head).await.to_string();
    }
    let mut request = Request::new(
        Verb::LOGIN,
        Session::new(
            framing::serve::Peer::new(
                framing::serve::Address::Memory(1),
                framing::serve::Address::Memory(0),
            ),
            100,
        ),
    );
    request.arguments = Fields::new().with("name", "alice").with("password", wrong);
    said += &format!("{request:?} {:#?}", request.arguments);
    said += &format!("{:?}", server.audit.events());
    assert!(!said.contains(wrong), "{said}");
}

/// A server with one place, over memory.
async fn one_place(
    deadline: Duration,
) -> (framing::serve::MemoryConnector, framing::FramingFactory) {
    let accounts = MemoryAccounts::new()
        .with("alice", Password::new(PASSWORD).unwrap(), [Right::Read])
        .unwrap();
    let authenticator = Authenticator::new(accounts).hash_cost(HashCost::new(8, 1, 1).unwrap());
    let stack = ServiceBuilder::new()
        .layer(HandleLayer::new(Ping))
        .layer(LoginLayer::new(authenticator))
        .layer(HandleLayer::new(WhoAmI))
        .service(Unsupported);
    let make = service_fn(move |_: Session| {
        let stack = stack.clone();
        async move { Ok::<_, std::convert::Infallible>(stack) }
    });
    let framing = common::framing("struct-header");
    let (listener, connector) = Memory::new(1024);
    let server = NativeServer::new(make).before_login(8 * 1024, deadline);
    let server = serve_with(listener, server)
        .framing(framing.clone())
        .max_connections(1);
    tokio::spawn(server.into_future());
    (connector, framing)
}

#[tokio::test(start_paused = true)]
async fn svc_b20_the_only_place_is_free_at_the_absolute_deadline() {
    let deadline = Duration::from_secs(10);
    // Silent; a byte a second; busy with requests that need no login; busy failing; slow to read.
    for manner in ["silent", "trickle", "ping", "body", "login"] {
        let (connector, framing) = one_place(deadline).await;
        let mut io = connector.connect().await.unwrap();
        let began = Instant::now();
        let next = tokio::spawn({
            let (connector, framing) = (connector.clone(), framing.clone());
            async move {
                let io = connector.connect().await.unwrap();
                let mut client = services::client::Client::new(io, framing.make()).unwrap();
                client
                    .login("alice", Password::new(PASSWORD).unwrap())
                    .await
                    .unwrap();
                Instant::now()
            }
        });
        let hold = async {
            match manner {
                "trickle" => {
                    // A head that is announced, and comes slowly.
                    io.write_all(b"\0\0\x10\0{").await.unwrap();
                    while io.write_all(b" ").await.is_ok() {
                        sleep(Duration::from_secs(1)).await;
                    }
                }
                "body" => {
                    // A request that is answered only when its body has ended.
                    io.write_all(b"\0\0\0\x1b{\"verb\":\"ping\",\"body\":true}")
                        .await
                        .unwrap();
                    while io.write_all(b"\0\0\0\x02dx").await.is_ok() {
                        sleep(Duration::from_secs(1)).await;
                    }
                }
                "ping" => {
                    // Without ever reading an answer.
                    while io.write_all(b"\0\0\0\x0f{\"verb\":\"ping\"}").await.is_ok() {
                        sleep(Duration::from_millis(100)).await;
                    }
                }
                "login" => {
                    let head = login("alice", "wrong").to_string();
                    for _ in 0..9 {
                        io.write_all(&(head.len() as u32).to_be_bytes())
                            .await
                            .unwrap();
                        io.write_all(head.as_bytes()).await.unwrap();
                        sleep(Duration::from_secs(1)).await;
                    }
                }
                _ => {}
            }
            std::future::pending::<()>().await
        };
        let free = tokio::select! {
            free = next => free.unwrap(),
            () = hold => unreachable!(),
            () = sleep(Duration::from_secs(100)) => panic!("{manner}: the place is never free"),
        };
        let waited = free - began;
        assert!(waited >= Duration::from_secs(9), "{manner}: {waited:?}");
        assert!(
            waited <= deadline + Duration::from_millis(100),
            "{manner}: {waited:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn svc_b20_the_deadline_is_of_no_concern_after_a_login() {
    let server = Parts::new("struct-header").start();
    let mut peer = server.peer_of("alice").await;
    sleep(Duration::from_secs(3600)).await;
    peer.lives().await;
    let late = server.peer();
    sleep(Duration::from_secs(11)).await;
    let Peer { ended, .. } = late;
    assert!(matches!(
        native_error(within(ended).await.unwrap()),
        NativeError::LoginTimeout
    ));
}

#[tokio::test]
async fn svc_a1_the_small_limit_holds_for_what_is_read_ahead_of_the_login() {
    let server = Parts::new("struct-header").start();
    let (mut io, ended) = server.connect();
    let login = login("alice", PASSWORD).to_string();
    let large = json!({"verb": "whoami", "args": {"x": "y".repeat(9000)}}).to_string();
    let mut bytes = Vec::new();
    for head in [login, large] {
        bytes.extend((head.len() as u32).to_be_bytes());
        bytes.extend(head.into_bytes());
    }
    io.write_all(&bytes).await.unwrap();
    let error = native_error(within(ended).await.unwrap());
    assert!(error.to_string().contains("8192"), "{error}");
    assert_eq!(server.counting.calls(), 0);
}

#[tokio::test]
async fn an_anonymous_identity_is_the_same_for_everybody_and_nobody_logs_in() {
    let stack = ServiceBuilder::new()
        .layer(AnonymousLayer::new(Identity::new("guest", [Right::Read])))
        .layer(HandleLayer::new(WhoAmI))
        .service(tower::service_fn(async |request: Authed<Request>| {
            let same = request.request.session.identity().map(|i| i.name.clone());
            Ok::<_, std::convert::Infallible>(
                Response::ok().with_details(Fields::new().with("session", same)),
            )
        }));
    let server = common::Server::of("struct-header", stack);
    let mut peer = server.peer();
    assert_eq!(
        peer.ask(login("alice", PASSWORD)).await["status"],
        "unsupported"
    );
    let who = peer.ask(json!({"verb": "whoami"})).await;
    assert_eq!(who["details"], json!({"name": "guest", "rights": ["read"]}));
    let session = peer.ask(json!({"verb": "x"})).await;
    assert_eq!(session["details"]["session"], "guest");
}

#[tokio::test]
async fn no_layer_before_the_login_can_be_talked_into_a_different_session() {
    // The session belongs to the connection: a service that is cloned for each shares nothing.
    let peer = || {
        framing::serve::Peer::new(
            framing::serve::Address::Memory(1),
            framing::serve::Address::Memory(0),
        )
    };
    let (first, second) = (Session::new(peer(), 100), Session::new(peer(), 100));
    assert_ne!(first.id(), second.id());
    first.limit_frames(10);
    let alice = Arc::new(Identity::new("alice", [Right::Read]));
    assert!(first.log_in(alice.clone()));
    assert!(!first.log_in(Arc::new(Identity::new("root", [Right::Shell]))));
    assert_eq!(first.identity().unwrap().name, "alice");
    assert!(second.identity().is_none());
    assert_eq!((first.frame_limit(), second.frame_limit()), (100, 100));
    second.limit_frames(1000);
    assert_eq!(second.frame_limit(), 100, "never beyond the framing's own");
}
