//! OpenSSH's client with a control master: the connection is made once, and each command is an
//! `ssh` of its own that has the master run it.

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::client::{Count, Done, ExecClient, words};
use crate::servers::ssh_client;

/// How long the connection may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(options: &ExecClient) -> anyhow::Result<Done> {
    let _master = Master::start(options)?;
    let words = words(options.size);
    let mut count = Count::new(options);
    loop {
        // The output goes where reading it costs nothing.
        let status = ssh(options)
            .arg("bench")
            .args(&words)
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "`{}` has failed", words[0]);
        if !count.goes_on() || options.size > 0 {
            return Ok(count.done());
        }
    }
}

fn ssh(options: &ExecClient) -> Command {
    ssh_client("ssh", &options.settings, options.port)
}

/// The connection; ended when dropped.
struct Master<'a> {
    options: &'a ExecClient,
    child: Child,
}

impl<'a> Master<'a> {
    /// Waits until it takes commands.
    fn start(options: &'a ExecClient) -> anyhow::Result<Self> {
        let child = ssh(options)
            .args(["-M", "-N", "bench"])
            .stdout(Stdio::null())
            .spawn()?;
        let mut master = Self { options, child };
        let start = Instant::now();
        while !master.tell("check") {
            let ended = master.child.try_wait()?;
            ensure!(ended.is_none(), "nobody may log in by ssh");
            ensure!(start.elapsed() < PATIENCE, "ssh does not connect");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(master)
    }

    /// Whether it obeys.
    fn tell(&self, what: &str) -> bool {
        let status = ssh(self.options)
            .args(["-O", what, "bench"])
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    }
}

impl Drop for Master<'_> {
    fn drop(&mut self) {
        // It removes its socket; one that does not obey is killed.
        if !self.tell("exit") {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
