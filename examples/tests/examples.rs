//! Every example is declared, run by its own test, and begins with its command; and the Python
//! client talks to a real server.

use std::{
    convert::Infallible,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use framing::serve::{Listener, Tcp, serve_with};
use services::{
    Session, Unsupported,
    exec::{Allow, Exec, ProcessSpawner},
    files::{Files, MemoryStore},
    login::{Authenticator, LoginLayer, MemoryAccounts, Password, Right},
    native::NativeServer,
};
use tokio::{process::Command, time::timeout};
use tower::{ServiceBuilder, service_fn};

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_example_is_declared_tested_and_begins_with_its_command() {
    let manifest: toml::Table = fs::read_to_string(folder().join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let declared: Vec<_> = manifest["example"].as_array().unwrap().iter().collect();
    let mut found = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension() != Some("rs".as_ref()) {
            continue;
        }
        found += 1;
        let name = path.file_stem().unwrap().to_str().unwrap();
        let example = declared
            .iter()
            .find(|example| example["name"].as_str() == Some(name));
        let example = example.unwrap_or_else(|| panic!("{name} is not declared"));
        let tested = example.get("test").and_then(toml::Value::as_bool);
        assert_eq!(tested, Some(true), "{name} is not run by a test");

        let text = fs::read_to_string(&path).unwrap();
        let command = format!("//! cargo run --release --example {name}");
        let mut lines = text.lines();
        let first = lines.next().unwrap();
        assert!(first.starts_with(&command), "{name} begins with {first}");
        assert_eq!(lines.next(), Some("//!"), "{name}");
        let sentence = lines.next().unwrap();
        assert!(sentence.starts_with("//! "), "{name}: {sentence}");
        assert!(text.contains("#[test]"), "{name} has no test");
    }
    assert_eq!(found, declared.len());
}

const PASSWORD: &str = "correct horse";

/// A server on loopback with everything that the Python client can ask for; returns its address.
async fn start() -> String {
    let everything = [Right::Exec, Right::Read, Right::Write];
    let password = Password::new(PASSWORD).unwrap();
    let accounts = MemoryAccounts::new()
        .with("alice", password, everything)
        .unwrap();
    let allow = Allow::new(["echo", "ls", "seq", "false"]).unwrap();
    let stack = ServiceBuilder::new()
        .layer(LoginLayer::new(Authenticator::new(accounts)))
        .layer(Exec::new(ProcessSpawner::new("/"), allow).into_layer())
        .layer(Files::new(MemoryStore::new()).into_layer())
        .service(Unsupported);
    let make = service_fn(move |_: Session| std::future::ready(Ok::<_, Infallible>(stack.clone())));
    let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().to_string();
    let server = NativeServer::new(make).before_login(8 * 1024, Duration::from_secs(10));
    tokio::spawn(serve_with(listener, server).into_future());
    address.strip_prefix("tcp://").unwrap().to_owned()
}

/// Runs the Python client: exit code, standard output, standard error.
struct Python {
    server: String,
    folder: PathBuf,
}

impl Python {
    async fn run(&self, password: &str, words: &[&str]) -> (i32, Vec<u8>, String) {
        let child = Command::new("python3")
            .arg(folder().join("python/client.py"))
            .args(["--server", &self.server, "--user", "alice"])
            .args(words)
            .env("FRAME_PASSWORD", password)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(Duration::from_secs(30), child)
            .await
            .expect("the client does not end")
            .unwrap();
        let code = output.status.code().expect("the client was killed");
        (
            code,
            output.stdout,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }
}

#[tokio::test]
async fn the_python_client_logs_in_runs_a_command_and_moves_a_file_both_ways() {
    let version = Command::new("python3").arg("--version").output().await;
    if version.is_err() {
        // Written past the test harness, which would swallow it.
        writeln!(io::stderr(), "SKIPPED: there is no python3 here").unwrap();
        return;
    }
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let _ = fs::remove_dir_all(&scratch);
    let (here, there) = (scratch.join("here"), scratch.join("there"));
    fs::create_dir_all(&here).unwrap();
    fs::create_dir_all(&there).unwrap();
    let server = start().await;
    let python = |folder| Python {
        server: server.clone(),
        folder,
    };
    let (here, there) = (python(here), python(there));

    let (code, _, told) = here.run("guess", &["exec", "echo", "in"]).await;
    assert_eq!(code, 1);
    assert!(told.contains("wrong-credentials"), "{told}");

    let (code, out, told) = here
        .run(PASSWORD, &["exec", "--", "echo", "$(id)", "世界"])
        .await;
    assert_eq!((code, told.as_str()), (0, ""));
    assert_eq!(out, "$(id) 世界\n".as_bytes());

    let (code, out, _) = here.run(PASSWORD, &["exec", "seq", "200000"]).await;
    let expected: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
    assert!(code == 0 && out == expected.as_bytes(), "a long output");

    let (code, out, told) = here.run(PASSWORD, &["exec", "ls", "/no such folder"]).await;
    assert_eq!((code, out.as_slice()), (2, &b""[..]));
    assert!(told.contains("no such folder"), "{told}");

    let (code, _, told) = here.run(PASSWORD, &["exec", "--", "rm", "-rf", "x"]).await;
    assert_eq!(code, 1);
    assert!(told.contains("not-allowed"), "{told}");

    // A file with every byte, longer than a chunk, with a name that needs care.
    let name = "日 记.bin";
    let content: Vec<u8> = (0..1_000_003u32).map(|i| (i * 31 % 257) as u8).collect();
    fs::write(here.folder.join(name), &content).unwrap();
    let (code, out, told) = here.run(PASSWORD, &["put", name]).await;
    assert_eq!((code, told.as_str()), (0, ""));
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("1000003 bytes"), "{out}");

    let (code, _, told) = here.run(PASSWORD, &["put", name]).await;
    assert_eq!(code, 1);
    assert!(told.contains("already-exists"), "{told}");

    let (code, _, told) = there.run(PASSWORD, &["get", name]).await;
    assert_eq!((code, told.as_str()), (0, ""));
    assert!(fs::read(there.folder.join(name)).unwrap() == content);
    assert_eq!(
        fs::read_dir(&there.folder).unwrap().count(),
        1,
        "no part is left"
    );

    let (code, _, told) = there.run(PASSWORD, &["get", "nothing"]).await;
    assert_eq!(code, 1);
    assert!(told.contains("not-found"), "{told}");
    fs::remove_dir_all(&scratch).unwrap();
}
