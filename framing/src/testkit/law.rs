//! The laws by name, and what is said of one that is broken.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// One of the laws that [`check`](super::check) runs; [`Laws::except`](super::Laws::except) takes
/// one out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Law {
    /// 1: what one side encodes the other decodes.
    RoundTrip,
    /// 2: a frame is written whole, or refused and given back.
    AllOrNothing,
    /// 3: no frame over the limit, and no memory for what was only declared.
    Limits,
    /// 4: nothing comes after an error, unless it was skipped.
    ErrorsAreFinal,
    /// 5: a clean end and a cut-off one differ.
    End,
    /// 6: garbage is decoded the same at every cut, and nothing panics.
    AnyBytes,
    /// 7: no byte is searched again and again.
    Linear,
    /// 8: buffers shrink after a large frame.
    SmallWhenIdle,
    /// 9: every step says the truth about the bytes.
    HonestSteps,
    /// 10: whatever `encode` takes is read back as it was.
    ReadBack,
    /// 11: nothing is gathered without end.
    Bounded,
    /// 12: an endless run of empty frames is an error.
    Flood,
    /// 13: time is up only when the deadline has passed.
    Time,
    /// 14: the same over I/O that does as little as it may.
    HostileIo,
    /// 15: a future may be dropped at every await.
    Cancel,
}

impl Law {
    /// Its number in the list of [laws](super).
    pub fn number(self) -> u8 {
        self as u8 + 1
    }

    /// Its name in the list of [laws](super).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RoundTrip => "round trip",
            Self::AllOrNothing => "all or nothing",
            Self::Limits => "limits first",
            Self::ErrorsAreFinal => "errors are final",
            Self::End => "the end",
            Self::AnyBytes => "any bytes",
            Self::Linear => "linear",
            Self::SmallWhenIdle => "small when idle",
            Self::HonestSteps => "honest steps",
            Self::ReadBack => "read back",
            Self::Bounded => "bounded",
            Self::Flood => "flood",
            Self::Time => "time",
            Self::HostileIo => "hostile I/O",
            Self::Cancel => "cancel",
        }
    }

    /// One sentence on what to do about it.
    fn remedy(self) -> &'static str {
        match self {
            Self::RoundTrip => {
                "let `decode` depend on the bytes alone, and keep in `self` what it needs between \
                 two calls"
            }
            Self::AllOrNothing => {
                "check everything before the first byte is put out, and return the error with \
                 `with_frame(frame)`"
            }
            Self::Limits => {
                "ask `Limits::admit` as soon as a length is known and `Limits::permit` before one \
                 is written, and reserve nothing for a length that was only declared"
            }
            Self::ErrorsAreFinal => {
                "return an error with `skipping` only where the bad frame's end is known, and \
                 discard up to that end before the next frame"
            }
            Self::End => {
                "in `decode_eof`, say `End` only if no byte of a frame is left, and otherwise \
                 `FrameError::truncated(part, have, need).at(input.len())`"
            }
            Self::AnyBytes => {
                "index with `get`, compute lengths checked, and say what is wrong with a frame at \
                 the same byte however much has arrived behind it"
            }
            Self::Linear => "remember in `self` how far the input has been searched",
            Self::SmallWhenIdle => "let go of buffers of your own that one large frame has grown",
            Self::HonestSteps => {
                "answer from `input` and `self` alone, with ranges inside `input`, and with a \
                 `Need` of at least 1 and no more than the shortest possible frame still lacks"
            }
            Self::ReadBack => {
                "refuse in `encode` every frame that could not be told from its wrapping, and let \
                 `carries` promise no more than that"
            }
            Self::Bounded => {
                "give everything that ends at a mark a greatest length, headers and digits too, \
                 and return an error beyond it"
            }
            Self::Flood => {
                "count empty frames with `Limits::admit`, and let its error be final even where \
                 bad frames are skipped"
            }
            Self::Time => {
                "set a deadline from `Outbox::now`, move it or take it away in `expired`, and let \
                 `decode` never ask whether it has passed"
            }
            Self::HostileIo => {
                "put answers into the `Outbox` only, and change `is_ready` only in the calls that \
                 its documentation names"
            }
            Self::Cancel => {
                "keep all state in the framing, and none that counts how often it is called"
            }
        }
    }

    pub(super) fn broken(self, what: impl Into<String>) -> Broken {
        Broken {
            law: self,
            what: what.into(),
        }
    }

    /// That it is broken, unless it `holds`.
    pub(super) fn holds(self, holds: bool, what: impl FnOnce() -> String) -> Kept {
        if holds {
            Ok(())
        } else {
            Err(self.broken(what()))
        }
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "law {} ({})", self.number(), self.as_str())
    }
}

/// A law that is broken, and by what.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    pub(super) law: Law,
    what: String,
}

/// A result of checking laws.
pub(super) type Kept<T = ()> = Result<T, Broken>;

impl Broken {
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// Adds what was done at that time.
    pub(super) fn while_doing(mut self, what: impl fmt::Display) -> Self {
        self.what = format!("{}\n  {what}", self.what);
        self
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { law, what } = self;
        write!(f, "{law}: {what}\n  what to do: {}", law.remedy())
    }
}

/// Runs a part of the framing; its panic breaks law 6.
pub(super) fn guard<T>(run: impl FnOnce() -> T) -> Kept<T> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
            (Some(text), _) => text,
            (None, Some(text)) => *text,
            (None, None) => "",
        };
        Law::AnyBytes.broken(format!("the framing panics: {text}"))
    })
}
