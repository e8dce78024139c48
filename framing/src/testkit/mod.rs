//! Checks that a framing keeps the promises of [`Framing`], yours as well as ours.
//!
//! ```
//! use framing::{Delimiter, testkit};
//!
//! let frames = ["".into(), "hello".into(), "a longer one, with spaces".into()];
//! testkit::check(Delimiter::default, &frames);
//! ```
//!
//! Two framings that `make` makes must be able to talk to each other. A law that is broken panics
//! with its number, with the shortest input that is found to break it, and with one sentence on
//! what to do:
//!
//! ```should_panic
//! # use bytes::Bytes;
//! # use framing::{FrameError, Framing, Outbox, Step, testkit};
//! /// Frames of one byte… which forgets the end of the stream.
//! struct Bytewise;
//!
//! impl Framing for Bytewise {
//!     fn decode(&mut self, input: &mut [u8], _: &mut Outbox) -> Result<Step, FrameError> {
//!         Ok(match input.len() {
//!             0 => Step::Need(1),
//!             _ => Step::Frame { payload: 0..1, consumed: 1 },
//!         })
//!     }
//!     fn decode_eof(&mut self, input: &mut [u8], out: &mut Outbox) -> Result<Step, FrameError> {
//!         self.decode(input, out)
//!     }
//! #   fn encode(&mut self, frame: Bytes, out: &mut Outbox) -> Result<(), FrameError> {
//! #       out.put(frame);
//! #       Ok(())
//! #   }
//! #   fn max_frame(&self) -> usize { 1 }
//! #   fn set_max_frame(&mut self, _: usize) {}
//! }
//!
//! // law 5 (the end): `decode_eof` answers Ok(Need(1)), and no more bytes can come
//! //   fed with []
//! //   what to do: in `decode_eof`, say `End` only if no byte of a frame is left, and …
//! testkit::check(|| Bytewise, &["a".into()]);
//! ```
//!
//! # The laws
//!
//! | | law | what is fed | what must come out |
//! |---|---|---|---|
//! | 1 | [round trip](Law::RoundTrip) | the samples: each, in pairs, all; whole, byte by byte, cut at every place; and two machines that talk both ways at once, their bytes carried by chance | the same frames |
//! | 2 | [all or nothing](Law::AllOrNothing) | frames to be refused, borrowed frames, header items, a frame while an answer is due, an end before the answer | nothing is written, the framing is as before, the frame comes back; what can be carried is not refused |
//! | 3 | [limits first](Law::Limits) | frames over the limit in both directions, a limit that changes in the middle of a frame, the first bytes of a large one | too long, or the frame whole; no memory for what has not come |
//! | 4 | [errors are final](Law::ErrorsAreFinal) | a good frame behind a bad one | the same error again; or, where the bad frame was skipped, one error and the good frame |
//! | 5 | [the end](Law::End) | the samples, cut off at every byte | every whole frame, then the end; or truncated, with its part and how much of it had come, pointing behind the last byte |
//! | 6 | [any bytes](Law::AnyBytes) | garbage, and good streams with a byte changed, lost or added, cut at every place | the same frames and errors at every cut; no panic |
//! | 7 | [linear](Law::Linear) | a large frame whose last bytes come one by one; many frames in one read | a late byte costs what an early one does, and a frame the same whatever lies behind it |
//! | 8 | [small when idle](Law::SmallWhenIdle) | a large frame | no large buffer is left |
//! | 9 | [honest steps](Law::HonestSteps) | every call of all laws, repeated; after each [`Need`](crate::Step::Need), one byte less than that of every kind | ranges inside the input, progress, the same answer again, no frame before its time |
//! | 10 | [read back](Law::ReadBack) | every short payload made of the framing's own bytes, and some by chance | refused, or read back; never refused where [`carries`](crate::Framing::carries) promises it |
//! | 11 | [bounded](Law::Bounded) | after every prefix of a frame: each byte, and each piece of a frame, again and again | a frame or an error while what is held is about the limit |
//! | 12 | [flood](Law::Flood) | empty frames without end, if they can be sent | a final error |
//! | 13 | [time](Law::Time) | the deadline, not yet and just passed, wherever there is one | nothing happens before it; after it an answer, or a later one |
//! | 14 | [hostile I/O](Law::HostileIo) | both ways over a [`Connection`](crate::Connection): one byte a call and `WouldBlock` before each, wakes for nothing, interrupted calls, an error at every place | the same bytes and frames; after an error no frame |
//! | 15 | [cancel](Law::Cancel) | the same, every future dropped at every await and made anew, by chance another one | the same bytes and frames |
//!
//! A framing that does [not keep boundaries](crate::Framing::keeps_boundaries) gets the samples as
//! mere bytes (laws 1, 2, 6, 14 and 15). Laws 7 and 8, and the memory of law 3, need a framing that
//! carries frames of a megabyte. For laws 14 and 15 no timer ever fires.
//!
//! Two things are not checked: that error messages help a person, and how much memory a framing
//! holds itself, unless you say how to [measure](Laws::heap) it.

mod any_bytes;
mod bounded;
mod bytes_alone;
mod checked;
mod cuts;
mod encode;
mod end;
mod flood;
mod header;
mod hostile;
mod law;
mod limits;
mod linear;
mod memory;
mod pipe;
mod read_back;
mod round_trip;
mod show;
mod shrink;
mod steps;
mod talk;
mod time;
mod trace;

use std::fmt;

use bytes::Bytes;

pub use self::{
    cuts::{Random, every_split},
    law::Law,
    talk::{Talk, talk},
    trace::{Event, Problem, Trace, trace},
};
use self::{
    law::{Kept, guard},
    show::{cuts, show},
};
use crate::Framing;

/// Checks every law on the framings that `make` makes, with `frames` as samples.
///
/// Give it frames of several sizes that the framing can carry: an empty one, short ones, some that
/// look like its own marks. It takes about a second. For a framing with peculiarities, see
/// [`Laws`].
///
/// # Panics
///
/// If a law is broken.
#[track_caller]
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
    except: Vec<Law>,
    heap: Option<fn() -> usize>,
}

/// What runs a law, or a part of one.
type Check<L> = fn(&L) -> Kept;

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
            except: Vec::new(),
            heap: None,
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

    /// What the end of a stream means is not checked: for foreign codecs, some of which take
    /// a cut-off end for a clean one.
    pub fn any_end(mut self) -> Self {
        self.rest = Rest::Anything;
        self
    }

    /// Leaves a law out: say, [`ReadBack`](Law::ReadBack) for frames that are filled up to one
    /// size, or [`Flood`](Law::Flood) where empty frames are paid for in another way. Another law
    /// that meets with a breach of this one goes no further.
    pub fn except(mut self, law: Law) -> Self {
        self.except.push(law);
        self
    }

    /// Tells how many bytes the program has allocated at present, so that laws 3, 8 and 11 see
    /// what the framing itself holds. It takes a counting allocator, and a test alone in its
    /// process.
    pub fn heap(mut self, allocated: fn() -> usize) -> Self {
        self.heap = Some(allocated);
        self
    }

    /// Checks every law.
    ///
    /// # Panics
    ///
    /// If one is broken.
    #[track_caller]
    pub fn check(&self) {
        let laws: &[(Law, Check<Self>)] = if (self.make)().keeps_boundaries() {
            &[
                (Law::RoundTrip, Self::frames_survive_however_they_are_cut),
                (Law::RoundTrip, Self::both_ends_may_talk),
                (Law::AllOrNothing, Self::refusals_write_nothing),
                (Law::AllOrNothing, Self::slices_are_written_like_frames),
                (Law::AllOrNothing, Self::pieces_are_written_like_frames),
                (Law::AllOrNothing, Self::header_items_survive),
                (Law::AllOrNothing, Self::announced_frames_come_back),
                (Law::Limits, Self::frames_over_the_limit_are_too_long),
                (Law::Limits, Self::limits_change_between_frames),
                (Law::Limits, Self::declared_lengths_reserve_nothing),
                (Law::End, Self::cut_off_is_not_clean),
                (Law::HonestSteps, Self::need_is_a_lower_bound),
                (Law::AnyBytes, Self::any_bytes_are_safe),
                (Law::ReadBack, Self::what_is_written_is_read_back),
                (Law::Bounded, Self::nothing_is_gathered_without_end),
                (Law::Flood, Self::empty_frames_are_counted),
                (Law::Time, Self::time_is_up_at_the_deadline),
                (Law::HostileIo, Self::hostile_io_changes_nothing),
                (Law::Cancel, Self::dropped_futures_lose_nothing),
                (Law::Linear, Self::late_bytes_cost_no_more),
                (Law::Linear, Self::bytes_behind_a_frame_cost_nothing),
                (Law::SmallWhenIdle, Self::buffers_shrink),
            ]
        } else {
            &[
                (Law::RoundTrip, Self::bytes_survive),
                (Law::AllOrNothing, Self::refusals_write_nothing),
                (Law::AnyBytes, Self::any_bytes_come_out),
                (Law::HostileIo, Self::hostile_io_changes_nothing),
                (Law::Cancel, Self::dropped_futures_lose_nothing),
            ]
        };
        for (law, run) in laws {
            if self.except.contains(law) {
                continue;
            }
            match guard(|| run(self)).and_then(|kept| kept) {
                Err(broken) if !self.except.contains(&broken.law) => panic!("{broken}"),
                _ => {}
            }
        }
    }

    /// The same samples for another factory.
    fn with<N>(&self, make: N) -> Laws<N> {
        Laws {
            make,
            frames: self.frames.clone(),
            refused: self.refused.clone(),
            rest: self.rest,
            except: self.except.clone(),
            heap: self.heap,
        }
    }

    /// The samples, the shortest first.
    fn by_size(&self) -> Vec<Bytes> {
        let mut by_size = self.frames.clone();
        by_size.sort_by_key(Bytes::len);
        by_size
    }

    /// Bytes that the framing itself writes for its shortest frames, and some others.
    fn own_bytes(&self, most: usize) -> Kept<Vec<u8>> {
        let wire = talk::Wire::of(&self.make, &self.by_size())?.bytes;
        let mut own: Vec<u8> = Vec::new();
        for byte in wire.into_iter().chain(*b"a\0\xff\\") {
            if !own.contains(&byte) && own.len() < most {
                own.push(byte);
            }
        }
        Ok(own)
    }
}

impl<M> fmt::Debug for Laws<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Laws")
            .field("frames", &self.frames)
            .field("refused", &self.refused)
            .field("rest", &self.rest)
            .field("except", &self.except)
            .finish_non_exhaustive()
    }
}
