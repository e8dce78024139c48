//! Measures Framewright beside hand-written loops and its peers.
//!
//! One binary: each subcommand is a benchmark, and starts itself anew for what must be a process of
//! its own (a server on one core, its client on the other).
//!
//! - `codecs/`, `echo.rs`, `files/`, `exec/`, `ack/`, `idle/`: one benchmark each, with its client.
//! - `servers/`: all that is measured over a socket, one kind a file; `load/` puts them under load.
//! - `rounds.rs` takes cases in turns, `stats.rs` summarises them, `pin.rs` and `process.rs` keep
//!   processes apart, `report/` writes what came out.

mod ack;
mod codecs;
mod echo;
mod exec;
mod files;
mod idle;
mod load;
mod options;
mod pin;
mod process;
mod report;
mod rounds;
mod servers;
mod stats;

use std::{
    fs,
    path::{Path, PathBuf},
    slice,
};

use anyhow::{Context, bail};
use clap::Parser;

use self::{
    options::{Command, Measure, Options},
    report::{Machine, Report},
};

/// Measures, and adds what it found.
type Benchmark<'a> = &'a dyn Fn(&Measure, &mut Report);

const ALL: [Benchmark<'_>; 6] = [
    &codecs::run,
    &echo::run,
    &files::run,
    &exec::run,
    &ack::run,
    &idle::run,
];

fn main() -> anyhow::Result<()> {
    let command = Options::parse().command;
    let one = |measure, benchmark: Benchmark<'_>| measured(&measure, &[benchmark]).map(drop);
    match command {
        Command::Codecs(measure) => one(measure, &codecs::run),
        Command::Echo(measure) => one(measure, &echo::run),
        Command::Files { measure, framing } if framing.is_empty() => one(measure, &files::run),
        Command::Files { measure, framing } => {
            let framings: Vec<&str> = framing.iter().map(String::as_str).collect();
            one(measure, &|measure, report| {
                files::run_with(&framings, measure, report);
            })
        }
        Command::Exec(measure) => one(measure, &exec::run),
        Command::Ack(measure) => one(measure, &ack::run),
        Command::Idle(measure) => one(measure, &idle::run),
        Command::All {
            measure,
            write,
            from,
        } => {
            let report = match &*from {
                [] => measured(&measure, &ALL)?,
                from => {
                    let report = read(from)?;
                    print!("{}", report::tables(&report.rows));
                    keep(&report, measure.json.as_deref())?;
                    report
                }
            };
            if write {
                report::write(&report)?;
            }
            Ok(())
        }
        Command::Compare { first, second } => {
            let (one, other) = (
                read(slice::from_ref(&first))?,
                read(slice::from_ref(&second))?,
            );
            let Some(compared) = report::compared(&one, &other) else {
                bail!(
                    "{} and {} have no figure of a goal in common",
                    first.display(),
                    second.display()
                );
            };
            print!("{compared}");
            Ok(())
        }
        Command::Serve(options) => servers::run(&options),
        Command::Load(options) => load::run(&options),
        Command::AckClient(options) => ack::run_client(&options),
        Command::ExecClient(options) => exec::run_client(&options),
        Command::CodecRound(measure) => codecs::run_round(&measure),
        Command::FileClient(options) => files::run_client(&options),
        Command::IdleClient(options) => idle::run_client(&options),
    }
}

/// Puts together what parts of a run have found; machine and date are those of the first.
fn read(files: &[PathBuf]) -> anyhow::Result<Report> {
    let mut whole: Option<Report> = None;
    for file in files {
        let read = || anyhow::Ok(serde_json::from_slice::<Report>(&fs::read(file)?)?);
        let part = read().with_context(|| format!("{} is no file of --json", file.display()))?;
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => {
                whole.rows.extend(part.rows);
                whole.skipped.extend(part.skipped);
            }
        }
    }
    Ok(whole.unwrap_or_default())
}

/// Runs benchmarks, and prints their tables.
fn measured(measure: &Measure, benchmarks: &[Benchmark<'_>]) -> anyhow::Result<Report> {
    if let Some(path) = &measure.json {
        // Before half an hour is spent on what cannot be kept.
        fs::write(path, "").with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut report = Report {
        machine: Machine::here(measure.rounds()),
        ..Report::default()
    };
    for benchmark in benchmarks {
        let before = report.rows.len();
        benchmark(measure, &mut report);
        print!("{}", report::tables(&report.rows[before..]));
    }
    for skipped in &report.skipped {
        println!(
            "skipped: {} {}, because {}",
            skipped.bench, skipped.what, skipped.reason
        );
    }
    if let (true, Some(only)) = (report.rows.is_empty(), measure.only()) {
        bail!("no table and no case has {only:?} in its name; without --only all are shown");
    }
    keep(&report, measure.json.as_deref())?;
    Ok(report)
}

/// Writes all figures to a file, if one is given.
fn keep(report: &Report, path: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = path else {
        return Ok(());
    };
    fs::write(path, serde_json::to_vec_pretty(report)?)
        .with_context(|| format!("cannot write {}", path.display()))
}
