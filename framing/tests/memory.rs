//! What peers can make a server's memory do, measured from outside: the server is a process of its
//! own, and the kernel says how large it is.

use std::{
    convert::Infallible,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use bytes::Bytes;
use framing::{
    Limits, StructHeaderOptions,
    serve::{Listener, PipelineOptions, Tcp, serve},
};
use tower::{make::Shared, service_fn};

const MIB: usize = 1 << 20;

/// Not a test by itself: the server, when this program is started as one.
#[test]
fn server() {
    if std::env::var_os("FRAMEWRIGHT_TEST_SERVER").is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr();
        println!("\nLISTENING {address}");
        let framing = StructHeaderOptions::new("!I")
            .build(Limits::new().max_frame(64 * MIB))
            .unwrap();
        let echo = service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame));
        serve(listener, Shared::new(echo))
            .framing(framing)
            .pipeline(PipelineOptions::default().max_in_flight(16))
            .await;
    });
}

/// That server, running.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["server", "--exact", "--nocapture"])
            .env("FRAMEWRIGHT_TEST_SERVER", "1")
            // Each arena reserves address space that no connection has asked for.
            .env("MALLOC_ARENA_MAX", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .map_while(Result::ok)
            .find_map(|line| {
                line.strip_prefix("LISTENING ")?
                    .trim_start_matches("tcp://")
                    .parse()
                    .ok()
            })
            .expect("the server says where it listens");
        Self { child, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends a frame and waits for its echo: then the server has seen all that came before.
    fn echo(&self, stream: &mut TcpStream, size: usize) {
        let mut frame = (size as u32).to_be_bytes().to_vec();
        frame.resize(4 + size, b'x');
        let expected = frame.clone();
        let mut writer = stream.try_clone().unwrap();
        let writing = std::thread::spawn(move || writer.write_all(&frame));
        let mut echo = vec![0; 4 + size];
        stream.read_exact(&mut echo).unwrap();
        writing.join().unwrap().unwrap();
        assert!(echo == expected);
    }

    /// Address space and resident memory, in bytes.
    fn memory(&self) -> (usize, usize) {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            let number = line.split_whitespace().nth(1).unwrap();
            number.parse::<usize>().unwrap() * 1024
        };
        (field("VmSize:"), field("VmRSS:"))
    }

    /// The same, once it is within bounds or ten seconds have passed.
    fn memory_within(&self, within: impl Fn((usize, usize)) -> bool) -> (usize, usize) {
        let start = Instant::now();
        loop {
            let memory = self.memory();
            if within(memory) || start.elapsed() > Duration::from_secs(10) {
                return memory;
            }
            sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This process holds as many sockets as the server.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, most).unwrap();
}

#[test]
fn f21_a_thousand_announcements_cost_next_to_nothing() {
    allow_many_files();
    let server = Server::start();
    let mut warm: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for stream in &mut warm {
        server.echo(stream, 100_000);
        stream.write_all(&8_388_608u32.to_be_bytes()).unwrap();
    }
    let mut probe = server.connect();
    server.echo(&mut probe, 10);
    let (space, resident) = server.memory();

    let mut peers: Vec<_> = (0..1000).map(|_| server.connect()).collect();
    for peer in &mut peers {
        peer.write_all(&8_388_608u32.to_be_bytes()).unwrap();
    }
    // All of them have been read, as the last one's would-be body shows nothing more to come.
    for _ in 0..10 {
        server.echo(&mut probe, 10);
        sleep(Duration::from_millis(20));
    }
    let (more_space, more_resident) = server.memory();
    let space = more_space.saturating_sub(space);
    let resident = more_resident.saturating_sub(resident);
    println!("1000 announcements of 8 MiB: {space} bytes of address space, {resident} resident");
    assert!(space < 64 * MIB, "{space} bytes more of address space");
    assert!(resident < 16 * MIB, "{resident} bytes more resident");

    // They are served all the same when the rest comes.
    let mut last = peers.pop().unwrap();
    let body = vec![b'x'; 8_388_608];
    let mut writer = last.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&body));
    let mut echo = vec![0; 4 + 8_388_608];
    last.read_exact(&mut echo).unwrap();
    writing.join().unwrap().unwrap();
    assert!(echo[..4] == 8_388_608u32.to_be_bytes() && echo[4..].iter().all(|&byte| byte == b'x'));
}

#[test]
fn f23_memory_shrinks_again_after_a_large_frame() {
    let server = Server::start();
    let mut peers: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for peer in &mut peers {
        server.echo(peer, 1000);
    }
    let (_, before) = server.memory();
    for peer in &mut peers {
        server.echo(peer, 64 * MIB);
    }
    for peer in &mut peers {
        for _ in 0..1000 {
            server.echo(peer, 10);
        }
    }
    // 64 KiB a connection, and what the allocator itself keeps.
    let bound = before + 8 * 64 * 1024 + 2 * MIB;
    let (_, after) = server.memory_within(|(_, resident)| resident < bound);
    println!(
        "eight frames of 64 MiB, then small ones: {before} bytes resident before, {after} after"
    );
    assert!(
        after < bound,
        "{before} bytes resident before, {after} after"
    );
}

#[test]
fn b01_two_hundred_thousand_requests_never_read_keep_memory_flat() {
    const REQUESTS: usize = 200_000;
    let server = Server::start();
    let mut probe = server.connect();
    server.echo(&mut probe, 10);
    let (_, before) = server.memory();

    let mut peer = server.connect();
    peer.set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let request = [&1000u32.to_be_bytes()[..], &[b'x'; 1000]].concat();
    let mut sent = 0;
    let mut stuck = false;
    while sent < REQUESTS && !stuck {
        match peer.write_all(&request) {
            // TCP makes the peer wait: that is the point.
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                    "{error}"
                );
                stuck = true;
            }
            Ok(()) => sent += 1,
        }
    }
    let (_, after) = server.memory();
    let grown = after.saturating_sub(before);
    println!(
        "{sent} requests were taken from a peer that never reads, {grown} bytes resident more"
    );
    assert!(
        stuck,
        "the server takes {REQUESTS} requests whose answers nobody reads"
    );
    assert!(grown < 4 * MIB, "{grown} bytes more resident");
    // The others are served as before.
    server.echo(&mut probe, 10);
}
