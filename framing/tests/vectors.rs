//! The vectors in `vectors/`, each at every cut of its bytes; and the same in plain Python.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::{Command, Output},
};

use bytes::Bytes;
use framing::{
    ErrorKind, FrameError, Framing, FramingFactory, Machine, Outbox, Received, Registry,
};
use serde::de::DeserializeSeed;
use serde_json::{Map, Value};

use crate::format::{Chunk, Decode, Encode, Failure, File, Hex, Skipped, hex};

#[path = "vectors/format.rs"]
mod format;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");

/// No stream is that long.
const ALL: usize = usize::MAX;

/// The framing with these options.
fn build(framing: &str, options: &Map<String, Value>) -> Result<FramingFactory, serde_json::Error> {
    let mut options = options.clone();
    options.insert("type".into(), framing.into());
    Registry::default()
        .seed()
        .deserialize(Value::Object(options))
}

/// What came of a vector.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    frames: Vec<String>,
    skipped: Vec<Skipped>,
    error: Option<Failure>,
    replies: String,
}

impl Outcome {
    fn expected(vector: &Decode) -> Self {
        Self {
            frames: vector.frames.iter().map(|frame| hex(&frame.0)).collect(),
            skipped: vector.skipped.clone(),
            error: vector.error.clone(),
            replies: vector.replies.iter().map(|reply| hex(&reply.0)).collect(),
        }
    }

    fn fails(&mut self, error: &FrameError) {
        let declared = error.declared().map(|declared| declared.to_string());
        let (kind, offset) = (error.kind().as_str().to_owned(), error.offset());
        if error.is_recoverable() {
            self.skipped.push(Skipped {
                after: self.frames.len(),
                kind,
                offset,
                declared,
            });
            return;
        }
        self.error = Some(Failure {
            kind,
            offset,
            declared,
            part: error.part().map(|part| part.as_str().to_owned()),
            have: error.part().map(|_| error.have()),
            need: error.need(),
        });
    }
}

/// Runs a vector with its stream cut into these reads.
fn decode(factory: &FramingFactory, vector: &Decode, cut: &[Chunk]) -> Outcome {
    let mut machine = Machine::new(factory.make());
    let mut outcome = Outcome::default();
    if let Some(Hex(frame)) = &vector.sent {
        machine.send(frame.clone().into()).unwrap();
    }
    for chunk in cut {
        match chunk {
            Chunk::Read(bytes) => machine.receive(bytes),
            Chunk::Wait => {
                if let Some(deadline) = machine.deadline() {
                    machine.set_now(deadline);
                }
            }
        }
        drain(&mut machine, &mut outcome);
    }
    if !vector.open {
        machine.close_input();
        drain(&mut machine, &mut outcome);
        let ends = machine.next_frame();
        let ended = ends == Ok(Received::End) || outcome.error.is_some();
        assert!(ended, "{}: {ends:?}", vector.name);
    }
    outcome
}

fn drain<F: Framing>(machine: &mut Machine<F>, outcome: &mut Outcome) {
    loop {
        let received = machine.next_frame();
        outcome.replies += &hex(&machine.outbox().take_bytes());
        match received {
            Ok(Received::Frame(frame)) => outcome.frames.push(hex(&frame)),
            Ok(_) => return,
            Err(error) => {
                outcome.fails(&error);
                if !error.is_recoverable() {
                    assert_eq!(machine.next_frame(), Err(error), "it comes again");
                    return;
                }
            }
        }
    }
}

/// The bytes of each frame, or nothing where it is refused.
fn encode(framing: &str, vector: &Encode) -> Vec<Option<String>> {
    let factory = build(framing, &vector.options).unwrap();
    let mut machine = Machine::new(factory.make());
    let mut slices = (factory.make(), Outbox::new());
    let interactive = machine.framing().is_interactive();
    let ack = vector.options.get("ack").map_or("ok", |ack| {
        ack.as_str().expect("an ack other than text is not needed")
    });
    let mut written = Vec::new();
    for Hex(frame) in &vector.frames {
        let sent = machine.send(frame.clone().into());
        if sent.is_ok() && !machine.framing().is_ready() {
            machine.receive(ack.as_bytes());
            assert!(matches!(machine.next_frame(), Ok(Received::Need(_))));
        }
        let bytes = machine.outbox().take_bytes();
        if !interactive {
            let (framing, out) = &mut slices;
            let slice = framing.encode_slice(frame, out);
            assert_eq!(slice.is_ok(), sent.is_ok(), "{}", vector.name);
            assert_eq!(out.take_bytes(), bytes, "{}", vector.name);
        }
        written.push(match sent {
            Ok(()) => Some(hex(&bytes)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unencodable, "{}", vector.name);
                let frame = Bytes::copy_from_slice(frame);
                assert_eq!(error.frame(), Some(&frame), "{}", vector.name);
                assert!(bytes.is_empty(), "{}", vector.name);
                None
            }
        });
    }
    written
}

#[test]
fn every_stream_gives_the_same_however_it_is_cut() {
    let mut mismatches = Vec::new();
    for file in File::all_in(FOLDER) {
        for vector in &file.decode {
            let (name, expected) = (&vector.name, Outcome::expected(vector));
            let factory = match build(&file.framing, &vector.options) {
                Ok(factory) => factory,
                Err(error) => {
                    let kind = expected.error.as_ref().map(|error| error.kind.as_str());
                    assert_eq!(kind, Some("config"), "{} {name:?}: {error}", file.framing);
                    continue;
                }
            };
            let framing = factory.make();
            // What is excused from the cuts must have a reason.
            let excused = vector.chunks.contains(&Chunk::Wait) || !framing.keeps_boundaries();
            assert!(excused || !vector.uncut, "{} {name:?}: uncut", file.framing);
            let wrong = vector.every_cut(ALL).into_iter().find_map(|cut| {
                let outcome = decode(&factory, vector, &cut);
                (outcome != expected).then_some((cut, outcome))
            });
            if let Some((cut, outcome)) = wrong {
                let framing = &file.framing;
                mismatches.push(format!(
                    "{framing} {name:?}: {cut:?}\n ours {outcome:?}\n file {expected:?}"
                ));
            }
        }
    }
    assert!(mismatches.is_empty(), "{}", mismatches.join("\n"));
}

#[test]
fn every_frame_is_written_so_or_refused() {
    for file in File::all_in(FOLDER) {
        for vector in &file.encode {
            let expected: Vec<_> = vector
                .wire
                .iter()
                .map(|wire| wire.as_ref().map(|Hex(bytes)| hex(bytes)))
                .collect();
            let (framing, name) = (&file.framing, &vector.name);
            assert_eq!(encode(framing, vector), expected, "{framing} {name:?}");
        }
    }
}

#[test]
fn each_framing_has_its_vectors() {
    let files = File::all_in(FOLDER);
    let framings: Vec<&str> = files.iter().map(|file| file.framing.as_str()).collect();
    let registry = Registry::default();
    assert_eq!(framings, registry.names().collect::<Vec<_>>());
    for file in &files {
        let (decode, encode) = (file.decode.len(), file.encode.len());
        assert!(encode >= 3, "{}: {encode} to encode", file.framing);
        assert!(decode + encode >= 12, "{}: {decode}", file.framing);
    }
}

#[test]
fn a_mistake_in_a_file_is_no_secret() {
    let file = |decode: &str, encode: &str| {
        let text = format!(r#"{{"framing": "raw", "decode": [{decode}], "encode": [{encode}]}}"#);
        File::parse(&text).map(drop)
    };
    let good = r#"{"name": "a", "options": {}, "chunks": ["61"], "frames": ["61"]}"#;
    let sent = r#"{"name": "a", "options": {}, "frames": ["61"], "wire": ["61"]}"#;
    assert_eq!(file(good, sent), Ok(()));
    let error = |error: &str| good.replace(r#"["61"]}"#, &format!(r#"[], "error": {{{error}}}}}"#));
    for (wrong, says) in [
        (good.replace("frames", "frame"), "unknown field `frame`"),
        (good.replace(r#""chunks": ["61"], "#, ""), "`chunks`"),
        (good.replace("61", "6g"), "`6g` is neither"),
        (good.replace("61", "6"), "`6` is neither"),
        (good.replace("61", "wait"), "`wait` is no hex"),
        (good.replace("[\"61\"]}", "[\"6A\"]}"), "`6A` is no hex"),
        (good.replace("\"61\"], ", "\"wait\"], "), "must be `uncut`"),
        (
            good.replace('}', r#", "opne": true}"#).replace("{,", "{"),
            "expected",
        ),
        (
            good.replace("]}", r#"], "open": true}"#),
            "an `open` stream",
        ),
        (good.replace("]}", r#"], "replise": []}"#), "`replise`"),
        (error(r#""kind": "malformed""#), "`offset`"),
        (error(r#""kind": "malformed", "ofset": 0"#), "`ofset`"),
        (
            error(r#""kind": "malformed", "offset": 0, "have": 5"#),
            "belong to",
        ),
        (error(r#""kind": "truncated", "offset": 0"#), "belong to"),
        (format!("{good}, {good}"), "twice"),
    ] {
        let error = file(&wrong, "").unwrap_err();
        assert!(error.contains(says), "{wrong}: {error:?} misses {says:?}");
    }
    for (wrong, says) in [
        (sent.replace("wire", "bytes"), "unknown field `bytes`"),
        (sent.replace(r#"["61"]}"#, "[]}"), "each frame"),
        (format!("{sent}, {sent}"), "twice"),
    ] {
        let error = file("", &wrong).unwrap_err();
        assert!(error.contains(says), "{wrong}: {error:?} misses {says:?}");
    }
}

/// Runs a copy of the Python readers, or says visibly that there is no Python.
fn python(folder: &Path) -> Option<Output> {
    let ran = Command::new("python3")
        .arg(folder.join("check.py"))
        .output();
    match ran {
        Ok(output) => Some(output),
        Err(error) => {
            // `eprintln` would be hidden by the test harness.
            let mut stderr = io::stderr();
            writeln!(stderr, "SKIPPED: no python3 to compare with: {error}").unwrap();
            None
        }
    }
}

#[test]
fn plain_python_comes_to_the_same() {
    let Some(output) = python(Path::new(FOLDER)) else {
        return;
    };
    let said = String::from_utf8(output.stdout).unwrap();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{failed}");
    for framing in Registry::default().names() {
        let line = said.lines().find_map(|line| {
            let (name, rest) = line.split_once(": ")?;
            (name == framing).then_some(rest)
        });
        let line = line.unwrap_or_else(|| panic!("nothing on {framing}: {said}"));
        let left_out = matches!(framing, "ack-handshake" | "pair" | "raw");
        assert_eq!(line.starts_with("SKIPPED"), left_out, "{framing}: {line}");
        let agree = line.split(' ').next().and_then(|count| count.parse().ok());
        assert!(left_out || agree > Some(9), "{framing}: {line}");
    }
}

#[test]
fn plain_python_sees_a_wrong_vector() {
    let source = Path::new(FOLDER);
    let good = fs::read_to_string(source.join("slip.json")).unwrap();
    for (right, wrong) in [
        (r#""wire": ["c06869c0"#, r#""wire": ["c06869c1"#),
        (
            r#""frames": ["6869", "7468657265"]"#,
            r#""frames": ["6869"]"#,
        ),
        (r#""have": 3"#, r#""have": 2"#),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(source.join("check.py"), folder.path().join("check.py")).unwrap();
        assert!(good.contains(right), "{right} is there to be changed");
        let changed = good.replace(right, wrong);
        fs::write(folder.path().join("slip.json"), changed).unwrap();
        let Some(output) = python(folder.path()) else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{wrong}: {said}");
        assert!(said.contains("MISMATCH"), "{said}");
    }
}
