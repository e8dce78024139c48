//! Runs each session in a task of its own.

use std::{panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::{
    sync::mpsc::{self, UnboundedSender},
    task::JoinSet,
};
use tracing::{Instrument, debug, error, error_span};

use super::{
    exchange::{Done, Exchange},
    packing::Packing,
    sessions::Key,
};
use crate::serve::{Address, Drain, Handler, MakeFraming, Peer};

/// Starts the sessions' tasks.
pub(super) struct Spawner<F, H> {
    pub(super) handler: H,
    pub(super) framing_name: Arc<str>,
    pub(super) packing: Arc<Packing<F>>,
    /// An empty answer is not sent.
    pub(super) silent: bool,
    pub(super) local: Address,
    /// The most tasks at once: one for each session, and as many that are just ending.
    pub(super) most: usize,
    pub(super) answers: UnboundedSender<Done>,
    pub(super) tasks: JoinSet<(Key, u64)>,
    /// The last number given out.
    pub(super) last: u64,
}

impl<F: MakeFraming, H: Handler<Exchange<F>>> Spawner<F, H> {
    pub(super) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Starts a session; `None` while too many are ending. Returns its number and the way to it.
    pub(super) fn spawn(
        &mut self,
        key: &Key,
        largest: usize,
    ) -> Option<(u64, UnboundedSender<Bytes>)> {
        if self.tasks.len() >= self.most {
            return None;
        }
        let remote = match key {
            Key::Peer(address) => address.clone(),
            Key::Unnamed(_) => Address::Unix(None),
        };
        let mut peer = Peer::new(remote, self.local.clone());
        peer.framing = self.framing_name.clone();
        let span = error_span!("session", peer = %peer.remote);
        let number = self.next();
        let (sender, requests) = mpsc::unbounded_channel();
        let exchange = Exchange {
            key: key.clone(),
            session: number,
            requests,
            answers: self.answers.clone(),
            packing: self.packing.clone(),
            largest,
            silent: self.silent,
            unsendable: false,
        };
        // A session ends once its requests do: everything taken is answered, so no `Drain` is
        // ever requested.
        let handled = self.handler.handle(exchange, peer, Drain::new());
        let ended = (key.clone(), number);
        self.tasks.spawn(
            async move {
                match AssertUnwindSafe(handled).catch_unwind().await {
                    Ok(Ok(())) => debug!("ended"),
                    Ok(Err(error)) => debug!(error, "ended"),
                    Err(_) => error!("a session's task panicked"),
                }
                ended
            }
            .instrument(span),
        );
        Some((number, sender))
    }
}
