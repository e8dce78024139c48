//! tokio-tower's pipeline server.

use std::convert::Infallible;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio_tower::pipeline::Server;
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use tower::service_fn;

pub(super) async fn echo(stream: TcpStream) {
    let framed = Framed::new(stream, LengthDelimitedCodec::new());
    let service = service_fn(async |frame: BytesMut| Ok::<_, Infallible>(frame.freeze()));
    // The peer closes; how is of no interest.
    let _ = Server::new(framed, service).await;
}
