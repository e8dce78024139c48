//! Lends buffers, so that an idle connection holds none.
//!
//! A read needs a buffer before anyone knows whether there is something to read, and answers need
//! one that need not grow first. Connections that find nothing to read give theirs back; on each
//! thread one spare of each kind serves them all.
//!
//! Those who read large frames have others, up to 3 MiB on each thread. A buffer that is new each time
//! costs more than the read into it, as every page of it is a fault: a quarter of an upload's time.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    mem,
};

use bytes::BytesMut;

use crate::machine::READ_SIZE;

/// The size of a buffer for large frames: one of 256 KiB, what is left over in front of it, and a read
/// behind it.
pub(crate) const LARGE: usize = 384 * 1024;

/// How many of them a thread keeps: those whose frames are on their way, and those that wait.
const MOST_LARGE: usize = 8;

thread_local! {
    static SPARE: Cell<Option<BytesMut>> = const { Cell::new(None) };
    static SPARE_OUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static SPARE_LARGE: RefCell<VecDeque<BytesMut>> = const { RefCell::new(VecDeque::new()) };
}

/// The spare buffer, if it is here: empty, and with room for a whole read.
#[inline]
pub(crate) fn lend() -> Option<BytesMut> {
    // On a thread that comes to its end there is none.
    SPARE.try_with(Cell::take).ok().flatten()
}

/// Takes back an empty buffer, unless frames that are still alive have left too little of it for a read: then
/// its allocation goes when they do. Not for one that has grown, all of which they would keep.
#[inline]
pub(crate) fn give_back(buffer: &mut BytesMut) -> bool {
    let mut empty = mem::take(buffer);
    let is_free = empty.try_reclaim(READ_SIZE);
    if is_free {
        let _ = SPARE.try_with(|spare| spare.set(Some(empty)));
    }
    is_free
}

/// An empty buffer of [`LARGE`] bytes: one that frames have left, or a new one.
pub(crate) fn lend_large() -> BytesMut {
    let spare = SPARE_LARGE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        // The last to come back is the warmest: through all of them in turn a download took a tenth longer.
        let free = spare
            .iter_mut()
            .rposition(|buffer| buffer.try_reclaim(LARGE));
        free.and_then(|place| spare.remove(place))
    });
    match spare {
        Ok(Some(buffer)) => buffer,
        _ => BytesMut::with_capacity(LARGE),
    }
}

/// Takes back what [`lend_large`] has lent. Frames may be alive in it; where they are for long, others
/// take its place.
pub(crate) fn give_back_large(mut buffer: BytesMut) {
    buffer.clear();
    let _ = SPARE_LARGE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() == MOST_LARGE {
            spare.pop_front();
        }
        spare.push_back(buffer);
    });
}

/// How many large buffers are kept, all of which are what they should be.
#[cfg(test)]
pub(crate) fn spare_large() -> usize {
    SPARE_LARGE.with_borrow_mut(|spare| {
        let is_large =
            |buffer: &mut BytesMut| buffer.try_reclaim(LARGE) && !buffer.try_reclaim(LARGE + 1);
        assert!(spare.iter_mut().all(is_large));
        spare.len()
    })
}

/// A buffer to gather answers in: the spare one, or a new one.
#[inline]
pub(crate) fn lend_out() -> Vec<u8> {
    SPARE_OUT.try_with(Cell::take).unwrap_or_default()
}

/// Takes back a buffer of which everything has left.
#[inline]
pub(crate) fn give_back_out(mut buffer: Vec<u8>) {
    buffer.clear();
    let _ = SPARE_OUT.try_with(|spare| spare.set(buffer));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_buffer_is_lent_again_once_its_frames_are_gone() {
        let mut buffer = lend_large();
        buffer.extend_from_slice(&[7; LARGE]);
        let place = buffer.as_ptr();
        let frame = buffer.split_to(1000).freeze();
        give_back_large(buffer);
        let other = lend_large();
        assert_ne!(other.as_ptr(), place);
        assert_eq!(frame, [7; 1000][..]);
        drop(frame);
        let again = lend_large();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert!(again.capacity() >= LARGE);
    }

    #[test]
    fn the_large_buffer_that_came_back_last_is_lent_first() {
        let buffers = [lend_large(), lend_large()];
        let places = buffers.each_ref().map(|buffer| buffer.as_ptr());
        buffers.into_iter().for_each(give_back_large);
        assert_eq!(lend_large().as_ptr(), places[1]);
    }

    #[test]
    fn only_so_many_large_buffers_are_kept_and_not_those_whose_frames_stay() {
        let mut frames = Vec::new();
        let buffers: Vec<_> = (0..2 * MOST_LARGE).map(|_| lend_large()).collect();
        for (place, mut buffer) in buffers.into_iter().enumerate() {
            buffer.extend_from_slice(&[7; 1000]);
            if place < MOST_LARGE {
                frames.push(buffer.split_to(500).freeze());
            }
            give_back_large(buffer);
        }
        assert_eq!(spare_large(), MOST_LARGE);
        drop(frames);
    }
}
