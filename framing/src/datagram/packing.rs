//! Frames out of one datagram, and one frame into it, by a framing that has seen no other.

use bytes::{Bytes, BytesMut};

use crate::{FrameError, Framing, Outbox, Received, Value, decoding::Decoding, serve::MakeFraming};

/// How much of what follows a frame is kept to show.
const SAMPLE: usize = 16;

/// Packs and unpacks datagrams.
#[derive(Debug)]
pub(super) struct Packing<F> {
    prototype: F,
    /// Whether a datagram may hold several frames.
    several: bool,
    /// The framing keeps no boundaries, so the datagram does: it is the frame.
    whole: bool,
    /// What the headers of frames to be sent hold beside the length, if it was set.
    header: Option<Vec<Value>>,
}

impl<F: MakeFraming> Packing<F> {
    pub(super) fn new(prototype: F) -> Result<Self, FrameError> {
        let framing = prototype.make_framing();
        if framing.is_interactive() {
            return Err(FrameError::config(format!(
                "`{}` waits for its peer's answer to each frame, and a datagram may be lost: choose \
                 another framing, or a stream socket",
                prototype.framing_name()
            )));
        }
        Ok(Self {
            whole: !framing.keeps_boundaries(),
            several: false,
            header: None,
            prototype,
        })
    }

    pub(super) fn set_several(&mut self, several: bool) {
        self.several = several;
    }

    pub(super) fn prototype(&self) -> &F {
        &self.prototype
    }

    pub(super) fn set_header(&mut self, items: &[Value]) -> Result<(), FrameError> {
        // What would be refused later is refused now.
        self.prototype.make_framing().set_header(items)?;
        self.header = Some(items.to_vec());
        Ok(())
    }

    /// Begins to take a datagram apart.
    pub(super) fn unpack(&self, datagram: &[u8]) -> Unpacking<F::Framing> {
        let mut decoding = Decoding::default();
        decoding.close_input();
        Unpacking {
            framing: self.prototype.make_framing(),
            decoding,
            out: Outbox::new(),
            // Exactly as large as what came: a frame that is kept pins no more than its datagram.
            input: BytesMut::from(datagram),
            several: self.several,
            whole: self.whole,
            found: false,
            done: false,
        }
    }

    /// Makes a datagram of a frame.
    pub(super) fn pack(&self, frame: Bytes, largest: usize) -> Result<Bytes, FrameError> {
        let mut framing = self.prototype.make_framing();
        if self.whole {
            return match fit(frame.len(), framing.max_frame().min(largest)) {
                Ok(()) => Ok(frame),
                Err(error) => Err(error.with_frame(frame)),
            };
        }
        if let Some(items) = &self.header {
            framing.set_header(items)?;
        }
        let mut out = Outbox::new();
        framing.encode(frame.clone(), &mut out)?;
        match fit(bytes::Buf::remaining(&out), largest) {
            Ok(()) => Ok(out.take_bytes()),
            Err(error) => Err(error.with_frame(frame)),
        }
    }
}

fn fit(size: usize, largest: usize) -> Result<(), FrameError> {
    if size > largest {
        return Err(FrameError::unencodable(format!(
            "a datagram of {size} bytes is over the limit of {largest} bytes"
        )));
    }
    Ok(())
}

/// A datagram being taken apart.
#[derive(Debug)]
pub(super) struct Unpacking<F> {
    framing: F,
    decoding: Decoding,
    out: Outbox,
    input: BytesMut,
    several: bool,
    whole: bool,
    /// A frame or an error has come out.
    found: bool,
    done: bool,
}

impl<F: Framing> Unpacking<F> {
    /// The framing, behind the frame that it found last.
    pub(super) fn framing(&self) -> &F {
        &self.framing
    }

    /// The next frame or error; at least one of them comes out of each datagram.
    pub(super) fn next(&mut self) -> Option<Result<Bytes, FrameError>> {
        if self.done {
            return None;
        }
        let result = if self.whole {
            self.done = true;
            self.whole_frame()
        } else if self.several {
            self.next_of_several()?
        } else {
            self.done = true;
            self.only_frame()
        };
        self.found = true;
        if self.done {
            self.input = BytesMut::new();
        }
        Some(result)
    }

    /// The datagram, if it is not too long.
    fn whole_frame(&mut self) -> Result<Bytes, FrameError> {
        let frame = self.input.split().freeze();
        if frame.len() > self.framing.max_frame() {
            let mut error = FrameError::too_long(frame.len() as u64, self.framing.max_frame());
            error.locate(0, &frame);
            return Err(error);
        }
        Ok(frame)
    }

    fn next_of_several(&mut self) -> Option<Result<Bytes, FrameError>> {
        let result = self.advance();
        match &result {
            Ok(None) => {
                self.done = true;
                if self.found {
                    return None;
                }
            }
            Ok(Some(_)) => {}
            Err(error) => self.done = !error.is_recoverable(),
        }
        Some(result.and_then(|frame| frame.ok_or_else(no_frame)))
    }

    /// The one frame, if nothing stands behind it.
    fn only_frame(&mut self) -> Result<Bytes, FrameError> {
        let size = self.input.len();
        let frame = self.advance()?.ok_or_else(no_frame)?;
        let rest = self.input.len();
        if rest > 0 {
            let start = self.input[..rest.min(SAMPLE)].to_vec();
            // What the framing passes over by itself, such as one more mark, is no trouble.
            if !matches!(self.advance(), Ok(None)) {
                let s = if rest == 1 { "" } else { "s" };
                let message = format!("{rest} byte{s} too many behind the frame");
                let mut error = FrameError::malformed(message);
                error.locate((size - rest) as u64, &start);
                return Err(error);
            }
        }
        Ok(frame)
    }

    /// The next frame; `None` at the end of the datagram.
    fn advance(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Self {
            framing,
            decoding,
            input,
            out,
            ..
        } = self;
        let received = decoding.next(framing, input, out);
        // What is left is looked at between two frames.
        decoding.settle(input);
        match received? {
            Received::Frame(frame) => Ok(Some(frame)),
            // The end of a datagram is known from the start, so nothing more is waited for.
            Received::Need(_) | Received::End => Ok(None),
        }
    }
}

#[cold]
fn no_frame() -> FrameError {
    FrameError::malformed("there is no frame in it")
}
