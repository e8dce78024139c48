//! Measures Framewright beside hand-written loops and its peers.
//!
//! One binary: each subcommand is a benchmark, and starts itself anew for what must be a process of
//! its own (a server on one core, its client on the other).

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

use clap::Parser;

use self::{
    options::{Command, Measure, Options},
    report::Report,
};

fn main() -> anyhow::Result<()> {
    let (measure, run): (Measure, &[fn(&Measure, &mut Report)]) = match Options::parse().command {
        Command::Codecs(measure) => (measure, &[codecs::run]),
        Command::Echo(measure) => (measure, &[echo::run]),
        Command::Files(measure) => (measure, &[files::run]),
        Command::Exec(measure) => (measure, &[exec::run]),
        Command::FileClient(options) => return files::run_client(&options),
        Command::ExecClient(options) => return exec::run_client(&options),
        Command::Ack(measure) => (measure, &[ack::run]),
        Command::Idle(measure) => (measure, &[idle::run]),
        Command::AckClient(options) => return ack::run_client(&options),
        Command::IdleClient(options) => return idle::run_client(&options),
        Command::Serve(options) => return servers::run(&options),
        Command::Load(options) => return load::run(&options),
        _ => anyhow::bail!("not yet"),
    };
    let mut report = Report::default();
    for benchmark in run {
        benchmark(&measure, &mut report);
    }
    print!("{}", report::tables(&report.rows));
    if let Some(path) = &measure.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(())
}
