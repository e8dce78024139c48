//! Writes frames, given as lines of hex, as a framing does.

use std::io::{self, BufReader, BufWriter, Read, Write};

use bytes::Bytes;
use framing::{BoxFraming, FrameError, Framing, FramingFactory, Machine, Registry};
use serde_json::json;

use super::{
    cli::EncodeArgs,
    decode::error_line,
    exit::{Exit, Failure},
    hex,
    lines::{LineError, Lines},
    output::{Output, closed, json_line},
};

/// Bytes read at once.
const READ: usize = 64 * 1024;

/// Encodes standard input to standard output.
pub(super) fn run(framing: &str, args: &EncodeArgs, output: Output) -> Result<u8, Failure> {
    let factories = Registry::default()
        .parse(framing)
        .and_then(|factory| Ok((sender(framing)?.unwrap_or_else(|| factory.clone()), factory)));
    let (sender, factory) = match factories {
        Ok(factories) => factories,
        Err(error) => return Ok(refused(&error, 0)),
    };
    let form = match (output.is_json(), args.hex) {
        (true, _) => Form::Json,
        (false, true) => Form::Hex,
        (false, false) => Form::Bytes,
    };
    let mut printer = BufWriter::new(io::stdout().lock());
    let writer = Writer::new(&factory, &sender);
    let result = encode(writer, io::stdin().lock(), form, &mut printer);
    // What went well stays written.
    printer.flush().map_err(|error| closed(&error))?;
    match result {
        Ok(()) => Ok(0),
        Err(Stop::Frame { error, written }) => Ok(refused(&error, written)),
        Err(Stop::Failure(failure)) => Err(failure),
    }
}

/// How encoded frames are written.
#[derive(Clone, Copy)]
enum Form {
    Bytes,
    Hex,
    Json,
}

enum Stop {
    /// The framing does not carry a frame; so many bytes stand in front of it.
    Frame {
        error: FrameError,
        written: u64,
    },
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

fn refused(error: &FrameError, written: u64) -> u8 {
    // The exit code says it too, where nobody reads this.
    let _ = io::stderr().write_all(error_line(error, written).as_bytes());
    Exit::DATA
}

fn encode(
    mut writer: Writer,
    input: impl Read,
    form: Form,
    printer: &mut impl Write,
) -> Result<(), Stop> {
    let most = writer.machine.framing().max_frame();
    let input = BufReader::with_capacity(READ, input);
    let mut lines = Lines::new(input, most.saturating_mul(2).saturating_add(2));
    let mut written = 0;
    loop {
        let frame = match lines.next() {
            Ok(None) => return Ok(()),
            Ok(Some(line)) => hex::read(line),
            Err(LineError::TooLong) => {
                let error = FrameError::unencodable(format!(
                    "line {} is a frame over the limit of {most} bytes",
                    lines.number()
                ));
                return Err(Stop::Frame { error, written });
            }
            Err(LineError::Io(error)) => {
                return Err(Failure::input("standard input", &error).into());
            }
        };
        let frame = frame.map_err(|error| {
            let message = format!("line {}: {error}", lines.number());
            Failure::new(Exit::DATA, "data", message).hint("a line is one frame, in hex")
        })?;
        let bytes = writer
            .write(frame.into())
            .map_err(|error| Stop::Frame { error, written })?;
        written += bytes.len() as u64;
        let printed = match form {
            Form::Bytes => printer.write_all(&bytes),
            Form::Hex => writeln!(printer, "{}", hex::string(&bytes)),
            Form::Json => {
                let object = json!({ "bytes": hex::string(&bytes) });
                printer.write_all(json_line(&object).as_bytes())
            }
        };
        printed.map_err(|error| closed(&error))?;
        if lines.reader().buffer().is_empty() {
            // Whoever writes to us may wait for what we write.
            printer.flush().map_err(|error| closed(&error))?;
        }
    }
}

/// A framing that writes, and what its peer would answer.
struct Writer {
    machine: Machine<BoxFraming>,
    /// What the peer agrees to a frame with, in a framing that waits for that.
    agreement: Bytes,
}

impl Writer {
    /// `sender` is the framing that writes: of a pair, the part that does.
    fn new(factory: &FramingFactory, sender: &FramingFactory) -> Self {
        let framing = factory.make();
        let agreement = if framing.is_interactive() {
            agreement(sender)
        } else {
            Bytes::new()
        };
        Self {
            machine: Machine::new(framing),
            agreement,
        }
    }

    /// All the bytes that carry `frame`.
    fn write(&mut self, frame: Bytes) -> Result<Bytes, FrameError> {
        self.machine.send(frame)?;
        if !self.machine.framing().is_ready() {
            self.machine.receive(&self.agreement);
            self.machine.next_frame()?;
        }
        if !self.machine.framing().is_ready() {
            return Err(FrameError::unencodable(
                "the peer's agreement to this framing's frames is not known here",
            ));
        }
        Ok(self.machine.outbox().take_bytes())
    }
}

/// The part of a pair that writes, as it is written in the options of the pair.
fn sender(framing: &str) -> Result<Option<FramingFactory>, FrameError> {
    let options: Option<toml::Table> = toml::from_str(&format!("framing = {framing}")).ok();
    let sender = options
        .as_ref()
        .and_then(|options| options.get("framing")?.get("send"));
    sender
        .map(|sender| match sender.as_str() {
            Some(name) => Registry::default().parse(name),
            None => Registry::default().parse(&sender.to_string()),
        })
        .transpose()
}

/// What the framing itself agrees to an announcement with. Read off its answer, it is right whatever
/// the options are.
fn agreement(factory: &FramingFactory) -> Bytes {
    let mut peer = Machine::new(factory.make());
    peer.receive(b"1\n");
    // An announcement without its body gives no frame yet.
    let _ = peer.next_frame();
    peer.outbox().take_bytes()
}
