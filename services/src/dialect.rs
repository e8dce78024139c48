//! What every dialect does with a connection, however its messages are written.

use std::{
    convert::Infallible,
    future::{Future, pending, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use framing::{
    Connection, Framing,
    serve::{BoxError, Drain},
};
use futures_sink::Sink;
use futures_util::stream;
use pin_project::pin_project;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    time::{Instant, Sleep, sleep_until, timeout},
};
use tower_service::Service;
use tracing::error;

use crate::{Body, BodyError, Code, Request, Response, Session, Status};

/// How long an orderly close may take.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// What a connection may do until somebody has logged in on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BeforeLogin {
    /// The largest frame, in bytes.
    pub(crate) frame_limit: usize,
    /// The time for the login, from the connection's start, however busy the peer is.
    pub(crate) deadline: Duration,
}

impl BeforeLogin {
    /// Sets the limit on frames of a connection that begins now, and gives its deadline.
    pub(crate) fn begin(limits: Option<Self>, session: &Session) -> Option<Sleep> {
        let limits = limits?;
        session.limit_frames(limits.frame_limit);
        // Beyond any clock's range there is nothing to wait for.
        Some(sleep_until(Instant::now().checked_add(limits.deadline)?))
    }
}

/// Waits for the login deadline, as long as there is one and nobody is logged in.
pub(crate) async fn login_timeout(session: &Session, deadline: Pin<&mut Option<Sleep>>) {
    if let Some(deadline) = deadline.as_pin_mut() {
        deadline.await;
        if session.identity().is_none() {
            return;
        }
    }
    pending().await
}

/// Tells the session when the server stops. Never ready; cancel safe.
pub(crate) async fn stop_with(drain: &Drain, session: &Session) -> Infallible {
    drain.requested().await;
    session.stop();
    pending().await
}

/// The service of one connection.
pub(crate) async fn open<M>(mut make_service: M, session: &Session) -> Result<M::Response, BoxError>
where
    M: Service<Session>,
    M::Error: Into<BoxError>,
{
    poll_fn(|cx| make_service.poll_ready(cx))
        .await
        .map_err(Into::into)?;
    make_service.call(session.clone()).await.map_err(Into::into)
}

/// Hands a request to the service once that is ready. Whatever goes wrong, there is a response.
pub(crate) async fn call<S>(service: &mut S, request: Request) -> Answer<S::Future>
where
    S: Service<Request, Response = Response>,
    S::Error: Into<BoxError>,
{
    let session = request.session.clone();
    if let Err(error) = poll_fn(|cx| service.poll_ready(cx)).await {
        let error = error.into();
        error!(error, "the service cannot take requests any more");
        session.close();
        return Answer::Failed;
    }
    match catch_unwind(AssertUnwindSafe(|| service.call(request))) {
        Ok(future) => Answer::Coming(future),
        Err(_) => {
            error!("a service panicked when it was called");
            Answer::Failed
        }
    }
}

/// A response whose failure or panic costs nobody else anything.
#[pin_project(project = AnswerProjection)]
pub(crate) enum Answer<F> {
    Coming(#[pin] F),
    Failed,
}

impl<F, E> Future for Answer<F>
where
    F: Future<Output = Result<Response, E>>,
    E: Into<BoxError>,
{
    type Output = Response;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        let AnswerProjection::Coming(future) = self.project() else {
            return Poll::Ready(failed().into());
        };
        // The future is not polled again after a panic.
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(polled) => Poll::Ready(ready!(polled).unwrap_or_else(|error| {
                let error = error.into();
                error!(error, "a request failed");
                failed().into()
            })),
            Err(_) => {
                error!("a request panicked");
                Poll::Ready(failed().into())
            }
        }
    }
}

/// What is said of a request that went wrong through no fault of its sender.
fn failed() -> Status {
    Status::new(Code::INTERNAL, "the request failed on the server")
}

/// The same body, which is given up if making it panics.
pub(crate) fn catch_panics(mut body: Body) -> Body {
    if body.is_none() {
        return body;
    }
    Body::from_stream(stream::poll_fn(move |cx| {
        catch_unwind(AssertUnwindSafe(|| body.poll_next(cx))).unwrap_or_else(|_| {
            error!("the body of a response panicked");
            // Nothing of it is polled again.
            body = Body::none();
            Poll::Ready(Some(Err(BodyError::Aborted(failed()))))
        })
    }))
}

/// Closes a connection in an orderly way.
pub(crate) async fn close<Io, F>(connection: &mut Connection<Io, F>)
where
    Io: AsyncRead + AsyncWrite + Unpin,
    F: Framing,
{
    let closed = timeout(CLOSE_TIME, async {
        poll_fn(|cx| Pin::new(&mut *connection).poll_close(cx))
            .await
            .ok()?;
        // Closing a socket with unread bytes in it would reset the connection, and the peer
        // could lose the answer that it has not read yet.
        let io = connection.get_mut();
        let mut unread = [0; 4096];
        let mut patience = 256;
        while patience > 0 && io.read(&mut unread).await.ok()? > 0 {
            patience -= 1;
        }
        Some(())
    });
    // Either way there is nothing left to do for this peer.
    let _ = closed.await;
}
