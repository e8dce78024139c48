//! Tells an application when connections come and go.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::panicking,
    time::Duration,
};

use tokio::time::Instant;
use tracing::{debug, error, info};

use super::{BoxError, Peer, Serve};

type OnConnect = Box<dyn Fn(&Peer) -> Result<(), BoxError> + Send + Sync>;
type OnClose = Arc<dyn Fn(&Peer, &Closed) + Send + Sync>;

/// How a connection ended, and how long it had been open.
#[derive(Debug)]
#[non_exhaustive]
pub struct Closed {
    /// How it ended.
    pub ending: Ending,
    /// The time since it was accepted.
    pub lived: Duration,
}

/// How a connection ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Ending {
    /// In good order, whichever side began: the peer closed it, or the server was shut down and
    /// what was in flight is answered.
    Clean,
    /// With this error, of the framing, of the socket, or of what made or was the service.
    Failed(BoxError),
    /// In the middle: it had not ended when the [drain timeout](Serve::drain_timeout) was over, or
    /// the server's future was dropped.
    Cut,
    /// By a panic of what runs it. One within a request ends that request alone. A runtime that is
    /// dropped because its own thread panics says so of all its connections.
    Panicked,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean => f.write_str("closed"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Cut => f.write_str("cut"),
            Self::Panicked => f.write_str("panicked"),
        }
    }
}

impl<L, H, F, A> Serve<L, H, F, A> {
    /// Sets who may connect: an error refuses the peer, and its connection is closed before a byte
    /// of it is read. The error is logged, not sent.
    ///
    /// Connections are accepted one after the other, so the hook must not block; what takes longer
    /// is for the service that makes services. A panic in it refuses that peer.
    ///
    /// ```
    /// use framing::serve::{Memory, Peer, serve};
    /// # use tower::{make::Shared, service_fn};
    ///
    /// # let (listener, _) = Memory::new(1024);
    /// # let service = Shared::new(service_fn(async |frame: bytes::Bytes| Ok::<_, std::io::Error>(frame)));
    /// let server = serve(listener, service).on_connect(|peer: &Peer| match peer.remote.is_local() {
    ///     true => Ok(()),
    ///     false => Err("only from this machine"),
    /// });
    /// ```
    pub fn on_connect<E: Into<BoxError>>(
        mut self,
        hook: impl Fn(&Peer) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.on_connect = Some(Box::new(move |peer| hook(peer).map_err(Into::into)));
        self
    }

    /// Sets what is called when a connection has ended: exactly once for each that
    /// [`on_connect`](Self::on_connect) let in, after its socket is closed and before its place
    /// is given to another.
    ///
    /// It must not block. A panic in it is logged and goes no further.
    ///
    /// ```
    /// use framing::serve::{Memory, serve};
    /// # use tower::{make::Shared, service_fn};
    ///
    /// # let (listener, _) = Memory::new(1024);
    /// # let service = Shared::new(service_fn(async |frame: bytes::Bytes| Ok::<_, std::io::Error>(frame)));
    /// let server = serve(listener, service)
    ///     .on_close(|peer, closed| println!("{} {} after {:?}", peer.remote, closed.ending, closed.lived));
    /// ```
    pub fn on_close(mut self, hook: impl Fn(&Peer, &Closed) + Send + Sync + 'static) -> Self {
        self.hooks.on_close = Some(Arc::new(hook));
        self
    }
}

/// What an application wants to be told.
#[derive(Default)]
pub(super) struct Hooks {
    on_connect: Option<OnConnect>,
    on_close: Option<OnClose>,
}

impl Hooks {
    /// Whether `peer` may connect.
    pub(super) fn admit(&self, peer: &Peer) -> bool {
        let Some(hook) = &self.on_connect else {
            return true;
        };
        match catch_unwind(AssertUnwindSafe(|| hook(peer))) {
            Ok(Ok(())) => true,
            Ok(Err(reason)) => {
                info!(peer = %peer.remote, reason, "refused");
                false
            }
            Err(_) => {
                // Whoever it is meant to keep out must not get in this way.
                error!(peer = %peer.remote, "refused, because the hook for connections panicked");
                false
            }
        }
    }

    /// Waits for the end of a connection that begins now.
    pub(super) fn watch(&self, peer: &Peer) -> Watch {
        Watch {
            has_ended: false,
            watched: self.on_close.as_ref().map(|hook| {
                Box::new(Watched {
                    hook: hook.clone(),
                    peer: peer.clone(),
                    since: Instant::now(),
                    ending: Ending::Cut,
                })
            }),
        }
    }
}

/// Calls the hook when it is dropped, which a connection's task cannot avoid.
pub(super) struct Watch {
    has_ended: bool,
    watched: Option<Box<Watched>>,
}

struct Watched {
    hook: OnClose,
    peer: Peer,
    since: Instant,
    ending: Ending,
}

impl Watch {
    /// Notes what an acceptor has found out of the peer.
    pub(super) fn knows(&mut self, peer: &Peer) {
        if let Some(watched) = &mut self.watched {
            watched.peer = peer.clone();
        }
    }

    /// Notes how the connection's future ended; one that is dropped instead was cut, or panicked.
    pub(super) fn ended(&mut self, result: Result<(), BoxError>) {
        self.has_ended = true;
        match &result {
            Ok(()) => debug!("closed"),
            Err(error) => info!(error, "closed"),
        }
        if let Some(watched) = &mut self.watched {
            watched.ending = result.map_or_else(Ending::Failed, |()| Ending::Clean);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The runtime catches a panic of the task. To catch it here already would be one more future
        // to go through at every wake.
        let has_panicked = !self.has_ended && panicking();
        if has_panicked {
            error!("the connection's task panicked");
        }
        let Some(mut watched) = self.watched.take() else {
            return;
        };
        if has_panicked {
            watched.ending = Ending::Panicked;
        }
        let closed = Closed {
            ending: watched.ending,
            lived: watched.since.elapsed(),
        };
        let call = || (watched.hook)(&watched.peer, &closed);
        if catch_unwind(AssertUnwindSafe(call)).is_err() {
            error!("the hook for closed connections panicked");
        }
    }
}
