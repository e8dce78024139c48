//! One case: what is read and done, and all that must come of it.
//!
//! A case runs on a machine and over a connection, at every split of its bytes. What is expected
//! is written as text, one line a thing, so that a row of a table reads like the case itself:
//! `frame hello`, `end`, `too-long 11 > 10 @0`, `truncated body 2 of 5 @6`, `malformed @3`.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use framing::{
    BoxFraming, Connection, Error, ErrorKind, FrameError, FramingFactory, Machine, Received,
    Registry, testkit::every_split,
};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_test::task::spawn;

/// A case under construction.
#[derive(Debug)]
pub(crate) struct Case {
    factory: FramingFactory,
    acts: Vec<Act>,
    expected: Vec<String>,
    says: Vec<&'static str>,
    written: Option<Vec<u8>>,
    gives_back: Option<&'static [u8]>,
    only_given_cuts: bool,
}

#[derive(Clone, Debug)]
enum Act {
    Read(Vec<u8>),
    Send(&'static [u8]),
    Wait(Duration),
    Eof,
}

/// Begins a case.
pub(crate) fn case(framing: &str) -> Case {
    let factory = Registry::default().parse(framing);
    Case {
        factory: factory.unwrap_or_else(|error| panic!("{framing}: {error}")),
        acts: Vec::new(),
        expected: Vec::new(),
        says: Vec::new(),
        written: None,
        gives_back: None,
        only_given_cuts: false,
    }
}

impl Case {
    /// One read.
    pub(crate) fn read(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.acts.push(Act::Read(bytes.as_ref().to_vec()));
        self
    }

    /// The end of the stream.
    pub(crate) fn eof(mut self) -> Self {
        self.acts.push(Act::Eof);
        self
    }

    /// A frame to be sent.
    pub(crate) fn send(mut self, frame: &'static [u8]) -> Self {
        self.acts.push(Act::Send(frame));
        self
    }

    /// Time passes.
    pub(crate) fn wait(mut self, duration: Duration) -> Self {
        self.acts.push(Act::Wait(duration));
        self
    }

    /// What comes out, one line a thing.
    pub(crate) fn gives<const N: usize>(mut self, lines: [&str; N]) -> Self {
        self.expected = lines.map(str::to_owned).into();
        self
    }

    /// All that is written.
    pub(crate) fn writes(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.written = Some(bytes.as_ref().to_vec());
        self
    }

    /// Part of the last error's text.
    pub(crate) fn says(mut self, text: &'static str) -> Self {
        self.says.push(text);
        self
    }

    /// The frame that the last error carries.
    pub(crate) fn gives_back(mut self, frame: &'static [u8]) -> Self {
        self.gives_back = Some(frame);
        self
    }

    /// The reads are as they stand here: where time passes between them, they matter.
    pub(crate) fn keep_cuts(mut self) -> Self {
        self.only_given_cuts = true;
        self
    }

    /// Runs it every way there is.
    pub(crate) fn run(self) {
        for acts in self.every_cut() {
            self.assert(
                &acts,
                on_a_machine(self.factory.make(), &acts),
                "on a machine",
            );
            self.assert(
                &acts,
                on_a_connection(self.factory.make(), &acts),
                "over a connection",
            );
        }
    }

    fn assert(&self, acts: &[Act], outcome: Outcome, how: &str) {
        assert_eq!(outcome.lines, self.expected, "{how}: {acts:?}");
        if let Some(written) = &self.written {
            assert_eq!(
                outcome.written.escape_ascii().to_string(),
                written.escape_ascii().to_string(),
                "written {how}: {acts:?}"
            );
        }
        for text in &self.says {
            let said = outcome
                .error
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                said.contains(text),
                "{said:?} does not say {text:?}, {how}: {acts:?}"
            );
        }
        if let Some(frame) = self.gives_back {
            let back = outcome.error.as_ref().and_then(FrameError::frame);
            assert_eq!(
                back,
                Some(&Bytes::from_static(frame)),
                "given back {how}: {acts:?}"
            );
        }
    }

    /// The acts with their reads as given, whole, byte by byte, and at every single split.
    fn every_cut(&self) -> Vec<Vec<Act>> {
        let mut all = vec![self.acts.clone()];
        if self.only_given_cuts {
            return all;
        }
        // Reads that follow one another are one stretch of the stream.
        let mut stretches: Vec<Act> = Vec::new();
        for act in &self.acts {
            match (stretches.last_mut(), act) {
                (Some(Act::Read(before)), Act::Read(bytes)) => before.extend_from_slice(bytes),
                _ => stretches.push(act.clone()),
            }
        }
        let cut = |which: Option<usize>, pieces: &dyn Fn(&[u8]) -> Vec<Act>| -> Vec<Act> {
            let acts = stretches
                .iter()
                .enumerate()
                .flat_map(|(index, act)| match act {
                    Act::Read(bytes) if which.is_none_or(|which| which == index) => pieces(bytes),
                    other => vec![other.clone()],
                });
            acts.collect()
        };
        let read = |piece: &[u8]| Act::Read(piece.to_vec());
        all.push(stretches.clone());
        all.push(cut(None, &|bytes| bytes.chunks(1).map(read).collect()));
        for (index, act) in stretches.iter().enumerate() {
            let Act::Read(bytes) = act else { continue };
            if bytes.len() > 4096 {
                // Every place would take too long; the interesting ones are at the ends.
                for at in [1, 2, 3, bytes.len() - 2, bytes.len() - 1] {
                    let (front, back) = bytes.split_at(at);
                    all.push(cut(Some(index), &|_| vec![read(front), read(back)]));
                }
                continue;
            }
            for pieces in every_split(bytes).skip(2) {
                all.push(cut(Some(index), &|_| {
                    pieces.iter().map(|piece| read(piece)).collect()
                }));
            }
        }
        all
    }
}

/// What came of a case.
#[derive(Debug, Default)]
struct Outcome {
    lines: Vec<String>,
    written: Vec<u8>,
    error: Option<FrameError>,
}

impl Outcome {
    fn frame(&mut self, frame: &Bytes) {
        // Long frames by size: the rows stay readable.
        let line = match frame.len() {
            0..=100 => format!("frame {}", frame.escape_ascii()),
            length => format!("frame of {length}"),
        };
        self.lines.push(line);
    }

    fn fails(&mut self, error: FrameError) {
        let line = match (error.kind(), error.declared(), error.part()) {
            (ErrorKind::Unencodable, ..) => "unencodable".to_owned(),
            (ErrorKind::TooLong, declared, _) => format!(
                "too-long {} > {} @{}",
                declared.map_or("?".into(), |declared| declared.to_string()),
                error.limit().unwrap_or_default(),
                error.offset()
            ),
            (ErrorKind::Truncated, _, Some(part)) => format!(
                "truncated {part} {} of {} @{}",
                error.have(),
                error.need().map_or("?".into(), |need| need.to_string()),
                error.offset()
            ),
            (kind, ..) => format!("{kind} @{}", error.offset()),
        };
        let line = if error.is_recoverable() {
            line + ", skipped"
        } else {
            line
        };
        self.lines.push(line);
        self.error = Some(error);
    }
}

fn on_a_machine(framing: BoxFraming, acts: &[Act]) -> Outcome {
    let mut machine = Machine::new(framing);
    let mut outcome = Outcome::default();
    let mut over = false;
    let mut now = std::time::Instant::now();
    machine.set_now(now);
    for act in acts {
        match act {
            Act::Read(bytes) => machine.receive(bytes),
            Act::Eof => machine.close_input(),
            Act::Send(frame) => {
                if let Err(error) = machine.send(Bytes::from_static(frame)) {
                    outcome.fails(error);
                }
            }
            Act::Wait(duration) => {
                now += *duration;
                machine.set_now(now);
            }
        }
        loop {
            let (next, ends) = match machine.next_frame() {
                Ok(Received::Need(_)) => break,
                Ok(Received::Frame(frame)) => {
                    assert!(!over, "a frame after the end, {acts:?}");
                    outcome.frame(&frame);
                    continue;
                }
                Err(error) if error.is_recoverable() => {
                    outcome.fails(error);
                    continue;
                }
                Ok(received) => (Ok(received), true),
                Err(error) => (Err(error), true),
            };
            for _ in 0..3 {
                assert_eq!(machine.next_frame(), next, "it comes again, {acts:?}");
            }
            if ends && !std::mem::replace(&mut over, true) {
                match next {
                    Ok(_) => outcome.lines.push("end".into()),
                    Err(error) => outcome.fails(error),
                }
            }
            break;
        }
        let written = machine.outbox().take_bytes();
        outcome.written.extend_from_slice(&written);
    }
    outcome
}

/// The same over a pipe, with the clock paused.
fn on_a_connection(framing: BoxFraming, acts: &[Act]) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(over_a_pipe(framing, acts))
}

async fn over_a_pipe(framing: BoxFraming, acts: &[Act]) -> Outcome {
    let (ours, mut theirs) = tokio::io::duplex(4 * 1024 * 1024);
    let mut connection = spawn(Connection::new(ours, framing));
    let mut outcome = Outcome::default();
    let mut unsent = VecDeque::new();
    let mut over = false;
    for act in acts {
        match act {
            Act::Read(bytes) => theirs.write_all(bytes).await.unwrap(),
            Act::Eof => theirs.shutdown().await.unwrap(),
            Act::Send(frame) => unsent.push_back(Bytes::from_static(frame)),
            Act::Wait(duration) => tokio::time::advance(*duration).await,
        }
        loop {
            let mut moved = false;
            if !unsent.is_empty() && connection.enter(|cx, sink| sink.poll_ready(cx)).is_ready() {
                // An error of the sink comes out of the stream as well, but one of this frame.
                if let Some(frame) = unsent.pop_front()
                    && let Err(Error::Frame(error)) =
                        connection.enter(|_, sink| sink.start_send(frame))
                    && error.kind() == ErrorKind::Unencodable
                {
                    outcome.fails(error);
                }
                moved = true;
            }
            if !over {
                let _ = connection.enter(|cx, sink| sink.poll_flush(cx));
            }
            let polled = connection.enter(|cx, stream| stream.poll_next(cx));
            match polled {
                std::task::Poll::Pending => {
                    if !moved && !connection.is_woken() {
                        break;
                    }
                }
                std::task::Poll::Ready(Some(Ok(frame))) => {
                    assert!(!over, "a frame after the end, {acts:?}");
                    outcome.frame(&frame);
                }
                std::task::Poll::Ready(Some(Err(Error::Frame(error)))) => {
                    assert!(!over, "an error after the end, {acts:?}");
                    over = !error.is_recoverable();
                    outcome.fails(error);
                }
                std::task::Poll::Ready(Some(Err(error))) => panic!("{error}: {acts:?}"),
                std::task::Poll::Ready(None) => {
                    if !std::mem::replace(&mut over, true) {
                        outcome.lines.push("end".into());
                    }
                    break;
                }
            }
        }
    }
    drop(connection);
    theirs.read_to_end(&mut outcome.written).await.unwrap();
    outcome
}
