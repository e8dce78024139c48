//! What comes out of a stream, in a form that can be compared.

use bytes::Bytes;

use super::{
    checked::Bench,
    cuts,
    law::{Broken, Kept, Law},
};
use crate::{ErrorKind, FrameError, Framing, Part, Received};

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
/// If a [law](super) is broken on the way: a call repeated without new bytes gives another answer,
/// [`Received::Need`] asks for no bytes or for more than the next frame had missing, a step is not
/// inside the input, something follows a final error, or the framing panics.
///
/// ```
/// use framing::{Delimiter, testkit::{Event, trace}};
///
/// let trace = trace(Delimiter::default(), &[b"one\ntw", b"o\n"], true);
/// assert_eq!(trace.events, [Event::Frame("one".into()), Event::Frame("two".into()), Event::End]);
/// ```
pub fn trace<F: Framing>(framing: F, pieces: &[&[u8]], ends: bool) -> Trace {
    run(Bench::new(framing), pieces, ends, Calls::Repeated)
        .unwrap_or_else(|broken| panic!("{broken}"))
}

/// How often everything is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Calls {
    Once,
    /// Whatever can be asked again is asked three times.
    Repeated,
}

/// The same, with the law that is broken.
pub(super) fn run<F: Framing>(
    bench: Bench<F>,
    pieces: &[&[u8]],
    ends: bool,
    calls: Calls,
) -> Kept<Trace> {
    let mut tracer = Tracer {
        bench,
        trace: Trace::default(),
        arrived: 0,
        earliest: 0,
        calls,
    };
    let mut feed = || {
        for piece in pieces {
            tracer.bench.receive(piece);
            tracer.arrived += piece.len();
            tracer.drain()?;
        }
        if ends {
            tracer.bench.close_input();
            // The end may complete what no byte can.
            tracer.earliest = 0;
            tracer.drain()?;
        }
        Ok(())
    };
    feed().map_err(|broken: Broken| broken.while_doing(format!("fed with {}", cuts(pieces))))?;
    Ok(tracer.trace)
}

struct Tracer<F> {
    bench: Bench<F>,
    trace: Trace,
    /// How many bytes have come.
    arrived: usize,
    /// How many must have come before there can be a frame.
    earliest: usize,
    calls: Calls,
}

impl<F: Framing> Tracer<F> {
    /// Takes all that can be had.
    fn drain(&mut self) -> Kept {
        loop {
            let result = self.bench.next()?;
            let repeats = match &result {
                Ok(Received::Need(_) | Received::End) => true,
                Ok(_) => false,
                Err(error) => !error.is_recoverable(),
            };
            if repeats && self.calls == Calls::Repeated {
                self.repeat(&result)?;
            }
            match result {
                Ok(Received::Need(count)) => {
                    let enough = self.arrived.saturating_add(count);
                    self.earliest = self.earliest.max(enough);
                    break;
                }
                Ok(Received::Frame(frame)) => {
                    Law::HonestSteps.holds(self.arrived >= self.earliest, || {
                        format!(
                            "`Need` told of {} bytes, and a frame came after {}",
                            self.earliest, self.arrived
                        )
                    })?;
                    self.earliest = 0;
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
        }
        self.collect();
        Ok(())
    }

    /// Asks again, which must change nothing.
    fn repeat(&mut self, result: &Result<Received, FrameError>) -> Kept {
        let before = (self.bench.unsent(), self.bench.framing().deadline());
        for _ in 0..2 {
            let again = self.bench.next()?;
            Law::HonestSteps.holds(again == *result, || {
                format!("a call repeated without new bytes answers {again:?} after {result:?}")
            })?;
        }
        let after = (self.bench.unsent(), self.bench.framing().deadline());
        Law::HonestSteps.holds(before == after, || {
            "a call repeated without new bytes answers the peer or moves the deadline".to_owned()
        })
    }

    fn collect(&mut self) {
        let replies = self.bench.written();
        self.trace.replies.extend_from_slice(&replies);
    }

    /// Notes what comes again at every call.
    fn finish(&mut self, event: Event) -> Kept {
        let last = self.trace.events.last();
        let final_before = match last {
            Some(Event::End) => true,
            Some(Event::Problem(problem)) => !problem.recoverable,
            _ => false,
        };
        if final_before {
            Law::ErrorsAreFinal.holds(last == Some(&event), || {
                format!("{event:?} comes after {last:?}")
            })?;
        } else {
            self.trace.events.push(event);
        }
        self.collect();
        Ok(())
    }
}
