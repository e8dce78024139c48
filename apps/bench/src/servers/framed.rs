//! tokio-util's `Framed`, with one flush for all the frames that are there.

use std::io;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// Of the tuned one: what a read may bring, and what is kept before it is written.
const CAPACITY: usize = 256 * 1024;

/// As it is made by `Framed::new`.
pub(super) async fn usual(stream: TcpStream) -> io::Result<()> {
    echo(Framed::new(stream, LengthDelimitedCodec::new())).await
}

/// With a large buffer to read into, and a write only once as much has come together.
pub(super) async fn tuned(stream: TcpStream) -> io::Result<()> {
    let mut framed = Framed::with_capacity(stream, LengthDelimitedCodec::new(), CAPACITY);
    framed.set_backpressure_boundary(CAPACITY);
    echo(framed).await
}

async fn echo(mut framed: Framed<TcpStream, LengthDelimitedCodec>) -> io::Result<()> {
    while let Some(frame) = framed.next().await {
        framed.feed(frame?.freeze()).await?;
        while let Some(Some(frame)) = framed.next().now_or_never() {
            framed.feed(frame?.freeze()).await?;
        }
        SinkExt::<Bytes>::flush(&mut framed).await?;
    }
    Ok(())
}
