//! Hand-written file servers. A client says in one byte whether it wants the file (`d`), or sends
//! one until it closes its side (`u`), which is answered with a byte.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::FileExt,
    path::Path,
    thread,
};

use rustix::{
    fs::sendfile,
    pipe::{SpliceFlags, fcntl_setpipe_size, pipe, splice},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What one read or write moves.
const PIECE: usize = 256 * 1024;

/// The file that is fetched, and the one that is stored.
pub const DOWN: &str = "down";
pub const UP: &str = "up";

/// Serves each connection in a thread, with plain system calls.
pub(super) fn blocking(
    listener: &TcpListener,
    folder: &Path,
    serve: fn(&TcpStream, &Path) -> io::Result<()>,
) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let folder = folder.to_owned();
        thread::spawn(move || {
            // The client notices.
            let _ = serve(&stream, &folder);
        });
    }
}

fn verb(mut stream: &TcpStream) -> io::Result<u8> {
    let mut verb = [0];
    stream.read_exact(&mut verb)?;
    Ok(verb[0])
}

/// 256 KiB at a time through one buffer.
pub(super) fn copied(mut stream: &TcpStream, folder: &Path) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    if verb(stream)? == b'd' {
        let file = File::open(folder.join(DOWN))?;
        let mut at = 0;
        loop {
            let count = file.read_at(&mut buffer, at)?;
            if count == 0 {
                return Ok(());
            }
            stream.write_all(&buffer[..count])?;
            at += count as u64;
        }
    }
    let mut file = File::create(folder.join(UP))?;
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return stream.write_all(b".");
        }
        file.write_all(&buffer[..count])?;
    }
}

/// The kernel moves the bytes: `sendfile` down, `splice` through a pipe up.
pub(super) fn moved(mut stream: &TcpStream, folder: &Path) -> io::Result<()> {
    if verb(stream)? == b'd' {
        let file = File::open(folder.join(DOWN))?;
        while sendfile(stream, &file, None, PIECE)? > 0 {}
        return Ok(());
    }
    let file = File::create(folder.join(UP))?;
    let (reader, writer) = pipe()?;
    fcntl_setpipe_size(&writer, PIECE)?;
    loop {
        let mut count = splice(stream, None, &writer, None, PIECE, SpliceFlags::MOVE)?;
        if count == 0 {
            return stream.write_all(b".");
        }
        while count > 0 {
            count -= splice(&reader, None, &file, None, count, SpliceFlags::MOVE)?;
        }
    }
}

/// What comes first to the mind of somebody who uses tokio.
pub(super) async fn tokio_copy(
    mut stream: tokio::net::TcpStream,
    folder: std::path::PathBuf,
) -> io::Result<()> {
    if stream.read_u8().await? == b'd' {
        let mut file = tokio::fs::File::open(folder.join(DOWN)).await?;
        tokio::io::copy(&mut file, &mut stream).await?;
        return stream.shutdown().await;
    }
    let mut file = tokio::fs::File::create(folder.join(UP)).await?;
    tokio::io::copy(&mut stream, &mut file).await?;
    file.flush().await?;
    stream.write_all(b".").await
}
