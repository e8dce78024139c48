//! Ends each frame with a mark.

mod escape;
mod lines;
mod marks;

use std::ops::Range;

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, value::MapAccessDeserializer},
};

use self::{
    escape::Escape,
    marks::{Marks, Plain},
};
use crate::{
    Carries, FrameError, Framing, FramingHelp, Limits, OptionHelp, Outbox, Part, Step,
    options::{Byte, ByteString},
};

pub(crate) use lines::HELP as LINES_HELP;
pub use lines::{Lines, LinesOptions};

/// What to do with bytes that no mark follows when the stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AtEof {
    /// They are a cut-off frame, and an error.
    Error,
    /// They are the last frame.
    Emit,
}

pub(crate) const HELP: FramingHelp = FramingHelp::new(
    "frames end at a mark",
    &[
        OptionHelp::new(
            "delimiter",
            "\"\\n\"",
            "the mark, or a list of marks of which the first is what we write",
        ),
        OptionHelp::new(
            "strip",
            "true",
            "whether the mark is taken off the frames handed out",
        ),
        OptionHelp::new(
            "escape",
            OptionHelp::NONE,
            "one byte that protects the mark and itself, so that any bytes can be carried",
        ),
        OptionHelp::new(
            "at_eof",
            "\"error\"",
            "what bytes without a mark are at the end: \"error\", or \"emit\" for a frame",
        ),
        OptionHelp::new(
            "skip_empty",
            "false",
            "whether empty frames are passed over",
        ),
    ],
);

/// The options of a [`Delimiter`].
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DelimiterOptions {
    #[serde(deserialize_with = "one_or_more")]
    delimiter: Vec<Bytes>,
    strip: bool,
    escape: Option<Byte>,
    at_eof: AtEof,
    skip_empty: bool,
}

impl Default for DelimiterOptions {
    fn default() -> Self {
        Self {
            delimiter: vec![Bytes::from_static(b"\n")],
            strip: true,
            escape: None,
            at_eof: AtEof::Error,
            skip_empty: false,
        }
    }
}

impl DelimiterOptions {
    /// Sets the mark (`\n`).
    ///
    /// ```
    /// use framing::{DelimiterOptions, Limits, Machine, Received};
    ///
    /// let options = DelimiterOptions::default().delimiter("#$");
    /// let mut machine = Machine::new(options.build(Limits::new())?);
    /// machine.receive(b"ADD:1#$SUB:2#$");
    /// assert_eq!(machine.next_frame()?, Received::Frame("ADD:1".into()));
    /// assert_eq!(machine.next_frame()?, Received::Frame("SUB:2".into()));
    /// machine.send("OK".into())?;
    /// assert_eq!(machine.outbox().take_bytes(), "OK#$");
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn delimiter(self, mark: impl Into<Bytes>) -> Self {
        self.delimiters([mark])
    }

    /// Sets several marks; the first is the one we write.
    ///
    /// ```
    /// use framing::{DelimiterOptions, Limits, Machine, Received};
    ///
    /// let options = DelimiterOptions::default().delimiters([";", "\n"]);
    /// let mut machine = Machine::new(options.build(Limits::new())?);
    /// machine.receive(b"a\nb;");
    /// assert_eq!(machine.next_frame()?, Received::Frame("a".into()));
    /// assert_eq!(machine.next_frame()?, Received::Frame("b".into()));
    /// machine.send("c".into())?;
    /// assert_eq!(machine.outbox().take_bytes(), "c;");
    /// assert!(machine.send("c\nd".into()).is_err(), "it would be read as two");
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn delimiters<M: Into<Bytes>>(mut self, marks: impl IntoIterator<Item = M>) -> Self {
        self.delimiter = marks.into_iter().map(Into::into).collect();
        self
    }

    /// Sets whether the mark is taken off the frames handed out (`true`). If not, frames to be
    /// sent must end with one.
    ///
    /// ```
    /// use framing::{DelimiterOptions, Limits, Machine, Received};
    ///
    /// for (strip, frame) in [(true, "GET a"), (false, "GET a\n")] {
    ///     let options = DelimiterOptions::default().strip(strip);
    ///     let mut machine = Machine::new(options.build(Limits::new())?);
    ///     machine.receive(b"GET a\n");
    ///     assert_eq!(machine.next_frame()?, Received::Frame(frame.into()));
    ///     machine.send(frame.into())?;
    ///     assert_eq!(machine.outbox().take_bytes(), "GET a\n");
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn strip(mut self, strip: bool) -> Self {
        self.strip = strip;
        self
    }

    /// Sets a byte that makes the byte behind it an ordinary one (none).
    ///
    /// ```
    /// use framing::{DelimiterOptions, Limits, Machine, Received};
    ///
    /// let options = DelimiterOptions::default().escape(b'\\');
    /// let mut machine = Machine::new(options.build(Limits::new())?);
    /// machine.send("a\nb\\c".into())?;
    /// let wire = machine.outbox().take_bytes();
    /// assert_eq!(wire, "a\\\nb\\\\c\n"); // a \ ⏎ b \ \ c ⏎
    /// machine.receive(&wire);
    /// assert_eq!(machine.next_frame()?, Received::Frame("a\nb\\c".into()));
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn escape(mut self, byte: u8) -> Self {
        self.escape = Some(Byte(byte));
        self
    }

    /// Sets what the bytes behind the last mark are when the stream ends (an error).
    ///
    /// ```
    /// use framing::{AtEof, DelimiterOptions, Limits, Machine, Received};
    ///
    /// for at_eof in [AtEof::Error, AtEof::Emit] {
    ///     let options = DelimiterOptions::default().at_eof(at_eof);
    ///     let mut machine = Machine::new(options.build(Limits::new())?);
    ///     machine.receive(b"one\ntwo"); // and then the end of the stream
    ///     machine.close_input();
    ///     assert_eq!(machine.next_frame()?, Received::Frame("one".into()));
    ///     match at_eof {
    ///         AtEof::Emit => assert_eq!(machine.next_frame()?, Received::Frame("two".into())),
    ///         _ => assert!(machine.next_frame().is_err()),
    ///     }
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn at_eof(mut self, at_eof: AtEof) -> Self {
        self.at_eof = at_eof;
        self
    }

    /// Sets whether empty frames are passed over (`false`).
    ///
    /// ```
    /// use framing::{DelimiterOptions, Limits, Machine, Received};
    ///
    /// for (skip, frame) in [(false, ""), (true, "a")] {
    ///     let options = DelimiterOptions::default().skip_empty(skip);
    ///     let mut machine = Machine::new(options.build(Limits::new())?);
    ///     machine.receive(b"\n\na\n");
    ///     assert_eq!(machine.next_frame()?, Received::Frame(frame.into()));
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn skip_empty(mut self, skip: bool) -> Self {
        self.skip_empty = skip;
        self
    }

    /// Checks the options.
    pub fn build(self, mut limits: Limits) -> Result<Delimiter, FrameError> {
        limits.fit(u64::MAX, "a delimiter")?;
        let marks = Marks::new(self.delimiter)?;
        if marks.longest() > limits.largest() {
            return Err(FrameError::config(format!(
                "`delimiter` has {} bytes, more than `max_frame`, which is {}",
                marks.longest(),
                limits.largest()
            )));
        }
        let escape = match self.escape {
            None => None,
            Some(Byte(byte)) if marks.iter().any(|mark| mark.contains(&byte)) => {
                return Err(FrameError::config(
                    "`escape` must not be a byte of `delimiter`",
                ));
            }
            Some(Byte(byte)) => Some(Escape::new(byte, &marks)),
        };
        Ok(Delimiter {
            limits,
            plain: marks.plain().filter(|_| escape.is_none() && self.strip),
            marks,
            escape,
            strip: self.strip,
            at_eof: self.at_eof,
            skip_empty: self.skip_empty,
            scanned: 0,
            discarding: false,
        })
    }
}

/// A byte string, or a list of them.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Bytes>, D::Error> {
    struct OneOrMore;

    impl<'de> serde::de::Visitor<'de> for OneOrMore {
        type Value = Vec<Bytes>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string, { hex = \"…\" }, or a list of these")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![Bytes::copy_from_slice(text.as_bytes())])
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Ok(vec![
                ByteString::deserialize(MapAccessDeserializer::new(map))?.0,
            ])
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(
            self,
            mut seq: A,
        ) -> Result<Self::Value, A::Error> {
            let mut marks = Vec::new();
            while let Some(ByteString(mark)) = seq.next_element()? {
                marks.push(mark);
            }
            if marks.is_empty() {
                return Err(A::Error::custom("`delimiter` must name at least one mark"));
            }
            Ok(marks)
        }
    }

    deserializer.deserialize_any(OneOrMore)
}

/// Frames that end at a mark.
///
/// ```text
///  frames "GET a", "GET b"     wire  G E T ␣ a ⏎ G E T ␣ b ⏎
/// ```
///
/// A plain mark cannot carry every payload: one that contains the mark, or ends with a part of it
/// (`a|` before `||`), is refused on encode and nothing is written. With
/// [`escape`](DelimiterOptions::escape) every payload can be carried:
///
/// ```text
///  mark "⏎", escape "\"        frame "a⏎b"     wire  a \ ⏎ b ⏎
/// ```
///
/// Of several marks (`["\n", "\r\n"]`) all are read and the first is written. The search is
/// linear: no byte is looked at twice for arriving in pieces. Compare Netty's
/// `DelimiterBasedFrameDecoder`.
///
/// With [`OnError::Skip`](crate::OnError::Skip), a frame that is too long, or empty where that is
/// not allowed, is discarded as it arrives. A flood of empty frames is always final.
///
/// ```
/// use framing::{DelimiterOptions, Limits, Machine, Received};
///
/// let options = DelimiterOptions::default().delimiter("||");
/// let mut machine = Machine::new(options.build(Limits::new().max_frame(1024))?);
/// machine.receive(b"one||two|");
/// assert_eq!(machine.next_frame()?, Received::Frame("one".into()));
/// assert_eq!(machine.next_frame()?, Received::Need(1));
/// machine.receive(b"|");
/// assert_eq!(machine.next_frame()?, Received::Frame("two".into()));
/// assert!(machine.send("a|".into()).is_err());
/// # Ok::<(), framing::FrameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Delimiter {
    limits: Limits,
    marks: Marks,
    /// The marks, if they are plain, stripped, and cannot be escaped.
    plain: Option<Plain>,
    escape: Option<Escape>,
    strip: bool,
    at_eof: AtEof,
    skip_empty: bool,
    /// Without an escape: bytes of the input known to hold no mark's end.
    scanned: usize,
    /// Behind a frame that was too long: looking for its end only.
    discarding: bool,
}

impl Delimiter {
    /// Frames that end with `mark`, with the default limits.
    pub fn new(mark: impl Into<Bytes>) -> Result<Self, FrameError> {
        DelimiterOptions::default()
            .delimiter(mark)
            .build(Limits::default())
    }

    /// A good frame that ends with a plain mark, where nothing else is asked for, or that none has
    /// ended yet: the commonest, and worth a short way of its own.
    #[inline]
    fn plain_frame(&mut self, input: &[u8]) -> Option<Step> {
        let Plain { last, before } = self.plain?;
        if self.discarding {
            return None;
        }
        let largest = self.limits.largest();
        // Whatever is not plainly right is left to the long way, which says what is wrong.
        let Some(place) = memchr::memchr(last, input.get(self.scanned..)?) else {
            self.scanned = input.len();
            return (input.len() <= largest).then_some(Step::Need(1));
        };
        let end = self.scanned + place;
        let length = match before {
            Some(before) if input[..end].ends_with(&[before]) => end - 1,
            _ => end,
        };
        if length == 0 || length > largest {
            return None;
        }
        self.scanned = 0;
        self.limits.saw_content();
        Some(Step::Frame {
            payload: 0..length,
            consumed: end + 1,
        })
    }

    /// Looks for the end of the frame from where the last look ended.
    fn find(&mut self, input: &[u8]) -> Option<Range<usize>> {
        match &mut self.escape {
            Some(escape) => escape.find(input, &self.marks),
            None => {
                // A mark may have begun before, but none has ended.
                let from = self.scanned.saturating_sub(self.marks.longest() - 1);
                self.scanned = input.len();
                self.marks.find(input, from)
            }
        }
    }

    /// Finds any frame.
    fn look(&mut self, input: &mut [u8]) -> Result<Step, FrameError> {
        match self.find(input) {
            Some(mark) => self.take(input, mark),
            None => self.wait(input),
        }
    }

    fn restart(&mut self) {
        self.scanned = 0;
        if let Some(escape) = &mut self.escape {
            escape.restart();
        }
    }

    /// A whole frame stands before `mark`.
    fn take(&mut self, input: &mut [u8], mark: Range<usize>) -> Result<Step, FrameError> {
        let consumed = mark.end;
        if self.discarding {
            self.discarding = false;
            self.restart();
            return Ok(Step::Consumed(consumed));
        }
        let mut length = mark.start;
        if let Some(escape) = &self.escape {
            length = escape.unescape(&mut input[..length]);
        }
        self.restart();
        if length == 0 && self.skip_empty {
            return Ok(Step::Consumed(consumed));
        }
        let empty = length == 0;
        if !self.strip {
            input.copy_within(mark.clone(), length);
            length += mark.len();
        }
        // A mark alone counts as an empty frame, and is one that a limit may forbid.
        let admitted = if empty && length <= self.limits.largest() {
            self.limits.admit(0u8).map(drop)
        } else {
            self.admit(length)
        };
        if let Err(error) = admitted {
            return Err(if self.limits.may_skip(&error) {
                error.skipping(consumed)
            } else {
                error
            });
        }
        Ok(Step::Frame {
            payload: 0..length,
            consumed,
        })
    }

    /// Accepts the length of a frame.
    ///
    /// The error does not tell the length: it is the same whether the end was already in sight.
    fn admit(&mut self, length: usize) -> Result<(), FrameError> {
        if length > self.limits.largest() {
            return Err(FrameError::over_limit(self.limits.largest()));
        }
        self.limits.admit(length as u64).map(drop)
    }

    /// No mark yet: drops what is being discarded, and gives up on a frame grown too long.
    fn wait(&mut self, input: &[u8]) -> Result<Step, FrameError> {
        // `done`: bytes that cannot be part of a mark. `seen`: how many bytes of payload they are.
        let (done, seen, missing) = match &self.escape {
            Some(escape) => {
                let (_, missing) = self.marks.begun(&input[escape.scanned()..]);
                (escape.scanned(), escape.seen(), missing)
            }
            None => {
                let (kept, missing) = self.marks.begun(input);
                (input.len() - kept, input.len() - kept, missing)
            }
        };
        if self.discarding {
            if done == 0 {
                return Ok(Step::Need(missing));
            }
            self.restart();
            return Ok(Step::Consumed(done));
        }
        let handed_out = if self.strip {
            seen
        } else {
            seen + self.marks.shortest()
        };
        if seen > 0 && handed_out > self.limits.largest() {
            let error = FrameError::over_limit(self.limits.largest());
            if !self.limits.skips() {
                return Err(error);
            }
            self.discarding = true;
            self.restart();
            return Err(error.skipping(done));
        }
        Ok(Step::Need(missing))
    }

    /// The stream has ended behind bytes that no mark follows.
    fn cut_off(&mut self, input: &mut [u8]) -> Result<Step, FrameError> {
        if input.is_empty() && !self.discarding {
            return Ok(Step::End);
        }
        if self.at_eof == AtEof::Error {
            return Err(FrameError::truncated(Part::Delimiter, input.len(), None).at(input.len()));
        }
        if self.discarding || input.is_empty() {
            self.discarding = false;
            return Ok(if input.is_empty() {
                Step::End
            } else {
                Step::Consumed(input.len())
            });
        }
        let mut length = input.len();
        if let Some(escape) = &self.escape {
            if escape.dangles(input) {
                return Err(FrameError::truncated(Part::Body, length, length + 1).at(length));
            }
            length = escape.unescape(input);
        }
        self.restart();
        match self.admit(length) {
            Ok(()) => Ok(Step::Frame {
                payload: 0..length,
                consumed: input.len(),
            }),
            Err(error) if self.limits.may_skip(&error) => Err(error.skipping(input.len())),
            Err(error) => Err(error),
        }
    }

    /// Splits a frame to be sent into payload and mark, and checks that it can be read back.
    fn check<'a>(&'a self, frame: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), FrameError> {
        let (payload, mark) = if self.strip {
            (frame, &self.marks.written()[..])
        } else {
            let Some(length) = self.marks.at_end(frame) else {
                return Err(FrameError::unencodable(
                    "a frame without its delimiter, which `strip = false` asks for",
                ));
            };
            frame.split_at(frame.len() - length)
        };
        if payload.is_empty() {
            self.limits.permit(0)?;
            if self.skip_empty {
                return Err(FrameError::unencodable(
                    "an empty frame, which `skip_empty = true` makes unreadable",
                ));
            }
        }
        if !frame.is_empty() {
            self.limits.permit(frame.len())?;
        }
        if self.escape.is_none() && !self.marks.separates(payload, mark) {
            return Err(FrameError::unencodable(format!(
                "a frame that contains a delimiter, or ends with a part of one: {}; a `delimiter` framing \
                 with `escape` carries any bytes",
                self.marks
            )));
        }
        Ok((payload, mark))
    }
}

impl Default for Delimiter {
    /// Frames that end with a line feed.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            marks: Marks::line_feed(),
            plain: Some(Plain {
                last: b'\n',
                before: None,
            }),
            escape: None,
            strip: true,
            at_eof: AtEof::Error,
            skip_empty: false,
            scanned: 0,
            discarding: false,
        }
    }
}

impl Framing for Delimiter {
    #[inline]
    fn decode(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        match self.plain_frame(input) {
            Some(step) => Ok(step),
            None => self.look(input),
        }
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        match self.decode(input, out)? {
            Step::Need(_) => self.cut_off(input),
            step => Ok(step),
        }
    }

    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        match (self.check(&frame), &self.escape) {
            (Err(error), _) => Err(error.with_frame(frame)),
            (Ok((payload, mark)), Some(escape)) => {
                out.write_with(|to| escape.escape(payload, to));
                out.put_slice(mark);
                Ok(())
            }
            (Ok(_), None) => {
                out.put(frame);
                if self.strip {
                    out.put_slice(self.marks.written());
                }
                Ok(())
            }
        }
    }

    fn encode_slice(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), FrameError> {
        let (payload, mark) = self.check(frame)?;
        match &self.escape {
            Some(escape) => out.write_with(|to| escape.escape(payload, to)),
            None => out.put_slice(payload),
        }
        out.put_slice(mark);
        Ok(())
    }

    fn max_frame(&self) -> usize {
        self.limits.largest()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.limits.set_largest(bytes);
    }

    fn is_mid_frame(&self) -> bool {
        self.discarding
    }

    fn carries(&self) -> Carries {
        if !self.strip {
            return Carries::Neither(
                "with `strip = false` every frame must end with its delimiter",
            );
        }
        // Bytes that text without control characters never holds.
        let foreign = |byte: &u8| matches!(byte, 0x00..=0x1F | 0xC0 | 0xC1 | 0xF5..=0xFF);
        match self.escape {
            Some(_) => Carries::Anything,
            None if self.marks.iter().all(|mark| mark.iter().any(foreign)) => Carries::Text,
            None => Carries::Neither("its delimiter can occur in text; set `escape`"),
        }
    }
}
