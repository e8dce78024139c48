//! JSON headers against the `json` and `struct` modules of a real Python: what its `json.dumps`
//! writes is read, and what we write is read by its `json.loads`.
//!
//! One Python process answers requests, a line of JSON each. Without a `python3` the test says so
//! and compares nothing.

use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use framing::{ErrorKind, Framing, JsonHeaderOptions, Limits, Machine, Received, Value};
use serde_json::{Value as Json, json};

/// Answers `{format, dumps, head, body}` with the frame as a script would send it, and `{format,
/// wire}` with what a script would make of it: header and body.
const PEER: &str = r#"
import json, struct, sys

def answer(request):
    layout = request["format"]
    if "wire" in request:
        wire = bytes.fromhex(request["wire"])
        start = struct.calcsize(layout)
        length, = struct.unpack(layout, wire[:start])
        head = json.loads(wire[start:start + length].decode("utf-8"))
        body = wire[start + length:]
        assert type(head["size"]) is int and head["size"] == len(body), head
        return {"head": head, "body": body.hex()}
    body = bytes.fromhex(request["body"])
    head = json.dumps(request["head"], **request["dumps"]).encode("utf-8")
    return {"wire": (struct.pack(layout, len(head)) + head + body).hex(), "header": head.decode()}

for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as error:
        reply = {"error": repr(error)}
    print(json.dumps(reply), flush=True)
"#;

struct Python {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Python {
    /// Starts the peer, or says visibly that there is none.
    fn start() -> Option<Self> {
        let spawned = Command::new("python3")
            .args(["-c", PEER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                // `eprintln` would be hidden by the test harness.
                let mut stderr = io::stderr();
                writeln!(stderr, "SKIPPED: no python3 to compare with: {error}").unwrap();
                return None;
            }
        };
        Some(Self {
            requests: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        })
    }

    fn ask(&mut self, request: &Json) -> Json {
        let requests = self.requests.as_mut().unwrap();
        writeln!(requests, "{request}").unwrap();
        requests.flush().unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.requests = None;
        let _ = self.child.wait();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

const FORMATS: [&str; 5] = ["i", "!I", "<H", ">q", "=xBx"];

/// Members beside the size.
fn heads() -> Vec<Json> {
    vec![
        json!({}),
        json!({ "name": "a.txt" }),
        json!({ "name": "报告 \"x\"\\\n\u{7f}😀.txt", "md5": "0123456789abcdef" }),
        json!({ "a": [1, -2, 3.5, 1e300, null, true, { "size": 9, "": [] }], "Size": 7 }),
        json!({ "键": { "deep": [[[[[]]]]] } }),
    ]
}

#[test]
fn python_and_we_read_each_other() {
    let Some(mut python) = Python::start() else {
        return;
    };
    let dumps = [
        json!({}),
        json!({ "ensure_ascii": false }),
        json!({ "indent": 1, "sort_keys": true }),
        json!({ "separators": [",", ":"] }),
    ];
    let bodies: [&[u8]; 3] = [b"", b"hello", b"{\"size\": 3}\xff\0"];
    for format in FORMATS {
        let build = || {
            let options = JsonHeaderOptions::default().format(format);
            options.build(Limits::new())
        };
        for (head, body) in heads()
            .iter()
            .flat_map(|head| bodies.map(|body| (head, body)))
        {
            let sized = |head: &Json| {
                let mut head = head.clone();
                head["size"] = body.len().into();
                head
            };
            for dumps in &dumps {
                let answer = python.ask(&json!({
                    "format": format, "dumps": dumps, "head": sized(head), "body": hex(body),
                }));
                let Some(wire) = answer["wire"].as_str() else {
                    // `B` holds short headers only.
                    assert_eq!(format, "=xBx", "{answer}");
                    continue;
                };
                let mut machine = Machine::new(build().unwrap());
                machine.receive(&unhex(wire));
                let frame = Received::Frame(body.to_vec().into());
                assert_eq!(machine.next_frame(), Ok(frame), "{answer}");
                let Value::Bytes(header) = &machine.framing().header()[0] else {
                    panic!("a header that is no text");
                };
                assert_eq!(header, answer["header"].as_str().unwrap());
                machine.close_input();
                assert_eq!(machine.next_frame(), Ok(Received::End), "{answer}");
            }

            let mut machine = Machine::new(build().unwrap());
            let object = Value::Bytes(head.to_string().into());
            if let Err(error) = machine.framing_mut().set_header(&[object]) {
                assert!(format == "=xBx" && error.kind() == ErrorKind::Unencodable);
                continue;
            }
            machine.send(body.to_vec().into()).unwrap();
            let wire = machine.outbox().take_bytes();
            let answer = python.ask(&json!({ "format": format, "wire": hex(&wire) }));
            assert_eq!(
                answer,
                json!({ "head": sized(head), "body": hex(body) }),
                "{format}: {}",
                wire.escape_ascii()
            );
        }
    }
}
