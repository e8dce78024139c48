//! A hand-written server that sends the output of `head -c BYTES /dev/zero`, each read of up to
//! 64 KiB behind its `u32` length.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

const PIECE: usize = 64 * 1024;

pub(super) fn copied(mut stream: &TcpStream, _: &Path) -> io::Result<()> {
    let mut size = [0; 8];
    stream.read_exact(&mut size)?;
    let mut child = Command::new("head")
        .args(["-c", &u64::from_be_bytes(size).to_string(), "/dev/zero"])
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
