//! Two machines that talk to each other, their bytes carried by hand.

use bytes::Bytes;

use super::{
    Random,
    checked::Bench,
    law::{Kept, Law},
    show,
};
use crate::Framing;

/// What two machines said to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Talk {
    /// The bytes that the first one wrote, and those of the second.
    pub wires: [Vec<u8>; 2],
    /// The frames that the first one received, and those of the second.
    pub received: [Vec<Bytes>; 2],
}

/// Lets two framings send `frames` to each other, the first those of the first list, until
/// everything has arrived: who writes when, and how many bytes (1 to `longest`) are carried at
/// a time, is left to chance.
///
/// # Panics
///
/// If a frame is refused, a stream goes wrong, or the two wait for each other for ever.
///
/// ```
/// use framing::{AckHandshake, testkit::{Random, talk}};
///
/// let frames = ["hello".into(), "5\n".into()];
/// let talk = talk(AckHandshake::default, [&frames, &frames], &mut Random::new(1), 3);
/// assert_eq!(talk.received, [frames.to_vec(), frames.to_vec()]);
/// ```
pub fn talk<F: Framing>(
    make: impl Fn() -> F,
    frames: [&[Bytes]; 2],
    random: &mut Random,
    longest: usize,
) -> Talk {
    converse(&make, frames, random, longest).unwrap_or_else(|broken| panic!("{broken}"))
}

/// The same, with the law that is broken.
pub(super) fn converse<F: Framing>(
    make: &impl Fn() -> F,
    frames: [&[Bytes]; 2],
    random: &mut Random,
    longest: usize,
) -> Kept<Talk> {
    let mut ends = [End::new(make(), frames[0]), End::new(make(), frames[1])];
    loop {
        let possible: Vec<Act> = [Act::Send(0), Act::Send(1), Act::Carry(0), Act::Carry(1)]
            .into_iter()
            .filter(|act| match *act {
                Act::Send(who) => ends[who].can_send(),
                Act::Carry(from) => !ends[from].on_the_way().is_empty(),
            })
            .collect();
        if possible.is_empty() {
            break;
        }
        match possible[random.below(possible.len())] {
            Act::Send(who) => ends[who].send()?,
            Act::Carry(from) => {
                let most = ends[from].on_the_way().len().min(longest);
                let piece = ends[from].on_the_way()[..1 + random.below(most)].to_vec();
                ends[from].carried += piece.len();
                ends[1 - from].receive(&piece)?;
            }
        }
    }
    for (who, end) in ends.iter().enumerate() {
        let law = Law::RoundTrip;
        law.holds(end.unsent.is_empty(), || {
            format!("end {who} waits for ever with {:?} unsent", end.unsent)
        })?;
        law.holds(end.bench.framing().is_ready(), || {
            format!("end {who} waits for ever for an answer")
        })?;
        law.holds(end.received == frames[1 - who], || {
            format!(
                "end {who} was sent {:?} and received {:?}",
                frames[1 - who],
                end.received
            )
        })?;
    }
    let [first, second] = ends;
    Ok(Talk {
        wires: [first.wire, second.wire],
        received: [first.received, second.received],
    })
}

/// The bytes of some frames on the wire, and where each frame ends.
pub(super) struct Wire {
    pub(super) bytes: Vec<u8>,
    /// One more than there are frames: the first is 0.
    pub(super) borders: Vec<usize>,
}

impl Wire {
    /// Sends one frame after the other to a receiver that answers.
    pub(super) fn of<F: Framing>(make: &impl Fn() -> F, frames: &[Bytes]) -> Kept<Self> {
        let mut ends = [End::new(make(), frames), End::new(make(), &[])];
        let mut borders = vec![0];
        while ends[0].can_send() {
            ends[0].send()?;
            while let Some(from) = (0..2).find(|&from| !ends[from].on_the_way().is_empty()) {
                let piece = ends[from].on_the_way().to_vec();
                ends[from].carried += piece.len();
                ends[1 - from].receive(&piece)?;
            }
            borders.push(ends[0].carried);
        }
        let [sender, receiver] = ends;
        Law::RoundTrip.holds(receiver.received == frames, || {
            format!(
                "{frames:?} were sent and {:?} received; the wire is {}",
                receiver.received,
                show(&sender.wire)
            )
        })?;
        Ok(Self {
            bytes: sender.wire,
            borders,
        })
    }
}

#[derive(Clone, Copy)]
enum Act {
    Send(usize),
    Carry(usize),
}

struct End<F> {
    bench: Bench<F>,
    unsent: Vec<Bytes>,
    wire: Vec<u8>,
    /// Bytes of `wire` that have arrived.
    carried: usize,
    received: Vec<Bytes>,
}

impl<F: Framing> End<F> {
    fn new(framing: F, frames: &[Bytes]) -> Self {
        Self {
            bench: Bench::new(framing),
            unsent: frames.iter().rev().cloned().collect(),
            wire: Vec::new(),
            carried: 0,
            received: Vec::new(),
        }
    }

    fn on_the_way(&self) -> &[u8] {
        &self.wire[self.carried..]
    }

    fn can_send(&self) -> bool {
        !self.unsent.is_empty() && self.bench.framing().is_ready()
    }

    fn send(&mut self) -> Kept {
        if let Some(frame) = self.unsent.pop() {
            self.bench.send_sample(&frame)?;
        }
        self.write();
        Ok(())
    }

    fn receive(&mut self, piece: &[u8]) -> Kept {
        self.bench.receive(piece);
        let (frames, last) = self
            .bench
            .drain()
            .map_err(|broken| broken.while_doing(format!("while {} arrives", show(piece))))?;
        self.received.extend(frames);
        if let Err(error) = last {
            return Err(Law::RoundTrip.broken(format!(
                "what was encoded is refused: {error}, at \"{}\"",
                error.first_bytes()
            )));
        }
        self.write();
        Ok(())
    }

    fn write(&mut self) {
        let written = self.bench.written();
        self.wire.extend_from_slice(&written);
    }
}
