//! Opens the listeners of a configuration and serves on them until it is told to stop.

use std::convert::Infallible;

use anyhow::Context;
use framing::{
    BoxFraming, Budget, Connection, ConnectionOptions, FramingFactory,
    serve::{Address, Handler, Listener, serve_with},
};
use futures_util::future::join_all;
use services::{Session, course::CourseServer, hmac::HmacAcceptor, native::NativeServer};
use tokio::sync::watch;
use tower::service_fn;

use crate::{
    config::{Config, Limits, Listen},
    socket::{Socketed, bind},
    stack::{Parts, Stack},
};

/// A server whose listeners are open.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Bound>,
    limits: Limits,
}

/// One listener, with its stack.
#[derive(Debug)]
struct Bound {
    socket: Socketed,
    listen: Listen,
    stack: Stack,
    acceptor: Option<HmacAcceptor>,
    announcement: String,
}

impl Server {
    /// Opens every part and every listener. Must be called within a tokio runtime.
    pub async fn bind(config: &Config) -> anyhow::Result<Self> {
        let parts = Parts::open(config)?;
        let mut listeners = Vec::new();
        for listen in &config.listen {
            let stack = parts.stack(config, listen)?;
            let whose = || format!("the listener on {}", listen.address);
            let acceptor = listen.acceptor().with_context(whose)?;
            let socket = bind(listen)
                .await
                .with_context(|| format!("cannot listen on {}", listen.address))?;
            let names: Vec<_> = config.services(listen).iter().map(|s| s.as_str()).collect();
            let announcement = format!(
                "listening on {} ({}, {}: {}{})",
                socket.local_addr(),
                framing_name(listen),
                listen.dialect,
                names.join(" "),
                match acceptor {
                    Some(_) => "; hmac",
                    None => "",
                }
            );
            listeners.push(Bound {
                socket,
                listen: listen.clone(),
                stack,
                acceptor,
                announcement,
            });
        }
        Ok(Self {
            listeners,
            limits: config.limits.clone(),
        })
    }

    /// A line for each listener: its real address, its framing, what it offers.
    pub fn announcements(&self) -> impl Iterator<Item = &str> {
        self.listeners
            .iter()
            .map(|bound| bound.announcement.as_str())
    }

    /// The real addresses, in the order of the configuration.
    pub fn addresses(&self) -> Vec<Address> {
        self.listeners
            .iter()
            .map(|bound| bound.socket.local_addr())
            .collect()
    }

    /// Serves until `stop` completes, and then until all connections have ended or the drain
    /// timeout has passed.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let limits = &self.limits;
        let buffered = Budget::new(usize::try_from(limits.buffered.0).unwrap_or(usize::MAX));
        let connection = &limits.connection(&buffered);
        let served = join_all(self.listeners.into_iter().map(|bound| {
            let stopped = stopped.clone();
            async move {
                let service = Serving {
                    listen: bound.listen,
                    stack: bound.stack,
                    acceptor: bound.acceptor,
                    limits,
                    connection,
                };
                match bound.socket {
                    Socketed::Tcp(tcp) => service.serve(tcp, stopped).await,
                    Socketed::Unix(unix) => service.serve(unix, stopped).await,
                }
            }
        }));
        tokio::join!(served, async {
            stop.await;
            // If there is no listener left, there is nobody to tell.
            let _ = stopping.send(true);
        });
    }
}

/// The framing of a listener, as it is announced.
fn framing_name(listen: &Listen) -> String {
    match &listen.framing {
        Some(framing) => framing.factory.name().to_owned(),
        None => course(listen, ()).framing().name().to_owned(),
    }
}

/// The dialects of the course, where the listener speaks those.
fn course<M>(listen: &Listen, make: M) -> CourseServer<M> {
    let server = CourseServer::new(make)
        .login(listen.course_login())
        .encoding(listen.encoding.unwrap_or_default());
    match listen.course_dialect() {
        Some(dialect) => server.then(dialect),
        None => server,
    }
}

/// What a listener is served with.
struct Serving<'a> {
    listen: Listen,
    stack: Stack,
    acceptor: Option<HmacAcceptor>,
    limits: &'a Limits,
    connection: &'a ConnectionOptions,
}

impl Serving<'_> {
    /// Serves one listener: from here on a stage is a type.
    async fn serve<L>(self, listener: L, mut stopped: watch::Receiver<bool>)
    where
        L: Listener,
    {
        let stack = self.stack.clone();
        let make = service_fn(move |_: Session| {
            let stack = stack.clone();
            async move { Ok::<_, Infallible>(stack) }
        });
        let before_login = self.listen.identity.is_none().then(|| {
            let frame = self.limits.frame_before_login.0;
            let frame = usize::try_from(frame).unwrap_or(usize::MAX);
            (frame, self.limits.login_deadline.0)
        });
        let stop = async move {
            // An error means that the server itself is gone.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        match &self.listen.framing {
            Some(framing) => {
                let mut dialect = NativeServer::new(make);
                if let Some((frame, deadline)) = before_login {
                    dialect = dialect.before_login(frame, deadline);
                }
                let factory = framing.factory.clone();
                self.run(listener, dialect, factory, stop).await;
            }
            None => {
                let mut dialect = course(&self.listen, make);
                if let Some((frame, deadline)) = before_login {
                    dialect = dialect.before_login(frame, deadline);
                }
                let factory = dialect.framing();
                self.run(listener, dialect, factory, stop).await;
            }
        }
    }

    /// Serves with one dialect until it is told to stop.
    async fn run<L, H>(
        &self,
        listener: L,
        dialect: H,
        framing: FramingFactory,
        stop: impl Future<Output = ()> + Send + 'static,
    ) where
        L: Listener,
        H: Handler<Connection<L::Io, BoxFraming>>,
    {
        serve_with(listener, dialect)
            .framing(framing)
            .acceptor(self.acceptor.clone())
            .connection(self.connection.clone())
            .max_connections(self.listen.max_connections)
            .drain_timeout(self.limits.drain_timeout.0)
            .with_graceful_shutdown(stop)
            .into_future()
            .await;
    }
}
