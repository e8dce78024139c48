//! The exercise: log in, see the files by number, upload and download.

use serde_json::{Value, json};
use services::{
    course::{CourseError, Dialect, Keys},
    files::{MemoryStore, Precondition, Store},
    login::Right,
};
use tokio::io::AsyncWriteExt;

use crate::{
    common::noise,
    support::*,
    transfer::{ours, stored},
};

fn files() -> Dialect {
    Dialect::Files(Keys::default())
}

fn server(parts: &Parts) -> Running {
    Running::new(parts.everybody(&[Right::Read, Right::Write]), files())
}

async fn put(script: &mut Peered, name: &str, body: &[u8]) -> Value {
    let mut request = header(name, body);
    request["op"] = json!("put");
    script.send(counted(request.to_string())).await;
    script.send(body).await;
    script.object().await
}

/// A file by its index or its name.
async fn get(script: &mut Peered, request: Value) -> (String, Vec<u8>) {
    let answer = script.ask(request).await;
    assert_eq!(answer["status"], "ok", "{answer}");
    let body = script
        .take(answer["filesize"].as_u64().unwrap() as usize)
        .await;
    let name = answer["filename"].as_str().unwrap();
    let mut told = header(name, &body);
    told["status"] = json!("ok");
    assert_eq!(answer, told);
    (name.to_owned(), body)
}

fn reason(answer: &Value) -> &str {
    assert_eq!(answer["status"], "error", "{answer}");
    assert_eq!(answer.as_object().unwrap().len(), 2, "{answer}");
    answer["reason"].as_str().unwrap()
}

async fn remove(store: &MemoryStore, name: &str) {
    let name = name.parse().unwrap();
    store.remove(&name, Precondition::Any).await.unwrap();
}

#[tokio::test]
async fn the_bytes_of_the_exercise_are_these() {
    let parts = Parts::new();
    let server = Running::new(parts.login(), files());
    let mut script = server.connect();
    script
        .send(b"\x30\0\0\0{\"op\":\"login\",\"username\":\"alex\",\"password\":\"no\"}")
        .await;
    assert_eq!(
        script.object().await,
        json!({"status": "error", "reason": WRONG})
    );
    script
        .send(b"\x31\0\0\0{\"op\":\"login\",\"username\":\"alex\",\"password\":\"dsb\"}")
        .await;
    script.sees(b"\x0f\0\0\0{\"status\":\"ok\"}").await;
    script.send(b"\x0d\0\0\0{\"op\":\"list\"}").await;
    assert_eq!(script.object().await, json!({"status": "ok", "files": []}));
    let mut stored = header("b.txt", b"abc");
    stored["status"] = json!("ok");
    assert_eq!(put(&mut script, "b.txt", b"abc").await, stored);
    assert_eq!(put(&mut script, "课.txt", b"").await["status"], "ok");
    assert_eq!(put(&mut script, "a.txt", b"12").await["status"], "ok");
    assert_eq!(
        script.ask(json!({"op": "list"})).await,
        json!({"status": "ok", "files": [
            {"index": 1, "filename": "a.txt", "filesize": 2},
            {"index": 2, "filename": "b.txt", "filesize": 3},
            {"index": 3, "filename": "课.txt", "filesize": 0},
        ]})
    );
    let (name, body) = get(&mut script, json!({"op": "get", "index": 2})).await;
    assert_eq!((name.as_str(), &body[..]), ("b.txt", &b"abc"[..]));
    let (name, body) = get(&mut script, json!({"op": "get", "filename": "课.txt"})).await;
    assert_eq!((name.as_str(), &body[..]), ("课.txt", &b""[..]));
    script.ended().await.unwrap();
}

#[tokio::test]
async fn svc_d26_a_number_is_one_of_the_list_last_shown_or_nothing() {
    let parts = Parts::new();
    let server = server(&parts);
    let (mut script, mut other) = (server.connect(), server.connect());
    for name in ["a", "b", "c"] {
        assert_eq!(
            put(&mut script, name, name.as_bytes()).await["status"],
            "ok"
        );
    }
    // Without a list one is taken.
    assert_eq!(
        get(&mut script, json!({"op": "get", "index": 3})).await.0,
        "c"
    );
    // Files that come later do not move the numbers of the list that was shown.
    put(&mut other, "0", b"0").await;
    assert_eq!(
        get(&mut script, json!({"op": "get", "index": 1})).await.0,
        "a"
    );
    // Another connection has another list.
    assert_eq!(
        get(&mut other, json!({"op": "get", "index": 1})).await.0,
        "0"
    );
    // Replaced since.
    remove(&parts.store, "b").await;
    put(&mut other, "b", b"other").await;
    let answer = script.ask(json!({"op": "get", "index": 2})).await;
    assert!(reason(&answer).contains("changed"), "{answer}");
    // Removed since.
    remove(&parts.store, "c").await;
    let answer = script.ask(json!({"op": "get", "index": 3})).await;
    assert!(reason(&answer).contains("not-found"), "{answer}");
    for index in [0u64, 4, 99, u64::MAX] {
        let answer = script.ask(json!({"op": "get", "index": index})).await;
        assert!(reason(&answer).contains("not-found"), "{answer}");
    }
    // A new list, and all is well.
    let answer = script.ask(json!({"op": "list"})).await;
    assert_eq!(answer["files"].as_array().unwrap().len(), 3);
    let (name, body) = get(&mut script, json!({"op": "get", "index": 3})).await;
    assert_eq!((name.as_str(), &body[..]), ("b", &b"other"[..]));
    script.ended().await.unwrap();

    for index in [
        json!(-1),
        json!(1.5),
        json!("1"),
        json!(true),
        json!([1]),
        json!({}),
    ] {
        let mut script = server.connect();
        let answer = script.ask(json!({"op": "get", "index": index})).await;
        assert!(reason(&answer).contains("`index`"), "{answer}");
        script.sees_the_end().await;
    }
}

#[tokio::test]
async fn what_is_refused_is_in_step() {
    let parts = Parts::new();
    let server = server(&parts);
    let mut script = server.connect();
    let body = noise(100_000);
    assert_eq!(put(&mut script, "there", &body).await["status"], "ok");
    for (name, why) in [
        ("there", "already"),
        ("../x", "name"),
        ("/x", "name"),
        ("a/b", "name"),
    ] {
        let answer = put(&mut script, name, &body).await;
        assert!(reason(&answer).contains(why), "{answer}");
    }
    let mut request = header("new", &body);
    (request["op"], request["md5"]) = (json!("put"), json!(md5("other")));
    script.send(counted(request.to_string())).await;
    script.send(&body).await;
    assert!(reason(&script.object().await).contains("digest-mismatch"));
    for name in ["../x", "missing", "", ".", "/etc/passwd"] {
        let answer = script.ask(json!({"op": "get", "filename": name})).await;
        reason(&answer);
    }
    let (_, came) = get(&mut script, json!({"op": "get", "index": 1})).await;
    assert!(came == body);
    assert_eq!(stored(&parts.store, "new").await, None);
    script.ended().await.unwrap();

    // Cut off.
    let mut script = server.connect();
    let mut request = header("cut", &body);
    request["op"] = json!("put");
    script.send(counted(request.to_string())).await;
    script.send(&body[1..]).await;
    script.io.shutdown().await.unwrap();
    script.sees_the_end().await;
    assert!(script.ended().await.is_err());
    assert_eq!(stored(&parts.store, "cut").await, None);

    // Without the rights.
    let nobody = Running::new(parts.everybody(&[]), files());
    let mut script = nobody.connect();
    for request in [
        json!({"op": "list"}),
        json!({"op": "get", "index": 1}),
        json!({"op": "get", "filename": "there"}),
    ] {
        let answer = script.ask(request).await;
        assert!(reason(&answer).contains("not-allowed"), "{answer}");
    }
    let answer = put(&mut script, "mine", &body).await;
    assert!(reason(&answer).contains("not-allowed"), "{answer}");
}

#[tokio::test]
async fn what_makes_no_sense_is_answered_and_ends_the_connection() {
    let parts = Parts::new();
    let server = server(&parts);
    for text in [
        "{}",
        "[]",
        "nonsense",
        r#"{"op":"remove","filename":"a"}"#,
        r#"{"op":7}"#,
        r#"{"op":"get"}"#,
        r#"{"op":"get","index":1,"filename":"a"}"#,
        r#"{"op":"get","filename":1}"#,
        r#"{"op":"put","filename":"a"}"#,
        r#"{"op":"put","filename":"a","filesize":-1}"#,
        r#"{"op":"login","username":"a"}"#,
    ] {
        let mut script = server.connect();
        script.send(counted(text)).await;
        let answer = script.object().await;
        reason(&answer);
        script.sees_the_end().await;
        assert!(
            matches!(script.error().await, CourseError::Nonsense(_)),
            "{text}"
        );
    }
}

#[tokio::test]
async fn svc_b1_nothing_works_before_a_login() {
    let parts = Parts::new();
    put(&mut server(&parts).connect(), "there", b"abc").await;
    let server = Running::new(parts.login(), files());
    for request in [
        json!({"op": "list"}),
        json!({"op": "get", "index": 1}),
        json!({"op": "get", "filename": "there"}),
    ] {
        let mut script = server.connect();
        let answer = script.ask(request).await;
        assert!(reason(&answer).contains("not-authenticated"), "{answer}");
        script.sees_the_end().await;
    }
    let mut script = server.connect();
    let answer = put(&mut script, "mine", b"abc").await;
    assert!(reason(&answer).contains("not-authenticated"), "{answer}");
    script.sees_the_end().await;
    assert_eq!(stored(&parts.store, "mine").await, None);

    // One connection's login is nobody else's; nobody logs in twice on one.
    let login = |name: &str| json!({"op": "login", "username": name, "password": "dsb"});
    let (mut one, mut two) = (server.connect(), server.connect());
    assert_eq!(one.ask(login("alex")).await["status"], "ok");
    assert_eq!(two.ask(login("poor")).await["status"], "ok");
    assert!(reason(&two.ask(json!({"op": "list"})).await).contains("not-allowed"));
    reason(&two.ask(login("alex")).await);
    assert!(reason(&two.ask(json!({"op": "list"})).await).contains("not-allowed"));
    assert_eq!(one.ask(json!({"op": "list"})).await["status"], "ok");

    // So many tries, and then the end.
    let mut script = server.connect();
    for _ in 0..3 {
        let answer = script
            .ask(json!({"op": "login", "username": "alex", "password": ""}))
            .await;
        assert_eq!(reason(&answer), WRONG);
    }
    script.sees_the_end().await;
}

#[tokio::test]
async fn a_long_list_comes_whole_and_in_order() {
    let parts = Parts::new();
    let server = server(&parts);
    let mut script = server.connect();
    for number in 0..2500 {
        assert_eq!(
            put(&mut script, &format!("f{number:05}"), b"").await["status"],
            "ok"
        );
    }
    let answer = script.ask(json!({"op": "list"})).await;
    let files = answer["files"].as_array().unwrap();
    assert_eq!(files.len(), 2500);
    for (file, index) in files.iter().zip(1..) {
        assert_eq!(file["index"], index);
        assert_eq!(file["filename"], format!("f{:05}", index - 1));
    }
    assert_eq!(
        get(&mut script, json!({"op": "get", "index": 2500}))
            .await
            .0,
        "f02499"
    );

    let mut client = ours(&server, Dialect::Files(Keys::default()));
    let files = within(client.list_all()).await.unwrap();
    assert_eq!(files.len(), 2500);
    let name = "f01234".parse().unwrap();
    let mut download = within(client.get(&name)).await.unwrap();
    assert!(within(download.read()).await.unwrap().is_none());
    let put = within(client.put(&name, None, false, &b"x"[..]))
        .await
        .unwrap_err();
    assert_eq!(put.status().unwrap().code().to_string(), "already-exists");
    assert!(client.is_open());
}
