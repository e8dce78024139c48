//! Our own ways to serve frames.

use std::{convert::Infallible, ops::ControlFlow, time::Duration};

use bytes::Bytes;
use framing::{
    Connection, Registry, StructHeader, U32InFront,
    serve::{Tcp, serve, serve_multiplexed},
};
use tokio::net::{TcpListener, TcpStream};
use tower::{ServiceBuilder, make::Shared, service_fn};

async fn same(frame: Bytes) -> Result<Bytes, Infallible> {
    Ok(frame)
}

/// A framing known when the program is built.
pub(super) async fn fixed(listener: TcpListener) -> anyhow::Result<()> {
    serve(Tcp::new(listener)?, Shared::new(service_fn(same)))
        .framing(StructHeader::default())
        .await;
    Ok(())
}

/// A framing from a config string.
pub(super) async fn chosen(listener: TcpListener, framing: &str) -> anyhow::Result<()> {
    serve(Tcp::new(listener)?, Shared::new(service_fn(same)))
        .framing(Registry::default().parse(framing)?)
        .await;
    Ok(())
}

/// With tower's limits around the service.
pub(super) async fn layered(listener: TcpListener) -> anyhow::Result<()> {
    let service = ServiceBuilder::new()
        .concurrency_limit(1024)
        .timeout(Duration::from_secs(30))
        .service(service_fn(same));
    serve(Tcp::new(listener)?, Shared::new(service))
        .framing(StructHeader::default())
        .await;
    Ok(())
}

/// Answers in any order, by tags.
pub(super) async fn multiplexed(listener: TcpListener) -> anyhow::Result<()> {
    let service = Shared::new(service_fn(same));
    serve_multiplexed(Tcp::new(listener)?, U32InFront::new(), service)
        .framing(StructHeader::default())
        .await;
    Ok(())
}

/// Frames lent where they stand in the read buffer, without a service.
pub(super) async fn lent(stream: TcpStream) {
    let mut connection = Connection::new(stream, StructHeader::default());
    // The peer closes; how is of no interest.
    let _ = connection
        .visit(|frame, replies| match replies.send_slice(frame) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        })
        .await;
}
