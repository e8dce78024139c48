//! Length fields against tokio-util's `LengthDelimitedCodec`: where both can be told the same, the
//! same bytes are the same frames, and the same frames are the same bytes.

use bytes::{Bytes, BytesMut};
use framing::{
    Endian, ErrorKind, FrameError, Framing, LengthField, LengthFieldOptions, Limits, Machine,
    Received,
};
use proptest::{collection::vec, prelude::*, sample::Index};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

/// More than a random length in one byte, and little enough that longer ones are refused often.
const MAX: usize = 300;

#[derive(Clone, Copy, Debug)]
struct Layout {
    offset: usize,
    width: usize,
    little: bool,
    adjust: i64,
    strip: usize,
}

fn layouts() -> impl Strategy<Value = Layout> {
    let adjust = prop_oneof![Just(0), -9..9_i64];
    let fields = (0..6_usize, 1..=8_usize, any::<bool>(), adjust);
    (fields, any::<Index>()).prop_map(|((offset, width, little, adjust), strip)| Layout {
        offset,
        width,
        little,
        adjust,
        strip: strip.index(offset + width + 1),
    })
}

impl Layout {
    fn header(self) -> usize {
        self.offset + self.width
    }

    /// How much of the header a frame keeps.
    fn kept(self) -> usize {
        self.header() - self.strip
    }

    fn ours(self, max: usize) -> LengthField {
        let endian = match self.little {
            true => Endian::Little,
            false => Endian::Big,
        };
        LengthFieldOptions::default()
            .offset(self.offset)
            .width(self.width)
            .endian(endian)
            .adjust(self.adjust)
            .strip(self.strip)
            .build(Limits::new().max_frame(max))
            .unwrap()
    }

    /// Its adjustment counts from behind what is skipped, ours from behind the header. Its limit
    /// is of what the length field says, before it is adjusted.
    fn theirs(self) -> LengthDelimitedCodec {
        let mut builder = LengthDelimitedCodec::builder();
        builder
            .length_field_offset(self.offset)
            .length_field_length(self.width)
            .length_adjustment(self.adjust as isize + self.kept() as isize)
            .num_skip(self.strip)
            .max_frame_length(1 << 20);
        match self.little {
            true => builder.little_endian(),
            false => builder.big_endian(),
        };
        builder.new_codec()
    }

    /// Whether it may refuse what a length field of 1 byte can say: it lowers its limit by a
    /// negative adjustment, and compares it with what is not adjusted yet.
    fn is_clipped(self) -> bool {
        self.width == 1 && self.adjust + (self.kept() as i64) < 0
    }

    /// What one length field of 1 byte can say limits frames, too.
    fn max(self) -> usize {
        let widest = if self.width == 1 { 255 } else { MAX as i64 };
        MAX.min((widest + self.adjust) as usize + self.kept())
    }

    /// A frame on the wire, written by hand.
    fn wire(self, front: &[u8], body: &[u8]) -> Option<Vec<u8>> {
        let value = u64::try_from(body.len() as i64 - self.adjust).ok()?;
        let bytes = value.to_be_bytes();
        let (unused, field) = bytes.split_at(8 - self.width);
        if unused.iter().any(|&byte| byte != 0) {
            return None;
        }
        let mut field = field.to_vec();
        if self.little {
            field.reverse();
        }
        Some([&front[..self.offset], &field, body].concat())
    }
}

/// All frames, and the error behind them, if there is one.
fn ours(framing: LengthField, pieces: &[&[u8]]) -> (Vec<Bytes>, Result<(), FrameError>) {
    let mut machine = Machine::new(framing);
    let mut frames = Vec::new();
    for piece in pieces {
        machine.receive(piece);
        loop {
            match machine.next_frame() {
                Ok(Received::Frame(frame)) => frames.push(frame),
                Ok(_) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, Ok(()))
}

/// The same of theirs, and whether there is no error. A length that leaves a frame shorter than
/// its own header can make it decode the same nothing for ever: that counts as one.
fn theirs(mut codec: LengthDelimitedCodec, stream: &[u8]) -> (Vec<Bytes>, bool) {
    let mut buffer = BytesMut::from(stream);
    let mut frames = Vec::new();
    loop {
        let before = buffer.len();
        match codec.decode(&mut buffer) {
            Ok(Some(_)) if buffer.len() == before => return (frames, false),
            Ok(Some(frame)) => frames.push(frame.freeze()),
            Ok(None) => return (frames, true),
            Err(_) => return (frames, false),
        }
    }
}

proptest! {
    #[test]
    fn frames_of_any_layout_are_the_same_frames(
        layout in layouts(),
        bodies in vec(vec(any::<u8>(), 0..40), 0..6),
        front in any::<[u8; 6]>(),
        cut in any::<Index>(),
    ) {
        let wires: Vec<_> = bodies.iter().filter_map(|body| layout.wire(&front, body)).collect();
        let stream = wires.concat();
        let (piece, rest) = stream.split_at(cut.index(stream.len() + 1));
        let (frames, end) = ours(layout.ours(layout.max()), &[piece, rest]);
        prop_assert_eq!(end, Ok(()));
        let stripped: Vec<_> = wires.iter().map(|wire| &wire[layout.strip..]).collect();
        prop_assert_eq!(&frames, &stripped);
        prop_assert_eq!(frames, theirs(layout.theirs(), &stream).0);
    }

    #[test]
    fn any_bytes_are_the_same_frames_up_to_the_first_one_that_is_too_long(
        layout in layouts(),
        stream in vec(prop_oneof![3 => 0..12_u8, 1 => any::<u8>()], 0..200),
    ) {
        let (frames, end) = ours(layout.ours(layout.max()), &[&stream]);
        let (expected, good) = theirs(layout.theirs(), &stream);
        if !good && layout.is_clipped() {
            let common = frames.len().min(expected.len());
            prop_assert_eq!(&frames[..common], &expected[..common]);
            return Ok(());
        }
        match end {
            Ok(()) => {
                prop_assert!(good);
                prop_assert_eq!(frames, expected);
            }
            Err(error) => {
                // Where theirs goes on it is within its limit, which is larger than ours.
                prop_assert!(expected.starts_with(&frames));
                match error.kind() {
                    ErrorKind::TooLong => prop_assert!(error.declared() > Some(layout.max() as u128)),
                    // A negative length. With part of the header kept theirs is the shorter frame.
                    kind => {
                        prop_assert_eq!(kind, ErrorKind::Malformed);
                        prop_assert!(layout.adjust < 0);
                        prop_assert!(layout.kept() > 0 || (!good && expected == frames));
                    }
                }
            }
        }
    }

    #[test]
    fn both_write_the_same_where_nothing_stands_in_front(
        layout in layouts(),
        frame in vec(any::<u8>(), 0..40),
    ) {
        // Theirs writes the length and the frame, whatever the offset and what is to be stripped.
        let layout = Layout { offset: 0, strip: layout.width, ..layout };
        let (mut codec, mut expected) = (layout.theirs(), BytesMut::new());
        let written = codec.encode(Bytes::from(frame.clone()), &mut expected);
        let mut machine = Machine::new(layout.ours(layout.max()));
        match machine.send(frame.into()) {
            Ok(()) => {
                prop_assert!(written.is_ok());
                prop_assert_eq!(machine.outbox().take_bytes(), expected);
            }
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::Unencodable);
                prop_assert!(written.is_err());
            }
        }
    }

    #[test]
    fn what_we_write_they_read(
        layout in layouts(),
        body in vec(any::<u8>(), 0..40),
        front in any::<[u8; 6]>(),
    ) {
        let Some(wire) = layout.wire(&front, &body) else {
            return Ok(());
        };
        let frame = Bytes::copy_from_slice(&wire[layout.strip..]);
        let mut framing = layout.ours(layout.max());
        if layout.offset > 0 {
            framing.set_header(&[Bytes::copy_from_slice(&front[..layout.offset]).into()]).unwrap();
        }
        let mut machine = Machine::new(framing);
        machine.send(frame.clone()).unwrap();
        let written = machine.outbox().take_bytes();
        prop_assert_eq!(&written, &wire);
        prop_assert_eq!(theirs(layout.theirs(), &written), (vec![frame], true));
    }
}
