//! `chat` in each of its roles, with pipes for a person, and with a real `python3` on the other end.

mod common;

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, UdpSocket},
    path::Path,
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use common::{PATIENCE, run, told};
use tempfile::TempDir;

/// The program, with nothing of the outside in its environment but a place for its state.
fn chat(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
    for name in [
        "RUST_LOG",
        "LC_ALL",
        "LC_MESSAGES",
        "LANG",
        "NO_COLOR",
        "HOME",
    ] {
        command.env_remove(name);
    }
    command.env("XDG_STATE_HOME", folder).args(words);
    command
}

/// A program that runs, whose lines are read one by one; killed when dropped.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    notes: mpsc::Receiver<String>,
}

fn lines_of(stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            if line.is_err() || sender.send(line.unwrap()).is_err() {
                break;
            }
        }
    });
    lines
}

impl Running {
    fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self {
            stdin: child.stdin.take(),
            lines: lines_of(child.stdout.take().unwrap()),
            notes: lines_of(child.stderr.take().unwrap()),
            child,
        }
    }

    /// One that listens, and where.
    fn listening(command: Command) -> (Self, SocketAddr) {
        let running = Self::start(command);
        let line = running.line();
        let address = line.strip_prefix("listening on udp://").expect(&line);
        let address = address.split(' ').next().unwrap().parse().unwrap();
        (running, address)
    }

    fn types(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        stdin.flush().unwrap();
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line")
    }

    fn note(&self) -> String {
        self.notes.recv_timeout(PATIENCE).expect("a note")
    }

    /// Closes its input, waits for its end, and gives its exit code.
    fn end(mut self) -> i32 {
        drop(self.stdin.take());
        for _ in 0..PATIENCE.as_millis() / 10 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end");
    }

    fn interrupt(&self) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // If it has ended already, that is what was wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn python() -> bool {
    let found = Command::new("python3").arg("--version").output().is_ok();
    if !found {
        // Written past the test harness, which would swallow it.
        let mut out = io::stderr();
        writeln!(out, "SKIPPED: there is no python3 here").unwrap();
    }
    found
}

/// The course's client: sends what is typed, then waits for one answer and prints it.
const CLIENT: &str = r#"
import socket, sys
sk = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sk.settimeout(20)
for line in sys.stdin:
    sk.sendto(line.rstrip('\n').encode('utf-8'), ('127.0.0.1', int(sys.argv[1])))
    msg, addr = sk.recvfrom(1024)
    print(msg.decode('utf-8'), flush=True)
"#;

/// The course's server: prints what comes, asks its user, and answers whoever wrote.
const SERVER: &str = r#"
import socket
sk = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sk.settimeout(20)
sk.bind(('127.0.0.1', 0))
print(sk.getsockname()[1], flush=True)
while True:
    msg, addr = sk.recvfrom(1024)
    print(msg.decode('utf-8'), flush=True)
    answer = input()
    sk.sendto(answer.encode('utf-8'), addr)
"#;

fn script(folder: &Path, text: &str) -> Command {
    let path = folder.join(format!("{}.py", text.len()));
    fs::write(&path, text).unwrap();
    let mut command = Command::new("python3");
    command.arg(path).env("PYTHONIOENCODING", "utf-8");
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn svc_g16_the_courses_client_is_answered_by_a_person_for_many_rounds() {
    if !python() {
        return;
    }
    let folder = folder();
    let words = ["listen", "--bind", "127.0.0.1:0", "--lang", "zh"];
    let (mut ours, address) = Running::listening(chat(folder.path(), &words));
    let port = address.port().to_string();
    let start = || {
        let mut client = script(folder.path(), CLIENT);
        client.arg(&port);
        Running::start(client)
    };
    let mut clients = [start(), start()];
    for round in 0..40 {
        let client = &mut clients[round % 2];
        let text = ["你好，今天怎么样？", "hello", "a|b \\ \"quoted\"", "🦀"][round % 4];
        client.types(text);
        let line = ours.line();
        let (from, shown) = line.split_once("]的一条消息:").expect(&line);
        assert!(from.starts_with("来自[127.0.0.1:"), "{line}");
        assert_eq!(shown, text);
        // To whoever wrote last.
        let answer = format!("第 {round} 次回答");
        ours.types(&answer);
        assert_eq!(client.line(), answer);
    }
    // Both wait for an answer; the first is chosen by its number.
    clients[0].types("one");
    ours.line();
    clients[1].types("two");
    ours.line();
    ours.types("/to 1 to the first");
    assert_eq!(clients[0].line(), "to the first");
    ours.types("to the last");
    assert_eq!(clients[1].line(), "to the last");
    ours.interrupt();
    assert_eq!(ours.end(), 0);
}

#[test]
fn svc_g16_the_courses_server_is_written_to_for_many_rounds() {
    if !python() {
        return;
    }
    let folder = folder();
    let mut server = Running::start(script(folder.path(), SERVER));
    let port = server.line();
    let contacts = folder.path().join("contacts.toml");
    fs::write(
        &contacts,
        format!("Jack = \"127.0.0.1:{port}\"\n\"小明\" = \"127.0.0.1:{port}\"\n"),
    )
    .unwrap();
    let words = ["to", "--directory", contacts.to_str().unwrap()];
    let mut ours = Running::start(chat(folder.path(), &words));
    assert!(ours.note().contains("there are: Jack, 小明"));
    ours.types("nobody");
    assert!(
        ours.note()
            .contains("nobody is called nobody here; there are: Jack, 小明")
    );
    for round in 0..20 {
        ours.types(["Jack", "小明"][round % 2]);
        assert!(ours.note().contains("q asks again"));
        let text = format!("消息 {round}");
        // An empty line is not sent.
        ours.types("");
        ours.types(&text);
        assert_eq!(server.line(), text);
        let answer = ["好", "fine"][round % 2];
        server.types(answer);
        assert_eq!(
            ours.line(),
            format!("A message from [127.0.0.1:{port}]: {answer}")
        );
        ours.types("q");
        assert!(ours.note().contains("whom do you want to talk to"));
    }
    ours.types("q");
    assert_eq!(ours.end(), 0);
}

#[test]
fn svc_g16_a_script_as_both_persons() {
    if !python() {
        return;
    }
    let folder = folder();
    // Lines of a pipe that come first each answer one message.
    let words = ["listen", "--bind", "127.0.0.1:0", "--count", "3"];
    let (mut ours, address) = Running::listening(chat(folder.path(), &words));
    for answer in ["一", "二", "三"] {
        ours.types(answer);
    }
    drop(ours.stdin.take());
    let mut client = script(folder.path(), CLIENT);
    client.arg(address.port().to_string());
    let output = run(client, "a\nb\nc\n");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "一\n二\n三\n",
        "{}",
        told(&output)
    );
    for text in ["a", "b", "c"] {
        assert!(ours.line().ends_with(&format!("]: {text}")));
    }
    assert_eq!(ours.end(), 0);
}

#[test]
fn svc_g7_g9_what_comes_over_the_limit_or_cut_is_shown_with_a_note_and_nothing_acts_on_the_terminal()
 {
    let folder = folder();
    let (ours, address) =
        Running::listening(chat(folder.path(), &["listen", "--bind", "127.0.0.1:0"]));
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let cut = &"语".repeat(400).into_bytes()[..1024];
    let long = "x".repeat(3000);
    for (datagram, shown, noted) in [
        (&b"hello"[..], "hello", None),
        (
            cut,
            &*format!("{}\u{fffd}", "语".repeat(341)),
            Some("cut it inside the character at byte 1023"),
        ),
        (
            long.as_bytes(),
            &*long,
            Some("3000 bytes, where plain peers read 1024 at most"),
        ),
        (
            b"\xff\xfe",
            "\u{fffd}\u{fffd}",
            Some("not UTF-8 from byte 0 on"),
        ),
        (b"\x1b[2J\r\nx", r"\u{1b}[2J\r\nx", None),
        (b"", "", None),
    ] {
        peer.send_to(datagram, address).unwrap();
        let line = ours.line();
        assert!(line.ends_with(&format!("]: {shown}")), "{line}");
        if let Some(noted) = noted {
            let note = ours.note();
            assert!(note.contains(noted), "{note}");
        } else if shown == "hello" {
            assert!(ours.note().starts_with("[1] is 127.0.0.1:"));
        }
    }
    assert!(ours.notes.try_recv().is_err());
}

#[test]
fn svc_g7_a_line_over_the_limit_is_refused_with_its_size_and_never_cut() {
    let folder = folder();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = peer.local_addr().unwrap().to_string();
    let input = format!(
        "{}\n{}\n{}\n",
        "x".repeat(1025),
        "语".repeat(342),
        "y".repeat(1024)
    );
    let output = run(
        chat(folder.path(), &["to", &address, "--for", "300ms"]),
        &input,
    );
    assert!(output.status.success(), "{}", told(&output));
    let notes = told(&output);
    assert!(
        notes.contains("the message has 1025 bytes; plain peers read 1024 at most"),
        "{notes}"
    );
    assert!(notes.contains("the message has 1026 bytes"), "{notes}");
    let mut buffer = [0; 2000];
    let (size, _) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!(
        &buffer[..size],
        "y".repeat(1024).as_bytes(),
        "the one that fits, and it alone"
    );
}

#[test]
fn svc_g8_nobody_there_is_said_and_is_not_the_end() {
    let folder = folder();
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let mut ours = Running::start(chat(folder.path(), &["to", &address.to_string()]));
    ours.note();
    ours.types("anybody?");
    assert_eq!(ours.note(), format!("nobody listens at {address}"));
    let back = UdpSocket::bind(address).unwrap();
    back.set_read_timeout(Some(PATIENCE)).unwrap();
    ours.types("and now?");
    let mut buffer = [0; 100];
    let (size, from) = back.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..size], b"and now?");
    back.send_to(b"here", from).unwrap();
    assert!(ours.line().ends_with(": here"));
    assert_eq!(ours.end(), 0);

    // A script is told by the exit code.
    drop(back);
    let output = run(
        chat(folder.path(), &["to", &address.to_string()]),
        "hello\n",
    );
    assert_eq!(output.status.code(), Some(69), "{}", told(&output));
}

fn directory(folder: &Path, more: &[&str]) -> (Running, String) {
    let words = [&["serve", "--bind", "127.0.0.1:0"], more].concat();
    let (server, address) = Running::listening(chat(folder, &words));
    (server, address.to_string())
}

#[test]
fn two_members_of_a_directory_write_to_each_other() {
    let folder = folder();
    let (server, at) = directory(folder.path(), &[]);
    let join = |name| Running::start(chat(folder.path(), &["join", name, "--server", &at]));
    let (mut alice, mut bob) = (join("alice"), join("bob"));
    assert!(alice.note().contains("you are alice"));
    assert!(bob.note().contains("you are bob"));
    alice.types("@bob 你好");
    assert_eq!(bob.line(), "A message from [alice]: 你好");
    for round in 0..20 {
        // To whom one heard from last.
        bob.types(&format!("answer {round}"));
        assert_eq!(
            alice.line(),
            format!("A message from [bob]: answer {round}")
        );
        let long = format!("{round} {}", "x".repeat(round * 300));
        alice.types(&long);
        assert_eq!(bob.line(), format!("A message from [alice]: {long}"));
    }
    alice.types("/who");
    assert_eq!(alice.note(), "here: alice, bob");
    alice.types(&format!("@bob {}", "x".repeat(8193)));
    assert!(
        alice
            .note()
            .contains("the message has 8193 bytes; 8192 are allowed")
    );
    alice.types("@nobody hello");
    assert_eq!(
        alice.note(),
        "not delivered to nobody: nobody has that name: hello"
    );
    assert_eq!(bob.end(), 0);
    server.interrupt();
    assert_eq!(server.end(), 0);
}

#[test]
fn a_script_learns_whether_its_messages_were_delivered() {
    let folder = folder();
    let (_server, at) = directory(folder.path(), &[]);
    let bob = Running::start(chat(
        folder.path(),
        &["join", "bob", "--server", &at, "--count", "100"],
    ));
    bob.note();
    let input: String = (0..100).map(|round| format!("message {round}\n")).collect();
    let words = ["join", "alice", "--server", &at, "--to", "bob"];
    let output = run(chat(folder.path(), &words), &input);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    for round in 0..100 {
        assert_eq!(
            bob.line(),
            format!("A message from [alice]: message {round}")
        );
    }
    assert_eq!(bob.end(), 0);
    let output = run(chat(folder.path(), &words), "@nobody hello\n");
    assert_eq!(output.status.code(), Some(69), "{}", told(&output));
}

#[test]
fn svc_g3_a_name_needs_its_token_also_after_a_restart() {
    let folder = folder();
    let names = folder.path().join("names.txt");
    let keeping = ["--names", names.to_str().unwrap()];
    let (server, at) = directory(folder.path(), &keeping);
    let output = run(chat(folder.path(), &["join", "alice", "--server", &at]), "");
    assert!(output.status.success(), "{}", told(&output));
    let token = folder.path().join(format!("chat/alice@{at}.token"));
    let mode = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode(&token), 0o600);

    let thief = folder.path().join("thief.token");
    let steal = |name, at: &str| {
        let words = [
            "join",
            name,
            "--server",
            at,
            "--token-file",
            thief.to_str().unwrap(),
        ];
        run(chat(folder.path(), &words), "")
    };
    let refused = |output: &Output| {
        assert_eq!(output.status.code(), Some(77), "{}", told(output));
        told(output)
    };
    assert!(refused(&steal("alice", &at)).contains("the name alice is taken"));
    assert!(refused(&steal("Alice", &at)).contains("looks like alice"));
    server.interrupt();
    assert_eq!(server.end(), 0);

    assert_eq!(mode(&names), 0o600);
    let kept = fs::read_to_string(&names).unwrap();
    assert!(
        kept.starts_with("alice ") && !kept.contains(fs::read_to_string(&token).unwrap().trim())
    );
    let (_server, at) = directory(folder.path(), &keeping);
    assert!(refused(&steal("alice", &at)).contains("the name alice is taken"));
    let words = [
        "join",
        "alice",
        "--server",
        &at,
        "--token-file",
        token.to_str().unwrap(),
    ];
    let output = run(chat(folder.path(), &words), "");
    assert!(output.status.success(), "{}", told(&output));

    // A token that others can read is none.
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused(&run(chat(folder.path(), &words), "")).contains("chmod 600"));
}

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    let folder = folder();
    let bad = folder.path().join("bad.toml");
    fs::write(&bad, "Jack = 8081\n").unwrap();
    let bad = bad.to_str().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (words, code, what) in [
        (
            &["to", "nobody"][..],
            64,
            "there are: taibai, Jedan, Jack, John",
        ),
        (&["to", "--directory", "missing.toml"], 66, "missing.toml"),
        (&["to", "--directory", bad], 65, "needs an address such as"),
        (&["listen", "--bind", "0.0.0.0:0"], 64, "--expose allows it"),
        (&["serve", "--bind", "0.0.0.0:0"], 64, "--expose allows it"),
        (
            &["listen", "--bind", &taken],
            69,
            "--bind ADDRESS names another one",
        ),
        (
            &["join", "two words"],
            64,
            "begins with a letter or a digit",
        ),
        (
            &[
                "join", "alice", "--server", &taken, "--for", "200ms", "--count", "1",
            ],
            69,
            "only 0 of 1 messages",
        ),
        (&["shout"], 64, "unrecognized subcommand"),
    ] {
        let output = run(chat(folder.path(), words), "");
        assert_eq!(
            output.status.code(),
            Some(code),
            "{words:?}: {}",
            told(&output)
        );
        assert!(told(&output).contains(what), "{words:?}: {}", told(&output));
    }
    for words in [
        &["completions", "bash"][..],
        &["man"],
        &["--help"],
        &["listen", "--help"],
    ] {
        let output = run(chat(folder.path(), words), "");
        assert!(
            output.status.success() && output.stdout.len() > 500,
            "{words:?}"
        );
    }
}

#[test]
fn a_client_in_python_written_after_the_page_speaks_to_ours() {
    if !python() {
        return;
    }
    let folder = folder();
    let (_server, at) = directory(folder.path(), &[]);
    let mut bob = Running::start(chat(folder.path(), &["join", "bob", "--server", &at]));
    bob.note();
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/python/chat.py");
    for round in 0..3 {
        let mut python = Command::new("python3");
        python
            .arg(&client)
            .args([&at, &format!("carol{round}"), "bob", "你好 \"bob\""]);
        python.env("PYTHONIOENCODING", "utf-8");
        let carol = Running::start(python);
        assert_eq!(
            bob.line(),
            format!("A message from [carol{round}]: 你好 \"bob\"")
        );
        assert_eq!(carol.line(), "shown");
        let long = "长".repeat(2000);
        bob.types(&long);
        assert_eq!(carol.line(), format!("bob: '{long}'"));
        assert_eq!(carol.end(), 0);
    }
    assert_eq!(bob.end(), 0);
}

/// A person at a terminal: types half a line, is written to, types the rest, and presses Ctrl-C.
const PERSON: &str = r#"
import os, pty, select, socket, sys, termios, time
pid, fd = pty.fork()
if pid == 0:
    os.execvpe(sys.argv[1], [sys.argv[1], 'listen', '--bind', '127.0.0.1:0'], dict(os.environ, TERM='xterm'))
seen = b''
def until(mark):
    global seen
    end = time.monotonic() + 15
    while mark not in seen:
        assert time.monotonic() < end, (mark, seen)
        if select.select([fd], [], [], 0.1)[0]:
            seen += os.read(fd, 65536)
    rest = seen.split(mark, 1)[1]
    seen = b''
    return rest
modes = termios.tcgetattr(fd)
port = b''
start = until(b'listening on udp://127.0.0.1:')
seen = start
end = time.monotonic() + 15
while b'> ' not in seen and time.monotonic() < end:
    seen += os.read(fd, 65536)
port = int(seen.split(b'\r')[0])
seen = b''
peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
peer.settimeout(15)
os.write(fd, b'half a li')
until(b'half a li')
peer.sendto(b'hello', ('127.0.0.1', port))
until(b']: \x1b[1;44mhello\x1b[0m\r\n')
# The prompt and what was typed stand below it again.
seen = b''
os.write(fd, b'ne\r')
assert peer.recv(100) == b'half a line'
os.write(fd, b'\x03')
assert os.waitpid(pid, 0)[1] == 0
assert termios.tcgetattr(fd) == modes, 'the terminal is not as it was'
print('all is well')
"#;

#[test]
fn at_a_terminal_a_message_does_not_tear_the_line_that_is_typed() {
    if !python() {
        return;
    }
    let folder = folder();
    let mut person = script(folder.path(), PERSON);
    person
        .arg(env!("CARGO_BIN_EXE_chat"))
        .env_remove("NO_COLOR")
        .env("LC_ALL", "C.UTF-8");
    let output = run(person, "");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "all is well\n",
        "{}",
        told(&output)
    );
}

/// The commands of a page, block by block.
fn commands(page: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(page);
    let text = fs::read_to_string(path).unwrap();
    let blocks = text.split("```sh\n").skip(1);
    blocks
        .map(|block| {
            block
                .split("```")
                .next()
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect()
        })
        .collect()
}

#[test]
fn every_command_of_the_pages_works_as_it_stands() {
    let blocks = commands("chat.md");
    assert_eq!(
        blocks,
        commands("chat.zh-CN.md"),
        "both pages have the same commands"
    );
    assert_eq!(blocks.len(), 2);
    let folder = folder();
    let program = Path::new(env!("CARGO_BIN_EXE_chat")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let free = || {
        UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string()
    };
    let (plain, server) = (free(), free());
    for block in blocks {
        let start = |line: &String| {
            let line = line
                .replace("127.0.0.1:8081", &plain)
                .replace("127.0.0.1:8090", &server);
            let mut shell = chat(folder.path(), &[]);
            let environment: Vec<_> = shell
                .get_envs()
                .map(|(k, v)| (k.to_owned(), v.map(ToOwned::to_owned)))
                .collect();
            shell = Command::new("sh");
            for (name, value) in environment {
                match value {
                    Some(value) => shell.env(name, value),
                    None => shell.env_remove(name),
                };
            }
            // So that it is the program itself that is ended at the end.
            let line = if line.starts_with("chat ") {
                format!("exec {line}")
            } else {
                line
            };
            shell
                .args(["-c", &line])
                .env("PATH", &path)
                .current_dir(folder.path());
            Running::start(shell)
        };
        let (last, others) = block.split_last().unwrap();
        let mut shown = Vec::new();
        for line in others {
            let running = start(line);
            // Until it is ready.
            if line.contains(" join ") {
                running.note()
            } else {
                running.line()
            };
            shown.push(running);
        }
        let last = start(last);
        let receiver = shown.last().unwrap();
        let line = receiver.line();
        assert!(
            line.starts_with("A message from [") && line.ends_with("]: hello"),
            "{line}"
        );
        assert_eq!(last.end(), 0);
    }
}
