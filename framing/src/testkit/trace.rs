//! What comes out of a stream, in a form that can be compared.

use bytes::Bytes;

use crate::{ErrorKind, FrameError, Framing, Machine, Part, Received};

/// One thing that comes out of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A frame.
    Frame(Bytes),
    /// A bad frame, or the error that ends everything.
    Problem(Problem),
    /// The clean end.
    End,
}

/// What an error says, without what depends on how many bytes had arrived when it was found: the
/// first bytes, and the hint drawn from them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "each is the accessor of the same name of `FrameError`"
)]
pub struct Problem {
    pub kind: ErrorKind,
    pub declared: Option<u128>,
    pub limit: Option<usize>,
    pub part: Option<Part>,
    pub have: usize,
    pub need: Option<usize>,
    pub offset: u64,
    pub recoverable: bool,
    /// Its text.
    pub message: String,
}

impl From<&FrameError> for Problem {
    fn from(error: &FrameError) -> Self {
        let mut message = error.to_string();
        if let Some(hint) = error.hint()
            && let Some(rest) = message.strip_suffix(&format!(" ({hint})"))
        {
            message.truncate(rest.len());
        }
        Self {
            kind: error.kind(),
            declared: error.declared(),
            limit: error.limit(),
            part: error.part(),
            have: error.have(),
            need: error.need(),
            offset: error.offset(),
            recoverable: error.is_recoverable(),
            message,
        }
    }
}

/// All that comes out of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trace {
    /// In order; a final error or the end comes last.
    pub events: Vec<Event>,
    /// What the framing answered.
    pub replies: Vec<u8>,
}

impl Trace {
    /// The frames alone.
    pub fn frames(&self) -> impl Iterator<Item = &Bytes> {
        self.events.iter().filter_map(|event| match event {
            Event::Frame(frame) => Some(frame),
            _ => None,
        })
    }

    /// The first problem.
    pub fn problem(&self) -> Option<&Problem> {
        self.events.iter().find_map(|event| match event {
            Event::Problem(problem) => Some(problem),
            _ => None,
        })
    }
}

/// Feeds `pieces` to `framing`, one a read, and then the end of the stream if it `ends`.
///
/// # Panics
///
/// If a call repeated without new bytes gives another answer, if [`Received::Need`] asks for no
/// bytes or for more than the next frame had missing, or if something follows a final error.
///
/// ```
/// use framing::{Delimiter, testkit::{Event, trace}};
///
/// let trace = trace(Delimiter::default(), &[b"one\ntw", b"o\n"], true);
/// assert_eq!(trace.events, [Event::Frame("one".into()), Event::Frame("two".into()), Event::End]);
/// ```
pub fn trace<F: Framing>(framing: F, pieces: &[&[u8]], ends: bool) -> Trace {
    let mut tracer = Tracer {
        machine: Machine::new(framing),
        trace: Trace::default(),
        missing: 0,
    };
    for piece in pieces {
        tracer.machine.receive(piece);
        tracer.drain(piece.len());
    }
    if ends {
        tracer.machine.close_input();
        tracer.drain(usize::MAX);
    }
    tracer.trace
}

struct Tracer<F> {
    machine: Machine<F>,
    trace: Trace,
    /// At least so many bytes must come before there can be a frame.
    missing: usize,
}

impl<F: Framing> Tracer<F> {
    /// Takes all that can be had after `arrived` further bytes.
    fn drain(&mut self, arrived: usize) {
        let mut first = true;
        loop {
            let result = self.machine.next_frame();
            let repeats = match &result {
                Ok(Received::Need(_) | Received::End) => true,
                Ok(_) => false,
                Err(error) => !error.is_recoverable(),
            };
            if repeats {
                let again = (self.machine.next_frame(), self.machine.next_frame());
                assert_eq!(again, (result.clone(), result.clone()), "a repeated call");
            }
            match result {
                Ok(Received::Need(count)) => {
                    assert!(count > 0, "`Need` asks for no bytes");
                    self.missing = count;
                    break;
                }
                Ok(Received::Frame(frame)) => {
                    assert!(
                        !first || arrived >= self.missing,
                        "a frame came after {arrived} bytes, but {} were needed",
                        self.missing
                    );
                    self.trace.events.push(Event::Frame(frame));
                }
                Ok(Received::End) => return self.finish(Event::End),
                Err(error) => {
                    let event = Event::Problem(Problem::from(&error));
                    if !error.is_recoverable() {
                        return self.finish(event);
                    }
                    self.trace.events.push(event);
                }
            }
            first = false;
        }
        self.collect();
    }

    fn collect(&mut self) {
        let replies = self.machine.outbox().take_bytes();
        self.trace.replies.extend_from_slice(&replies);
    }

    /// Notes what comes again at every call.
    fn finish(&mut self, event: Event) {
        let repeated = self.trace.events.last() == Some(&event);
        let final_before = match self.trace.events.last() {
            Some(Event::End) => true,
            Some(Event::Problem(problem)) => !problem.recoverable,
            _ => false,
        };
        if final_before {
            assert!(
                repeated,
                "{event:?} came after {:?}",
                self.trace.events.last()
            );
        } else {
            self.trace.events.push(event);
        }
        self.collect();
    }
}
