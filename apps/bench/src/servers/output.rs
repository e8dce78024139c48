//! A hand-written server that runs a command for each `u64` it gets. For none it is `true`, and the
//! answer four bytes; else it is one that writes so many bytes, which are sent in pieces of up to
//! 64 KiB behind their `u32` length until the connection is closed.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

const PIECE: usize = 64 * 1024;

pub(super) fn run(mut stream: &TcpStream, _: &Path) -> io::Result<()> {
    let mut size = [0; 8];
    loop {
        stream.read_exact(&mut size)?;
        let size = u64::from_be_bytes(size);
        if size > 0 {
            return copy(stream, size);
        }
        // As the service does: no input, and pipes for the output.
        let output = Command::new("true").stdin(Stdio::null()).output()?;
        stream.write_all(&output.status.code().unwrap_or(-1).to_be_bytes())?;
    }
}

fn copy(mut stream: &TcpStream, size: u64) -> io::Result<()> {
    let mut child = Command::new("head")
        .args(["-c", &size.to_string(), "/dev/zero"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut buffer = vec![0; 4 + PIECE];
    if let Some(mut output) = child.stdout.take() {
        loop {
            let count = output.read(&mut buffer[4..])?;
            if count == 0 {
                break;
            }
            buffer[..4].copy_from_slice(&(count as u32).to_be_bytes());
            stream.write_all(&buffer[..4 + count])?;
        }
    }
    child.wait()?;
    Ok(())
}
