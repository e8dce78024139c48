//! The command line.

use std::{path::PathBuf, time::Duration};

use bytesize::ByteSize;
use clap::{Parser, Subcommand};

use super::words::Lang;

const EXAMPLES: &str = r#"Examples:
  sticky                                  both scenes, 30 free runs, and every framing
  sticky --delay 5ms                      with a pause between the sends
  sticky --read-size 7                    with reads of 7 bytes
  sticky --nodelay true --runs 200        without Nagle's algorithm, in more runs
  sticky --only struct-header --only raw  two framings
  sticky --only '{ type = "delimiter", delimiter = "$$" }'
  sticky --html sticky.html               one page with the same pictures
  sticky --json | python3 -m json.tool    every call, with its bytes and its time

In a picture, time runs down; what the client does is at the left, what the server does further to the right. The bytes of a message have its colour, or stand behind its letter where there are no colours: A[hello]B[sigui]. Of longer messages, a letter stands for many bytes.

Nothing is made up: the sockets are real (on 127.0.0.1, at ports of the system's choice), and what is shown is what each call returned. So times and counts differ from run to run.

Exit codes: 0 done; 64 wrong command line, 65 no such framing or options that cannot work, 71 the sockets failed, 73 a file cannot be written, 74 standard output cannot be written."#;

/// The longest pause, so that the program ends in reasonable time.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// The largest read and the largest buffer.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Shows sticky packets on real sockets, and how each framing cures them
///
/// A client sends `hello` and `sigui`, one after the other, and a server that comes late reads both at once.
/// A message of 2000 bytes and one of 1000, read 1024 at a time, come glued and in parts. Each send and
/// each recv is shown as a picture; then the same messages with every framing, with the bytes on the wire and
/// what they cost.
#[derive(Debug, Parser)]
#[command(name = "sticky", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    /// Print one JSON document with every call instead of pictures
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,

    /// Write one self-contained page with the pictures to FILE instead
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) html: Option<PathBuf>,

    /// Write each picture as an SVG file into FOLDER instead
    #[arg(long, value_name = "FOLDER", help_heading = "Output")]
    pub(super) svg: Option<PathBuf>,

    /// Replace files that are there already
    #[arg(long, help_heading = "Output")]
    pub(super) force: bool,

    /// The language of pictures and pages [default: that of the locale]
    #[arg(long, value_name = "LANG", help_heading = "Output")]
    pub(super) lang: Option<Lang>,

    /// Whether small sends leave at once (TCP_NODELAY); without, Nagle's algorithm may hold them back
    #[arg(long, value_name = "BOOL", default_value = "false", action = clap::ArgAction::Set, help_heading = "Sockets")]
    pub(super) nodelay: bool,

    /// The input buffer of the side that reads (SO_RCVBUF), such as 4KiB [default: the system's]
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Sockets")]
    pub(super) receive_buffer: Option<ByteSize>,

    /// The output buffer of the side that sends (SO_SNDBUF), such as 4KiB [default: the system's]
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Sockets")]
    pub(super) send_buffer: Option<ByteSize>,

    /// The pause between the two sends, such as 5ms; at most 10s
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = delay, help_heading = "What is played")]
    pub(super) delay: Duration,

    /// The most that one recv takes
    #[arg(long, value_name = "SIZE", default_value = "1024", value_parser = size, help_heading = "What is played")]
    pub(super) read_size: ByteSize,

    /// How many free runs are counted; at most 1000
    #[arg(long, value_name = "N", default_value = "30", value_parser = clap::value_parser!(u32).range(0..=1000), help_heading = "What is played")]
    pub(super) runs: u32,

    /// Try this framing only: a name, or an inline table with `type` and options; may be repeated
    #[arg(long, value_name = "F", help_heading = "What is played")]
    pub(super) only: Vec<String>,

    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// What shells and `man` want to know.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print a script that completes commands in a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

fn size(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text
        .parse()
        .map_err(|_| "a size is a number of bytes, or text such as 4KiB".to_owned())?;
    match size.as_u64() {
        1..=LARGEST => Ok(size),
        _ => Err("a size is from 1 byte to 64MiB".to_owned()),
    }
}

fn delay(text: &str) -> Result<Duration, String> {
    let delay = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; a time is text such as 5ms or 1s"))?;
    match delay <= LONGEST_DELAY {
        true => Ok(delay),
        false => Err("a pause is at most 10s".to_owned()),
    }
}
