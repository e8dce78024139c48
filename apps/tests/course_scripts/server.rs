//! Scripts as servers for `frame`.

use std::{fs, path::Path, time::Instant};

use crate::{
    frame_support::{Frame, Ran, names},
    support::*,
};

/// `frame` in a folder, without a login.
fn frame(url: &str, here: &Path, options: &[&str], words: &[&str]) -> Ran {
    Frame::new(url, here)
        .options(options)
        .password(None)
        .run(words)
}

/// The same as alex.
fn as_alex(url: &str, here: &Path, options: &[&str], words: &[&str], password: &str) -> Ran {
    let options: Vec<&str> = ["--user", "alex"].iter().chain(options).copied().collect();
    Frame::new(url, here)
        .options(&options)
        .password(Some(password))
        .run(words)
}

#[test]
fn frame_logs_in_to_a_script() {
    if !has_python() {
        return;
    }
    let here = tempfile::tempdir().unwrap();
    let (script, url) = Script::server(here.path(), "login", &[]);
    let options = ["--dialect", "course-login"];
    for _ in 0..3 {
        let ran = as_alex(&url, here.path(), &options, &["whoami"], "dsb");
        assert_eq!(
            (ran.code, ran.text().contains("alex")),
            (0, true),
            "{ran:?}"
        );
        assert_eq!(script.line(), "got alex|dsb");
        let ran = as_alex(&url, here.path(), &options, &["whoami"], "no");
        ran.refuses(77, "");
        assert_eq!(script.line(), "got alex|no");
        // It leaves in an orderly way.
        assert_eq!(script.line(), "got good|bye");
    }
}

#[test]
fn frame_runs_commands_on_a_script() {
    if !has_python() {
        return;
    }
    let here = tempfile::tempdir().unwrap();
    let (script, url) = Script::server(here.path(), "execute", &[]);
    let run = |words: &[&str]| frame(&url, here.path(), &["--dialect", "course-exec"], words);
    for _ in 0..5 {
        let ran = run(&["exec", "--", "echo", "a  b", "$HOME", "你好"]);
        assert_eq!((ran.code, ran.text()), (0, "a  b $HOME 你好\n"), "{ran:?}");
        // Nothing to see, and the next command is served all the same.
        let ran = run(&["exec", "--", "true"]);
        assert_eq!((ran.code, ran.text()), (0, ""), "{ran:?}");
        let ran = run(&["exec", "--shell", "echo a; echo b >&2"]);
        assert_eq!((ran.code, ran.text()), (0, "a\n"), "{ran:?}");
    }
    assert!(script.printed().iter().all(|line| line.starts_with("got ")));
    for size in SIZES {
        let line = format!("head -c {size} /dev/zero | tr '\\0' x");
        let ran = run(&["exec", "--shell", &line]);
        assert_eq!((ran.code, ran.stdout.len()), (0, size), "{}", ran.stderr);
        for form in ["both", "answer"] {
            let (_script, url) = Script::server(here.path(), "counted", &[form]);
            let options = ["--dialect", "course-struct", "--form", form];
            let ran = frame(&url, here.path(), &options, &["exec", "--shell", &line]);
            assert_eq!((ran.code, ran.stdout.len()), (0, size), "{}", ran.stderr);
        }
    }
    // Too long, or nothing: it is not sent.
    run(&["exec", "--shell", &"a".repeat(1025)]).refuses(65, "1024");
    run(&["exec", "--shell", " "]).refuses(64, "empty");
}

#[test]
fn frame_takes_lengths_in_pieces_and_answers_that_are_cut_off() {
    if !has_python() {
        return;
    }
    let here = tempfile::tempdir().unwrap();
    let options = ["--dialect", "course-exec"];
    let words = ["exec", "--shell", "head -c 1000 /dev/zero | tr '\\0' x"];
    let (_script, url) = Script::server(here.path(), "execute", &["pieces", "0.005"]);
    for _ in 0..5 {
        let ran = frame(&url, here.path(), &options, &words);
        assert_eq!((ran.code, ran.stdout.len()), (0, 1000), "{}", ran.stderr);
    }
    let (_script, url) = Script::server(here.path(), "execute", &["pieces", "0.3"]);
    let start = Instant::now();
    let ran = frame(&url, here.path(), &options, &words);
    assert_eq!(ran.code, 76, "{ran:?}");
    assert!(ran.stderr.contains("came than the 1 bytes"), "{ran:?}");
    assert!(start.elapsed().as_secs() < 10);
    let (_script, url) = Script::server(here.path(), "execute", &["short"]);
    let ran = frame(&url, here.path(), &options, &words);
    assert_eq!(ran.code, 74, "{ran:?}");

    // A login in front, and output in GBK.
    let (script, url) = Script::server(here.path(), "execute", &["login", "gbk"]);
    let options = ["--dialect", "course-exec", "--encoding", "gbk"];
    let words = ["exec", "--", "echo", "你好,世界"];
    for _ in 0..2 {
        let ran = as_alex(&url, here.path(), &options, &words, "dsb");
        assert_eq!((ran.code, ran.text()), (0, "你好,世界\n"), "{ran:?}");
    }
    assert_eq!(script.line(), "got alex|dsb");
    assert_eq!(script.line(), "got echo '你好,世界'");
}

#[test]
fn frame_sends_files_to_a_script_and_fetches_them() {
    if !has_python() {
        return;
    }
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let keys = "filename=file_name,filesize=file_size,md5=MD5";
    for (words, options) in [
        (
            &["reply"][..],
            &["--dialect", "course-transfer", "--reply"][..],
        ),
        (&[], &["--dialect", "course-transfer"]),
        (
            &["reply", "keys=file_name,file_size,MD5"],
            &["--dialect", "course-transfer", "--reply", "--keys", keys],
        ),
    ] {
        let (script, url) = Script::server(there.path(), "transfer", words);
        for size in SIZES {
            let name = format!("文件 {size}.bin");
            fs::write(here.path().join(&name), noise(size)).unwrap();
            let ran = frame(&url, here.path(), options, &["put", &name]);
            assert_eq!(ran.code, 0, "{ran:?}");
            assert_eq!(script.line(), format!("stored {name} {size}"));
            assert!(fs::read(there.path().join(&name)).unwrap() == noise(size));
            fs::remove_file(there.path().join(&name)).unwrap();
        }
    }
    for size in SIZES {
        let name = format!("文件 {size}.bin");
        let (_script, url) = Script::server(here.path(), "download", &[&name]);
        let ran = frame(
            &url,
            there.path(),
            &["--dialect", "course-transfer"],
            &["get"],
        );
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(fs::read(there.path().join(&name)).unwrap() == noise(size));
        fs::remove_file(there.path().join(&name)).unwrap();
        let (_script, url) = Script::server(here.path(), "ack", &[]);
        let options = ["--dialect", "course-transfer", "--form", "ack"];
        let ran = frame(&url, there.path(), &options, &["get", &name]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(fs::read(there.path().join(&name)).unwrap() == noise(size));
        fs::remove_file(there.path().join(&name)).unwrap();
    }
    // A name that leads elsewhere.
    let (_script, url) = Script::server(here.path(), "download", &["文件 1.bin", "../x"]);
    let ran = frame(
        &url,
        there.path(),
        &["--dialect", "course-transfer"],
        &["get"],
    );
    assert_eq!(ran.code, 76, "{ran:?}");
    assert!(names(there.path()).is_empty());
}

#[test]
fn frame_walks_through_the_exercise_of_a_script() {
    if !has_python() {
        return;
    }
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_script, url) = Script::server(there.path(), "files", &[]);
    let run = |words: &[&str]| {
        as_alex(
            &url,
            here.path(),
            &["--dialect", "course-files"],
            words,
            "dsb",
        )
    };
    for size in SIZES {
        let name = format!("文件 {size}.bin");
        fs::write(here.path().join(&name), noise(size)).unwrap();
        let ran = run(&["put", &name]);
        assert_eq!(ran.code, 0, "{ran:?}");
        fs::remove_file(here.path().join(&name)).unwrap();
    }
    let ran = run(&["ls"]);
    assert!(
        ran.code == 0 && ran.text().contains("文件 1024.bin"),
        "{ran:?}"
    );
    for number in 1..=SIZES.len() {
        let ran = run(&["get", &number.to_string()]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    for size in SIZES {
        let name = format!("文件 {size}.bin");
        assert!(fs::read(here.path().join(name)).unwrap() == noise(size));
    }
    run(&["get", "missing"]).refuses(69, "no such file");
    let options = ["--dialect", "course-files"];
    let ran = as_alex(&url, here.path(), &options, &["ls"], "no");
    assert_eq!(ran.code, 77, "{ran:?}");
}

#[test]
fn frame_looks_at_the_clock_of_a_script_and_at_ours() {
    if !has_python() {
        return;
    }
    let here = tempfile::tempdir().unwrap();
    let (_script, url) = Script::server(here.path(), "clock", &[]);
    let options = ["--dialect", "course-clock"];
    let ran = frame(&url, here.path(), &options, &["clock", "--count", "3"]);
    assert_eq!((ran.code, ran.text().lines().count()), (0, 3), "{ran:?}");
    let ran = frame(&url, here.path(), &options, &["clock", "--every", "1s"]);
    ran.refuses(69, "no words");

    let place = crate::common::Place::new(
        "[clock]\n[[listen]]\naddress = \"tcp://127.0.0.1:0\"\nidentity = { name = \"guest\", rights = [] }\n",
    );
    let server = place.start();
    let url = server.address().to_string();
    let ran = frame(
        &url,
        here.path(),
        &["--json"],
        &["clock", "--every", "1s", "--count", "5"],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let epochs: Vec<f64> = ran
        .text()
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["epoch"]
                .as_f64()
                .unwrap()
        })
        .collect();
    assert_eq!(epochs.len(), 5);
    for (number, epoch) in epochs.iter().enumerate() {
        let off = epoch - epochs[0] - number as f64;
        assert!(off.abs() < 0.05, "{epochs:?}");
    }
}
