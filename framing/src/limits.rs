//! Checks every declared length, before a byte is reserved for it.

use std::time::Duration;

use crate::{ErrorKind, FrameError};

/// What a framing does after a bad frame whose end it knows.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OnError {
    /// The error is final: it comes again at every call, and no frame ever after it.
    #[default]
    Close,
    /// The error comes once, the bad frame is discarded, and the next good one follows.
    Skip,
}

/// How large a frame may be, whether it may be empty, and what happens after a bad one.
///
/// Without a limit a peer could make us hold as many bytes as it likes, so there is always one:
/// 16 MiB unless another is set. Every framing keeps a `Limits` and asks it as soon as it knows a
/// length: [`admit`](Self::admit) for frames that arrive, [`permit`](Self::permit) for those that
/// leave.
///
/// ```
/// use framing::{ErrorKind, Limits};
///
/// let mut limits = Limits::new().max_frame(10);
/// assert_eq!(limits.admit(10u32).unwrap(), 10);
/// assert_eq!(limits.admit(u64::MAX).unwrap_err().kind(), ErrorKind::TooLong);
/// ```
#[derive(Clone, Debug)]
pub struct Limits {
    max_frame: usize,
    /// Whether someone chose `max_frame`; if not, a framing may lower it to what its length field
    /// can say.
    chosen: bool,
    allow_empty: bool,
    max_empty_run: u32,
    on_error: OnError,
    /// Empty frames since the last one with a byte in it: `empty_run <= max_empty_run`.
    empty_run: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame: Self::DEFAULT_MAX_FRAME,
            chosen: false,
            allow_empty: true,
            max_empty_run: Self::DEFAULT_MAX_EMPTY_RUN,
            on_error: OnError::Close,
            empty_run: 0,
        }
    }
}

impl Limits {
    /// 16 MiB.
    pub const DEFAULT_MAX_FRAME: usize = 16 * 1024 * 1024;
    /// A thousand.
    pub const DEFAULT_MAX_EMPTY_RUN: u32 = 1000;

    /// The defaults: frames of 16 MiB, empty ones allowed up to 1000 in a row, errors are final.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the largest frame, in bytes as handed out, for both directions. At least 1.
    ///
    /// ```
    /// use framing::{ErrorKind, Limits, LengthFieldOptions, Machine};
    ///
    /// let framing = LengthFieldOptions::default().build(Limits::new().max_frame(4))?;
    /// let mut machine = Machine::new(framing);
    /// machine.receive(b"\0\0\0\x05"); // its body is not waited for
    /// assert_eq!(machine.next_frame().unwrap_err().kind(), ErrorKind::TooLong);
    /// assert!(machine.send("hello".into()).is_err());
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn max_frame(mut self, bytes: usize) -> Self {
        self.max_frame = bytes;
        self.chosen = true;
        self
    }

    /// Sets whether an empty frame is a frame; if not, it is malformed, and refused on encode.
    ///
    /// ```
    /// use framing::{DelimiterOptions, Limits, Machine, Received};
    ///
    /// for allow in [true, false] {
    ///     let framing = DelimiterOptions::default().build(Limits::new().allow_empty(allow))?;
    ///     let mut machine = Machine::new(framing);
    ///     machine.receive(b"\n");
    ///     match allow {
    ///         true => assert_eq!(machine.next_frame()?, Received::Frame("".into())),
    ///         false => assert!(machine.next_frame().is_err()),
    ///     }
    ///     assert_eq!(machine.send("".into()).is_ok(), allow);
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn allow_empty(mut self, allow: bool) -> Self {
        self.allow_empty = allow;
        self
    }

    /// Sets how many empty frames may follow one another. They cost a peer next to nothing and
    /// us a call each, so an endless run of them is a flood.
    ///
    /// ```
    /// use framing::{DelimiterOptions, Limits, Machine, Received};
    ///
    /// let framing = DelimiterOptions::default().build(Limits::new().max_empty_run(2))?;
    /// let mut machine = Machine::new(framing);
    /// machine.receive(b"\n\na\n\n\n\n");
    /// for frame in ["", "", "a", "", ""] {
    ///     assert_eq!(machine.next_frame()?, Received::Frame(frame.into()));
    /// }
    /// assert!(machine.next_frame().is_err(), "three in a row");
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn max_empty_run(mut self, frames: u32) -> Self {
        self.max_empty_run = frames;
        self
    }

    /// Sets what happens after a bad frame whose end is known.
    ///
    /// ```
    /// use framing::{DelimiterOptions, Limits, Machine, OnError, Received};
    ///
    /// for policy in [OnError::Close, OnError::Skip] {
    ///     let limits = Limits::new().max_frame(4).on_error(policy);
    ///     let mut machine = Machine::new(DelimiterOptions::default().build(limits)?);
    ///     machine.receive(b"too long\ngood\n");
    ///     assert!(machine.next_frame().is_err());
    ///     match policy {
    ///         OnError::Skip => assert_eq!(machine.next_frame()?, Received::Frame("good".into())),
    ///         _ => assert!(machine.next_frame().is_err(), "the same error, for ever"),
    ///     }
    /// }
    /// # Ok::<(), framing::FrameError>(())
    /// ```
    pub fn on_error(mut self, policy: OnError) -> Self {
        self.on_error = policy;
        self
    }

    /// The largest frame, in bytes.
    #[inline]
    pub fn largest(&self) -> usize {
        self.max_frame
    }

    /// Changes the largest frame for headers not yet accepted.
    pub fn set_largest(&mut self, bytes: usize) {
        self.max_frame = bytes;
    }

    /// Whether a bad frame whose end is known is skipped.
    pub fn skips(&self) -> bool {
        self.on_error == OnError::Skip
    }

    /// Whether a frame whose end is known is skipped after this error of [`admit`](Self::admit).
    ///
    /// A flood of empty frames is no bad frame but a bad peer: each of them is allowed.
    pub(crate) fn may_skip(&self, error: &FrameError) -> bool {
        self.skips() && (error.kind() == ErrorKind::TooLong || !self.allow_empty)
    }

    /// Checks the values, and fits the limit to a wire format that cannot say more than `most`
    /// bytes: a default is lowered, a chosen value over it is an error.
    pub fn fit(&mut self, most: u64, because: &str) -> Result<(), FrameError> {
        if self.max_frame == 0 {
            return Err(FrameError::config("`max_frame` must be at least 1 byte"));
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if self.max_frame > most {
            if self.chosen {
                return Err(FrameError::config(format!(
                    "`max_frame` is {}, but {because} allows {most} bytes at most",
                    self.max_frame
                )));
            }
            self.max_frame = most;
        }
        Ok(())
    }

    /// Accepts the length of an arriving frame, or says why not.
    ///
    /// Too long is kind [`TooLong`](crate::ErrorKind::TooLong); an empty frame that is not
    /// allowed, or one too many in a row, is [`Malformed`](crate::ErrorKind::Malformed).
    #[inline]
    pub fn admit(&mut self, length: impl Into<u128>) -> Result<usize, FrameError> {
        let length = length.into();
        if length > self.max_frame as u128 {
            return Err(FrameError::too_long(length, self.max_frame));
        }
        if length == 0 {
            self.admit_empty()?;
        } else {
            self.saw_content();
        }
        Ok(length as usize)
    }

    /// Notes a frame that is not empty, where its length was compared already.
    #[inline]
    pub(crate) fn saw_content(&mut self) {
        self.empty_run = 0;
    }

    fn admit_empty(&mut self) -> Result<(), FrameError> {
        if !self.allow_empty {
            return Err(FrameError::malformed(
                "an empty frame, which `allow_empty = false` forbids",
            ));
        }
        if self.empty_run >= self.max_empty_run {
            return Err(FrameError::malformed(format!(
                "a flood of empty frames: more than {} in a row",
                self.max_empty_run
            )));
        }
        self.empty_run += 1;
        Ok(())
    }

    /// Accepts the length of a frame to be sent, or says why not.
    #[inline]
    pub fn permit(&self, length: usize) -> Result<(), FrameError> {
        if length > self.max_frame {
            return Err(FrameError::unencodable(format!(
                "a frame of {length} bytes is over the limit of {} bytes",
                self.max_frame
            ))
            .over(self.max_frame));
        }
        if length == 0 && !self.allow_empty {
            return Err(FrameError::unencodable(
                "an empty frame, which `allow_empty = false` forbids",
            ));
        }
        Ok(())
    }
}

/// A time limit's length as people write it.
pub(crate) fn seconds(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
