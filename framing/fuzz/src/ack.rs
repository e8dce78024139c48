//! Two ack-handshakes that talk to each other: whoever sends when, and however the bytes are
//! carried, every body arrives, in order.

use bytes::Bytes;
use framing::{AckHandshake, AckHandshakeOptions, Framing, Limits, Machine, Received};

use super::input::Input;

/// Frames that one end sends at most.
const MOST: usize = 40;

/// Options; then what happens, one byte each: who acts in bit 0, sending or carrying in bit 1, how
/// much in the others.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let options = options(&mut input);
    let make = || options.clone().build(Limits::new()).expect("valid options");
    let mut ends = [End::new(make()), End::new(make())];
    while !input.is_empty() {
        let act = input.byte();
        let (who, much) = (usize::from(act & 1), usize::from(act >> 2));
        if act & 2 == 0 {
            let body = Bytes::copy_from_slice(input.take(much));
            ends[who].hand_in(body);
        } else {
            carry(&mut ends, who, much + 1);
        }
    }
    // Whatever is left arrives.
    while let Some(from) = (0..2).find(|&from| ends[from].carried < ends[from].wire.len()) {
        carry(&mut ends, from, usize::MAX);
    }
    for who in 0..2 {
        let (end, peer) = (&ends[who], &ends[1 - who]);
        assert!(end.machine.framing().is_ready(), "end {who} waits for ever");
        assert_eq!(
            end.given.len(),
            end.sent,
            "end {who} has not sent everything"
        );
        assert_eq!(end.received, peer.given, "what end {who} received");
    }
    for mut end in ends {
        assert!(!end.machine.is_mid_frame());
        end.machine.close_input();
        assert_eq!(end.machine.next_frame(), Ok(Received::End));
    }
}

fn options(input: &mut Input<'_>) -> AckHandshakeOptions {
    let options = AckHandshakeOptions::default();
    match input.byte() % 5 {
        0 => options,
        1 => options.terminator("\r\n"),
        2 => options.ack("go ahead").refusal("no"),
        3 => options.ack(&b"\x06"[..]),
        _ => options.ack("\nok\r").bare(true),
    }
}

fn carry(ends: &mut [End; 2], from: usize, most: usize) {
    let sender = &mut ends[from];
    let until = sender.carried.saturating_add(most).min(sender.wire.len());
    let piece = sender.wire[sender.carried..until].to_vec();
    sender.carried = until;
    ends[1 - from].receive(&piece);
}

struct End {
    machine: Machine<AckHandshake>,
    /// What it was given to send, and how many of these it has announced.
    given: Vec<Bytes>,
    sent: usize,
    /// What it has written, and how much of that has arrived.
    wire: Vec<u8>,
    carried: usize,
    received: Vec<Bytes>,
}

impl End {
    fn new(framing: AckHandshake) -> Self {
        Self {
            machine: Machine::new(framing),
            given: Vec::new(),
            sent: 0,
            wire: Vec::new(),
            carried: 0,
            received: Vec::new(),
        }
    }

    fn hand_in(&mut self, body: Bytes) {
        if self.given.len() < MOST {
            self.given.push(body);
            self.send();
        }
    }

    /// Sends what can be sent now.
    fn send(&mut self) {
        while self.machine.framing().is_ready()
            && let Some(body) = self.given.get(self.sent)
        {
            self.machine
                .send(body.clone())
                .expect("any body can be sent");
            self.sent += 1;
        }
        self.wire
            .extend_from_slice(&self.machine.outbox().take_bytes());
    }

    fn receive(&mut self, piece: &[u8]) {
        self.machine.receive(piece);
        loop {
            match self.machine.next_frame() {
                Ok(Received::Frame(frame)) => self.received.push(frame),
                Ok(_) => break,
                Err(error) => panic!("a good stream is refused: {error:?}"),
            }
            self.send();
        }
        self.send();
    }
}

/// Each kind of options, one end busy or both, bytes carried one by one or many at a time.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let acts: [(&str, &[u8]); 4] = [
        ("one-way", b"\x14hello\x02\x02\x03\x02\x00\x04a\x42"),
        (
            "both-at-once",
            b"\x14hello\x15world\x02\x03\x02\x03\x06\x07\x0a\x0b",
        ),
        (
            "crossed-and-queued",
            b"\x08\x31\x30\x09ok\x00\x01\x0dok0\x06\x03\x07\x02\x02\x03",
        ),
        (
            "glued",
            b"\x04a\x04b\x04c\x05d\x05e\xfe\xff\xfe\xff\xfe\xff",
        ),
    ];
    let seed =
        |kind: u8| acts.map(|(name, acts)| (format!("{kind}-{name}"), [&[kind], acts].concat()));
    (0..5).flat_map(seed).collect()
}
