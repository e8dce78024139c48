//! What `docs/speak-it.md` tells people to type works as it says: its configuration, its session, and
//! its Python.

mod common;

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, TcpStream},
    path::Path,
    process::Command,
};

use common::{Framed, PATIENCE, Place, run, told};
use framing::serve::Address;

/// The blocks of a kind in the page.
fn blocks(kind: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/speak-it.md");
    let text = fs::read_to_string(path).unwrap();
    let fence = format!("```{kind}\n");
    let blocks = text.split(&fence).skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

/// The server of the page, with its account, on a port of the system's choice.
fn start() -> (Place, Framed, u16) {
    let config = &blocks("toml")[0];
    assert!(config.contains("127.0.0.1:8004"), "{config}");
    let place = Place::new(&config.replace("127.0.0.1:8004", "127.0.0.1:0"));
    let added = place.run(["account", "add", "alice"], "secret-word\n");
    assert!(added.status.success(), "{}", told(&added));
    let server = place.start();
    let Address::Tcp(address) = *server.address() else {
        panic!("{:?}", server.address());
    };
    (place, server, address.port())
}

/// A person at `nc`.
struct Person {
    lines: BufReader<TcpStream>,
}

impl Person {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            lines: BufReader::new(stream),
        }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.lines.get_mut(), "{line}").unwrap();
    }

    fn sees(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }
}

#[test]
fn a_person_at_nc_sees_what_the_page_shows() {
    let (place, _server, port) = start();
    let blocks = blocks("text");
    let mut person = Person::connect(port);
    let (mut typed, mut seen) = (0, 0);
    for line in blocks[0].lines() {
        if line.contains("\"verb\"") {
            person.types(line);
            typed += 1;
        } else {
            assert_eq!(person.sees(), line);
            seen += 1;
        }
    }
    assert_eq!((typed, seen), (2, 4));

    for line in blocks[1].lines() {
        person.types(line);
    }
    let stored = person.sees();
    assert!(stored.contains(r#"{"status":"ok""#), "{stored}");
    assert_eq!(fs::read(place.join("files/hello.txt")).unwrap(), b"hello\n");

    // A mistake in the arguments, and one in the head.
    person.types(r#"{"verb":"list","args":{"x":1}}"#);
    assert!(person.sees().contains("bad-request"));
    person.types(r#"{"verb":"ping"}"#);
    assert_eq!(person.sees(), r#"{"status":"ok"}"#);
    person.types(r#"{"verb":"ping","arg":{}}"#);
    assert!(person.sees().contains("bad-request"));
    assert_eq!(person.sees(), "", "the end");
}

#[test]
fn a_script_at_nc_gets_its_answer_and_then_the_end() {
    let (_place, _server, port) = start();
    let mut script = Person::connect(port);
    script.types(r#"{"verb":"ping"}"#);
    script.lines.get_mut().shutdown(Shutdown::Write).unwrap();
    assert_eq!(script.sees(), r#"{"status":"ok"}"#);
    assert_eq!(script.sees(), "", "the end");
}

#[test]
fn the_python_of_the_page_prints_what_the_page_shows() {
    if Command::new("python3").arg("--version").output().is_err() {
        // Written past the test harness, which would swallow it.
        writeln!(io::stderr(), "SKIPPED: there is no python3 here").unwrap();
        return;
    }
    let (place, _server, port) = start();
    let script = place.join("speak.py");
    fs::write(&script, &blocks("python")[0]).unwrap();
    let mut python = Command::new("python3");
    python.arg(script).arg(port.to_string());
    let output = run(python, "");
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), blocks("text")[2]);
}
