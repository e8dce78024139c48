//! Watches every call of a framing, and a machine around such a one.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{
    law::{Broken, Kept, Law, guard},
    show,
};
use crate::{Carries, ErrorKind, FrameError, Framing, Machine, Outbox, Received, Step, Value};

/// Steps in a row that may leave all bytes where they are: a foreign decoder may hand out frames
/// that it has held back.
const MOST_IDLE: u32 = 4096;

/// A framing whose answers are checked before anyone acts on them.
#[derive(Debug)]
pub(super) struct Checked<F> {
    framing: F,
    /// The first law that was broken; from then on there are only errors.
    broken: Option<Broken>,
    /// Steps since a byte was last consumed.
    idle: u32,
    /// The largest limit there has been: a frame is judged by the one of the time its header came.
    most: usize,
    /// The driver is to think that there is no deadline.
    timeless: bool,
}

/// Which call is answered.
#[derive(Clone, Copy, PartialEq)]
enum Call {
    Decode,
    AtEnd,
    Expired,
}

impl<F: Framing> Checked<F> {
    pub(super) fn new(framing: F) -> Self {
        Self {
            broken: None,
            idle: 0,
            timeless: false,
            most: framing.max_frame(),
            framing,
        }
    }

    /// From now on nobody learns of a deadline, so that `expired` is never called.
    pub(super) fn forget_time(&mut self) {
        self.timeless = true;
    }

    /// Whether every answer was one that the contract allows.
    pub(super) fn kept(&self) -> Kept {
        match &self.broken {
            Some(broken) => Err(broken.clone()),
            None => Ok(()),
        }
    }

    fn note(&mut self, checked: Kept) -> bool {
        match checked {
            Ok(()) => true,
            Err(broken) => {
                self.broken.get_or_insert(broken);
                false
            }
        }
    }

    fn take(
        &mut self,
        call: Call,
        arrived: usize,
        step: Result<Step, FrameError>,
    ) -> Result<Step, FrameError> {
        let checked = self.judge(call, arrived, &step);
        if self.note(checked) && self.broken.is_none() {
            return step;
        }
        Err(FrameError::malformed("the framing has broken a law"))
    }

    fn judge(&mut self, call: Call, arrived: usize, step: &Result<Step, FrameError>) -> Kept {
        let honest = |holds: bool, what: &str| {
            Law::HonestSteps.holds(holds, || {
                format!("{step:?} is answered to {arrived} bytes of input: {what}")
            })
        };
        let consumed = match step {
            Ok(Step::Frame { payload, consumed }) => {
                honest(
                    payload.start <= payload.end && payload.end <= *consumed,
                    "the payload is not inside what is consumed",
                )?;
                honest(*consumed <= arrived, "it consumes more than there is")?;
                honest(*consumed > 0, "a frame of no bytes comes again for ever")?;
                self.fits(payload.len())?;
                *consumed
            }
            Ok(Step::Elsewhere { consumed }) => {
                honest(*consumed <= arrived, "it consumes more than there is")?;
                *consumed
            }
            Ok(Step::Consumed(consumed)) => {
                honest(*consumed <= arrived, "it consumes more than there is")?;
                honest(*consumed > 0, "nothing is consumed, so it comes for ever")?;
                *consumed
            }
            Ok(Step::Need(0)) => return honest(false, "it needs bytes, and asks for none"),
            Ok(Step::Need(_)) if call == Call::AtEnd => {
                return Law::End.holds(false, || {
                    format!("`decode_eof` answers {step:?}, and no more bytes can come")
                });
            }
            Ok(Step::Need(_)) => return Ok(()),
            Ok(Step::End) => {
                honest(call != Call::Decode, "the peer has not closed its side")?;
                return Law::End.holds(arrived == 0, || {
                    format!("the end is clean, and {arrived} bytes are left over")
                });
            }
            Err(error) => {
                honest(
                    error.offset() <= arrived as u64,
                    "the error points behind the input",
                )?;
                honest(
                    error.resume().is_none_or(|gone| gone <= arrived),
                    "it skips more than there is",
                )?;
                let possible = match error.kind() {
                    ErrorKind::Config | ErrorKind::Unencodable => false,
                    ErrorKind::Truncated => call != Call::Decode,
                    _ => true,
                };
                honest(possible, "an error of this kind means something else")?;
                Law::Time.holds(
                    error.kind() != ErrorKind::Timeout || call == Call::Expired,
                    || "`decode` says that time is up".to_owned(),
                )?;
                match error.resume() {
                    Some(consumed) => consumed,
                    None => return Ok(()),
                }
            }
        };
        self.idle = if consumed > 0 { 0 } else { self.idle + 1 };
        honest(
            self.idle <= MOST_IDLE,
            "it goes on for ever without consuming a byte",
        )
    }

    fn judge_answer(&mut self, answered: bool) {
        let said = self.framing.is_interactive();
        self.note(Law::HonestSteps.holds(said || !answered, || {
            "`decode` answers the peer, and `is_interactive` says that it does not".to_owned()
        }));
    }

    fn fits(&self, length: usize) -> Kept {
        Law::Limits.holds(length <= self.most, || {
            format!(
                "a frame of {length} bytes comes out, over the limit of {} bytes",
                self.most
            )
        })
    }

    fn judge_refusal(
        &mut self,
        frame: &[u8],
        given_back: Option<&Bytes>,
        written: usize,
        result: &Result<(), FrameError>,
    ) {
        let checked = match result {
            Ok(()) => Law::Limits.holds(frame.len() <= self.most, || {
                format!("a frame of {} bytes is sent, over the limit", frame.len())
            }),
            Err(error) => judge_refusal(error, frame, given_back, written),
        };
        self.note(checked);
    }
}

fn judge_refusal(
    error: &FrameError,
    frame: &[u8],
    given_back: Option<&Bytes>,
    written: usize,
) -> Kept {
    let law = Law::AllOrNothing;
    law.holds(written == 0, || {
        format!(
            "{written} bytes are written for the refused {}",
            show(frame)
        )
    })?;
    law.holds(error.kind() == ErrorKind::Unencodable, || {
        format!(
            "{} is refused with the kind `{}` instead of `{}`: {error}",
            show(frame),
            error.kind(),
            ErrorKind::Unencodable
        )
    })?;
    law.holds(error.frame() == given_back, || match given_back {
        Some(_) => format!("the refused {} is not given back", show(frame)),
        None => format!(
            "`encode_slice` refuses {} with a frame, which the caller still has",
            show(frame)
        ),
    })
}

impl<F: Framing> Framing for Checked<F> {
    fn decode(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        let before = out_length(out);
        let step = self.framing.decode(input, out);
        self.judge_answer(out_length(out) != before);
        self.take(Call::Decode, input.len(), step)
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        let step = self.framing.decode_eof(input, out);
        self.take(Call::AtEnd, input.len(), step)
    }

    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        let before = out_length(out);
        let ready = self.framing.is_ready();
        let result = self.framing.encode(frame.clone(), out);
        let written = out_length(out).saturating_sub(before);
        self.judge_refusal(&frame, Some(&frame), written, &result);
        self.note(Law::AllOrNothing.holds(ready || result.is_err(), || {
            format!("{} is taken though `is_ready` says no", show(&frame))
        }));
        result
    }

    fn encode_slice(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), FrameError> {
        let before = out_length(out);
        let result = self.framing.encode_slice(frame, out);
        let written = out_length(out).saturating_sub(before);
        self.judge_refusal(frame, None, written, &result);
        result
    }

    fn encode_prefixed(
        &mut self,
        prefix: &[u8],
        rest: Bytes,
        out: &mut Outbox,
    ) -> Result<(), FrameError> {
        let before = out_length(out);
        let frame = Bytes::from([prefix, &rest].concat());
        let result = self.framing.encode_prefixed(prefix, rest, out);
        let written = out_length(out).saturating_sub(before);
        self.judge_refusal(&frame, Some(&frame), written, &result);
        result
    }

    fn max_frame(&self) -> usize {
        self.framing.max_frame()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.framing.set_max_frame(bytes);
        self.most = self.most.max(self.framing.max_frame());
    }

    fn deadline(&self) -> Option<Instant> {
        if self.timeless {
            return None;
        }
        self.framing.deadline()
    }

    fn expired(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        let step = self.framing.expired(input, out);
        self.take(Call::Expired, input.len(), step)
    }

    fn is_ready(&self) -> bool {
        self.framing.is_ready()
    }

    fn is_interactive(&self) -> bool {
        self.framing.is_interactive()
    }

    fn keeps_boundaries(&self) -> bool {
        self.framing.keeps_boundaries()
    }

    fn carries(&self) -> Carries {
        self.framing.carries()
    }

    fn take_frame(&mut self) -> Bytes {
        let frame = self.framing.take_frame();
        let checked = self.fits(frame.len());
        self.note(checked);
        frame
    }

    fn take_unsent(&mut self) -> Option<Bytes> {
        self.framing.take_unsent()
    }

    fn header(&self) -> Vec<Value> {
        self.framing.header()
    }

    fn set_header(&mut self, items: &[Value]) -> Result<(), FrameError> {
        self.framing.set_header(items)
    }
}

fn out_length(out: &Outbox) -> usize {
    bytes::Buf::remaining(out)
}

/// A machine around a watched framing: each call tells whether the laws are kept.
#[derive(Debug)]
pub(super) struct Bench<F>(Machine<Checked<F>>);

impl<F: Framing> Bench<F> {
    pub(super) fn new(framing: F) -> Self {
        Self(Machine::new(Checked::new(framing)))
    }

    /// Lets bytes arrive.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.0.receive(bytes);
    }

    /// Lets the peer close its side.
    pub(super) fn close_input(&mut self) {
        self.0.close_input();
    }

    /// The machine's next frame.
    pub(super) fn next(&mut self) -> Kept<Result<Received, FrameError>> {
        let received = guard(|| self.0.next_frame())?;
        self.0.framing().kept()?;
        Ok(received)
    }

    /// Everything that comes out now, up to an error or the lack of bytes; and how that ended.
    pub(super) fn drain(&mut self) -> Kept<(Vec<Bytes>, Result<Received, FrameError>)> {
        let mut frames = Vec::new();
        loop {
            match self.next()? {
                Ok(Received::Frame(frame)) => frames.push(frame),
                last => return Ok((frames, last)),
            }
        }
    }

    pub(super) fn send(&mut self, frame: &Bytes) -> Kept<Result<(), FrameError>> {
        let sent = guard(|| self.0.send(frame.clone()))
            .map_err(|broken| broken.while_doing(format!("at `encode` of {}", show(frame))))?;
        self.0.framing().kept()?;
        Ok(sent)
    }

    /// The same for a frame that must be one that can be carried.
    pub(super) fn send_sample(&mut self, frame: &Bytes) -> Kept {
        self.send(frame)?.map_err(|error| {
            let what = format!("the sample {} is refused: {error}", show(frame));
            Law::AllOrNothing.broken(what)
        })
    }

    pub(super) fn send_slice(
        &mut self,
        frame: &[u8],
        out: &mut Outbox,
    ) -> Kept<Result<(), FrameError>> {
        let sent = guard(|| self.0.framing_mut().encode_slice(frame, out)).map_err(|broken| {
            broken.while_doing(format!("at `encode_slice` of {}", show(frame)))
        })?;
        self.0.framing().kept()?;
        Ok(sent)
    }

    pub(super) fn send_prefixed(
        &mut self,
        prefix: &[u8],
        rest: Bytes,
        out: &mut Outbox,
    ) -> Kept<Result<(), FrameError>> {
        let what = format!(
            "at `encode_prefixed` of {} and {}",
            show(prefix),
            show(&rest)
        );
        let framing = self.0.framing_mut();
        let sent = guard(|| framing.encode_prefixed(prefix, rest, out))
            .map_err(|broken| broken.while_doing(what))?;
        self.0.framing().kept()?;
        Ok(sent)
    }

    /// What is to be written, taken out.
    pub(super) fn written(&mut self) -> Bytes {
        self.0.outbox().take_bytes()
    }

    pub(super) fn unsent(&self) -> usize {
        self.0.unsent()
    }

    pub(super) fn set_now(&mut self, now: Instant) {
        self.0.set_now(now);
    }

    pub(super) fn now(&mut self) -> Instant {
        self.0.outbox().now()
    }

    pub(super) fn framing(&self) -> &Checked<F> {
        self.0.framing()
    }

    pub(super) fn framing_mut(&mut self) -> &mut Checked<F> {
        self.0.framing_mut()
    }

    /// The buffer of bytes that have arrived and are not consumed.
    pub(super) fn buffer(&mut self) -> &BytesMut {
        self.0.read_buffer()
    }
}
