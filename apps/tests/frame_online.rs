//! `frame` against a server.

mod frame_support;

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::{PermissionsExt, symlink},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use frame_support::{Server, eventually, names};
use rustix::process::Signal;
use serde_json::json;
use tempfile::tempdir;

#[test]
fn svc_c2_the_exit_code_is_the_commands() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let frame = server.frame(here.path());
    for (line, code) in [
        ("true", 0),
        ("exit 7", 7),
        ("exit 77", 77),
        ("exit 255", 255),
    ] {
        let ran = frame.run(&["exec", "--shell", line]);
        assert_eq!(
            (ran.code, ran.text(), ran.stderr.as_str()),
            (code, "", ""),
            "{line}"
        );
    }
    for (line, code, said) in [
        ("kill -9 $$", 137, "SIGKILL"),
        ("kill -TERM $$", 143, "SIGTERM"),
    ] {
        let ran = frame.run(&["exec", "--shell", line]);
        assert_eq!(ran.code, code, "{line}");
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
    let start = Instant::now();
    let ran = frame.run(&["exec", "--timeout", "300ms", "--", "sleep", "60"]);
    assert_eq!(ran.code, 124);
    assert!(ran.stderr.contains("time limit") && start.elapsed() < Duration::from_secs(30));
    frame
        .run(&["exec", "--", "no-such-program"])
        .refuses(127, "server refuses");
}

#[test]
fn svc_c1_the_streams_stay_apart_and_arguments_are_literal() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let frame = server.frame(here.path());
    let ran = frame.run(&["exec", "--shell", "echo out; echo err >&2"]);
    assert_eq!((ran.text(), ran.stderr.as_str()), ("out\n", "err\n"));
    let ran = frame.run(&[
        "exec", "--", "printf", "%s|", "--json", "; id", "$(id)", "空 格", "-o", "--",
    ]);
    assert_eq!(ran.text(), "--json|; id|$(id)|空 格|-o|--|");
    // Control characters pass where no terminal is.
    let ran = frame.run(&["exec", "--", "printf", r"\033[1m\r"]);
    assert_eq!(ran.stdout, b"\x1b[1m\r");
}

#[test]
fn svc_c22_standard_input_goes_through() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let frame = server.frame(here.path());
    let bytes: Vec<u8> = (0..1_000_000u32).map(|i| (i * 31 % 253) as u8).collect();
    let ran = frame.run_with(&["exec", "--", "cat"], bytes.clone());
    assert!(ran.code == 0 && ran.stdout == bytes);
    // At its end from the start, or not wanted: `cat` ends.
    assert_eq!(frame.run(&["exec", "--", "cat"]).stdout, b"");
    assert_eq!(
        frame
            .run_with(&["exec", "--no-stdin", "--", "cat"], bytes.clone())
            .stdout,
        b""
    );
    assert_eq!(
        frame.spawn(&["exec", "--stdin", "--", "cat"]).end().stdout,
        b""
    );
    // A command that does not want it all ends all the same.
    let ran = frame.run_with(&["exec", "--", "head", "-c", "3"], bytes.clone());
    assert!(ran.code == 0 && ran.stdout == bytes[..3]);
    // As it comes, not at the end.
    let mut running = frame.spawn_with(&["exec", "--", "cat"], Stdio::piped());
    let mut stdin = running.0.stdin.take().unwrap();
    for line in ["one\n", "two\n"] {
        stdin.write_all(line.as_bytes()).unwrap();
        running.wait_for(line);
    }
    drop(stdin);
    assert_eq!(running.end().code, 0);
}

#[test]
fn every_framing_carries_three_megabytes_of_nuls() {
    let here = tempdir().unwrap();
    for framing in ["struct-header", "ack-handshake", "delimiter", "lines"] {
        let server = Server::start(framing);
        let frame = server
            .frame(here.path())
            .options(&["--user", "alice", "--framing", framing]);
        let ran = frame.run(&["exec", "--", "head", "-c", "3000000", "/dev/zero"]);
        assert_eq!((ran.code, ran.stdout.len()), (0, 3_000_000), "{framing}");
        assert!(ran.stdout.iter().all(|byte| *byte == 0), "{framing}");
        assert_eq!(frame.run(&["ping"]).code, 0, "{framing}");
    }
}

#[test]
fn svc_c12_when_nobody_reads_the_output_it_ends_quietly() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let frame = server.frame(here.path());
    let mut running = frame.spawn(&["exec", "--", "yes"]);
    running.wait_for("y\ny\n");
    drop(running.0.stdout.take());
    assert_eq!(running.code(), 141);
    let mut stderr = String::new();
    running
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(stderr, "");
}

#[test]
fn files_are_put_listed_fetched_by_number_and_removed() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let frame = server.frame(here.path());
    let content: Vec<u8> = (0..700_000u32).map(|i| (i * 7 % 251) as u8).collect();
    let there = tempdir().unwrap();
    let source = there.path().join("空 格 file.bin");
    fs::write(&source, &content).unwrap();
    let source = source.to_str().unwrap();

    assert_eq!(frame.run(&["ls"]).text(), "");
    let ran = frame.run(&["put", source]);
    assert_eq!(
        (ran.code, ran.text()),
        (0, "stored \"空 格 file.bin\" (683.6 KiB)\n")
    );
    frame.run(&["put", source]).refuses(73, "--overwrite");
    let ran = frame.run(&["put", source, "--overwrite"]);
    assert_eq!((ran.code, &ran.text()[..8]), (0, "replaced"));
    assert_eq!(frame.run_with(&["put", "-", "3"], "three").code, 0);
    assert_eq!(frame.run_with(&["put", "-", "empty"], "").code, 0);

    let ran = frame.run(&["ls"]);
    let lines: Vec<&str> = ran.text().lines().map(str::trim).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines[0].starts_with("1") && lines[0].ends_with("UTC  3"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("2") && lines[1].ends_with("  empty"),
        "{lines:?}"
    );
    assert!(lines[2].starts_with("3  683.6 KiB  20") && lines[2].ends_with("  空 格 file.bin"));

    let ran = frame.run(&["get", "3"]);
    assert_eq!(
        (ran.code, ran.text()),
        (0, "saved \"空 格 file.bin\" (683.6 KiB)\n")
    );
    assert!(fs::read(here.path().join("空 格 file.bin")).unwrap() == content);
    assert_eq!(names(here.path()), ["空 格 file.bin"]);
    let ran = frame.run(&["get", "--name", "3", "-o", "three.txt"]);
    assert_eq!(
        (ran.code, ran.text()),
        (0, "saved \"3\" as \"three.txt\" (5 B)\n")
    );
    assert_eq!(fs::read(here.path().join("three.txt")).unwrap(), b"three");
    let ran = frame.run(&["get", "--number", "1", "-o", "-"]);
    assert_eq!((ran.code, ran.text()), (0, "three"));
    assert_eq!(frame.run(&["get", "empty"]).code, 0);
    assert_eq!(fs::read(here.path().join("empty")).unwrap(), b"");

    // SVC-D26: never another file.
    for (word, code) in [
        ("4", 66),
        ("99999999999999999999", 66),
        ("0", 64),
        ("03", 64),
        ("-1", 64),
        ("+1", 66),
        ("1e3", 66),
        ("１", 66),
        ("1 2", 66),
        ("", 64),
        ("a/b", 64),
        ("../x", 64),
    ] {
        let ran = frame.run(&["get", word]);
        assert_eq!(
            (ran.code, ran.text()),
            (code, ""),
            "{word:?}: {}",
            ran.stderr
        );
    }
    frame.run(&["get", "4"]).refuses(66, "from 1 to 3");
    frame.run(&["get", "missing"]).refuses(66, "no such file");
    assert_eq!(names(here.path()), ["empty", "three.txt", "空 格 file.bin"]);

    assert_eq!(
        frame.run(&["rm", "空 格 file.bin"]).text(),
        "removed \"空 格 file.bin\"\n"
    );
    frame
        .run(&["rm", "空 格 file.bin"])
        .refuses(66, "no such file");
}

#[test]
fn svc_e1_svc_e4_nothing_here_is_overwritten_unless_that_is_said() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let frame = server.frame(here.path());
    for name in ["a", "link", "folder"] {
        assert_eq!(frame.run_with(&["put", "-", name], "new").code, 0);
    }
    let path = |name: &str| here.path().join(name);
    fs::write(path("a"), "old").unwrap();
    symlink("a", path("link")).unwrap();
    fs::create_dir(path("folder")).unwrap();
    for name in ["a", "link", "folder"] {
        frame
            .run(&["get", name])
            .refuses(73, "is here already; it was not touched");
    }
    frame
        .run(&["get", "a", "-o", "link"])
        .refuses(73, "--force");
    frame
        .run(&["get", "a", "-o", "missing/a"])
        .refuses(73, "missing");
    frame
        .run(&["get", "folder", "--force"])
        .refuses(73, "folder");
    assert_eq!(fs::read(path("a")).unwrap(), b"old");

    assert_eq!(frame.run(&["get", "link", "--force"]).code, 0);
    assert_eq!(
        fs::read(path("a")).unwrap(),
        b"old",
        "a link is replaced, not followed"
    );
    assert_eq!(frame.run(&["get", "a", "--force"]).code, 0);
    assert_eq!(fs::read(path("a")).unwrap(), b"new");
    assert_eq!(names(here.path()), ["a", "folder", "link"]);

    // Where root may write anyway, there is nothing to see.
    fs::set_permissions(path("folder"), fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(path("folder/probe"), "").is_err() {
        frame
            .run(&["get", "a", "-o", "folder/a"])
            .refuses(73, "folder/a");
    }
}

#[test]
fn what_cannot_be_put_is_told_before_anything_is_sent() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let frame = server.frame(here.path());
    fs::write(here.path().join("-x"), "").unwrap();
    fs::write(here.path().join("ok"), "").unwrap();
    frame.run(&["put", "missing"]).refuses(66, "missing");
    frame.run(&["put", "."]).refuses(64, "name");
    frame.run(&["put", "/tmp"]).refuses(66, "folder");
    frame.run(&["put", "-"]).refuses(64, "NAME");
    frame.run(&["put", "./-x"]).refuses(64, "begins with '-'");
    frame.run(&["put", "ok", "a/b"]).refuses(64, "separator");
    frame.run(&["put", "ok", "a\u{1b}b"]).refuses(64, r"\u{1b}");
    assert_eq!(frame.run(&["ls"]).text(), "");
}

#[test]
fn who_may_not_is_told_with_77() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let frame = server.frame(here.path());
    frame
        .clone()
        .password(Some("guess"))
        .run(&["whoami"])
        .refuses(77, "wrong user name or password");
    frame
        .clone()
        .options(&["--user", "eve"])
        .run(&["whoami"])
        .refuses(77, "wrong user name");
    let anonymous = frame.clone().options(&[]);
    anonymous.run(&["whoami"]).refuses(77, "--user");
    assert_eq!(anonymous.run(&["ping"]).code, 0);
    let bob = frame.clone().options(&["--user", "bob"]);
    assert_eq!(bob.run(&["exec", "--", "echo", "hi"]).text(), "hi\n");
    bob.run(&["exec", "--", "cat"])
        .refuses(77, "server refuses");
    bob.run(&["exec", "--shell", "true"]).refuses(77, "`shell`");
    let ran = bob.run_with(&["put", "-", "x"], "x");
    ran.refuses(77, "`write`");
}

#[test]
fn the_password_comes_from_a_file_a_variable_or_nowhere() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let frame = server.frame(here.path());
    assert_eq!(
        frame.run(&["whoami"]).text(),
        "alice (exec, read, write, shell)\n"
    );
    fs::write(here.path().join("password"), "secret\r\nmore\n").unwrap();
    let options = ["--user", "alice", "--password-file", "password"];
    let ran = frame
        .clone()
        .password(Some("guess"))
        .options(&options)
        .run(&["whoami"]);
    assert_eq!(ran.code, 0, "the file comes first: {}", ran.stderr);
    fs::write(here.path().join("password"), "x".repeat(5000)).unwrap();
    frame
        .clone()
        .options(&options)
        .run(&["whoami"])
        .refuses(64, "1024");
    fs::remove_file(here.path().join("password")).unwrap();
    frame
        .clone()
        .options(&options)
        .run(&["whoami"])
        .refuses(66, "password");
    frame
        .clone()
        .password(None)
        .run(&["whoami"])
        .refuses(64, "FRAME_PASSWORD");
}

#[test]
fn a_server_that_is_not_there_is_69() {
    let here = tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("tcp://{free}");
    let frame = frame_support::Frame::new(&url, here.path());
    frame.run(&["ping"]).refuses(69, &url);
    let url = format!("unix:{}/socket", here.path().display());
    frame_support::Frame::new(&url, here.path())
        .run(&["ping"])
        .refuses(69, "socket");
    frame_support::Frame::new("tcp://name.invalid:1", here.path())
        .run(&["ping"])
        .refuses(69, "name.invalid");
    let ran = frame.run(&["--json", "ping"]);
    assert_eq!(
        (ran.code, ran.object()["error"].as_str()),
        (69, Some("unreachable"))
    );
}

#[test]
fn names_of_hosts_are_looked_up() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let url = server.url.replace("127.0.0.1", "localhost");
    let ran = frame_support::Frame::new(&url, here.path())
        .options(&[])
        .run(&["ping"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.text().contains(&url) && ran.text().contains(" ms"),
        "{}",
        ran.text()
    );
}

#[test]
fn with_json_the_outcome_is_in_the_data() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let frame = server.frame(here.path());
    let json = |arguments: &[&str]| {
        let ran = frame.run_with(&[&["--json"], arguments].concat(), "in");
        (ran.code, ran.object())
    };
    let (code, object) = json(&["exec", "--shell", "cat; echo err >&2; exit 77"]);
    assert_eq!(code, 77);
    assert_eq!(
        object,
        json!({ "outcome": "exit", "code": 77, "stdout": "in", "stderr": "err\n" })
    );
    let (code, object) = json(&["exec", "--shell", r"printf '\377'; kill -9 $$"]);
    assert_eq!(code, 137);
    assert_eq!(
        object,
        json!({ "outcome": "signal", "detail": "SIGKILL", "stdout_hex": "ff", "stderr": "" })
    );
    let (code, object) = json(&["exec", "--timeout", "200ms", "sleep", "60"]);
    assert_eq!((code, &object["outcome"]), (124, &json!("timed-out")));

    let (code, object) = json(&["put", "-", "a b"]);
    assert_eq!(
        (code, &object["name"], &object["size"]),
        (0, &json!("a b"), &json!(2))
    );
    let digest = object["digest"].clone();
    let (_, object) = json(&["ls"]);
    let file = &object["files"][0];
    assert_eq!(
        (&file["number"], &file["name"], &file["size"]),
        (&json!(1), &json!("a b"), &json!(2))
    );
    assert!(file["modified"].as_u64().unwrap() > 1_500_000_000);
    let (_, object) = json(&["get", "1"]);
    assert_eq!(
        object,
        json!({ "name": "a b", "size": 2, "digest": digest, "path": "a b" })
    );
    let (code, object) = json(&["get", "1"]);
    assert_eq!(
        (code, &object["error"], &object["exit"]),
        (73, &json!("cannot-create"), &json!(73))
    );
    assert_eq!(json(&["get", "1", "-o", "-"]).0, 64);
    assert_eq!(json(&["rm", "a b"]).1, json!({ "removed": "a b" }));
    let (code, object) = json(&["get", "gone"]);
    assert_eq!((code, &object["error"]), (66, &json!("not-found")));
    let (_, object) = json(&["whoami"]);
    assert_eq!(
        object,
        json!({ "name": "alice", "rights": ["exec", "read", "write", "shell"] })
    );
    assert!(json(&["ping"]).1["milliseconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn ctrl_c_goes_to_the_command_and_its_answer_counts() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let frame = server.frame(here.path());
    let line = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done";
    let mut running = frame.spawn(&["exec", "--shell", line]);
    running.wait_for("ready\n");
    running.signal(Signal::INT);
    let ran = running.end();
    assert_eq!((ran.code, ran.text()), (9, "caught\n"), "{}", ran.stderr);

    let mut running = frame.spawn(&["exec", "--shell", "echo ready; exec sleep 60"]);
    running.wait_for("ready\n");
    running.signal(Signal::INT);
    assert_eq!(running.end().code, 130);
}

#[test]
fn a_second_ctrl_c_ends_a_command_that_does_not_listen() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let frame = server.frame(here.path());
    let line = "trap 'echo no' INT; echo ready; while :; do sleep 0.05; done";
    let mut running = frame.spawn(&["exec", "--shell", line]);
    running.wait_for("ready\n");
    running.signal(Signal::INT);
    running.wait_for("no\n");
    running.signal(Signal::INT);
    let ran = running.end();
    assert_eq!(ran.code, 130);
    assert!(ran.stderr.contains("cancelled"), "{}", ran.stderr);
}

#[test]
fn ctrl_c_reaches_the_command_though_nobody_takes_its_output() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let frame = server.frame(here.path());
    let note = here.path().join("process");
    let line = format!("echo $$ > {}; exec yes", note.display());
    let mut running = frame.spawn(&["exec", "--shell", &line]);
    running.wait_for("y\n");
    // Time for everything on the way to fill up.
    thread::sleep(Duration::from_millis(500));
    let process = fs::read_to_string(note).unwrap();
    let stat = format!("/proc/{}/stat", process.trim());
    let runs = || fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z"));
    assert!(runs());
    running.signal(Signal::INT);
    eventually("the signal arrives", || !runs());
    assert_eq!(running.end().code, 130);
}

#[test]
fn after_the_end_of_standard_input_ctrl_c_ends_it_too() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let frame = server.frame(here.path());
    let mut running = frame.spawn_with(
        &["exec", "--shell", "cat; echo ready; sleep 60"],
        Stdio::piped(),
    );
    drop(running.0.stdin.take());
    running.wait_for("ready\n");
    running.signal(Signal::INT);
    assert_eq!(running.end().code, 130);
}

#[test]
fn sigterm_ends_it_at_once() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let mut running = server
        .frame(here.path())
        .spawn(&["exec", "--shell", "echo ready; sleep 60"]);
    running.wait_for("ready\n");
    running.signal(Signal::TERM);
    assert_eq!(running.end().code, 143);
}

#[test]
fn the_shell_takes_lines_from_a_pipe() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let frame = server.frame(here.path());
    fs::write(here.path().join("local file"), "content").unwrap();
    let lines = "# a comment, and an empty line\n\n\
        whoami\nput 'local file' 'a 空'\nput 'local file' b\nls\nget 1\nget 2 -o copy\n\
        exec echo 'x  y'\nrm b\nls\nping\nquit\nwhoami\n";
    let ran = frame.run_with(&["shell"], lines);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.text());
    let text = ran.text();
    assert_eq!(
        text.matches("alice (").count(),
        1,
        "after quit nothing is done: {text}"
    );
    for part in [
        "stored \"a 空\" (7 B)\n",
        "saved \"a 空\" (7 B)\n",
        "saved \"b\" as \"copy\" (7 B)\n",
        "x  y\n",
        "removed \"b\"\n",
        " ms\n",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert_eq!(names(here.path()), ["a 空", "copy", "local file"]);
}

#[test]
fn a_line_that_fails_does_not_end_the_shell() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let frame = server.frame(here.path());
    let lines = "get missing\ndance\nput\n'open\nexec false\nput -\nexec --stdin cat\n\
        get 7\nexec --timeout 100ms sleep 60\nexec echo still here\n";
    let ran = frame.run_with(&["shell"], lines);
    assert_eq!(
        (ran.code, ran.text()),
        (66, "still here\n"),
        "{}",
        ran.stderr
    );
    for part in [
        "no such file",
        "dance",
        "<FILE>",
        "counterpart",
        "standard input is the shell's",
    ] {
        assert!(ran.stderr.contains(part), "{part} in {}", ran.stderr);
    }
    let ran = frame.run_with(
        &["shell"],
        &b"\xff\xff\nhelp\nget --help\nexec sh -c 'exit 5'\n"[..],
    );
    assert_eq!(ran.code, 64, "{}", ran.stderr);
    assert!(
        ran.text().contains("whoami") && ran.text().contains("--force"),
        "{}",
        ran.text()
    );
    let ran = frame
        .clone()
        .password(Some("guess"))
        .run_with(&["shell"], "whoami\n");
    ran.refuses(77, "wrong user name");
    let ran = frame.run_with(&["--json", "shell"], "whoami\nget 1\n");
    assert_eq!((ran.code, ran.text().lines().count()), (66, 2));
}

#[test]
fn svc_d26_a_number_means_what_the_last_list_showed() {
    let (server, here) = (Server::start("struct-header"), tempdir().unwrap());
    let frame = server.frame(here.path());
    assert_eq!(frame.run_with(&["put", "-", "b"], "old b").code, 0);
    let mut running = frame.spawn_with(&["shell"], Stdio::piped());
    let mut stdin = running.0.stdin.take().unwrap();
    stdin.write_all(b"ls\n").unwrap();
    running.wait_for("  b\n");
    // Behind its back `a` comes, which would be number 1 now.
    assert_eq!(frame.run_with(&["put", "-", "a"], "a").code, 0);
    stdin.write_all(b"get 1\n").unwrap();
    running.wait_for("saved \"b\" (5 B)\n");
    // And `b` is replaced: no longer what was listed.
    assert_eq!(
        frame
            .run_with(&["put", "--overwrite", "-", "b"], "new b")
            .code,
        0
    );
    stdin.write_all(b"get 1 --force\n").unwrap();
    drop(stdin);
    let ran = running.end();
    assert_eq!(ran.code, 66);
    assert!(ran.stderr.contains("out of date"), "{}", ran.stderr);
    assert_eq!(fs::read(here.path().join("b")).unwrap(), b"old b");
    assert_eq!(names(here.path()), ["b"]);
}

#[test]
fn a_wrong_framing_is_named_where_it_may_be_the_reason() {
    let here = tempdir().unwrap();
    let server = Server::start("struct-header");
    for verb in ["ping", "whoami"] {
        for user in [&["--user", "alice"][..], &[]] {
            if verb == "whoami" && user.is_empty() {
                continue;
            }
            let options = [&["--framing", "lines"][..], user].concat();
            let ran = server.frame(here.path()).options(&options).run(&[verb]);
            assert!([74, 76].contains(&ran.code), "{verb}: {ran:?}");
            for told in ["the framing was lines", "--framing", &server.url] {
                assert!(
                    ran.stderr.contains(told),
                    "{verb} {user:?}: {told}: {ran:?}"
                );
            }
            assert_eq!(ran.stderr.lines().count(), 2, "{ran:?}");
        }
    }
    // Once an answer has come, the framing is not the reason for what the server refuses.
    let ran = server.frame(here.path()).run(&["get", "nothing"]);
    assert_eq!(ran.code, 66);
    assert!(!ran.stderr.contains("--framing"), "{ran:?}");
}

/// Somebody who pastes four lines into the shell at once, and prints how often it told of an error.
const PASTED: &str = r#"
import os, pty, select, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.execvpe(sys.argv[1], sys.argv[1:], dict(os.environ, TERM='xterm'))
seen = b''
end = time.monotonic() + 20
pasted = False
while time.monotonic() < end:
    if select.select([fd], [], [], 0.1)[0]:
        try:
            got = os.read(fd, 65536)
        except OSError:
            break
        if not got:
            break
        seen += got
    if b'frame> ' in seen and not pasted:
        pasted = True
        os.write(fd, b'nonsense\rnonsense\rnonsense\rquit\r')
print(seen.count(b'unrecognized'))
"#;

#[test]
fn lines_that_are_pasted_at_a_terminal_are_all_run() {
    let here = tempdir().unwrap();
    let server = Server::start("struct-header");
    let output = std::process::Command::new("python3")
        .args(["-c", PASTED, env!("CARGO_BIN_EXE_frame")])
        .args(["--server", &server.url, "--user", "alice", "shell"])
        .env("FRAME_PASSWORD", "secret")
        .env("HOME", here.path())
        .env_remove("XDG_STATE_HOME")
        .current_dir(here.path())
        .output();
    match output {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout), "3\n", "{output:?}"),
        Err(_) => eprintln!("SKIPPED: there is no python3 here"),
    }
}
