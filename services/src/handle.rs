//! Handle it or pass it on: how a service joins a stack.
//!
//! Every service here is a layer that answers the verbs it knows and gives all others to the service
//! below; at the bottom [`Unsupported`] says that nothing knew the verb. So a plug-in is one more
//! `.layer(..)`:
//!
//! ```
//! use services::{Authed, Handle, HandleLayer, Request, Response, Fields, Unsupported, Verb};
//! use tower::ServiceBuilder;
//!
//! #[derive(Clone)]
//! struct Greet;
//!
//! impl Handle<Authed<Request>> for Greet {
//!     fn takes(&self, verb: &Verb) -> bool {
//!         verb.as_str() == "greet"
//!     }
//!
//!     async fn handle(self, request: Authed<Request>) -> Response {
//!         Response::ok().with_details(Fields::new().with("hello", &request.identity.name))
//!     }
//! }
//!
//! let stack = ServiceBuilder::new().layer(HandleLayer::new(Greet)).service(Unsupported);
//! # let _ = stack;
//! ```

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::Either;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Authed, Code, Request, Response, Status, Verb};

/// A request, or something around one.
pub trait HasVerb {
    /// What it asks for.
    fn verb(&self) -> &Verb;
}

impl HasVerb for Request {
    fn verb(&self) -> &Verb {
        &self.verb
    }
}

impl<R: HasVerb> HasVerb for Authed<R> {
    fn verb(&self) -> &Verb {
        self.request.verb()
    }
}

/// Answers the requests of some verbs.
///
/// What it takes says where in a stack it can stand: one for [`Authed<Request>`] does not compile
/// outside of a login.
///
/// ```
/// use framing::serve::BoxError;
/// use services::{Request, Session, Unsupported, exec::{Allow, Exec, ScriptedSpawner}};
/// use services::{files::{Files, MemoryStore}, login::{Authenticator, LoginLayer, MemoryAccounts}};
/// use tower::{Service, ServiceBuilder};
///
/// /// What a connection wants to be served with.
/// fn serves(_: impl Service<Request>) {}
///
/// # fn main() -> Result<(), BoxError> {
/// let exec = Exec::new(ScriptedSpawner::new(), Allow::new(["uname"])?).into_layer();
/// let files = Files::new(MemoryStore::new()).into_layer();
/// let login = LoginLayer::new(Authenticator::new(MemoryAccounts::new()));
/// serves(ServiceBuilder::new().layer(login).layer(exec).layer(files).service(Unsupported));
/// # Ok(()) }
/// ```
///
/// The same with `exec` outside of the login:
///
/// ```compile_fail,E0277
/// # use framing::serve::BoxError;
/// # use services::{Request, Session, Unsupported, exec::{Allow, Exec, ScriptedSpawner}};
/// # use services::{files::{Files, MemoryStore}, login::{Authenticator, LoginLayer, MemoryAccounts}};
/// # use tower::{Service, ServiceBuilder};
/// # fn serves(_: impl Service<Request>) {}
/// # fn main() -> Result<(), BoxError> {
/// # let exec = Exec::new(ScriptedSpawner::new(), Allow::new(["uname"])?).into_layer();
/// # let files = Files::new(MemoryStore::new()).into_layer();
/// # let login = LoginLayer::new(Authenticator::new(MemoryAccounts::new()));
/// serves(ServiceBuilder::new().layer(exec).layer(login).layer(files).service(Unsupported));
/// # Ok(()) }
/// ```
///
/// And with the files:
///
/// ```compile_fail,E0277
/// # use framing::serve::BoxError;
/// # use services::{Request, Session, Unsupported, exec::{Allow, Exec, ScriptedSpawner}};
/// # use services::{files::{Files, MemoryStore}, login::{Authenticator, LoginLayer, MemoryAccounts}};
/// # use tower::{Service, ServiceBuilder};
/// # fn serves(_: impl Service<Request>) {}
/// # fn main() -> Result<(), BoxError> {
/// # let exec = Exec::new(ScriptedSpawner::new(), Allow::new(["uname"])?).into_layer();
/// # let files = Files::new(MemoryStore::new()).into_layer();
/// # let login = LoginLayer::new(Authenticator::new(MemoryAccounts::new()));
/// serves(ServiceBuilder::new().layer(files).layer(login).layer(exec).service(Unsupported));
/// # Ok(()) }
/// ```
pub trait Handle<R>: Clone + Send + Sync + 'static {
    /// Whether requests of this verb are answered here.
    fn takes(&self, verb: &Verb) -> bool;

    /// Answers a request. Dropped when its connection is lost.
    fn handle(self, request: R) -> impl Future<Output = Response> + Send + 'static;
}

/// Puts a [`Handle`] in front of a service.
#[derive(Clone, Copy, Debug)]
pub struct HandleLayer<H> {
    handler: H,
}

impl<H> HandleLayer<H> {
    /// A layer that answers what `handler` takes.
    pub fn new(handler: H) -> Self {
        Self { handler }
    }
}

impl<H: Clone, S> Layer<S> for HandleLayer<H> {
    type Service = HandleOrPass<H, S>;

    fn layer(&self, inner: S) -> HandleOrPass<H, S> {
        HandleOrPass {
            handler: self.handler.clone(),
            inner,
        }
    }
}

/// A [`Handle`] in front of a service; made by [`HandleLayer`].
#[derive(Clone, Copy, Debug)]
pub struct HandleOrPass<H, S> {
    handler: H,
    inner: S,
}

impl<H, S> HandleOrPass<H, S> {
    /// The service that gets what is passed on.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service that gets what is passed on.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service that gets what is passed on.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

/// The answer of a handler, or of the service below.
pub type HandleFuture<E, F> = Either<Pin<Box<dyn Future<Output = Result<Response, E>> + Send>>, F>;

impl<R, H, S> Service<R> for HandleOrPass<H, S>
where
    R: HasVerb,
    H: Handle<R>,
    S: Service<R, Response = Response> + Clone,
    S::Error: 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = HandleFuture<S::Error, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        if !self.handler.takes(request.verb()) {
            return Either::Right(self.inner.call(request));
        }
        forget_readiness(&mut self.inner);
        let answer = self.handler.clone().handle(request);
        Either::Left(Box::pin(async move { Ok(answer.await) }))
    }
}

/// Gives back what `service` has reserved for a call that it does not get.
///
/// A service that was asked may hold a permit of a limit that it shares with other connections. Kept
/// until the next call, a handful of idle connections would hold them all.
pub(crate) fn forget_readiness<S: Clone>(service: &mut S) {
    *service = service.clone();
}

/// The bottom of every stack: says politely that nothing here knows the verb.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unsupported;

impl<R: HasVerb> Service<R> for Unsupported {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let sentence = format!("nothing here knows the verb `{}`", request.verb());
        ready(Ok(Status::new(Code::UNSUPPORTED, sentence).into()))
    }
}
