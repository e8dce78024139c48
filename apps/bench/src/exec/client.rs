//! Has commands run, and counts.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::ensure;
use clap::{Args, ValueEnum};
use framing::StructHeader;
use serde::{Deserialize, Serialize};
use services::{
    client::{self, Client},
    exec::{Outcome, Output},
};

use crate::pin::{Side, pin};

#[derive(Args, Debug)]
pub struct ExecClient {
    how: How,
    #[arg(long, default_value_t = 0)]
    port: u16,
    #[arg(long)]
    seconds: f64,
    /// Bytes of output of one command; none: many commands without any.
    #[arg(long)]
    size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum How {
    /// Commands are started here, on the server's core.
    Local,
    ByHand,
    Ours,
}

impl How {
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Done {
    pub commands: u64,
    pub seconds: f64,
}

pub fn run(options: &ExecClient) -> anyhow::Result<()> {
    pin(match options.how {
        How::Local => Side::Server,
        How::ByHand | How::Ours => Side::Client,
    })?;
    let start = Instant::now();
    let limit = Duration::from_secs_f64(options.seconds);
    let goes_on = || start.elapsed() < limit;
    let commands = match options.how {
        How::Local => local(goes_on)?,
        How::ByHand => output(options)?,
        How::Ours => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(ours(options, goes_on))?
        }
    };
    let done = Done {
        commands,
        seconds: start.elapsed().as_secs_f64(),
    };
    println!("{}", serde_json::to_string(&done)?);
    Ok(())
}

fn local(goes_on: impl Fn() -> bool) -> anyhow::Result<u64> {
    let mut commands = 0;
    while goes_on() {
        // As the service does: no input, and pipes for the output.
        let output = Command::new("true").stdin(Stdio::null()).output()?;
        ensure!(output.status.success(), "`true` has failed");
        commands += 1;
    }
    Ok(commands)
}

fn output(options: &ExecClient) -> anyhow::Result<u64> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(&options.size.to_be_bytes())?;
    let mut buffer = vec![0; 256 * 1024];
    let mut come = 0;
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        come += count as u64;
    }
    ensure!(come > options.size, "{come} bytes came");
    Ok(1)
}

async fn ours(options: &ExecClient, goes_on: impl Fn() -> bool) -> anyhow::Result<u64> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut client = Client::new(stream, StructHeader::default())?;
    let size = options.size.to_string();
    let words: &[&str] = match options.size {
        0 => &["true"],
        _ => &["head", "-c", &size, "/dev/zero"],
    };
    let mut commands = 0;
    loop {
        let mut exec = client
            .exec(client::Command::program(words.iter().copied()))
            .await?;
        let mut come = 0;
        let ended = exec
            .wait(|output| {
                if let Output::Stdout(bytes) = output {
                    come += bytes.len() as u64;
                }
            })
            .await?;
        ensure!(ended.outcome == Outcome::Exit(0), "{}", ended.outcome);
        ensure!(come == options.size, "{come} bytes came");
        commands += 1;
        if options.size > 0 || !goes_on() {
            return Ok(commands);
        }
    }
}
