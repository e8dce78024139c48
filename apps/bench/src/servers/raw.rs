//! Loops as one would write them by hand with tokio: a `u32` length, one write for each read.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What one read may bring: more than any batch of the load generator at a depth of 16.
const READ: usize = 256 * 1024;

/// Copies frames from the read buffer into the write buffer.
pub(super) async fn copied(mut stream: TcpStream) -> io::Result<()> {
    let mut input = vec![0; READ];
    // The beginning of a frame that is not whole yet stands in front.
    let mut filled = 0;
    let mut output = Vec::new();
    loop {
        if filled == input.len() {
            input.resize(2 * filled, 0);
        }
        let count = stream.read(&mut input[filled..]).await?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        let used = super::epoll::answer(&input[..filled], &mut output);
        input.copy_within(used..filled, 0);
        filled -= used;
        if !output.is_empty() {
            stream.write_all(&output).await?;
            output.clear();
        }
    }
}

/// The same with a reference-counted `Bytes` of each frame, as a service would have it.
pub(super) async fn counted(mut stream: TcpStream) -> io::Result<()> {
    let mut input = BytesMut::new();
    let mut output = Vec::new();
    loop {
        // Back to the front, which is still in the cache, while that costs no copy.
        if input.is_empty() || input.capacity() - input.len() < READ / 2 {
            input.reserve(READ);
        }
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        while let Some(header) = input.first_chunk() {
            let length = u32::from_be_bytes(*header) as usize;
            if input.len() - 4 < length {
                break;
            }
            input.advance(4);
            let frame = std::hint::black_box(input.split_to(length).freeze());
            output.extend_from_slice(&(frame.len() as u32).to_be_bytes());
            output.extend_from_slice(&frame);
        }
        if !output.is_empty() {
            stream.write_all(&output).await?;
            output.clear();
        }
    }
}
