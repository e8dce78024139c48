//! The tour: everything in one command, and nothing of it when a bit is flipped on the way.

use std::{process::Command, time::Duration};

/// Runs `tour` to its end: exit code, standard output, standard error.
fn tour(words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = assert_cmd::Command::from(Command::new(env!("CARGO_BIN_EXE_tour")));
    command.args(words).env_remove("RUST_LOG");
    let output = command.timeout(Duration::from_secs(120)).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

const FRAMINGS: [&str; 3] = ["ack-handshake", "struct-header", "delimiter"];

const STEPS: [&str; 6] = [
    "wrong password",
    "login",
    "exec",
    "upload",
    "list",
    "download",
];

#[test]
fn the_tour_takes_every_step_over_every_framing() {
    let (code, out, err) = tour(&["--size", "1MiB"]);
    assert_eq!(code, Some(0), "{out}{err}");
    for framing in FRAMINGS {
        for step in STEPS {
            let begin = format!("{framing:<14} {step:<14} ");
            let lines: Vec<_> = out
                .lines()
                .filter(|line| line.starts_with(&begin))
                .collect();
            assert_eq!(lines.len(), 1, "{begin}: {out}");
            assert!(lines[0].contains("  ok: "), "{}", lines[0]);
            if step == "upload" || step == "download" {
                let numbers: Vec<u64> = lines[0][begin.len()..]
                    .split_whitespace()
                    .take(2)
                    .map(|word| word.parse().unwrap())
                    .collect();
                assert_eq!(numbers[0], 1024 * 1024, "{}", lines[0]);
                assert!(numbers[1] > numbers[0], "the socket saw less: {}", lines[0]);
            }
        }
    }
    assert!(out.ends_with("everything is as it should be\n"), "{out}");
    assert!(!out.contains('\x1b'), "colours where there is no terminal");
}

#[test]
fn a_flipped_bit_makes_it_fail() {
    // The bit is one of the first that follow the first megabyte, in the middle of the upload.
    let (code, out, err) = tour(&["--tamper", "--size", "4MiB"]);
    assert_eq!(code, Some(1), "{out}{err}");
    for framing in FRAMINGS {
        let begin = format!("{framing:<14} {:<14} ", "upload");
        let failed = out
            .lines()
            .any(|line| line.starts_with(&begin) && line.contains("FAILED: "));
        assert!(failed, "{framing}: {out}");
        let later = format!("{framing:<14} download");
        assert!(!out.contains(&later), "{framing} went on: {out}");
    }
    assert!(out.contains("something is not as it should be"), "{out}");
}

#[test]
fn a_wrong_command_line_exits_with_64() {
    let (code, _, err) = tour(&["--size", "huge"]);
    assert_eq!(code, Some(64), "{err}");
    assert!(err.contains("huge"), "{err}");
}

#[test]
fn the_systems_of_the_course_say_what_passes_on_the_wire() {
    let (code, out, err) = tour(&["--course"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("recv 10"), "the sticky packet itself: {out}");
    if out.contains("there is no python3 here") {
        eprintln!("SKIPPED: there is no python3 here");
        return;
    }
    for said in [
        "▶ b'alex|dsb'",
        "登录成功",
        "▶ b'ok'",
        r"◀ b'\x04\x00\x00\x00'",
        "▶ b'get course.txt'",
        "one of ours",
        r#"{"op": "get", "index": 1}"#,
        "hello yourself",
        "you said: good-bye",
    ] {
        assert!(out.contains(said), "{said}: {out}");
    }
    assert!(out.ends_with("everything is as it should be\n"), "{out}");
}
