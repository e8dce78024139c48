//! Answers requests in the order in which they came, several at a time.

use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use futures_util::stream::FuturesOrdered;
use pin_project::pin_project;
use tower_service::Service;

use super::{
    BoxError, Drain,
    call::{Failure, poll_in_place},
    drain::Requested,
    linger::Linger,
};
use crate::Error;

/// A stream and sink of frames, such as a [`Connection`](crate::Connection).
pub trait Transport: Stream<Item = Result<Bytes, Error>> + Sink<Bytes, Error = Error> {}

impl<T: Stream<Item = Result<Bytes, Error>> + Sink<Bytes, Error = Error>> Transport for T {}

/// The limits of a [`Pipeline`], and what it says when a request fails.
#[derive(Clone)]
pub struct PipelineOptions {
    max_in_flight: usize,
    max_bytes: usize,
    linger: Duration,
    on_failure: Arc<dyn Fn(Failure) -> Bytes + Send + Sync>,
}

impl Default for PipelineOptions {
    fn default() -> Self {
        Self {
            max_in_flight: 64,
            max_bytes: 16 * 1024 * 1024,
            linger: Duration::from_secs(1),
            on_failure: Arc::new(say_why),
        }
    }
}

/// The default of [`PipelineOptions::on_failure`].
fn say_why(failure: Failure) -> Bytes {
    let mut text = format!("error: {failure}");
    if let Failure::Unencodable(error) = &failure
        && let Some(limit) = error.limit()
    {
        // This has to fit, or there is no answer.
        let mut ends = (0..=limit.min(text.len())).rev();
        text.truncate(ends.find(|&end| text.is_char_boundary(end)).unwrap_or(0));
    }
    text.into()
}

impl PipelineOptions {
    /// Sets how many requests of a connection may be in the service at once (64; at least 1).
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.max_in_flight = requests.max(1);
        self
    }

    pub(crate) fn requests(&self) -> usize {
        self.max_in_flight
    }

    /// Sets how many bytes these requests may have together (16 MiB). The one that reaches the
    /// limit is still taken.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes.max(1);
        self
    }

    /// Sets how long to wait, after the last response of a connection that *we* close, for the peer
    /// to close its side (1 s; zero: not at all). What it sends meanwhile is thrown away.
    ///
    /// A peer that is in the middle of sending when its connection goes may never see the responses
    /// in front of the end: its next write fails, or TCP resets the connection and drops what it has
    /// not read. A peer that notices the end and closes costs no time.
    pub fn linger(mut self, limit: Duration) -> Self {
        self.linger = limit;
        self
    }

    pub(super) fn linger_limit(&self) -> Duration {
        self.linger
    }

    /// Sets what is answered in place of a response that there is not (`error: ` and the reason, cut off
    /// where the framing's limit is less).
    ///
    /// The default is for people at a terminal: to a program, `error: busy` is an answer like any
    /// other, and an echo service could send it too. Where the peer must tell them apart, answer with
    /// something that no response of the service can be, such as a variant of its own in an enum
    /// of [typed](crate::typed) responses:
    ///
    /// ```
    /// use framing::{serve::PipelineOptions, typed::{Format, Json}};
    ///
    /// #[derive(serde::Serialize)]
    /// enum Response { Sum(u32), Error(String) }
    ///
    /// let options = PipelineOptions::default().on_failure(|failure| {
    ///     let response = Response::Error(failure.to_string());
    ///     Json.write(&response).unwrap_or_default()
    /// });
    /// ```
    ///
    /// An error of the service comes as [`Failure::Service`], as it was, to be downcast. If what is
    /// returned cannot be carried by the framing, the hook is asked once more, with
    /// [`Failure::Unencodable`]; if that cannot be carried either, the connection is closed behind the
    /// responses in front of it. It ends at once if the hook panics.
    pub fn on_failure(mut self, answer: impl Fn(Failure) -> Bytes + Send + Sync + 'static) -> Self {
        self.on_failure = Arc::new(answer);
        self
    }
}

impl fmt::Debug for PipelineOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineOptions")
            .field("max_in_flight", &self.max_in_flight)
            .field("max_bytes", &self.max_bytes)
            .field("linger", &self.linger)
            .finish_non_exhaustive()
    }
}

/// Drives requests from a transport through a service and its responses back, in order.
///
/// Several requests may be in the service at once; each answers in its turn. When the service is
/// not ready, when the limits are reached, or when the peer does not read, nothing more is read:
/// TCP makes the peer wait. Responses are gathered and flushed once nothing more can be made.
///
/// A request that fails or panics gets an [error response](PipelineOptions::on_failure); the
/// connection lives. When the peer closes its side, the requests it has sent are still answered.
///
/// The future ends once the connection is closed, with the error that ended it if there was one.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct Pipeline<T, S: Service<Bytes>> {
    #[pin]
    transport: T,
    service: S,
    options: Arc<PipelineOptions>,
    /// What could not be done with at once. A connection whose answers always could has none: that
    /// is a third of what an idle one would hold, and one look a request.
    backlog: Option<Box<Backlog<S::Future>>>,
    /// Where a response is polled for the first time. It becomes the queue's place for it only if
    /// it is not ready, so that one that is ready costs no allocation.
    place: Option<Pin<Box<Option<S::Future>>>>,
    /// Nothing more is read.
    closing: bool,
    /// Whether the stream has ended, so that there is nobody to wait for.
    ended: bool,
    /// After our side is shut down.
    linger: Option<Linger>,
    /// Why, if not for the peer's clean end.
    error: Option<BoxError>,
    #[pin]
    drain: Option<Requested>,
}

impl<T, S: Service<Bytes>> Pipeline<T, S> {
    /// Connects `transport` to `service`, with the default limits.
    pub fn new(transport: T, service: S) -> Self {
        Self {
            transport,
            service,
            options: Arc::default(),
            backlog: None,
            place: None,
            closing: false,
            ended: false,
            linger: None,
            error: None,
            drain: None,
        }
    }

    /// Sets the limits.
    pub fn options(self, options: PipelineOptions) -> Self {
        self.shared_options(Arc::new(options))
    }

    /// The same for limits that all connections have from one place.
    pub(super) fn shared_options(mut self, options: Arc<PipelineOptions>) -> Self {
        self.options = options;
        self
    }

    /// Reads nothing more once `drain` is requested.
    pub fn drain(mut self, drain: &Drain) -> Self {
        self.drain = Some(drain.wait());
        self
    }
}

/// What waits for its turn: requests for the service, and responses for those in front of them or
/// for the transport.
struct Backlog<F: Future> {
    /// Requests in the service that were not ready at once, in order.
    waiting: FuturesOrdered<Waiting<F>>,
    /// Bytes of the requests in `waiting`.
    bytes: usize,
    /// A request that has been read, until the service is ready for it.
    request: Option<Bytes>,
    /// The next response in order, until the transport has room.
    response: Option<Bytes>,
}

impl<F: Future> Backlog<F> {
    /// The one there is, or a new one.
    fn of(backlog: &mut Option<Box<Self>>) -> &mut Self {
        backlog.get_or_insert_with(|| {
            Box::new(Self {
                waiting: FuturesOrdered::new(),
                bytes: 0,
                request: None,
                response: None,
            })
        })
    }

    /// Puts a request, of so many bytes, behind the others.
    fn push(&mut self, state: State<F>, bytes: usize) {
        self.bytes += bytes;
        self.waiting.push_back(Waiting { state, bytes });
    }
}

/// A request in the service.
struct Waiting<F: Future> {
    state: State<F>,
    bytes: usize,
}

enum State<F: Future> {
    Running(Pin<Box<Option<F>>>),
    /// Ready before those in front of it.
    Done(Option<Result<F::Output, Failure>>),
}

// The future in a `State` is pinned by its box, and its output is only ever moved.
impl<F: Future> Unpin for State<F> {}

impl<F: Future> Future for Waiting<F> {
    type Output = (Result<F::Output, Failure>, usize);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let bytes = self.bytes;
        let result = match &mut self.state {
            State::Running(place) => ready!(poll_in_place(place.as_mut(), cx)),
            State::Done(result) => result.take().unwrap_or(Err(Failure::Panicked)),
        };
        Poll::Ready((result, bytes))
    }
}

impl PipelineOptions {
    /// Whether so many requests with so many bytes are as much as may be in the service.
    pub(super) fn are_reached(&self, requests: usize, bytes: usize) -> bool {
        requests >= self.max_in_flight || bytes >= self.max_bytes
    }

    /// The frame that answers a request which the service failed at.
    #[cold]
    fn failed(&self, error: BoxError) -> Bytes {
        (self.on_failure)(Failure::Service(error))
    }

    /// The frame that answers a request.
    pub(super) fn answer<E: Into<BoxError>>(
        &self,
        result: Result<Result<Bytes, E>, Failure>,
    ) -> Bytes {
        match result {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => (self.on_failure)(Failure::Service(error.into())),
            Err(failure) => (self.on_failure)(failure),
        }
    }
}

impl<T, S> Pipeline<T, S>
where
    T: Transport,
    S: Service<Bytes, Response = Bytes>,
    S::Error: Into<BoxError>,
{
    /// Moves responses to the transport, in order, while it has room.
    fn poll_respond(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut this = self.project();
        let Some(backlog) = this.backlog else {
            return Poll::Ready(Ok(()));
        };
        loop {
            if backlog.response.is_none() {
                // Asking an empty queue costs as much as a tenth of a request.
                if backlog.waiting.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                let (result, bytes) = match Pin::new(&mut backlog.waiting).poll_next(cx) {
                    Poll::Ready(Some(next)) => next,
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending => return Poll::Pending,
                };
                backlog.bytes -= bytes;
                backlog.response = Some(this.options.answer(result));
            }
            ready!(this.transport.as_mut().poll_ready(cx))?;
            let Some(response) = backlog.response.take() else {
                continue;
            };
            send(this.transport.as_mut(), this.options, response)?;
        }
    }

    /// Reads requests and begins to answer them. Those whose answers are there at once, with nothing
    /// in front of them, are done with here, one after the other. Pending when nothing can or may be
    /// read.
    ///
    /// One guard stands around them all: one for each request cost a twelfth of its time.
    fn poll_request(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let mut in_service = false;
        let requests = AssertUnwindSafe(|| self.as_mut().poll_requests(cx, &mut in_service));
        let panic = match catch_unwind(requests) {
            Ok(polled) => return polled,
            Err(panic) => panic,
        };
        if !in_service {
            // Of what runs the connection, and so its end.
            resume_unwind(panic);
        }
        let this = self.project();
        // The future is dropped after a panic and never polled again.
        *this.place = None;
        Backlog::of(this.backlog).push(State::Done(Some(Err(Failure::Panicked))), 0);
        Poll::Ready(Ok(()))
    }

    /// The same without a guard; `in_service` tells whose a panic is.
    ///
    /// What the stream gives is taken apart here and nowhere else, so that the compiler sees where a
    /// frame goes: handed on in one piece it would move through memory a dozen times, which took half
    /// of a small request's time.
    #[inline(always)]
    fn poll_requests(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        in_service: &mut bool,
    ) -> Poll<Result<(), BoxError>> {
        loop {
            let mut this = self.as_mut().project();
            let mut request = None;
            let mut alone = true;
            if let Some(backlog) = this.backlog {
                if backlog.response.is_some()
                    || this
                        .options
                        .are_reached(backlog.waiting.len(), backlog.bytes)
                {
                    return Poll::Pending;
                }
                request = backlog.request.take();
                alone = backlog.waiting.is_empty();
            }
            let frame = match request {
                Some(frame) => frame,
                None if *this.closing => return Poll::Pending,
                None => match this.transport.as_mut().poll_next(cx) {
                    Poll::Ready(Some(Ok(frame))) => frame,
                    Poll::Ready(Some(Err(error))) => {
                        self.note_no_request(Some(error));
                        return Poll::Ready(Ok(()));
                    }
                    Poll::Ready(None) => {
                        self.note_no_request(None);
                        return Poll::Ready(Ok(()));
                    }
                    Poll::Pending => return Poll::Pending,
                },
            };
            // Only now: a service that is ready may have reserved something for us, such as one of the
            // permits of a limit, and an idle connection must not keep it from the others.
            match this.service.poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    self.note_failed(error.into());
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending => {
                    Backlog::of(this.backlog).request = Some(frame);
                    return Poll::Pending;
                }
            }
            let bytes = frame.len();
            let place = this.place.get_or_insert_with(|| Box::pin(None));
            *in_service = true;
            place.set(Some(this.service.call(frame)));
            let polled = match place.as_mut().as_pin_mut() {
                Some(future) => future.poll(cx),
                None => Poll::Pending,
            };
            let state = match polled {
                Poll::Ready(result) => {
                    place.set(None);
                    *in_service = false;
                    if alone {
                        let response = match result {
                            Ok(response) => response,
                            Err(error) => this.options.failed(error.into()),
                        };
                        if this.transport.as_mut().poll_ready(cx)?.is_pending() {
                            Backlog::of(this.backlog).response = Some(response);
                            return Poll::Ready(Ok(()));
                        }
                        send(this.transport.as_mut(), this.options, response)?;
                        continue;
                    }
                    State::Done(Some(Ok(result)))
                }
                Poll::Pending => match this.place.take() {
                    Some(place) => State::Running(place),
                    None => State::Done(None),
                },
            };
            *in_service = false;
            Backlog::of(this.backlog).push(state, bytes);
            return Poll::Ready(Ok(()));
        }
    }

    /// Takes note that the service takes no request any more. Those that it has are still answered.
    #[cold]
    fn note_failed(self: Pin<&mut Self>, error: BoxError) {
        let this = self.project();
        *this.closing = true;
        this.error.get_or_insert(error);
    }

    /// Takes note that nothing further can be sent: what was sent before is, and that is all.
    #[cold]
    fn note_unsent(mut self: Pin<&mut Self>, error: BoxError) {
        *self.as_mut().project().backlog = None;
        self.note_failed(error);
    }

    /// Takes note of what the stream gave in place of a request: an error, or its end.
    #[cold]
    fn note_no_request(self: Pin<&mut Self>, error: Option<Error>) {
        let this = self.project();
        match error {
            Some(Error::Frame(error)) if error.is_recoverable() => {
                let failed = State::Done(Some(Err(Failure::Unreadable(error))));
                Backlog::of(this.backlog).push(failed, 0);
            }
            // Who waits for an answer is not idle.
            Some(Error::Idle(_)) if is_waiting(this.backlog) => {}
            error => {
                *this.closing = true;
                *this.ended = true;
                *this.error = error.map(Into::into);
            }
        }
    }
}

/// Whether requests are in the service.
fn is_waiting<F: Future>(backlog: &Option<Box<Backlog<F>>>) -> bool {
    backlog
        .as_ref()
        .is_some_and(|backlog| !backlog.waiting.is_empty())
}

/// Hands a response to a transport that has room; in place of one that it cannot carry, the reason.
#[inline(always)]
fn send<T: Transport>(
    mut transport: Pin<&mut T>,
    options: &PipelineOptions,
    response: Bytes,
) -> Result<(), Error> {
    match transport.as_mut().start_send(response) {
        // The transport is as it was, so there is room for saying why.
        Err(Error::Frame(error)) if error.kind() == crate::ErrorKind::Unencodable => {
            let answer = (options.on_failure)(Failure::Unencodable(error));
            transport.start_send(answer)
        }
        sent => sent,
    }
}

impl<T: Transport, S: Service<Bytes>> Pipeline<T, S> {
    /// Waits for the peer's end where that may come, and says how it went.
    fn poll_linger(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let this = self.project();
        if let Some(linger) = this.linger {
            ready!(linger.poll(this.transport, cx));
        }
        Poll::Ready(this.error.take().map_or(Ok(()), Err))
    }
}

impl<T, S> Future for Pipeline<T, S>
where
    T: Transport,
    S: Service<Bytes, Response = Bytes>,
    S::Error: Into<BoxError>,
{
    type Output = Result<(), BoxError>;

    // Part of the future around it: one call less at every wake, of which each takes some 15 ns behind the
    // kernel's work.
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.linger.is_some() {
            return self.poll_linger(cx);
        }
        if let Some(drain) = self.as_mut().project().drain.as_pin_mut()
            && drain.poll(cx).is_ready()
        {
            let mut this = self.as_mut().project();
            *this.closing = true;
            this.drain.set(None);
        }
        loop {
            let idle = self.backlog.is_none()
                || match self.as_mut().poll_respond(cx) {
                    Poll::Ready(Err(error)) => {
                        self.as_mut().note_unsent(error.into());
                        true
                    }
                    responded => responded.is_ready(),
                };
            match self.as_mut().poll_request(cx) {
                Poll::Ready(Ok(())) => continue,
                Poll::Ready(Err(error)) => {
                    self.as_mut().note_unsent(error);
                    continue;
                }
                Poll::Pending => {}
            }
            let mut this = self.as_mut().project();
            let (request, response) = match this.backlog {
                Some(backlog) => (backlog.request.is_some(), backlog.response.is_some()),
                None => (false, false),
            };
            if idle && *this.closing && !request {
                if let Err(error) = ready!(this.transport.poll_close(cx)) {
                    // What came first is the reason.
                    return Poll::Ready(Err(this.error.take().unwrap_or_else(|| error.into())));
                }
                if !*this.ended && !this.options.linger.is_zero() {
                    *this.linger = Some(Linger::new(this.options.linger));
                }
                return self.poll_linger(cx);
            }
            // Nothing more can be made now: one write for all that has been.
            if let Poll::Ready(flushed) = this.transport.as_mut().poll_flush(cx) {
                flushed?;
                if response {
                    // The transport had no room before; it has now.
                    continue;
                }
            }
            return Poll::Pending;
        }
    }
}

impl<T, S: Service<Bytes>> fmt::Debug for Pipeline<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("options", &self.options)
            .field(
                "waiting",
                &self.backlog.as_ref().map_or(0, |it| it.waiting.len()),
            )
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}
