//! What a watcher sees in the bytes of a connection.

use bytes::Bytes;
use framing::FrameError;

use super::reads::Pieces;

/// One end of a connection; also the direction of what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Who connected to us.
    Client,
    /// To whom we connected.
    Upstream,
}

impl End {
    pub(super) const BOTH: [Self; 2] = [Self::Client, Self::Upstream];

    pub(super) fn other(self) -> Self {
        match self {
            Self::Client => Self::Upstream,
            Self::Upstream => Self::Client,
        }
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
        }
    }

    /// Where to its bytes go, in a drawing that has the client on the left.
    pub(super) fn arrow(self) -> &'static str {
        match self {
            Self::Client => "→",
            Self::Upstream => "←",
        }
    }
}

/// Something found, and who sent it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) from: End,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Frame {
        payload: Bytes,
        /// Its bytes with all their wrapping.
        wire: u64,
        pieces: Pieces,
    },
    /// A frame is announced, and waits for the other end's agreement.
    Announcement { length: usize, wire: u64 },
    /// An agreement to a frame of the other end.
    Ack { wire: u64 },
    Error {
        error: FrameError,
        /// In the stream of this direction.
        offset: u64,
        /// The first bytes, escaped.
        first: String,
        after: After,
    },
    /// Bytes of which nothing is known.
    Raw(Bytes),
    /// The stream has ended.
    End,
}

/// What comes after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The next frame.
    Frames,
    /// Reads as they are, in this direction.
    Raw,
    /// Reads as they are, in both directions.
    BothRaw,
    /// Nothing: it was the end.
    Nothing,
}
