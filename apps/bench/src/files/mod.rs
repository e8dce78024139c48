//! Moves a file of 1 GiB from a server, and to one. The file lies in memory (`/dev/shm` where there
//! is one), so that no disk is measured.

mod client;

pub use client::{FileClient, run as run_client};

use std::{fs::File, io::Write, path::Path};

use services::files::Digest;

use self::client::Way;
use crate::{
    options::Measure,
    process::{self, Server, is_installed},
    report::{Better, Report},
    rounds::{Case, Sample, Table, alternate},
    servers::{DOWN, Kind},
};

const PIECE: usize = 256 * 1024;

/// The framings that are compared; those behind the first only in a full run.
const FRAMINGS: [&str; 7] = [
    "struct-header",
    "length-field",
    "varint",
    "netstring",
    "ack-handshake",
    "cobs",
    "lines",
];

pub fn run(measure: &Measure, report: &mut Report) {
    if let Err(error) = try_run(measure, report) {
        report.skip("files", "everything", &format!("{error:#}"));
    }
    for program in ["nginx", "vsftpd", "scp"] {
        let reason = match (program, is_installed(program)) {
            (_, false) => "it is not installed",
            ("scp", _) if !is_installed("sshd") => "there is no sshd for it to talk to",
            _ => "nobody has written how to drive it yet",
        };
        report.skip("files", program, reason);
    }
}

fn try_run(measure: &Measure, report: &mut Report) -> anyhow::Result<()> {
    let size: u64 = if measure.quick { 64 << 20 } else { 1 << 30 };
    let shm = Path::new("/dev/shm");
    let folder = if shm.is_dir() {
        tempfile::tempdir_in(shm)?
    } else {
        tempfile::tempdir()?
    };
    fill(&folder.path().join(DOWN), size)?;
    for way in [Way::Down, Way::Up] {
        let group = format!("{}, {} MiB", way.name(), size >> 20);
        let table = Table {
            bench: "files",
            group: group.clone(),
            unit: "MiB/s",
            better: Better::More,
        };
        let mut list: Vec<(String, Kind, &str, &[&str])> = Vec::new();
        let (moved, copied) = match way {
            Way::Down => ("sendfile", "by hand, pread 256 KiB"),
            Way::Up => ("splice", "by hand, read 256 KiB"),
        };
        list.push((copied.into(), Kind::FilesCopied, "", &[]));
        list.push((moved.into(), Kind::FilesMoved, "", &[]));
        list.push(("tokio::io::copy".into(), Kind::FilesTokio, "", &[]));
        let framings = if measure.quick {
            &FRAMINGS[..1]
        } else {
            &FRAMINGS
        };
        for framing in framings {
            list.push((
                format!("ours, {framing}"),
                Kind::Native,
                framing,
                &["--ours"],
            ));
            if *framing == "struct-header" {
                let name = "ours, struct-header, without digest".into();
                list.push((name, Kind::Native, framing, &["--ours", "--no-digest"]));
            }
            if way == Way::Down && *framing == "struct-header" {
                let name = "ours, struct-header, client without digest".into();
                list.push((name, Kind::Native, framing, &["--ours", "--bare"]));
            }
        }
        let limit = list[0].0.clone();
        let mut cases = Vec::new();
        for (name, kind, framing, more) in list {
            if name != limit && !measure.wants(&group, &name) {
                continue;
            }
            let mut words = vec![kind.name(), format!("--folder={}", folder.path().display())];
            if !framing.is_empty() {
                words.push(format!("--framing={framing}"));
            }
            let server = Server::start(&words);
            cases.push(Case::new(name, move || {
                let server = server
                    .as_ref()
                    .map_err(|error| anyhow::anyhow!("{error:#}"))?;
                let mut words = vec![
                    "file-client".to_owned(),
                    way.name().to_owned(),
                    format!("--port={}", server.port),
                    format!("--size={size}"),
                    format!("--framing={framing}"),
                ];
                words.extend(more.iter().map(|&word| word.to_owned()));
                let seconds: f64 = process::ask(&words)?;
                Ok(rate(size, seconds))
            }));
        }
        if cases.len() > 1 {
            if measure.wants(&group, "BLAKE3 alone") {
                cases.push(Case::new("BLAKE3 alone", || Ok(rate(size, digest(size)))));
            }
            report.extend(alternate(&table, measure.rounds(), cases));
        }
    }
    Ok(())
}

fn rate(size: u64, seconds: f64) -> Sample {
    (size as f64 / f64::from(1 << 20) / seconds).into()
}

/// Seconds that the digest of so many bytes takes.
fn digest(size: u64) -> f64 {
    let piece = vec![b'x'; PIECE];
    let mut hasher = Digest::hasher();
    let before = process::own_cpu();
    while hasher.count() < size {
        hasher.update(&piece);
    }
    std::hint::black_box(hasher.digest());
    process::own_cpu() - before
}

fn fill(path: &Path, size: u64) -> anyhow::Result<()> {
    let mut file = File::create(path)?;
    let piece: Vec<u8> = (0..=250).cycle().take(PIECE).collect();
    for _ in 0..size / PIECE as u64 {
        file.write_all(&piece)?;
    }
    Ok(())
}
