//! `frame decode` and `frame encode` on the vectors of every framing.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use assert_cmd::cargo::cargo_bin;
use serde_json::{Map, Value, json};

use crate::format::{Chunk, Decode, Encode, File, Hex, hex};

#[path = "../../framing/tests/vectors/format.rs"]
mod format;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../framing/tests/vectors");

/// Streams of up to so many bytes are cut at every place; longer ones are read as they stand,
/// whole, and byte by byte. Each cut is a process of its own, and there are thousands.
const EVERY_CUT: usize = 40;

/// Processes at once.
const AT_ONCE: usize = 2;

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn frame(arguments: &[&str], stdin: &str) -> Ran {
    let mut child = Command::new(cargo_bin("frame"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Options that cannot work are refused before anything is read.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A framing as it stands behind `--framing`.
fn framing(name: &str, options: &Map<String, Value>) -> String {
    let mut options = options.clone();
    options.insert("type".into(), name.into());
    toml(&Value::Object(options))
}

/// The same value in TOML. Strings are written as in JSON.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(key, value)| format!("{key} = {}", toml(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(toml).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

/// Says visibly what is left out: `eprintln` would be hidden by the test harness.
fn skipped(count: usize, why: &str) {
    let mut stderr = io::stderr();
    writeln!(stderr, "SKIPPED {count} vectors: {why}").unwrap();
}

/// Runs all jobs, some at once, and says which went wrong.
fn all<T: Sync>(jobs: &[T], run: impl Fn(&T) -> Result<(), String> + Sync) {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(what) = run(job) {
                        wrong.lock().unwrap().push(what);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    let shown = wrong.len().min(10);
    assert!(
        wrong.is_empty(),
        "{} of {} are wrong, such as\n{}",
        wrong.len(),
        jobs.len(),
        wrong[..shown].join("\n")
    );
}

/// What a vector must print, but for the replies, which may come in other pieces.
fn expected(vector: &Decode) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut skipped = vector.skipped.iter().peekable();
    for count in 0..=vector.frames.len() {
        while let Some(error) = skipped.next_if(|error| error.after == count) {
            lines.push(json!({ "error": error.kind, "offset": error.offset }));
        }
        if let Some(Hex(frame)) = vector.frames.get(count) {
            lines.push(json!({ "frame": hex(frame) }));
        }
    }
    if let Some(error) = &vector.error {
        lines.push(json!({ "error": error.kind, "offset": error.offset }));
    }
    lines
}

fn decode(framing: &str, vector: &Decode, cut: &[Chunk]) -> Result<(), String> {
    let stdin = cut.iter().fold(String::new(), |mut lines, chunk| {
        match chunk {
            Chunk::Read(bytes) => writeln!(lines, "{}", hex(bytes)).unwrap(),
            Chunk::Wait => lines.push_str("wait\n"),
        }
        lines
    });
    let ran = frame(&["decode", "--chunks", "--framing", framing], &stdin);
    let (mut lines, mut replies) = (Vec::new(), String::new());
    for line in ran.stdout.lines() {
        let mut line: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        if let Some(reply) = line["reply"].as_str() {
            replies += reply;
            continue;
        }
        if line["error"].is_string() {
            // For people; it must be there.
            let message = line.as_object_mut().and_then(|line| line.remove("message"));
            message.ok_or("an error without its message")?;
        }
        lines.push(line);
    }
    let failed = vector.error.is_some() || !vector.skipped.is_empty();
    let got = (ran.code, lines, replies, ran.stderr.as_str());
    let sent: String = vector.replies.iter().map(|reply| hex(&reply.0)).collect();
    let code = if failed { 65 } else { 0 };
    let right = (Some(code), expected(vector), sent, "");
    if got == right {
        return Ok(());
    }
    let name = &vector.name;
    Err(format!(
        "{framing} {name:?}, {cut:?}\n  ran  {got:?}\n  file {right:?}"
    ))
}

#[test]
fn every_stream_is_decoded_so_at_every_cut() {
    let files = File::all_in(FOLDER);
    let (mut jobs, mut left_out) = (Vec::new(), 0);
    for file in &files {
        for vector in &file.decode {
            if vector.sent.is_some() {
                // `decode` sends nothing but replies.
                left_out += 1;
                continue;
            }
            let framing = framing(&file.framing, &vector.options);
            for cut in vector.every_cut(EVERY_CUT) {
                jobs.push((framing.clone(), vector, cut));
            }
        }
    }
    skipped(left_out, "`decode` sends no frames");
    assert!(jobs.len() > 1000 && left_out < 20, "{left_out} left out");
    all(&jobs, |(framing, vector, cut)| decode(framing, vector, cut));
}

/// Frames up to the first that is refused, and from the one behind it on again.
fn encode(framing: &str, vector: &Encode) -> Result<(), String> {
    let pairs: Vec<_> = vector.frames.iter().zip(&vector.wire).collect();
    for part in pairs.split_inclusive(|(_, wire)| wire.is_none()) {
        let lines = part.iter().map(|(frame, _)| hex(&frame.0) + "\n");
        let stdin: String = lines.collect();
        let ran = frame(&["encode", "--hex", "--framing", framing], &stdin);
        let written = part.iter().filter_map(|(_, wire)| wire.as_ref());
        let written: String = written.map(|wire| hex(&wire.0) + "\n").collect();
        let refused = part.iter().any(|(_, wire)| wire.is_none());
        let error: Value = serde_json::from_str(&ran.stderr).unwrap_or_default();
        let got = (ran.code, ran.stdout.as_str(), error["error"].as_str());
        let right = match refused {
            true => (Some(65), written.as_str(), Some("unencodable")),
            false => (Some(0), written.as_str(), None),
        };
        if got != right || refused == ran.stderr.is_empty() {
            let name = &vector.name;
            let said = ran.stderr;
            return Err(format!(
                "{framing} {name:?}\n  ran  {got:?} {said}\n  file {right:?}"
            ));
        }
    }
    Ok(())
}

#[test]
fn every_frame_is_encoded_so_or_refused() {
    let files = File::all_in(FOLDER);
    let (jobs, left_out): (Vec<_>, Vec<_>) = files
        .iter()
        .flat_map(|file| file.encode.iter().map(|vector| (&file.framing, vector)))
        // Alone it tells its ack; in a pair it reads none that it would have to agree to.
        .partition(|(_, vector)| vector.options.get("send") != Some(&json!("ack-handshake")));
    skipped(left_out.len(), "`encode` cannot ask a pair for its ack");
    assert_eq!(left_out.len(), 1);
    assert!(jobs.len() > 50, "there are {}", jobs.len());
    all(&jobs, |(name, vector)| {
        encode(&framing(name, &vector.options), vector)
    });
}
