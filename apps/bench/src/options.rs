//! What the command line says.

use std::{ops::Range, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, value_parser};
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
    Compare {
        /// The file of the run that states a spread for each figure.
        first: PathBuf,
        /// That of the run whose figures should lie between.
        second: PathBuf,
    },
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
    /// Alternated rounds, 1 to 1000 (9).
    #[arg(long, value_parser = value_parser!(u16).range(1..=1000))]
    rounds: Option<u16>,
    /// Seconds that one round of one case takes, 0.001 to 3600.
    #[arg(long, value_parser = seconds)]
    seconds: Option<f64>,
    /// A glance: few cases, one short round. For trying out, not for figures.
    #[arg(long)]
    pub quick: bool,
    /// Only cases and tables whose names contain one of these words (the limit is always there). A
    /// comma with a space behind it is part of a name.
    #[arg(long, value_parser = words)]
    only: Option<Words>,
    /// Writes all figures to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// How many rounds were before these.
    #[arg(long, hide = true, default_value_t = 0)]
    before: usize,
}

/// What is to be found in a name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Words(Vec<String>);

/// Words with commas between them.
fn words(text: &str) -> Result<Words, &'static str> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(',') {
        match words.last_mut() {
            Some(last) if word.starts_with(' ') => {
                last.push(',');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    if words.iter().any(|word| word.trim().is_empty()) {
        return Err("a word is empty, and would be found in every name");
    }
    Ok(Words(words))
}

fn seconds(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(seconds) if (0.001..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("it has to be a number from 0.001 to 3600"),
    }
}

/// A config string that names a framing.
fn framing(text: &str) -> Result<String, FrameError> {
    Registry::default().parse(text)?;
    Ok(text.to_owned())
}

impl Measure {
    pub fn rounds(&self) -> usize {
        let usual = if self.quick { 1 } else { 9 };
        self.rounds.map_or(usual, usize::from)
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
        words.extend(self.only().map(|only| format!("--only={only}")));
        words
    }

    /// How long one round of one case is, if nobody says otherwise.
    pub fn round(&self, usual: f64) -> Duration {
        let quick = if self.quick { usual / 20.0 } else { usual };
        Duration::from_secs_f64(self.seconds.unwrap_or(quick))
    }

    /// Whether the table, or a case in it, is wanted.
    pub fn wants(&self, group: &str, case: &str) -> bool {
        let Some(Words(only)) = &self.only else {
            return true;
        };
        let has = |name: &str, word: &str| name.to_lowercase().contains(&word.to_lowercase());
        only.iter().any(|word| has(group, word) || has(case, word))
    }

    /// What was asked for alone.
    pub fn only(&self) -> Option<String> {
        self.only.as_ref().map(|Words(only)| only.join(","))
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
        let named = measure(&["--only", "Ours, Static,memchr"]);
        assert!(named.wants("decode", "ours, static") && named.wants("decode", "memchr"));
        assert!(!named.wants("decode", "ours, from a config string"));
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        for words in [
            ["--rounds", "0"],
            ["--seconds", "0"],
            ["--seconds", "nan"],
            ["--seconds", "inf"],
            ["--only", ""],
            ["--only", "raw,,ours"],
        ] {
            let words = [&["bench", "codecs"], &words[..]].concat();
            assert!(Options::try_parse_from(&words).is_err(), "{words:?}");
        }
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
        assert_eq!((one.only.clone(), one.quick), (all.only, true));
        assert_eq!(one.seconds, Some(0.5));
    }

    #[test]
    fn only_framings_that_there_are_can_be_compared() {
        let parse = |text| Options::try_parse_from(["bench", "files", "--framing", text]);
        assert!(parse(r#"cobs;{ type = "delimiter", delimiter = "||" }"#).is_ok());
        assert!(parse("morse").is_err());
    }
}
