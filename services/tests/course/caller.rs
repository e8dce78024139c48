//! Our client against servers that do as they are told.

use std::time::Duration;

use services::{
    client::{Client, ClientError, Command},
    course::{
        ClockOptions, CourseError, Dialect, Encoding, ExecForm, ExecOptions, Keys, TransferForm,
        TransferOptions,
    },
    exec::{Event, Outcome},
    files::FileName,
    login::Password,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{common::noise, support::*};

/// A server's next step.
#[derive(Clone)]
enum Step {
    /// Read exactly this.
    Sees(Vec<u8>),
    Says(Vec<u8>),
    Pause(u64),
}

fn sees(bytes: impl AsRef<[u8]>) -> Step {
    Step::Sees(bytes.as_ref().to_vec())
}

fn says(bytes: impl AsRef<[u8]>) -> Step {
    Step::Says(bytes.as_ref().to_vec())
}

/// Plays the steps, then keeps the connection open and gives what the client still says until its end.
fn play(mut io: DuplexStream, steps: Vec<Step>) -> JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        for step in steps {
            match step {
                Step::Sees(bytes) => {
                    let mut read = vec![0; bytes.len()];
                    io.read_exact(&mut read).await.unwrap();
                    assert_eq!(
                        String::from_utf8_lossy(&read),
                        String::from_utf8_lossy(&bytes)
                    );
                }
                Step::Says(bytes) => {
                    // A client that has had enough has left.
                    let _ = io.write_all(&bytes).await;
                }
                Step::Pause(milliseconds) => sleep(Duration::from_millis(milliseconds)).await,
            }
        }
        let mut rest = Vec::new();
        let _ = io.read_to_end(&mut rest).await;
        rest
    })
}

/// A client whose server plays these steps.
fn client(dialect: Option<Dialect>, steps: Vec<Step>) -> (Client, JoinHandle<Vec<u8>>) {
    let (client, io) = caller(dialect);
    (client, play(io, steps))
}

/// The same, and the server closes when it is done.
fn closing(dialect: Option<Dialect>, steps: Vec<Step>) -> Client {
    let (client, mut io) = caller(dialect);
    tokio::spawn(async move {
        for step in steps {
            match step {
                Step::Sees(bytes) => {
                    io.read_exact(&mut vec![0; bytes.len()]).await.unwrap();
                }
                Step::Says(bytes) => io.write_all(&bytes).await.unwrap(),
                Step::Pause(milliseconds) => sleep(Duration::from_millis(milliseconds)).await,
            }
        }
    });
    client
}

fn announced() -> Option<Dialect> {
    Some(exec(ExecForm::Announced))
}

async fn run(client: &mut Client, words: &[&str]) -> Result<String, ClientError> {
    let mut exec = within(client.exec(Command::program(words.iter().copied()))).await?;
    let mut output = Vec::new();
    let ended = within(exec.wait(|piece| output.extend_from_slice(piece.bytes()))).await?;
    assert_eq!(ended.outcome, Outcome::Exit(0));
    Ok(String::from_utf8(output).unwrap())
}

fn course(error: ClientError) -> CourseError {
    match error {
        ClientError::Course(error) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_a_command_are_these() {
    let (mut client, server) = client(
        announced(),
        vec![
            sees("uname -a"),
            says("6"),
            sees("ok"),
            says("Linux\n"),
            sees("echo 'a b' '$x' \"'\" '你好'"),
            says("3"),
            sees("ok"),
            says("abc"),
        ],
    );
    assert_eq!(run(&mut client, &["uname", "-a"]).await.unwrap(), "Linux\n");
    let quoted = run(&mut client, &["echo", "a b", "$x", "'", "你好"]).await;
    assert_eq!(quoted.unwrap(), "abc");
    drop(client);
    assert_eq!(server.await.unwrap(), b"");
}

#[tokio::test(start_paused = true)]
async fn a_length_in_pieces_is_taken_within_the_settle_time() {
    let (mut client, server) = client(
        announced(),
        vec![
            sees("uname"),
            says("1"),
            Step::Pause(10),
            says("0"),
            Step::Pause(15),
            says("0"),
            sees("ok"),
            says("x".repeat(40)),
            Step::Pause(5000),
            says("x".repeat(60)),
            sees("uname"),
            says("1"),
            sees("ok"),
            says("y"),
        ],
    );
    assert_eq!(run(&mut client, &["uname"]).await.unwrap(), "x".repeat(100));
    assert_eq!(run(&mut client, &["uname"]).await.unwrap(), "y");
    drop(client);
    assert_eq!(server.await.unwrap(), b"");
}

#[tokio::test(start_paused = true)]
async fn a_length_that_comes_after_a_longer_pause_is_a_clear_error() {
    for pause in [30, 100, 1000, 10_000] {
        let (mut client, server) = client(
            announced(),
            vec![
                sees("uname"),
                says("1"),
                Step::Pause(pause),
                says("00"),
                sees("ok"),
                says("x".repeat(100)),
            ],
        );
        let start = Instant::now();
        let error = course(run(&mut client, &["uname"]).await.unwrap_err());
        assert!(
            matches!(&error, CourseError::Nonsense(why) if why.contains("came than the 1 bytes")),
            "{error}"
        );
        assert!(start.elapsed() < Duration::from_millis(pause + 500));
        assert!(!client.is_open());
        let again = course(run(&mut client, &["uname"]).await.unwrap_err());
        assert!(matches!(again, CourseError::OutOfStep), "{again}");
        drop(client);
        server.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn behind_a_length_of_zero_the_connection_ends() {
    let (mut client, server) = client(announced(), vec![sees("true"), says("0"), sees("ok")]);
    assert_eq!(run(&mut client, &["true"]).await.unwrap(), "");
    assert!(!client.is_open());
    let again = course(run(&mut client, &["uname"]).await.unwrap_err());
    assert!(matches!(again, CourseError::OutOfStep), "{again}");
    // The server sees the end, and no command in front of it.
    assert_eq!(within(server).await.unwrap(), b"");
}

#[tokio::test(start_paused = true)]
async fn an_empty_or_an_endless_command_is_not_sent() {
    let (mut client, server) = client(announced(), Vec::new());
    for line in ["", " ", "\t\n"] {
        let error = within(client.exec(Command::shell(line))).await.unwrap_err();
        assert_eq!(error.status().unwrap().code().to_string(), "bad-request");
    }
    let error = within(client.exec(Command::shell("a".repeat(1025))))
        .await
        .unwrap_err();
    assert!(matches!(
        course(error),
        CourseError::TooLong {
            size: 1025,
            limit: 1024
        }
    ));
    let error = within(client.exec(Command::program(["a\0b"])))
        .await
        .unwrap_err();
    assert!(error.status().is_some(), "{error}");
    assert!(client.is_open());
    drop(client);
    assert_eq!(server.await.unwrap(), b"");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_length_or_no_whole_body_is_an_error() {
    for answer in [
        "x",
        "-5",
        "+5",
        "007",
        " 5",
        "5x",
        "sh: 1: not found\n",
        "1e3",
        "99999999999",
        "٥",
    ] {
        let (mut client, server) = client(
            announced(),
            vec![sees("uname"), says(answer), Step::Pause(100)],
        );
        let error = run(&mut client, &["uname"]).await.unwrap_err();
        assert!(
            error.is_connection_lost() || matches!(error, ClientError::Course(_)),
            "{error}"
        );
        assert!(!client.is_open());
        drop(client);
        assert!(!server.await.unwrap().starts_with(b"ok"), "{answer}");
    }
    for steps in [
        vec![sees("uname")],
        vec![sees("uname"), says("6"), sees("ok")],
        vec![sees("uname"), says("6"), sees("ok"), says("Linux")],
        vec![
            sees("uname"),
            says("6"),
            sees("ok"),
            Step::Pause(500),
            says("L"),
            Step::Pause(500),
        ],
    ] {
        let mut client = closing(announced(), steps);
        let error = run(&mut client, &["uname"]).await.unwrap_err();
        assert!(error.is_connection_lost(), "{error:?}");
        let again = course(run(&mut client, &["uname"]).await.unwrap_err());
        assert!(matches!(again, CourseError::OutOfStep), "{again}");
    }
    // One that closes behind a whole answer has answered.
    let mut client = closing(
        announced(),
        vec![sees("uname"), says("2"), sees("ok"), says("hi")],
    );
    assert_eq!(run(&mut client, &["uname"]).await.unwrap(), "hi");
    assert!(!client.is_open());
    // More than was announced.
    let (mut client, _server) = self::client(
        announced(),
        vec![sees("uname"), says("2"), sees("ok"), says("hi!")],
    );
    let error = course(run(&mut client, &["uname"]).await.unwrap_err());
    assert!(matches!(error, CourseError::Nonsense(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up_by_the_time_limit() {
    for steps in [
        vec![sees("sleep")],
        vec![sees("sleep"), says("5"), sees("ok"), says("a")],
    ] {
        let (mut client, server) = client(announced(), steps);
        let command = Command::shell("sleep").timeout(Duration::from_secs(3));
        let mut exec = within(client.exec(command)).await.unwrap();
        let ended = within(exec.wait(|_| {})).await.unwrap();
        assert_eq!(ended.outcome, Outcome::TimedOut);
        assert!(!client.is_open());
        drop(client);
        server.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn svc_c23_output_in_gbk_is_read_as_such() {
    for (encoding, bytes, shown) in [
        (Encoding::Gbk, &b"\xc4\xe3\xba\xc3\x81\x7c"[..], "你好亅"),
        (Encoding::Gbk, b"a\xff", "a\u{fffd}"),
        (Encoding::Utf8, "你好".as_bytes(), "你好"),
        (Encoding::Utf8, b"\xc4\xe3", "\u{fffd}\u{fffd}"),
        (Encoding::Raw, "é".as_bytes(), "é"),
    ] {
        for form in [
            ExecForm::Announced,
            ExecForm::Counted,
            ExecForm::CountedAnswer,
        ] {
            let steps = match form {
                ExecForm::Announced => vec![
                    sees("dir 你"),
                    says(bytes.len().to_string()),
                    sees("ok"),
                    says(bytes),
                ],
                ExecForm::Counted => vec![sees(counted("dir 你")), says(counted(bytes))],
                _ => vec![sees("dir 你"), says(counted(bytes))],
            };
            let mut options = ExecOptions::default();
            (options.form, options.encoding) = (form, encoding);
            let (mut client, server) = client(Some(Dialect::Exec(options)), steps);
            let mut exec = within(client.exec(Command::shell("dir 你"))).await.unwrap();
            let mut output = Vec::new();
            while let Some(Ok(Event::Output(piece))) = within(exec.next()).await {
                output.extend_from_slice(piece.bytes());
            }
            drop(exec);
            assert_eq!(String::from_utf8(output).unwrap(), shown);
            drop(client);
            server.await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_is_understood_or_not() {
    let password = || Password::new("dsb").unwrap();
    let (mut client, server) = client(
        None,
        vec![
            sees("alex|dsb"),
            says(WRONG),
            sees("alex|dsb"),
            says(WELCOME),
        ],
    );
    let error = within(client.login("alex", password())).await.unwrap_err();
    assert!(error.is_wrong_credentials());
    // Whoever is nobody yet is told so.
    assert!(within(client.whoami()).await.is_err());
    within(client.login("alex", password())).await.unwrap();
    assert_eq!(within(client.whoami()).await.unwrap().name, "alex");
    drop(client);
    server.await.unwrap();

    for other in [
        "登录",
        "ok",
        "\u{1b}[2J",
        "登录成功!",
        "用户名或者密码错误 ",
        "\u{fffd}",
    ] {
        let (mut client, server) = self::client(None, vec![sees("alex|dsb"), says(other)]);
        let error = within(client.login("alex", password())).await.unwrap_err();
        // Spaces around it are nothing.
        if error.is_wrong_credentials() {
            assert_eq!(other.trim(), WRONG);
        } else {
            let shown = error.to_string();
            assert!(
                shown.contains("neither") && !shown.contains('\u{1b}'),
                "{shown}"
            );
        }
        drop(client);
        server.await.unwrap();
    }
    let mut client = closing(None, vec![sees("alex|dsb")]);
    let error = course(within(client.login("alex", password())).await.unwrap_err());
    assert!(matches!(error, CourseError::Closed), "{error}");

    // Nothing is sent that cannot be a name and a password.
    let (mut client, server) = self::client(None, Vec::new());
    let long = Password::new("x".repeat(1020)).unwrap();
    for (name, password) in [
        ("good", Password::new("bye").unwrap()),
        ("a|b", self::password()),
        ("alex", long),
    ] {
        let error = within(client.login(name, password)).await.unwrap_err();
        assert_eq!(error.status().unwrap().code().to_string(), "bad-request");
    }
    assert!(client.is_open());
    drop(client);
    assert_eq!(server.await.unwrap(), b"");
}

fn password() -> Password {
    Password::new("dsb").unwrap()
}

#[tokio::test(start_paused = true)]
async fn good_bye_is_said_to_whoever_waits_for_a_login_and_to_nobody_else() {
    let (client, server) = client(None, Vec::new());
    within(client.leave()).await;
    assert_eq!(server.await.unwrap(), b"good|bye");

    let (mut client, server) = self::client(announced(), vec![sees("alex|dsb"), says(WRONG)]);
    let _ = within(client.login("alex", password())).await;
    within(client.leave()).await;
    assert_eq!(server.await.unwrap(), b"good|bye");

    // Where commands are taken, it would be one.
    let (client, server) = self::client(announced(), Vec::new());
    within(client.leave()).await;
    assert_eq!(server.await.unwrap(), b"");
    let (mut client, server) = self::client(announced(), vec![sees("alex|dsb"), says(WELCOME)]);
    within(client.login("alex", password())).await.unwrap();
    within(client.leave()).await;
    assert_eq!(server.await.unwrap(), b"");
}

fn files() -> Option<Dialect> {
    Some(Dialect::Files(Keys::default()))
}

fn transfer(form: TransferForm) -> Option<Dialect> {
    let options = TransferOptions {
        form,
        ..TransferOptions::default()
    };
    Some(Dialect::Transfer(options))
}

/// All of a file, or why not.
async fn fetch(client: &mut Client, name: Option<&str>) -> Result<(String, Vec<u8>), ClientError> {
    let name: Option<FileName> = name.map(|name| name.parse().unwrap());
    let mut download = match &name {
        Some(name) => within(client.get(name)).await?,
        None => within(client.receive()).await?,
    };
    let mut bytes = Vec::new();
    while let Some(piece) = within(download.read()).await? {
        bytes.extend_from_slice(&piece);
    }
    Ok((download.file().name.to_string(), bytes))
}

fn download() -> Option<Dialect> {
    transfer(TransferForm::Upload { reply: false })
}

#[tokio::test(start_paused = true)]
async fn svc_e1_names_that_servers_send_cannot_leave_the_folder() {
    for name in [
        "../x",
        "/etc/passwd",
        "..",
        ".",
        "",
        "a/b",
        "a\0b",
        "..\\x/",
    ] {
        let header = header(name, b"abc").to_string();
        let (mut client, _server) = client(download(), vec![says(counted(&header)), says("abc")]);
        let error = fetch(&mut client, None).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Nonsense(_)),
            "{name}: {error:?}"
        );
        let listed = format!(
            r#"{{"status":"ok","files":[{{"index":1,"filename":{},"filesize":3}}]}}"#,
            serde_json::json!(name)
        );
        let (mut client, _server) = self::client(files(), vec![says(counted(listed))]);
        let error = within(client.list_all()).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Nonsense(_)),
            "{name}: {error:?}"
        );
    }
    let (mut client, _server) = client(
        download(),
        vec![
            says(counted(header("课.txt", b"abc").to_string())),
            says("abc"),
        ],
    );
    assert_eq!(
        fetch(&mut client, None).await.unwrap(),
        ("课.txt".to_owned(), b"abc".to_vec())
    );
}

#[tokio::test(start_paused = true)]
async fn svc_e2_svc_e3_a_file_is_the_one_that_was_asked_for_and_whole() {
    let ok = |name: &str, body: &[u8], size: usize| {
        let mut header = header(name, body);
        header["status"] = serde_json::json!("ok");
        header["filesize"] = serde_json::json!(size);
        says(counted(header.to_string()))
    };
    // Another name.
    let (mut client, _server) = client(files(), vec![ok("b", b"abc", 3), says("abc")]);
    assert!(matches!(
        fetch(&mut client, Some("a")).await,
        Err(ClientError::Nonsense(_))
    ));
    // Other bytes.
    let (mut client, _server) = self::client(files(), vec![ok("a", b"abc", 3), says("abd")]);
    let error = fetch(&mut client, Some("a")).await.unwrap_err();
    assert_eq!(
        error.status().unwrap().code().to_string(),
        "digest-mismatch"
    );
    assert!(!client.is_open());
    // Too few.
    let mut client = closing(files(), vec![ok("a", b"abc", 3), says("ab")]);
    assert!(
        fetch(&mut client, Some("a"))
            .await
            .unwrap_err()
            .is_connection_lost()
    );
    // More: they are not of this file, and no answer to what is asked next.
    let (mut client, _server) = self::client(files(), vec![ok("a", b"abc", 3), says("abcdefgh")]);
    assert_eq!(fetch(&mut client, Some("a")).await.unwrap().1, b"abc");
    assert!(fetch(&mut client, Some("a")).await.is_err());
    // Without a digest the size is all there is.
    let (mut client, _server) = self::client(
        files(),
        vec![
            says(counted(r#"{"status":"ok","filename":"a","filesize":3}"#)),
            says("abc"),
        ],
    );
    assert_eq!(fetch(&mut client, Some("a")).await.unwrap().1, b"abc");

    // The form with an ack.
    let ack = || transfer(TransferForm::Ack);
    let digest = md5("abc");
    for (size, body, right) in [
        ("3", format!("abc{digest}"), true),
        ("3", format!("abd{digest}"), false),
        ("3", format!("abc{}", "z".repeat(32)), false),
        ("2", format!("abc{digest}"), false),
        ("4", format!("abc{digest}"), false),
        ("0", format!("{}abc", md5("")), true),
    ] {
        let mut client = closing(
            ack(),
            vec![sees("get a"), says(size), sees("ok"), says(body)],
        );
        let fetched = fetch(&mut client, Some("a")).await;
        assert_eq!(fetched.is_ok(), right, "{size}: {fetched:?}");
    }
    for size in [
        "x",
        "-1",
        "+3",
        "3 ",
        "",
        "0x3",
        "3.0",
        "99999999999999999999999",
        "18446744073709551616",
        "٣",
    ] {
        let mut steps = vec![sees("get a"), says(size), Step::Pause(100)];
        steps.push(says("abc"));
        let mut client = closing(ack(), steps);
        let error = fetch(&mut client, Some("a")).await.unwrap_err();
        assert!(matches!(error, ClientError::Course(_)), "{size}: {error:?}");
    }
    // In pieces.
    let body = noise(1234);
    let (mut client, server) = self::client(
        ack(),
        vec![
            sees("get a"),
            says("12"),
            Step::Pause(10),
            says("34"),
            sees("ok"),
            says(&body[..1000]),
            Step::Pause(1000),
            says(&body[1000..]),
            Step::Pause(1000),
            says(&md5(&body)[..5]),
            Step::Pause(1000),
            says(&md5(&body)[5..]),
        ],
    );
    assert!(fetch(&mut client, Some("a")).await.unwrap().1 == body);
    drop(client);
    assert_eq!(server.await.unwrap(), b"");
}

#[tokio::test(start_paused = true)]
async fn lists_and_answers_that_make_no_sense_are_errors() {
    for answer in [
        r#"{"status":"ok"}"#,
        r#"{"status":"ok","files":{}}"#,
        r#"{"status":"ok","files":[1]}"#,
        r#"{"status":"ok","files":[{"index":2,"filename":"a","filesize":1}]}"#,
        r#"{"status":"ok","files":[{"index":1,"filename":"a","filesize":1},{"index":1,"filename":"b","filesize":1}]}"#,
        r#"{"status":"ok","files":[{"index":1,"filename":"a","filesize":-1}]}"#,
        r#"{"status":"fine","files":[]}"#,
        r#"{"files":[]}"#,
        "[]",
        "nonsense",
    ] {
        let (mut client, _server) = client(files(), vec![says(counted(answer))]);
        let error = course(within(client.list_all()).await.unwrap_err());
        assert!(
            matches!(error, CourseError::Nonsense(_)),
            "{answer}: {error}"
        );
        assert!(!client.is_open());
    }
    for length in [-1, i32::MIN, i32::MAX] {
        let (mut client, _server) = client(files(), vec![says(length.to_ne_bytes())]);
        let error = course(within(client.list_all()).await.unwrap_err());
        assert!(matches!(error, CourseError::Connection(_)), "{error}");
    }
    // A refusal is one, and the connection lives.
    let (mut client, _server) = client(
        files(),
        vec![
            says(counted(r#"{"status":"error","reason":"\u001b[2Jno"}"#)),
            says(counted(r#"{"status":"ok","files":[]}"#)),
        ],
    );
    let error = within(client.list_all()).await.unwrap_err();
    assert!(
        error.status().is_some() && !error.to_string().contains('\u{1b}'),
        "{error}"
    );
    assert!(within(client.list_all()).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn uploads_are_what_the_server_says_of_them() {
    let upload = async |reply: bool, answer: &str| {
        let dialect = transfer(TransferForm::Upload { reply });
        let (mut client, io) = caller(dialect);
        let answer = answer.to_owned();
        let server = tokio::spawn(async move {
            let mut io = io;
            let mut length = [0; 4];
            io.read_exact(&mut length).await.unwrap();
            let mut header = vec![0; i32::from_ne_bytes(length) as usize];
            io.read_exact(&mut header).await.unwrap();
            let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
            assert_eq!(header, self::header("课", b"abc"));
            let mut body = [0; 3];
            io.read_exact(&mut body).await.unwrap();
            assert_eq!(&body, b"abc");
            if !answer.is_empty() {
                io.write_all(&counted(answer)).await.unwrap();
                let mut rest = Vec::new();
                let _ = io.read_to_end(&mut rest).await;
            }
        });
        let stored = within(client.put(&"课".parse().unwrap(), Some(3), false, &b"abc"[..])).await;
        drop(client);
        server.await.unwrap();
        stored
    };
    let mut answer = header("课", b"abc");
    answer["status"] = serde_json::json!("ok");
    let stored = upload(true, &answer.to_string()).await.unwrap();
    assert_eq!((stored.size, stored.confirmed), (3, true));
    assert!(!upload(false, "").await.unwrap().confirmed);
    // The end is no good news.
    assert!(upload(true, "").await.unwrap_err().is_connection_lost());
    answer["md5"] = serde_json::json!(md5("other"));
    assert!(upload(true, &answer.to_string()).await.is_err());
    answer["md5"] = serde_json::json!(md5("abc"));
    answer["filesize"] = serde_json::json!(2);
    assert!(upload(true, &answer.to_string()).await.is_err());
    let refused = upload(
        true,
        r#"{"status":"error","reason":"already-exists: there"}"#,
    )
    .await;
    assert_eq!(
        refused.unwrap_err().status().unwrap().code().to_string(),
        "already-exists"
    );
}

#[tokio::test(start_paused = true)]
async fn a_clock_is_shown_until_the_server_ends() {
    let mut client = closing(
        Some(Dialect::Clock(ClockOptions::default())),
        vec![
            says("2026/01/01"),
            Step::Pause(10_000),
            says("\u{1b}[2J"),
            Step::Pause(10),
        ],
    );
    let mut ticks = within(client.clock(None, None)).await.unwrap();
    let first = within(ticks.next()).await.unwrap().unwrap();
    assert_eq!((first.text.as_str(), first.epoch), ("2026/01/01", None));
    within(ticks.next()).await.unwrap().unwrap();
    assert!(within(ticks.next()).await.is_none());
    // It says what it likes, when it likes.
    let (mut client, server) =
        self::client(Some(Dialect::Clock(ClockOptions::default())), Vec::new());
    for (every, format) in [(Some(Duration::from_secs(1)), None), (None, Some("%H"))] {
        let refused = within(client.clock(every, format)).await.unwrap_err();
        assert_eq!(refused.status().unwrap().code().to_string(), "unsupported");
    }
    assert!(client.is_open());
    drop(client);
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_dialect_has_no_words_for_is_said_here() {
    for dialect in [None, announced(), files(), download()] {
        let commands = matches!(dialect, Some(Dialect::Exec(_)));
        let (mut client, server) = client(dialect, Vec::new());
        let error = within(client.ping()).await.unwrap_err();
        assert_eq!(error.status().unwrap().code().to_string(), "unsupported");
        let error = within(client.remove(&"a".parse().unwrap()))
            .await
            .unwrap_err();
        assert_eq!(error.status().unwrap().code().to_string(), "unsupported");
        if !commands {
            let error = within(client.exec(Command::shell("ls"))).await.unwrap_err();
            assert_eq!(error.status().unwrap().code().to_string(), "unsupported");
        }
        assert!(client.is_open());
        drop(client);
        assert_eq!(server.await.unwrap(), b"");
    }
}
