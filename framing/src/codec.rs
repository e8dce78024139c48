//! Framings as tokio-util codecs, and tokio-util codecs as framings.

use std::{fmt, io};

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::{
    Carries, Error, FrameError, Framing, Limits, Outbox, Part, Received, Step, decoding::Decoding,
};

/// One of our framings as a [`Decoder`] and an [`Encoder`], for anyone's
/// [`Framed`](tokio_util::codec::Framed).
///
/// `Framed` waits for nothing but bytes: a framing that answers its peer cannot be a codec.
///
/// ```
/// use framing::{Delimiter, FramingCodec};
/// use futures_util::{SinkExt, StreamExt};
/// use tokio_util::codec::Framed;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let (ours, theirs) = tokio::io::duplex(64);
/// let codec = || FramingCodec::new(Delimiter::default()).unwrap();
/// let (mut ours, mut theirs) = (Framed::new(ours, codec()), Framed::new(theirs, codec()));
/// ours.send("hello".into()).await?;
/// assert_eq!(theirs.next().await.unwrap()?, "hello");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct FramingCodec<F> {
    framing: F,
    decoding: Decoding,
    out: Outbox,
}

impl<F: Framing> FramingCodec<F> {
    /// Makes a codec of `framing`, unless it is
    /// [interactive](Framing::is_interactive).
    pub fn new(framing: F) -> Result<Self, FrameError> {
        if framing.is_interactive() {
            return Err(FrameError::config(
                "this framing answers its peer while it decodes, which a codec cannot do",
            ));
        }
        Ok(Self {
            framing,
            decoding: Decoding::default(),
            out: Outbox::new(),
        })
    }

    /// The framing.
    pub fn get_ref(&self) -> &F {
        &self.framing
    }

    /// The framing, back.
    pub fn into_inner(self) -> F {
        self.framing
    }

    fn next(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, io::Error> {
        let received = self.decoding.next(&mut self.framing, src, &mut self.out);
        // The buffer is somebody else's.
        self.decoding.settle(src);
        match received.map_err(Error::from)? {
            Received::Frame(frame) => Ok(Some(frame)),
            Received::Need(_) | Received::End => Ok(None),
        }
    }
}

impl<F: Framing> Decoder for FramingCodec<F> {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        self.next(src)
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        self.decoding.close_input();
        self.next(src)
    }
}

impl<F: Framing> Encoder<Bytes> for FramingCodec<F> {
    type Error = io::Error;

    fn encode(&mut self, frame: Bytes, dst: &mut BytesMut) -> io::Result<()> {
        self.framing
            .encode(frame, &mut self.out)
            .map_err(Error::from)?;
        dst.extend_from_slice(&self.out.take_bytes());
        Ok(())
    }
}

/// A tokio-util codec of bytes as a framing.
///
/// Its frames do not stand in our buffer, so each is copied once. What its `decode_eof` leaves
/// over, or refuses though its `decode` did not, is [truncated](crate::ErrorKind::Truncated). A
/// codec that drops the start of a frame before it has the rest, as `LengthDelimitedCodec` does
/// with the header, cannot be seen to be in the middle of one.
///
/// ```
/// use bytes::BytesMut;
/// use framing::{CodecFraming, Limits, Machine, Received};
/// use tokio_util::codec::LengthDelimitedCodec;
///
/// let framing = CodecFraming::new(LengthDelimitedCodec::new(), Limits::default());
/// let mut machine = Machine::new(framing);
/// machine.receive(b"\0\0\0\x02hi");
/// assert_eq!(machine.next_frame()?, Received::Frame("hi".into()));
/// # Ok::<(), framing::FrameError>(())
/// ```
#[derive(Clone)]
pub struct CodecFraming<C> {
    codec: C,
    limits: Limits,
    /// A copy of what the codec has been shown and has not consumed: the start of the input.
    buffer: BytesMut,
    frame: Bytes,
    /// It has consumed bytes since its last frame.
    mid_frame: bool,
    carries: Carries,
}

impl<C> CodecFraming<C> {
    /// Makes a framing of `codec`. Its frames are checked against `limits` once they are whole:
    /// set the codec's own limit as well, if it has one. A frame of which twice the limit and
    /// 64 KiB have come while its end is not in sight is too long.
    pub fn new(codec: C, limits: Limits) -> Self {
        Self {
            codec,
            limits,
            buffer: BytesMut::new(),
            frame: Bytes::new(),
            mid_frame: false,
            carries: Carries::Neither("a foreign codec does not say what it can carry"),
        }
    }

    /// Sets what payloads the codec can carry, which it does not say itself.
    pub fn carrying(mut self, carries: Carries) -> Self {
        self.carries = carries;
        self
    }

    /// Shows the codec what is new in `input`.
    fn show(&mut self, input: &[u8]) {
        self.buffer
            .extend_from_slice(input.get(self.buffer.len()..).unwrap_or_default());
    }

    /// Takes note of a frame; `None` if there was none.
    fn found<I: Into<Bytes>>(
        &mut self,
        found: Option<I>,
        input: &[u8],
    ) -> Result<Option<Step>, FrameError> {
        let Some(frame) = found else {
            return Ok(None);
        };
        self.frame = frame.into();
        self.mid_frame = false;
        let consumed = self.consumed(input);
        // Where the frame began is the codec's secret.
        self.limits
            .admit(self.frame.len() as u64)
            .map_err(|error| error.at(consumed))?;
        Ok(Some(Step::Elsewhere { consumed }))
    }

    /// What may be gathered for one frame: its wrapping may double it and have a header.
    fn most_held(&self) -> usize {
        const HEADER: usize = 64 * 1024;
        self.limits
            .largest()
            .saturating_mul(2)
            .saturating_add(HEADER)
    }

    fn consumed(&self, input: &[u8]) -> usize {
        input.len().saturating_sub(self.buffer.len())
    }
}

impl<C: fmt::Debug> fmt::Debug for CodecFraming<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodecFraming")
            .field("codec", &self.codec)
            .field("limits", &self.limits)
            .field("carries", &self.carries)
            .finish_non_exhaustive()
    }
}

impl<C, I, E> Framing for CodecFraming<C>
where
    C: Decoder<Item = I, Error = E> + Encoder<Bytes, Error = E>,
    I: Into<Bytes>,
    E: fmt::Display + From<io::Error>,
{
    fn decode(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        self.show(input);
        let found = self.codec.decode(&mut self.buffer);
        let found = found.map_err(|error| FrameError::malformed(error.to_string()))?;
        Ok(match (self.found(found, input)?, self.consumed(input)) {
            (Some(step), _) => step,
            (None, 0) if self.buffer.len() > self.most_held() => {
                return Err(FrameError::over_limit(self.limits.largest()));
            }
            (None, 0) => Step::Need(1),
            (None, consumed) => {
                self.mid_frame = true;
                Step::Consumed(consumed)
            }
        })
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        match self.decode(input, out)? {
            Step::Need(_) => {}
            step => return Ok(step),
        }
        let cut_off = || FrameError::truncated(Part::Body, input.len(), None).at(input.len());
        let found = self
            .codec
            .decode_eof(&mut self.buffer)
            .map_err(|_| cut_off())?;
        Ok(match (self.found(found, input)?, self.consumed(input)) {
            (Some(step), _) => step,
            (None, 0) if input.is_empty() => Step::End,
            (None, 0) => return Err(cut_off()),
            (None, consumed) => Step::Consumed(consumed),
        })
    }

    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        if let Err(error) = self.limits.permit(frame.len()) {
            return Err(error.with_frame(frame));
        }
        let mut written = BytesMut::new();
        match self.codec.encode(frame.clone(), &mut written) {
            Ok(()) => {
                out.put(written.freeze());
                Ok(())
            }
            Err(error) => Err(FrameError::unencodable(error.to_string()).with_frame(frame)),
        }
    }

    fn max_frame(&self) -> usize {
        self.limits.largest()
    }

    fn set_max_frame(&mut self, bytes: usize) {
        self.limits.set_largest(bytes);
    }

    fn is_mid_frame(&self) -> bool {
        self.mid_frame
    }

    fn carries(&self) -> Carries {
        self.carries
    }

    fn take_frame(&mut self) -> Bytes {
        std::mem::take(&mut self.frame)
    }
}
