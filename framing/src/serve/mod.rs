//! Accepts connections and runs a service on each.
//!
//! [`serve`] is the paved road: frames go to a `tower::Service<Bytes>` and its responses back, in
//! order. [`serve_multiplexed`] does the same with tags, in any order. [`serve_with`] hands each
//! connection to a driver of your own, such as a dialect that makes one request of many frames. What
//! must happen before a connection's first frame is an [`Acceptor`]'s.

mod acceptor;
mod call;
mod drain;
mod hooks;
mod linger;
mod listener;
mod multiplex;
mod peer;
mod pipeline;

use std::{
    any::type_name,
    error::Error as StdError,
    future::{self, Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::TryFutureExt;
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use tower_service::Service;
use tracing::{Instrument, error_span, warn};

pub use acceptor::{Acceptor, NoAcceptor};
pub use call::Failure;
pub use drain::Drain;
pub use hooks::{Closed, Ending};
pub use listener::{Listener, Memory, MemoryConnector, Tcp, Unix};
pub use multiplex::{
    Multiplex, MultiplexOptions, Multiplexes, PushError, Pusher, Pushes, serve_multiplexed,
};
pub use peer::{Address, AddressError, Credentials, Peer};
pub use pipeline::{Pipeline, PipelineOptions};

use self::hooks::{Hooks, Watch};
use crate::{BoxFraming, Connection, ConnectionOptions, Framing, FramingFactory, StructHeader};

/// Any error, as tower has it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Serves each frame that arrives at `listener` with a service made for its connection.
///
/// `make_service` is a tower service of [`Peer`]s, as `tower::make::Shared` makes of any `Clone`
/// service. Without [`framing`](Serve::framing) the framing is `struct-header` with its defaults.
///
/// ```
/// use std::convert::Infallible;
///
/// use bytes::Bytes;
/// use framing::{Connection, Delimiter, serve::{Memory, serve}};
/// use futures_util::{SinkExt, StreamExt};
/// use tower::{make::Shared, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (listener, connector) = Memory::new(1024);
/// let shout = service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame.to_ascii_uppercase().into()));
/// tokio::spawn(serve(listener, Shared::new(shout)).framing(Delimiter::default()).into_future());
///
/// let mut client = Connection::new(connector.connect().await?, Delimiter::default());
/// client.send("hello".into()).await?;
/// assert_eq!(client.next().await.unwrap()?, "HELLO");
/// # Ok(()) }
/// ```
pub fn serve<L, M>(listener: L, make_service: M) -> Serve<L, Pipelines<M>> {
    serve_with(
        listener,
        Pipelines {
            make_service,
            options: Arc::default(),
        },
    )
}

/// Hands each connection that arrives at `listener` to `handler`.
///
/// Here to one that begins with lines, and goes on with another framing once it is asked to:
///
/// ```
/// use framing::{
///     Connection, Lines, StructHeader, Unread,
///     serve::{BoxError, Drain, Handler, Memory, Peer, serve_with},
/// };
/// use futures_util::{SinkExt, StreamExt};
/// use tokio::io::DuplexStream;
///
/// struct Upgrade;
///
/// impl Handler<Connection<DuplexStream, Lines>> for Upgrade {
///     // No `async fn`: the future outlives the borrow of `self`.
///     fn handle(
///         &self,
///         mut lines: Connection<DuplexStream, Lines>,
///         _: Peer,
///         _: Drain,
///     ) -> impl Future<Output = Result<(), BoxError>> + Send + 'static {
///         async move {
///             while let Some(line) = lines.next().await.transpose()? {
///                 if line == "UPGRADE" {
///                     lines.send("go on".into()).await?;
///                     let mut frames = lines.change_framing(StructHeader::default(), Unread::CarryOn);
///                     while let Some(frame) = frames.next().await.transpose()? {
///                         frames.send(frame).await?;
///                     }
///                     break;
///                 }
///                 lines.send("what?".into()).await?;
///             }
///             Ok(())
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let (listener, connector) = Memory::new(1024);
/// tokio::spawn(serve_with(listener, Upgrade).framing(Lines::new()?).into_future());
///
/// let mut lines = Connection::new(connector.connect().await?, Lines::new()?);
/// lines.send("UPGRADE".into()).await?;
/// assert_eq!(lines.next().await.unwrap()?, "go on");
/// let mut frames = lines.change_framing(StructHeader::default(), Unread::CarryOn);
/// frames.send("two\nlines".into()).await?;
/// assert_eq!(frames.next().await.unwrap()?, "two\nlines");
/// # Ok(()) }
/// ```
pub fn serve_with<L, H>(listener: L, handler: H) -> Serve<L, H> {
    Serve {
        listener,
        handler,
        framing: StructHeader::default(),
        acceptor: NoAcceptor,
        connection: ConnectionOptions::default(),
        max_connections: None,
        drain_timeout: Duration::from_secs(30),
        shutdown: Box::pin(future::pending()),
        hooks: Hooks::default(),
    }
}

/// What is done with each connection.
pub trait Handler<C>: Send + Sync + 'static {
    /// Runs one connection to its end. Once `drain` is requested it should take nothing new.
    ///
    /// What it returns must not borrow `self`, so it is written with an `async move` block and not
    /// as an `async fn`; see [`serve_with`].
    fn handle(
        &self,
        connection: C,
        peer: Peer,
        drain: Drain,
    ) -> impl Future<Output = Result<(), BoxError>> + Send + 'static;
}

/// Makes a framing for each connection: any framing that can be cloned, or a [`FramingFactory`].
pub trait MakeFraming: Send + Sync + 'static {
    /// The framing.
    type Framing: Framing + Send + 'static;

    /// A new one.
    fn make_framing(&self) -> Self::Framing;

    /// Its name, for peers and logs.
    fn framing_name(&self) -> Arc<str>;
}

impl<F: Framing + Clone + Send + Sync + 'static> MakeFraming for F {
    type Framing = F;

    fn make_framing(&self) -> F {
        self.clone()
    }

    fn framing_name(&self) -> Arc<str> {
        let path = type_name::<F>();
        let path = path.split('<').next().unwrap_or(path);
        path.rsplit("::").next().unwrap_or(path).into()
    }
}

impl MakeFraming for FramingFactory {
    type Framing = BoxFraming;

    fn make_framing(&self) -> BoxFraming {
        self.make()
    }

    fn framing_name(&self) -> Arc<str> {
        self.name().into()
    }
}

/// A server, to be awaited; made by [`serve`] and [`serve_with`].
#[must_use = "a server does nothing until it is awaited"]
pub struct Serve<L, H, F = StructHeader, A = NoAcceptor> {
    listener: L,
    handler: H,
    framing: F,
    acceptor: A,
    connection: ConnectionOptions,
    max_connections: Option<usize>,
    drain_timeout: Duration,
    shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
    hooks: Hooks,
}

impl<L, H, F, A> Serve<L, H, F, A> {
    /// Sets the framing of every connection.
    pub fn framing<G: MakeFraming>(self, framing: G) -> Serve<L, H, G, A> {
        Serve {
            listener: self.listener,
            handler: self.handler,
            framing,
            acceptor: self.acceptor,
            connection: self.connection,
            max_connections: self.max_connections,
            drain_timeout: self.drain_timeout,
            shutdown: self.shutdown,
            hooks: self.hooks,
        }
    }

    /// Sets the limits of each connection in time and in bytes that wait (no limits in time).
    ///
    /// Strangers need some: a peer that sends a byte now and then, or takes no answers, holds its
    /// place for ever without.
    pub fn connection(mut self, options: ConnectionOptions) -> Self {
        self.connection = options;
        self
    }

    /// Sets how many connections are open at once (any number). Further ones wait in the
    /// listener's backlog.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections.clamp(1, Semaphore::MAX_PERMITS));
        self
    }

    /// Sets how long connections have to finish after the shutdown began (30 s); then they are
    /// cut.
    pub fn drain_timeout(mut self, limit: Duration) -> Self {
        self.drain_timeout = limit;
        self
    }

    /// Begins to shut down when `signal` completes: nothing new is accepted, requests in flight
    /// are answered, and the server's future ends.
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.shutdown = Box::pin(signal);
        self
    }
}

impl<L, M, F, A> Serve<L, Pipelines<M>, F, A> {
    /// Sets the limits of each connection's pipeline.
    pub fn pipeline(mut self, options: PipelineOptions) -> Self {
        self.handler.options = Arc::new(options);
        self
    }
}

impl<L, H, F, A> Serve<L, H, F, A>
where
    L: Listener,
    F: MakeFraming,
    A: Acceptor<L::Io>,
    H: Handler<Connection<A::Io, F::Framing>>,
{
    async fn run(self) {
        let Self {
            mut listener,
            mut shutdown,
            hooks,
            drain_timeout,
            ..
        } = self;
        let permits = Arc::new(Semaphore::new(
            self.max_connections.unwrap_or(Semaphore::MAX_PERMITS),
        ));
        let drain = Drain::new();
        let framing_name = self.framing.framing_name();
        let way = Arc::new(Way {
            acceptor: self.acceptor,
            framing: self.framing,
            options: self.connection,
            handler: self.handler,
        });
        let mut connections = JoinSet::new();
        loop {
            // The permit comes first: a peer that must wait does so in the backlog.
            let next = async {
                let permit = permits.clone().acquire_owned().await;
                (permit, listener.accept().await)
            };
            let (permit, (io, mut peer)) = tokio::select! {
                next = next => next,
                Some(_) = connections.join_next() => continue,
                () = &mut shutdown => break,
            };
            peer.framing = framing_name.clone();
            if !hooks.admit(&peer) {
                continue;
            }
            let mut watch = hooks.watch(&peer);
            let (way, drain) = (way.clone(), drain.clone());
            // Of the highest level, so that whatever is logged inside names the peer.
            let span = error_span!("connection", peer = %peer.remote);
            let arrived = Box::new((io, peer));
            connections.spawn(
                async move {
                    let result = way.run(arrived, drain, &mut watch).await;
                    watch.ended(result);
                    drop(watch);
                    drop(permit);
                }
                .instrument(span),
            );
        }
        drop(listener);
        drain.request();
        let all_ended = async { while connections.join_next().await.is_some() {} };
        if timeout(drain_timeout, all_ended).await.is_err() {
            warn!(
                "{} connections did not end in {drain_timeout:?}",
                connections.len(),
            );
            connections.shutdown().await;
        }
    }
}

/// What every connection goes through once it is accepted.
struct Way<A, F, H> {
    acceptor: A,
    framing: F,
    options: ConnectionOptions,
    handler: H,
}

impl<A, F: MakeFraming, H> Way<A, F, H> {
    /// A block, as an `async fn` keeps two places for each argument to its end, and the socket and its
    /// peer in a box, as a block still keeps one: an idle connection is a fifth smaller so.
    #[expect(clippy::manual_async_fn, reason = "it would be larger")]
    fn run<Io>(
        self: Arc<Self>,
        arrived: Box<(Io, Peer)>,
        drain: Drain,
        watch: &mut Watch,
    ) -> impl Future<Output = Result<(), BoxError>>
    where
        A: Acceptor<Io>,
        H: Handler<Connection<A::Io, F::Framing>>,
    {
        async move {
            let Some((io, peer)) = self.accept(arrived, &drain).await? else {
                return Ok(());
            };
            self.handle(io, peer, drain, watch).await
        }
    }

    /// All that comes then. No more of it lives in the block above than the future.
    fn handle<Io>(
        &self,
        io: Io,
        peer: Peer,
        drain: Drain,
        watch: &mut Watch,
    ) -> impl Future<Output = Result<(), BoxError>> + use<'_, Io, A, F, H>
    where
        H: Handler<Connection<Io, F::Framing>>,
    {
        watch.knows(&peer);
        let connection =
            Connection::new(io, self.framing.make_framing()).with_options(self.options.clone());
        self.handler.handle(connection, peer, drain)
    }

    /// What comes before the first frame; nothing if the server stops meanwhile.
    async fn accept<Io>(
        &self,
        arrived: Box<(Io, Peer)>,
        drain: &Drain,
    ) -> Result<Option<(A::Io, Peer)>, BoxError>
    where
        A: Acceptor<Io>,
    {
        let (io, mut peer) = *arrived;
        let io = tokio::select! {
            // One that has nothing to do is done at once, whatever the server is about.
            biased;
            io = self.acceptor.accept(io, &mut peer) => io?,
            () = drain.requested() => return Ok(None),
        };
        Ok(Some((io, peer)))
    }
}

impl<L, H, F, A> IntoFuture for Serve<L, H, F, A>
where
    L: Listener,
    F: MakeFraming,
    A: Acceptor<L::Io>,
    H: Handler<Connection<A::Io, F::Framing>>,
{
    type Output = ();
    type IntoFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<L, H, F, A> std::fmt::Debug for Serve<L, H, F, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serve")
            .field("max_connections", &self.max_connections)
            .field("drain_timeout", &self.drain_timeout)
            .finish_non_exhaustive()
    }
}

/// Runs a [`Pipeline`] on each connection; see [`serve`].
#[derive(Clone, Debug)]
pub struct Pipelines<M> {
    pub(crate) make_service: M,
    pub(crate) options: Arc<PipelineOptions>,
}

impl<C, M> Handler<C> for Pipelines<M>
where
    C: pipeline::Transport + Send + 'static,
    M: Service<Peer> + Clone + Send + Sync + 'static,
    M::Response: Service<Bytes, Response = Bytes> + Send,
    <M::Response as Service<Bytes>>::Error: Into<BoxError> + Send,
    <M::Response as Service<Bytes>>::Future: Send,
    M::Error: Into<BoxError>,
    M::Future: Send,
{
    fn handle(
        &self,
        connection: C,
        peer: Peer,
        drain: Drain,
    ) -> impl Future<Output = Result<(), BoxError>> + Send + 'static {
        let mut make_service = self.make_service.clone();
        let options = self.options.clone();
        let making = async move {
            future::poll_fn(|cx| make_service.poll_ready(cx))
                .await
                .map_err(Into::into)?;
            make_service.call(peer).await.map_err(Into::into)
        };
        // Not in one block, which would keep a second place for the connection.
        making.and_then(move |service| {
            Pipeline::new(connection, service)
                .shared_options(options)
                .drain(&drain)
        })
    }
}
