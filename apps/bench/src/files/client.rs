//! Fetches or stores a file, and throws away what it gets.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use anyhow::ensure;
use clap::{Args, ValueEnum};
use framing::Registry;
use services::{client::Client, files::FileName};
use tokio::io::{AsyncRead, ReadBuf};

use super::{
    PIECE,
    peers::{self, Peer},
};
use crate::{
    pin::{Side, pin},
    servers::{DOWN, UP},
};

#[derive(Args, Debug)]
pub struct FileClient {
    pub(super) way: Way,
    #[arg(long)]
    pub(super) port: u16,
    #[arg(long)]
    pub(super) size: u64,
    /// Speaks the native dialect.
    #[arg(long)]
    ours: bool,
    #[arg(long, default_value = "struct-header")]
    framing: String,
    /// Does without a digest.
    #[arg(long)]
    no_digest: bool,
    /// Speaks what somebody else's server does.
    #[arg(long)]
    peer: Option<Peer>,
    /// Where the files are, for those that name them by their path.
    #[arg(long, default_value = ".")]
    pub(super) folder: PathBuf,
    /// Where peers keep their settings.
    #[arg(long, default_value = ".")]
    pub(super) settings: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    Down,
    Up,
}

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Up => "up",
        }
    }
}

/// Prints how many seconds it took.
pub fn run(options: &FileClient) -> anyhow::Result<()> {
    pin(Side::Client)?;
    let start = Instant::now();
    if let Some(peer) = options.peer {
        peers::run(peer, options)?;
    } else if options.ours {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(ours(options))?;
    } else {
        by_hand(options)?;
    }
    println!("{}", start.elapsed().as_secs_f64());
    Ok(())
}

impl FileClient {
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}

fn by_hand(options: &FileClient) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(options.address())?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![b'x'; PIECE];
    match options.way {
        Way::Down => {
            stream.write_all(b"d")?;
            let mut come = 0;
            loop {
                let count = stream.read(&mut buffer)?;
                if count == 0 {
                    break;
                }
                come += count as u64;
            }
            ensure!(come == options.size, "{come} bytes came");
        }
        Way::Up => {
            stream.write_all(b"u")?;
            for _ in 0..options.size / PIECE as u64 {
                stream.write_all(&buffer)?;
            }
            stream.shutdown(Shutdown::Write)?;
            stream.read_exact(&mut [0])?;
        }
    }
    Ok(())
}

async fn ours(options: &FileClient) -> anyhow::Result<()> {
    let stream = tokio::net::TcpStream::connect(options.address()).await?;
    stream.set_nodelay(true)?;
    let framing = Registry::default().parse(&options.framing)?.make();
    let mut client = Client::new(stream, framing)?;
    client.set_digests(!options.no_digest);
    match options.way {
        Way::Down => {
            let name: FileName = DOWN.parse()?;
            let mut download = client.get(&name).await?;
            let mut come = 0;
            while let Some(bytes) = download.read().await? {
                come += bytes.len() as u64;
            }
            ensure!(come == options.size, "{come} bytes came");
        }
        Way::Up => {
            let name: FileName = UP.parse()?;
            let content = Content(options.size);
            client.put(&name, Some(options.size), true, content).await?;
        }
    }
    Ok(())
}

/// So many bytes, all the same.
struct Content(u64);

impl AsyncRead for Content {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];
        while self.0 > 0 && buffer.remaining() > 0 {
            let count = PIECE.len().min(buffer.remaining()) as u64;
            let count = count.min(self.0);
            buffer.put_slice(&PIECE[..count as usize]);
            self.0 -= count;
        }
        Poll::Ready(Ok(()))
    }
}
