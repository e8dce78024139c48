//! A tour through everything: a server inside, and a client over each framing.

use std::process::ExitCode;

use apps::{
    terminal,
    tour::{self, Options},
};
use bytesize::ByteSize;
use clap::Parser;

/// Starts a server on loopback and walks through it over each framing
///
/// Over ack-handshake, struct-header and delimiter: logs in (and is refused with a wrong password), runs
/// a program, uploads a file, lists, downloads by number, and compares digests. Exits with 1 if anything
/// differs.
#[derive(Debug, Parser)]
#[command(
    name = "tour",
    version,
    after_help = "Examples:
  tour                the whole tour
  tour --size 1GiB    with a larger file
  tour --course       the systems of the course on TCP sockets, with Python scripts
  tour --tamper       with a proxy that flips one bit; must end with exit code 1"
)]
struct Arguments {
    /// The size of the file
    #[arg(long, default_value = "64MiB")]
    size: ByteSize,

    /// Go through the course's systems instead, and print what passes on the wire
    #[arg(long, conflicts_with_all = ["size", "tamper"])]
    course: bool,

    /// Put a proxy between client and server that flips one bit
    #[arg(long)]
    tamper: bool,

    /// What is logged, such as `debug` [default: RUST_LOG, or error]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

/// The smallest file in which the proxy finds the bit that it flips.
const LEAST_TAMPERED: u64 = 2 << 20;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // If nobody can be told, the exit code still says it.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    if arguments.tamper && arguments.size.as_u64() < LEAST_TAMPERED {
        eprintln!(
            "tour: --tamper needs a --size of 2MiB or more: the bit stands behind the first of them"
        );
        return ExitCode::from(64);
    }
    let options = Options {
        size: arguments.size,
        tamper: arguments.tamper,
    };
    let result = match terminal::init_log(arguments.log.as_deref(), "error") {
        Ok(()) if arguments.course => tour::course::run().await,
        Ok(()) => tour::run(&options).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(true) => {
            let _ = tour::say("everything is as it should be");
            ExitCode::SUCCESS
        }
        Ok(false) => {
            let _ = tour::say("something is not as it should be");
            ExitCode::FAILURE
        }
        // Whoever has seen enough is told nothing more.
        Err(error) if is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tour: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nobody reads standard output any more.
fn is_closed(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
