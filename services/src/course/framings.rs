//! The framings that the scripts speak without knowing it.

use std::time::Duration;

use framing::{
    AckHandshakeOptions, BoxFraming, FrameError, Limits, Pair, RawOptions, StructHeaderOptions,
};

/// The most bytes of a command, a name and a password, or any other message without a framing: the
/// `recv(1024)` of the scripts.
pub(super) const MOST_TEXT: usize = 1024;

/// The most bytes that are taken for one message: more than one may have, so that it is refused with
/// a sentence where there is one for it.
pub(super) const MOST_MESSAGE: usize = 64 * 1024;

/// The most bytes of a command's output, which is kept until its end, as its length comes first.
pub(super) const MOST_OUTPUT: usize = 64 << 20;

/// Each read is a message.
pub(super) fn text() -> Result<BoxFraming, FrameError> {
    let limits = Limits::new().max_frame(MOST_OUTPUT);
    Ok(Box::new(RawOptions::default().build(limits)?))
}

/// A bare length, `ok`, and so many bytes.
pub(super) fn announced(settle: Duration) -> Result<BoxFraming, FrameError> {
    Ok(Box::new(ack(settle)?))
}

/// Messages as they come from a peer who agrees to our answers.
pub(super) fn text_then_announced() -> Result<BoxFraming, FrameError> {
    let limits = Limits::new().max_frame(MOST_OUTPUT);
    let receive = RawOptions::default().build(limits)?;
    Ok(Box::new(Pair::new(receive, ack(SETTLE)?)?))
}

/// How long a pause completes a bare number.
pub(super) const SETTLE: Duration = Duration::from_millis(20);

fn ack(settle: Duration) -> Result<framing::AckHandshake, FrameError> {
    AckHandshakeOptions::default()
        .bare(true)
        .terminator("")
        .settle(settle)
        .build(Limits::new().max_frame(MOST_OUTPUT))
}

/// `struct.pack('i', n)` and n bytes.
pub(super) fn counted() -> Result<BoxFraming, FrameError> {
    Ok(Box::new(count()?))
}

/// Messages as they come, answered by `struct.pack('i', n)` and n bytes.
pub(super) fn text_then_counted() -> Result<BoxFraming, FrameError> {
    let receive = RawOptions::default().build(Limits::new().max_frame(MOST_OUTPUT))?;
    Ok(Box::new(Pair::new(receive, count()?)?))
}

fn count() -> Result<framing::StructHeader, FrameError> {
    StructHeaderOptions::new("i").build(Limits::new().max_frame(MOST_OUTPUT))
}
