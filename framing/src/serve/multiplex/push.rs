//! Sends frames to a peer that has not asked for them.

use std::fmt;

use bytes::Bytes;
use tokio::sync::mpsc;

/// How many frames a [`Multiplexed`](super::serve_multiplexed) connection lets wait, unless set.
pub(super) const DEFAULT_CAPACITY: usize = 16;

/// The handle with which a service sends frames that answer no request, on the tag for
/// [one-way](crate::Tagging::one_way) frames.
///
/// What a service has pushed before it answers a request leaves before that answer.
///
/// Clones share the connection and its queue. Frames wait there until the peer takes them, a fixed
/// number of them; so a slow peer costs its pusher time or frames, as the pusher chooses, and never
/// memory without end. A frame that the framing cannot carry is logged and dropped.
///
/// A service gets it with its [`Peer`](crate::serve::Peer):
///
/// ```
/// use std::convert::Infallible;
///
/// use bytes::Bytes;
/// use framing::{
///     Connection, StructHeader, U32InFront,
///     client::{Multiplexed, MultiplexedOptions},
///     serve::{Memory, Peer, serve_multiplexed},
/// };
/// use futures_util::StreamExt;
/// use tower::{Service, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let make = service_fn(async |peer: Peer| {
///     Ok::<_, Infallible>(service_fn(move |_: Bytes| {
///         let pusher = peer.pusher.clone();
///         async move {
///             if let Some(pusher) = pusher {
///                 pusher.push("news".into()).await?;
///             }
///             Ok::<_, framing::serve::PushError>("subscribed".into())
///         }
///     }))
/// });
/// let (listener, connector) = Memory::new(1024);
/// tokio::spawn(serve_multiplexed(listener, U32InFront::new(), make).into_future());
///
/// let connection = Connection::new(connector.connect().await?, StructHeader::default());
/// let options = MultiplexedOptions::default();
/// let (mut client, mut pushes) = Multiplexed::with_pushes(connection, U32InFront::new(), options)?;
/// assert_eq!(client.ready().await?.call("subscribe".into()).await?, "subscribed");
/// assert_eq!(pushes.next().await.unwrap(), "news");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Pusher(mpsc::Sender<Bytes>);

/// The other end of a [`Pusher`], for a [`Multiplex`](super::Multiplex).
#[derive(Debug)]
pub struct Pushes(mpsc::Receiver<Bytes>);

/// Why a frame was not pushed; it comes back.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The connection is closed, or about to be.
    #[error("the connection is closed")]
    Closed(Bytes),
    /// As many frames as may wait do so already.
    #[error("the peer does not take what is pushed")]
    Full(Bytes),
}

impl fmt::Debug for PushError {
    /// Without the frame.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed(_) => "Closed(..)",
            Self::Full(_) => "Full(..)",
        })
    }
}

impl Pusher {
    /// A pusher, and the end to be given to the connection. Up to `capacity` frames (at least 1)
    /// wait in between.
    pub fn new(capacity: usize) -> (Self, Pushes) {
        let (sender, receiver) =
            mpsc::channel(capacity.clamp(1, tokio::sync::Semaphore::MAX_PERMITS));
        (Self(sender), Pushes(receiver))
    }

    /// Queues a frame, once there is room. Cancel safe: it is queued or it is not.
    ///
    /// # Errors
    ///
    /// [`PushError::Closed`].
    pub async fn push(&self, frame: Bytes) -> Result<(), PushError> {
        let sent = self.0.send(frame).await;
        sent.map_err(|refused| PushError::Closed(refused.0))
    }

    /// Queues a frame if there is room, for those who would rather lose one than wait for a slow
    /// peer.
    ///
    /// # Errors
    ///
    /// [`PushError::Full`] and [`PushError::Closed`].
    pub fn try_push(&self, frame: Bytes) -> Result<(), PushError> {
        self.0.try_send(frame).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(frame) => PushError::Full(frame),
            mpsc::error::TrySendError::Closed(frame) => PushError::Closed(frame),
        })
    }

    /// Waits until the connection takes no more. Cancel safe.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

impl Pushes {
    /// How many frames wait.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn receiver(&mut self) -> &mut mpsc::Receiver<Bytes> {
        &mut self.0
    }
}
