//! Commands over the wire: who may run what, how it ends, and that it ends.

mod common;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use common::{CODECS, Parts, Peer, Server, noise, trailer, until, within};
use framing::Connection;
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};
use services::{
    client::{Client, ClientError, Command},
    exec::{
        Allow, Event, Limits, Outcome, Output, ProcessSpawner, Run, Script, ScriptedSpawner,
        Signal, SpawnError,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::Instant,
};

fn scripted() -> ScriptedSpawner {
    let hangs = || Script::new().hang();
    ScriptedSpawner::new()
        .program("uname", Script::new().stdout("Linux\n"))
        .program("cat", Script::new().copy_stdin())
        .program("sleep", hangs())
        .shell("id", Script::new().stdout("uid=0\n"))
        .shell("talk", Script::new().stdout("hello\n").hang())
        .shell("read", Script::new().read_stdin())
        .shell("flood", Script::new().stdout(vec![b'y'; 16 << 20]))
        .shell("fails", Script::new().exit(7))
        .shell("busy", Script::new().stdout("a").hang())
}

fn real() -> ProcessSpawner {
    ProcessSpawner::new("/")
}

fn limited(text: &str, limits: Limits) -> Parts {
    let mut parts = Parts::new(text);
    parts.limits = limits;
    parts
}

/// What a command has written, both streams apart, and how it ended.
async fn run(
    client: &mut Client,
    command: Command,
) -> Result<(Vec<u8>, Vec<u8>, Outcome), ClientError> {
    let mut exec = within(client.exec(command)).await?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ended = within(exec.wait(|output| match output {
        Output::Stdout(bytes) => out.extend_from_slice(&bytes),
        Output::Stderr(bytes) => err.extend_from_slice(&bytes),
    }))
    .await?;
    Ok((out, err, ended.outcome))
}

fn code(result: Result<(Vec<u8>, Vec<u8>, Outcome), ClientError>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.status().expect("a refusal").code().to_string(),
    }
}

#[tokio::test]
async fn rights_decide_what_runs() {
    let listed = || Command::program(["uname"]);
    let unlisted = || Command::program(["ls"]);
    let line = || Command::shell("id");
    for shell in [true, false] {
        let spawner = scripted().program("ls", Script::new());
        let mut parts = Parts::new("struct-header").spawner(spawner.clone());
        parts.shell = shell;
        let server = parts.start();
        let no = "not-allowed";
        let expected = [
            ("alice", ["ok", no, no]),
            ("runner", ["ok", no, no]),
            ("reader", [no, no, no]),
            ("writer", [no, no, no]),
            ("nobody", [no, no, no]),
            (
                "root",
                if shell {
                    ["ok", "ok", "ok"]
                } else {
                    [no, no, no]
                },
            ),
        ];
        let mut allowed = 0;
        for (who, expected) in expected {
            let mut client = server.client_of(who).await;
            let got = [
                code(run(&mut client, listed()).await),
                code(run(&mut client, unlisted()).await),
                code(run(&mut client, line()).await),
            ];
            assert_eq!(got, expected, "{who}, shell: {shell}");
            allowed += got.iter().filter(|code| *code == "ok").count();
        }
        assert_eq!(
            spawner.runs().len(),
            allowed,
            "what is refused is not started"
        );
    }
}

#[tokio::test]
async fn refusals_say_why() {
    let mut parts = Parts::new("struct-header").spawner(scripted());
    let sentence = async |server: &Server, who: &str, command: Command| {
        let mut client = server.client_of(who).await;
        let error = run(&mut client, command).await.unwrap_err();
        error.status().unwrap().sentence().to_owned()
    };
    let server = parts.start();
    let line = Command::shell("id");
    let said = sentence(&server, "alice", line.clone()).await;
    assert_eq!(said, "a shell line needs the right `shell`");
    let said = sentence(&server, "reader", Command::program(["uname"])).await;
    assert_eq!(said, "running a program needs the right `exec`");
    // Whatever was asked for, the error that a person sees is one harmless line.
    let long = "\u{1b}[2J".repeat(1000);
    for evil in [
        "ls;id",
        "ls\nid",
        "/bin/uname",
        "./uname",
        "UNAME",
        "uname ",
        "ｕname",
        "$(id)",
        &long,
    ] {
        let mut client = server.client_of("alice").await;
        let error = run(&mut client, Command::program([evil]))
            .await
            .unwrap_err();
        let shown = error.to_string();
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        assert!(shown.len() <= 1024, "{shown}");
        assert_eq!(code(Err(error)), "not-allowed");
    }

    parts = Parts::new("struct-header").spawner(scripted());
    parts.shell = false;
    let server = parts.start();
    for who in ["alice", "root"] {
        let said = sentence(&server, who, line.clone()).await;
        assert_eq!(said, "shell lines are switched off on this server");
    }
}

#[tokio::test]
async fn svc_c2_every_ending_over_every_codec() {
    let mut spawner = ScriptedSpawner::new();
    let mut endings: Vec<Outcome> = (0..=255).map(Outcome::Exit).collect();
    endings.extend(
        ["SIGHUP", "SIGKILL", "SIGSEGV", "SIGRTMIN+3", "SIG99"].map(|s| Outcome::Signal(s.into())),
    );
    endings.extend([
        Outcome::TimedOut,
        Outcome::OutputCap,
        Outcome::Killed("\u{1b} no more".into()),
    ]);
    for (index, outcome) in endings.iter().enumerate() {
        let script = Script::new().stdout("last words").ends(outcome.clone());
        spawner = spawner.shell(index.to_string(), script);
    }
    let held = Script::new().holds_output().exit(4);
    let spawner = spawner.shell("held", held);
    for name in CODECS {
        let server = Parts::new(name).spawner(spawner.clone()).start();
        let mut client = server.client_of("root").await;
        for (index, outcome) in endings.iter().enumerate() {
            let got = run(&mut client, Command::shell(index.to_string()))
                .await
                .unwrap();
            assert_eq!(
                got,
                (b"last words".to_vec(), vec![], outcome.clone()),
                "{name}"
            );
        }
        let mut exec = client.exec(Command::shell("held")).await.unwrap();
        let ended = within(exec.wait(drop)).await.unwrap();
        assert_eq!(
            (ended.outcome, ended.held_output),
            (Outcome::Exit(4), true),
            "{name}"
        );
    }
}

#[tokio::test]
async fn svc_c2_real_endings_over_every_codec() {
    for name in CODECS {
        let server = Parts::new(name).spawner(real()).start();
        let mut client = server.client_of("root").await;
        for number in [0, 1, 77, 126, 255] {
            let line = format!("echo out; echo err >&2; exit {number}");
            let got = run(&mut client, Command::shell(line)).await.unwrap();
            assert_eq!(
                got,
                (b"out\n".to_vec(), b"err\n".to_vec(), Outcome::Exit(number))
            );
        }
        for (signal, shown) in [
            ("KILL", "SIGKILL"),
            ("SEGV", "SIGSEGV"),
            ("TERM", "SIGTERM"),
        ] {
            let got = run(&mut client, Command::shell(format!("kill -{signal} $$")))
                .await
                .unwrap();
            assert_eq!(got.2, Outcome::Signal(shown.into()), "{name}");
        }
    }
}

#[tokio::test]
async fn svc_c9_time_limits_of_the_server_and_of_the_request() {
    let limits = Limits::new().grace(Duration::from_millis(100));
    let server_limit = |limit| limited("struct-header", limits.clone().timeout(limit));
    let ms = Duration::from_millis;
    for (line, server, asked, expected) in [
        ("sleep 1000", Some(ms(400)), None, 400),
        (
            "trap '' TERM; while :; do sleep 0.01; done",
            Some(ms(400)),
            None,
            400,
        ),
        ("while :; do :; done", Some(ms(400)), None, 400),
        // A request can shorten the limit, and not lengthen it.
        ("sleep 1000", Some(ms(5000)), Some(ms(300)), 300),
        ("sleep 1000", Some(ms(300)), Some(ms(5000)), 300),
        ("sleep 1000", None, Some(ms(300)), 300),
    ] {
        let parts = match server {
            Some(limit) => server_limit(limit),
            None => limited("struct-header", limits.clone()),
        };
        let server = parts.spawner(real()).start();
        let mut client = server.client_of("root").await;
        let mut command = Command::shell(line);
        if let Some(asked) = asked {
            command = command.timeout(asked);
        }
        let began = Instant::now();
        let (_, _, outcome) = run(&mut client, command).await.unwrap();
        assert_eq!(outcome, Outcome::TimedOut, "{line}");
        let took = began.elapsed().as_millis();
        assert!(
            (expected..expected + 900).contains(&took),
            "{line}: {took} ms"
        );
        within(client.whoami()).await.unwrap();
    }
}

#[tokio::test]
async fn svc_c10_the_output_cap_is_exact_over_every_codec() {
    for name in CODECS {
        let limits = Limits::new()
            .max_output(1 << 20)
            .grace(Duration::from_millis(100));
        let server = limited(name, limits).spawner(real()).start();
        let mut client = server.client_of("alice").await;
        let (out, err, outcome) = run(&mut client, Command::program(["yes"])).await.unwrap();
        assert_eq!(
            (out.len(), err.len(), outcome),
            (1 << 20, 0, Outcome::OutputCap),
            "{name}"
        );
        let line = Command::program(["sh", "-c", "head -c 1048576 /dev/zero"]);
        let (out, _, outcome) = run(&mut client, line).await.unwrap();
        assert_eq!((out.len(), outcome), (1 << 20, Outcome::Exit(0)), "{name}");
    }
}

#[tokio::test]
async fn svc_c21_odd_commands_get_typed_answers() {
    let mut parts = Parts::new("struct-header").spawner(real());
    parts.allow = Allow::new(["no-such-program-8151", "true", "/etc/passwd"]).unwrap();
    let server = parts.start();
    let mut peer = server.peer_of("alice").await;
    let long = "x".repeat(1 << 20);
    let many = vec!["true"; 100_000];
    for (arguments, expected) in [
        (
            json!({"argv": ["no-such-program-8151"]}),
            "program-not-found",
        ),
        (json!({"argv": ["/etc/passwd"]}), "program-not-found"),
        (json!({"argv": []}), "bad-request"),
        (json!({"argv": [""]}), "not-allowed"),
        (json!({"argv": ["true", "a\u{0}b"]}), "bad-request"),
        (json!({"argv": ["true\u{0}"]}), "not-allowed"),
        (json!({"argv": ["true", long]}), "bad-request"),
        (json!({"argv": many}), "ok"),
        (json!({"argv": "true"}), "bad-request"),
        (json!({"argv": ["true", 5]}), "bad-request"),
        (json!({"argv": {"0": "true"}}), "bad-request"),
        (json!({}), "bad-request"),
        (json!({"argv": ["true"], "shell": "true"}), "bad-request"),
        (
            json!({"argv": ["true"], "env": {"LD_PRELOAD": "/x"}}),
            "bad-request",
        ),
        (json!({"argv": ["true"], "cwd": "/root"}), "bad-request"),
        (json!({"argv": ["true"], "stdin": "yes"}), "bad-request"),
        (json!({"argv": ["true"], "timeout": -1}), "bad-request"),
        (json!({"argv": ["true"], "timeout": "1s"}), "bad-request"),
        (json!({"argv": ["true"], "timeout": 1e300}), "bad-request"),
        (json!({"argv": ["true"], "timeout": 1e18}), "ok"),
        (json!({"argv": ["true"], "timeout": 60.5}), "ok"),
        (json!({"argv": ["true"], "stdin": null}), "ok"),
    ] {
        let shown: String = arguments.to_string().chars().take(60).collect();
        let head = peer.ask(json!({"verb": "exec", "args": arguments})).await;
        assert_eq!(head["status"], expected, "{shown}: {head}");
        let is_ok = expected == "ok";
        assert_eq!(head.get("body").is_some(), is_ok);
        if is_ok {
            assert_eq!(
                trailer(&peer.body().await.2),
                json!({"outcome": "exit", "code": 0})
            );
        }
        assert!(
            head["message"].as_str().is_none_or(|m| m.len() < 400),
            "{shown}"
        );
    }
    // A shell line is never split, whatever stands in it.
    let mut root = server.peer_of("root").await;
    let line = json!({"verb": "exec", "args": {"shell": "echo a\nexit 3"}});
    assert_eq!(root.ask(line).await["status"], "ok");
    let (out, _, end) = root.body().await;
    assert_eq!(
        (&out[..], trailer(&end)["code"].clone()),
        (&b"a\n"[..], json!(3))
    );
    let nul = json!({"verb": "exec", "args": {"shell": "a\u{0}b"}});
    assert_eq!(root.ask(nul).await["status"], "bad-request");
}

#[tokio::test]
async fn what_the_spawner_refuses_is_told_and_noted() {
    let io = || std::io::Error::from_raw_os_error(11);
    let spawner = ScriptedSpawner::new()
        .refuse("uname", move || SpawnError::Exhausted(io()))
        .refuse("cat", || SpawnError::TooLong)
        .refuse("yes", move || SpawnError::Failed(io()));
    let server = Parts::new("struct-header").spawner(spawner).start();
    let mut client = server.client_of("alice").await;
    for (program, expected) in [
        ("uname", "busy"),
        ("cat", "bad-request"),
        ("yes", "cannot-run"),
        ("seq", "program-not-found"),
    ] {
        assert_eq!(
            code(run(&mut client, Command::program([program])).await),
            expected
        );
    }
    assert_eq!(
        server.outcomes("exec"),
        ["exhausted", "too-long", "failed", "not-found"]
    );
    assert!(server.outcomes("exec-end").is_empty());
}

/// Sends `input` through `cat`, in both directions at once.
async fn through_cat(client: &mut Client, input: &[u8], piece: usize) -> (Vec<u8>, Outcome) {
    let mut exec = within(client.exec(Command::program(["cat"]).stdin()))
        .await
        .unwrap();
    let mut sink = exec.input();
    let send = async {
        for piece in input.chunks(piece) {
            sink.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        sink.close().await.unwrap();
    };
    let mut output = Vec::with_capacity(input.len());
    let read = exec.wait(|bytes| output.extend_from_slice(bytes.bytes()));
    let (ended, ()) = within(async { tokio::join!(read, send) }).await;
    (output, ended.unwrap().outcome)
}

#[tokio::test]
async fn svc_c22_five_megabytes_through_cat_over_every_framing_and_a_tiny_pipe() {
    let whole = noise(5_000_000);
    for name in CODECS {
        for (buffer, piece, length) in [
            (1024, 256 * 1024, whole.len()),
            (64 * 1024, 100_000, whole.len()),
            (1000, 8 * 1024, 1_000_000),
            (7, 50_000, 100_000),
        ] {
            let input = &whole[..length];
            let mut server = Parts::new(name).spawner(real()).start();
            server.buffer = buffer;
            let mut client = server.client_of("alice").await;
            let (output, outcome) = through_cat(&mut client, input, piece).await;
            assert_eq!(outcome, Outcome::Exit(0), "{name} {buffer} {piece}");
            assert!(
                output == input,
                "{name} {buffer} {piece}: not the same bytes"
            );
            within(client.whoami()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn svc_c22_a_command_that_reads_late_gets_all_of_it() {
    for name in CODECS {
        let server = Parts::new(name).spawner(real()).start();
        let mut client = server.client_of("alice").await;
        // It writes more than every buffer in between before it reads.
        let line = "head -c 1000000 /dev/zero; cat | wc -c";
        let mut exec = client
            .exec(Command::program(["sh", "-c", line]).stdin())
            .await
            .unwrap();
        let mut input = exec.input();
        let send = async {
            for _ in 0..30 {
                input.write(vec![1; 50_000]).await.unwrap();
            }
            input.close().await.unwrap();
        };
        let mut output = Vec::new();
        let read = exec.wait(|bytes| output.extend_from_slice(bytes.bytes()));
        let (ended, ()) = within(async { tokio::join!(read, send) }).await;
        assert_eq!(ended.unwrap().outcome, Outcome::Exit(0));
        let count = String::from_utf8(output[1_000_000..].to_vec()).unwrap();
        assert_eq!(count.trim(), "1500000", "{name}");
    }
}

#[tokio::test]
async fn svc_c12_a_command_that_does_not_read_its_input_ends_as_it_likes() {
    for name in CODECS {
        let server = Parts::new(name).spawner(real()).start();
        let mut client = server.client_of("alice").await;
        for line in [
            "exit 3",
            "exec 0<&-; sleep 0.2; exit 3",
            "head -c 10 >/dev/null; exit 3",
        ] {
            let command = Command::program(["sh", "-c", line]).stdin();
            let mut exec = client.exec(command).await.unwrap();
            let mut input = exec.input();
            let send = async {
                // More than fits anywhere; once it has ended, nobody wants the rest.
                for _ in 0..200 {
                    if input.write(vec![1; 100_000]).await.is_err() {
                        break;
                    }
                }
            };
            let (ended, ()) = within(async { tokio::join!(exec.wait(drop), send) }).await;
            assert_eq!(ended.unwrap().outcome, Outcome::Exit(3), "{name}: {line}");
            within(client.whoami()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn svc_c22_without_standard_input_it_is_at_its_end_from_the_start() {
    let server = Parts::new("lines").spawner(real()).start();
    let mut peer = server.peer_of("alice").await;
    // No body; a body of controls; data that was not asked for; `stdin` without a body.
    for (args, parts) in [
        (json!({"argv": ["cat"]}), None),
        (json!({"argv": ["cat"]}), Some(&b""[..])),
        (json!({"argv": ["cat"]}), Some(&b"unasked"[..])),
        (json!({"argv": ["cat"], "stdin": true}), None),
        (json!({"argv": ["cat"], "stdin": true}), Some(&b"asked"[..])),
    ] {
        let wanted = args.get("stdin").and(parts).unwrap_or_default();
        peer.say(json!({"verb": "exec", "args": args, "body": parts.is_some()}))
            .await;
        if let Some(bytes) = parts {
            peer.chunk('d', bytes).await;
            // Output has no business in a request; it is passed over.
            peer.chunk('o', b"odd").await;
            peer.send(".").await;
        }
        assert_eq!(peer.head().await["status"], "ok");
        let (out, _, end) = peer.body().await;
        assert_eq!(out, wanted, "{args}");
        assert_eq!(trailer(&end), json!({"outcome": "exit", "code": 0}));
    }
}

/// The frames of a whole command, as a server sends them.
fn said(framing: &framing::FramingFactory) -> Vec<Vec<u8>> {
    let framing = framing.make();
    vec![
        br#"{"status":"ok","body":true}"#.to_vec(),
        common::chunk(&framing, 'o', b"some output\n"),
        common::chunk(&framing, 'e', b"and an error\n"),
        common::chunk(&framing, 'o', b"more\n"),
        br#".{"code":0,"outcome":"exit"}"#.to_vec(),
    ]
}

#[tokio::test]
async fn svc_c32_a_connection_cut_at_each_frame_is_lost_and_no_success() {
    for name in ["ack-handshake", "struct-header", "delimiter", "lines"] {
        let factory = common::framing(name);
        for kept in 0..=5 {
            let (ours, theirs) = duplex(64 * 1024);
            let mut server = Connection::new(theirs, factory.make());
            let frames = said(&factory);
            tokio::spawn(async move {
                server.next().await.unwrap().unwrap();
                for frame in frames.into_iter().take(kept) {
                    server.send(frame.into()).await.unwrap();
                }
                if kept == 5 {
                    // The client says that no input will come.
                    server.next().await.unwrap().unwrap();
                }
            });
            let mut client = Client::new(ours, factory.make()).unwrap();
            let result = run(&mut client, Command::program(["uname"])).await;
            match kept {
                0 => assert!(result.unwrap_err().is_connection_lost(), "{name}"),
                5 => assert_eq!(result.unwrap().2, Outcome::Exit(0), "{name}"),
                _ => assert_eq!(result.unwrap().2, Outcome::ConnectionLost, "{name} {kept}"),
            }
        }
    }
}

#[tokio::test]
async fn svc_c32_a_connection_cut_at_each_byte_is_lost_and_no_success() {
    for name in ["struct-header", "delimiter"] {
        let factory = common::framing(name);
        let mut wire = Vec::new();
        for frame in said(&factory) {
            if name == "struct-header" {
                wire.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
            }
            wire.extend(frame);
            if name == "delimiter" {
                wire.push(b'\n');
            }
        }
        for cut in 0..wire.len() {
            let (ours, mut theirs) = duplex(64 * 1024);
            theirs.write_all(&wire[..cut]).await.unwrap();
            theirs.shutdown().await.unwrap();
            let mut client = Client::new(ours, factory.make()).unwrap();
            match run(&mut client, Command::program(["uname"])).await {
                Ok((_, _, outcome)) => assert_eq!(outcome, Outcome::ConnectionLost, "{name} {cut}"),
                Err(error) => assert!(error.is_connection_lost(), "{name} {cut}: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn svc_c32_a_server_that_dies_in_the_middle_of_a_command() {
    for name in CODECS {
        let server = Parts::new(name).spawner(scripted()).start();
        let (io, ended) = server.connect();
        let mut client = Client::new(io, server.framing.make()).unwrap();
        let password = services::login::Password::new(common::PASSWORD).unwrap();
        within(client.login("root", password)).await.unwrap();
        let mut exec = within(client.exec(Command::shell("talk"))).await.unwrap();
        let first = within(exec.next()).await.unwrap().unwrap();
        assert_eq!(first, Event::Output(Output::Stdout("hello\n".into())));
        ended.abort();
        let Some(Ok(Event::Ended(end))) = within(exec.next()).await else {
            panic!("an end is told");
        };
        assert_eq!(end.outcome, Outcome::ConnectionLost, "{name}");
        assert!(within(exec.next()).await.is_none());
        drop(exec);
        assert!(within(client.ping()).await.is_err());
    }
}

/// A command that is running, and the records of its spawner.
async fn start(name: &str, line: &str, stdin: bool) -> (Server, Peer, ScriptedSpawner) {
    let spawner = scripted();
    let server = Parts::new(name).spawner(spawner.clone()).start();
    let mut peer = server.peer_of("root").await;
    let args = json!({"shell": line, "stdin": stdin});
    let head = peer
        .ask(json!({"verb": "exec", "args": args, "body": true}))
        .await;
    assert_eq!(head["status"], "ok");
    (server, peer, spawner)
}

fn last(spawner: &ScriptedSpawner) -> Run {
    spawner.runs().pop().expect("something was run")
}

#[tokio::test]
async fn controls_reach_the_command() {
    for name in CODECS {
        let (server, mut peer, spawner) = start(name, "busy", false).await;
        for (control, sent) in [
            (json!({"signal": "WINCH"}), Some(Signal::WindowChange)),
            (json!({"signal": "SIGCONT"}), Some(Signal::Continue)),
            (json!({"signal": "SEGV"}), None),
            (json!({"signal": 9}), None),
            (json!({"cancel": false}), None),
            (json!({"cancel": "yes"}), None),
            (json!({"new": "thing"}), None),
            (json!({}), None),
            (json!({"signal": "INT"}), Some(Signal::Interrupt)),
        ] {
            let before = last(&spawner).signals.len();
            peer.send(format!("c{control}")).await;
            if let Some(signal) = sent {
                until("the signal arrives", || {
                    last(&spawner).signals.len() > before
                })
                .await;
                assert_eq!(last(&spawner).signals.last(), Some(&signal), "{name}");
            }
        }
        let (out, _, end) = peer.body().await;
        assert_eq!(out, b"a");
        assert_eq!(
            trailer(&end),
            json!({"outcome": "signal", "detail": "SIGINT"}),
            "{name}"
        );
        let signals = [Signal::WindowChange, Signal::Continue, Signal::Interrupt];
        assert_eq!(last(&spawner).signals, signals, "{name}: and no other");
        // Controls to one that has ended do no harm.
        peer.send("c{\"signal\":\"KILL\"}").await;
        peer.send(".").await;
        peer.lives().await;
        assert_eq!(server.outcomes("exec-end"), ["ended by SIGINT"]);

        let (server, mut peer, _) = start(name, "busy", false).await;
        peer.send("c{\"cancel\":true}").await;
        let (_, _, end) = peer.body().await;
        let killed = json!({"outcome": "killed", "detail": "cancelled by the client"});
        assert_eq!(trailer(&end), killed, "{name}");
        assert_eq!(
            server.outcomes("exec-end"),
            ["ended: cancelled by the client"]
        );

        // Giving the body up is a cancel, too.
        let (_server, mut peer, _) = start(name, "busy", false).await;
        peer.send("!{\"status\":\"cancelled\"}").await;
        assert_eq!(trailer(&peer.body().await.2), killed, "{name}");
        peer.lives().await;
    }
}

#[tokio::test]
async fn a_control_overtakes_input_that_the_command_does_not_read() {
    for name in CODECS {
        // The pipe to the command holds 64 KiB, and it reads none of them.
        let (_server, mut peer, spawner) = start(name, "busy", true).await;
        peer.chunk('d', &noise(100_000)).await;
        peer.send("c{\"signal\":\"WINCH\"}").await;
        until("the signal arrives", || last(&spawner).signals.len() == 1).await;
        peer.send("c{\"cancel\":true}").await;
        let (_, _, end) = peer.body().await;
        assert_eq!(trailer(&end)["detail"], "cancelled by the client", "{name}");
        peer.send(".").await;
        peer.lives().await;
    }
}

#[tokio::test]
async fn a_command_is_cancelled_although_nobody_reads_its_output() {
    let (server, mut peer, spawner) = start("struct-header", "flood", false).await;
    // Its output stands still, as nobody takes it.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(last(&spawner).outcome, None);
    peer.send("c{\"cancel\":true}").await;
    until("it ends", || last(&spawner).outcome.is_some()).await;
    assert_eq!(last(&spawner).outcome.unwrap().kind(), "killed");
    let (_, _, end) = peer.body().await;
    assert_eq!(trailer(&end)["outcome"], "killed");
    assert_eq!(
        server.outcomes("exec-end"),
        ["ended: cancelled by the client"]
    );
}

#[tokio::test]
async fn our_client_cancels_a_command_that_does_not_read() {
    for name in CODECS {
        let server = Parts::new(name).spawner(real()).start();
        let mut client = server.client_of("alice").await;
        let command = Command::program(["sleep", "1000"]).stdin();
        let mut exec = client.exec(command).await.unwrap();
        let mut input = exec.input();
        let stop = async {
            input.write(noise(200_000)).await.unwrap();
            input.cancel().await.unwrap();
        };
        let (ended, ()) = within(async { tokio::join!(exec.wait(drop), stop) }).await;
        let killed = Outcome::Killed("cancelled by the client".into());
        assert_eq!(ended.unwrap().outcome, killed, "{name}");
        let mut exec = client
            .exec(Command::program(["sleep", "1000"]))
            .await
            .unwrap();
        let mut input = exec.input();
        let stop = async { input.signal(Signal::Terminate).await.unwrap() };
        let (ended, ()) = within(async { tokio::join!(exec.wait(drop), stop) }).await;
        assert_eq!(
            ended.unwrap().outcome,
            Outcome::Signal("SIGTERM".into()),
            "{name}"
        );
        within(client.whoami()).await.unwrap();
    }
}

#[tokio::test]
async fn svc_c5_a_client_that_leaves_ends_its_command() {
    for name in CODECS {
        for stdin in [false, true] {
            for line in ["busy", "flood", "read"] {
                let (server, mut peer, spawner) = start(name, line, stdin).await;
                if stdin {
                    // Also while the command does not take what it was sent.
                    for _ in 0..3 {
                        peer.chunk('d', &noise(100_000)).await;
                    }
                }
                drop(peer.connection);
                until("the command has ended", || last(&spawner).outcome.is_some()).await;
                let run = last(&spawner);
                if run.outcome != Some(Outcome::Exit(0)) {
                    assert_eq!(run.outcome.unwrap().kind(), "killed", "{name} {line}");
                }
                until("the end is noted", || {
                    server.outcomes("exec-end").len() == 1
                })
                .await;
                let noted = server.outcomes("exec-end").remove(0);
                let known = [
                    "ended: the client is gone",
                    "connection-lost",
                    // Of a command that has read its input to the end that the cut was.
                    "ended with code 0",
                ];
                assert!(known.contains(&&*noted), "{name} {line}: {noted}");
            }
        }
    }
}

#[tokio::test]
async fn svc_c5_a_client_that_only_closes_its_side_has_left() {
    let (server, mut peer, spawner) = start("struct-header", "busy", true).await;
    peer.connection.close().await.unwrap();
    let (_, _, end) = peer.body().await;
    assert_eq!(
        trailer(&end),
        json!({"outcome": "killed", "detail": "the client is gone"})
    );
    assert_eq!(last(&spawner).outcome.unwrap().kind(), "killed");
    assert_eq!(server.outcomes("exec-end"), ["ended: the client is gone"]);
    assert!(peer.rest().await.is_empty());
}

#[tokio::test]
async fn svc_c5_nothing_of_a_real_command_is_left() {
    let limits = Limits::new().grace(Duration::from_millis(200));
    let server = limited("struct-header", limits).spawner(real()).start();
    for line in [
        "echo $$; sleep 1000",
        "echo $$; sleep 1000 & sleep 1000",
        "trap '' TERM HUP INT; echo $$; while :; do sleep 0.05; done",
        "echo $$; exec cat >/dev/null",
    ] {
        let mut peer = server.peer_of("root").await;
        let args = json!({"shell": line, "stdin": true});
        peer.ask(json!({"verb": "exec", "args": args, "body": true}))
            .await;
        let pid = peer.frame().await.unwrap();
        let pid = String::from_utf8(pid[1..].to_vec()).unwrap();
        let process = format!("/proc/{}", pid.trim());
        assert!(std::fs::exists(&process).unwrap());
        drop(peer.connection);
        until("the process is gone", || {
            !std::fs::exists(&process).unwrap()
        })
        .await;
    }
}

#[tokio::test]
async fn svc_c5_a_client_process_that_is_killed_over_tcp_ends_its_command() {
    use framing::serve::{Tcp, serve_with};
    use services::{
        HandleLayer, Session, Unsupported,
        exec::Exec,
        login::{AnonymousLayer, Identity, Right},
        native::NativeServer,
    };
    use tower::{ServiceBuilder, service_fn};

    let spawner = scripted();
    let exec = Exec::new(spawner.clone(), Allow::new(["sleep", "cat"]).unwrap());
    let stack = ServiceBuilder::new()
        .layer(AnonymousLayer::new(Identity::new("guest", [Right::Exec])))
        .layer(HandleLayer::new(exec))
        .service(Unsupported);
    let make = service_fn(move |_: Session| {
        let stack = stack.clone();
        async move { Ok::<_, std::convert::Infallible>(stack) }
    });
    let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
    let address = framing::serve::Listener::local_addr(&listener).to_string();
    tokio::spawn(serve_with(listener, NativeServer::new(make)).into_future());
    let factory = common::framing("struct-header");
    for reset in [false, true] {
        for blocked in [false, true] {
            let io = tokio::net::TcpStream::connect(address.strip_prefix("tcp://").unwrap());
            let mut connection = Connection::new(io.await.unwrap(), factory.make());
            let head = r#"{"verb":"exec","args":{"argv":["sleep"],"stdin":true},"body":true}"#;
            connection.send(head.into()).await.unwrap();
            connection.next().await.unwrap().unwrap();
            if blocked {
                let chunk = [&b"d"[..], &noise(100_000)].concat();
                connection.send(chunk.into()).await.unwrap();
            }
            if reset {
                connection.get_mut().set_zero_linger().unwrap();
            }
            drop(connection);
            until("the command has ended", || last(&spawner).outcome.is_some()).await;
            assert_eq!(
                last(&spawner).outcome.unwrap().kind(),
                "killed",
                "{reset} {blocked}"
            );
        }
    }
}

#[tokio::test]
async fn svc_c28_each_command_is_noted_once_at_its_start_and_once_at_its_end() {
    let server = Arc::new(Parts::new("struct-header").spawner(scripted()).start());
    let mut client = server.client_of("root").await;
    run(&mut client, Command::shell("fails")).await.unwrap();
    run(&mut client, Command::program(["uname", "-a\n\u{1b}x"]))
        .await
        .unwrap();
    run(&mut client, Command::program(["no", "such"]))
        .await
        .unwrap_err();
    let mut other = server.client_of("reader").await;
    run(&mut other, Command::shell("id")).await.unwrap_err();
    let text = |text: &str| text.to_owned();
    let expected = [
        ("login", text(""), text("ok")),
        ("exec", text("fails"), text("started")),
        ("exec-end", text("fails"), text("ended with code 7")),
        ("exec", text(r"uname -a\n\u{1b}x"), text("started")),
        (
            "exec-end",
            text(r"uname -a\n\u{1b}x"),
            text("ended with code 0"),
        ),
        ("exec", text("no such"), text("not-found")),
        ("login", text(""), text("ok")),
        ("exec", text("id"), text("not-allowed")),
    ];
    assert_eq!(server.noted(), expected);
    let who: Vec<_> = server.audit.events().into_iter().map(|e| e.who).collect();
    assert_eq!(who[1..6], ["root"; 5]);
    assert_eq!(who[7], "reader");
}

#[tokio::test]
async fn svc_c28_cut_connections_are_noted_as_well() {
    for name in CODECS {
        let server = Arc::new(Parts::new(name).spawner(scripted()).start());
        for cut in 0..40 {
            let mut peer = server.peer_of("root").await;
            let line = ["busy", "flood", "id", "read"][cut % 4];
            let args = json!({"shell": line, "stdin": cut % 3 == 0});
            let request = json!({"verb": "exec", "args": args, "body": true}).to_string();
            // The task of the server runs in between, for as long as it likes.
            let _ = peer.connection.send(request.into()).await;
            for _ in 0..cut / 2 {
                tokio::task::yield_now().await;
            }
            drop(peer.connection);
        }
        until("every start has its end", || {
            let started = server.outcomes("exec").len();
            started > 0 && started == server.outcomes("exec-end").len()
        })
        .await;
        let events = server.audit.events();
        for event in events.iter().filter(|event| event.action == "exec") {
            let ends = events
                .iter()
                .filter(|end| (end.action, end.session) == ("exec-end", event.session));
            assert_eq!((ends.count(), &*event.outcome), (1, "started"), "{name}");
        }
    }
}

#[tokio::test]
async fn an_end_that_was_told_is_the_one_that_was_noted() {
    // The connection goes after the end was made and before it was read.
    let server = Parts::new("struct-header").spawner(scripted()).start();
    let mut peer = server.peer_of("root").await;
    peer.say(json!({"verb": "exec", "args": {"shell": "fails"}}))
        .await;
    until("it is noted", || server.outcomes("exec-end").len() == 1).await;
    drop(peer);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(server.outcomes("exec-end"), ["ended with code 7"]);
}

#[tokio::test]
async fn both_streams_stay_apart_over_every_codec() {
    for name in CODECS {
        let server = Parts::new(name).spawner(real()).start();
        let mut client = server.client_of("root").await;
        let line = "for i in 1 2 3 4 5 6 7 8; do head -c 20000 /dev/zero; \
                    head -c 20000 /dev/zero | tr '\\0' e >&2; done";
        let (out, err, outcome) = run(&mut client, Command::shell(line)).await.unwrap();
        assert_eq!(outcome, Outcome::Exit(0));
        assert!(
            out.len() == 160_000 && out.iter().all(|b| *b == 0),
            "{name}"
        );
        assert!(
            err.len() == 160_000 && err.iter().all(|b| *b == b'e'),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_raw_peer_sees_the_documented_frames() {
    let server = Parts::new("lines").spawner(real()).start();
    let (mut io, _ended) = server.connect();
    let script = format!(
        "{}\n{}\n",
        common::login("alice", common::PASSWORD),
        json!({"verb": "exec", "args": {"argv": ["sh", "-c", "echo Linux; exit 5"]}})
    );
    io.write_all(script.as_bytes()).await.unwrap();
    let mut said = String::new();
    while !said.contains("outcome") {
        let mut byte = [0; 256];
        let read = within(io.read(&mut byte)).await.unwrap();
        said.push_str(std::str::from_utf8(&byte[..read]).unwrap());
    }
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines[1..],
        [
            r#"{"status":"ok","body":true}"#,
            "oTGludXgK",
            r#".{"code":5,"outcome":"exit"}"#
        ]
    );
    let first: Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(first["status"], "ok");
}

#[tokio::test]
async fn the_answer_waits_for_the_first_word_of_a_command_but_not_for_long() {
    let server = Parts::new("struct-header").spawner(real()).start();
    let mut together = false;
    // Where the machine is busy a command may be slow now and then.
    for _ in 0..100 {
        let mut peer = server.peer_of("alice").await;
        let asked = json!({"verb": "exec", "args": {"argv": ["uname"]}});
        assert_eq!(peer.ask(asked).await["status"], "ok");
        // It has come with the answer, or is still to come.
        together = peer.connection.next().now_or_never().is_some();
        if together {
            break;
        }
    }
    assert!(together);
    let mut peer = server.peer_of("alice").await;
    let silent = json!({"verb": "exec", "args": {"argv": ["sleep", "100"]}});
    assert_eq!(peer.ask(silent).await["status"], "ok");
}
