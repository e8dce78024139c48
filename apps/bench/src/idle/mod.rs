//! How much memory a server holds for connections that have echoed once and do nothing.

mod client;

pub use client::{IdleClient, run as run_client};

use std::{
    env,
    process::{Child, Command, Stdio},
};

use crate::{
    options::Measure,
    process::{self, Server},
    report::{Better, Report},
    rounds::{Case, Sample, Table, alternate},
    servers::{Kind, missing},
};

const KINDS: [Kind; 9] = [
    Kind::Pooled,
    Kind::Ours,
    Kind::OursDyn,
    Kind::OursMultiplex,
    Kind::Framed,
    Kind::TokioTower,
    Kind::Tarpc,
    Kind::Netty,
    Kind::Twisted,
];

pub fn run(measure: &Measure, report: &mut Report) {
    let connections: u32 = if measure.quick { 500 } else { 10_000 };
    let group = format!("{connections} connections");
    let table = Table {
        bench: "idle",
        group: group.clone(),
        unit: "bytes/connection",
        better: Better::Less,
    };
    let mut cases = Vec::new();
    for kind in KINDS {
        if let Some(reason) = missing(kind) {
            report.skip("idle", &kind.name(), reason);
            continue;
        }
        if kind == Kind::Pooled || measure.wants(&group, &kind.name()) {
            cases.push(Case::new(kind.name(), move || one(kind, connections)));
        }
    }
    if cases.len() > 1 {
        report.extend(alternate(&table, measure.turns(), cases));
    }
}

/// Ends the client even when something else has failed.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn one(kind: Kind, wanted: u32) -> anyhow::Result<Sample> {
    let server = Server::start(&[kind.name()])?;
    let before = process::resident(server.id())?;
    let mut command = Command::new(env::current_exe()?);
    command
        .arg("idle-client")
        .arg(format!("--port={}", server.port))
        .arg(format!("--speaks={}", kind.speaks().name()))
        .arg(format!("--connections={wanted}"))
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut client = Ends(command.spawn()?);
    let connections = client::wait(&mut client.0)?;
    let grown = process::resident(server.id())?.saturating_sub(before) as f64;
    Ok(Sample::from(grown / f64::from(connections)).with("connections", f64::from(connections)))
}
