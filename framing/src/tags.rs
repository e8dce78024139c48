//! Says where in a frame the tag stands that tells which request a response answers.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{Carries, FrameError, Framing, Value};

/// Frames up to this size are put together in a buffer that is used again: the outbox copies them.
const SMALL: usize = 4096;

/// How many bytes [`U32InFront`] adds.
const WIDTH: usize = size_of::<u32>();

/// Where the tag stands, and how it is written: the part of the wire format that both ends of a
/// multiplexed connection must agree upon.
///
/// [`U32InFront`] and [`HeaderItem`] are ready made. One of your own may put the tag anywhere, such
/// as into a payload that is text:
///
/// ```
/// use bytes::Bytes;
/// use framing::{FrameError, Framing, Tagging};
///
/// /// `17 hello`: the tag in decimal digits, a space, the frame.
/// #[derive(Clone)]
/// struct Digits;
///
/// impl Tagging for Digits {
///     fn begin(&mut self, _: &mut dyn Framing) -> Result<u32, FrameError> {
///         Ok(u32::MAX)
///     }
///
///     fn read(&mut self, frame: Bytes, _: &dyn Framing) -> Result<(u32, Bytes), FrameError> {
///         let wrong = || FrameError::malformed("a frame that does not begin with a number and a space");
///         let space = frame.iter().position(|&byte| byte == b' ').ok_or_else(wrong)?;
///         let tag = str::from_utf8(&frame[..space]).ok().and_then(|tag| tag.parse().ok());
///         Ok((tag.ok_or_else(wrong)?, frame.slice(space + 1..)))
///     }
///
///     fn write(&mut self, tag: u32, frame: Bytes, _: &mut dyn Framing) -> Result<Bytes, FrameError> {
///         Ok([tag.to_string().as_bytes(), b" ", &frame].concat().into())
///     }
/// }
/// ```
pub trait Tagging {
    /// Gets ready for a connection with this framing; the largest tag that can be written, at
    /// least 1.
    ///
    /// # Errors
    ///
    /// A [configuration](crate::ErrorKind::Config) error if the framing cannot carry such tags: now,
    /// and not when the first frame is sent.
    fn begin(&mut self, framing: &mut dyn Framing) -> Result<u32, FrameError>;

    /// Takes the tag out of a frame that has just been received. An error ends the connection, as
    /// nobody can know who waits for that frame.
    fn read(&mut self, frame: Bytes, framing: &dyn Framing) -> Result<(u32, Bytes), FrameError>;

    /// Puts the tag into a frame that is sent next. An error is one of that frame alone.
    fn write(
        &mut self,
        tag: u32,
        frame: Bytes,
        framing: &mut dyn Framing,
    ) -> Result<Bytes, FrameError>;

    /// The tag of frames that nobody answers: one-way requests, and what a server sends without
    /// having been asked. `None` if there are no such frames.
    fn one_way(&self) -> Option<u32> {
        Some(0)
    }
}

/// A tag of four bytes, in network byte order, in front of the frame; 0 is for one-way frames.
///
/// ```text
///  before                  ┌───────────────────       of the framing; here "!I"
///                          │ h e l l o
///                          └───────────────────
///  after   ┌──────────────┬──────────────┬───────────────────
///          │ 00 00 00 09  │ 00 00 00 11  │ h e l l o
///          └──────────────┴──────────────┴───────────────────
///            length         tag            frame
/// ```
///
/// It works with every framing that [carries anything](Carries::Anything), and takes four bytes of
/// its [`max_frame`](Framing::max_frame). A frame is copied on its way out; with a
/// [`HeaderItem`], large ones are not.
///
/// ```
/// use framing::{Machine, StructHeader, Tagging, U32InFront};
///
/// let (mut machine, mut tags) = (Machine::new(StructHeader::default()), U32InFront::new());
/// let frame = tags.write(17, "hello".into(), machine.framing_mut())?;
/// machine.send(frame)?;
/// assert_eq!(machine.outbox().take_bytes(), "\0\0\0\x09\0\0\0\x11hello");
/// # Ok::<(), framing::FrameError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct U32InFront {
    /// Where small frames are put together.
    gathered: BytesMut,
}

impl U32InFront {
    /// The only one there is.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Tagging for U32InFront {
    fn begin(&mut self, framing: &mut dyn Framing) -> Result<u32, FrameError> {
        if framing.carries() != Carries::Anything || !framing.keeps_boundaries() {
            return Err(FrameError::config(
                "a tag of four bytes in front of each frame needs a framing that carries anything",
            ));
        }
        if framing.max_frame() < WIDTH {
            return Err(FrameError::config(format!(
                "`max_frame` is {}, but a tag alone has {WIDTH} bytes",
                framing.max_frame()
            )));
        }
        Ok(u32::MAX)
    }

    #[inline]
    fn read(&mut self, mut frame: Bytes, _: &dyn Framing) -> Result<(u32, Bytes), FrameError> {
        match frame.try_get_u32() {
            Ok(tag) => Ok((tag, frame)),
            Err(_) => Err(FrameError::malformed(format!(
                "a frame of {} bytes, but it must begin with a tag of {WIDTH}",
                frame.len()
            ))),
        }
    }

    #[inline]
    fn write(
        &mut self,
        tag: u32,
        frame: Bytes,
        framing: &mut dyn Framing,
    ) -> Result<Bytes, FrameError> {
        let limit = framing.max_frame();
        if frame.len() > limit.saturating_sub(WIDTH) {
            // Before it is copied.
            return Err(FrameError::unencodable(format!(
                "a frame of {} bytes and a tag of {WIDTH} are over the limit of {limit} bytes",
                frame.len()
            ))
            .over(limit.saturating_sub(WIDTH))
            .with_frame(frame));
        }
        let whole = frame.len() + WIDTH;
        let mut large = BytesMut::new();
        let buffer = if whole <= SMALL {
            &mut self.gathered
        } else {
            &mut large
        };
        buffer.reserve(whole);
        buffer.put_u32(tag);
        buffer.put_slice(&frame);
        Ok(buffer.split().freeze())
    }
}

/// A tag that is an item of the framing's own header; 0 is for one-way frames.
///
/// ```text
///  "!II"   ┌──────────────┬──────────────┬───────────────────
///          │ 00 00 00 11  │ 00 00 00 05  │ h e l l o
///          └──────────────┴──────────────┴───────────────────
///            tag            length         frame
/// ```
///
/// It needs an item that holds an integer, of any width and sign, and is no constant; the narrower
/// it is, the fewer requests can be in flight. Every tag is read and written through the framing's
/// [`header`](Framing::header). A framing that
/// [answers by itself](Framing::is_interactive) is refused: of its frames, several may have arrived
/// before the first is looked at.
///
/// ```
/// use framing::{HeaderItem, Machine, StructHeader, Tagging, Value};
///
/// // A magic word, a version, the tag, and the length of the payload.
/// let mut machine = Machine::new(StructHeader::new("!2sBHI")?);
/// let items = ["MX".into(), Value::Int(1), Value::Int(0)];
/// let mut tags = HeaderItem::among(items, 2);
/// assert_eq!(tags.begin(machine.framing_mut())?, 65_535);
///
/// let frame = tags.write(17, "hello".into(), machine.framing_mut())?;
/// machine.send(frame)?;
/// assert_eq!(machine.outbox().take_bytes(), "MX\x01\0\x11\0\0\0\x05hello");
/// # Ok::<(), framing::FrameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct HeaderItem {
    /// What headers hold beside the length; the tag is written into it.
    items: Vec<Value>,
    /// Which of them is the tag.
    index: usize,
}

impl HeaderItem {
    /// The only item beside the length.
    pub fn only() -> Self {
        Self::among([Value::Int(0)], 0)
    }

    /// Item `index` of those beside the length. The others are sent as they are here, and those
    /// received are not looked at: checking is the framing's part.
    pub fn among(items: impl IntoIterator<Item = Value>, index: usize) -> Self {
        Self {
            items: items.into_iter().collect(),
            index,
        }
    }

    fn set(&mut self, value: Value, framing: &mut dyn Framing) -> Result<(), FrameError> {
        if let Some(item) = self.items.get_mut(self.index) {
            *item = value;
        }
        framing.set_header(&self.items)
    }
}

impl Tagging for HeaderItem {
    fn begin(&mut self, framing: &mut dyn Framing) -> Result<u32, FrameError> {
        if self.index >= self.items.len() {
            return Err(FrameError::config(format!(
                "the tag is item {} of {} beside the length; the first is 0",
                self.index,
                self.items.len()
            )));
        }
        if framing.is_interactive() {
            return Err(FrameError::config(
                "a tag in the header needs a framing that does not answer by itself",
            ));
        }
        self.set(Value::Int(1), framing).map_err(|error| {
            FrameError::config(format!("the header cannot hold a tag: {error}"))
        })?;
        if self.set(Value::Float(0.5), framing).is_ok() {
            return Err(FrameError::config(format!(
                "header item {} beside the length is no integer, so it can be no tag",
                self.index
            )));
        }
        let widest = [u32::MAX, u32::MAX >> 1]
            .into_iter()
            .chain([u16::MAX, u16::MAX >> 1].map(u32::from))
            .chain([u8::MAX, u8::MAX >> 1].map(u32::from))
            .find(|&tag| self.set(tag.into(), framing).is_ok());
        // One that can hold 1 and no more is a truth value, or a constant.
        widest.ok_or_else(|| {
            FrameError::config(format!(
                "header item {} beside the length is no integer, or a constant, so it can be no tag",
                self.index
            ))
        })
    }

    fn read(&mut self, frame: Bytes, framing: &dyn Framing) -> Result<(u32, Bytes), FrameError> {
        match framing.header().get(self.index) {
            Some(Value::Int(tag)) => match u32::try_from(*tag) {
                Ok(tag) => Ok((tag, frame)),
                Err(_) => Err(FrameError::malformed(format!(
                    "the tag is {tag}, and not between 0 and {}",
                    u32::MAX
                ))),
            },
            _ => Err(FrameError::malformed("a header without a tag")),
        }
    }

    fn write(
        &mut self,
        tag: u32,
        frame: Bytes,
        framing: &mut dyn Framing,
    ) -> Result<Bytes, FrameError> {
        match self.set(tag.into(), framing) {
            Ok(()) => Ok(frame),
            Err(error) => Err(error.with_frame(frame)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AckHandshake, Delimiter, ErrorKind, Limits, Machine, Received, StructHeader,
        StructHeaderOptions,
    };

    fn largest(format: &str) -> Result<u32, FrameError> {
        HeaderItem::only().begin(&mut StructHeader::new(format).unwrap())
    }

    #[test]
    fn the_largest_tag_is_the_largest_value_of_the_item() {
        for (format, tag) in [
            ("!QI", u32::MAX),
            ("!II", u32::MAX),
            ("!iI", i32::MAX as u32),
            ("<HI", 0xffff),
            ("!hI", 0x7fff),
            ("!BI", 0xff),
            ("!bI", 0x7f),
        ] {
            assert_eq!(largest(format).unwrap(), tag, "{format}");
        }
    }

    #[test]
    fn what_cannot_be_a_tag_is_refused_at_the_start() {
        for format in ["!dI", "!?I", "!4sI", "!cI", "!I", "!BBI"] {
            let kind = largest(format).map_err(|error| error.kind());
            assert_eq!(kind, Err(ErrorKind::Config), "{format}");
        }
        let constant = StructHeaderOptions::new("!BI")
            .constants([crate::Constant::Is(Value::Int(1))])
            .build(Limits::new());
        let error = HeaderItem::only().begin(&mut constant.unwrap());
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Config);
        let beyond = HeaderItem::among([Value::Int(0)], 1).begin(&mut StructHeader::default());
        assert_eq!(beyond.unwrap_err().kind(), ErrorKind::Config);
        // Tag 10 would be a line's end.
        let lines = U32InFront::new().begin(&mut Delimiter::default());
        assert_eq!(lines.unwrap_err().kind(), ErrorKind::Config);
        let mut narrow = StructHeader::default();
        narrow.set_max_frame(3);
        assert!(U32InFront::new().begin(&mut narrow).is_err());
        narrow.set_max_frame(4);
        assert!(U32InFront::new().begin(&mut narrow).is_ok());
    }

    #[test]
    fn what_is_wrong_with_a_tag_is_said() {
        let beyond = HeaderItem::among([Value::Int(0)], 1);
        let cases: [(HeaderItem, Box<dyn Framing>, &str); 4] = [
            (
                beyond,
                Box::new(StructHeader::new("!II").unwrap()),
                "item 1 of 1",
            ),
            (
                HeaderItem::only(),
                Box::new(AckHandshake::default()),
                "does not answer by itself",
            ),
            (
                HeaderItem::only(),
                Box::new(StructHeader::default()),
                "cannot hold a tag",
            ),
            (
                HeaderItem::only(),
                Box::new(StructHeader::new("!?I").unwrap()),
                "no integer, or a constant",
            ),
        ];
        for (mut tags, mut framing, says) in cases {
            let error = tags.begin(&mut framing).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn a_tag_comes_back_with_its_frame() {
        fn through(mut tags: impl Tagging, framing: StructHeader) {
            let mut machine = Machine::new(framing);
            let largest = tags.begin(machine.framing_mut()).unwrap();
            for tag in [0, 1, 10, 255, largest] {
                for size in [0, 5, SMALL - WIDTH, SMALL, 100_000] {
                    let payload = Bytes::from(vec![7; size]);
                    let frame = tags.write(tag, payload.clone(), machine.framing_mut());
                    machine.send(frame.unwrap()).unwrap();
                    let wire = machine.outbox().take_bytes();
                    machine.receive(&wire);
                    let Ok(Received::Frame(frame)) = machine.next_frame() else {
                        panic!("no frame");
                    };
                    let read = tags.read(frame, machine.framing()).unwrap();
                    assert_eq!(read, (tag, payload));
                }
            }
        }
        through(U32InFront::new(), StructHeader::default());
        through(HeaderItem::only(), StructHeader::new("!HI").unwrap());
        let items = [Value::Int(7), Value::Int(0), "MX".into()];
        through(
            HeaderItem::among(items, 1),
            StructHeader::new("<BQ2sI").unwrap(),
        );
    }

    #[test]
    fn frames_without_a_tag_are_malformed() {
        let mut framing = StructHeader::new("!qI").unwrap();
        for frame in ["", "abc"] {
            let error = U32InFront::new().read(frame.into(), &framing).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed);
        }
        // Before any header has come, and with a tag out of range.
        let mut tags = HeaderItem::only();
        assert!(tags.read("x".into(), &framing).is_err());
        framing.set_header(&[Value::Int(-1)]).unwrap();
        let mut machine = Machine::new(framing);
        machine.send("x".into()).unwrap();
        let wire = machine.outbox().take_bytes();
        machine.receive(&wire);
        machine.next_frame().unwrap();
        let error = tags.read("x".into(), machine.framing()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
    }

    #[test]
    fn a_frame_that_has_no_room_for_its_tag_is_not_sent() {
        let mut framing = StructHeader::default();
        framing.set_max_frame(10);
        let mut tags = U32InFront::new();
        assert!(tags.write(1, vec![0; 6].into(), &mut framing).is_ok());
        let mut error = tags.write(1, vec![0; 7].into(), &mut framing).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unencodable);
        assert_eq!(error.take_frame().unwrap().len(), 7);
    }
}
