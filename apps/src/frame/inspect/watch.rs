//! Takes copies of what went through apart, in a thread of its own, and prints what it finds.

use std::{
    collections::HashMap,
    io::{self, BufWriter, Write},
    sync::mpsc::TryRecvError,
    thread,
    time::Instant,
};

use framing::FramingFactory;
use tokio::sync::oneshot;

use super::{
    apart::Apart,
    found::{End, Found, What},
    handshake::{Handshake, Rules},
    notes::{Event, Inbox, Note},
    report::{InRead, Report, When},
};

/// How the directions of each connection are followed.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    /// Each by itself, with a framing of its own; the client's first.
    Apart([FramingFactory; 2]),
    /// Together.
    Handshake(Rules),
}

/// Begins to watch; what comes out says how printing ended.
pub(super) fn start(plan: Plan, report: Report, inbox: Inbox) -> oneshot::Receiver<io::Result<()>> {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        let watch = Watch {
            plan,
            report,
            connections: HashMap::new(),
            printer: BufWriter::with_capacity(64 * 1024, io::stdout()),
        };
        // If nobody listens, the program is at its end.
        let _ = sender.send(watch.run(&inbox));
    });
    receiver
}

struct Watch<W: Write> {
    plan: Plan,
    report: Report,
    connections: HashMap<u64, Watched>,
    printer: W,
}

/// One connection.
struct Watched {
    start: Instant,
    follow: Follow,
    /// Bytes that went through, the client's first.
    passed: [u64; 2],
}

enum Follow {
    Apart(Box<[Apart; 2]>),
    Handshake(Box<Handshake>),
}

impl Follow {
    fn new(plan: &Plan) -> Self {
        match plan {
            Plan::Apart(factories) => {
                let follow = |end: End| Apart::new(end, factories[end.index()].make());
                Self::Apart(Box::new(End::BOTH.map(follow)))
            }
            Plan::Handshake(rules) => Self::Handshake(Box::new(Handshake::new(rules.clone()))),
        }
    }

    fn end(&mut self, from: End, found: &mut Vec<Found>) {
        match self {
            Self::Apart(ends) => ends[from.index()].end(found),
            Self::Handshake(both) => both.end(from, found),
        }
    }

    fn give_up(&mut self, from: End, found: &mut Vec<Found>) {
        match self {
            Self::Apart(ends) => ends[from.index()].give_up(found),
            Self::Handshake(both) => both.give_up(found),
        }
    }

    fn unfinished(&self, from: End) -> u64 {
        match self {
            Self::Apart(ends) => ends[from.index()].unfinished(),
            Self::Handshake(both) => both.unfinished(from),
        }
    }
}

impl<W: Write> Watch<W> {
    fn run(mut self, inbox: &Inbox) -> io::Result<()> {
        loop {
            let note = match inbox.next() {
                Ok(note) => Some(note),
                Err(TryRecvError::Empty) => {
                    self.printer.flush()?;
                    inbox.wait()
                }
                Err(TryRecvError::Disconnected) => None,
            };
            match note {
                Some(note) => self.note(note)?,
                None => return self.printer.flush(),
            }
        }
    }

    fn note(&mut self, note: Note) -> io::Result<()> {
        let report = self.report;
        let number = note.connection;
        if let Event::Opened(_) = note.event {
            let watched = Watched {
                start: note.at,
                follow: Follow::new(&self.plan),
                passed: [0; 2],
            };
            self.connections.insert(number, watched);
        }
        let mut watched = self.connections.get_mut(&number);
        let start = watched.as_ref().map_or(note.at, |watched| watched.start);
        let when = When {
            connection: number,
            time: note.at.saturating_duration_since(start),
        };
        let mut found = Vec::new();
        let mut in_read = None;
        match (&note.event, &mut watched) {
            (Event::Opened(peer), _) => self.print(report.opened(when, peer))?,
            (Event::Unwatched(connections), _) => {
                self.print(report.unwatched(when, *connections))?;
            }
            (Event::Read(from, bytes), Some(watched)) => {
                watched.passed[from.index()] += bytes.len() as u64;
                match &mut watched.follow {
                    Follow::Apart(ends) => ends[from.index()].read(bytes.clone(), &mut found),
                    Follow::Handshake(both) => both.read(*from, bytes.clone(), &mut found),
                }
                let frames = found.iter().filter(|found| is_frame(found, *from)).count();
                let rest = watched.follow.unfinished(*from);
                let frames = frames as u64;
                in_read = Some((*from, InRead { frames, rest }));
            }
            (Event::LeftOut(from, bytes, reads), Some(watched)) => {
                watched.passed[from.index()] += bytes;
                watched.follow.give_up(*from, &mut found);
                self.printer
                    .write_all(report.left_out(when, *from, *bytes, *reads).as_bytes())?;
            }
            (Event::Ended(from), Some(watched)) => watched.follow.end(*from, &mut found),
            (Event::Closed(why), Some(watched)) => {
                for end in End::BOTH {
                    watched.follow.end(end, &mut found);
                }
                if why.is_some() {
                    // It was cut off; only what that cut in two is of interest.
                    found.retain(|found| !matches!(found.what, What::End));
                }
            }
            (_, None) => {}
        }
        for found in &found {
            let in_read = in_read
                .filter(|(from, _)| *from == found.from)
                .map_or(InRead::default(), |(_, in_read)| in_read);
            self.print(report.found(when, found, in_read))?;
        }
        if let Event::Closed(why) = note.event
            && let Some(watched) = self.connections.remove(&number)
        {
            self.print(report.closed(when, watched.passed, why.as_deref()))?;
        }
        Ok(())
    }

    fn print(&mut self, line: String) -> io::Result<()> {
        self.printer.write_all(line.as_bytes())
    }
}

fn is_frame(found: &Found, from: End) -> bool {
    found.from == from && matches!(found.what, What::Frame { .. })
}
