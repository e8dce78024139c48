//! Our services, in the native dialect: files and exec, without a login.

use std::{convert::Infallible, future::ready, path::Path};

use framing::{
    Registry,
    serve::{Tcp, serve_with},
};
use services::{
    Session, Unsupported,
    exec::{Allow, Exec, ProcessSpawner},
    files::{DirectoryStore, Files},
    login::{AnonymousLayer, Identity, Right},
    native::NativeServer,
};
use tokio::net::TcpListener;
use tower::{Layer, ServiceBuilder, service_fn};

pub(super) async fn run(listener: TcpListener, framing: &str, folder: &Path) -> anyhow::Result<()> {
    let exec = Exec::new(ProcessSpawner::new("/"), Allow::new(["true", "head"])?);
    let files = Files::new(DirectoryStore::open(folder)?).digest_optional(true);
    let inside = ServiceBuilder::new()
        .layer(exec.into_layer())
        .layer(files.into_layer())
        .service(Unsupported);
    let guest = Identity::new("guest", [Right::Read, Right::Write, Right::Exec]);
    let stack = AnonymousLayer::new(guest).layer(inside);
    let make = service_fn(move |_: Session| ready(Ok::<_, Infallible>(stack.clone())));
    serve_with(Tcp::new(listener)?, NativeServer::new(make))
        .framing(Registry::default().parse(framing)?)
        .await;
    Ok(())
}
