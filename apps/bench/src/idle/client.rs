//! Opens many connections, has one frame echoed on each, and keeps them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::Child,
    thread,
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::Args;

use crate::{
    load::Speaks,
    pin::{Side, pin},
    process,
};

#[derive(Args, Debug)]
pub struct IdleClient {
    #[arg(long)]
    port: u16,
    #[arg(long)]
    speaks: Speaks,
    #[arg(long)]
    connections: u32,
}

/// Files a process has open beside its connections.
const OTHERS: u64 = 50;

pub fn run(options: &IdleClient) -> anyhow::Result<()> {
    pin(Side::Client)?;
    let allowed = process::raise_open_files()?.saturating_sub(OTHERS);
    let connections = options.connections.min(u32::try_from(allowed)?);
    let batch = options.speaks.batch(1, 64)?;
    let mut answer = vec![0; batch.answer];
    let mut kept = Vec::new();
    for _ in 0..connections {
        let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, options.port)))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(&batch.bytes)?;
        stream.read_exact(&mut answer).context("no echo")?;
        kept.push(stream);
    }
    // What the server does behind the last answer has its time.
    thread::sleep(Duration::from_millis(200));
    println!("IDLE {connections}");
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// Waits until the client has all its connections; how many they are.
pub(super) fn wait(client: &mut Child) -> anyhow::Result<u32> {
    let mut line = String::new();
    let stdout = client.stdout.take().context("no output of the client")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let connections = line.strip_prefix("IDLE ").map(str::trim);
    let connections: u32 = connections
        .context("the connections could not be made")?
        .parse()?;
    ensure!(connections > 0, "no connection may be open");
    Ok(connections)
}
