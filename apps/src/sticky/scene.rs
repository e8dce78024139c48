//! Plays the scenes: a client that sends messages with nothing around them, a server that reads.
//!
//! Both sides are threads with blocking sockets, as in the scripts that people write first. The server
//! reads until the stream ends, so that every byte is accounted for.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::Barrier,
    thread,
    time::Duration,
};

use bytes::Bytes;

use super::{
    sockets::{LATEST, SocketOptions, wait_for},
    tape::{Call, Looked, Record, Side, Tape},
};

/// What is sent, under the letter that the pictures give it.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) letter: char,
    pub(super) content: Bytes,
}

/// The two short messages: `hello` and `sigui`.
pub(super) fn short() -> Vec<Message> {
    messages(["hello".into(), "sigui".into()])
}

/// A message of 2000 bytes, and one of 1000.
pub(super) fn long() -> Vec<Message> {
    messages([vec![b'a'; 2000].into(), vec![b'b'; 1000].into()])
}

fn messages(contents: [Bytes; 2]) -> Vec<Message> {
    ('A'..)
        .zip(contents)
        .map(|(letter, content)| Message { letter, content })
        .collect()
}

/// How it is played.
#[derive(Clone, Copy, Debug)]
pub(super) struct Play {
    pub(super) sockets: SocketOptions,
    /// Between one message and the next.
    pub(super) delay: Duration,
    /// The most that one `recv` takes.
    pub(super) read_size: usize,
}

/// Which scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plot {
    /// Two sends, one read.
    TwoSendsOneRead,
    /// One message, two reads.
    OneMessageTwoReads,
    /// The first over UDP.
    TwoSendsUdp,
    /// The second over UDP.
    LongUdp,
}

impl Plot {
    /// As in JSON and in the names of files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TwoSendsOneRead => "two-sends-one-read",
            Self::OneMessageTwoReads => "one-message-two-reads",
            Self::TwoSendsUdp => "two-sends-udp",
            Self::LongUdp => "long-messages-udp",
        }
    }

    /// Whether each message travels in a datagram of its own.
    pub(super) fn is_udp(self) -> bool {
        matches!(self, Self::TwoSendsUdp | Self::LongUdp)
    }

    fn messages(self) -> Vec<Message> {
        match self {
            Self::TwoSendsOneRead | Self::TwoSendsUdp => short(),
            Self::OneMessageTwoReads | Self::LongUdp => long(),
        }
    }
}

/// A scene that has been played.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) plot: Plot,
    pub(super) messages: Vec<Message>,
    pub(super) record: Record,
}

impl Scene {
    /// Plays it with a reader that comes late: all has arrived before its first `recv`.
    pub(super) fn play(plot: Plot, play: &Play) -> io::Result<Self> {
        let messages = plot.messages();
        let record = if plot.is_udp() {
            datagrams(&messages, play)?
        } else {
            late_reader(&messages, play)?
        };
        Ok(Self {
            plot,
            messages,
            record,
        })
    }
}

fn late_reader(messages: &[Message], play: &Play) -> io::Result<Record> {
    let (client, server) = play.sockets.pair()?;
    let tape = Tape::new();
    let looked = thread::scope(|scope| {
        let sender = scope.spawn(|| send_all(client, &tape, messages, play.delay));
        let total = messages.iter().map(|message| message.content.len()).sum();
        let waiting = wait_for(&server, total, all_delays(messages, play.delay) + LATEST)?;
        let at = tape.now();
        read_all(server, &tape, play.read_size)?;
        joined(sender.join())?;
        io::Result::Ok(Looked { at, waiting })
    })?;
    Ok(tape.finish(Some(looked)))
}

/// Plays the two sends once with a reader that is there from the beginning.
pub(super) fn free_run(play: &Play) -> io::Result<Record> {
    let messages = short();
    let listener = play.sockets.listen()?;
    let tape = Tape::new();
    let ready = Barrier::new(2);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            ready.wait();
            let server = play.sockets.accept(&listener)?;
            read_all(server, &tape, play.read_size)
        });
        // Not before the reader is about to accept, so that it is not late because its thread is.
        ready.wait();
        let client = play.sockets.connect(&listener)?;
        send_all(client, &tape, &messages, play.delay)?;
        joined(reader.join())
    })?;
    Ok(tape.finish(None))
}

/// All pauses between the messages.
pub(super) fn all_delays(messages: &[Message], delay: Duration) -> Duration {
    messages.iter().skip(1).map(|_| delay).sum()
}

fn send_all(
    mut client: TcpStream,
    tape: &Tape,
    messages: &[Message],
    delay: Duration,
) -> io::Result<()> {
    for (number, message) in messages.iter().enumerate() {
        if number > 0 && !delay.is_zero() {
            thread::sleep(delay);
        }
        let mut rest = message.content.clone();
        while !rest.is_empty() {
            let began = tape.now();
            let taken = client.write(&rest)?;
            if taken == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            let asked = rest.len();
            let bytes = rest.split_to(taken);
            tape.note(Side::Client, Call::Send, asked, began, bytes);
        }
    }
    let began = tape.now();
    client.shutdown(Shutdown::Write)?;
    tape.note(Side::Client, Call::Close, 0, began, Bytes::new());
    Ok(())
}

fn read_all(mut server: TcpStream, tape: &Tape, read_size: usize) -> io::Result<()> {
    let mut buffer = vec![0; read_size];
    loop {
        let began = tape.now();
        let taken = server.read(&mut buffer)?;
        let bytes = Bytes::copy_from_slice(&buffer[..taken]);
        tape.note(Side::Server, Call::Recv, read_size, began, bytes);
        if taken == 0 {
            return Ok(());
        }
    }
}

/// Each message in a datagram; what does not fit into a `recv` is lost, and none is joined to another.
fn datagrams(messages: &[Message], play: &Play) -> io::Result<Record> {
    let (client, server) = play.sockets.datagram_pair()?;
    let tape = Tape::new();
    for (number, message) in messages.iter().enumerate() {
        if number > 0 && !play.delay.is_zero() {
            thread::sleep(play.delay);
        }
        let began = tape.now();
        let taken = client.send(&message.content)?;
        let bytes = message.content.slice(..taken);
        let asked = message.content.len();
        tape.note(Side::Client, Call::Send, asked, began, bytes);
    }
    let mut buffer = vec![0; play.read_size];
    for _ in messages {
        let began = tape.now();
        let taken = match server.recv(&mut buffer) {
            Ok(taken) => taken,
            // Dropped for want of room: nobody tells either side.
            Err(error) if timed_out(&error) => break,
            Err(error) => return Err(error),
        };
        let bytes = Bytes::copy_from_slice(&buffer[..taken]);
        tape.note(Side::Server, Call::Recv, play.read_size, began, bytes);
    }
    Ok(tape.finish(None))
}

fn timed_out(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// What a side came to.
fn joined(result: thread::Result<io::Result<()>>) -> io::Result<()> {
    result.unwrap_or_else(|_| Err(io::Error::other("one side has panicked")))
}
