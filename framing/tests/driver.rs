//! What a connection does about time, about memory shared with others, and when its framing changes.

use std::{
    ops::ControlFlow,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Context,
    time::Duration,
};

use bytes::Bytes;
use framing::{
    AckHandshake, AckHandshakeOptions, BoxFraming, Budget, Connection, ConnectionOptions,
    Delimiter, DelimiterOptions, Error, ErrorKind, Framing, Limits, Lines, Machine, OnError, Raw,
    Received, Registry, StructHeader, Unread, Visited,
    serve::{Memory, PipelineOptions, serve},
};
use futures_util::{FutureExt, Sink, SinkExt, StreamExt, task::noop_waker};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split},
    time::{Instant, advance, sleep, timeout},
};
use tower::{make::Shared, service_fn};

fn boxed(framing: &str) -> BoxFraming {
    Registry::default().parse(framing).unwrap().make()
}

/// A connection, and the other end of its byte stream.
fn connection<F: Framing>(
    framing: F,
    options: ConnectionOptions,
) -> (Connection<DuplexStream, F>, DuplexStream) {
    let (ours, theirs) = duplex(1 << 20);
    (Connection::new(ours, framing).with_options(options), theirs)
}

#[track_caller]
fn assert_timeout(error: &Error, says: &str) {
    let Error::Frame(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains(says), "{error}");
}

// Time.

#[tokio::test(start_paused = true)]
async fn s12_a_byte_now_and_then_does_not_outlast_the_frame_timeout() {
    let options = ConnectionOptions::new()
        .idle_timeout(Duration::from_secs(10))
        .frame_timeout(Duration::from_secs(30));
    let (mut connection, mut peer) = connection(StructHeader::default(), options);
    let start = Instant::now();
    let drip = tokio::spawn(async move {
        peer.write_all(&100u32.to_be_bytes()).await.unwrap();
        loop {
            sleep(Duration::from_secs(9)).await;
            if peer.write_all(b"x").await.is_err() {
                break;
            }
        }
    });
    let error = connection.next().await.unwrap().unwrap_err();
    assert_timeout(&error, "30s");
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    // Final: the same to the sink, and no frame ever after.
    assert!(connection.next().await.is_none());
    assert_timeout(&connection.send("x".into()).await.unwrap_err(), "30s");
    drop(connection);
    drip.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn s12_the_frame_timeout_counts_from_the_first_byte_of_each_frame() {
    let options = ConnectionOptions::new().frame_timeout(Duration::from_secs(30));
    let (mut connection, mut peer) = connection(Delimiter::default(), options);
    for _ in 0..5 {
        // Quiet for longer than the limit: no frame has begun.
        assert!(
            timeout(Duration::from_secs(60), connection.next())
                .await
                .is_err()
        );
        peer.write_all(b"he").await.unwrap();
        assert!(
            timeout(Duration::from_secs(29), connection.next())
                .await
                .is_err()
        );
        // Behind the frame stands the beginning of the next, which starts the clock again.
        peer.write_all(b"llo\nan").await.unwrap();
        assert_eq!(connection.next().await.unwrap().unwrap(), "hello");
        assert!(
            timeout(Duration::from_secs(29), connection.next())
                .await
                .is_err()
        );
        peer.write_all(b"d\n").await.unwrap();
        assert_eq!(connection.next().await.unwrap().unwrap(), "and");
    }
}

#[tokio::test(start_paused = true)]
async fn d17_the_frame_timeout_ends_a_bad_frame_without_end() {
    let framing = DelimiterOptions::default()
        .build(Limits::new().max_frame(4).on_error(OnError::Skip))
        .unwrap();
    let options = ConnectionOptions::new().frame_timeout(Duration::from_secs(30));
    let (mut connection, mut peer) = connection(framing, options);
    let endless = tokio::spawn(async move {
        while peer.write_all(&[b'x'; 1000]).await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    });
    let skipped = connection.next().await.unwrap().unwrap_err();
    assert!(skipped.is_recoverable(), "{skipped}");
    let error = connection.next().await.unwrap().unwrap_err();
    assert_timeout(&error, "30s");
    drop(connection);
    endless.await.unwrap();
}

/// The first half of a frame that is too long is gone, and its rest still owed.
#[test]
fn d17_every_framing_that_skips_knows_that_it_does() {
    let too_long: [(&str, &[u8]); _] = [
        (r#"type = "struct-header""#, b"\0\0\0\x09xxxx"),
        (r#"type = "length-field", width = 2"#, b"\0\x09xxxx"),
        (r#"type = "delimiter""#, b"xxxxxx"),
        (r#"type = "lines""#, b"xxxxxx"),
        (r#"type = "netstring""#, b"9:xxxx"),
        (r#"type = "varint""#, b"\x09xxxx"),
        (r#"type = "cobs""#, b"\x0axxxxxxxx"),
        (r#"type = "slip""#, b"xxxxxxxx"),
        (r#"type = "json-header""#, b"\0\0\0\x0a{\"size\":9}xxxx"),
        (
            r#"type = "pair", receive = { type = "varint", max_frame = 4, on_error = "skip" }, send = "raw""#,
            b"\x09xxxx",
        ),
    ];
    for (options, half) in too_long {
        let common = if options.contains("pair") {
            ""
        } else {
            r#", max_frame = 4, on_error = "skip""#
        };
        let mut machine = Machine::new(boxed(&format!("{{ {options}{common} }}")));
        assert!(!machine.is_mid_frame(), "{options}");
        machine.receive(half);
        let error = machine.next_frame().expect_err(options);
        assert!(error.is_recoverable(), "{options}: {error}");
        while !matches!(machine.next_frame(), Ok(Received::Need(_))) {}
        assert!(machine.is_mid_frame(), "{options}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_announcement_without_its_body_runs_into_the_frame_timeout() {
    let options = ConnectionOptions::new().frame_timeout(Duration::from_secs(5));
    let (mut connection, mut peer) = connection(AckHandshake::default(), options);
    peer.write_all(b"3\n").await.unwrap();
    let error = connection.next().await.unwrap().unwrap_err();
    assert_timeout(&error, "5s");
}

#[tokio::test(start_paused = true)]
async fn an_ack_begins_no_frame() {
    let options = ConnectionOptions::new().frame_timeout(Duration::from_secs(5));
    let (mut connection, mut peer) = connection(AckHandshake::default(), options);
    let sent = tokio::spawn(async move {
        connection.send("abc".into()).await.unwrap();
        let quiet = timeout(Duration::from_secs(60), connection.next()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    });
    let mut wire = [0; 2];
    peer.read_exact(&mut wire).await.unwrap();
    peer.write_all(b"ok").await.unwrap();
    sent.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_comes_too_slowly_is_an_error_once_the_grace_is_over() {
    let options = ConnectionOptions::new().least_rate(100, Duration::from_secs(5));
    let (mut slow, mut peer) = connection(StructHeader::default(), options.clone());
    let drip = async {
        peer.write_all(&10_000u32.to_be_bytes()).await.unwrap();
        loop {
            sleep(Duration::from_secs(1)).await;
            if peer.write_all(&[0; 50]).await.is_err() {
                break;
            }
        }
    };
    let start = Instant::now();
    let mut received = Box::pin(slow.next());
    let error = tokio::select! {
        item = &mut received => item.unwrap().unwrap_err(),
        () = drip => unreachable!("the peer writes for ever"),
    };
    assert_timeout(&error, "100 bytes a second");
    // Half the rate: the debt is paid from the grace, and that is used up after twice its time.
    let waited = start.elapsed();
    assert!(
        waited > Duration::from_secs(5) && waited < Duration::from_secs(12),
        "{waited:?}"
    );

    let (mut fast, mut peer) = connection(StructHeader::default(), options);
    let steady = async {
        peer.write_all(&10_000u32.to_be_bytes()).await.unwrap();
        for _ in 0..100 {
            sleep(Duration::from_secs(1)).await;
            peer.write_all(&[0; 100]).await.unwrap();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        item = fast.next() => assert_eq!(item.unwrap().unwrap().len(), 10_000),
        () = steady => unreachable!(),
    }
}

#[tokio::test(start_paused = true)]
async fn s12_the_time_in_which_we_do_not_read_is_not_the_peers() {
    let (ours, mut peer) = duplex(1000);
    let options = ConnectionOptions::new()
        .frame_timeout(Duration::from_secs(30))
        .least_rate(100, Duration::from_secs(5));
    let mut connection = Connection::new(ours, StructHeader::default()).with_options(options);
    // A frame, and one that does not fit into the pipe behind it.
    let writing = tokio::spawn(async move {
        peer.write_all(b"\0\0\0\x02hi\0\0\x13\x88").await.unwrap();
        for _ in 0..10 {
            peer.write_all(&[0; 500]).await.unwrap();
            sleep(Duration::from_millis(100)).await;
        }
        peer
    });
    assert_eq!(connection.next().await.unwrap().unwrap(), "hi");
    // Whoever takes the frames is busy with the first.
    sleep(Duration::from_secs(60)).await;
    assert_eq!(connection.next().await.unwrap().unwrap().len(), 5000);
    drop(writing.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn limits_without_end_are_none() {
    let options = ConnectionOptions::new()
        .frame_timeout(Duration::MAX)
        .least_rate(u32::MAX, Duration::MAX)
        .idle_timeout(Duration::MAX)
        .write_timeout(Duration::MAX);
    let handshake = AckHandshakeOptions::default()
        .bare(true)
        .settle(Duration::MAX)
        .ack_timeout(Duration::MAX)
        .build(Limits::new())
        .unwrap();
    let (mut connection, mut peer) = connection(handshake, options);
    peer.write_all(b"5").await.unwrap();
    let quiet = timeout(Duration::from_secs(1000), connection.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    let unanswered = timeout(Duration::from_secs(1000), connection.send("x".into())).await;
    assert!(unanswered.is_err(), "{unanswered:?}");
}

#[tokio::test(start_paused = true)]
async fn idleness_is_told_again_and_again_and_ends_nothing() {
    let options = ConnectionOptions::new().idle_timeout(Duration::from_secs(10));
    let (mut connection, mut peer) = connection(StructHeader::default(), options);
    let start = Instant::now();
    for times in 1..=3 {
        let error = connection.next().await.unwrap().unwrap_err();
        assert!(
            matches!(error, Error::Idle(_)) && error.is_recoverable(),
            "{error}"
        );
        assert_eq!(start.elapsed(), Duration::from_secs(10) * times);
    }
    peer.write_all(b"\0\0\0\x02hi").await.unwrap();
    assert_eq!(connection.next().await.unwrap().unwrap(), "hi");
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_framing_waits_for_is_not_idleness() {
    let framing = boxed(r#"{ type = "ack-handshake", bare = true }"#);
    let options = ConnectionOptions::new().idle_timeout(Duration::from_secs(10));
    let (mut connection, mut peer) = connection(framing, options);
    let peer = tokio::spawn(async move {
        peer.write_all(b"2").await.unwrap();
        let mut ack = [0; 2];
        peer.read_exact(&mut ack).await.unwrap();
        peer.write_all(b"hi").await.unwrap();
        peer
    });
    assert_eq!(connection.next().await.unwrap().unwrap(), "hi");
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_not_idle_while_nobody_asks_for_its_frames() {
    let options = ConnectionOptions::new().idle_timeout(Duration::from_secs(10));
    let (mut connection, mut peer) = connection(StructHeader::default(), options);
    peer.write_all(b"\0\0\0\x02hi").await.unwrap();
    assert_eq!(connection.next().await.unwrap().unwrap(), "hi");
    // Whoever has taken it is busy with it.
    sleep(Duration::from_secs(60)).await;
    let asked = Instant::now();
    let error = connection.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Idle(_)), "{error}");
    assert_eq!(asked.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_beyond_any_clock_is_none() {
    let options = ConnectionOptions::new()
        .frame_timeout(Duration::MAX)
        .least_rate(1, Duration::MAX)
        .idle_timeout(Duration::MAX)
        .write_timeout(Duration::MAX);
    let (mut connection, mut peer) = connection(StructHeader::default(), options);
    peer.write_all(b"\0\0\0\x02h").await.unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(3600), connection.next()).await;
    assert!(waited.is_err());
    peer.write_all(b"i").await.unwrap();
    assert_eq!(connection.next().await.unwrap().unwrap(), "hi");
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_closes_an_idle_connection_but_not_one_that_waits_for_its_answer() {
    let (listener, connector) = Memory::new(1024);
    let slow = service_fn(async |frame: Bytes| {
        sleep(Duration::from_secs(100)).await;
        Ok::<_, std::convert::Infallible>(frame)
    });
    let options = ConnectionOptions::new().idle_timeout(Duration::from_secs(10));
    tokio::spawn(
        serve(listener, Shared::new(slow))
            .connection(options)
            .into_future(),
    );
    let mut client = Connection::new(connector.connect().await.unwrap(), StructHeader::default());
    let start = Instant::now();
    client.send("hello".into()).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), "hello");
    assert_eq!(start.elapsed(), Duration::from_secs(100));
    assert!(client.next().await.is_none());
    assert!(
        start.elapsed() <= Duration::from_secs(111),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_leaves_its_peer_the_whole_idle_time() {
    for (in_flight, millis) in [(64, 19_900), (1, 15_000)] {
        let (listener, connector) = Memory::new(1024);
        let slow = service_fn(move |frame: Bytes| async move {
            sleep(Duration::from_millis(millis)).await;
            Ok::<_, std::convert::Infallible>(frame)
        });
        let options = ConnectionOptions::new().idle_timeout(Duration::from_secs(10));
        tokio::spawn(
            serve(listener, Shared::new(slow))
                .connection(options)
                .pipeline(PipelineOptions::default().max_in_flight(in_flight))
                .into_future(),
        );
        let io = connector.connect().await.unwrap();
        let mut client = Connection::new(io, StructHeader::default());
        for _ in 0..3 {
            client.send("hello".into()).await.unwrap();
            assert_eq!(client.next().await.unwrap().unwrap(), "hello");
            sleep(Duration::from_secs(9)).await;
        }
        let last = Instant::now();
        assert!(client.next().await.is_none());
        assert_eq!(last.elapsed(), Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_runs_into_the_write_timeout() {
    let (ours, theirs) = duplex(16);
    let options = ConnectionOptions::new().write_timeout(Duration::from_secs(20));
    let mut connection = Connection::new(ours, StructHeader::default()).with_options(options);
    let (mut reader, _writer) = split(theirs);
    let start = Instant::now();
    // It takes a byte every 15 seconds, for a while; then nothing.
    let taking = tokio::spawn(async move {
        for _ in 0..4 {
            sleep(Duration::from_secs(15)).await;
            reader.read_u8().await.unwrap();
        }
        (reader, _writer)
    });
    let error = connection.send(vec![0; 1000].into()).await.unwrap_err();
    assert_timeout(&error, "taken nothing for 20s");
    assert_eq!(start.elapsed(), Duration::from_secs(80));
    drop(taking.await.unwrap());
}

// Memory shared with others.

#[tokio::test(start_paused = true)]
async fn s19_a_used_up_budget_pauses_all_and_lets_them_recover() {
    const CONNECTIONS: usize = 8;
    const FRAME: usize = 300_000;
    let budget = Budget::new(400_000);
    let options = ConnectionOptions::new().budget(&budget);
    let mut peers = Vec::new();
    let mut tasks = Vec::new();
    let received = Arc::new(AtomicUsize::new(0));
    for _ in 0..CONNECTIONS {
        let (mut connection, mut peer) = connection(StructHeader::default(), options.clone());
        // Half a frame each: together three times the budget.
        peer.write_all(&(FRAME as u32).to_be_bytes()).await.unwrap();
        peer.write_all(&vec![7; FRAME / 2]).await.unwrap();
        peers.push(peer);
        let received = received.clone();
        tasks.push(tokio::spawn(async move {
            while let Some(frame) = connection.next().await {
                assert_eq!(frame.unwrap().len(), FRAME);
                received.fetch_add(1, Ordering::SeqCst);
            }
        }));
    }
    sleep(Duration::from_secs(1)).await;
    // One may overdraw, and each may have been in the middle of one read.
    let most = 400_000 + FRAME + 64 * 1024;
    assert!(budget.used() >= 400_000, "{budget:?}");
    assert!(budget.used() <= most, "{budget:?}");
    // The rest arrives, in whatever order; all of it is read.
    for mut peer in peers.into_iter().rev() {
        tokio::spawn(async move {
            peer.write_all(&vec![7; FRAME / 2]).await.unwrap();
            peer.write_all(&(FRAME as u32).to_be_bytes()).await.unwrap();
            peer.write_all(&vec![7; FRAME]).await.unwrap();
        });
    }
    for task in tasks {
        timeout(Duration::from_secs(60), task)
            .await
            .expect("every connection gets its turn")
            .unwrap();
    }
    assert_eq!(received.load(Ordering::SeqCst), 2 * CONNECTIONS);
    assert_eq!(budget.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn s19_a_connection_that_dies_gives_its_part_back() {
    let budget = Budget::new(1000);
    let options = ConnectionOptions::new()
        .budget(&budget)
        .frame_timeout(Duration::from_secs(10));
    let (mut hog, mut peer) = connection(StructHeader::default(), options.clone());
    peer.write_all(&5000u32.to_be_bytes()).await.unwrap();
    peer.write_all(&[0; 2000]).await.unwrap();
    let hog = tokio::spawn(async move { hog.next().await.unwrap().unwrap_err() });
    let (mut other, mut friend) = connection(StructHeader::default(), options);
    friend.write_all(b"\0\0\0\x02hi").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(other.next().now_or_never().is_none(), "{budget:?}");
    assert_eq!(other.next().await.unwrap().unwrap(), "hi");
    assert_timeout(&hog.await.unwrap(), "10s");
    assert_eq!(budget.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn s19_whoever_is_always_in_the_middle_of_a_frame_lets_others_finish_theirs() {
    let budget = Budget::new(1000);
    let options = ConnectionOptions::new().budget(&budget);
    let (mut patient, mut large) = connection(StructHeader::default(), options.clone());
    large.write_all(&5000u32.to_be_bytes()).await.unwrap();
    let patient = tokio::spawn(async move { patient.next().await.unwrap().unwrap().len() });
    let (mut busy, mut small) = connection(StructHeader::default(), options.clone());
    let busy = tokio::spawn(async move { while let Some(Ok(_)) = busy.next().await {} });
    small.write_all(b"\0\0\0\x02h").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    // Answers that nobody takes use the budget up, and the busy one is the first to overdraw it.
    let (mut filler, _never_reads) = connection(StructHeader::default(), options);
    filler.feed(vec![0; 5000].into()).await.unwrap();
    for round in 0..100 {
        small.write_all(b"i\0\0\0\x02h").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        if round == 2 {
            large.write_all(&[0; 5000]).await.unwrap();
        }
    }
    assert!(patient.is_finished(), "{budget:?}");
    assert_eq!(patient.await.unwrap(), 5000);
    drop((small, filler));
    busy.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a12_s19_an_ack_is_heard_though_the_frame_in_front_of_it_uses_the_budget_up() {
    let budget = Budget::new(50_000);
    let (ours, theirs) = duplex(1000);
    let options = ConnectionOptions::new().budget(&budget);
    let mut ours = Connection::new(ours, AckHandshake::default()).with_options(options);
    let mut theirs = Connection::new(theirs, AckHandshake::default());
    let frame = Bytes::from(vec![1; 100_000]);
    let sent = frame.clone();
    let peer = tokio::spawn(async move {
        theirs.send(sent).await.unwrap();
        theirs.next().await.unwrap().unwrap()
    });
    // We have agreed to its frame before we announce ours, so its frame comes before its ack.
    tokio::task::yield_now().await;
    assert!(ours.next().now_or_never().is_none());
    let both = async {
        ours.send(frame).await.unwrap();
        ours.next().await.unwrap().unwrap()
    };
    let received = timeout(Duration::from_secs(20), both)
        .await
        .expect("a deadlock");
    assert_eq!(received.len(), 100_000);
    assert_eq!(peer.await.unwrap().len(), 100_000);
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn what_waits_to_be_written_counts_against_the_budget() {
    let budget = Budget::new(1 << 20);
    let (ours, theirs) = duplex(16);
    let options = ConnectionOptions::new().budget(&budget);
    let mut connection = Connection::new(ours, StructHeader::default()).with_options(options);
    connection.feed(vec![0; 5000].into()).await.unwrap();
    assert_eq!(budget.used(), 5004);
    let mut theirs = Connection::new(theirs, StructHeader::default());
    let (sent, received) = futures_util::join!(connection.flush(), theirs.next());
    sent.unwrap();
    assert_eq!(received.unwrap().unwrap().len(), 5000);
    assert_eq!(budget.used(), 0);
}

// Another framing.

#[tokio::test]
async fn s04_bytes_already_read_belong_to_the_new_framing() {
    let (mut lines, mut peer) = connection(boxed("lines"), ConnectionOptions::new());
    peer.write_all(b"UPGRADE\n\0\0\0\x02hi").await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap(), "UPGRADE");
    lines.feed("OK".into()).await.unwrap();
    lines.replace_framing(boxed("struct-header"), Unread::CarryOn);
    assert_eq!(lines.next().await.unwrap().unwrap(), "hi");
    lines.send("hello".into()).await.unwrap();
    let mut wire = [0; 12];
    peer.read_exact(&mut wire).await.unwrap();
    assert_eq!(&wire, b"OK\n\0\0\0\x05hello");
}

#[tokio::test]
async fn s05_bytes_in_front_of_starttls_are_discarded() {
    let (mut lines, mut peer) = connection(Lines::new().unwrap(), ConnectionOptions::new());
    peer.write_all(b"STARTTLS\nEVIL\n").await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap(), "STARTTLS");
    let mut secure = lines.change_framing(Lines::new().unwrap(), Unread::Discard);
    peer.write_all(b"GOOD\n").await.unwrap();
    assert_eq!(secure.next().await.unwrap().unwrap(), "GOOD");
    drop(peer);
    assert!(secure.next().await.is_none());
}

#[tokio::test]
async fn s05_frames_that_wait_for_the_stream_are_discarded_too() {
    let (mut connection, mut peer) = connection(AckHandshake::default(), ConnectionOptions::new());
    // While the sink waits for its ack, a frame arrives.
    peer.write_all(b"4\nokEVIL").await.unwrap();
    connection.send("STARTTLS".into()).await.unwrap();
    let mut secure = connection.change_framing(Lines::new().unwrap(), Unread::Discard);
    peer.write_all(b"GOOD\n").await.unwrap();
    assert_eq!(secure.next().await.unwrap().unwrap(), "GOOD");
}

#[test]
fn an_offset_counts_from_the_start_of_the_stream_whatever_the_framing() {
    let mut machine = Machine::new(Lines::new().unwrap());
    machine.receive(b"UPGRADE\nxxxxx");
    assert_eq!(
        machine.next_frame().unwrap(),
        Received::Frame("UPGRADE".into())
    );
    let (mut machine, _) = machine.change_framing(StructHeader::default(), Unread::Discard);
    machine.receive(b"\xff\xff\xff\xff");
    assert_eq!(machine.next_frame().unwrap_err().offset(), 13);
    // What has failed stays failed.
    let (mut machine, _) = machine.change_framing(Raw::default(), Unread::Discard);
    machine.receive(b"x");
    assert_eq!(machine.next_frame().unwrap_err().offset(), 13);
}

#[test]
fn s20_ten_thousand_changes_inside_one_read() {
    let mut machine = Machine::new(boxed("lines"));
    machine.receive(&b"line\n\0\0\0\x03raw".repeat(5000));
    for _ in 0..5000 {
        assert_eq!(
            machine.next_frame().unwrap(),
            Received::Frame("line".into())
        );
        machine.replace_framing(boxed("struct-header"), Unread::CarryOn);
        assert_eq!(machine.next_frame().unwrap(), Received::Frame("raw".into()));
        machine.replace_framing(boxed("lines"), Unread::CarryOn);
    }
    machine.close_input();
    assert_eq!(machine.next_frame().unwrap(), Received::End);
}

/// A visitor that closes, sends, and leaves in the middle sees each byte once.
#[tokio::test]
async fn s21_a_visit_that_breaks_loses_and_repeats_nothing() {
    let (mut connection, mut peer) = connection(boxed("lines"), ConnectionOptions::new());
    peer.write_all(b"one\ntwo\nUPGRADE\n\0\0\0\x02hi\0\0\0\x03bye")
        .await
        .unwrap();
    let mut seen: Vec<Bytes> = Vec::new();
    let visited = connection.visit(|frame, replies| {
        seen.push(Bytes::copy_from_slice(frame));
        replies.send_slice(frame).unwrap();
        match frame {
            b"UPGRADE" => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    assert_eq!(visited.await.unwrap(), Visited::Broken);
    connection.replace_framing(boxed("struct-header"), Unread::CarryOn);
    let mut wire = [0; 16];
    peer.read_exact(&mut wire).await.unwrap();
    assert_eq!(&wire, b"one\ntwo\nUPGRADE\n");
    peer.shutdown().await.unwrap();
    let visited = connection.visit(|frame, _| {
        seen.push(Bytes::copy_from_slice(frame));
        ControlFlow::Continue(())
    });
    assert_eq!(visited.await.unwrap(), Visited::End);
    assert_eq!(seen, ["one", "two", "UPGRADE", "hi", "bye"]);
}

// Back-pressure.

/// A peer that does not read does not make a sink forget to wake its task once it does.
#[tokio::test]
async fn s22_a_sink_over_its_mark_flushes_and_wakes() {
    let (ours, mut theirs) = duplex(16);
    let options = ConnectionOptions::new().high_water(10);
    let mut connection = Connection::new(ours, StructHeader::default()).with_options(options);
    connection.feed(vec![1; 100].into()).await.unwrap();
    let (waker, woken) = futures_test_waker();
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut connection).poll_ready(&mut cx).is_pending());
    let before = woken.load(Ordering::SeqCst);
    let mut wire = [0; 16];
    theirs.read_exact(&mut wire).await.unwrap();
    assert!(
        woken.load(Ordering::SeqCst) > before,
        "reading wakes the writer"
    );
    let rest = tokio::spawn(async move {
        let mut rest = vec![0; 96];
        theirs.read_exact(&mut rest).await.unwrap();
        theirs
    });
    connection.send("more".into()).await.unwrap();
    let _theirs = rest.await.unwrap();
}

/// A waker that counts.
fn futures_test_waker() -> (std::task::Waker, Arc<AtomicUsize>) {
    struct Counts(Arc<AtomicUsize>);
    impl std::task::Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    (
        std::task::Waker::from(Arc::new(Counts(count.clone()))),
        count,
    )
}

#[tokio::test]
async fn b01_a_visit_asks_a_peer_that_does_not_read_nothing_more() {
    let (ours, mut theirs) = duplex(1024);
    let options = ConnectionOptions::new().high_water(4096);
    let mut connection = Connection::new(ours, StructHeader::default()).with_options(options);
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = visits.clone();
    let server = tokio::spawn(async move {
        connection
            .visit(|frame, replies| {
                counted.fetch_add(1, Ordering::SeqCst);
                replies.send_slice(frame).unwrap();
                ControlFlow::Continue(())
            })
            .await
    });
    let request = b"\0\0\0\x04ping".repeat(100);
    // Until nothing is taken any more.
    while timeout(Duration::from_millis(200), theirs.write_all(&request))
        .await
        .is_ok()
    {}
    let stuck = visits.load(Ordering::SeqCst);
    // A reply is as long as its request: what waits at us, and what is on the wire.
    assert!(
        stuck <= (4096 + 1024) / 8 + 1,
        "{stuck} requests were taken"
    );
    drop(theirs);
    assert!(server.await.unwrap().is_err());
}

#[tokio::test]
async fn s13_a_visit_of_many_frames_lets_others_have_their_turn() {
    let (mut connection, mut peer) = connection(StructHeader::default(), ConnectionOptions::new());
    peer.write_all(&b"\0\0\0\x01x".repeat(10_000))
        .await
        .unwrap();
    drop(peer);
    let mut visits = 0;
    let mut polls = 0;
    let mut visit = Box::pin(connection.visit(|_, _| {
        visits += 1;
        ControlFlow::Continue(())
    }));
    let waker = noop_waker();
    let mut cx = Context::from_waker(&waker);
    while visit.as_mut().poll(&mut cx).is_pending() {
        polls += 1;
        assert!(polls < 100_000);
    }
    drop(visit);
    assert_eq!(visits, 10_000);
    assert!(polls >= 10_000 / 256, "{polls} turns for others");
}

/// An interactive framing lends owned frames, and sends one reply for each.
#[tokio::test]
async fn a_visit_over_the_ack_handshake_answers_each_frame() {
    let (ours, theirs) = duplex(64);
    let server = tokio::spawn(async move {
        let mut connection = Connection::new(theirs, AckHandshake::default());
        connection
            .visit(|frame, replies| {
                replies.send_slice(&frame.to_ascii_uppercase()).unwrap();
                ControlFlow::Continue(())
            })
            .await
    });
    let (mut sink, mut stream) = Connection::new(ours, AckHandshake::default()).split();
    let sent = tokio::spawn(async move {
        for _ in 0..20 {
            sink.send("hello".into()).await.unwrap();
        }
        sink
    });
    for _ in 0..20 {
        assert_eq!(stream.next().await.unwrap().unwrap(), "HELLO");
    }
    sent.await.unwrap().close().await.unwrap();
    assert_eq!(server.await.unwrap().unwrap(), Visited::End);
}

#[tokio::test]
async fn a_visit_tells_a_skipped_frame_and_goes_on() {
    let framing = DelimiterOptions::default()
        .build(Limits::new().max_frame(4).on_error(OnError::Skip))
        .unwrap();
    let (mut connection, mut peer) = connection(framing, ConnectionOptions::new());
    peer.write_all(b"good\ntoo long\nfine\n").await.unwrap();
    drop(peer);
    let mut seen = Vec::new();
    let mut errors = 0;
    loop {
        let visited = connection.visit(|frame, _| {
            seen.push(Bytes::copy_from_slice(frame));
            ControlFlow::Continue(())
        });
        match visited.await {
            Ok(visited) => break assert_eq!(visited, Visited::End),
            Err(error) => assert!(error.is_recoverable(), "{error}"),
        }
        errors += 1;
    }
    assert_eq!((seen, errors), (vec!["good".into(), "fine".into()], 1));
}

// What the handshake costs.

/// Carries bytes with a delay, one way.
async fn carry(
    mut from: tokio::io::ReadHalf<DuplexStream>,
    mut to: tokio::io::WriteHalf<DuplexStream>,
    delay: Duration,
) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        sleep(delay).await;
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a18_waiting_for_each_ack_costs_a_round_trip_a_frame() {
    const FRAMES: u32 = 1000;
    let way = Duration::from_millis(10);
    let (ours, near) = duplex(1 << 20);
    let (far, theirs) = duplex(1 << 20);
    let (near_read, near_write) = split(near);
    let (far_read, far_write) = split(far);
    tokio::spawn(carry(near_read, far_write, way));
    tokio::spawn(carry(far_read, near_write, way));
    let receiver = tokio::spawn(async move {
        let mut connection = Connection::new(theirs, AckHandshake::default());
        let mut count = 0;
        while count < 2 * FRAMES {
            assert_eq!(connection.next().await.unwrap().unwrap(), "hello");
            count += 1;
        }
        connection
    });
    // Ours waits: that is the protocol.
    let mut connection = Connection::new(ours, AckHandshake::default());
    let start = Instant::now();
    for _ in 0..FRAMES {
        connection.send("hello".into()).await.unwrap();
    }
    let waiting = start.elapsed();
    assert!(waiting >= 2 * way * FRAMES, "{waiting:?}");
    // A peer that does not wait is served all the same, and at once.
    let (mut ours, _, _) = connection.into_parts();
    let start = Instant::now();
    ours.write_all(&b"5\nhello".repeat(FRAMES as usize))
        .await
        .unwrap();
    receiver.await.unwrap();
    let without = start.elapsed();
    assert!(without < Duration::from_millis(200), "{without:?}");
    advance(Duration::ZERO).await;
}

#[tokio::test]
async fn s13_other_tasks_run_while_bad_frames_are_skipped() {
    const BAD: usize = 20_000;
    let framing = DelimiterOptions::default()
        .build(Limits::new().max_frame(1).on_error(OnError::Skip))
        .unwrap();
    let (mut connection, mut peer) = connection(framing, ConnectionOptions::new());
    peer.write_all(&b"xx\n".repeat(BAD)).await.unwrap();
    drop(peer);
    let turns = Arc::new(AtomicUsize::new(0));
    let taken = turns.clone();
    let other = tokio::spawn(async move {
        loop {
            taken.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    let mut skipped = 0;
    while let Err(error) = connection.visit(|_, _| ControlFlow::Continue(())).await {
        assert!(error.is_recoverable(), "{error}");
        skipped += 1;
    }
    assert_eq!(skipped, BAD);
    assert!(turns.load(Ordering::Relaxed) >= 50, "{turns:?}");
    other.abort();
}
