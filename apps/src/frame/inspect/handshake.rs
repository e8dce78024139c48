//! Follows both directions of a connection whose frames are announced and agreed to.
//!
//! What one end sends next follows from what it has read: for an announcement its ack, for an ack its
//! body, strictly in that order. Only an announcement comes unasked; it begins with a digit, as no
//! ack does, and an end has one open at a time. So every byte has one meaning, given the order in
//! which the two directions were seen.
//!
//! Nothing here takes time: a number without a terminator (`bare`) is complete when it is answered,
//! or when something else follows it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use framing::{FrameError, Framing, FramingFactory, Machine, Part, Received};

use super::{
    found::{After, End, Found, What},
    reads::{Pieces, Reads},
};

/// Longer than any length.
const MAX_DIGITS: usize = 20;

/// Bytes kept beyond one frame.
const SLACK: usize = 64 * 1024;

/// What both ends send.
#[derive(Debug)]
pub(super) struct Handshake {
    rules: Rules,
    senders: [Sender; 2],
    /// Nothing can be followed any more.
    lost: bool,
}

/// How frames are announced and agreed to, read off what the framing itself does.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    factory: FramingFactory,
    ack: Bytes,
    bare: bool,
    max_frame: usize,
}

impl Rules {
    /// None if the framing does something else.
    pub(super) fn of(factory: &FramingFactory) -> Option<Self> {
        let framing = factory.make();
        let max_frame = framing.max_frame();
        let mut terminated = Machine::new(framing);
        terminated.receive(b"1\n");
        let waits_for_body = terminated.next_frame() == Ok(Received::Need(1));
        let ack = terminated.outbox().take_bytes();
        if !waits_for_body || ack.is_empty() {
            return None;
        }
        let mut unterminated = Machine::new(factory.make());
        unterminated.receive(b"1");
        let waits_for_digits = matches!(unterminated.next_frame(), Ok(Received::Need(_)));
        waits_for_digits.then(|| Self {
            factory: factory.clone(),
            ack,
            // Then a pause completes the number.
            bare: unterminated.deadline().is_some(),
            max_frame,
        })
    }

    /// The framing's own judgement of an announcement.
    fn judge(&self, announcement: &[u8]) -> Result<(), FrameError> {
        let mut machine = Machine::new(self.factory.make());
        machine.receive(announcement);
        machine.next_frame().map(drop)
    }
}

#[derive(Debug, Default)]
struct Sender {
    /// What it has sent and was not understood yet.
    input: BytesMut,
    /// Where in the stream `input` begins.
    offset: u64,
    reads: Reads,
    /// What it must answer to what it has read, in order.
    owes: VecDeque<Answer>,
    /// Its announcement that has no answer yet.
    open: Option<Announced>,
    /// Whether its numbers may have no terminator.
    bare: bool,
    ended: bool,
    end_told: bool,
}

#[derive(Debug)]
enum Answer {
    Ack,
    /// Never empty.
    Body(Announced),
}

#[derive(Debug)]
struct Announced {
    length: usize,
    wire: u64,
    pieces: Pieces,
}

/// How an announcement stands at the start of some bytes.
enum Number {
    /// So many digits, and all bytes with the terminator.
    Complete {
        digits: usize,
        consumed: usize,
    },
    Unfinished,
    Wrong,
}

impl Sender {
    /// Takes bytes that are understood.
    fn take(&mut self, bytes: usize) -> (Bytes, Pieces) {
        self.offset += bytes as u64;
        let pieces = self.reads.take(bytes as u64);
        let taken = self.input.split_to(bytes).freeze();
        if self.input.is_empty() {
            // A large body must not leave its buffer behind.
            self.input = BytesMut::new();
        }
        (taken, pieces)
    }

    fn starts_with_digit(&self) -> bool {
        self.input.first().is_some_and(u8::is_ascii_digit)
    }

    /// What comes from it now can only be an answer, and it answers the other end's last digits.
    fn answers(&self) -> bool {
        self.owes.is_empty() && !self.input.is_empty() && !self.starts_with_digit()
    }

    /// All that it has sent is a number that may be complete.
    fn is_answered_by_anything(&self) -> bool {
        let may_announce = match self.owes.front() {
            None | Some(Answer::Ack) => self.open.is_none(),
            Some(Answer::Body(_)) => false,
        };
        may_announce && matches!(self.number(true), Number::Complete { .. })
    }

    fn number(&self, answered: bool) -> Number {
        let input = &self.input[..];
        let digits = input.iter().take(MAX_DIGITS + 1);
        let digits = digits.take_while(|byte| byte.is_ascii_digit()).count();
        let complete = |consumed| Number::Complete { digits, consumed };
        match input[digits..] {
            _ if digits == 0 || digits > MAX_DIGITS => Number::Wrong,
            [b'\n', ..] => complete(digits + 1),
            [b'\r', b'\n', ..] => complete(digits + 2),
            [b'\r'] => Number::Unfinished,
            [] if self.bare && (answered || self.ended) => complete(digits),
            [] => Number::Unfinished,
            [..] if self.bare => complete(digits),
            [..] => Number::Wrong,
        }
    }
}

impl Handshake {
    pub(super) fn new(rules: Rules) -> Self {
        let sender = || Sender {
            bare: rules.bare,
            ..Sender::default()
        };
        Self {
            senders: [sender(), sender()],
            rules,
            lost: false,
        }
    }

    /// One read of what `from` sent.
    pub(super) fn read(&mut self, from: End, bytes: Bytes, found: &mut Vec<Found>) {
        if self.lost {
            found.push(Found {
                from,
                what: What::Raw(bytes),
            });
            return;
        }
        let sender = &mut self.senders[from.index()];
        sender.reads.arrived(bytes.len());
        sender.input.extend_from_slice(&bytes);
        self.advance(found);
    }

    /// The end of what `from` sends.
    pub(super) fn end(&mut self, from: End, found: &mut Vec<Found>) {
        self.senders[from.index()].ended = true;
        if self.lost {
            self.tell_ends(found);
        } else {
            self.advance(found);
        }
    }

    /// Some bytes are missing: what comes can no longer be followed.
    pub(super) fn give_up(&mut self, found: &mut Vec<Found>) {
        if std::mem::replace(&mut self.lost, true) {
            return;
        }
        for from in End::BOTH {
            let rest = std::mem::take(&mut self.senders[from.index()].input).freeze();
            if !rest.is_empty() {
                let what = What::Raw(rest);
                found.push(Found { from, what });
            }
        }
        self.tell_ends(found);
    }

    /// How many bytes of `from` are of nothing complete.
    pub(super) fn unfinished(&self, from: End) -> u64 {
        self.senders[from.index()].reads.left()
    }

    fn tell_ends(&mut self, found: &mut Vec<Found>) {
        for from in End::BOTH {
            let sender = &mut self.senders[from.index()];
            if sender.ended && !std::mem::replace(&mut sender.end_told, true) {
                let what = What::End;
                found.push(Found { from, what });
            }
        }
    }

    /// Finds what there is to be found; what is found in one direction may tell what the other means.
    fn advance(&mut self, found: &mut Vec<Found>) {
        let mut quiet = 0;
        for from in End::BOTH.into_iter().cycle() {
            match self.step(from) {
                Ok(Some(what)) => {
                    quiet = 0;
                    found.extend(what.into_iter().map(|what| Found { from, what }));
                }
                Ok(None) => quiet += 1,
                Err(error) => {
                    self.fail(from, error, found);
                    return;
                }
            }
            if quiet == End::BOTH.len() {
                return;
            }
        }
    }

    fn fail(&mut self, from: End, error: FrameError, found: &mut Vec<Found>) {
        let sender = &self.senders[from.index()];
        let first = &sender.input[..sender.input.len().min(16)];
        let all_ended = self.senders.iter().all(|sender| sender.ended);
        let what = What::Error {
            offset: error.offset(),
            first: first.escape_ascii().to_string(),
            error,
            after: if all_ended {
                After::Nothing
            } else {
                After::BothRaw
            },
        };
        found.push(Found { from, what });
        self.give_up(found);
    }

    /// The next thing that `from` sent, if all of it is here. An error's offset is in the stream.
    fn step(&mut self, from: End) -> Result<Option<Vec<What>>, FrameError> {
        let other = &self.senders[from.other().index()];
        let sender = &self.senders[from.index()];
        let answered = other.answers();
        if sender.answers() && other.is_answered_by_anything() {
            // First the other end's number is complete.
            return Ok(None);
        }
        let here = sender.offset as usize;
        match sender.owes.front() {
            Some(Answer::Body(body)) => {
                if sender.input.len() >= body.length {
                    return Ok(self.body(from));
                }
                if sender.ended {
                    let (have, need) = (sender.input.len(), body.length);
                    return Err(FrameError::truncated(Part::Body, have, need).at(here + have));
                }
            }
            Some(Answer::Ack) if sender.open.is_some() || !sender.starts_with_digit() => {
                return self.ack(from);
            }
            None if sender.open.is_some() => {
                // A body that did not wait for its ack. Once the ack has passed, it counts.
                if sender.input.len() > self.rules.max_frame.saturating_add(SLACK) {
                    let message = "more than a whole frame came without waiting for an ack";
                    return Err(FrameError::malformed(message).at(here));
                }
            }
            _ if !sender.input.is_empty() => return self.announcement(from, answered),
            _ => {
                let sender = &mut self.senders[from.index()];
                if sender.ended && !std::mem::replace(&mut sender.end_told, true) {
                    return Ok(Some(vec![What::End]));
                }
            }
        }
        Ok(None)
    }

    fn body(&mut self, from: End) -> Option<Vec<What>> {
        let sender = &mut self.senders[from.index()];
        let Some(Answer::Body(body)) = sender.owes.pop_front() else {
            return None;
        };
        let (payload, pieces) = sender.take(body.length);
        Some(vec![What::Frame {
            wire: body.wire + payload.len() as u64,
            payload,
            pieces: body.pieces.and(pieces),
        }])
    }

    fn ack(&mut self, from: End) -> Result<Option<Vec<What>>, FrameError> {
        let ack = self.rules.ack.clone();
        let [sender, other] = self.pair(from);
        let here = sender.offset as usize;
        let have = sender.input.len().min(ack.len());
        if sender.input[..have] != ack[..have] {
            let message = format!(
                "an announcement is answered with something else than \"{}\"",
                ack.escape_ascii()
            );
            return Err(FrameError::refused(message).at(here));
        }
        if have < ack.len() {
            return match sender.ended {
                true => Err(FrameError::truncated(Part::Ack, have, ack.len()).at(here + have)),
                false => Ok(None),
            };
        }
        sender.take(have);
        sender.owes.pop_front();
        if let Some(announced) = other.open.take()
            && announced.length > 0
        {
            other.owes.push_back(Answer::Body(announced));
        }
        Ok(Some(vec![What::Ack { wire: have as u64 }]))
    }

    fn announcement(&mut self, from: End, answered: bool) -> Result<Option<Vec<What>>, FrameError> {
        let sender = &self.senders[from.index()];
        let here = sender.offset as usize;
        let placed = |error: FrameError| {
            let offset = here + error.offset() as usize;
            error.at(offset)
        };
        let (digits, consumed) = match sender.number(answered) {
            Number::Complete { digits, consumed } => (digits, consumed),
            Number::Unfinished if sender.ended => {
                let have = sender.input.len();
                return Err(FrameError::truncated(Part::Header, have, None).at(here + have));
            }
            Number::Unfinished => return Ok(None),
            Number::Wrong => {
                let start = &sender.input[..sender.input.len().min(MAX_DIGITS + 2)];
                self.rules.judge(start).map_err(placed)?;
                return Err(FrameError::malformed("this is no announcement").at(here));
            }
        };
        let number = &sender.input[..digits];
        self.rules
            .judge(&[number, b"\n"].concat())
            .map_err(placed)?;
        let number = std::str::from_utf8(number)
            .ok()
            .and_then(|n| n.parse().ok());
        let Some(length) = number else {
            return Err(FrameError::malformed("this length cannot be").at(here));
        };
        let [sender, other] = self.pair(from);
        sender.bare &= consumed == digits;
        let (taken, pieces) = sender.take(consumed);
        let wire = taken.len() as u64;
        other.owes.push_back(Answer::Ack);
        let mut what = vec![What::Announcement { length, wire }];
        if length == 0 {
            what.push(What::Frame {
                payload: Bytes::new(),
                wire,
                pieces: pieces.clone(),
            });
        }
        sender.open = Some(Announced {
            length,
            wire,
            pieces,
        });
        Ok(Some(what))
    }

    /// `from`, and the other one.
    fn pair(&mut self, from: End) -> [&mut Sender; 2] {
        let [client, upstream] = &mut self.senders;
        match from {
            End::Client => [client, upstream],
            End::Upstream => [upstream, client],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Buf;
    use framing::{BoxFraming, Registry};

    use super::*;

    /// Bodies that look like what surrounds them.
    const BODIES: [&str; 7] = ["okxyz", "5\n", "2\nok", "", "ok", "0\n", "a"];

    fn factory(framing: &str) -> FramingFactory {
        Registry::default().parse(framing).unwrap()
    }

    fn handshake(framing: &str) -> Handshake {
        Handshake::new(Rules::of(&factory(framing)).unwrap())
    }

    /// Numbers that look random, and are the same in every run.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
            self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % end
        }
    }

    /// An end, with what it has sent and the other end has not read yet.
    struct Peer {
        machine: Machine<BoxFraming>,
        left: Vec<Bytes>,
        wire: VecDeque<Bytes>,
        received: Vec<Bytes>,
    }

    impl Peer {
        fn new(framing: &str, left: Vec<Bytes>) -> Self {
            Self {
                machine: Machine::new(factory(framing).make()),
                left,
                wire: VecDeque::new(),
                received: Vec::new(),
            }
        }

        fn receive(&mut self, bytes: &[u8]) {
            self.machine.receive(bytes);
            loop {
                while let Received::Frame(frame) = self.machine.next_frame().unwrap() {
                    self.received.push(frame);
                }
                // A pause completes a bare number; nothing waits for an ack so long.
                let Some(deadline) = self.machine.deadline() else {
                    return;
                };
                let now = self.machine.outbox().now();
                if deadline > now + Duration::from_secs(1) || deadline <= now {
                    return;
                }
                self.machine.set_now(deadline);
            }
        }
    }

    /// Lets two ends talk in an order of events that `numbers` chooses, and watches. Unless `cut`,
    /// every write is a read of its own, as bare numbers need it.
    fn talk(framing: &str, cut: bool, numbers: &mut Numbers) {
        let mut bodies = || -> Vec<Bytes> {
            let count = numbers.below(5);
            let body = |_| Bytes::from(BODIES[numbers.below(BODIES.len())]);
            (0..count).map(body).collect()
        };
        let sent = [bodies(), bodies()];
        let mut peers = sent.clone().map(|frames| Peer::new(framing, frames));
        let mut watcher = handshake(framing);
        let mut found = Vec::new();
        let mut idle = 0;
        while idle < 200 {
            idle += 1;
            let from = End::BOTH[numbers.below(2)];
            let mut acts = from;
            if numbers.below(2) == 0 {
                let peer = &mut peers[from.index()];
                if peer.machine.framing().is_ready() && !peer.left.is_empty() {
                    let frame = peer.left.remove(0);
                    peer.machine.send(frame).unwrap();
                }
            } else if let Some(mut bytes) = peers[from.index()].wire.pop_front() {
                acts = from.other();
                if cut {
                    let rest = bytes.split_off(1 + numbers.below(bytes.len()));
                    if !rest.is_empty() {
                        peers[from.index()].wire.push_front(rest);
                    }
                }
                peers[acts.index()].receive(&bytes);
            }
            // What is left here goes out together with what comes next.
            let out = peers[acts.index()].machine.outbox();
            if out.has_remaining() && (!cut || numbers.below(3) > 0) {
                idle = 0;
                let most = out.remaining();
                let count = if cut { 1 + numbers.below(most) } else { most };
                let bytes = out.copy_to_bytes(count);
                watcher.read(acts, bytes.clone(), &mut found);
                peers[acts.index()].wire.push_back(bytes);
            }
        }
        for from in End::BOTH {
            watcher.end(from, &mut found);
        }
        for from in End::BOTH {
            let seen: Vec<&Bytes> = found
                .iter()
                .filter(|found| found.from == from)
                .filter_map(|found| match &found.what {
                    What::Frame { payload, .. } => Some(payload),
                    What::Raw(_) | What::Error { .. } => panic!("{framing}: {found:?}"),
                    _ => None,
                })
                .collect();
            let sent: Vec<&Bytes> = sent[from.index()].iter().collect();
            assert_eq!(seen, sent, "{framing}");
            let received: Vec<&Bytes> = peers[from.other().index()].received.iter().collect();
            assert_eq!(received, sent, "{framing}: the ends themselves");
        }
        let ends = found.iter().filter(|f| matches!(f.what, What::End)).count();
        assert_eq!(ends, 2, "{framing}");
    }

    #[test]
    fn whatever_the_order_of_events_the_frames_seen_are_the_frames_sent() {
        let mut numbers = Numbers(1);
        for _ in 0..1000 {
            talk("ack-handshake", true, &mut numbers);
            talk(
                r#"{ type = "ack-handshake", bare = true, terminator = "" }"#,
                false,
                &mut numbers,
            );
            talk(
                r#"{ type = "ack-handshake", bare = true, ack = "go ahead", terminator = "\r\n" }"#,
                false,
                &mut numbers,
            );
        }
    }

    fn texts(found: &[Found]) -> Vec<String> {
        let text = |found: &Found| {
            let arrow = found.from.arrow();
            match &found.what {
                What::Frame { payload, wire, .. } => format!("{arrow} frame {payload:?} {wire}"),
                What::Announcement { length, .. } => format!("{arrow} announces {length}"),
                What::Ack { .. } => format!("{arrow} ack"),
                What::Error { error, offset, .. } => {
                    format!("{arrow} error {} {offset}", error.kind())
                }
                What::Raw(bytes) => format!("{arrow} raw {bytes:?}"),
                What::End => format!("{arrow} end"),
            }
        };
        found.iter().map(text).collect()
    }

    fn watch(framing: &str, reads: &[(End, &'static str)]) -> Vec<String> {
        let mut watcher = handshake(framing);
        let mut found = Vec::new();
        for (from, bytes) in reads {
            watcher.read(*from, Bytes::from_static(bytes.as_bytes()), &mut found);
        }
        texts(&found)
    }

    #[test]
    fn a_body_that_does_not_wait_counts_once_its_ack_has_passed() {
        use End::{Client, Upstream};
        assert_eq!(
            watch("ack-handshake", &[(Client, "5\nhello2\nhi")]),
            ["→ announces 5"]
        );
        assert_eq!(
            watch(
                "ack-handshake",
                &[
                    (Client, "5\nhello2\nhi"),
                    (Upstream, "ok"),
                    (Upstream, "ok")
                ]
            ),
            [
                "→ announces 5",
                "← ack",
                "→ frame b\"hello\" 7",
                "→ announces 2",
                "← ack",
                "→ frame b\"hi\" 4",
            ]
        );
        // There is an end to what is kept of it.
        let mut watcher = handshake(r#"{ type = "ack-handshake", max_frame = 10 }"#);
        let mut found = Vec::new();
        watcher.read(Client, Bytes::from_static(b"5\n"), &mut found);
        for _ in 0..100 {
            watcher.read(Client, Bytes::from(vec![b'x'; 1024]), &mut found);
        }
        assert_eq!(texts(&found)[1], "→ error malformed 2");
        assert!(watcher.senders[0].input.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_once_and_then_all_is_shown_as_it_is() {
        use End::{Client, Upstream};
        for (framing, reads, told) in [
            (
                "ack-handshake",
                &[
                    (Client, "5\n"),
                    (Upstream, "no"),
                    (Client, "rest"),
                    (Upstream, "x"),
                ][..],
                &[
                    "→ announces 5",
                    "← error refused 0",
                    "← raw b\"no\"",
                    "→ raw b\"rest\"",
                    "← raw b\"x\"",
                ][..],
            ),
            (
                "ack-handshake",
                &[(Client, "5\n"), (Upstream, "3\n"), (Upstream, "4\n")],
                &[
                    "→ announces 5",
                    "← announces 3",
                    "← error refused 2",
                    "← raw b\"4\\n\"",
                ],
            ),
            (
                "ack-handshake",
                &[(Client, "007\n")],
                &["→ error malformed 0", "→ raw b\"007\\n\""],
            ),
            (
                "ack-handshake",
                &[(Client, "5x")],
                &["→ error malformed 1", "→ raw b\"5x\""],
            ),
            (
                r#"{ type = "ack-handshake", max_frame = 4 }"#,
                &[(Client, "4\n"), (Upstream, "ok"), (Client, "abcd5\n")],
                &[
                    "→ announces 4",
                    "← ack",
                    "→ frame b\"abcd\" 6",
                    "→ error too-long 6",
                    "→ raw b\"5\\n\"",
                ],
            ),
            (
                "ack-handshake",
                &[(Upstream, "999999999999999999999")],
                &["← error too-long 0", "← raw b\"999999999999999999999\""],
            ),
        ] {
            assert_eq!(watch(framing, reads), told, "{framing}");
        }
    }

    #[test]
    fn an_end_in_the_middle_says_where() {
        use End::{Client, Upstream};
        for (reads, from, told) in [
            (&[(Client, "5")][..], Client, "→ error truncated 1"),
            (&[(Client, "5\n")], Upstream, "← error truncated 0"),
            (
                &[(Client, "5\n"), (Upstream, "o")],
                Upstream,
                "← error truncated 1",
            ),
            (
                &[(Client, "5\n"), (Upstream, "ok"), (Client, "he")],
                Client,
                "→ error truncated 4",
            ),
        ] {
            let mut watcher = handshake("ack-handshake");
            let mut found = Vec::new();
            for (from, bytes) in reads {
                watcher.read(*from, Bytes::from_static(bytes.as_bytes()), &mut found);
            }
            found.clear();
            watcher.end(from, &mut found);
            assert_eq!(texts(&found)[0], told, "{reads:?}");
        }
    }

    #[test]
    fn of_other_framings_nothing_is_assumed() {
        for framing in ["struct-header", "lines", "delimiter", "raw"] {
            assert!(Rules::of(&factory(framing)).is_none(), "{framing}");
        }
        let rules = Rules::of(&factory(r#"{ type = "ack-handshake", ack = "\n" }"#)).unwrap();
        assert_eq!((&rules.ack[..], rules.bare), (&b"\n"[..], false));
    }
}
