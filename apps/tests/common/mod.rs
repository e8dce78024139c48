//! Starts `framed` in a folder of its own, talks to it, and ends it.

// Each test program uses its own part of this.
#![allow(dead_code)]

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use framing::{Registry, client::dial, serve::Address};
use services::client::Client;
use tempfile::TempDir;

/// No single step of a test takes longer than this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A listener without a login, so that tests with many sessions need not hash.
pub(crate) const EVERYBODY: &str = r#"
[files]
root = "files"

[exec]
allow = ["cat", "echo", "head", "sleep", "true"]
shell = true

[[listen]]
address = "tcp://127.0.0.1:0"
identity = { name = "everybody", rights = ["read", "write", "exec", "shell"] }
"#;

/// A folder with a configuration in it.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    /// A folder that holds `config` as `framed.toml`.
    pub(crate) fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("framed.toml"), config).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.join("framed.toml")
    }

    /// Starts `framed` with the configuration, and waits until it listens.
    pub(crate) fn start(&self) -> Framed {
        let mut command = framed();
        command.arg("--config").arg(self.config());
        self.start_as(command)
    }

    /// Starts `command`, which runs `framed` with the configuration, and waits until it listens.
    pub(crate) fn start_as(&self, command: Command) -> Framed {
        let config = fs::read_to_string(self.config()).unwrap();
        let listeners = config.matches("[[listen]]").count();
        Framed::start(command, self.join("framed.log"), listeners)
            .unwrap_or_else(|told| panic!("framed does not start: {told}"))
    }

    /// Runs `framed` with the configuration and further words to its end.
    pub(crate) fn run<W: AsRef<OsStr>>(
        &self,
        words: impl IntoIterator<Item = W>,
        input: &str,
    ) -> Output {
        let mut command = framed();
        command.arg("--config").arg(self.config()).args(words);
        run(command, input)
    }
}

/// The program, with nothing of the outside in its environment.
pub(crate) fn framed() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_framed"));
    for name in ["FRAMED_CONFIG", "FRAMED_DATA", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

/// Runs a program to its end, with `input` as its standard input.
pub(crate) fn run(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let pid = child.id();
    // A program that does not read has closed the pipe.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(PATIENCE) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            kill(pid, rustix::process::Signal::KILL);
            panic!("{command:?} does not end");
        }
    }
}

/// What a program wrote to standard error.
pub(crate) fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A `framed` that runs; killed when dropped.
pub(crate) struct Framed {
    child: Child,
    /// Kept open, so that a later line does not fail.
    stdout: BufReader<ChildStdout>,
    log: PathBuf,
    /// All it said until it was ready.
    pub(crate) lines: Vec<String>,
    /// Where it listens, in the order of its configuration.
    pub(crate) addresses: Vec<Address>,
}

impl Framed {
    /// Starts `command` and waits until so many listeners have been announced. Its log goes to
    /// `log`. If it ends before, gives all that it said.
    pub(crate) fn start(
        mut command: Command,
        log: PathBuf,
        listeners: usize,
    ) -> Result<Self, String> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(fs::File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let pid = child.id();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let (mut lines, mut left) = (Vec::new(), listeners);
            while left > 0 {
                let mut line = String::new();
                if stdout.read_line(&mut line).unwrap() == 0 {
                    break;
                }
                left -= usize::from(line.starts_with("listening on "));
                lines.push(line.trim_end().to_owned());
            }
            sender.send((stdout, lines, left == 0))
        });
        let Ok((stdout, lines, ready)) = receiver.recv_timeout(PATIENCE) else {
            kill(pid, rustix::process::Signal::KILL);
            panic!("framed neither listens nor ends");
        };
        if !ready {
            child.wait().unwrap();
            let log = fs::read_to_string(log).unwrap();
            return Err(format!("{}\n{log}", lines.join("\n")));
        }
        let address = |line: &String| {
            let rest = line.strip_prefix("listening on ")?;
            Some(rest.split(" (").next()?.parse().unwrap())
        };
        Ok(Self {
            child,
            stdout,
            log,
            addresses: lines.iter().filter_map(address).collect(),
            lines,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn address(&self) -> &Address {
        &self.addresses[0]
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// A client of the first listener, over the framing that is written as in the configuration.
    pub(crate) async fn client(&self, framing: &str) -> Client {
        let framing = Registry::default().parse(framing).unwrap();
        Client::new(dial(self.address()).await.unwrap(), framing.make()).unwrap()
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .unwrap()
            .count()
    }

    /// The time that it has spent on a processor so far.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        kill(self.pid(), rustix::process::Signal::TERM);
    }

    /// Kills it, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "framed does not end: {}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to stop, waits, and gives all that it said after it was ready.
    pub(crate) fn stop(mut self) -> String {
        self.terminate();
        let status = self.wait(PATIENCE);
        assert!(status.success(), "{status}: {}", self.log());
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        rest
    }
}

impl Drop for Framed {
    fn drop(&mut self) {
        // If it has ended already, that is what was wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the log of framed:\n{}", self.log());
        }
    }
}

fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Waits until `holds`; false if it does not in time.
pub(crate) fn wait_until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The children of a process, zombies among them.
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    processes()
        .filter(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields = stat
                .rsplit_once(')')
                .map(|(_, fields)| fields.split_whitespace());
            fields.and_then(|mut fields| fields.nth(1)?.parse().ok()) == Some(parent)
        })
        .collect()
}

/// The processes with `mark` in their command line.
pub(crate) fn processes_with(mark: &str) -> Vec<u32> {
    processes()
        .filter(|pid| {
            // A process may end while it is looked at.
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(mark)
        })
        .collect()
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
