//! Daemons that can serve one connection on their standard input, as inetd had them: the port is
//! ours, and they end with the connection.

use std::{
    net::TcpListener,
    os::fd::OwnedFd,
    process::{Command, Stdio},
    thread,
};

/// Starts what `session` gives for each connection.
pub(in super::super) fn each(
    listener: &TcpListener,
    session: impl Fn() -> anyhow::Result<Command>,
) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let output = OwnedFd::from(stream.try_clone()?);
        let mut child = session()?
            .stdin(OwnedFd::from(stream))
            .stdout(output)
            .stderr(Stdio::null())
            .spawn()?;
        thread::spawn(move || child.wait());
    }
}
