//! Moves a file of 1 GiB from a server, and to one. The file lies in memory (`/dev/shm` where there
//! is one), so that no disk is measured.

mod client;
mod peers;

pub use client::{FileClient, run as run_client};

use std::{
    fs::{self, File, Permissions},
    io::{ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use services::files::Digest;

use self::client::Way;
use crate::{
    options::Measure,
    process::{self, Server},
    report::{Better, Report},
    rounds::{Case, Sample, Table, alternate},
    servers::{DOWN, Kind, UP, missing},
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

/// File servers of others, and what one speaks to them.
const PEERS: [(&str, Kind, &str); 4] = [
    ("nginx", Kind::Nginx, "--peer=http"),
    ("nginx, sendfile", Kind::NginxSendfile, "--peer=http"),
    ("vsftpd", Kind::Vsftpd, "--peer=ftp"),
    ("scp, aes128-gcm", Kind::Sshd, "--peer=scp"),
];

pub fn run(measure: &Measure, report: &mut Report) {
    let some = if measure.quick { 1 } else { FRAMINGS.len() };
    run_with(&FRAMINGS[..some], measure, report);
}

/// With these of our framings.
pub fn run_with(framings: &[&str], measure: &Measure, report: &mut Report) {
    if let Err(error) = try_run(framings, measure, report) {
        report.skip("files", "everything", &format!("{error:#}"));
    }
    for (name, kind, _) in PEERS {
        if let Some(reason) = missing(kind) {
            report.skip("files", name, reason);
        }
    }
}

fn try_run(framings: &[&str], measure: &Measure, report: &mut Report) -> anyhow::Result<()> {
    let size: u64 = if measure.quick { 64 << 20 } else { 1 << 30 };
    let shm = Path::new("/dev/shm");
    // One of the peers runs as nobody, and must find the way to its own folder.
    let way = Permissions::from_mode(0o711);
    let mut builder = tempfile::Builder::new();
    let builder = builder.permissions(way);
    let parent = if shm.is_dir() {
        builder.tempdir_in(shm)?
    } else {
        builder.tempdir()?
    };
    let [folder, settings] = ["files", "settings"].map(|name| parent.path().join(name));
    fs::create_dir(&folder)?;
    fs::create_dir(&settings)?;
    fill(&folder.join(DOWN), size)?;
    let places = [
        format!("--folder={}", folder.display()),
        format!("--settings={}", settings.display()),
    ];
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
        }
        for (name, kind, peer) in &PEERS {
            let can = way == Way::Down || *peer != "--peer=http";
            if can && missing(*kind).is_none() {
                list.push(((*name).into(), *kind, "", std::slice::from_ref(peer)));
            }
        }
        let limit = list[0].0.clone();
        let mut cases = Vec::new();
        for (name, kind, framing, more) in list {
            if name != limit && !measure.wants(&group, &name) {
                continue;
            }
            let mut words = vec![kind.name()];
            words.extend_from_slice(&places);
            if !framing.is_empty() {
                words.push(format!("--framing={framing}"));
            }
            let server = Server::start(&words);
            // Wherever the server stores it: one has a folder of its own.
            let stored = [folder.join(UP), settings.join("ftp").join(UP)];
            let places = &places;
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
                words.extend_from_slice(places);
                // Or the next one would pay for taking the last one's place.
                for stored in &stored {
                    match fs::remove_file(stored) {
                        Err(error) if error.kind() != ErrorKind::NotFound => {
                            return Err(error.into());
                        }
                        _ => {}
                    }
                }
                let seconds: f64 = process::ask(&words)?;
                Ok(rate(size, seconds))
            }));
        }
        if cases.len() > 1 {
            if measure.wants(&group, "BLAKE3 alone") {
                cases.push(Case::new("BLAKE3 alone", || Ok(rate(size, digest(size)))));
            }
            report.extend(alternate(&table, measure.turns(), cases));
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
