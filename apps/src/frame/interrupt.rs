//! Ctrl-C and SIGTERM, so that what was begun is put away before the program ends.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{Exit, Failure};

/// The signals that ask this program to end.
#[derive(Debug)]
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// SIGINT, which Ctrl-C sends.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Interrupts {
    /// Catches them from now on.
    pub(super) fn new() -> Result<Self, Failure> {
        let failed = |error| Failure::local_io("cannot catch signals", &error);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    /// The next one. Cancel safe.
    pub(super) async fn next(&mut self) -> Interrupt {
        tokio::select! {
            _ = self.interrupt.recv() => Interrupt::Interrupt,
            _ = self.terminate.recv() => Interrupt::Terminate,
        }
    }

    /// Does `work`, or drops it at the next signal.
    pub(super) async fn unless<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            result = work => result,
            which = self.next() => Err(which.into()),
        }
    }
}

impl From<Interrupt> for Failure {
    fn from(which: Interrupt) -> Self {
        match which {
            Interrupt::Interrupt => Self::new(Exit::INTERRUPTED, "interrupted", "interrupted"),
            Interrupt::Terminate => Self::new(Exit::TERMINATED, "terminated", "terminated"),
        }
    }
}
