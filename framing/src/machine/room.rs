//! Makes room for what is read, and gives it back where nothing comes.
//!
//! A connection that waits holds no buffer. It is lent one for each read, keeps that while frames come, gets a
//! larger one behind a read that filled it and for large frames, and gives it back as soon as there is
//! nothing to read.

use std::mem;

use bytes::{BufMut, BytesMut, buf::Limit};

use super::Machine;
use crate::{Framing, pool};

/// Room made for one read, and of a large frame the most that one takes. What a peer declares costs it
/// nothing, so it buys no memory: only what has come does, or came before.
pub(crate) const READ_SIZE: usize = 64 * 1024;

/// Room made for a read behind one that filled the buffer: a batch of frames of 4 KiB comes in one
/// piece where it would have come in four (a tenth of its time).
const LARGE_READ_SIZE: usize = 256 * 1024;

/// A connection that waits with no more than this many bytes keeps no room beyond them; the second is
/// for those whose buffer has grown.
const FEW: usize = 1024;
const FEW_OF_LARGE: usize = 16 * 1024;

/// A drained buffer larger than this is given back, to the pool or to the allocator.
pub(super) const KEEP_CAPACITY: usize = 256 * 1024;

impl<F: Framing> Machine<F> {
    /// Room for a read, with the spare buffer of the pool where there is little in ours.
    ///
    /// Behind a frame larger than [`READ_SIZE`] one takes no more than that. Who takes all there is soon waits
    /// for more, several times a frame, and every time the writer has to wake it; with a segment at a time the
    /// next has come when it asks again (a third of a download in frames of 256 KiB).
    pub(crate) fn wake(&mut self) -> Limit<&mut BytesMut> {
        let most = match self.decoding.usual() > READ_SIZE {
            true => READ_SIZE,
            false => usize::MAX,
        };
        self.wake_buffer().limit(most)
    }

    /// The buffer that it is read into.
    fn wake_buffer(&mut self) -> &mut BytesMut {
        // Who is flooded gets a larger one in any case.
        if self.is_resting
            && !self.is_flooded
            && self.need <= READ_SIZE
            && let Some(spare) = pool::lend()
        {
            // Nearly every wake: there is nothing to ask about the buffer before (a twentieth of the
            // instructions that a wake takes).
            self.is_resting = false;
            self.input = spare;
            return &mut self.input;
        }
        self.decoding.settle(&mut self.input);
        if self.input.capacity() < READ_SIZE
            && !self.is_flooded
            && let Some(spare) = pool::lend()
        {
            self.exchange(spare, false);
        }
        self.read_buffer()
    }

    /// The buffer of bytes not yet consumed, with room for a read to append to. Nothing else may
    /// be done to it.
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        self.is_resting = false;
        self.decoding.settle(&mut self.input);
        // Nearly always there is enough.
        let spare = self.input.capacity() - self.input.len();
        if spare < self.need.max(READ_SIZE / 2) || self.is_flooded {
            self.make_room(spare);
        }
        &mut self.input
    }

    /// Makes room for the next read if `spare` is too little.
    #[inline(never)]
    fn make_room(&mut self, spare: usize) {
        // What has arrived already is a fair measure of what may be reserved next, so a frame of
        // n bytes is moved log n times; and a few bytes left over do not double the buffer. Who has
        // sent a large frame gets room for another at once, up to what is kept anyway: a seventh of
        // the time of an upload in frames of 256 KiB was moving and growing.
        let proven = self
            .input
            .len()
            .max(self.decoding.usual().min(KEEP_CAPACITY));
        let ahead = self.need.min(proven);
        // With what is left over it is the room of a large read, for which the pool has a buffer.
        let room = match self.is_flooded {
            true => LARGE_READ_SIZE
                .saturating_sub(self.input.len())
                .max(READ_SIZE),
            false => READ_SIZE,
        };
        if spare >= ahead.max(room / 2) {
            return;
        }
        let room = ahead.max(room);
        let size = self.input.len() + room;
        if self.input.try_reclaim(room) {
            // No frame is alive in it.
            self.leave(true);
        } else if (LARGE_READ_SIZE..=pool::LARGE).contains(&size) {
            self.exchange(pool::lend_large(), true);
        } else if self.is_large {
            self.exchange(BytesMut::with_capacity(size), false);
        } else {
            self.leave(false);
            self.input.reserve(room);
        }
        self.note_growth();
    }

    /// Takes note of a buffer that is too large to keep.
    pub(super) fn note_growth(&mut self) {
        let size = self.input.capacity();
        if size > KEEP_CAPACITY {
            self.has_grown = true;
            if !self.is_large {
                self.decoding.grow(size);
            }
        }
    }

    /// Goes on with another buffer, which may be one of the pool's for large frames. What has not been
    /// consumed moves there.
    fn exchange(&mut self, mut next: BytesMut, is_large: bool) {
        next.extend_from_slice(&self.input);
        let mut old = mem::replace(&mut self.input, next);
        old.clear();
        let is_free = old.try_reclaim(self.size());
        self.leave(is_free);
        self.has_grown = is_large;
        if mem::replace(&mut self.is_large, is_large) {
            pool::give_back_large(old);
        }
    }

    /// Takes note of what a read brought.
    pub(crate) fn has_read(&mut self) {
        self.is_flooded = self.input.len() == self.input.capacity();
    }

    /// Lets go of an empty buffer that is too large to keep, or too small to be of use.
    #[inline]
    pub(super) fn tidy(&mut self) {
        // Most are neither.
        let is_usual = !self.has_grown && self.input.capacity() >= READ_SIZE;
        if self.input.is_empty() && !is_usual && !self.is_resting {
            self.tidy_empty();
        }
    }

    /// The same for one that may be: what there is to ask takes a look at who holds the allocation (a
    /// tenth of a wake's time).
    #[inline(never)]
    fn tidy_empty(&mut self) {
        // Neither its capacity nor what can be reclaimed tells how much a frame keeps alive with it.
        if self.has_grown || !self.input.try_reclaim(READ_SIZE) {
            self.exchange(BytesMut::new(), false);
        }
    }

    /// Gives a large buffer that holds next to nothing to the pool: a peer that stops behind a
    /// header must not keep a whole read's room.
    pub(crate) fn rest(&mut self) {
        self.decoding.settle(&mut self.input);
        self.out.rest();
        if self.input.capacity() == 0 {
            return;
        }
        if self.input.is_empty() {
            self.give_back();
            self.is_resting = self.decoding.is_open();
        } else if self.input.len() <= self.few() {
            self.decoding.expect_no_more_than(KEEP_CAPACITY);
            let few = BytesMut::from(&self.input[..]);
            self.input.clear();
            self.give_back();
            self.input = few;
        }
    }

    /// Gives the buffer, which is empty, to the pool. Part of both ways here, as a call of its own costs a
    /// wake more than it saves.
    #[inline(always)]
    fn give_back(&mut self) {
        self.tidy();
        let is_free = pool::give_back(&mut self.input);
        self.leave(is_free);
    }

    /// Takes note of whether the buffer that we go on without is free, or left to frames.
    #[inline]
    fn leave(&mut self, is_free: bool) {
        self.decoding.leave(if is_free { 0 } else { self.size() });
    }

    /// How large the buffer was when the pool gave it.
    #[inline]
    fn size(&self) -> usize {
        match self.is_large {
            true => pool::LARGE,
            false => READ_SIZE,
        }
    }

    /// So many bytes are not worth the buffer they lie in.
    fn few(&self) -> usize {
        if !self.has_grown {
            return FEW;
        }
        match self.decoding.usual() {
            // Behind a huge frame there is room for another.
            huge if huge > pool::LARGE => huge / 8,
            _ => FEW_OF_LARGE,
        }
    }

    /// Whether nothing has happened since the framing wanted more and had nothing left over: unless its
    /// [`deadline`](Self::deadline) is here, another look would find the same.
    #[inline]
    pub(crate) fn is_resting(&self) -> bool {
        self.is_resting
    }

    /// The framing's deadline may be here.
    pub(crate) fn look_again(&mut self) {
        self.is_resting = false;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{AckHandshake, FrameError, Part, Received, Slip, StructHeader, Unread};

    #[test]
    fn an_empty_buffer_is_used_again_unless_it_is_small() {
        let frame = b"\0\0\0\x02hi";
        for read in [true, false] {
            let mut machine = Machine::new(StructHeader::default());
            if read {
                machine.read_buffer();
            }
            machine.receive(frame);
            assert_eq!(machine.next_frame(), Ok(Received::Frame("hi".into())));
            assert_eq!(machine.next_frame(), Ok(Received::Need(4)));
            assert_eq!(machine.input.capacity() >= READ_SIZE, read);
            assert_eq!(machine.input.capacity() == 0, !read);
        }
    }

    #[test]
    fn a_buffer_that_has_grown_is_not_lent_to_others() {
        let mut machine = Machine::new(StructHeader::default());
        let size = 4 * KEEP_CAPACITY;
        machine.receive(&(size as u32).to_be_bytes());
        machine.receive(&vec![7; size]);
        machine.receive(b"\0");
        assert!(matches!(machine.next_frame(), Ok(Received::Frame(_))));
        assert_eq!(machine.unread(), 1);
        machine.rest();
        let lent = pool::lend().map_or(0, |lent| lent.capacity());
        assert!(lent <= KEEP_CAPACITY, "{lent}");
    }

    /// A machine behind a huge frame that is still alive; of the buffer of 1 MiB that it came in 100 KiB are
    /// left.
    fn behind_a_huge_frame() -> (Machine<StructHeader>, Bytes) {
        let mut machine = Machine::new(StructHeader::default());
        machine.input = BytesMut::with_capacity(1 << 20);
        let size = (1 << 20) - 4 - (100 << 10);
        machine.receive(&(size as u32).to_be_bytes());
        machine.receive(&vec![7; size]);
        let Ok(Received::Frame(frame)) = machine.next_frame() else {
            panic!("the frame is whole");
        };
        (machine, frame)
    }

    #[test]
    fn what_a_huge_frame_leaves_of_its_buffer_is_not_lent_to_others() {
        let (mut machine, frame) = behind_a_huge_frame();
        assert_eq!(machine.next_frame(), Ok(Received::Need(4)));
        machine.rest();
        drop(frame);
        assert!(pool::lend().is_none_or(|mut lent| !lent.try_reclaim(KEEP_CAPACITY + 1)));
    }

    #[test]
    fn f23_small_frames_behind_a_huge_one_do_not_keep_its_buffer() {
        for (size, copied) in [(300, true), (64 << 10, true), ((64 << 10) + 1, false)] {
            let (mut machine, _) = behind_a_huge_frame();
            machine.receive(&(size as u32).to_be_bytes());
            machine.receive(&vec![7; size]);
            let Ok(Received::Frame(frame)) = machine.next_frame() else {
                panic!("the frame is whole");
            };
            assert_eq!((frame.len(), frame.is_unique()), (size, copied));
        }
    }

    /// As many bytes as there are, read as a connection would.
    fn read<F: Framing>(machine: &mut Machine<F>, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let mut buffer = machine.wake();
            let count = bytes.len().min(buffer.chunk_mut().len());
            buffer.put_slice(&bytes[..count]);
            bytes = &bytes[count..];
            machine.has_read();
        }
    }

    #[test]
    fn at_rest_there_is_nothing_to_look_for_until_something_changes() {
        let changes: [fn(&mut Machine<StructHeader>); 8] = [
            |machine| machine.receive(b"\0"),
            |machine| drop(machine.read_buffer().split()),
            |machine| drop(machine.wake().get_mut().split()),
            |machine| machine.close_input(),
            |machine| machine.framing_mut().set_max_frame(7),
            |machine| drop(machine.replace_framing(StructHeader::default(), Unread::CarryOn)),
            |machine| drop(machine.poison(FrameError::truncated(Part::Body, 0, None))),
            |machine| {
                machine.read_buffer();
                machine.close_input();
                machine.rest();
            },
        ];
        let at_rest = || {
            let mut machine = Machine::new(StructHeader::default());
            read(&mut machine, b"\0\0\0\x02hi");
            assert_eq!(machine.next_frame(), Ok(Received::Frame("hi".into())));
            assert_eq!(machine.next_frame(), Ok(Received::Need(4)));
            machine.rest();
            assert!(machine.is_resting());
            machine
        };
        for (number, change) in changes.iter().enumerate() {
            let mut machine = at_rest();
            change(&mut machine);
            assert!(!machine.is_resting(), "{number}");
        }
        let (machine, _) = at_rest().change_framing(AckHandshake::default(), Unread::CarryOn);
        assert!(!machine.is_resting());
    }

    #[test]
    fn f23_small_frames_that_are_kept_do_not_hold_a_buffer_each() {
        // Far more than the frame, and no frame: packets of nothing.
        let filler = vec![0xc0; 2 * pool::LARGE];
        let frame = [&[0xc0][..], &[7; 300], &[0xc0]].concat();
        for rests in [true, false] {
            let mut machine = Machine::new(Slip::default());
            let mut kept = Vec::new();
            let mut held = 0;
            for _ in 0..20 {
                for bytes in [&frame, &filler] {
                    read(&mut machine, bytes);
                    while let Ok(Received::Frame(frame)) = machine.next_frame() {
                        held += usize::from(!frame.is_unique());
                        kept.push(frame);
                    }
                }
                if rests {
                    machine.rest();
                }
            }
            assert_eq!(kept.len(), 20);
            assert!((1..=2).contains(&held), "{held}");
            // Somebody whose frames are all there is has them without a copy.
            for _ in 0..3 {
                let mut large = vec![7; 256 << 10];
                large.push(0xc0);
                read(&mut machine, &large);
                let Ok(Received::Frame(large)) = machine.next_frame() else {
                    panic!("it is whole");
                };
                assert!(matches!(machine.next_frame(), Ok(Received::Need(_))));
                kept.push(large);
                machine.rest();
            }
            read(&mut machine, &[&[7; 5000][..], &[0xc0]].concat());
            let Ok(Received::Frame(frame)) = machine.next_frame() else {
                panic!("it is whole");
            };
            assert!(!frame.is_unique());
        }
    }

    #[test]
    fn who_sends_may_have_something_to_wait_for() {
        let sends: [fn(&mut Machine<AckHandshake>); 4] = [
            |machine| machine.send("hi".into()).unwrap(),
            |machine| machine.send_prefixed(b"h", "i".into()).unwrap(),
            |machine| machine.replies().send_slice(b"hi").unwrap(),
            |machine| machine.look_again(),
        ];
        for send in sends {
            let mut machine = Machine::new(AckHandshake::default());
            assert_eq!(machine.next_frame(), Ok(Received::Need(2)));
            machine.read_buffer();
            machine.rest();
            assert!(machine.is_resting());
            send(&mut machine);
            assert!(!machine.is_resting());
        }
    }

    fn large_frame() -> Vec<u8> {
        [&(256_u32 << 10).to_be_bytes()[..], &[7; 256 << 10]].concat()
    }

    #[test]
    fn large_frames_come_in_buffers_that_others_have_left() {
        let frame = large_frame();
        let mut machine = Machine::new(StructHeader::default());
        let mut alive = Vec::new();
        for _ in 0..40 {
            read(&mut machine, &frame);
            let Ok(Received::Frame(frame)) = machine.next_frame() else {
                panic!("the frame is whole");
            };
            assert!(frame.iter().all(|byte| *byte == 7));
            alive.insert(0, frame);
            alive.truncate(3);
        }
        // Those of the three frames, and one that they have left.
        machine.rest();
        drop(alive);
        assert_eq!(pool::spare_large(), 4);
    }

    #[test]
    fn of_large_frames_a_read_takes_a_segment_at_a_time() {
        let mut machine = Machine::new(StructHeader::default());
        let mut room_behind = |frame: &[u8]| {
            read(&mut machine, &(frame.len() as u32).to_be_bytes());
            read(&mut machine, frame);
            assert!(matches!(machine.next_frame(), Ok(Received::Frame(_))));
            machine.rest();
            Limit::limit(&machine.wake())
        };
        for (size, room) in [
            (1000, usize::MAX),
            (256 << 10, READ_SIZE),
            (100, usize::MAX),
            (256 << 10, READ_SIZE),
        ] {
            assert_eq!(room_behind(&vec![7; size]), room, "{size}");
        }
        // In the middle of one there is room for all that is missing, and still.
        read(&mut machine, &large_frame()[..100_000]);
        assert_eq!(
            machine.next_frame(),
            Ok(Received::Need((256 << 10) + 4 - 100_000))
        );
        let mut room = machine.wake();
        assert_eq!(room.chunk_mut().len(), READ_SIZE);
        assert!(room.get_ref().capacity() >= (256 << 10) + 4);
    }

    #[test]
    fn a_buffer_that_was_made_larger_is_none_of_the_pools() {
        let frame = large_frame();
        let mut machine = Machine::new(StructHeader::default());
        for _ in 0..4 {
            read(&mut machine, &frame);
            assert!(matches!(machine.next_frame(), Ok(Received::Frame(_))));
        }
        read(&mut machine, &frame[..5]);
        let spare = pool::spare_large();
        machine.receive(&vec![7; 2 << 20]);
        machine.input.clear();
        machine.rest();
        assert_eq!(pool::spare_large(), spare);
    }

    /// Frames after which less than a whole read's room is left, beside a connection whose buffer waits in
    /// the pool.
    #[test]
    fn a_buffer_that_is_exchanged_for_the_spare_one_goes_back_to_the_large_ones() {
        for size in [(64 << 10) + 1, 340 << 10] {
            let frame = [&(size as u32).to_be_bytes()[..], &vec![7; size]].concat();
            let mut machine = Machine::new(StructHeader::default());
            for _ in 0..30 {
                for piece in frame.chunks(50_000) {
                    let mut other = BytesMut::with_capacity(READ_SIZE);
                    pool::give_back(&mut other);
                    read(&mut machine, piece);
                    assert!(machine.next_frame().is_ok());
                }
            }
            machine.rest();
            pool::spare_large();
        }
    }

    #[test]
    fn a_peer_that_stops_keeps_no_buffer_for_large_frames() {
        let frame = large_frame();
        for (left, large) in [(FEW_OF_LARGE, false), (FEW_OF_LARGE + 1, true)] {
            let mut machine = Machine::new(StructHeader::default());
            for _ in 0..4 {
                read(&mut machine, &frame);
                assert!(matches!(machine.next_frame(), Ok(Received::Frame(_))));
            }
            read(&mut machine, &frame[..left]);
            assert!(matches!(machine.next_frame(), Ok(Received::Need(_))));
            machine.rest();
            assert_eq!(machine.unread(), left);
            assert_eq!(machine.input.capacity() > READ_SIZE, large, "{left}");
        }
    }

    #[test]
    fn a_peer_that_stops_behind_a_huge_frame_does_not_keep_its_room() {
        for (left, kept) in [((4 << 20) / 8, false), ((4 << 20) / 8 + 1, true)] {
            let mut machine = Machine::new(StructHeader::default());
            read(&mut machine, &(4_u32 << 20).to_be_bytes());
            // With the header of the next, of which there is more to come.
            read(&mut machine, &vec![7; 4 << 20]);
            read(&mut machine, &[0, 0xff, 0xff, 0xff]);
            read(&mut machine, &vec![7; left - 4]);
            assert!(matches!(machine.next_frame(), Ok(Received::Frame(_))));
            assert!(matches!(machine.next_frame(), Ok(Received::Need(_))));
            machine.rest();
            assert_eq!(machine.unread(), left);
            assert_eq!(machine.input.try_reclaim(2 << 20), kept, "{left}");
        }
    }

    #[test]
    fn what_is_large_stays_where_it_is_at_rest() {
        let mut machine = Machine::new(StructHeader::default());
        machine.wake().put_slice(&[0; FEW + 1]);
        let place = machine.input.as_ptr();
        machine.rest();
        assert_eq!(machine.input.as_ptr(), place);
        assert_eq!(machine.unread(), FEW + 1);

        let mut machine = Machine::new(StructHeader::default());
        machine.wake().put_slice(&[0; FEW]);
        machine.rest();
        assert_eq!(machine.unread(), FEW);
        assert!(machine.input.capacity() < READ_SIZE);
    }
}
