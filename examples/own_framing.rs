//! cargo run --release --example own_framing
//!
//! A framing of your own (the length in front, in base 36: `1a:`), checked and registered by name.

use bytes::Bytes;
use framing::{FrameError, Framing, Limits, Machine, Outbox, Part, Registry, Step, testkit};
use serde::Deserialize;

fn main() -> anyhow::Result<()> {
    // The laws that all framings keep, however the bytes are cut. A law that is broken panics with
    // its number, the shortest input that shows it, and what to do.
    let frames = ["", "a", "12:", "hello world"].map(Bytes::from);
    testkit::check(
        || Base36::build(Options::default(), Limits::new()).unwrap(),
        &frames,
    );
    println!("base36 keeps the laws");

    // From here on it is a framing like any other: in configuration files, in servers, in clients.
    let mut registry = Registry::default();
    registry.register("base36", Base36::build);
    let framing = registry.parse(r#"{ type = "base36", capitals = true, max_frame = "1KiB" }"#)?;

    let mut machine = Machine::new(framing.make());
    machine.send("this frame has 47 bytes, which is 1B in base 36".into())?;
    let bytes = machine.outbox().take_bytes();
    println!("{}", bytes.escape_ascii());
    anyhow::ensure!(bytes.starts_with(b"1B:this"), "it is not 1B");

    let Err(error) = registry.parse(r#"{ type = "base36", colour = "red" }"#) else {
        anyhow::bail!("an option that does not exist was taken");
    };
    println!("{error}");
    Ok(())
}

/// What may stand in a table with `type = "base36"`, beside the options common to all framings.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Options {
    /// Whether we write `1A:` and not `1a:`. Both are read.
    capitals: bool,
}

/// The most digits: with thirteen, any length of 64 bits can be said.
const MOST_DIGITS: usize = 13;

#[derive(Clone)]
struct Base36 {
    capitals: bool,
    limits: Limits,
    /// Where the frame lies whose header has been accepted; it must not be counted twice.
    accepted: Option<std::ops::Range<usize>>,
}

impl Base36 {
    fn build(options: Options, limits: Limits) -> Result<Self, FrameError> {
        if limits.skips() {
            return Err(FrameError::config("base36 knows no `on_error = \"skip\"`"));
        }
        Ok(Self {
            capitals: options.capitals,
            limits,
            accepted: None,
        })
    }

    /// Where the next frame lies, if its header is complete.
    fn header(&mut self, input: &[u8]) -> Result<Option<std::ops::Range<usize>>, FrameError> {
        let mut length: u128 = 0;
        for (at, &byte) in input.iter().enumerate() {
            match char::from(byte).to_digit(36) {
                Some(digit) if at < MOST_DIGITS => length = length * 36 + u128::from(digit),
                None if byte == b':' && at > 0 => {
                    let length = self.limits.admit(length)?;
                    return Ok(Some(at + 1..at + 1 + length));
                }
                _ => {
                    let what = "a length has 1 to 13 digits of base 36 and ends with `:`";
                    return Err(FrameError::malformed(what).at(at));
                }
            }
        }
        Ok(None)
    }
}

impl Framing for Base36 {
    fn decode(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        if self.accepted.is_none() {
            self.accepted = self.header(input)?;
        }
        match self.accepted.take_if(|frame| frame.end <= input.len()) {
            Some(payload) => Ok(Step::Frame {
                consumed: payload.end,
                payload,
            }),
            None => {
                let end = self
                    .accepted
                    .as_ref()
                    .map_or(input.len() + 1, |frame| frame.end);
                Ok(Step::Need(end - input.len()))
            }
        }
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        let step = self.decode(input, out)?;
        let (part, have, need) = match (&step, &self.accepted) {
            (Step::Need(_), None) if input.is_empty() => return Ok(Step::End),
            (Step::Need(_), None) => (Part::Header, input.len(), None),
            (Step::Need(_), Some(frame)) => {
                (Part::Body, input.len() - frame.start, Some(frame.len()))
            }
            _ => return Ok(step),
        };
        Err(FrameError::truncated(part, have, need).at(input.len()))
    }

    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        if let Err(error) = self.limits.permit(frame.len()) {
            return Err(error.with_frame(frame));
        }
        let mut header = vec![b':'];
        let mut rest = frame.len();
        while rest > 0 || header.len() == 1 {
            let digit = char::from_digit((rest % 36) as u32, 36).unwrap_or('0');
            header.push(match self.capitals {
                true => digit.to_ascii_uppercase() as u8,
                false => digit as u8,
            });
            rest /= 36;
        }
        header.reverse();
        out.put_slice(&header);
        out.put(frame);
        Ok(())
    }

    fn max_frame(&self) -> usize {
        self.limits.largest()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.limits.set_largest(bytes);
    }
}

#[test]
fn runs() -> anyhow::Result<()> {
    main()
}
