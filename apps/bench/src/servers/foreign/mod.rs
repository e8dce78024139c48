//! Peers in other languages, one a file. This process becomes theirs, or starts one of theirs for
//! each connection; they are pinned as it is.

mod inetd;
mod netty;
mod nginx;
mod python;
mod sshd;
mod vsftpd;

pub use self::sshd::ssh_client;
pub(super) use self::{
    inetd::each, netty::become_netty, nginx::become_nginx, python::become_python,
};

use std::{path::Path, process::Command};

use super::Kind;
use crate::process::{imports, is_installed};

/// Why a peer cannot be measured, if it cannot.
pub fn missing(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Twisted if !imports("twisted") => Some("it is not installed (`python3-twisted`)"),
        Kind::Asyncssh if !imports("asyncssh") => Some("it is not installed (`python3-asyncssh`)"),
        Kind::Netty => netty::missing(),
        Kind::Nginx | Kind::NginxSendfile if !is_installed("nginx") => {
            Some("it is not installed (`nginx-light`)")
        }
        Kind::Vsftpd if !is_installed("vsftpd") => Some("it is not installed (`vsftpd`)"),
        Kind::Sshd => sshd::missing(),
        _ => None,
    }
}

/// Writes the settings of those that are started for each connection.
pub(super) fn prepare(kind: Kind, folder: &Path, settings: &Path) -> anyhow::Result<()> {
    match kind {
        Kind::Vsftpd => Ok(vsftpd::prepare(folder, settings)?),
        _ => sshd::prepare(settings),
    }
}

/// What serves one connection, of them.
pub(super) fn session(kind: Kind, settings: &Path) -> anyhow::Result<Command> {
    match kind {
        Kind::Vsftpd => vsftpd::session(settings),
        _ => sshd::session(settings),
    }
}
