//! `frame inspect`: bytes pass unchanged, and their frames are shown.

mod frame_support;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use assert_cmd::cargo::cargo_bin;
use bytes::Bytes;
use frame_support::{LONGEST, Running, eventually};
use framing::{Connection, Framing, Machine, OptionHelp, Registry};
use futures_util::{SinkExt, StreamExt};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The program while it runs, and what it prints.
struct Inspect {
    child: Child,
    lines: Receiver<String>,
    /// Where it listens, without the scheme.
    address: String,
}

fn spawn(arguments: &[&str]) -> Child {
    Command::new(cargo_bin("frame"))
        .arg("inspect")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The address in the first line that it prints.
fn announced(line: &str) -> String {
    let rest = line.strip_prefix("inspecting on tcp://").expect(line);
    let (address, _) = rest.split_once(" → ").expect(line);
    assert!(!address.ends_with(":0"), "{line}");
    address.to_owned()
}

impl Inspect {
    /// Starts it in front of `upstream`, printing JSON.
    fn start(upstream: &str, arguments: &[&str]) -> Self {
        let arguments = [&["--json", "--upstream", upstream], arguments].concat();
        let mut inspect = Self::start_plain(&arguments);
        let first: Value = serde_json::from_str(&inspect.line()).unwrap();
        assert_eq!(first["event"], "listening");
        assert_eq!(first["upstream"], upstream);
        let address = first["listen"].as_str().unwrap();
        inspect.address = address.split_once(':').unwrap().1.replace("//", "");
        inspect
    }

    fn start_plain(arguments: &[&str]) -> Self {
        let mut child = spawn(arguments);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                let _ = sender.send(line.unwrap());
            }
        });
        Self {
            child,
            lines,
            address: String::new(),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LONGEST)).unwrap();
        stream
    }

    fn line(&mut self) -> String {
        let line = self.lines.recv_timeout(LONGEST);
        line.unwrap_or_else(|error| panic!("{error}: {}", self.told()))
    }

    /// What it printed up to the end of the connection `number`.
    fn until_closed(&mut self, number: u64) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event: Value = serde_json::from_str(&self.line()).unwrap();
            let last = event["event"] == "closed" && event["connection"] == number;
            events.push(event);
            if last {
                return events;
            }
        }
    }

    fn told(&mut self) -> String {
        let _ = self.child.kill();
        let mut told = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut told).unwrap();
        told
    }

    /// Asks it to stop; the exit code.
    fn stop(&mut self) -> i32 {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let mut code = None;
        eventually("it ends", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        code.unwrap().code().expect("no signal ended it")
    }
}

impl Drop for Inspect {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves each connection in a thread; the URL.
fn serve(handle: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, handle) = (stream.unwrap(), handle.clone());
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(LONGEST)).unwrap();
            thread::spawn(move || handle(stream));
        }
    });
    url
}

fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

/// Writes, and waits until all of it has come back: then it was a read of its own.
fn exchange(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, bytes);
}

/// Ends what the client writes, and reads the rest.
fn finish(mut stream: TcpStream) -> Vec<u8> {
    stream.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    rest
}

/// Bytes that look random.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..count).map(|_| next()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn named<'a>(events: &'a [Value], name: &str, from: &str) -> Vec<&'a Value> {
    let is = |event: &&Value| event["event"] == name && event["from"] == from;
    events.iter().filter(is).collect()
}

/// Frames of `from`, as text.
fn frames(events: &[Value], from: &str) -> Vec<String> {
    let text = |event: &Value| event["text"].as_str().unwrap().to_owned();
    let frames = named(events, "frame", from);
    frames.into_iter().map(text).collect()
}

/// A framing of each name for which options can be made up, as after `--framing`.
fn samples() -> Vec<String> {
    let registry = Registry::default();
    let sample = |name: &str| {
        let required = registry
            .options(name)?
            .filter(|o| o.default_value() == OptionHelp::REQUIRED);
        let options: String = required
            .map(|option| match option.name() {
                name @ ("receive" | "send") => format!(", {name} = \"lines\""),
                name => format!(", {name} = 4"),
            })
            .collect();
        let text = format!("{{ type = \"{name}\"{options} }}");
        registry.parse(&text).ok().map(|_| text)
    };
    registry.names().filter_map(sample).collect()
}

fn encoded(framing: &str, frames: &[&'static str]) -> Vec<u8> {
    let factory = Registry::default().parse(framing).unwrap();
    let mut machine = Machine::new(factory.make());
    for frame in frames {
        machine.send((*frame).into()).unwrap();
    }
    machine.outbox().take_bytes().to_vec()
}

#[test]
fn bytes_pass_unchanged_whatever_they_are() {
    let url = serve(echo);
    // In none of these is noise a sequence of frames for long.
    for framing in ["struct-header", "lines", "raw", "ack-handshake"] {
        let mut inspect = Inspect::start(&url, &["--framing", framing]);
        let bytes = noise(1 << 20);
        let stream = inspect.connect();
        let mut writer = stream.try_clone().unwrap();
        let sent = bytes.clone();
        let writing = thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        (&stream).read_to_end(&mut back).unwrap();
        writing.join().unwrap();
        assert!(back == bytes, "{framing}: {} bytes came back", back.len());

        let events = inspect.until_closed(1);
        let closed = events.last().unwrap();
        assert_eq!(closed["client_bytes"], 1 << 20, "{framing}");
        assert_eq!(closed["upstream_bytes"], 1 << 20, "{framing}");
        for from in ["client", "upstream"] {
            let errors = named(&events, "error", from).len();
            assert!(errors <= 1, "{framing}: {errors} errors");
            assert_eq!(named(&events, "end", from).len(), 1, "{framing}");
            // Nothing is hidden.
            let shown: u64 = ["frame", "raw", "ack"]
                .iter()
                .flat_map(|event| named(&events, event, from))
                .map(|event| event["wire"].as_u64().or(event["bytes"].as_u64()).unwrap())
                .sum();
            assert_eq!(shown, 1 << 20, "{framing} {from}");
        }
        assert_eq!(inspect.stop(), 0);
    }
}

#[test]
fn frames_of_every_framing_are_shown_in_both_directions() {
    let url = serve(echo);
    let mut tried = 0;
    for framing in samples() {
        let factory = Registry::default().parse(&framing).unwrap();
        let made = factory.make();
        if made.is_interactive() || !made.keeps_boundaries() {
            continue;
        }
        tried += 1;
        let wire = encoded(&framing, &["four", "1234"]);
        let mut inspect = Inspect::start(&url, &["--framing", &framing]);
        let mut whole = inspect.connect();
        exchange(&mut whole, &wire);
        finish(whole);
        let mut bytewise = inspect.connect();
        for byte in &wire {
            exchange(&mut bytewise, &[*byte]);
        }
        finish(bytewise);
        let mut events = inspect.until_closed(1);
        if !events
            .iter()
            .any(|e| e["event"] == "closed" && e["connection"] == 2)
        {
            events.extend(inspect.until_closed(2));
        }
        for from in ["client", "upstream"] {
            for number in [1, 2] {
                let frames: Vec<&Value> = named(&events, "frame", from)
                    .into_iter()
                    .filter(|event| event["connection"] == number)
                    .collect();
                let texts: Vec<_> = frames.iter().map(|event| event["text"].as_str()).collect();
                assert_eq!(texts, [Some("four"), Some("1234")], "{framing} {from}");
                let taken: u64 = frames.iter().map(|e| e["wire"].as_u64().unwrap()).sum();
                assert_eq!(taken, wire.len() as u64, "{framing} {from}");
                let reads: u64 = frames
                    .iter()
                    .map(|e| e["read_count"].as_u64().unwrap())
                    .sum();
                let expected = if number == 1 { 2 } else { wire.len() as u64 };
                if from == "client" {
                    assert_eq!(reads, expected, "{framing}: {frames:?}");
                }
            }
        }
        assert!(
            events.iter().all(|e| e["event"] != "error"),
            "{framing}: {events:?}"
        );
    }
    assert!(tried >= 3, "{tried}");
}

#[test]
fn the_reads_of_a_frame_and_the_frames_of_a_read_are_told() {
    let url = serve(echo);
    let mut inspect = Inspect::start(&url, &[]);
    let mut stream = inspect.connect();
    for piece in [
        &b"\0\0\0\x05"[..],
        b"h",
        b"ello\0\0\0\x02hi\0\0",
        b"\0\x01!\0\0\0\0",
    ] {
        exchange(&mut stream, piece);
    }
    finish(stream);
    let events = inspect.until_closed(1);
    let told: Vec<_> = named(&events, "frame", "client")
        .into_iter()
        .map(|frame| {
            (
                frame["text"].as_str().unwrap(),
                frame["wire"].as_u64().unwrap(),
                frame["reads"].to_string(),
                frame["frames_in_read"].as_u64().unwrap(),
                frame["bytes_behind"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("hello", 9, "[4,1,4]".to_owned(), 2, 2),
            ("hi", 6, "[6]".to_owned(), 2, 2),
            ("!", 5, "[2,3]".to_owned(), 2, 0),
            ("", 4, "[4]".to_owned(), 2, 0),
        ]
    );

    // The same for people.
    let mut inspect = Inspect::start_plain(&["--upstream", &url]);
    inspect.address = announced(&inspect.line());
    let mut stream = inspect.connect();
    exchange(&mut stream, b"\0\0\0\x05");
    exchange(&mut stream, b"he");
    exchange(&mut stream, b"l\x1b\xff\0\0\0\x01a\0\0\0\x01b\0");
    drop(stream);
    let mut lines = String::new();
    while !lines.contains("closed") {
        lines += &inspect.line();
        lines.push('\n');
    }
    for told in [
        "#1 0.000000   opened by tcp://127.0.0.1:",
        r#" → frame of 5 bytes, 9 on the wire · 3 reads: 4+2+3 bytes; the last held 3 frames and 1 byte of the next · "hel\u{1b}\xff""#,
        r#" → frame of 1 byte, 5 on the wire · 1 read, one read held 3 frames and 1 byte of the next · "b""#,
        " ← frame of 5 bytes, 9 on the wire",
        " → truncated: the stream ended inside a header: 1 of 4 bytes had come, at byte 20",
        " → end of stream\n",
        "closed · 20 bytes →, 20 bytes ←",
    ] {
        assert!(lines.contains(told), "{told}\n{lines}");
    }
}

#[test]
fn half_a_close_is_passed_on_and_the_other_half_lives() {
    let url = serve(|mut stream| {
        let mut request = String::new();
        stream.read_to_string(&mut request).unwrap();
        writeln!(stream, "{} bytes", request.len()).unwrap();
    });
    let mut inspect = Inspect::start(&url, &["--framing", "lines"]);
    let mut stream = inspect.connect();
    stream.write_all(b"one\ntwo\n").unwrap();
    assert_eq!(finish(stream), b"8 bytes\n");
    let events = inspect.until_closed(1);
    let position = |name: &str, from: &str| {
        let is = |event: &Value| event["event"] == name && event["from"] == from;
        events.iter().position(is).unwrap()
    };
    assert!(position("end", "client") < position("frame", "upstream"));
    assert!(position("frame", "upstream") < position("end", "upstream"));
    assert_eq!(frames(&events, "client"), ["one", "two"]);
    assert_eq!(frames(&events, "upstream"), ["8 bytes"]);
    assert_eq!(events.last().unwrap()["message"], Value::Null);
}

#[test]
fn connections_are_numbered_and_do_not_mix() {
    let url = serve(echo);
    let mut inspect = Inspect::start(&url, &["--framing", "lines"]);
    let mut streams: Vec<TcpStream> = Vec::new();
    for number in 1..=3 {
        let mut stream = inspect.connect();
        // Connected to the end, so that the numbers are known.
        exchange(&mut stream, format!("first of {number}\n").as_bytes());
        streams.push(stream);
    }
    for number in (1..=3).rev() {
        let text = format!("half of {number}, ");
        exchange(&mut streams[number - 1], text.as_bytes());
    }
    for (stream, number) in streams.iter_mut().zip(1..) {
        exchange(stream, format!("rest of {number}\n").as_bytes());
    }
    let mut open = 3;
    drop(streams);
    let mut events = Vec::new();
    while open > 0 {
        let event: Value = serde_json::from_str(&inspect.line()).unwrap();
        open -= i32::from(event["event"] == "closed");
        events.push(event);
    }
    for number in 1..=3 {
        let own = |event: &&Value| event["connection"] == number;
        let events: Vec<Value> = events.iter().filter(own).cloned().collect();
        assert_eq!(events[0]["event"], "opened");
        let expected = [
            format!("first of {number}"),
            format!("half of {number}, rest of {number}"),
        ];
        assert_eq!(frames(&events, "client"), expected);
        assert_eq!(frames(&events, "upstream"), expected);
        let times: Vec<f64> = events.iter().map(|e| e["time"].as_f64().unwrap()).collect();
        assert!(times.is_sorted() && times[0] == 0.0, "{times:?}");
    }
}

#[test]
fn what_cannot_be_decoded_is_told_once_and_passed_on() {
    let url = serve(echo);
    let mut inspect = Inspect::start(&url, &[]);
    let mut stream = inspect.connect();
    exchange(&mut stream, b"GET / HTTP/1.1\r\n");
    exchange(&mut stream, b"Host: x\r\n");
    finish(stream);
    let events = inspect.until_closed(1);
    for from in ["client", "upstream"] {
        let [error] = named(&events, "error", from)[..] else {
            panic!("{events:?}");
        };
        assert_eq!(
            (error["error"].as_str(), &error["offset"]),
            (Some("too-long"), &0.into())
        );
        assert_eq!(error["hint"], "this looks like an HTTP request");
        assert_eq!(error["first_bytes"], r"GET / HTTP/1.1\r\n");
        assert_eq!(error["decoding"], false);
        let raw = named(&events, "raw", from);
        assert_eq!(raw[0]["text"], "GET / HTTP/1.1\r\n");
        assert_eq!(raw.last().unwrap()["text"], "Host: x\r\n");
    }

    // The other direction is followed on; a frame that is skipped is no end.
    let url = serve(|mut stream| {
        let mut first = [0; 4];
        stream.read_exact(&mut first).unwrap();
        stream.write_all(b"good\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let framing = r#"{ type = "lines", max_frame = 4, on_error = "skip" }"#;
    let mut inspect = Inspect::start(&url, &["--framing", framing]);
    let mut stream = inspect.connect();
    stream.write_all(b"a\nfive5\nb\n\xff").unwrap();
    assert_eq!(finish(stream), b"good\n");
    let events = inspect.until_closed(1);
    assert_eq!(frames(&events, "client"), ["a", "b"]);
    assert_eq!(frames(&events, "upstream"), ["good"]);
    let errors = named(&events, "error", "client");
    assert_eq!(errors[0]["error"], "too-long");
    assert_eq!(errors[0]["decoding"], true);
}

#[test]
fn two_framings_for_two_directions() {
    let url = serve(|mut stream| {
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        stream.write_all(b"\0\x02ok").unwrap();
    });
    let answers = r#"{ type = "struct-header", format = "!H" }"#;
    let mut inspect = Inspect::start(&url, &["--framing", "lines", "--answers", answers]);
    let mut stream = inspect.connect();
    stream.write_all(b"ask\n").unwrap();
    assert_eq!(finish(stream), b"\0\x02ok");
    let events = inspect.until_closed(1);
    assert_eq!(frames(&events, "client"), ["ask"]);
    assert_eq!(frames(&events, "upstream"), ["ok"]);
}

/// A server that lets `talk` use each connection in ack-handshake.
fn handshakes<T>(talk: impl Fn(Handshakes) -> T + Clone + Send + 'static) -> String
where
    T: Future<Output = ()>,
{
    serve(move |stream| in_runtime(stream, talk.clone()))
}

type Handshakes = Connection<tokio::net::TcpStream, framing::AckHandshake>;

fn in_runtime<T: Future<Output = ()>>(stream: TcpStream, talk: impl Fn(Handshakes) -> T) {
    stream.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        let talked = talk(Connection::new(stream, framing::AckHandshake::default()));
        tokio::time::timeout(LONGEST, talked).await.unwrap();
    });
}

const BODIES: [&str; 6] = ["okxyz", "5\n", "", "2\nok", "ok", "one more"];

/// Sends all of the bodies while it takes as many.
async fn both_ways(connection: Handshakes) {
    let (mut sink, mut stream) = connection.split();
    let sending = async {
        for body in BODIES {
            sink.send(Bytes::from(body)).await.unwrap();
        }
    };
    let taking = async {
        for body in BODIES {
            assert_eq!(stream.next().await.unwrap().unwrap(), body);
        }
    };
    tokio::join!(sending, taking);
}

#[test]
fn the_ack_handshake_is_followed_when_both_ends_announce() {
    let url = handshakes(both_ways);
    let mut inspect = Inspect::start(&url, &["--framing", "ack-handshake"]);
    in_runtime(inspect.connect(), both_ways);
    let events = inspect.until_closed(1);
    for from in ["client", "upstream"] {
        assert_eq!(frames(&events, from), BODIES, "{events:?}");
        assert_eq!(named(&events, "ack", from).len(), BODIES.len());
        assert_eq!(named(&events, "announcement", from).len(), BODIES.len());
    }
    assert!(
        events
            .iter()
            .all(|e| e["event"] != "raw" && e["event"] != "error")
    );
}

#[test]
fn the_ack_handshake_is_followed_when_one_end_sends_and_when_they_take_turns() {
    async fn take_all(mut connection: Handshakes) {
        while let Some(frame) = connection.next().await {
            frame.unwrap();
        }
    }
    async fn give_all(mut connection: Handshakes) {
        for body in BODIES {
            connection.send(Bytes::from(body)).await.unwrap();
        }
        connection.close().await.unwrap();
        assert!(connection.next().await.is_none());
    }
    let url = handshakes(take_all);
    let mut inspect = Inspect::start(&url, &["--framing", "ack-handshake"]);
    in_runtime(inspect.connect(), give_all);
    let events = inspect.until_closed(1);
    assert_eq!(frames(&events, "client"), BODIES);
    assert!(named(&events, "frame", "upstream").is_empty());
    assert_eq!(named(&events, "ack", "upstream").len(), BODIES.len());
    assert!(
        events
            .iter()
            .all(|e| e["event"] != "raw" && e["event"] != "error")
    );
    // What is written, announcement and body apart.
    let first = named(&events, "frame", "client")[0];
    assert_eq!(
        (first["wire"].as_u64(), first["read_count"].as_u64()),
        (Some(7), Some(2))
    );

    async fn answer(mut connection: Handshakes) {
        while let Some(frame) = connection.next().await {
            connection.send(frame.unwrap()).await.unwrap();
        }
    }
    async fn ask(mut connection: Handshakes) {
        for body in BODIES {
            connection.send(Bytes::from(body)).await.unwrap();
            assert_eq!(connection.next().await.unwrap().unwrap(), body);
        }
    }
    let url = handshakes(answer);
    let mut inspect = Inspect::start(&url, &["--framing", "ack-handshake"]);
    in_runtime(inspect.connect(), ask);
    let events = inspect.until_closed(1);
    for from in ["client", "upstream"] {
        assert_eq!(frames(&events, from), BODIES, "{events:?}");
    }
    assert!(
        events
            .iter()
            .all(|e| e["event"] != "raw" && e["event"] != "error")
    );
}

#[test]
fn a_whole_program_works_through_it() {
    for framing in ["ack-handshake", "struct-header", "lines"] {
        let server = frame_support::Server::start(framing);
        let mut inspect = Inspect::start(&server.url, &["--framing", framing, "--no-content"]);
        let here = tempfile::tempdir().unwrap();
        let through = format!("tcp://{}", inspect.address);
        let frame = frame_support::Frame::new(&through, here.path());
        let frame = frame.options(&["--user", "alice", "--framing", framing]);
        let ran = frame.run(&["exec", "--", "echo", "hello"]);
        assert_eq!((ran.code, ran.text()), (0, "hello\n"), "{framing}: {ran:?}");
        let events = inspect.until_closed(1);
        assert!(events.iter().all(|e| e["event"] != "error"), "{events:?}");
        assert!(named(&events, "frame", "client").len() >= 2);
        assert!(named(&events, "frame", "upstream").len() >= 3);
        // The password went through, and is not shown.
        let shown = Value::from(events).to_string();
        for secret in ["secret", &hex(b"secret")] {
            assert!(!shown.contains(secret), "{framing}: {shown}");
        }
    }
}

#[test]
fn content_is_shown_as_wanted_and_no_more_of_it() {
    let url = serve(echo);
    for (arguments, told) in [
        (
            &["--framing", "lines", "--max-bytes", "3"][..],
            r#""hun" and 5 more"#,
        ),
        (
            &["--framing", "lines", "--hex", "--max-bytes", "3"],
            " · 68756e and 5 more",
        ),
        (&["--framing", "lines", "--hex"], " · 68756e7465723432"),
        (&["--framing", "lines"], r#" · "hunter42""#),
        (
            &["--framing", "lines", "--max-bytes", "0"],
            r#" · "" and 8 more"#,
        ),
    ] {
        let mut inspect = Inspect::start_plain(&[&["--upstream", &url], arguments].concat());
        inspect.address = announced(&inspect.line());
        let mut stream = inspect.connect();
        exchange(&mut stream, b"hunter42\n");
        inspect.line();
        let line = inspect.line();
        assert!(line.ends_with(told), "{arguments:?}: {line}");
    }
    // Neither of frames nor of errors nor of reads.
    let mut inspect = Inspect::start_plain(&["--upstream", &url, "--no-content"]);
    inspect.address = announced(&inspect.line());
    let mut stream = inspect.connect();
    exchange(&mut stream, b"\0\0\0\x08hunter42");
    exchange(&mut stream, b"hunter42");
    finish(stream);
    let mut lines = String::new();
    while !lines.contains("closed") {
        lines += &inspect.line();
    }
    assert!(
        lines.contains("frame of 8 bytes") && lines.contains("too-long"),
        "{lines}"
    );
    assert!(lines.contains("raw: 8 bytes"), "{lines}");
    assert!(!lines.contains("hunt"), "{lines}");
}

#[test]
fn sockets_with_a_path_work_on_both_sides_and_go_with_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let (front, back) = (folder.path().join("front"), folder.path().join("back"));
    let listener = UnixListener::bind(&back).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        stream.read_to_end(&mut request).unwrap();
        request.reverse();
        stream.write_all(&request).unwrap();
    });
    let [listen, upstream] = [&front, &back].map(|path| format!("unix:{}", path.display()));
    let mut inspect = Inspect::start(&upstream, &["--listen", &listen, "--framing", "raw"]);
    let mut stream = UnixStream::connect(&front).unwrap();
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    stream.write_all(b"abc").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"cba");
    let events = inspect.until_closed(1);
    assert_eq!(frames(&events, "upstream"), ["cba"]);
    assert_eq!(inspect.stop(), 0);
    assert!(!front.exists(), "its socket is left");
}

#[test]
fn a_reset_is_passed_on_as_one() {
    let (sender, receiver) = mpsc::channel();
    let url = serve(move |mut stream| {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        sender.send(stream.read(&mut byte)).unwrap();
    });
    let mut inspect = Inspect::start(&url, &["--framing", "lines"]);
    let mut stream = inspect.connect();
    stream.write_all(b"x").unwrap();
    let mut opened = false;
    while !opened {
        opened = inspect.line().contains("opened");
    }
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
    let read = receiver.recv_timeout(LONGEST).unwrap();
    let kind = read.expect_err("an end like any other").kind();
    assert_eq!(kind, std::io::ErrorKind::ConnectionReset);
    let mut events = inspect.until_closed(1);
    assert!(events.iter().all(|event| event["event"] != "end"));
    let closed = events.pop().unwrap();
    let message = closed["message"].as_str().unwrap();
    assert!(message.contains("client failed"), "{closed}");

    let url = serve(|mut stream| {
        stream.read_exact(&mut [0]).unwrap();
        let linger = Some(Duration::ZERO);
        socket2::SockRef::from(&stream).set_linger(linger).unwrap();
    });
    let inspect = Inspect::start(&url, &["--framing", "lines"]);
    let mut stream = inspect.connect();
    stream.write_all(b"x").unwrap();
    let read = stream.read(&mut [0]);
    let kind = read.expect_err("an end like any other").kind();
    assert_eq!(kind, std::io::ErrorKind::ConnectionReset);
}

#[test]
fn passing_on_does_not_wait_for_whoever_reads_the_output() {
    const SIZE: usize = 96 << 20;
    let url = serve(|mut stream| {
        let mut sum = 0_u64;
        let mut buffer = vec![0; 1 << 20];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            sum += count as u64;
        }
        write!(stream, "{sum}").unwrap();
    });
    // Nobody reads what it prints until all has passed.
    let mut child = spawn(&["--json", "--framing", "raw", "--upstream", &url]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let child = Running(child);
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let first: Value = serde_json::from_str(&line).unwrap();
    let address = first["listen"].as_str().unwrap().replace("tcp://", "");

    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    let piece = noise(1 << 20);
    for _ in 0..SIZE >> 20 {
        stream.write_all(&piece).unwrap();
    }
    assert_eq!(finish(stream), SIZE.to_string().as_bytes());
    if let Ok(status) = fs::read_to_string(format!("/proc/{}/status", child.0.id())) {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes: usize = peak
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        assert!(kilobytes < 72 << 10, "{kilobytes} kB at the peak");
    }
    // Then it is told what is missing.
    let mut shown = 0;
    let mut left_out = 0;
    for line in stdout.lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let bytes = event["bytes"].as_u64().unwrap_or_default();
        match event["event"].as_str().unwrap() {
            "closed" => break,
            // The short answer may be left out, too.
            _ if event["from"] != "client" => {}
            "left-out" => left_out += bytes,
            "frame" | "raw" => shown += bytes,
            _ => {}
        }
    }
    assert!(left_out > 0);
    assert_eq!(shown + left_out, SIZE as u64);
}

#[test]
fn a_frame_without_end_does_not_fill_the_memory() {
    let url = serve(|mut stream| {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(1..) = stream.read(&mut buffer) {}
    });
    let framing = r#"{ type = "delimiter", max_frame = "1MiB" }"#;
    let mut inspect = Inspect::start(&url, &["--framing", framing]);
    let mut stream = inspect.connect();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        stream.write_all(&piece).unwrap();
    }
    finish(stream);
    let events = inspect.until_closed(1);
    let [error] = named(&events, "error", "client")[..] else {
        panic!("{events:?}");
    };
    assert_eq!(error["error"], "too-long");
    if let Ok(status) = fs::read_to_string(format!("/proc/{}/status", inspect.child.id())) {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes: usize = peak
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        assert!(kilobytes < 72 << 10, "{kilobytes} kB at the peak");
    }
}

#[test]
fn when_nobody_reads_the_output_it_ends_quietly() {
    let url = serve(echo);
    let mut child = spawn(&["--upstream", &url, "--framing", "lines"]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut running = Running(child);
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    drop(stdout);
    let mut stream = TcpStream::connect(announced(&line)).unwrap();
    eventually("it ends", || {
        // Once may not do: a process that is being started holds our end of the pipe for a moment.
        let _ = stream.write_all(b"a\n");
        running.0.try_wait().unwrap().is_some()
    });
    assert_eq!(running.code(), 141);
    let mut stderr = String::new();
    let told = running.0.stderr.as_mut().unwrap();
    told.read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr, "");
}

#[test]
fn what_cannot_be_is_refused() {
    let here = tempfile::tempdir().unwrap();
    let frame = frame_support::Frame::new("", here.path()).options(&[]);
    frame.run(&["inspect"]).refuses_usage("--upstream");
    frame
        .run(&["inspect", "--upstream", "127.0.0.1:1"])
        .refuses_usage("tcp://127.0.0.1:8002");
    let upstream = ["inspect", "--upstream", "tcp://127.0.0.1:1"];
    let run = |arguments: &[&str]| frame.run(&[&upstream, arguments].concat());
    run(&["--framing", "morse"]).refuses(65, "struct-header");
    run(&["--answers", "morse"]).refuses(65, "struct-header");
    run(&["--framing", "ack-handshake", "--answers", "raw"]).refuses(65, "ack-handshake");
    run(&["--framing", "raw", "--answers", "ack-handshake"]).refuses(65, "ack-handshake");
    run(&["--no-content", "--hex"]).refuses_usage("--no-content");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("tcp://{}", taken.local_addr().unwrap());
    run(&["--listen", &listen]).refuses(69, &listen);
}

#[test]
fn a_server_that_is_not_there_ends_the_connection_and_is_told() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", gone.local_addr().unwrap());
    drop(gone);
    let mut inspect = Inspect::start(&url, &[]);
    let mut stream = inspect.connect();
    let mut byte = [0];
    assert!(!matches!(stream.read(&mut byte), Ok(1..)));
    let closed = inspect.until_closed(1).pop().unwrap();
    let message = closed["message"].as_str().unwrap();
    assert!(
        message.contains("cannot reach") && message.contains(&url),
        "{message}"
    );
}
