//! Serves multiplexed connections.

use std::future::{poll_fn, ready};

use bytes::Bytes;
use futures_util::{TryFutureExt, future::Either};
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

use super::{Multiplex, MultiplexOptions, Pusher};
use crate::{
    Connection, Framing, Tagging,
    serve::{BoxError, Drain, Handler, Peer, Serve, serve_with},
};

/// Serves each frame that arrives at `listener` with a service made for its connection, and answers
/// in any order.
///
/// As [`serve`](crate::serve::serve), but requests and responses carry `tags`, and the [`Peer`] that
/// `make_service` is given has a [`Pusher`]. The other side is a
/// [`Multiplexed`](crate::client::Multiplexed) client. A framing that cannot carry the tags shows
/// when a connection comes: that is closed, and the reason logged.
pub fn serve_multiplexed<L, G, M>(
    listener: L,
    tags: G,
    make_service: M,
) -> Serve<L, Multiplexes<M, G>> {
    serve_with(
        listener,
        Multiplexes {
            make_service,
            tags,
            options: MultiplexOptions::default(),
        },
    )
}

/// Runs a [`Multiplex`] on each connection; see [`serve_multiplexed`].
#[derive(Clone, Debug)]
pub struct Multiplexes<M, G> {
    make_service: M,
    tags: G,
    options: MultiplexOptions,
}

impl<L, M, G, F, A> Serve<L, Multiplexes<M, G>, F, A> {
    /// Sets the limits of each connection.
    pub fn multiplex(mut self, options: MultiplexOptions) -> Self {
        self.handler.options = options;
        self
    }
}

impl<Io, F, M, G> Handler<Connection<Io, F>> for Multiplexes<M, G>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Framing + Send + 'static,
    G: Tagging + Clone + Send + Sync + 'static,
    M: Service<Peer> + Clone + Send + Sync + 'static,
    M::Response: Service<Bytes, Response = Bytes> + Send,
    <M::Response as Service<Bytes>>::Error: Into<BoxError> + Send,
    <M::Response as Service<Bytes>>::Future: Send,
    M::Error: Into<BoxError>,
    M::Future: Send,
{
    fn handle(
        &self,
        connection: Connection<Io, F>,
        mut peer: Peer,
        drain: Drain,
    ) -> impl Future<Output = Result<(), BoxError>> + Send + 'static {
        let Self {
            mut make_service,
            tags,
            options,
        } = self.clone();
        let (pusher, pushes) = Pusher::new(options.max_pushes);
        peer.pusher = Some(pusher);
        let making = async move {
            poll_fn(|cx| make_service.poll_ready(cx))
                .await
                .map_err(Into::into)?;
            make_service.call(peer).await.map_err(Into::into)
        };
        // Not in one block, which would keep a second place for the connection.
        making.and_then(move |service| {
            let multiplex = Multiplex::new(connection, tags, service)
                .map(|it| it.options(options).pushes(pushes).drain(&drain));
            match multiplex {
                Ok(multiplex) => Either::Left(multiplex),
                Err(error) => Either::Right(ready(Err(error.into()))),
            }
        })
    }
}
