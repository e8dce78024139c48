//! cargo run --release --example datagram
//!
//! Counts over UDP, a session for each peer, while a stranger sends the start of a frame.

use std::{convert::Infallible, future::ready, net::SocketAddr};

use anyhow::Context;
use bytes::Bytes;
use framing::{
    StructHeader,
    datagram::{Datagrams, serve_datagrams},
    serve::{Address, Peer},
};
use futures_util::{SinkExt, StreamExt};
use tokio::{net::UdpSocket, sync::oneshot};
use tower::service_fn;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let datagrams = Datagrams::new(
        UdpSocket::bind("127.0.0.1:0").await?,
        StructHeader::default(),
    )?;
    let address = datagrams.get_ref().local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    // One call for each peer: what it returns is the service of that peer alone.
    let make = service_fn(|_: Peer| {
        let mut count = 0;
        ready(Ok::<_, Infallible>(service_fn(move |frame: Bytes| {
            count += 1;
            let answer = format!("{}, {count}", String::from_utf8_lossy(&frame));
            ready(Ok::<_, Infallible>(Bytes::from(answer)))
        })))
    });
    let server = serve_datagrams(datagrams, make).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let counters = server.counters();
    let server = tokio::spawn(server.into_future());

    let stranger = UdpSocket::bind("127.0.0.1:0").await?;
    let (mut alice, mut bob) = (client(address).await?, client(address).await?);
    for expected in ["hello, 1", "hello, 2"] {
        // Over one stateful codec for all peers this would swallow what comes next.
        stranger.send_to(&[0, 0, 0, 6], address).await?;
        for peer in [&mut alice, &mut bob] {
            peer.send(("hello".into(), Address::Udp(address))).await?;
            let (answer, _) = peer.next().await.context("a socket never ends")??;
            println!("{}", String::from_utf8_lossy(&answer));
            anyhow::ensure!(answer == expected, "another answer came");
        }
    }
    anyhow::ensure!(counters.unreadable() == 2, "{counters:?}");

    drop(stop);
    server.await?;
    Ok(())
}

/// A socket that hears this server only.
async fn client(server: SocketAddr) -> anyhow::Result<Datagrams<UdpSocket, StructHeader>> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(server).await?;
    Ok(Datagrams::new(socket, StructHeader::default())?)
}

#[test]
fn runs() -> anyhow::Result<()> {
    main()
}
