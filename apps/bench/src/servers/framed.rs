//! tokio-util's `Framed`, with one flush for all the frames that are there.

use std::io;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// Of the tuned one: what a read may bring, and how much comes together before it is written.
const READ: usize = 64 * 1024;
const BOUNDARY: usize = 256 * 1024;

/// As it is made by `Framed::new`.
pub(super) async fn usual(stream: TcpStream) -> io::Result<()> {
    echo(Framed::new(stream, LengthDelimitedCodec::new())).await
}

/// With a large buffer to read into, and no write before all that is there is answered.
pub(super) async fn tuned(stream: TcpStream) -> io::Result<()> {
    let mut framed = Framed::with_capacity(stream, LengthDelimitedCodec::new(), READ);
    framed.set_backpressure_boundary(BOUNDARY);
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
