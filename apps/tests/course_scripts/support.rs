//! `framed` with a listener for every dialect, and scripts as its clients or as servers.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{LazyLock, mpsc},
    thread,
};

use framing::serve::Address;

use crate::common::{Framed, PATIENCE, Place, run};

/// Every dialect, each on a port of its own, in the order of [`NAMES`].
pub(crate) const CONFIG: &str = r#"
[accounts]
file = "accounts.txt"

[files]
root = "files"

[exec]
allow = ["cat", "echo", "head", "ls", "true"]
shell = true
timeout = "10s"

[clock]
every = "200ms"
format = "%H:%M:%S"

[[listen]]
address = "tcp://127.0.0.1:0"
dialect = "course-login"

[[listen]]
address = "tcp://127.0.0.1:0"
dialect = ["course-login", "course-exec"]

[[listen]]
address = "tcp://127.0.0.1:0"
dialect = "course-exec"
identity = { name = "guest", rights = ["exec"] }

[[listen]]
address = "tcp://127.0.0.1:0"
dialect = "course-exec"
encoding = "gbk"
stderr = "drop"
identity = { name = "guest", rights = ["shell"] }

[[listen]]
address = "tcp://127.0.0.1:0"
dialect = "course-struct"
identity = { name = "guest", rights = ["exec"] }

[[listen]]
address = "tcp://127.0.0.1:0"
dialect = "course-struct"
form = "answer"
identity = { name = "guest", rights = ["exec"] }

[[listen]]
address = "tcp://127.0.0.1:0"
dialect = "course-transfer"
reply = true
identity = { name = "guest", rights = ["write"] }

[[listen]]
address = "tcp://127.0.0.1:0"
dialect = "course-transfer"
keys = { filename = "file_name", filesize = "file_size", md5 = "MD5" }
identity = { name = "guest", rights = ["write"] }

[[listen]]
address = "tcp://127.0.0.1:0"
dialect = "course-transfer"
form = "download"
file = "课.bin"
identity = { name = "guest", rights = ["read"] }

[[listen]]
address = "tcp://127.0.0.1:0"
dialect = "course-transfer"
form = "ack"
identity = { name = "guest", rights = ["read"] }

[[listen]]
address = "tcp://127.0.0.1:0"
dialect = "course-files"

[[listen]]
address = "tcp://127.0.0.1:0"
dialect = "course-clock"
identity = { name = "guest", rights = [] }

[[listen]]
address = "tcp://127.0.0.1:0"
identity = { name = "guest", rights = ["exec"] }

[[listen]]
address = "tcp://127.0.0.1:0"
dialect = "course-login"
max_connections = 1

[[listen]]
address = "tcp://127.0.0.1:0"
dialect = "course-exec"
identity = { name = "guest", rights = ["read", "write"] }
"#;

const NAMES: [&str; 15] = [
    "login",
    "login-exec",
    "exec",
    "gbk",
    "both",
    "answer",
    "reply",
    "keys",
    "download",
    "ack",
    "files",
    "clock",
    "native",
    "one",
    "no-right",
];

/// Whether there is a `python3`; says so if there is none.
#[allow(
    clippy::explicit_write,
    reason = "the test harness swallows what `eprintln` writes"
)]
pub(crate) fn has_python() -> bool {
    let there = Command::new("python3").arg("--version").output().is_ok();
    if !there {
        writeln!(io::stderr(), "SKIPPED: there is no python3 here").unwrap();
    }
    there
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/course_scripts")
        .join(name)
}

/// The whole server.
pub(crate) struct Course {
    pub(crate) server: Framed,
    pub(crate) place: Place,
}

impl Course {
    pub(crate) fn start() -> Self {
        let place = Place::new(CONFIG);
        let accounts = place.join("accounts.txt");
        fs::write(&accounts, "alex|dsb\n\negon|123\n").unwrap();
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(accounts, fs::Permissions::from_mode(0o600)).unwrap();
        let server = place.start();
        Self { server, place }
    }

    pub(crate) fn port(&self, name: &str) -> u16 {
        let index = NAMES.iter().position(|known| *known == name).unwrap();
        match self.server.addresses[index] {
            Address::Tcp(address) => address.port(),
            ref other => panic!("{other}"),
        }
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("tcp://127.0.0.1:{}", self.port(name))
    }

    fn command(&self, system: &str, listener: &str, words: &[&str]) -> Command {
        let mut command = Command::new("python3");
        command.arg(script("client.py")).arg(system);
        command.arg(self.port(listener).to_string()).args(words);
        command.current_dir(self.place.path());
        command
    }

    /// Runs a script to its end, which must be a good one; the lines that it printed.
    pub(crate) fn client(&self, system: &str, listener: &str, words: &[&str]) -> Vec<String> {
        let output = run(self.command(system, listener, words), "");
        assert!(output.status.success(), "{system} {words:?}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Starts a script and lets it run.
    pub(crate) fn spawn(&self, system: &str, listener: &str, words: &[&str]) -> Script {
        Script::start(self.command(system, listener, words))
    }
}

/// A script that runs; killed when dropped.
pub(crate) struct Script {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Script {
    /// A server of the course's kind in this folder, and its port.
    pub(crate) fn server(folder: &Path, system: &str, words: &[&str]) -> (Self, String) {
        let mut command = Command::new("python3");
        command.arg(script("server.py")).arg(system).args(words);
        command.current_dir(folder);
        let script = Self::start(command);
        let port = script.line();
        (script, format!("tcp://127.0.0.1:{port}"))
    }

    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout: BufReader<ChildStdout> = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    /// The next line that it prints.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("it prints a line")
    }

    /// The lines that it has printed and nobody has read.
    pub(crate) fn printed(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Whether a line comes within a moment.
    pub(crate) fn is_silent(&self) -> bool {
        self.lines
            .recv_timeout(std::time::Duration::from_millis(300))
            .is_err()
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As the scripts show what they have read.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut command = Command::new("python3");
    command.args([
        "-c",
        "import hashlib,sys; d=sys.stdin.buffer.read(); print(len(d), hashlib.md5(d).hexdigest())",
    ]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The sizes that count.
pub(crate) const SIZES: [usize; 6] = [0, 1, 1024, 1025, 65_536, 10 << 20];

/// Bytes that repeat themselves nowhere near.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut noise = Vec::with_capacity(SIZES[5]);
        while noise.len() < SIZES[5] {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            noise.extend_from_slice(&state.to_ne_bytes());
        }
        noise
    });
    NOISE[..length].to_vec()
}
