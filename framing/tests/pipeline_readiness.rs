//! A service's readiness is for a request that is there: an idle connection holds none of it.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use framing::{
    Connection, StructHeader,
    client::Client,
    serve::{Memory, serve},
};
use tokio::time::timeout;
use tower::{Service, ServiceBuilder, ServiceExt, make::Shared};

#[tokio::test]
async fn idle_connections_keep_no_permit_from_the_others() {
    let service = ServiceBuilder::new()
        .concurrency_limit(1)
        .service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame));
    let (listener, connector) = Memory::new(1024);
    tokio::spawn(serve(listener, Shared::new(service)).into_future());

    let mut clients = Vec::new();
    for _ in 0..3 {
        let io = connector.connect().await.unwrap();
        clients.push(Client::new(Connection::new(io, StructHeader::default())));
    }
    // In an order that is nobody's turn.
    for number in [0, 2, 2, 1, 1, 1, 0, 2] {
        let client = &mut clients[number];
        let answer = client.ready().await.unwrap().call("a".into());
        let answer = timeout(Duration::from_secs(5), answer).await;
        assert_eq!(answer.expect("it waits for an idle one").unwrap(), "a");
    }
}
