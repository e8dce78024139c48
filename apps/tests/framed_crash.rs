//! The server program when things end badly: killed servers, killed clients, exhausted descriptors,
//! resets, and a stop under load.

mod common;

use std::{
    fs,
    io::{Cursor, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    pin::Pin,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use common::{EVERYBODY, Framed, PATIENCE, Place, children_of, processes_with, wait_until};
use framing::{StructHeader, client::dial, serve::Address};
use services::{
    client::{Client, ClientError, Command as Exec},
    exec::Outcome,
    files::FileName,
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    sync::{Mutex, MutexGuard, oneshot},
    time::{sleep, timeout},
};

const FRAMING: &str = "struct-header";

/// These tests measure times, processes and descriptors, so they run one after the other.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

fn tcp(server: &Framed) -> SocketAddr {
    match server.address() {
        Address::Tcp(address) => *address,
        other => panic!("{other} is not TCP"),
    }
}

/// A file that tells when its bytes have been read up to a mark, and then may never go on.
struct Marked {
    bytes: Cursor<Vec<u8>>,
    mark: u64,
    tell: Option<oneshot::Sender<()>>,
    stops: bool,
}

impl AsyncRead for Marked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let (position, size) = (self.bytes.position(), self.bytes.get_ref().len() as u64);
        if position == self.mark
            && let Some(tell) = self.tell.take()
        {
            tell.send(()).unwrap();
        }
        if position == self.mark && self.stops {
            // Nobody wakes us: the upload ends because somebody is killed.
            return Poll::Pending;
        }
        let end = if position < self.mark {
            self.mark
        } else {
            size
        };
        let count = (end - position).min(buffer.remaining() as u64);
        let start = position as usize;
        let bytes = &self.bytes.get_ref()[start..start + count as usize];
        buffer.put_slice(bytes);
        self.bytes.set_position(position + count);
        Poll::Ready(Ok(()))
    }
}

/// Two megabytes that no other number gives.
fn content(number: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(2_000_000).collect()
}

/// What lies in the folder of the files beside the file itself.
fn strays(place: &Place, name: &str) -> Vec<PathBuf> {
    let mut folders = vec![place.join("files")];
    let mut strays = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path != place.join("files").join(name) {
                strays.push(path);
            }
        }
    }
    strays
}

#[tokio::test(flavor = "multi_thread")]
async fn svc_d9_a_killed_server_leaves_the_old_file_or_the_new_one() {
    const CUTS: usize = 32;
    let _alone = alone().await;
    let place = Place::new(EVERYBODY);
    let name: FileName = "report.bin".parse().unwrap();
    let path = place.join("files").join("report.bin");
    fs::create_dir(place.join("files")).unwrap();
    let mut present = content(1000);
    fs::write(&path, &present).unwrap();
    let (mut kept, mut left_behind) = (0, 0);
    for cut in 0..=CUTS {
        let mut server = place.start();
        let unswept = strays(&place, "report.bin");
        assert!(unswept.is_empty(), "cut {cut}: {unswept:?}");
        if cut == CUTS {
            break;
        }
        let new = content(cut);
        // Half of the kills hit a transfer that stands still somewhere, half the end: the last
        // bytes, the commit, or what comes after it.
        let stops = cut < CUTS / 2;
        let size = new.len() as u64;
        let mark = if stops {
            size * cut as u64 / (CUTS as u64 / 2)
        } else {
            size
        };
        let delay = if stops { 10 } else { (cut - CUTS / 2) as u64 };
        let (tell, told) = oneshot::channel();
        let source = Marked {
            bytes: Cursor::new(new.clone()),
            mark,
            tell: Some(tell),
            stops,
        };
        let mut client = server.client(FRAMING).await;
        let to = name.clone();
        let upload = tokio::spawn(async move { client.put(&to, Some(size), true, source).await });
        timeout(PATIENCE, told).await.unwrap().unwrap();
        sleep(Duration::from_millis(delay)).await;
        server.kill();

        let answer = timeout(PATIENCE, upload).await.unwrap().unwrap();
        let found = fs::read(&path).unwrap();
        if found == present {
            let error = answer.expect_err("stored, and then lost");
            assert!(error.is_connection_lost(), "cut {cut}: {error}");
            kept += 1;
        } else {
            assert!(
                found == new,
                "cut {cut}: neither the old file nor the new one"
            );
            assert!(!stops, "cut {cut}: complete before all of it was sent");
            present = new;
        }
        left_behind += strays(&place, "report.bin").len();
    }
    // Otherwise the kills came too late to show anything.
    assert!(kept >= CUTS / 2, "{kept}");
    assert!(left_behind > 0, "nothing was ever swept");
}

#[tokio::test(flavor = "multi_thread")]
async fn svc_d9_a_killed_client_leaves_the_old_file_and_nothing_else() {
    let _alone = alone().await;
    let place = Place::new(EVERYBODY);
    let server = place.start();
    let path = place.join("files").join("report.bin");
    let old = content(1000);
    fs::write(&path, &old).unwrap();
    for cut in 0..20 {
        let mut client = frame(&server, &["put", "-", "report.bin", "--overwrite"]);
        let new = content(cut);
        let mut input = client.stdin.take().unwrap();
        input.write_all(&new[..new.len() * cut / 20]).unwrap();
        thread::sleep(Duration::from_millis(5 * (cut as u64 % 5)));
        client.kill().unwrap();
        client.wait().unwrap();
        drop(input);
        let clean = || strays(&place, "report.bin").is_empty();
        assert!(
            wait_until(PATIENCE, clean),
            "cut {cut}: {:?}",
            strays(&place, "report.bin")
        );
        assert!(fs::read(&path).unwrap() == old, "cut {cut}");
    }
    server.client(FRAMING).await.ping().await.unwrap();
    server.stop();
}

/// The client program, logged in as nobody in particular.
fn frame(server: &Framed, words: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frame"));
    command
        .args(["--server", &server.address().to_string()])
        .args(words);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

/// How long anything of a command may live once its client is gone: a second of grace, and some.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// Commands that sleep, each with the number it sleeps for as its mark.
fn sleepers(mark: &str) -> [(&'static str, Vec<String>); 6] {
    let plain = ["exec", "--", "sleep", mark].map(str::to_owned).to_vec();
    let line = |line: &str| {
        let line = line.replace("MARK", mark);
        ["exec", "--shell", &line].map(str::to_owned).to_vec()
    };
    [
        ("plain", plain),
        ("grandchild", line("(sleep MARK & sleep MARK) & sleep MARK")),
        (
            "deaf to TERM",
            line("trap '' TERM; sleep MARK & sleep MARK; sleep MARK"),
        ),
        ("stopped", line("sleep MARK & kill -STOP $$")),
        ("session of its own", line("setsid sleep MARK & sleep MARK")),
        (
            "holder of the output",
            line("sleep MARK & cat | sleep MARK"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn svc_c5_a_killed_client_leaves_no_process_of_its_command() {
    let _alone = alone().await;
    let place = Place::new(EVERYBODY);
    let server = place.start();
    let mut running = 0;
    for (number, delay) in [0, 5, 20, 60, 120].into_iter().enumerate() {
        for kind in 0..6 {
            // No other process on this machine sleeps for this long.
            let mark = format!("86{}.{}{kind}", server.pid(), number);
            let (what, words) = sleepers(&mark)[kind].clone();
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            let mut client = frame(&server, &words);
            let of_the_command = || {
                let mut found = processes_with(&mark);
                found.retain(|pid| *pid != client.id());
                found
            };
            // Every other kill is at a moment after the command has begun for sure.
            if number % 2 == 1 {
                let began = wait_until(PATIENCE, || !of_the_command().is_empty());
                assert!(began, "{what} does not begin");
            }
            thread::sleep(Duration::from_millis(delay));
            running += of_the_command().len();
            client.kill().unwrap();
            client.wait().unwrap();
            let killed = Instant::now();
            let gone = || processes_with(&mark).is_empty() && children_of(server.pid()).is_empty();
            let in_time = wait_until(GONE_WITHIN, gone);
            assert!(
                in_time,
                "{what}, killed after {delay} ms, still there after {:?}: {:?}, children {:?}",
                killed.elapsed(),
                processes_with(&mark),
                children_of(server.pid())
            );
        }
    }
    assert!(
        running >= 30,
        "only {running} processes ran when their client was killed"
    );
    server.client(FRAMING).await.ping().await.unwrap();
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn svc_c5_a_connection_that_is_reset_leaves_no_process_of_its_command() {
    let _alone = alone().await;
    let place = Place::new(EVERYBODY);
    let server = place.start();
    for round in 0..10 {
        let mark = format!("87{}.{round}", server.pid());
        let io = tokio::net::TcpStream::connect(tcp(&server)).await.unwrap();
        let mut client = Client::new(io, StructHeader::default()).unwrap();
        let line = format!("sleep {mark} & yes > /dev/null & sleep {mark}");
        let exec = client.exec(Exec::shell(line)).await.unwrap();
        assert!(wait_until(PATIENCE, || !processes_with(&mark).is_empty()));
        sleep(Duration::from_millis(round * 10)).await;
        // Dropped with the reply unread, and sometimes with what the kernel calls unread data.
        drop(exec);
        drop(client);
        let gone = || processes_with(&mark).is_empty() && children_of(server.pid()).is_empty();
        assert!(
            wait_until(GONE_WITHIN, gone),
            "round {round}: {:?}",
            processes_with(&mark)
        );
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn svc_f2_a_server_out_of_descriptors_waits_and_recovers() {
    let _alone = alone().await;
    let place = Place::new(EVERYBODY);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 128 && exec \"$0\" --config \"$1\""]);
    command
        .arg(env!("CARGO_BIN_EXE_framed"))
        .arg(place.config())
        .env_remove("RUST_LOG");
    let server = place.start_as(command);
    server.client(FRAMING).await.ping().await.unwrap();
    let before = server.descriptors();

    let crowd: Vec<_> = (0..300)
        .map(|_| TcpStream::connect_timeout(&tcp(&server), PATIENCE).unwrap())
        .collect();
    let full = || server.descriptors() >= 120;
    assert!(
        wait_until(PATIENCE, full),
        "{} descriptors",
        server.descriptors()
    );
    assert!(
        wait_until(PATIENCE, || server
            .log()
            .contains("cannot accept a connection")),
        "it says nothing"
    );
    sleep(Duration::from_millis(500)).await;
    let (spent, began) = (server.processor_time(), Instant::now());
    sleep(Duration::from_secs(2)).await;
    let (spent, passed) = (server.processor_time() - spent, began.elapsed());
    assert!(
        spent < passed / 10,
        "{spent:?} of {passed:?} on a processor"
    );
    let lines = server.log().lines().count();
    assert!(lines < 100, "{lines} lines of log");

    drop(crowd);
    let ping = async {
        // The first tries may meet the rest of the crowd in the backlog.
        loop {
            let io = dial(server.address()).await.unwrap();
            let mut client = Client::new(io, StructHeader::default()).unwrap();
            if client.ping().await.is_ok() {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, ping).await.expect("it does not recover");
    let settled = || server.descriptors() <= before + 1;
    assert!(
        wait_until(PATIENCE, settled),
        "{before}, now {}",
        server.descriptors()
    );
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn svc_f6_connections_that_are_reset_at_once_do_no_harm() {
    let _alone = alone().await;
    let place = Place::new(EVERYBODY);
    let server = place.start();
    let mut client = server.client(FRAMING).await;
    client.ping().await.unwrap();
    let before = server.descriptors();
    for round in 0..1000 {
        let stream = TcpStream::connect(tcp(&server)).unwrap();
        if round % 3 == 0 {
            // Half a header, so that the server has something to read before the reset.
            (&stream).write_all(&[0, 0]).unwrap();
        }
        let socket = socket2::Socket::from(stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        drop(socket);
    }
    client.ping().await.unwrap();
    server.client(FRAMING).await.ping().await.unwrap();
    let settled = || server.descriptors() <= before;
    assert!(
        wait_until(PATIENCE, settled),
        "{before}, now {}",
        server.descriptors()
    );
    let log = server.log();
    assert!(
        !log.contains("panicked") && !log.contains("cannot accept"),
        "{log}"
    );
    drop(client);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn svc_f7_a_stop_under_load_finishes_what_is_under_way() {
    let _alone = alone().await;
    let config = format!("[limits]\ndrain_timeout = \"15s\"\n{EVERYBODY}");
    let place = Place::new(&config);
    let mut server = place.start();

    // A command that is under way when the stop comes, and an upload that ends after it.
    let mut client = server.client(FRAMING).await;
    let slow = tokio::spawn(async move {
        let line = Exec::shell("sleep 1; echo whole; exit 3");
        let mut exec = client.exec(line).await?;
        let mut text = Vec::new();
        let ended = exec
            .wait(|output| text.extend_from_slice(output.bytes()))
            .await?;
        Ok::<_, ClientError>((ended.outcome, text))
    });
    let (tell, told) = oneshot::channel();
    let (go_on, gate) = oneshot::channel::<()>();
    let mut client = server.client(FRAMING).await;
    let upload = tokio::spawn(async move {
        let source = Gated {
            bytes: Cursor::new(content(7)),
            gate,
            tell: Some(tell),
        };
        let name: FileName = "late.bin".parse().unwrap();
        client.put(&name, None, false, source).await
    });
    told.await.unwrap();

    // Clients that never stop asking; each answer that one gets is a whole one.
    let stopped = Arc::new(AtomicBool::new(false));
    let mut crowd = Vec::new();
    for number in 0..16 {
        let (stopped, address) = (stopped.clone(), server.address().clone());
        let mut client = server.client(FRAMING).await;
        crowd.push(tokio::spawn(async move {
            let mut stored = Vec::new();
            for round in 0.. {
                let name: FileName = format!("{number}-{round}").parse().unwrap();
                let bytes = name.to_string().into_bytes();
                let result = match round % 3 {
                    0 => client
                        .put(&name, None, false, Cursor::new(bytes))
                        .await
                        .map(|_| stored.push(name)),
                    1 => client.list_all().await.map(drop),
                    _ => client.ping().await,
                };
                if let Err(error) = result {
                    assert!(stopped.load(Ordering::Acquire), "before the stop: {error}");
                    assert!(error.is_connection_lost(), "{error}");
                    return stored;
                }
            }
            panic!("{address} never stopped");
        }));
    }
    sleep(Duration::from_millis(300)).await;

    stopped.store(true, Ordering::Release);
    let began = Instant::now();
    server.terminate();
    let refused = || TcpStream::connect(tcp(&server)).is_err();
    assert!(
        wait_until(Duration::from_secs(2), refused),
        "it still accepts connections"
    );
    assert!(!upload.is_finished(), "the upload was to be under way");
    go_on.send(()).unwrap();
    let uploaded = timeout(PATIENCE, upload).await.unwrap().unwrap();
    assert_eq!(uploaded.unwrap().size, 2_000_000);
    let (outcome, text) = timeout(PATIENCE, slow).await.unwrap().unwrap().unwrap();
    assert_eq!((outcome, &*text), (Outcome::Exit(3), &b"whole\n"[..]));

    let status = server.wait(Duration::from_secs(15));
    assert!(status.success(), "{status}");
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    assert!(fs::read(place.join("files").join("late.bin")).unwrap() == content(7));
    let mut answered = 0;
    for client in crowd {
        for name in timeout(PATIENCE, client).await.unwrap().unwrap() {
            let bytes = fs::read(place.join("files").join(name.to_string())).unwrap();
            assert_eq!(
                bytes,
                name.to_string().into_bytes(),
                "answered, and not stored"
            );
            answered += 1;
        }
    }
    assert!(answered >= 16, "{answered} uploads are no load");
}

/// A file whose end comes only when somebody says so.
struct Gated {
    bytes: Cursor<Vec<u8>>,
    gate: oneshot::Receiver<()>,
    tell: Option<oneshot::Sender<()>>,
}

impl AsyncRead for Gated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.bytes.position() >= 1_000_000 && !self.gate.is_terminated() {
            if let Some(tell) = self.tell.take() {
                tell.send(()).unwrap();
            }
            if Pin::new(&mut self.gate).poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        Pin::new(&mut self.bytes).poll_read(cx, buffer)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn svc_f7_what_does_not_end_in_time_is_cut() {
    let _alone = alone().await;
    let config = format!("[limits]\ndrain_timeout = \"500ms\"\n{EVERYBODY}");
    let place = Place::new(&config);
    let mut server = place.start();
    let mark = format!("88{}", server.pid());
    let mut client = server.client(FRAMING).await;
    let line = format!("trap '' TERM; echo ready; sleep {mark} & sleep {mark}");
    let mut exec = client.exec(Exec::shell(line)).await.unwrap();
    assert!(exec.next().await.unwrap().is_ok());
    assert!(wait_until(PATIENCE, || !processes_with(&mark).is_empty()));

    server.terminate();
    let began = Instant::now();
    let status = server.wait(PATIENCE);
    assert!(status.success(), "{status}");
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(450),
        "nobody had time to finish: {took:?}"
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
    let ended = timeout(PATIENCE, exec.wait(drop)).await.unwrap();
    assert!(
        !matches!(ended.unwrap().outcome, Outcome::Exit(_)),
        "a success that was none"
    );
    let gone = || processes_with(&mark).is_empty();
    assert!(wait_until(GONE_WITHIN, gone), "{:?}", processes_with(&mark));
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_sessions_leave_no_descriptor_and_no_child() {
    let _alone = alone().await;
    let place = Place::new(EVERYBODY);
    let server = place.start();
    let session = async |number: usize| {
        let mut client = server.client(FRAMING).await;
        assert_eq!(client.whoami().await.unwrap().name, "everybody");
        let name: FileName = "same.txt".parse().unwrap();
        match number % 5 {
            0 => {
                let mut exec = client.exec(Exec::program(["true"])).await.unwrap();
                assert_eq!(exec.wait(drop).await.unwrap().outcome, Outcome::Exit(0));
            }
            1 => {
                let bytes = Cursor::new(vec![1; 100_000]);
                client.put(&name, None, true, bytes).await.unwrap();
            }
            // Left in the middle of an answer.
            2 => drop(client.get(&name).await.unwrap()),
            3 => drop(
                client
                    .exec(Exec::program(["cat", "/dev/zero"]))
                    .await
                    .unwrap(),
            ),
            _ => client.ping().await.unwrap(),
        }
    };
    session(1).await;
    for number in 0..5 {
        session(number).await;
    }
    let settled = || children_of(server.pid()).is_empty();
    assert!(wait_until(PATIENCE, settled));
    sleep(Duration::from_millis(300)).await;
    let before = server.descriptors();
    for number in 0..500 {
        session(number).await;
    }
    let settled = || server.descriptors() <= before && children_of(server.pid()).is_empty();
    assert!(
        wait_until(PATIENCE, settled),
        "{before} descriptors, now {}; children {:?}",
        server.descriptors(),
        children_of(server.pid())
    );
    server.stop();
}
