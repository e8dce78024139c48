//! What can go wrong with one datagram.

use std::{fmt, io};

use crate::{FrameError, serve::Address};

/// What went wrong with one datagram, or what the socket reports. The socket lives on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// A datagram came that is not one good frame.
    #[error("a datagram from {from} {}", Described(error))]
    Unreadable {
        /// What is wrong with it; offsets count from the start of the datagram.
        error: FrameError,
        /// The sender.
        from: Address,
    },
    /// A datagram came that is larger than the receive buffer; the rest of it is lost.
    #[error("a datagram from {from} is over the limit of {limit} bytes and was cut off")]
    CutOff {
        /// The largest datagram that is received, in bytes.
        limit: usize,
        /// The sender.
        from: Address,
    },
    /// Receiving failed. Kind [`ConnectionRefused`](io::ErrorKind::ConnectionRefused): nobody is
    /// where the socket is connected to, as an ICMP message said. It wakes nobody: it is found at
    /// the next poll, such as that of a time limit around a `next`, or by the next send.
    #[error("receiving failed: {0}")]
    Receive(io::Error),
    /// A frame cannot be carried by the framing, or does not fit one datagram. Nothing was sent.
    #[error("a datagram to {to} cannot be sent: {error}")]
    Unencodable {
        /// Why, with the frame.
        error: FrameError,
        /// Whom it was for.
        to: Address,
    },
    /// The system did not send a datagram; another may be sent. Kind
    /// [`WouldBlock`](io::ErrorKind::WouldBlock): the peer does not take in what it has been sent.
    #[error("a datagram to {to} was not sent: {error}")]
    Send {
        /// Why.
        error: io::Error,
        /// Whom it was for.
        to: Address,
    },
    /// `start_send` was called without a `poll_ready` that said so.
    #[error("the socket is not ready for another datagram")]
    NotReady,
}

/// An error of `decode_eof`, where the stream is a datagram.
struct Described<'a>(&'a FrameError);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(error) = self;
        match (error.part(), error.have(), error.need()) {
            (Some(part), have, Some(need)) => {
                write!(f, "ends inside its {part}: {have} of {need} bytes came")
            }
            (Some(part), have, None) => {
                write!(f, "ends before its {part}, {have} bytes into a frame")
            }
            (None, ..) => write!(f, "cannot be read: {error}"),
        }
    }
}
