//! Files behind JSON headers, one way or the other, and behind a size and an ack.

use framing::ErrorKind;
use serde_json::json;
use services::{
    client::Client,
    course::{CourseError, Dialect, Keys, TransferForm, TransferOptions},
    files::{MemoryStore, ReadFrom, Store},
    login::Right,
};
use tokio::io::AsyncWriteExt;

use crate::{common::noise, support::*};

fn options(form: TransferForm) -> TransferOptions {
    TransferOptions {
        form,
        ..TransferOptions::default()
    }
}

fn server(parts: &Parts, form: TransferForm) -> Running {
    let stack = parts.everybody(&[Right::Read, Right::Write]);
    Running::new(stack, Dialect::Transfer(options(form)))
}

const REPLY: TransferForm = TransferForm::Upload { reply: true };
const SILENT: TransferForm = TransferForm::Upload { reply: false };

/// A stored file; none if there is none.
pub(crate) async fn stored(store: &MemoryStore, name: &str) -> Option<Vec<u8>> {
    let mut download = store
        .open(&name.parse().unwrap(), ReadFrom::start())
        .await
        .ok()?;
    let mut bytes = Vec::new();
    while let Some(piece) = download.read().await.unwrap() {
        bytes.extend(piece);
    }
    Some(bytes)
}

async fn names(store: &MemoryStore) -> Vec<String> {
    let listing = store.list(None, 100).await.unwrap();
    listing
        .files
        .iter()
        .map(|file| file.name.to_string())
        .collect()
}

#[tokio::test]
async fn the_bytes_of_an_upload_are_these() {
    let parts = Parts::new();
    let text = r#"{"filename":"a.txt","filesize":3,"md5":"900150983cd24fb0d6963f7d28e17f72"}"#;
    assert_eq!(text.len(), 0x4a);
    let mut script = server(&parts, SILENT).connect();
    script
        .send([b"\x4a\0\0\0", text.as_bytes(), b"abc"].concat())
        .await;
    // Nothing comes back, and a second one may follow.
    script.sees_nothing().await;
    script
        .send(counted(r#"{"filename":"b","filesize":0}"#))
        .await;
    script
        .send(counted(r#"{"filename":"c","filesize":2,"more":1}"#))
        .await;
    script.send(b"hi").await;
    script.io.shutdown().await.unwrap();
    script.sees_the_end().await;
    script.ended().await.unwrap();
    assert_eq!(stored(&parts.store, "a.txt").await.unwrap(), b"abc");
    assert_eq!(stored(&parts.store, "b").await.unwrap(), b"");
    assert_eq!(stored(&parts.store, "c").await.unwrap(), b"hi");
}

#[tokio::test]
async fn uploads_are_answered_where_that_is_wanted() {
    let parts = Parts::new();
    let mut script = server(&parts, REPLY).connect();
    for size in [0, 1, 1024, 1025, 65_536, 10 << 20] {
        let body = noise(size);
        let name = format!("f{size}");
        script.send(counted(header(&name, &body).to_string())).await;
        script.send(&body).await;
        let mut answer = header(&name, &body);
        answer["status"] = json!("ok");
        assert_eq!(script.object().await, answer);
        assert!(stored(&parts.store, &name).await.unwrap() == body);
    }
}

#[tokio::test]
async fn what_is_refused_is_read_all_the_same_and_the_next_one_is_in_step() {
    let mut parts = Parts::new();
    parts.store = MemoryStore::with_limits(Some(100_000), None);
    let mut script = server(&parts, REPLY).connect();
    let body = noise(50_000);
    script
        .send(counted(header("there", &body).to_string()))
        .await;
    script.send(&body).await;
    assert_eq!(script.object().await["status"], "ok");
    let wrong_digest = json!({ "filename": "new", "filesize": body.len(), "md5": md5("other") });
    for (header, size, reason) in [
        (wrong_digest, body.len(), "MD5 digest"),
        (header("there", &body), body.len(), "already"),
        (header("../x", &body), body.len(), "name"),
        (header("/etc/passwd", &body), body.len(), "name"),
        (header("a/b", b"x"), 1, "name"),
        (header("", b""), 0, "name"),
        (
            json!({ "filename": "huge", "filesize": 200_000 }),
            200_000,
            "large",
        ),
    ] {
        script.send(counted(header.to_string())).await;
        script.send(noise(size)).await;
        let answer = script.object().await;
        assert_eq!(answer["status"], "error", "{header}: {answer}");
        assert!(
            answer["reason"].as_str().unwrap().contains(reason),
            "{answer}"
        );
        assert_eq!(answer.as_object().unwrap().len(), 2, "{answer}");
    }
    script
        .send(counted(header("last", b"hi").to_string()))
        .await;
    script.send(b"hi").await;
    assert_eq!(script.object().await["status"], "ok");
    assert_eq!(names(&parts.store).await, ["last", "there"]);

    // Without the right, the same.
    let stack = parts.everybody(&[Right::Read]);
    let mut script = Running::new(stack, Dialect::Transfer(options(REPLY))).connect();
    for _ in 0..2 {
        script
            .send(counted(header("mine", &body).to_string()))
            .await;
        script.send(&body).await;
        let answer = script.object().await;
        assert!(
            answer["reason"].as_str().unwrap().contains("not-allowed"),
            "{answer}"
        );
    }
    assert_eq!(stored(&parts.store, "mine").await, None);
}

#[tokio::test]
async fn a_header_that_makes_no_sense_ends_the_connection() {
    for text in [
        "",
        "{",
        "[]",
        "nonsense",
        "{}",
        r#"{"filename":"a"}"#,
        r#"{"filename":"a","filesize":-1}"#,
        r#"{"filename":"a","filesize":1.5}"#,
        r#"{"filename":"a","filesize":"1"}"#,
        r#"{"filename":"a","filesize":18446744073709551616}"#,
        r#"{"filename":7,"filesize":1}"#,
        r#"{"filename":"a","filesize":1,"md5":"xyz"}"#,
        r#"{"filename":"a","filesize":1,"md5":1}"#,
        r#"{"file_name":"a","filesize":1}"#,
    ] {
        let parts = Parts::new();
        for reply in [true, false] {
            let mut script = server(&parts, TransferForm::Upload { reply }).connect();
            script.send(counted(text)).await;
            script.send(b"body").await;
            if reply {
                let answer = script.object().await;
                assert_eq!(answer["status"], "error", "{text}");
            }
            script.sees_the_end().await;
            assert!(
                matches!(script.error().await, CourseError::Nonsense(_)),
                "{text}"
            );
        }
        assert!(names(&parts.store).await.is_empty());
    }
    let parts = Parts::new();
    for length in [-1, i32::MIN, i32::MAX, (64 << 10) + 1] {
        let mut script = server(&parts, REPLY).connect();
        script.send(length.to_ne_bytes()).await;
        script.sees_the_end().await;
        let CourseError::Connection(framing::Error::Frame(error)) = script.error().await else {
            panic!("{length}");
        };
        let kind = if length < 0 {
            ErrorKind::Malformed
        } else {
            ErrorKind::TooLong
        };
        assert_eq!(error.kind(), kind, "{length}");
    }
    // Not UTF-8.
    let mut script = server(&parts, REPLY).connect();
    script
        .send(counted(b"{\"filename\":\"\xc4\xe3\",\"filesize\":0}"))
        .await;
    assert_eq!(script.object().await["status"], "error");
    script.sees_the_end().await;
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_not_stored() {
    let parts = Parts::new();
    let body = noise(200_000);
    for have in [0, 1, 1024, 199_999] {
        for form in [REPLY, SILENT] {
            let mut script = server(&parts, form).connect();
            script.send(counted(header("cut", &body).to_string())).await;
            script.send(&body[..have]).await;
            script.io.shutdown().await.unwrap();
            script.sees_the_end().await;
            let CourseError::Connection(framing::Error::Frame(error)) = script.error().await else {
                panic!("{have}");
            };
            assert_eq!(error.kind(), ErrorKind::Truncated, "{have}");
        }
    }
    // An absurd size that never comes.
    let mut script = server(&parts, REPLY).connect();
    script
        .send(counted(
            json!({ "filename": "cut", "filesize": u64::MAX }).to_string(),
        ))
        .await;
    script.send(&body).await;
    assert!(script.ended().await.is_err());
    assert!(names(&parts.store).await.is_empty());
}

#[tokio::test]
async fn keys_can_be_called_otherwise() {
    let parts = Parts::new();
    let keys = Keys {
        filename: "file_name".to_owned(),
        filesize: "file_size".to_owned(),
        md5: "MD5".to_owned(),
    };
    let options = TransferOptions {
        keys,
        ..options(REPLY)
    };
    let stack = parts.everybody(&[Right::Read, Right::Write]);
    let mut script = Running::new(stack, Dialect::Transfer(options)).connect();
    let header = json!({ "file_name": "课.txt", "file_size": 2, "MD5": md5("hi").to_uppercase() });
    script.send(counted(header.to_string())).await;
    script.send(b"hi").await;
    let answer = json!({ "status": "ok", "file_name": "课.txt", "file_size": 2, "MD5": md5("hi") });
    assert_eq!(script.object().await, answer);
}

async fn put(store: &MemoryStore, name: &str, body: Vec<u8>) {
    let mut parts = Parts::new();
    parts.store = store.clone();
    let running = Running::new(
        parts.everybody(&[Right::Write]),
        Dialect::Transfer(options(REPLY)),
    );
    let mut script = running.connect();
    script.send(counted(header(name, &body).to_string())).await;
    script.send(body).await;
    assert_eq!(script.object().await["status"], "ok");
}

#[tokio::test]
async fn the_bytes_of_a_download_are_these() {
    let parts = Parts::new();
    for size in [0, 3, 65_536] {
        let name = format!("f{size}");
        let body = noise(size);
        put(&parts.store, &name, body.clone()).await;
        let mut script = server(&parts, TransferForm::Download { file: name.clone() }).connect();
        assert_eq!(script.object().await, header(&name, &body));
        script.sees(&body).await;
        script.sees_the_end().await;
        script.ended().await.unwrap();
    }
    let file = "missing".to_owned();
    let mut script = server(&parts, TransferForm::Download { file }).connect();
    script.sees_the_end().await;
    assert!(matches!(script.error().await, CourseError::Refused(_)));
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_the_ack_form_are_these() {
    let parts = Parts::new();
    let body = noise(100_000);
    put(&parts.store, "课 1.txt", body.clone()).await;
    put(&parts.store, "abc", b"abc".to_vec()).await;
    let mut script = server(&parts, TransferForm::Ack).connect();
    for ack in [&b"ok"[..], b"\xff", b"whatever it is"] {
        script.send("get 课 1.txt").await;
        script.sees(b"100000").await;
        script.sees_nothing().await;
        script.send(ack).await;
        script.sees(&body).await;
        script.sees(md5(&body)).await;
        script.sees_nothing().await;
    }
    script.send("get abc").await;
    script.sees(b"3").await;
    script.send("y").await;
    script.sees(b"abc900150983cd24fb0d6963f7d28e17f72").await;
    script.ended().await.unwrap();

    for wrong in [
        "get missing",
        "get ../x",
        "put abc",
        "get",
        "abc",
        &format!("get {}", "a".repeat(1021)),
    ] {
        let mut script = server(&parts, TransferForm::Ack).connect();
        script.send(wrong).await;
        script.sees_the_end().await;
        assert!(script.ended().await.is_err(), "{wrong}");
    }
    // One who leaves in place of an ack.
    let mut script = server(&parts, TransferForm::Ack).connect();
    script.send("get abc").await;
    script.sees(b"3").await;
    script.io.shutdown().await.unwrap();
    script.sees_the_end().await;
}

/// A client of ours for the server.
pub(crate) fn ours(server: &Running, dialect: Dialect) -> Client {
    let io = server.connect().io;
    services::course::CourseCaller::new(io, Some(dialect))
        .unwrap()
        .into()
}

#[tokio::test]
async fn our_client_and_our_server_agree() {
    let parts = Parts::new();
    let body = noise(300_000);
    for form in [REPLY, SILENT] {
        let confirmed = form == REPLY;
        let running = server(&parts, form.clone());
        let mut client = ours(&running, Dialect::Transfer(options(form)));
        let name = format!("f{confirmed}").parse().unwrap();
        let content = std::io::Cursor::new(body.clone());
        let put = within(client.put(&name, Some(300_000), false, content))
            .await
            .unwrap();
        assert_eq!((put.size, put.confirmed), (300_000, confirmed));
        assert_eq!(client.is_open(), confirmed);
        assert!(stored(&parts.store, name.as_str()).await.unwrap() == body);
    }
    let running = server(&parts, TransferForm::Ack);
    let mut client = ours(&running, Dialect::Transfer(options(TransferForm::Ack)));
    for _ in 0..2 {
        let name = "ftrue".parse().unwrap();
        let mut download = within(client.get(&name)).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = within(download.read()).await.unwrap() {
            bytes.extend(piece);
        }
        assert!(bytes == body);
    }
    let form = TransferForm::Download {
        file: "ftrue".to_owned(),
    };
    let running = server(&parts, form.clone());
    let mut client = ours(&running, Dialect::Transfer(options(form)));
    let mut download = within(client.receive()).await.unwrap();
    assert_eq!(download.file().name.as_str(), "ftrue");
    let mut bytes = 0;
    while let Some(piece) = within(download.read()).await.unwrap() {
        bytes += piece.len();
    }
    assert_eq!(bytes, 300_000);
}
