//! `name|password` in one read, a sentence back.

use services::course::Encoding;

use crate::support::*;

fn server(max_tries: u32) -> (Parts, Running) {
    let mut parts = Parts::new();
    parts.max_tries = max_tries;
    let running = Running::of(parts.login(), |server| server.login(true));
    (parts, running)
}

#[tokio::test]
async fn the_bytes_of_a_login_are_these() {
    let (_, server) = server(3);
    let mut script = server.connect();
    script.send(b"alex|dsb").await;
    script
        .sees(b"\xe7\x99\xbb\xe5\xbd\x95\xe6\x88\x90\xe5\x8a\x9f")
        .await;
    script.sees_the_end().await;
    script.ended().await.unwrap();

    let mut script = server.connect();
    script.send(b"alex|nope").await;
    script
        .sees(b"\xe7\x94\xa8\xe6\x88\xb7\xe5\x90\x8d\xe6\x88\x96\xe8\x80\x85\xe5\xaf\x86\xe7\xa0\x81\xe9\x94\x99\xe8\xaf\xaf")
        .await;
    script.sees_nothing().await;
    script.send(b"alex|dsb").await;
    script.sees(WELCOME).await;
    script.sees_the_end().await;
}

#[tokio::test]
async fn svc_b27_good_bye_always_and_only_ends_the_connection() {
    let (parts, server) = server(3);
    for before in ["", "alex|nope"] {
        let mut script = server.connect();
        if !before.is_empty() {
            script.send(before).await;
            script.sees(WRONG).await;
        }
        script.send(b"good|bye").await;
        script.sees_the_end().await;
        script.ended().await.unwrap();
    }
    assert!(parts.audit.events().iter().all(|event| event.who != "good"));
    // The next one is served.
    let mut script = server.connect();
    script.send(b"alex|dsb").await;
    script.sees(WELCOME).await;
}

#[tokio::test]
async fn what_is_nobodys_name_is_refused_like_any_other() {
    let long = format!("alex|{}", "d".repeat(1020));
    let (exact, over) = (&long[..1024], &long[..1025]);
    for message in [
        &b"|"[..],
        b"\n",
        b"alex",
        b"alex|",
        b"|dsb",
        b"alex|dsb\n",
        b"alex|dsb|",
        b"alex\xff|dsb",
        b"\xff\xfe",
        b"\0",
        exact.as_bytes(),
        over.as_bytes(),
        &[b'a'; 8192],
    ] {
        let (_, server) = server(10);
        let mut script = server.connect();
        script.send(message).await;
        script.sees(WRONG).await;
        script.sees_nothing().await;
        script.send(b"alex|dsb").await;
        script.sees(WELCOME).await;
    }
}

#[tokio::test]
async fn svc_b13_a_connection_has_so_many_tries_and_then_ends() {
    let (parts, server) = server(3);
    let mut script = server.connect();
    for _ in 0..3 {
        script.send(b"alex|nope").await;
        script.sees(WRONG).await;
    }
    script.sees_the_end().await;
    script.ended().await.unwrap();
    assert_eq!(parts.audit.events().len(), 3);

    // One who leaves after a try costs nobody anything.
    let mut script = server.connect();
    script.send(b"alex|nope").await;
    drop(script);
    let mut script = server.connect();
    script.send(b"alex|dsb").await;
    script.sees(WELCOME).await;
}

#[tokio::test]
async fn the_end_of_a_stream_is_no_login() {
    let (parts, server) = server(3);
    let script = server.connect();
    script.ended().await.unwrap();
    assert!(parts.audit.events().is_empty());
}

#[tokio::test]
async fn a_name_in_gbk_is_decoded_before_it_is_split() {
    let parts = Parts::new();
    let server = Running::of(parts.login(), |server| {
        server.login(true).encoding(Encoding::Gbk)
    });
    let mut script = server.connect();
    // The name is one character, whose second byte is 0x7C; the sentence is UTF-8 in any case.
    script.send(b"\x81\x7c|dsb").await;
    script.sees(WELCOME).await;
    assert_eq!(parts.audit.events()[0].who, "亅");
    let mut script = server.connect();
    script.send("alex|dsb").await;
    script.sees(WELCOME).await;
}

#[tokio::test]
async fn each_connection_has_a_login_of_its_own() {
    let (_, server) = server(3);
    let (mut one, mut two) = (server.connect(), server.connect());
    for _ in 0..2 {
        one.send(b"alex|nope").await;
        one.sees(WRONG).await;
    }
    for _ in 0..2 {
        two.send(b"alex|nope").await;
        two.sees(WRONG).await;
    }
    one.send(b"alex|dsb").await;
    one.sees(WELCOME).await;
    one.sees_the_end().await;
    two.sees_nothing().await;
}
