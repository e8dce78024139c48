//! Hands each connection to a task.

use tokio::net::{TcpListener, TcpStream};

pub(super) async fn each<T, F>(
    listener: TcpListener,
    serve: impl Fn(TcpStream) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream));
    }
}
