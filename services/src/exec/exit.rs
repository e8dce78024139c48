//! Learns that a process has ended, without collecting it.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
#[cfg(target_os = "linux")]
use tokio::io::{Interest, unix::AsyncFd};
use tokio::sync::oneshot;

use super::group::{Group, Status};
use super::outcome::Outcome;

/// Waits for the end of a group's first process.
#[derive(Debug)]
pub(super) struct Exit {
    group: Arc<Group>,
    watch: Watch,
}

#[derive(Debug)]
enum Watch {
    /// A descriptor that becomes readable.
    #[cfg(target_os = "linux")]
    Descriptor(AsyncFd<OwnedFd>),
    /// A thread that waits, where there are no such descriptors or the system withholds them.
    Thread(oneshot::Receiver<()>),
    /// Nothing to wait for any more.
    Over,
}

impl Exit {
    pub(super) fn new(group: Arc<Group>) -> io::Result<Self> {
        let watch = Watch::new(group.leader())?;
        Ok(Self { group, watch })
    }

    /// The outcome, once the process has ended. Cancel safe, and may be called again.
    pub(super) async fn wait(&mut self) -> Outcome {
        loop {
            match &mut self.watch {
                // Readable also when the end came before anyone listened, and from then on for good:
                // until then it costs no system call, however often it is asked beside the output.
                #[cfg(target_os = "linux")]
                Watch::Descriptor(descriptor) => match descriptor.readable().await {
                    Ok(mut ready) => {
                        if let Status::Ended(outcome) = self.group.status() {
                            return outcome;
                        }
                        ready.clear_ready();
                    }
                    // The runtime is going down, and our own end is next.
                    Err(_) => std::future::pending().await,
                },
                Watch::Thread(news) => {
                    let _ = news.await;
                    self.watch = Watch::Over;
                }
                Watch::Over => match self.group.status() {
                    Status::Ended(outcome) => return outcome,
                    Status::Running => std::future::pending().await,
                },
            }
        }
    }
}

impl Watch {
    #[cfg(target_os = "linux")]
    #[allow(
        deprecated,
        reason = "unsound only for types that close their descriptor while it is registered; \
                  an OwnedFd does not, and the replacement needs unsafe code"
    )]
    fn new(leader: Pid) -> io::Result<Self> {
        use rustix::process::{PidfdFlags, pidfd_open};

        match pidfd_open(leader, PidfdFlags::empty()) {
            Ok(descriptor) => {
                AsyncFd::with_interest(descriptor, Interest::READABLE).map(Self::Descriptor)
            }
            Err(_) => Self::by_thread(leader),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn new(leader: Pid) -> io::Result<Self> {
        Self::by_thread(leader)
    }

    fn by_thread(leader: Pid) -> io::Result<Self> {
        let (tell, news) = oneshot::channel();
        let wait = move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(leader), options) {}
            let _ = tell.send(());
        };
        thread::Builder::new()
            .name("exec-wait".to_owned())
            .spawn(wait)?;
        Ok(Self::Thread(news))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::time::Duration;

    #[tokio::test]
    async fn both_ways_to_wait_tell_the_end_and_leave_the_process_uncollected() {
        for by_thread in [false, true] {
            let child = Command::new("/bin/sh")
                .args(["-c", "sleep 0.1; exit 7"])
                .process_group(0)
                .spawn()
                .unwrap();
            let group = Arc::new(Group::new(child, "test".into()));
            let watch = if by_thread {
                Watch::by_thread(group.leader()).unwrap()
            } else {
                Watch::new(group.leader()).unwrap()
            };
            let mut exit = Exit {
                group: Arc::clone(&group),
                watch,
            };
            // Cancelled and taken up again.
            let early = tokio::time::timeout(Duration::from_millis(5), exit.wait()).await;
            assert!(early.is_err());
            assert_eq!(exit.wait().await, Outcome::Exit(7));
            assert_eq!(exit.wait().await, Outcome::Exit(7));
            assert!(group.signal(rustix::process::Signal::CONT).is_ok());
            group.reap();
            assert!(group.signal(rustix::process::Signal::CONT).is_err());
        }
    }
}
