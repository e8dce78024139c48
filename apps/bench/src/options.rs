//! What the command line says.

use std::{ops::Range, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use framing::{FrameError, Registry};

use crate::{
    ack::AckClient, exec::ExecClient, files::FileClient, idle::IdleClient, load::LoadOptions,
    servers::ServeOptions,
};

/// Measures Framewright beside hand-written loops and its peers, as ratios.
///
/// Every case is measured in alternated rounds; what is printed are the medians, with the least and
/// the most. Build it with `--release`.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Example: bench echo --only ours,raw --rounds 9 --seconds 2"
)]
pub struct Options {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Decodes and encodes in memory.
    Codecs(Measure),
    /// Echoes frames over loopback, twelve combinations of connections, depth and payload.
    Echo(Measure),
    /// Moves a file up and down.
    Files {
        #[command(flatten)]
        measure: Measure,
        /// Our framings to be compared, as config strings; else a choice of them.
        #[arg(long, value_delimiter = ';', value_parser = framing)]
        framing: Vec<String>,
    },
    /// Runs commands, and has one write much.
    Exec(Measure),
    /// The ack-handshake, which waits for its peer.
    Ack(Measure),
    /// Counts the memory of idle connections.
    Idle(Measure),
    /// All of them.
    All {
        #[command(flatten)]
        measure: Measure,
        /// Writes docs/performance.md and its plots anew.
        #[arg(long)]
        write: bool,
        /// Measures nothing, and takes the figures from files of `--json`.
        #[arg(long, value_delimiter = ',')]
        from: Vec<PathBuf>,
    },
    /// Says whether a second run agrees with a first one, from their files of `--json`.
    Compare { first: PathBuf, second: PathBuf },
    /// A server, as a process of its own.
    #[command(hide = true)]
    Serve(ServeOptions),
    /// The load generator, as a process of its own.
    #[command(hide = true)]
    Load(LoadOptions),
    #[command(hide = true)]
    AckClient(AckClient),
    #[command(hide = true)]
    ExecClient(ExecClient),
    /// One round of `codecs`, as a process of its own.
    #[command(hide = true)]
    CodecRound(Measure),
    #[command(hide = true)]
    FileClient(FileClient),
    #[command(hide = true)]
    IdleClient(IdleClient),
}

#[derive(Args, Clone, Debug)]
pub struct Measure {
    /// Alternated rounds.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds that one round of one case takes.
    #[arg(long)]
    seconds: Option<f64>,
    /// A glance: few cases, one short round. For trying out, not for figures.
    #[arg(long)]
    pub quick: bool,
    /// Only cases and tables whose names contain one of these words (the limit is always there).
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Writes all figures to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// How many rounds were before these.
    #[arg(long, hide = true, default_value_t = 0)]
    before: usize,
}

/// A config string that names a framing.
fn framing(text: &str) -> Result<String, FrameError> {
    Registry::default().parse(text)?;
    Ok(text.to_owned())
}

impl Measure {
    pub fn rounds(&self) -> usize {
        let usual = if self.quick { 1 } else { 5 };
        self.rounds.unwrap_or(usual).max(1)
    }

    /// The rounds by their numbers.
    pub fn turns(&self) -> Range<usize> {
        self.before..self.before + self.rounds()
    }

    /// One of the rounds alone, as the command line says it.
    pub fn one(&self, round: usize) -> Vec<String> {
        let mut words = vec!["--rounds=1".to_owned(), format!("--before={round}")];
        words.extend(self.seconds.map(|seconds| format!("--seconds={seconds}")));
        words.extend(self.quick.then(|| "--quick".to_owned()));
        words.extend(self.only.iter().map(|word| format!("--only={word}")));
        words
    }

    /// How long one round of one case is, if nobody says otherwise.
    pub fn round(&self, usual: f64) -> Duration {
        let quick = if self.quick { usual / 20.0 } else { usual };
        Duration::from_secs_f64(self.seconds.unwrap_or(quick).clamp(0.001, 3600.0))
    }

    /// Whether the table, or a case in it, is wanted.
    pub fn wants(&self, group: &str, case: &str) -> bool {
        self.only.is_empty()
            || self
                .only
                .iter()
                .any(|word| group.contains(&**word) || case.contains(&**word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(words: &[&str]) -> Measure {
        let words = [&["bench", "codecs"], words].concat();
        match Options::parse_from(words).command {
            Command::Codecs(measure) => measure,
            _ => unreachable!("codecs was asked for"),
        }
    }

    #[test]
    fn only_takes_tables_and_cases() {
        let some = measure(&["--only", "lent,ours"]);
        assert!(some.wants("decode lent, 64 B", "memchr"));
        assert!(some.wants("encode", "ours static"));
        assert!(!some.wants("encode", "Vec"));
        assert!(measure(&[]).wants("encode", "Vec"));
    }

    #[test]
    fn what_is_said_goes_before_quick() {
        let quick = measure(&["--quick", "--rounds", "3"]);
        assert_eq!(quick.rounds(), 3);
        assert_eq!(quick.round(1.0), Duration::from_millis(50));
        assert_eq!(measure(&["--seconds", "2"]).round(1.0).as_secs(), 2);
    }

    #[test]
    fn one_round_is_what_the_others_are() {
        let all = measure(&["--quick", "--only", "lent, 64 B,ours", "--seconds", "0.5"]);
        let words = all.one(3);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let one = measure(&words);
        assert_eq!(one.turns(), 3..4);
        assert_eq!((one.only, one.quick), (all.only, true));
        assert_eq!(one.seconds, Some(0.5));
    }

    #[test]
    fn only_framings_that_there_are_can_be_compared() {
        let parse = |text| Options::try_parse_from(["bench", "files", "--framing", text]);
        assert!(parse(r#"cobs;{ type = "delimiter", delimiter = "||" }"#).is_ok());
        assert!(parse("morse").is_err());
    }
}
