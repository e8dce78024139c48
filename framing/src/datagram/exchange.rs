//! The requests and answers of one peer, as the transport of its pipeline.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tracing::debug;

use super::{packing::Packing, sessions::Key};
use crate::{Error, serve::MakeFraming};

/// That a request has been answered.
pub(super) struct Done {
    pub(super) key: Key,
    pub(super) session: u64,
    /// `None` where no answer can be sent.
    pub(super) datagram: Option<Bytes>,
}

/// A peer's session, as a stream of its requests and a sink of the answers to them, in order.
///
/// Both queues are without a bound of their own: the server counts each request from its arrival
/// until it has taken its answer.
pub(super) struct Exchange<F> {
    pub(super) key: Key,
    pub(super) session: u64,
    pub(super) requests: UnboundedReceiver<Bytes>,
    pub(super) answers: UnboundedSender<Done>,
    pub(super) packing: Arc<Packing<F>>,
    /// The largest datagram that can be sent to the peer, in bytes.
    pub(super) largest: usize,
    /// An empty answer is none.
    pub(super) silent: bool,
    /// The last answer could not be sent; the next one says so in its place.
    pub(super) unsendable: bool,
}

impl<F> Stream for Exchange<F> {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.requests.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

impl<F> Unpin for Exchange<F> {}

impl<F: MakeFraming> Sink<Bytes> for Exchange<F> {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Bytes) -> Result<(), Error> {
        let datagram = match &self.key {
            Key::Unnamed(_) => None,
            Key::Peer(_) if self.silent && frame.is_empty() => None,
            Key::Peer(_) => match self.packing.pack(frame, self.largest) {
                Ok(datagram) => Some(datagram),
                Err(error) if !self.unsendable => {
                    self.unsendable = true;
                    return Err(error.into());
                }
                // Not even the reason can be sent. The peer's other requests live.
                Err(error) => {
                    debug!(%error, "an answer cannot be sent");
                    None
                }
            },
        };
        self.unsendable = false;
        // Nobody is left to tell only once the server is gone.
        let _ = self.answers.send(Done {
            key: self.key.clone(),
            session: self.session,
            datagram,
        });
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }
}
