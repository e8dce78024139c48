//! Files over the wire: who may do what, what is stored, and what comes back.

mod common;

use std::{
    io::Cursor,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use common::{CODECS, Parts, Peer, Server, noise, trailer, within};
use serde_json::{Value, json};
use services::{
    BodyError,
    client::{Client, ClientError},
    files::{
        BoxFuture, Digest, DirectoryStore, Download, FileInfo, FileName, Listing, MemoryStore,
        Precondition, ReadFrom, Store, StoreError, Upload, Version,
    },
};
use tokio::io::{AsyncRead, ReadBuf};

fn name(text: &str) -> FileName {
    text.parse().unwrap()
}

async fn put(client: &mut Client, file: &str, content: &[u8]) -> Result<Digest, ClientError> {
    let source = Cursor::new(content.to_vec());
    let size = Some(content.len() as u64);
    within(client.put(&name(file), size, true, source))
        .await
        .map(|uploaded| uploaded.digest.unwrap())
}

async fn get(client: &mut Client, file: &str) -> Result<Vec<u8>, ClientError> {
    let mut download = within(client.get(&name(file))).await?;
    let mut content = Vec::new();
    while let Some(bytes) = within(download.read()).await? {
        content.extend_from_slice(&bytes);
    }
    Ok(content)
}

fn code<T>(result: Result<T, ClientError>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.status().expect("a refusal").code().to_string(),
    }
}

#[tokio::test]
async fn svc_d29_rights_decide_who_does_what() {
    let store = MemoryStore::new();
    let server = Parts::new("struct-header").store(store).start();
    let mut alice = server.client_of("alice").await;
    put(&mut alice, "there", b"x").await.unwrap();
    let (yes, no) = ("ok", "not-allowed");
    for (who, may_write, may_read) in [
        ("alice", yes, yes),
        ("writer", yes, no),
        ("reader", no, yes),
        ("runner", no, no),
        ("nobody", no, no),
        ("root", no, no),
    ] {
        let mut client = server.client_of(who).await;
        assert_eq!(
            code(put(&mut client, "mine", b"y").await),
            may_write,
            "{who}"
        );
        assert_eq!(code(within(client.list(None)).await), may_read, "{who}");
        assert_eq!(code(get(&mut client, "there").await), may_read, "{who}");
        let removed = within(client.remove(&name("mine"))).await;
        assert_eq!(code(removed), may_write, "{who}");
        // One who may not does not even learn whether a file is there.
        if may_read == no {
            assert_eq!(code(get(&mut client, "not there").await), no, "{who}");
        }
        if may_write == no {
            assert_eq!(
                code(within(client.remove(&name("not there"))).await),
                no,
                "{who}"
            );
        }
    }
    assert_eq!(get(&mut alice, "there").await.unwrap(), b"x");
}

/// Sends a put by hand: the file's chunks, and the frame that ends it.
async fn put_by_hand(peer: &mut Peer, args: Value, chunks: &[&[u8]], end: &str) -> Value {
    peer.say(json!({"verb": "put", "args": args, "body": true}))
        .await;
    for chunk in chunks {
        peer.chunk('d', chunk).await;
    }
    peer.send(end.to_owned()).await;
    peer.head().await
}

fn end(content: &[u8]) -> String {
    format!(".{}", json!({"digest": Digest::of(content).to_string()}))
}

#[tokio::test]
async fn svc_d10_d11_d12_what_does_not_agree_is_not_stored() {
    for codec in CODECS {
        let server = Parts::new(codec).start();
        let mut client = server.client_of("alice").await;
        put(&mut client, "old", b"old content").await.unwrap();
        let mut peer = server.peer_of("alice").await;
        let right = end(b"hello");
        for (size, chunks, end, expected) in [
            // Shorter than announced, by all, one, and in another cut.
            (json!(5), &[&b""[..]][..], end(b""), "size-mismatch"),
            (json!(5), &[b"hell"], end(b"hell"), "size-mismatch"),
            (
                json!(5),
                &[b"h", b"", b"ell"],
                right.clone(),
                "size-mismatch",
            ),
            // Longer.
            (json!(5), &[b"hello!"], end(b"hello!"), "size-mismatch"),
            (json!(5), &[b"hello", b"!"], right.clone(), "size-mismatch"),
            (json!(0), &[b"x"], end(b"x"), "size-mismatch"),
            // Another digest, or none.
            (json!(5), &[b"hello"], end(b"hallo"), "digest-mismatch"),
            (json!(null), &[b"hello"], end(b""), "digest-mismatch"),
            (json!(5), &[b"hello"], ".".to_owned(), "bad-request"),
            (
                json!(5),
                &[b"hello"],
                ".{\"digest\":\"\"}".to_owned(),
                "bad-request",
            ),
            (
                json!(5),
                &[b"hello"],
                ".{\"digest\":5}".to_owned(),
                "bad-request",
            ),
            (
                json!(5),
                &[b"hello"],
                ".{\"digest\":null}".to_owned(),
                "bad-request",
            ),
            (
                json!(5),
                &[b"hello"],
                "!{\"status\":\"cancelled\"}".to_owned(),
                "bad-request",
            ),
        ] {
            for target in ["new", "old"] {
                let args = json!({"name": target, "size": size, "overwrite": true});
                let shown = format!("{codec} {target} {size} {chunks:?} {end}");
                let head = put_by_hand(&mut peer, args, chunks, &end).await;
                assert_eq!(head["status"], expected, "{shown}: {head}");
                peer.lives().await;
            }
        }
        for size in [json!(-1), json!("5"), json!(5.5), json!(1e30)] {
            let args = json!({"name": "new", "size": size});
            let head = put_by_hand(&mut peer, args, &[b"hello"], &right).await;
            assert_eq!(head["status"], "bad-request");
        }
        // A put without a body.
        let head = peer
            .ask(json!({"verb": "put", "args": {"name": "new"}}))
            .await;
        assert_eq!(head["status"], "bad-request");
        let listed = within(client.list_all()).await.unwrap();
        assert_eq!(listed.len(), 1, "{codec}: {listed:?}");
        assert_eq!(
            get(&mut client, "old").await.unwrap(),
            b"old content",
            "{codec}"
        );
        // And what does agree is.
        for (size, chunks) in [
            (json!(5), &[&b"hello"[..]][..]),
            (json!(null), &[b"he", b"", b"llo"]),
        ] {
            let args = json!({"name": "new", "size": size, "overwrite": true});
            let head = put_by_hand(&mut peer, args, chunks, &right).await;
            assert_eq!(head["status"], "ok", "{head}");
            assert_eq!(head["details"]["digest"], Digest::of(b"hello").to_string());
            assert_eq!(get(&mut client, "new").await.unwrap(), b"hello");
        }
        let head = put_by_hand(
            &mut peer,
            json!({"name": "empty", "size": 0}),
            &[],
            &end(b""),
        )
        .await;
        assert_eq!(
            (&head["status"], &head["details"]["size"]),
            (&json!("ok"), &json!(0))
        );
        assert_eq!(get(&mut client, "empty").await.unwrap(), b"");
    }
}

#[tokio::test]
async fn svc_d10_an_upload_that_is_cut_off_leaves_the_old_file() {
    for codec in CODECS {
        let server = Parts::new(codec).start();
        let mut client = server.client_of("alice").await;
        put(&mut client, "f", b"old").await.unwrap();
        for chunks in 0..3 {
            for clean in [true, false] {
                let mut peer = server.peer_of("alice").await;
                let args = json!({"name": "f", "size": 20, "overwrite": true});
                peer.say(json!({"verb": "put", "args": args, "body": true}))
                    .await;
                for _ in 0..chunks {
                    peer.chunk('d', b"0123456789").await;
                }
                if clean {
                    futures_util::SinkExt::close(&mut peer.connection)
                        .await
                        .unwrap();
                    for frame in peer.rest().await {
                        assert!(!frame.starts_with(b"{\"status\":\"ok\""), "{codec}");
                    }
                }
                let _ = peer.ended().await;
                assert_eq!(
                    get(&mut client, "f").await.unwrap(),
                    b"old",
                    "{codec} {chunks}"
                );
            }
        }
    }
}

#[tokio::test]
async fn sha256_takes_the_place_of_blake3_for_those_who_ask() {
    let server = Parts::new("lines").start();
    let mut peer = server.peer_of("alice").await;
    // SHA-256 of "abc", as published with it.
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let args = json!({"name": "abc", "sha256": true});
    let wrong = format!(".{{\"sha256\":\"{}\"}}", abc.replace('b', "c"));
    let head = put_by_hand(&mut peer, args.clone(), &[b"abc"], &wrong).await;
    assert_eq!(head["status"], "digest-mismatch");
    let right = format!(".{{\"sha256\":\"{abc}\"}}");
    // Without having asked it is no digest.
    let head = put_by_hand(&mut peer, json!({"name": "abc"}), &[b"abc"], &right).await;
    assert_eq!(head["status"], "bad-request");
    let head = put_by_hand(&mut peer, args, &[b"a", b"bc"], &right).await;
    assert_eq!(head["status"], "ok");
    for (asked, offset) in [(true, 0), (true, 2), (false, 0)] {
        let args = json!({"name": "abc", "sha256": asked, "offset": offset});
        assert_eq!(
            peer.ask(json!({"verb": "get", "args": args})).await["status"],
            "ok"
        );
        let (bytes, _, end) = peer.body().await;
        assert_eq!(bytes, &b"abc"[offset..]);
        let expected = if asked { json!(abc) } else { json!(null) };
        assert_eq!(trailer(&end)["sha256"], expected);
        assert_eq!(trailer(&end)["digest"], Digest::of(b"abc").to_string());
    }
}

#[tokio::test]
async fn to_do_without_a_digest_is_refused_unless_the_server_allows_it() {
    let server = Parts::new("struct-header").start();
    let mut client = server.client_of("alice").await;
    put(&mut client, "f", b"hello").await.unwrap();
    client.set_digests(false);
    assert_eq!(code(within(client.get(&name("f"))).await), "not-allowed");
    let (g, source) = (name("g"), Cursor::new(b"hello"));
    let put = within(client.put(&g, None, false, source)).await;
    assert_eq!(code(put), "not-allowed");
    client.set_digests(true);
    assert_eq!(client.list_all().await.unwrap().len(), 1);
    assert_eq!(get(&mut client, "f").await.unwrap(), b"hello");
}

#[tokio::test]
async fn a_file_without_a_digest_is_whole_by_its_size() {
    let content = noise(700_000);
    let folder = tempfile::tempdir().unwrap();
    let directory = DirectoryStore::open(folder.path()).unwrap();
    for parts in [
        Parts::new("struct-header"),
        Parts::new("struct-header").store(directory),
    ] {
        let mut parts = parts;
        parts.digest_optional = true;
        let server = parts.start();
        let mut client = server.client_of("alice").await;
        client.set_digests(false);
        let source = Cursor::new(content.clone());
        let stored = within(client.put(&name("f"), None, false, source)).await;
        let stored = stored.unwrap();
        assert_eq!((stored.size, stored.digest), (700_000, None));
        assert!(get(&mut client, "f").await.unwrap() == content);
        for have in [1, 256 * 1024, 699_999, 700_000] {
            let mut hasher = Digest::hasher();
            hasher.update(&content[..have]);
            let resumed = within(client.resume(&name("f"), None, hasher)).await;
            let mut download = resumed.unwrap();
            let mut rest = Vec::new();
            while let Some(bytes) = within(download.read()).await.unwrap() {
                rest.extend_from_slice(&bytes);
            }
            assert!(rest == content[have..], "{have}");
            assert_eq!(download.digest(), None);
        }

        // What was said of the size still counts, and a digest that nobody compares is refused.
        let mut peer = server.peer_of("alice").await;
        let args = json!({"name": "g", "size": 6, "digest": false});
        let head = put_by_hand(&mut peer, args, &[b"hello"], ".").await;
        assert_eq!(head["status"], "size-mismatch");
        let args = json!({"name": "g", "digest": false});
        let head = put_by_hand(&mut peer, args, &[b"hello"], &end(b"hello")).await;
        assert_eq!(head["status"], "bad-request");
        assert_eq!(client.list_all().await.unwrap().len(), 1);
        // Who does not ask to do without must give one.
        let head = put_by_hand(&mut peer, json!({"name": "g"}), &[b"hello"], ".").await;
        assert_eq!(head["status"], "bad-request");
    }
}

#[tokio::test]
async fn svc_d13_a_download_resumes_anywhere_with_the_digest_of_the_whole() {
    // Larger than a piece of the store, so that an offset stands in the middle of one.
    let content = noise(700_000);
    let size = content.len();
    for codec in CODECS {
        let server = Parts::new(codec).start();
        let mut client = server.client_of("alice").await;
        let digest = put(&mut client, "f", &content).await.unwrap();
        assert_eq!(digest, Digest::of(&content));
        let piece = 256 * 1024;
        for have in [
            0,
            1,
            1000,
            piece - 1,
            piece,
            piece + 1,
            2 * piece,
            size - 1,
            size,
        ] {
            let mut hasher = Digest::hasher();
            hasher.update(&content[..have]);
            let mut download = within(client.resume(&name("f"), None, hasher))
                .await
                .unwrap();
            assert_eq!(download.file().size, size as u64);
            let mut rest = Vec::new();
            while let Some(bytes) = within(download.read()).await.unwrap() {
                rest.extend_from_slice(&bytes);
            }
            assert!(rest == content[have..], "{codec} {have}");
            assert_eq!(download.digest(), Some(digest));
        }
        // A beginning that is not the file's is found out at the end, and not before.
        let mut hasher = Digest::hasher();
        hasher.update(&noise(1001)[1..]);
        let mut download = within(client.resume(&name("f"), None, hasher))
            .await
            .unwrap();
        let error = loop {
            match within(download.read()).await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{codec}: it is not the same file"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ClientError::Nonsense(_)), "{error}");
        // Behind the end.
        let mut hasher = Digest::hasher();
        hasher.update(&content);
        hasher.update(b"!");
        let error = within(client.resume(&name("f"), None, hasher))
            .await
            .unwrap_err();
        assert_eq!(error.status().unwrap().code().as_str(), "offset-beyond-end");
        within(client.whoami()).await.unwrap();
        let mut peer = server.peer_of("reader").await;
        for offset in [json!(-1), json!("0"), json!(0.5)] {
            let head = peer
                .ask(json!({"verb": "get", "args": {"name": "f", "offset": offset}}))
                .await;
            assert_eq!(head["status"], "bad-request");
        }
        let far = json!({"verb": "get", "args": {"name": "f", "offset": u64::MAX}});
        assert_eq!(peer.ask(far).await["status"], "offset-beyond-end");
    }
}

#[tokio::test]
async fn versions_are_preconditions() {
    let server = Parts::new("struct-header").start();
    let mut client = server.client_of("alice").await;
    let mut peer = server.peer_of("alice").await;
    put(&mut client, "f", b"one").await.unwrap();
    let first = within(client.list_all()).await.unwrap().remove(0).version;
    let first = first.unwrap();
    let put_as = |version: &str| json!({"name": "f", "version": version});
    let head = put_by_hand(
        &mut peer,
        put_as(&first.to_string()),
        &[b"two"],
        &end(b"two"),
    )
    .await;
    assert_eq!(head["status"], "ok");
    assert_eq!(head["details"]["replaced"], true);
    let second = head["details"]["version"].as_str().unwrap().to_owned();
    // The first version is gone: for all three.
    let head = put_by_hand(&mut peer, put_as(&first.to_string()), &[b"x"], &end(b"x")).await;
    assert_eq!(head["status"], "changed");
    let error = within(client.get_version(&name("f"), Some(first)))
        .await
        .unwrap_err();
    assert_eq!(error.status().unwrap().code().as_str(), "changed");
    let remove = |version: &str| json!({"verb": "remove", "args": put_as(version)});
    assert_eq!(
        peer.ask(remove(&first.to_string())).await["status"],
        "changed"
    );
    assert_eq!(get(&mut client, "f").await.unwrap(), b"two");
    // What makes no sense.
    for args in [
        json!({"name": "f", "version": second, "overwrite": true}),
        json!({"name": "f", "version": second, "overwrite": false}),
        json!({"name": "f", "version": "xyz"}),
        json!({"name": "f", "version": 1}),
        json!({"name": "f", "overwrite": "yes"}),
        json!({"name": "f", "overwite": true}),
        json!({"overwrite": true}),
    ] {
        let head = put_by_hand(&mut peer, args.clone(), &[b"x"], &end(b"x")).await;
        assert_eq!(head["status"], "bad-request", "{args}");
    }
    let head = put_by_hand(&mut peer, json!({"name": "f"}), &[b"x"], &end(b"x")).await;
    assert_eq!(head["status"], "already-exists");
    let gone = json!({"name": "g", "version": second});
    let head = put_by_hand(&mut peer, gone, &[b"x"], &end(b"x")).await;
    assert_eq!(head["status"], "not-found");
    let version: Version = second.parse().unwrap();
    within(client.get_version(&name("f"), Some(version)))
        .await
        .unwrap();
    let mut client = server.client_of("alice").await;
    assert_eq!(peer.ask(remove(&second)).await["status"], "ok");
    assert_eq!(code(get(&mut client, "f").await), "not-found");
    assert_eq!(peer.ask(remove(&second)).await["status"], "not-found");
}

#[tokio::test]
async fn svc_d27_lists_come_in_pages() {
    let server = Parts::new("struct-header").start();
    let mut client = server.client_of("alice").await;
    for i in 0..25 {
        put(&mut client, &format!("file {i:02}"), b"")
            .await
            .unwrap();
    }
    let mut peer = server.peer_of("reader").await;
    for (limit, expected) in [(0, 1), (1, 1), (7, 7), (25, 25), (26, 25), (5000, 25)] {
        let head = peer
            .ask(json!({"verb": "list", "args": {"limit": limit}}))
            .await;
        let files = head["details"]["files"].as_array().unwrap();
        assert_eq!(files.len(), expected, "{limit}");
        let last = files.last().unwrap()["name"].clone();
        let next = head["details"].get("next").cloned();
        assert_eq!(next, (expected < 25).then_some(last), "{limit}");
    }
    let mut seen = Vec::new();
    let mut after = json!(null);
    while {
        let args = json!({"limit": 10, "after": after});
        let head = peer.ask(json!({"verb": "list", "args": args})).await;
        let files = head["details"]["files"].as_array().unwrap();
        seen.extend(
            files
                .iter()
                .map(|file| file["name"].as_str().unwrap().to_owned()),
        );
        after = head["details"]["next"].clone();
        !after.is_null()
    } {}
    let expected: Vec<_> = (0..25).map(|i| format!("file {i:02}")).collect();
    assert_eq!(seen, expected);
    // `after` need not be there.
    let args = json!({"after": "file 07x"});
    let head = peer.ask(json!({"verb": "list", "args": args})).await;
    assert_eq!(head["details"]["files"][0]["name"], "file 08");
    let args = json!({"after": "zzz"});
    let head = peer.ask(json!({"verb": "list", "args": args})).await;
    assert_eq!(head["details"], json!({"files": []}));
    for args in [
        json!({"limit": -1}),
        json!({"limit": "all"}),
        json!({"prefix": "x"}),
    ] {
        let head = peer.ask(json!({"verb": "list", "args": args})).await;
        assert_eq!(head["status"], "bad-request", "{args}");
    }
}

#[tokio::test]
async fn svc_d27_a_page_is_cut_to_what_fits_into_a_frame() {
    for framing in [
        r#"{ type = "struct-header", format = "!H" }"#,
        r#"{ type = "lines", max_frame = "9KiB" }"#,
    ] {
        let server = Parts::new(framing).start();
        let mut client = server.client_of("alice").await;
        let mut names: Vec<String> = (0..400)
            // Quotation marks take two bytes each in JSON.
            .map(|i| format!("{i:03}{}", "\"".repeat(i % 160)))
            .collect();
        for name in &names {
            put(&mut client, name, b"x").await.unwrap();
        }
        names.sort();
        let listed = within(client.list_all()).await.unwrap();
        let listed: Vec<_> = listed
            .iter()
            .map(|file| file.name.as_str().to_owned())
            .collect();
        assert_eq!(listed, names, "{framing}");
        let page = within(client.list(None)).await.unwrap();
        assert!(
            page.files.len() > 20 && page.files.len() < 400,
            "{}",
            page.files.len()
        );
    }
}

#[tokio::test]
async fn svc_d1_d3_names_that_are_paths_are_refused() {
    let server = Parts::new("struct-header").start();
    let mut peer = server.peer_of("alice").await;
    let long = "x".repeat(256);
    for bad in [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "a/b",
        "/",
        "..",
        ".",
        "",
        "x/..",
        "x\0y",
        &long,
        ".framewright-tmp",
    ] {
        let head = put_by_hand(&mut peer, json!({"name": bad}), &[b"x"], &end(b"x")).await;
        assert_ne!(head["status"], "ok", "{bad:?}");
        for verb in ["get", "remove"] {
            let head = peer.ask(json!({"verb": verb, "args": {"name": bad}})).await;
            assert_eq!(head["status"], "name", "{verb} {bad:?}");
        }
        let head = peer
            .ask(json!({"verb": "list", "args": {"after": bad}}))
            .await;
        assert_eq!(head["status"], "name", "{bad:?}");
    }
    for bad in [
        "..\\x",
        "C:\\x",
        "a:b",
        "NUL",
        "x.",
        " x",
        "x ",
        "-x",
        "a\nb",
        "a\u{1b}b",
        "a\u{202e}b",
    ] {
        let head = put_by_hand(&mut peer, json!({"name": bad}), &[b"x"], &end(b"x")).await;
        assert_ne!(head["status"], "ok", "{bad:?}");
        let said = head["message"].as_str().unwrap();
        assert!(
            !said.chars().any(char::is_control) && !said.contains('\u{202e}'),
            "{said:?}"
        );
        // Such a file could be there all the same; it is not.
        let head = peer
            .ask(json!({"verb": "get", "args": {"name": bad}}))
            .await;
        assert_eq!(head["status"], "not-found", "{bad:?}");
    }
    for bad in [json!(5), json!(null), json!(["x"]), json!({"x": 1})] {
        let head = peer
            .ask(json!({"verb": "get", "args": {"name": bad}}))
            .await;
        assert_eq!(head["status"], "bad-request", "{bad}");
    }
    let mut client = server.client_of("reader").await;
    assert_eq!(within(client.list_all()).await.unwrap(), []);
}

/// Bytes without end, which counts how many were taken.
struct Counted(Arc<AtomicU64>);

impl AsyncRead for Counted {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let room = buffer.remaining();
        buffer.put_slice(&vec![7; room]);
        self.0.fetch_add(room as u64, Ordering::SeqCst);
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn an_upload_that_is_refused_at_once_stops_and_the_connection_lives() {
    for codec in CODECS {
        let server = Parts::new(codec)
            .store(MemoryStore::with_limits(Some(1 << 20), None))
            .start();
        let mut client = server.client_of("alice").await;
        put(&mut client, "there", b"x").await.unwrap();
        let hundred = Some(100 << 20);
        for (who, file, size, expected) in [
            ("alice", "there", None, "already-exists"),
            ("alice", "new", hundred, "too-large"),
            // Found out when it has gone beyond the limit.
            ("alice", "new", None, "too-large"),
            ("reader", "new", None, "not-allowed"),
        ] {
            let mut client = server.client_of(who).await;
            let taken = Arc::new(AtomicU64::new(0));
            let source = Counted(taken.clone());
            let error = within(client.put(&name(file), size, false, source))
                .await
                .unwrap_err();
            assert_eq!(error.status().unwrap().code().as_str(), expected, "{codec}");
            let taken = taken.load(Ordering::SeqCst);
            assert!(
                taken < 8 << 20,
                "{codec} {expected}: {taken} bytes were read to be sent"
            );
            assert_eq!(code(get(&mut client, "there").await), "ok", "{codec}");
        }
        assert_eq!(within(client.list_all()).await.unwrap().len(), 1, "{codec}");
    }
}

#[tokio::test]
async fn a_hundred_megabytes_that_are_sent_all_the_same_are_thrown_away() {
    let server = Parts::new("struct-header").start();
    let mut peer = server.peer_of("reader").await;
    peer.say(json!({"verb": "put", "args": {"name": "x"}, "body": true}))
        .await;
    let chunk = [&b"d"[..], &vec![7; 1 << 20]].concat();
    let chunk = Bytes::from(chunk);
    // It neither waits for the answer nor takes it.
    for _ in 0..100 {
        peer.send(chunk.clone()).await;
    }
    peer.send(end(b"")).await;
    assert_eq!(peer.head().await["status"], "not-allowed");
    peer.lives().await;
}

/// A store whose downloads go wrong.
#[derive(Clone, Debug)]
struct Failing {
    store: MemoryStore,
    /// After so many reads, and in this way.
    after: usize,
    error: Option<StoreError>,
}

#[derive(Debug)]
struct FailingDownload {
    download: Box<dyn Download>,
    left: usize,
    error: Option<StoreError>,
}

impl Store for Failing {
    fn begin<'a>(
        &'a self,
        name: &'a FileName,
        expected: Option<u64>,
        precondition: Precondition,
    ) -> BoxFuture<'a, Result<Box<dyn Upload>, StoreError>> {
        self.store.begin(name, expected, precondition)
    }

    fn open<'a>(
        &'a self,
        name: &'a FileName,
        from: ReadFrom,
    ) -> BoxFuture<'a, Result<Box<dyn Download>, StoreError>> {
        Box::pin(async move {
            let download = FailingDownload {
                download: self.store.open(name, from).await?,
                left: self.after,
                error: self.error.clone(),
            };
            Ok(Box::new(download) as Box<dyn Download>)
        })
    }

    fn list<'a>(
        &'a self,
        after: Option<&'a FileName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        self.store.list(after, limit)
    }

    fn remove<'a>(
        &'a self,
        name: &'a FileName,
        precondition: Precondition,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.remove(name, precondition)
    }
}

impl Download for FailingDownload {
    fn info(&self) -> &FileInfo {
        self.download.info()
    }

    fn read(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        Box::pin(async move {
            match self.left.checked_sub(1) {
                Some(left) => {
                    self.left = left;
                    self.download.read().await
                }
                None => self.error.clone().map_or(Ok(None), Err),
            }
        })
    }
}

#[tokio::test]
async fn a_download_that_fails_in_the_middle_is_given_up() {
    let content = noise(1_000_000);
    for codec in CODECS {
        for (error, expected) in [
            (StoreError::Changed, "changed"),
            (
                StoreError::Io(std::io::ErrorKind::PermissionDenied),
                "internal",
            ),
            (StoreError::Busy, "busy"),
        ] {
            for after in [0, 1, 3] {
                let store = Failing {
                    store: MemoryStore::new(),
                    after,
                    error: Some(error.clone()),
                };
                let server = Parts::new(codec).store(store).start();
                let mut client = server.client_of("alice").await;
                put(&mut client, "f", &content).await.unwrap();
                let failed = get(&mut client, "f").await.unwrap_err();
                let ClientError::Body(BodyError::Aborted(status)) = &failed else {
                    panic!("{codec}: {failed:?}");
                };
                assert_eq!(status.code().as_str(), expected);
                assert!(!failed.is_connection_lost());
                within(client.whoami())
                    .await
                    .expect("the connection is in step");
                // Also while the part in front of an offset is read.
                let mut hasher = Digest::hasher();
                hasher.update(&content[..900_000]);
                let refused = within(client.resume(&name("f"), None, hasher))
                    .await
                    .unwrap_err();
                assert_eq!(refused.status().unwrap().code().as_str(), expected);
                within(client.whoami()).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_download_that_stops_short_is_no_whole_file() {
    // A store that breaks its promise: it ends before the end and says nothing.
    let store = Failing {
        store: MemoryStore::new(),
        after: 1,
        error: None,
    };
    let server = Parts::new("struct-header").store(store).start();
    let mut client = server.client_of("alice").await;
    put(&mut client, "f", &noise(600_000)).await.unwrap();
    let failed = get(&mut client, "f").await.unwrap_err();
    assert!(matches!(failed, ClientError::Nonsense(_)), "{failed:?}");
    let mut hasher = Digest::hasher();
    hasher.update(&noise(500_000));
    let refused = within(client.resume(&name("f"), None, hasher))
        .await
        .unwrap_err();
    assert_eq!(refused.status().unwrap().code().as_str(), "changed");
}

#[tokio::test]
async fn svc_d17_a_reader_gets_one_version_whatever_is_put_meanwhile() {
    let server = Parts::new("struct-header").start();
    let mut writer = server.client_of("alice").await;
    let old = noise(3_000_000);
    put(&mut writer, "f", &old).await.unwrap();
    let mut reader = server.client_of("reader").await;
    let mut download = within(reader.get(&name("f"))).await.unwrap();
    let mut got = within(download.read()).await.unwrap().unwrap().to_vec();
    put(&mut writer, "f", b"new").await.unwrap();
    while let Some(bytes) = within(download.read()).await.unwrap() {
        got.extend_from_slice(&bytes);
    }
    assert!(got == old);
    assert_eq!(get(&mut reader, "f").await.unwrap(), b"new");
}

#[tokio::test]
async fn svc_d16_one_of_many_writers_makes_a_new_file() {
    let server = Arc::new(Parts::new("struct-header").start());
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..16u8 {
        let server = server.clone();
        tasks.spawn(async move {
            let mut client = server.client_of("alice").await;
            let source = Cursor::new(vec![i; 100_000]);
            let result = within(client.put(&name("f"), Some(100_000), false, source)).await;
            (i, code(result))
        });
    }
    let results = within(tasks.join_all()).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(|(_, code)| code == "ok");
    assert_eq!(won.len(), 1);
    assert!(
        lost.iter().all(|(_, code)| code == "already-exists"),
        "{lost:?}"
    );
    let mut client = server.client_of("reader").await;
    assert_eq!(
        get(&mut client, "f").await.unwrap(),
        vec![won[0].0; 100_000]
    );
}

#[tokio::test]
async fn changes_are_noted() {
    let server: Server = Parts::new("struct-header").start();
    let mut peer = server.peer_of("alice").await;
    put_by_hand(&mut peer, json!({"name": "a"}), &[b"x"], &end(b"x")).await;
    put_by_hand(&mut peer, json!({"name": "a"}), &[b"x"], &end(b"x")).await;
    put_by_hand(&mut peer, json!({"name": "b"}), &[b"x"], &end(b"y")).await;
    put_by_hand(&mut peer, json!({"name": "../\u{1b}"}), &[b"x"], &end(b"x")).await;
    put_by_hand(&mut peer, json!({"name": 5}), &[b"x"], &end(b"x")).await;
    peer.ask(json!({"verb": "list"})).await;
    peer.ask(json!({"verb": "get", "args": {"name": "none"}}))
        .await;
    peer.ask(json!({"verb": "remove", "args": {"name": "a"}}))
        .await;
    peer.ask(json!({"verb": "remove", "args": {"name": "a"}}))
        .await;
    let mut reader = server.peer_of("reader").await;
    put_by_hand(&mut reader, json!({"name": "c"}), &[b"x"], &end(b"x")).await;
    reader
        .ask(json!({"verb": "remove", "args": {"name": "c"}}))
        .await;
    let noted = server.noted();
    let noted: Vec<_> = noted
        .iter()
        .map(|(a, s, o)| (*a, s.as_str(), o.as_str()))
        .collect();
    assert_eq!(
        noted,
        [
            ("login", "", "ok"),
            ("put", "a", "ok"),
            ("put", "a", "already-exists"),
            ("put", "b", "digest-mismatch"),
            ("put", r"../\u{1b}", "bad-request"),
            ("put", "", "bad-request"),
            ("remove", "a", "ok"),
            ("remove", "a", "not-found"),
            ("login", "", "ok"),
            ("put", "c", "not-allowed"),
            ("remove", "c", "not-allowed"),
        ]
    );
}
