//! Has commands run, and counts.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
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

use super::{asyncssh, ssh};
use crate::pin::{Side, pin};

#[derive(Args, Debug)]
pub struct ExecClient {
    how: How,
    #[arg(long, default_value_t = 0)]
    pub(super) port: u16,
    #[arg(long)]
    pub(super) seconds: f64,
    /// Bytes of output of one command; none: many commands without any.
    #[arg(long)]
    pub(super) size: u64,
    /// Where peers keep their settings.
    #[arg(long, default_value = ".")]
    pub(super) settings: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum How {
    /// Commands are started here, on the server's core.
    Local,
    ByHand,
    Ours,
    Ssh,
    Asyncssh,
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
        _ => Side::Client,
    })?;
    let done = match options.how {
        How::Local => local(options)?,
        How::ByHand if options.size == 0 => round_trips(options)?,
        How::ByHand => output(options)?,
        How::Ours => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(ours(options))?
        }
        How::Ssh => ssh::run(options)?,
        How::Asyncssh => return Err(asyncssh::become_client(options).into()),
    };
    println!("{}", serde_json::to_string(&done)?);
    Ok(())
}

/// Counts commands and their time, from when it is made.
pub(super) struct Count {
    start: Instant,
    limit: Duration,
    commands: u64,
}

impl Count {
    pub(super) fn new(options: &ExecClient) -> Self {
        Self {
            start: Instant::now(),
            limit: Duration::from_secs_f64(options.seconds),
            commands: 0,
        }
    }

    /// One has ended; whether there is time for another.
    pub(super) fn goes_on(&mut self) -> bool {
        self.commands += 1;
        self.start.elapsed() < self.limit
    }

    pub(super) fn done(&self) -> Done {
        Done {
            commands: self.commands,
            seconds: self.start.elapsed().as_secs_f64(),
        }
    }
}

fn local(options: &ExecClient) -> anyhow::Result<Done> {
    let mut count = Count::new(options);
    loop {
        // As the service does: no input, and pipes for the output.
        let output = Command::new("true").stdin(Stdio::null()).output()?;
        ensure!(output.status.success(), "`true` has failed");
        if !count.goes_on() {
            return Ok(count.done());
        }
    }
}

fn connect(options: &ExecClient) -> anyhow::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn round_trips(options: &ExecClient) -> anyhow::Result<Done> {
    let mut count = Count::new(options);
    let mut stream = connect(options)?;
    loop {
        stream.write_all(&0_u64.to_be_bytes())?;
        let mut status = [0; 4];
        stream.read_exact(&mut status)?;
        ensure!(status == [0; 4], "`true` has failed");
        if !count.goes_on() {
            return Ok(count.done());
        }
    }
}

fn output(options: &ExecClient) -> anyhow::Result<Done> {
    let mut count = Count::new(options);
    let mut stream = connect(options)?;
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
    count.goes_on();
    Ok(count.done())
}

/// What is run: nothing, or what writes so many bytes.
pub(super) fn words(size: u64) -> Vec<String> {
    let words: &[&str] = match size {
        0 => &["true"],
        _ => &["head", "-c", &size.to_string(), "/dev/zero"],
    };
    words.iter().map(|&word| word.to_owned()).collect()
}

async fn ours(options: &ExecClient) -> anyhow::Result<Done> {
    let mut count = Count::new(options);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut client = Client::new(stream, StructHeader::default())?;
    let words = words(options.size);
    loop {
        let mut exec = client
            .exec(client::Command::program(words.iter().cloned()))
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
        if !count.goes_on() || options.size > 0 {
            return Ok(count.done());
        }
    }
}
