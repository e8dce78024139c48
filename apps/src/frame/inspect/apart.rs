//! Follows one direction by itself: its bytes alone tell where its frames are.

use bytes::Bytes;
use framing::{BoxFraming, FrameError, Machine, Received};

use super::{
    found::{After, End, Found, What},
    reads::Reads,
};

/// What one end sends.
pub(super) struct Apart {
    from: End,
    /// None after an error that is final.
    machine: Option<Machine<BoxFraming>>,
    reads: Reads,
    received: u64,
    /// Bytes that frames, and what is between them, have taken up.
    consumed: u64,
    ended: bool,
}

impl Apart {
    pub(super) fn new(from: End, framing: BoxFraming) -> Self {
        Self {
            from,
            machine: Some(Machine::new(framing)),
            reads: Reads::default(),
            received: 0,
            consumed: 0,
            ended: false,
        }
    }

    /// One read.
    pub(super) fn read(&mut self, bytes: Bytes, found: &mut Vec<Found>) {
        self.received += bytes.len() as u64;
        let Some(machine) = &mut self.machine else {
            self.push(What::Raw(bytes), found);
            return;
        };
        self.reads.arrived(bytes.len());
        machine.receive(&bytes);
        self.drain(found);
    }

    /// The end of the stream.
    pub(super) fn end(&mut self, found: &mut Vec<Found>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        match &mut self.machine {
            Some(machine) => {
                machine.close_input();
                self.drain(found);
            }
            None => self.push(What::End, found),
        }
    }

    /// Some bytes are missing: what comes can no longer be followed.
    pub(super) fn give_up(&mut self, found: &mut Vec<Found>) {
        if let Some(machine) = self.machine.take() {
            self.reads = Reads::default();
            self.show_rest(machine, found);
        }
    }

    /// How many bytes of unfinished frames there are.
    pub(super) fn unfinished(&self) -> u64 {
        self.reads.left()
    }

    fn drain(&mut self, found: &mut Vec<Found>) {
        while let Some(machine) = &mut self.machine {
            let received = machine.next_frame();
            // What the framing would answer is not ours to send.
            machine.outbox().take_bytes();
            let wire = self.received - self.consumed - machine.read_buffer().len() as u64;
            match received {
                Ok(Received::Frame(payload)) => {
                    self.consumed += wire;
                    let pieces = self.reads.take(wire);
                    let frame = What::Frame {
                        payload,
                        wire,
                        pieces,
                    };
                    self.push(frame, found);
                }
                Ok(Received::End) => {
                    self.machine = None;
                    self.push(What::End, found);
                }
                // What was skipped on the way belongs to the next frame.
                Ok(_) => return,
                Err(error) => {
                    self.consumed += wire;
                    self.reads.take(wire);
                    self.fail(error, found);
                }
            }
        }
    }

    fn fail(&mut self, error: FrameError, found: &mut Vec<Found>) {
        let after = match (error.is_recoverable(), self.ended) {
            (true, _) => After::Frames,
            (false, true) => After::Nothing,
            (false, false) => After::Raw,
        };
        let what = What::Error {
            offset: error.offset(),
            first: error.first_bytes(),
            error,
            after,
        };
        self.push(what, found);
        if after != After::Frames {
            self.give_up(found);
        }
        if after == After::Nothing {
            self.push(What::End, found);
        }
    }

    fn show_rest(&self, machine: Machine<BoxFraming>, found: &mut Vec<Found>) {
        let (_, rest) = machine.into_parts();
        if !rest.is_empty() {
            self.push(What::Raw(rest), found);
        }
    }

    fn push(&self, what: What, found: &mut Vec<Found>) {
        let from = self.from;
        found.push(Found { from, what });
    }
}
