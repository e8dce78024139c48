//! Checks that a framing keeps the promises of [`Framing`](crate::Framing), yours as well as ours.
//!
//! ```
//! use framing::{Delimiter, testkit};
//!
//! let frames = ["".into(), "hello".into(), "a longer one, with spaces".into()];
//! testkit::check(Delimiter::default, &frames);
//! ```
//!
//! The laws, in the order in which they are checked:
//!
//! 1. **Round trip.** What one side encodes the other decodes to the same frames, however the
//!    bytes are cut. An interactive framing does so with its answers carried back, in both
//!    directions at once.
//! 2. **All or nothing.** A frame that cannot be carried is refused, nothing is written, and the
//!    error gives it back; whatever is written can be read back as it was. Found out with every
//!    short payload made of the bytes that the framing itself uses.
//! 3. **Limits first.** A frame over the limit is too long, in both directions, and a declared
//!    length reserves nothing.
//! 4. **Errors are final.** The same error comes again, never a frame, unless the bad frame was
//!    skipped; then exactly one error comes, and the next good frame.
//! 5. **The end.** A stream that ends between two frames ends cleanly; anywhere else it is
//!    truncated, and the error says which part.
//! 6. **Any bytes.** Garbage, damaged streams and good ones give the same frames and errors
//!    however they are cut, a repeated call changes nothing, and nothing panics.
//! 7. **Linear.** A byte late in a long frame costs no more than an early one.
//! 8. **Small when idle.** After a large frame the buffer shrinks.
//!
//! That error messages help a person is left to a person.
//!
//! A law that is broken panics with the shortest failing input that is found, and how it was cut.

mod cuts;
mod laws;
mod limits;
mod talk;
mod trace;

use std::fmt;

use bytes::Bytes;

pub use self::{
    cuts::{Random, every_split},
    talk::{Talk, talk},
    trace::{Event, Problem, Trace, trace},
};
use crate::Framing;

/// Checks every law on the framings that `make` makes, with `frames` as samples.
///
/// Give it frames of several sizes that the framing can carry: an empty one, short ones, some that
/// look like its own marks. For a framing with peculiarities, see [`Laws`].
///
/// # Panics
///
/// If a law is broken.
pub fn check<F: Framing>(make: impl Fn() -> F, frames: &[Bytes]) {
    Laws::new(make, frames).check();
}

/// The laws for a framing with peculiarities.
///
/// ```
/// use framing::{AtEof, DelimiterOptions, Limits, testkit::Laws};
///
/// let make = || DelimiterOptions::default().at_eof(AtEof::Emit).build(Limits::new()).unwrap();
/// Laws::new(make, &["".into(), "hello".into()]).refuses("a\nb").emits_rest().check();
/// ```
pub struct Laws<M> {
    make: M,
    frames: Vec<Bytes>,
    refused: Vec<Bytes>,
    rest: Rest,
    opening: usize,
}

/// What becomes of a frame that is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Truncated,
    Emitted,
    Anything,
}

impl<M: Fn() -> F, F: Framing> Laws<M> {
    /// Laws for the framings that `make` makes, with `frames` as samples: each must be one that
    /// can be carried. A framing that does not keep boundaries gets them as mere bytes.
    pub fn new(make: M, frames: &[Bytes]) -> Self {
        Self {
            make,
            frames: frames.to_vec(),
            refused: Vec::new(),
            rest: Rest::Truncated,
            opening: 0,
        }
    }

    /// Adds a frame that must be refused.
    pub fn refuses(mut self, frame: impl Into<Bytes>) -> Self {
        self.refused.push(frame.into());
        self
    }

    /// Bytes behind the last whole frame may be a frame themselves when the stream ends.
    pub fn emits_rest(mut self) -> Self {
        self.rest = Rest::Emitted;
        self
    }

    /// So many bytes in front of each frame are a mark that alone is no part of it: a stream that
    /// ends behind them ends cleanly.
    pub fn opens_with(mut self, bytes: usize) -> Self {
        self.opening = bytes;
        self
    }

    /// What the end of a stream means is not checked: for foreign codecs, some of which take
    /// a cut-off end for a clean one.
    pub fn any_end(mut self) -> Self {
        self.rest = Rest::Anything;
        self
    }

    /// Checks every law.
    ///
    /// # Panics
    ///
    /// If one is broken.
    pub fn check(&self) {
        if !(self.make)().keeps_boundaries() {
            self.bytes_survive();
            return;
        }
        self.frames_survive_however_they_are_cut();
        self.both_ends_may_talk();
        self.slices_are_written_like_frames();
        self.refusals_write_nothing();
        self.what_is_written_is_read_back();
        self.frames_over_the_limit_are_too_long();
        self.declared_lengths_reserve_nothing();
        self.cut_off_is_not_clean();
        self.any_bytes_are_safe();
        self.scanning_is_linear();
        self.buffers_shrink();
    }
}

impl<M> fmt::Debug for Laws<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Laws")
            .field("frames", &self.frames)
            .field("refused", &self.refused)
            .field("rest", &self.rest)
            .field("opening", &self.opening)
            .finish_non_exhaustive()
    }
}
