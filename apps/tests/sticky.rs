//! Sticky: what it shows is what sockets must do, each framing keeps its messages apart, and the pages
//! about it say nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use framing::Registry;
use serde_json::Value;

/// How a run of the program ended.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn sticky(words: &[&str]) -> Ended {
    sticky_in(Path::new("."), words, &[])
}

fn sticky_in(folder: &Path, words: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = assert_cmd::Command::from(Command::new(env!("CARGO_BIN_EXE_sticky")));
    for name in ["LC_ALL", "LC_MESSAGES", "LANG", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.args(words).current_dir(folder);
    command.envs(variables.iter().copied());
    let output = command.timeout(Duration::from_secs(60)).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn report(words: &[&str]) -> Value {
    let ended = sticky(&[&["--json"], words].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(ended.err, "");
    assert_eq!(ended.out.lines().count(), 1, "one document");
    serde_json::from_str(&ended.out).unwrap()
}

/// The elements of an array.
fn all(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap_or_else(|| panic!("{value}")).iter()
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    all(list)
        .find(|value| value["name"] == name)
        .unwrap_or_else(|| panic!("no {name}"))
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap_or_else(|| panic!("{value}"))).unwrap()
}

/// The calls of a kind on one side.
fn calls<'a>(conversation: &'a Value, side: &str, call: &str) -> Vec<&'a Value> {
    all(&conversation["events"])
        .filter(|event| event["side"] == side && event["call"] == call)
        .collect()
}

fn sizes(calls: &[&Value]) -> Vec<usize> {
    calls.iter().map(|event| number(&event["bytes"])).collect()
}

fn hex(calls: &[&Value]) -> String {
    calls
        .iter()
        .map(|event| event["hex"].as_str().unwrap())
        .collect()
}

/// What must hold of any conversation over TCP that ended in an orderly way.
fn check_stream(conversation: &Value, read_size: usize) {
    let at = |event: &Value| match event["call"].as_str().unwrap() {
        "recv" => event["ended_us"].as_f64().unwrap(),
        _ => event["began_us"].as_f64().unwrap(),
    };
    let mut last = 0.0;
    for event in all(&conversation["events"]) {
        let (began, ended) = (&event["began_us"], &event["ended_us"]);
        assert!(
            began.as_f64().unwrap() <= ended.as_f64().unwrap(),
            "{event}"
        );
        assert!(at(event) >= last, "in the order of time: {conversation}");
        last = at(event);
        let bytes = number(&event["bytes"]);
        assert_eq!(event["hex"].as_str().unwrap().len(), 2 * bytes, "{event}");
        assert!(bytes <= number(&event["asked"]), "{event}");
        if event["call"] == "recv" {
            assert!(bytes <= read_size, "{event}");
        }
    }
    for (from, to) in [("client", "server"), ("server", "client")] {
        let sent = hex(&calls(conversation, from, "send"));
        let received = hex(&calls(conversation, to, "recv"));
        assert_eq!(sent, received, "{from}: every byte, in order, once");
    }
    // No byte is there before it went: what was received by then had been sent by then.
    for (from, to) in [("client", "server"), ("server", "client")] {
        let (mut sent, mut received) = (0, 0);
        for event in all(&conversation["events"]) {
            let bytes = number(&event["bytes"]);
            match (
                event["side"].as_str().unwrap(),
                event["call"].as_str().unwrap(),
            ) {
                (side, "send") if side == from => sent += bytes,
                (side, "recv") if side == to => received += bytes,
                _ => {}
            }
            assert!(received <= sent, "{conversation}");
        }
    }
    let reads = calls(conversation, "server", "recv");
    let (end, reads) = reads.split_last().unwrap();
    assert_eq!(end["bytes"], 0, "the end is the last");
    assert!(
        reads.iter().all(|read| read["bytes"] != 0),
        "and comes once"
    );
    assert_eq!(calls(conversation, "client", "close").len(), 1);
}

#[test]
fn a_late_reader_gets_both_and_then_nothing() {
    let report = report(&["--only", "raw"]);
    let scene = named(&report["scenes"], "two-sends-one-read");
    assert_eq!(scene["transport"], "tcp");
    check_stream(scene, 1024);
    let sends = calls(scene, "client", "send");
    let texts: Vec<_> = sends
        .iter()
        .map(|send| send["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["hello", "sigui"]);
    assert_eq!(scene["waiting_bytes"], 10);
    let reads = calls(scene, "server", "recv");
    assert_eq!(sizes(&reads), [10, 0]);
    assert_eq!(reads[0]["text"], "hellosigui");
    assert_eq!(reads[0]["asked"], 1024);
}

#[test]
fn a_long_message_arrives_in_parts_and_glued() {
    let report = report(&["--only", "raw"]);
    let scene = named(&report["scenes"], "one-message-two-reads");
    check_stream(scene, 1024);
    assert_eq!(sizes(&calls(scene, "client", "send")), [2000, 1000]);
    assert_eq!(scene["waiting_bytes"], 3000);
    let reads = calls(scene, "server", "recv");
    assert_eq!(sizes(&reads), [1024, 1024, 952, 0]);
    let glued = format!("{}{}", "a".repeat(976), "b".repeat(48));
    assert_eq!(reads[1]["text"], glued.as_str());
}

#[test]
fn datagrams_are_never_glued_and_are_cut_for_good() {
    let report = report(&["--only", "raw"]);
    let short = named(&report["scenes"], "two-sends-udp");
    assert_eq!(short["transport"], "udp");
    assert_eq!(sizes(&calls(short, "server", "recv")), [5, 5]);
    let long = named(&report["scenes"], "long-messages-udp");
    let reads = calls(long, "server", "recv");
    assert_eq!(sizes(&reads), [1024, 1000]);
    assert_eq!(reads[0]["text"], "a".repeat(1024).as_str());
    assert_eq!(reads[1]["text"], "b".repeat(1000).as_str());
}

#[test]
fn free_runs_are_counted_as_they_went() {
    let report = report(&["--only", "raw"]);
    let runs = &report["free_runs"];
    assert_eq!(number(&runs["runs"]), 30);
    assert_eq!(number(&runs["together"]) + number(&runs["apart"]), 30);
    let mut together = 0;
    for run in all(&runs["each"]) {
        check_stream(run, 1024);
        assert_eq!(run["waiting_bytes"], Value::Null, "nobody is late");
        let reads = sizes(&calls(run, "server", "recv"));
        match reads[..] {
            [10, 0] => together += 1,
            [5, 5, 0] => {}
            _ => panic!("{run}"),
        }
        assert_eq!(run["together"], reads.len() == 2, "{run}");
    }
    assert_eq!(number(&runs["together"]), together);
}

/// For `hello` and `sigui`, and for 2000 and 1000 bytes: what goes over the wire, and what comes back.
/// Counted by hand from the formats.
const COSTS: [(&str, [(usize, usize); 2]); 13] = [
    ("ack-handshake", [(14, 4), (3010, 4)]),
    ("cobs", [(14, 0), (3014, 0)]),
    ("delimiter", [(14, 0), (3004, 0)]),
    ("fixed", [(10, 0), (4000, 0)]),
    ("json-header", [(38, 0), (3034, 0)]),
    ("length-field", [(18, 0), (3008, 0)]),
    ("lines", [(12, 0), (3002, 0)]),
    ("netstring", [(16, 0), (3012, 0)]),
    ("pair", [(16, 0), (3012, 0)]),
    ("raw", [(10, 0), (3000, 0)]),
    ("slip", [(14, 0), (3004, 0)]),
    ("struct-header", [(18, 0), (3008, 0)]),
    ("varint", [(12, 0), (3004, 0)]),
];

#[test]
fn every_framing_keeps_the_boundaries_at_its_price_but_raw() {
    let report = report(&["--runs", "0"]);
    let names: Vec<_> = all(&report["framings"])
        .map(|framing| framing["name"].as_str().unwrap().to_owned())
        .collect();
    let registry = Registry::default();
    assert_eq!(
        names,
        registry.names().collect::<Vec<_>>(),
        "every framing, once"
    );
    for (name, costs) in COSTS {
        let framing = named(&report["framings"], name);
        assert_eq!(framing["trials"].as_array().unwrap().len(), 2);
        for (trial, (sent, answered)) in all(&framing["trials"]).zip(costs) {
            check_stream(trial, 1024);
            assert_eq!(trial["error"], Value::Null, "{name}");
            assert_eq!(number(&trial["sent_bytes"]), sent, "{name}");
            assert_eq!(number(&trial["answered_bytes"]), answered, "{name}");
            let payload = number(&trial["payload_bytes"]);
            assert_eq!(
                number(&trial["overhead_bytes"]),
                sent + answered - payload,
                "{name}"
            );
            let trips = if name == "ack-handshake" { 2 } else { 0 };
            assert_eq!(number(&trial["round_trips"]), trips, "{name}");
            check_boundaries(name, trial);
        }
    }
}

fn check_boundaries(name: &str, trial: &Value) {
    let texts = |list: &Value| -> Vec<String> {
        all(list)
            .map(|message| message["text"].as_str().unwrap().to_owned())
            .collect()
    };
    let (messages, frames) = (texts(&trial["messages"]), texts(&trial["frames"]));
    if name == "raw" {
        assert_ne!(frames, messages);
        assert_eq!(frames.concat(), messages.concat());
        assert_eq!(trial["boundaries_kept"], false);
        return;
    }
    let unpadded: Vec<_> = frames.iter().map(|frame| frame.trim_end()).collect();
    assert_eq!(unpadded, messages, "{name}");
    assert_eq!(trial["boundaries_kept"], true, "{name}");
    if name != "ack-handshake" {
        // The bytes were glued all the same; the framing it was that told them apart.
        assert_eq!(trial["waiting_bytes"], trial["sent_bytes"], "{name}");
    }
}

#[test]
fn the_bytes_on_the_wire_are_those_of_the_formats() {
    let report = report(&["--runs", "0"]);
    for (name, first) in [
        ("cobs", &b"\x06hello\0"[..]),
        ("delimiter", b"hello||"),
        ("fixed", b"hello"),
        ("json-header", b"\0\0\0\x0a{\"size\":5}hello"),
        ("length-field", b"\0\0\0\x05hello"),
        ("lines", b"hello\n"),
        ("netstring", b"5:hello,"),
        ("raw", b"hello"),
        ("slip", b"\xc0hello\xc0"),
        ("struct-header", b"\0\0\0\x05hello"),
        ("varint", b"\x05hello"),
    ] {
        let framing = named(&report["framings"], name);
        let wire = hex(&calls(&framing["trials"][0], "client", "send"));
        let first: String = first.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(wire.starts_with(&first), "{name}: {wire}");
    }
    let ack = &named(&report["framings"], "ack-handshake")["trials"][0];
    let turns: Vec<_> = all(&ack["events"])
        .filter(|event| event["call"] == "send")
        .map(|event| event["text"].as_str().unwrap())
        .collect();
    assert_eq!(turns, ["5\\n", "ok", "hello", "5\\n", "ok", "sigui"]);
}

#[test]
fn reads_are_as_small_as_they_are_told() {
    let report = report(&["--read-size", "7", "--runs", "3", "--nodelay", "true"]);
    let scene = named(&report["scenes"], "two-sends-one-read");
    check_stream(scene, 7);
    assert_eq!(sizes(&calls(scene, "server", "recv")), [7, 3, 0]);
    let long = named(&report["scenes"], "one-message-two-reads");
    check_stream(long, 7);
    assert_eq!(
        calls(long, "server", "recv").len(),
        3000_usize.div_ceil(7) + 1
    );
    for framing in all(&report["framings"]) {
        for trial in all(&framing["trials"]) {
            check_stream(trial, 7);
            check_boundaries(framing["name"].as_str().unwrap(), trial);
        }
    }
}

#[test]
fn a_pause_lets_them_arrive_apart() {
    let report = report(&["--delay", "40ms", "--runs", "5", "--only", "raw"]);
    assert_eq!(report["options"]["delay_us"], 40_000.0);
    // A reader that is held up for as long as the pause may still find both.
    assert!(
        number(&report["free_runs"]["apart"]) >= 4,
        "{}",
        report["free_runs"]
    );
    let run = &report["free_runs"]["each"][0];
    let sends = calls(run, "client", "send");
    let between = sends[1]["began_us"].as_f64().unwrap() - sends[0]["ended_us"].as_f64().unwrap();
    assert!(between >= 40_000.0, "{between}");
    // A late reader does not mind.
    let scene = named(&report["scenes"], "two-sends-one-read");
    assert_eq!(sizes(&calls(scene, "server", "recv")), [10, 0]);
}

#[test]
fn options_of_the_sockets_reach_the_sockets() {
    let report = report(&["--runs", "1", "--only", "lines"]);
    assert_eq!(report["options"]["nodelay"], false);
    let words = [
        "--receive-buffer",
        "8KiB",
        "--send-buffer",
        "16KiB",
        "--nodelay",
        "true",
    ];
    let small = self::report(&[&words[..], &["--runs", "1", "--only", "lines"]].concat());
    assert_eq!(small["options"]["nodelay"], true);
    // Linux keeps as much again for its own accounts.
    assert_eq!(number(&small["options"]["receive_buffer"]), 2 * 8192);
    assert_eq!(number(&small["options"]["send_buffer"]), 2 * 16384);
    for run in all(&small["free_runs"]["each"]) {
        check_stream(run, 1024);
    }
}

#[test]
fn with_the_smallest_buffers_it_still_ends_and_loses_nothing() {
    let report = report(&["--receive-buffer", "1", "--send-buffer", "1", "--runs", "2"]);
    for name in ["two-sends-one-read", "one-message-two-reads"] {
        check_stream(named(&report["scenes"], name), 1024);
    }
    for framing in all(&report["framings"]) {
        let name = framing["name"].as_str().unwrap();
        for trial in all(&framing["trials"]) {
            check_stream(trial, 1024);
            if name != "raw" {
                check_boundaries_kept(name, trial);
            }
        }
    }
}

fn check_boundaries_kept(name: &str, trial: &Value) {
    assert_eq!(trial["boundaries_kept"], true, "{name}: {trial}");
}

#[test]
fn a_framing_may_be_given_with_options() {
    let pair = r#"{ type = "pair", receive = "slip", send = "cobs" }"#;
    let report = report(&["--only", pair, "--only", r#"{ type = "fixed", size = 4 }"#]);
    let pair = &report["framings"][0]["trials"][0];
    assert!(
        hex(&calls(pair, "client", "send")).starts_with("06"),
        "cobs: {pair}"
    );
    assert_eq!(pair["boundaries_kept"], true);
    let fixed = &report["framings"][1]["trials"][0];
    assert_eq!(fixed["boundaries_kept"], false);
    let error = fixed["error"].as_str().unwrap();
    assert!(error.contains("5 bytes") && error.contains('4'), "{error}");
}

#[test]
fn pictures_in_the_terminal_tell_messages_apart_without_colours() {
    let ended = sticky(&["--only", "netstring", "--only", "raw"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        !ended.out.contains('\u{1b}'),
        "colours where there is no terminal"
    );
    for shown in [
        "A[hello]B[sigui]  ← glued: 5 of A + 5 of B",
        "glued: 976 of A + 48 of B",
        "A[5:hello,]B[5:sigui,]",
        "nothing: the client has closed",
        "boundaries kept; 6 bytes more, no round trip",
        "boundaries lost; 0 bytes more",
        "30 runs: ",
    ] {
        assert!(ended.out.contains(shown), "{shown}: {}", ended.out);
    }
}

#[test]
fn the_locale_chooses_the_language_and_an_option_overrules_it() {
    let words = ["--only", "raw", "--runs", "0"];
    let here = Path::new(".");
    let said = |variables: &[(&str, &str)], more: &[&str]| {
        sticky_in(here, &[&words[..], more].concat(), variables).out
    };
    let chinese = "粘住了：A 的 5 字节 + B 的 5 字节";
    assert!(said(&[("LANG", "zh_CN.UTF-8")], &[]).contains(chinese));
    assert!(!said(&[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "C")], &[]).contains(chinese));
    assert!(said(&[], &["--lang", "zh"]).contains(chinese));
    assert!(!said(&[("LANG", "zh_CN.UTF-8")], &["--lang", "en"]).contains(chinese));
}

#[test]
fn the_page_has_every_picture_and_needs_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for lang in ["en", "zh"] {
        let file = format!("{lang}.html");
        let ended = sticky_in(folder.path(), &["--html", &file, "--lang", lang], &[]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert_eq!(ended.out, "");
        assert!(
            ended.err.starts_with(&format!("wrote {file} (")),
            "{}",
            ended.err
        );
        let page = fs::read_to_string(folder.path().join(&file)).unwrap();
        for outside in [
            "http:", "https:", "//", "src=", "href", "url(", "<script", "@import",
        ] {
            assert!(!page.contains(outside), "{lang}: {outside}");
        }
        // Four scenes, the free runs, and the framings.
        let pictures = page.matches("<svg ").count();
        assert_eq!(pictures, 5 + Registry::default().names().count());
        assert_eq!(page.matches("</svg>").count(), pictures);
        for name in Registry::default().names() {
            assert!(page.contains(&format!("<code>{name}</code>")), "{name}");
        }
        check_tags(&page);
    }
    let page = fs::read_to_string(folder.path().join("zh.html")).unwrap();
    assert!(page.contains("<html lang=\"zh-CN\">") && page.contains("粘住了"));
}

/// Every tag that is opened is closed, in order.
fn check_tags(text: &str) {
    let mut open = Vec::new();
    for tag in text.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap_or_else(|| panic!("<{tag}"));
        let name = tag.split([' ', '/']).find(|name| !name.is_empty()).unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else if !tag.ends_with('/') && !["!DOCTYPE", "meta"].contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_file_that_is_there_is_replaced_only_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    fs::write(&file, "mine").unwrap();
    let words = ["--html", "page.html", "--runs", "0", "--only", "raw"];
    let ended = sticky_in(folder.path(), &words, &[]);
    assert_eq!(ended.code, Some(73), "{}", ended.err);
    assert!(
        ended.err.contains("page.html") && ended.err.contains("--force"),
        "{}",
        ended.err
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    let forced = sticky_in(folder.path(), &[&words[..], &["--force"]].concat(), &[]);
    assert_eq!(forced.code, Some(0), "{}", forced.err);
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .starts_with("<!DOCTYPE html>")
    );
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing else is left"
    );

    let ended = sticky_in(
        folder.path(),
        &["--html", "none/page.html", "--runs", "0"],
        &[],
    );
    assert_eq!(ended.code, Some(73), "{}", ended.err);
    assert!(ended.err.contains("none/page.html"), "{}", ended.err);
}

#[test]
fn a_wrong_command_line_is_told_what_would_be_right() {
    for (words, code, said) in [
        (&["--read-size", "0"][..], 64, "1 byte to 64MiB"),
        (&["--read-size", "many"], 64, "4KiB"),
        (&["--delay", "1h"], 64, "at most 10s"),
        (&["--delay", "soon"], 64, "5ms"),
        (&["--runs", "1001"], 64, "1000"),
        (&["--nodelay", "perhaps"], 64, "true, false"),
        (&["--lang", "fr"], 64, "en, zh"),
        (&["--loud"], 64, "--loud"),
        (&["--only", "morse"], 65, "struct-header"),
        (
            &["--only", r#"{ type = "lines", beginning = "x" }"#],
            65,
            "ending",
        ),
    ] {
        let ended = sticky(words);
        assert_eq!(ended.code, Some(code), "{words:?}: {}", ended.err);
        assert!(ended.err.contains(said), "{words:?}: {}", ended.err);
        assert_eq!(ended.out, "", "{words:?}");
    }
    let help = sticky(&["--help"]);
    assert_eq!(help.code, Some(0));
    for option in [
        "--json",
        "--html",
        "--nodelay",
        "--receive-buffer",
        "--delay",
        "Examples:",
    ] {
        assert!(help.out.contains(option), "{option}");
    }
}

#[test]
fn shells_and_man_are_served() {
    assert!(sticky(&["completions", "bash"]).out.contains("--read-size"));
    assert!(sticky(&["man"]).out.contains("sticky"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

const PAGES: [(&str, &str); 2] = [
    ("docs/sticky-packets.md", "en"),
    ("docs/sticky-packets.zh-CN.md", "zh"),
];

/// The commands of a page.
fn commands(page: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let blocks = text.split("```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap().lines());
    lines.map(str::to_owned).collect()
}

#[test]
fn every_command_of_the_pages_runs() {
    const RUN: &str = "cargo run --release --bin sticky";
    for (page, _) in PAGES {
        let commands = commands(page);
        assert!(commands.len() > 5, "{page}: {commands:?}");
        for command in commands {
            let folder = tempfile::tempdir().unwrap();
            let line = command.split(" #").next().unwrap();
            let rest = line
                .strip_prefix(RUN)
                .unwrap_or_else(|| panic!("{page}: {command}"));
            let words = shlex::split(rest).unwrap();
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            let words = words.strip_prefix(&["--"]).unwrap_or(&words);
            let ended = sticky_in(folder.path(), words, &[]);
            assert_eq!(ended.code, Some(0), "{page}: {command}: {}", ended.err);
        }
    }
}

#[test]
fn both_pages_tell_the_same_commands_and_show_the_same_pictures() {
    let [english, chinese] = PAGES.map(|(page, lang)| {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let pictures: Vec<_> = text
            .split("](images/sticky/")
            .skip(1)
            .map(|link| link.split(')').next().unwrap())
            .map(|link| link.strip_prefix(&format!("{lang}/")).unwrap().to_owned())
            .collect();
        assert!(pictures.len() >= 6, "{page}: {pictures:?}");
        let commands: Vec<_> = commands(page)
            .iter()
            .map(|command| command.split('#').next().unwrap().trim().to_owned())
            .map(|command| command.replace("--lang zh", "--lang en"))
            .map(|command| command.replace("sticky/zh", "sticky/en"))
            .collect();
        (pictures, commands)
    });
    assert_eq!(english, chinese);
}

#[test]
fn the_costs_that_the_pages_tell_are_those_of_the_sockets() {
    let report = report(&["--runs", "0"]);
    for (page, _) in PAGES {
        let text = fs::read_to_string(root().join(page)).unwrap();
        for framing in all(&report["framings"]) {
            let name = framing["name"].as_str().unwrap();
            let begin = format!("| `{name}`");
            let rows = text.lines().filter(|line| line.starts_with(&begin));
            let [row] = rows.collect::<Vec<_>>()[..] else {
                panic!("{page}: not one row for {name}");
            };
            let cells: Vec<_> = row.trim_end_matches(" |").split(" | ").collect();
            let [short, long] = [0, 1].map(|trial| &framing["trials"][trial]);
            let told = |value: &Value| number(value).to_string();
            assert_eq!(cells[1], told(&short["overhead_bytes"]), "{page}: {row}");
            assert_eq!(cells[2], told(&long["overhead_bytes"]), "{page}: {row}");
            assert_eq!(cells[3], told(&short["round_trips"]), "{page}: {row}");
            let kept = short["boundaries_kept"] == true && long["boundaries_kept"] == true;
            assert_eq!(
                kept,
                ["kept", "保住了"].contains(&cells[4]),
                "{page}: {row}"
            );
        }
    }
}

/// What a picture says, whatever the times.
fn said(picture: &str) -> Vec<&str> {
    let mut texts: Vec<_> = picture
        .split("<text ")
        .skip(1)
        .map(|text| text.split_once('>').unwrap())
        .filter(|(attributes, _)| !attributes.contains("s e"))
        .map(|(_, text)| text.split("</text>").next().unwrap())
        .collect();
    // A client may close a moment before or after a reader looks.
    texts.sort_unstable();
    texts
}

#[test]
fn the_pictures_of_the_pages_are_those_that_are_drawn_today() {
    for (_, lang) in PAGES {
        let folder = tempfile::tempdir().unwrap();
        let ended = sticky_in(folder.path(), &["--svg", "drawn", "--lang", lang], &[]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let drawn = folder.path().join("drawn");
        let kept = root().join("docs/images/sticky").join(lang);
        let names = |folder: &Path| {
            let entries = fs::read_dir(folder).unwrap();
            let mut names: Vec<_> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(&drawn), names(&kept));
        for name in names(&drawn) {
            let [today, kept] = [&drawn, &kept].map(|folder| {
                let text = fs::read_to_string(folder.join(&name)).unwrap();
                check_tags(&text);
                text
            });
            let style = |text: &str| {
                text.split("</style>")
                    .next()
                    .unwrap()
                    .split("<style>")
                    .nth(1)
                    .map(str::to_owned)
            };
            assert_eq!(style(&today), style(&kept), "{lang}/{name}");
            // How these two go depends on who is quicker.
            if !["free-runs.svg", "framing-ack-handshake.svg"].contains(&&*name) {
                assert_eq!(said(&today), said(&kept), "{lang}/{name}");
            }
        }
    }
}
