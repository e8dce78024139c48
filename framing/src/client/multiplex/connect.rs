//! Opens multiplexed connections to servers.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{Multiplexed, MultiplexedOptions};
use crate::{
    Connection, Error, Tagging,
    client::{Connect, dial},
    serve::{Address, MakeFraming},
};

/// Makes a [`Multiplexed`] of an address; made by [`Connect::multiplexed`].
#[derive(Clone, Debug)]
pub struct ConnectMultiplexed<F, G> {
    framing: F,
    tags: G,
    options: MultiplexedOptions,
}

impl<F: MakeFraming> Connect<F> {
    /// Makes clients that have many requests on their way, answered in any order.
    ///
    /// A tower service too, such as `tower::reconnect` and `tower::balance` want:
    ///
    /// ```no_run
    /// use framing::{StructHeader, U32InFront, client::Connect, serve::Address};
    /// use tower::{Service, ServiceExt, reconnect::Reconnect};
    ///
    /// # async fn example() -> Result<(), tower::BoxError> {
    /// let address: Address = "tcp://127.0.0.1:8002".parse()?;
    /// let connect = Connect::new(StructHeader::default()).multiplexed(U32InFront::new());
    /// let mut client = Reconnect::new(connect, address);
    /// let response = client.ready().await?.call("ping".into()).await?;
    /// # Ok(()) }
    /// ```
    pub fn multiplexed<G: Tagging + Clone>(self, tags: G) -> ConnectMultiplexed<F, G> {
        ConnectMultiplexed {
            framing: self.framing,
            tags,
            options: MultiplexedOptions::default(),
        }
    }
}

impl<F, G> ConnectMultiplexed<F, G> {
    /// Sets the limits of each client.
    pub fn options(mut self, options: MultiplexedOptions) -> Self {
        self.options = options;
        self
    }
}

impl<F, G> Service<Address> for ConnectMultiplexed<F, G>
where
    F: MakeFraming,
    G: Tagging + Clone + Send + 'static,
{
    type Response = Multiplexed;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Multiplexed>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Address) -> Self::Future {
        let framing = self.framing.make_framing();
        let (tags, options) = (self.tags.clone(), self.options.clone());
        Box::pin(async move {
            let connection = Connection::new(dial(&address).await?, framing);
            let client = Multiplexed::with_options(connection, tags, options);
            client.map_err(|error| Error::from(error).into())
        })
    }
}
