//! Runs commands: many that do nothing, and one that writes 1 GiB.

mod asyncssh;
mod client;
mod ssh;

pub use client::{ExecClient, run as run_client};

use std::fs;

use self::client::{Done, How};
use crate::{
    options::Measure,
    process::{self, Server},
    report::{Better, Report},
    rounds::{Case, Sample, Table, alternate},
    servers::{Kind, missing},
};

/// Its name in the tables, the client, and the server.
type Way = (&'static str, How, Option<Kind>);

/// `true`, again and again; the first is the limit.
const SPAWNS: [Way; 5] = [
    ("posix_spawn here", How::Local, None),
    ("by hand, over TCP", How::ByHand, Some(Kind::Output)),
    ("ours", How::Ours, Some(Kind::Native)),
    ("ssh with a control master", How::Ssh, Some(Kind::Sshd)),
    ("asyncssh", How::Asyncssh, Some(Kind::Asyncssh)),
];

/// Output; the first is the limit.
const COPIES: [Way; 3] = [
    ("by hand, 64 KiB and a u32", How::ByHand, Some(Kind::Output)),
    ("ours", How::Ours, Some(Kind::Native)),
    ("ssh, aes128-gcm", How::Ssh, Some(Kind::Sshd)),
];

pub fn run(measure: &Measure, report: &mut Report) {
    if let Err(error) = try_run(measure, report) {
        report.skip("exec", "everything", &format!("{error:#}"));
    }
}

fn try_run(measure: &Measure, report: &mut Report) -> anyhow::Result<()> {
    let size: u64 = if measure.quick { 64 << 20 } else { 1 << 30 };
    let output = format!("output, {} MiB", size >> 20);
    table(measure, report, "round trips of `true`", 0, &SPAWNS)?;
    table(measure, report, &output, size, &COPIES)
}

/// One table.
fn table(
    measure: &Measure,
    report: &mut Report,
    group: &str,
    size: u64,
    ways: &[Way],
) -> anyhow::Result<()> {
    let parent = tempfile::tempdir()?;
    // The server's files, of which there are none, and the settings of peers.
    let [folder, settings] = ["files", "settings"].map(|name| parent.path().join(name));
    fs::create_dir(&folder)?;
    fs::create_dir(&settings)?;
    let folder = format!("--folder={}", folder.display());
    let settings = format!("--settings={}", settings.display());
    let seconds = measure.round(0.6).as_secs_f64();
    let mut cases = Vec::new();
    for &(name, how, kind) in ways {
        if !cases.is_empty() && !measure.wants(group, name) {
            continue;
        }
        if let Some(reason) = kind.and_then(missing) {
            report.skip("exec", name, reason);
            continue;
        }
        let server =
            kind.map(|kind| Server::start(&[kind.name(), folder.clone(), settings.clone()]));
        let settings = &settings;
        cases.push(Case::new(name, move || {
            let mut words = vec![
                "exec-client".to_owned(),
                how.name(),
                format!("--seconds={seconds}"),
                format!("--size={size}"),
                settings.clone(),
            ];
            if let Some(server) = &server {
                let server = server
                    .as_ref()
                    .map_err(|error| anyhow::anyhow!("{error:#}"))?;
                words.push(format!("--port={}", server.port));
            }
            let done: Done = process::ask(&words)?;
            let amount = if size > 0 {
                size as f64 / f64::from(1 << 20)
            } else {
                done.commands as f64
            };
            Ok(Sample::from(amount / done.seconds))
        }));
    }
    if cases.len() > 1 {
        let table = Table {
            bench: "exec",
            group: group.into(),
            unit: if size > 0 { "MiB/s" } else { "commands/s" },
            better: Better::More,
        };
        report.extend(alternate(&table, measure.turns(), cases));
    }
    Ok(())
}
