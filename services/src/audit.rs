//! Notes who did what.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use crate::{Session, escape::escaped};

/// One thing that somebody did, or tried to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEvent {
    /// The session's number.
    pub session: u64,
    /// The other end's address.
    pub remote: String,
    /// The account, as far as it is known.
    pub who: String,
    /// What was done: `login`, `exec`, `exec-end`, `put`, `remove`.
    pub action: &'static str,
    /// With what: a command, a file. Escaped, and cut at 256 bytes.
    pub subject: String,
    /// How it went: `ok`, `refused`, or more exactly.
    pub outcome: String,
}

impl AuditEvent {
    /// An event; `who` and `subject` may hold anything, for they are escaped here.
    pub fn new(
        session: &Session,
        who: &str,
        action: &'static str,
        subject: &str,
        outcome: impl Into<String>,
    ) -> Self {
        Self {
            session: session.id(),
            remote: session.peer().remote.to_string(),
            who: escaped(who).to_string(),
            action,
            subject: escaped(subject).to_string(),
            outcome: outcome.into(),
        }
    }
}

/// Keeps [`AuditEvent`]s. Must not block.
pub trait Audit: fmt::Debug + Send + Sync + 'static {
    /// Keeps one.
    fn record(&self, event: AuditEvent);
}

/// Writes events to the log, under the target `audit`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogAudit;

impl Audit for LogAudit {
    fn record(&self, event: AuditEvent) {
        let AuditEvent {
            session,
            remote,
            who,
            action,
            subject,
            outcome,
        } = event;
        tracing::info!(target: "audit", session, remote, who, action, subject, outcome);
    }
}

/// Keeps events in memory, without a limit: for tests.
#[derive(Debug, Default)]
pub struct MemoryAudit {
    events: Mutex<Vec<AuditEvent>>,
}

impl MemoryAudit {
    /// The events so far, in order.
    pub fn events(&self) -> Vec<AuditEvent> {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Audit for MemoryAudit {
    fn record(&self, event: AuditEvent) {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event);
    }
}
