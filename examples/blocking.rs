//! cargo run --release --example blocking
//!
//! Runs a framing over `std::net` with threads, without tokio: a framing does no I/O of its own.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use bytes::{Buf, Bytes};
use framing::{Error, Framing, Machine, Received, StructHeader};

fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || serve_one(&listener));

    let mut client = Blocking::new(TcpStream::connect(address)?, StructHeader::default());
    for text in ["one", "two", "three"] {
        client.send(text.into())?;
    }
    client.io.shutdown(std::net::Shutdown::Write)?;
    let mut answers = Vec::new();
    while let Some(answer) = client.receive()? {
        println!("{}", answer.escape_ascii());
        answers.push(answer);
    }
    let served = server
        .join()
        .map_err(|_| anyhow::anyhow!("the server panicked"))??;
    anyhow::ensure!(served == 3 && answers == ["ONE", "TWO", "THREE"]);
    Ok(())
}

/// Answers the frames of one connection; returns how many.
fn serve_one(listener: &TcpListener) -> Result<usize, Error> {
    let (io, _) = listener.accept()?;
    let mut connection = Blocking::new(io, StructHeader::default());
    let mut served = 0;
    while let Some(frame) = connection.receive()? {
        connection.send(frame.to_ascii_uppercase().into())?;
        served += 1;
    }
    Ok(served)
}

/// A framing over a blocking byte stream. One that is interactive (the ack-handshake) would have to
/// be read while it writes, which takes more than these lines.
struct Blocking<Io, F> {
    io: Io,
    machine: Machine<F>,
}

impl<Io: Read + Write, F: Framing> Blocking<Io, F> {
    fn new(io: Io, framing: F) -> Self {
        assert!(
            !framing.is_interactive(),
            "this framing answers while it reads"
        );
        Self {
            io,
            machine: Machine::new(framing),
        }
    }

    fn send(&mut self, frame: Bytes) -> Result<(), Error> {
        self.machine.send(frame)?;
        let out = self.machine.outbox();
        while out.has_remaining() {
            match self.io.write(out.chunk())? {
                0 => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                count => out.advance(count),
            }
        }
        Ok(())
    }

    /// The next frame; `None` at a clean end. A cut-off frame is an error.
    fn receive(&mut self) -> Result<Option<Bytes>, Error> {
        let mut bytes = [0; 4096];
        loop {
            match self.machine.next_frame()? {
                Received::Frame(frame) => return Ok(Some(frame)),
                Received::End => return Ok(None),
                _ => match self.io.read(&mut bytes)? {
                    0 => self.machine.close_input(),
                    count => self.machine.receive(&bytes[..count]),
                },
            }
        }
    }
}

#[test]
fn runs() -> anyhow::Result<()> {
    main()
}
