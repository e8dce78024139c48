//! Takes bytes on standard input apart into frames, one JSON object a line.
//!
//! No clock runs: the framing's time limits pass only where a line `wait` says so, and the same
//! input always gives the same output.

use std::io::{self, BufRead, BufWriter, Read, Write};

use bytes::Buf;
use framing::{BoxFraming, FrameError, Machine, Received};
use serde_json::json;

use super::{
    cli::DecodeArgs,
    exit::{Exit, Failure},
    hex,
    lines::{LineError, Lines},
    output::{closed, json_line},
};

/// Bytes read at once, and each such read is one of the framing's.
const READ: usize = 64 * 1024;

/// The longest line of hex.
const LONGEST_LINE: usize = 256 * 1024 * 1024;

/// How many time limits one `wait` lets pass: a framing that always sets another must not keep us.
const MOST_WAITS: usize = 1000;

/// Decodes standard input to standard output.
pub(super) fn run(framing: &str, args: &DecodeArgs) -> Result<u8, Failure> {
    let mut printer = BufWriter::new(io::stdout().lock());
    let factory = match framing::Registry::default().parse(framing) {
        Ok(factory) => factory,
        Err(error) => {
            write_error(&mut printer, &error)?;
            flush(&mut printer)?;
            return Ok(Exit::DATA);
        }
    };
    let mut decoder = Decoder {
        machine: Machine::new(factory.make()),
        printer,
        line: Vec::new(),
        failed: false,
    };
    let input = io::stdin().lock();
    let result = if args.chunks {
        decoder.chunks(input)
    } else {
        decoder.bytes(input)
    };
    flush(&mut decoder.printer)?;
    match result {
        Ok(()) | Err(Stop::Final) if decoder.failed => Ok(Exit::DATA),
        Ok(()) | Err(Stop::Final) => Ok(0),
        Err(Stop::Failure(failure)) => Err(failure),
    }
}

/// Why decoding goes no further.
enum Stop {
    /// No frame comes after the error that was printed.
    Final,
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

struct Decoder<W> {
    machine: Machine<BoxFraming>,
    printer: W,
    /// The line being put together.
    line: Vec<u8>,
    /// An error has been printed.
    failed: bool,
}

impl<W: Write> Decoder<W> {
    fn bytes(&mut self, mut input: impl Read) -> Result<(), Stop> {
        let mut buffer = vec![0; READ];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => return self.end(),
                Ok(count) => self.read(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::input("standard input", &error).into()),
            }
        }
    }

    fn chunks(&mut self, input: impl BufRead) -> Result<(), Stop> {
        let mut lines = Lines::new(input, LONGEST_LINE);
        loop {
            let chunk = match lines.next() {
                Ok(None) => return self.end(),
                Ok(Some(b"")) => continue,
                Ok(Some(b"wait")) => {
                    self.wait()?;
                    continue;
                }
                Ok(Some(line)) => hex::read(line),
                Err(LineError::TooLong) => {
                    let number = lines.number();
                    let message = format!("line {number} is over {LONGEST_LINE} bytes");
                    return Err(Failure::new(Exit::DATA, "data", message).into());
                }
                Err(LineError::Io(error)) => {
                    return Err(Failure::input("standard input", &error).into());
                }
            };
            match chunk {
                Ok(chunk) => self.read(&chunk)?,
                Err(error) => {
                    let message = format!("line {}: {error}", lines.number());
                    return Err(Failure::new(Exit::DATA, "data", message)
                        .hint("with --chunks a line is hex, empty, or `wait`")
                        .into());
                }
            }
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.machine.receive(bytes);
        self.drain()?;
        // Whoever writes to us may wait for what we say.
        Ok(flush(&mut self.printer)?)
    }

    fn wait(&mut self) -> Result<(), Stop> {
        for _ in 0..MOST_WAITS {
            let Some(deadline) = self.machine.deadline() else {
                break;
            };
            self.machine.set_now(deadline);
            self.drain()?;
            if self.machine.deadline() == Some(deadline) {
                break;
            }
        }
        Ok(flush(&mut self.printer)?)
    }

    fn end(&mut self) -> Result<(), Stop> {
        self.machine.close_input();
        self.drain()
    }

    /// Prints what is to be had from the bytes that have come.
    fn drain(&mut self) -> Result<(), Stop> {
        loop {
            let received = self.machine.next_frame();
            // An answer stands in front of the frame that it made possible.
            let reply = self.machine.outbox();
            if reply.has_remaining() {
                let reply = reply.take_bytes();
                self.print("reply", &reply)?;
            }
            match received {
                Ok(Received::Frame(frame)) => self.print("frame", &frame)?,
                Ok(_) => return Ok(()),
                Err(error) => {
                    self.failed = true;
                    write_error(&mut self.printer, &error)?;
                    if !error.is_recoverable() {
                        return Err(Stop::Final);
                    }
                }
            }
        }
    }

    fn print(&mut self, what: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.line.clear();
        self.line.extend_from_slice(b"{\"");
        self.line.extend_from_slice(what.as_bytes());
        self.line.extend_from_slice(b"\":\"");
        hex::write(bytes, &mut self.line);
        self.line.extend_from_slice(b"\"}\n");
        self.printer
            .write_all(&self.line)
            .map_err(|error| closed(&error))
    }
}

fn write_error(printer: &mut impl Write, error: &FrameError) -> Result<(), Failure> {
    let line = error_line(error, error.offset());
    printer
        .write_all(line.as_bytes())
        .map_err(|error| closed(&error))
}

/// A framing's error as `encode` and `decode` tell it.
pub(super) fn error_line(error: &FrameError, offset: u64) -> String {
    json_line(&json!({
        "error": error.kind().as_str(),
        "message": error.to_string(),
        "offset": offset,
    }))
}

fn flush(printer: &mut impl Write) -> Result<(), Failure> {
    printer.flush().map_err(|error| closed(&error))
}
