//! Answers tagged requests as soon as each is done, in any order.

mod handler;
mod options;
mod push;
mod waiting;

use std::{
    collections::HashSet,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use pin_project::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;
use tracing::{debug, warn};

use self::waiting::{Deadline, Queue, Waiting};
pub use self::{
    handler::{Multiplexes, serve_multiplexed},
    options::MultiplexOptions,
    push::{PushError, Pusher, Pushes},
};
use super::{
    BoxError, Drain,
    call::{Failure, call_in_place},
    drain::Requested,
    linger::Linger,
};
use crate::{Connection, Error, ErrorKind, FrameError, Framing, Tagging};

/// Drives tagged requests from a connection through a service, and each response back with the tag
/// of its request as soon as it is there.
///
/// ```text
///  ─▶ [1] slow ─▶ [2] fast ─▶ [3] fails ─▶              ─▶ Service<Bytes>
///  ◀─ [1] done ◀─ [3] error: … ◀─ [2] done ◀─
/// ```
///
/// When the service is not ready, when the limits are reached, or when the peer does not read,
/// nothing more is read: TCP makes the peer wait. Responses are gathered and flushed once nothing
/// more can be made.
///
/// A request that fails, panics, takes [too long](MultiplexOptions::request_timeout) or whose
/// response cannot be carried gets an [error response](MultiplexOptions::on_failure) on its tag; the
/// connection lives. A request on the [one-way](Tagging::one_way) tag goes to the service like any
/// other, and nothing is answered. When the peer closes its side, the requests it has sent are still
/// answered.
///
/// What ends the connection, once the requests read before are answered: a tag that is used again
/// before its answer has left, since nobody could tell the two answers apart; a frame without a tag.
/// A bad frame that the framing skips is only logged: whose it was is not known.
///
/// The future ends once the connection is closed, with the error that ended it if there was one.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct Multiplex<Io, F, G, S: Service<Bytes>> {
    connection: Connection<Io, F>,
    tags: G,
    one_way: Option<u32>,
    service: S,
    options: MultiplexOptions,
    /// Requests in the service that were not ready at once.
    waiting: Queue<S::Future>,
    /// The tags of those of them that are to be answered.
    in_flight: HashSet<u32>,
    /// A request that has been read, until the service is ready for it.
    request: Option<(u32, Bytes)>,
    /// The next response.
    response: Option<Response>,
    /// What is sent next, with its tag, until the connection has room.
    sending: Option<(u32, Bytes)>,
    /// Where a response is polled for the first time; as in a pipeline, one that is ready at once
    /// costs no allocation.
    place: Option<Pin<Box<Option<S::Future>>>>,
    pushes: Option<Pushes>,
    /// Nothing more is read.
    closing: bool,
    /// Nothing more can be read: the peer has closed its side, or an error was final.
    ended: bool,
    /// After our last byte, until the peer has closed its side.
    linger: Option<Linger>,
    /// Why, if not for the peer's clean end.
    error: Option<BoxError>,
    #[pin]
    drain: Option<Requested>,
}

/// A response, until it is sent.
struct Response {
    tag: u32,
    frame: Bytes,
    /// How many frames were pushed before it was there, and leave before it.
    behind: usize,
}

impl Response {
    fn new(tag: u32, frame: Bytes, pushes: Option<&Pushes>) -> Self {
        Self {
            tag,
            frame,
            behind: pushes.map_or(0, Pushes::len),
        }
    }
}

impl<Io, F: Framing, G: Tagging, S: Service<Bytes>> Multiplex<Io, F, G, S> {
    /// Connects `connection` to `service`, with the default limits.
    ///
    /// # Errors
    ///
    /// The framing cannot carry such tags; see [`Tagging::begin`].
    pub fn new(
        mut connection: Connection<Io, F>,
        mut tags: G,
        service: S,
    ) -> Result<Self, FrameError> {
        tags.begin(connection.framing_mut())?;
        Ok(Self {
            connection,
            one_way: tags.one_way(),
            tags,
            service,
            options: MultiplexOptions::default(),
            waiting: Queue::new(),
            in_flight: HashSet::new(),
            request: None,
            response: None,
            sending: None,
            place: None,
            pushes: None,
            closing: false,
            ended: false,
            linger: None,
            error: None,
            drain: None,
        })
    }

    /// Sets the limits.
    pub fn options(mut self, options: MultiplexOptions) -> Self {
        self.options = options;
        self
    }

    /// Reads nothing more once `drain` is requested.
    pub fn drain(mut self, drain: &Drain) -> Self {
        self.drain = Some(drain.wait());
        self
    }

    /// Sends what comes from a [`Pusher`] as well. Tags without one for
    /// [one-way](Tagging::one_way) frames have no place for it: then the pusher finds it closed.
    pub fn pushes(mut self, pushes: Pushes) -> Self {
        self.pushes = self.one_way.is_some().then_some(pushes);
        self
    }
}

impl<Io, F, G, S> Multiplex<Io, F, G, S>
where
    Io: AsyncRead + AsyncWrite + Unpin,
    F: Framing,
    G: Tagging,
    S: Service<Bytes, Response = Bytes>,
    S::Error: Into<BoxError>,
{
    /// Moves responses, and what is pushed, to the connection while it has room. Ready when there
    /// may be something more that was pushed: requests have a turn before it.
    fn poll_respond(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let this = self.project();
        let mut pushed = false;
        loop {
            if this.response.is_none()
                && let Poll::Ready(Some(done)) = this.waiting.poll_next(cx)
            {
                if Some(done.tag) == *this.one_way {
                    forget(done.result);
                    continue;
                }
                this.in_flight.remove(&done.tag);
                let answer = this.options.calls.answer(done.result);
                *this.response = Some(Response::new(done.tag, answer, this.pushes.as_ref()));
            }
            if this.sending.is_none() {
                match &mut *this.response {
                    Some(response) if response.behind == 0 => {
                        *this.sending = this.response.take().map(|it| (it.tag, it.frame));
                    }
                    None if pushed => return Poll::Ready(Ok(())),
                    response => {
                        let push = match &mut *this.pushes {
                            Some(pushes) => ready!(pushes.receiver().poll_recv(cx)),
                            None => None,
                        };
                        pushed = response.is_none();
                        match (response, push, *this.one_way) {
                            (Some(response), Some(frame), Some(tag)) => {
                                response.behind -= 1;
                                *this.sending = Some((tag, frame));
                            }
                            (None, Some(frame), Some(tag)) => *this.sending = Some((tag, frame)),
                            (Some(response), ..) => response.behind = 0,
                            // Nobody can push any more.
                            (None, ..) => return Poll::Pending,
                        }
                    }
                }
            }
            ready!(Pin::new(&mut *this.connection).poll_ready(cx))?;
            let Some((tag, frame)) = this.sending.take() else {
                continue;
            };
            match send(this.connection, this.tags, tag, frame) {
                Err(Error::Frame(error)) if error.kind() == ErrorKind::Unencodable => {
                    if Some(tag) == *this.one_way {
                        warn!(%error, "a pushed frame cannot be sent");
                        continue;
                    }
                    // The connection is as it was, so there is room for saying why.
                    let failure = Err(Failure::Unencodable(error));
                    let answer = this.options.calls.answer::<BoxError>(failure);
                    send(this.connection, this.tags, tag, answer)?;
                }
                sent => sent?,
            }
        }
    }

    /// Reads a request and begins to answer it. Pending when nothing can or may be read.
    fn poll_request(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.response.is_some()
            || this.sending.is_some()
            || this
                .options
                .calls
                .are_reached(this.waiting.len(), this.waiting.bytes())
        {
            return Poll::Pending;
        }
        if this.request.is_none() {
            if *this.closing {
                return Poll::Pending;
            }
            let frame = match ready!(Pin::new(&mut *this.connection).poll_next(cx)) {
                Some(Ok(frame)) => this.tags.read(frame, this.connection.framing()),
                Some(Err(Error::Frame(error))) if error.is_recoverable() => {
                    debug!(%error, "a request cannot be read, and nobody knows its tag");
                    return Poll::Ready(());
                }
                // Who waits for an answer is not idle.
                Some(Err(Error::Idle(_))) if this.waiting.len() > 0 => {
                    return Poll::Ready(());
                }
                Some(Err(error)) => {
                    *this.closing = true;
                    *this.ended = true;
                    *this.error = Some(error.into());
                    return Poll::Ready(());
                }
                None => {
                    *this.closing = true;
                    *this.ended = true;
                    return Poll::Ready(());
                }
            };
            let request = frame.and_then(|(tag, frame)| {
                if this.in_flight.contains(&tag) {
                    return Err(FrameError::malformed(format!(
                        "tag {tag} is in use: its request is not answered yet"
                    )));
                }
                Ok((tag, frame))
            });
            match request {
                Ok(request) => *this.request = Some(request),
                Err(error) => {
                    *this.closing = true;
                    *this.error = Some(error.into());
                    return Poll::Ready(());
                }
            }
        }
        // Only now: see the pipeline.
        if let Err(error) = ready!(this.service.poll_ready(cx)) {
            // Those that it has are still answered.
            *this.request = None;
            *this.closing = true;
            this.error.get_or_insert(error.into());
            return Poll::Ready(());
        }
        let Some((tag, frame)) = this.request.take() else {
            return Poll::Pending;
        };
        let bytes = frame.len();
        let is_one_way = Some(tag) == *this.one_way;
        let mut place = this.place.take().unwrap_or_else(|| Box::pin(None));
        match call_in_place(this.service, frame, place.as_mut(), cx) {
            Poll::Ready(result) => {
                place.set(None);
                *this.place = Some(place);
                if is_one_way {
                    forget(result);
                } else {
                    let answer = this.options.calls.answer(result);
                    *this.response = Some(Response::new(tag, answer, this.pushes.as_ref()));
                }
            }
            Poll::Pending => {
                if !is_one_way {
                    this.in_flight.insert(tag);
                }
                this.waiting.push(Waiting {
                    tag,
                    bytes,
                    place,
                    deadline: this.options.request_timeout.and_then(Deadline::after),
                });
            }
        }
        Poll::Ready(())
    }
}

/// Sends a frame over a connection that has room for it.
fn send<Io, F, G>(
    connection: &mut Connection<Io, F>,
    tags: &mut G,
    tag: u32,
    frame: Bytes,
) -> Result<(), Error>
where
    Io: AsyncRead + AsyncWrite + Unpin,
    F: Framing,
    G: Tagging,
{
    let frame = tags.write(tag, frame, connection.framing_mut())?;
    Pin::new(connection).start_send(frame)
}

/// What becomes of the response to a one-way request.
fn forget<E: Into<BoxError>>(result: Result<Result<Bytes, E>, Failure>) {
    match result {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => debug!(error = error.into(), "a one-way request failed"),
        Err(failure) => debug!(%failure, "a one-way request failed"),
    }
}

impl<Io, F, G, S> Multiplex<Io, F, G, S>
where
    Io: AsyncRead + AsyncWrite + Unpin,
    F: Framing,
    S: Service<Bytes>,
{
    /// Takes note that nothing further can be sent: what was sent before is, and that is all.
    #[cold]
    fn note_unsent(self: Pin<&mut Self>, error: BoxError) {
        let this = self.project();
        *this.closing = true;
        this.error.get_or_insert(error);
        *this.waiting = Queue::new();
        this.in_flight.clear();
        *this.request = None;
        *this.response = None;
        *this.sending = None;
        *this.pushes = None;
    }

    fn poll_linger(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let this = self.project();
        if let Some(linger) = this.linger {
            ready!(linger.poll(Pin::new(this.connection), cx));
        }
        Poll::Ready(this.error.take().map_or(Ok(()), Err))
    }
}

impl<Io, F, G, S> Future for Multiplex<Io, F, G, S>
where
    Io: AsyncRead + AsyncWrite + Unpin,
    F: Framing,
    G: Tagging,
    S: Service<Bytes, Response = Bytes>,
    S::Error: Into<BoxError>,
{
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(drain) = self.as_mut().project().drain.as_pin_mut()
            && drain.poll(cx).is_ready()
        {
            let mut this = self.as_mut().project();
            *this.closing = true;
            this.drain.set(None);
        }
        if self.linger.is_some() {
            return self.poll_linger(cx);
        }
        loop {
            let pushed = match self.as_mut().poll_respond(cx) {
                Poll::Ready(Err(error)) => {
                    self.as_mut().note_unsent(error);
                    continue;
                }
                responded => responded.is_ready(),
            };
            if self.as_mut().poll_request(cx).is_ready() || pushed {
                continue;
            }
            let this = self.as_mut().project();
            let connection = Pin::new(&mut *this.connection);
            let has_answered = this.response.is_none() && this.sending.is_none();
            let is_idle = this.waiting.len() == 0 && has_answered;
            if is_idle && *this.closing && this.request.is_none() {
                if let (Some(tag), Some(pushes)) = (*this.one_way, &mut *this.pushes) {
                    // What was accepted is sent, and nothing more is.
                    pushes.receiver().close();
                    if let Some(frame) = ready!(pushes.receiver().poll_recv(cx)) {
                        *this.sending = Some((tag, frame));
                        continue;
                    }
                }
                if let Err(error) = ready!(connection.poll_close(cx)) {
                    // What came first is the reason.
                    return Poll::Ready(Err(this.error.take().unwrap_or_else(|| error.into())));
                }
                let limit = this.options.calls.linger_limit();
                if !*this.ended && !limit.is_zero() {
                    *this.linger = Some(Linger::new(limit));
                }
                return self.poll_linger(cx);
            }
            this.waiting.poll_deadlines(cx);
            // Nothing more can be made now: one write for all that has been.
            if let Poll::Ready(flushed) = connection.poll_flush(cx) {
                flushed?;
                if this.sending.is_some() {
                    // The connection had no room before; it has now.
                    continue;
                }
            }
            return Poll::Pending;
        }
    }
}

impl<Io, F, G, S: Service<Bytes>> fmt::Debug for Multiplex<Io, F, G, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multiplex")
            .field("options", &self.options)
            .field("waiting", &self.waiting.len())
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}
