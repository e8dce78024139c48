//! What is known of one connection: its peer, its limits, and who is logged in on it.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
};

use framing::serve::Peer;
use tokio_util::sync::CancellationToken;

use crate::login::Identity;

/// One connection, shared by the driver and every request on it.
///
/// A session is made by the driver and belongs to one connection, so what a layer keeps here (who is
/// logged in) cannot reach another connection, however services are cloned.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    id: u64,
    peer: Peer,
    identity: OnceLock<Arc<Identity>>,
    failed_logins: AtomicU32,
    /// The largest frame now, in bytes; read before each decode.
    frame_limit: AtomicUsize,
    /// The largest frame once the peer is trusted.
    full_frame_limit: usize,
    closing: AtomicBool,
    hung_up: CancellationToken,
    /// The peer has hung up, or the server stops.
    left: CancellationToken,
}

impl Session {
    /// A session for a connection whose frames may have `full_frame_limit` bytes.
    pub fn new(peer: Peer, full_frame_limit: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(Arc::new(Inner {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            peer,
            identity: OnceLock::new(),
            failed_logins: AtomicU32::new(0),
            frame_limit: AtomicUsize::new(full_frame_limit),
            full_frame_limit,
            closing: AtomicBool::new(false),
            hung_up: CancellationToken::new(),
            left: CancellationToken::new(),
        }))
    }

    /// A number that no other session of this process has.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The other end: addresses, credentials, framing.
    pub fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// Who is logged in.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.0.identity.get()
    }

    /// Notes who is logged in, for the rest of the connection, and lifts the limit on frames.
    /// False if somebody is already.
    pub fn log_in(&self, identity: Arc<Identity>) -> bool {
        let first = self.0.identity.set(identity).is_ok();
        if first {
            self.0
                .frame_limit
                .store(self.0.full_frame_limit, Ordering::Release);
        }
        first
    }

    /// Counts a failed login; returns how many there have been on this connection.
    pub fn count_failed_login(&self) -> u32 {
        self.0
            .failed_logins
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1)
    }

    /// The largest frame that is taken now, in bytes.
    pub fn frame_limit(&self) -> usize {
        self.0.frame_limit.load(Ordering::Acquire)
    }

    /// Lowers that limit until somebody is logged in.
    pub fn limit_frames(&self, bytes: usize) {
        let bytes = bytes.min(self.0.full_frame_limit);
        self.0.frame_limit.store(bytes, Ordering::Release);
    }

    /// Asks the driver to close the connection once the response to the present request is sent.
    pub fn close(&self) {
        self.0.closing.store(true, Ordering::Release);
    }

    /// Whether the connection is to be closed.
    pub fn is_closing(&self) -> bool {
        self.0.closing.load(Ordering::Acquire)
    }

    /// Notes that nothing more comes from the peer. Done by the driver.
    pub fn hang_up(&self) {
        self.0.hung_up.cancel();
        self.0.left.cancel();
    }

    /// Notes that the server stops: what would never end by itself should end now. Done by the
    /// driver.
    pub fn stop(&self) {
        self.0.left.cancel();
    }

    /// Waits until the peer has [hung up](Self::hung_up) or the server stops. For responses without
    /// an end of their own. Cancel safe.
    pub async fn left(&self) {
        self.0.left.cancelled().await;
    }

    /// Waits until nothing more comes from the peer: it has closed its side, or is gone. Which one
    /// cannot be told before something is sent. Cancel safe.
    pub async fn hung_up(&self) {
        self.0.hung_up.cancelled().await;
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.0.id)
            .field("remote", &self.0.peer.remote)
            .field("identity", &self.0.identity.get())
            .finish_non_exhaustive()
    }
}
