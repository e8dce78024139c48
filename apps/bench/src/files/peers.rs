//! Clients for the file servers of others: HTTP and FTP as far as one file needs them, and `scp`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    path::Path,
};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;

use super::{
    PIECE,
    client::{FileClient, Way},
};
use crate::servers::{DOWN, UP, ssh_client};

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    Http,
    Ftp,
    Scp,
}

pub(super) fn run(peer: Peer, options: &FileClient) -> anyhow::Result<()> {
    match (peer, options.way) {
        (Peer::Http, Way::Down) => http(options),
        (Peer::Http, Way::Up) => bail!("nothing is stored by HTTP"),
        (Peer::Ftp, _) => ftp(options),
        (Peer::Scp, _) => scp(options),
    }
}

fn http(options: &FileClient) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(options.address())?;
    stream.set_nodelay(true)?;
    let request = format!("GET /{DOWN} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    // The beginning of the body may come with the header.
    let mut input = BufReader::with_capacity(PIECE, stream);
    let mut line = String::new();
    input.read_line(&mut line)?;
    ensure!(line.starts_with("HTTP/1.1 200 "), "{}", line.trim());
    while line.trim() != "" {
        line.clear();
        input.read_line(&mut line)?;
    }
    throw_away(&mut input, options.size)
}

/// Reads to the end.
fn throw_away(input: &mut impl Read, size: u64) -> anyhow::Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut come = 0;
    loop {
        let count = input.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        come += count as u64;
    }
    ensure!(come == size, "{come} bytes came");
    Ok(())
}

fn ftp(options: &FileClient) -> anyhow::Result<()> {
    let mut control = Control(BufReader::new(TcpStream::connect(options.address())?));
    control.answer("220")?;
    control.ask("USER anonymous", "230")?;
    control.ask("TYPE I", "200")?;
    let passive = control.ask("EPSV", "229")?;
    let port = passive.split('|').nth(3).context("no port")?.parse()?;
    let mut data = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    data.set_nodelay(true)?;
    match options.way {
        Way::Down => {
            control.ask(&format!("RETR {DOWN}"), "150")?;
            throw_away(&mut data, options.size)?;
        }
        Way::Up => {
            control.ask(&format!("STOR {UP}"), "150")?;
            let buffer = vec![b'x'; PIECE];
            for _ in 0..options.size / PIECE as u64 {
                data.write_all(&buffer)?;
            }
            data.shutdown(Shutdown::Write)?;
        }
    }
    control.answer("226")?;
    Ok(())
}

/// The connection of commands.
struct Control(BufReader<TcpStream>);

impl Control {
    fn ask(&mut self, command: &str, wanted: &str) -> anyhow::Result<String> {
        self.0
            .get_mut()
            .write_all(format!("{command}\r\n").as_bytes())?;
        self.answer(wanted)
    }

    fn answer(&mut self, wanted: &str) -> anyhow::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        ensure!(line.starts_with(wanted), "vsftpd: {}", line.trim());
        Ok(line)
    }
}

fn scp(options: &FileClient) -> anyhow::Result<()> {
    let path = |name: &str| options.folder.join(name);
    let there = |path: &Path| format!("bench:{}", path.display());
    let mut command = ssh_client("scp", &options.settings, options.port);
    command.arg("-q");
    match options.way {
        Way::Down => command.arg(there(&path(DOWN))).arg("/dev/null"),
        Way::Up => command.arg(path(DOWN)).arg(there(&path(UP))),
    };
    let output = command.output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "scp: {}", told.trim());
    Ok(())
}
