//! Holds the process group of one command.
//!
//! A number names a process only until the process is collected; afterwards the system may give it to
//! another. So signals go out and the first process is collected under one lock, and once it is
//! collected nothing is sent any more.

use std::fmt;
use std::io;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, waitid,
};

use super::outcome::Outcome;
use super::running::SignalError;
use super::signal;
use super::survey::{Survey, is_newest, signal_stray, survey};

/// The process group that a command leads.
#[derive(Debug)]
pub(super) struct Group {
    leader: Pid,
    mark: String,
    /// The first process, until it has been collected.
    child: Mutex<Option<Child>>,
}

/// What is known of a command's first process.
#[derive(Debug)]
pub(super) enum Status {
    Running,
    /// It has ended like this, whether collected or not.
    Ended(Outcome),
}

impl Group {
    /// Takes over a process that was started as the leader of its own group.
    pub(super) fn new(child: Child, mark: String) -> Self {
        Self {
            leader: Pid::from_child(&child),
            mark,
            child: Mutex::new(Some(child)),
        }
    }

    pub(super) fn leader(&self) -> Pid {
        self.leader
    }

    /// Sends a signal to every process of the group.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), SignalError> {
        let child = self.lock();
        if child.is_none() {
            return Err(SignalError::Ended);
        }
        kill_process_group(self.leader, signal)
            .map_err(|error| SignalError::Refused(io::Error::from(error)))
    }

    /// Asks the whole group to end. A stopped process gets the question only when it goes on.
    pub(super) fn terminate(&self) {
        let _ = self.signal(Signal::TERM);
        let _ = self.signal(Signal::CONT);
    }

    /// Makes the whole group end.
    pub(super) fn kill(&self) {
        let _ = self.signal(Signal::KILL);
    }

    /// Looks whether the first process has ended, and leaves it to be collected.
    pub(super) fn status(&self) -> Status {
        let child = self.lock();
        if child.is_none() {
            return Status::Ended(taken());
        }
        match self.look() {
            Ok(None) | Err(Errno::INTR) => Status::Running,
            Ok(Some(status)) => Status::Ended(outcome_of(&status)),
            Err(_) => Status::Ended(taken()),
        }
    }

    /// The end of the first process, if that has ended and was not collected.
    fn look(&self) -> rustix::io::Result<Option<WaitIdStatus>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        waitid(WaitId::Pid(self.leader), options)
    }

    /// Collects the first process, which must have ended; from here on nothing is sent.
    pub(super) fn reap(&self) {
        if let Some(mut child) = self.lock().take() {
            // An error means that somebody else collected it.
            let _ = child.wait();
        }
    }

    /// Whether it is certain without a [`survey`](Self::survey) that nobody of the command is alive:
    /// the first process has ended, and neither it nor anybody else has made a process meanwhile.
    pub(super) fn is_surely_gone(&self) -> bool {
        // Under the lock, so that the number stays the first process's.
        let child = self.lock();
        child.is_some() && matches!(self.look(), Ok(Some(_))) && is_newest(self.leader)
    }

    /// Who of the command is still alive, as long as the first process was not collected. Blocks for a
    /// moment.
    pub(super) fn survey(&self) -> io::Result<Survey> {
        if self.lock().is_none() {
            return Ok(Survey::default());
        }
        survey(self.leader, &self.mark)
    }

    /// Sends a signal to those that carry the command's mark but left its group.
    pub(super) fn signal_strays(&self, strays: &[Pid], signal: Signal) {
        for stray in strays {
            signal_stray(*stray, &self.mark, signal);
        }
    }

    /// Kills everything at once and collects it as soon as it is dead, without the runtime's help.
    fn end_now(self: &Arc<Self>) {
        if self.signal(Signal::KILL).is_err() && self.lock().is_none() {
            return;
        }
        let group = Arc::clone(self);
        let burial = move || {
            for _ in 0..STRAY_ROUNDS {
                match group.survey() {
                    Ok(found) if !found.strays.is_empty() => {
                        group.signal_strays(&found.strays, Signal::KILL);
                        thread::sleep(STRAY_PAUSE);
                    }
                    _ => break,
                }
            }
            // Waits outside of the lock, which others must not find taken for long.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(Errno::INTR) = waitid(WaitId::Pid(group.leader), options) {}
            group.reap();
        };
        // Without a thread to be had, a dead process waits for our own end to be collected.
        let _ = thread::Builder::new()
            .name("exec-reaper".to_owned())
            .spawn(burial);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const STRAY_ROUNDS: usize = 10;
const STRAY_PAUSE: Duration = Duration::from_millis(10);

/// Ends a group when dropped, unless its first process was collected before.
///
/// Whoever watches over a command holds it; so a command ends even when the runtime that ran the
/// watching is torn down.
pub(super) struct Leash(Arc<Group>);

impl Leash {
    pub(super) fn new(group: Arc<Group>) -> Self {
        Self(group)
    }

    pub(super) fn group(&self) -> &Arc<Group> {
        &self.0
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.0.end_now();
    }
}

impl fmt::Debug for Leash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Leash").field(&self.0.leader).finish()
    }
}

fn outcome_of(status: &WaitIdStatus) -> Outcome {
    if let Some(code) = status.exit_status() {
        Outcome::Exit(code)
    } else if let Some(number) = status.terminating_signal() {
        Outcome::Signal(signal::name_of(number))
    } else {
        taken()
    }
}

/// Our own child's status is gone: other code in this program collects children that are not its own.
fn taken() -> Outcome {
    Outcome::Killed("its status was taken by another part of the server".to_owned())
}
