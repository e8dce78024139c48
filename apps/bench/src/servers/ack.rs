//! Servers of the ack-handshake: the length in digits, `ok`, the body. `echo` answers each frame with
//! the same one, by a handshake the other way; otherwise frames are thrown away.

use std::{
    convert::Infallible,
    io::{self, BufRead, BufReader, Read, Write},
    net, thread,
};

use bytes::Bytes;
use framing::{
    AckHandshake, Connection, Registry,
    serve::{Tcp, serve},
};
use futures_util::StreamExt;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{make::Shared, service_fn};

/// What is wrong with a length.
fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// A thread for each connection, blocking.
pub(super) fn blocking(listener: &net::TcpListener, echo: bool) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        thread::spawn(move || block(&stream, echo));
    }
}

fn block(mut stream: &net::TcpStream, echo: bool) -> io::Result<()> {
    let mut input = BufReader::new(stream);
    let (mut line, mut body) = (String::new(), Vec::new());
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        stream.write_all(b"ok")?;
        body.resize(line.trim_end().parse().map_err(|_| malformed())?, 0);
        input.read_exact(&mut body)?;
        if echo {
            stream.write_all(line.as_bytes())?;
            input.read_exact(&mut [0; 2])?;
            stream.write_all(&body)?;
        }
    }
}

/// The same loop with tokio.
pub(super) async fn by_hand(stream: TcpStream, echo: bool) -> io::Result<()> {
    let mut io = tokio::io::BufReader::new(stream);
    let (mut line, mut body) = (String::new(), Vec::new());
    loop {
        line.clear();
        if io.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        io.get_mut().write_all(b"ok").await?;
        body.resize(line.trim_end().parse().map_err(|_| malformed())?, 0);
        io.read_exact(&mut body).await?;
        if echo {
            io.get_mut().write_all(line.as_bytes()).await?;
            io.read_exact(&mut [0; 2]).await?;
            io.get_mut().write_all(&body).await?;
        }
    }
}

/// Ours, in code.
pub(super) async fn fixed(listener: TcpListener, echo: bool) -> anyhow::Result<()> {
    if !echo {
        return super::accept::each(listener, swallow).await;
    }
    let service = service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame));
    serve(Tcp::new(listener)?, Shared::new(service))
        .framing(AckHandshake::default())
        .await;
    Ok(())
}

/// Ours, from a config string; it echoes.
pub(super) async fn chosen(listener: TcpListener) -> anyhow::Result<()> {
    let service = service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame));
    serve(Tcp::new(listener)?, Shared::new(service))
        .framing(Registry::default().parse("ack-handshake")?)
        .await;
    Ok(())
}

async fn swallow(stream: TcpStream) {
    let mut connection = Connection::new(stream, AckHandshake::default());
    while let Some(Ok(_)) = connection.next().await {}
}
