//! A reply's `next` may be dropped at any moment and asked again: nothing is lost, above all not the
//! end, which on some framings waits for the peer.

use std::{convert::Infallible, time::Duration};

use framing::{
    Registry,
    serve::{Memory, serve_with},
};
use futures_util::FutureExt;
use services::{
    Body, Fields, Part, Request, Response, Session, Verb,
    native::{Caller, NativeServer},
};
use tower::service_fn;

#[tokio::test]
async fn a_dropped_next_does_not_take_the_end_with_it() {
    for framing in ["ack-handshake", "struct-header", "lines"] {
        let framing = Registry::default().parse(framing).unwrap();
        // Answers at once, whatever of the request's body is still to come.
        let service = service_fn(async |_: Request| {
            Ok::<_, Infallible>(Response::ok().with_body(Body::from("hello")))
        });
        let make = service_fn(move |_: Session| std::future::ready(Ok::<_, Infallible>(service)));
        let (listener, connector) = Memory::new(16);
        let server = serve_with(listener, NativeServer::new(make)).framing(framing.clone());
        tokio::spawn(server.into_future());

        let io = connector.connect().await.unwrap();
        let mut caller = Caller::new(io, framing.make()).unwrap();
        // Twice, so that the connection is seen to be in step afterwards.
        for _ in 0..2 {
            let (_unfinished, body) = Body::channel(1);
            let call = caller.call(Verb::new("greet"), Fields::new(), body);
            let mut reply = call.await.unwrap();
            let mut parts = Vec::new();
            let all = async {
                loop {
                    // Each future is polled once and dropped.
                    match reply.next().now_or_never() {
                        Some(Some(part)) => parts.push(part.unwrap()),
                        Some(None) => return,
                        None => tokio::task::yield_now().await,
                    }
                }
            };
            let ended = tokio::time::timeout(Duration::from_secs(5), all).await;
            assert!(ended.is_ok(), "{}", framing.name());
            let expected = [Part::Data("hello".into()), Part::End(Fields::new())];
            assert_eq!(parts, expected, "{}", framing.name());
        }
    }
}
