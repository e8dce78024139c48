//! Reads with one framing and writes with another.

use std::time::Instant;

use bytes::Bytes;

use crate::{Carries, FrameError, Framing, FramingHelp, OptionHelp, Outbox, Step, Value};

pub(crate) const HELP: FramingHelp = FramingHelp::new(
    "one framing to read, another to write",
    &[
        OptionHelp::new(
            "receive",
            OptionHelp::REQUIRED,
            "the framing of what arrives: its name, or a table with its `type` and options",
        ),
        OptionHelp::new(
            "send",
            OptionHelp::REQUIRED,
            "the framing of what leaves, likewise",
        ),
    ],
);

/// One framing to read, another to write, for protocols whose two directions differ.
///
/// ```text
///  R = lines          G E T ␣ a ⏎ ────────▶  "GET a"
///  S = struct-header  00 00 00 02 o k ◀────  "ok"
/// ```
///
/// The peer has the two the other way round.
///
/// In a file both are written as framings are anywhere; the options common to all hold for each
/// of them that does not set its own. A pair cannot be part of a pair.
///
/// ```toml
/// framing = { type = "pair", receive = "lines", send = "struct-header", max_frame = "64KiB" }
/// ```
///
/// The limit of a pair is the smaller of the two, and it [carries](Framing::carries) what both do:
/// the peer writes with the one and we with the other, and both ends must come to the same answer.
/// [`header`](Framing::header) is that of the frames read, [`set_header`](Framing::set_header) is
/// for those written.
///
/// # An ack-handshake that only sends
///
/// A framing that answers its peer can be no part of a pair, since its answers would stand in the
/// other's stream. One case is clear: where all that arrives is a frame as it comes
/// ([`Raw`](crate::Raw)), an [`AckHandshake`](crate::AckHandshake) may send. While its ack is due,
/// the bytes that arrive are the ack, whatever they are; all others are read by `raw`.
///
/// ```
/// use framing::{AckHandshake, Machine, Pair, Raw, Received};
///
/// let mut machine = Machine::new(Pair::new(Raw::default(), AckHandshake::default())?);
/// machine.receive(b"ls");
/// assert_eq!(machine.next_frame()?, Received::Frame("ls".into()));
/// machine.send("a.txt".into())?;
/// assert_eq!(machine.outbox().take_bytes(), "5\n");
/// machine.receive(b"ok");
/// assert_eq!(machine.next_frame()?, Received::Need(1));
/// assert_eq!(machine.outbox().take_bytes(), "a.txt");
/// # Ok::<(), framing::FrameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pair<R, S> {
    receive: R,
    send: S,
}

impl<R: Framing, S: Framing> Pair<R, S> {
    /// Reads with `receive` and writes with `send`.
    ///
    /// # Errors
    ///
    /// Kind [`Config`](crate::ErrorKind::Config) if one of them [answers its
    /// peer](Framing::is_interactive), but for a `send` that does beside a `receive` that [keeps no
    /// boundaries](Framing::keeps_boundaries).
    pub fn new(receive: R, send: S) -> Result<Self, FrameError> {
        if receive.is_interactive() {
            return Err(FrameError::config(
                "`receive` answers its peer, and its answers would stand among what `send` writes",
            ));
        }
        if send.is_interactive() && receive.keeps_boundaries() {
            return Err(FrameError::config(
                "`send` waits for answers of its peer, which would stand among what `receive` \
                 reads; only with `receive = \"raw\"` can they be told apart",
            ));
        }
        Ok(Self::join(receive, send))
    }

    /// The same for two that are known to go together.
    pub(crate) fn join(receive: R, mut send: S) -> Self {
        send.set_send_only();
        Self { receive, send }
    }

    /// The framing that reads.
    pub fn receiver(&self) -> &R {
        &self.receive
    }

    /// The framing that writes.
    pub fn sender(&self) -> &S {
        &self.send
    }

    /// Whether what arrives next is an answer to what we have sent.
    fn awaits_answer(&self) -> bool {
        self.send.is_interactive() && !self.send.is_ready()
    }
}

impl<R: Framing, S: Framing> Framing for Pair<R, S> {
    fn decode(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        if self.awaits_answer() {
            self.send.decode(input, out)
        } else {
            self.receive.decode(input, out)
        }
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        if self.awaits_answer() {
            return self.send.decode_eof(input, out);
        }
        if self.send.is_interactive() {
            // No answer can come any more, which it must know before it is asked to send.
            self.send.decode_eof(&mut [], out)?;
        }
        self.receive.decode_eof(input, out)
    }

    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        self.send.encode(frame, out)
    }

    fn encode_slice(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), FrameError> {
        self.send.encode_slice(frame, out)
    }

    fn encode_prefixed(
        &mut self,
        prefix: &[u8],
        rest: Bytes,
        out: &mut Outbox,
    ) -> Result<(), FrameError> {
        self.send.encode_prefixed(prefix, rest, out)
    }

    fn max_frame(&self) -> usize {
        self.receive.max_frame().min(self.send.max_frame())
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.receive.set_max_frame(bytes);
        self.send.set_max_frame(bytes);
    }

    fn deadline(&self) -> Option<Instant> {
        if self.awaits_answer() {
            self.send.deadline()
        } else {
            self.receive.deadline()
        }
    }

    fn expired(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        if self.awaits_answer() {
            self.send.expired(input, out)
        } else {
            self.receive.expired(input, out)
        }
    }

    fn is_ready(&self) -> bool {
        self.send.is_ready()
    }

    fn is_interactive(&self) -> bool {
        self.send.is_interactive()
    }

    fn is_mid_frame(&self) -> bool {
        self.receive.is_mid_frame()
    }

    fn keeps_boundaries(&self) -> bool {
        self.receive.keeps_boundaries() && self.send.keeps_boundaries()
    }

    fn carries(&self) -> Carries {
        match (self.receive.carries(), self.send.carries()) {
            (Carries::Anything, other) | (other, Carries::Anything) => other,
            (neither @ Carries::Neither(_), _) | (_, neither @ Carries::Neither(_)) => neither,
            (Carries::Text, Carries::Text) => Carries::Text,
        }
    }

    fn take_frame(&mut self) -> Bytes {
        self.receive.take_frame()
    }

    fn take_unsent(&mut self) -> Option<Bytes> {
        self.send.take_unsent()
    }

    fn header(&self) -> Vec<Value> {
        self.receive.header()
    }

    fn set_header(&mut self, items: &[Value]) -> Result<(), FrameError> {
        self.send.set_header(items)
    }
}
