//! The clock service: tells the time, again and again, until the client leaves.

use std::{fmt, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use jiff::{ZonedDateTime, fmt::strtime};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::{
    Authed, Body, Code, Fields, Handle, HandleLayer, Part, Request, Response, Session, Status, Verb,
};

/// The shortest time between two ticks.
const SHORTEST: Duration = Duration::from_millis(10);

/// The longest one, and the longest format: a year, and what fits a line.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
const LONGEST_FORMAT: usize = 256;

/// Answers [`Verb::CLOCK`].
///
/// Arguments: `every`, the seconds between two ticks (may be a fraction; 0.01 to a year), and
/// `format`, as of `strftime`. The response's body has, at once and then at every tick, a control with
/// the seconds since 1970 (`epoch`), and the local time in that format as data. Ticks do not drift: each
/// is due at a multiple of the time since the first; one that cannot be sent in time is left out, and
/// the next is on time again. The body ends when the peer hangs up or the server stops.
///
/// ```
/// use services::{Clock, Unsupported};
/// use tower::ServiceBuilder;
///
/// let clock = Clock::new().format("%H:%M:%S")?;
/// let stack = ServiceBuilder::new().layer(clock.into_layer()).service(Unsupported);
/// # let _ = stack;
/// # Ok::<(), services::ClockFormatError>(())
/// ```
#[derive(Clone)]
pub struct Clock {
    every: Duration,
    format: String,
    now: fn() -> ZonedDateTime,
}

/// A format that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the format of the clock: {0}")]
pub struct ClockFormatError(String);

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// Every ten seconds, the date (`%Y/%m/%d`).
    pub fn new() -> Self {
        Self {
            every: Duration::from_secs(10),
            format: "%Y/%m/%d".to_owned(),
            now: ZonedDateTime::now,
        }
    }

    /// Sets the time between two ticks where a request names none; 10 ms to a year.
    #[must_use]
    pub fn every(mut self, time: Duration) -> Self {
        self.every = time.clamp(SHORTEST, LONGEST);
        self
    }

    /// Sets the format where a request names none.
    pub fn format(mut self, format: impl Into<String>) -> Result<Self, ClockFormatError> {
        self.format = format.into();
        check(&self.format, &(self.now)()).map_err(ClockFormatError)?;
        Ok(self)
    }

    /// The service as a layer.
    pub fn into_layer(self) -> HandleLayer<Self> {
        HandleLayer::new(self)
    }

    fn begin(&self, request: &Request) -> Result<Ticking, Status> {
        let wrong = |sentence: String| Status::new(Code::BAD_REQUEST, sentence);
        request.arguments.only(&["every", "format"])?;
        let every = match request.arguments.get::<f64>("every")? {
            None => self.every,
            Some(seconds) => Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|every| (SHORTEST..=LONGEST).contains(every))
                .ok_or_else(|| {
                    wrong(format!(
                        "`every` is {seconds} seconds; it can be 0.01 to {}",
                        LONGEST.as_secs()
                    ))
                })?,
        };
        let format: Option<String> = request.arguments.get("format")?;
        let format = format.unwrap_or_else(|| self.format.clone());
        check(&format, &(self.now)()).map_err(|error| wrong(format!("`format`: {error}")))?;
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Ok(Ticking {
            ticks,
            format,
            now: self.now,
            session: request.session.clone(),
            text: None,
        })
    }
}

impl Handle<Authed<Request>> for Clock {
    fn takes(&self, verb: &Verb) -> bool {
        *verb == Verb::CLOCK
    }

    async fn handle(self, Authed { request, .. }: Authed<Request>) -> Response {
        match self.begin(&request) {
            Ok(ticking) => {
                let parts = stream::unfold(Some(ticking), async |ticking| ticking?.next().await);
                Response::ok().with_body(Body::from_stream(Box::pin(parts)))
            }
            Err(status) => status.into(),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock")
            .field("every", &self.every)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// Whether a format can be used.
fn check(format: &str, now: &ZonedDateTime) -> Result<(), String> {
    if format.len() > LONGEST_FORMAT {
        return Err(format!("it has more than {LONGEST_FORMAT} bytes"));
    }
    match strtime::format(format, now) {
        Ok(text) if text.is_empty() => Err("it shows nothing".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// A clock that somebody looks at.
struct Ticking {
    ticks: Interval,
    format: String,
    now: fn() -> ZonedDateTime,
    session: Session,
    /// The text of this tick, behind its seconds.
    text: Option<String>,
}

type Item = Result<Part, crate::BodyError>;

impl Ticking {
    async fn next(mut self) -> Option<(Item, Option<Self>)> {
        if let Some(text) = self.text.take() {
            return Some((Ok(Part::Data(Bytes::from(text))), Some(self)));
        }
        tokio::select! {
            biased;
            () = self.session.left() => return Some((Ok(Part::End(Fields::new())), None)),
            _ = self.ticks.tick() => {}
        }
        let now = (self.now)();
        let seconds = now.timestamp().as_microsecond() as f64 / 1e6;
        match strtime::format(&self.format, &now) {
            Ok(text) => self.text = Some(text),
            // It could be shown a moment ago.
            Err(_) => return Some((Ok(Part::End(Fields::new())), None)),
        }
        let control = Part::Control(Fields::new().with("epoch", seconds));
        Some((Ok(control), Some(self)))
    }
}
