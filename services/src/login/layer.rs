//! The login layer: outside of it is a `Request`, inside an `Authed<Request>`.

use std::{
    fmt,
    future::{Future, Ready, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use framing::serve::Address;
use futures_util::future::Either;
use tower_layer::Layer;
use tower_service::Service;

use super::{Authenticator, Identity, Password, Refused, Source};
use crate::{
    Authed, Code, Fields, Request, Response, Session, Status, Verb,
    audit::{Audit, AuditEvent, LogAudit},
    handle::forget_readiness,
};

/// The one sentence for every login that fails, whatever the reason.
pub const WRONG_CREDENTIALS: &str = "用户名或者密码错误 (wrong user name or password)";

/// Lets nobody in who has not logged in on this connection.
///
/// Answers [`Verb::LOGIN`], whose arguments are `name` and `password`, with the identity's `name` and
/// `rights`. An unknown name, a wrong, empty or over-long password and a locked account all get the
/// same answer. Every other request before a login is `not-authenticated`, and the connection is
/// closed.
///
/// Who is logged in stands in the [`Session`], so it is never shared between connections.
///
/// ```
/// use services::{Unsupported, login::{Authenticator, LoginLayer, MemoryAccounts}};
/// use tower::ServiceBuilder;
///
/// let authenticator = Authenticator::new(MemoryAccounts::new());
/// let stack = ServiceBuilder::new().layer(LoginLayer::new(authenticator)).service(Unsupported);
/// # let _ = stack;
/// ```
#[derive(Clone)]
pub struct LoginLayer {
    authenticator: Arc<Authenticator>,
    max_tries: u32,
    audit: Arc<dyn Audit>,
}

impl LoginLayer {
    /// Ten tries a connection, noted in the log.
    pub fn new(authenticator: impl Into<Arc<Authenticator>>) -> Self {
        Self {
            authenticator: authenticator.into(),
            max_tries: 10,
            audit: Arc::new(LogAudit),
        }
    }

    /// Sets after how many failed tries a connection is closed (10; at least 1).
    #[must_use]
    pub fn max_tries(mut self, tries: u32) -> Self {
        self.max_tries = tries.max(1);
        self
    }

    /// Sets where logins are noted (the log).
    #[must_use]
    pub fn audit(mut self, audit: Arc<dyn Audit>) -> Self {
        self.audit = audit;
        self
    }

    /// Answers a login.
    async fn log_in(self, request: Request) -> Response {
        let Request {
            arguments, session, ..
        } = request;
        if let Err(error) = arguments.only(&["name", "password"]) {
            return Status::from(error).into();
        }
        if session.identity().is_some() {
            return Status::new(
                Code::BAD_REQUEST,
                "somebody is logged in on this connection already",
            )
            .into();
        }
        let name: String = match arguments.require("name") {
            Ok(name) => name,
            Err(error) => return Status::from(error).into(),
        };
        let Ok(password) = arguments.require::<String>("password") else {
            // The error of `require` could tell the value.
            return Status::new(Code::BAD_REQUEST, "`password` must be given as a string").into();
        };
        drop(arguments);
        let result = match Password::new(password) {
            Ok(password) => {
                let source = match &session.peer().remote {
                    Address::Tcp(remote) => Source::from(*remote),
                    _ => Source::LOCAL,
                };
                self.authenticator
                    .authenticate(&name, password, source)
                    .await
            }
            Err(_) => Err(Refused::Credentials),
        };
        match result {
            Ok(identity) => self.admit(&session, Arc::new(identity)),
            Err(refused) => self.refuse(&session, &name, refused),
        }
    }

    fn admit(&self, session: &Session, identity: Arc<Identity>) -> Response {
        self.note(session, &identity.name, "ok");
        let details = Fields::new()
            .with("name", &identity.name)
            .with("rights", identity.rights);
        session.log_in(identity);
        Response::ok().with_details(details)
    }

    fn refuse(&self, session: &Session, name: &str, refused: Refused) -> Response {
        self.note(session, name, "refused");
        if session.count_failed_login() >= self.max_tries {
            session.close();
        }
        match refused {
            Refused::Busy => Status::new(Code::BUSY, "too many logins at once; try again").into(),
            Refused::Unavailable => {
                Status::new(Code::INTERNAL, "the accounts cannot be read").into()
            }
            _ => Status::new(Code::WRONG_CREDENTIALS, WRONG_CREDENTIALS).into(),
        }
    }

    fn note(&self, session: &Session, name: &str, outcome: &'static str) {
        self.audit
            .record(AuditEvent::new(session, name, "login", "", outcome));
    }
}

impl fmt::Debug for LoginLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginLayer")
            .field("max_tries", &self.max_tries)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for LoginLayer {
    type Service = Login<S>;

    fn layer(&self, inner: S) -> Login<S> {
        Login {
            layer: self.clone(),
            inner,
        }
    }
}

/// A service behind a login; made by [`LoginLayer`].
#[derive(Clone, Debug)]
pub struct Login<S> {
    layer: LoginLayer,
    inner: S,
}

impl<S> Login<S> {
    /// The service behind the login.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind the login.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service behind the login.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

/// The answer of the login, or of the service behind it.
pub type LoginFuture<E, F> = Either<Pin<Box<dyn Future<Output = Result<Response, E>> + Send>>, F>;

impl<S> Service<Request> for Login<S>
where
    S: Service<Authed<Request>, Response = Response> + Clone,
    S::Error: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = LoginFuture<S::Error, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if request.verb == Verb::LOGIN {
            forget_readiness(&mut self.inner);
            let answer = self.layer.clone().log_in(request);
            return Either::Left(Box::pin(async move { Ok(answer.await) }));
        }
        match request.session.identity() {
            Some(identity) => {
                let identity = identity.clone();
                Either::Right(self.inner.call(Authed::new(request, identity)))
            }
            None => {
                forget_readiness(&mut self.inner);
                request.session.close();
                let sentence = "log in first";
                let refused = Response::from(Status::new(Code::NOT_AUTHENTICATED, sentence));
                Either::Left(Box::pin(ready(Ok(refused))))
            }
        }
    }
}

/// Gives everybody the same identity, where no login is wanted.
#[derive(Clone, Debug)]
pub struct AnonymousLayer {
    identity: Arc<Identity>,
}

impl AnonymousLayer {
    /// Everybody is `identity`.
    pub fn new(identity: impl Into<Arc<Identity>>) -> Self {
        Self {
            identity: identity.into(),
        }
    }
}

impl<S> Layer<S> for AnonymousLayer {
    type Service = Anonymous<S>;

    fn layer(&self, inner: S) -> Anonymous<S> {
        Anonymous {
            identity: self.identity.clone(),
            inner,
        }
    }
}

/// A service without a login; made by [`AnonymousLayer`].
#[derive(Clone, Debug)]
pub struct Anonymous<S> {
    identity: Arc<Identity>,
    inner: S,
}

impl<S> Anonymous<S> {
    /// The service behind.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service behind.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S> Service<Request> for Anonymous<S>
where
    S: Service<Authed<Request>, Response = Response> + Clone,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response, S::Error>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if request.verb == Verb::LOGIN {
            forget_readiness(&mut self.inner);
            let sentence = "nobody needs to log in here";
            let refused = Status::new(Code::UNSUPPORTED, sentence);
            return Either::Left(ready(Ok(refused.into())));
        }
        if request.session.identity().is_none() {
            request.session.log_in(self.identity.clone());
        }
        Either::Right(self.inner.call(Authed::new(request, self.identity.clone())))
    }
}
