//! Runs commands: many that do nothing, and one that writes 1 GiB.

mod client;

pub use client::{ExecClient, run as run_client};

use self::client::{Done, How};
use crate::{
    options::Measure,
    process::{self, Server, is_installed},
    report::{Better, Report},
    rounds::{Case, Sample, Table, alternate},
    servers::Kind,
};

pub fn run(measure: &Measure, report: &mut Report) {
    if let Err(error) = try_run(measure, report) {
        report.skip("exec", "everything", &format!("{error:#}"));
    }
    for (program, reason) in [
        (
            "ssh with a control master",
            "there is no sshd for it to talk to",
        ),
        ("asyncssh", "nobody has written how to drive it yet"),
    ] {
        let reason = match is_installed("sshd") {
            true => "nobody has written how to drive it yet",
            false => reason,
        };
        report.skip("exec", program, reason);
    }
}

fn try_run(measure: &Measure, report: &mut Report) -> anyhow::Result<()> {
    // The server's files, of which there are none.
    let folder = tempfile::tempdir()?;
    let folder = format!("--folder={}", folder.path().display());
    let size: u64 = if measure.quick { 64 << 20 } else { 1 << 30 };
    let seconds = measure.round(1.0).as_secs_f64();
    let spawns = [
        ("posix_spawn here", How::Local, None),
        ("ours", How::Ours, Some(Kind::Native)),
    ];
    let copies = [
        ("by hand, 64 KiB and a u32", How::ByHand, Some(Kind::Output)),
        ("ours", How::Ours, Some(Kind::Native)),
    ];
    for (group, unit, size, list) in [
        ("round trips of `true`".to_owned(), "commands/s", 0, spawns),
        (format!("output, {} MiB", size >> 20), "MiB/s", size, copies),
    ] {
        if !measure.wants(&group, "ours") {
            continue;
        }
        let cases = list.map(|(name, how, kind)| {
            let server = kind.map(|kind| Server::start(&[kind.name(), folder.clone()]));
            Case::new(name, move || {
                let mut words = vec![
                    "exec-client".to_owned(),
                    how.name(),
                    format!("--seconds={seconds}"),
                    format!("--size={size}"),
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
            })
        });
        let table = Table {
            bench: "exec",
            group,
            unit,
            better: Better::More,
        };
        report.extend(alternate(&table, measure.rounds(), cases.into()));
    }
    Ok(())
}
