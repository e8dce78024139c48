//! Notes in the log what is asked and how it goes.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use pin_project::pin_project;
use tower_layer::Layer;
use tower_service::Service;
use tracing::{Level, debug, enabled};

use crate::{HasVerb, Response, Verb, escape::escaped};

/// Writes a `debug` event for each answered request: its verb, its status, the time it took until the
/// response began. Neither arguments nor bodies are written.
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceLayer;

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace { inner }
    }
}

/// A service whose requests are noted; made by [`TraceLayer`].
#[derive(Clone, Copy, Debug)]
pub struct Trace<S> {
    inner: S,
}

impl<S> Trace<S> {
    /// The service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<R, S> Service<R> for Trace<S>
where
    R: HasVerb,
    S: Service<R, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = TraceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // The verb is kept only if somebody is going to read it.
        let seen = enabled!(Level::DEBUG).then(|| (request.verb().clone(), Instant::now()));
        TraceFuture {
            future: self.inner.call(request),
            seen,
        }
    }
}

/// The answer of a traced service.
#[pin_project]
#[derive(Debug)]
pub struct TraceFuture<F> {
    #[pin]
    future: F,
    seen: Option<(Verb, Instant)>,
}

impl<F, E> Future for TraceFuture<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.future.poll(cx));
        if let Some((verb, since)) = this.seen.take() {
            let status = result
                .as_ref()
                .map_or("failed", |r| r.status.code().as_str());
            debug!(verb = %escaped(verb.as_str()), status, elapsed = ?since.elapsed(), "answered");
        }
        Poll::Ready(result)
    }
}
