//! The server program: what its configuration means, and what it refuses.

mod common;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use common::{Place, framed, run, told};
use framing::serve::Address;
use services::{
    client::{Client, ClientError, Command as Exec},
    exec::{Outcome, Output},
    files::FileName,
    login::Password,
};

/// A whole server of which only the framing is still to be said.
const PAIR: &str = r#"
[accounts]
file = "accounts.txt"

[files]
root = "files"

[exec]
allow = ["head"]
shell = true

[[listen]]
address = "tcp://127.0.0.1:0"
"#;

const FRAMINGS: [&str; 3] = [
    r#""ack-handshake""#,
    r#""struct-header""#,
    r#"{ type = "delimiter", delimiter = "\r\n" }"#,
];

const NAME: &str = "读 我.bin";

fn content() -> Vec<u8> {
    (0..700_001u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_line_moves_a_pair_from_framing_to_framing() {
    for framing in FRAMINGS {
        let place = Place::new(&format!("{PAIR}framing = {framing}\n"));
        fs::write(
            place.join("accounts.txt"),
            "alice|secret|exec,read,write,shell\n",
        )
        .unwrap();
        let server = place.start();
        let mut client = server.client(framing.trim_matches('"')).await;
        client
            .login("alice", Password::new("secret").unwrap())
            .await
            .unwrap();

        let mut exec = client.exec(Exec::shell("exit 7")).await.unwrap();
        assert_eq!(
            exec.wait(drop).await.unwrap().outcome,
            Outcome::Exit(7),
            "{framing}"
        );

        let mut zeros = 0;
        let nuls = Exec::program(["head", "-c", "3000000", "/dev/zero"]);
        let mut exec = client.exec(nuls).await.unwrap();
        let ended = exec.wait(|output| match output {
            Output::Stdout(bytes) if bytes.iter().all(|byte| *byte == 0) => zeros += bytes.len(),
            other => panic!("{framing}: {other:?}"),
        });
        assert_eq!(ended.await.unwrap().outcome, Outcome::Exit(0), "{framing}");
        assert_eq!(zeros, 3_000_000, "{framing}");

        let name: FileName = NAME.parse().unwrap();
        let size = content().len() as u64;
        client
            .put(&name, Some(size), false, std::io::Cursor::new(content()))
            .await
            .unwrap();
        assert!(
            fs::read(place.join("files").join(NAME)).unwrap() == content(),
            "{framing}"
        );
        assert!(
            fetch(&mut client, &name).await.unwrap() == content(),
            "{framing}"
        );
        server.stop();
    }
}

async fn fetch(client: &mut Client, name: &FileName) -> Result<Vec<u8>, ClientError> {
    let mut download = client.get(name).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = download.read().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// The same with the client program: what it is told about the framing is the value in the file.
#[test]
fn one_line_moves_a_pair_of_programs_from_framing_to_framing() {
    for framing in FRAMINGS {
        let place = Place::new(&format!("{PAIR}framing = {framing}\n"));
        fs::write(
            place.join("accounts.txt"),
            "alice|secret|exec,read,write,shell\n",
        )
        .unwrap();
        fs::create_dir(place.join("here")).unwrap();
        fs::write(place.join("here").join(NAME), content()).unwrap();
        let server = place.start();
        let frame = |folder: &Path, words: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_frame"));
            command.args(["--server", &server.address().to_string(), "--user", "alice"]);
            command
                .args(["--framing", framing.trim_matches('"')])
                .args(words);
            command.env("FRAME_PASSWORD", "secret").current_dir(folder);
            run(command, "")
        };
        let here = place.join("here");

        let ended = frame(&here, &["exec", "--shell", "exit 7"]);
        assert_eq!(ended.status.code(), Some(7), "{framing}: {}", told(&ended));
        let ended = frame(&here, &["exec", "--", "head", "-c", "3000000", "/dev/zero"]);
        assert_eq!(ended.status.code(), Some(0), "{framing}: {}", told(&ended));
        assert!(
            ended.stdout.len() == 3_000_000,
            "{framing}: {} bytes",
            ended.stdout.len()
        );
        assert!(ended.stdout.iter().all(|byte| *byte == 0), "{framing}");

        let ended = frame(&here, &["put", NAME]);
        assert_eq!(ended.status.code(), Some(0), "{framing}: {}", told(&ended));
        fs::create_dir(place.join("there")).unwrap();
        let ended = frame(&place.join("there"), &["get", NAME]);
        assert_eq!(ended.status.code(), Some(0), "{framing}: {}", told(&ended));
        assert!(
            fs::read(place.join("there").join(NAME)).unwrap() == content(),
            "{framing}"
        );
        server.stop();
    }
}

/// A listener without a login, and one line of it.
fn listener_with(line: &str) -> String {
    format!(
        "[[listen]]\naddress = \"tcp://127.0.0.1:0\"\nservices = []\n\
         identity = {{ name = \"guest\", rights = [\"read\"] }}\n{line}\n"
    )
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_before_anything_is_opened() {
    let exposed = "[accounts]\nfile = \"accounts.txt\"\n\n\
                   [[listen]]\naddress = \"tcp://0.0.0.0:0\"\n";
    let no_login = "[[listen]]\naddress = \"tcp://127.0.0.1:0\"\nservices = []\n";
    let cases: &[(&str, &str, &[&str])] = &[
        ("an empty file", "", &["[[listen]]"]),
        ("no TOML", "[[listen]\n", &["line 1"]),
        (
            "an unknown key",
            &listener_with("framming = \"lines\""),
            &["line 5", "framming", "framing"],
        ),
        (
            "an unknown section",
            "[account]\nfile = \"x\"\n",
            &["line 1", "account"],
        ),
        (
            "an unknown framing",
            &listener_with("framing = \"morse\""),
            &["line 5", "morse", "struct-header", "delimiter"],
        ),
        (
            "an unknown option",
            &listener_with("framing = { type = \"lines\", colour = \"red\" }"),
            &["line 5", "colour", "ending"],
        ),
        (
            "a wrong format",
            &listener_with("framing = { type = \"struct-header\", format = \"!Z\" }"),
            &["line 5", "Z"],
        ),
        (
            "a wrong type",
            &listener_with("max_connections = \"many\""),
            &["line 5", "many"],
        ),
        (
            "a wrong time",
            &listener_with("keepalive = \"soon\""),
            &["line 5", "soon", "30s"],
        ),
        (
            "a wrong size",
            &listener_with("send_buffer = \"big\""),
            &["line 5"],
        ),
        (
            "an address without a scheme",
            &listener_with("").replace("tcp://", ""),
            &["line 2", "unix:/path"],
        ),
        (
            "a service that is not configured",
            &listener_with("").replace("services = []", "services = [\"files\"]"),
            &["files", "[files]"],
        ),
        ("neither login nor identity", no_login, &["identity"]),
        (
            "login and identity",
            &format!(
                "[accounts]\nfile = \"a\"\n{}",
                listener_with("").replace("[]", "[\"login\"]")
            ),
            &["identity", "login"],
        ),
        (
            "no connections",
            &listener_with("max_connections = 0"),
            &["max_connections"],
        ),
        (
            "everybody may connect",
            exposed,
            &["0.0.0.0", "expose = true", "127.0.0.1"],
        ),
        (
            "raw keeps no messages",
            &listener_with("framing = \"raw\""),
            &["tcp://127.0.0.1:0", "boundaries"],
        ),
        (
            "a mark that occurs in text",
            &listener_with("framing = { type = \"delimiter\", delimiter = \"||\" }"),
            &["tcp://127.0.0.1:0", "delimiter", "escape"],
        ),
        (
            "a mark that occurs in base64",
            &listener_with("framing = { type = \"delimiter\", delimiter = \"a\" }"),
            &["tcp://127.0.0.1:0", "escape"],
        ),
        (
            "frames too small",
            &listener_with("framing = { type = \"struct-header\", max_frame = \"32B\" }"),
            &["too small"],
        ),
        (
            "a program with a path",
            &format!("[exec]\nallow = [\"../x\"]\n{}", listener_with("")),
            &["[exec] allow"],
        ),
        (
            "an unknown right",
            &listener_with("").replace("\"read\"", "\"fly\""),
            &["line 4", "fly", "read"],
        ),
    ];
    for (what, config, fragments) in cases {
        let place = Place::new(config);
        for words in [&["--check"][..], &["--print-config"], &[]] {
            let output = place.run(words, "");
            let told = told(&output);
            assert_eq!(output.status.code(), Some(1), "{what} {words:?}: {told}");
            assert!(output.stdout.is_empty(), "{what} {words:?}");
            assert!(told.starts_with("framed: "), "{what} {words:?}: {told}");
            assert!(told.contains("framed.toml"), "{what} {words:?}: {told}");
            assert!(!told.contains("backtrace"), "{what} {words:?}: {told}");
            for fragment in *fragments {
                assert!(
                    told.contains(fragment),
                    "{what} {words:?}: no {fragment} in: {told}"
                );
            }
        }
        let left: Vec<_> = fs::read_dir(place.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{what}: something was made");
    }
}

#[test]
fn what_is_right_is_taken() {
    let exposed =
        "[accounts]\nfile = \"a\"\n[[listen]]\naddress = \"tcp://0.0.0.0:0\"\nexpose = true\n";
    for (what, config) in [
        (
            "escaped marks",
            &*listener_with(
                "framing = { type = \"delimiter\", delimiter = \"||\", escape = \"\\\\\" }",
            ),
        ),
        ("a listener for all", exposed),
        (
            "IPv6 loopback",
            &listener_with("").replace("127.0.0.1", "[::1]"),
        ),
        (
            "IPv4 in IPv6",
            &listener_with("").replace("127.0.0.1", "[::ffff:127.0.0.1]"),
        ),
        (
            "a Unix socket",
            &listener_with("").replace("tcp://127.0.0.1:0", "unix:/tmp/x"),
        ),
    ] {
        let place = Place::new(config);
        write_accounts(&place.join("a"), "alice|secret\n");
        let output = place.run(["--check"], "");
        assert!(output.status.success(), "{what}: {}", told(&output));
        assert_eq!(output.stdout, b"the configuration is right\n", "{what}");
    }
}

/// An accounts file that others cannot write.
fn write_accounts(path: &Path, text: impl AsRef<[u8]>) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn what_a_configuration_names_is_looked_at_all_of_it_and_nothing_is_made() {
    let config = r#"[accounts]
file = "accounts.txt"

[files]
max_file = "1GiB"
root = "plain/files"

[exec]
folder = "nowhere"

[[listen]]
address = "tcp://127.0.0.1:0"

[[listen]]
address = "unix:UNIX"
"#;
    let place = Place::new("");
    let config = config.replace("UNIX", &place.join("plain").display().to_string());
    fs::write(place.config(), &config).unwrap();
    fs::write(place.join("plain"), "a file").unwrap();
    write_accounts(
        &place.join("accounts.txt"),
        "# who\nalice|secret|read\nbob\n",
    );
    let path = |name: &str| place.join(name).display().to_string();
    let found = [
        format!(
            "line 2: [accounts] file: accounts file {}: line 3: no `|`",
            path("accounts.txt")
        ),
        format!(
            "line 6: [files] root: cannot look at {}: Not a directory",
            path("plain/files")
        ),
        format!(
            "line 9: [exec] folder: there is no folder {}",
            path("nowhere")
        ),
        format!(
            "line 15: [[listen]] address: {} is there and is no socket",
            path("plain")
        ),
    ];
    let check = || place.run(["--check"], "");
    let output = check();
    assert_eq!(
        (output.status.code(), &output.stdout[..]),
        (Some(1), &b""[..])
    );
    let text = told(&output);
    assert_eq!(text.lines().count(), found.len(), "{text}");
    for (line, found) in text.lines().zip(&found) {
        let expected = format!("framed: {}: {found}", place.config().display());
        assert!(line.starts_with(&expected), "{line}\n{expected}");
    }
    assert!(!text.contains("secret"), "{text}");

    // Mended one after the other, the others are still told.
    write_accounts(&place.join("accounts.txt"), "alice|secret|read\n");
    let mended = config.replace("plain/files", "not/there/yet");
    fs::write(place.config(), &mended).unwrap();
    let text = told(&check());
    assert!(
        !text.contains("[accounts]") && !text.contains("[files]"),
        "{text}"
    );
    assert!(
        text.contains("[exec] folder") && text.contains("[[listen]]"),
        "{text}"
    );
    assert!(text.contains("plain"), "{text}");
    let mended = mended.replace("nowhere", ".");
    let mended = mended.replace(&path("plain"), &path("socket"));
    fs::write(place.config(), mended).unwrap();
    let output = check();
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(output.stdout, b"the configuration is right\n");
    // What the server takes, it still warns about.
    assert!(told(&output).contains("passwords are stored as they are"));
    assert!(!place.join("not").exists() && !place.join("socket").exists());

    fs::remove_file(place.join("accounts.txt")).unwrap();
    let text = told(&check());
    assert!(
        text.contains("line 2") && text.contains("framed --config FILE account add"),
        "{text}"
    );
}

#[test]
fn the_printed_configuration_is_a_configuration_and_prints_itself() {
    let full = r#"
[accounts]
file = "people/accounts.txt"
default_rights = ["read"]
max_tries = 3

[files]
root = "files"
max_file = 1234567
quota = "100GiB"

[exec]
allow = ["uname", "ls"]
shell = true
timeout = "90s"
max_output = "1MB"

[limits]
frame_before_login = 8193
login_deadline = "1500ms"
drain_timeout = "1h"
buffered = "64MiB"
frame_timeout = "1m"
least_rate = 1001
idle_timeout = "10m"
write_timeout = "2m"

[[listen]]
address = "tcp://127.0.0.1:8002"
framing = { type = "struct-header", format = "<HI", length = 1, max_frame = "1MiB" }
services = ["login", "files"]
max_connections = 7
nodelay = false
reuse_address = false
backlog = 5
receive_buffer = 65537
send_buffer = "256KiB"
keepalive = "1m"

[[listen]]
address = "unix:/tmp/framed.sock"
framing = { type = "delimiter", delimiter = { hex = "0d0a" }, escape = "\\" }
identity = { name = "guest", rights = ["read"] }
services = ["files"]
"#;
    for (what, config) in [("full", full), ("short", PAIR)] {
        let place = Place::new(config);
        fs::create_dir(place.join("people")).unwrap();
        write_accounts(&place.join("people/accounts.txt"), "");
        write_accounts(&place.join("accounts.txt"), "");
        let printed = place.run(["--print-config"], "");
        assert!(printed.status.success(), "{what}: {}", told(&printed));
        let printed = String::from_utf8(printed.stdout).unwrap();

        // In another folder, started from another one still: it says all that there is to say.
        let second = Place::new(&printed);
        let checked = second.run(["--check"], "");
        assert!(
            checked.status.success(),
            "{what}: {}\n{printed}",
            told(&checked)
        );
        let again = second.run(["--print-config"], "");
        assert_eq!(String::from_utf8(again.stdout).unwrap(), printed, "{what}");
        let files = place.join("files");
        assert!(
            printed.contains(files.to_str().unwrap()),
            "{what}: {printed}"
        );
    }
    let place = Place::new(full);
    let printed = String::from_utf8(place.run(["--print-config"], "").stdout).unwrap();
    let mut command = framed();
    command.args(["--config", "framed.toml", "--print-config"]);
    command.current_dir(place.path());
    let relative = run(command, "");
    assert_eq!(
        String::from_utf8(relative.stdout).unwrap(),
        printed,
        "whole paths"
    );
    let table: toml::Table = printed.parse().unwrap();
    let size = |section: &str, key: &str| table[section][key].as_integer();
    assert_eq!(
        size("files", "max_file"),
        Some(1_234_567),
        "no digit is lost"
    );
    assert_eq!(
        size("limits", "frame_before_login"),
        Some(8193),
        "no digit is lost"
    );
    assert_eq!(
        size("exec", "max_output"),
        Some(1_000_000),
        "no digit is lost"
    );
    assert_eq!(
        table["listen"][0]["framing"]["format"].as_str(),
        Some("<HI")
    );
    assert_eq!(
        table["listen"][1]["framing"]["delimiter"]["hex"].as_str(),
        Some("0d0a")
    );
}

#[test]
fn a_relative_configuration_works_from_its_own_folder() {
    let place = Place::new(PAIR);
    fs::write(place.join("accounts.txt"), "alice|secret|read\n").unwrap();
    let mut command = framed();
    command
        .args(["--config", "framed.toml"])
        .current_dir(place.path());
    let server = place.start_as(command);
    assert!(place.join("files").is_dir());
    server.stop();
}

#[test]
fn every_listener_is_announced_with_its_real_address() {
    let socket = tempfile::tempdir().unwrap();
    let path = socket.path().join("framed.sock");
    let config = format!(
        "{PAIR}\n[[listen]]\naddress = \"tcp://127.0.0.1:0\"\nframing = \"ack-handshake\"\n\
         services = [\"login\", \"files\"]\n\n\
         [[listen]]\naddress = \"unix:{}\"\nframing = \"lines\"\n",
        path.display()
    );
    let place = Place::new(&config);
    fs::write(place.join("accounts.txt"), "alice|secret|read\n").unwrap();
    let server = place.start();
    let port = |number: usize| match &server.addresses[number] {
        Address::Tcp(address) => address.port(),
        other => panic!("{other}"),
    };
    let (first, second) = (port(0), port(1));
    assert!(first != 0 && second != 0 && first != second);
    let expected = [
        format!("listening on tcp://127.0.0.1:{first} (struct-header, native: login exec files)"),
        format!("listening on tcp://127.0.0.1:{second} (ack-handshake, native: login files)"),
        format!(
            "listening on unix:{} (lines, native: login exec files)",
            path.display()
        ),
    ];
    assert_eq!(server.lines, expected);

    let two = place.run([""; 0], "");
    assert_eq!(two.status.code(), Some(1));
    assert!(
        told(&two).contains("cannot listen on unix:"),
        "{}",
        told(&two)
    );
    assert_eq!(
        server.stop(),
        "",
        "nothing else is written to standard output"
    );
}

#[test]
fn the_limits_in_time_are_kept() {
    let place = Place::new(&format!(
        "[limits]\nframe_timeout = \"300ms\"\nidle_timeout = \"600ms\"\n{PAIR}\n"
    ));
    fs::write(place.join("accounts.txt"), "alice|secret|read\n").unwrap();
    let server = place.start();
    let Address::Tcp(address) = &server.addresses[0] else {
        panic!("{:?}", server.addresses);
    };
    // Half a frame; and nothing at all. The login's own deadline is ten seconds.
    for sent in [&b"\0\0\0\x09{"[..], b""] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(sent).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(8)))
            .unwrap();
        let closed = stream.read(&mut [0; 64]);
        assert!(matches!(closed, Ok(0)), "{sent:?}: {closed:?}");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_serves_survives_a_crash_and_goes_with_the_server() {
    let place = Place::new("");
    let path = place.join("framed.sock");
    let config = listener_with("framing = \"lines\"")
        .replace("tcp://127.0.0.1:0", &format!("unix:{}", path.display()));
    fs::write(place.config(), config).unwrap();
    let mut server = place.start();
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    server.client("lines").await.ping().await.unwrap();

    // After a crash the socket's file is still there, and nobody listens.
    server.kill();
    assert!(path.exists());
    let server = place.start();
    let mut client = server.client("lines").await;
    assert_eq!(client.whoami().await.unwrap().name, "guest");
    drop(client);
    server.stop();
    assert!(!path.exists());
}

#[test]
fn a_command_line_that_is_wrong_exits_with_64() {
    for words in [
        &["--colour"][..],
        &["account"],
        &["account", "add"],
        &["serve"],
    ] {
        let mut command = framed();
        command.args(words).stdout(Stdio::null());
        let output = run(command, "");
        assert_eq!(
            output.status.code(),
            Some(64),
            "{words:?}: {}",
            told(&output)
        );
    }
    for words in [
        &["--help"][..],
        &["--version"],
        &["account", "--help"],
        &["completions", "bash"],
        &["man"],
    ] {
        let mut command = framed();
        command.args(words);
        let output = run(command, "");
        assert_eq!(
            output.status.code(),
            Some(0),
            "{words:?}: {}",
            told(&output)
        );
        assert!(!output.stdout.is_empty(), "{words:?}");
    }
}

#[test]
fn what_contradicts_a_dialect_of_the_course_is_refused() {
    let guest = "identity = { name = \"guest\", rights = [\"exec\", \"read\"] }";
    let files = "[accounts]\nfile = \"a\"\n[files]\nroot = \"f\"\n[exec]\nallow = []\n";
    for (line, reason) in [
        (
            "dialect = \"course-exec\"\nservices = []",
            "needs the service exec",
        ),
        (
            "dialect = \"course-clock\"\nservices = []",
            "needs the service clock",
        ),
        (
            "dialect = \"course-exec\"\nframing = \"lines\"",
            "a framing of its own",
        ),
        (
            "dialect = \"course-exec\"\nform = \"both\"",
            "`form` does not go with",
        ),
        (
            "dialect = \"course-exec\"\nservices = [\"files\"]",
            "no words for files",
        ),
        (
            "dialect = \"course-struct\"\nreply = true",
            "`reply` does not go with",
        ),
        (
            "dialect = [\"course-login\", \"course-exec\"]",
            "needs the service login",
        ),
        (
            "dialect = [\"course-exec\", \"course-login\"]",
            "course-login and one of",
        ),
        (
            "dialect = [\"course-login\", \"course-files\"]",
            "stands alone",
        ),
        (
            "dialect = \"course-transfer\"\nform = \"download\"",
            "needs `file`",
        ),
        (
            "dialect = \"course-transfer\"\nform = \"download\"\nfile = \"../x\"",
            "`file` is no file's name",
        ),
        (
            "dialect = \"course-files\"\nkeys = { filename = \"op\" }",
            "`op`",
        ),
        (
            "dialect = \"course-files\"\nkeys = { filename = \"md5\" }",
            "`md5`",
        ),
        (
            "dialect = \"course-files\"\nkeys = { md5 = \"\" }",
            "an empty name",
        ),
        ("hmac = \"key\"", "secret_file"),
        (
            "hmac = { secret_file = \"k\" }\nhmac_mutual = { secret_file = \"k\" }",
            "only one",
        ),
    ] {
        let text = format!("{files}[[listen]]\naddress = \"tcp://127.0.0.1:0\"\n{guest}\n{line}\n");
        let output = Place::new(&text).run(["--check"], "");
        assert!(!output.status.success(), "{line}");
        assert!(told(&output).contains(reason), "{line}: {}", told(&output));
    }
    let udp = format!("[[listen]]\naddress = \"udp://127.0.0.1:1\"\n{guest}\n");
    let output = Place::new(&udp).run(["--check"], "");
    assert!(
        told(&output).contains("tcp://ADDRESS:PORT"),
        "{}",
        told(&output)
    );
    let small = format!(
        "[limits]\nframe_before_login = 0\n[[listen]]\naddress = \"tcp://127.0.0.1:0\"\n{guest}\n"
    );
    let output = Place::new(&small).run(["--check"], "");
    assert!(
        told(&output).contains("frame_before_login"),
        "{}",
        told(&output)
    );
}
