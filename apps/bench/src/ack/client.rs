//! Clients of the ack-handshake: a hand-written loop, and ours.

use std::{
    cell::Cell,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use framing::{AckHandshake, Connection};
use futures_util::{SinkExt, StreamExt, future::try_join_all};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

use crate::pin::{Side, pin};

const BODY: [u8; 64] = [b'x'; 64];
const LENGTH: &[u8] = b"64\n";

#[derive(Args, Debug)]
pub struct AckClient {
    #[arg(long)]
    port: u16,
    #[arg(long)]
    connections: usize,
    #[arg(long)]
    seconds: f64,
    #[arg(long)]
    one_way: bool,
    /// Our connection, and not a loop written by hand.
    #[arg(long)]
    ours: bool,
}

/// How many frames were sent (and answered).
#[derive(Debug, Deserialize, Serialize)]
pub struct Done {
    pub frames: u64,
    pub seconds: f64,
}

pub fn run(options: &AckClient) -> anyhow::Result<()> {
    pin(Side::Client)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(options.seconds);
    let frames = if options.ours || options.connections > 1 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(together(options, address, end))?
    } else {
        blocking(address, end, options.one_way)?
    };
    let done = Done {
        frames,
        seconds: start.elapsed().as_secs_f64(),
    };
    println!("{}", serde_json::to_string(&done)?);
    Ok(())
}

fn blocking(address: SocketAddr, end: Instant, one_way: bool) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream.try_clone()?);
    let (mut line, mut body) = (String::new(), BODY);
    let mut frames = 0;
    while Instant::now() < end {
        stream.write_all(LENGTH)?;
        input.read_exact(&mut [0; 2])?;
        stream.write_all(&BODY)?;
        if !one_way {
            line.clear();
            input.read_line(&mut line)?;
            stream.write_all(b"ok")?;
            input.read_exact(&mut body)?;
        }
        frames += 1;
    }
    Ok(frames)
}

async fn together(options: &AckClient, address: SocketAddr, end: Instant) -> anyhow::Result<u64> {
    let frames = Rc::new(Cell::new(0));
    let all = (0..options.connections).map(|_| {
        let (ours_wanted, one_way) = (options.ours, options.one_way);
        let frames = frames.clone();
        async move {
            let stream = tokio::net::TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let count = || {
                frames.set(frames.get() + 1);
                Instant::now() < end
            };
            if ours_wanted {
                ours(stream, one_way, count).await
            } else {
                by_hand(stream, one_way, count).await
            }
        }
    });
    // Each in a task of its own, or all would be polled for one.
    let local = tokio::task::LocalSet::new();
    let tasks: Vec<_> = all.map(|one| local.spawn_local(one)).collect();
    for ended in local.run_until(try_join_all(tasks)).await? {
        ended?;
    }
    Ok(frames.get())
}

async fn by_hand(
    stream: tokio::net::TcpStream,
    one_way: bool,
    goes_on: impl Fn() -> bool,
) -> anyhow::Result<()> {
    let mut io = tokio::io::BufReader::new(stream);
    let (mut line, mut body) = (String::new(), BODY);
    loop {
        io.get_mut().write_all(LENGTH).await?;
        io.read_exact(&mut [0; 2]).await?;
        io.get_mut().write_all(&BODY).await?;
        if !one_way {
            line.clear();
            io.read_line(&mut line).await?;
            io.get_mut().write_all(b"ok").await?;
            io.read_exact(&mut body).await?;
        }
        if !goes_on() {
            return Ok(());
        }
    }
}

async fn ours(
    stream: tokio::net::TcpStream,
    one_way: bool,
    goes_on: impl Fn() -> bool,
) -> anyhow::Result<()> {
    let mut connection = Connection::new(stream, AckHandshake::default());
    loop {
        connection.send(Bytes::from_static(&BODY)).await?;
        if !one_way {
            let answer = connection.next().await.context("the server has closed")?;
            answer.map_err(io::Error::other)?;
        }
        if !goes_on() {
            return Ok(());
        }
    }
}
