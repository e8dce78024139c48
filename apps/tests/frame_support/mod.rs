//! What the tests of `frame` over a network share: the program, a server in this process, and one
//! that does as it is told.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command as Process, Stdio},
    thread,
    time::{Duration, Instant},
};

use assert_cmd::{Command, cargo::cargo_bin};
use framing::{
    Registry,
    serve::{Listener, Tcp, serve_with},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use services::{
    HandleLayer, Ping, Session, Unsupported, WhoAmI,
    exec::{Allow, Exec, ProcessSpawner},
    files::{Files, MemoryStore},
    login::{Authenticator, LoginLayer, MemoryAccounts, Password, Right},
    native::NativeServer,
};
use tokio::runtime::Runtime;
use tower::{ServiceBuilder, service_fn};

/// No test waits longer for anything.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// A server with login, exec and files, in this process.
pub(crate) struct Server {
    pub(crate) url: String,
    _runtime: Runtime,
}

impl Server {
    pub(crate) fn start(framing: &str) -> Self {
        let framing = Registry::default().parse(framing).unwrap();
        let rights = [Right::Exec, Right::Read, Right::Write, Right::Shell];
        let accounts = MemoryAccounts::new()
            .with("alice", Password::new("secret").unwrap(), rights)
            .unwrap()
            .with(
                "bob",
                Password::new("secret").unwrap(),
                [Right::Exec, Right::Read],
            )
            .unwrap();
        let login = LoginLayer::new(Authenticator::new(accounts)).max_tries(3);
        let allow = Allow::new(["echo"]).unwrap();
        let exec = Exec::new(ProcessSpawner::new("/"), allow).shell(true);
        let stack = ServiceBuilder::new()
            .layer(HandleLayer::new(Ping))
            .layer(login)
            .layer(HandleLayer::new(WhoAmI))
            .layer(exec.into_layer())
            .layer(Files::new(MemoryStore::new()).into_layer())
            .service(Unsupported);
        let make = service_fn(move |_: Session| {
            let stack = stack.clone();
            async move { Ok::<_, std::convert::Infallible>(stack) }
        });
        let server = NativeServer::new(make).before_login(8 * 1024, Duration::from_secs(10));
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(Tcp::bind("127.0.0.1:0")).unwrap();
        let url = listener.local_addr().to_string();
        runtime.spawn(serve_with(listener, server).framing(framing).into_future());
        Self {
            url,
            _runtime: runtime,
        }
    }

    /// `frame` as alice, in the folder `here`.
    pub(crate) fn frame<'a>(&'a self, here: &'a Path) -> Frame<'a> {
        Frame::new(&self.url, here)
    }
}

/// How to run the program.
#[derive(Clone)]
pub(crate) struct Frame<'a> {
    server: [&'a str; 2],
    here: &'a Path,
    options: Vec<&'a str>,
    password: Option<&'a str>,
}

impl<'a> Frame<'a> {
    pub(crate) fn new(url: &'a str, here: &'a Path) -> Self {
        Self {
            server: ["--server", url],
            here,
            options: vec!["--user", "alice"],
            password: Some("secret"),
        }
    }

    /// Other options than `--user alice`.
    pub(crate) fn options(mut self, options: &[&'a str]) -> Self {
        self.options = options.to_vec();
        self
    }

    pub(crate) fn password(mut self, password: Option<&'a str>) -> Self {
        self.password = password;
        self
    }

    /// Where it connects; nothing for verbs that do not.
    fn server(&self) -> &[&str] {
        match self.server {
            ["--server", ""] => &[],
            _ => &self.server,
        }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "")
    }

    pub(crate) fn run_with(&self, arguments: &[&str], stdin: impl Into<Vec<u8>>) -> Ran {
        let mut command = Command::new(cargo_bin("frame"));
        command
            .args(self.server())
            .args(&self.options)
            .args(arguments)
            .current_dir(self.here)
            .env_remove("FRAME_PASSWORD")
            .write_stdin(stdin)
            .timeout(LONGEST);
        if let Some(password) = self.password {
            command.env("FRAME_PASSWORD", password);
        }
        let output = command.output().unwrap();
        Ran {
            code: output.status.code().expect("it ends by itself"),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts it with standard input at its end, and lets it run.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Running {
        self.spawn_with(arguments, Stdio::null())
    }

    pub(crate) fn spawn_with(&self, arguments: &[&str], stdin: Stdio) -> Running {
        let child = Process::new(cargo_bin("frame"))
            .args(self.server())
            .args(&self.options)
            .args(arguments)
            .current_dir(self.here)
            .env("FRAME_PASSWORD", self.password.unwrap_or_default())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Running(child)
    }
}

/// What the program did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// The one JSON object on standard output.
    pub(crate) fn object(&self) -> Value {
        assert_eq!(self.text().lines().count(), 1, "{self:?}");
        let object: Value = serde_json::from_str(self.text()).unwrap();
        assert!(object.is_object() && self.stderr.is_empty(), "{self:?}");
        object
    }

    /// It ended with 64, printed nothing and told why.
    pub(crate) fn refuses_usage(&self, why: &str) {
        assert_eq!(
            (self.code, self.stdout.as_slice()),
            (64, &b""[..]),
            "{self:?}"
        );
        assert!(self.stderr.contains(why), "{why}: {self:?}");
    }

    /// It ended with `code`, printed nothing and told why, in a line or two.
    pub(crate) fn refuses(&self, code: i32, why: &str) {
        assert_eq!(
            (self.code, self.stdout.as_slice()),
            (code, &b""[..]),
            "{self:?}"
        );
        assert!(self.stderr.contains(why), "{why}: {self:?}");
        assert!((1..=2).contains(&self.stderr.lines().count()), "{self:?}");
    }
}

/// The program while it runs; killed when dropped.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Reads from standard output until this has come.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let stdout = self.0.stdout.as_mut().unwrap();
        let mut read = Vec::new();
        while !read.ends_with(text.as_bytes()) {
            let mut byte = [0];
            assert_eq!(
                stdout.read(&mut byte).unwrap(),
                1,
                "the output ended: {read:?}"
            );
            read.push(byte[0]);
        }
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ran {
        let mut stdout = self.0.stdout.take().unwrap();
        let reading = thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).map(|_| bytes)
        });
        let code = self.code();
        let mut stderr = String::new();
        self.0
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        Ran {
            code,
            stdout: reading.join().unwrap().unwrap(),
            stderr,
        }
    }

    /// Waits for the end and leaves the output alone.
    pub(crate) fn code(&mut self) -> i32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code().expect("no signal ended it");
            }
            assert!(start.elapsed() < LONGEST, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < LONGEST, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The names in a folder, hidden ones included.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// One connection to a hostile server, frame by frame.
pub(crate) struct Wire(TcpStream);

impl Wire {
    pub(crate) fn read(&mut self) -> Option<Vec<u8>> {
        let mut header = [0; 4];
        self.0.read_exact(&mut header).ok()?;
        let mut frame = vec![0; u32::from_be_bytes(header) as usize];
        self.0.read_exact(&mut frame).ok()?;
        Some(frame)
    }

    /// Whether the client still takes it.
    pub(crate) fn write(&mut self, frame: impl AsRef<[u8]>) -> bool {
        let frame = frame.as_ref();
        let length = (frame.len() as u32).to_be_bytes();
        self.0.write_all(&[&length, frame].concat()).is_ok()
    }

    pub(crate) fn write_raw(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// Waits until the client goes away.
    pub(crate) fn wait_for_end(&mut self) {
        while self.read().is_some() {}
    }
}

/// A server that lets anybody log in and gives every other request to `answer`.
pub(crate) struct Hostile {
    pub(crate) url: String,
}

impl Hostile {
    pub(crate) fn start(answer: impl Fn(&Value, &mut Wire) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("tcp://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let answer = answer.clone();
                thread::spawn(move || serve(Wire(stream), answer));
            }
        });
        Self { url }
    }
}

fn serve(mut wire: Wire, answer: impl Fn(&Value, &mut Wire)) {
    while let Some(frame) = wire.read() {
        let Ok(request) = serde_json::from_slice::<Value>(&frame) else {
            continue;
        };
        if request["verb"] == "login" {
            wire.write(r#"{"status":"ok","details":{"name":"alice","rights":["read"]}}"#);
            continue;
        }
        answer(&request, &mut wire);
        if request["verb"] != "list" {
            break;
        }
    }
    let _ = wire.0.shutdown(std::net::Shutdown::Write);
    // What the client still sends is taken, so that its end is no reset.
    let _ = wire.0.set_read_timeout(Some(Duration::from_secs(5)));
    let mut rest = [0; 4096];
    loop {
        match wire.0.read(&mut rest) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
