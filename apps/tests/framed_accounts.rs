//! The server program: its first start, and the accounts that it keeps.

mod common;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use common::{Framed, Place, framed, run, told};
use services::login::Password;

/// A server with nothing but accounts and files.
const CONFIG: &str = r#"
[accounts]
file = "accounts.txt"

[files]
root = "files"

[[listen]]
address = "tcp://127.0.0.1:0"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_makes_one_account_and_tells_its_password_once() {
    let place = Place::new(CONFIG);
    let data = place.join("data");
    // Whether the usual ports are free is none of this test's business: the account comes first.
    let start = || {
        let mut command = framed();
        command.arg("--data").arg(&data).current_dir(place.path());
        match Framed::start(command, place.join("first.log"), 3) {
            Ok(server) => {
                let lines = server.lines.join("\n");
                for line in [
                    "listening on tcp://127.0.0.1:8001 (ack-handshake, native: login exec files)",
                    "listening on tcp://127.0.0.1:8002 (struct-header, native: login exec files)",
                    "listening on tcp://127.0.0.1:8003 (delimiter, native: login exec files)",
                ] {
                    assert!(lines.contains(line), "{lines}");
                }
                server.stop();
                lines
            }
            Err(told) => {
                assert!(
                    told.contains("cannot listen on tcp://127.0.0.1:800"),
                    "{told}"
                );
                told
            }
        }
    };
    let lines = start();
    let told = lines
        .lines()
        .find(|line| line.contains("password"))
        .unwrap();
    let password = told.rsplit(' ').next().unwrap().to_owned();
    assert!(told.contains("admin") && password.len() == 20, "{told}");

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    let accounts = data.join("accounts.txt");
    assert_eq!(mode(&accounts), 0o600);
    let text = fs::read_to_string(&accounts).unwrap();
    assert!(text.starts_with("admin|$argon2id$"), "{text}");
    assert!(!text.contains(&password));

    assert!(!start().contains("password"), "it is told once");
    assert_eq!(fs::read_to_string(&accounts).unwrap(), text);

    // What was told lets one in, with the rights that were promised and no others.
    fs::copy(&accounts, place.join("accounts.txt")).unwrap();
    let server = place.start();
    let mut client = server.client("struct-header").await;
    let account = client
        .login("admin", Password::new(password).unwrap())
        .await
        .unwrap();
    let mut rights: Vec<_> = account
        .rights
        .iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    rights.sort();
    assert_eq!(rights, ["exec", "read", "write"]);
    server.stop();
}

#[test]
fn checks_and_account_lists_make_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for words in [&["--check"][..], &["--print-config"], &["account", "list"]] {
        let mut command = framed();
        command.args(words).current_dir(folder.path());
        let output = run(command, "");
        assert_eq!(
            output.status.success(),
            words != ["account", "list"],
            "{words:?}"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{words:?}");
    }
    let mut command = framed();
    command
        .args(["account", "add", "alice"])
        .current_dir(folder.path());
    let output = run(command, "secret\n");
    assert!(output.status.success(), "{}", told(&output));
    let data = folder.path().join("framed-data");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("accounts.txt")), 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_edited_while_the_server_runs() {
    let place = Place::new(CONFIG);
    fs::write(place.join("accounts.txt"), "# people\nbob|Paul0|read\n").unwrap();
    fs::set_permissions(
        place.join("accounts.txt"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    let server = place.start();
    let login = async |name: &str, password: &str| {
        let mut client = server.client("struct-header").await;
        match client.login(name, Password::new(password).unwrap()).await {
            Ok(account) => Some(
                account
                    .rights
                    .iter()
                    .flatten()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>(),
            ),
            Err(error) if error.is_wrong_credentials() => None,
            Err(error) => panic!("{error}"),
        }
    };
    let account = |words: &[&str], input: &str| {
        let output = place.run(["account"].iter().chain(words), input);
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        (output.status.code(), text, told(&output))
    };
    let text = || fs::read_to_string(place.join("accounts.txt")).unwrap();
    let some = |rights: &[&str]| {
        Some(
            rights
                .iter()
                .map(|right| (*right).to_owned())
                .collect::<Vec<_>>(),
        )
    };

    assert_eq!(login("alice", "Xerxes1").await, None);
    let (code, said, error) = account(&["add", "alice", "--rights", "read,shell"], "Xerxes1\n");
    assert_eq!(
        (code, said.as_str(), error.as_str()),
        (
            Some(0),
            &*format!("added alice to {}\n", place.join("accounts.txt").display()),
            ""
        )
    );
    assert_eq!(login("alice", "Xerxes1").await, some(&["read", "shell"]));

    let (code, _, error) = account(&["add", "alice"], "Yvonne2\n");
    assert_eq!(code, Some(1), "{error}");
    assert_eq!(login("alice", "Yvonne2").await, None);

    let (code, _, error) = account(&["passwd", "alice"], "Yvonne2\r\nand more\n");
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert_eq!(login("alice", "Xerxes1").await, None);
    assert_eq!(login("alice", "Yvonne2").await, some(&["read", "shell"]));

    let (code, _, error) = account(&["passwd", "nobody"], "Yvonne2\n");
    assert_eq!(code, Some(1), "{error}");
    let (code, _, error) = account(&["add", "carol"], "");
    assert_eq!(code, Some(1));
    assert!(error.contains("no password"), "{error}");
    let (code, _, error) = account(&["add", "carol", "--rights", "fly"], "x\n");
    assert_eq!(code, Some(64));
    assert!(error.contains("fly") && error.contains("shell"), "{error}");
    let (code, _, error) = account(&["add", "a|b"], "x\n");
    assert_eq!(code, Some(1), "{error}");

    let (_, listed, _) = account(&["list"], "");
    let listed: Vec<_> = listed.lines().collect();
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert!(
        listed[0].starts_with("bob ") && listed[0].contains("plain text"),
        "{listed:?}"
    );
    assert!(
        listed[1].starts_with("alice ") && !listed[1].contains("plain"),
        "{listed:?}"
    );

    assert_eq!(login("bob", "Paul0").await, some(&["read"]));
    let (code, _, error) = account(&["hash"], "");
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(text().starts_with("# people\nbob|$argon2id$"), "{}", text());
    assert_eq!(login("bob", "Paul0").await, some(&["read"]));

    let (code, _, error) = account(&["remove", "alice"], "");
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert_eq!(login("alice", "Yvonne2").await, None);
    let mode = fs::metadata(place.join("accounts.txt"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    // A file that is spoilt while the server runs: it says so, and keeps what it has.
    fs::write(place.join("accounts.txt"), "bob|\n").unwrap();
    assert_eq!(login("bob", "Paul0").await, some(&["read"]));
    assert!(server.log().contains("line 1"), "{}", server.log());
    for secret in ["Paul0", "Xerxes1", "Yvonne2"] {
        assert!(!server.log().contains(secret), "{}", server.log());
    }
    server.stop();
    let (code, _, error) = account(&["list"], "");
    assert_eq!(code, Some(1));
    assert!(error.contains("line 1"), "{error}");
}
