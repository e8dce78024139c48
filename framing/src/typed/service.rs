//! The server's side: a service of types, called with frames.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use pin_project::pin_project;
use serde::{Serialize, de::DeserializeOwned};
use tower_layer::Layer;
use tower_service::Service;

use super::{Format, Json, TypedError, read, write};
use crate::serve::BoxError;

/// Makes a response of an error.
type OnError<Resp> = Arc<dyn Fn(TypedError) -> Resp + Send + Sync>;

/// Makes a service of frames of a service of types.
///
/// ```text
///  frame      {"add":[2,3]}   ──▶  Request::Add(2, 3)
///                                      your Service<Request>
///  frame      {"sum":5}       ◀──  Response::Sum(5)
/// ```
///
/// ```
/// use framing::{Connection, Lines, client::Client, serve::{Memory, serve}, typed::{TypedClient, TypedLayer}};
/// use serde::{Deserialize, Serialize};
/// use tower::{BoxError, Service, ServiceBuilder, ServiceExt, make::Shared};
///
/// #[derive(Serialize, Deserialize)]
/// #[serde(rename_all = "snake_case")]
/// enum Request { Add(u32, u32) }
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// #[serde(rename_all = "snake_case")]
/// enum Response { Sum(u32), Error(String) }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let service = ServiceBuilder::new()
///     .layer(TypedLayer::json().on_error(|error| Response::Error(error.to_string())))
///     .service_fn(async |Request::Add(a, b)| match a.checked_add(b) {
///         Some(sum) => Ok(Response::Sum(sum)),
///         None => Err("the sum is too large"),
///     });
/// let (listener, connector) = Memory::new(1024);
/// tokio::spawn(serve(listener, Shared::new(service)).framing(Lines::new()?).into_future());
///
/// let client = Client::new(Connection::new(connector.connect().await?, Lines::new()?));
/// let mut client = TypedClient::<_, Request, Response>::json(client);
/// assert_eq!(client.ready().await?.call(Request::Add(2, 3)).await?, Response::Sum(5));
/// let response = client.ready().await?.call(Request::Add(2, u32::MAX)).await?;
/// assert_eq!(response, Response::Error("the sum is too large".into()));
/// # Ok(()) }
/// ```
pub struct TypedLayer<Req, Resp, F = Json> {
    format: F,
    on_error: Option<OnError<Resp>>,
    types: PhantomData<fn(Req) -> Resp>,
}

impl<Req, Resp> TypedLayer<Req, Resp> {
    /// Values in [`Json`].
    pub fn json() -> Self {
        Self::new(Json)
    }
}

impl<Req, Resp, F> TypedLayer<Req, Resp, F> {
    /// Values in `format`.
    pub fn new(format: F) -> Self {
        Self {
            format,
            on_error: None,
            types: PhantomData,
        }
    }

    /// Sets what is answered to a frame that cannot be read, when the service fails, and when its
    /// response cannot be written. Unset, that is the error of the call.
    ///
    /// A request that panics never comes here; nor does a response which the framing cannot carry:
    /// they are for [`PipelineOptions::on_failure`](crate::serve::PipelineOptions::on_failure).
    pub fn on_error(mut self, answer: impl Fn(TypedError) -> Resp + Send + Sync + 'static) -> Self {
        self.on_error = Some(Arc::new(answer));
        self
    }
}

impl<S, Req, Resp, F: Clone> Layer<S> for TypedLayer<Req, Resp, F> {
    type Service = Typed<S, Req, Resp, F>;

    fn layer(&self, inner: S) -> Self::Service {
        Typed {
            inner,
            format: self.format.clone(),
            on_error: self.on_error.clone(),
            types: PhantomData,
        }
    }
}

impl<Req, Resp, F: Clone> Clone for TypedLayer<Req, Resp, F> {
    fn clone(&self) -> Self {
        Self {
            format: self.format.clone(),
            on_error: self.on_error.clone(),
            types: PhantomData,
        }
    }
}

impl<Req, Resp, F: fmt::Debug> fmt::Debug for TypedLayer<Req, Resp, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedLayer")
            .field("format", &self.format)
            .field("on_error", &self.on_error.is_some())
            .finish_non_exhaustive()
    }
}

/// A service of types as a service of frames; made by [`TypedLayer`].
///
/// It is ready when the service inside is. A frame that cannot be read never reaches that service.
/// What the service had set aside for it, such as a permit of a limit, is given back: the service
/// is put back to a clone of itself, which is why it must be `Clone`.
pub struct Typed<S, Req, Resp, F = Json> {
    inner: S,
    format: F,
    on_error: Option<OnError<Resp>>,
    types: PhantomData<fn(Req) -> Resp>,
}

impl<S: Clone, Req, Resp, F: Clone> Clone for Typed<S, Req, Resp, F> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            format: self.format.clone(),
            on_error: self.on_error.clone(),
            types: PhantomData,
        }
    }
}

impl<S: fmt::Debug, Req, Resp, F: fmt::Debug> fmt::Debug for Typed<S, Req, Resp, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed")
            .field("inner", &self.inner)
            .field("format", &self.format)
            .field("on_error", &self.on_error.is_some())
            .finish_non_exhaustive()
    }
}

impl<S, Req, Resp, F> Service<Bytes> for Typed<S, Req, Resp, F>
where
    S: Service<Req, Response = Resp> + Clone,
    S::Error: Into<BoxError>,
    Req: DeserializeOwned,
    Resp: Serialize,
    F: Format + Clone,
{
    type Response = Bytes;
    type Error = TypedError;
    type Future = TypedFuture<S::Future, Resp, F>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TypedError>> {
        let ready = self.inner.poll_ready(cx);
        ready.map_err(|error| TypedError::Service(error.into()))
    }

    fn call(&mut self, frame: Bytes) -> Self::Future {
        let state = match read(&self.format, &frame) {
            Ok(request) => State::Called(self.inner.call(request)),
            Err(error) => {
                // The readiness just promised is for a call that will not be made.
                self.inner = self.inner.clone();
                State::Failed(Some(error))
            }
        };
        TypedFuture {
            state,
            format: self.format.clone(),
            on_error: self.on_error.clone(),
        }
    }
}

/// The frame that answers a call on a [`Typed`] service.
#[pin_project]
pub struct TypedFuture<Fut, Resp, F = Json> {
    #[pin]
    state: State<Fut>,
    format: F,
    on_error: Option<OnError<Resp>>,
}

#[pin_project(project = Projected)]
enum State<Fut> {
    Called(#[pin] Fut),
    /// Before the service was called.
    Failed(Option<TypedError>),
}

impl<Fut, Resp, E, F> Future for TypedFuture<Fut, Resp, F>
where
    Fut: Future<Output = Result<Resp, E>>,
    E: Into<BoxError>,
    Resp: Serialize,
    F: Format,
{
    type Output = Result<Bytes, TypedError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = match this.state.project() {
            Projected::Called(future) => match ready!(future.poll(cx)) {
                Ok(response) => write(this.format, &response),
                Err(error) => Err(TypedError::Service(error.into())),
            },
            Projected::Failed(error) => match error.take() {
                Some(error) => Err(error),
                // Polled again after it was done.
                None => return Poll::Pending,
            },
        };
        Poll::Ready(match (result, this.on_error) {
            (Err(error), Some(answer)) => write(this.format, &answer(error)),
            (result, _) => result,
        })
    }
}

impl<Fut, Resp, F> fmt::Debug for TypedFuture<Fut, Resp, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedFuture").finish_non_exhaustive()
    }
}
