//! Starts this program anew as a child, and looks at what a process has used.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rustix::{
    process::{Resource, getrlimit, setrlimit},
    time::{ClockId, clock_gettime},
};
use serde::de::DeserializeOwned;

/// A server in a process of its own; ended when dropped.
pub struct Server {
    child: Child,
    /// Kept open, or the server could not write to it.
    _stdout: BufReader<ChildStdout>,
    pub port: u16,
}

impl Server {
    /// Starts `bench serve` with these words, and waits until it listens.
    pub fn start(words: &[String]) -> anyhow::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.arg("serve").args(words);
        Self::of(command)
    }

    /// Starts a program that prints `LISTENING <port>`.
    pub fn of(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the server")?;
        let stdout = child.stdout.take().context("no output of the server")?;
        let mut server = Self {
            child,
            _stdout: BufReader::new(stdout),
            port: 0,
        };
        let mut line = String::new();
        server._stdout.read_line(&mut line)?;
        let port = line.strip_prefix("LISTENING ").map(str::trim);
        server.port = port.context("the server does not listen")?.parse()?;
        server.wait()?;
        Ok(server)
    }

    /// Until it accepts connections: some say where before they do.
    fn wait(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                Ok(_) => return Ok(()),
                Err(error) if start.elapsed() > Duration::from_secs(10) => return Err(error.into()),
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
            ensure!(self.child.try_wait()?.is_none(), "the server has ended");
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs this program with these words, and reads the JSON that it prints.
pub fn ask<T: DeserializeOwned>(words: &[String]) -> anyhow::Result<T> {
    let output = Command::new(env::current_exe()?)
        .args(words)
        .stdin(Stdio::null())
        // What went wrong is shown in a table.
        .env("RUST_BACKTRACE", "0")
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}",
        told.trim().trim_start_matches("Error: ")
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Seconds of processor time that the threads a process has now have used.
pub fn cpu(process: u32) -> anyhow::Result<f64> {
    let mut nanoseconds = 0.0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // One that has ended meanwhile is not counted.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
            continue;
        };
        let used = text.split(' ').next().unwrap_or_default();
        nanoseconds += used.parse::<f64>()?;
    }
    Ok(nanoseconds / 1e9)
}

/// Seconds of processor time that this process has used.
pub fn own_cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Bytes of memory that a process has resident.
pub fn resident(process: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.context("no VmRSS")?.trim().trim_end_matches(" kB");
    Ok(kibibytes.parse::<u64>()? * 1024)
}

/// Raises the number of files that this process may have open to what is allowed.
pub fn raise_open_files() -> anyhow::Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(limit.current.unwrap_or(u64::MAX))
}

/// Where daemons are, which a user's `PATH` need not name.
const DAEMONS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// Where a program is.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(DAEMONS.map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Whether a program can be found.
pub fn is_installed(name: &str) -> bool {
    program(name).is_some()
}

/// Whether Python can import a module.
pub fn imports(module: &str) -> bool {
    let import = Command::new("python3")
        .args(["-c", &format!("import {module}")])
        .stderr(Stdio::null())
        .status();
    import.is_ok_and(|status| status.success())
}
