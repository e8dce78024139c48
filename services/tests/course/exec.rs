//! A command in, its whole output back: with the ack, and behind lengths.

use std::time::Duration;

use framing::ErrorKind;
use services::{
    course::{CourseError, Dialect, Encoding, ExecForm, ExecOptions},
    exec::{Limits, Script},
    login::Right,
};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep},
};

use crate::{common::noise, support::*};

const OUTPUT: &str = "Linux\n";

fn server() -> (Parts, Running) {
    let parts = Parts::new().program("uname", Script::new().stdout(OUTPUT));
    let parts = parts.program("echo", Script::new());
    let parts = parts.program("head", Script::new().stdout("out").stderr("err").exit(3));
    let running = Running::new(parts.everybody(&[Right::Exec]), exec(ExecForm::Announced));
    (parts, running)
}

#[tokio::test(start_paused = true)]
async fn svc_c24_the_bytes_of_a_command_with_an_ack_are_these() {
    let (parts, server) = server();
    let mut script = server.connect();
    for _ in 0..3 {
        script.send(b"uname -a").await;
        script.sees(b"6").await;
        script.sees_nothing().await;
        script.send(b"ok").await;
        script.sees(b"Linux\n").await;
        script.sees_nothing().await;
    }
    // Both streams, and no status.
    script.send(b"head").await;
    script.sees(b"6").await;
    script.send(b"ok").await;
    script.sees(b"outerr").await;
    // Nothing at all is a length, too.
    script.send(b"echo 'a b'").await;
    script.sees(b"0").await;
    script.send(b"ok").await;
    script.sees_nothing().await;
    script.send(b"uname").await;
    script.sees(b"6").await;
    script.send(b"ok").await;
    script.sees(OUTPUT).await;
    assert_eq!(parts.spawner.runs().len(), 6);
    script.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn svc_a8_any_other_ack_gets_nothing_of_the_output() {
    for ack in [
        &b"no"[..],
        b"OK",
        b"oK",
        b"o\n",
        b"\nok",
        b"6o",
        b"66",
        b" ok",
        b"\0\0",
        b"nope, never",
    ] {
        let (_, server) = server();
        let mut script = server.connect();
        script.send(b"uname").await;
        script.sees(b"6").await;
        script.send(ack).await;
        script.sees_the_end().await;
        let CourseError::Connection(framing::Error::Frame(error)) = script.error().await else {
            panic!("{ack:?}");
        };
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.to_string().contains("instead of \"ok\""), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn svc_a8_what_follows_an_ack_is_the_next_command() {
    let (parts, server) = server();
    let mut script = server.connect();
    // Glued: behind a length of zero, too, where a script would lose both.
    script.send(b"echo").await;
    for _ in 0..3 {
        script.sees(b"0").await;
        script.send(b"okuname").await;
        script.sees(b"6").await;
        script.send(b"okuname").await;
        script.sees(b"Linux\n6").await;
        script.send(b"okecho").await;
        script.sees(OUTPUT).await;
    }
    assert_eq!(parts.spawner.runs().len(), 10);
    // In two pieces, with a pause.
    script.sees(b"0").await;
    script.send(b"o").await;
    sleep(Duration::from_secs(10)).await;
    script.send(b"k").await;
    script.sees_nothing().await;
    script.send(b"uname").await;
    script.sees(b"6").await;
    script.send(b"o").await;
    script.sees_nothing().await;
    script.send(b"k").await;
    script.sees(OUTPUT).await;
    // `ok\n` is an ack, and a command that has no name.
    script.send(b"uname").await;
    script.sees(b"6").await;
    script.send(b"ok\n").await;
    script.sees(OUTPUT).await;
    let sentence = "the line names no program";
    script.sees(sentence.len().to_string()).await;
    script.send(b"ok").await;
    script.sees(sentence).await;
    // `okok`: the second one is a command that is not on the list.
    script.send(b"uname").await;
    script.sees(b"6").await;
    script.send(b"okok").await;
    script.sees(OUTPUT).await;
    let sentence = "the program `ok` is not on this server's list";
    script.sees(sentence.len().to_string()).await;
    script.send(b"ok").await;
    script.sees(sentence).await;
}

#[tokio::test(start_paused = true)]
async fn svc_a8_an_ack_that_never_comes_ends_the_connection() {
    let slow = Script::new().pause(Duration::from_secs(1)).stdout(OUTPUT);
    let parts = Parts::new().program("uname", slow);
    let server = Running::new(parts.everybody(&[Right::Exec]), exec(ExecForm::Announced));
    // Never, early, or half of it.
    for (early, late) in [("", ""), ("ok", ""), ("", "o")] {
        let mut script = server.connect();
        script.send(b"uname").await;
        if !early.is_empty() {
            // Behind the command, and in front of the length.
            sleep(Duration::from_millis(500)).await;
            script.send(early).await;
        }
        script.sees(b"6").await;
        script.send(late).await;
        let start = Instant::now();
        script.sees_the_end().await;
        let waited = start.elapsed();
        assert!(
            waited > Duration::from_secs(20) && waited < Duration::from_secs(31),
            "{waited:?}"
        );
        let error = script.error().await.to_string();
        assert!(error.contains("no ack came within"), "{error}");
    }
    // Half of one and the end, or the end alone.
    for half in ["", "o"] {
        let mut script = server.connect();
        script.send(b"uname").await;
        script.sees(b"6").await;
        script.send(half).await;
        use tokio::io::AsyncWriteExt;
        script.io.shutdown().await.unwrap();
        script.sees_the_end().await;
        assert!(script.ended().await.is_err());
    }
    // Gone.
    let mut script = server.connect();
    script.send(b"uname").await;
    script.sees(b"6").await;
    assert!(script.ended().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_command_has_at_most_1024_bytes_and_is_text() {
    let (parts, server) = server();
    let mut script = server.connect();
    let line = format!("uname {}", "a".repeat(1018));
    assert_eq!(line.len(), 1024);
    script.send(&line).await;
    script.sees(b"6").await;
    script.send(b"ok").await;
    script.sees(OUTPUT).await;
    for (command, sentence) in [
        (
            format!("{line}a").into_bytes(),
            "a command has at most 1024 bytes",
        ),
        (vec![b'a'; 60_000], "a command has at most 1024 bytes"),
        (b"uname \xff".to_vec(), "the command is no text"),
        (
            b"uname '".to_vec(),
            "a quotation mark or a backslash of the line has no counterpart",
        ),
        (
            b"missing".to_vec(),
            "the program `missing` is not on this server's list",
        ),
        (
            b"uname;id".to_vec(),
            "the program `uname;id` is not on this server's list",
        ),
    ] {
        script.send(command).await;
        script.sees(sentence.len().to_string()).await;
        script.send(b"ok").await;
        script.sees(sentence).await;
    }
    assert_eq!(parts.spawner.runs().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_line_is_split_into_words_or_run_by_the_shell_as_the_rights_say() {
    let mut parts = Parts::new().program("echo", Script::new().stdout("words"));
    parts.spawner = parts
        .spawner
        .shell("echo a | b", Script::new().stdout("line"));
    for (rights, output) in [(&[Right::Exec][..], "words"), (&[Right::Shell], "line")] {
        let server = Running::new(parts.everybody(rights), exec(ExecForm::Announced));
        let mut script = server.connect();
        script.send(b"echo a | b").await;
        script.sees(output.len().to_string()).await;
        script.send(b"ok").await;
        script.sees(output).await;
    }
    let shown: Vec<_> = parts
        .spawner
        .runs()
        .iter()
        .map(|run| format!("{:?}", run.command))
        .collect();
    assert!(
        shown[0].contains("\"a\", \"|\", \"b\"") && !shown[1].contains("\"|\""),
        "{shown:?}"
    );
    // Without the right nothing is run.
    for form in [
        ExecForm::Announced,
        ExecForm::Counted,
        ExecForm::CountedAnswer,
    ] {
        let server = Running::new(parts.everybody(&[Right::Read, Right::Write]), exec(form));
        let mut script = server.connect();
        let sentence = "running a program needs the right `exec`";
        match form {
            ExecForm::Announced => {
                script.send(b"echo").await;
                script.sees(sentence.len().to_string()).await;
                script.send(b"ok").await;
                script.sees(sentence).await;
            }
            ExecForm::Counted => {
                script.send(counted("echo")).await;
                script.sees(counted(sentence)).await;
            }
            _ => {
                script.send("echo").await;
                script.sees(counted(sentence)).await;
            }
        }
    }
    assert_eq!(parts.spawner.runs().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn svc_c23_output_is_transcoded_before_it_is_counted() {
    // In pieces that tear every character.
    let text = "你好,世界\n";
    let mut torn = Script::new();
    for byte in text.bytes() {
        torn = torn.stdout(vec![byte]);
    }
    let parts = Parts::new().program("echo", torn.stdout(&b"\xff"[..]));
    let gbk = b"\xc4\xe3\xba\xc3,\xca\xc0\xbd\xe7\n?";
    let utf8 = format!("{text}\u{fffd}");
    let raw = [text.as_bytes(), b"\xff"].concat();
    for (encoding, output) in [
        (Encoding::Gbk, &gbk[..]),
        (Encoding::Utf8, utf8.as_bytes()),
        (Encoding::Raw, &raw),
    ] {
        let options = ExecOptions {
            encoding,
            ..ExecOptions::default()
        };
        let server = Running::new(parts.everybody(&[Right::Exec]), Dialect::Exec(options));
        let mut script = server.connect();
        script.send("echo 你好".as_bytes()).await;
        script.sees(output.len().to_string()).await;
        script.send(b"ok").await;
        script.sees(output).await;
    }
    // A command that came in GBK is read in it.
    let options = ExecOptions {
        encoding: Encoding::Gbk,
        ..ExecOptions::default()
    };
    let server = Running::new(parts.everybody(&[Right::Exec]), Dialect::Exec(options));
    let mut script = server.connect();
    script.send(b"echo \x81\x7c").await;
    script.sees(b"11").await;
    script.send(b"ok").await;
    script.sees(gbk).await;
    let last = format!("{:?}", parts.spawner.runs().last().unwrap().command);
    assert!(last.contains('亅'), "{last}");
}

#[tokio::test(start_paused = true)]
async fn standard_error_can_be_left_out() {
    let (parts, _) = server();
    let options = ExecOptions {
        drop_stderr: true,
        ..ExecOptions::default()
    };
    let server = Running::new(parts.everybody(&[Right::Exec]), Dialect::Exec(options));
    let mut script = server.connect();
    script.send(b"head").await;
    script.sees(b"3").await;
    script.send(b"ok").await;
    script.sees(b"out").await;
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_the_struct_forms_are_these() {
    let (parts, _) = server();
    let everybody = || parts.everybody(&[Right::Exec]);
    let server = Running::new(everybody(), exec(ExecForm::Counted));
    let mut script = server.connect();
    script
        .send(b"\x05\0\0\0uname\x05\0\0\0uname\x04\0\0\0echo")
        .await;
    script
        .sees(b"\x06\0\0\0Linux\n\x06\0\0\0Linux\n\0\0\0\0")
        .await;
    let long = counted(vec![b'a'; 1025]);
    script.send(long).await;
    script
        .sees(counted("a command has at most 1024 bytes"))
        .await;
    script.send(counted("")).await;
    script.sees(counted("the line names no program")).await;
    // A clean end is one before a length's first byte.
    script.ended().await.unwrap();
    for cut in [&b"\x05\0"[..], b"\x05\0\0\0una"] {
        let mut script = server.connect();
        script.send(cut).await;
        assert!(script.ended().await.is_err(), "{cut:?}");
    }

    let server = Running::new(everybody(), exec(ExecForm::CountedAnswer));
    let mut script = server.connect();
    for _ in 0..2 {
        script.send(b"uname").await;
        script.sees(b"\x06\0\0\0Linux\n").await;
        script.send(b"echo").await;
        script.sees(b"\0\0\0\0").await;
    }
    script.send(vec![b'a'; 1025]).await;
    script
        .sees(counted("a command has at most 1024 bytes"))
        .await;
    script.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn outputs_of_every_size_come_whole() {
    for size in [0, 1, 1024, 1025, 65_536, 10 << 20] {
        let output = noise(size);
        let parts = Parts::new().program("echo", Script::new().stdout(output.clone()));
        for form in [
            ExecForm::Announced,
            ExecForm::Counted,
            ExecForm::CountedAnswer,
        ] {
            let mut options = ExecOptions::default();
            (options.form, options.encoding) = (form, Encoding::Raw);
            let mut server = Running::new(parts.everybody(&[Right::Exec]), Dialect::Exec(options));
            server.buffer = 64 * 1024;
            let mut script = server.connect();
            match form {
                ExecForm::Announced => {
                    script.send("echo").await;
                    script.sees(size.to_string()).await;
                    script.send("ok").await;
                }
                ExecForm::Counted => {
                    script.send(counted("echo")).await;
                    script.sees((size as i32).to_ne_bytes()).await;
                }
                _ => {
                    script.send("echo").await;
                    script.sees((size as i32).to_ne_bytes()).await;
                }
            }
            script.sees(&output).await;
            script.ended().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_with_a_command_is_one_sentence() {
    for (script_of, limits, sentence) in [
        (
            Script::new().stdout("a").hang(),
            Limits::new().timeout(Duration::from_secs(2)),
            "the command was ended by the time limit",
        ),
        (
            Script::new().stdout("12345678"),
            Limits::new().max_output(4),
            "the command was ended: it wrote more than is allowed",
        ),
        (
            Script::new().stdout(vec![b'a'; (64 << 20) + 1]),
            Limits::new(),
            "the output has more than 64 MiB",
        ),
    ] {
        let mut parts = Parts::new().program("echo", script_of);
        parts.limits = limits;
        let server = Running::new(parts.everybody(&[Right::Exec]), exec(ExecForm::Announced));
        let mut script = server.connect();
        for _ in 0..2 {
            script.send(b"echo").await;
            script.sees(sentence.len().to_string()).await;
            script.send(b"ok").await;
            script.sees(sentence).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_takes_the_command_along() {
    let parts = Parts::new().program("echo", Script::new().hang());
    let server = Running::new(parts.everybody(&[Right::Exec]), exec(ExecForm::Announced));
    let mut script = server.connect();
    script.send(b"echo").await;
    crate::common::until("it runs", || !parts.spawner.runs().is_empty()).await;
    assert!(parts.spawner.runs()[0].outcome.is_none());
    drop(script.io);
    crate::common::until("it has ended", || parts.spawner.runs()[0].outcome.is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn a_login_comes_first_where_a_listener_has_both() {
    let (parts, _) = server();
    let server = Running::of(parts.login(), |server| {
        server.login(true).then(exec(ExecForm::Announced))
    });
    let mut script = server.connect();
    // A command is no login.
    script.send(b"uname").await;
    script.sees(WRONG).await;
    script.send(b"alex|dsb").await;
    script.sees(WELCOME).await;
    script.send(b"uname").await;
    script.sees(b"6").await;
    script.send(b"ok").await;
    script.sees(OUTPUT).await;
    // Another connection is nobody's, whoever is logged in elsewhere.
    let mut other = server.connect();
    other.send(b"uname").await;
    other.sees(WRONG).await;
    other.send(b"poor|dsb").await;
    other.sees(WELCOME).await;
    other.send(b"uname").await;
    let sentence = "running a program needs the right `exec`";
    other.sees(sentence.len().to_string()).await;
    other.send(b"ok").await;
    other.sees(sentence).await;
    script.send(b"uname").await;
    script.sees(b"6").await;
    assert_eq!(parts.spawner.runs().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn svc_c5_a_peer_that_leaves_is_noticed_behind_what_it_has_sent() {
    let long = Script::new().pause(Duration::from_secs(600)).stdout(OUTPUT);
    let parts = Parts::new().program("uname", long);
    let stack = parts.everybody(&[Right::Exec]);
    let server = Running::new(stack, exec(ExecForm::Counted));
    for more in [0, 1, 5] {
        let mut script = server.connect();
        script.send(counted("uname")).await;
        for _ in 0..more {
            script.send(counted("echo x")).await;
        }
        let start = Instant::now();
        let _ = script.ended().await;
        assert!(start.elapsed() < Duration::from_secs(2), "{more}");
    }
}

#[tokio::test(start_paused = true)]
async fn svc_a2_a_message_that_is_read_ahead_is_no_longer_than_others() {
    let slow = Script::new().pause(Duration::from_secs(5)).stdout(OUTPUT);
    let parts = Parts::new().program("uname", slow);
    let stack = parts.everybody(&[Right::Exec]);
    let mut server = Running::new(stack, exec(ExecForm::Counted));
    server.buffer = 1024;
    let mut script = server.connect();
    // Behind an answer, which may be longer.
    script.send(counted("uname")).await;
    script.sees(counted(OUTPUT)).await;
    script.send(counted("uname")).await;
    script.send((60i32 << 20).to_ne_bytes()).await;
    let mut taken = 0;
    while tokio::time::timeout(Duration::from_secs(1), script.io.write(&[b'x'; 1024]))
        .await
        .is_ok_and(|written| written.is_ok())
    {
        taken += 1024;
        // Some is thrown away while the connection is closed.
        assert!(taken < 4 << 20, "{taken} bytes of it were taken");
    }
}
