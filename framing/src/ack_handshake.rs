//! Announces a frame's length in decimal digits, waits for `ok`, then sends the body.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::Deserialize;

use crate::{
    FrameError, Framing, FramingHelp, Limits, OptionHelp, Outbox, Part, Step,
    decimal::{self, number},
    limits::seconds,
    options::{ByteString, duration},
};

pub(crate) const HELP: FramingHelp = FramingHelp::new(
    "decimal length, wait for `ok`, then the body",
    &[
        OptionHelp::new(
            "ack",
            "\"ok\"",
            "what agrees to a length; not empty, not beginning with a digit",
        ),
        OptionHelp::new(
            "terminator",
            "\"\\n\"",
            "what follows the length we write: \"\\n\", \"\\r\\n\" or \"\"",
        ),
        OptionHelp::new(
            "bare",
            "false",
            "whether a length that nothing terminates is taken, too",
        ),
        OptionHelp::new(
            "settle",
            "\"20ms\"",
            "the pause after which a bare length is complete",
        ),
        OptionHelp::new(
            "ack_timeout",
            "\"30s\"",
            "how long we wait for the peer's `ok`",
        ),
        OptionHelp::new(
            "refusal",
            OptionHelp::NONE,
            "text sent in place of the `ok` before closing",
        ),
    ],
);

/// The options of an [`AckHandshake`].
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AckHandshakeOptions {
    ack: ByteString,
    terminator: ByteString,
    bare: bool,
    #[serde(deserialize_with = "duration")]
    settle: Duration,
    #[serde(deserialize_with = "duration")]
    ack_timeout: Duration,
    refusal: ByteString,
}

impl Default for AckHandshakeOptions {
    fn default() -> Self {
        Self {
            ack: ByteString(Bytes::from_static(b"ok")),
            terminator: ByteString(Bytes::from_static(b"\n")),
            bare: false,
            settle: Duration::from_millis(20),
            ack_timeout: Duration::from_secs(30),
            refusal: ByteString::default(),
        }
    }
}

impl AckHandshakeOptions {
    /// Sets what agrees to an announcement (`ok`); not empty, not beginning with a digit.
    pub fn ack(mut self, ack: impl Into<Bytes>) -> Self {
        self.ack = ByteString(ack.into());
        self
    }

    /// Sets what follows the number we announce (`\n`): `\n`, `\r\n`, or nothing. From the peer
    /// both `\n` and `\r\n` are always taken.
    pub fn terminator(mut self, terminator: impl Into<Bytes>) -> Self {
        self.terminator = ByteString(terminator.into());
        self
    }

    /// Also takes numbers that nothing terminates (`false`).
    pub fn bare(mut self, bare: bool) -> Self {
        self.bare = bare;
        self
    }

    /// Sets the pause after which a bare number is complete (20 ms).
    pub fn settle(mut self, pause: Duration) -> Self {
        self.settle = pause;
        self
    }

    /// Sets how long we wait for the peer's ack (30 s).
    pub fn ack_timeout(mut self, limit: Duration) -> Self {
        self.ack_timeout = limit;
        self
    }

    /// Sets what is sent in place of the ack before a connection is given up (nothing).
    pub fn refusal(mut self, refusal: impl Into<Bytes>) -> Self {
        self.refusal = ByteString(refusal.into());
        self
    }

    /// Checks the options.
    pub fn build(self, mut limits: Limits) -> Result<AckHandshake, FrameError> {
        match self.ack.0.first() {
            None => return Err(FrameError::config("`ack` must not be empty")),
            Some(b'0'..=b'9') => {
                return Err(FrameError::config(
                    "`ack` must not begin with a digit: it could not be told from a length",
                ));
            }
            Some(_) => {}
        }
        if !matches!(&self.terminator.0[..], b"" | b"\n" | b"\r\n") {
            return Err(FrameError::config(
                r#"`terminator` must be "\n", "\r\n" or """#,
            ));
        }
        if limits.skips() {
            return Err(FrameError::config(
                "`on_error = \"skip\"` cannot work with ack-handshake: a peer whose frame is not \
                 taken waits for an ack",
            ));
        }
        limits.fit(u64::MAX, "a length of twenty digits")?;
        Ok(AckHandshake::from_parts(self, limits))
    }
}

/// Length in decimal digits, wait for `ok`, body.
///
/// The oldest cure for sticky packets, and the costliest: a one-way frame takes a round trip, a
/// request with its response three instead of one.
///
/// ```text
///  sender                         receiver
///    │ ── "5\n" ────────────────────▶ │   the length, and a terminator
///    │ ◀─────────────────── "ok" ──── │   go ahead
///    │ ── "hello" ──────────────────▶ │   the body, nothing around it
/// ```
///
/// Both ends may announce at the same moment. Answers leave strictly in the order of what was
/// read, at once, and nothing overtakes: for an announcement our `ok`, for an `ok` our body. So
/// what we have written tells what comes next, and no byte is ambiguous:
///
/// | we have written, and not had the answer to | next comes |
/// |---|---|
/// | nothing | an announcement |
/// | an announcement | the ack; or, if it begins with a digit, one announcement |
/// | an `ok` | the body |
/// | an announcement, then an `ok` | the ack, then the body |
/// | an `ok`, then an announcement | the body, then as in the second line |
///
/// A peer that writes its body without waiting is served all the same: whether it waited cannot
/// be told from the bytes.
///
/// # The bare form
///
/// A number without a terminator is ambiguous on a stream: `1`, `2` in two reads may be 1 or 12.
/// With `bare`, a number is also complete when [`settle`](AckHandshakeOptions::settle) has passed
/// without a further byte, until the first terminated number has been seen. That is lossy by
/// nature: a number cut by a longer pause is misread.
///
/// ```
/// use framing::{AckHandshake, Machine, Received};
///
/// let mut alice = Machine::new(AckHandshake::default());
/// let mut bob = Machine::new(AckHandshake::default());
///
/// alice.send("hello".into())?;
/// let announced = alice.outbox().take_bytes();
/// assert_eq!(announced, "5\n");
/// bob.receive(&announced);
/// assert_eq!(bob.next_frame()?, Received::Need(5));
/// alice.receive(&bob.outbox().take_bytes()); // "ok"
/// assert_eq!(alice.next_frame()?, Received::Need(2)); // the shortest announcement
/// bob.receive(&alice.outbox().take_bytes());
/// assert_eq!(bob.next_frame()?, Received::Frame("hello".into()));
/// # Ok::<(), framing::FrameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct AckHandshake {
    limits: Limits,
    ack: Bytes,
    terminator: Bytes,
    refusal: Bytes,
    /// The pause that completes a bare number; none while numbers must be terminated.
    settle: Option<Duration>,
    ack_timeout: Duration,
    /// What the peer owes us for what we have written, in order: an ack and a body at most.
    due: VecDeque<Due>,
    /// The frame we have announced and not sent: `announced.is_some()` iff an ack is due.
    announced: Option<Bytes>,
    /// Whether the peer has announced a frame while its ack to ours is due. It may have written
    /// one announcement before it read ours, and must not write another before its ack.
    crossed: bool,
    /// Digits of an unfinished bare number at the last look.
    digits_seen: usize,
    /// When that number is complete.
    settled_at: Option<Instant>,
    /// When waiting for the ack ends.
    ack_due_at: Option<Instant>,
    /// The peer has closed its side: no ack can come any more.
    closed: bool,
    /// Whether the peer announces nothing, so that what comes while an ack is due is the ack.
    send_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Ack,
    /// A body of so many bytes, never zero.
    Body(usize),
}

impl Default for AckHandshake {
    fn default() -> Self {
        Self::from_parts(AckHandshakeOptions::default(), Limits::default())
    }
}

/// What stands at the start of the input where an announcement is due.
enum Announcement {
    /// A number, and how many bytes it takes up with its terminator.
    Number { length: u128, consumed: usize },
    /// Digits, and nothing behind them yet.
    Digits(usize),
    /// Digits and a carriage return.
    HalfTerminated,
}

impl AckHandshake {
    fn from_parts(options: AckHandshakeOptions, limits: Limits) -> Self {
        Self {
            limits,
            ack: options.ack.0,
            terminator: options.terminator.0,
            refusal: options.refusal.0,
            settle: options.bare.then_some(options.settle),
            ack_timeout: options.ack_timeout,
            due: VecDeque::with_capacity(2),
            announced: None,
            crossed: false,
            digits_seen: 0,
            settled_at: None,
            ack_due_at: None,
            closed: false,
            send_only: false,
        }
    }

    /// Reads an announcement.
    fn parse(&self, input: &[u8]) -> Result<Announcement, FrameError> {
        let digits = decimal::digits(input, self.limits.largest())?;
        let consumed = match input[digits..] {
            [] => return Ok(Announcement::Digits(digits)),
            [b'\r'] if digits > 0 => return Ok(Announcement::HalfTerminated),
            [b'\n', ..] if digits > 0 => digits + 1,
            [b'\r', b'\n', ..] if digits > 0 => digits + 2,
            [b'\r', ..] if digits > 0 => {
                return Err(FrameError::malformed(
                    "a length ends with a carriage return that no line feed follows",
                )
                .at(digits + 1));
            }
            [byte, ..] => {
                return Err(FrameError::malformed(format!(
                    "a length has the byte '{}' in it; only the digits 0 to 9 and then a line \
                     feed are allowed",
                    byte.escape_ascii()
                ))
                .at(digits));
            }
        };
        Ok(Announcement::Number {
            length: number(&input[..digits]),
            consumed,
        })
    }

    /// Where an announcement is due: reads it and agrees to it.
    fn decode_announcement(&mut self, input: &[u8], out: &mut Outbox) -> Result<Step, FrameError> {
        match self.parse(input) {
            Ok(Announcement::Number { length, consumed }) => {
                // This peer terminates its numbers, so a pause no longer means anything.
                self.settle = None;
                self.accept(length, consumed, out)
            }
            Ok(Announcement::Digits(digits)) => {
                if let Some(pause) = self.settle
                    && digits > self.digits_seen
                {
                    self.digits_seen = digits;
                    self.settled_at = out.now().checked_add(pause);
                }
                Ok(Step::Need(if digits == 0 {
                    2 - usize::from(self.settle.is_some())
                } else {
                    1
                }))
            }
            Ok(Announcement::HalfTerminated) => {
                self.digits_seen = 0;
                self.settled_at = None;
                Ok(Step::Need(1))
            }
            Err(error) => Err(self.refuse(error, out)),
        }
    }

    /// Agrees to a frame of `length` bytes, unless it is over the limit.
    fn accept(
        &mut self,
        length: u128,
        consumed: usize,
        out: &mut Outbox,
    ) -> Result<Step, FrameError> {
        self.digits_seen = 0;
        self.settled_at = None;
        if self.announced.is_some() && std::mem::replace(&mut self.crossed, true) {
            let error = FrameError::refused(
                "the peer announced a second frame instead of agreeing to ours",
            );
            let error = self.give_back(error);
            return Err(self.refuse(error, out));
        }
        let length = self
            .limits
            .admit(length)
            .map_err(|error| self.refuse(error, out))?;
        out.put_slice(&self.ack);
        if length == 0 {
            return Ok(Step::Frame {
                payload: consumed..consumed,
                consumed,
            });
        }
        self.due.push_back(Due::Body(length));
        Ok(Step::Consumed(consumed))
    }

    /// Tells the peer that its frame is not taken, where that is configured.
    fn refuse(&self, error: FrameError, out: &mut Outbox) -> FrameError {
        out.put_slice(&self.refusal);
        error
    }

    /// Reads the ack to our announcement and lets the body go.
    fn decode_ack(&mut self, input: &[u8], out: &mut Outbox) -> Result<Step, FrameError> {
        let Some(got) = input.get(..self.ack.len()) else {
            // With nothing there yet, it may also become an announcement, of two bytes or, bare, one.
            let announcement = if self.settle.is_some() { 1 } else { 2 };
            let missing = self.ack.len() - input.len();
            return Ok(Step::Need(if input.is_empty() && !self.send_only {
                missing.min(announcement)
            } else {
                missing
            }));
        };
        if got != self.ack {
            let error = FrameError::refused(format!(
                "the peer answered our announcement with \"{}\" instead of \"{}\"",
                got.escape_ascii(),
                self.ack.escape_ascii()
            ));
            return Err(self.give_back(error));
        }
        self.due.pop_front();
        self.ack_due_at = None;
        if let Some(body) = self.announced.take() {
            out.put(body);
        }
        Ok(Step::Consumed(got.len()))
    }

    /// Adds the frame that now will never be sent.
    fn give_back(&mut self, error: FrameError) -> FrameError {
        self.ack_due_at = None;
        match self.announced.take() {
            Some(frame) => error.with_frame(frame),
            None => error,
        }
    }

    /// Whether the bytes that have come are to be read as an announcement.
    fn expects_announcement(&self, input: &[u8]) -> bool {
        match (self.due.front(), self.due.len()) {
            (None, _) => true,
            // Only the ack is due: a peer that announced before it read our announcement.
            (Some(Due::Ack), 1) => !self.send_only && input.first().is_some_and(u8::is_ascii_digit),
            _ => false,
        }
    }

    fn check(&self, length: usize) -> Result<(), FrameError> {
        if self.closed {
            return Err(FrameError::unencodable(
                "the peer has closed its side, so no ack can come for this frame",
            ));
        }
        if self.announced.is_some() {
            return Err(FrameError::unencodable(
                "the frame announced before is not sent yet",
            ));
        }
        self.limits.permit(length)
    }

    fn announce(&mut self, frame: Bytes, out: &mut Outbox) {
        decimal::put(frame.len(), out);
        out.put_slice(&self.terminator);
        self.ack_due_at = out.now().checked_add(self.ack_timeout);
        self.due.push_back(Due::Ack);
        self.announced = Some(frame);
        self.crossed = false;
    }
}

impl Framing for AckHandshake {
    fn decode(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        if self.expects_announcement(input) {
            return self.decode_announcement(input, out);
        }
        match self.due.front() {
            Some(&Due::Body(length)) if input.len() >= length => {
                self.due.pop_front();
                Ok(Step::Frame {
                    payload: 0..length,
                    consumed: length,
                })
            }
            Some(&Due::Body(length)) => Ok(Step::Need(length - input.len())),
            _ => self.decode_ack(input, out),
        }
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        self.closed = true;
        if self.due.is_empty() && input.is_empty() {
            return Ok(Step::End);
        }
        let bare = self.settle.is_some();
        match self.decode(input, out)? {
            Step::Need(more) => {
                let announcement = self.expects_announcement(input);
                if announcement && bare && !input.ends_with(b"\r") {
                    // Nothing can follow these digits any more.
                    return self.expired(input, out);
                }
                let part = match self.due.front() {
                    _ if announcement => Part::Header,
                    Some(Due::Body(_)) => Part::Body,
                    _ => Part::Ack,
                };
                let need = (part != Part::Header).then_some(input.len() + more);
                let error = FrameError::truncated(part, input.len(), need).at(input.len());
                Err(self.give_back(error))
            }
            step => Ok(step),
        }
    }

    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        if let Err(error) = self.check(frame.len()) {
            return Err(error.with_frame(frame));
        }
        self.announce(frame, out);
        Ok(())
    }

    fn encode_slice(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), FrameError> {
        self.check(frame.len())?;
        self.announce(Bytes::copy_from_slice(frame), out);
        Ok(())
    }

    fn max_frame(&self) -> usize {
        self.limits.largest()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.limits.set_largest(bytes);
    }

    fn deadline(&self) -> Option<Instant> {
        match (self.settled_at, self.ack_due_at) {
            (Some(settled), Some(ack)) => Some(settled.min(ack)),
            (settled, ack) => settled.or(ack),
        }
    }

    fn expired(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        let settled = self.settled_at.is_some_and(|at| at <= out.now()) || self.closed;
        if settled && self.digits_seen > 0 {
            // Whatever else had come, `decode` would have taken it for more than bare digits.
            let digits = self.digits_seen;
            return self.accept(number(&input[..digits]), digits, out);
        }
        let error = FrameError::timeout(format!(
            "no ack came within {} for the frame we announced",
            seconds(self.ack_timeout)
        ));
        Err(self.give_back(error))
    }

    fn is_ready(&self) -> bool {
        self.announced.is_none()
    }

    fn is_mid_frame(&self) -> bool {
        self.due.iter().any(|due| matches!(due, Due::Body(_)))
    }

    fn is_interactive(&self) -> bool {
        true
    }

    fn set_send_only(&mut self) {
        self.send_only = true;
    }

    fn take_unsent(&mut self) -> Option<Bytes> {
        self.announced.take()
    }
}
