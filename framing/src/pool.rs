//! Lends buffers, so that an idle connection holds none.
//!
//! A read needs a buffer before anyone knows whether there is something to read, and answers need
//! one that need not grow first. Connections that find nothing to read give theirs back; on each
//! thread one spare of each kind serves them all.

use std::cell::RefCell;

use bytes::BytesMut;

use crate::machine::READ_SIZE;

thread_local! {
    static SPARE: RefCell<Option<BytesMut>> = const { RefCell::new(None) };
    static SPARE_OUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Makes sure that a buffer has room for a whole read, from the spare one where possible: the few
/// bytes in it move there.
pub(crate) fn lend(buffer: &mut BytesMut) {
    if let Some(mut spare) = SPARE.take() {
        spare.extend_from_slice(buffer);
        *buffer = spare;
    }
}

/// Takes back an empty buffer.
pub(crate) fn give_back(buffer: &mut BytesMut) {
    let mut empty = std::mem::take(buffer);
    // Frames that are still alive share the allocation; then it goes when they do.
    if empty.try_reclaim(READ_SIZE) {
        SPARE.set(Some(empty));
    }
}

/// A buffer to gather answers in: the spare one, or a new one.
pub(crate) fn lend_out() -> Vec<u8> {
    SPARE_OUT.take()
}

/// Takes back a buffer of which everything has left.
pub(crate) fn give_back_out(mut buffer: Vec<u8>) {
    buffer.clear();
    SPARE_OUT.set(buffer);
}
