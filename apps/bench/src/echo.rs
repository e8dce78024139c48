//! Echoes frames over loopback, with the server on one core and its clients on the other.

use crate::{
    load::Load,
    options::Measure,
    process::{self, Server},
    report::{Better, Report},
    rounds::{Case, Sample, Table, alternate},
    servers::{Kind, missing},
};

/// Connections, requests in a batch, bytes of payload.
pub const CELLS: [(usize, usize, usize); 12] = [
    (1, 1, 64),
    (1, 16, 64),
    (1, 64, 64),
    (32, 1, 64),
    (32, 16, 64),
    (32, 64, 64),
    (1, 1, 4096),
    (1, 16, 4096),
    (1, 64, 4096),
    (32, 1, 4096),
    (32, 16, 4096),
    (32, 64, 4096),
];

/// The first is the limit.
const KINDS: [Kind; 16] = [
    Kind::Raw,
    Kind::RawBytes,
    Kind::Epoll,
    Kind::Ours,
    Kind::OursLent,
    Kind::OursDyn,
    Kind::OursLayers,
    Kind::OursLogin,
    Kind::OursNative,
    Kind::OursMultiplex,
    Kind::Framed,
    Kind::FramedTuned,
    Kind::TokioTower,
    Kind::Tarpc,
    Kind::Netty,
    Kind::Twisted,
];

pub fn run(measure: &Measure, report: &mut Report) {
    let (mut kinds, mut others) = (Vec::new(), Vec::new());
    for kind in KINDS {
        match missing(kind) {
            None => kinds.push(kind),
            Some(reason) => others.push((kind, reason)),
        }
    }
    let cells = if measure.quick { &CELLS[4..5] } else { &CELLS };
    for &(connections, depth, payload) in cells {
        let group = format!("{connections}x{depth}x{payload}");
        let table = Table {
            bench: "echo",
            group: group.clone(),
            unit: "requests/s",
            better: Better::More,
        };
        let mut cases = Vec::new();
        for &kind in &kinds {
            if kind != Kind::Raw && !measure.wants(&group, &kind.name()) {
                continue;
            }
            // Waiting for its turn it costs nothing.
            let server = Server::start(&[kind.name()]);
            let seconds = measure.round(0.5).as_secs_f64();
            let cell = (connections, depth, payload);
            if let (Kind::Netty, Ok(server)) = (kind, &server) {
                // The virtual machine compiles what it has seen often. If this fails, so will the rounds.
                let _ = load(server, kind, cell, 3.0 * seconds);
            }
            cases.push(Case::new(kind.name(), move || {
                let server = server
                    .as_ref()
                    .map_err(|error| anyhow::anyhow!("{error:#}"))?;
                Ok(sample(&load(server, kind, cell, seconds)?))
            }));
        }
        if cases.len() > 1 {
            report.extend(alternate(&table, measure.turns(), cases));
        }
    }
    for (kind, reason) in others {
        report.skip("echo", &kind.name(), reason);
    }
    if measure.wants("", "wireframe") {
        report.skip(
            "echo",
            "wireframe",
            "0.3.0 does not compile with the tokio-util that framing needs",
        );
    }
}

fn load(
    server: &Server,
    kind: Kind,
    (connections, depth, payload): (usize, usize, usize),
    seconds: f64,
) -> anyhow::Result<Load> {
    process::ask(&[
        "load".into(),
        format!("--port={}", server.port),
        format!("--speaks={}", kind.speaks().name()),
        format!("--connections={connections}"),
        format!("--depth={depth}"),
        format!("--payload={payload}"),
        format!("--seconds={seconds}"),
        format!("--server={}", server.id()),
    ])
}

fn sample(load: &Load) -> Sample {
    let requests = load.requests as f64;
    Sample::from(requests / load.seconds)
        .with("p50 us", load.p50)
        .with("p99 us", load.p99)
        .with("server us/request", load.server / requests * 1e6)
        .with("client's core %", load.client / load.seconds * 100.0)
}
