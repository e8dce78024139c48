//! The time, one text a tick.

use std::time::Duration;

use services::{
    Clock, Fields, HandleLayer, Part, Ping, Request, Session, Verb,
    course::{ClockOptions, Dialect},
    login::{AnonymousLayer, Identity},
};
use tokio::time::{Instant, sleep, timeout};
use tower::{ServiceBuilder, ServiceExt};

use crate::support::*;

fn server(clock: Clock, options: ClockOptions) -> Running {
    let mut parts = Parts::new();
    parts.clock = clock;
    Running::new(parts.everybody(&[]), Dialect::Clock(options))
}

/// The texts that come, with their times.
async fn ticks(script: &mut Peered, length: usize, count: u32) -> Vec<(Duration, String)> {
    let start = Instant::now();
    let mut ticks = Vec::new();
    for _ in 0..count {
        let text = String::from_utf8(script.take(length).await).unwrap();
        ticks.push((start.elapsed(), text));
    }
    ticks
}

#[tokio::test(start_paused = true)]
async fn the_first_tick_comes_at_once_and_the_others_do_not_drift() {
    let clock = Clock::new().every(Duration::from_millis(700));
    let server = server(clock, ClockOptions::default());
    let mut script = server.connect();
    for (number, (time, text)) in ticks(&mut script, 10, 1000).await.into_iter().enumerate() {
        let due = Duration::from_millis(700) * number as u32;
        let off = time.abs_diff(due);
        assert!(off < Duration::from_millis(2), "{number}: {time:?}");
        let parts: Vec<_> = text.split('/').map(str::len).collect();
        assert_eq!(parts, [4, 2, 2], "{text}");
    }
    script.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_slow_gets_the_time_it_is() {
    let clock = Clock::new().every(Duration::from_secs(1));
    let mut server = server(clock, ClockOptions::default());
    server.buffer = 25;
    let mut script = server.connect();
    sleep(Duration::from_millis(60_500)).await;
    // What has waited in the pipe comes at once; the next one when it is due.
    let waited = script.take(30).await;
    assert_eq!(waited.len(), 30);
    let start = Instant::now();
    for _ in 0..10 {
        script.take(10).await;
    }
    assert!(
        start.elapsed() > Duration::from_secs(8),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_listener_can_set_the_time_between_and_the_format() {
    let options = ClockOptions {
        every: Some(Duration::from_secs(30)),
        format: Some("第%Y年".to_owned()),
    };
    let server = server(Clock::new(), options);
    let mut script = server.connect();
    let seen = ticks(&mut script, "第2024年".len(), 3).await;
    assert!(seen[2].0.abs_diff(Duration::from_secs(60)) < Duration::from_millis(2));
    assert!(
        seen[2].1.starts_with('第') && seen[2].1.ends_with('年'),
        "{seen:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn whatever_the_peer_says_the_clock_goes_on_until_it_leaves() {
    let clock = Clock::new().every(Duration::from_secs(1));
    let server = server(clock, ClockOptions::default());
    let mut script = server.connect();
    script.take(10).await;
    script.send(vec![b'x'; 100_000]).await;
    script.take(50).await;
    drop(script);
    // One that leaves at once, and one that leaves after a word.
    for word in ["", "x"] {
        let mut script = server.connect();
        script.take(10).await;
        script.send(word).await;
        script.take(10).await;
        let start = Instant::now();
        let _ = script.ended().await;
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{:?}",
            start.elapsed()
        );
    }
}

#[test]
fn formats_that_are_none_are_refused() {
    for format in ["", "%", "%!", &"x".repeat(257)] {
        assert!(Clock::new().format(format).is_err(), "{format:?}");
    }
    for format in ["%H:%M:%S", "%Y/%m/%d", "今天 %A", "%s", &"x".repeat(256)] {
        Clock::new().format(format).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_may_choose() {
    let stack = ServiceBuilder::new()
        .layer(HandleLayer::new(Ping))
        .layer(AnonymousLayer::new(Identity::new("all", [])))
        .layer(Clock::new().into_layer())
        .service(services::Unsupported);
    let session = || {
        let address = || framing::serve::Address::Memory(0);
        Session::new(framing::serve::Peer::new(address(), address()), 1000)
    };
    let ask = |arguments: Fields, session: Session| {
        let request = Request::new(Verb::CLOCK, session).with_arguments(arguments);
        stack.clone().oneshot(request)
    };
    for (arguments, right) in [
        (Fields::new().with("every", 0.01), true),
        (Fields::new().with("every", 3600), true),
        (Fields::new().with("every", 0.001), false),
        (Fields::new().with("every", -1.0), false),
        (Fields::new().with("every", 1e300), false),
        (Fields::new().with("every", "1s"), false),
        (Fields::new().with("format", "%"), false),
        (Fields::new().with("zone", "UTC"), false),
    ] {
        let shown = format!("{arguments:?}");
        let response = ask(arguments, session()).await.unwrap();
        assert_eq!(response.status.is_ok(), right, "{shown}");
    }
    // Seconds that agree with the text; an end when the peer leaves, and when the server stops.
    for stop in [false, true] {
        let session = session();
        let arguments = Fields::new().with("every", 5).with("format", "%s");
        let mut body = ask(arguments, session.clone()).await.unwrap().body;
        for _ in 0..3 {
            let Some(Ok(Part::Control(fields))) = body.next().await else {
                panic!("no seconds");
            };
            let epoch: f64 = fields.require("epoch").unwrap();
            let Some(Ok(Part::Data(text))) = body.next().await else {
                panic!("no text");
            };
            let text: f64 = String::from_utf8_lossy(&text).parse().unwrap();
            assert_eq!(text, epoch.floor());
        }
        match stop {
            true => session.stop(),
            false => session.hang_up(),
        }
        let end = timeout(Duration::from_millis(1), body.next())
            .await
            .unwrap();
        assert!(matches!(end, Some(Ok(Part::End(_)))), "{end:?}");
        assert!(body.next().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn svc_f1_a_peer_that_leaves_behind_a_word_does_not_keep_its_place() {
    let clock = Clock::new().every(Duration::from_secs(3600));
    let server = server(clock, ClockOptions::default());
    for word in ["", "x", "xyz"] {
        let mut script = server.connect();
        script.take(10).await;
        script.send(word).await;
        let start = Instant::now();
        let _ = script.ended().await;
        assert!(start.elapsed() < Duration::from_secs(2), "{word:?}");
    }
}
