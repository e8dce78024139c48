//! `frame` without a network: decode, encode, framings, help.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command as Process, Stdio},
    thread,
};

use assert_cmd::{Command, cargo::cargo_bin};
use framing::{Framing, OptionHelp, Registry};
use serde_json::{Value, json};

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn objects(&self) -> Vec<Value> {
        let objects = self.stdout.lines().map(serde_json::from_str);
        objects
            .collect::<Result<_, _>>()
            .expect("each line is one JSON object")
    }
}

fn frame(arguments: &[&str], stdin: impl Into<Vec<u8>>) -> Ran {
    let output = Command::new(cargo_bin("frame"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .write_stdin(stdin)
        .timeout(std::time::Duration::from_secs(60))
        .output()
        .unwrap();
    Ran {
        code: output.status.code().expect("it ends by itself"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn decode(framing: &str, stdin: impl Into<Vec<u8>>) -> Ran {
    frame(&["decode", "--framing", framing], stdin)
}

fn decode_chunks(framing: &str, stdin: &str) -> Ran {
    frame(&["decode", "--chunks", "--framing", framing], stdin)
}

fn encode_hex(framing: &str, stdin: &str) -> Ran {
    frame(&["encode", "--hex", "--framing", framing], stdin)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn spawn(arguments: &[&str]) -> Child {
    Process::new(cargo_bin("frame"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

const FRAMES: [&str; 4] = ["one", "", "two words", "3"];

/// Framings, and the bytes of `FRAMES` in them.
const WIRES: [(&str, &str); 6] = [
    ("ack-handshake", "3\none0\n9\ntwo words1\n3"),
    (
        "struct-header",
        "\0\0\0\x03one\0\0\0\0\0\0\0\x09two words\0\0\0\x013",
    ),
    (
        "{ type = \"struct-header\", format = \"<H\" }",
        "\x03\0one\0\0\x09\0two words\x01\x003",
    ),
    ("delimiter", "one\n\ntwo words\n3\n"),
    (
        "{ type = \"delimiter\", delimiter = \"||\" }",
        "one||||two words||3||",
    ),
    ("lines", "one\n\ntwo words\n3\n"),
];

fn expected(framing: &str) -> Vec<Value> {
    let reply = (framing == "ack-handshake").then(|| json!({ "reply": hex(b"ok") }));
    let frames = FRAMES
        .iter()
        .map(|text| json!({ "frame": hex(text.as_bytes()) }));
    frames
        .flat_map(|frame| reply.clone().into_iter().chain([frame]))
        .collect()
}

#[test]
fn every_framing_decodes_what_is_on_the_wire() {
    for (framing, wire) in WIRES {
        let ran = decode(framing, wire);
        assert_eq!(
            (ran.code, ran.objects()),
            (0, expected(framing)),
            "{framing}"
        );
        assert_eq!(ran.stderr, "", "{framing}");
    }
}

#[test]
fn cut_at_every_point_the_frames_are_the_same() {
    for (framing, wire) in WIRES {
        let wire = wire.as_bytes();
        for cut in 0..=wire.len() {
            let chunks = format!("{}\n\n{}\n", hex(&wire[..cut]), hex(&wire[cut..]));
            let ran = decode_chunks(framing, &chunks);
            assert_eq!(
                (ran.code, ran.objects()),
                (0, expected(framing)),
                "{framing} at {cut}"
            );
        }
        let single: String = wire.iter().map(|byte| format!("{byte:02x}\n")).collect();
        let ran = decode_chunks(framing, &single);
        assert_eq!(
            (ran.code, ran.objects()),
            (0, expected(framing)),
            "{framing} byte by byte"
        );
    }
}

#[test]
fn every_framing_encodes_the_same_bytes() {
    let lines: String = FRAMES.map(|text| hex(text.as_bytes()) + "\n").concat();
    for (framing, wire) in WIRES {
        let ran = frame(&["encode", "--framing", framing], lines.as_str());
        assert_eq!(
            (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
            (0, wire, ""),
            "{framing}"
        );
        let ran = encode_hex(framing, &lines);
        assert_eq!(ran.stdout.lines().count(), FRAMES.len(), "{framing}");
        assert_eq!(
            ran.stdout.replace('\n', ""),
            hex(wire.as_bytes()),
            "{framing}"
        );
    }
}

#[test]
fn raw_gives_each_read_and_writes_just_the_bytes() {
    let ran = decode_chunks("raw", "6f6e65\n74776f\n");
    assert_eq!(
        ran.objects(),
        [json!({ "frame": "6f6e65" }), json!({ "frame": "74776f" })]
    );
    assert_eq!(
        encode_hex("raw", "6f6e65\n74776f\n").stdout,
        "6f6e65\n74776f\n"
    );
}

#[test]
fn the_ack_handshake_answers_in_order_and_waits_when_told() {
    // Terminated numbers need no pause.
    let ran = decode_chunks("ack-handshake", "350a\n68656c6c6f\n");
    assert_eq!(
        ran.objects(),
        [json!({ "reply": "6f6b" }), json!({ "frame": "68656c6c6f" })]
    );

    let bare = "{ type = \"ack-handshake\", bare = true, ack = \"go\" }";
    let ran = decode_chunks(
        bare,
        "31\nwait\n61\n31\n32\nwait\n62626262626262626262\n6262\n",
    );
    let go = json!({ "reply": hex(b"go") });
    let frames = [
        json!({ "frame": "61" }),
        json!({ "frame": "62".repeat(12) }),
    ];
    assert_eq!(ran.code, 0);
    assert_eq!(
        ran.objects(),
        [go.clone(), frames[0].clone(), go.clone(), frames[1].clone()]
    );

    // Without the wait, the two digits are one number.
    let ran = decode_chunks(bare, "31\n32\nwait\n");
    assert_eq!(ran.objects()[0], go);
    assert_eq!(ran.objects()[1]["error"], "truncated");
    assert!(
        ran.objects()[1]["message"]
            .as_str()
            .unwrap()
            .contains("0 of 12")
    );

    // Waiting where no time limit runs changes nothing.
    let ran = decode_chunks("ack-handshake", "wait\n31\nwait\n0a61\nwait\n");
    assert_eq!((ran.code, ran.objects().len()), (0, 2));
}

#[test]
fn the_ack_handshake_is_encoded_as_if_each_ok_had_come() {
    let bare = r#"{ type = "ack-handshake", bare = true, terminator = "", ack = "go" }"#;
    assert_eq!(
        frame(&["encode", "--framing", bare], "68656c6c6f\n\n").stdout,
        "5hello0"
    );
    // What is written bare, and read terminated only.
    let half_bare = r#"{ type = "ack-handshake", terminator = "" }"#;
    assert_eq!(
        frame(&["encode", "--framing", half_bare], "6869\n6869\n").stdout,
        "2hi2hi"
    );
    // A refusal to be sent is not what agrees.
    let small = r#"{ type = "ack-handshake", max_frame = 1, refusal = "no", allow_empty = false }"#;
    assert_eq!(
        frame(&["encode", "--framing", small], "61\n").stdout,
        "1\na"
    );
    // As the part of a pair that writes.
    for (sender, bytes) in [("\"ack-handshake\"", "2\nhi"), (bare, "2hi")] {
        let pair = format!("{{ type = \"pair\", receive = \"raw\", send = {sender} }}");
        assert_eq!(
            frame(&["encode", "--framing", &pair], "6869\n").stdout,
            bytes
        );
    }
    // An ack that begins as a body might.
    let odd = "{ type = \"ack-handshake\", ack = \"\\n\" }";
    assert_eq!(
        frame(&["encode", "--framing", odd], "0a0a\n").stdout,
        "2\n\n\n"
    );
    let big = "ab".repeat(100_000);
    let ran = frame(
        &["encode", "--framing", "ack-handshake", "--hex"],
        big.clone(),
    );
    assert_eq!(ran.stdout, format!("{}{big}\n", hex(b"100000\n")));
}

#[test]
fn a_decode_error_is_the_last_line_and_says_where() {
    for (framing, input, kind, offset, lines) in [
        (
            "struct-header",
            &b"\0\0\0\x01a\xff\xff\xff\xff"[..],
            "too-long",
            5,
            2,
        ),
        (
            "struct-header",
            b"\0\0\0\x01a\0\0\0\x05bc",
            "truncated",
            5,
            2,
        ),
        ("struct-header", b"GET / HTTP/1.1\r\n", "too-long", 0, 1),
        (
            "{ type = \"struct-header\", format = \"!i\" }",
            b"\xff\xff\xff\xff",
            "malformed",
            0,
            1,
        ),
        ("delimiter", b"a\nb", "truncated", 2, 2),
        ("ack-handshake", b"1\na-1\n", "malformed", 3, 3),
        ("lines", b"a\n\xff\n", "malformed", 2, 2),
    ] {
        let ran = decode(framing, input);
        let objects = ran.objects();
        let error = objects.last().unwrap();
        assert_eq!(
            (ran.code, objects.len()),
            (65, lines),
            "{framing}: {}",
            ran.stdout
        );
        assert_eq!(error["error"], kind, "{framing}: {error}");
        assert!(
            error["offset"].as_u64().unwrap() >= offset,
            "{framing}: {error}"
        );
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert_eq!(error.as_object().unwrap().len(), 3);
        assert_eq!(ran.stderr, "");
    }
}

#[test]
fn a_refusal_is_printed_before_the_error() {
    let framing = "{ type = \"ack-handshake\", refusal = \"no\", max_frame = 10 }";
    let ran = decode(framing, "11\n");
    assert_eq!(ran.objects()[0], json!({ "reply": hex(b"no") }));
    assert_eq!(ran.objects()[1]["error"], "too-long");
    assert_eq!(ran.code, 65);
}

#[test]
fn with_skip_decoding_goes_on_and_the_code_tells() {
    let framing = "{ type = \"delimiter\", max_frame = 3, on_error = \"skip\" }";
    let ran = decode(framing, "one\nfour\ntwo\n");
    let objects = ran.objects();
    assert_eq!(ran.code, 65);
    assert_eq!(objects.len(), 3, "{}", ran.stdout);
    assert_eq!(objects[0], json!({ "frame": hex(b"one") }));
    assert_eq!(objects[1]["error"], "too-long");
    assert_eq!(objects[2], json!({ "frame": hex(b"two") }));
}

#[test]
fn wrong_framing_options_are_a_config_error() {
    for (framing, told) in [
        ("morse", "struct-header"),
        ("{ type = \"struct-header\", fromat = \"!I\" }", "format"),
        ("{ type = \"delimiter\", delimiter = \"\" }", "delimiter"),
        ("{ type = ", ""),
    ] {
        let ran = decode(framing, "");
        assert_eq!(
            (ran.code, ran.objects()[0]["error"].as_str()),
            (65, Some("config")),
            "{framing}"
        );
        assert!(
            ran.objects()[0]["message"].as_str().unwrap().contains(told),
            "{}",
            ran.stdout
        );
        let ran = frame(&["encode", "--framing", framing], "");
        assert_eq!((ran.code, ran.stdout.as_str()), (65, ""), "{framing}");
        let error: Value = serde_json::from_str(&ran.stderr).unwrap();
        assert_eq!(error["error"], "config");
        // The verbs that need a server say it to people, before they look for one.
        let ran = frame(&["--framing", framing, "ping"], "");
        assert_eq!(ran.code, 65, "{}", ran.stderr);
    }
    // Fit for frames, not for requests.
    let ran = frame(&["--framing", "raw", "ping"], "");
    assert_eq!(ran.code, 65);
    assert!(ran.stderr.contains("boundaries"), "{}", ran.stderr);
}

#[test]
fn of_a_refused_frame_nothing_is_written() {
    for (framing, frames, written) in [
        ("delimiter", "6f6e65\n610a62\n74776f\n", "one\n"),
        ("lines", "6f6e65\nff\n", "one\n"),
        (
            "{ type = \"struct-header\", format = \"B\" }",
            &format!("61\n{}\n", "62".repeat(256)),
            "\x01a",
        ),
        (
            "{ type = \"ack-handshake\", max_frame = 2 }",
            "6f6b\n6f6f6f\n",
            "2\nok",
        ),
        (
            "{ type = \"ack-handshake\", max_frame = 2 }",
            &format!("61\n{}\n", "62".repeat(9999)),
            "1\na",
        ),
    ] {
        let ran = frame(&["encode", "--framing", framing], frames);
        assert_eq!((ran.code, ran.stdout.as_str()), (65, written), "{framing}");
        let error: Value = serde_json::from_str(&ran.stderr).expect("one JSON object");
        assert_eq!(error["error"], "unencodable", "{framing}");
        assert_eq!(error["offset"], written.len(), "{framing}");
    }
}

#[test]
fn bad_hex_is_named_by_its_line() {
    let ran = frame(&["encode"], "61\n6\n");
    assert_eq!((ran.code, ran.stdout.as_bytes()), (65, &b"\0\0\0\x01a"[..]));
    assert!(
        ran.stderr.contains("line 2") && ran.stderr.contains("odd"),
        "{}",
        ran.stderr
    );
    let ran = decode_chunks("struct-header", "00\n\n0g\n");
    assert_eq!(ran.code, 65);
    assert!(ran.stderr.contains("line 3: column 2"), "{}", ran.stderr);
    // Lines end as they do on other systems too.
    assert_eq!(encode_hex("lines", "61\r\n").stdout, "610a\n");
    assert_eq!(decode_chunks("lines", "610a\r\nwait\r\n\r\n").code, 0);
}

#[test]
fn frames_come_out_as_they_come_in() {
    let mut child = spawn(&["decode", "--framing", "lines"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for text in ["one", "two"] {
        stdin.write_all(format!("{text}\n").as_bytes()).unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(
            line,
            format!("{{\"frame\":\"{}\"}}\n", hex(text.as_bytes()))
        );
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_large_input_is_not_held() {
    const FRAMES: usize = 1000;
    let mut child = spawn(&["decode"]);
    let mut stdin = child.stdin.take().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let reading = thread::spawn(move || {
        stdout
            .lines()
            .take(FRAMES)
            .map(|l| l.unwrap().len())
            .sum::<usize>()
    });
    let frame = [&(64u32 << 10).to_be_bytes()[..], &vec![7; 64 << 10]].concat();
    for _ in 0..FRAMES {
        stdin.write_all(&frame).unwrap();
    }
    let characters = reading.join().unwrap();
    assert_eq!(
        characters,
        FRAMES * ((128 << 10) + "{\"frame\":\"\"}".len())
    );
    if let Ok(status) = fs::read_to_string(format!("/proc/{}/status", child.id())) {
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        let kilobytes: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(
            kilobytes < 24 << 10,
            "{kilobytes} kB at the peak for an input of 64 MB"
        );
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn when_nobody_reads_the_output_it_ends_quietly() {
    for arguments in [
        &["decode", "--framing", "lines"][..],
        &["encode", "--framing", "lines"],
    ] {
        let mut child = spawn(arguments);
        drop(child.stdout.take());
        let mut stdin = child.stdin.take().unwrap();
        // Fails as soon as the program has ended.
        let writing =
            thread::spawn(move || while stdin.write_all(&b"6161\n".repeat(1000)).is_ok() {});
        let status = child.wait().unwrap();
        writing.join().unwrap();
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert_eq!(
            (status.code(), stderr.as_str()),
            (Some(141), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn the_framings_are_listed_with_their_options() {
    let ran = frame(&["framings"], "");
    assert_eq!(ran.code, 0);
    for word in [
        "ack-handshake",
        "struct-header",
        "delimiter",
        "lines",
        "raw",
        "ack_timeout",
    ] {
        assert!(ran.stdout.contains(word), "{word}");
    }
    assert_eq!(ran.stdout.matches("max_empty_run").count(), 1, "said once");
    assert_eq!(ran.stdout.matches("common to all").count(), 1);
    let object = &frame(&["framings", "--json"], "").objects()[0];
    let registry = Registry::default();
    let names: Vec<_> = registry.names().map(Value::from).collect();
    let framings = object["framings"].as_array().unwrap();
    let listed: Vec<_> = framings.iter().map(|f| f["name"].clone()).collect();
    assert_eq!(listed, names);
    let common = object["common"].as_array().unwrap();
    for framing in framings {
        let name = framing["name"].as_str().unwrap();
        assert_eq!(framing["summary"], registry.summary(name).unwrap());
        assert!(ran.stdout.contains(registry.summary(name).unwrap()));
        // Those of its own and the common ones are all that it has, each with what it means.
        let all: Vec<Value> = registry
            .options(name)
            .unwrap()
            .map(|option| {
                let (default, meaning) = (option.default_value(), option.meaning());
                json!({ "name": option.name(), "default": default, "meaning": meaning })
            })
            .collect();
        let own = framing["options"].as_array().unwrap();
        assert_eq!([&own[..], common].concat(), all, "{name}");
        for option in own {
            assert!(ran.stdout.contains(option["meaning"].as_str().unwrap()));
        }
    }
    for name in ["max_frame", "on_error", "allow_empty", "max_empty_run"] {
        assert!(common.iter().any(|option| option["name"] == name), "{name}");
    }
}

#[test]
fn one_framing_is_described_by_its_name() {
    let ran = frame(&["framings", "struct-header"], "");
    assert_eq!(ran.code, 0);
    assert!(ran.stdout.starts_with("struct-header: "), "{}", ran.stdout);
    assert!(ran.stdout.contains("format ") && ran.stdout.contains("max_frame "));
    assert!(!ran.stdout.contains("ack_timeout"));
    let object = &frame(&["framings", "--json", "lines"], "").objects()[0];
    assert_eq!(object["framings"].as_array().unwrap().len(), 1);
    assert_eq!(object["framings"][0]["name"], "lines");

    let ran = frame(&["framings", "morse"], "");
    assert_eq!((ran.code, ran.stdout.as_str()), (65, ""));
    for name in Registry::default().names().chain(["morse"]) {
        assert!(ran.stderr.contains(name), "{}", ran.stderr);
    }
    let ran = frame(&["framings", "morse", "--json"], "");
    assert_eq!(
        (ran.code, &ran.objects()[0]["error"]),
        (65, &json!("config"))
    );
}

/// A framing of each name for which options can be made up, as after `--framing`.
fn samples() -> Vec<String> {
    let registry = Registry::default();
    let sample = |name: &str| {
        let required = registry
            .options(name)?
            .filter(|option| option.default_value() == OptionHelp::REQUIRED);
        let options: String = required
            .map(|option| match option.name() {
                name @ ("receive" | "send") => format!(", {name} = \"lines\""),
                name => format!(", {name} = 4"),
            })
            .collect();
        let text = format!("{{ type = \"{name}\"{options} }}");
        registry.parse(&text).ok().map(|_| text)
    };
    let samples: Vec<String> = registry.names().filter_map(sample).collect();
    assert!(samples.len() >= 5, "{samples:?}");
    samples
}

/// Four bytes each, as a framing of one size wants them.
const FOURS: [&str; 3] = ["four", "tale", "1234"];

#[test]
fn whatever_a_framing_writes_it_reads_back() {
    let lines: String = FOURS.map(|text| hex(text.as_bytes()) + "\n").concat();
    for framing in samples() {
        let factory = Registry::default().parse(&framing).unwrap();
        let written = encode_hex(&framing, &lines);
        assert_eq!(
            (written.code, written.stderr.as_str()),
            (0, ""),
            "{framing}"
        );
        assert_eq!(written.stdout.lines().count(), FOURS.len(), "{framing}");
        if !factory.make().keeps_boundaries() {
            continue;
        }
        let together = written.stdout.replace('\n', "");
        let bytewise: String = together
            .as_bytes()
            .chunks(2)
            .map(|digits| format!("{}\n", std::str::from_utf8(digits).unwrap()))
            .collect();
        for chunks in [&written.stdout, &together, &bytewise] {
            let ran = decode_chunks(&framing, chunks);
            let objects = ran.objects();
            let frames: Vec<_> = objects.iter().filter_map(|o| o["frame"].as_str()).collect();
            assert_eq!(frames, FOURS.map(|text| hex(text.as_bytes())), "{framing}");
            let replies = objects.iter().any(|object| object["reply"].is_string());
            assert_eq!(replies, factory.make().is_interactive(), "{framing}");
            assert_eq!(ran.code, 0, "{framing}");
        }
    }
}

/// What a line of `frame decode` may be.
fn check_line(object: &Value) {
    const KINDS: [&str; 7] = [
        "too-long",
        "malformed",
        "truncated",
        "refused",
        "timeout",
        "unencodable",
        "config",
    ];
    let keys: Vec<_> = object.as_object().unwrap().keys().collect();
    match object["error"].as_str() {
        Some(kind) => {
            assert_eq!(keys, ["error", "message", "offset"]);
            assert!(KINDS.contains(&kind), "{object}");
            assert!(object["message"].is_string() && object["offset"].is_u64());
        }
        None => {
            assert!(keys == ["frame"] || keys == ["reply"], "{object}");
            let digits = object[keys[0].as_str()].as_str().unwrap();
            let lower = |c: char| matches!(c, '0'..='9' | 'a'..='f');
            assert!(
                digits.len().is_multiple_of(2) && digits.chars().all(lower),
                "{object}"
            );
        }
    }
}

#[test]
fn every_framing_says_in_the_same_words_what_is_cut_off_or_nonsense() {
    let line = hex(b"four") + "\n";
    for framing in samples() {
        let mut wire = encode_hex(&framing, &line).stdout;
        wire.truncate(wire.trim_end().len());
        let nonsense = "ff".repeat(64);
        let cuts = (0..=wire.len()).step_by(2).map(|cut| &wire[..cut]);
        let mut errors = 0;
        for input in cuts.chain([nonsense.as_str()]) {
            for policy in ["close", "skip"] {
                let options = framing.trim_end_matches(" }");
                let framing = format!("{options}, on_error = \"{policy}\" }}");
                // A policy that it does not have is said at once.
                let ran = decode_chunks(&framing, &format!("{input}\nwait\n"));
                let objects = ran.objects();
                objects.iter().for_each(check_line);
                let failed = objects.iter().any(|object| object["error"].is_string());
                assert_eq!(ran.code, if failed { 65 } else { 0 }, "{framing} {input}");
                assert_eq!(ran.stderr, "", "{framing} {input}");
                errors += usize::from(failed);
            }
        }
        let whole = decode_chunks(&framing, &wire).objects();
        assert!(whole.iter().any(|object| object["frame"] == hex(b"four")));
        let lossless = framing.contains("\"raw\"");
        assert!(errors > 0 || lossless, "{framing}: nothing was ever wrong");
    }
}

#[test]
fn waiting_completes_a_bare_number_and_is_one_word() {
    let bare = "{ type = \"ack-handshake\", bare = true }";
    let ran = decode_chunks(bare, "35\nwait\nwait\n68656c6c6f\n");
    assert_eq!(
        ran.objects(),
        [
            json!({ "reply": "6f6b" }),
            json!({ "frame": hex(b"hello") })
        ]
    );
    for line in ["wait ", " wait", "WAIT", "wait 1"] {
        let ran = decode_chunks(bare, &format!("35\n{line}\n"));
        assert_eq!((ran.code, ran.stdout.as_str()), (65, ""), "{line:?}");
        assert!(ran.stderr.contains("line 2"), "{}", ran.stderr);
    }
}

#[test]
fn bytes_come_out_of_encode_as_lines_go_in() {
    let mut child = spawn(&["encode", "--framing", "lines"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for text in ["one", "two"] {
        writeln!(stdin, "{}", hex(text.as_bytes())).unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, format!("{text}\n"));
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn usage_errors_say_what_would_be_allowed_and_end_with_64() {
    for (arguments, told) in [
        (&["--dialect", "klingon", "ping"][..], "native"),
        (
            &["--server", "tls://host:1", "ping"],
            "tcp://127.0.0.1:8002",
        ),
        (&["exec"], "PROGRAM"),
        (&["exec", "--timeout", "soon", "--", "true"], "timeout"),
        (&["exec", "--shell", "x", "--", "true"], "--shell"),
        (&["dance"], "dance"),
        (&["get"], "NAME|NUMBER"),
        (&["--password-file", "x", "ping"], "--user"),
        (&["man", "dance"], "whoami"),
        (&[], "Usage"),
    ] {
        let ran = frame(arguments, "");
        assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{arguments:?}");
        assert!(ran.stderr.contains(told), "{arguments:?}: {}", ran.stderr);
        assert!(
            !ran.stderr.contains('\u{1b}'),
            "no colour off a terminal: {}",
            ran.stderr
        );
    }
}

#[test]
fn help_completions_and_manual_pages_are_printed() {
    let ran = frame(&["--help"], "");
    assert!(ran.code == 0 && ran.stdout.contains("Examples:") && ran.stdout.contains("77"));
    for verb in [
        "exec",
        "put",
        "ls",
        "get",
        "rm",
        "whoami",
        "ping",
        "shell",
        "framings",
        "decode",
        "encode",
        "inspect",
        "completions",
        "man",
    ] {
        let ran = frame(&[verb, "--help"], "");
        assert!(ran.code == 0 && ran.stdout.contains("Example"), "{verb}");
        let ran = frame(&["man", verb], "");
        assert!(ran.code == 0 && ran.stdout.contains(".TH"), "{verb}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let ran = frame(&["completions", shell], "");
        assert!(ran.code == 0 && ran.stdout.contains("whoami"), "{shell}");
    }
    assert!(frame(&["--version"], "").stdout.starts_with("frame "));
}

#[test]
fn what_is_for_a_server_is_refused_where_none_is_asked() {
    for verb in ["decode", "encode", "framings"] {
        for option in [
            &["--server", "tcp://127.0.0.1:1"][..],
            &["--user", "alice"],
            &["--dialect", "course-exec"],
            &["--encoding", "gbk"],
        ] {
            let ran = frame(&[&[verb], option].concat(), "");
            assert_eq!(ran.code, 64, "{verb} {option:?}");
            assert!(ran.stderr.contains(option[0]), "{}", ran.stderr);
        }
    }
}
