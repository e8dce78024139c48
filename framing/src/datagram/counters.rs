//! Counts what a server of datagrams did, and what it let go.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What a [`ServeDatagrams`](super::ServeDatagrams) has done so far. Clones show the same numbers.
///
/// Datagrams may be lost, so a server that has no room for one lets it go without a word to the
/// peer; here it shows.
#[derive(Clone, Default)]
pub struct Counters(Arc<Counts>);

/// Each is a number of its own, so they need not agree with one another at every moment.
#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    answers: AtomicU64,
    unreadable: AtomicU64,
    dropped: AtomicU64,
    refused: AtomicU64,
    unanswered: AtomicU64,
    failures: AtomicU64,
    sessions: AtomicU64,
    evicted: AtomicU64,
}

macro_rules! counted {
    ($($(#[$doc:meta])* $name:ident, $count:ident;)*) => {
        impl Counters {
            $(
                $(#[$doc])*
                pub fn $name(&self) -> u64 {
                    self.0.$name.load(Ordering::Relaxed)
                }

                pub(super) fn $count(&self) {
                    self.0.$name.fetch_add(1, Ordering::Relaxed);
                }
            )*
        }

        impl fmt::Debug for Counters {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("Counters")
                    $(.field(stringify!($name), &self.$name()))*
                    .finish()
            }
        }
    };
}

counted! {
    /// Requests taken.
    requests, count_request;
    /// Answers handed to the system.
    answers, count_answer;
    /// Datagrams that were cut off or were not one good frame. They are never answered: with a
    /// forged sender the answer would go to somebody who has not asked.
    unreadable, count_unreadable;
    /// Requests let go because their peer, or all peers together, had too many in flight.
    dropped, count_dropped;
    /// Requests let go because their peer had no session, and all sessions there may be were busy.
    refused, count_refused;
    /// Requests taken that no answer was sent to: the peer has no name or takes nothing in, the
    /// answer did not fit one datagram, or the session ended.
    unanswered, count_unanswered;
    /// Times that receiving failed.
    failures, count_failure;
    /// Sessions begun.
    sessions, count_session;
    /// Idle sessions ended to make room for another peer's.
    evicted, count_evicted;
}
