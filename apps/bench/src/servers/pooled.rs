//! A hand-written tokio loop that holds no buffer while it waits: the floor for idle memory.

use std::{cell::RefCell, io, io::ErrorKind};

use tokio::{io::AsyncWriteExt, net::TcpStream};

const READ: usize = 64 * 1024;

thread_local! {
    /// All connections read into it, in turns.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

pub(super) async fn echo(mut stream: TcpStream) -> io::Result<()> {
    // The beginning of a frame that is not whole yet; seldom anything.
    let mut rest = Vec::new();
    loop {
        stream.readable().await?;
        let output = BUFFER.with_borrow_mut(|buffer| {
            let count = match stream.try_read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            let mut output = Vec::new();
            if rest.is_empty() {
                let used = super::epoll::answer(&buffer[..count], &mut output);
                rest.extend_from_slice(&buffer[used..count]);
            } else {
                rest.extend_from_slice(&buffer[..count]);
                let used = super::epoll::answer(&rest, &mut output);
                rest.drain(..used);
            }
            if rest.is_empty() {
                rest = Vec::new();
            }
            Ok(output)
        })?;
        stream.write_all(&output).await?;
    }
}
