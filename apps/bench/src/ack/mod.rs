//! The ack-handshake: one way, and request with response; on one connection, and on 32.

mod client;

pub use client::{AckClient, run as run_client};

use crate::{
    options::Measure,
    process::{self, Server},
    report::{Better, Report},
    rounds::{Case, Sample, Table, alternate},
    servers::Kind,
};

/// Server, and whether the client is ours, too.
const CASES: [(&str, Kind, bool); 5] = [
    ("by hand, blocking", Kind::AckBlocking, false),
    ("by hand, tokio", Kind::AckTokio, false),
    ("ours, static", Kind::AckOurs, false),
    ("ours, from a config string", Kind::AckOursDyn, false),
    ("ours at both ends", Kind::AckOurs, true),
];

pub fn run(measure: &Measure, report: &mut Report) {
    for connections in [1, 32] {
        for one_way in [true, false] {
            let way = if one_way {
                "one way"
            } else {
                "request and response"
            };
            let group = format!("{way}, 64 B, {connections} at once");
            let table = Table {
                bench: "ack",
                group: group.clone(),
                unit: "frames/s",
                better: Better::More,
            };
            let mut list = CASES.to_vec();
            if one_way {
                list.retain(|(_, kind, _)| *kind != Kind::AckOursDyn);
            }
            if connections > 1 {
                // With many at once the loop to beat is the one that does not block.
                list.swap(0, 1);
            }
            let limit = list[0].0;
            let mut cases = Vec::new();
            for (name, kind, ours) in list {
                if name != limit && !measure.wants(&group, name) {
                    continue;
                }
                let mut words = vec![kind.name()];
                words.extend((!one_way).then(|| "--echo".to_owned()));
                let server = Server::start(&words);
                cases.push(Case::new(name, move || {
                    let server = server
                        .as_ref()
                        .map_err(|error| anyhow::anyhow!("{error:#}"))?;
                    let mut words = vec![
                        "ack-client".to_owned(),
                        format!("--port={}", server.port),
                        format!("--connections={connections}"),
                        format!("--seconds={}", measure.round(0.6).as_secs_f64()),
                    ];
                    words.extend(one_way.then(|| "--one-way".to_owned()));
                    words.extend(ours.then(|| "--ours".to_owned()));
                    let before = process::cpu(server.id())?;
                    let done: client::Done = process::ask(&words)?;
                    let used = process::cpu(server.id())? - before;
                    let frames = done.frames as f64;
                    let sample = Sample::from(frames / done.seconds);
                    Ok(match kind {
                        // Its threads have ended, and with them what they have used.
                        Kind::AckBlocking => sample,
                        _ => sample.with("server us/frame", used / frames * 1e6),
                    })
                }));
            }
            if cases.len() > 1 {
                report.extend(alternate(&table, measure.turns(), cases));
            }
        }
    }
}
