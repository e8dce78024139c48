//! `frame` against servers that lie, cut off, or never end.

mod frame_support;

use std::{fs, os::unix::fs::symlink, thread, time::Duration};

use frame_support::{Frame, Hostile, Wire, eventually, names};
use rustix::process::Signal;
use serde_json::{Value, json};
use services::files::Digest;
use tempfile::tempdir;

const VERSION: &str = "00112233445566778899aabbccddeeff";

fn file(name: &str, size: usize) -> Value {
    json!({ "name": name, "size": size, "modified": 1_700_000_000, "version": VERSION })
}

fn ok(details: Value) -> String {
    json!({ "status": "ok", "details": details }).to_string()
}

fn with_body(details: Value) -> String {
    json!({ "status": "ok", "details": details, "body": true }).to_string()
}

/// Lists one file of this name, and sends it.
fn honest_but_for_the_name(name: &'static str) -> Hostile {
    Hostile::start(move |request, wire| {
        if request["verb"] == "list" {
            wire.write(ok(json!({ "files": [file(name, 5)] })));
            return;
        }
        wire.write(with_body(file(name, 5)));
        wire.write("dhello");
        wire.write(format!(".{}", json!({ "digest": Digest::of(b"hello") })));
    })
}

#[test]
fn svc_e1_a_name_from_the_server_never_leads_out_or_hides() {
    let outer = tempdir().unwrap();
    let here = outer.path().join("here");
    fs::create_dir(&here).unwrap();
    let absolute = "/tmp/frame-hostile-test-absolute";
    for (name, code) in [
        ("../x", 76),
        ("a/../../x", 76),
        (absolute, 76),
        ("..", 76),
        ("", 76),
        (".ssh/authorized_keys", 76),
        ("a\0b", 76),
        (".bashrc", 73),
        ("..\\x", 73),
        ("-rf", 73),
        ("a\u{1b}[2Jb", 73),
        ("a\u{202e}txt.exe", 73),
        ("NUL", 73),
        ("c:x", 73),
    ] {
        let server = honest_but_for_the_name(name);
        let ran = Frame::new(&server.url, &here).run(&["get", "1"]);
        assert_eq!(
            (ran.code, ran.text()),
            (code, ""),
            "{name:?}: {}",
            ran.stderr
        );
        assert!(
            !ran.stderr.contains(['\u{1b}', '\u{202e}', '\0']),
            "{:?}",
            ran.stderr
        );
        assert!(names(&here).is_empty(), "{name:?}: {:?}", names(&here));
        assert_eq!(names(outer.path()), ["here"]);
        assert!(!fs::exists(absolute).unwrap());
    }
    // Somebody here who names the place may have a hidden one.
    let server = honest_but_for_the_name(".bashrc");
    let ran = Frame::new(&server.url, &here).run(&["get", "1", "-o", ".bashrc"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(fs::read(here.join(".bashrc")).unwrap(), b"hello");
}

#[test]
fn svc_e1_what_is_here_already_stays() {
    let here = tempdir().unwrap();
    let server = honest_but_for_the_name("taken");
    symlink("target", here.path().join("taken")).unwrap();
    Frame::new(&server.url, here.path())
        .run(&["get", "1"])
        .refuses(73, "not touched");
    assert_eq!(names(here.path()), ["taken"]);
    let server = honest_but_for_the_name("new");
    let ran = Frame::new(&server.url, here.path()).run(&["get", "1"]);
    assert_eq!((ran.code, ran.text()), (0, "saved \"new\" (5 B)\n"));
}

#[test]
fn svc_e2_another_file_than_the_chosen_one_is_refused() {
    let here = tempdir().unwrap();
    for sent in [
        file("other", 5),
        file("one", 6),
        json!({ "name": "one", "size": 5, "version": "ff".repeat(16) }),
    ] {
        let server = Hostile::start(move |request, wire| {
            if request["verb"] == "list" {
                wire.write(ok(json!({ "files": [file("one", 5), file("other", 5)] })));
                return;
            }
            assert_eq!(request["args"]["version"], VERSION);
            wire.write(with_body(sent.clone()));
            wire.write("dhello!");
            wire.write(format!(".{}", json!({ "digest": Digest::of(b"hello!") })));
        });
        let ran = Frame::new(&server.url, here.path()).run(&["get", "1"]);
        ran.refuses(76, "");
        assert!(names(here.path()).is_empty());
    }
}

/// What a server may do after it has announced a file of 5 bytes.
type Body = fn(&mut Wire);

#[test]
fn svc_e3_an_endless_short_or_false_body_leaves_nothing() {
    let here = tempdir().unwrap();
    let bodies: [(&str, i32, Body); 7] = [
        ("endless", 76, |wire| {
            while wire.write([b"d", &[0; 60_000][..]].concat()) {}
        }),
        ("one byte more", 76, |wire| {
            wire.write("dhello!");
            wire.write(format!(".{}", json!({ "digest": Digest::of(b"hello!") })));
        }),
        ("short", 76, |wire| {
            wire.write("dhell");
            wire.write(format!(".{}", json!({ "digest": Digest::of(b"hell") })));
        }),
        ("another digest", 76, |wire| {
            wire.write("dhello");
            wire.write(format!(".{}", json!({ "digest": Digest::of(b"jello") })));
        }),
        ("cut off", 74, |wire| {
            wire.write("dhel");
        }),
        ("cut within a frame", 74, |wire| {
            wire.write_raw(b"\0\0\0\x06dhe")
        }),
        ("given up", 69, |wire| {
            wire.write("dhel");
            wire.write("!{\"status\":\"internal\",\"message\":\"the disk \\u001b[31mburns\"}");
        }),
    ];
    for (what, code, body) in bodies {
        let server = Hostile::start(move |_, wire| {
            wire.write(with_body(file("five", 5)));
            body(wire);
        });
        let ran = Frame::new(&server.url, here.path()).run(&["get", "five"]);
        assert_eq!((ran.code, ran.text()), (code, ""), "{what}: {}", ran.stderr);
        assert!(
            !ran.stderr.contains('\u{1b}') && !ran.stderr.is_empty(),
            "{what}: {}",
            ran.stderr
        );
        assert!(
            names(here.path()).is_empty(),
            "{what}: {:?}",
            names(here.path())
        );
    }
}

#[test]
fn svc_e4_an_interrupted_download_leaves_nothing() {
    let server = Hostile::start(|_, wire| {
        wire.write(with_body(file("five", 5)));
        wire.write("dhel");
        wire.wait_for_end();
    });
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let here = tempdir().unwrap();
        let running = Frame::new(&server.url, here.path()).spawn(&["get", "five"]);
        eventually("the download has begun", || names(here.path()).len() == 1);
        assert!(
            names(here.path())[0].starts_with(".frame-"),
            "{:?}",
            names(here.path())
        );
        running.signal(signal);
        assert_eq!(running.end().code, code);
        assert!(names(here.path()).is_empty());
    }
}

#[test]
fn svc_e6_what_the_server_says_drives_no_terminal() {
    let here = tempdir().unwrap();
    let evil = "a\u{1b}]52;c;eA==\u{7}\rb\u{202e}c\u{9b}31m\nd";
    let server = Hostile::start(move |request, wire| {
        let details = json!({ "name": evil, "rights": [], "files": [file(evil, 5)] });
        let refusal = json!({ "status": format!("bu{evil}"), "message": evil });
        match request["verb"].as_str().unwrap() {
            "whoami" | "list" => wire.write(ok(details)),
            "exec" => {
                wire.write(with_body(json!({})));
                wire.write(format!(
                    ".{}",
                    json!({ "outcome": "killed", "detail": evil })
                ))
            }
            _ => wire.write(refusal.to_string()),
        };
    });
    let frame = Frame::new(&server.url, here.path());
    for arguments in [
        &["whoami"][..],
        &["ls"],
        &["get", "1"],
        &["get", "x"],
        &["rm", "x"],
        &["ping"],
        &["exec", "true"],
    ] {
        for json in [&[][..], &["--json"]] {
            let ran = frame.run(&[json, arguments].concat());
            let shown = format!("{}{}", ran.text(), ran.stderr);
            let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(
                !shown.is_empty() && !shown.contains(acts),
                "{arguments:?}: {shown:?}"
            );
            assert!(shown.lines().count() <= 2, "{arguments:?}: {shown:?}");
        }
    }
    // For machines it is exact.
    let object = frame.run(&["--json", "ls"]).object();
    assert_eq!(object["files"][0]["name"], evil);
}

#[test]
fn svc_c32_a_lost_connection_is_no_success() {
    let here = tempdir().unwrap();
    let ends: [(&str, Body); 4] = [
        ("before the answer", |_| {}),
        ("after the head", |wire| {
            wire.write(with_body(json!({})));
        }),
        ("within the output", |wire| {
            wire.write(with_body(json!({})));
            wire.write("opart");
        }),
        ("within a frame", |wire| {
            wire.write(with_body(json!({})));
            wire.write("opart");
            wire.write_raw(b"\0\0\0\x20.{\"outcome\":\"ex");
        }),
    ];
    for (what, end) in ends {
        let server = Hostile::start(move |_, wire| end(wire));
        let frame = Frame::new(&server.url, here.path());
        let ran = frame.run(&["exec", "true"]);
        assert_eq!(ran.code, 74, "{what}: {}", ran.stderr);
        assert!(ran.stderr.contains("connection"), "{what}: {}", ran.stderr);
        let ran = frame.run(&["--json", "exec", "true"]);
        let object = ran.object();
        let lost = [&object["outcome"], &object["error"]].map(|v| *v == "connection-lost");
        assert!(ran.code == 74 && lost.contains(&true), "{what}: {object}");
    }
}

#[test]
fn an_answer_that_is_none_is_a_protocol_error() {
    let here = tempdir().unwrap();
    let answers: [&[u8]; 5] = [
        b"hello",
        b"{}",
        b"d",
        b"{\"status\":\"ok\",\"details\":[]}",
        b"",
    ];
    for answer in answers {
        let server = Hostile::start(move |_, wire| {
            wire.write(answer);
            thread::sleep(Duration::from_millis(50));
        });
        let ran = Frame::new(&server.url, here.path()).run(&["whoami"]);
        assert_eq!(
            (ran.code, ran.text()),
            (76, ""),
            "{answer:?}: {}",
            ran.stderr
        );
    }
    let server = Hostile::start(|_, wire| wire.write_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    Frame::new(&server.url, here.path())
        .run(&["ping"])
        .refuses(76, "--framing");
}

#[test]
fn a_list_that_does_not_advance_is_refused() {
    let here = tempdir().unwrap();
    let server = Hostile::start(|_, wire| {
        wire.write(ok(json!({ "files": [file("a", 1)], "next": "a" })));
    });
    let frame = Frame::new(&server.url, here.path());
    frame.run(&["ls"]).refuses(76, "does not come to an end");
    frame
        .run(&["get", "5"])
        .refuses(76, "does not come to an end");
}

#[test]
fn a_third_ctrl_c_gives_up_on_a_server_that_does_not_listen() {
    let here = tempdir().unwrap();
    let server = Hostile::start(|_, wire| {
        wire.write(with_body(json!({})));
        wire.write("oready\n");
        wire.wait_for_end();
    });
    let mut running = Frame::new(&server.url, here.path()).spawn(&["exec", "true"]);
    running.wait_for("ready\n");
    for _ in 0..2 {
        running.signal(Signal::INT);
        thread::sleep(Duration::from_millis(200));
        assert!(
            running.0.try_wait().unwrap().is_none(),
            "it gave up too early"
        );
    }
    running.signal(Signal::INT);
    assert_eq!(running.end().code, 130);
}

#[test]
fn after_a_lost_connection_the_shell_connects_anew() {
    let here = tempdir().unwrap();
    let server = honest_but_for_the_name("a");
    // This server ends each connection after one download.
    let ran = Frame::new(&server.url, here.path())
        .run_with(&["shell"], "get 1\nget 1 -o b\nget 1 -o c\nget 1 -o d\n");
    assert_eq!(names(here.path()), ["a", "c"], "{}", ran.stderr);
    assert_eq!(ran.code, 74);
}
