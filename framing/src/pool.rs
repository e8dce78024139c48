//! Lends buffers, so that an idle connection holds none.
//!
//! A read needs a buffer before anyone knows whether there is something to read, and answers need
//! one that need not grow first. Connections that find nothing to read give theirs back; on each
//! thread one spare of each kind serves them all.

use std::{cell::Cell, mem};

use bytes::BytesMut;

use crate::machine::READ_SIZE;

thread_local! {
    static SPARE: Cell<Option<BytesMut>> = const { Cell::new(None) };
    static SPARE_OUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Makes sure that a buffer has room for a whole read, from the spare one where possible: the few
/// bytes in it move there.
#[inline]
pub(crate) fn lend(buffer: &mut BytesMut) {
    // On a thread that comes to its end there is none.
    if let Ok(Some(mut spare)) = SPARE.try_with(Cell::take) {
        if !buffer.is_empty() {
            spare.extend_from_slice(buffer);
        }
        *buffer = spare;
    }
}

/// Takes back an empty buffer.
#[inline]
pub(crate) fn give_back(buffer: &mut BytesMut) {
    let mut empty = mem::take(buffer);
    // Frames that are still alive share the allocation; then it goes when they do.
    if empty.try_reclaim(READ_SIZE) {
        let _ = SPARE.try_with(|spare| spare.set(Some(empty)));
    }
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
