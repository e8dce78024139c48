//! Loops as one would write them by hand with tokio: a `u32` length, one write for each read.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const READ: usize = 64 * 1024;

/// Copies frames from the read buffer into the write buffer.
pub(super) async fn copied(mut stream: TcpStream) -> io::Result<()> {
    let mut input = BytesMut::with_capacity(READ);
    let mut output = Vec::new();
    loop {
        if input.capacity() - input.len() < READ / 2 {
            input.reserve(READ);
        }
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let mut at = 0;
        while let Some(header) = input[at..].first_chunk() {
            let end = at + 4 + u32::from_be_bytes(*header) as usize;
            let Some(frame) = input.get(at + 4..end) else {
                break;
            };
            output.extend_from_slice(&(frame.len() as u32).to_be_bytes());
            output.extend_from_slice(frame);
            at = end;
        }
        input.advance(at);
        if !output.is_empty() {
            stream.write_all(&output).await?;
            output.clear();
        }
    }
}

/// The same with a reference-counted `Bytes` of each frame, as a service would have it.
pub(super) async fn counted(mut stream: TcpStream) -> io::Result<()> {
    let mut input = BytesMut::with_capacity(READ);
    let mut output = Vec::new();
    loop {
        if input.capacity() - input.len() < READ / 2 {
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
