//! The client's side: a service of frames, called with types.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use pin_project::pin_project;
use serde::{Serialize, de::DeserializeOwned};
use tower_service::Service;

use super::{Format, Json, TypedError, read, write};
use crate::serve::BoxError;

/// A service of frames, such as a [`Client`](crate::client::Client), as a service of types.
///
/// ```text
///  Request::Add(2, 3)  ──▶  {"add":[2,3]}   frame
///                                              the server
///  Response::Sum(5)    ◀──  {"sum":5}       frame
/// ```
///
/// It is ready when the service inside is. A request that cannot be written is not sent, and what
/// the service had set aside for it is given back: the service is put back to a clone of itself,
/// which is why it must be `Clone`. An error of the service inside comes as
/// [`TypedError::Service`], to be downcast where it matters.
///
/// ```
/// use framing::typed::{TypedClient, TypedError};
/// use tower::{ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), TypedError> {
/// // In place of a connection, a server that says the same whatever it is asked.
/// let server = service_fn(async |_: bytes::Bytes| Ok::<_, TypedError>("[1,2,3]".into()));
/// let client = TypedClient::<_, &str, Vec<u8>>::json(server);
/// assert_eq!(client.oneshot("count").await?, [1, 2, 3]);
/// # Ok(()) }
/// ```
pub struct TypedClient<S, Req, Resp, F = Json> {
    inner: S,
    format: F,
    types: PhantomData<fn(Req) -> Resp>,
}

impl<S, Req, Resp> TypedClient<S, Req, Resp> {
    /// Values in [`Json`].
    pub fn json(inner: S) -> Self {
        Self::new(inner, Json)
    }
}

impl<S, Req, Resp, F> TypedClient<S, Req, Resp, F> {
    /// Values in `format`.
    pub fn new(inner: S, format: F) -> Self {
        Self {
            inner,
            format,
            types: PhantomData,
        }
    }
}

impl<S: Clone, Req, Resp, F: Clone> Clone for TypedClient<S, Req, Resp, F> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.format.clone())
    }
}

impl<S: fmt::Debug, Req, Resp, F: fmt::Debug> fmt::Debug for TypedClient<S, Req, Resp, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedClient")
            .field("inner", &self.inner)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl<S, Req, Resp, F> Service<Req> for TypedClient<S, Req, Resp, F>
where
    S: Service<Bytes, Response = Bytes> + Clone,
    S::Error: Into<BoxError>,
    Req: Serialize,
    Resp: DeserializeOwned,
    F: Format + Clone,
{
    type Response = Resp;
    type Error = TypedError;
    type Future = TypedClientFuture<S::Future, Resp, F>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TypedError>> {
        let ready = self.inner.poll_ready(cx);
        ready.map_err(|error| TypedError::Service(error.into()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let state = match write(&self.format, &request) {
            Ok(frame) => State::Called(self.inner.call(frame)),
            Err(error) => {
                // The readiness just promised is for a call that will not be made.
                self.inner = self.inner.clone();
                State::Failed(Some(error))
            }
        };
        TypedClientFuture {
            state,
            format: self.format.clone(),
            response: PhantomData,
        }
    }
}

/// The response to a call on a [`TypedClient`].
#[pin_project]
pub struct TypedClientFuture<Fut, Resp, F = Json> {
    #[pin]
    state: State<Fut>,
    format: F,
    response: PhantomData<fn() -> Resp>,
}

#[pin_project(project = Projected)]
enum State<Fut> {
    Called(#[pin] Fut),
    /// Nothing was sent.
    Failed(Option<TypedError>),
}

impl<Fut, Resp, E, F> Future for TypedClientFuture<Fut, Resp, F>
where
    Fut: Future<Output = Result<Bytes, E>>,
    E: Into<BoxError>,
    Resp: DeserializeOwned,
    F: Format,
{
    type Output = Result<Resp, TypedError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(match this.state.project() {
            Projected::Called(future) => match ready!(future.poll(cx)) {
                Ok(frame) => read(this.format, &frame),
                Err(error) => Err(TypedError::Service(error.into())),
            },
            Projected::Failed(error) => match error.take() {
                Some(error) => Err(error),
                // Polled again after it was done.
                None => return Poll::Pending,
            },
        })
    }
}

impl<Fut, Resp, F> fmt::Debug for TypedClientFuture<Fut, Resp, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedClientFuture").finish_non_exhaustive()
    }
}
