//! The client against servers that lie.

mod common;

use std::{future::Future, io::Cursor, time::Duration};

use common::{framing, within};
use framing::{BoxFraming, Connection};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use services::{
    Body, BodyError, Fields, Part, Verb,
    client::{Client, ClientError, Command},
    exec::{Event, Outcome},
    files::{Digest, FileName},
    login::{Password, Right},
    native::CallError,
};
use tokio::{
    io::{DuplexStream, duplex},
    task::JoinHandle,
};

type Wire = Connection<DuplexStream, BoxFraming>;

/// A client, and a server that does what `lie` does.
fn against<F>(lie: impl FnOnce(Wire) -> F) -> (Client, JoinHandle<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let (ours, theirs) = duplex(64 * 1024);
    let factory = framing("struct-header");
    let task = tokio::spawn(lie(Connection::new(theirs, factory.make())));
    (Client::new(ours, factory.make()).unwrap(), task)
}

/// A client whose requests get these frames, one list for each, whatever they are.
fn answered(answers: Vec<Vec<Vec<u8>>>) -> Client {
    let serve = |mut wire: Wire| async move {
        for answer in answers {
            if request(&mut wire).await.is_none() {
                return;
            }
            for frame in answer {
                if wire.send(frame.into()).await.is_err() {
                    return;
                }
            }
        }
        // It stays until the client goes.
        while wire.next().await.is_some() {}
    };
    against(serve).0
}

/// Reads a request, with its body as far as that is short.
async fn request(wire: &mut Wire) -> Option<Value> {
    loop {
        let frame = wire.next().await?.ok()?;
        if frame.starts_with(b"{") {
            return serde_json::from_slice(&frame).ok();
        }
    }
}

fn one(head: Value) -> Client {
    answered(vec![vec![head.to_string().into_bytes()]])
}

fn with_body(head: Value, parts: &[&[u8]]) -> Client {
    let head = head.to_string().into_bytes();
    let parts = parts.iter().map(|part| part.to_vec());
    answered(vec![std::iter::once(head).chain(parts).collect()])
}

fn name(text: &str) -> FileName {
    text.parse().unwrap()
}

const VERSION: &str = "00000000000000000000000000000001";

fn file(name: &str, size: u64) -> Value {
    json!({"name": name, "size": size, "modified": 0, "version": VERSION})
}

async fn download(mut client: Client) -> Result<Vec<u8>, ClientError> {
    let mut download = within(client.get(&name("mine"))).await?;
    let mut content = Vec::new();
    while let Some(bytes) = within(download.read()).await? {
        content.extend_from_slice(&bytes);
        assert!(content.len() < 1 << 20, "it goes on for ever");
    }
    Ok(content)
}

fn is_nonsense<T: std::fmt::Debug>(result: Result<T, ClientError>) -> bool {
    matches!(result, Err(ClientError::Nonsense(_)))
}

#[tokio::test]
async fn svc_e2_another_file_than_the_one_chosen_is_refused() {
    let digest = Digest::of(b"hello").to_string();
    let end = format!(".{}", json!({"digest": digest}));
    let ok = |details: Value| json!({"status": "ok", "details": details, "body": true});
    let parts: [&[u8]; 2] = [b"dhello", end.as_bytes()];
    assert_eq!(
        download(with_body(ok(file("mine", 5)), &parts))
            .await
            .unwrap(),
        b"hello"
    );
    for other in [
        "yours", "mine2", "MINE", "../mine", "/mine", "mine/", "", "..", "m\0ne",
    ] {
        let result = download(with_body(ok(file(other, 5)), &parts)).await;
        assert!(is_nonsense(result), "{other:?}");
    }
    // Another version than the one in the list.
    let chosen = "00000000000000000000000000000002".parse().unwrap();
    let mut client = with_body(ok(file("mine", 5)), &parts);
    let result = within(client.get_version(&name("mine"), Some(chosen))).await;
    assert!(is_nonsense(result.map(drop)));
    // Without a name, a size, a version, or of the wrong type.
    for details in [
        json!({}),
        json!({"name": "mine", "size": 5}),
        json!({"name": "mine", "version": VERSION}),
        json!({"size": 5, "version": VERSION}),
        json!({"name": "mine", "size": "5", "version": VERSION}),
        json!({"name": "mine", "size": -5, "version": VERSION}),
        json!({"name": ["mine"], "size": 5, "version": VERSION}),
        json!({"name": "mine", "size": 5, "version": "1"}),
        json!({"name": "mine", "size": 5, "version": VERSION, "modified": "now"}),
    ] {
        let result = download(with_body(ok(details.clone()), &parts)).await;
        assert!(is_nonsense(result), "{details}");
    }
    // A time that no clock can show is no reason to fail, or to panic.
    let mut late = file("mine", 5);
    late["modified"] = u64::MAX.into();
    assert!(download(with_body(ok(late), &parts)).await.is_ok());
}

#[tokio::test]
async fn svc_e3_a_body_that_does_not_agree_with_its_head_is_an_error() {
    let end = |digest: Value| format!(".{}", json!({"digest": digest})).into_bytes();
    let right = end(json!(Digest::of(b"hello").to_string()));
    let head = || json!({"status": "ok", "details": file("mine", 5), "body": true});
    let parts = |parts: &[&[u8]]| download(with_body(head(), parts));
    assert_eq!(
        parts(&[b"dhe", b"d", b"dllo", &right]).await.unwrap(),
        b"hello"
    );
    // Too short, too long, of another digest, of none.
    assert!(is_nonsense(
        parts(&[&end(json!(Digest::of(b"").to_string()))]).await
    ));
    let short = end(json!(Digest::of(b"hell").to_string()));
    assert!(is_nonsense(parts(&[b"dhell", &short]).await));
    assert!(
        is_nonsense(parts(&[b"dhello!"]).await),
        "at once, not at the end"
    );
    assert!(is_nonsense(parts(&[b"dhello", b"d!"]).await));
    assert!(is_nonsense(parts(&[b"dhallo", &right]).await));
    assert!(is_nonsense(parts(&[b"dhello", b"."]).await));
    assert!(is_nonsense(parts(&[b"dhello", &end(json!(5))]).await));
    assert!(is_nonsense(parts(&[b"dhello", &end(json!("abc"))]).await));
    // Output of a command is no part of a file.
    assert!(is_nonsense(parts(&[b"ohello", &right]).await));
    // Given up, cut off, broken.
    let given_up = parts(&[b"dhel", b"!{\"status\":\"changed\",\"message\":\"x\"}"]).await;
    assert_eq!(
        given_up.unwrap_err().status().unwrap().code().as_str(),
        "changed"
    );
    for broken in [&b"{\"status\":\"ok\"}"[..], b"x", b"", b".{", b"!", b"c["] {
        let result = parts(&[b"dhel", broken]).await.unwrap_err();
        assert!(
            matches!(result, ClientError::Body(BodyError::ConnectionLost)),
            "{broken:?}"
        );
    }
    // No body at all.
    let none = json!({"status": "ok", "details": file("mine", 5)});
    assert!(is_nonsense(download(one(none)).await));
    let empty = json!({"status": "ok", "details": file("mine", 0)});
    assert!(is_nonsense(download(one(empty)).await));
}

#[tokio::test]
async fn svc_e3_a_body_without_end_is_left_at_its_announced_size() {
    let (client, task) = against(|mut wire| async move {
        request(&mut wire).await;
        let head = json!({"status": "ok", "details": file("mine", 100_000), "body": true});
        wire.send(head.to_string().into()).await.unwrap();
        let mut sent = 0;
        while wire
            .send([&b"d"[..], &[0; 10_000]].concat().into())
            .await
            .is_ok()
        {
            sent += 10_000;
        }
        sent
    });
    let result = download(client).await;
    assert!(is_nonsense(result));
    assert!(within(task).await.unwrap() < 1_000_000);
}

#[tokio::test]
async fn a_list_must_advance() {
    let page = |names: &[&str], next: Option<&str>| {
        let files: Vec<Value> = names.iter().map(|name| file(name, 1)).collect();
        json!({"status": "ok", "details": {"files": files, "next": next}})
            .to_string()
            .into_bytes()
    };
    let list = async |pages: &[(&[&str], Option<&str>)]| {
        // The last page comes again and again.
        let mut answers: Vec<_> = pages
            .iter()
            .map(|(names, next)| vec![page(names, *next)])
            .collect();
        let last = answers.last().unwrap().clone();
        answers.extend(std::iter::repeat_n(last, 50));
        within(answered(answers).list_all()).await
    };
    let fine = list(&[
        (&["a", "b"], Some("b")),
        (&["c"], Some("cc")),
        (&["d"], None),
    ])
    .await;
    let names: Vec<_> = fine.unwrap().iter().map(|f| f.name.to_string()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert_eq!(list(&[(&[], None)]).await.unwrap(), []);
    for pages in [
        // The same again; backwards; nothing, and more to come; a `next` that leads back.
        &[(&["a", "b"][..], Some("b"))][..],
        &[(&["b"], Some("b")), (&["a"], None)],
        &[(&["b"], Some("b")), (&["b"], None)],
        &[(&[], Some("z"))],
        &[(&["a"], Some("a")), (&[], Some("z"))],
        &[(&["b"], Some("a"))],
        &[(&["x"], Some("a")), (&["b"], Some("a"))],
        &[(&["b", "a"], None)],
        &[(&["a", "a"], None)],
        &[(&["a", "c"], Some("b"))],
    ] {
        assert!(is_nonsense(list(pages).await), "{pages:?}");
    }
    for evil in [
        "../x",
        "/etc/passwd",
        "..",
        ".",
        "",
        "a/b",
        "a\0b",
        &"x".repeat(300),
    ] {
        assert!(is_nonsense(list(&[(&["a", evil], None)]).await), "{evil:?}");
        assert!(is_nonsense(list(&[(&["a"], Some(evil))]).await), "{evil:?}");
    }
    for details in [
        json!({}),
        json!({"files": 5}),
        json!({"files": {}}),
        json!({"files": [5]}),
        json!({"files": ["a"]}),
        json!({"files": [{"name": "a"}]}),
        json!({"files": [], "next": 5}),
    ] {
        let head = json!({"status": "ok", "details": details});
        assert!(is_nonsense(within(one(head).list(None)).await), "{details}");
    }
}

#[tokio::test]
async fn svc_e6_texts_of_a_server_are_shown_escaped_and_cut() {
    let evil = "\u{1b}]52;c;cm0gLXJm\u{7}\rall is well\n\u{202e}gnp.exe";
    let long = "x".repeat(1 << 20);
    for text in [evil, &long] {
        let refused = json!({"status": text, "message": text});
        let shown = within(one(refused.clone()).ping())
            .await
            .unwrap_err()
            .to_string();
        assert_harmless(&shown);
        let aborted = format!("!{refused}").into_bytes();
        let head = json!({"status": "ok", "details": file("mine", 5), "body": true});
        let shown = download(with_body(head, &[&aborted]))
            .await
            .unwrap_err()
            .to_string();
        assert_harmless(&shown);
        // In names, in what has the wrong type, in broken JSON.
        for details in [
            json!({"files": [{"name": format!("/{text}"), "size": 1, "version": VERSION}]}),
            json!({"files": text}),
            json!({"files": [{"name": "a", "size": text, "version": VERSION}]}),
            json!({"files": [{"name": "a", "size": 1, "version": text}]}),
        ] {
            let head = json!({"status": "ok", "details": details});
            let shown = within(one(head).list(None)).await.unwrap_err().to_string();
            assert_harmless(&shown);
        }
        for head in [
            json!({"status": "ok", "body": text}),
            json!({"status": {text: text}}),
            json!({"status": "ok", "details": text}),
        ] {
            let shown = within(one(head).ping()).await.unwrap_err().to_string();
            assert_harmless(&shown);
        }
        let end = json!({"outcome": text, "code": 0});
        let head = json!({"status": "ok", "body": true});
        let mut client = with_body(head, &[format!(".{end}").as_bytes()]);
        let mut exec = within(client.exec(Command::program(["x"]))).await.unwrap();
        let shown = within(exec.wait(drop)).await.unwrap_err().to_string();
        assert_harmless(&shown);
    }
}

fn assert_harmless(shown: &str) {
    assert!(shown.len() < 1200, "{} bytes are shown", shown.len());
    let bad = |c: char| c.is_control() || c == '\u{202e}';
    assert!(!shown.chars().any(bad), "{shown:?}");
}

#[tokio::test]
async fn a_body_where_none_is_due_is_an_error() {
    let ok = |details: Value| json!({"status": "ok", "details": details, "body": true});
    let password = || Password::new("x").unwrap();
    let who = json!({"name": "a", "rights": []});
    assert!(is_nonsense(
        within(with_body(ok(json!({})), &[b"."]).ping()).await
    ));
    let mut client = with_body(ok(who.clone()), &[b"."]);
    assert!(is_nonsense(within(client.login("a", password())).await));
    // After that the connection is not used for anything else.
    let error = within(client.ping()).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Call(CallError::OutOfStep)),
        "{error}"
    );
    assert!(is_nonsense(
        within(with_body(ok(who), &[b"."]).whoami()).await
    ));
    assert!(is_nonsense(
        within(with_body(ok(json!({"files": []})), &[b"."]).list(None)).await
    ));
    assert!(is_nonsense(
        within(with_body(ok(json!({})), &[b"."]).remove(&name("a"))).await
    ));
    let stored = json!({"size": 1, "digest": Digest::of(b"x").to_string()});
    let result = with_body(ok(stored), &[b"."]);
    assert!(is_nonsense(store(result, b"x").await));
}

async fn store(mut client: Client, content: &[u8]) -> Result<u64, ClientError> {
    let source = Cursor::new(content.to_vec());
    let stored = within(client.put(&name("mine"), None, false, source)).await?;
    Ok(stored.size)
}

/// A server that takes a whole upload and then says this.
fn taking(answer: Value) -> Client {
    let (client, _) = against(|mut wire| async move {
        request(&mut wire).await;
        while let Some(Ok(frame)) = wire.next().await {
            if matches!(frame[0], b'.' | b'!') {
                break;
            }
        }
        wire.send(answer.to_string().into()).await.unwrap();
        while wire.next().await.is_some() {}
    });
    client
}

#[tokio::test]
async fn svc_e2_an_upload_is_done_only_if_size_and_digest_agree() {
    let digest = |bytes: &[u8]| Digest::of(bytes).to_string();
    let ok = |details: Value| json!({"status": "ok", "details": details});
    let right = json!({"size": 5, "digest": digest(b"hello")});
    assert_eq!(store(taking(ok(right.clone())), b"hello").await.unwrap(), 5);
    for details in [
        json!({}),
        json!({"size": 5}),
        json!({"digest": digest(b"hello")}),
        json!({"size": 4, "digest": digest(b"hello")}),
        json!({"size": 5, "digest": digest(b"hallo")}),
        json!({"size": "5", "digest": digest(b"hello")}),
        json!({"size": 5, "digest": "hello"}),
        json!({"size": 5, "digest": digest(b"hello"), "replaced": "no"}),
    ] {
        assert!(
            is_nonsense(store(taking(ok(details.clone())), b"hello").await),
            "{details}"
        );
    }
    // `ok` before the bytes have come, whatever it says of them.
    let large = vec![7; 10 << 20];
    let early = ok(json!({"size": large.len(), "digest": digest(&large)}));
    assert!(is_nonsense(store(one(early), &large).await));
    // Cut off before an answer: not known, and no success.
    let (client, _) = against(|mut wire| async move {
        request(&mut wire).await;
        wire.next().await;
        wire.next().await;
    });
    assert!(
        store(client, b"hello")
            .await
            .unwrap_err()
            .is_connection_lost()
    );
}

#[tokio::test]
async fn what_cannot_be_read_here_is_not_stored_there() {
    struct Broken;
    impl tokio::io::AsyncRead for Broken {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Err(std::io::ErrorKind::NotADirectory.into()))
        }
    }
    let server = common::Parts::new("struct-header").start();
    let mut client = server.client_of("alice").await;
    let error = within(client.put(&name("x"), None, false, Broken))
        .await
        .unwrap_err();
    let ClientError::Source(error) = error else {
        panic!("{error:?}");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::NotADirectory);
    assert_eq!(within(client.list_all()).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_no_answer_is_no_success() {
    for frame in [
        "",
        "{",
        "{}",
        "[]",
        "ok",
        "{\"status\":5}",
        "{\"status\":\"ok\",\"status\":\"ok\"}",
        "{\"status\":\"ok\",\"body\":1}",
        "{\"status\":\"ok\",\"details\":[]}",
        "{\"verb\":\"ping\"}",
        "dhello",
        "ohello",
        ".",
        ".{\"outcome\":\"exit\",\"code\":0}",
        "!{\"status\":\"ok\"}",
    ] {
        let mut client = answered(vec![vec![frame.as_bytes().to_vec()]]);
        let error = within(client.ping()).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Call(CallError::Native(_))),
            "{frame}: {error}"
        );
        let error = within(client.ping()).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Call(CallError::OutOfStep)),
            "{frame}: {error}"
        );
    }
    // A newer server may say more in a head than we know.
    let head = json!({"status": "ok", "message": "", "new": [1, 2, 3]});
    within(one(head).ping()).await.unwrap();
}

#[tokio::test]
async fn svc_c33_an_end_of_a_command_that_makes_no_sense_is_no_success() {
    for end in [
        ".",
        ".{}",
        ".{\"outcome\":\"exit\"}",
        ".{\"code\":0}",
        ".{\"outcome\":\"exit\",\"code\":256}",
        ".{\"outcome\":\"exit\",\"code\":-1}",
        ".{\"outcome\":\"exit\",\"code\":\"0\"}",
        ".{\"outcome\":\"exit\",\"code\":4294967296}",
        ".{\"outcome\":\"success\",\"code\":0}",
        ".{\"outcome\":\"signal\"}",
        ".{\"outcome\":0,\"code\":0}",
        ".{\"outcome\":\"exit\",\"code\":0,\"held_output\":\"no\"}",
    ] {
        let head = json!({"status": "ok", "body": true});
        let mut client = with_body(head, &[b"ox", end.as_bytes()]);
        let mut exec = within(client.exec(Command::program(["x"]))).await.unwrap();
        assert!(is_nonsense(within(exec.wait(drop)).await), "{end}");
        assert!(within(exec.next()).await.is_none(), "{end}");
    }
    // No body: nothing was said of how it ended.
    let mut client = one(json!({"status": "ok"}));
    let mut exec = within(client.exec(Command::program(["x"]))).await.unwrap();
    assert_eq!(
        within(exec.wait(drop)).await.unwrap().outcome,
        Outcome::ConnectionLost
    );
    // Given up by the server.
    let head = json!({"status": "ok", "body": true});
    let mut client = with_body(head, &[b"!{\"status\":\"internal\"}"]);
    let mut exec = within(client.exec(Command::program(["x"]))).await.unwrap();
    let error = within(exec.wait(drop)).await.unwrap_err();
    assert_eq!(error.status().unwrap().code().as_str(), "internal");
}

#[tokio::test]
async fn svc_c33_a_second_end_does_not_answer_the_next_request() {
    let head = json!({"status": "ok", "body": true});
    let end = b".{\"outcome\":\"exit\",\"code\":0}";
    let mut client = with_body(head, &[end, end, b"omore"]);
    let mut exec = within(client.exec(Command::program(["x"]))).await.unwrap();
    assert_eq!(
        within(exec.wait(drop)).await.unwrap().outcome,
        Outcome::Exit(0)
    );
    assert!(within(exec.next()).await.is_none());
    drop(exec);
    assert!(within(client.ping()).await.is_err());
}

#[tokio::test]
async fn svc_c33_output_without_end_waits_for_its_reader() {
    let (mut client, mut task) = against(|mut wire| async move {
        request(&mut wire).await;
        wire.send("{\"status\":\"ok\",\"body\":true}".into())
            .await
            .unwrap();
        let mut sent = 0;
        loop {
            let send = wire.send([&b"o"[..], &[b'y'; 10_000]].concat().into());
            match tokio::time::timeout(Duration::from_millis(300), send).await {
                Ok(Ok(())) => sent += 10_000,
                _ => return sent,
            }
        }
    });
    let mut exec = within(client.exec(Command::program(["yes"])))
        .await
        .unwrap();
    for _ in 0..10 {
        let event = within(exec.next()).await.unwrap().unwrap();
        assert!(matches!(event, Event::Output(_)));
    }
    // Nobody reads on: what was sent is what the pipe and one buffer hold.
    let sent = within(&mut task).await.unwrap();
    assert!(sent < 400_000, "{sent} bytes were taken that nobody reads");
    assert_eq!(
        within(exec.wait(drop)).await.unwrap().outcome,
        Outcome::ConnectionLost
    );
}

#[tokio::test]
async fn rights_and_names_of_an_account_are_what_the_server_says() {
    let head = |details: Value| json!({"status": "ok", "details": details});
    let known = json!({"name": "\u{1b}x", "rights": ["read", "fly", "shell"]});
    let account = within(one(head(known)).whoami()).await.unwrap();
    assert_eq!(account.rights.unwrap(), [Right::Read, Right::Shell]);
    assert_eq!(account.name, "\u{1b}x");
    for details in [
        json!({}),
        json!({"rights": []}),
        json!({"name": 5, "rights": []}),
        json!({"name": "x", "rights": "all"}),
        json!({"name": "x", "rights": [1]}),
    ] {
        assert!(
            is_nonsense(within(one(head(details.clone())).whoami()).await),
            "{details}"
        );
    }
}

#[tokio::test]
async fn a_reply_that_is_not_read_puts_the_connection_out_of_step() {
    let head = json!({"status": "ok", "details": file("mine", 5), "body": true});
    let mut client = with_body(head.clone(), &[b"dhello"]);
    drop(within(client.get(&name("mine"))).await.unwrap());
    let error = within(client.ping()).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Call(CallError::OutOfStep)),
        "{error}"
    );
    assert!(error.is_connection_lost());
    // So does a call that nobody waits for.
    let mut client = answered(vec![vec![]]);
    let waited = tokio::time::timeout(Duration::from_millis(20), client.ping()).await;
    assert!(waited.is_err());
    let error = within(client.ping()).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Call(CallError::OutOfStep)),
        "{error}"
    );
}

#[tokio::test]
async fn any_request_can_be_made_and_its_parts_read() {
    let head = json!({"status": "ok", "details": {"a": 1}, "body": true});
    let mut client = with_body(head, &[b"done", b"etwo", b"c{\"x\":1}", b".{\"y\":2}"]);
    let verb = Verb::from_static("special");
    let mut reply = within(client.call(verb, Fields::new(), Body::none()))
        .await
        .unwrap();
    let mut parts = Vec::new();
    while let Some(part) = within(reply.next()).await {
        parts.push(part.unwrap());
    }
    let expected = [
        Part::Data("one".into()),
        Part::Stderr("two".into()),
        Part::Control(Fields::new().with("x", 1)),
        Part::End(Fields::new().with("y", 2)),
    ];
    assert_eq!(parts, expected);
}
