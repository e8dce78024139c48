//! The machine around a framing: what it lends, keeps and lets go of.

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
};

use bytes::Bytes;
use framing::{
    AckHandshake, BoxFraming, ErrorKind, FrameError, Framing, LengthFieldOptions, Limits, Lines,
    Machine, Outbox, Received, Step, StructHeader, Unread, Visited,
};

#[test]
fn a_visitor_sends_and_sees_headers() {
    let options = LengthFieldOptions::default().offset(1).width(1);
    let mut machine = Machine::new(options.build(Limits::new()).unwrap());
    machine.receive(b"a\x01xb\x01y");
    let mut headers = Vec::new();
    let visited = machine.visit(|frame, replies| {
        headers.extend(replies.header());
        assert!(replies.is_ready());
        let before = replies.unsent();
        replies.send_slice(frame).unwrap();
        assert_eq!(replies.unsent(), before + 3);
        replies.send("z".into()).unwrap();
        assert_eq!(replies.unsent(), before + 6);
        ControlFlow::Continue(())
    });
    assert_eq!(visited, Ok(Visited::Need(2)));
    assert_eq!(headers, ["a".into(), "b".into()]);
    assert_eq!(machine.unsent(), 12);
    assert_eq!(
        machine.outbox().take_bytes(),
        "\0\x01x\0\x01z\0\x01y\0\x01z"
    );
    assert_eq!(machine.unread(), 0);
}

#[test]
fn a_visitor_is_told_that_an_ack_is_due() {
    let mut machine = Machine::new(AckHandshake::default());
    machine.receive(b"1\nx");
    let visited = machine.visit(|_, replies| {
        assert!(replies.is_ready());
        replies.send("a".into()).unwrap();
        assert!(!replies.is_ready());
        ControlFlow::Break(())
    });
    assert_eq!(visited, Ok(Visited::Broken));
}

#[test]
fn what_a_visitor_has_seen_is_gone_even_if_it_breaks_or_panics() {
    let mut machine = Machine::new(Lines::new().unwrap());
    machine.receive(b"one\ntwo\nthree\n");
    let visited = machine.visit(|frame, _| {
        assert_eq!(frame, b"one");
        ControlFlow::Break(())
    });
    assert_eq!(visited, Ok(Visited::Broken));
    assert_eq!(machine.unread(), 10);
    let visited = catch_unwind(AssertUnwindSafe(|| {
        machine.visit(|_, _| panic!("on purpose"))
    }));
    assert!(visited.is_err());
    assert_eq!(machine.unread(), 6);
    assert!(machine.is_mid_frame());
    assert_eq!(machine.next_frame(), Ok(Received::Frame("three".into())));
    assert!(!machine.is_mid_frame());
    machine.close_input();
    let visited = machine.visit(|_, _| ControlFlow::Continue(()));
    assert_eq!(visited, Ok(Visited::End));
}

/// Small frames and large ones, whole and cut off, in pieces of every size: taken one by one and all
/// at once they are the same, and so is what comes behind them.
#[test]
fn frames_taken_are_those_that_come_one_by_one() {
    let frames = [1, 2, 256, 257, 5000, 3].map(|size| vec![b'x'; size]);
    let whole: Vec<u8> = frames
        .iter()
        .flat_map(|frame| [&(frame.len() as u32).to_be_bytes()[..], frame].concat())
        .collect();
    for (wire, piece) in [(&whole[..], 7), (&whole, 1460), (&whole[..5000], 64)] {
        let mut one_by_one = Machine::new(StructHeader::default());
        let mut taken = Machine::new(StructHeader::default());
        for piece in wire.chunks(piece).map(Some).chain([None]) {
            for machine in [&mut one_by_one, &mut taken] {
                match piece {
                    Some(piece) => machine.receive(piece),
                    None => machine.close_input(),
                }
            }
            let mut seen = Vec::new();
            let visited = taken.take_frames(|frame, _| {
                seen.push(frame);
                ControlFlow::Continue(())
            });
            for frame in seen {
                assert_eq!(one_by_one.next_frame(), Ok(Received::Frame(frame)));
            }
            match (one_by_one.next_frame(), visited) {
                (Ok(Received::Need(some)), Ok(Visited::Need(others))) => assert_eq!(some, others),
                (Ok(Received::End), Ok(Visited::End)) => assert_eq!(wire.len(), whole.len()),
                (Err(one), Err(other)) => assert_eq!(one, other),
                (one, other) => panic!("{one:?}, but {other:?}"),
            }
            assert_eq!(one_by_one.unread(), taken.unread());
        }
    }
}

#[test]
fn who_takes_frames_may_answer_and_leave_some() {
    let mut machine = Machine::new(Own);
    machine.receive(b"abc");
    for left in [2, 1] {
        let visited = machine.take_frames(|frame, replies| {
            assert_eq!(frame, "own");
            replies.send(frame).unwrap();
            ControlFlow::Break(())
        });
        assert_eq!(visited, Ok(Visited::Broken));
        assert_eq!(machine.unread(), left);
    }
    let taken = catch_unwind(AssertUnwindSafe(|| {
        machine.take_frames(|_, _| panic!("on purpose"))
    }));
    assert!(taken.is_err());
    assert_eq!(machine.unread(), 0);
    assert_eq!(machine.outbox().take_bytes(), "ownown");
}

#[test]
fn errors_behind_a_visit_say_where_in_the_stream() {
    let mut machine = Machine::new(Lines::new().unwrap());
    machine.receive(b"one\ntwo\n\xff\n");
    let mut seen = 0;
    let error = machine.visit(|_, _| {
        seen += 1;
        ControlFlow::Continue(())
    });
    assert_eq!((error.unwrap_err().offset(), seen), (8, 2));
}

/// Makes a frame of its own out of each byte, and wants more even behind the end.
struct Own;

impl Framing for Own {
    fn decode(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
        Ok(match input {
            [] => Step::Need(1),
            _ => Step::Elsewhere { consumed: 1 },
        })
    }

    fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
        self.decode(input, out)
    }

    fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
        out.put(frame);
        Ok(())
    }

    fn max_frame(&self) -> usize {
        3
    }

    fn set_max_frame(&mut self, _: usize) {}

    fn take_frame(&mut self) -> Bytes {
        "own".into()
    }
}

#[test]
fn what_a_framing_does_not_say_is_what_most_would() {
    let mut own = Own;
    assert!(!own.is_mid_frame());
    assert_eq!(own.take_unsent(), None);
    assert_eq!(own.header(), []);
    assert_eq!(own.set_header(&[]), Ok(()));
    let error = own.set_header(&[1u8.into()]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unencodable);
    let expired = own.expired(&mut [7], &mut Outbox::new());
    assert_eq!(expired, Ok(Step::Elsewhere { consumed: 1 }));
}

#[test]
fn a_boxed_framing_gives_back_what_it_has_not_sent() {
    let mut boxed: BoxFraming = Box::<AckHandshake>::default();
    boxed.encode("hi".into(), &mut Outbox::new()).unwrap();
    assert_eq!(boxed.take_unsent(), Some("hi".into()));
    assert_eq!(boxed.take_unsent(), None);
}

#[test]
fn a_frame_from_elsewhere_consumes_what_it_was_made_of() {
    let mut machine = Machine::new(Own);
    machine.receive(b"ab");
    for unread in [1, 0] {
        assert_eq!(machine.next_frame(), Ok(Received::Frame("own".into())));
        assert_eq!(machine.unread(), unread);
    }
    assert_eq!(machine.next_frame(), Ok(Received::Need(1)));
}

#[test]
fn a_framing_that_wants_more_behind_the_end_is_cut_off() {
    let mut machine = Machine::new(Own);
    machine.receive(b"a");
    machine.close_input();
    assert_eq!(machine.next_frame(), Ok(Received::Frame("own".into())));
    for _ in 0..3 {
        let error = machine.next_frame().unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Truncated, 1));
    }
}

#[test]
fn what_has_arrived_carries_on_or_is_dropped() {
    for (unread, next) in [
        (Unread::CarryOn, Received::Frame("hi".into())),
        (Unread::Discard, Received::Need(4)),
    ] {
        let mut machine = Machine::new(Lines::new().unwrap());
        machine.receive(b"UPGRADE\n\0\0\0\x02hi");
        machine.next_frame().unwrap();
        let (mut machine, _) = machine.change_framing(StructHeader::default(), unread);
        assert_eq!(machine.next_frame(), Ok(next.clone()));
        // Offsets go on counting.
        machine.receive(b"\xff\xff\xff\xff");
        assert_eq!(machine.next_frame().unwrap_err().offset(), 14);

        let mut machine = Machine::new(StructHeader::default());
        machine.receive(b"\0\0\0\x01x\0\0\0\x02hi");
        machine.next_frame().unwrap();
        machine.replace_framing(StructHeader::default(), unread);
        assert_eq!(machine.next_frame(), Ok(next));
    }
}

/// Frames up to a small size are copied out of the buffer, larger ones cut out of it.
#[test]
fn frames_of_any_size_are_exactly_themselves() {
    for size in [0, 1, 255, 256, 257, 300, 70_000] {
        let payload = vec![b'x'; size];
        let options = LengthFieldOptions::default().offset(3).width(4);
        let mut machine = Machine::new(options.build(Limits::new()).unwrap());
        machine.send(payload.clone().into()).unwrap();
        machine.send("next".into()).unwrap();
        let wire = machine.outbox().take_bytes();
        machine.receive(&wire);
        assert_eq!(
            machine.next_frame(),
            Ok(Received::Frame(payload.clone().into()))
        );
        assert_eq!(machine.next_frame(), Ok(Received::Frame("next".into())));

        // A mark behind the frame is no part of it.
        let mut machine = Machine::new(Lines::new().unwrap());
        machine.receive(&payload);
        machine.receive(b"\nnext\n");
        assert_eq!(machine.next_frame(), Ok(Received::Frame(payload.into())));
        assert_eq!(machine.next_frame(), Ok(Received::Frame("next".into())));
    }
}

#[test]
fn a_small_frame_pins_no_buffer_and_a_large_one_is_no_copy() {
    for (size, copied) in [(256, true), (257, false)] {
        let mut machine = Machine::new(StructHeader::default());
        machine.receive(&u32::to_be_bytes(size));
        machine.receive(&vec![b'x'; size as usize]);
        let place = machine.read_buffer().as_ptr().wrapping_add(4);
        let Ok(Received::Frame(frame)) = machine.next_frame() else {
            panic!("no frame");
        };
        assert_eq!(frame.as_ptr() != place, copied, "{size}");
    }
}

#[test]
fn there_is_room_for_a_read_and_no_more_than_has_arrived() {
    let mut machine = Machine::new(StructHeader::default());
    let room = |machine: &mut Machine<StructHeader>| {
        let buffer = machine.read_buffer();
        buffer.capacity() - buffer.len()
    };
    assert!((32 << 10..=128 << 10).contains(&room(&mut machine)));
    // A header of eight megabytes buys nothing.
    machine.receive(b"\0\x80\0\0");
    assert_eq!(machine.next_frame(), Ok(Received::Need(8 << 20)));
    assert!(room(&mut machine) <= 128 << 10);
    // What has arrived does.
    machine.receive(&vec![0; 1 << 20]);
    assert_eq!(machine.next_frame(), Ok(Received::Need(7 << 20)));
    assert!(room(&mut machine) >= 1 << 20);
    machine.receive(&vec![0; 7 << 20]);
    machine.next_frame().unwrap();
    // And it is given back.
    assert!(matches!(machine.next_frame(), Ok(Received::Need(4))));
    assert!(machine.read_buffer().capacity() <= 512 << 10);
}
