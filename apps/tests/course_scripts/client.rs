//! Scripts as clients of `framed`.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    common::{Place, run, told, wait_until},
    frame_support::Frame,
    support::*,
};

const WELCOME: &str = "登录成功";
const WRONG: &str = "用户名或者密码错误";

#[test]
fn svc_b24_scripts_log_in() {
    if !has_python() {
        return;
    }
    let course = Course::start();
    // One after the other, and each server's next client is served.
    for _ in 0..5 {
        assert_eq!(
            course.client("login", "login", &["alex|dsb"]),
            [WELCOME, "end 0"]
        );
        let lines = course.client(
            "login",
            "login",
            &["alex|no", "nobody|x", "|", "alex", "egon|123"],
        );
        assert_eq!(lines, [WRONG, WRONG, WRONG, WRONG, WELCOME, "end 0"]);
        assert_eq!(
            course.client("login", "login", &["alex|no", "good|bye"]),
            [WRONG, "end 0"]
        );
    }
    let tries = ["alex|no"; 10];
    let lines = course.client("login", "login", &tries);
    assert_eq!(lines.len(), 11);
    assert_eq!(lines[10], "end 0");

    // Two at once.
    let (mut one, mut two) = (
        course.spawn("wait", "login", &[]),
        course.spawn("wait", "login", &[]),
    );
    assert_eq!(
        (one.line(), two.line()),
        ("connected".into(), "connected".into())
    );
    two.tell("");
    assert_eq!(two.line(), WELCOME);
    one.tell("");
    assert_eq!(one.line(), WELCOME);
}

#[test]
fn with_one_connection_the_next_client_waits_in_the_backlog() {
    if !has_python() {
        return;
    }
    let course = Course::start();
    let mut one = course.spawn("wait", "one", &[]);
    assert_eq!(one.line(), "connected");
    let mut two = course.spawn("wait", "one", &[]);
    // It is connected, and nobody answers it.
    assert_eq!(two.line(), "connected");
    two.tell("");
    assert!(two.is_silent());
    one.tell("");
    assert_eq!(one.line(), WELCOME);
    assert_eq!(two.line(), WELCOME);
}

#[test]
fn svc_c24_scripts_run_commands() {
    if !has_python() {
        return;
    }
    let course = Course::start();
    let utf8 = [
        "utf-8",
        "echo hello",
        "echo 你好,世界",
        "echo 'a  b' \"c\"",
        "cat",
        "cat /nonexistent",
    ];
    for _ in 0..10 {
        let lines = course.client("execute", "exec", &utf8[..5]);
        assert_eq!(lines, ["6 hello", "14 你好,世界", "7 a  b c", "0 "]);
    }
    // Both streams; a pipe is a word, where nobody has the shell.
    let lines = course.client(
        "execute",
        "exec",
        &["utf-8", "cat /nonexistent", "echo a | cat"],
    );
    assert!(lines[0].contains("nonexistent"), "{lines:?}");
    assert_eq!(lines[1], "8 a | cat");
    let mut words = vec!["login=alex|dsb"];
    words.extend(&utf8[..3]);
    let lines = course.client("execute", "login-exec", &words);
    assert_eq!(lines, [WELCOME, "6 hello", "14 你好,世界"]);
    // GBK, the shell, and no standard error.
    let lines = course.client(
        "execute",
        "gbk",
        &[
            "gbk",
            "echo 你好 | cat",
            "cat /nonexistent",
            "echo a; echo b >&2",
            "ls /proc/self/fd >/dev/null; cat",
        ],
    );
    assert_eq!(lines, ["5 你好", "0 ", "2 a", "0 "]);
    let lines = course.client("execute", "no-right", &["utf-8", "echo a"]);
    assert!(lines[0].contains("needs the right `exec`"), "{lines:?}");
    let lines = course.client("execute", "exec", &["utf-8", "id", "echo a"]);
    assert!(
        lines[0].contains("is not on this server's list") && lines[1] == "2 a",
        "{lines:?}"
    );
    let long = format!("echo {}", "a".repeat(1019));
    let over = format!("{long}a");
    let lines = course.client("execute", "exec", &["utf-8", &long, &over]);
    assert_eq!(lines[0], format!("1020 {}", "a".repeat(1019)));
    assert_eq!(lines[1], "32 a command has at most 1024 bytes");
}

#[test]
fn outputs_of_every_size_come_whole() {
    if !has_python() {
        return;
    }
    let course = Course::start();
    let commands: Vec<String> = SIZES
        .iter()
        .map(|size| format!("head -c {size} /dev/zero"))
        .collect();
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let expected: Vec<String> = SIZES.iter().map(|size| shown(&vec![0; *size])).collect();
    // A length of zero goes last: what follows it could stick to the `ok`, in this kind of script.
    for (system, listener, first) in [
        ("execute", "exec", "md5"),
        ("counted", "both", "both"),
        ("counted", "answer", "answer"),
    ] {
        let words: Vec<&str> = [first]
            .into_iter()
            .chain(commands[1..].iter().copied())
            .collect();
        assert_eq!(
            course.client(system, listener, &words),
            expected[1..],
            "{listener}"
        );
        assert_eq!(
            course.client(system, listener, &[first, commands[0]]),
            expected[..1]
        );
    }
}

#[test]
fn svc_a8_acks_in_pieces_glued_wrong_or_absent() {
    if !has_python() {
        return;
    }
    let course = Course::start();
    let expected: Vec<&str> = ["one", "0", "two"].into_iter().cycle().take(30).collect();
    assert_eq!(course.client("pieces", "exec", &[]), expected);
    for word in ["no", "OK", "o", "o\n", "vanish"] {
        let lines = course.client("wrong", "exec", &[word]);
        assert!(lines.is_empty() || lines == ["b''"], "{word}: {lines:?}");
    }
    assert!(!course.server.log().contains("panicked"));
    let told = || {
        course.server.log().contains("instead of \\\"ok\\\"")
            || course.server.log().contains("instead of")
    };
    assert!(
        wait_until(Duration::from_secs(5), told),
        "{}",
        course.server.log()
    );
    // A script that reads once and takes the rest for a length harms itself.
    let lines = course.client("torn", "exec", &[]);
    assert_eq!(lines, ["True", "ValueError"]);
    assert_eq!(
        course.client("execute", "exec", &["utf-8", "echo a"]),
        ["2 a"]
    );
}

#[test]
fn scripts_send_and_fetch_files() {
    if !has_python() {
        return;
    }
    let course = Course::start();
    let bodies: Vec<Vec<u8>> = SIZES.iter().map(|size| noise(*size)).collect();
    let names: Vec<String> = SIZES
        .iter()
        .map(|size| format!("文件 {size}.bin"))
        .collect();
    for (name, body) in names.iter().zip(&bodies) {
        fs::write(course.place.join(name), body).unwrap();
    }
    for (listener, keys, reply) in [
        ("reply", "filename,filesize,md5", "reply"),
        ("keys", "file_name,file_size,MD5", "silent"),
    ] {
        let mut words = vec![keys, reply];
        words.extend(names.iter().map(String::as_str));
        let lines = course.client("upload", listener, &words);
        let answers = if reply == "reply" { SIZES.len() } else { 0 };
        assert_eq!(lines[..answers], vec!["ok True"; answers]);
        assert_eq!(lines[answers..], ["end 0"]);
        for (name, body) in names.iter().zip(&bodies) {
            let path = course.place.join("files").join(name);
            assert!(
                wait_until(Duration::from_secs(5), || path.exists()),
                "{name}"
            );
            assert!(fs::read(&path).unwrap() == *body);
            fs::remove_file(path).unwrap();
        }
    }
    for (name, body) in names.iter().zip(&bodies) {
        let files = course.place.join("files");
        fs::write(files.join(name), body).unwrap();
        fs::write(files.join("课.bin"), body).unwrap();
        let lines = course.client("ack", "ack", &[name, name]);
        assert_eq!(lines, ["True", &shown(body), "True", &shown(body)]);
        let lines = course.client("download", "download", &[]);
        assert_eq!(lines, ["课.bin True", &shown(body)]);
    }
}

#[test]
fn the_python_client_of_the_exercise_walks_through_it() {
    if !has_python() {
        return;
    }
    let course = Course::start();
    let body = noise(100_000);
    fs::write(course.place.join("课.bin"), &body).unwrap();
    let here = course.place.join("here");
    fs::create_dir(&here).unwrap();
    let example = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/python/course_files.py"
    );
    assert_eq!(fs::read_to_string(example).unwrap().lines().count(), 40);
    let walk = |input: &str| {
        let mut command = Command::new("python3");
        command
            .arg(example)
            .args(["127.0.0.1", &course.port("files").to_string()]);
        command.current_dir(&here).env("PYTHONIOENCODING", "utf-8");
        run(command, input)
    };
    let output = walk("alex\nno\nalex\ndsb\n1\n../课.bin\n1\n../课.bin\n2\n1\n2\n9\nq\n");
    assert!(output.status.success(), "{}", told(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    for seen in [
        WRONG,
        "stored",
        "already-exists",
        "1 课.bin 100000",
        "saved 课.bin",
        "there is no number 9",
    ] {
        assert!(text.contains(seen), "{seen}: {text}");
    }
    assert!(fs::read(here.join("课.bin")).unwrap() == body);
    // What is here is not overwritten.
    let output = walk("alex\ndsb\n2\n1\nq\n");
    assert!(!output.status.success());
    // Two at once.
    let mut walks: Vec<_> = (0..2)
        .map(|_| {
            let mut command = Command::new("python3");
            command
                .arg(example)
                .args(["127.0.0.1", &course.port("files").to_string()]);
            command
                .current_dir(&here)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for walk in &mut walks {
        walk.stdin
            .as_mut()
            .unwrap()
            .write_all(b"alex\ndsb\nq\n")
            .unwrap();
    }
    for walk in walks {
        assert!(walk.wait_with_output().unwrap().status.success());
    }
}

#[test]
fn scripts_look_at_the_clock() {
    if !has_python() {
        return;
    }
    let course = Course::start();
    let lines = course.client("clock", "clock", &["16"]);
    assert_eq!(lines.len(), 16);
    for (number, line) in lines.iter().enumerate() {
        let (text, milliseconds) = line.split_once(' ').unwrap();
        assert_eq!(text.len(), "12:34:56".len());
        let off = milliseconds.parse::<f64>().unwrap() - 200.0 * number as f64;
        assert!(off.abs() < 50.0, "{lines:?}");
    }
}

#[test]
fn one_exec_service_answers_in_every_dialect_at_once() {
    if !has_python() {
        return;
    }
    let course = Course::start();
    let url = course.url("native");
    let frame = Frame::new(&url, course.place.path())
        .options(&[])
        .password(None);
    let native = frame.spawn(&["exec", "--", "echo", "same"]);
    let lines = course.client("execute", "exec", &["utf-8", "echo same"]);
    assert_eq!(lines, ["5 same"]);
    let ran = native.end();
    assert_eq!((ran.code, ran.text()), (0, "same\n"));
    // And it knows of none of them.
    let exec = concat!(env!("CARGO_MANIFEST_DIR"), "/../services/src/exec");
    for entry in fs::read_dir(exec).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap().to_lowercase();
        for word in ["course", "dialect"] {
            assert!(!text.contains(word), "{word} in {}", path.display());
        }
    }
}

#[test]
fn the_dialects_weaken_no_default() {
    let names = [
        "course-login",
        "course-exec",
        "course-struct",
        "course-transfer",
        "course-files",
        "course-clock",
    ];
    let standard = Place::new("");
    let mut printed = crate::common::framed();
    printed
        .args(["--print-config", "--data"])
        .arg(standard.path());
    let printed = run(printed, "");
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(
        text.contains("native") && !text.contains("course"),
        "{text}"
    );
    let config = |dialect: &str, address: &str, more: &str| {
        let parts = "[accounts]\nfile = \"accounts.txt\"\n[files]\nroot = \"files\"\n[exec]\nallow = [\"echo\"]\n";
        let listen = format!("[[listen]]\naddress = \"tcp://{address}:0\"\n{more}\n");
        Place::new(&match dialect {
            "" => format!("{parts}{listen}"),
            dialect => format!("{parts}{listen}dialect = \"{dialect}\"\n"),
        })
    };
    let check = |place: &Place| {
        fs::write(place.join("accounts.txt"), "alex|dsb\n").unwrap();
        place.run(["--check"], "")
    };
    for dialect in names {
        let identity = match dialect {
            "course-login" | "course-files" => "",
            _ => "identity = { name = \"guest\", rights = [] }",
        };
        // Whoever is not named must log in.
        let without = check(&config(dialect, "127.0.0.1", ""));
        assert_eq!(
            without.status.success(),
            identity.is_empty(),
            "{dialect}: {}",
            told(&without)
        );
        let fine = check(&config(dialect, "127.0.0.1", identity));
        assert!(fine.status.success(), "{dialect}: {}", told(&fine));
        for address in ["0.0.0.0", "[::]", "192.0.2.1"] {
            let open = check(&config(dialect, address, identity));
            assert!(
                !open.status.success() && told(&open).contains("expose"),
                "{dialect} {address}: {}",
                told(&open)
            );
        }
        let exposed = check(&config(
            dialect,
            "0.0.0.0",
            &format!("{identity}\nexpose = true"),
        ));
        assert!(exposed.status.success(), "{dialect}: {}", told(&exposed));
    }
}
